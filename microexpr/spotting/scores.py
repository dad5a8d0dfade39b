"""Scores of spotting, as the field's challenges count them: intervals that overlap by half are right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

Frames = tuple[int, int]  # onset and offset, both in it


class Counts(NamedTuple):
    """What was spotted, counted.

    Attributes
    ----------
    tp : int
        Events that match a coded expression,
    fp : int
        those that match none,
    fn : int
        and expressions that no event matches.
    """

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN where nothing was spotted."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); NaN where nothing is coded."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN where nothing is coded and nothing spotted."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)


@dataclass(frozen=True)
class SpottingScores:
    """Scores of a data set: `total` over all of its videos, and of each.

    The challenges sum TP, FP and FN over all videos and compute one F1 of the sums; a mean of each video's F1
    is another number.
    """

    total: Counts
    by_video: Mapping[str, Counts]

    def __str__(self) -> str:
        width = max(map(len, [*self.by_video, "all videos"]))
        lines = [f"{'video':<{width}}{'TP':>6}{'FP':>6}{'FN':>6}{'precision':>11}{'recall':>8}{'F1':>8}"]
        for name, c in [*self.by_video.items(), ("all videos", self.total)]:
            ratios = f"{_shown(c.precision):>11}{_shown(c.recall):>8}{_shown(c.f1):>8}"
            lines.append(f"{name:<{width}}{c.tp:>6}{c.fp:>6}{c.fn:>6}{ratios}")
        return "\n".join(lines)


def overlap(one: Frames, other: Frames) -> float:
    """Intersection over union of two intervals, in frames, both ends included.

    Examples
    --------
    >>> overlap((0, 9), (5, 14))
    0.3333333333333333
    """
    shared = min(one[1], other[1]) - max(one[0], other[0]) + 1
    if shared <= 0:
        return 0.0
    return shared / (one[1] - one[0] + 1 + other[1] - other[0] + 1 - shared)


def match(spotted: Sequence[Frames], coded: Sequence[Frames], least: float = 0.5) -> list[tuple[int, int]]:
    """Match events with coded expressions, one with one, as many as can be matched.

    Parameters
    ----------
    spotted, coded : sequence of (onset, offset)
        Intervals in frames, both ends included.
    least : float
        Overlap (`overlap`) from which on two intervals match.

    Returns
    -------
    list of (int, int)
        Positions in `spotted` and in `coded`; of all matchings with the most pairs one with the largest sum
        of overlaps.

    Examples
    --------
    >>> match([(0, 10), (2, 12)], [(1, 11)])
    [(0, 0)]
    """
    if not len(spotted) or not len(coded):
        return []
    overlaps = np.array([[overlap(one, other) for other in coded] for one in spotted])
    fits = overlaps >= least
    # A pair counts for more than all overlaps together: first as many as possible.
    weights = np.where(fits, overlaps + 1 + min(overlaps.shape), 0)
    pairs = zip(*linear_sum_assignment(weights, maximize=True), strict=True)
    return [(int(i), int(j)) for i, j in pairs if fits[i, j]]


def spotting_scores(
    spotted: Mapping[str, Iterable[Any]], coded: Mapping[str, Iterable[Any]], *, least: float = 0.5
) -> SpottingScores:
    """Count what was spotted right over a whole data set, as the field's challenges (MEGC) do.

    An event is right if its overlap with a coded expression, intersection over union, is at least a half; one
    event matches one expression. TP, FP and FN are summed over all videos, and precision, recall and F1 are
    of the sums.

    Parameters
    ----------
    spotted, coded : mapping of str to intervals
        Of each video its intervals: `Event`, or (onset, offset), in frames, both ends included. A video that
        is in one of them only has none in the other.
    least : float
        The least overlap, above 0 and at most 1.

    Returns
    -------
    SpottingScores

    Raises
    ------
    ValueError
        If `least` is out of range, or an interval ends before it begins.

    References
    ----------
    Li, Soladié, Séguier, Wang, Yap: Spotting micro-expressions on long videos sequences. FG 2019 (the first
    spotting challenge). He, Wang, Yap, Wang: Spotting macro- and micro-expression intervals in long video
    sequences. FG 2020.

    Examples
    --------
    >>> from microexpr.spotting import spotting_scores
    >>> scores = spotting_scores({"a": [(0, 9), (50, 60)], "b": []}, {"a": [(2, 11)], "b": [(5, 15)]})
    >>> scores.total, round(scores.total.f1, 3)
    (Counts(tp=1, fp=1, fn=1), 0.5)
    """
    if not 0 < least <= 1:
        raise ValueError(f"least is {least!r}; it must be above 0, and at most 1")
    by_video = {}
    for name in dict.fromkeys([*coded, *spotted]):
        events, truth = _frames(spotted.get(name, ()), name), _frames(coded.get(name, ()), name)
        right = len(match(events, truth, least))
        by_video[name] = Counts(right, len(events) - right, len(truth) - right)
    total = Counts(*(sum(counts[k] for counts in by_video.values()) for k in range(3)))
    return SpottingScores(total, by_video)


def _frames(intervals: Iterable[Any], name: str) -> list[Frames]:
    frames = []
    for interval in intervals:
        onset, offset = (
            (interval.onset, interval.offset) if hasattr(interval, "onset") else map(int, interval)
        )
        if offset < onset:
            raise ValueError(f"an interval of {name} begins at frame {onset} and ends at {offset}, before it")
        frames.append((onset, offset))
    return frames


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _shown(ratio: float) -> str:
    return "-" if np.isnan(ratio) else f"{ratio:.3f}"
