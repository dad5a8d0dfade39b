"""Colours, and what can be read on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which people with any colour vision tell apart; markers differ as well.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#e69f00", "#009e73", "#8c8c8c"
SERIES = [
    (BLUE, "o"),
    (ORANGE, "s"),
    (GREEN, "^"),
    ("#d55e00", "D"),
    ("#cc79a7", "v"),
    ("#000000", "X"),
]


def axes(ax: Axes | None, height: float | None = None) -> Axes:
    """Return the axes given, or those of a new figure, `height` inches high."""
    if ax is None:
        from matplotlib import pyplot

        width, usual = pyplot.rcParams["figure.figsize"]
        _, ax = pyplot.subplots(figsize=(width, height or usual), layout="constrained")
    return ax


def ink_on(colour: ArrayLike) -> str:
    """Return black or white, whichever has more contrast with the colour: 4.58 and more (WCAG 2.2).

    The two contrasts, (Y + 0.05) / 0.05 and 1.05 / (Y + 0.05) with Y the luminance, multiply to 21.
    """
    rgb = np.asarray(colour, dtype=float)[:3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ [0.2126, 0.7152, 0.0722] + 0.05 > np.sqrt(0.05 * 1.05) else "white"


def from_lightness(lightness: Any, chroma: Any, angle: Any) -> NDArray[np.float64]:
    """Return sRGB colours (..., 3) of a lightness (0 to 1), a chroma (0: grey) and a hue angle (radians).

    By Ottosson's OKLab, in which hues of one lightness look equally bright, as those of HSV don't: there
    yellow would stand out of a picture and blue recede. What sRGB has not is cut off.
    """
    a, b = chroma * np.cos(angle), chroma * np.sin(angle)
    cones = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ],
        axis=-1,
    )
    matrix = [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
    linear = np.clip(cones**3 @ np.transpose(matrix), 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
