"""Frames of a clip moved back onto the first, and clips resampled in time."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from .._checks import is_positive, is_whole, stacked
from ._errors import ClipError

__all__ = ["drift", "resample", "stabilise"]

Stabilise = Literal["tiles", "subpixel"]
Grey = NDArray[np.uint8] | NDArray[np.uint16]

PER_GREY_LEVEL = 256  # of frames of uint16: an 8-bit frame times this keeps its LTOGP codes
_TILES = 4  # down and across
_LEAST_TILE = 16  # pixels: smaller ones hold too little to be found by
_MOST_BLUR = 100  # pixels
_MOST_FRAMES = 100_000  # beyond what any clip has: such a number is a slip, and would end in a MemoryError


def drift(frames: NDArray[Any], *, subpixel: bool = True, tiles: bool = False) -> NDArray[np.float64]:
    r"""Measure how far each frame lies from the first, by phase correlation.

    With F_t the Fourier transform of frame t, less its mean and under a Hann window, the displacement is
    where the inverse transform of

    .. math:: \frac{F_t \bar F_0}{|F_t \bar F_0| + m}, \quad m = \mathrm{mean}\, |F_0|^2

    is largest. Pure phase correlation has m = 0; there the many frequencies that hold nothing but noise
    count as much as the rest: on portraits of 128 x 128 pixels with noise of 1 grey level, shifted by known
    fractions of a pixel, its largest error was 0.09 pixels, and is 0.02 with this m.

    An expression pulls the displacement of the whole frame towards its own. The median of what 4 x 4 tiles
    measure, each by itself, is that of the head as long as most of the tiles see nothing else move.

    Parameters
    ----------
    frames : ndarray of shape (T, height, width)
        Grey frames.
    subpixel : bool
        Find the maximum of the interpolated correlation, to 1/256 pixel, not only on the pixel grid.
    tiles : bool
        The median over 4 x 4 tiles (fewer where they would be below 16 pixels), cut out of frame t where the
        whole frame moved to in whole pixels, so that no drift is too large for a tile.

    Returns
    -------
    ndarray of shape (T, 2)
        Displacement down and to the right of frame t relative to frame 0, in pixels.

    References
    ----------
    Kuglin, Hines: The phase correlation image alignment method. IEEE Int. Conf. Cybernetics and Society 1975.
    Guizar-Sicairos, Thurman, Fienup: Efficient subpixel image registration algorithms. Optics Letters 33(2),
    2008 (the refinement: the inverse transform evaluated on a finer grid around the maximum).

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import ndimage
    >>> face = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(64, 64)), 1) * 200
    >>> moved = ndimage.shift(face, (0.5, -2.25), mode="mirror")
    >>> drift(np.stack([face, moved])).round(1) + 0.0
    array([[ 0. ,  0. ],
           [ 0.5, -2.2]])
    """
    frames = _stack(frames)
    window = _hann(frames.shape[1:])
    first = _spectra(frames[0], window)
    shifts = np.zeros((len(frames), 2))
    for frame, shift in zip(frames[1:], shifts[1:], strict=True):
        cross = _cross(_spectra(frame, window), first)
        if cross.any():  # a frame of one grey has nothing to be found by
            shift[...] = _peaks(cross[None], window.shape, subpixel and not tiles)[0]
    return _drift_of_tiles(frames, shifts.astype(int), subpixel) if tiles else shifts


def stabilise(
    frames: NDArray[np.uint8], method: Stabilise = "subpixel", *, blur: float | None = None
) -> Grey:
    """Move every frame back onto the first, by what `drift` measures.

    Parameters
    ----------
    frames : ndarray of shape (T, height, width), uint8
        Grey frames.
    method : {"tiles", "subpixel"}
        By what 4 x 4 tiles agree on, without rounding to 8 bits; or by what the whole frame measures, and
        rounded. Both interpolate by cubic splines, which smooths a little what moves by a fraction of a
        pixel and leaves the first frame sharp. docs/stabilisation.md measures both.
    blur : float, optional
        Standard deviation of a Gaussian that every frame is blurred with afterwards, in pixels; None or 0
        leaves them sharp.

    Returns
    -------
    ndarray of shape (T, height, width)
        Of uint8; or, with "tiles" or `blur`, of uint16 in 256ths of a grey level, so that LTOGP sees the sign
        of a difference that rounding would lose. A frame that was not moved is 256 times what it was, and has
        the same codes. Pixels that come from outside repeat the nearest one at the border.

    Examples
    --------
    >>> import numpy as np
    >>> picture = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    >>> moved = np.roll(picture, 2, axis=1)
    >>> back = stabilise(np.stack([picture, moved]), "tiles")
    >>> back.dtype, bool((abs(back[1, 9:-9, 9:-9] / 256 - picture[9:-9, 9:-9]) < 2).all())
    (dtype('uint16'), True)
    """
    if method is None:
        raise ValueError('method is None; it must be "tiles" or "subpixel"')
    check_stabilise(method)
    check_blur(blur)
    return _stabilised(_stack(frames, np.uint8), method, blur)


def resample(frames: Grey, n_frames: int) -> Grey:
    """Resample a clip in time to n_frames frames, evenly spaced from its first to its last.

    Linear interpolation between the two nearest frames, rounded to whole numbers: what the temporal
    interpolation model (TIM) is used for in this field, without its embedding. A frame between two others is
    their mixture, so it has less noise than they.

    Parameters
    ----------
    frames : ndarray of shape (T, height, width), uint8 or uint16
        Grey frames, at least 2.
    n_frames : int
        Frames wanted, at least 2.

    Returns
    -------
    ndarray of shape (n_frames, height, width)
        Of the frames' dtype.

    Examples
    --------
    >>> import numpy as np
    >>> frames = np.array([0, 10, 40], dtype=np.uint8).reshape(3, 1, 1)
    >>> resample(frames, 5).ravel().tolist()
    [0, 5, 10, 25, 40]
    """
    check_n_frames(n_frames)
    if n_frames is None:
        raise ValueError("n_frames is None; it must be a whole number of at least 2")
    frames = _stack(frames, np.uint16 if getattr(frames, "dtype", None) == np.uint16 else np.uint8)
    if len(frames) < 2:
        raise ClipError(f"the clip has {len(frames)} frame(s); resampling it in time needs at least 2")
    if n_frames == len(frames):
        return frames
    at = np.linspace(0, len(frames) - 1, n_frames)
    before = np.minimum(at.astype(int), len(frames) - 2)
    out = np.empty((n_frames, *frames.shape[1:]), dtype=frames.dtype)
    for frame, t, i in zip(out, at, before, strict=True):  # one at a time: a long clip in floats is large
        frame[...] = np.rint((1 - (t - i)) * frames[i] + (t - i) * frames[i + 1])
    return out


def settle(
    frames: NDArray[np.uint8], stabilise: Stabilise | None, blur: float | None, n_frames: int | None
) -> Grey:
    """Do to the frames read what the options of `read_frames` say: stabilise, blur, resample in time."""
    settled = _stabilised(frames, stabilise, blur) if stabilise is not None or blur else frames
    return settled if n_frames is None else resample(settled, n_frames)


def check_stabilise(method: Any) -> None:
    """Raise a ValueError unless this is what `read_frames` takes as `stabilise`."""
    if isinstance(method, str) and method == "integer":
        raise ValueError(
            'stabilise="integer" is no more: "tiles" finds the drift better by far, and no accuracy was best '
            "with whole pixels (docs/stabilisation.md)"
        )
    if not (method is None or (isinstance(method, str) and method in ("tiles", "subpixel"))):
        raise ValueError(f'stabilise is {method!r}; it must be "tiles", "subpixel" or None')


def check_blur(blur: Any) -> None:
    """Raise a ValueError unless this is what `read_frames` takes as `blur`."""
    if blur is not None and (
        isinstance(blur, bool)
        or not isinstance(blur, Real)
        or not (blur == 0 or (is_positive(blur) and float(blur) <= _MOST_BLUR))
    ):
        raise ValueError(f"blur is {blur!r}; it must be 0 to {_MOST_BLUR} pixels, or None")


def check_n_frames(n_frames: Any) -> None:
    """Raise a ValueError unless this is what `read_frames` takes as `n_frames`."""
    if n_frames is not None and not (is_whole(n_frames) and 2 <= n_frames <= _MOST_FRAMES):
        raise ValueError(
            f"n_frames is {n_frames!r}; it must be a whole number of at least 2, or None, and not above "
            f"{_MOST_FRAMES}"
        )


def _drift_of_tiles(frames: NDArray[Any], whole: NDArray[np.int_], subpixel: bool) -> NDArray[np.float64]:
    size = np.array(frames.shape[1:])
    counts = np.clip(size // _LEAST_TILE, 1, _TILES)
    side = size // counts
    down, across = (np.linspace(0, size[k] - side[k], counts[k]).astype(int) for k in (0, 1))
    corners = np.stack(np.meshgrid(down, across), axis=-1).reshape(-1, 2)
    window = _hann(side)

    def spectra(frame: NDArray[Any], at: NDArray[np.int_]) -> NDArray[np.complex128]:
        tiles = np.lib.stride_tricks.sliding_window_view(frame, side)[at[:, 0], at[:, 1]]
        return _spectra(tiles, window)

    first = spectra(frames[0], corners)
    shifts = whole.astype(float)
    for frame, shift in zip(frames[1:], shifts[1:], strict=True):
        at = np.clip(corners + shift.astype(int), 0, size - side)
        cross = _cross(spectra(frame, at), first)
        seen = cross.any(axis=(1, 2))
        if seen.any():
            moved = (at - corners)[seen] + _peaks(cross[seen], window.shape, subpixel)
            shift[...] = np.median(moved, axis=0)
    return shifts


def _hann(size: Any) -> NDArray[np.float64]:
    return np.hanning(size[0] + 2)[1:-1, None] * np.hanning(size[1] + 2)[1:-1]


def _spectra(pictures: NDArray[Any], window: NDArray[np.float64]) -> NDArray[np.complex128]:
    return fft.rfft2((pictures - pictures.mean(axis=(-2, -1), keepdims=True)) * window)


def _cross(spectra: NDArray[np.complex128], first: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Phase correlation with the first, of each picture by itself, in the Fourier domain."""
    cross = spectra * first.conj()
    power = abs(first * first.conj()).mean(axis=(-2, -1), keepdims=True)
    return cross / (abs(cross) + np.maximum(power, np.finfo(float).tiny))


