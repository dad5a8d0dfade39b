"""Readers of the real data sets' layouts, on trees that have them and everything known to be odd in them."""

import copy
import os
import pickle
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microexpr import simulate
from microexpr.data import (
    DATASETS,
    PUBLISHED,
    combine,
    read_casme,
    read_casme2,
    read_casme3,
    read_dataset,
    read_frames,
    read_manifest,
    read_samm,
    read_smic,
    report,
    select_classes,
)

NAMES = ["casme", "casme2", "samm", "casme3", "smic-hs", "smic-vis", "smic-nir", "manifest"]
CODED = ["casme", "casme2", "samm", "casme3"]
COLUMNS = ["dataset", "subject", "clip", "emotion", "onset", "apex", "offset", "action_units", "frames"]


def number(path):
    return int(re.search(r"(\d+)$", path.stem)[1])


def sheet_of(root):
    (sheet,) = [path for path in root.rglob("*.xlsx") if path.name[0] not in "~O"]
    return sheet


def edit(root, change):
    """Change the cells of a spreadsheet, header included, as read without one."""
    sheet = sheet_of(root)
    cells = pd.read_excel(sheet, header=None, dtype=object)
    cells = change(cells)
    cells.to_excel(sheet, header=False, index=False)
    return sheet


@pytest.mark.parametrize(
    ("name", "dataset", "subject"),
    [
        ("casme", "CASME", "01"),
        ("casme2", "CASME II", "01"),
        ("samm", "SAMM", "006"),
        ("casme3", "CAS(ME)3", "001"),
        ("smic", "SMIC-HS", "01"),
        ("smic-hs", "SMIC-HS", "01"),
        ("smic-vis", "SMIC-VIS", "01"),
        ("smic-nir", "SMIC-NIR", "01"),
        ("manifest", "films", "person1"),
    ],
)
def test_each_layout(name, dataset, subject, make_tree):
    root = make_tree(name, images="tiny", size=(20, 16))
    table = read_dataset(name.upper(), root, strict=True)
    assert (table["dataset"][0], table["subject"][0]) == (dataset, subject)
    assert list(table.columns) == COLUMNS
    assert table.attrs["problems"] == table.attrs["corrections"] == table.attrs["notes"] == []
    assert table.attrs["source"] == str(root)
    assert not table.attrs["simulated"]
    assert table["apex"].dtype == "Int64"
    assert table.groupby(["subject", "clip"]).size().max() == 1
    assert table["subject"].nunique() == 3
    for row in table.itertuples():
        assert [number(path) for path in row.frames] == list(range(row.onset, row.offset + 1))
        assert row.emotion == row.emotion.lower()
    assert read_frames(table["frames"][0], None).shape == (len(table["frames"][0]), 20, 16)
    if not name.startswith("smic"):
        assert (table["apex"] >= table["onset"]).all()
        assert set(table["action_units"]) == {"4+L10"}
        # the frames before the onset and after the offset are there, and left out
        folder = table["frames"][0][0].parent
        assert len(list(folder.iterdir())) == len(table["frames"][0]) + 2


@pytest.mark.parametrize("name", NAMES)
def test_what_does_no_harm(name, make_tree, dataset_trees):
    quirks = [quirk for quirk, kind in dataset_trees.QUIRKS[name].items() if kind is None]
    table = read_dataset(name, make_tree(name, quirks=quirks, clips=20), strict=True)
    assert len(table) == 20
    assert len(table.attrs["notes"]) == ("apex outside" in quirks)
    if "apex outside" in quirks:
        assert "lies outside the clip" in table.attrs["notes"][0]
        assert table["apex"].isna().sum() == 2  # and the "/"


