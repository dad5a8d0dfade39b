"""Weights of blocks, drawn where on the face they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ._colours import BLUE, ORANGE, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_blocks"]


def plot_blocks(
    values: ArrayLike,
    face: ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    unit: str = "",
    signs: tuple[str, str] = ("positive", "negative"),
) -> Axes:
    """Draw a value for each block as the area of a circle over a face, with a legend of sizes beside it.

    Areas and not colours: a colour laid over a face takes on the face's brightness. The largest value fills
    its block.

    Parameters
    ----------
    values : array-like of shape (down, across)
        One a block, of either sign.
    face : array-like of shape (height, width), optional
        Grey levels of what the blocks divide, drawn from its darkest to its brightest; by default plain grey.
    ax : matplotlib.axes.Axes, optional
    unit : str
        What follows a number in the legend, " %" for instance.
    signs : (str, str)
        What positive and negative values are called in the legend, where there are negative ones: those are
        blue, the others orange.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If `values` or `face` is not two-dimensional, is empty, or holds NaN or infinity.

    Examples
    --------
    >>> import matplotlib.figure, microexpr.plots
    >>> ax = matplotlib.figure.Figure().subplots()
    >>> weights = [[3.0, -1.0], [0.5, 0.0]]
    >>> microexpr.plots.plot_blocks(weights, ax=ax, signs=("for surprise", "against it"))
    <Axes: >
    >>> [text.get_text() for text in ax.texts]
    ['2', '1', '0.5', 'for surprise', 'against it']
    """
    from matplotlib.patches import Circle

    values = _picture(values, "values", "(down, across)")
    down, across = values.shape
    shown = np.full((64, 64), 0.75) if face is None else _picture(face, "face", "(height, width)")
    height, width = shown.shape
    ax = axes(ax)
    darkest, brightest = (0.0, 1.0) if face is None else (shown.min(), shown.max())
    ax.imshow(shown, cmap="gray", vmin=darkest, vmax=brightest)
    largest = float(np.abs(values).max())
    room = 0.48 * min(height / down, width / across)

    def circle(x: float, y: float, value: float, colour: str, **options: Any) -> None:
        radius = room * math.sqrt(abs(value) / largest) if largest else 0.0
        ax.add_patch(
            Circle((x, y), radius, facecolor=colour, edgecolor="black", linewidth=0.5, alpha=0.65, **options)
        )

    for (i, j), value in np.ndenumerate(values):
        x, y = (j + 0.5) * width / across - 0.5, (i + 0.5) * height / down - 0.5
        circle(x, y, value, BLUE if value < 0 else ORANGE)
    ax.set_xticks([])
    ax.set_yticks([])

    signed = bool((values < 0).any())
    plain = "white" if signed else ORANGE
    lines = [(value, plain, f"{value:g}{unit}") for value in _round_numbers(largest)]
    if signed:
        same = lines[1][0]
        lines += [(same, ORANGE, signs[0]), (same, BLUE, signs[1])]
    # Beside the face and in its pixels, so that the sizes are the same at any size of the figure.
    step = max(2.3 * room, 0.09 * height)
    x = width + 0.05 * width + room
    for k, (value, colour, words) in enumerate(lines):
        y = height / 2 + (k - (len(lines) - 1) / 2) * step
        circle(x, y, value, colour, clip_on=False, gid="legend")
        ax.text(x + 1.3 * room, y, words, va="center")
    return ax


def _picture(given: ArrayLike, name: str, shape: str) -> np.ndarray:
    values = np.asarray(given, dtype=float)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"{name} has shape {values.shape}; it must be {shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return values


def _round_numbers(largest: float) -> list[float]:
    """Return the three largest of 1, 2, 5, 10, 20, ... (and 0.5, 0.2, ...) up to the largest value."""
    if not largest:
        return []
    power = math.floor(math.log10(largest))
    numbers = [float(f"{digit}e{e}") for e in (power, power - 1) for digit in (5, 2, 1)]
    return [number for number in numbers if number <= largest][:3]
