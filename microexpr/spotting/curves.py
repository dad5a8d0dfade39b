"""From frames to a curve that is high where the face moves and moves back: F_i of frame i, frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ltogp

from .._compilation import tell_of_compilation

Floats = NDArray[np.float64]

FEATURES = ("ltogp", "lbp")
BINS = 256
_STEPS = (1, 1, 1, 1, 2, 2, 2)  # of the blur
_CHUNK = 64  # frames described in one call

tell_of_compilation()


class _Difference:
    r"""Chi-squared distance of frame i from the mean of the frames k before and k after, in each block.

    .. math:: \chi^2_b = \sum_c \frac{(h_{ic} - m_c)^2}{h_{ic} + m_c},\quad m = (h_{i-k} + h_{i+k}) / 2,

    with h the histogram of block b divided by its number of pixels.
    """

    def __init__(self, k: int, pixels: Floats) -> None:
        self.k, self.pixels = k, pixels
        self.rows = np.zeros((2 * k + 1, len(pixels) * BINS), np.float32)  # of frame t at t % (2k + 1)

    def feed(self, t: int, row: NDArray[np.float32]) -> Floats:
        """Take frame t; return the distances of frame t - k, in each block."""
        rows, n = self.rows, len(self.rows)
        rows[t % n] = row
        tail, current = rows[(t + 1) % n], rows[(t - self.k) % n]
        # Of counts: (2 h - tail - head)^2 / (2 h + tail + head) is twice what is wanted; 0 / 0 is 0.
        both = tail + row
        twice = current + current
        squared = np.square(twice - both) / np.maximum(twice + both, 1)
        return squared.reshape(-1, BINS).sum(axis=1, dtype=np.float64) / (2 * self.pixels)


class _Rank:
    r"""How far rank pooling of the k + 1 frames up to frame i is from that of the k + 1 frames after it.

    .. math:: \frac{\|(u^-_i - u^+_i)_b\|}{\sum_t |2t - T - 1|},\quad
              u = \sum_{t=1}^{T} (2t - T - 1)\, v_t,\quad T = k + 1,

    u approximate rank pooling (`rankpool.approximate_rank_pool`, Bilen et al. 2016) of frames i - k to i and
    of i to i + k, v the histograms of block b divided by its number of pixels. What stays, or changes
    steadily, is ordered alike before and after, and cancels; what comes and goes is ordered one way before
    its apex and the other way after it. u follows from frame to frame from two running sums, of whole
    numbers, so that they stay exact: S' = S - v_1 + v_new and R' = R - S + T v_new, with S = sum v_t, R = sum
    t v_t and u = 2 R - (T + 1) S.
    """

    def __init__(self, k: int, pixels: Floats) -> None:
        self.k, self.pixels, size = k, pixels, len(pixels) * BINS
        self.rows = np.zeros((k + 1, size), np.float32)
        self.u = np.zeros((k + 1, size))
        self.sum, self.ranked = np.zeros(size), np.zeros(size)
        T = k + 1
        self.scale = pixels * np.abs(2 * np.arange(1, T + 1) - T - 1).sum()

    def feed(self, t: int, row: NDArray[np.float32]) -> Floats:
        """Take frame t; return the lengths at frame t - k, in each block."""
        T = self.k + 1
        at = t % T
        whole = row.astype(np.float64)  # T times a count may be beyond what float32 holds exactly
        self.ranked -= self.sum
        self.ranked += T * whole
        self.sum += whole
        self.sum -= self.rows[at]
        self.rows[at] = row
        # Frame t - k is the last of the window before it, whose u is at (t - k) % T, and the first of this.
        u = self.u[at]
        np.multiply(self.ranked, 2, out=u)
        u -= (T + 1) * self.sum
        bent = self.u[(t + 1) % T] - u
        bent *= bent
        return np.sqrt(bent.reshape(-1, BINS).sum(axis=1)) / self.scale


METHODS: dict[str, Callable[[int, Floats], Any]] = {"difference": _Difference, "rank": _Rank}


def moving_mean(F: Floats, reach: int) -> Floats:
    """Mean of each value and the `reach` before and after it: (n - 2 reach,).

    Examples
    --------
    >>> moving_mean(np.array([0.0, 3, 0, 3]), 1)
    array([1., 2.])
    """
    n = len(F) - 2 * reach
    total = np.zeros(max(0, n))
    for j in range(2 * reach + 1):  # in this order whatever the length, so that a stream gives the same bits
        total += F[j : j + len(total)]
    return total / (2 * reach + 1)


def blurred(frame: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Blur a frame by 2 pixels, in 256ths of a grey level.

    With (1 + z)^4 (1 + z^2)^3 / 2^7 along either axis, whose variance is 4, in whole numbers; beyond its
    border the frame repeats the nearest pixel. scipy's Gaussian takes three times as long, and its
    rounding may depend on the processor.

    Examples
    --------
    >>> blurred(np.full((3, 3), 10, np.uint8)) / 256
    array([[10., 10., 10.],
           [10., 10., 10.],
           [10., 10., 10.]])
    """
    sums = np.pad(frame, 5, mode="edge").astype(np.uint16)  # up to 255 * 2^7
    for step in _STEPS:
        sums = sums[:-step] + sums[step:]
    wide = sums.astype(np.uint32)
    for step in _STEPS:
        wide = wide[:, :-step] + wide[:, step:]
    wide += 1 << 5
    wide >>= 6
    return wide.astype(np.uint16)


class Curve:
    """F_i of frames that come piece by piece: the mean of the largest blocks of `METHODS`.

    Of rank pooling less the median of all blocks: what moves the whole face alike, a turn of the head, is no
    expression. The first value is that of frame k; memory is that of 2k + 1 frames' histograms, whatever
    comes.

    `kept` (down, across) says which blocks count, and `blur` is the standard deviation of a Gaussian, in
    pixels, that frames are blurred with before they are described.
    """

    def __init__(
        self, k: int, method: str, features: str, n_largest: int, kept: NDArray[np.bool_], blur: bool
    ) -> None:
        self.k, self.method, self.features, self.blur = k, method, features, blur
        self.n_largest, self.blocks, self.kept = n_largest, kept.shape, kept.ravel()
        self.count = 0
        self.state: Any = None

    def feed(self, frames: NDArray[Any]) -> Floats:
        """Take frames (n, height, width); return the values that are known now and were not before."""
        values = []
        for start in range(0, len(frames), _CHUNK):
            piece = frames[start : start + _CHUNK]
            piece = np.stack([blurred(frame) for frame in piece]) if self.blur else piece
            rows = ltogp.histogram(piece, self.blocks, templates=self.features)
            if self.state is None:
                self.state = METHODS[self.method](self.k, rows[0].reshape(-1, BINS).sum(axis=1, dtype=float))
            for row in rows:
                blocks = self.state.feed(self.count, row)[self.kept]
                self.count += 1
                if self.count > 2 * self.k:
                    values.append(self._value(blocks))
        return np.array(values, dtype=float)

    def _value(self, blocks: Floats) -> float:
        ordered = np.sort(blocks)
        value = float(ordered[-self.n_largest :].mean())
        if self.method == "rank":
            n = len(ordered)
            value -= float(ordered[(n - 1) // 2] + ordered[n // 2]) / 2
        return value
