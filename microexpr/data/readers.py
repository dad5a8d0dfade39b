"""Data sets as they come: a spreadsheet of codings and folders of frames, read into one table.

Layouts, columns, corrected slips and class merges are described in docs/datasets.md.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .classes import PUBLISHED, combine, select_classes
from .clips import image_paths

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DATASETS",
    "PUBLISHED",
    "Problem",
    "combine",
    "read_casme",
    "read_casme2",
    "read_casme3",
    "read_dataset",
    "read_manifest",
    "read_samm",
    "read_smic",
    "report",
    "select_classes",
]

_COLUMNS = ["dataset", "subject", "clip", "emotion", "onset", "apex", "offset", "action_units", "frames"]
_EMOTIONS = ["anger", "contempt", "disgust", "fear", "happiness"]
_EMOTIONS += ["others", "repression", "sadness", "surprise", "tense"]
_SMIC_EMOTIONS = ["negative", "positive", "surprise"]
_SPELLINGS = {
    "angry": "anger",
    "disgusted": "disgust",
    "happy": "happiness",
    "other": "others",
    "repressed": "repression",
    "sad": "sadness",
    "suprise": "surprise",
    "surprised": "surprise",
    "tension": "tense",
    "tenseness": "tense",
}


def _columns(onset: str, apex: str, offset: str, emotion: str) -> dict[str, list[str]]:
    """Name the columns of a spreadsheet; | stands between the names that one may have."""
    names = {"subject": "Subject", "clip": "Filename", "onset": onset, "apex": apex, "offset": offset}
    return {key: value.split("|") for key, value in {**names, "emotion": emotion}.items()}


_OPTIONAL_COLUMNS = {"action_units": ["Action Units", "AU", "AUs"], "type": ["Expression type"]}


@dataclass(frozen=True)
class _Layout:
    """What a data set with a spreadsheet looks like."""

    dataset: str
    folder: str  # of a subject
    digits: int  # of a subject in the table
    columns: Mapping[str, Sequence[str]]  # field -> its names in the spreadsheet
    # Row under the header, from 0 -> what it should say. See docs/datasets.md.
    slips: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    long_videos: bool = False  # a folder holds a whole video, in which several clips are coded


_CASME = _Layout(
    "CASME",
    "sub{:02d}",
    2,
    _columns("OnsetF|OnsetFrame", "ApexF1|ApexF|ApexFrame", "OffsetF|OffsetFrame", "Emotion"),
    {
        40: {"onset": 100, "offset": 149},
        42: {"onset": 101, "offset": 119},
        43: {"onset": 57, "offset": 74},
        54: {"offset": 40},
        140: {"offset": 142},
    },
)
_CASME2 = _Layout(
    "CASME II",
    "sub{:02d}",
    2,
    _columns("OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion"),
    {60: {"offset": 91}},
)
_SAMM = _Layout(
    "SAMM",
    "{:03d}",
    3,
    _columns("Onset Frame", "Apex Frame", "Offset Frame", "Estimated Emotion"),
    {56: {"offset": 5739}},
)
_CASME3 = _Layout("CAS(ME)3", "spNO.{}", 3, _columns("Onset", "Apex", "Offset", "emotion"), long_videos=True)


class Problem(str):
    """A line of ``table.attrs["problems"]``; `kind` says what sort of problem, so that `report` can group."""

    kind: str

    def __new__(cls, text: str, kind: str = "other") -> Problem:
        """Make the line."""
        problem = super().__new__(cls, text)
        problem.kind = kind
        return problem


# What each kind of problem is called in a report, and what to do about it.
_KINDS = {
    "number": ("Cells that should hold a whole number", "correct them in the file named"),
    "order": ("Clips too short", "correct onset or offset in the file named"),
    "emotion": ("Emotions that are not known", "correct them, or select the others"),
    "folder": ("Folders that are not there", "unpack them, or correct the name in the file"),
    "frames": ("Frames that are not there", "unpack them again, or read with allow_gaps=True"),
    "files": ("Folders whose images cannot be told apart", "remove the files that do not belong"),
    "duplicate": ("Clips coded twice", "delete the row that is wrong"),
    "other": ("Other problems", "see each line"),
}

_PathLike = str | os.PathLike[str]


def read_casme(
    root: _PathLike,
    *,
    strict: bool = False,
    sheet: _PathLike | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
) -> pd.DataFrame:
    """Read the clips of CASME (Yan et al. 2013): ``subNN/Filename/`` and a spreadsheet.

    Parameters
    ----------
    root : path
        Folder with the spreadsheet (``.xlsx``, ``.xls``) and the subjects' folders, each at most two
        folders down.
    strict : bool
        Raise if anything does not match, with everything that does not, instead of leaving it out.
    sheet : path, optional
        The spreadsheet, if it is elsewhere or there are several with the columns of this data set.
    cropped : bool, optional
        Read the cropped frames or the raw ones. By default those that are there, and the cropped ones
        if both are.
    allow_gaps : bool
        Keep a clip some of whose frames are not on disk, if at least 2 are. By default it is left out.

    Returns
    -------
    pandas.DataFrame
        One row per clip: dataset, subject (str), clip, emotion (lower case), onset, apex (NA where it is
        not coded), offset, action_units, frames (list of paths from onset to offset, in order). Its
        ``attrs`` hold ``problems`` (clips left out), ``corrections`` (known slips of the spreadsheet
        corrected) and ``notes`` (remarks on clips kept), one line each; ``report`` prints them.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, no spreadsheet or no folder of a subject.
    ValueError
        If the spreadsheet lacks a column, no row can be read, there are several data sets at `root`, or
        `strict` and anything does not match.
    """
    return _read_coded(_CASME, _Reading(root, strict, allow_gaps), sheet, cropped)


def read_casme2(
    root: _PathLike,
    *,
    strict: bool = False,
    sheet: _PathLike | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
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
    return _read_coded(_CASME2, _Reading(root, strict, allow_gaps), sheet, cropped)


def read_samm(
    root: _PathLike,
    *,
    strict: bool = False,
    sheet: _PathLike | None = None,
    cropped: bool | None = None,
    allow_gaps: bool = False,
) -> pd.DataFrame:
    """Read the clips of SAMM (Davison et al. 2018): ``006/006_1_2/`` and a spreadsheet.

    The header of the spreadsheet is found wherever it is. Parameters, result and errors are those of
    `read_casme`.
    """
    return _read_coded(_SAMM, _Reading(root, strict, allow_gaps), sheet, cropped)


def read_casme3(
    root: _PathLike, *, strict: bool = False, sheet: _PathLike | None = None, allow_gaps: bool = False
) -> pd.DataFrame:
    """Read the micro-expressions of part A of CAS(ME)³ (Li et al. 2023).

    The layout is ``spNO.N/a/color/`` (whole videos) or ``spNO.N_a_ONSET/`` (clips cut out), and a
    spreadsheet with the columns Subject, Filename, Onset, Apex, Offset, AU, emotion. A video may hold
    several clips: a clip's name is the video's and its onset, ``a_355``. Parameters, result and errors
    are those of `read_casme`.
    """
    return _read_coded(_CASME3, _Reading(root, strict, allow_gaps), sheet, None)


def read_smic(
    root: _PathLike,
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
    reading = _Reading(root, strict, allow_gaps)
    for subject, folder in _smic_subjects(reading, name, cropped).items():
        materials = [
            material for emotion in _folders(_child(folder, "micro")) for material in _folders(emotion)
        ]
        names = [material.name for material in materials]
        for material in materials:
            where = str(material.relative_to(reading.root))
            try:
                emotion = _emotion(material.parent.name, "its folder", _SMIC_EMOTIONS)
                images = reading.frames(material)
                onset, offset = min(images), max(images)
                frames = reading.select(images, onset, offset, "the clip", where)
            except _Fault as fault:
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


def read_manifest(path: _PathLike, *, strict: bool = False, allow_gaps: bool = False) -> pd.DataFrame:
    r"""Read any folders of frames that a CSV file lists.

    Parameters
    ----------
    path : path
        CSV file (comma, semicolon or tab, UTF-8) whose first line names its columns: ``folder`` (of the
        clip's frames, relative to the CSV file), ``subject`` and ``emotion``; and, if they are there,
        ``clip`` (default: the folder's name), ``onset`` and ``offset`` (frame numbers; default: the
        folder's first and last), ``apex``, ``action_units`` and ``dataset`` (default: the CSV file's
        name). Further columns are ignored. Any word is an emotion here.
    strict, allow_gaps
        As for `read_casme`, as are the result and the errors.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from microexpr.data import read_manifest
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in (8, 9, 10):
    ...         image = Path(folder, "anna", "smile", f"{number}.png")
    ...         image.parent.mkdir(parents=True, exist_ok=True)
    ...         image.touch()
    ...     manifest = Path(folder, "mine.csv")
    ...     _ = manifest.write_text("folder,subject,emotion\nanna/smile,Anna,Happy\n")
    ...     table = read_manifest(manifest)
    >>> table[["dataset", "subject", "clip", "emotion", "onset", "offset"]]
      dataset subject   clip    emotion  onset  offset
    0    mine    Anna  smile  happiness      8      10
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a manifest is a CSV file")
    reading = _Reading(path.parent, strict, allow_gaps)
    reading.source = reading.sheet = path
    for number, row in _csv_rows(path):
        where = f"{path.name}, row {number}"
        try:
            subject, emotion = _text(row, "subject"), _emotion(row["emotion"], "emotion")
            folder = path.parent / _text(row, "folder").replace("\\", "/")
            if not folder.is_dir():
                raise _Fault("folder", f"there is no folder {row['folder']}")
            images = reading.frames(folder)
            onset = _number(row["onset"], "onset") if row.get("onset") else min(images)
            offset = _number(row["offset"], "offset") if row.get("offset") else max(images)
            apex = _number(row["apex"], "apex") if row.get("apex", "") not in ("", "/") else None
            clip = row.get("clip") or folder.name
            frames = reading.select(images, onset, offset, f"clip {subject}/{clip}", where)
        except _Fault as fault:
            reading.leave_out(where, [fault])
            continue
        reading.add(
            where,
            dataset=row.get("dataset") or path.stem,
            subject=subject,
            clip=clip,
            emotion=emotion,
            onset=onset,
            apex=apex,
            offset=offset,
            action_units=row.get("action_units", ""),
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


def read_dataset(name: str, root: _PathLike, **options: Any) -> pd.DataFrame:
    """Read a data set by its name in `DATASETS`, in any case.

    `root` is its folder, or a manifest's CSV file; `options` are passed to the reader. ValueError if there
    is no such name; FileNotFoundError, which says where the data set is from, if there is no such folder.

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
    source = _GIVEN_OUT_BY.get(name.lower().split("-")[0])
    if source and not Path(root).exists():
        raise FileNotFoundError(
            f"{root}: no such folder; {source} is given out under a signed licence "
            "(without one, `microexpr simulate` writes clips in CASME II's layout)"
        )
    return reader(root, **options)


def report(table: pd.DataFrame) -> str:
    """Say what is in a table, what was corrected and what was left out, and what to do about it.

    Parameters
    ----------
    table : pandas.DataFrame
        As a reader, `select_classes` or `combine` returns it.

    Returns
    -------
    str
        Lines for a terminal: the clips of each class beside the published count where there is one,
        then notes, corrections and problems, the problems grouped by what to do about them.

    Examples
    --------
    >>> import pandas as pd
    >>> from microexpr.data import report
    >>> table = pd.DataFrame({"dataset": "SAMM", "subject": ["006", "007"], "emotion": ["anger", "others"]})
    >>> print(report(table))
    SAMM: 2 clips of 2 subjects
      anger    1
      others   1
    """
    attrs = table.attrs
    simulated = " (simulated, not real micro-expressions)" if attrs.get("simulated") else ""
    lines = []
    for dataset, rows in table.groupby("dataset", sort=False):
        people = _count(rows["subject"].nunique(), "subject")
        lines.append(f"{dataset}{simulated}: {_count(len(rows), 'clip')} of {people}")
        counts = rows["emotion"].value_counts()
        published = PUBLISHED.get(str(attrs.get("selection")), {}).get(str(dataset), {})
        words = sorted({*counts.index, *published})
        width = max(map(len, words), default=0) + 2
        for word in words:
            line = f"  {word:<{width}}{counts.get(word, 0):>3}"
            lines.append(line + (f"   (published: {published.get(word, 0)})" if published else ""))
    for key, heading in (("notes", "Notes"), ("corrections", "Known slips corrected")):
        if attrs.get(key):
            lines += ["", f"{heading} ({len(attrs[key])}):", *(f"  {line}" for line in attrs[key])]
    problems = attrs.get("problems", [])
    if problems:
        lines += ["", f"Left out: {_count(len(problems), 'clip')}"]
    for kind, (heading, advice) in _KINDS.items():
        group = [line for line in problems if getattr(line, "kind", "other") == kind]
        if group:
            lines += [f"  {heading} ({len(group)}); {advice}:", *(f"    {line}" for line in group)]
    return "\n".join(lines)


def import_pandas() -> Any:
    """Import pandas, and openpyxl that it reads and writes spreadsheets with, or say which extra has them."""
    try:
        import openpyxl  # noqa: F401
        import pandas
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"spreadsheets need pandas and openpyxl ({error}); install microexpr[datasets]"
        ) from error
    return pandas


class _Fault(Exception):
    """Why a clip cannot be read."""

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind


class _Reading:
    """Clips read so far, and what there is to say about them."""

    def __init__(self, root: _PathLike, strict: bool, allow_gaps: bool):
        self.root = self.source = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(f"{self.root}: no such folder")
        self.sheet: Path | None = None
        self.strict, self.allow_gaps = strict, allow_gaps
        self.clips: list[dict] = []
        self.problems: list[str] = []
        self.corrections: list[str] = []
        self.notes: list[str] = []
        self._listed: dict[Path, dict[int, list[Path]]] = {}
        self._coded: dict[Path, list[tuple[int, int, str]]] = {}
        self._names: set[tuple[str, str]] = set()

    @property
    def simulated(self) -> bool:
        """Whether `microexpr.simulate` wrote the data set: its spreadsheet says so in its name."""
        return self.sheet is not None and self.sheet.stem.endswith("-simulated")

    def leave_out(self, where: str, faults: Sequence[_Fault]) -> None:
        self.problems.append(Problem(f"{where}: {'; '.join(map(str, faults))}", faults[0].kind))

    def add(self, where: str, *, long_video: bool = False, **clip: Any) -> None:
        """Take a clip in, unless its frames are another's already."""
        first, last, apex, name = clip["onset"], clip["offset"], clip["apex"], clip["clip"]
        coded = self._coded.setdefault(clip["frames"][0].parent, [])
        for onset, offset, row in coded:
            # Two micro-expressions in one long video may overlap; the same one twice is a slip there too.
            if (first == onset) if long_video else (first <= offset and onset <= last):
                text = f"clip {clip['subject']}/{name}, frames {first} to {last}, is coded already"
                self.leave_out(where, [_Fault("duplicate", f"{text} (frames {onset} to {offset}, {row})")])
                return
        coded.append((first, last, where))
        if apex is not None and not first <= apex <= last:
            outside = f"the apex, {apex}, lies outside the clip, {first} to {last}"
            self.notes.append(f"{where}: {outside}: left empty")
            clip["apex"] = None
        while (clip["subject"], clip["clip"]) in self._names:
            clip["clip"] += f"_{first}"
        if clip["clip"] != name:
            second = f"a second clip {name} of subject {clip['subject']}"
            self.notes.append(f"{where}: {second}: named {clip['clip']}")
        self._names.add((clip["subject"], clip["clip"]))
        self.clips.append(clip)

    def frames(self, folder: Path) -> dict[int, list[Path]]:
        """Images of a folder by the number at the end of their names; a folder is listed once."""
        if folder not in self._listed:
            frames: dict[int, list[Path]] = {}
            for path in image_paths(folder):
                digits = re.search(r"([0-9]+)$", path.stem)
                if digits and not path.name.startswith("."):  # ._img1.jpg is what macOS leaves in archives
                    frames.setdefault(int(digits[1]), []).append(path)
            self._listed[folder] = frames
        if not self._listed[folder]:
            name = folder.relative_to(self.root) if folder.is_relative_to(self.root) else folder
            raise _Fault("files", f"folder {name} holds no image with a number at the end of its name")
        return self._listed[folder]

    def select(
        self, frames: Mapping[int, list[Path]], onset: int, offset: int, name: str, where: str
    ) -> list[Path]:
        """Frames from onset to offset, in order; none of no frames, which is a problem by itself."""
        if offset <= onset:
            length = _count(max(0, offset - onset + 1), "frame")
            limits = f"(onset {onset}, offset {offset})"
            raise _Fault("order", f"{name} has {length} {limits}; rank pooling needs at least 2")
        if not frames:
            return []
        inside = sorted(number for number in frames if onset <= number <= offset)
        for number in inside:
            if len(frames[number]) > 1:
                files = " and ".join(path.name for path in frames[number])
                raise _Fault("files", f"{name} has more than one file of number {number}: {files}")
        absent = offset - onset + 1 - len(inside)
        if absent:
            first = next(number for number in range(onset, offset + 1) if number not in frames)
            text = (
                f"{name} lacks {absent} of its {offset - onset + 1} frames (onset {onset}, offset {offset}),"
                f" the first of them number {first}; its folder holds {min(frames)} to {max(frames)}"
            )
            if not self.allow_gaps or len(inside) < 2:
                raise _Fault("frames", text)
            self.notes.append(f"{where}: {text}: kept, as allow_gaps says")
        return [frames[number][0] for number in inside]

    def table(self) -> pd.DataFrame:
        if self.strict and self.problems:
            raise ValueError("\n".join([f"{_count(len(self.problems), 'problem')}:", *self.problems]))
        if not self.clips:
            first = f"; the first: {self.problems[0]}" if self.problems else ""
            raise ValueError(f"no clip of {self.sheet or self.root} could be read{first}")
        table = import_pandas().DataFrame(self.clips, columns=_COLUMNS)
        table["apex"] = table["apex"].astype("Int64")
        table.attrs = {
            "problems": self.problems,
            "corrections": self.corrections,
            "notes": self.notes,
            "source": str(self.source),
            "sheet": str(self.sheet or ""),
            "simulated": self.simulated,
            "selection": None,
        }
        return table


def _read_coded(
    layout: _Layout, reading: _Reading, sheet: _PathLike | None, cropped: bool | None
) -> pd.DataFrame:
    reading.sheet, rows = _sheet_rows(layout, reading, sheet)
    folders = _clip_folders(layout, reading, cropped)
    column = {key: names[0] for key, names in layout.columns.items()}
    used = set()
    for index, (number, row) in enumerate(rows):
        if all(_blank(row[key]) for key in layout.columns):
            continue
        if not _blank(row["type"]) and "micro" not in str(row["type"]).lower():
            continue  # CAS(ME)3: one of its spreadsheets lists the macro-expressions as well
        where = f"{reading.sheet.name}, row {number}"
        faults: list[_Fault] = []
        read = partial(_try, faults)
        subject = read(_subject, layout, row["subject"])
        name = read(_text, row, "clip", column["clip"])
        emotion = read(_emotion, row["emotion"], column["emotion"], _EMOTIONS)
        apex = None
        if not _blank(row["apex"]) and str(row["apex"]).strip() != "/":
            apex = read(_number, row["apex"], column["apex"])
        limits: list[_Fault] = []  # what is wrong with onset and offset: a known slip may mend it
        onset, offset = (_try(limits, _number, row[key], column[key]) for key in ("onset", "offset"))
        clip = f"{name}_{onset}" if layout.long_videos else name
        label = frames = None
        if subject is not None and name is not None:
            label = f"{layout.folder.format(subject)}/{name}"
            keys = [
                (subject, word.lower()) for word in (name, f"{clip}") if (subject, word.lower()) in folders
            ]
            used.update(keys[:1])
            if keys:
                frames = read(reading.frames, folders[keys[0]])
            else:
                faults.append(_Fault("folder", f"there is no folder {label}"))

        slip = {} if reading.simulated else layout.slips.get(index, {})
        coded = {"onset": onset, "offset": offset}
        fixed = {**coded, **slip}
        corrections = []
        if frames and fixed != coded and _is_slip(frames, coded, fixed):
            onset, offset, limits = fixed["onset"], fixed["offset"], []
            corrections = [
                f"{where}: {column[key]} of clip {label} is {row[key]}; read as {fixed[key]}"
                for key in coded
                if fixed[key] != coded[key]
            ]
        faults += limits
        paths = None
        if onset is not None and offset is not None:
            of = f"clip {label}" if frames else "the clip"
            paths = read(reading.select, frames or {}, onset, offset, of, where)
        if frames and fixed != coded and not corrections:
            known = ", ".join(f"{column[key]} {value}" for key, value in slip.items())
            known = f"a slip is known of this row ({known}), but it does not fit"
            if faults:
                faults.append(_Fault("other", known))
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
            action_units="" if _blank(row["action_units"]) else str(row["action_units"]).strip(),
            frames=paths,
        )
    unused = [folders[key].relative_to(reading.root) for key in folders if key not in used]
    if unused:
        reading.notes.append(f"{_count(len(unused), 'folder')} that no row codes; the first: {unused[0]}")
    return reading.table()


def _try(faults: list[_Fault], function: Callable, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except _Fault as fault:
        faults.append(fault)
        return None


def _is_slip(frames: Mapping[int, Any], coded: Mapping[str, Any], fixed: Mapping[str, Any]) -> bool:
    """Whether a known slip is this row's: a sorted or shortened spreadsheet has another clip there.

    As corrected, the clip is on disk, and is all that the folder holds, or most of it where the row as
    coded is not on disk.
    """
    kept = _on_disk(frames, **fixed)
    return kept == len(frames) or (2 * kept > len(frames) and not _on_disk(frames, **coded))


def _on_disk(frames: Mapping[int, Any], onset: int | None, offset: int | None) -> int:
    """Frames from onset to offset if all of them are there, else 0."""
    if onset is None or offset is None or offset <= onset:
        return 0
    inside = sum(onset <= number <= offset for number in frames)
    return inside if inside == offset - onset + 1 else 0


def _clip_folders(layout: _Layout, reading: _Reading, cropped: bool | None) -> dict[tuple[int, str], Path]:
    """Folders of frames by subject and by name in lower case: Windows, where many unpack, sees no case."""
    trees = _subject_trees(reading.root, layout.folder, 2)
    if trees:
        subjects = trees[_one_tree(trees, reading, cropped)]
        return {
            (subject, clip.name.lower()): (_child(clip, "color") or clip) if layout.long_videos else clip
            for subject, folder in subjects.items()
            for clip in _folders(folder)
        }
    if layout.long_videos:  # cut out of the videos: spNO.1_a_355
        cut = _find(reading.root, _pattern(layout.folder) + r"_(.+_\d+)", 2)
        if cut:
            return {(int(found[1]), found[2].lower()): folder for found, folder in cut}
    raise FileNotFoundError(
        f"{reading.root} has no folders {layout.folder.format(1)}, {layout.folder.format(2)}, ... in it or "
        "at most two folders below"
    )


def _smic_subjects(reading: _Reading, camera: str, cropped: bool | None) -> dict[int, Path]:
    everything = _subject_trees(reading.root, "s{}", 3)
    trees = {}
    for parent, subjects in everything.items():
        # Subjects without it blinked only, or are in non_micro: nothing to read.
        micro = {number: folder for number, folder in subjects.items() if _child(folder, "micro")}
        if micro:
            trees[parent] = micro
    cameras = {parent: _camera(parent, reading.root) for parent in trees}
    if list(cameras.values()) == [None]:
        cameras = dict.fromkeys(cameras, camera)  # nothing says which camera: the caller does
    of_camera = {parent: trees[parent] for parent in trees if cameras[parent] == camera}
    if of_camera:
        return of_camera[_one_tree(of_camera, reading, cropped)]
    hint = "; there is " + ", ".join(sorted({found for found in cameras.values() if found})) if trees else ""
    if everything and not trees:
        hint = f"; {next(iter(everything))} has subjects, but no folder micro/ in them (SMIC-E's long videos "
        hint += "are not read)"
    raise FileNotFoundError(
        f"{reading.root} has no folders s1/micro, s2/micro, ... of camera {camera} in it or at most three "
        f"folders below{hint}"
    )


def _camera(folder: Path, root: Path) -> str | None:
    for part in reversed((*root.resolve().parts[-2:], *folder.relative_to(root).parts)):
        for word in re.split(r"[^A-Z]+", part.upper()):
            if word in ("HS", "VIS", "NIR"):
                return word
    return None


def _one_tree(trees: Mapping[Path, Any], reading: _Reading, cropped: bool | None) -> Path:
    """Choose the tree of frames to read where the raw and the cropped ones may both be there."""
    kinds = {parent: _is_cropped(parent, reading.root) for parent in trees}
    if cropped is None:
        cropped = any(kinds.values())
        if cropped and not all(kinds.values()):
            reading.notes.append(
                f"{reading.root} holds raw and cropped frames: the cropped ones are read (cropped=False "
                "reads the others)"
            )
    chosen = [parent for parent, kind in kinds.items() if kind == cropped]
    if not chosen:
        names = ["raw", "cropped"]
        raise FileNotFoundError(
            f"{reading.root} holds no {names[cropped]} frames; {', '.join(map(str, trees))} holds "
            f"{names[not cropped]} ones"
        )
    if len(chosen) > 1:
        raise ValueError(
            f"{reading.root} holds {len(chosen)} folders of subjects, and it must hold one: "
            f"{', '.join(map(str, chosen))}"
        )
    return chosen[0]


def _is_cropped(parent: Path, root: Path) -> bool:
    if any("crop" in part.lower() for part in (root.resolve().name, *parent.relative_to(root).parts)):
        return True
    for _, _, names in os.walk(parent):
        images = [name for name in names if re.search(r"^[^.].*\d\.\w+$", name)]
        if images:  # of the first folder that has some
            return any(name.lower().startswith("reg_") for name in images)
    return False


def _subject_trees(root: Path, folder: str, depth: int) -> dict[Path, dict[int, Path]]:
    """Folders at most `depth` down that hold folders of subjects, and those by number."""
    trees: dict[Path, dict[int, Path]] = {}
    for found, path in _find(root, _pattern(folder), depth):
        other = trees.setdefault(path.parent, {}).setdefault(int(found[1]), path)
        if other != path:
            raise ValueError(f"{other} and {path.name} are folders of the same subject")
    return trees


def _pattern(folder: str) -> str:
    """Match a subject's folder with any number of zeros, and spNO1 for spNO.1."""
    return re.escape(folder.partition("{")[0]).replace(r"\.", r"\.?") + r"0*(\d{1,3})"


def _find(root: Path, pattern: str, depth: int) -> list[tuple[re.Match, Path]]:
    """Folders of that name in folders at most `depth` down; those found are not searched."""
    found, level = [], [root]
    for _ in range(depth + 1):
        below = []
        for folder in (folder for parent in level for folder in _folders(parent)):
            match = re.fullmatch(pattern, folder.name, re.IGNORECASE)
            if match:
                found.append((match, folder))
            elif "depth" not in folder.name.lower():  # beside the frames of CAS(ME)3
                below.append(folder)
        level = below
    return found


def _folders(parent: Path | None) -> list[Path]:
    if parent is None:
        return []
    with os.scandir(parent) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith((".", "__")) and entry.is_dir()]
    return [parent / name for name in sorted(names)]


def _child(parent: Path, name: str) -> Path | None:
    return next((path for path in _folders(parent) if path.name.lower() == name), None)


def _sheet_rows(
    layout: _Layout, reading: _Reading, given: _PathLike | None
) -> tuple[Path, list[tuple[int, dict[str, Any]]]]:
    """Find the data set's spreadsheet, and its rows, numbered as a spreadsheet program does."""
    if given is not None and not Path(given).is_file():
        raise FileNotFoundError(f"{given}: no such spreadsheet")
    fits: list[tuple[Path, str, int, Any]] = []
    wrong: list[str] = []
    for paths in [[Path(given)]] if given is not None else _sheets(reading.root):
        for path in paths:
            try:
                pages = import_pandas().read_excel(
                    path, sheet_name=None, header=None, dtype=object, keep_default_na=False, na_values=[""]
                )
            except Exception as error:  # openpyxl, zipfile, xlrd and pandas each raise their own
                wrong.append(f"{path} cannot be read: {error or type(error).__name__}")
                reading.notes.append(wrong[-1])
                continue
            for page, cells in pages.items():
                header, absent = _header(layout, cells)
                if absent:
                    there = ", ".join(str(cell) for cell in cells.iloc[header].dropna()) if len(cells) else ""
                    wrong.append(f"{path} has no column {', '.join(absent)}; it has {there or 'nothing'}")
                else:
                    fits.append((path, page, header, cells))
        if fits:
            break
    if not fits and not wrong:
        raise FileNotFoundError(
            f"{reading.root} holds 0 spreadsheets (*.xlsx, *.xls) in it or at most two folders below; it "
            "must hold one"
        )
    if not fits:
        raise ValueError("\n".join(wrong))
    path, page, header, cells = fits[0]
    names = sorted({path.name for path, *_ in fits})
    if len({path for path, *_ in fits}) > 1:
        raise ValueError(
            f"{reading.root} holds {len(fits)} spreadsheets of {layout.dataset} ({', '.join(names)}); say "
            "which one with sheet="
        )
    if len(fits) > 1:
        reading.notes.append(f"{path.name}: {len(fits)} sheets have the columns; {page!r} is read")
    columns = {
        key: _position(cells.iloc[header], options)
        for key, options in {**layout.columns, **_OPTIONAL_COLUMNS}.items()
    }
    return path, [
        (row + 1, {key: None if at is None else cells.iat[row, at] for key, at in columns.items()})
        for row in range(header + 1, len(cells))
    ]


def _sheets(root: Path) -> Iterator[list[Path]]:
    """Spreadsheets at `root`, then one folder down, then two."""
    level = [root]
    for _ in range(3):
        yield sorted(
            path
            for folder in level
            for path in folder.iterdir()
            if path.suffix.lower() in (".xlsx", ".xls")
            and not path.name.startswith(("~", "."))  # what a spreadsheet program leaves while it is open
        )
        level = [below for folder in level for below in _folders(folder)]


def _header(layout: _Layout, cells: pd.DataFrame) -> tuple[int, list[str]]:
    """Find the row among the first 40 that has most of the columns, and the columns that it lacks."""
    rows = [
        [names[0] for names in layout.columns.values() if _position(cells.iloc[row], names) is None]
        for row in range(min(40, len(cells)))
    ]
    best = min(range(len(rows)), key=lambda row: len(rows[row]), default=0)
    return best, rows[best] if rows else [names[0] for names in layout.columns.values()]


def _position(header: Sequence[Any], names: Sequence[str]) -> int | None:
    """Find a column by any of its names, without regard to case, spaces and the like."""
    plain = [re.sub(r"[^a-z0-9]", "", str(cell).lower()) for cell in [*header, *names]]
    header, names = plain[: len(header)], plain[len(header) :]
    return next((header.index(name) for name in names if name in header), None)


def _csv_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        cells = import_pandas().read_csv(
            io.StringIO(text), sep=separator, dtype=str, index_col=False, skip_blank_lines=False
        )
    except ValueError as error:  # not UTF-8, nothing in it, or more cells than columns
        raise ValueError(f"{path} is not a CSV file in UTF-8: {error}") from error
    cells = cells.fillna("").apply(lambda column: column.str.strip())
    cells.columns = cells.columns.str.strip().str.lower().str.replace(" ", "_")
    absent = [name for name in ("folder", "subject", "emotion") if name not in cells]
    if absent:
        raise ValueError(f"{path} has no column {', '.join(absent)}; it has {', '.join(cells)}")
    return [
        (number, row) for number, row in enumerate(cells.to_dict("records"), start=2) if any(row.values())
    ]


def _subject(layout: _Layout, cell: Any) -> int:
    """Read a subject's number, written as one or as its folder is."""
    found = isinstance(cell, str) and re.fullmatch(_pattern(layout.folder), cell.strip(), re.IGNORECASE)
    return int(found[1]) if found else _number(cell, "Subject")


def _number(cell: Any, column: str) -> int:
    if isinstance(cell, str) and re.fullmatch(r"[0-9]+(\.0*)?", cell.strip()):
        return int(cell.strip().partition(".")[0])
    if hasattr(cell, "__index__") and not isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    raise _Fault("number", f"{column} is {_shown(cell)}; it must be a whole number")


def _text(row: Mapping[str, Any], key: str, column: str | None = None) -> str:
    if _blank(row[key]):
        raise _Fault("folder", f"{column or key} is empty")
    return str(row[key]).strip()


def _emotion(cell: Any, column: str, known: Sequence[str] = ()) -> str:
    if not isinstance(cell, str) or not cell.strip():
        raise _Fault("emotion", f"{column} is {_shown(cell)}; it must be a word")
    word = " ".join(cell.lower().split())
    word = _SPELLINGS.get(word, word)
    if known and word not in known:
        raise _Fault("emotion", f"{column} is {_shown(cell)}; it must be one of {', '.join(known)}")
    return word


def _blank(cell: Any) -> bool:
    return cell is None or cell != cell or str(cell).strip() == ""


def _shown(cell: Any) -> str:
    return "empty" if _blank(cell) else repr(cell) if isinstance(cell, str) else str(cell)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
