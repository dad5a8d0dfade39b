"""Folders beside those that a data set comes with: OpenFace's, and several trees of frames."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from microexpr.data import DATASETS, read_casme, read_casme2, read_casme3, read_dataset, read_smic

CODED = ["casme", "casme2", "samm", "casme3"]
LATER = ["mmew", "casme3-c", "4dme", "casme-sq", "samm-lv", "smic-e-hs"]


def align(folder, numbers=None, beside=False):
    """What OpenFace writes of a folder: its frames counted from 1, and a second face in one of them."""
    images = sorted(folder.iterdir(), key=lambda path: path.name)
    aligned = folder.with_name(folder.name + "_aligned")
    aligned.mkdir()
    for k in range(1, len(images) + 1):
        if numbers is None or k in numbers:
            (aligned / f"frame_det_00_{k:06d}.bmp").touch()
    (aligned / "frame_det_01_000002.bmp").touch()
    if not beside:
        shutil.rmtree(folder)
    return aligned


def cut_to_the_clip(table):
    """Remove the frames before and after the clips: folders that are the clips."""
    for frames in table["frames"]:
        for path in set(frames[0].parent.iterdir()) - set(frames):
            path.unlink()


@pytest.mark.parametrize("name", [*CODED, *LATER])
@pytest.mark.parametrize("beside", [False, True])
def test_folders_of_openface(name, beside, make_tree):
    root = make_tree(name)
    before = read_dataset(name, root, strict=True)
    cut_to_the_clip(before)
    for frames in before["frames"]:
        align(frames[0].parent, beside=beside)
    table = read_dataset(name, root, strict=True)
    assert table.drop(columns="frames").equals(before.drop(columns="frames"))
    for frames, old in zip(table["frames"], before["frames"], strict=True):
        assert [path.name for path in frames] == [f"frame_det_00_{k:06d}.bmp" for k in range(1, len(old) + 1)]
        assert frames[0].parent.name == old[0].parent.name + "_aligned"
    notes = table.attrs["notes"]
    assert f"{len(table)} clips in folders of OpenFace (*_aligned), which counts frames from 1" in notes[-1]
    assert len(notes) == 1 + beside
    if beside:
        assert "(cropped=False reads the others)" in notes[0]
        assert read_dataset(name, root, cropped=False, strict=True).equals(before)
        assert len(read_dataset(name, root, cropped=True).attrs["notes"]) == 1


def test_a_folder_of_openface_that_is_longer_than_the_clip(make_tree):
    """As with whole videos: then its numbers are taken as they are."""
    root = make_tree("casme")
    before = read_casme(root)
    for frames in before["frames"]:
        folder = frames[0].parent
        for number in range(1, 140):
            (folder / f"{number:03d}.jpg").touch()
        for path in folder.glob("reg_*"):
            path.unlink()
        align(folder)
    table = read_casme(root, strict=True)
    assert table["frames"][0][0].name == f"frame_det_00_{before['onset'][0]:06d}.bmp"
    assert table["onset"].equals(before["onset"])


def test_faces_that_openface_did_not_find_are_a_gap(make_tree):
    root = make_tree("casme2")
    before = read_casme2(root)
    cut_to_the_clip(before)
    folder = before["frames"][0][0].parent
    length = len(before["frames"][0])
    for frames in before["frames"][1:]:
        align(frames[0].parent)
    align(folder, numbers=[1, *range(3, length + 1)])
    (problem,) = map(str, read_casme2(root).attrs["problems"])
    assert "lacks 1 of its" in problem
    assert f"the first of them number {before['onset'][0] + 1};" in problem
    assert len(read_casme2(root, allow_gaps=True)) == len(before)


def test_known_slips_in_folders_of_openface(make_tree):
    root = make_tree("casme2", slips=True)
    before = read_casme2(root)
    cut_to_the_clip(before)
    for frames in before["frames"]:
        align(frames[0].parent)
    table = read_casme2(root, strict=True)
    assert table.attrs["corrections"] == before.attrs["corrections"]
    assert (table["onset"][60], table["offset"][60]) == (80, 91)


def test_smic_in_folders_of_openface(make_tree):
    root = make_tree("smic")
    before = read_smic(root)
    for frames in before["frames"]:
        align(frames[0].parent)
    table = read_smic(root, strict=True)
    assert table["clip"].equals(before["clip"])
    assert set(table["onset"]) == {1}
    assert table["offset"].to_list() == [len(frames) for frames in before["frames"]]


def test_colour_frames_of_casme3_aligned_beside_depth(make_tree):
    root = make_tree("casme3")
    before = read_casme3(root)
    for frames in before["frames"]:
        shutil.copytree(frames[0].parent, frames[0].parent.with_name("depth"))
    cut_to_the_clip(before)
    for folder in {frames[0].parent for frames in before["frames"]}:
        align(folder)
    assert len(read_casme3(root, strict=True)) == len(before)


def test_casme3_cut_out_and_aligned(make_tree):
    root = make_tree("casme3", layout="cut", clips=30)
    before = read_casme3(root)
    cut_to_the_clip(before)
    for frames in before["frames"]:
        align(frames[0].parent)
    table = read_casme3(root, strict=True)
    assert table["clip"].equals(before["clip"])


# Several trees


def test_one_of_several_trees(make_tree):
    root = make_tree("casme2")
    (root / "CASME2_preprocessed").mkdir()
    (root / "Cropped").rename(root / "CASME2_preprocessed" / "Cropped_128")
    shutil.copytree(
        root / "CASME2_preprocessed" / "Cropped_128", root / "CASME2_preprocessed" / "Cropped_256"
    )
    with pytest.raises(
        ValueError,
        match=r"holds 2 folders of subjects.*say which one with tree, as "
        r"tree='CASME2_preprocessed/Cropped_128'$",
    ):
        read_casme2(root)
    for tree in ("Cropped_256", "cropped_256", "CASME2_preprocessed/Cropped_256"):
        table = read_casme2(root, tree=tree, strict=True)
        assert {path.parents[2].name for path in table["frames"][0]} == {"Cropped_256"}
        assert table.attrs["notes"] == []
    for tree in ("Cropped", "256", "CASME2_preprocessed"):
        with pytest.raises(
            ValueError, match=rf"tree is '{tree}'; the folders of subjects in .* are 'CASME2_pre"
        ):
            read_casme2(root, tree=tree)


def test_one_of_several_trees_of_smic(make_tree):
    root = make_tree("smic")
    for folder in ("raw", "more"):
        shutil.copytree(root / "HS", root / folder / "HS")
    shutil.rmtree(root / "HS")
    with pytest.raises(ValueError, match="tree='more/HS'"):
        read_smic(root)
    table = read_smic(root, tree="raw/HS", strict=True)
    assert "raw" in table["frames"][0][0].parts


# Slips of CAS(ME)3, known by what their rows say

SLIPS = [
    # subject, video, coded (onset, apex, offset), read as; from MEB, and from sheets of the data set's own
    (149, "d", (112, 83, 358), (112, 123, 358)),
    (214, "c", (5, 5, 3460), (5, 5, 34)),
    (216, "d", (3647, 2668, 2694), (2647, 2668, 2694)),
    (216, "e", (0, 0, 25), (1, 1, 25)),
    (40, "e", (1812, 1824, 0), (1812, 1824, 1845)),
    (40, "e", (2327, 2363, 0), (2327, 2363, 2403)),
]


def casme3_with_slips(root, cut):
    rows, numbers = [("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "emotion")], {}
    for subject, video, (onset, apex, offset), (first, _, last) in SLIPS:
        rows.append((f"spNO.{subject}", video, onset, apex, offset, "4", "others"))
        folder = root / "part_A" / f"spNO.{subject}" / video / "color"
        if cut:
            folder = root / f"spNO.{subject}_{video}_{onset}"
        numbers.setdefault(folder, set()).update(range(first, last + 1) if cut else range(1, last + 90))
    for folder, those in numbers.items():
        folder.mkdir(parents=True)
        for number in those:
            (folder / f"{number}.jpg").touch()
    pd.DataFrame(rows).to_excel(root / "cas(me)3.xlsx", header=False, index=False)
    return root


@pytest.mark.parametrize("cut", [False, True])
def test_slips_of_casme3(cut, tmp_path):
    table = read_casme3(casme3_with_slips(tmp_path, cut), strict=True)
    assert [(row.onset, row.apex, row.offset) for row in table.itertuples()] == [slip[3] for slip in SLIPS]
    assert table["clip"].to_list() == ["d_112", "c_5", "d_2647", "e_1", "e_1812", "e_2327"]
    assert len(table.attrs["corrections"]) == 7
    assert "row 5: Onset of clip spNO.216/e is 0; read as 1" in table.attrs["corrections"][3]
    assert table.attrs["notes"] == []


def test_a_slip_of_casme3_that_the_frames_do_not_confirm(tmp_path):
    root = casme3_with_slips(tmp_path, cut=False)
    (video,) = root.glob("part_A/spNO.214/c/color")
    for number in range(1, 3500):
        (video / f"{number}.jpg").touch()
    table = read_casme3(root, strict=True)
    assert table["offset"][1] == 3460
    (note,) = table.attrs["notes"]
    assert note.endswith("(Offset 34), but it does not fit what is on disk; read as it is coded")
    (root / "part_A" / "spNO.216" / "d" / "color" / "2650.jpg").unlink()
    (problem,) = map(str, read_casme3(root).attrs["problems"])
    assert "(onset 3647, offset 2694)" in problem
    assert "a slip is known of this row (Onset 2647), but it does not fit" in problem


def test_slips_of_casme3_in_a_sorted_sheet(tmp_path, dataset_trees):
    root = casme3_with_slips(tmp_path, cut=False)
    dataset_trees.edit_sheet(root, lambda cells: cells.iloc[[0, *range(len(cells) - 1, 0, -1)]])
    assert len(read_casme3(root, strict=True).attrs["corrections"]) == 7


def test_every_reader_of_folders_takes_a_tree(make_tree):
    for name in [*CODED, "smic"]:
        root = make_tree(name)
        table = DATASETS[name](root)
        subject = table["frames"][0][0].relative_to(root).parts
        tree = {"casme": ".", "samm": ".", "casme2": "Cropped", "casme3": "part_A", "smic": "HS"}[name]
        assert tree in (subject[0], ".")
        assert DATASETS[name](root, tree=tree).equals(table)
        assert Path(root, tree).is_dir()
