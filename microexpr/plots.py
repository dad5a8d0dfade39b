"""Figures. Every function draws on a matplotlib Axes and returns it (`plot_description`: a Figure)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

import ltogp

from .experiment import Evaluation, Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "plot_codes",
    "plot_comparison",
    "plot_confusion",
    "plot_description",
    "plot_face_parts",
    "plot_frames",
    "plot_subjects",
    "plot_sweep",
    "plot_temporal_scores",
    "save_evaluation",
]

# Okabe and Ito's colours, which people with any colour vision tell apart; markers differ as well.
_BLUE, _ORANGE, _GREY = "#0072b2", "#e69f00", "#8c8c8c"
_SERIES = [
    ("#0072b2", "o"),
    ("#e69f00", "s"),
    ("#009e73", "^"),
    ("#d55e00", "D"),
    ("#cc79a7", "v"),
    ("#000000", "x"),
]


def plot_frames(frames: ArrayLike, ax: Axes | None = None, *, count: int = 6) -> Axes:
    """Show up to `count` frames of a clip (T, height, width), evenly spread in time, side by side."""
    frames = np.asarray(frames)
    shown = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    ax = _axes(ax)
    _height, width = frames.shape[1:]
    ax.imshow(np.hstack(frames[shown]), cmap="gray")
    ax.set_xticks((np.arange(len(shown)) + 0.5) * width, [f"{t + 1}" for t in shown])
    ax.set_yticks([])
    ax.set_xlabel(f"frame (of {len(frames)})")
    return ax


def plot_codes(frame: ArrayLike, ax: Axes | None = None, *, blocks: tuple[int, int] = (8, 8)) -> Axes:
    """Show the LTOGP codes (0 to 255) of one frame (height, width), and the blocks they are counted in."""
    codes = ltogp.encode(np.asarray(frame))
    ax = _axes(ax)
    image = ax.imshow(codes, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    height, width = codes.shape
    for i in range(1, blocks[0]):
        ax.axhline(i * height // blocks[0] - 0.5, color="#e69f00", linewidth=0.6)
    for j in range(1, blocks[1]):
        ax.axvline(j * width // blocks[1] - 0.5, color="#e69f00", linewidth=0.6)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(f"LTOGP codes, {blocks[0]} × {blocks[1]} blocks")
    ax.figure.colorbar(image, ax=ax, ticks=[0, 128, 255], fraction=0.046, pad=0.03)
    return ax


def plot_temporal_scores(scores: ArrayLike, ax: Axes | None = None, *, fps: float | None = None) -> Axes:
    """Plot the scores u^T v_t of a clip's frames over time, in seconds if `fps` is given."""
    scores = np.asarray(scores)
    ax = _axes(ax)
    time = np.arange(len(scores)) / fps if fps else np.arange(1, len(scores) + 1)
    ax.plot(time, scores, color="#0072b2", linewidth=1.5, marker="." if len(scores) <= 100 else None)
    ax.set_xlabel("time (s)" if fps else "frame")
    ax.set_ylabel("score $u^T v_t$")
    ax.margins(x=0.01)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_description(
    frames: ArrayLike,
    u: ArrayLike,
    *,
    blocks: tuple[int, int] = (8, 8),
    scores: ArrayLike | None = None,
    title: str | None = None,
) -> Figure:
    """Show what `microexpr.describe` saw: frames, the codes of the middle one, the scores u^T v_t.

    Parameters
    ----------
    frames : array-like of shape (T, height, width)
        The clip.
    u : array-like of shape (blocks[0] * blocks[1] * 256,)
        Its representation, ``describe(frames, blocks=blocks)``.
    blocks : (int, int)
        Number of blocks down and across.
    scores : array-like of shape (T,), optional
        The scores, where they are there (``describe(frames, full_output=True).scores``); by default computed
        from the frames again.
    title : str, optional
        Text above the figure.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    frames = np.asarray(frames)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplot_mosaic(
        [["frames", "frames"], ["codes", "scores"]], height_ratios=[1, 1.5], width_ratios=[1, 1.6]
    )
    plot_frames(frames, axes["frames"])
    plot_codes(frames[len(frames) // 2], axes["codes"], blocks=blocks)
    if scores is None:
        scores = ltogp.histogram(frames, blocks) @ np.asarray(u)
    plot_temporal_scores(scores, axes["scores"])
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def plot_confusion(scores: Scores, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw the confusion matrix: rows are true classes, shaded by recall, cells hold counts."""
    counts = scores.confusion
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = _axes(ax)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        ax.text(j, i, str(count), ha="center", va="center", color="white" if share[i, j] > 0.5 else "black")
    labels = [f"{label}" for label in scores.labels]
    ax.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(labels)), labels)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.set_title(
        f"{title + ': ' if title else ''}accuracy {100 * scores.accuracy:.1f} %\n"
        f"UF1 {scores.uf1:.3f}, UAR {scores.uar:.3f}, {len(scores.y)} clips",
        fontsize="medium",
    )
    return ax


