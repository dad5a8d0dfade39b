"""Light that moves, and that flickers as indoor light does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Light", "shading"]

FLICKER_HZ = 100.0  # of lamps on mains of 50 Hz
FPS = 200.0  # of CASME II: half of it, where the flicker of each second frame is alike


class Light(NamedTuple):
    """Light during a clip."""

    slope: float  # of the brightness from the middle of the frame to its rim, as a part of it
    angle: float  # where it comes from, radians
    turn: float  # by how much the angle changes until the end of the clip
    change: float  # of the brightness until the end, as a part of it
    flicker: float  # amplitude, as a part of the brightness
    beat: float  # Hz by which the mains are off
    phase: float


def shading(light: Light, seconds: float, elapsed: float, size: tuple[int, int]) -> NDArray[np.float64]:
    """Tell by what the brightness of each pixel is multiplied.

    1 + slope (x cos a + y sin a) + change e + flicker cos(2 pi f s + phase), with x and y from -1 to 1, the
    angle a moving with the elapsed part e of the clip, and the seconds s.

    Examples
    --------
    >>> still = Light(slope=0.1, angle=0.0, turn=0.0, change=0.0, flicker=0.0, beat=0.0, phase=0.0)
    >>> shading(still, 0.0, 0.0, (1, 4)).round(3).tolist()   # from the right
    [[0.925, 0.975, 1.025, 1.075]]
    """
    y, x = ((2 * np.arange(n) + 1) / n - 1 for n in size)
    angle = light.angle + light.turn * elapsed
    hum = light.flicker * np.cos(2 * np.pi * (FLICKER_HZ + light.beat) * seconds + light.phase)
    return (
        1
        + light.change * elapsed
        + hum
        + light.slope * (np.cos(angle) * x[None, :] + np.sin(angle) * y[:, None])
    )
