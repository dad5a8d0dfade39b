"""Spreadsheets and manifests: which file it is, its rows, and what their cells say."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .._wording import option
from ._layouts import OPTIONAL_COLUMNS, Layout, folder_pattern
from ._reading import Fault, Reading, StrPath
from ._workbooks import Formula, Page, Row, is_blank, read_pages

_SUFFIXES = (".xlsx", ".xlsm", ".xls", ".csv")
_SUBJECT = r"(?:s|sub|subj|subject|sp|p|participant)[\s._-]*0*([0-9]{1,3})"
_AROUND = (
    string.whitespace + "\xa0\u2007\u202f\u3000\u200b\ufeff"
)  # spaces that do not break, and none at all

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
    if given is not None and not Path(given).is_file():
        raise FileNotFoundError(f"{given}: no such spreadsheet")
    fits: list[tuple[Path, Page, int]] = []
    wrong: list[str] = []
    for paths in [[Path(given)]] if given is not None else spreadsheets(reading):
        for path in paths:
            notes: list[str] = []
            try:
                pages = read_pages(path, notes)
            except ValueError as error:
                wrong.append(str(error))
                if path.suffix.lower() != ".csv":  # those are of anything
                    reading.notes.append(wrong[-1])
                continue
            for page in pages:
                header, absent = _header(layout, page.head)
                if absent:
                    cells = page.head[header] if page.head else []
                    there = ", ".join(str(cell) for cell in cells if cell is not None)
                    wrong.append(f"{path} has no column {', '.join(absent)}; it has {there or 'nothing'}")
                else:
                    fits.append((path, page, header))
            if any(fit[0] == path for fit in fits):
                reading.notes += notes
        if fits:
            break
    if not fits and not wrong:
        raise FileNotFoundError(
            f"{reading.root} holds 0 spreadsheets ({', '.join(f'*{suffix}' for suffix in _SUFFIXES)}) in it "
            "or at most two folders below; it must hold one"
        )
    if not fits:
        more = [f"and {len(wrong) - 20} more"] * (len(wrong) > 20)
        raise ValueError("\n".join([*wrong[:20], *more]))
    path, page, header = fits[0]
    names = sorted({path.name for path, *_ in fits})
    if len({path for path, *_ in fits}) > 1:
        raise ValueError(
            f"{reading.root} holds {len(fits)} spreadsheets of {layout.dataset} ({', '.join(names)}); say "
            f"which one with {option('sheet', ...)}"
        )
    if len(fits) > 1:
        reading.notes.append(f"{path.name}: {len(fits)} sheets have the columns; {page.name!r} is read")
    rows = page.rows()
    columns = {
        key: _position(rows[header], options)
        for key, options in {**OPTIONAL_COLUMNS, **layout.columns}.items()
    }
    return path, [
        (
            number,
            {key: None if at is None or at >= len(row) else row[at] for key, at in columns.items()},
        )
        for number, row in enumerate(rows[header + 1 :], start=header + 2)
    ]


def read_subject(layout: Layout, cell: Any) -> int:
    """Read a subject's number, written as one, as its folder is, or as S01, Sub_02 and the like."""
    if isinstance(cell, str):
        text = _tidy(cell)
        for pattern in (folder_pattern(layout.folder), _SUBJECT):
            if found := re.fullmatch(pattern, text, re.IGNORECASE):
                return int(found[1])
    return read_number(cell, "Subject")


def read_number(cell: Any, column: str) -> int:
    """Read a whole number of at most 15 digits, also written as text or with zeros after the point."""
    number: int | None = None
    if isinstance(cell, str) and re.fullmatch(r"0*[0-9]{1,15}(\.0*)?", _tidy(cell)):
        number = int(_tidy(cell).partition(".")[0].lstrip("0") or 0)
    _check_stored(cell, column)
    if (hasattr(cell, "__index__") and not isinstance(cell, bool)) or (
        isinstance(cell, float) and cell.is_integer()
    ):
        number = int(cell)
    # Longer ones are none of a frame, overflow the table's columns, and Python refuses to read the longest.
    if number is None or abs(number) >= 10**15:
        raise Fault("number", f"{column} is {_shown(cell)}; it must be a whole number")
    return number


def read_text(row: Mapping[str, Any], key: str, column: str | None = None) -> str:
    """Read a cell that must not be empty."""
    if is_blank(row[key]):
        raise Fault("folder", f"{column or key} is empty")
    _check_stored(row[key], column or key)
    return str(row[key]).strip(_AROUND)


def read_emotion(cell: Any, column: str, known: Sequence[str] = ()) -> str:
    """Read an emotion as it is spelled here, one of those known if any are."""
    _check_stored(cell, column)
    if not isinstance(cell, str) or not cell.strip():
        raise Fault("emotion", f"{column} is {_shown(cell)}; it must be a word")
    word = " ".join(_tidy(cell).lower().split())
    word = _SPELLINGS.get(word, word)
    if known and word not in known:
        raise Fault("emotion", f"{column} is {_shown(cell)}; it must be one of {', '.join(known)}")
    return word


def spreadsheets(reading: Reading) -> Iterator[list[Path]]:
    """Spreadsheets at `root`, then one folder down, then two; after all those, CSV files likewise."""
    levels = [[reading.root]]
    for _ in range(2):
        levels.append([below for folder in levels[-1] for below in reading.subfolders(folder)])
    for suffixes in (_SUFFIXES[:-1], _SUFFIXES[-1:]):
        for level in levels:
            yield sorted(
                Path(entry.path)
                for folder in level
                for entry in reading.entries(folder)
                if Path(entry.name).suffix.lower() in suffixes
                and not entry.name.startswith(
                    ("~", ".")
                )  # what a spreadsheet program leaves while it is open
            )


def _header(layout: Layout, head: Sequence[Row]) -> tuple[int, list[str]]:
    """Find the row that has most of the columns, and the columns that it lacks."""
    rows = [[names[0] for names in layout.columns.values() if _position(row, names) is None] for row in head]
    best = min(range(len(rows)), key=lambda row: len(rows[row]), default=0)
    return best, rows[best] if rows else [names[0] for names in layout.columns.values()]


def _position(header: Sequence[Any], names: Sequence[str]) -> int | None:
    """Find a column by any of its names, without regard to case, spaces and the like."""
    plain = [re.sub(r"[^a-z0-9]", "", str(cell).lower()) for cell in [*header, *names]]
    header, names = plain[: len(header)], plain[len(header) :]
    return next((header.index(name) for name in names if name in header), None)


def _tidy(cell: str) -> str:
    """Return a text without what is not seen around it, and with plain spaces and figures."""
    return unicodedata.normalize("NFKC", cell).strip(_AROUND)


def _check_stored(cell: Any, column: str) -> None:
    if isinstance(cell, Formula):
        raise Fault("formula", f"{column} is a formula, {cell}, whose result is not in the file")


def _shown(cell: Any) -> str:
    if is_blank(cell):
        return "empty"
    text = repr(cell) if isinstance(cell, str) else str(cell)
    return text if len(text) <= 200 else f"{text[:200]}..."
