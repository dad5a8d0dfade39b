"""Cells of spreadsheets as people save them: xlsx, xlsm, xls, CSV, and CSV or HTML that is named .xls."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from html import unescape
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

from .._wording import option

Row = list[Any]

HEADER_ROWS = 40  # among these a header is looked for
# A list of clips has some thousand rows. What is larger is refused in about the time that so many take.
_MOST_ROWS = 50_000
_MOST_COLUMNS = 16_384  # a spreadsheet program's
_MOST_CELLS = 1_000_000  # of an HTML file, where one may be in a hundred million places
_MOST_TABLES = 1000  # of an HTML file
_MOST_MEGABYTES = 100
_MOST_MEGABYTES_OF_TEXT = 8
_EMPTY_ROWS = (
    10_000  # after so many the rest of a page is taken to be empty: some are formatted to row 1048576
)

_CONTENT_TYPES = "[Content_Types].xml"  # what each part of an xlsx is

_ERRORS = {"#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"}
# A stored result that is an empty text has t="str". Some programs write a prefix before every name.
_FORMULA_ALONE = re.compile(
    rb"<(?:\w+:)?c\b(?![^>]*\bt=\"str\")[^>]*\br=\"([A-Z]+[0-9]+)\"[^>]*>\s*"
    rb"<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>([^<]*)</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</"
)
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\b[^>]*\bref="([A-Z]+[0-9]+:[A-Z]+[0-9]+)"')


@dataclass(frozen=True)
class Formula:
    """A cell with a formula whose result is not in the file: no spreadsheet program has saved it."""

    text: str

    def __str__(self) -> str:
        return f"={self.text}"


class Page(NamedTuple):
    """A sheet of a workbook, or the only one."""

    name: str
    head: list[Row]  # its first rows
    rows: Callable[[], list[Row]]  # all of them, or a ValueError if they are too many


def read_pages(
    path: Path, notes: list[str], encoding: str | None = None, header_rows: int = HEADER_ROWS
) -> list[Page]:
    """Look into a spreadsheet, whatever its name says it is; `notes` are told what was found out about it.

    Its separator is what the first `header_rows` lines of a CSV file have most of. Cells without anything in
    them are None; in a CSV file every other one is a str, whatever the word: NA and null are words. What
    cannot be read is a ValueError that names the file, here and of `Page.rows`.
    """
    with _named(path):
        pages = _pages(path, notes, encoding, header_rows)
    return [page._replace(rows=partial(_named_rows, path, page)) for page in pages]


def is_blank(cell: Any) -> bool:
    """Whether nothing is in a cell."""
    return cell is None or cell != cell or str(cell).strip() == ""


def _pages(path: Path, notes: list[str], encoding: str | None, header_rows: int) -> list[Page]:
    status = os.stat(path)  # opening what is no regular file may take forever
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_size > _MOST_MEGABYTES << 20:
        raise ValueError(f"it has {status.st_size >> 20} MB, more than a list of clips")
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"PK"):
        return _xlsx_pages(path)
    if start.startswith(b"\xd0\xcf\x11\xe0") or re.match(rb"\x09[\x00\x02\x04\x08][\x04\x06]\x00", start):
        return _xls_pages(path)
    text = _decode(path, notes, encoding)
    if re.match(r"\s*<", text):
        return _html_pages(text)
    return _csv_pages(text, header_rows)


def _named_rows(path: Path, page: Page) -> list[Row]:
    with _named(path):
        return page.rows()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # openpyxl, zipfile and xlrd each raise their own
        raise ValueError(f"{path} cannot be read: {str(error) or type(error).__name__}") from error


# -- xlsx and xlsm -------------------------------------------------------------------------------------------


def _xlsx_pages(path: Path) -> list[Page]:
    with zipfile.ZipFile(path) as archive:
        _check_parts(archive)
    with path.open("rb") as file:  # openpyxl refuses a path by its suffix
        book = _open_xlsx(file)
        return [
            Page(
                sheet.title,
                _plain(islice(_values(sheet), HEADER_ROWS)),
                partial(_xlsx_rows, path, sheet.title),
            )
            for sheet in book.worksheets
        ]


def _check_parts(archive: zipfile.ZipFile) -> None:
    """Raise if a part is larger than those of a list of clips, or may define entities.

    What is compressed may be a thousand times as large as the file: with nothing but spaces in its theme,
    one of 3 MB took 6 GB. A part is what other parts say it is, whatever its name.
    """
    sizes = {part.filename: part.file_size >> 20 for part in archive.infolist()}
    links = [name for name in sizes if name.endswith(".rels")]
    for name, size in sizes.items():
        most = _MOST_MEGABYTES_OF_TEXT if name in (_CONTENT_TYPES, *links) else 4 * _MOST_MEGABYTES
        if size > most:
            raise ValueError(f"its part {name} takes {size} MB")
        with archive.open(name) as file:
            _check_prolog(file, name)
    whole = {"docProps/core.xml", "docProps/custom.xml", "xl/styles.xml", "xl/theme/theme1.xml"}
    for override in ElementTree.fromstring(archive.read(_CONTENT_TYPES)):
        if not override.get("ContentType", "").endswith(".worksheet+xml"):
            whole.add(override.get("PartName", "").lstrip("/"))
    for link in (link for name in links for link in ElementTree.fromstring(archive.read(name))):
        if "chartsheet" in link.get("Type", ""):
            whole.update(name for name in sizes if name.endswith(link.get("Target", "").rpartition("/")[2]))
    for name in whole & sizes.keys():  # parsed before the first row is, 2 MB in a second
        if sizes[name] > _MOST_MEGABYTES_OF_TEXT:
            raise ValueError(f"its texts take {sizes[name]} MB, more than those of a list of clips ({name})")


def _check_prolog(file: IO[bytes], name: str) -> None:
    """Raise if a part has a document type: workbooks have none, and it could define what expands."""
    parser, roots = expat.ParserCreate(), []

    def refuse(*_: Any) -> None:
        raise ValueError(f"its part {name} has a document type, as no workbook's has")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda *_: roots.append(1)
    try:
        while not roots and (data := file.read(1 << 16)):
            parser.Parse(data)
    except expat.ExpatError:
        pass  # a picture; or whoever parses it says what is wrong


def _open_xlsx(file: Any) -> Any:
    import warnings

    import openpyxl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of extensions and styles that it does not know
        return openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)


def _values(sheet: Any) -> Iterator[Iterable[Any]]:
    sheet.reset_dimensions()  # what they say is wrong in files of some programs
    return sheet.iter_rows(values_only=True)


def _xlsx_rows(path: Path, name: str) -> list[Row]:
    import openpyxl.utils.cell as references

    with path.open("rb") as file:
        rows = _plain(_limited(_values(_open_xlsx(file)[name])))
    with zipfile.ZipFile(path) as archive:
        # openpyxl tells of these only where it keeps a whole workbook in memory. In XML a text has no "<".
        xml = archive.read(_member(archive, name))
    for found in _FORMULA_ALONE.finditer(xml):
        row, column = references.coordinate_to_tuple(found[1].decode())
        if row <= len(rows):
            rows[row - 1] += [None] * (column - len(rows[row - 1]))
            rows[row - 1][column - 1] = Formula(unescape((found[2] or b"...").decode("utf-8", "replace")))
    for found in _MERGED.finditer(xml):
        left, top, right, bottom = references.range_boundaries(found[1].decode())
        _fill(rows, top - 1, bottom, left - 1, right)
    return rows


def _member(archive: zipfile.ZipFile, name: str) -> str:
    """Find where in a workbook a sheet lies."""
    book = ElementTree.fromstring(archive.read("xl/workbook.xml"))
    links = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    targets = {link.get("Id"): link.get("Target", "") for link in links}
    (sheet,) = (node for node in book.iter() if node.tag.endswith("}sheet") and node.get("name") == name)
    (key,) = (value for key, value in sheet.items() if key.endswith("}id"))
    target = targets[key]
    return target[1:] if target.startswith("/") else f"xl/{target}"


# -- xls -----------------------------------------------------------------------------------------------------


def _xls_pages(path: Path) -> list[Page]:
    import xlrd

    try:
        book = xlrd.open_workbook(path, logfile=io.StringIO(), formatting_info=True)
    except Exception:  # of formats that it does not understand: without them it says no merged cells
        book = xlrd.open_workbook(path, logfile=io.StringIO())
    with book:
        pages = []
        for sheet in book.sheets():
            rows = _plain(
                (_xls_cell(cell, book.datemode) for cell in sheet.row(row)) for row in range(sheet.nrows)
            )
            for top, bottom, left, right in sheet.merged_cells:
                _fill(rows, top, bottom, left, right)
            pages.append(Page(sheet.name, rows[:HEADER_ROWS], partial(list, _limited(rows))))
        return pages


def _xls_cell(cell: Any, datemode: int) -> Any:
    import xlrd

    if cell.ctype == xlrd.XL_CELL_DATE:
        return xlrd.xldate_as_datetime(cell.value, datemode)
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    return cell.value if cell.ctype in (xlrd.XL_CELL_TEXT, xlrd.XL_CELL_NUMBER) else None


# -- texts ---------------------------------------------------------------------------------------------------


def _csv_pages(text: str, header_rows: int) -> list[Page]:
    separator = re.match(
        r'"?sep=([^\r\n"])"?\r?\n', text, re.IGNORECASE
    )  # tells Excel, which shows no such row
    if separator:
        text, mark = text[separator.end() :], separator[1]
    else:
        lines = islice(io.StringIO(text), header_rows)
        mark = max(",;\t", key="".join(lines).count)

    def rows() -> Iterator[Row]:
        try:
            yield from csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
        except csv.Error as error:
            raise ValueError(f"it is not CSV: {error}") from error

    return [Page("", _plain(islice(rows(), HEADER_ROWS)), lambda: _plain(_limited(rows())))]


def _html_pages(text: str) -> list[Page]:
    if re.search(r"<Workbook\b", text[:2000]):
        raise ValueError("it is XML of Excel 2003; save it as .xlsx")
    tables = _Tables()
    tables.feed(text)  # `close` would go through the rest once for each tag without an end: hours
    if not tables.pages:
        raise ValueError("it is HTML without a table")
    pages = [[[None if is_blank(cell) else cell for cell in row] for row in rows] for rows in tables.pages]
    return [
        Page(f"table {k}", rows[:HEADER_ROWS], partial(list, _limited(rows)))
        for k, rows in enumerate(pages, 1)
    ]


class _Tables(HTMLParser):
    """The tables of an HTML file; a cell that spans several is in each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[list[Row]] = []
        self._cell: list[str] | None = None
        self._size: tuple[int, ...] = (1, 1)  # rows and columns that it spans
        self._spans: dict[int, tuple[int, str]] = {}  # column -> further rows that a cell above fills
        self._count = 0  # of cells and rows

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            if len(self.pages) == _MOST_TABLES:
                raise ValueError(f"it has more than {_MOST_TABLES} tables")
            self.pages.append([])
            self._spans = {}
        elif tag == "tr" and self.pages:
            self._end_cell()
            self._append(self.pages[-1], [])
            self._continue_spans()
        elif tag in ("td", "th") and self.pages and self.pages[-1]:
            self._end_cell()
            self._cell = []
            spans = [dict(attrs).get(key) or "" for key in ("rowspan", "colspan")]
            self._size = tuple(int(span) if re.fullmatch("[1-9][0-9]{0,4}", span) else 1 for span in spans)
        elif tag == "br" and self._cell is not None:
            self._cell.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "tr", "table"):
            self._end_cell()

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def _end_cell(self) -> None:
        if self._cell is None:
            return
        text, self._cell = " ".join("".join(self._cell).split()), None
        down, across = self._size
        row = self.pages[-1][-1]
        for _ in range(min(across, 1000)):
            if down > 1:
                self._spans[len(row)] = (down - 1, text)
            self._append(row, text)
        self._continue_spans()

    def _continue_spans(self) -> None:
        row = self.pages[-1][-1]
        while len(row) in self._spans and self._spans[len(row)][0]:
            more, text = self._spans[len(row)]
            self._spans[len(row)] = (more - 1, text)
            self._append(row, text)

    def _append(self, items: list[Any], item: Any) -> None:
        self._count += 1
        if self._count > _MOST_CELLS:
            raise ValueError(f"it has more than {_MOST_CELLS} cells, more than a list of clips")
        items.append(item)


