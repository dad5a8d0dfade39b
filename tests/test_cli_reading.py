"""Options of reading on the command line, each of the data set that was named last."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import microexpr
from microexpr import _option_groups
from microexpr.cli import main
from microexpr.data import DATASETS, read_clip, read_dataset, read_frames
from microexpr.store import FeatureStore


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def tree(root, *clips, numbers, sheet="codes.xlsx"):
    """A data set like CASME II: clips are (name, onset, offset)."""
    rng = np.random.default_rng(0)
    rows = []
    for k, (name, onset, offset) in enumerate(clips):
        subject, emotion = k % 3 + 1, ("disgust", "surprise")[k // 3 % 2]
        folder = Path(root, f"sub{subject:02d}", name)
        folder.mkdir(parents=True)
        for number in numbers:
            pixels = rng.integers(0, 256, (20, 20), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"img{number}.png")
        rows.append([subject, name, onset, "/", offset, "", emotion])
    columns = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units"]
    table = pd.DataFrame(rows, columns=[*columns, "Estimated Emotion"])
    table.to_excel(Path(root, sheet), index=False)
    return Path(root)


CLIPS = [(f"EP01_{k:02d}", 46, 50) for k in range(6)]
SMALL = ["--size", "20", "20", "--blocks", "1", "1"]


def test_renumbered_frames_are_extracted_if_told(capsys):
    tree("data", *CLIPS, numbers=range(1, 6))
    assert main(["extract", "casme2", "data", *SMALL]) == 2
    error = capsys.readouterr().err
    assert "if its frames were renumbered, --whole-folder takes all of them" in error
    assert "whole_folder" not in error
    assert main(["extract", "casme2", "data", "--whole-folder", *SMALL]) == 0
    assert len(FeatureStore("casme2.zarr").table) == 6
    capsys.readouterr()
    tree("part", *[(name, 2, 4) for name, *_ in CLIPS], numbers=range(1, 6))
    assert main(["extract", "casme2", "part", "--store", "part.zarr", *SMALL]) == 0
    assert "6 clips taken in part of folders whose numbers begin at 0 or 1" in (
        out := capsys.readouterr().out
    )
    assert "read with --whole-folder; the first: codes.xlsx, row 2, 2 to 4 of 1 to 5" in out


def test_gaps_and_sheets(capsys):
    root = tree("data", *CLIPS, numbers=[45, 46, 48, 50, 51])
    assert main(["extract", "casme2", "data", *SMALL]) == 2
    assert "lacks 2 of its 5 frames" in capsys.readouterr().err
    (root / "codes.xlsx").rename("elsewhere.xlsx")
    assert main(["extract", "casme2", "data", "--allow-gaps", *SMALL]) == 2
    assert "holds 0 spreadsheets" in capsys.readouterr().err
    assert main(["extract", "casme2", "data", "--allow-gaps", "--sheet", "elsewhere.xlsx", *SMALL]) == 0
    assert "kept, as --allow-gaps says" in capsys.readouterr().out
    for name in ("one.xlsx", "two.xlsx"):
        (root / name).write_bytes(Path("elsewhere.xlsx").read_bytes())
    assert main(["extract", "casme2", "data", *SMALL]) == 2
    assert "say which one with --sheet ..." in capsys.readouterr().err
    some = tree("some", *CLIPS[:3], numbers=range(40, 60))
    table = pd.read_excel(some / "codes.xlsx")
    pd.concat([table, table.assign(Filename="gone", OnsetFrame=99)]).to_excel(
        some / "codes.xlsx", index=False
    )
    (some / "sub01" / "EP01_00" / "img47.png").unlink()
    assert main(["extract", "casme2", "some", *SMALL, "--store", "some.zarr"]) == 1
    assert (
        "Frames that are not there (1); unpack them again, or read with --allow-gaps:"
        in capsys.readouterr().out
    )


def test_raw_and_cropped_frames_and_cameras(capsys, make_tree, dataset_trees):
    root = make_tree("casme2", images="tiny")
    dataset_trees.make_tree(root, "casme2", cropped=False, images="tiny")
    for options, start in [([], "reg_img"), (["--cropped"], "reg_img"), (["--raw"], "img")]:
        store = f"{start}{len(options)}.zarr"
        assert main(["extract", "casme2", str(root), *SMALL, *options, "--store", store]) == 0
        said = "the cropped ones are read (--raw reads the others)" in capsys.readouterr().out
        assert said == (not options)
    cameras = make_tree("smic-hs", images="tiny")
    dataset_trees.make_tree(cameras, "smic-nir", seed=1, images="tiny")
    assert main(["extract", "smic", str(cameras), *SMALL, "--camera", "nir"]) == 0
    assert set(FeatureStore("smic.zarr").table["dataset"]) == {"SMIC-NIR"}
    capsys.readouterr()
    for name, options, words in [
        ("smic-hs", ["--camera", "NIR"], "smic-hs has no --camera; it has --strict, --cropped, --allow-gaps"),
        ("casme2", ["--camera", "NIR"], "casme2 has no --camera; it has --strict, --sheet"),
        ("smic", ["--sheet", "x.xlsx"], "smic has no --sheet"),
        ("casme2", ["--follow-outside"], "casme2 has no --follow-outside"),
    ]:
        assert main(["extract", name, str(root), *options]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1


def test_one_of_several_trees_and_macro_expressions(capsys, make_tree, dataset_trees):
    root = make_tree("casme2", images="tiny")
    (root / "more").mkdir()
    shutil.copytree(root / "Cropped", root / "more" / "Cropped")
    assert main(["extract", "casme2", str(root), *SMALL]) == 2
    assert "say which one with --tree, as --tree " in capsys.readouterr().err
    assert main(["extract", "casme2", str(root), *SMALL, "--tree", "more/cropped"]) == 0
    long = make_tree("samm-lv", images="tiny")
    first = dataset_trees.FIRST_ROW["samm-lv"] - 1

    def change(cells):
        cells.loc[first, 7] = "Macro"
        return cells

    dataset_trees.edit_sheet(long, change)
    for expressions, count in [("micro", 2), ("macro", 1), ("all", 3)]:
        options = ["--expressions", expressions, "--store", f"{expressions}.zarr"]
        assert main(["extract", "samm-lv", str(long), *SMALL, *options]) == 0
        assert len(FeatureStore(f"{expressions}.zarr").table) == count
    assert read_dataset("samm-lv", long).attrs["sources"] == [["samm-lv", str(long)]]
    ((*_, options),) = read_dataset("samm-lv", long, expressions="macro").attrs["sources"]
    assert options == {"expressions": "macro"}
    capsys.readouterr()
    assert main(["extract", "casme2", str(root), "--expressions", "all"]) == 2
    assert "casme2 has no --expressions; it has --strict, --sheet" in capsys.readouterr().err


def test_a_camera_of_smic_e_and_names_of_data_sets(make_tree):
    assert tuple(DATASETS) == _option_groups.DATASETS
    root = make_tree("smic-e-nir")
    table = read_dataset("smic-e", root, camera="NIR")
    assert set(table["dataset"]) == {"SMIC-E-NIR"}
    with pytest.raises(ValueError, match="smic-e-nir has no camera; it has strict, sheet"):
        read_dataset("smic-e-nir", root, camera="HS")


def test_frames_are_stabilised_and_blurred(make_tree, videos):
    root = str(make_tree("casme2", images="tiny"))
    options = ["--size", "64", "64", "--blocks", "1", "1", "--stabilise", "tiles", "--blur", "0.5"]
    assert main(["extract", "casme2", root, *options]) == 0
    kept = FeatureStore("casme2.zarr")
    X = microexpr.extract(
        read_dataset("casme2", root), blocks=(1, 1), size=(64, 64), stabilise="tiles", blur=0.5
    ).X
    np.testing.assert_array_equal(kept.load((1, 1), read_dataset("casme2", root)), X)
    said = ["--stabilise", "tiles", "--blur", "0.5", "--no-face", "--blocks", "1", "1", "--out", "seen"]
    assert main(["describe", str(videos.face), *said]) == 0
    frames = read_clip(videos.face, face=False, stabilise="tiles", blur=0.5)
    np.testing.assert_array_equal(np.load("seen.npz")["u"], microexpr.describe(frames, blocks=(1, 1)))


def test_messages_speak_python_again_after_a_command(make_tree, capsys):
    root = make_tree("casme2")
    for name in ("a.xlsx", "b.xlsx"):
        (root / name).write_bytes((root / "CASME2-coding.xlsx").read_bytes())
    assert main(["extract", "casme2", str(root)]) == 2
    assert "--sheet ..." in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"say which one with sheet=\.\.\."):
        microexpr.read_casme2(root)


QUICK = [
    "--blocks",
    "1",
    "--n-features",
    "9",
    "--no-sweep",
    "--no-nested",
    "--n-resamples",
    "9",
    "--jobs",
    "1",
]


@pytest.mark.parametrize("place", ["before", "after", "last"])
def test_each_data_set_has_its_own_options(place, capsys, monkeypatch):
    """And an evaluation is repeated with them."""
    monkeypatch.setattr("microexpr._evaluation_command.matplotlib_is_there", lambda: False)
    tree("one", *CLIPS, numbers=range(1, 6))
    two = tree("two", *CLIPS, numbers=[46, 47, 49, 50])
    (two / "codes.xlsx").rename("two.xlsx")
    first = ["casme2", "one", "--whole-folder"] if place == "after" else ["--whole-folder", "casme2", "one"]
    more = ["--with", "casme", "two", "--allow-gaps", "--sheet", "two.xlsx"]
    # casme names its columns otherwise
    table = pd.read_excel("two.xlsx")
    table.columns = ["Subject", "Filename", "OnsetF", "ApexF1", "OffsetF", "AUs", "Emotion"]
    table.to_excel("two.xlsx", index=False)
    given = [*more, "casme2", "one", "--whole-folder"] if place == "last" else [*first, *more]
    assert main(["evaluate", *given, "--protocol", "composite", *QUICK, "--out", "out"]) == 0
    out = capsys.readouterr().out
    assert "6 clips of 3 subjects" in out
    sources = json.loads(Path("out/evaluation.json").read_text())["data"]["sources"]
    assert sources == [
        ["casme2", "one", {"whole_folder": True}],
        ["casme", "two", {"sheet": "two.xlsx", "allow_gaps": True}],
    ]
    repeated = ["evaluate", "--from", "out/evaluation.json", "--out", "again", "--jobs", "1"]
    assert main(repeated) == 0
    assert Path("again/evaluation.json").read_bytes() == Path("out/evaluation.json").read_bytes()
    Path("one").rename("moved")
    Path("two.xlsx").rename("sheet.xlsx")
    assert main([*repeated, "casme2", "moved", "--with", "casme", "two", "--sheet", "sheet.xlsx"]) == 0
    sources = json.loads(Path("again/evaluation.json").read_text())["data"]["sources"]
    assert sources[1] == ["casme", "two", {"sheet": "sheet.xlsx", "allow_gaps": True}]


def test_sources_without_options_are_as_they_were(capsys, monkeypatch):
    monkeypatch.setattr("microexpr._evaluation_command.matplotlib_is_there", lambda: False)
    tree("data", *CLIPS, numbers=range(45, 52))
    assert main(["evaluate", "casme2", "data", *QUICK, "--out", "out"]) == 0
    assert json.loads(Path("out/evaluation.json").read_text())["data"]["sources"] == [["casme2", "data"]]
    assert main(["evaluate", "--from", "out/evaluation.json", "--raw", "--out", "x"]) == 2
    assert "--cropped is of which data set? Give DATASET ROOT" in capsys.readouterr().err


def test_a_manifest_of_another_place_and_encoding(capsys):
    tree("data", *CLIPS[:1], numbers=range(5, 9))
    Path("m").mkdir()
    Path("m/m.csv").write_bytes("folder,subject,emotion\n../data/sub01/EP01_00,Größe,calm\n".encode("cp1252"))
    assert main(["extract", "manifest", "m/m.csv", *SMALL]) == 2
    assert "say which with --encoding gbk or --encoding cp1252" in capsys.readouterr().err
    assert main(["extract", "manifest", "m/m.csv", *SMALL, "--encoding", "cp1252"]) == 2
    assert "lies outside of the manifest's folder; --follow-outside reads it" in capsys.readouterr().err
    arguments = ["extract", "manifest", "m/m.csv", *SMALL, "--encoding", "cp1252", "--follow-outside"]
    assert main(arguments) == 0
    assert FeatureStore("manifest.zarr").table["subject"].to_list() == ["Größe"]


def test_crop_a_video_and_a_data_set(tmp_path, videos, capsys):
    out = tmp_path / "out"
    assert main(["crop", str(videos.face), str(out), "--size", "64", "64", "--no-eyes"]) == 0
    assert "out/manifest.csv: 1 clip" in capsys.readouterr().out
    table = read_dataset("manifest", out / "manifest.csv")
    assert read_frames(table["frames"][0], None).shape[1:] == (64, 64)

    (tmp_path / "whole").mkdir()
    for number, frame in enumerate(read_clip(videos.face, size=None, face=False)[:4]):
        Image.fromarray(frame).save(tmp_path / "whole" / f"{number}.png")
    manifest = tmp_path / "mine.csv"
    manifest.write_text("folder,subject,emotion\nwhole,a,fear\ngone,b,fear\n")
    assert main(["crop", "manifest", str(manifest), str(tmp_path / "again"), "--no-eyes"]) == 1
    printed = capsys.readouterr().out
    assert "there is no folder gone" in printed
    assert "again/manifest.csv: 1 clip" in printed
    cropped = ["extract", "manifest", str(manifest), "--crop", "face", "--store", "cropped.zarr"]
    assert main(cropped) == 1
    assert FeatureStore("cropped.zarr").parameters["crop"] == "face"
    capsys.readouterr()
    for arguments, words in [
        (["crop", str(videos.face), str(out)], "out"),
        (["crop", "a", "b", "c", "d"], "Give VIDEO OUT, or DATASET ROOT OUT"),
        (["crop", str(videos.face), str(tmp_path / "x"), "--sheet", "y.xlsx"], "--sheet is of a data set"),
        (["crop", str(tmp_path / "missing.mp4"), str(tmp_path / "x")], "missing.mp4"),
    ]:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