@pytest.mark.parametrize("name", NAMES)
def test_all_quirks_at_once_are_reported_together(name, make_tree, dataset_trees):
    quirks = dataset_trees.QUIRKS[name]
    root = make_tree(name, quirks="all", slips=name in dataset_trees.SLIPS)
    table = read_dataset(name, root)
    kinds = [problem.kind for problem in table.attrs["problems"]]
    expected = [kind for kind in quirks.values() if kind]
    if name.startswith("smic"):  # in the order of the folders
        assert sorted(kinds) == sorted(expected)
        for line in table.attrs["problems"]:
            assert re.match(r"(HS|VIS|NIR)/s\d/micro/\w+/s\d_", line)
    else:
        assert kinds == expected
        file = root.name if name == "manifest" else sheet_of(root).name
        first = {"samm": 15}.get(name, 2) + max(dataset_trees.SLIPS.get(name, {}), default=-1) + 1
        for line, (row, quirk) in zip(
            table.attrs["problems"],
            [(first + i, quirk) for i, quirk in enumerate(quirks) if quirks[quirk]],
            strict=True,
        ):
            assert line.startswith(f"{file}, row {row + (quirk == 'coded twice')}: ")
    assert len(table) >= 3
    with pytest.raises(ValueError, match=f"^{len(expected)} problems:\n") as error:
        read_dataset(name, root, strict=True)
    assert str(error.value).split("\n")[1:] == table.attrs["problems"]
    text = report(table)
    assert all(text.count(line) == 1 for line in table.attrs["problems"])
    assert f"Left out: {len(expected)} clips" in text


def test_folders_that_no_row_codes(make_tree):
    root = make_tree("casme2")
    (root / "Cropped" / "sub02" / "EP99_01").mkdir()
    (root / "Cropped" / "sub09" / "EP01_01").mkdir(parents=True)
    (note,) = read_casme2(root, strict=True).attrs["notes"]
    assert note == "2 folders that no row codes; the first: Cropped/sub02/EP99_01"


def test_the_words_of_each_problem(make_tree):
    lines = read_dataset("casme2", make_tree("casme2", quirks="all")).attrs["problems"]
    for line, words in zip(
        lines,
        [
            "there is no folder sub01/EP01_00f",
            r"lacks 2 of its 7 frames \(onset 45, offset 51\), the first of them number 50; its folder",
            r"lacks 1 of its 6 frames",
            "holds no image with a number",
            "more than one file of number 95: copy95.jpg and reg_img95.jpg",
            "Estimated Emotion is 'confusoin'; it must be one of anger, contempt",
            "Estimated Emotion is empty; it must be a word",
            "OnsetFrame is '/'; it must be a whole number",
            r"OffsetFrame is 'n.a.'; it must be a whole number",
            r"OnsetFrame is 85.5; it must be a whole number",
            r"Subject is 'sub\?'; it must be a whole number",
            r"has 0 frames \(onset 47, offset 41\)",
            r"has 1 frame \(onset",
            r"is coded already \(frames 24 to 30, CASME2-coding.xlsx, row 15\)",
        ],
        strict=True,
    ):
        assert re.search(words, line), line