def plot_comparison(evaluation: Evaluation, ax: Axes | None = None) -> Axes:
    """Draw accuracy as bars, those that the paper quotes and those measured, with 95 % intervals.

    Parameters
    ----------
    evaluation : Evaluation
        From `microexpr.experiment.evaluate`. The intervals are of its bootstrap over subjects; the quoted
        figures have none. The dotted line is the share of the largest class.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    lines = evaluation.lines()
    for at, line in enumerate(lines):
        accuracy = 100 * line["accuracy"]
        if line["source"] == "quoted":
            ax.barh(at, accuracy, color="white", edgecolor=_GREY, hatch="////", linewidth=0.8)
            end = accuracy
        else:
            low, high = 100 * line["accuracy low"], 100 * line["accuracy high"]
            ax.barh(at, accuracy, color=_ORANGE if "without" in line["method"] else _BLUE)
            middle, half = (low + high) / 2, (high - low) / 2
            ax.errorbar(middle, at, xerr=half, fmt="none", ecolor="black", capsize=2, elinewidth=1)
            end = high
        ax.text(end + 1.5, at, f"{accuracy:.1f}", va="center")
    share = 100 * evaluation.table["emotion"].value_counts(normalize=True).iloc[0]
    ax.axvline(share, color="black", linestyle=":", linewidth=1)
    ax.text(share + 1.5, -0.55, "largest class", va="bottom")
    quoted = "(quoted, real clips)" if evaluation.simulated else "(quoted)"
    names = [
        f"{line['method']}\n{quoted}" if line["source"] == "quoted" else f"{line['method']},\n{line['basis']}"
        for line in lines
    ]
    ax.set_yticks(range(len(lines)), names)
    ax.set_ylim(len(lines) - 0.4, -1.1)
    ax.set_xlim(0, 100)
    ax.set_xlabel("accuracy (%), simulated clips" if evaluation.simulated else "accuracy (%)")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_subjects(
    scores: Scores, ax: Axes | None = None, *, against: Scores | None = None, title: str | None = None
) -> Axes:
    """Draw the accuracy on each subject, over how many clips it is of.

    Parameters
    ----------
    scores : Scores
        Drawn as bars; the dashed line is the accuracy on all clips.
    ax : matplotlib.axes.Axes, optional
    against : Scores, optional
        Of another classifier on the same clips, drawn as points.
    title : str, optional
        What the subjects are.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    counts = scores.by_subject
    accuracy = [100 * right / n for right, n in counts.values()]
    ax.bar(range(len(counts)), accuracy, color=_BLUE, label="with selection" if against else None)
    ax.axhline(100 * scores.accuracy, color=_BLUE, linestyle="--", linewidth=1, label="all clips")
    if against is not None:
        other = [100 * right / n for right, n in against.by_subject.values()]
        ax.plot(
            range(len(counts)),
            other,
            "o",
            color=_ORANGE,
            markeredgecolor="black",
            markersize=3.5,
            markeredgewidth=0.5,
            label="without",
        )
        ax.legend(ncols=3, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    ax.set_xticks(range(len(counts)), [f"{subject} ({n})" for subject, (_, n) in counts.items()], rotation=90)
    ax.set_xlim(-0.6, len(counts) - 0.4)
    ax.set_ylim(0, 100)
    ax.set_xlabel("subject (number of clips)" + (f", {title}" if title else ""))
    ax.set_ylabel("accuracy (%)")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_sweep(evaluation: Evaluation, ax: Axes | None = None) -> Axes:
    """Draw Fig. 4: accuracy over N, one line for each grid of blocks.

    Parameters
    ----------
    evaluation : Evaluation
        From `microexpr.experiment.evaluate`, with a sweep.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the evaluation has no sweep.
    """
    if not evaluation.sweep:
        raise ValueError("the evaluation has no sweep; evaluate with Settings(sweep=True)")
    ax = _axes(ax)
    n_features = list(dict.fromkeys(n for _, n in evaluation.sweep))
    for at, kind in enumerate(dict.fromkeys(kind for kind, _ in evaluation.sweep)):
        color, marker = _SERIES[at % len(_SERIES)]
        accuracy = [100 * evaluation.sweep[kind, n].accuracy for n in n_features]
        ax.plot(
            n_features,
            accuracy,
            color=color,
            marker=marker,
            markersize=4,
            linewidth=1.2,
            label=kind if isinstance(kind, str) else "{} × {}".format(*kind),
        )
    ax.set_xticks(n_features, map(str, n_features), rotation=45)
    ax.set_xlabel("features selected, N")
    ax.set_ylabel("accuracy (%)" + (", simulated" if evaluation.simulated else ""))
    ax.legend(
        title="features" if isinstance(evaluation.features, str) else "blocks",
        ncols=3,
        frameon=False,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        columnspacing=1.2,
    )
    ax.grid(axis="y", color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_face_parts(evaluation: Evaluation, ax: Axes | None = None) -> Axes:
    """Draw which parts of the face are selected: each block's share of the lengths of W's rows.

    Parameters
    ----------
    evaluation : Evaluation
        From `microexpr.experiment.evaluate`: the share is averaged over the folds, and drawn as the area
        of a circle in each block over the mean face (grey levels, 0 to 255) if there is one.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the features have no blocks.
    """
    from matplotlib.patches import Circle

    if evaluation.weights is None:
        raise ValueError(f"{evaluation.features} has no blocks, so that nothing says where on the face it is")
    ax = _axes(ax)
    share = 100 * evaluation.weights / (evaluation.weights.sum() or 1.0)
    down, across = share.shape
    face = np.full((64, 64), 128.0) if evaluation.face is None else np.asarray(evaluation.face)
    height, width = face.shape
    ax.imshow(face, cmap="gray", vmin=0, vmax=255)
    # Areas and not colours: a colour laid over a face takes on the face's brightness.
    for (i, j), value in np.ndenumerate(share):
        radius = 0.48 * min(height / down, width / across) * np.sqrt(value / (share.max() or 1.0))
        centre = ((j + 0.5) * width / across - 0.5, (i + 0.5) * height / down - 0.5)
        ax.add_patch(Circle(centre, radius, facecolor=_ORANGE, edgecolor="black", linewidth=0.5, alpha=0.65))
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(
        f"share of $\\Sigma_j ||W_j||$ in {down} × {across} blocks, by area: the largest {share.max():.1f} %"
        + ("\nsimulated clips" if evaluation.simulated else "")
    )
    return ax


def save_evaluation(evaluation: Evaluation, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the pictures of an evaluation as PNG files, 3.4 inches wide: a column; return their paths."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    without, chosen = evaluation.rows[:2]
    n_subjects = len(chosen.scores.by_subject)
    simulated = ", simulated clips" if evaluation.simulated else ""
    drawings = {
        "table": (0.6 + 0.27 * len(evaluation.lines()), lambda ax: plot_comparison(evaluation, ax)),
        "confusion": (3.2, lambda ax: plot_confusion(chosen.scores, ax, title=f"with selection{simulated}")),
        "confusion_without": (
            3.2,
            lambda ax: plot_confusion(without.scores, ax, title=f"without selection{simulated}"),
        ),
        "subjects": (
            2.4,
            lambda ax: plot_subjects(
                chosen.scores, ax, against=without.scores, title="simulated" if evaluation.simulated else None
            ),
        ),
    }
    if evaluation.weights is not None:
        drawings["face"] = (2.8, lambda ax: plot_face_parts(evaluation, ax))
    if evaluation.sweep:
        drawings["sweep"] = (2.6, lambda ax: plot_sweep(evaluation, ax))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in {"face", "sweep"} - drawings.keys():  # none of an earlier run either
        (folder / f"{name}.png").unlink(missing_ok=True)
    written = []
    with rc_context({"font.size": 7, "axes.linewidth": 0.6, "hatch.linewidth": 0.5}):
        for name, (height, draw) in drawings.items():
            width = max(3.4, 0.1 * n_subjects + 0.6) if name == "subjects" else 3.4
            figure = Figure(figsize=(width, height), layout="constrained")
            draw(figure.subplots())
            figure.savefig(folder / f"{name}.png", dpi=300)
            written.append(folder / f"{name}.png")
    return written


def _axes(ax: Axes | None) -> Axes:
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(layout="constrained")
    return ax
