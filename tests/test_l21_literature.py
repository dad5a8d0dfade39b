"""docs/l21_literature.py: that its table is honest. Who wins is for the table to say."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from l21 import L21Selector

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("l21_literature", ROOT / "docs" / "l21_literature.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def made_up_data(example, tmp_path):
    """Data sets of the three names and their classes' sizes; 30 of 400 features differ by class."""
    rng = np.random.default_rng(0)
    for name, sizes in zip(example.NAMES, ([47, 25], [14, 7, 14, 15], [50, 52]), strict=True):
        y = np.repeat(np.arange(len(sizes)), sizes)
        X = rng.standard_normal((len(y), 10)) @ rng.standard_normal((10, 400)) + rng.standard_normal(
            (len(y), 400)
        )
        X[:, :30] += 4 * rng.standard_normal((len(sizes), 30))[y]
        scipy.io.savemat(tmp_path / f"{name.replace('-', '_')}.mat", {"X": X, "Y": y[:, None] + 1})
    return tmp_path


def check_quick_table(example, folder, capsys):
    example.main([str(folder), "--quick"])
    title, head, *lines = capsys.readouterr().out.splitlines()
    assert "1 split(s)" in title
    assert [head.count(name) for name in example.NAMES] == [2, 2, 2]
    names = [line[:32].strip() for line in lines]
    assert names == [*example.QUICK, "all features", "most frequent class"]
    assert set(example.QUICK) < set(example.METHODS)
    table = [[float(part) for part in line[32:].replace("%", " ").split()] for line in lines]
    assert [len(row) for row in table] == [6, 6, 3, 3]
    assert table[-1] == pytest.approx([100 * 47 / 72, 30.0, 100 * 52 / 102], abs=0.05)
    for row in table[:-1]:
        for data in range(3):
            ours = row[data * len(row) // 3 : (data + 1) * len(row) // 3]
            assert min(ours) > table[-1][data] + 15
            assert max(ours) <= 100

    # The first row, by hand.
    X, y = example.load(folder / "ALLAML.mat")
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    pipeline = make_pipeline(StandardScaler(), L21Selector(20), SVC(kernel="linear"))
    right = cross_val_score(pipeline, X, y, cv=folds) @ [len(test) for _, test in folds.split(X, y)]
    assert table[0][0] == pytest.approx(100 * right / len(y), abs=0.05)


@pytest.mark.filterwarnings("ignore:only")
def test_quick_table(example, made_up_data, capsys):
    check_quick_table(example, made_up_data, capsys)


@pytest.mark.filterwarnings("ignore:only")
def test_quick_table_of_the_real_data(example, real_data, capsys):
    check_quick_table(example, real_data / "selection", capsys)


def test_the_test_fold_is_not_seen(example):
    # Noise: what is selected on all samples "predicts" well, what is selected on the training fold doesn't.
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 3000)), np.tile([1, 2], 30)
    for name in ("l21, gamma = 1", "F-score"):
        honest = example.repeated(example.METHODS[name], X, y, 2, name)
        seen = example.METHODS[name](StandardScaler().fit_transform(X), y)
        leaked = example.repeated(lambda *_, seen=seen: seen, X, y, 2, name)
        assert honest.shape == leaked.shape == (2, 2)
        assert honest.mean() < 0.65
        assert leaked.mean() > 0.85


@pytest.mark.filterwarnings("ignore:only")
def test_every_method_finds_what_tells_the_classes_apart(example):
    rng = np.random.default_rng(0)
    y = np.tile([1, 2, 3], 20)
    X = rng.standard_normal((60, 40))
    X[:, [5, 11, 30]] += 3 * np.eye(3)[y - 1]
    for name, method in example.METHODS.items():
        assert set(method(X, y)(3)) == {5, 11, 30}, name


def test_repeats_are_different_splits(example):
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((60, 100)), np.tile([1, 2], 30)
    scores = example.repeated(example.by_f_score, X, y, 3, "")
    assert len(set(map(tuple, scores))) > 1
    assert example.cell(np.array([0.9, 0.94])) == f"92.0 ± {100 * np.std([0.9, 0.94], ddof=1):.1f} %"
    assert example.cell(np.array([0.9])) == "90.0 %"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "ALLAML.mat is not there; download it from https://"),
        (["{made}", "--repeats", "0"], "at least 1"),
        ([], "DATA is needed: a folder with ALLAML, GLIOMA, Prostate-GE as .mat files, from https://"),
    ],
)
def test_bad_arguments(example, made_up_data, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        example.main([argument.format(made=made_up_data) for argument in arguments])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    if "https" in message:
        assert error.count("\n") == 1


def test_help_does_nothing_else(example, capsys):
    with pytest.raises(SystemExit) as stop:
        example.main(["--help"])
    assert stop.value.code == 0
    assert "jundongl.github.io/scikit-feature" in capsys.readouterr().out


def test_help_of_the_growth_script_measures_nothing():
    finished = subprocess.run(
        [sys.executable, ROOT / "docs" / "l21_growth.py", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert finished.stdout.startswith("usage")
    assert "| n |" not in finished.stdout
