"""An evaluation: its table, confusions, subjects, Fig. 4 and parts of the face."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._progress import progress_bar
from ._colours import BLUE, GREEN, GREY, ORANGE, SERIES, axes, ink_on
from .blocks import plot_blocks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..experiment import Evaluation, Scores

__all__ = [
    "plot_comparison",
    "plot_confusion",
    "plot_face_parts",
    "plot_subjects",
    "plot_sweep",
    "save_evaluation",
]

_FONT_SIZE = 7  # points, in the pictures that are written

# What a bar stands for, and how it is filled.
_KINDS: dict[str, dict[str, Any]] = {
    "quoted": {"facecolor": "white", "edgecolor": GREY, "hatch": "////"},
    "without selection": {"facecolor": ORANGE},
    "with selection": {"facecolor": BLUE},
    "not the paper's": {"facecolor": GREEN},
}


def plot_confusion(scores: Scores, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    """Draw the confusion matrix: rows are true classes, shaded by recall, cells hold counts."""
    counts = scores.confusion
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = axes(ax)
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        ax.text(j, i, str(count), ha="center", va="center", color=ink_on(image.to_rgba(share[i, j])))
    labels = [textwrap.fill(f"{label}", 16) for label in scores.labels]
    if any("\n" in label for label in labels):  # aslant, several lines would lie on the next name's
        ax.set_xticks(range(len(labels)), labels, rotation=90)
    else:
        ax.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(labels)), labels)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.set_title(
        (f"{title}\n" if title else "")
        + f"accuracy {100 * scores.accuracy:.1f} %, UF1 {scores.uf1:.3f}, UAR {scores.uar:.3f}\n"
        + f"{len(scores.y)} clips",
        fontsize="medium",
    )
    return ax


def plot_comparison(evaluation: Evaluation, ax: Axes | None = None) -> Axes:
    """Draw accuracy as bars, those that the paper quotes and those measured, with 95 % intervals.

    Parameters
    ----------
    evaluation : Evaluation
        From `microexpr.experiment.evaluate`. The intervals are of its bootstrap over subjects; the quoted
        figures have none. The dotted line is the share of the largest class. Bars are coloured by what they
        are: quoted, without selection, with selection, or of a recipe that is not the paper's.
    ax : matplotlib.axes.Axes, optional
        Each bar has a name of two lines: without `ax` the figure is as high as they need.

    Returns
    -------
    matplotlib.axes.Axes
    """
    from matplotlib.patches import Patch

    lines = evaluation.lines()
    ax = axes(ax, _height_for(lines))
    kinds = [_kind_of(line) for line in lines]
    for at, (line, kind) in enumerate(zip(lines, kinds, strict=True)):
        end = accuracy = 100 * line["accuracy"]
        ax.barh(at, accuracy, linewidth=0.8, **_KINDS[kind])
        if line["source"] != "quoted":
            low, high = 100 * line["accuracy low"], 100 * line["accuracy high"]
            middle, half = (low + high) / 2, (high - low) / 2
            ax.errorbar(middle, at, xerr=half, fmt="none", ecolor="black", capsize=2, elinewidth=1)
            end = max(accuracy, high)
        ax.text(end + 1.5, at, f"{accuracy:.1f}", va="center")
    share = 100 * evaluation.table["emotion"].value_counts(normalize=True).iloc[0]
    ax.axvline(share, color="black", linestyle=":", linewidth=1)
    side, words = ("left", " largest class") if share < 50 else ("right", "largest class ")
    ax.text(share, -0.55, words, ha=side, va="bottom")
    quoted = "(quoted, real clips)" if evaluation.simulated else "(quoted)"
    names = [
        f"{line['method']}\n{quoted}" if line["source"] == "quoted" else f"{line['method']},\n{line['basis']}"
        for line in lines
    ]
    ax.set_yticks(range(len(lines)), names)
    ax.set_ylim(len(lines) - 0.4, -1.1)
    ax.set_xlim(0, 100)
    ax.set_xlabel(
        f"accuracy (%){', simulated clips' if evaluation.simulated else ''}\n"
        "with 95 % intervals, from a bootstrap over subjects",
        loc="right",
    )
    ax.legend(
        handles=[Patch(label=kind, **_KINDS[kind]) for kind in _KINDS if kind in kinds],
        title=_clips_of(evaluation),
        ncols=2,
        frameon=False,
        loc="lower right",  # over the names too, which leave the axes half of the width
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.0,
        handlelength=1.5,
    )
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_subjects(
    scores: Scores,
    ax: Axes | None = None,
    *,
    against: Scores | None = None,
    names: tuple[str, str] = ("with selection", "without selection"),
    title: str | None = None,
) -> Axes:
    """Draw the accuracy on each subject, over how many clips it is of.

    Parameters
    ----------
    scores : Scores
        Drawn as bars; the dashed line is the accuracy on all clips.
    ax : matplotlib.axes.Axes, optional
    against : Scores, optional
        Of another classifier on the same clips, drawn as points; the dotted line is its accuracy on all.
    names : (str, str)
        What the legend calls the two.
    title : str, optional
        What the subjects are.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = axes(ax)
    counts = scores.by_subject
    at = np.arange(len(counts))
    handles: list[Any] = [ax.bar(at, _percent(scores), color=BLUE, label=names[0])]
    overall = 100 * scores.accuracy
    handles.append(
        ax.axhline(
            overall,
            color=BLUE,
            linestyle="--",
            linewidth=1,
            clip_on=False,
            label=f"all clips: {overall:.1f} %",
        )
    )
    if against is not None:
        # Points at 0 and 100 % are drawn whole: not cut at the frame, and above it.
        handles += ax.plot(
            at,
            _percent(against),
            "o",
            color=ORANGE,
            markeredgecolor="black",
            markersize=3.5,
            markeredgewidth=0.5,
            label=names[1],
            clip_on=False,
            zorder=3,
        )
        overall = 100 * against.accuracy
        handles.append(
            ax.axhline(
                overall,
                color=ORANGE,
                linestyle=":",
                linewidth=1.2,
                clip_on=False,
                label=f"all clips: {overall:.1f} %",
            )
        )
    ax.legend(handles=handles, ncols=2, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.02))
    ax.set_xticks(at, [f"{subject} ({n})" for subject, (_, n) in counts.items()], rotation=90)
    ax.set_xlim(-0.6, len(counts) - 0.4)
    ax.set_ylim(0, 100)
    ax.set_xlabel("subject (number of clips)" + (f", {title}" if title else ""))
    ax.set_ylabel("accuracy on each subject (%)")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_sweep(evaluation: Evaluation, ax: Axes | None = None) -> Axes:
    """Draw Fig. 4: accuracy over N, one line for each grid of blocks.

    The values of N stand at equal distances, and the lines a little beside each other, so that equal
    accuracies are seen as such. Where the axis does not begin at 0 it says so. A ring marks the best cell, or
    all that are as good: it is chosen by the test clips, so its accuracy is optimistic.

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
    ax = axes(ax)
    n_features = list(dict.fromkeys(n for _, n in evaluation.sweep))
    kinds = list(dict.fromkeys(kind for kind, _ in evaluation.sweep))
    accuracy = np.array([[100 * evaluation.sweep[kind, n].accuracy for n in n_features] for kind in kinds])
    beside = 0.6 / len(kinds) * (np.arange(len(kinds)) - (len(kinds) - 1) / 2)
    at = np.arange(len(n_features)) + beside[:, None]
    for i, kind in enumerate(kinds):
        color, marker = SERIES[i % len(SERIES)]
        ax.plot(
            at[i],
            accuracy[i],
            color=color,
            marker=marker,
            markersize=3.5,
            linewidth=0.8,
            label=kind if isinstance(kind, str) else "{} × {}".format(*kind),
        )
    best = accuracy == accuracy.max()
    ax.plot(
        at[best], accuracy[best], "o", markersize=6.5, fillstyle="none", color="black", markeredgewidth=0.6
    )
    which = f"{best.sum()} best cells, each" if best.sum() > 1 else "best cell,"
    low = max(0.0, 5 * np.floor((accuracy.min() - 2) / 5))
    top = max(accuracy.max(), low + 5)
    ax.set_ylim(low, top + 0.08 * (top - low))  # room for the ring
    if low:
        ax.plot(
            0,
            0,
            marker=[(-1, -0.4), (1, 0.4)],
            markersize=7,
            color="black",
            transform=ax.transAxes,
            clip_on=False,
        )
    ax.set_xticks(range(len(n_features)), map(str, n_features))
    ax.set_xlabel(
        f"features selected, N\nring: {which} {accuracy.max():.1f} %,\nchosen by the test clips: optimistic"
    )
    ax.set_ylabel(
        "accuracy (%)"
        + (", simulated" if evaluation.simulated else "")
        + (f"\naxis is cut: from {low:g} % on" if low else "")
    )
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
        From `microexpr.experiment.evaluate`: the share is averaged over the folds, and drawn by `plot_blocks`
        over the mean face if there is one.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the features have no blocks.
    """
    if evaluation.weights is None:
        raise ValueError(f"{evaluation.features} has no blocks, so that nothing says where on the face it is")
    share = 100 * evaluation.weights / (evaluation.weights.sum() or 1.0)
    down, across = share.shape
    ax = plot_blocks(share, evaluation.face, ax, unit=" %")
    ax.set_xlabel(
        f"share of $\\Sigma_j ||W_j||$ in {down} × {across} blocks,\nby area: the largest {share.max():.1f} %"
        + (", simulated clips" if evaluation.simulated else "")
    )
    return ax


