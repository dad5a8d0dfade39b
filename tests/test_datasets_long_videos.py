"""Expressions coded in long videos: CAS(ME)2, SAMM Long Videos and SMIC-E."""

import shutil

import openpyxl
import pandas as pd
import pytest

from microexpr.data import read_casme_sq, read_dataset, read_samm, read_samm_lv, read_smic, read_smic_e


def edit_codings(sheet, change):
    """Change the first sheet of CAS(ME)2's workbook."""
    pages = pd.read_excel(sheet, sheet_name=None, header=None, dtype=object)
    first = next(iter(pages))
    pages[first] = change(pages[first])
    with pd.ExcelWriter(sheet) as writer:
        for name, cells in pages.items():
            if cells is not None:
                cells.to_excel(writer, sheet_name=name, header=False, index=False)


def change_book(path, change):
    book = openpyxl.load_workbook(path)
    change(book.worksheets[0])
    book.save(path)


def as_html(sheet):
    """Save a workbook as web pages export one, a table for each of its sheets."""
    pages = pd.read_excel(sheet, sheet_name=None, header=None, dtype=object)
    tables = [cells.to_html(header=False, index=False, na_rep="") for cells in pages.values()]
    sheet.unlink()
    path = sheet.with_suffix(".xls")
    path.write_text(f"<html><body>{''.join(tables)}</body></html>")
    return path


def fill(folder, last, pattern):
    for number in range(1, last + 1):
        (folder / pattern.format(number)).touch()


# CAS(ME)2


@pytest.fixture
def casme_sq(make_tree, dataset_trees):
    root = make_tree("casme-sq")
    return root, dataset_trees.sheet_of(root)


def test_micro_and_macro_expressions_of_casme_sq(casme_sq):
    root, sheet = casme_sq

    def change(cells):
        cells.loc[:2, 7] = "macro-expression"
        return cells

    edit_codings(sheet, change)
    assert len(read_casme_sq(root, strict=True)) == 5
    macro = read_casme_sq(root, expressions="macro", strict=True)
    assert macro["clip"].to_list() == ["anger1_1", "anger2_1", "disgust1_1"]
    assert len(read_casme_sq(root, expressions="all", strict=True)) == 8
    with pytest.raises(ValueError, match="expressions is 'both'; it must be 'micro', 'macro' or 'all'"):
        read_casme_sq(root, expressions="both")


def test_expressions_in_one_video_of_casme_sq(casme_sq):
    root, sheet = casme_sq
    folder = root / "rawpic_crop" / "s15" / "15_0401film"
    fill(folder, 200, "img{:03d}.jpg")

    def change(cells):
        cells.iloc[1, [1, 2, 3, 4]] = ["anger1_2", 100, 0, 0]  # neither apex nor offset
        cells.iloc[2, [1, 2, 3, 4]] = ["anger1_11", 100, 110, 0]  # no offset
        cells.iloc[3, [1, 2, 3, 4]] = ["anger1_3", 105, 0, 120]  # no apex; overlaps the one before
        return cells

    edit_codings(sheet, change)
    table = read_casme_sq(root)
    assert table["clip"].to_list()[:2] == ["anger1_1", "anger1_11"]
    assert tuple(table.loc[1, ["onset", "apex", "offset"]]) == (100, 110, 110)
    assert {path.parent for path in table["frames"][1]} == {folder}
    (note,) = (line for line in table.attrs["notes"] if "no offset" in line)
    assert note == f"{sheet.name}, row 3: no offset is coded; the clip ends at its apex, 110"
    (problem, other) = map(str, table.attrs["problems"])
    assert problem.startswith(f"{sheet.name}, row 2: clip s15/anger1_2 has 0 frames (onset 100, offset 0)")
    assert "there is no folder s16/anger1_3" in other  # its subject did not see that film


def test_a_folder_of_casme_sq_that_is_another_subjects(casme_sq):
    root, _ = casme_sq
    (root / "rawpic_crop" / "s15" / "23_0502film").mkdir()
    table = read_casme_sq(root, strict=True)
    assert "s15/23_0502film is named after subject 23: passed over" in table.attrs["notes"][0]


