"""Spreadsheets of data sets as people save them, and frames that were renumbered."""

import base64
import re
import shutil
import struct
import zipfile
import zlib

import openpyxl
import pandas as pd
import pytest

from microexpr.data import _workbooks, read_casme2, read_dataset, report

CODED = ["casme", "casme2", "samm", "casme3"]


def as_csv(sheet, path, encoding="utf-8", mark=","):
    pd.read_excel(sheet, header=None, dtype=object).to_csv(
        path, header=False, index=False, sep=mark, encoding=encoding
    )
    sheet.unlink()
    return path


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize(
    ("suffix", "encoding", "mark"),
    [(".csv", "utf-8-sig", ","), (".csv", "gbk", ";"), (".xls", "utf-16", "\t"), (".xls", "utf-8", ",")],
)
def test_a_sheet_that_is_a_csv_file(suffix, encoding, mark, name, make_tree, dataset_trees):
    root = make_tree(name, slips=name in dataset_trees.SLIPS)
    before = read_dataset(name, root, strict=True)
    sheet = dataset_trees.sheet_of(root)
    path = as_csv(sheet, sheet.with_suffix(suffix), encoding, mark)
    table = read_dataset(name, root, strict=True)
    assert table.equals(before)
    assert table.attrs["sheet"] == str(path)
    assert len(table.attrs["corrections"]) == len(before.attrs["corrections"])


def test_a_workbook_goes_before_a_csv_file(make_tree, dataset_trees):
    root = make_tree("casme2")
    sheet = dataset_trees.sheet_of(root)
    (root / "deep").mkdir()
    below = shutil.copy(sheet, root / "deep" / "x.xlsx")
    as_csv(sheet, root / "CASME2-coding.csv")
    (root / "features.csv").write_bytes(b"\xff\xff\0\1")
    table = read_casme2(root, strict=True)
    assert table.attrs["sheet"] == str(below)
    assert table.attrs["notes"] == []
    assert read_casme2(root, sheet=root / "CASME2-coding.csv").equals(table)


def test_a_sheet_with_macros_and_one_under_another_name(make_tree, dataset_trees):
    root = make_tree("casme2")
    sheet = dataset_trees.sheet_of(root)
    before = read_casme2(root, strict=True)
    for name in ("codes.xlsm", "codes.xls"):  # openpyxl refuses the latter by its name
        sheet = sheet.rename(root / name)
        assert read_casme2(root, strict=True).equals(before)


HTML = """<html><head><meta charset="utf-8"><style>td {{ color: red }}</style></head>
<body><table border=1><tr><th>Codes of 2014</th></tr></table>
<TABLE>{rows}</TABLE></body></html>"""


def test_a_sheet_that_is_html(make_tree, dataset_trees):
    """What web pages call export to Excel."""
    root = make_tree("casme2")
    before = read_casme2(root, strict=True)
    sheet = dataset_trees.sheet_of(root)
    cells = pd.read_excel(sheet, header=None, dtype=object).fillna("").astype(str)
    sheet.unlink()
    rows, people = [], cells[0].to_list()
    for k, row in enumerate(cells.to_numpy().tolist()):
        first = row.pop(0)
        span = next((n for n in range(len(people) - k) if people[k + n] != first), len(people) - k)
        subject = "" if k and people[k - 1] == first else f"<td rowspan='{span}'>&nbsp;{first}\n</td>"
        rows.append(f"<tr>{subject}<td>{'</td><td>'.join(row)}")  # HTML needs no end of either
    (root / "codes.xls").write_text(HTML.format(rows="".join(rows)))
    assert read_casme2(root, strict=True).equals(before)
    (root / "codes.xls").write_text("<?xml version='1.0'?><Workbook xmlns='urn:x'>")
    with pytest.raises(
        ValueError, match=r"codes\.xls cannot be read: it is XML of Excel 2003; save it as \.xlsx"
    ):
        read_casme2(root)
    (root / "codes.xls").write_text("<html><p>Please log in</p></html>")
    with pytest.raises(ValueError, match=r"codes\.xls cannot be read: it is HTML without a table"):
        read_casme2(root)


