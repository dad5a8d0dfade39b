"""What the figures show is what the result holds."""

import dataclasses
import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from microexpr.experiment import Scores, Settings, evaluate
from microexpr.plots import (
    plot_blocks,
    plot_classification,
    plot_comparison,
    plot_confusion,
    plot_face_parts,
    plot_subjects,
    plot_sweep,
    save_evaluation,
)
from microexpr.plots._colours import ink_on

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


def check_contrast(figure):
    """Every text has a contrast of 4.5 with what it stands on (WCAG 2.2, AA): white, or a picture's pixel."""
    figure.draw_without_rendering()
    for text in figure.findobj(Text):
        if not text.get_visible() or not text.get_text():
            continue
        under = (1.0, 1.0, 1.0)
        images = text.axes.get_images() if text.axes else []
        if images and text.get_transform() == text.axes.transData:
            height, width = images[0].get_array().shape[:2]
            column, row = (round(at) for at in text.get_position())
            if 0 <= column < width and 0 <= row < height:
                under = images[0].to_rgba(images[0].get_array())[row, column, :3]
        light, dark = sorted([luminance(to_rgb(text.get_color())), luminance(under)], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, text


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def words_of(figure):
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def cut_off(figure):
    """Texts that reach beyond the figure."""
    figure.draw_without_rendering()
    figure.draw_without_rendering()
    inside = figure.bbox.padded(1)
    return [
        text.get_text()
        for text in figure.findobj(Text)
        if text.get_visible()
        and text.get_text().strip()
        and not inside.containsx(text.get_window_extent().x0) * inside.containsx(text.get_window_extent().x1)
    ]


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
    assert "95 % intervals" in ax.get_xlabel()
    assert "30 simulated clips of 5 subjects, read as CASME" in words_of(ax.figure)
    check_contrast(ax.figure)


def test_bars_are_coloured_by_what_they_are(evaluation, ax):
    first = evaluation.rows[0]
    rows = [
        *evaluation.rows,
        *(dataclasses.replace(first, name=f"{name}, without selection") for name in "ab"),
    ]
    several = evaluation.table.assign(dataset=np.repeat(["CASME", "SMIC"], 15))
    plot_comparison(dataclasses.replace(evaluation, rows=rows, table=several, simulated=False), ax)
    without, chosen, *others = (to_hex(bar.get_facecolor()) for bar in ax.patches)  # none is quoted
    assert len({without, chosen, *others}) == 3
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "without selection",
        "with selection",
        "not the paper's",
    ]
    shown = [to_hex(patch.get_facecolor()) for patch in legend.get_patches()]
    assert shown == [without, chosen, others[0]]
    assert "CASME, SMIC: 30 clips of 6 subjects" in words_of(ax.figure)  # one person's clips lie in both


def test_subjects(evaluation, ax):
    without, chosen = (row.scores for row in evaluation.rows[:2])
    assert plot_subjects(chosen, ax, against=without) is ax
    expected = [100 * right / n for right, n in chosen.by_subject.values()]
    assert [bar.get_height() for bar in ax.patches] == expected
    (points,) = (line for line in ax.lines if line.get_marker() == "o")
    assert points.get_ydata().tolist() == [100 * right / n for right, n in without.by_subject.values()]
    assert next(label.get_text() for label in ax.get_xticklabels()) == "00 (6)"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "with selection",
        f"all clips: {100 * chosen.accuracy:.1f} %",
        "without selection",
        f"all clips: {100 * without.accuracy:.1f} %",
    ]
    check_contrast(ax.figure)


def test_points_at_0_and_100_percent_are_whole(ax):
    y = np.array(["a", "b"] * 4)
    right, wrong = y, y[::-1]
    groups, labels = np.repeat(list("pqrs"), 2), np.array(["a", "b"])
    half = np.where(np.arange(8) < 4, right, wrong)
    plot_subjects(Scores(y, right, groups, labels), ax, against=Scores(y, half, groups, labels))
    (points,) = (line for line in ax.lines if line.get_marker() == "o")
    assert points.get_ydata().tolist() == [100, 100, 0, 0]
    low, high = ax.get_ylim()
    assert not points.get_clip_on() or (low < 0 and high > 100)
    assert points.get_zorder() > max(spine.get_zorder() for spine in ax.spines.values())


