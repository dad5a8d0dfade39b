"""Data sets as they come: a spreadsheet of codings and folders of frames, read into one table.

Layouts, columns, corrected slips and class merges are described in docs/datasets.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._progress import progress_bar
from ._folders import aligned_images, clip_folders, clip_name, is_aligned, read_camera, smic_clip_folders
from ._layouts import CASME, CASME2, CASME3, SAMM, SMIC_EMOTIONS, Layout, is_coded_slip, is_slip
from ._reading import Fault, Reading, StrPath, counted
from ._sheets import read_emotion, read_number, read_subject, read_text, sheet_rows
from ._workbooks import is_blank

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "read_casme",
    "read_casme2",
    "read_casme3",
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
    tree: str | None = None,
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
    tree : str, optional
        Which folder of subjects to read where there are several: its path below `root`, or the end of it.

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
    options = {"sheet": sheet, "cropped": cropped, "whole_folder": whole_folder, "tree": tree}
    return _read_sheet(CASME, Reading("casme", root, strict, allow_gaps, **options), sheet, cropped, tree)


def read_casme2(
    root: StrPath,
    *,
    strict: bool = False,
    sheet: StrPath | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    whole_folder: bool = False,
    tree: str | None = None,
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
    options = {"sheet": sheet, "cropped": cropped, "whole_folder": whole_folder, "tree": tree}
    return _read_sheet(CASME2, Reading("casme2", root, strict, allow_gaps, **options), sheet, cropped, tree)


def read_samm(
    root: StrPath,
    *,
    strict: bool = False,
    sheet: StrPath | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    whole_folder: bool = False,
    tree: str | None = None,
) -> pd.DataFrame:
    """Read the clips of SAMM (Davison et al. 2018): ``006/006_1_2/`` and a spreadsheet.

    The header of the spreadsheet is found wherever it is. Parameters, result and errors are those of
    `read_casme`.
    """
    options = {"sheet": sheet, "cropped": cropped, "whole_folder": whole_folder, "tree": tree}
    return _read_sheet(SAMM, Reading("samm", root, strict, allow_gaps, **options), sheet, cropped, tree)


def read_casme3(
    root: StrPath,
    *,
    strict: bool = False,
    sheet: StrPath | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    whole_folder: bool = False,
    tree: str | None = None,
) -> pd.DataFrame:
    """Read the micro-expressions of part A of CAS(ME)³ (Li et al. 2023).

    The layout is ``spNO.N/a/color/`` (whole videos) or ``spNO.N_a_ONSET/`` (clips cut out), and a
    spreadsheet with the columns Subject, Filename, Onset, Apex, Offset, AU, emotion. A video may hold
    several clips: a clip's name is the video's and its onset, ``a_355``. Parameters, result and errors
    are those of `read_casme`.
    """
    options = {"sheet": sheet, "cropped": cropped, "whole_folder": whole_folder, "tree": tree}
    return _read_sheet(CASME3, Reading("casme3", root, strict, allow_gaps, **options), sheet, cropped, tree)


def read_smic(
    root: StrPath,
    camera: str = "HS",
    *,
    strict: bool = False,
    cropped: bool | None = None,
    allow_gaps: bool = False,
    tree: str | None = None,
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
    name = read_camera(camera)
    reading = Reading(f"smic-{name.lower()}", root, strict, allow_gaps, cropped=cropped, tree=tree)
    found = smic_clip_folders(reading, name, cropped, tree)
    for folder, reason in reading.unlisted.items():  # no row of a spreadsheet says which clips are in it
        reading.leave_out(str(folder), [Fault("other", f"it cannot be listed: {reason}")])
    for subject, materials in found.items():
        names = [clip_name(material) for material in materials]
        for material in materials:
            where, clip = str(material.relative_to(reading.root)), clip_name(material)
            try:
                emotion = read_emotion(material.parent.name, "its folder", SMIC_EMOTIONS)
                images = reading.images(material)
                if is_aligned(material):
                    images = aligned_images(images, None, None)
                onset, offset = min(images), max(images)
                frames = reading.select(images, onset, offset, "the clip", where)
            except Fault as fault:
                reading.leave_out(where, [fault])
                continue
            reading.add(
                where,
                dataset=f"SMIC-{name}",
                subject=f"{subject:02d}",
                clip=clip if names.count(clip) == 1 else f"{material.parent.name}_{clip}",
                emotion=emotion,
                onset=onset,
                apex=None,
                offset=offset,
                action_units="",
                frames=frames,
            )
    return reading.table()


def _read_sheet(
    layout: Layout, reading: Reading, sheet: StrPath | None, cropped: bool | None, tree: str | None
) -> pd.DataFrame:
    """Read a data set whose spreadsheet names the folders in the subjects' folders."""
    reading.sheet, rows = sheet_rows(layout, reading, sheet)
    return read_coded(layout, reading, rows, clip_folders(layout, reading, cropped, tree))