def test_two_folders_of_a_video_of_casme_sq(casme_sq):
    root, _ = casme_sq
    (root / "rawpic_crop" / "s15" / "15_0401girlcrashing").mkdir()
    table = read_casme_sq(root, strict=True)
    assert table["frames"][0][0].parent.name == "15_0401film"
    assert table.attrs["notes"][0].endswith(
        "15_0401girlcrashing are folders of the same clip: the first is read"
    )


def test_cut_out_clips_of_casme_sq_are_not_read(casme_sq):
    root, _ = casme_sq
    for tree in ("selectedpic", "cropped"):
        (root / tree / "s15" / "anger1_1").mkdir(parents=True)
    assert read_casme_sq(root, strict=True).attrs["notes"] == []


def test_codes_of_casme_sq_that_lost_their_zeros(casme_sq):
    root, sheet = casme_sq
    before = read_casme_sq(root)
    pages = pd.read_excel(sheet, sheet_name=None, header=None, dtype=object)
    with pd.ExcelWriter(sheet) as writer:
        for name, cells in pages.items():
            if name == "naming rule2":
                cells[0] = cells[0].astype(int)
            cells.to_excel(writer, sheet_name=name, header=False, index=False)
    assert read_casme_sq(root, strict=True).equals(before)


def test_workbooks_of_casme_sq(casme_sq):
    root, sheet = casme_sq
    pages = pd.read_excel(sheet, sheet_name=None, header=None, dtype=object)
    shutil.copy(sheet, root / "CAS(ME)^2code_final(Updated).xlsx")
    with pytest.raises(ValueError, match=r"holds 2 spreadsheets of CAS\(ME\)2 .*say which one with sheet="):
        read_casme_sq(root)
    assert len(read_casme_sq(root, sheet=sheet)) == 8
    (root / "CAS(ME)^2code_final(Updated).xlsx").unlink()
    next(iter(pages.values())).to_excel(sheet, header=False, index=False)
    with pytest.raises(ValueError, match="has no sheet that names subjects and none that names videos"):
        read_casme_sq(root)
    sheet.write_bytes(b"PK\3\4 and no more")
    with pytest.raises(ValueError, match="cannot be read"):
        read_casme_sq(root)


def test_raw_and_cropped_videos_of_casme_sq(casme_sq):
    root, _ = casme_sq
    shutil.copytree(root / "rawpic_crop", root / "rawpic")
    assert read_casme_sq(root)["frames"][0][0].parts[-4] == "rawpic_crop"
    assert read_casme_sq(root, tree="rawpic", strict=True)["frames"][0][0].parts[-4] == "rawpic"


def test_a_workbook_of_casme_sq_that_is_html(casme_sq):
    root, sheet = casme_sq
    before = read_casme_sq(root, strict=True)
    path = as_html(sheet)
    table = read_casme_sq(root, strict=True)
    assert table.equals(before)
    assert table.attrs["sheet"] == str(path)
    assert table.attrs["notes"] == before.attrs["notes"]
    path.unlink()
    (root / "codes.csv").write_text("1,anger1_1,20,30,40,4,negative,micro-expression\n")
    with pytest.raises(ValueError, match=r"codes\.csv has no sheet that names subjects and none that names"):
        read_casme_sq(root)  # a CSV file has but one sheet


def test_merged_cells_of_casme_sq(casme_sq):
    root, sheet = casme_sq
    before = read_casme_sq(root, strict=True)

    def change(cells):
        assert cells["A1"].value == cells["A2"].value
        cells.merge_cells("A1:A2")
        cells.merge_cells(f"H1:H{cells.max_row}")

    change_book(sheet, change)
    assert read_casme_sq(root, strict=True).equals(before)
    change_book(sheet, lambda cells: cells.merge_cells("G1:G2"))
    assert read_casme_sq(root, strict=True)["emotion"][1] == before["emotion"][0]