def test_a_row_with_several_faults_says_all_of_them(make_tree):
    root = make_tree("casme2")

    def change(cells):
        cells.loc[3, [0, 3, 8]] = ["x", "/", "hapiness"]
        return cells

    edit(root, change)
    (problem,) = read_casme2(root).attrs["problems"]
    assert problem.startswith("CASME2-coding.xlsx, row 4: Subject is 'x'")
    assert "OnsetFrame is '/'" in problem
    assert "Estimated Emotion is 'hapiness'" in problem


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
    ("cell", "extra", "offset", "said"),
    [
        ("/", (), 91, "correction"),  # no number
        (85, (), 91, "correction"),  # can be read, but the folder holds exactly what the sheet should say
        (85, (92,), 85, "note"),  # no longer exactly: the sheet is believed
        (120, (92, 93), 91, "correction"),  # cannot be read, and most of the folder is the clip
        (120, range(92, 110), None, "problem"),  # most of it is not
    ],
)
def test_when_a_known_slip_is_corrected(cell, extra, offset, said, make_tree):
    root = make_tree("casme2", slips=True)
    (folder,) = root.glob("Cropped/sub*/*_60f")
    for number in extra:
        (folder / f"reg_img{number}.jpg").touch()

    def change(cells):
        cells.loc[61, 5] = cell
        return cells

    edit(root, change)
    attrs = read_casme2(root).attrs
    table = read_casme2(root).set_index("clip")
    assert table["offset"].get(folder.name) == offset
    lines = {key: attrs[f"{key}s"] for key in ("correction", "note", "problem")}
    assert [key for key, value in lines.items() if value] == [said]
    expected = {
        "correction": f"OffsetFrame of clip sub03/EP03_60f is {cell}; read as 91",
        "note": "a slip is known of this row (OffsetFrame 91), but it does not fit what is on disk; read as",
        "problem": "a slip is known of this row (OffsetFrame 91), but it does not fit",
    }[said]
    assert lines[said][0].startswith("CASME2-coding.xlsx, row 62: ")
    assert expected in lines[said][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda cells: cells.drop(1),
        lambda cells: pd.concat([cells.iloc[:1], *[cells.iloc[:1].map(lambda _: None)] * 2, cells.iloc[1:]]),
    ],
)
def test_a_shortened_or_lengthened_sheet_is_not_corrected(change, make_tree):
    """Then row 43 of the real sheet stands in row 42, or the like; each stays as it is coded."""
    root = make_tree("casme", slips=True, frames=(2, 3))
    edit(root, change)
    table = read_casme(root)
    assert table.attrs["corrections"] == []
    assert len(table.attrs["problems"]) == 5
    # the one that stands where another slip was is pointed at
    assert sum("a slip is known of this row" in problem for problem in table.attrs["problems"]) == 1


def test_the_sheet_of_a_simulated_data_set_is_not_corrected(make_tree):
    root = make_tree("casme2", slips=True)
    sheet_of(root).rename(root / "CASME2-simulated.xlsx")
    table = read_casme2(root)
    assert table.attrs["simulated"]
    assert table.attrs["corrections"] == []
    assert "row 62: clip sub03/EP03_60f lacks" in table.attrs["problems"][0]


def test_a_consistent_sheet_is_not_corrected(tmp_path, make_tree):
    root = simulate(tmp_path / "data", subjects=2, clips=62, frames=(3, 4), size=(16, 16), progress=False)
    table = read_casme2(root, strict=True)
    assert table.attrs["corrections"] == []
    assert table.attrs["simulated"]
    assert "simulated, not real" in report(table)
    # damaged in the slip's row, it is a problem rather than cut to fit
    assert read_casme2(root).attrs["corrections"] == []
    sheet_of(root).rename(root / "CASME2-coding.xlsx")  # as if it were not simulated
    frames = table["frames"][60]
    frames[-1].unlink()
    for path in frames[-1].parent.glob("*.jpg"):
        if number(path) > table["offset"][60]:
            path.unlink()
    damaged = read_casme2(root)
    assert damaged.attrs["corrections"] == []
    (problem,) = damaged.attrs["problems"]
    assert "lacks 1 of its" in problem
    assert "a slip is known of this row (OffsetFrame 91), but it does not fit" in problem


# Frames


@given(st.lists(st.integers(0, 99999), min_size=2, max_size=12, unique=True), st.sampled_from([0, 3, 5]))
@settings(max_examples=25, deadline=None)
def test_frames_sort_as_numbers(tmp_path_factory, numbers, zeros):
    root = tmp_path_factory.mktemp("frames")
    (root / "a").mkdir()
    for n in numbers:
        (root / "a" / f"006_1_2_{n:0{zeros}d}.jpg").touch()
    manifest = root / "m.csv"
    manifest.write_text("folder,subject,emotion\na,1,calm\n")
    table = read_manifest(manifest, allow_gaps=True)
    assert [number(path) for path in table["frames"][0]] == sorted(numbers)
    complete = max(numbers) - min(numbers) + 1 == len(numbers)
    assert len(table.attrs["notes"]) == (not complete)


