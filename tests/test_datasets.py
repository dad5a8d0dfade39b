"""Readers of the real data sets' layouts, on trees that have them and everything known to be odd in them."""

import os
import re
import shutil
import sys

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microexpr.data import (
    DATASETS,
    read_casme2,
    read_casme3,
    read_dataset,
    read_frames,
    read_manifest,
    read_smic,
    report,
)

LONG = ["casme-sq", "samm-lv", "smic-e-hs", "smic-e-vis", "smic-e-nir"]
LATER = ["mmew", "casme3-c", "4dme", *LONG]
NAMES = ["casme", "casme2", "samm", "casme3", "smic-hs", "smic-vis", "smic-nir", "manifest", *LATER]
CODED = ["casme", "casme2", "samm", "casme3"]
COLUMNS = ["dataset", "subject", "clip", "emotion", "onset", "apex", "offset", "action_units", "frames"]
ATTRS = {"problems", "corrections", "notes", "sources", "sheet", "simulated", "selection"}


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
        ("mmew", "MMEW", "01"),
        ("casme3-c", "CAS(ME)3-C", "01"),
        ("4dme", "4DME", "01"),
        ("casme-sq", "CAS(ME)2", "15"),
        ("samm-lv", "SAMM-LV", "006"),
        ("smic-e-hs", "SMIC-E-HS", "01"),
        ("smic-e-vis", "SMIC-E-VIS", "01"),
        ("smic-e-nir", "SMIC-E-NIR", "01"),
    ],
)
def test_each_layout(name, dataset, subject, make_tree, dataset_trees):
    root = make_tree(name, images="tiny", size=(20, 16))
    table = read_dataset(name.upper(), root, strict=True)
    assert (table["dataset"][0], table["subject"][0]) == (dataset, subject)
    assert list(table.columns) == COLUMNS
    assert table.attrs["problems"] == table.attrs["corrections"] == table.attrs["notes"] == []
    assert set(table.attrs) == ATTRS
    assert table.attrs["sources"] == [["smic-hs" if name == "smic" else name, str(root)]]
    assert table.attrs["simulated"] is False
    assert table.attrs["selection"] is None
    assert table["apex"].dtype == "Int64"
    assert table.groupby(["subject", "clip"]).size().max() == 1
    assert table["subject"].nunique() == 3
    for row in table.itertuples():
        numbers = [dataset_trees.number_of(path) for path in row.frames]
        assert numbers == list(range(row.onset, row.offset + 1))
        assert row.emotion == row.emotion.lower()
    assert read_frames(table["frames"][0], None).shape == (len(table["frames"][0]), 20, 16)
    if name not in dataset_trees.SMIC and name != "smic":
        assert table["apex"].isna().all() == (name in dataset_trees.WITHOUT_APEX)
        assert (table["apex"] >= table["onset"]).all()
        assert set(table["action_units"]) == {"" if name.startswith("smic-e") else "4+L10"}
        # the frames before the onset and after the offset are there, and left out
        folder = table["frames"][0][0].parent
        more = 0 if name in dataset_trees.WHOLE_FOLDERS else 2
        assert len(list(folder.iterdir())) == len(table["frames"][0]) + more


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
    if name in dataset_trees.SMIC:  # in the order of the folders
        assert sorted(kinds) == sorted(expected)
        for problem in table.attrs["problems"]:
            assert re.match(r"(HS|VIS|NIR)/s\d/micro/\w+/s\d_", str(problem))
    else:
        assert kinds == expected
        file = root.name if name == "manifest" else dataset_trees.sheet_of(root).name
        first = dataset_trees.FIRST_ROW.get(name, 2) + max(dataset_trees.SLIPS.get(name, {}), default=-1) + 1
        for problem, (row, quirk) in zip(
            table.attrs["problems"],
            [(first + i, quirk) for i, quirk in enumerate(quirks) if quirks[quirk]],
            strict=True,
        ):
            assert problem.where == f"{file}, row {row + (quirk == 'coded twice')}"
            assert str(problem) == f"{problem.where}: {problem.what}"
    assert len(table) >= 3
    with pytest.raises(ValueError, match=f"^{len(expected)} problems:\n") as error:
        read_dataset(name, root, strict=True)
    lines = [str(problem) for problem in table.attrs["problems"]]
    assert str(error.value).split("\n")[1:] == lines
    text = report(table)
    assert all(text.count(line) == 1 for line in lines)
    assert f"Left out: {len(expected)} clips" in text


def test_folders_that_no_row_codes(make_tree):
    root = make_tree("casme2")
    (root / "Cropped" / "sub02" / "EP99_01").mkdir()
    (root / "Cropped" / "sub09" / "EP01_01").mkdir(parents=True)
    (note,) = read_casme2(root, strict=True).attrs["notes"]
    assert note == "2 folders that no row codes; the first: Cropped/sub02/EP99_01"


