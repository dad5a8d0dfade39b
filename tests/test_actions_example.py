"""docs/actions.py: that it reads the data set's own files, and that its tables are honest."""

import importlib.util
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("actions", ROOT / "docs" / "actions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blobs(rng, label, T=6):
    """A warm blob that wanders one way or the other, in steps of 1/320 degree."""
    down, across = np.mgrid[:16, :16]
    start = rng.uniform(4, 6, 2)
    way = {"sitdown": (1, 0), "standup": (1, 0), "walk1": (0, 1), "falling2": (1, 1)}[label]
    frames = [
        20 + 4 * np.exp(-((down - y) ** 2 + (across - x) ** 2) / 8)
        for t in range(T)
        for y, x in [start + np.multiply(way, t)]
    ]
    frames = np.round(np.array(frames) * 320 + rng.integers(0, 3, (T, 16, 16))) / 320
    return frames[::-1] if label == "standup" else frames


LABELS = ("sitdown", "standup", "walk1", "falling2")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Files as in a clone: three people, two recordings each, a clip of each label twice."""
    root, rng = tmp_path_factory.mktemp("clone"), np.random.default_rng(0)
    (root / "annotation").mkdir()
    for date, people in (("20170203", ("human1", "human2")), ("20170206", ("human3",))):
        (root / date / "raw").mkdir(parents=True)
        rows = []
        for person in people:
            for p in (1, 2):
                name, frames, numbered = f"{date}_p{p}_light{person[-1]}.csv", [np.full((2, 16, 16), 5.0)], []
                for label in LABELS:
                    first = sum(map(len, frames)) + 1  # counted from 1
                    frames.append(blobs(rng, label))
                    numbered.append(f"{name},{first},{first + 5},{label},{person}")
                table = np.concatenate(frames).reshape(-1, 256)
                lines = ["2017/02/03 17:32:15", "Time (sec),PTAT," + ",".join(f"P{k:03}" for k in range(256))]
                lines += [
                    f"{t / 10},24.5," + ",".join(map(repr, row.tolist())) for t, row in enumerate(table)
                ]
                (root / date / "raw" / name).write_bytes(("\r\n".join(lines) + "\r\n").encode())
                rows += numbered
        (root / "annotation" / f"annotation_{date}_human.csv").write_bytes(
            "".join(f"{row}\r\n" for row in rows).encode()
        )
        (root / "annotation" / f"annotation_{date}.csv").write_text("of no use here,,,\n")
    return root


def test_clips_are_read_as_they_were_written(example, tree):
    actions, problems = example.read_actions(tree)
    assert problems == []
    assert len(actions.frames) == 24
    assert set(actions.subject) == {"human1", "human2", "human3"}
    assert list(actions.label[:4]) == ["sitdown", "standup", "walk", "falling"]
    assert actions.source[1] == "20170203_p1_light1.csv:9-14"
    rng = np.random.default_rng(0)
    for frames, label in zip(actions.frames[:4], LABELS, strict=True):
        np.testing.assert_array_equal(frames, blobs(rng, label))  # row by row, not turned


def test_an_extract_holds_the_same(example, tree, tmp_path):
    actions, _ = example.read_actions(tree)
    arrays = {
        "frames": np.round(np.concatenate(actions.frames) * 320).astype(np.uint16),
        "first": np.cumsum([0, *map(len, actions.frames)]),
        "label": actions.label,
        "subject": actions.subject,
        "source": actions.source,
    }
    np.savez(tmp_path / "fir_actions.npz", **arrays)
    other, problems = example.read_actions(tmp_path)
    assert problems == []
    for one, two in zip(actions.frames, other.frames, strict=True):
        np.testing.assert_array_equal(example.enlarged(one), example.enlarged(two))
    for change, words in (
        ({"first": arrays["first"][1:]}, "first does not cut"),
        ({"first": arrays["first"] + 1}, "first does not cut"),
        ({"frames": arrays["frames"][:, :8]}, "frames have shape"),
        ({"frames": np.where(arrays["frames"] > 0, np.nan, 1.0)}, "must be finite"),
    ):
        np.savez(tmp_path / "fir_actions.npz", **(arrays | change))
        with pytest.raises(ValueError, match=words):
            example.read_actions(tmp_path)
    del arrays["subject"]
    np.savez(tmp_path / "fir_actions.npz", **arrays)
    with pytest.raises(ValueError, match="has no subject"):
        example.read_actions(tmp_path)


def spoil(path, row, change):
    lines = path.read_text().splitlines()
    lines[row - 1] = change(lines[row - 1])
    path.write_text("\n".join(lines) + "\n")


def with_cell(text):
    return lambda line: ",".join([*line.split(",")[:-1], text])


@pytest.mark.parametrize(
    ("row", "change", "words"),
    [
        (6, with_cell("nan"), "row 6: a pixel is not a temperature"),
        (6, with_cell("-inf"), "row 6: a pixel is not a temperature"),
        (6, with_cell("1e9"), "row 6: a pixel is not a temperature"),
        (6, with_cell("warm"), "row 6: a pixel is not a number"),
        (7, lambda line: line[: len(line) // 2], "row 7: "),
        (8, lambda line: line + ",24.5", "row 8: 259 cells; there must be 258"),
        (8, lambda line: "", "row 8: 1 cells; there must be 258"),
    ],
)
def test_a_damaged_row_costs_its_clip_alone(example, tree, tmp_path, row, change, words):
    root = shutil.copytree(tree, tmp_path / "clone")
    spoil(root / "20170203" / "raw" / "20170203_p1_light1.csv", row, change)
    actions, (problem,) = example.read_actions(root)
    assert len(actions.frames) == 23
    assert problem.startswith(
        "annotation/annotation_20170203_human.csv, row 1: 20170203/raw/20170203_p1_light1.csv, "
    )
    assert words in problem


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("20170203_p9_light1.csv,3,8,walk,human1", "20170203/raw/20170203_p9_light1.csv: No such file"),
        ("20170203_p1_light1.csv,24,29,walk,human1", "has 26 frames, not 29"),
        ("20170203_p1_light1.csv,8,8,walk,human1", "frames 8 to 8"),
        ("20170203_p1_light1.csv,0,8,walk,human1", "frames 0 to 8"),
        ("20170203_p1_light1.csv,3,eight,walk,human1", "frames 3 to eight"),
        ("20170203_p1_light1.csv,3,8,,human1", "it has 4 cells"),
        ("20170203_p1_light1.csv,3,8,walk", "it has 4 cells"),
        ("../../20170203_p1_light1.csv,3,8,walk,human1", "is not the name of a file"),
    ],
)
def test_a_row_that_fits_no_recording(example, tree, tmp_path, line, words):
    root = shutil.copytree(tree, tmp_path / "clone")
    spoil(root / "annotation" / "annotation_20170206_human.csv", 5, lambda _: line)
    actions, (problem,) = example.read_actions(root)
    assert len(actions.frames) == 23
    assert problem.startswith("annotation/annotation_20170206_human.csv, row 5: ")
    assert words in problem


def test_a_folder_without_them_is_said_in_one_line(example, tree, tmp_path, capsys):
    assert example.main([str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"clone {example.ADDRESS}" in err
    shutil.copytree(tree / "annotation", tmp_path / "annotation")  # and no recording
    assert example.main([str(tmp_path)]) == 2
    assert (
        "no clip could be read; the first: annotation/annotation_20170203_human.csv, row 1"
        in capsys.readouterr().err
    )
    with pytest.raises(SystemExit) as stop:
        example.main(["--help"])
    assert stop.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in (example.ADDRESS, "CC BY-NC-SA 4.0", "Kawashima", "AVSS 2017"):
        assert words in said


def test_pixels_are_enlarged_in_steps_of_the_sensor(example):
    frames = np.full((2, 16, 16), 21.003125)
    frames[1, 0, 0] += 1
    large = example.enlarged(frames)
    assert (large.shape, large.dtype) == ((2, 64, 64), np.uint16)
    assert (large[0] == 6721).all()
    assert large[1, 0, 0] == 7041
    assert (large[1, 8:, 8:] == 6721).all()


def test_what_differs_in_order_alone_leaves_the_mean_to_guess(example):
    """Every clip and the same backwards: equal means, so it is right on exactly one of each two."""
    rng = np.random.default_rng(1)
    frames = [way for _ in range(12) for clip in [blobs(rng, "sitdown")] for way in (clip, clip[::-1])]
    subject = np.repeat(["a", "b", "c"], 8)
    actions = example.Actions(frames, np.tile(["sitdown", "standup"], 12), subject, np.arange(24).astype(str))
    lines = {line.method: line.scores.accuracy for line in example.tell_order(actions)}
    assert lines.pop("mean of LTOGP") == 0.5
    assert len(lines) == 4
    assert min(lines.values()) > 0.9


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_from_the_files_to_the_tables(example, tree, tmp_path, monkeypatch, capsys):
    root = shutil.copytree(tree, tmp_path / "clone")
    spoil(root / "annotation" / "annotation_20170206_human.csv", 8, with_cell(""))
    few = replace(
        example.SETTINGS, n_features=20, sweep_n_features=(20, 40), C_grid=(1e-3, 1.0), inner_splits=2
    )
    monkeypatch.setattr(example.tell_four, "__defaults__", (few,))
    monkeypatch.setattr(example, "evaluate", partial(example.evaluate, n_jobs=1))
    assert example.main([str(root), "--out", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("left out: annotation/annotation_20170206_human.csv, row 8: ")
    assert "12 clips of 3 people, no faces" in out
    assert "23 clips of 3 people, no faces" in out
    table = out[out.index("\npooling") :].splitlines()[2:]
    assert [line.split()[:2] for line in table[:6]] == [
        [pooling, basis] for pooling in ("rank", "mean", "mean+rank") for basis in ("given", "inside")
    ]
    order = (tmp_path / "out" / "order.csv").read_text().splitlines()
    assert order[0] == "method,clips,people,accuracy,low,high"
    assert len(order) == 6
    assert order[1].startswith("mean of LTOGP,12,3,")
    assert (tmp_path / "out" / "actions.svg").read_text().startswith("<?xml")
    for name in ("table.csv", "comparisons.csv", "evaluation.json", "table.png", "confusion.png"):
        assert (tmp_path / "out" / "four" / name).is_file()


def test_order_tells_on_real_clips(example, real_data):
    """By daylight: order against mean, within bounds that no processor's rounding crosses."""
    folder = real_data / "actions"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    actions, problems = example.read_actions(folder)
    assert problems == []
    daylight = np.char.find(actions.source, "_light") >= 0
    pair = actions.where(np.isin(actions.label, example.PAIR) & daylight)
    assert len(pair.frames) == 240
    lines = {line.method: line.scores.accuracy for line in example.tell_order(pair)}
    mean, rank = lines["mean of LTOGP"], lines["rank pooling of LTOGP"]
    assert 0.35 < mean < 0.65
    assert rank > 0.7
    assert lines["rank pooling of the pixels, approximate"] > 0.85
    assert rank - mean > 0.15
