"""Clips of one's own: any folders of frames, and parts of videos, that a file lists."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from .._progress import progress_bar
from .._wording import option
from ._reading import Fault, Reading, StrPath, counted
from ._sheets import read_emotion, read_number, read_text
from ._video_parts import VideoFrames, announced_frames, frame_times
from ._workbooks import Formula, is_blank, read_pages

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_manifest"]

_COLUMNS = ["folder", "video", "subject", "emotion", "clip", "onset", "offset", "apex", "onset_s", "offset_s"]
_COLUMNS += ["apex_s", "fps", "whole_folder", "face", "action_units", "dataset"]
_YES, _NO = ("1", "true", "x", "y", "yes"), ("", "0", "false", "n", "no")


def read_manifest(
    path: StrPath,
    *,
    strict: bool = False,
    allow_gaps: bool = False,
    whole_folder: bool = False,
    follow_outside: bool = False,
    encoding: str | None = None,
) -> pd.DataFrame:
    r"""Read any folders of frames, and any parts of videos, that a file lists.

    Parameters
    ----------
    path : path
        CSV file (comma, semicolon or tab; a first line ``sep=;`` is understood) whose first line names its
        columns, or a workbook (``.xlsx``, ``.xlsm``, ``.xls``), whose first sheet that has them is read:
        ``folder`` (of the clip's frames, relative to the file) or ``video`` (a file; both columns may be
        there), ``subject`` and ``emotion``; and, if they are there, ``clip`` (default: the folder's name; the
        video's, and its onset), ``onset`` and ``offset`` (frame numbers, in a video from 0; default: the
        first and the last), ``onset_s`` and ``offset_s`` (seconds instead, from the first frame), ``fps``
        (frames in a second; default: as the video's time stamps say), ``whole_folder`` (yes: the folder is
        the clip, whatever these say), ``face`` (no: do not crop this video to its face), ``apex`` or
        ``apex_s``, ``action_units`` and ``dataset`` (default: the file's name). Further columns are ignored.
        Any word is an emotion or a subject here, ``NA`` and ``null`` too. Clips of one video may overlap.
    strict, allow_gaps, whole_folder
        As for `read_casme`, as are the result and the errors.
    follow_outside : bool
        Read folders outside of the file's too: those that ``..``, an absolute path or a drive letter leads
        to. By default such a row is a problem, because a manifest may be someone else's. Symbolic links are
        followed in any case: they are part of what is on disk here.
    encoding : str, optional
        Of a CSV file, one of Python's codecs. By default UTF-8 or UTF-16, or GBK or cp1252 where its letters
        can be nothing else, which a note says.

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
        raise FileNotFoundError(f"{path}: no such file; a manifest is a CSV file or a workbook")
    options = {"whole_folder": whole_folder, "follow_outside": follow_outside, "encoding": encoding}
    reading = Reading("manifest", path.parent, strict, allow_gaps, **options)
    reading.source = reading.sheet = path
    rows = _rows(path, reading, encoding)
    for number, row in progress_bar(rows, "read", len(rows), "row", None, leave=False):
        where = f"{path.name}, row {number}"
        try:
            if row[""]:
                raise Fault("other", f"it has cells beside the columns ({row['']}): put quotes around commas")
            subject, emotion = read_text(row, "subject"), read_emotion(row["emotion"], "emotion")
            source, named = _source(row)
            place = _inside(path.parent, named, follow_outside)
            whole = whole_folder or _yes(row, "whole_folder")
            clip_of = _video_clip if source == "video" else _folder_clip
            clip, onset, apex, offset, frames = clip_of(reading, row, place, whole, where)
            dataset, units = (
                default if is_blank(row.get(key)) else read_text(row, key)
                for key, default in (("dataset", path.stem), ("action_units", ""))
            )
        except Fault as fault:
            reading.leave_out(where, [fault])
            continue
        except (ValueError, OverflowError) as error:  # of a number with thousands of figures
            reading.leave_out(where, [Fault("other", str(error))])
            continue
        reading.add(
            where,
            dataset=dataset,
            subject=subject,
            clip=clip,
            emotion=emotion,
            onset=onset,
            apex=apex,
            offset=offset,
            action_units=units,
            frames=frames,
            long_video=source == "video",
        )
    _note_same_people(reading, (str(row["subject"]) for _, row in rows if not is_blank(row["subject"])))
    return reading.table()


def _rows(path: Path, reading: Reading, encoding: str | None) -> list[tuple[int, dict[str, Any]]]:
    """Rows, numbered as a spreadsheet program does; under "" what lies beside the columns."""
    faults = []
    for page in read_pages(path, reading.notes, encoding, header_rows=1):
        header = next((k for k, row in enumerate(page.head) if not all(map(is_blank, row))), 0)
        names = [_name(cell) for cell in page.head[header]] if page.head else []
        absent = [name for name in ("folder", "subject", "emotion") if name not in names]
        if "video" in names and "folder" in absent:
            absent.remove("folder")
        twice = [name for name in _COLUMNS if names.count(name) > 1]
        if absent:
            there = ", ".join(filter(None, names)) or "nothing"
            faults.append(f"{path} has no column {', '.join(absent)}; it has {there}")
        elif twice:
            faults.append(f"{path} has two columns {', '.join(twice)}")
        else:
            break
    else:
        raise ValueError(faults[0] if faults else f"{path} has no sheet")
    return [
        (
            number,
            {
                **dict.fromkeys(names),
                **dict(zip(names, map(_text, row), strict=False)),
                "": ", ".join(str(cell) for cell in row[len(names) :] if not is_blank(cell)),
            },
        )
        for number, row in enumerate(page.rows()[header + 1 :], start=header + 2)
        if not all(map(is_blank, row))
    ]


def _name(cell: Any) -> str:
    return "" if cell is None else str(cell).strip().lower().replace(" ", "_")


def _text(cell: Any) -> Any:
    """Return a number as a CSV file has it; 1 and "1" are the same subject."""
    return cell if cell is None or isinstance(cell, Formula) else str(cell).strip()


def _source(row: dict[str, Any]) -> tuple[str, str]:
    """Return which of folder and video a row names, and its name."""
    named = [key for key in ("folder", "video") if not is_blank(row.get(key))]
    if len(named) == 2:
        raise Fault("other", "it names a folder and a video; a clip is of one")
    source = named[0] if named else "video" if "folder" not in row else "folder"
    return source, read_text(row, source)


_Clip = tuple[str, int, int | None, int, list[Path] | VideoFrames]  # name, onset, apex, offset, frames


def _folder_clip(reading: Reading, row: dict[str, Any], folder: Path, whole: bool, where: str) -> _Clip:
    if not stat.S_ISDIR(_mode(folder, f"folder {row['folder']}")):
        raise Fault("folder", f"there is no folder {row['folder']}")
    images = reading.images(folder)
    at = partial(_number, row, of_second=lambda second: min(images) + round(second * _rate(row)))
    onset, apex, offset = at("onset", whole), at("apex"), at("offset", whole)
    clip = _name_of_clip(row, folder.name)
    onset, apex, offset = reading.clip_range(images, onset, apex, offset, where, whole)
    onset = min(images) if onset is None else onset
    offset = max(images) if offset is None else offset
    return clip, onset, apex, offset, reading.select(images, onset, offset, _titled(row, clip), where)


def _video_clip(reading: Reading, row: dict[str, Any], video: Path, whole: bool, where: str) -> _Clip:
    if not stat.S_ISREG(_mode(video, f"video {row['video']}")):
        raise Fault("files", f"video {row['video']} is not a regular file")

    def of_second(second: float) -> int:
        if not is_blank(row.get("fps")):
            return round(second * _rate(row))
        times = frame_times(video)
        if second > 2 * times[-1] - times[-2:][0]:  # the last one is shown for a while too
            raise Fault("frames", f"{row['video']} ends at {times[-1]:.3f} s, before {second} s")
        return int(abs(times - second).argmin())

    at = partial(_number, row, of_second=of_second)
    try:
        onset, apex, offset = at("onset", whole), at("apex"), at("offset", whole)
        clip = _name_of_clip(row, video.stem if whole or onset is None else f"{video.stem}_{onset}")
        onset = 0 if whole or onset is None else onset
        offset = len(frame_times(video)) - 1 if whole or offset is None else offset
        last = announced_frames(video) - 1
    except (Fault, ModuleNotFoundError):
        raise
    except Exception as error:  # PyAV's are of many kinds; those of Python about hostile headers too
        raise Fault("files", f"{row['video']} is not a readable video: {error}") from error
    named = f"{_titled(row, clip)} of {row['video']}"
    if offset > last:
        raise Fault("frames", f"{named} has offset {offset}, and the video frames 0 to {last}")
    if offset <= onset:
        count = max(0, offset - onset + 1)
        raise Fault("order", f"{named} has {counted(count, 'frame')} (onset {onset}, offset {offset})")
    face = is_blank(row.get("face")) or _yes(row, "face")
    return clip, onset, apex, offset, VideoFrames(video, onset, offset, face)


def _mode(path: Path, named: str) -> int:
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise Fault("folder", f"there is no {named}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Fault("other", f"{named} cannot be looked at: {reason}") from error


def _titled(row: dict[str, Any], clip: str) -> str:
    return f"clip {read_text(row, 'subject')}/{clip}"


def _name_of_clip(row: dict[str, Any], default: str) -> str:
    return default if is_blank(row.get("clip")) else read_text(row, "clip")


def _rate(row: dict[str, Any]) -> float:
    """Read frames per second, which seconds in a folder need."""
    if is_blank(row.get("fps")):
        raise Fault("number", "fps is empty; seconds in a folder need it")
    rate = _decimal(row, "fps")
    if not rate > 0:
        raise Fault("number", f"fps is {row['fps']}; it must be positive")
    return rate


def _decimal(row: dict[str, Any], key: str) -> float:
    text = read_text(row, key)
    if not re.fullmatch(r"[0-9]{1,15}([.,][0-9]*)?", text):
        raise Fault("number", f"{key} is {text!r}; it must be a number")
    return float(text.replace(",", "."))


def _number(
    row: dict[str, Any], key: str, of_no_account: bool = False, *, of_second: Callable[[float], int]
) -> int | None:
    """Read the number of a frame, which may be in the column of that name or as seconds in that with _s."""
    if row.get(key) == "/" and key == "apex":
        return None
    given = [name for name in (key, f"{key}_s") if not is_blank(row.get(name))]
    try:
        if len(given) == 2:
            raise Fault("number", f"{key} and {key}_s are both given")
        if not given:
            return None
        return read_number(row[key], key) if given == [key] else of_second(_decimal(row, given[0]))
    except Fault:
        if of_no_account:
            return None
        raise


def _yes(row: dict[str, Any], key: str) -> bool:
    word = "" if is_blank(row.get(key)) else read_text(row, key).lower()
    if word not in (*_YES, *_NO):
        raise Fault("other", f"{key} is {word!r}; it must be yes or no")
    return word in _YES


def _inside(base: Path, text: str, follow_outside: bool) -> Path:
    """Return the path that a row names, unless it leads out of the manifest's folder.

    By its words: ``..`` takes back the name before it, also where that is a symbolic link.
    """
    top = os.path.abspath(base)
    path = os.path.normpath(os.path.join(top, text.replace("\\", "/")))
    drive = PureWindowsPath(text).drive if not os.path.exists(path) else ""  # elsewhere, "c:" may be a name
    if follow_outside:
        return Path(path)
    if drive or not Path(path).is_relative_to(top):
        raise Fault(
            "folder",
            f"{text} lies outside of the manifest's folder; {option('follow_outside', True)} reads it",
        )
    return base / os.path.relpath(path, top)


def _note_same_people(reading: Reading, subjects: Iterable[str]) -> None:
    """Say which subjects differ in zeros or capitals only."""
    alike: dict[str, dict[str, None]] = {}
    for subject in subjects:
        plain = re.sub(r"0*([0-9]+)", r"\1", subject.casefold())
        alike.setdefault(plain, {})[subject] = None
    for names in alike.values():
        if len(names) > 1:
            reading.notes.append(
                f"subjects {' and '.join(names)} are probably one person, and count as {len(names)}: write "
                "them alike"
            )