def _decode(path: Path, notes: list[str], encoding: str | None) -> str:
    """Decode a text that is UTF-8 or UTF-16, or unmistakably GBK or cp1252."""
    data = path.read_bytes()
    if encoding is None:
        encoding = _encoding_of(data)
        if encoding is None:
            raise ValueError(
                f"its letters may be of GBK or of cp1252 (neither UTF-8 nor UTF-16): say which with "
                f"{option('encoding', 'gbk')} or {option('encoding', 'cp1252')}, or save it as UTF-8"
            )
        if encoding in ("gbk", "cp1252"):
            notes.append(
                f"{path.name} is not UTF-8; read as {encoding} ({option('encoding', ...)} says another)"
            )
    try:
        return data.decode(encoding)
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"it is not a text of {encoding}: {error}") from error


def _encoding_of(data: bytes) -> str | None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    zeros = [data[k::2].count(0) for k in (0, 1)]
    if max(zeros) > len(data) // 8:  # of letters of the alphabet, every other byte
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    try:
        data.decode("utf-8-sig")
        return "utf-8-sig"
    except UnicodeDecodeError:
        pass
    # Letters with accents stand alone between others; Chinese ones are pairs, most of them in the first half
    # of GB 2312, 0xB0 to 0xD7, where cp1252 has capitals and signs.
    runs = re.findall(rb"[\x80-\xff]+", data)
    if all(len(run) == 1 for run in runs):
        return "cp1252"
    leads = [byte for run in runs for byte in run[::2]]
    if all(len(run) % 2 == 0 for run in runs) and sum(0xA1 <= byte <= 0xD7 for byte in leads) > 0.8 * len(
        leads
    ):
        return "gbk"
    return None


