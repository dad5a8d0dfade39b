"""Spreadsheets and manifests: which file it is, its rows, and what their cells say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._folders import subfolders
from ._layouts import OPTIONAL_COLUMNS, Layout, folder_pattern
from ._reading import Fault, Reading, StrPath

if TYPE_CHECKING:
    import pandas as pd

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


def sheet_rows(
    layout: Layout, reading: Reading, given: StrPath | None
) -> tuple[Path, list[tuple[int, dict[str, Any]]]]:
    """Find the data set's spreadsheet, and its rows, numbered as a spreadsheet program does."""
    import pandas as pd

    if given is not None and not Path(given).is_file():
        raise FileNotFoundError(f"{given}: no such spreadsheet")
    fits: list[tuple[Path, str, int, Any]] = []
    wrong: list[str] = []
    for paths in [[Path(given)]] if given is not None else _spreadsheets(reading.root):
        for path in paths:
            try:
                pages = pd.read_excel(
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
        for key, options in {**layout.columns, **OPTIONAL_COLUMNS}.items()
    }
    return path, [
        (row + 1, {key: None if at is None else cells.iat[row, at] for key, at in columns.items()})
        for row in range(header + 1, len(cells))
    ]


def read_subject(layout: Layout, cell: Any) -> int:
    """Read a subject's number, written as one or as its folder is."""
    found = isinstance(cell, str) and re.fullmatch(folder_pattern(layout.folder), cell.strip(), re.IGNORECASE)
    return int(found[1]) if found else read_number(cell, "Subject")


def read_number(cell: Any, column: str) -> int:
    """Read a whole number, also written as text or with zeros after the point."""
    if isinstance(cell, str) and re.fullmatch(r"[0-9]+(\.0*)?", cell.strip()):
        return int(cell.strip().partition(".")[0])
    if hasattr(cell, "__index__") and not isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    raise Fault("number", f"{column} is {_shown(cell)}; it must be a whole number")


def read_text(row: Mapping[str, Any], key: str, column: str | None = None) -> str:
    """Read a cell that must not be empty."""
    if is_blank(row[key]):
        raise Fault("folder", f"{column or key} is empty")
    return str(row[key]).strip()


def read_emotion(cell: Any, column: str, known: Sequence[str] = ()) -> str:
    """Read an emotion as it is spelled here, one of those known if any are."""
    if not isinstance(cell, str) or not cell.strip():
        raise Fault("emotion", f"{column} is {_shown(cell)}; it must be a word")
    word = " ".join(cell.lower().split())
    word = _SPELLINGS.get(word, word)
    if known and word not in known:
        raise Fault("emotion", f"{column} is {_shown(cell)}; it must be one of {', '.join(known)}")
    return word


def is_blank(cell: Any) -> bool:
    """Whether nothing is in a cell."""
    return cell is None or cell != cell or str(cell).strip() == ""


def _spreadsheets(root: Path) -> Iterator[list[Path]]:
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
        level = [below for folder in level for below in subfolders(folder)]


def _header(layout: Layout, cells: pd.DataFrame) -> tuple[int, list[str]]:
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


def _shown(cell: Any) -> str:
    return "empty" if is_blank(cell) else repr(cell) if isinstance(cell, str) else str(cell)
