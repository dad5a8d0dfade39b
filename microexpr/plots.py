"""Figures. Every function draws on a matplotlib Axes and returns it (`plot_description`: a Figure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

import ltogp

from .evaluation import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_codes", "plot_confusion", "plot_description", "plot_frames", "plot_temporal_scores"]


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
    frames: ArrayLike, u: ArrayLike, *, blocks: tuple[int, int] = (8, 8), title: str | None = None
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
    plot_temporal_scores(ltogp.histogram(frames, blocks) @ np.asarray(u), axes["scores"])
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


def _axes(ax: Axes | None) -> Axes:
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(layout="constrained")
    return ax
