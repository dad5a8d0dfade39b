"""Data sets as they come: a spreadsheet of codings and folders of frames, read into one table."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .clips import image_paths

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_casme2"]

_CASME2_COLUMNS = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion")


def read_casme2(root: str | os.PathLike[str], *, strict: bool = False) -> pd.DataFrame:
    """Read the clips of CASME II, or of a data set that `microexpr.simulate` wrote in its layout.

    Parameters
    ----------
    root : path
        Folder with the spreadsheet (``*.xlsx``) and, in it or one folder below, ``subNN/Filename/``
        with frames ``img*.jpg`` or ``reg_img*.jpg``.
    strict : bool
        Raise on the first row that cannot be read instead of leaving it out.

    Returns
    -------
    pandas.DataFrame
        One row per clip: dataset, subject (str), clip, emotion, onset, apex (NA where it is not coded),
        offset, action_units, frames (list of paths from onset to offset, in order). What could not be
        read is left out and listed in ``table.attrs["problems"]``, one line each.

    Raises
    ------
    FileNotFoundError
        If there is no spreadsheet or no folder of a subject.
    ValueError
        If the spreadsheet lacks a column, no row can be read, or `strict` and one cannot.
    """
    pd = import_pandas()
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    sheets = sorted(path for path in root.glob("*.xlsx") if not path.name.startswith("~"))
    if len(sheets) != 1:
        raise FileNotFoundError(f"{root} holds {len(sheets)} spreadsheets (*.xlsx); it must hold one")
    coding = pd.read_excel(sheets[0], dtype=object)
    missing = [column for column in _CASME2_COLUMNS if column not in coding]
    if missing:
        raise ValueError(f"{sheets[0]} has no column {', '.join(missing)}; it has {', '.join(coding)}")
    subjects = {path.name: path for pattern in ("sub*", "*/sub*") for path in sorted(root.glob(pattern))}
    if not subjects:
        raise FileNotFoundError(f"{root} has no folders sub01, sub02, ... in it or one folder below")

    rows, problems = [], []
    for number, row in enumerate(coding.to_dict("records"), start=2):  # as a spreadsheet program counts
        try:
            rows.append(_casme2_clip(row, subjects))
        except (ValueError, FileNotFoundError) as error:
            problems.append(f"{sheets[0].name}, row {number}: {error}")
            if strict:
                raise ValueError(problems[-1]) from error
    if not rows:
        raise ValueError(
            f"no row of {sheets[0]} could be read; the first: {(problems or ['it is empty'])[0]}"
        )
    table = pd.DataFrame(rows)
    table["apex"] = table["apex"].astype("Int64")
    table.attrs["problems"] = problems
    return table


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


def _casme2_clip(row: dict, subjects: dict[str, Path]) -> dict:
    subject = f"{_number(row, 'Subject'):02d}"
    clip = str(row["Filename"]).strip()
    emotion = row["Estimated Emotion"]
    onset, offset = _number(row, "OnsetFrame"), _number(row, "OffsetFrame")
    apex = None if str(row["ApexFrame"]).strip() in ("/", "", "nan") else _number(row, "ApexFrame")
    if not isinstance(emotion, str) or not emotion.strip():
        raise ValueError(f"Estimated Emotion is {emotion!r}; it must be a word")
    if offset <= onset:
        raise ValueError(
            f"clip sub{subject}/{clip} has {max(0, offset - onset + 1)} frames (onset {onset}, offset "
            f"{offset}); rank pooling needs at least 2"
        )
    if f"sub{subject}" not in subjects:
        raise FileNotFoundError(f"there is no folder sub{subject}")
    frames = {_frame_number(path): path for path in image_paths(subjects[f"sub{subject}"] / clip)}
    absent = [number for number in range(onset, offset + 1) if number not in frames]
    if absent:
        raise FileNotFoundError(
            f"clip sub{subject}/{clip} lacks {len(absent)} of its {offset - onset + 1} frames "
            f"(onset {onset}, offset {offset}), the first of them number {absent[0]}"
        )
    return {
        "dataset": "CASME II",
        "subject": subject,
        "clip": clip,
        "emotion": emotion.strip().lower(),
        "onset": onset,
        "apex": apex,
        "offset": offset,
        "action_units": str(row.get("Action Units", "")),
        "frames": [frames[number] for number in range(onset, offset + 1)],
    }


def _number(row: dict, column: str) -> int:
    try:
        number = float(row[column])
    except (TypeError, ValueError):
        number = np.nan
    if not number.is_integer():
        raise ValueError(f"{column} is {row[column]!r}; it must be a whole number")
    return int(number)


def _frame_number(path: Path) -> int | None:
    digits = re.search(r"(\d+)$", path.stem)
    return int(digits[1]) if digits else None