# -- rows ----------------------------------------------------------------------------------------------------


def _plain(rows: Iterable[Iterable[Any]]) -> list[Row]:
    plain = [[_cell(cell) for cell in islice(row, _MOST_COLUMNS + 1)] for row in rows]
    if max(map(len, plain), default=0) > _MOST_COLUMNS:
        raise ValueError(f"it has more than {_MOST_COLUMNS} columns, more than a spreadsheet")
    return plain


def _cell(cell: Any) -> Any:
    if is_blank(cell) or cell in _ERRORS:
        return None
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _limited(rows: Iterable[Iterable[Any]]) -> Iterator[Iterable[Any]]:
    """Pass rows on until nothing but empty ones follows, and raise if they are too many."""
    empty: list[Iterable[Any]] = []
    count = 0
    for row in rows:
        if all(cell is None or cell == "" for cell in row):
            empty.append(row)
            if len(empty) > _EMPTY_ROWS:
                return
            continue
        count += 1 + len(empty)
        if count > _MOST_ROWS:
            raise ValueError(f"it has more than {_MOST_ROWS} rows, more than a list of clips")
        yield from empty
        empty = []
        yield row


def _fill(rows: list[Row], top: int, bottom: int, left: int, right: int) -> None:
    """Give merged cells what the first of them holds."""
    value = rows[top][left] if top < len(rows) and left < len(rows[top]) else None
    if value is None:
        return
    for row in rows[top : min(bottom, len(rows))]:
        row += [None] * (min(right, 1000) - len(row))
        row[left:right] = [value] * (min(right, 1000) - left)
