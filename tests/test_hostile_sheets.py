"""Manifests and spreadsheets that somebody made to do harm: a problem of the row, or one ValueError with the
file; never another exception, and never memory or time that their few bytes do not say."""

import base64
import io
import random
import re
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from microexpr.data import read_dataset, read_manifest

FORMATS = Path(__file__).with_name("test_datasets_formats.py").read_text()
CSV = b"folder,subject,emotion,onset,apex\na,1,calm,1,2\n"
HTML = b"<table><tr><th>folder<th>subject<th>emotion</tr><tr><td rowspan=2>a</td><td>1<td>calm</tr></table>"
DOORS = ("manifest", "casme2", "casme-sq", "smic-e-hs")  # each reads its sheets in its own way


@pytest.fixture
def workbook(make_tree, dataset_trees):
    """The bytes of an xlsx of CASME II."""
    return dataset_trees.sheet_of(make_tree("casme2", clips=4, frames=(3, 4))).read_bytes()


@pytest.fixture
def refused(tmp_path):
    """Give bytes to each reader; return what each says of them."""
    (tmp_path / "root").mkdir()

    def refused(data, doors=DOORS):
        path = tmp_path / "root" / "m.xlsx"
        path.write_bytes(data)
        said = []
        for name in doors:
            where, options = (path, {}) if name == "manifest" else (path.parent, {"sheet": path})
            with pytest.raises((ValueError, FileNotFoundError)) as caught:
                read_dataset(name, where, **options)
            said.append(str(caught.value))
        return said

    return refused


