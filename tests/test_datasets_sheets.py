"""Spreadsheets and manifests of data sets: which is read, what its cells say, its known slips."""

import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexpr import simulate
from microexpr.data import (
    read_casme,
    read_casme2,
    read_casme3,
    read_dataset,
    read_samm,
    report,
)
from microexpr.data._reading import Fault
from microexpr.data._sheets import read_number

# Known slips


@pytest.mark.parametrize("name", ["casme", "casme2", "samm"])
def test_known_slips_are_corrected(name, make_tree, dataset_trees):
    table = read_dataset(name, make_tree(name, slips=True))
    assert table.attrs["problems"] == []
    wrong = dataset_trees.SLIPS[name]
    for row, (onset, offset) in wrong.items():
        assert tuple(table.loc[row, ["onset", "offset"]]) == (onset, offset)
        assert len(table["frames"][row]) == offset - onset + 1
    first = {"samm": 15}.get(name, 2)
    lines = {line.partition(":")[0] for line in table.attrs["corrections"]}
    assert {line.rpartition(" ")[2] for line in lines} == {str(row + first) for row in wrong}
    assert "Known slips corrected" in report(table)


@pytest.mark.parametrize(
    ("cell", "extra", "offset", "outcome"),
    [
        ("/", (), 91, "correction"),  # no number
        (85, (), 91, "correction"),  # can be read, but the folder holds exactly what the sheet should say
        (85, (92,), 85, "note"),  # no longer exactly: the sheet is believed
        (120, (92, 93), 91, "correction"),  # cannot be read, and most of the folder is the clip
        (120, range(92, 110), None, "problem"),  # most of it is not
    ],
)
def test_when_a_known_slip_is_corrected(cell, extra, offset, outcome, make_tree, dataset_trees):
    root = make_tree("casme2", slips=True)
    (folder,) = root.glob("Cropped/sub*/*_60f")
    for number in extra:
        (folder / f"reg_img{number}.jpg").touch()

    def change(cells):
        cells.loc[61, 5] = cell
        return cells

    dataset_trees.edit_sheet(root, change)
    attrs = read_casme2(root).attrs
    table = read_casme2(root).set_index("clip")
    assert table["offset"].get(folder.name) == offset
    lines = {key: list(map(str, attrs[f"{key}s"])) for key in ("correction", "note", "problem")}
    assert [key for key, value in lines.items() if value] == [outcome]
    expected = {
        "correction": f"OffsetFrame of clip sub03/EP03_60f is {cell}; read as 91",
        "note": "a slip is known of this row (OffsetFrame 91), but it does not fit what is on disk; read as",
        "problem": "a slip is known of this row (OffsetFrame 91), but it does not fit",
    }[outcome]
    assert lines[outcome][0].startswith("CASME2-coding.xlsx, row 62: ")
    assert expected in lines[outcome][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda cells: cells.drop(1),
        lambda cells: pd.concat([cells.iloc[:1], *[cells.iloc[:1].map(lambda _: None)] * 2, cells.iloc[1:]]),
    ],
)
def test_a_shortened_or_lengthened_sheet_is_not_corrected(change, make_tree, dataset_trees):
    """Then row 43 of the real sheet stands in row 42, or the like; each stays as it is coded."""
    root = make_tree("casme", slips=True, frames=(2, 3))
    dataset_trees.edit_sheet(root, change)
    table = read_casme(root)
    assert table.attrs["corrections"] == []
    assert len(table.attrs["problems"]) == 5
    # the one that stands where another slip was is pointed at
    assert sum("a slip is known of this row" in str(problem) for problem in table.attrs["problems"]) == 1


def test_the_sheet_of_a_simulated_data_set_is_not_corrected(make_tree, dataset_trees):
    root = make_tree("casme2", slips=True)
    dataset_trees.sheet_of(root).rename(root / "CASME2-simulated.xlsx")
    table = read_casme2(root)
    assert table.attrs["simulated"]
    assert table.attrs["corrections"] == []
    assert "row 62: clip sub03/EP03_60f lacks" in str(table.attrs["problems"][0])


def test_a_consistent_sheet_is_not_corrected(tmp_path, make_tree, dataset_trees):
    root = simulate(tmp_path / "data", subjects=2, clips=62, frames=(3, 4), size=(16, 16), progress=False)
    table = read_casme2(root, strict=True)
    assert table.attrs["corrections"] == []
    assert table.attrs["simulated"]
    assert "simulated, not real" in report(table)
    # damaged in the slip's row, it is a problem rather than cut to fit
    assert read_casme2(root).attrs["corrections"] == []
    dataset_trees.sheet_of(root).rename(root / "CASME2-coding.xlsx")  # as if it were not simulated
    frames = table["frames"][60]
    frames[-1].unlink()
    for path in frames[-1].parent.glob("*.jpg"):
        if dataset_trees.number_of(path) > table["offset"][60]:
            path.unlink()
    damaged = read_casme2(root)
    assert damaged.attrs["corrections"] == []
    (problem,) = map(str, damaged.attrs["problems"])
    assert "lacks 1 of its" in problem
    assert "a slip is known of this row (OffsetFrame 91), but it does not fit" in problem