def test_formulas_of_casme_sq(casme_sq):
    root, sheet = casme_sq

    def change(cells):
        cells["E1"], cells["D2"], cells["A3"], cells["B4"] = "=C1+9", "=C2", "=A2", "=B3"

    change_book(sheet, change)
    table = read_casme_sq(root)
    assert len(table) == 4
    assert list(map(str, table.attrs["problems"])) == [
        f"{sheet.name}, row {row}: {column} is a formula, {text}, whose result is not in the file"
        for row, column, text in [
            (1, "column 5", "=C1+9"),
            (2, "column 4", "=C2"),
            (3, "Subject", "=A2"),
            (4, "column 2", "=B3"),
        ]
    ]
    assert {problem.kind for problem in table.attrs["problems"]} == {"formula"}


# SAMM Long Videos


def test_expressions_of_samm_long_videos(make_tree, dataset_trees):
    root = make_tree("samm-lv")
    video = root / "SAMM_longvideos" / "006_1"
    fill(video, 400, "006_1_{:04d}.jpg")

    def change(cells):
        at = dataset_trees.FIRST_ROW["samm-lv"] - 1
        macro = cells.loc[at].copy()
        macro[[1, 3, 4, 5, 7]] = ["006_1_2", 300, 320, 390, "Macro"]
        other = macro.copy()
        other[[1, 3, 7]] = ["006_1_3", 310, "Other"]
        blank = macro.copy()
        blank[[1, 3, 7]] = ["006_1_4", 315, None]
        return pd.concat([cells, pd.DataFrame([macro, other, blank])], ignore_index=True)

    dataset_trees.edit_sheet(root, change)
    micro = read_samm_lv(root)
    assert len(micro) == 3
    assert set(micro["emotion"]) == {"micro"}
    (problem,) = micro.attrs["problems"]
    assert "Type is empty; it must name micro or macro" in str(problem)
    table = read_samm_lv(root, expressions="all")
    assert table["emotion"].to_list() == [*["micro"] * 3, "macro"]
    assert table["clip"].to_list()[-1] == "006_1_2"
    assert {path.parent for path in table["frames"][3]} == {video}
    assert len(table["frames"][3]) == 91
    assert len(read_samm_lv(root, expressions="macro")) == 1


def test_samm_and_its_long_videos_in_one_root(make_tree, dataset_trees):
    root = make_tree("samm-lv")
    dataset_trees.make_tree(root, "samm")
    assert set(read_samm_lv(root, strict=True)["dataset"]) == {"SAMM-LV"}
    assert set(read_samm(root, strict=True)["dataset"]) == {"SAMM"}


# SMIC-E


def test_several_expressions_in_one_video_of_smic_e(make_tree, dataset_trees):
    root = make_tree("smic-e-hs")
    before = read_smic_e(root)
    folder = before["frames"][0][0].parent
    fill(folder, 300, "image{:06d}.jpg")

    def change(cells):
        cells.loc[1, [5, 6]] = [200, 220]
        return cells

    dataset_trees.edit_sheet(root, change)
    table = read_smic_e(root, strict=True)
    assert table["clip"].to_list()[:2] == ["s1_ne_00", "s1_ne_00_2"]
    assert {frames[0].parent for frames in table["frames"][:2]} == {folder}
    assert len(table["frames"][1]) == 21
    assert table.attrs["notes"] == []


def test_cameras_of_smic_e_in_one_root(make_tree, dataset_trees):
    root = make_tree("smic-e-hs")
    dataset_trees.make_tree(root, "smic-e-nir", seed=1)
    dataset_trees.make_tree(root, "smic-hs")
    assert read_smic_e(root, strict=True)["frames"][0][0].is_relative_to(root / "HS_long")
    assert read_smic_e(root, "nir", strict=True)["frames"][0][0].is_relative_to(root / "NIR_long")
    assert set(read_smic(root, strict=True)["dataset"]) == {"SMIC-HS"}
    assert read_dataset("smic-e", root, strict=True).attrs["sources"] == [["smic-e-hs", str(root)]]
    with pytest.raises(FileNotFoundError, match=r"holds 0 spreadsheets .* of SMIC-E's camera VIS"):
        read_smic_e(root, "VIS")
    with pytest.raises(ValueError, match="camera is 'RGB'"):
        read_smic_e(root, "RGB")


