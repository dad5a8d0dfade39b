"""What a reader has read so far, what does not match, and the report of both."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._extras import require
from .._wording import option
from ._images import is_folder
from ._video_parts import VideoFrames
from .classes import PUBLISHED
from .clips import image_paths

if TYPE_CHECKING:
    import pandas as pd

StrPath = str | os.PathLike[str]

_COLUMNS = ["dataset", "subject", "clip", "emotion", "onset", "apex", "offset", "action_units", "frames"]

# What each kind of problem is called in a report, and what to do about it; {} is an option.
_KINDS = {
    "number": ("Cells that should hold a whole number", "correct them in the file named"),
    "order": ("Clips too short", "correct onset or offset in the file named"),
    "formula": (
        "Formulas without a result",
        "open the file in a spreadsheet program, save it, read it again",
    ),
    "emotion": ("Emotions that are not known", "correct them, or select the others"),
    "folder": ("Folders that are not there", "unpack them, or correct the name in the file"),
    "frames": ("Frames that are not there", "unpack them again, or read with {}"),
    "files": ("Folders whose images cannot be told apart", "remove the files that do not belong"),
    "duplicate": ("Clips coded twice", "delete the row that is wrong"),
    "clip": ("Clips that could not be described", "mend the files and extract again"),
    "other": ("Other problems", "see each line"),
}


@dataclass(frozen=True)
class Problem:
    """Why a clip was left out, by a reader (in ``table.attrs["problems"]``) or by `microexpr.extract`.

    ``str(problem)`` is the line that a report has of it.

    Attributes
    ----------
    kind : str
        By which `report` groups: "number", "order", "formula", "emotion", "folder", "frames", "files",
        "duplicate" or "other" of a reader, "clip" of `microexpr.extract`.
    where : str
        The file and its row, the folder (SMIC), or the clip; "" if nothing says where.
    what : str
        What is wrong there.

    Examples
    --------
    >>> from microexpr.data import Problem
    >>> problem = Problem("number", "codes.xlsx, row 7", "Onset is '/'; it must be a whole number")
    >>> print(problem)
    codes.xlsx, row 7: Onset is '/'; it must be a whole number
    """

    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


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
        people = counted(rows["subject"].nunique(), "subject")
        lines.append(f"{dataset}{simulated}: {counted(len(rows), 'clip')} of {people}")
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
        lines += ["", f"Left out: {counted(len(problems), 'clip')}"]
    for kind, (heading, advice) in _KINDS.items():
        group = [problem for problem in problems if _kind(problem) == kind]
        if group:
            advice = advice.format(option("allow_gaps", True))
            lines += [f"  {heading} ({len(group)}); {advice}:", *(f"    {problem}" for problem in group)]
    return "\n".join(lines)


def _kind(problem: Problem | str) -> str:
    """Find the heading that a problem falls under; a plain line, which has no kind, may be in attrs too."""
    kind = getattr(problem, "kind", "other")
    return kind if kind in _KINDS else "other"


class Fault(Exception):
    """Why a clip cannot be read."""

    def __init__(self, kind: str, what: str):
        super().__init__(what)
        self.kind = kind


class Reading:
    """Clips read so far, and what there is to say about them.

    `name` is the data set's in `DATASETS`. `source` is what that reads: `root`, or a manifest. `options` are
    the reader's by which the same is read again, all but `strict`.
    """

    def __init__(self, name: str, root: StrPath, strict: bool, allow_gaps: bool, **options: Any):
        require("reading data sets", "datasets")
        self.name, self.source, self.root = name, root, Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(f"{self.root}: no such folder")
        self.sheet: Path | None = None
        self.strict, self.allow_gaps = strict, allow_gaps
        self.whole_folder = bool(options.get("whole_folder"))
        self.options = {
            key: os.fspath(value) if isinstance(value, os.PathLike) else value
            for key, value in {**options, "allow_gaps": allow_gaps}.items()
            if value is not None and (value is not False or key == "cropped")
        }
        self.clips: list[dict[str, Any]] = []
        self.problems: list[Problem] = []
        self.corrections: list[str] = []
        self.notes: list[str] = []
        self.unlisted: dict[Path, str] = {}
        self._listed: dict[Path, dict[int, list[Path]]] = {}
        self._coded: dict[Path, list[tuple[int, int, str, int]]] = {}
        self._long_videos: set[Path] = set()
        self._without_apex: list[str] = []
        self._names: set[tuple[str, str]] = set()

    @property
    def simulated(self) -> bool:
        """Whether `microexpr.simulate` wrote the data set: its spreadsheet says so in its name."""
        return self.sheet is not None and self.sheet.stem.endswith("-simulated")

    def subfolders(self, parent: Path) -> list[Path]:
        """Folders in a folder, in order, without hidden ones and those that an archive of macOS brings."""
        entries = [entry for entry in self.entries(parent) if not entry.name.startswith((".", "__"))]
        return [parent / name for name in sorted(entry.name for entry in entries if is_folder(entry))]

    def entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """List a folder; one that cannot be, but for the root, is as an empty one, which `table` says."""
        try:
            with os.scandir(folder) as entries:
                return list(entries)
        except OSError as error:
            if folder == self.root:
                raise
            self.unlisted[folder] = str(error.strerror or error)
            return []

    @property
    def not_looked_into(self) -> str:
        """Say what else may be the reason where something is not found."""
        if not self.unlisted:
            return ""
        folder, reason = next(iter(self.unlisted.items()))
        return f"; {counted(len(self.unlisted), 'folder')} cannot be listed, the first: {folder}: {reason}"

    def leave_out(self, where: str, faults: Sequence[Fault]) -> None:
        """Note why a clip is left out."""
        self.problems.append(Problem(faults[0].kind, where, "; ".join(map(str, faults))))

    def add(self, where: str, *, long_video: bool = False, **clip: Any) -> None:
        """Take a clip in, unless its frames are another's already."""
        first, last, apex, name = clip["onset"], clip["offset"], clip["apex"], clip["clip"]
        frames = clip["frames"]
        folder = frames.path if isinstance(frames, VideoFrames) else frames[0].parent
        coded = self._coded.setdefault(folder, [])
        if long_video:
            self._long_videos.add(folder)
        for onset, offset, row, _ in coded:
            # Two micro-expressions in one long video may overlap; the same one twice is a slip there too.
            if (first == onset) if long_video else (first <= offset and onset <= last):
                text = f"clip {clip['subject']}/{name}, frames {first} to {last}, is coded already"
                self.leave_out(where, [Fault("duplicate", f"{text} (frames {onset} to {offset}, {row})")])
                return
        coded.append((first, last, where, len(frames)))
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

    def images(self, folder: Path) -> dict[int, list[Path]]:
        """Images of a folder by the number at the end of their names; a folder is listed once."""
        if folder not in self._listed:
            images: dict[int, list[Path]] = {}
            try:
                paths = image_paths(folder)
            except OSError as error:
                raise Fault(
                    "other", f"folder {folder} cannot be listed: {error.strerror or error}"
                ) from error
            for path in paths:
                digits = re.search(r"([0-9]+)$", path.stem)
                if digits and not path.name.startswith("."):  # ._img1.jpg is what macOS leaves in archives
                    images.setdefault(int(digits[1]), []).append(path)
            self._listed[folder] = images
        if not self._listed[folder]:
            name = folder.relative_to(self.root) if folder.is_relative_to(self.root) else folder
            raise Fault("files", f"folder {name} holds no image with a number at the end of its name")
        return self._listed[folder]

    def clip_range(
        self,
        images: Mapping[int, list[Path]],
        onset: int | None,
        apex: int | None,
        offset: int | None,
        where: str,
        whole_folder: bool = False,
    ) -> tuple[int | None, int | None, int | None]:
        """Onset, apex and offset by the numbers on disk: as coded, unless the folder is the clip.

        Then an apex is moved along if the row has as many frames as the folder; else nobody knows its place.
        """
        if not images or not (self.whole_folder or whole_folder):
            return onset, apex, offset
        first, last = min(images), max(images)
        if apex is not None and (onset, offset) != (first, last):
            if onset is not None and offset is not None and offset - onset == last - first:
                apex += first - onset
            else:
                self._without_apex.append(where)
                apex = None
        return first, apex, last

    def select(
        self, images: Mapping[int, list[Path]], onset: int, offset: int, name: str, where: str
    ) -> list[Path]:
        """Frames from onset to offset, in order; none of no frames, which is a problem by itself."""
        if offset <= onset:
            length = counted(max(0, offset - onset + 1), "frame")
            limits = f"(onset {onset}, offset {offset})"
            raise Fault("order", f"{name} has {length} {limits}; rank pooling needs at least 2")
        if not images:
            return []
        inside = sorted(number for number in images if onset <= number <= offset)
        for number in inside:
            if len(images[number]) > 1:
                files = " and ".join(path.name for path in images[number])
                raise Fault("files", f"{name} has more than one file of number {number}: {files}")
        absent = offset - onset + 1 - len(inside)
        if absent:
            first = next(number for number in range(onset, offset + 1) if number not in images)
            text = (
                f"{name} lacks {absent} of its {offset - onset + 1} frames (onset {onset}, offset {offset}),"
                f" the first of them number {first}; its folder holds {min(images)} to {max(images)}"
            )
            if min(images) in (0, 1) and not self.whole_folder:
                text += f" (if its frames were renumbered, {option('whole_folder', True)} takes all of them)"
            if not self.allow_gaps or len(inside) < 2:
                raise Fault("frames", text)
            self.notes.append(f"{where}: {text}: kept, as {option('allow_gaps')} says")
        return [images[number][0] for number in inside]

    def table(self) -> pd.DataFrame:
        """Put the clips into a table, and what there is to say about them into its attrs."""
        import pandas as pd

        if self.strict and self.problems:
            count = counted(len(self.problems), "problem")
            raise ValueError("\n".join([f"{count}:", *map(str, self.problems)]))
        if not self.clips:
            first = f"; the first: {self.problems[0]}" if self.problems else ""
            raise ValueError(f"no clip of {self.sheet or self.root} could be read{first}")
        self.notes += [
            f"{folder} cannot be listed: {why}: passed over" for folder, why in self.unlisted.items()
        ]
        self._note_parts_of_folders()
        table = pd.DataFrame(self.clips, columns=_COLUMNS)
        table["apex"] = table["apex"].astype("Int64")
        table.attrs = {
            "problems": self.problems,
            "corrections": self.corrections,
            "notes": self.notes,
            "sources": [[self.name, str(self.source), *([self.options] if self.options else [])]],
            "sheet": str(self.sheet or ""),
            "simulated": self.simulated,
            "selection": None,
        }
        return table

    def _note_parts_of_folders(self) -> None:
        """Say where a row takes a part of a folder that may have been renumbered, and of moved apexes."""
        parts = []
        for folder, coded in self._coded.items():
            numbers = self._listed.get(folder)
            if not numbers or len(coded) != 1 or folder in self._long_videos or self.simulated:
                continue  # of a folder with several clips none is the whole
            (onset, offset, where, count), first, last = coded[0], min(numbers), max(numbers)
            if first in (0, 1) and count < len(numbers):  # all of them: OpenFace's, which counts from 1
                parts.append(f"{where}, {onset} to {offset} of {first} to {last}")
        if parts:
            self.notes.append(
                f"{counted(len(parts), 'clip')} taken in part of folders whose numbers begin at 0 or 1; if "
                "frames were renumbered and the folder is the clip, read with "
                f"{option('whole_folder', True)}; the first: {parts[0]}"
            )
        if self._without_apex:
            self.notes.append(
                f"{counted(len(self._without_apex), 'apex', 'apexes')} left empty: the folder has not as "
                f"many frames as the row; the first: {self._without_apex[0]}"
            )


def counted(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