def test_gaps_are_kept_when_allowed(make_tree):
    root = make_tree("casme2", quirks=["gap", "missing frames"])
    strict = read_casme2(root)
    table = read_casme2(root, allow_gaps=True)
    assert len(table) == len(strict) + 2
    assert table.attrs["problems"] == []
    assert all("kept, as allow_gaps says" in note for note in table.attrs["notes"])
    assert len(table.attrs["notes"]) == 2
    row = table.iloc[0]
    assert len(row["frames"]) == row["offset"] - row["onset"]


def test_folders_are_found_in_any_case_and_deeper(make_tree):
    root = make_tree("casme2")
    (root / "Cropped" / "sub01" / "EP01_00f").rename(root / "Cropped" / "sub01" / "ep01_00F")
    (root / "Cropped" / "sub02").rename(root / "Cropped" / "Sub2")
    (root / "more").mkdir()
    (root / "Cropped").rename(root / "more" / "Cropped")
    assert len(read_casme2(root, strict=True)) == 10


def test_raw_and_cropped(make_tree, dataset_trees):
    raw = read_casme2(make_tree("casme2", cropped=False))
    assert raw["frames"][0][0].name.startswith("img")
    root = make_tree("casme2")
    dataset_trees.make_tree(root, "casme2", cropped=False)  # beside it
    table = read_casme2(root)
    assert {path.name[:7] for path in table["frames"][0]} == {"reg_img"}
    assert "raw and cropped" in table.attrs["notes"][0]
    assert read_casme2(root, cropped=True).attrs["notes"] == []
    assert read_casme2(root, cropped=False)["frames"][0][0].name.startswith("img")
    shutil.rmtree(root / "CASME2_RAW")
    with pytest.raises(FileNotFoundError, match="holds no raw frames"):
        read_casme2(root, cropped=False)


def test_two_copies_of_the_frames(make_tree):
    root = make_tree("casme2")
    shutil.copytree(root / "Cropped", root / "Cropped (2)")
    with pytest.raises(ValueError, match="holds 2 folders of subjects"):
        read_casme2(root)


def test_one_subject_in_two_folders(make_tree):
    root = make_tree("casme2")
    (root / "Cropped" / "sub001").mkdir()
    with pytest.raises(ValueError, match="folders of the same subject"):
        read_casme2(root)


def test_disjoint_clips_of_one_folder_are_kept_apart(make_tree):
    root = make_tree("casme2")
    before = read_casme2(root)
    for extra in range(90):
        (before["frames"][0][0].parent / f"reg_img{300 + extra}.jpg").touch()

    def change(cells):
        row = cells.loc[1].copy()
        row[3], row[4], row[5] = 310, "/", 330
        return pd.concat([cells, row.to_frame().T], ignore_index=True)

    edit(root, change)
    table = read_casme2(root, strict=True)
    assert table["clip"].to_list()[-1] == "EP01_00f_310"
    assert len(table["frames"].iloc[-1]) == 21
    assert "named EP01_00f_310" in table.attrs["notes"][0]


# Spreadsheets


def test_a_sheet_elsewhere_or_below(make_tree, tmp_path):
    root = make_tree("samm")
    sheet = sheet_of(root)
    (root / "docs" / "codes").mkdir(parents=True)
    below = sheet.rename(root / "docs" / "codes" / sheet.name)
    assert len(read_samm(root)) == 10
    outside = below.rename(tmp_path / "codes.xlsx")
    with pytest.raises(FileNotFoundError, match="holds 0 spreadsheets"):
        read_samm(root)
    assert read_samm(root, sheet=outside).attrs["sheet"] == str(outside)
    with pytest.raises(FileNotFoundError, match="no such spreadsheet"):
        read_samm(root, sheet=root / "none.xlsx")