def _peaks(cross: NDArray[np.complex128], size: tuple[int, ...], subpixel: bool) -> NDArray[np.float64]:
    """Where the inverse transform of each of (n, height, width // 2 + 1) is largest: (n, 2)."""
    height, width = size
    peaks = fft.irfft2(cross, s=size).reshape(len(cross), -1).argmax(axis=1)
    shifts = np.stack(np.unravel_index(peaks, size), axis=1).astype(float)
    shifts -= np.where(shifts > np.array(size) // 2, size, 0)
    if not subpixel:
        return shifts
    down, across = 2j * np.pi * fft.fftfreq(height), 2j * np.pi * fft.rfftfreq(width)
    # The spectrum of a real image comes without its other half, whose part in the sum is the same again.
    across_weight = np.where((across.imag > 0) & (across.imag < np.pi), 2.0, 1.0)[:, None]
    for step in (1 / 4, 1 / 32, 1 / 256):
        # exp(a + b) as exp(a) exp(b): the exponentials took two thirds of the time.
        steps = step * np.arange(-4, 5)
        rows = np.exp(shifts[:, :1] * down)[:, None, :] * np.exp(steps[:, None] * down)
        columns = np.exp(across * shifts[:, 1:])[:, :, None] * np.exp(across[:, None] * steps) * across_weight
        values = (rows @ cross @ columns).real.reshape(len(cross), -1)
        i, j = np.unravel_index(values.argmax(axis=1), (len(steps), len(steps)))
        shifts = shifts + np.stack([steps[i], steps[j]], axis=1)
    return shifts


def _stabilised(frames: NDArray[np.uint8], method: Stabilise | None, blur: float | None) -> Grey:
    shifts = np.zeros((len(frames), 2))
    if method is not None:
        shifts = drift(frames, tiles=method == "tiles")
    fine = method == "tiles" or bool(blur)
    out = np.empty(frames.shape, np.uint16 if fine else np.uint8)
    for frame, shift, settled in zip(frames, shifts, out, strict=True):
        exact = frame.astype(np.float32)
        if shift.any():
            # Splines: shifted in the Fourier domain photographs had other LTOGP codes in 22 to 30 % of the
            # bits, and by splines in 16 to 24 %.
            exact = ndimage.shift(exact, -shift, order=3, mode="nearest")
        if blur:
            exact = ndimage.gaussian_filter(exact, blur, mode="nearest")
        scale = PER_GREY_LEVEL if fine else 1
        settled[...] = np.clip(np.rint(exact * np.float32(scale)), 0, np.iinfo(out.dtype).max)
    return out


def _stack(frames: Any, dtype: Any = None) -> NDArray[Any]:
    """Return the frames as an array of numbers (T, height, width), or raise what is wrong with them."""
    frames = stacked(frames)
    if frames.ndim != 3 or frames.size == 0:
        raise ValueError(f"frames have shape {frames.shape}; they must be grey, (T, height, width)")
    if frames.dtype.kind not in "biuf" or (dtype is not None and frames.dtype != dtype):
        wanted = "numbers" if dtype is None else np.dtype(dtype)
        raise TypeError(f"frames have dtype {frames.dtype}; they must be {wanted}")
    if frames.dtype.kind == "f" and not np.isfinite(frames).all():
        raise ValueError("frames hold NaN or infinity")
    return frames