def test_sweep(evaluation, ax):
    assert plot_sweep(evaluation, ax) is ax
    first, second, ring = ax.lines[:3]
    assert [line.get_label() for line in (first, second)] == ["1 × 1", "2 × 2"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["5", "20", "80"]
    accuracy = {}
    for line, blocks in ((first, (1, 1)), (second, (2, 2))):
        np.testing.assert_allclose(line.get_xdata(), [0, 1, 2], atol=0.3)
        accuracy[blocks] = [100 * evaluation.sweep[blocks, n].accuracy for n in (5, 20, 80)]
        assert line.get_ydata().tolist() == accuracy[blocks]
    assert (first.get_xdata() < second.get_xdata()).all()  # ties lie beside each other
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()
    assert ring.get_ydata()[0] == max(map(max, accuracy.values()))
    assert "optimistic" in ax.get_xlabel()
    assert f"{ring.get_ydata()[0]:.1f} %" in ax.get_xlabel()
    low, _ = ax.get_ylim()
    assert f"axis is cut: from {low:g} % on" in ax.get_ylabel()
    check_contrast(ax.figure)


@pytest.mark.parametrize(("right", "words"), [(30, "ring: 6 best cells, each 100.0 %"), (0, "each 0.0 %")])
def test_a_sweep_of_ties(evaluation, ax, right, words):
    y = np.array(["a", "b"] * 15)
    scores = Scores(y, y if right else y[::-1], np.repeat(np.arange(5), 6), np.array(["a", "b"]))
    plot_sweep(dataclasses.replace(evaluation, sweep=dict.fromkeys(evaluation.sweep, scores)), ax)
    first, second, ring = ax.lines[:3]
    assert len(ring.get_xdata()) == 6
    assert sorted(ring.get_xdata()) == sorted([*first.get_xdata(), *second.get_xdata()])
    assert words in ax.get_xlabel()
    low, high = ax.get_ylim()
    assert low <= ring.get_ydata()[0] < high
    assert ("axis is cut" in ax.get_ylabel()) == (low > 0) == bool(right)


def circles(ax, of_legend=False):
    return [patch for patch in ax.patches if (patch.get_gid() == "legend") == of_legend]


def test_face_parts(evaluation, ax):
    assert plot_face_parts(evaluation, ax) is ax
    areas = np.array([circle.radius**2 for circle in circles(ax)]).reshape(2, 2)
    np.testing.assert_allclose(areas / areas.sum(), evaluation.weights / evaluation.weights.sum())
    centres = np.array([circle.center for circle in circles(ax)])
    np.testing.assert_allclose(centres, [[7.5, 9.5], [23.5, 9.5], [7.5, 29.5], [23.5, 29.5]])
    assert areas.argmax() == 1  # the second block, to the right: where the class was planted
    share = 100 * evaluation.weights / evaluation.weights.sum()
    assert f"{share.max():.1f} %" in ax.get_xlabel()
    # the legend's circles are as large as those of blocks with its numbers
    for circle, text in zip(circles(ax, of_legend=True), ax.texts, strict=True):
        assert text.get_text().endswith(" %")
        np.testing.assert_allclose(circle.radius**2, float(text.get_text()[:-2]) * (areas / share).max())
    assert [text.get_text() for text in ax.texts] == ["20 %", "10 %", "5 %"]
    check_contrast(ax.figure)


@pytest.mark.parametrize(
    ("largest", "words"),
    [(1, "1 0.5 0.2"), (7.3, "5 2 1"), (2000, "2000 1000 500"), (0.0345, "0.02 0.01 0.005")],
)
def test_sizes_in_the_legend_are_round(ax, largest, words):
    plot_blocks([[largest, 0], [largest / 2, 0]], ax=ax)
    assert [text.get_text() for text in ax.texts] == words.split()


def test_blocks_of_both_signs(ax):
    values = np.array([[4.0, -1.0, 0.0], [-4.0, 2.0, 1.0]])
    face = np.arange(60 * 90).reshape(60, 90)
    assert plot_blocks(values, face, ax, signs=("for", "against")) is ax
    drawn = circles(ax)
    np.testing.assert_allclose([circle.radius**2 for circle in drawn], np.abs(values).ravel() * 14.4**2 / 4)
    colours = [to_hex(circle.get_facecolor()) for circle in drawn]
    assert len(set(colours)) == 2
    assert (np.array(colours).reshape(2, 3) == colours[1]).tolist() == (values < 0).tolist()
    named = dict(zip([text.get_text() for text in ax.texts], circles(ax, of_legend=True), strict=True))
    assert to_hex(named["for"].get_facecolor()) == colours[0]
    assert to_hex(named["against"].get_facecolor()) == colours[1]
    for circle in circles(ax, of_legend=True):  # beside the face
        assert circle.center[0] - circle.radius > 90
        assert not circle.get_clip_on()


def test_blocks_without_any_weight(ax):
    plot_blocks(np.zeros((2, 2)), ax=ax)
    assert [circle.radius for circle in ax.patches] == [0] * 4
    assert not ax.texts


@pytest.mark.parametrize(
    ("values", "face", "words"),
    [
        ([1.0, 2.0], None, r"values has shape \(2,\); it must be \(down, across\)"),
        (np.ones((0, 2)), None, "values has shape"),
        ([[np.nan]], None, "values holds NaN or infinity"),
        ([[1.0]], np.ones((2, 2, 3)), r"face has shape \(2, 2, 3\); it must be \(height, width\)"),
        ([[1.0]], [[np.inf]], "face holds NaN or infinity"),
    ],
)
def test_what_are_no_blocks(ax, values, face, words):
    with pytest.raises(ValueError, match=words):
        plot_blocks(values, face, ax)


def test_confusion(evaluation, ax):
    scores = evaluation.rows[1].scores
    assert plot_confusion(scores, ax) is ax
    counts = [int(text.get_text()) for text in ax.texts]
    np.testing.assert_array_equal(np.reshape(counts, (4, 4)), scores.confusion)


def test_digits_in_a_confusion_matrix_can_be_read_at_every_recall(ax):
    labels = np.array([f"{k:03d}" for k in range(0, 101, 5)])
    y = np.repeat(labels, 100)
    predicted = np.where(
        np.tile(np.arange(100), 21) < np.repeat(np.arange(0, 101, 5), 100), y, np.roll(y, 100)
    )
    plot_confusion(Scores(y, predicted, y, labels), ax)
    assert len({text.get_color() for text in ax.texts}) == 2
    check_contrast(ax.figure)


def test_ink_has_contrast_on_any_colour():
    for colour in np.random.default_rng(0).random((2000, 3)):
        light, dark = sorted([luminance(to_rgb(ink_on(colour))), luminance(colour)], reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5


def test_long_names_of_classes_and_a_class_without_clips():
    labels = np.array(["a class that has a long name indeed", "b", "of which there are no clips at all"])
    y = np.repeat(labels[:2], 5)
    figure = Figure(figsize=(3.4, 3.2), layout="constrained")
    with matplotlib.rc_context({"font.size": 7}):
        ax = plot_confusion(Scores(y, y, np.arange(10), labels), figure.subplots(), title="with selection")
        assert cut_off(figure) == []
    assert [text.get_text() for text in ax.texts][6:] == ["0"] * 3
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


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


@pytest.mark.parametrize(("n", "names"), [(26, ["CASME II"]), (92, ["SMIC", "a data set with a long name"])])
def test_no_text_of_any_picture_is_cut_off(evaluation, tmp_path, monkeypatch, n, names):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, dpi: figures.append(figure))
    y = np.resize(["a", "b", "a class with a rather long name"], 3 * n)
    subjects = np.repeat([f"{names[i % len(names)]}/{i:02d}" for i in range(n)], 3)
    scores = Scores(y, np.roll(y, 1), subjects, np.unique(y))
    rows = [dataclasses.replace(row, scores=scores) for row in evaluation.rows]
    rows += [dataclasses.replace(row, name=f"mean+rank, {row.name}") for row in rows]
    table = pd.DataFrame(
        {"dataset": [name.split("/")[0] for name in subjects], "subject": subjects, "emotion": y}
    )
    save_evaluation(dataclasses.replace(evaluation, rows=rows, table=table), tmp_path)
    assert len(figures) == 6
    for figure in figures:
        with matplotlib.rc_context({"font.size": 7}):
            assert cut_off(figure) == []


def test_many_subjects_widen_their_picture(evaluation, tmp_path):
    n = 60
    y = np.array(["a", "b"] * n)
    scores = Scores(y, y, np.repeat([f"SAMM/{i:03d}" for i in range(n)], 2), np.array(["a", "b"]))
    rows = [dataclasses.replace(row, scores=scores) for row in evaluation.rows]
    save_evaluation(dataclasses.replace(evaluation, rows=rows, sweep={}), tmp_path)
    assert not (tmp_path / "sweep.png").exists()
    assert Image.open(tmp_path / "subjects.png").size[0] > 1900


def test_a_classification_says_how_far_to_trust_it(tmp_path):
    import microexpr

    root = microexpr.simulate(tmp_path / "data", subjects=3, clips=9, frames=(4, 5), progress=False)
    table = microexpr.read_casme2(root)
    recogniser = microexpr.train(table, blocks=(2, 3), n_features=50, progress=False)
    answer = recogniser.classify(np.random.default_rng(0).integers(0, 256, (5, 128, 128), dtype=np.uint8))
    figure = plot_classification(recogniser, answer, title="noise.mp4")
    frames, face, probabilities = figure.axes[:3]
    said = figure.get_suptitle()
    assert said.startswith(f"noise.mp4: {answer.label}, probability {answer.probability:.2f}\n")
    assert "trained on 9 simulated clips, " in said
    assert "unlike anything trained on: " in said
    assert frames.get_xlabel() == "frame (of 5)"
    assert face.get_xlabel() == "selected features, 2 × 3 blocks"
    circles = [patch for patch in face.patches if patch.get_gid() != "legend"]
    areas = np.array([circle.get_radius() ** 2 for circle in circles])
    weights = np.abs(recogniser.weights_by_block(answer)).ravel()
    np.testing.assert_allclose(areas / max(areas), weights / weights.max())
    words = [text.get_text() for text in face.texts]
    assert words[-2:] == [f"for {answer.label}", "against it"]
    widths = [bar.get_width() for bar in probabilities.patches]
    assert widths == list(answer.probabilities.values())
    colours = {bar.get_facecolor() for bar in probabilities.patches}
    assert len(colours) == 2  # the class said, and the others