def test_several_spreadsheets(make_tree):
    root = make_tree("casme2")
    sheet = sheet_of(root)
    shutil.copy(sheet, sheet.with_name("CASME2-coding-20190701.xlsx"))
    with pytest.raises(ValueError, match=r"holds 2 spreadsheets of CASME II .*sheet="):
        read_casme2(root)
    assert len(read_casme2(root, sheet=sheet)) == 10


def test_an_unreadable_spreadsheet(make_tree):
    root = make_tree("casme2")
    (root / "broken.xlsx").write_bytes(b"PK\3\4 and no more")
    table = read_casme2(root)
    assert len(table) == 10
    assert "broken.xlsx cannot be read" in table.attrs["notes"][0]
    sheet_of(make_tree("samm")).unlink()
    (root / "CASME2-coding.xlsx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"broken.xlsx cannot be read.*"):
        read_casme2(root)


def test_the_header_wherever_it_is_and_however_it_is_spelled(make_tree):
    root = make_tree("casme2")

    def change(cells):
        cells.iloc[0] = [
            str(cell).replace("Frame", " frame") if cell == cell else cell for cell in cells.iloc[0]
        ]
        cells.iloc[0, 8] = "ESTIMATED EMOTION "
        above = pd.DataFrame([[None] * 9, ["codes of 2014", *[None] * 8]])
        return pd.concat([above, cells], ignore_index=True)

    edit(root, change)
    (root / "Cropped" / "sub01" / "EP01_00f").rename(root / "Cropped" / "sub01" / "elsewhere")
    (problem,) = read_casme2(root).attrs["problems"]
    assert problem.startswith("CASME2-coding.xlsx, row 4: ")


def test_numbers_written_as_text_and_subjects_as_folders(make_tree):
    root = make_tree("casme2")

    def change(cells):
        cells.loc[1, 0], cells.loc[2, 0] = "sub01", "1"
        cells.loc[1:, 3] = [f" {cell}" for cell in cells.loc[1:, 3]]
        cells.loc[1:, 5] = [f"{cell}.0" for cell in cells.loc[1:, 5]]
        return cells

    before = read_casme2(root)
    edit(root, change)
    assert read_casme2(root, strict=True).equals(before)


def test_two_sheets_of_a_workbook_with_the_columns(make_tree):
    root = make_tree("casme3")
    sheet = sheet_of(root)
    cells = pd.read_excel(sheet, header=None, dtype=object)
    with pd.ExcelWriter(sheet) as writer:
        for name in ("label", "copy"):
            cells.to_excel(writer, sheet_name=name, header=False, index=False)
    table = read_casme3(root)
    assert "'label' is read" in table.attrs["notes"][0]


@pytest.mark.parametrize("cell", ["4_6", "1e2", "0x10", "٤٦٧x", "-", "12/3", True, float("inf")])
def test_what_is_not_a_number(cell):
    from microexpr.data.readers import _Fault, _number

    with pytest.raises(_Fault, match="must be a whole number"):
        _number(cell, "OnsetFrame")


@given(st.integers(0, 10**9))
def test_every_way_to_write_a_number(value):
    from microexpr.data.readers import _number

    for cell in (value, float(value), str(value), f" {value:012d} ", f"{value}.00", np.int64(value)):
        assert _number(cell, "x") == value


# Data sets with folders of their own


def test_casme3_cut_out_and_macro_expressions(make_tree):
    root = make_tree("casme3", layout="cut", clips=30)
    for path in list((root / "frame").iterdir()):
        (root / "rgb depth" / path.name).mkdir(parents=True)

    def change(cells):
        cells[8] = ["Expression type", *["Micro-expression"] * 28, *["Macro-expression"] * 2]
        return cells

    assert len(read_casme3(root, strict=True)) == 30
    edit(root, change)
    assert len(read_casme3(root, strict=True)) == 28
    shutil.rmtree(root / "frame" / next(iter(os.listdir(root / "frame"))))
    (problem,) = read_casme3(root).attrs["problems"]
    assert "there is no folder spNO." in problem


def test_casme3_with_frames_beside_depth(make_tree):
    root = make_tree("casme3")
    for folder in root.rglob("color"):
        shutil.copytree(folder, folder.with_name("depth"))
    assert {path.parent.name for row in read_casme3(root, strict=True)["frames"] for path in row} == {"color"}


def test_smic_cameras(make_tree, dataset_trees):
    root = make_tree("smic-hs")
    dataset_trees.make_tree(root, "smic-nir", seed=1)
    assert set(read_smic(root)["dataset"]) == {"SMIC-HS"}
    assert all("NIR" in path.parts for path in read_smic(root, "nir")["frames"][0])
    with pytest.raises(FileNotFoundError, match=r"of camera VIS .* there is HS, NIR"):
        read_smic(root, camera="VIS")
    with pytest.raises(FileNotFoundError, match=r"of camera NIR .* there is HS"):
        read_smic(root / "HS", camera="NIR")
    assert len(read_smic(root / "HS")) == 6
    with pytest.raises(ValueError, match="camera is 'RGB'"):
        read_smic(root, camera="RGB")


@pytest.mark.parametrize(
    "above", ["SMIC_all_cropped/HS", "SMIC-E_raw image/HS_long/SMIC_HS_E", "deep/SMIC_all_raw/HS"]
)
def test_smic_under_other_folders(make_tree, above):
    root = make_tree("smic")
    (root / above).parent.mkdir(parents=True, exist_ok=True)
    (root / "HS").rename(root / above)
    (root / above / "s2").rename(root / above / "s02")
    (root / above / "s1" / "non_micro" / "n1").mkdir(parents=True)
    (root / above / "s19" / "non_micro").mkdir(parents=True)
    assert len(read_smic(root, strict=True)) == 6


def test_smic_without_a_folder_that_names_the_camera(make_tree):
    root = make_tree("smic-vis")
    (root / "VIS").rename(root / "frames")
    assert set(read_smic(root, camera="VIS")["dataset"]) == {"SMIC-VIS"}


def test_smic_long_videos_are_not_read(tmp_path):
    (tmp_path / "HS_long" / "SMIC_HS_E" / "s01" / "s1_ne_01").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="no folder micro/"):
        read_smic(tmp_path)