def biff(cells):
    """Cells as Excel 2 wrote them."""
    records = [struct.pack("<HHHH", 0x0009, 4, 2, 0x10)]
    for r, row in enumerate(cells):
        for c, cell in enumerate(row):
            where = struct.pack("<HH3x", r, c)
            if isinstance(cell, str):
                data = where + struct.pack("<B", len(cell)) + cell.encode("cp1252")
                records.append(struct.pack("<HH", 0x0004, len(data)) + data)
            elif cell is not None and cell == cell:
                records.append(struct.pack("<HH", 0x0003, 15) + where + struct.pack("<d", cell))
    return b"".join([*records, struct.pack("<HH", 0x000A, 0)])


def test_an_old_xls(make_tree, dataset_trees):
    root = make_tree("casme2")
    before = read_casme2(root, strict=True)
    sheet = dataset_trees.sheet_of(root)
    sheet.with_suffix(".xls").write_bytes(
        biff(pd.read_excel(sheet, header=None, dtype=object).to_numpy().tolist())
    )
    sheet.unlink()
    assert read_casme2(root, strict=True).equals(before)


# A workbook as Excel 97 wrote it, deflated: subject S01 in A2:A3, merged; see the test for the other cells.
XLS = (
    rb"c-rk)O-NKx6#nj;H$RSlGp2zCG6-3j3$0BXn+!%F$gGGW0-K*_OzMoxJfYfTnadz>RkTQO)5dDke^Q%h5g4@)f<TK_t%`~kI"
    rb"<IrjdvE+{77mo8yl=SYoxgj|oqNx__r3RKIygIiuWk-2uoo`mj1qX3=mfPATL^&ch9Oz|>Z4{jSXU_V(L#FMcvAk_E7wr2_Z"
    rb"$@5RbLPVK2ke{L3E{4T4)WipT`gtatv)krP@<)lUfC8d0bUY<4iX(y~DmwneJoFRi<s^J1b6NI^5N?$ExEKN(0*}hzdO5KJQ"
    rb"u6iW<C<b$s!fFn!%<&m^P$|EHl|EyDz8<vO*LmWlSyqMDX)0zZrp@ZG*wpNAa%+Uf;J|7*G4TR=aisK79c(?S;FD9Uj_l@?m"
    rb"wSb9j8id$||5l<(y>^#Ou1(dN0QRzghe{?8zR*UPj0e2+(wN!LK^8<%cSxxWAkU*Pu`=EA?`BF0U_SzPT(;nB8=~U=gDye6K"
    rb"KqRXt2co)`2t@|c(&D1<Ev=L!(%sV9!(1YnJu{Tm^SWJrc{1=$5?HpAl=J;nMl^v+=7W5f1?a4pzy0;?!B}^=hc&}|dYEU-R"
    rb"yip!a7p%{&J}r!Nt?LGPNtVR>K5kfm{!xo(6zC<#$q}~*yjpc8!69j#=G#gCH!{cN533?SU>tHyo313&bbTKlQZFQG|-usp#"
    rb"JhVf@aYyZd{jm6t=Iz+KoOit^H$X@+kpp?1puaR$>8uW`pKwt5o5>bfukZ5o<B4E~egfJgeS<vnv0wDcQ4QN(xD?yyPND%}X"
    rb"jt?!4qC$&;5nBzdi@qCi%`S$&qj;H>gl=^5(z><Z#BdrUEX$+U{InEo=p--@rSh(ASf6{}XHx4Gh_R&<4<e`EVkrnwc-m3;K"
    rb"i*4UKAszafwbKt;%0|yQqY-9+2CNiG`Rr95SpL)F3cbx@lIp;IUhQ$%2>8I0cX#^>{W^lf!`q>P(uw#i;_OZVgN*t%`8T28>"
    rb"<LE28e(4=SEd4*L?il!cw@|V9bH$AFALsuK^#vrp"
)


