"""How expressions are spotted."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._checks import is_positive, is_whole
from .._wording import option
from .curves import FEATURES, METHODS

Method = Literal["difference", "rank"]
SpottingFeatures = Literal["ltogp", "lbp"]


@dataclass(frozen=True)
class SpottingOptions:
    """How expressions are spotted; the defaults of `spot`, `Spotter` and the command line.

    Attributes
    ----------
    method : {"difference", "rank"}
        How far frame i is from the frames k before and after (Moilanen et al. 2014), or how far rank pooling
        of the k frames before it is from that of the k frames after it.
    features : {"ltogp", "lbp"}
        Of whose codes the histograms are.
    blocks : (int, int)
        Blocks down and across.
    n_largest : int, optional
        Of how many blocks the largest values are averaged; by default a third of them.
    eyes : (float, float) or None
        Blocks whose middle lies in this part of the height, from above, have no part in it: blinks are as
        short as micro-expressions. None leaves none out.
    blur : bool
        Whether every frame is blurred first, by 2 pixels.
    smooth : float
        Seconds that the curve is averaged over.
    longest, shortest : float
        Seconds that an expression lasts at most, and at least. k is half of the longest.
    p : float
        The threshold is mean + p (maximum - mean) of the contrast, p from 0 to 1,
    noise : float
        and not below its median by less than this many (robust) standard deviations; 0 leaves this out.
    threshold : float, optional
        A number in their place.
    edge : float
        An event begins and ends where the contrast falls below this part of that at its apex, 0 to 1.
    """

    method: Method = "rank"
    features: SpottingFeatures = "ltogp"
    blocks: tuple[int, int] = (6, 6)
    n_largest: int | None = None
    eyes: tuple[float, float] | None = (1 / 3, 1 / 2)
    blur: bool = True
    smooth: float = 0.1
    longest: float = 0.5
    shortest: float = 0.1
    p: float = 0.25
    noise: float = 4.0
    threshold: float | None = None
    edge: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(
                f"{option('method')} is {self.method!r}; it must be {' or '.join(map(repr, METHODS))}"
            )
        if self.features not in FEATURES:
            raise ValueError(
                f"{option('features')} is {self.features!r}; it must be {' or '.join(map(repr, FEATURES))}"
            )
        if np.shape(self.blocks) != (2,) or not all(is_whole(n) and 1 <= n <= 64 for n in self.blocks):
            raise ValueError(
                f"{option('blocks')} is {self.blocks!r}; it must be (down, across), each 1 to 64"
            )
        if self.eyes is not None and not (
            np.shape(self.eyes) == (2,)
            and _is_between(self.eyes[0], 0, 1)
            and _is_between(self.eyes[1], self.eyes[0], 1)
        ):
            raise ValueError(
                f"{option('eyes')} is {self.eyes!r}; it must be (top, bottom), parts of the height "
                "from 0 to 1, or None"
            )
        left = int(self.kept().sum())
        if not left:
            raise ValueError(
                f"{option('eyes')} is {self.eyes!r}, where all {self.blocks[0]} rows of blocks lie; one must "
                "be left"
            )
        if self.n_largest is not None and not (is_whole(self.n_largest) and 1 <= self.n_largest <= left):
            raise ValueError(
                f"{option('n_largest')} is {self.n_largest!r}; it must be 1 to {left}, the blocks there are"
            )
        if not is_positive(self.longest) or self.longest > 60:
            raise ValueError(
                f"{option('longest')} is {self.longest!r}; it must be positive, and at most 60 seconds"
            )
        if not _is_between(self.shortest, 0, self.longest):
            raise ValueError(
                f"{option('shortest')} is {self.shortest!r}; it must be 0 to the longest, "
                f"{self.longest} seconds"
            )
        if not isinstance(self.blur, bool):
            raise ValueError(f"{option('blur')} is {self.blur!r}; it must be True or False")
        for name, most in (("p", 1.0), ("edge", 1.0), ("noise", 1000.0), ("smooth", self.longest)):
            value = getattr(self, name)
            if not _is_between(value, 0, most):
                raise ValueError(f"{option(name)} is {value!r}; it must be 0 to {most:g}")
        if self.threshold is not None and not _is_between(self.threshold, 0, np.inf):
            raise ValueError(f"{option('threshold')} is {self.threshold!r}; it must be 0 or more, and finite")

    def kept(self) -> NDArray[np.bool_]:
        """Which blocks count, (down, across)."""
        middles = (np.arange(self.blocks[0]) + 0.5) / self.blocks[0]
        top, bottom = (2.0, 2.0) if self.eyes is None else self.eyes
        return np.repeat(~((top <= middles) & (middles < bottom))[:, None], self.blocks[1], axis=1)

    def k(self, fps: float) -> int:
        """Frames before and after that a frame is compared with: (N - 1) / 2, N the longest, made odd."""
        if not is_positive(fps) or fps > 100_000:
            raise ValueError(
                f"{option('fps')} is {fps!r}; it must be a positive number of frames in a second"
            )
        longest = int(self.longest * fps + 1e-9)
        if longest < 3:
            raise ValueError(
                f"{option('longest')} is {self.longest} s, {longest} frames at {fps:g} frames a second; at "
                "least 3 are needed"
            )
        return (longest - 1) // 2


def _is_between(value: Any, least: float, most: float) -> bool:
    return (
        isinstance(value, Real)
        and not isinstance(value, bool)
        and least <= float(value) <= most
        and float(value) < np.inf
    )