def test_smic_materials_of_the_same_name(tmp_path):
    for emotion in ("negative", "positive"):
        folder = tmp_path / "HS" / "s1" / "micro" / emotion / "001"
        folder.mkdir(parents=True)
        for n in range(9, 12):
            (folder / f"{n}.jpg").touch()
    assert read_smic(tmp_path, strict=True)["clip"].to_list() == ["negative_001", "positive_001"]


# Manifests


def test_manifest_columns(tmp_path):
    for clip in ("a/1", "a/2", "b/1"):
        (tmp_path / clip).mkdir(parents=True)
        for n in range(1, 12):
            (tmp_path / clip / f"f{n}.png").touch()
    path = tmp_path / "mine.csv"
    path.write_bytes(
        "Subject;Folder;Emotion;onset;offset;apex;action units;clip;dataset;age\r\n"
        "Ane;a/1;Sad;2;10;/;1+2;first;Mine;30\r\n"
        "\r\n"
        '"Ane";a\\2;"in\r\npain";;;;;;;\r\n'
        "Bo;b/1;calm;3;;12\r\n".encode("utf-8-sig")
    )
    table = read_manifest(path)
    assert table["dataset"].to_list() == ["Mine", "mine", "mine"]
    assert table["clip"].to_list() == ["first", "2", "1"]
    assert table["emotion"].to_list() == ["sadness", "in pain", "calm"]
    assert table["onset"].to_list() == [2, 1, 3]
    assert table["offset"].to_list() == [10, 11, 11]
    assert table["apex"].isna().all()
    assert table["action_units"].to_list() == ["1+2", "", ""]
    assert table.attrs["notes"] == [
        "mine.csv, row 5: the apex, 12, lies outside the clip, 3 to 11: left empty"
    ]


