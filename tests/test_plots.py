"""What the figures show is what the result holds."""

import dataclasses

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from PIL import Image

from microexpr.experiment import Scores, Settings, evaluate
from microexpr.plots import (
    plot_comparison,
    plot_confusion,
    plot_face_parts,
    plot_subjects,
    plot_sweep,
    save_evaluation,
)

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def evaluation():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "dataset": "CASME",
            "subject": np.repeat([f"{s:02d}" for s in range(5)], 6),
            "clip": range(30),
            "emotion": rng.choice(["disgust", "repression", "surprise", "tense"], 30),
        }
    )
    table.attrs = {"selection": "paper", "simulated": True}
    features = {(b, b): rng.standard_normal((30, 256 * b * b)) for b in (1, 2)}
    features[2, 2][:, 256:276] += 2 * (table["emotion"] == "tense").to_numpy()[:, None]
    settings = Settings(
        blocks=2,
        n_features=20,
        sweep_blocks=(1, 2),
        sweep_n_features=(5, 20, 80),
        nested=False,
        n_resamples=100,
    )
    return evaluate(features, table, settings, face=rng.uniform(0, 255, (40, 32)), n_jobs=1)


@pytest.fixture
def ax():
    return Figure(figsize=(3.4, 3)).subplots()


def test_comparison(evaluation, ax):
    assert plot_comparison(evaluation, ax) is ax
    lines = evaluation.lines()
    assert [bar.get_width() for bar in ax.patches] == [100 * line["accuracy"] for line in lines]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert sum("quoted" in label for label in labels) == 4
    bars = [container for container in ax.containers if isinstance(container, ErrorbarContainer)]
    ends = [container.lines[2][0].get_segments()[0] for container in bars]
    for row, segment in zip(evaluation.rows, ends, strict=True):
        low, high = row.intervals["accuracy"]
        np.testing.assert_allclose(segment[:, 0], [100 * low, 100 * high])
    assert "simulated" in ax.get_xlabel()
    assert "%" in ax.get_xlabel()


def test_subjects(evaluation, ax):
    without, chosen = (row.scores for row in evaluation.rows[:2])
    assert plot_subjects(chosen, ax, against=without) is ax
    expected = [100 * right / n for right, n in chosen.by_subject.values()]
    assert [bar.get_height() for bar in ax.patches] == expected
    assert ax.lines[1].get_ydata().tolist() == [100 * right / n for right, n in without.by_subject.values()]
    assert next(label.get_text() for label in ax.get_xticklabels()) == "00 (6)"


def test_sweep(evaluation, ax):
    assert plot_sweep(evaluation, ax) is ax
    assert [line.get_label() for line in ax.lines] == ["1 × 1", "2 × 2"]
    for line, blocks in zip(ax.lines, [(1, 1), (2, 2)], strict=True):
        assert line.get_xdata().tolist() == [5, 20, 80]
        assert line.get_ydata().tolist() == [100 * evaluation.sweep[blocks, n].accuracy for n in (5, 20, 80)]
    assert len({line.get_color() for line in ax.lines}) == len({line.get_marker() for line in ax.lines}) == 2


def test_face_parts(evaluation, ax):
    assert plot_face_parts(evaluation, ax) is ax
    areas = np.array([circle.radius**2 for circle in ax.patches]).reshape(2, 2)
    np.testing.assert_allclose(areas / areas.sum(), evaluation.weights / evaluation.weights.sum())
    centres = np.array([circle.center for circle in ax.patches])
    np.testing.assert_allclose(centres, [[7.5, 9.5], [23.5, 9.5], [7.5, 29.5], [23.5, 29.5]])
    assert areas.argmax() == 1  # the second block, to the right: where the class was planted
    assert f"{100 * evaluation.weights.max() / evaluation.weights.sum():.1f} %" in ax.get_xlabel()


def test_confusion(evaluation, ax):
    scores = evaluation.rows[1].scores
    assert plot_confusion(scores, ax) is ax
    counts = [int(text.get_text()) for text in ax.texts]
    np.testing.assert_array_equal(np.reshape(counts, (4, 4)), scores.confusion)


def test_without_a_sweep(evaluation):
    with pytest.raises(ValueError, match="has no sweep"):
        plot_sweep(dataclasses.replace(evaluation, sweep={}))


def test_pictures_are_a_column_wide_and_nothing_is_cut_off(evaluation, tmp_path):
    for path in save_evaluation(evaluation, tmp_path):
        image = Image.open(path)
        assert image.size[0] == 1020, path.name  # 3.4 inches at 300 dots
        grey = np.asarray(image.convert("L"))
        edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        assert (edge == 255).all(), path.name
        assert grey.min() < 100


def test_many_subjects_widen_their_picture(evaluation, tmp_path):
    n = 60
    y = np.array(["a", "b"] * n)
    scores = Scores(y, y, np.repeat([f"SAMM/{i:03d}" for i in range(n)], 2), np.array(["a", "b"]))
    rows = [dataclasses.replace(row, scores=scores) for row in evaluation.rows]
    save_evaluation(dataclasses.replace(evaluation, rows=rows, sweep={}), tmp_path)
    assert not (tmp_path / "sweep.png").exists()
    assert Image.open(tmp_path / "subjects.png").size[0] > 1900
