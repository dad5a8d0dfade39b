"""Frames of a clip, from a video file or a folder of images."""

from __future__ import annotations

import hashlib
import io
import os
import re
import zlib
from collections.abc import Iterable, Sequence
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from scipy import fft, ndimage

from .._checks import is_whole
from .._extras import require
from .._progress import progress_bar
from .._wording import option
from ._videos import VideoFrames, length_and_crc

__all__ = [
    "ClipError",
    "drift",
    "find_face",
    "image_paths",
    "read_clip",
    "read_frames",
    "read_image",
    "resample",
    "resize",
    "stabilise",
]

Box = tuple[int, int, int, int]  # top, left, height, width
Stabilise = Literal["integer", "subpixel"]

_IMAGES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".tif", ".tiff"}

# Beyond what any clip has: an option with such a number is a slip, and would end in a MemoryError.
_MOST_PIXELS = 65_500  # of a side: a JPEG's limit
_MOST_FRAMES = 100_000


class ClipError(ValueError):
    """A clip that cannot be read or has nothing to describe in it; the message says which and why."""


def read_clip(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = (128, 128),
    face: bool | None = None,
    margin: float = 0.1,
    stabilise: Stabilise | None = None,
    n_frames: int | None = None,
    progress: bool | None = None,
) -> NDArray[np.uint8]:
    """Read a video file or a folder of images as grey frames.

    Parameters
    ----------
    path : path
        A video file (needs the ``video`` extra), or a folder of images, whose names are put in order by
        the numbers in them (``img9`` before ``img10``).
    size : (int, int) or None
        Height and width that every frame is resized to, in pixels; None keeps them as they are.
    face : bool, optional
        Crop all frames to one box, that of the largest face (`find_face`, needs the ``face`` extra). By
        default a video is cropped and a folder is not, because the folders of micro-expression data
        sets hold cropped faces already.
    margin : float
        Border kept around the face on each side, as a fraction of its height and width.
    stabilise : {"integer", "subpixel"}, optional
        Undo the drift of the whole picture, as `microexpr.data.stabilise` does, after resizing.
    n_frames : int, optional
        Resample the clip in time to this many frames, as `microexpr.data.resample` does, last of all.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.

    Returns
    -------
    ndarray of shape (T, height, width), uint8
        The frames' luma.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ClipError
        If a file is damaged or ends early, there is no image or no face, frames differ in size and `size`
        is None, or an image is grey with more than 8 bits (`read_image`).
    ModuleNotFoundError
        If PyAV (videos) or scikit-image (faces) is needed and not installed.
    ValueError
        If `size`, `margin`, `stabilise` or `n_frames` is none of those above.
    """
    check_options(stabilise, n_frames, size)
    _check_margin(margin)  # here too: below, an error while a video is read is taken for the video's
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if not path.is_dir():
        crop = face is None or face
        if crop:
            require("finding the face in a video", "video", "face")
        else:
            require("reading a video", "video")
        frames = _read_video(path, size, crop, margin, progress)
        return _settle(frames, stabilise, n_frames)
    paths = image_paths(path)
    if not paths:
        raise ClipError(f"{path} holds no images ({', '.join(sorted(_IMAGES))})")
    box = None
    if face:
        box = _face_of(path, map(read_image, paths[:: max(1, len(paths) // 4)]), margin)
    return read_frames(paths, size, box=box, stabilise=stabilise, n_frames=n_frames, progress=progress)


def read_frames(
    paths: Sequence[str | os.PathLike[str]] | VideoFrames,
    size: tuple[int, int] | None = (128, 128),
    *,
    box: Box | None = None,
    stabilise: Stabilise | None = None,
    n_frames: int | None = None,
    progress: bool | None = None,
) -> NDArray[np.uint8]:
    """Read image files, in the order given, as grey frames.

    Parameters
    ----------
    paths : sequence of path, or VideoFrames
        Image files of one size, or of any size if `size` is given; or a part of a video.
    size : (int, int) or None
        Height and width that every frame is resized to, in pixels.
    box : (top, left, height, width), optional
        Part of every frame to keep, in pixels, cut out before resizing.
    stabilise : {"integer", "subpixel"}, optional
        Undo the drift of the whole picture, as `microexpr.data.stabilise` does, after resizing.
    n_frames : int, optional
        Resample the clip in time to this many frames, as `microexpr.data.resample` does, last of all.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.

    Returns
    -------
    ndarray of shape (T, height, width), uint8

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ClipError
        If a file is damaged, there is none, they differ in size and `size` is None, `box` is not inside one,
        or an image is grey with more than 8 bits (`read_image`).
    ValueError
        If `size`, `box`, `stabilise` or `n_frames` is none of those above.
    """
    return _read(paths, size, box, stabilise, n_frames, progress, None)


def read_frames_and_digest(
    paths: Sequence[str | os.PathLike[str]] | VideoFrames,
    size: tuple[int, int],
    *,
    stabilise: Stabilise | None = None,
    n_frames: int | None = None,
) -> tuple[NDArray[np.uint8], bytes]:
    """Read frames as `read_frames` does, and the `content_digest` of their files from the same bytes."""
    if isinstance(paths, VideoFrames):
        frames = _read(paths, size, None, stabilise, n_frames, False, None)
        return frames, content_digest(paths)
    checksums: list[bytes] = []
    frames = _read(paths, size, None, stabilise, n_frames, False, checksums)
    return frames, hashlib.sha256(b"".join(checksums)).digest()


def content_digest(paths: Sequence[str | os.PathLike[str]] | VideoFrames) -> bytes:
    """SHA-256 of the length (8 bytes) and CRC-32 (4 bytes) of each file in the order given, little-endian.

    Names play no part in it. CRC-32, because SHA-256 of every file took 5 % of what decoding it takes: these
    checksums tell changed files from unchanged ones, and protect against nobody. Of a part of a video, those
    of the whole file and which part it is.
    """
    if isinstance(paths, VideoFrames):
        length, crc = length_and_crc(paths.path)
        whole = length.to_bytes(8, "little") + crc.to_bytes(4, "little")
        return hashlib.sha256(whole + paths.part).digest()
    return hashlib.sha256(b"".join(_length_and_crc(Path(path).read_bytes()) for path in paths)).digest()


def read_image(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read the luma of one image file, resized to `size` (height, width) if given.

    A JPEG's colours are never decoded. It is decoded at its full size and resized once: letting the decoder
    halve it first (``draft`` with the smaller size) takes half the time and gives other pixels, on frames of
    340 x 280 resized to 128 x 128 up to 11 grey levels away, with other LTOGP codes at half of the pixels
    (simulated frames).

    A grey image of 16 or 32 bits or of floats is a ClipError: which of its values is white is not in the file
    (a camera of 12 bits fills 16 up to 4095), and a wrong guess would darken or clip it. Read such files with
    imageio and give `microexpr.describe` the array, whose uint16 it takes exactly. Of an image in colour of
    16 bits a channel, the upper 8 are read.
    """
    check_options(None, None, size)
    return _decode(path, path, None, size)


def resize(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a grey frame to (height, width) pixels: bilinear, anti-aliased where it shrinks."""
    check_options(None, None, size)
    if size is None:
        raise ValueError("size is None; it must be (height, width) in pixels")
    _check_frame(frame)
    if frame.shape == tuple(size):
        return frame
    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def drift(frames: NDArray[np.uint8], *, subpixel: bool = True) -> NDArray[np.float64]:
    r"""Measure how far each frame lies from the first, by phase correlation.

    With F_t the Fourier transform of frame t, less its mean and under a Hann window, the displacement is
    where the inverse transform of

    .. math:: \frac{F_t \bar F_0}{|F_t \bar F_0| + m}, \quad m = \mathrm{mean}\, |F_0|^2

    is largest. Pure phase correlation has m = 0; there the many frequencies that hold nothing but noise
    count as much as the rest: on portraits of 128 x 128 pixels with noise of 1 grey level, shifted by known
    fractions of a pixel, its largest error was 0.09 pixels, and is 0.02 with this m.

    Parameters
    ----------
    frames : ndarray of shape (T, height, width)
        Grey frames.
    subpixel : bool
        Find the maximum of the interpolated correlation, to 1/256 pixel, not only on the pixel grid.

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
    _, height, width = frames.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    spectra = fft.rfft2((frames - frames.mean(axis=(1, 2), keepdims=True)) * window)
    cross = spectra * spectra[0].conj()
    cross /= abs(cross) + max(abs(cross[0]).mean(), np.finfo(float).tiny)
    peaks = fft.irfft2(cross, s=(height, width)).reshape(len(frames), -1).argmax(axis=1)
    shifts = np.stack(np.unravel_index(peaks, (height, width)), axis=1).astype(float)
    shifts -= np.where(shifts > np.array([height, width]) // 2, [height, width], 0)
    if not subpixel:
        return shifts
    down, across = 2j * np.pi * fft.fftfreq(height), 2j * np.pi * fft.rfftfreq(width)
    # The spectrum of a real image comes without its other half, whose part in the sum is the same again.
    across_weight = np.where((across.imag > 0) & (across.imag < np.pi), 2.0, 1.0)[:, None]
    for t in np.flatnonzero(cross.any(axis=(1, 2)))[1:]:  # a frame of one grey has nothing to be found by
        for step in (1 / 4, 1 / 32, 1 / 256):
            y, x = shifts[t][:, None] + step * np.arange(-4, 5)
            rows, columns = np.exp(np.outer(y, down)), np.exp(np.outer(across, x)) * across_weight
            values = (rows @ cross[t] @ columns).real
            i, j = np.unravel_index(values.argmax(), values.shape)
            shifts[t] = y[i], x[j]
    return shifts


def stabilise(frames: NDArray[np.uint8], method: Stabilise = "subpixel") -> NDArray[np.uint8]:
    """Move every frame back onto the first, by what `drift` measures.

    Parameters
    ----------
    frames : ndarray of shape (T, height, width), uint8
        Grey frames.
    method : {"integer", "subpixel"}
        By whole pixels, which leaves their values as they are; or by fractions of a pixel, interpolated by
        cubic splines, which smooths a little what moves by a fraction and leaves the first frame sharp.

    Returns
    -------
    ndarray of shape (T, height, width), uint8
        Pixels that come from outside repeat the nearest one at the border.

    Examples
    --------
    >>> import numpy as np
    >>> picture = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    >>> moved = np.roll(picture, 2, axis=1)
    >>> bool((stabilise(np.stack([picture, moved]), "integer")[1, :, :-2] == picture[:, :-2]).all())
    True
    """
    if method is None:
        raise ValueError('method is None; it must be "integer" or "subpixel"')
    check_options(method, None)
    frames = _stack(frames, np.uint8)
    shifts = drift(frames, subpixel=method == "subpixel")
    order = 3 if method == "subpixel" else 0
    out = frames.copy()
    for frame, shift, moved in zip(frames, shifts, out, strict=True):
        if shift.any():
            exact = frame.astype(np.float32) if order else frame
            back = ndimage.shift(exact, -shift, order=order, mode="nearest")
            moved[...] = np.clip(np.rint(back), 0, 255) if order else back
    return out


def resample(frames: NDArray[np.uint8], n_frames: int) -> NDArray[np.uint8]:
    """Resample a clip in time to n_frames frames, evenly spaced from its first to its last.

    Linear interpolation between the two nearest frames, rounded to whole grey levels: what the temporal
    interpolation model (TIM) is used for in this field, without its embedding. A frame between two others is
    their mixture, so it has less noise than they.

    Parameters
    ----------
    frames : ndarray of shape (T, height, width), uint8
        Grey frames, at least 2.
    n_frames : int
        Frames wanted, at least 2.

    Returns
    -------
    ndarray of shape (n_frames, height, width), uint8

    Examples
    --------
    >>> import numpy as np
    >>> frames = np.array([0, 10, 40], dtype=np.uint8).reshape(3, 1, 1)
    >>> resample(frames, 5).ravel().tolist()
    [0, 5, 10, 25, 40]
    """
    check_options(None, n_frames)
    if n_frames is None:
        raise ValueError("n_frames is None; it must be a whole number of at least 2")
    frames = _stack(frames, np.uint8)
    if len(frames) < 2:
        raise ClipError(f"the clip has {len(frames)} frame(s); resampling it in time needs at least 2")
    if n_frames == len(frames):
        return frames
    at = np.linspace(0, len(frames) - 1, n_frames)
    before = np.minimum(at.astype(int), len(frames) - 2)
    out = np.empty((n_frames, *frames.shape[1:]), dtype=np.uint8)
    for frame, t, i in zip(out, at, before, strict=True):  # one at a time: a long clip in floats is large
        frame[...] = np.rint((1 - (t - i)) * frames[i] + (t - i) * frames[i + 1])
    return out


def check_options(stabilise: Any, n_frames: Any, size: Any = None) -> None:
    """Raise a ValueError unless these are what `read_frames` takes."""
    if not (stabilise is None or (isinstance(stabilise, str) and stabilise in ("integer", "subpixel"))):
        raise ValueError(f'stabilise is {stabilise!r}; it must be "integer", "subpixel" or None')
    if n_frames is not None and not (is_whole(n_frames) and 2 <= n_frames <= _MOST_FRAMES):
        raise ValueError(
            f"n_frames is {n_frames!r}; it must be a whole number of at least 2, or None, and not above "
            f"{_MOST_FRAMES}"
        )
    if size is not None and not _are_whole(size, 2, least=1, most=_MOST_PIXELS):
        raise ValueError(
            f"size is {size!r}; it must be (height, width) in pixels, each from 1 to {_MOST_PIXELS}"
        )


def image_paths(folder: str | os.PathLike[str]) -> list[Path]:
    """Image files of a folder, put in order by the numbers in their names."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    return sorted((p for p in folder.iterdir() if p.suffix.lower() in _IMAGES), key=_numbers_as_numbers)


def find_face(frames: Iterable[NDArray[np.uint8]], margin: float = 0.1) -> Box:
    """Find the largest face in any of the frames, with scikit-image's frontal-face cascade.

    Parameters
    ----------
    frames : iterable of ndarray of shape (height, width), uint8
        Frames of one size.
    margin : float
        Border added on each side, 0 or more, as a fraction of the face, as far as the frame goes.

    Returns
    -------
    (top, left, height, width) : tuple of int
        The box, in pixels.

    Raises
    ------
    ClipError
        If there is no face of at least a sixth of the frame's shorter side.
    ValueError
        If `margin` is negative or not finite, or a frame is not grey.
    TypeError
        If a frame is not of uint8.
    """
    _check_margin(margin)
    require("finding a face", "face")
    import skimage.data
    from skimage.feature import Cascade

    cascade = Cascade(skimage.data.lbp_frontal_face_cascade_filename())
    largest, searched = (0.0, 0.0, 0.0), 0
    for frame in frames:
        searched += 1
        _check_frame(frame)
        height, width = frame.shape
        shrink = max(1.0, max(height, width) / 640)  # 75 ms at 640 x 360, and it grows with the area
        small = resize(frame, (round(height / shrink), round(width / shrink)))
        side = min(small.shape)
        # With the default of 4 neighbours noise of one grey level made a larger face out of a hand and a flag
        found = cascade.detect_multi_scale(
            small,
            scale_factor=1.1,
            step_ratio=1,
            min_size=(side // 6, side // 6),
            max_size=(side, side),
            min_neighbor_number=8,
        )
        if found:
            largest = max(largest, _mean_of_largest([(f["width"], f["r"], f["c"]) for f in found], shrink))
    face, r, c = map(round, largest)
    if not face:
        raise ClipError(
            f"no face found in the {searched} frames searched; "
            f"crop the clip and read it with {option('face', False)}"
        )
    top, left = max(0, round(r - margin * face)), max(0, round(c - margin * face))
    bottom, right = (round(start + (1 + margin) * face) for start in (r, c))
    return top, left, min(bottom, height) - top, min(right, width) - left


def _are_whole(values: Any, count: int, least: int, most: int) -> bool:
    return np.shape(values) == (count,) and all(is_whole(v) and least <= v <= most for v in values)


def _check_frame(frame: Any) -> None:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or isinstance(frame, np.ma.MaskedArray):
        kind = getattr(frame, "dtype", type(frame).__name__)
        raise TypeError(f"the frame is of {kind}; it must be an array of uint8 without a mask")
    if frame.ndim != 2 or frame.size == 0:
        raise ValueError(f"the frame has shape {frame.shape}; it must be grey, (height, width)")


def _stack(frames: Any, dtype: Any = None) -> NDArray[Any]:
    """Return the frames as an array of numbers (T, height, width), or raise what is wrong with them."""
    listed = frames if isinstance(frames, list | tuple) else [frames]
    if any(isinstance(frame, np.ma.MaskedArray) for frame in listed):
        raise TypeError("frames is a masked array; its mask would be ignored: fill it, or leave it out")
    try:
        frames = np.asarray(frames)
    except ValueError as error:  # NumPy's own speaks of an inhomogeneous shape
        raise ValueError("frames are of different sizes; they must be of one: resize them") from error
    if frames.ndim != 3 or frames.size == 0:
        raise ValueError(f"frames have shape {frames.shape}; they must be grey, (T, height, width)")
    if frames.dtype.kind not in "biuf" or (dtype is not None and frames.dtype != dtype):
        wanted = "numbers" if dtype is None else np.dtype(dtype)
        raise TypeError(f"frames have dtype {frames.dtype}; they must be {wanted}")
    if frames.dtype.kind == "f" and not np.isfinite(frames).all():
        raise ValueError("frames hold NaN or infinity")
    return frames


def _mean_of_largest(found: list[tuple[int, int, int]], shrink: float) -> tuple[float, float, float]:
    """Return the mean (width, top, left) of the detections that are the largest face, times `shrink`.

    The cascade finds a face several times over. Which of them is the largest changes with the rounding of the
    pixels, and with it the box by a sixth of the face; the mean of those that share more than half their area
    with it changes by a twentieth.
    """
    size, top, left = max(found)
    same = []
    for w, r, c in found:
        high, wide = min(r + w, top + size) - max(r, top), min(c + w, left + size) - max(c, left)
        shared = max(0, high) * max(0, wide)
        if shared > 0.5 * (w * w + size * size - shared):
            same.append((w, r, c))
    width, r, c = np.mean(same, axis=0) * shrink
    return float(width), float(r), float(c)


def _read(
    paths: Sequence[str | os.PathLike[str]] | VideoFrames,
    size: tuple[int, int] | None,
    box: Box | None,
    stabilise: Stabilise | None,
    n_frames: int | None,
    progress: bool | None,
    checksums: list[bytes] | None,
) -> NDArray[np.uint8]:
    check_options(stabilise, n_frames, size)
    if isinstance(paths, VideoFrames):
        if box is not None:
            raise ValueError("box is of images; a part of a video is cropped to its face, or not at all")
        require("reading a video", *["video", "face"][: 1 + paths.face])
        part = (paths.first, paths.last)
        return _settle(_read_video(paths.path, size, paths.face, 0.1, progress, part), stabilise, n_frames)
    if isinstance(paths, (str, bytes, os.PathLike)):
        raise ValueError(f"paths is {paths!r}; it must be a sequence of paths (read_clip reads a folder)")
    if box is not None and not (_are_whole(box, 4, 0, _MOST_PIXELS) and box[2] > 0 < box[3]):
        raise ValueError(f"box is {box!r}; it must be (top, left, height, width) in pixels")
    if len(paths) == 0:
        raise ClipError("the clip has no frames")
    frames = []
    for path in progress_bar(paths, "read", len(paths), "frame", progress, leave=False):
        file: Any = path
        if checksums is not None:
            with open(path, "rb") as whole:
                data = whole.read()
            checksums.append(_length_and_crc(data))
            file = io.BytesIO(data)
        frames.append(_decode(file, path, box, size))
        if frames[-1].shape != frames[0].shape:
            raise ClipError(
                f"{path} is {frames[-1].shape[0]} x {frames[-1].shape[1]} pixels but {Path(paths[0]).name} "
                f"is {frames[0].shape[0]} x {frames[0].shape[1]}; give size=(height, width) to resize them"
            )
    return _settle(np.stack(frames), stabilise, n_frames)


def _decode(
    file: str | os.PathLike[str] | IO[bytes],
    path: str | os.PathLike[str],
    box: Box | None,
    size: tuple[int, int] | None,
) -> NDArray[np.uint8]:
    """Decode the luma of an image file, cut the box out of it and resize that, without copies between."""
    try:
        with Image.open(file) as image:
            if image.mode[0] in "IF":  # Pillow would clip these to 8 bits without a word
                raise ClipError(
                    f"{path} has pixels of mode {image.mode}, but images of 8 bits a channel are read: "
                    "convert it to 8 bits, or give microexpr.describe the frames as an array of uint16"
                )
            image.draft("L", image.size)  # a JPEG then decodes its luma only
            grey = image if image.mode == "L" else image.convert("L")
            if box is not None:
                top, left, height, width = box
                if left + width > grey.width or top + height > grey.height:  # Pillow would fill up with black
                    raise ClipError(
                        f"{path} is {grey.height} x {grey.width} pixels; box {box} is not inside it"
                    )
                grey = grey.crop((left, top, left + width, top + height))
            if size is not None and grey.size != (size[1], size[0]):
                grey = grey.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            return np.array(grey)
    except (FileNotFoundError, ClipError):
        raise
    except (OSError, SyntaxError, ValueError) as error:  # the latter two: Pillow's for broken PNG, and PGM
        raise ClipError(f"{path} is not a readable image: {_reason(error)}") from error


def _length_and_crc(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + zlib.crc32(data).to_bytes(4, "little")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # Pillow names the object it read from, not the file
        return "it is of no known image format"
    return str(error)


def _settle(frames: NDArray[np.uint8], method: Stabilise | None, n_frames: int | None) -> NDArray[np.uint8]:
    if method is not None:
        frames = stabilise(frames, method)
    return frames if n_frames is None else resample(frames, n_frames)


def _check_margin(margin: float) -> None:
    if isinstance(margin, bool) or not isinstance(margin, Real) or not 0 <= margin < np.inf:
        raise ValueError(f"margin is {margin}; it must be 0 or more, as a fraction of the face")


def _read_video(
    path: Path,
    size: tuple[int, int] | None,
    face: bool,
    margin: float,
    progress: bool | None,
    part: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    import av
    import imageio.v3 as iio

    def decode() -> Iterable[NDArray[np.uint8]]:
        return iio.imiter(path, plugin="pyav", format="gray")

    first, stop = (0, None) if part is None else (part[0], part[1] + 1)
    try:
        # Packets are counted, not frames: some whole files announce frames that are not for showing.
        with av.open(str(path)) as container:
            announced = container.streams.video[0].frames
            packets = sum(packet.size > 0 for packet in container.demux(video=0))
        if packets < announced:
            raise ClipError(f"{path} ends early: {packets} of its {announced} frames are there")
        count = packets if stop is None else stop - first
        box = None
        if face:
            # Decoded twice rather than kept: a long video at full size does not fit in memory.
            box = _face_of(path, islice(decode(), first, stop, max(1, count // 4)), margin)
        wanted = islice(decode(), first, stop)
        shown = progress_bar(wanted, "read", count or None, "frame", progress, leave=False)
        frames = [_crop(frame, box, size) for frame in shown]
    except ClipError:
        raise
    except (OSError, ValueError, IndexError, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClipError(f"{path} is not a readable video: {reason}") from error
    if stop is not None and len(frames) < stop - first:
        raise ClipError(f"{path} has {len(frames)} of the frames {first} to {stop - 1}")
    if not frames:
        raise ClipError(f"{path} has no video frames")
    return np.stack(frames)


def _face_of(path: Path, sample: Iterable[NDArray[np.uint8]], margin: float) -> Box:
    try:
        return find_face(sample, margin)
    except ClipError as error:
        raise ClipError(f"{path}: {error}") from None


def _crop(frame: NDArray[np.uint8], box: Box | None, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    if box is not None:
        top, left, height, width = box
        frame = frame[top : top + height, left : left + width]
    return np.array(frame) if size is None else resize(frame, size)


def _numbers_as_numbers(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.stem.lower())
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts] + [(2, 0, path.suffix)]