def save_evaluation(evaluation: Evaluation, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the pictures of an evaluation as PNG files, 3.4 inches wide: a column; return their paths."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    without, chosen = evaluation.rows[:2]
    subjects = [f"{subject} ({n})" for subject, (_, n) in chosen.scores.by_subject.items()]
    simulated = ", simulated clips" if evaluation.simulated else ""
    drawings = {
        "table": (_height_for(evaluation.lines(), _FONT_SIZE), lambda ax: plot_comparison(evaluation, ax)),
        "confusion": (3.2, lambda ax: plot_confusion(chosen.scores, ax, title=f"with selection{simulated}")),
        "confusion_without": (
            3.2,
            lambda ax: plot_confusion(without.scores, ax, title=f"without selection{simulated}"),
        ),
        "subjects": (
            2.4 + 0.055 * max(map(len, subjects)),
            lambda ax: plot_subjects(
                chosen.scores, ax, against=without.scores, title="simulated" if evaluation.simulated else None
            ),
        ),
    }
    if evaluation.weights is not None:
        drawings["face"] = (2.8, lambda ax: plot_face_parts(evaluation, ax))
    if evaluation.sweep:
        drawings["sweep"] = (3.1, lambda ax: plot_sweep(evaluation, ax))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in {"face", "sweep"} - drawings.keys():  # none of an earlier run either
        (folder / f"{name}.png").unlink(missing_ok=True)
    written = []
    with rc_context({"font.size": _FONT_SIZE, "axes.linewidth": 0.6, "hatch.linewidth": 0.5}):
        for name in progress_bar(drawings, "draw", len(drawings), "picture", None, leave=False):
            height, draw = drawings[name]
            width = max(3.4, 0.11 * len(subjects) + 0.6) if name == "subjects" else 3.4
            figure = Figure(figsize=(width, height), layout="constrained")
            draw(figure.subplots())
            figure.draw_without_rendering()  # the layout moves what has a fixed aspect only the second time
            figure.savefig(folder / f"{name}.png", dpi=300)
            written.append(folder / f"{name}.png")
    return written


def _kind_of(line: Mapping[str, Any]) -> str:
    """Return which of `_KINDS` a line of the table is; rows of other recipes begin with their pooling."""
    if line["source"] == "quoted":
        return "quoted"
    return next((kind for kind in _KINDS if line["method"].startswith(kind)), "not the paper's")


def _height_for(lines: list[dict[str, Any]], font_size: float | None = None) -> float:
    """Return how many inches high `plot_comparison` has to be for names that don't overlap."""
    from matplotlib import rcParams

    return (12 + 2.8 * len(lines)) * (font_size or rcParams["font.size"]) / 72


def _clips_of(evaluation: Evaluation) -> str:
    table = evaluation.table
    n_subjects = len(table[["dataset", "subject"]].drop_duplicates())
    names = ", ".join(name.replace(" ", "\xa0") for name in dict.fromkeys(table["dataset"]))
    if evaluation.simulated:  # in the layout of CASME II, say: no clip is of it
        words = f"{len(table)} simulated clips of {n_subjects} subjects, read as {names}"
    else:
        words = f"{names}: {len(table)} clips of {n_subjects} subjects"
    return textwrap.fill(words, 48)


def _percent(scores: Scores) -> list[float]:
    return [100 * right / n for right, n in scores.by_subject.values()]
