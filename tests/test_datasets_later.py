"""What is particular to MMEW, part C of CAS(ME)3 and 4DME."""

import shutil

import pandas as pd
import pytest

from microexpr.data import read_4dme, read_casme3_c, read_dataset, read_mmew

# MMEW


def test_mmew_under_folders_of_subjects(make_tree):
    """As its page says: S03/happiness/S03-01-002/1.jpg; public code has it without the first."""
    root = make_tree("mmew")
    before = read_mmew(root, strict=True)
    for frames in before["frames"]:
        clip = frames[0].parent
        subject = clip.parents[1] / clip.name[:3] / clip.parent.name
        subject.mkdir(parents=True, exist_ok=True)
        clip.rename(subject / clip.name)
    table = read_mmew(root, strict=True)
    assert table.drop(columns="frames").equals(before.drop(columns="frames"))
    assert table["frames"][0][0].parent.parent.parent.name == "S01"


def test_macro_expressions_of_mmew_are_not_read(make_tree):
    root = make_tree("mmew")
    (root / "MMEW_Final" / "Macro_Expression").mkdir()
    shutil.copytree(
        root / "MMEW_Final" / "Micro_Expression", root / "MMEW_Final" / "Macro_Expression" / "S01"
    )
    table = read_mmew(root, strict=True)
    assert {path.parents[2].name for frames in table["frames"] for path in frames} == {"Micro_Expression"}
    assert table.attrs["notes"] == []


def test_two_trees_of_mmew(make_tree):
    root = make_tree("mmew")
    final = root / "MMEW_Final"
    shutil.copytree(final / "Micro_Expression", final / "Micro_Expression_cropped")
    table = read_mmew(root)
    assert table["frames"][0][0].parents[2].name == "Micro_Expression_cropped"
    assert "raw and cropped" in table.attrs["notes"][0]
    assert read_mmew(root, cropped=False)["frames"][0][0].parents[2].name == "Micro_Expression"
    table = read_mmew(root, tree="MMEW_Final/Micro_Expression", strict=True)
    assert table["frames"][0][0].parents[2].name == "Micro_Expression"
    assert table.attrs["notes"] == []


def test_mmew_of_other_names(make_tree, dataset_trees):
    root = make_tree("mmew")
    shutil.rmtree(root / "MMEW_Final" / "Micro_Expression")
    with pytest.raises(FileNotFoundError, match=r"has no folders called as the clips are \(s01-01-001, "):
        read_mmew(root)


@pytest.mark.parametrize("cell", ["/", 30, 200])
def test_slips_of_mmew(cell, make_tree, dataset_trees):
    """Rows whose apex and offset MEB corrects; the folder holds exactly the clip."""
    root = make_tree("mmew", clips=40)

    def change(cells):
        cells.loc[34, 3], cells.loc[34, 4] = cell, cell
        return cells

    folder = read_mmew(root)["frames"][33][0].parent
    for number in range(1, 76):
        (folder / f"{number}.jpg").touch()
    dataset_trees.edit_sheet(root, change)
    table = read_mmew(root, strict=True)
    assert tuple(table.loc[33, ["onset", "apex", "offset"]]) == (1, 40, 75)
    assert [line.split("; ")[1] for line in table.attrs["corrections"]] == ["read as 40", "read as 75"]
    (folder / "76.jpg").touch()
    again = read_mmew(root)
    if cell == 30:  # as coded it is on disk, and the folder is not the clip that MEB has
        assert again["offset"][33] == 30
        assert "a slip is known of this row" in again.attrs["notes"][-2]


# CAS(ME)3, part C


def test_videos_of_casme3_part_c(make_tree):
    root = make_tree("casme3-c", layout="video", subjects=3, clips=9)
    table = read_casme3_c(root, strict=True)
    assert len(table) == 9
    assert table["frames"].map(lambda frames: frames[0].parent).nunique() == 3
    assert table["clip"].to_list()[:3] == ["1", "2", "3"]
    assert table.attrs["notes"] == []


def test_overlapping_clips_of_casme3_part_c(make_tree, dataset_trees):
    root = make_tree("casme3-c", layout="video", subjects=3, clips=9)

    def change(cells):
        cells.loc[2, 2], cells.loc[2, 3] = cells.loc[1, 2] + 1, cells.loc[1, 3]
        cells.loc[3, 2], cells.loc[3, 3] = cells.loc[1, 2], cells.loc[1, 3]
        return cells

    dataset_trees.edit_sheet(root, change)
    table = read_casme3_c(root)
    assert len(table) == 8
    (problem,) = table.attrs["problems"]
    assert problem.kind == "duplicate"


def test_parts_a_and_c_of_casme3_in_one_root(make_tree, dataset_trees):
    root = make_tree("casme3-c", layout="video")
    dataset_trees.make_tree(root, "casme3")
    assert set(read_casme3_c(root, strict=True)["dataset"]) == {"CAS(ME)3-C"}
    assert set(read_dataset("casme3", root, strict=True)["dataset"]) == {"CAS(ME)3"}


# 4DME


def test_4dme_without_folders_of_subjects(make_tree):
    root = make_tree("4dme")
    for folder in list((root / "gray_micro_crop").iterdir()):
        for clip in list(folder.iterdir()):
            clip.rename(root / "gray_micro_crop" / clip.name)
        folder.rmdir()
    assert len(read_4dme(root, strict=True)) == 10


def test_several_emotions_of_4dme(make_tree, dataset_trees):
    root = make_tree("4dme")

    def change(cells):
        cells.loc[1:4, 6] = ["Surprise+Positive", "negative & Repression", " Other ", "Positive+Sleepy"]
        return cells

    dataset_trees.edit_sheet(root, change)
    table = read_4dme(root)
    assert table["emotion"].to_list()[:3] == ["positive+surprise", "negative+repression", "others"]
    (problem,) = table.attrs["problems"]
    assert "Emotion is 'positive+sleepy'; it must be one of negative, others, positive" in str(problem)


def test_raw_and_cropped_frames_of_4dme(make_tree, dataset_trees):
    root = make_tree("4dme", cropped=False)
    dataset_trees.make_tree(root, "4dme")
    assert read_4dme(root)["frames"][0][0].parents[2].name == "gray_micro_crop"
    assert read_4dme(root, cropped=False)["frames"][0][0].parents[2].name == "gray_micro"
    assert read_4dme(root, tree="gray_micro", strict=True).attrs["notes"] == []


def test_a_subject_of_4dme_that_is_no_number(make_tree, dataset_trees):
    root = make_tree("4dme")

    def change(cells):
        cells.loc[1, 0], cells.loc[2, 0], cells.loc[3, 1] = "S01", "one", None
        return cells

    dataset_trees.edit_sheet(root, change)
    problems = pd.Series(map(str, read_4dme(root).attrs["problems"]))
    assert problems.str.contains("Subject is 'one'|fold_name is empty").all()
    assert len(problems) == 2