# Spreadsheets


def test_a_sheet_elsewhere_or_below(make_tree, tmp_path, dataset_trees):
    root = make_tree("samm")
    sheet = dataset_trees.sheet_of(root)
    (root / "docs" / "codes").mkdir(parents=True)
    below = sheet.rename(root / "docs" / "codes" / sheet.name)
    assert len(read_samm(root)) == 10
    outside = below.rename(tmp_path / "codes.xlsx")
    with pytest.raises(FileNotFoundError, match="holds 0 spreadsheets"):
        read_samm(root)
    assert read_samm(root, sheet=outside).attrs["sheet"] == str(outside)
    with pytest.raises(FileNotFoundError, match="no such spreadsheet"):
        read_samm(root, sheet=root / "none.xlsx")


def test_several_spreadsheets(make_tree, dataset_trees):
    root = make_tree("casme2")
    sheet = dataset_trees.sheet_of(root)
    shutil.copy(sheet, sheet.with_name("CASME2-coding-20190701.xlsx"))
    with pytest.raises(ValueError, match=r"holds 2 spreadsheets of CASME II .*sheet="):
        read_casme2(root)
    assert len(read_casme2(root, sheet=sheet)) == 10


def test_an_unreadable_spreadsheet(make_tree, dataset_trees):
    root = make_tree("casme2")
    (root / "broken.xlsx").write_bytes(b"PK\3\4 and no more")
    table = read_casme2(root)
    assert len(table) == 10
    assert "broken.xlsx cannot be read" in table.attrs["notes"][0]
    dataset_trees.sheet_of(make_tree("samm")).unlink()
    (root / "CASME2-coding.xlsx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"broken.xlsx cannot be read.*"):
        read_casme2(root)


def test_the_header_wherever_it_is_and_however_it_is_spelled(make_tree, dataset_trees):
    root = make_tree("casme2")

    def change(cells):
        cells.iloc[0] = [
            str(cell).replace("Frame", " frame") if cell == cell else cell for cell in cells.iloc[0]
        ]
        cells.iloc[0, 8] = "ESTIMATED EMOTION "
        above = pd.DataFrame([[None] * 9, ["codes of 2014", *[None] * 8]])
        return pd.concat([above, cells], ignore_index=True)

    dataset_trees.edit_sheet(root, change)
    (root / "Cropped" / "sub01" / "EP01_00f").rename(root / "Cropped" / "sub01" / "elsewhere")
    (problem,) = map(str, read_casme2(root).attrs["problems"])
    assert problem.startswith("CASME2-coding.xlsx, row 4: ")


def test_numbers_written_as_text_and_subjects_as_folders(make_tree, dataset_trees):
    root = make_tree("casme2")

    def change(cells):
        cells.loc[1, 0], cells.loc[2, 0] = "sub01", "1"
        cells.loc[1:, 3] = [f" {cell}" for cell in cells.loc[1:, 3]]
        cells.loc[1:, 5] = [f"{cell}.0" for cell in cells.loc[1:, 5]]
        return cells

    before = read_casme2(root)
    dataset_trees.edit_sheet(root, change)
    assert read_casme2(root, strict=True).equals(before)


def test_two_sheets_of_a_workbook_with_the_columns(make_tree, dataset_trees):
    root = make_tree("casme3")
    sheet = dataset_trees.sheet_of(root)
    cells = pd.read_excel(sheet, header=None, dtype=object)
    with pd.ExcelWriter(sheet) as writer:
        for name in ("label", "copy"):
            cells.to_excel(writer, sheet_name=name, header=False, index=False)
    table = read_casme3(root)
    assert "'label' is read" in table.attrs["notes"][0]


@pytest.mark.parametrize("cell", ["4_6", "1e2", "0x10", "٤٦٧x", "-", "12/3", True, float("inf")])
def test_what_is_not_a_number(cell):
    with pytest.raises(Fault, match="must be a whole number"):
        read_number(cell, "OnsetFrame")


@given(st.integers(0, 10**9))
def test_every_way_to_write_a_number(value):
    for cell in (value, float(value), str(value), f" {value:012d} ", f"{value}.00", np.int64(value)):
        assert read_number(cell, "x") == value
