"""From a curve to events: contrast, threshold, peaks, intervals, merging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Event(NamedTuple):
    """A micro-expression that was spotted.

    Attributes
    ----------
    onset, apex, offset : int
        Frames, counted from 0; onset and offset are both in it.
    onset_s, apex_s, offset_s : float
        The same in seconds from the first frame.
    score : float
        Contrast at the apex.
    classification : object or None
        What the model's ``classify`` returned; None without a model, and of an event of one frame.
    """

    onset: int
    apex: int
    offset: int
    onset_s: float
    apex_s: float
    offset_s: float
    score: float
    classification: Any = None


class Interval(NamedTuple):
    """Frames from onset to offset, both in it, and the contrast at the apex."""

    onset: int
    apex: int
    offset: int
    score: float


def contrast(F: Floats, k: int) -> Floats:
    r"""Contrast of a curve with itself k frames before and after: F_i - (F_{i-k} + F_{i+k}) / 2.

    Of a curve of n values for its values k to n - k - 1: (n - 2k,).

    Examples
    --------
    >>> contrast(np.array([1.0, 1, 5, 1, 1]), 1)
    array([-2.,  4., -2.])
    """
    return F[k:-k] - (F[: -2 * k] + F[2 * k :]) / 2


def threshold_of(C: Floats, p: float, noise: float) -> float:
    r"""Threshold of a contrast: from its mean and maximum, and not below what noise reaches.

    .. math:: T = \max(\bar C^+ + p\,(\max C^+ - \bar C^+),\ \mathrm{med}(C) + z\,\hat\sigma),
              \quad C^+ = \max(C, 0),\ \hat\sigma = 1.4826\,\mathrm{med}|C - \mathrm{med}(C)|

    The first is that of Moilanen et al., which the largest value of any curve exceeds, also where nothing
    happens; z is `noise`, and 0 leaves the second out.

    Examples
    --------
    >>> threshold_of(np.array([0.0, 0, 0, 4]), p=0.5, noise=0)
    2.5
    """
    positive = np.maximum(C, 0)
    mean = float(positive.mean())
    level = mean + p * (float(positive.max()) - mean)
    if noise:
        median = float(np.median(C))
        level = max(level, median + noise * 1.4826 * float(np.median(np.abs(C - median))))
    return level


class Finder:
    """Peaks of a contrast that comes piece by piece, each as soon as the values k frames behind it are there.

    Parameters
    ----------
    k : int
        Half of the longest expression, in frames.
    threshold : callable
        From the values seen up to then, at most `memory` of them, to what a peak must exceed.
    memory : int
        How many values are kept, at least 2k + 1.
    edge : float
        An interval reaches as far as the contrast is at least this part of the peak's, and k frames at most.
    gap : int
        Frames between two intervals from which on they are two.
    shortest, longest : int
        Frames of an event.
    first : int
        The frame of the first value.
    """

    def __init__(
        self,
        k: int,
        threshold: Callable[[Floats], float],
        memory: int,
        *,
        edge: float,
        gap: int,
        shortest: int,
        longest: int,
        first: int,
    ) -> None:
        self.k, self.threshold, self.memory = k, threshold, max(memory, 2 * k + 1)
        self.edge, self.gap, self.shortest, self.longest = edge, gap, shortest, longest
        self.apart = max(1, k // 2)
        self.values = np.empty(0)  # the last of them,
        self.begin = first  # and the frame of the first of those
        self.next = first  # the first frame that is not judged
        self.pending: list[Interval] = []

    def feed(self, values: Floats) -> list[Interval]:
        """Take further values; return what nothing that follows can be merged with."""
        return self._judge(values, self.k)

    def finish(self) -> list[Interval]:
        """Judge the last k values too, as if nothing followed; return what is left."""
        return self._judge(np.empty(0), 0) + self._let_go(np.inf)

    def _judge(self, values: Floats, ahead: int) -> list[Interval]:
        found: list[Interval] = []
        seen = np.concatenate([self.values, values])
        start, stop = self.next - self.begin, len(seen) - ahead
        for i in _rising_and_falling(seen, start, stop):
            found += self._let_go(self.begin + i - self.k)
            if _is_peak(seen, i, self.apart):
                known = seen[: i + self.k + 1][-self.memory :]
                if seen[i] > self.threshold(known):
                    interval = _interval(seen, i, self.k, self.edge, self.begin)
                    self.pending = merge([*self.pending, interval], self.gap)
        found += self._let_go(self.begin + max(start, stop) - self.k)
        self.next = max(self.next, self.begin + len(seen) - ahead)
        drop = max(0, len(seen) - self.memory - self.k)
        self.values, self.begin = seen[drop:], self.begin + drop
        return found

    def _let_go(self, onset: float) -> list[Interval]:
        """Return what no interval that begins at this frame or later is merged with, if it is of a length."""
        ready = [interval for interval in self.pending if interval.offset + self.gap < onset]
        self.pending = self.pending[len(ready) :]
        lengths = [interval.offset - interval.onset + 1 for interval in ready]
        return [
            interval for interval, n in zip(ready, lengths, strict=True) if self.shortest <= n <= self.longest
        ]


def merge(intervals: list[Interval], gap: int) -> list[Interval]:
    """Make one of intervals that overlap, or have at most `gap` frames less one between them; in order.

    The apex is that of the highest.

    Examples
    --------
    >>> merge([Interval(5, 6, 9, 1.0), Interval(0, 2, 5, 3.0), Interval(11, 12, 13, 2.0)], gap=1)
    [Interval(onset=0, apex=2, offset=9, score=3.0), Interval(onset=11, apex=12, offset=13, score=2.0)]
    """
    out: list[Interval] = []
    for interval in sorted(intervals):
        if out and interval.onset <= out[-1].offset + gap:
            higher = max(out[-1], interval, key=lambda one: (one.score, -one.apex))
            offset = max(out[-1].offset, interval.offset)
            out[-1] = Interval(out[-1].onset, higher.apex, offset, higher.score)
        else:
            out.append(interval)
    return out


def _rising_and_falling(C: Floats, start: int, stop: int) -> list[int]:
    """Positions from start to before stop with a value above 0 and above its neighbours': few are peaks."""
    if stop <= start:
        return []
    before, after = np.full(len(C), -np.inf), np.full(len(C), -np.inf)
    before[1:], after[:-1] = C[:-1], C[1:]
    candidates = (C > 0) & (before < C) & (after <= C)
    return [start + int(i) for i in np.flatnonzero(candidates[start:stop])]


def _is_peak(C: Floats, i: int, apart: int) -> bool:
    """Whether C_i is the largest within `apart` frames, the first of equals."""
    before, after = C[max(0, i - apart) : i], C[i + 1 : i + 1 + apart]
    return bool((before < C[i]).all() and (after <= C[i]).all())


def _interval(C: Floats, i: int, k: int, edge: float, begin: int) -> Interval:
    """Walk from a peak to both sides while C is at least `edge` of it, k frames at most."""
    level = edge * C[i]
    onset = offset = i
    while onset > max(0, i - k) and C[onset - 1] >= level:
        onset -= 1
    while offset < min(len(C) - 1, i + k) and C[offset + 1] >= level:
        offset += 1
    return Interval(begin + onset, begin + i, begin + offset, float(C[i]))
