"""Data sets as they come: a spreadsheet of codings and folders of frames, read into one table.

Layouts, columns, corrected slips and class merges are described in docs/datasets.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._wording import option
from ._folders import clip_folders, smic_clip_folders
from ._layouts import CASME, CASME2, CASME3, EMOTIONS, SAMM, SMIC_EMOTIONS, Layout, is_slip
from ._reading import Fault, Reading, StrPath, counted
from ._sheets import read_emotion, read_number, read_subject, read_text, sheet_rows
from ._workbooks import is_blank
from .manifests import read_manifest

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DATASETS",
    "read_casme",
    "read_casme2",
    "read_casme3",
    "read_dataset",
    "read_samm",
    "read_smic",
]


def read_casme(
    root: StrPath,
    *,
    strict: bool = False,
    sheet: StrPath | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    whole_folder: bool = False,
) -> pd.DataFrame:
    """Read the clips of CASME (Yan et al. 2013): ``subNN/Filename/`` and a spreadsheet.

    Parameters
    ----------
    root : path
        Folder with the spreadsheet (``.xlsx``, ``.xlsm``, ``.xls``, or ``.csv`` if there is none of those)
        and the subjects' folders, each at most two folders down.
    strict : bool
        Raise if anything does not match, with everything that does not, instead of leaving it out.
    sheet : path, optional
        The spreadsheet, if it is elsewhere or there are several with the columns of this data set.
    cropped : bool, optional
        Read the cropped frames or the raw ones. By default those that are there, and the cropped ones
        if both are.
    allow_gaps : bool
        Keep a clip some of whose frames are not on disk, if at least 2 are. By default it is left out.
    whole_folder : bool
        Take all images of a folder as the clip, whatever onset and offset the spreadsheet says: for frames
        that were cut out and renumbered. An apex is moved along where the row has as many frames as the
        folder, and left empty where it has not.

    Returns
    -------
    pandas.DataFrame
        One row per clip: dataset, subject (str), clip, emotion (lower case), onset, apex (NA where it is
        not coded), offset, action_units, frames (list of paths from onset to offset, in order). Its
        ``attrs`` hold

        - ``problems``: a list of `Problem`, the clips left out;
        - ``corrections``: a list of str, known slips of the spreadsheet corrected;
        - ``notes``: a list of str, remarks on what was kept;
        - ``sources``: a list of [name in `DATASETS`, root], and {options} where some were given: what
          `read_dataset` reads again;
        - ``sheet``: str, the spreadsheet or manifest read, "" where there is none;
        - ``simulated``: bool, whether `microexpr.simulate` wrote the data set;
        - ``selection``: None, until `select_classes` says which classes these are.

        `report` prints them.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, no spreadsheet or no folder of a subject.
    ModuleNotFoundError
        If the ``datasets`` extra is not installed.
    ValueError
        If the spreadsheet lacks a column, no row can be read, there are several data sets at `root`, or
        `strict` and anything does not match.
    """
    options = {"sheet": sheet, "cropped": cropped, "whole_folder": whole_folder}
    return _read_coded(CASME, Reading("casme", root, strict, allow_gaps, **options), sheet, cropped)


def read_casme2(
    root: StrPath,
    *,
    strict: bool = False,
    sheet: StrPath | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    whole_folder: bool = False,
) -> pd.DataFrame:
    """Read the clips of CASME II (Yan et al. 2014), or of a data set that `microexpr.simulate` wrote.

    The layout is ``subNN/Filename/`` with frames ``img*.jpg`` (raw) or ``reg_img*.jpg`` (cropped), and a
    spreadsheet. Parameters, result and errors are those of `read_casme`.

    Examples
    --------
    >>> import tempfile, microexpr
    >>> from microexpr.data import read_casme2
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     root = microexpr.simulate(folder, subjects=2, clips=4, frames=(3, 3), size=(16, 16),
    ...                               progress=False)
    ...     table = read_casme2(root)
    >>> table[["dataset", "subject", "clip", "emotion"]].head(2)
        dataset subject     clip  emotion
    0  CASME II      01  EP01_01   others
    1  CASME II      01  EP01_02  disgust
    >>> table.attrs["problems"]
    []
    """
    options = {"sheet": sheet, "cropped": cropped, "whole_folder": whole_folder}
    return _read_coded(CASME2, Reading("casme2", root, strict, allow_gaps, **options), sheet, cropped)


def read_samm(
    root: StrPath,
    *,
    strict: bool = False,
    sheet: StrPath | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    whole_folder: bool = False,
) -> pd.DataFrame:
    """Read the clips of SAMM (Davison et al. 2018): ``006/006_1_2/`` and a spreadsheet.

    The header of the spreadsheet is found wherever it is. Parameters, result and errors are those of
    `read_casme`.
    """
    options = {"sheet": sheet, "cropped": cropped, "whole_folder": whole_folder}
    return _read_coded(SAMM, Reading("samm", root, strict, allow_gaps, **options), sheet, cropped)


def read_casme3(
    root: StrPath,
    *,
    strict: bool = False,
    sheet: StrPath | None = None,
    allow_gaps: bool = False,
    whole_folder: bool = False,
) -> pd.DataFrame:
    """Read the micro-expressions of part A of CAS(ME)³ (Li et al. 2023).

    The layout is ``spNO.N/a/color/`` (whole videos) or ``spNO.N_a_ONSET/`` (clips cut out), and a
    spreadsheet with the columns Subject, Filename, Onset, Apex, Offset, AU, emotion. A video may hold
    several clips: a clip's name is the video's and its onset, ``a_355``. Parameters, result and errors
    are those of `read_casme`.
    """
    options = {"sheet": sheet, "whole_folder": whole_folder}
    return _read_coded(CASME3, Reading("casme3", root, strict, allow_gaps, **options), sheet, None)


def read_smic(
    root: StrPath,
    camera: str = "HS",
    *,
    strict: bool = False,
    cropped: bool | None = None,
    allow_gaps: bool = False,
) -> pd.DataFrame:
    """Read the clips of one camera of SMIC (Li et al. 2013): ``sN/micro/EMOTION/MATERIAL/``.

    SMIC has no spreadsheet: the folders say the emotion, and all frames of a folder are the clip. The
    apex is not coded. Parameters not listed, result and errors are those of `read_casme`; a problem
    names the folder instead of a row.

    Parameters
    ----------
    root : path
        Folder with the subjects' folders in it or at most three folders down.
    camera : {"HS", "VIS", "NIR"}
        High-speed, visible or near infrared: chosen by the folder of that name over the subjects'.
    """
    name = str(camera).upper()
    if name not in ("HS", "VIS", "NIR"):
        raise ValueError(f"camera is {camera!r}; it must be 'HS', 'VIS' or 'NIR'")
    reading = Reading(f"smic-{name.lower()}", root, strict, allow_gaps, cropped=cropped)
    for subject, materials in smic_clip_folders(reading, name, cropped).items():
        names = [material.name for material in materials]
        for material in materials:
            where = str(material.relative_to(reading.root))
            try:
                emotion = read_emotion(material.parent.name, "its folder", SMIC_EMOTIONS)
                images = reading.images(material)
                onset, offset = min(images), max(images)
                frames = reading.select(images, onset, offset, "the clip", where)
            except Fault as fault:
                reading.leave_out(where, [fault])
                continue
            reading.add(
                where,
                dataset=f"SMIC-{name}",
                subject=f"{subject:02d}",
                clip=material.name if names.count(material.name) == 1 else "_".join(material.parts[-2:]),
                emotion=emotion,
                onset=onset,
                apex=None,
                offset=offset,
                action_units="",
                frames=frames,
            )
    return reading.table()


#: Data sets by name, as the command line knows them.
DATASETS: dict[str, Callable[..., pd.DataFrame]] = {
    "casme": read_casme,
    "casme2": read_casme2,
    "smic": partial(read_smic, camera="HS"),
    "smic-hs": partial(read_smic, camera="HS"),
    "smic-vis": partial(read_smic, camera="VIS"),
    "smic-nir": partial(read_smic, camera="NIR"),
    "samm": read_samm,
    "casme3": read_casme3,
    "manifest": read_manifest,
}


# Who gives the data sets out; each asks for a signed licence agreement.
_CASME_GROUP = "of the Institute of Psychology, Chinese Academy of Sciences (casme.psych.ac.cn/casme)"
_GIVEN_OUT_BY = {
    "casme": f"CASME {_CASME_GROUP}",
    "casme2": f"CASME II {_CASME_GROUP}",
    "casme3": f"CAS(ME)3 {_CASME_GROUP}",
    "smic": "SMIC of the University of Oulu, Center for Machine Vision",
    "samm": "SAMM of Manchester Metropolitan University",
}


def read_dataset(name: str, root: StrPath, **options: Any) -> pd.DataFrame:
    """Read a data set by its name in `DATASETS`, in any case.

    `root` is its folder, or a manifest's file; `options` are passed to the reader. ValueError if there is no
    such name, or its reader has no such option; FileNotFoundError, which says where the data set is from, if
    there is no such folder.

    Examples
    --------
    >>> from microexpr.data import read_dataset
    >>> read_dataset("casme4", ".")
    Traceback (most recent call last):
        ...
    ValueError: 'casme4' is not a data set; it must be casme, casme2, smic, smic-hs, smic-vis, ...
    """
    reader = DATASETS.get(name.lower())
    if reader is None:
        raise ValueError(f"{name!r} is not a data set; it must be {', '.join(DATASETS)}")
    taken = [key for key in inspect.signature(reader).parameters if key not in ("root", "path")]
    if "-" in name and "camera" in taken:
        taken.remove("camera")  # its name says it
    for key in options:
        if key not in taken:
            raise ValueError(f"{name} has no {option(key)}; it has {', '.join(map(option, taken))}")
    source = _GIVEN_OUT_BY.get(name.lower().split("-")[0])
    if source and not Path(root).exists():
        raise FileNotFoundError(
            f"{root}: no such folder; {source} is given out under a signed licence "
            "(without one, `microexpr simulate` writes clips in CASME II's layout)"
        )
    return reader(root, **options)


def _read_coded(
    layout: Layout, reading: Reading, sheet: StrPath | None, cropped: bool | None
) -> pd.DataFrame:
    """Read what a spreadsheet codes: its rows, and the folders that they name."""
    reading.sheet, rows = sheet_rows(layout, reading, sheet)
    folders = clip_folders(layout, reading, cropped)
    column = {key: names[0] for key, names in layout.columns.items()}
    used = set()
    for index, (number, row) in enumerate(rows):
        if all(is_blank(row[key]) for key in layout.columns):
            continue
        if not is_blank(row["type"]) and "micro" not in str(row["type"]).lower():
            continue  # CAS(ME)3: one of its spreadsheets lists the macro-expressions as well
        where = f"{reading.sheet.name}, row {number}"
        faults: list[Fault] = []
        checked = partial(_value_or_fault, faults)
        subject = checked(read_subject, layout, row["subject"])
        name = checked(read_text, row, "clip", column["clip"])
        emotion = checked(read_emotion, row["emotion"], column["emotion"], EMOTIONS)
        apex = None
        if not is_blank(row["apex"]) and str(row["apex"]).strip() != "/":
            apex = checked(read_number, row["apex"], column["apex"])
        range_faults: list[Fault] = []  # apart: a known slip may mend them
        onset, offset = (
            _value_or_fault(range_faults, read_number, row[key], column[key]) for key in ("onset", "offset")
        )
        clip = f"{name}_{onset}" if layout.long_videos else name
        if not is_blank(row["action_units"]):
            action_units = checked(read_text, row, "action_units", "Action Units")
        else:
            action_units = ""
        label = images = None
        if subject is not None and name is not None:
            label = f"{layout.folder.format(subject)}/{name}"
            keys = [
                (subject, word.lower()) for word in (name, f"{clip}") if (subject, word.lower()) in folders
            ]
            used.update(keys[:1])
            if keys:
                images = checked(reading.images, folders[keys[0]])
            else:
                faults.append(Fault("folder", f"there is no folder {label}"))

        if images and reading.whole_folder:  # then its frames are what is on disk, whatever the row says
            onset, apex, offset = reading.clip_range(images, onset, apex, offset, where)
            range_faults = range_faults if layout.long_videos else []
        slip = {} if reading.simulated or reading.whole_folder else layout.slips.get(index, {})
        coded = {"onset": onset, "offset": offset}
        corrected = {**coded, **slip}
        corrections = []
        if images and corrected != coded and is_slip(images, coded, corrected):
            onset, offset, range_faults = corrected["onset"], corrected["offset"], []
            corrections = [
                f"{where}: {column[key]} of clip {label} is {row[key]}; read as {corrected[key]}"
                for key in coded
                if corrected[key] != coded[key]
            ]
        faults += range_faults
        frames = None
        if onset is not None and offset is not None:
            named = f"clip {label}" if images else "the clip"
            frames = checked(reading.select, images or {}, onset, offset, named, where)
        if images and corrected != coded and not corrections:
            known = ", ".join(f"{column[key]} {value}" for key, value in slip.items())
            known = f"a slip is known of this row ({known}), but it does not fit"
            if faults:
                faults.append(Fault("other", known))
            else:
                reading.notes.append(f"{where}: {known} what is on disk; read as it is coded")
        if faults:
            reading.leave_out(where, faults)
            continue
        reading.corrections += corrections
        reading.add(
            where,
            long_video=layout.long_videos,
            dataset=layout.dataset,
            subject=f"{subject:0{layout.digits}d}",
            clip=clip,
            emotion=emotion,
            onset=onset,
            apex=apex,
            offset=offset,
            action_units=action_units,
            frames=frames,
        )
    unused = [folders[key].relative_to(reading.root) for key in folders if key not in used]
    if unused:
        reading.notes.append(f"{counted(len(unused), 'folder')} that no row codes; the first: {unused[0]}")
    return reading.table()


def _value_or_fault(faults: list[Fault], function: Callable, *arguments: Any) -> Any:
    """Call; or add the fault to the others, so that a row says all of its own, and return None."""
    try:
        return function(*arguments)
    except Fault as fault:
        faults.append(fault)
        return None