def test_merged_cells_of_an_old_xls(tmp_path):
    for clip, onset in [("EP01_01", 46), ("EP01_02", 60)]:
        folder = tmp_path / "sub01" / clip
        folder.mkdir(parents=True)
        for number in range(onset, onset + 4):
            (folder / f"img{number}.jpg").touch()
    (tmp_path / "codes.xls").write_bytes(zlib.decompress(base64.b85decode(XLS)))
    table = read_casme2(tmp_path, strict=True)
    assert table["subject"].to_list() == ["01", "01"]
    assert table["apex"].to_list() == [47, 61]
    assert table["action_units"].to_list() == ["4", "4"]


def change_book(path, change):
    book = openpyxl.load_workbook(path)
    change(book.active)
    book.save(path)


def test_merged_cells(make_tree, dataset_trees):
    """One subject over the rows of its clips, one emotion over two rows."""
    root = make_tree("casme2")
    before = read_casme2(root, strict=True)

    def change(sheet):
        last = [row for row in range(2, 12) if sheet.cell(row, 1).value == 1][-1]
        assert last > 3
        sheet.merge_cells(f"A2:A{last}")
        sheet["I3"] = sheet["I4"] = "surprise"
        sheet.merge_cells("I3:I4")

    change_book(dataset_trees.sheet_of(root), change)
    table = read_casme2(root, strict=True)
    assert table["emotion"].to_list()[1:3] == ["surprise", "surprise"]
    assert table.drop(columns="emotion").equals(before.drop(columns="emotion"))


