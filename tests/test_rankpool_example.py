"""docs/rankpool_sequences.py: that its table is honest. Who wins is for the table to say."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location(
        "rankpool_sequences", ROOT / "docs" / "rankpool_sequences.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_ts(path, sequences, labels):
    lines = ["# a comment with @data in it", "@problemName Toy", "@classLabel true up down", "@data"]
    for sequence, label in zip(sequences, labels, strict=True):
        channels = (",".join(map(repr, map(float, channel))) for channel in sequence.T)
        lines.append(":".join([*channels, label]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    """Two classes with the same frames, up and down, of 5 to 9 frames and 2 channels."""
    rng = np.random.default_rng(0)
    for part in ("TRAIN", "TEST"):
        labels = ["up", "down"] * 4
        sequences = [np.cumsum(rng.random((rng.integers(5, 10), 2)), axis=0) for _ in labels]
        sequences = [s if label == "up" else s[::-1] for s, label in zip(sequences, labels, strict=True)]
        write_ts(tmp_path / f"Toy_{part}.ts", sequences, labels)
    return tmp_path


def test_table(example, folder, capsys):
    example.main([str(folder)])
    head, *lines = capsys.readouterr().out.splitlines()
    for name in example.POOLINGS:
        assert name in head
    assert [line.split()[1] for line in lines] == ["class"] * 3 + ["direction"] * 3
    for line in lines:
        chance, *accuracies = (float(cell.rstrip("%")) for cell in line.split() if cell.endswith("%"))
        assert chance == 50
        assert len(accuracies) == len(example.POOLINGS)
        assert max(accuracies) <= 100
    rank = float(lines[0].split()[4 + list(example.POOLINGS).index("rank")].rstrip("%"))
    assert rank > 75  # up against down


def test_basic_motions_is_in_the_package(example):
    data = example.basic_motions()
    assert len(data.train) == len(data.test) == 40
    assert {sequence.shape for sequence in data.train + data.test} == {(100, 6)}
    assert {str(label) for label in data.train_labels} == {"Standing", "Walking", "Running", "Badminton"}
    train = {sequence.tobytes() for sequence in data.train}
    assert len(train) == 40
    assert not train & {sequence.tobytes() for sequence in data.test}
    # Mean pooling, which needs no solver, does better than chance; so do its labels belong to its sequences
    frame_map = example.FEATURES["posneg"]
    assert example.accuracy(example.standardised(data), frame_map, example.POOLINGS["mean"]) > 0.5


def test_only_the_order_tells_the_directions_apart(example, folder):
    data = example.both_ways(example.standardised(example.read_ts(folder)))
    assert len(data.train) == 16
    np.testing.assert_array_equal(data.train[0], data.train[1][::-1])
    assert list(data.train_labels[:2]) == ["forwards", "backwards"]
    for name in ("mean", "max"):
        for frame_map in example.FEATURES.values():
            assert example.accuracy(data, frame_map, example.POOLINGS[name]) == 0.5


def test_channels_are_standardised_over_the_training_frames(example, folder):
    data = example.standardised(example.read_ts(folder))
    frames = np.concatenate(data.train)
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(frames.std(axis=0), 1)


def test_sequences_are_read_as_they_were_written(example, tmp_path):
    sequences = [np.array([[1.5, -2.0], [3.0, 4e-3], [0.0, 7.0]]), np.array([[9.0, 8.0]])]
    write_ts(tmp_path / "x.ts", sequences, ["a", "b c"])
    cases = list(example.read_cases(tmp_path / "x.ts"))
    assert [label for _, label in cases] == ["a", "b c"]
    for (frames, _), expected in zip(cases, sequences, strict=True):
        np.testing.assert_array_equal(frames, expected)


def test_help_of_the_measured_time_measures_nothing():
    script = ROOT / "docs" / "rankpool_time.py"
    before = script.with_suffix(".svg").stat().st_mtime_ns
    child = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, timeout=60)
    assert child.returncode == 0
    assert "rankpool_time.svg" in child.stdout
    assert "iterations" not in child.stdout
    assert script.with_suffix(".svg").stat().st_mtime_ns == before


def test_the_folder_names_the_set_where_it_holds_variants(example, tmp_path, capsys):
    folder = tmp_path / "Toy"
    folder.mkdir()
    for part in ("TRAIN", "TEST"):
        write_ts(folder / f"Toy_{part}.ts", [np.ones((2, 1))], [part])
        write_ts(folder / f"Toy_eq_{part}.ts", [np.ones((2, 1))], ["other"])
    data = example.read_ts(folder)
    assert (data.name, *data.train_labels, *data.test_labels) == ("Toy", "TRAIN", "TEST")
    with pytest.raises(SystemExit) as stop:
        example.read_ts(folder.rename(tmp_path / "Another"))
    assert stop.value.code == 2
    assert "holds 2 files *_TRAIN.ts; one is wanted" in capsys.readouterr().err


def test_help_and_a_folder_without_the_files(example, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        example.main([str(tmp_path)])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "holds 0 files *_TRAIN.ts; one is wanted" in err
    assert "https://www.timeseriesclassification.com" in err
    with pytest.raises(SystemExit) as stop:
        example.main(["--help"])
    assert stop.value.code == 0
    assert "BasicMotions" in capsys.readouterr().out