def read_coded(
    layout: Layout,
    reading: Reading,
    rows: Sequence[tuple[int, Mapping[str, Any]]],
    folders: Mapping[tuple[int, str], Path],
    expressions: str = "micro",
) -> pd.DataFrame:
    """Read what a spreadsheet codes: its rows, and the folders that they name.

    A row holds the cells of ``layout.columns``, and further ones: "type" ("micro-expression" or the like),
    "apex", "action_units", and "folder", what the folder is called if not as the clip. `expressions` is the
    type to read, or "all". Where no emotion is coded, the emotion is the type.
    """
    if expressions not in ("micro", "macro", "all"):
        raise ValueError(f"expressions is {expressions!r}; it must be 'micro', 'macro' or 'all'")
    types = ("micro", "macro") if expressions == "all" else (expressions,)
    sheet = reading.sheet.name if reading.sheet else ""
    column = {key: names[0] for key, names in layout.columns.items()}
    used = set()
    n_aligned = 0
    shown = progress_bar(rows, "read", len(rows), "row", None, leave=False)
    for index, (number, row) in enumerate(shown):
        if all(is_blank(row.get(key)) for key in layout.columns):
            continue
        kind = "" if is_blank(row.get("type")) else str(row["type"]).lower()
        if kind and not any(word in kind for word in types):
            continue  # CAS(ME)3: one of its spreadsheets lists the macro-expressions as well
        where = f"{sheet}, row {number}"
        faults: list[Fault] = []
        checked = partial(_value_or_fault, faults)
        subject = checked(read_subject, layout, row["subject"])
        name = checked(read_text, row, "clip", column["clip"])
        if "emotion" in row:
            emotion = checked(read_emotion, row["emotion"], column["emotion"], layout.emotions)
        else:
            emotion = next((word for word in types if word in kind), None)
            if emotion is None:
                faults.append(Fault("emotion", f"{column['type']} is empty; it must name micro or macro"))
        apex = None
        if not is_blank(row.get("apex")) and str(row["apex"]).strip() != "/":
            apex = checked(read_number, row["apex"], column["apex"])
        action_units = ""
        if not is_blank(row.get("action_units")):
            action_units = checked(read_text, row, "action_units", "Action Units")
        range_faults: list[Fault] = []  # apart: a known slip may mend them
        onset, offset = (
            _value_or_fault(range_faults, read_number, row[key], column[key]) for key in ("onset", "offset")
        )
        label = images = None
        if subject is not None and name is not None:
            label = f"{layout.folder.format(subject)}/{name}"
            words = [str(row.get("folder") or name)] + [f"{name}_{onset}"] * layout.named_by_onset
            keys = [(subject, word.lower()) for word in words if (subject, word.lower()) in folders]
            if keys:
                folder = folders[keys[0]]
                used.add(folder)
                images = checked(reading.images, folder)
            else:
                faults.append(Fault("folder", f"there is no folder {label}{reading.not_looked_into}"))

        slip, confirmed = layout.slips.get(index, {}), is_slip
        if not slip:
            slip, confirmed = layout.coded_slips.get((subject, name, onset, offset), {}), is_coded_slip
        if reading.simulated or reading.whole_folder:
            slip = {}
        coded = {"onset": onset, "offset": offset}
        corrected = {**coded, **{key: slip[key] for key in coded if key in slip}}
        if images and is_aligned(folder):
            images = aligned_images(aligned_images(images, **coded), **corrected)
            n_aligned += 1
        if images and reading.whole_folder:  # then its frames are what is on disk, whatever the row says
            onset, apex, offset = reading.clip_range(images, onset, apex, offset, where)
            range_faults = range_faults if layout.named_by_onset else []
        corrections = []
        if images and slip and confirmed(images, coded, corrected):
            corrections = [
                f"{where}: {column[key]} of clip {label} is {row[key]}; read as {value}"
                for key, value in slip.items()
                if value != {**coded, "apex": apex}[key]
            ]
            onset, offset, range_faults = corrected["onset"], corrected["offset"], []
            apex = slip.get("apex", apex)
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
        named_onset = coded["onset"] if reading.whole_folder else onset
        reading.add(
            where,
            long_video=layout.long_videos,
            dataset=layout.dataset,
            subject=f"{subject:0{layout.digits}d}",
            clip=f"{name}_{named_onset}" if layout.named_by_onset else name,
            emotion=emotion,
            onset=onset,
            apex=apex,
            offset=offset,
            action_units=action_units,
            frames=frames,
        )
    unused = [folder.relative_to(reading.root) for folder in folders.values() if folder not in used]
    if n_aligned:
        reading.notes.append(
            f"{counted(n_aligned, 'clip')} in folders of OpenFace (*_aligned), which counts frames from 1 in "
            "the order of their names as text: right where those have leading zeros"
        )
    if unused:
        reading.notes.append(f"{counted(len(unused), 'folder')} that no row codes; the first: {unused[0]}")
    return reading.table()


def _value_or_fault(faults: list[Fault], function: Callable[..., Any], *arguments: Any) -> Any:
    """Call; or add the fault to the others, so that a row says all of its own, and return None."""
    try:
        return function(*arguments)
    except Fault as fault:
        faults.append(fault)
    except (ValueError, OverflowError) as error:  # of a number with thousands of figures
        faults.append(Fault("other", str(error)))
    return None