def test_formulas(make_tree, dataset_trees):
    root = make_tree("casme2")
    before = read_casme2(root, strict=True)

    def change(sheet):
        sheet["F3"] = "=D3+40"
        sheet["I4"] = '=UPPER("fear")'
        sheet["E5"] = "=D5"

    sheet = dataset_trees.sheet_of(root)
    change_book(sheet, change)
    table = read_casme2(root)
    assert list(map(str, table.attrs["problems"])) == [
        f"{sheet.name}, row {row}: {words}, whose result is not in the file"
        for row, words in [
            (3, "OffsetFrame is a formula, =D3+40"),
            (4, 'Estimated Emotion is a formula, =UPPER("fear")'),
            (5, "ApexFrame is a formula, =D5"),
        ]
    ]
    assert {problem.kind for problem in table.attrs["problems"]} == {"formula"}
    assert "open the file in a spreadsheet program, save it" in report(table)

    # with their results, as a spreadsheet program writes them
    values = {b"D3+40": int(before["offset"][1]), b"D5": int(before["onset"][3])}
    with zipfile.ZipFile(sheet) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    xml = members["xl/worksheets/sheet1.xml"]
    for formula, value in values.items():
        xml, count = re.subn(
            rb"(<f>" + re.escape(formula) + rb"</f>)<v ?/>|<v></v>", rb"\1<v>%d</v>" % value, xml
        )
        assert count == 1
    xml, count = re.subn(
        rb'<c r="I4"[^>]*><f>[^<]*</f><v ?/>', b'<c r="I4" t="str"><f>UPPER(1)</f><v>fear</v>', xml
    )
    assert count == 1
    members["xl/worksheets/sheet1.xml"] = xml
    with zipfile.ZipFile(sheet, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    table = read_casme2(root, strict=True)
    assert table["offset"].equals(before["offset"])
    assert table["apex"][3] == before["onset"][3]
    assert table["emotion"][2] == "fear"


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize(
    "spelling",
    [
        "S{:02d}",
        "Sub_{:02d}",
        "sub {:d}",
        "\xa0{:d}\xa0",
        "Subject\xa0{:d}",
        "s.{:d}",
        "１{:d}"[1:],
        "P{:03d}",
    ],
)
def test_subjects_as_people_write_them(spelling, name, make_tree, dataset_trees):
    root = make_tree(name)
    before = read_dataset(name, root, strict=True)
    first = 14 if name == "samm" else 1

    def change(cells):
        digits = cells.loc[first:, 0].astype(str).str.extract(r"(\d+)$")[0].astype(int)
        cells.loc[first:, 0] = [spelling.format(number) for number in digits]
        cells.loc[first:, 1] = [f"\xa0{cell}\u200b " for cell in cells.loc[first:, 1]]
        return cells

    dataset_trees.edit_sheet(root, change)
    assert read_dataset(name, root, strict=True).equals(before)


@pytest.mark.parametrize("cell", ["Sub", "S-", "xS01", "S01b", "S1234", "2S"])
def test_what_is_no_subject(cell, make_tree, dataset_trees):
    root = make_tree("casme2")

    def change(cells):
        cells.loc[1, 0] = cell
        return cells

    dataset_trees.edit_sheet(root, change)
    (problem,) = read_casme2(root).attrs["problems"]
    assert f"Subject is {cell!r}; it must be a whole number" in problem.what


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan"])
def test_clips_called_by_words(word, make_tree, dataset_trees):
    root = make_tree("casme2")
    (root / "Cropped" / "sub01" / "EP01_00f").rename(root / "Cropped" / "sub01" / word)

    def change(cells):
        cells.loc[1, 1], cells.loc[1, 7] = word, word
        cells.loc[2, 8] = word
        return cells

    dataset_trees.edit_sheet(root, change)
    table = read_casme2(root)
    assert (table["clip"][0], table["action_units"][0]) == (word, word)
    (problem,) = table.attrs["problems"]
    assert problem.what.startswith(f"Estimated Emotion is {word!r}; it must be one of")


def long_workbook(path, n, row, text=""):
    """A workbook whose only sheet has n times this row of XML."""
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame([[text]]).to_excel(writer, header=False, index=False)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    head, _, _ = members["xl/worksheets/sheet1.xml"].partition(b"<sheetData>")
    rows = b"".join(row % {b"r": r} for r in range(1, n + 1))
    members["xl/worksheets/sheet1.xml"] = head + b"<sheetData>" + rows + b"</sheetData></worksheet>"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def rows_read(monkeypatch):
    """A list with an item for each row that was taken out of a workbook."""
    read, values = [], _workbooks._values

    def counted(sheet):
        for row in values(sheet):
            read.append(len(row))
            yield row

    monkeypatch.setattr(_workbooks, "_values", counted)
    return read


def test_a_sheet_of_600000_rows(make_tree, dataset_trees, rows_read):
    """Far more rows than any list of clips has: passed over beside the right one, refused in its place."""
    root = make_tree("casme2")
    before = read_casme2(root, strict=True)
    cells = b"".join(
        b'<c r="%c%%(r)d" t="inlineStr"><is><t>EP%%(r)d</t></is></c>' % column for column in b"ABCDEFGH"
    )
    long_workbook(root / "landmarks.xlsx", 600_000, b'<row r="%(r)d">' + cells + b"</row>")
    assert read_casme2(root, strict=True).equals(before)  # beside the right one
    with pytest.raises(ValueError, match=r"landmarks\.xlsx has no column Subject"):
        read_casme2(root, sheet=root / "landmarks.xlsx")
    assert 0 < len(rows_read) < 1_000
    (root / "landmarks.xlsx").unlink()
    sheet = dataset_trees.sheet_of(root)
    with sheet.with_suffix(".csv").open("w") as file:
        file.write(",".join(map(str, pd.read_excel(sheet).columns)) + "\n")
        file.writelines(f"1,EP{n},,1,2,3,,4,others\n" for n in range(600_000))
    sheet.unlink()
    with pytest.raises(ValueError, match=r"CASME2-coding\.csv cannot be read: it has more than 50000 rows"):
        read_casme2(root)


def test_a_sheet_formatted_to_its_end(make_tree, dataset_trees, rows_read):
    """Empty rows with a style, as far as the program has any."""
    root = make_tree("casme2")
    before = read_casme2(root, strict=True)
    sheet = dataset_trees.sheet_of(root)
    with zipfile.ZipFile(sheet) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    empty = b"".join(
        b'<row r="%d"><c r="A%d" s="0"/><c r="B%d" s="0"/></row>' % (r, r, r) for r in range(12, 1_048_577)
    )
    name = "xl/worksheets/sheet1.xml"
    members[name] = members[name].replace(b"</sheetData>", empty + b"</sheetData>")
    with zipfile.ZipFile(sheet, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for key, data in members.items():
            archive.writestr(key, data)
    rows_read.clear()
    assert read_casme2(root, strict=True).equals(before)
    assert 0 < len(rows_read) < 30_000


# Renumbered frames


@pytest.mark.parametrize("name", ["casme", "casme2", "samm"])
def test_renumbered_frames(name, make_tree, dataset_trees):
    """Clips that were cut out and numbered from 1; the spreadsheet still has the numbers of the video."""
    root = make_tree(name)
    before = read_dataset(name, root, strict=True)
    for frames in before["frames"]:
        for path in frames[0].parent.iterdir():
            if path not in frames:
                path.unlink()
        for number, path in enumerate(frames, 1):
            path.rename(path.with_name(f"new{number}{path.suffix}"))
    with pytest.raises(ValueError, match=r"no clip of .* could be read") as error:
        read_dataset(name, root)
    assert "(if its frames were renumbered, whole_folder=True takes all of them)" in str(error.value)
    table = read_dataset(name, root, strict=True, whole_folder=True)
    assert list(map(len, table["frames"])) == list(map(len, before["frames"]))
    assert (table["onset"] == 1).all()
    assert (table["apex"] - table["onset"]).equals(before["apex"] - before["onset"])
    assert [table.attrs["sources"][0][2]] == [{"whole_folder": True}]
    assert table.attrs["notes"] == []


def test_a_part_of_a_folder_that_may_be_renumbered(make_tree, dataset_trees):
    root = make_tree("casme2")
    folder = root / "Cropped" / "sub01" / "EP01_00f"
    for path in folder.iterdir():
        path.unlink()
    for number in range(1, 11):
        (folder / f"reg_img{number}.jpg").touch()

    def change(cells):
        cells.loc[1, 3:5] = [3, 5, 9]
        return cells

    sheet = dataset_trees.edit_sheet(root, change)
    table = read_casme2(root, strict=True)
    assert len(table["frames"][0]) == 7
    assert table.attrs["notes"] == [
        "1 clip taken in part of folders whose numbers begin at 0 or 1; if frames were renumbered and the "
        f"folder is the clip, read with whole_folder=True; the first: {sheet.name}, row 2, 3 to 9 of 1 to 10"
    ]
    table = read_casme2(root, strict=True, whole_folder=True)
    assert len(table["frames"][0]) == 10
    assert table["apex"].isna().all()  # the folders of the others hold a frame more on either side
    assert table.attrs["notes"] == [
        f"10 apexes left empty: the folder has not as many frames as the row; the first: {sheet.name}, row 2"
    ]


def test_a_whole_folder_needs_no_onset(make_tree, dataset_trees):
    root = make_tree("casme2", quirks=["onset slash", "offset text", "offset before onset", "gap"])
    table = read_casme2(root, whole_folder=True)
    (problem,) = table.attrs["problems"]
    assert problem.kind == "frames"  # a gap is one there too
    assert "renumbered" not in problem.what
    assert len(read_casme2(root, whole_folder=True, allow_gaps=True)) == len(table) + 1