def test_manifest_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_manifest(tmp_path)
    path = tmp_path / "m.csv"
    path.write_text("folder,subject\na,1\n")
    with pytest.raises(ValueError, match="has no column emotion; it has folder, subject"):
        read_manifest(path)
    path.write_text("")
    with pytest.raises(ValueError, match="is not a CSV file in UTF-8: No columns"):
        read_manifest(path)
    path.write_bytes("folder,subject,emotion\n".encode("utf-16"))
    with pytest.raises(ValueError, match="is not a CSV file in UTF-8"):
        read_manifest(path)
    path.write_text("folder,subject,emotion\nnowhere,1,calm\n")
    with pytest.raises(
        ValueError, match=r"no clip of .* could be read; the first: m.csv, row 2: there is no folder"
    ):
        read_manifest(path)


# Classes


def coded(dataset, counts, subjects=4):
    emotions = [emotion for emotion, count in counts.items() for _ in range(count)]
    table = pd.DataFrame(
        {
            "dataset": dataset,
            "subject": [f"{i % subjects + 1:02d}" for i in range(len(emotions))],
            "clip": [f"c{i}" for i in range(len(emotions))],
            "emotion": emotions,
        }
    )
    table.attrs = {"problems": [], "corrections": [], "notes": [], "selection": None, "source": dataset}
    return table


def test_the_papers_subsets():
    casme = select_classes(coded("CASME", PUBLISHED["paper"]["CASME"] | {"happiness": 9, "fear": 2}), "paper")
    assert len(casme) == 171
    assert casme["emotion"].value_counts().to_dict() == {
        "tense": 69,
        "disgust": 44,
        "repression": 38,
        "surprise": 20,
    }
    assert casme.attrs["selection"] == "paper"
    assert casme.attrs["notes"] == ["11 clips of other emotions or left out by name: fear 2, happiness 9"]
    casme2 = select_classes(coded("CASME II", PUBLISHED["paper"]["CASME II"], 26), "paper")
    assert len(casme2) == 247
    assert casme2.attrs["notes"] == []
    assert "(published: 64)" in report(casme2)
    with pytest.raises(ValueError, match="no subset of SAMM, only of CASME, CASME II"):
        select_classes(coded("SAMM", {"anger": 2}), "paper")


def test_counts_that_differ_from_the_published_are_noted():
    counts = PUBLISHED["paper"]["CASME II"] | {"disgust": 63}
    (note,) = select_classes(coded("CASME II", counts, 25), "paper").attrs["notes"]
    assert note == (
        "CASME II: counts differ from the published ones, in brackets: disgust 63 (64), subjects 25 (26)"
    )


def test_the_composite_has_the_challenges_counts():
    counts = {"happiness": 32, "surprise": 25, "disgust": 63, "repression": 27}
    casme2 = coded("CASME II", counts | {"others": 99, "sadness": 7, "fear": 2}, 24)
    # the two clips that the challenge leaves out are negative
    casme2.loc[57, ["subject", "clip"]] = ["04", "EP12_01f"]
    casme2.loc[120, ["subject", "clip"]] = ["05", "EP09_05f"]
    counts = {"anger": 57, "happiness": 26, "contempt": 12, "surprise": 15, "disgust": 9, "fear": 8}
    samm = coded("SAMM", counts | {"sadness": 6, "others": 26}, 28)
    smic = coded("SMIC-HS", {"negative": 70, "positive": 51, "surprise": 43}, 16)
    composite = combine([select_classes(table, "composite") for table in (smic, casme2, samm)])
    assert composite["emotion"].value_counts().to_dict() == {"negative": 250, "positive": 109, "surprise": 83}
    assert composite["subject"].nunique() == 68
    assert not any("differ" in note for note in composite.attrs["notes"])
    assert sum("not in the challenge's list" in note for note in composite.attrs["notes"]) == 2
    after = select_classes(combine([smic, casme2, samm]), "composite")  # in the other order
    assert after.equals(composite)


