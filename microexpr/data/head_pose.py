"""The head as a smooth surface, turned before a camera: where each pixel of a frame lies on the face."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Head", "depth", "seen", "seen_from"]

CAMERA = 10.0  # distance, in half widths of a face: 7 cm wide a half, and 70 cm away
DOME, NOSE = 0.6, 0.2  # how far the middle of a face and the tip of its nose stand out, in half widths
_STEPS = 3  # of the inversion: the error shrinks with each by slope x angle, below 0.1 for 5 degrees


class Head(NamedTuple):
    """Where a face lies in its picture."""

    centre: NDArray[np.float64]  # (down, across), between eyes and mouth, in pixels
    half: float  # half the width of the face, in pixels


def depth(down: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the face stands out at a point, all in half widths from its centre.

    A dome with a nose on it, flat far outside: an ellipsoid's rim is as steep as one likes, and what lies
    around a face would turn with it.
    """
    dome = DOME * np.exp(-((across / 0.9) ** 2) - (down / 1.1) ** 2)
    return dome + NOSE * np.exp(-((across / 0.2) ** 2) - ((down - 0.05) / 0.3) ** 2)


def seen(head: Head, turn: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tell where points of the frontal picture are seen when the head has turned.

    The picture is a view in perspective too: the point (y, x) of it, in half widths from the centre, is the
    image of y (1 - z / D), x (1 - z / D), z, with z = `depth` and D = `CAMERA`. It is turned by
    R = R_roll R_pitch R_yaw around the middle of the plane z = 0, and projected: D / (D - z').

    Parameters
    ----------
    head : Head
    turn : ndarray of shape (3,)
        Yaw (positive: to the right of the picture), pitch (positive: down), roll (positive: clockwise), in
        radians.
    points : ndarray of shape (2, ...)
        Down and across, in pixels.

    Returns
    -------
    ndarray of shape (2, ...)
        Down and across, in pixels.
    """
    yaw, pitch, roll = turn
    down, across = (points - head.centre.reshape(2, *[1] * (points.ndim - 1))) / head.half
    z = depth(down, across)
    y, x = down * (1 - z / CAMERA), across * (1 - z / CAMERA)
    x, z = np.cos(yaw) * x + np.sin(yaw) * z, np.cos(yaw) * z - np.sin(yaw) * x
    y, z = np.cos(pitch) * y + np.sin(pitch) * z, np.cos(pitch) * z - np.sin(pitch) * y
    x, y = np.cos(roll) * x - np.sin(roll) * y, np.sin(roll) * x + np.cos(roll) * y
    size = head.half * CAMERA / (CAMERA - z)
    return np.stack([head.centre[0] + size * y, head.centre[1] + size * x])


def seen_from(
    head: Head, turn: NDArray[np.float64], pixels: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Invert `seen`: tell which points of the frontal picture are seen at these pixels.

    Steps of q <- q - (seen(q) - pixel) from `start`; each turn is small, so that three of them are enough.
    """
    points = start
    for _ in range(_STEPS):
        points = points - (seen(head, turn, points) - pixels)
    return points
