"""The picture of what was spotted in a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..spotting import Event, Spotting
from ._colours import BLUE, GREEN, ORANGE, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_contrast", "plot_spotting"]

_MOST_SHOWN = 8  # events with thumbnails
_MOST_NAMED = 20  # events with numbers; of more, those with thumbnails
_POINTS = 2000  # of the curve: more are not seen


def plot_contrast(
    spotting: Spotting, ax: Axes | None = None, *, coded: Sequence[tuple[int, int]] | None = None
) -> Axes:
    """Draw the contrast over time, its threshold, and the events.

    Parameters
    ----------
    spotting : Spotting
        From ``microexpr.spot(..., full_output=True)``.
    ax : matplotlib.axes.Axes, optional
    coded : sequence of (int, int), optional
        Onset and offset, in frames, of the expressions that are known: drawn as bars below the curve.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = axes(ax)
    C, fps = spotting.contrast, spotting.fps
    every = -(-len(C) // _POINTS)
    padded = np.concatenate([C, np.full(-len(C) % every, np.nan)]).reshape(-1, every)
    known = ~np.isnan(padded).all(axis=1)
    peaks = np.full(len(padded), np.nan)
    peaks[known] = np.nanmax(padded[known], axis=1)  # of each piece, so that no peak is lost
    ax.axhline(0, color="0.8", linewidth=0.6)
    ax.plot((np.arange(len(peaks)) + 0.5) * every / fps, peaks, color=BLUE, linewidth=0.8, label="contrast")
    ax.axhline(spotting.threshold, color="black", linestyle=":", linewidth=1, label="threshold")
    events = spotting.events
    named = range(len(events)) if len(events) <= _MOST_NAMED else _highest(spotting)
    for n, event in enumerate(events):
        label = "event" if not n else None
        ax.axvspan(event.onset_s, event.offset_s, color=ORANGE, alpha=0.45, linewidth=0, label=label)
        # In a long video a span is thinner than a line.
        ax.plot(event.apex_s, event.score, "o", color=ORANGE, markeredgecolor="black", markersize=4, mew=0.5)
        if n in named:
            at: dict[str, Any] = {
                "xytext": (0, 4),
                "textcoords": "offset points",
                "ha": "center",
                "va": "bottom",
            }
            ax.annotate(str(n + 1), (event.apex_s, event.score), **at)
    top = max(np.nanmax(peaks) if known.any() else 1.0, spotting.threshold)
    for n, (onset, offset) in enumerate(coded or ()):
        label = "coded" if not n else None
        ax.plot([onset / fps, offset / fps], [-0.06 * top] * 2, color=GREEN, linewidth=4, label=label)
    ax.set_xlim(0, len(C) / fps)
    ax.set_ylim(-0.1 * top, 1.15 * top)  # what lies below 0 is no event
    ax.set_xlabel("time (s)")
    ax.set_ylabel("contrast")
    ax.legend(ncols=4, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_spotting(
    spotting: Spotting,
    thumbnails: Sequence[NDArray[np.uint8]] = (),
    *,
    title: str | None = None,
    coded: Sequence[tuple[int, int]] | None = None,
) -> Figure:
    """Draw `plot_contrast`, and above it the frames at onset, apex and offset of the events.

    Of more than eight events the eight with the highest contrast have their frames shown, in the order of
    time.

    Parameters
    ----------
    spotting : Spotting
    thumbnails : sequence of ndarray of shape (3, height, width)
        Of each event, or none at all.
    title : str, optional
    coded : sequence of (int, int), optional
        As in `plot_contrast`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    events = spotting.events
    shown = _highest(spotting) if thumbnails else []
    with rc_context({"font.size": 8, "axes.linewidth": 0.6}):
        figure = Figure(figsize=(9, 5.2 if shown else 3), layout="constrained")
        if shown:
            parts: Any = figure.subfigures(2, 1, height_ratios=[2.2, 3])
            above, below = parts
            axes = above.subplots(3, _MOST_SHOWN)
            for ax in axes.flat:
                ax.set_axis_off()
            for column, n in enumerate(shown):
                _draw_event(axes[:, column], events[n], n + 1, thumbnails[n])
            ax = below.subplots()
        else:
            ax = figure.subplots()
        plot_contrast(spotting, ax, coded=coded)
        if title:
            figure.suptitle(title)
    return figure


def _highest(spotting: Spotting) -> list[int]:
    """Positions of the events with the highest contrast, in the order of time."""
    scores = [event.score for event in spotting.events]
    return sorted(sorted(range(len(scores)), key=lambda n: -scores[n])[:_MOST_SHOWN])


def _draw_event(axes: NDArray[Any], event: Event, number: int, frames: NDArray[np.uint8]) -> None:
    label = getattr(event.classification, "label", None)
    axes[0].set_title(f"{number}: {event.apex_s:.2f} s" + (f"\n{label}" if label else ""), fontsize=7)
    for ax, frame, name in zip(axes, frames, ("onset", "apex", "offset"), strict=True):
        ax.imshow(frame, cmap="gray", vmin=0, vmax=255)
        ax.text(0.03, 0.03, name, transform=ax.transAxes, color="white", fontsize=6)
