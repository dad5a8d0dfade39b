"""Micro-expressions in a long video: of all of its frames, or of a stream of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._checks import grey, is_positive, stacked
from .._extras import is_installed, require
from .._wording import option
from ..data import ClipError
from .curves import Curve, moving_mean
from .events import Event, Finder, Floats, Interval, contrast, threshold_of
from .options import SpottingOptions

if TYPE_CHECKING:
    import pandas as pd

_AT_A_TIME = 64  # frames of an iterable that are described together


class Classifies(Protocol):
    """What a model must have: `microexpr.Recogniser` does."""

    def classify(self, frames: NDArray[np.uint8]) -> Any:
        """Return the classification of frames (T, height, width)."""


@dataclass(frozen=True, eq=False, repr=False)
class Spotting:
    """What `spot` saw: ``spot(..., full_output=True)``.

    Attributes
    ----------
    events : list of Event
    contrast : ndarray of shape (T,)
        The contrast of each frame; NaN where it is not known, the first and last 2k frames.
    threshold : float
        What a peak of it had to exceed.
    k : int
        Half of the longest expression, in frames.
    fps : float
        Frames in a second.
    """

    events: list[Event]
    contrast: Floats
    threshold: float
    k: int
    fps: float

    def __repr__(self) -> str:
        """Say how much was seen, not the curve."""
        return (
            f"Spotting({len(self.events)} events in {len(self.contrast)} frames, threshold "
            f"{self.threshold:.4g}, {self.fps:g} frames a second)"
        )

    def to_frame(self) -> pd.DataFrame:
        """Table of the events, with the columns of `Event`."""
        require("a table of events", "datasets")
        import pandas as pd

        return pd.DataFrame(self.events, columns=list(Event._fields))

    def _repr_html_(self) -> str | None:
        return f"<p>{self!r}</p>{self.to_frame().to_html(index=False)}" if is_installed("datasets") else None


class Spotter:
    """Spot micro-expressions in a stream: frames go in as they come, events come out.

    The contrast is that of `spot`, bit for bit. What differs is the threshold, because mean and maximum of a
    whole video are not known before its end: of each peak it is that of the contrast seen in the last
    `history` seconds, up to k frames behind the peak. So in the first seconds it is of little; and a peak
    that a larger one follows may be an event here and none for `spot`. With ``threshold=`` a number the
    events are the same.

    An event comes out at most 4k + s + 1 frames after its offset, the frames that one value of the contrast
    is of (1.1 seconds by default): 2k and half of the s that the curve is smoothed over until the contrast is
    known, k more for the whole interval around an apex, and k until nothing that follows can be merged with
    it. Memory does not grow with what was seen.

    Parameters
    ----------
    fps : float
        Frames in a second.
    history : float
        Seconds that the threshold is taken from.
    model : optional
        With a method ``classify``, as `microexpr.Recogniser`; each event's frames are classified.
    **options
        Those of `SpottingOptions`.

    Examples
    --------
    >>> import numpy as np
    >>> from microexpr import Spotter
    >>> spotter = Spotter(fps=30)
    >>> camera = np.random.default_rng(0).integers(0, 256, (90, 48, 48), dtype=np.uint8)
    >>> for frame in camera:
    ...     for event in spotter.feed(frame):
    ...         print(event)
    """

    def __init__(
        self, fps: float, *, history: float = 10.0, model: Classifies | None = None, **options: Any
    ) -> None:
        self.options = SpottingOptions(**options)
        self.k = self.options.k(fps)
        self.fps, self.model = fps, check_model(model)
        memory = round(history * fps) if is_positive(history) and history <= 86_400 else 0
        if memory < 4 * self.k + 1:
            raise ValueError(
                f"history is {history!r}; it must be at least {(4 * self.k + 1) / fps:.3g} seconds, what one "
                "value of the contrast is of, and at most a day"
            )
        self._contrast = _Contrast(self.options, self.k, fps)
        self._finder = _finder(self.options, self.k, fps, memory, self._contrast.first, self._threshold)
        # An event of at most 2k + 2 frames is out 4k + 1 frames after its end, and what comes in at a time is
        # k.
        self._frames: deque[NDArray[np.uint8]] = deque(maxlen=8 * self.k + 4 + self._contrast.first)
        self._shape: tuple[int, ...] | None = None
        self._seen = 0

    def feed(self, frames: ArrayLike) -> list[Event]:
        """Take a frame (height, width), or several (n, height, width), of uint8; return what is found.

        ValueError if they are not grey or of another size than those before; TypeError for another dtype.
        """
        frames = _grey(frames)
        self._shape = self._shape or frames.shape[1:]
        if frames.shape[1:] != self._shape:
            raise ValueError(f"frames have shape {frames.shape[1:]}; those before have {self._shape}")
        found: list[Event] = []
        for start in range(0, len(frames), self.k):  # in pieces, so that no event's frames are gone
            piece = frames[start : start + self.k]
            if self.model is not None:
                self._frames.extend(piece.copy())
            self._seen += len(piece)
            found += map(self._event, self._finder.feed(self._contrast.feed(piece)))
        return found

    def finish(self) -> list[Event]:
        """Say that no more frames come; return the events that were waiting for them."""
        return [self._event(interval) for interval in self._finder.finish()]

    def _threshold(self, seen: Floats) -> float:
        return _threshold(self.options, seen)

    def _event(self, interval: Interval) -> Event:
        classification = None
        if self.model is not None:
            first = self._seen - len(self._frames)
            frames = [self._frames[t - first] for t in range(interval.onset, interval.offset + 1)]
            classification = classified(self.model, np.stack(frames))
        return _as_event(interval, self.fps, classification)


@overload
def spot(
    frames: ArrayLike | Iterable[NDArray[np.uint8]],
    fps: float,
    *,
    model: Classifies | None = None,
    full_output: Literal[False] = False,
    **options: Any,
) -> list[Event]: ...
@overload
def spot(
    frames: ArrayLike | Iterable[NDArray[np.uint8]],
    fps: float,
    *,
    model: Classifies | None = None,
    full_output: Literal[True],
    **options: Any,
) -> Spotting: ...
def spot(
    frames: ArrayLike | Iterable[NDArray[np.uint8]],
    fps: float,
    *,
    model: Classifies | None = None,
    full_output: bool = False,
    **options: Any,
) -> list[Event] | Spotting:
    r"""Spot micro-expressions in a long video.

    Of each frame i the curve F_i says how far the face is from what it is k frames before and after, k half
    of the longest expression: in each of 6 x 6 blocks by one of two methods, of which the mean of the largest
    third counts.

    ``method="difference"`` is Moilanen et al.'s: the chi-squared distance between the histogram of LTOGP (or
    LBP) codes in frame i and the mean of those k frames before and k after.

    ``method="rank"`` is the length of :math:`u^-_i - u^+_i`, where u is approximate rank pooling of the
    histograms of frames i - k to i, and of frames i to i + k: what comes and goes is ordered one way before
    its apex and the other way after it; what stays, or drifts steadily, is ordered alike and cancels.

    Then for both: the contrast :math:`C_i = F_i - (F_{i-k} + F_{i+k}) / 2`; the threshold
    :math:`T = \bar C^+ + p (\max C^+ - \bar C^+)`, with :math:`C^+ = \max(C, 0)`, and not below the noise
    (`SpottingOptions`); an apex is a frame with C above T, and the largest within k/2 frames; its onset and
    offset are the first and last frame, at most k from it, between which and the apex C stays at or above
    `edge` times that at the apex. Events that overlap or touch are merged. docs/spotting.md measures both.

    Parameters
    ----------
    frames : array of shape (T, height, width), or iterable of arrays (height, width), uint8
        Grey frames of the face, 128 x 128 as `microexpr.read_clip` gives them. Of an iterable only what is
        needed at a time is kept: `microexpr.data.stream_clip` makes one of a file.
    fps : float
        Frames in a second.
    model : optional
        With a method ``classify``, as `microexpr.Recogniser`: each event's frames are classified. Of an array
        only; `microexpr.spotting.spot_video` does it for a file.
    full_output : bool
        Return the curve as well.
    **options
        Those of `SpottingOptions`.

    Returns
    -------
    list of Event
        In the order of time; with `full_output` a `Spotting`.

    Raises
    ------
    ClipError
        If there are fewer than 4k + s + 1 frames, s those that the curve is smoothed over.
    ValueError
        If frames are not grey or differ in size, or an option is out of range.
    TypeError
        If frames are not of uint8, or there is no such option.

    References
    ----------
    Moilanen, Zhao, Pietikäinen: Spotting rapid facial movements from videos using appearance-based feature
    difference analysis. ICPR 2014. Bilen, Fernando, Gavves, Vedaldi, Gould: Dynamic image networks for action
    recognition. CVPR 2016 (approximate rank pooling).

    Examples
    --------
    >>> import numpy as np, microexpr
    >>> from scipy import ndimage
    >>> rng = np.random.default_rng(0)
    >>> face = ndimage.gaussian_filter(128 + 400 * rng.standard_normal((64, 64)), 1.5, mode="wrap")
    >>> video = np.stack([face] * 150)
    >>> for t in range(70, 81):   # one side moves, and moves back
    ...     video[t, :, :32] = np.roll(face, 5 - abs(t - 75), axis=0)[:, :32]
    >>> noisy = np.clip(video + rng.standard_normal(video.shape), 0, 255).astype(np.uint8)
    >>> events = microexpr.spot(noisy, fps=30)
    >>> [event.apex for event in events]
    [75]
    """
    chosen = SpottingOptions(**options)
    k = chosen.k(fps)
    if check_model(model) is not None and not isinstance(frames, np.ndarray | list | tuple):
        raise TypeError("model needs the frames again: give them as an array, or a file to spot_video")
    given: Any = frames
    pieces = [_grey(given)] if isinstance(given, np.ndarray | list | tuple) else map(_grey, given)
    curve = _Contrast(chosen, k, fps)
    C = np.concatenate([np.empty(0), *_fed(curve, pieces)])
    if not len(C):
        raise ClipError(
            f"there are {curve.seen} frames, {curve.seen / fps:.2f} s; the contrast of one needs "
            f"{curve.window}, {curve.window / fps:.2f} s ({option('longest', ...)} is shorter)"
        )
    T = _threshold(chosen, C)
    finder = _finder(chosen, k, fps, len(C), curve.first, lambda seen: T)
    intervals = finder.feed(C) + finder.finish()
    events = [
        _as_event(
            one,
            fps,
            None if model is None else classified(model, np.asarray(frames)[one.onset : one.offset + 1]),
        )
        for one in intervals
    ]
    if not full_output:
        return events
    contrast = np.full(curve.seen, np.nan)
    contrast[curve.first : curve.first + len(C)] = C
    return Spotting(events, contrast, T, k, float(fps))


def spot_stream(
    frames: Iterable[NDArray[np.uint8]],
    fps: float,
    *,
    history: float = 10.0,
    model: Classifies | None = None,
    **options: Any,
) -> Iterator[Event]:
    """Yield the events in a stream of frames as they are found: a `Spotter` fed frame by frame, and finished.

    Parameters, errors and how it differs from `spot` are those of `Spotter`.

    Examples
    --------
    >>> import numpy as np
    >>> from microexpr import spot_stream
    >>> still = (np.zeros((48, 48), np.uint8) for _ in range(100))
    >>> list(spot_stream(still, fps=30))
    []
    """
    spotter = Spotter(fps, history=history, model=model, **options)
    for frame in frames:
        yield from spotter.feed(frame)
    yield from spotter.finish()


class _Contrast:
    """The contrast of frames that come piece by piece; the first value is that of frame `first`."""

    def __init__(self, options: SpottingOptions, k: int, fps: float) -> None:
        kept = options.kept()
        count = options.n_largest or max(1, round(int(kept.sum()) / 3))
        self.curve = Curve(k, options.method, options.features, count, kept, options.blur)
        self.k, self.smooth = k, int(options.smooth * fps / 2)
        self.first = 2 * k + self.smooth
        self.window = 2 * self.first + 1  # frames that one value is of
        self.F = np.empty(0)  # the last that are still needed
        self.seen = 0

    def feed(self, frames: NDArray[np.uint8]) -> Floats:
        self.seen += len(frames)
        self.F = np.concatenate([self.F, self.curve.feed(frames)])
        known = len(self.F) - 2 * (self.k + self.smooth)
        if known < 1:
            return np.empty(0)
        C = contrast(moving_mean(self.F, self.smooth), self.k)
        self.F = self.F[known:]
        return C


def _fed(curve: _Contrast, pieces: Iterable[NDArray[np.uint8]]) -> Iterator[Floats]:
    """Feed pieces, a few frames at a time: single ones cost more than they hold."""
    waiting: list[NDArray[np.uint8]] = []
    shape: tuple[int, ...] | None = None
    for piece in pieces:
        shape = shape or piece.shape[1:]
        if piece.shape[1:] != shape:
            raise ValueError(f"frames have shape {piece.shape[1:]}; those before have {shape}")
        waiting.append(piece)
        if len(waiting) == _AT_A_TIME:
            yield curve.feed(np.concatenate(waiting))
            waiting = waiting[:0]
    if waiting:
        yield curve.feed(np.concatenate(waiting))


def _finder(
    options: SpottingOptions,
    k: int,
    fps: float,
    memory: int,
    first: int,
    threshold: Callable[[Floats], float],
) -> Finder:
    shortest = max(1, round(options.shortest * fps))
    longest = max(shortest, int(options.longest * fps + 1e-9))
    return Finder(
        k, threshold, memory, edge=options.edge, gap=1, shortest=shortest, longest=longest, first=first
    )


def _threshold(options: SpottingOptions, seen: Floats) -> float:
    return (
        threshold_of(seen, options.p, options.noise)
        if options.threshold is None
        else float(options.threshold)
    )


def _as_event(interval: Interval, fps: float, classification: Any) -> Event:
    onset, apex, offset, score = interval
    return Event(onset, apex, offset, onset / fps, apex / fps, offset / fps, score, classification)


def classified(model: Classifies, frames: NDArray[np.uint8]) -> Any:
    """Return what a model says of an event's frames; None of a single one, which has no order."""
    return model.classify(frames) if len(frames) > 1 else None


def check_model(model: Any) -> Any:
    """Return a model, or raise a TypeError if it is none."""
    if model is not None and not callable(getattr(model, "classify", None)):
        raise TypeError(f"model is {model!r}; it must have a method classify, as microexpr.Recogniser has")
    return model


def _grey(frames: Any) -> NDArray[np.uint8]:
    """Return frames as (n, height, width), or raise what is wrong with them."""
    frames = stacked(frames)
    frames = grey(frames[None] if frames.ndim == 2 else frames)
    if 0 in frames.shape[1:]:
        raise ValueError(f"frames have shape {frames.shape}; they must be grey, (T, height, width)")
    if frames.dtype != np.uint8:
        raise TypeError(f"frames have dtype {frames.dtype}; they must be uint8")
    return frames