def with_part(workbook, name, change):
    """The workbook with a part changed, or left out where the change gives None."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            data = old.read(part) if part != name else change(old.read(part))
            if data is not None:
                new.writestr(part, data)
    return out.getvalue()


def entities(definition, count=1):
    def change(data):
        body = re.sub(rb"^<\?xml.*?\?>", b"", data)
        return b'<?xml version="1.0"?>' + definition + body.replace(b"><", b">" + b"&x;" * count + b"<", 1)

    return change


LAUGHS = b"".join(
    b'<!ENTITY %s "%s">' % (b"xyzuvw"[k : k + 1], b"&%c;" % b"xyzuvwl"[k + 1] * 10) for k in range(6)
)
CHANGES = {
    "gone": lambda data: None,
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "another root": lambda data: b"<a/>",
    "deep": lambda data: b"<a>" * 20_000,
    "utf-16": lambda data: data.decode().encode("utf-16"),
}
DOCTYPES = {
    "a billion laughs": entities(b'<!DOCTYPE a [<!ENTITY l "ha">' + LAUGHS + b"]>"),
    "one long": entities(b'<!DOCTYPE a [<!ENTITY x "' + b"a" * 10_000 + b'">]>', 1000),
    "a file": entities(b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
    "in utf-16": lambda data: ('<!DOCTYPE a [<!ENTITY x "y">]>' + data.decode().split("?>")[-1]).encode(
        "utf-16"
    ),
}


def parts(workbook):
    return zipfile.ZipFile(io.BytesIO(workbook)).namelist()


def test_parts_of_a_workbook_that_are_not_what_they_should_be(workbook, refused):
    for part in parts(workbook):
        for change in CHANGES.values():
            refused(with_part(workbook, part, change), DOORS[:2])


@pytest.mark.parametrize("kind", DOCTYPES)
def test_entities_are_not_expanded(kind, workbook, refused):
    for part in parts(workbook):
        for said in refused(with_part(workbook, part, DOCTYPES[kind])):
            assert f"its part {part} has a document type" in said


def test_what_expands_a_thousand_times(workbook, refused):
    """Nothing of it is parsed."""
    for part in [
        "xl/theme/theme1.xml",
        "xl/styles.xml",
        "docProps/core.xml",
        "xl/workbook.xml",
        "_rels/.rels",
    ]:
        bomb = with_part(workbook, part, lambda data: data + b" " * (20 << 20))
        assert len(bomb) < 1 << 18
        tracemalloc.start()
        assert "20 MB" in refused(bomb, ["manifest"])[0]
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
        tracemalloc.stop()


def test_a_large_part_under_another_name(workbook, refused):
    """Shared strings are what [Content_Types].xml says they are, and so are sheets of charts."""
    kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    override = b'<Override PartName="/xl/worksheets/x.xml" ContentType="' + kind + b'"/></Types>'
    named = with_part(workbook, "[Content_Types].xml", lambda data: data.replace(b"</Types>", override))
    out = io.BytesIO(named)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/x.xml", b"<sst>" + b" " * (20 << 20) + b"</sst>")
    assert all("(xl/worksheets/x.xml)" in said for said in refused(out.getvalue()))


ROWS = {
    "a far cell": b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
    "no such cell": b'<row r="2"><c r="ZZZZ2"><v>1</v></c></row>',
    "a row below 0": b'<row r="-5"><c r="A2"><v>1</v></c></row>',
    "no row": b'<row r="x"><c><v>1</v></c></row>',
    "no text": b'<row r="2"><c r="A2" t="s"><v>99999999</v></c></row>',
    "no number": b'<row r="2"><c r="A2"><v>abc</v></c><c r="B2"><v>1e999</v></c></row>',
    "no date": b'<row r="2"><c r="A2" t="d"><v>9999999</v></c></row>',
    "no style": b'<row r="2"><c r="A2" s="9999"><v>1</v></c></row>',
    "no type": b'<row r="2"><c r="A2" t="zz"><v>1</v></c></row>',
    "an array": b'<row r="2"><c r="A2"><f t="array" ref="A1:XFD1048576">1</f><v>1</v></c></row>',
    "many columns": b'<row r="2">' + b"<c><v>1</v></c>" * 20_000 + b"</row>",
    "many rows": b"<row><c><v>1</v></c></row>" * 60_000,
    "merged": b'</sheetData><mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells><sheetData>',
    "merged wrongly": b'</sheetData><mergeCells><mergeCell ref="C3:A0"/></mergeCells><sheetData>',
}


@pytest.mark.parametrize("kind", ROWS)
def test_cells_of_a_workbook(kind, workbook, refused):
    sheet = next(name for name in parts(workbook) if "worksheets/" in name)
    rows = b"<sheetData>" + ROWS[kind] + b"</sheetData>"
    data = with_part(workbook, sheet, lambda data: re.sub(rb"<sheetData>.*</sheetData>", rows, data))
    refused(data, DOORS[:2] if kind.startswith("many") else DOORS)


TEXTS = {
    "spans": b"<table><tr>" + b"<td rowspan=99999 colspan=1000>x" * 20 + b"<tr>" * 10_000,
    "tables": b"<table>" * 5000,
    "comments": b"<!--" * 300_000,
    "tags": b"<a" * 300_000,
    "attributes": b'<a b="' * 100_000,
    "declarations": b"<![CDATA[" * 50_000,
    "marks": b"<![" * 1000,
    "columns": b"folder,subject,emotion" + b"," * 100_000,
    "rows": b"folder,subject,emotion\n" + b"a,b,c\n" * 60_000,
    "quotes": b"folder,subject,emotion\n" + b'"' * 100_001,
    "a cell": b"folder,subject,emotion\n" + b"a" * 200_000,
    "zeros": b"\0" * 100_000,
    "separators": b'sep="\n',
    "a workbook": b"PK\5\6" + b"\0" * 18,
    "an old one": b"\xd0\xcf\x11\xe0" + b"\xff" * 100_000,
    "an older one": b"\x09\x08\x04\x00" + b"\xff" * 1000,
}


@pytest.mark.parametrize("kind", TEXTS)
def test_texts(kind, refused):
    refused(TEXTS[kind], ["manifest"])


@pytest.mark.parametrize("kind", ["csv", "html", "xls", "xlsx"])
def test_bytes_changed_at_random(kind, workbook, tmp_path):
    """Whatever is left is read, or refused with the file's name."""
    encoded = re.search(r"XLS = \((.*?)\n\)", FORMATS, re.S)[1]
    xls = zlib.decompress(base64.b85decode("".join(re.findall(r'"(.*)"', encoded)).encode()))
    whole = {"csv": CSV * 3, "html": HTML, "xls": xls, "xlsx": workbook}[kind]
    rng, path = random.Random(0), tmp_path / "m.xls"
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(data) + 1)
            to = min(len(data), at + rng.choice((0, 1, 2, 4, 64, 1000)))
            data[at:to] = rng.choice((b"", data[at:to] * 2, rng.randbytes(to - at), b"\xff" * (to - at)))
        path.write_bytes(data)
        for name in DOORS:
            where, options = (path, {}) if name == "manifest" else (tmp_path, {"sheet": path})
            said = str(tmp_path)
            try:
                read_dataset(name, where, **options)
            except (ValueError, FileNotFoundError) as error:
                said = str(error)
            assert str(tmp_path) in said


def test_a_cell_is_its_rows_problem(tmp_path):
    """Of a name too long for a file, and of a number that Python does not read, too."""
    (tmp_path / "a").mkdir()
    for number in (1, 2, 3):
        (tmp_path / "a" / f"{number}.png").touch()
    cells = [
        "a" * 300,
        "b/" * 3000,
        "9" * 5000,
        "0" * 5000 + "1",
        "9" * 400,
        "a\0b",
        "²",
        "-1",
        "1e5",
        "\x1b[2J",
    ]
    for column in (
        "folder",
        "video",
        "subject",
        "onset",
        "offset",
        "apex",
        "onset_s",
        "apex_s",
        "fps",
        "face",
    ):
        for cell in cells:
            given = {"folder": "a", "subject": "1", "emotion": "calm"}
            given |= {"fps": "25"} if column.endswith("_s") else {}
            given |= {"onset_s": "0"} if column == "fps" else {}
            given |= {"folder": ""} if column == "video" else {}
            header = list(given | {column: cell})
            rows = [header, ["a", "2", "calm"], list((given | {column: cell}).values())]
            path = tmp_path / "m.csv"
            path.write_text("\n".join(map(",".join, rows)))
            table = read_manifest(path, allow_gaps=True)
            assert len(table) + len(table.attrs["problems"]) == 2, (column, cell[:20])
            assert all(len(str(problem)) < 7000 for problem in table.attrs["problems"])
