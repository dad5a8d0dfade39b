"""A clip: its frames, their codes, whether they have an order, and where on the face that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

import ltogp
import rankpool

from ._colours import BLUE, axes, from_lightness
from .blocks import plot_blocks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_codes", "plot_description", "plot_frames", "plot_held_out_scores"]


def plot_frames(frames: ArrayLike, ax: Axes | None = None, *, count: int = 6) -> Axes:
    """Show up to `count` frames of a clip (T, height, width), evenly spread in time, side by side."""
    frames = np.asarray(frames)
    shown = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    ax = axes(ax)
    _height, width = frames.shape[1:]
    ax.imshow(np.hstack(frames[shown]), cmap="gray")
    ax.set_xticks((np.arange(len(shown)) + 0.5) * width, [f"{t + 1}" for t in shown])
    ax.set_yticks([])
    ax.set_xlabel(f"frame (of {len(frames)})")
    return ax


def plot_codes(
    frame: ArrayLike,
    ax: Axes | None = None,
    *,
    blocks: tuple[int, int] = (8, 8),
    name: str = "one frame",
) -> Axes:
    """Show the LTOGP codes of one frame by the directions of their bits, and the blocks they are counted in.

    A code is no quantity: 128 is not half of 255 but "concave in all directions but the last". So the colours
    are not of the number but of what it says, bit k being set where the second-order gradient in direction
    k · 45° (counter-clockwise from the right) is at least 0.

    - Hue is where the set bits point, the direction of the sum of their unit vectors: codes along one side of
      an edge have the same hue, those along the other the opposite one.
    - Saturation is how one-sided they are, the length of that sum. Grey codes point nowhere: blobs, lines,
      corners of a checkerboard, flat areas.
    - Brightness is how many bits are set: from black for none (a peak in all directions) to white for all
      eight (a pit, or a flat area, where every gradient is 0).

    A small legend beside the picture shows hue and saturation as a wheel, and the brightness.

    Parameters
    ----------
    frame : array-like of shape (height, width)
        Grey levels, of any dtype that `ltogp.encode` takes.
    ax : matplotlib.axes.Axes, optional
    blocks : (int, int)
        Number of blocks down and across.
    name : str
        Which frame this is, for the label: "frame 37".

    Returns
    -------
    matplotlib.axes.Axes
    """
    codes = ltogp.encode(np.asarray(frame))
    ax = axes(ax)
    ax.imshow(_colours_of_codes()[codes], interpolation="nearest")
    height, width = codes.shape
    for i in range(1, blocks[0]):
        ax.axhline(i * height // blocks[0] - 0.5, color="black", linewidth=0.6)
    for j in range(1, blocks[1]):
        ax.axvline(j * width // blocks[1] - 0.5, color="black", linewidth=0.6)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(f"LTOGP codes of {name},\nin {blocks[0]} × {blocks[1]} blocks")
    _draw_legend_of_codes(ax)
    return ax


def plot_held_out_scores(
    held_out: rankpool.HeldOutScores, ax: Axes | None = None, *, fps: float | None = None
) -> Axes:
    """Plot the scores of a clip's frames, each held out of the solve, over time, and say Kendall's τ.

    Where they rise, a frame that the solver has not seen finds its place in time. The scores u^T v_t of
    frames that it has seen rise whatever the frames are, and are not drawn.

    Parameters
    ----------
    held_out : rankpool.HeldOutScores
        ``rankpool.held_out_scores(V)`` of the frames' features V.
    ax : matplotlib.axes.Axes, optional
    fps : float, optional
        Frames a second: time is in seconds then, else in frames.

    Returns
    -------
    matplotlib.axes.Axes
    """
    from matplotlib.ticker import MaxNLocator

    scores = np.asarray(held_out.scores)
    ax = axes(ax)
    time = np.arange(len(scores)) / fps if fps else np.arange(1, len(scores) + 1)
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.plot(time, scores, "o", color=BLUE, markersize=4 if len(scores) <= 100 else 2, markeredgewidth=0)
    ax.set_xlim(time[0] - 0.02 * (time[-1] - time[0]), time[-1] + 0.02 * (time[-1] - time[0]))
    ax.set_xlabel("time (s)" if fps else "frame")
    ax.set_ylabel("score $u^T v_t$ of frames held out,\n0: mean of the others")
    words = str(held_out).replace("tau", "Kendall's τ").replace(": ", ":\n")
    ax.set_title(words, fontsize="medium")
    if not fps:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_description(
    frames: ArrayLike,
    u: ArrayLike,
    *,
    blocks: tuple[int, int] = (8, 8),
    held_out: rankpool.HeldOutScores | None = None,
    title: str | None = None,
) -> Figure:
    """Show a clip as `microexpr.describe` sees it: frames, codes, where u is long, whether there is an order.

    Parameters
    ----------
    frames : array-like of shape (T, height, width)
        The clip.
    u : array-like of shape (blocks[0] * blocks[1] * 256,)
        Its representation, ``describe(frames, blocks=blocks)``. Over the mean frame stands how much of it
        lies in each block b, ‖u_b‖ in % of ‖u‖.
    blocks : (int, int)
        Number of blocks down and across.
    held_out : rankpool.HeldOutScores, optional
        Of the frames' histograms, where they are there; by default computed from the frames, with C = 1.
    title : str, optional
        Text above the figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If `u` is not of that length.
    """
    from matplotlib.figure import Figure

    frames, u = np.asarray(frames), np.asarray(u)
    if u.shape != (blocks[0] * blocks[1] * 256,):
        raise ValueError(
            f"u has shape {u.shape}; of {blocks[0]} x {blocks[1]} blocks it must be "
            f"({blocks[0] * blocks[1] * 256},)"
        )
    if held_out is None:
        held_out = rankpool.held_out_scores(ltogp.histogram(frames, blocks))
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    drawn = figure.subplot_mosaic(
        [["frames", "frames", "frames"], ["codes", "length", "scores"]],
        height_ratios=[1, 1.5],
        width_ratios=[1, 1, 1.2],
    )
    plot_frames(frames, drawn["frames"])
    middle = len(frames) // 2
    plot_codes(frames[middle], drawn["codes"], blocks=blocks, name=f"frame {middle + 1}")
    length = np.linalg.norm(u.reshape(*blocks, 256), axis=2)
    share = 100 * length / (np.linalg.norm(u) or 1.0)
    plot_blocks(share, frames.mean(axis=0), drawn["length"], unit=" %")
    drawn["length"].set_xlabel(
        "length of u in each block, $\\|u_b\\|$,\nin % of $\\|u\\|$, on the mean frame"
    )
    plot_held_out_scores(held_out, drawn["scores"])
    if title:
        figure.suptitle(title, fontsize="medium")
    figure.draw_without_rendering()  # the layout moves what has a fixed aspect only the second time
    return figure


def _colours_of_codes() -> NDArray[np.float64]:
    """Colour of each code, shape (256, 3)."""
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    pointing = bits @ np.exp(0.25j * np.pi * np.arange(8))
    return _colours(bits.sum(axis=1), np.abs(pointing), np.angle(pointing))


def _colours(n_set: ArrayLike, length: ArrayLike, angle: ArrayLike) -> NDArray[np.float64]:
    """Colours of codes with that many bits set, whose unit vectors sum to that length and angle."""
    longest = 1 / np.sin(np.pi / 8)  # of four neighbours: 2.61
    return from_lightness(
        0.15 + 0.85 * np.asarray(n_set) / 8, 0.14 * np.asarray(length) / longest, np.asarray(angle)
    )


def _draw_legend_of_codes(ax: Axes) -> None:
    wheel = ax.inset_axes((1.03, 0.7, 0.24, 0.24))
    y, x = np.mgrid[1:-1:101j, -1:1:101j]
    radius = np.hypot(x, y)
    colours = _colours(4, np.minimum(radius, 1) / np.sin(np.pi / 8), np.arctan2(y, x))
    colours[radius > 1] = 1
    wheel.imshow(colours, extent=(-1, 1, -1, 1))
    wheel.set_axis_off()
    wheel.set_title("bits set\npoint to", fontsize="x-small")
    bar = ax.inset_axes((1.03, 0.04, 0.07, 0.4))
    bar.imshow(_colours(np.arange(9), 0.0, 0.0)[:, None], origin="lower", aspect="auto")
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.set_yticks([0, 4, 8])
    bar.tick_params(labelsize="x-small", length=0)
    bar.set_title("how many", fontsize="x-small", loc="left")