def test_columns_of_another_camera_are_not_read(make_tree, dataset_trees):
    """As in the sheet of NIR, which has OnsetF and OnsetF NIR."""
    root = make_tree("smic-e-nir")
    before = read_smic_e(root, "NIR")

    def change(cells):
        cells[10], cells[11] = cells[3] + cells[3], cells[4] + cells[4]
        cells.loc[0, [10, 11]] = ["OnsetF", "OffsetF"]
        return cells

    dataset_trees.edit_sheet(root, change)
    assert read_smic_e(root, "NIR", strict=True).equals(before)


def test_a_sheet_of_smic_e_without_emotions(make_tree, dataset_trees):
    root = make_tree("smic-e-hs")
    before = read_smic_e(root)
    dataset_trees.edit_sheet(root, lambda cells: cells.drop(columns=[9]))
    assert read_smic_e(root, strict=True).equals(before)  # the names of the videos say them
    dataset_trees.edit_sheet(root, lambda cells: cells.drop(columns=[4]))
    with pytest.raises(ValueError, match="has 2 columns Onset, and 1 Offset"):
        read_smic_e(root)


def test_a_clip_of_smic_e_without_a_name(make_tree, dataset_trees):
    root = make_tree("smic-e-hs")

    def change(cells):
        cells.loc[2, 1] = None
        return cells

    dataset_trees.edit_sheet(root, change)
    (problem,) = map(str, read_smic_e(root).attrs["problems"])
    assert problem == "SMIC-HS-E_annotation.xlsx, row 3: Filename is empty"


def test_sheets_of_smic_e_that_are_no_workbooks(make_tree, dataset_trees):
    root = make_tree("smic-e-hs")
    before = read_smic_e(root, strict=True)
    sheet = dataset_trees.sheet_of(root)
    csv = sheet.with_suffix(".csv")
    pd.read_excel(sheet, header=None, dtype=object).to_csv(csv, header=False, index=False, sep=";")
    (root / "HS_long" / "features.csv").write_bytes(b"\xff\xff\0\1")
    table = read_smic_e(root, strict=True)
    assert table.attrs["sheet"] == str(sheet)  # a workbook goes before CSV files
    assert table.attrs["notes"] == before.attrs["notes"]
    path = as_html(sheet)
    for found in (path, csv):
        table = read_smic_e(root, strict=True)
        assert table.equals(before)
        assert table.attrs["sheet"] == str(found)
        assert table.attrs["notes"] == before.attrs["notes"]
        found.unlink()
    with pytest.raises(ValueError, match=r"features\.csv has no column Subject, Filename"):
        read_smic_e(root)


@pytest.mark.parametrize("remark", ["A{0}:J{0}", "A{0}:B{0}", "A{0}:D{0}"])
def test_merged_cells_of_smic_e(remark, make_tree, dataset_trees):
    root = make_tree("smic-e-hs")
    before = read_smic_e(root, strict=True)

    def change(cells):
        assert cells["A2"].value == cells["A3"].value
        cells.merge_cells("A2:A3")
        cells.merge_cells(remark.format(cells.max_row))  # what is below the clips

    change_book(dataset_trees.sheet_of(root), change)
    assert read_smic_e(root, strict=True).equals(before)


def test_formulas_of_smic_e(make_tree, dataset_trees):
    root = make_tree("smic-e-hs")
    sheet = dataset_trees.sheet_of(root)

    def change(cells):
        cells["E2"], cells["B3"] = "=D2+9", "=B2"

    change_book(sheet, change)
    table = read_smic_e(root)
    assert list(map(str, table.attrs["problems"])) == [
        f"{sheet.name}, row {row}: {what}, whose result is not in the file"
        for row, what in [(2, "OffsetF is a formula, =D2+9"), (3, "Filename is a formula, =B2")]
    ]
    assert {problem.kind for problem in table.attrs["problems"]} == {"formula"}