def test_the_composite_of_another_data_set_is_said_to_be_none_of_the_challenge():
    table = select_classes(coded("CASME", {"tense": 3, "disgust": 2, "happiness": 1}), "composite")
    assert table["emotion"].to_list() == ["negative", "negative", "positive"]
    assert any("not in the challenge" in note for note in table.attrs["notes"])


def test_classes_of_ones_own():
    table = coded("SAMM", {"anger": 2, "disgust": 1, "others": 3})
    merged = select_classes(table, {"anger": "high", "disgust": "low"})
    assert merged["emotion"].to_list() == ["high", "high", "low"]
    assert merged.attrs["selection"] == "custom"
    assert select_classes(table, ["others"])["emotion"].to_list() == ["others"] * 3
    assert table["emotion"].to_list()[0] == "anger"  # not changed in place
    with pytest.raises(ValueError, match="classes names angre; the emotions in the table are anger, disgust"):
        select_classes(table, ["angre"])
    with pytest.raises(ValueError, match="classes is 'papers'; it must be 'paper' or 'composite'"):
        select_classes(table, "papers")
    with pytest.raises(ValueError, match="no clip is of the classes"):
        select_classes(coded("SAMM", {"others": 2}), "composite")


def test_combining(make_tree):
    tables = [read_dataset(name, make_tree(name, quirks=["gap"])) for name in ("casme2", "samm", "smic")]
    both = combine(tables)
    assert len(both) == sum(map(len, tables))
    assert both["subject"].iloc[0] == "CASME II/01"
    assert both["apex"].dtype == "Int64"
    assert len(both.attrs["problems"]) == 3
    assert [problem.kind for problem in both.attrs["problems"]] == ["frames"] * 3
    assert combine([both]).equals(both)
    with pytest.raises(ValueError, match="SAMM is in more than one table"):
        combine([both, tables[1]])
    with pytest.raises(ValueError, match="different selections"):
        combine([tables[0], select_classes(tables[1], "composite")])
    with pytest.raises(ValueError, match="no table"):
        combine([])


# Reports


def test_a_report_one_can_act_on(make_tree):
    text = report(read_casme2(make_tree("casme2", quirks="all", slips=True)))
    lines = text.splitlines()
    assert lines[0] == "CASME II: 65 clips of 1 subject" or re.match(
        r"CASME II: \d+ clips of \d subjects", lines[0]
    )
    for words in (
        "  Cells that should hold a whole number (4); correct them in the file named:",
        "  Frames that are not there (2); unpack them again, or read with allow_gaps=True:",
        "  Clips coded twice (1); delete the row that is wrong:",
        "Known slips corrected (1):",
    ):
        assert words in lines


def test_problems_keep_their_kind(make_tree):
    table = read_casme2(make_tree("casme2", quirks=["gap"]))
    for other in (table[table["onset"] > 0], copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        assert [problem.kind for problem in other.attrs["problems"]] == ["frames"]
    table.attrs["problems"].append("clip sub01/x: damaged")  # what extract appends
    assert "Other problems (1); see each line:\n    clip sub01/x: damaged" in report(table)


def test_names_of_data_sets():
    assert {*NAMES, "smic"} == set(DATASETS)
    with pytest.raises(ValueError, match="'fer2013' is not a data set; it must be casme, casme2, smic"):
        read_dataset("fer2013", ".")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "manifest"])
def test_no_data_set(name, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_dataset(name, tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match=r"holds 0 spreadsheets|has no folders s1/micro"):
        read_dataset(name, tmp_path)


@pytest.mark.parametrize("name", CODED)
def test_a_sheet_without_frames_or_of_another_data_set(name, make_tree):
    root = make_tree(name)
    for folder in root.iterdir():
        if folder.is_dir() and folder.name != "annotation":
            shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match="has no folders"):
        read_dataset(name, root)
    edit(root, lambda cells: cells.drop(columns=[1]))
    with pytest.raises(ValueError, match="has no column Filename; it has "):
        read_dataset(name, root)