def test_the_words_of_each_problem(make_tree):
    problems = read_dataset("casme2", make_tree("casme2", quirks="all")).attrs["problems"]
    for line, words in zip(
        map(str, problems),
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


def test_a_row_with_several_faults_says_all_of_them(make_tree, dataset_trees):
    root = make_tree("casme2")

    def change(cells):
        cells.loc[3, [0, 3, 8]] = ["x", "/", "hapiness"]
        return cells

    dataset_trees.edit_sheet(root, change)
    (problem,) = map(str, read_casme2(root).attrs["problems"])
    assert problem.startswith("CASME2-coding.xlsx, row 4: Subject is 'x'")
    assert "OnsetFrame is '/'" in problem
    assert "Estimated Emotion is 'hapiness'" in problem


# Frames


@given(st.lists(st.integers(0, 99999), min_size=2, max_size=12, unique=True), st.sampled_from([0, 3, 5]))
@settings(max_examples=25, deadline=None)
def test_frames_sort_as_numbers(tmp_path_factory, dataset_trees, numbers, zeros):
    root = tmp_path_factory.mktemp("frames")
    (root / "a").mkdir()
    for n in numbers:
        (root / "a" / f"006_1_2_{n:0{zeros}d}.jpg").touch()
    manifest = root / "m.csv"
    manifest.write_text("folder,subject,emotion\na,1,calm\n")
    table = read_manifest(manifest, allow_gaps=True)
    assert [dataset_trees.number_of(path) for path in table["frames"][0]] == sorted(numbers)
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


def test_disjoint_clips_of_one_folder_are_kept_apart(make_tree, dataset_trees):
    root = make_tree("casme2")
    before = read_casme2(root)
    for extra in range(90):
        (before["frames"][0][0].parent / f"reg_img{300 + extra}.jpg").touch()

    def change(cells):
        row = cells.loc[1].copy()
        row[3], row[4], row[5] = 310, "/", 330
        return pd.concat([cells, row.to_frame().T], ignore_index=True)

    dataset_trees.edit_sheet(root, change)
    table = read_casme2(root, strict=True)
    assert table["clip"].to_list()[-1] == "EP01_00f_310"
    assert len(table["frames"].iloc[-1]) == 21
    assert "named EP01_00f_310" in table.attrs["notes"][0]


# Data sets with folders of their own


def test_casme3_cut_out_and_macro_expressions(make_tree, dataset_trees):
    root = make_tree("casme3", layout="cut", clips=30)
    for path in list((root / "frame").iterdir()):
        (root / "rgb depth" / path.name).mkdir(parents=True)

    def change(cells):
        cells[8] = ["Expression type", *["Micro-expression"] * 28, *["Macro-expression"] * 2]
        return cells

    assert len(read_casme3(root, strict=True)) == 30
    dataset_trees.edit_sheet(root, change)
    assert len(read_casme3(root, strict=True)) == 28
    shutil.rmtree(root / "frame" / next(iter(os.listdir(root / "frame"))))
    (problem,) = map(str, read_casme3(root).attrs["problems"])
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
    table = read_smic(root, "nir")
    assert all("NIR" in path.parts for path in table["frames"][0])
    assert table.attrs["sources"] == [["smic-nir", str(root)]]  # what reads the same camera again
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


# Names, and nothing there


def test_names_of_data_sets():
    assert {*NAMES, "smic", "smic-e"} == set(DATASETS)
    with pytest.raises(ValueError, match="'fer2013' is not a data set; it must be casme, casme2, smic"):
        read_dataset("fer2013", ".")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("module", ["pandas", "openpyxl"])
def test_without_the_extra(name, module, make_tree, monkeypatch):
    root = make_tree(name)
    monkeypatch.setitem(sys.modules, module, None)
    words = rf"^reading data sets needs {module}; install microexpr\[datasets\]$"
    with pytest.raises(ModuleNotFoundError, match=words):
        read_dataset(name, root)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "manifest"])
def test_no_data_set(name, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_dataset(name, tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match=r"holds 0 spreadsheets|has no folders s1/micro"):
        read_dataset(name, tmp_path)


@pytest.mark.parametrize("name", CODED)
def test_a_sheet_without_frames_or_of_another_data_set(name, make_tree, dataset_trees):
    root = make_tree(name)
    for folder in root.iterdir():
        if folder.is_dir() and folder.name != "annotation":
            shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match="has no folders"):
        read_dataset(name, root)
    dataset_trees.edit_sheet(root, lambda cells: cells.drop(columns=[1]))
    with pytest.raises(ValueError, match="has no column Filename; it has "):
        read_dataset(name, root)
