"""Frames of a clip, from a video file or a folder of images."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
import warnings
import zlib
from collections.abc import Container, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .._checks import is_whole
from .._extras import require
from .._progress import progress_bar
from .._wording import option
from ._errors import ClipError
from ._images import (
    IMAGES,
    LARGEST_VIDEO,
    Box,
    Pages,
    check_file,
    check_length,
    count_pages,
    decode_image,
    is_folder,
    open_file,
)
from ._video_parts import VideoFrames, length_and_crc
from ._videos import reason_of, shown_frames, survey_video, what_is_cut_off
from .stabilisation import Grey, Stabilise, check_blur, check_n_frames, check_stabilise, settle

__all__ = [
    "ClipError",
    "find_face",
    "image_paths",
    "read_clip",
    "read_frames",
    "read_image",
    "resize",
]

Damaged = Literal["raise", "keep"]

# Beyond what any clip has: an option with such a number is a slip, and would end in a MemoryError.
_MOST_PIXELS = 65_500  # of a side: a JPEG's limit


def read_clip(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = (128, 128),
    face: bool | None = None,
    margin: float = 0.1,
    stabilise: Stabilise | None = None,
    blur: float | None = None,
    n_frames: int | None = None,
    damaged: Damaged = "raise",
    progress: bool | None = None,
) -> Grey:
    """Read a video file, a folder of images or an image file of several pages as grey frames.

    Frames are turned and mirrored as a player or viewer shows them, by the display matrix of a video and the
    EXIF orientation of an image. ``docs/clips.md`` says what is read, and what damage is found.

    Parameters
    ----------
    path : path
        A video file (needs the ``video`` extra), or a folder of images, whose names are put in order by
        the numbers in them (``img9`` before ``img10``). A TIFF of several pages is a clip, and so is a folder
        of such; an animated GIF, PNG or WebP is one by itself, and not a frame in a folder.
    size : (int, int) or None
        Height and width that every frame is resized to, in pixels; None keeps them as they are.
    face : bool, optional
        Crop all frames to one box, that of the largest face (`find_face`, needs the ``face`` extra). By
        default a video and an animation are cropped, and images are not, because the folders of
        micro-expression data sets hold cropped faces already.
    margin : float
        Border kept around the face on each side, as a fraction of its height and width.
    stabilise : {"tiles", "subpixel"}, optional
        Undo the drift of the whole picture, as `microexpr.data.stabilise` does, after resizing.
    blur : float, optional
        Standard deviation of a Gaussian that the frames are blurred with after that, in pixels; None or 0 is
        off.
    n_frames : int, optional
        Resample the clip in time to this many frames, as `microexpr.data.resample` does, last of all.
    damaged : {"raise", "keep"}
        Whether a video that was cut short or is damaged inside is a `ClipError`, or a UserWarning and the
        frames that FFmpeg makes of it: some are absent then, or false in parts.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.

    Returns
    -------
    ndarray of shape (T, height, width), uint8
        The frames' luma; with ``stabilise="tiles"`` or `blur` in 256ths of a grey level, as uint16.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ClipError
        If a file is damaged or ends early, there is no image or no face, frames differ in size and `size`
        is None, some images have several pages, or more bits, and others do not, or a file is not a
        regular one, or too large.
    ModuleNotFoundError
        If PyAV (videos) or scikit-image (faces) is needed and not installed.
    ValueError
        If `size`, `margin`, `stabilise`, `blur`, `n_frames` or `damaged` is none of those above.
    """
    check_options(stabilise, n_frames, size, blur)
    if damaged not in ("raise", "keep"):
        raise ValueError(f'damaged is {damaged!r}; it must be "raise" or "keep"')
    check_margin(margin)  # here too: below, an error while a video is read is taken for the video's
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.is_dir():
        paths = image_paths(path)
        if not paths:
            raise ClipError(f"{path} holds no images ({', '.join(sorted(IMAGES))})")
    elif path.suffix.lower() in IMAGES - {".gif"}:
        paths = [path]
        if face is None:
            face = path.suffix.lower() not in (".tif", ".tiff") and _count(path) > 1
    else:
        crop = face is None or face
        if crop:
            require("finding the face in a video", "video", "face")
        else:
            require("reading a video", "video")
        frames = _read_video(path, size, crop, margin, progress, keep=damaged == "keep")
        return settle(frames, stabilise, blur, n_frames)
    box = face_of(path, _sample(paths), margin) if face else None
    frames = _decode_all(paths, size, box, progress, alone=len(paths) == 1)
    return settle(frames, stabilise, blur, n_frames)


def read_frames(
    paths: Sequence[str | os.PathLike[str]] | VideoFrames,
    size: tuple[int, int] | None = (128, 128),
    *,
    box: Box | None = None,
    stabilise: Stabilise | None = None,
    blur: float | None = None,
    n_frames: int | None = None,
    progress: bool | None = None,
) -> Grey:
    """Read image files, in the order given, as grey frames.

    Parameters
    ----------
    paths : sequence of path, or VideoFrames
        Image files of one size, or of any size if `size` is given; or all of them TIFFs of several pages; or
        a part of a video.
    size : (int, int) or None
        Height and width that every frame is resized to, in pixels.
    box : (top, left, height, width), optional
        Part of every frame as it is shown to keep, in pixels, cut out before resizing.
    stabilise : {"tiles", "subpixel"}, optional
        Undo the drift of the whole picture, as `microexpr.data.stabilise` does, after resizing.
    blur : float, optional
        Standard deviation of a Gaussian that the frames are blurred with after that, in pixels; None or 0 is
        off.
    n_frames : int, optional
        Resample the clip in time to this many frames, as `microexpr.data.resample` does, last of all.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.

    Returns
    -------
    ndarray of shape (T, height, width), uint8
        With ``stabilise="tiles"`` or `blur` in 256ths of a grey level, as uint16.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ClipError
        If a file is damaged, there is none, they differ in size and `size` is None, `box` is not inside one,
        some have several pages, or more bits, and others do not, or one is an animation, not a regular
        file, or too large.
    ValueError
        If `size`, `box`, `stabilise`, `blur` or `n_frames` is none of those above.
    """
    return _read(paths, size, box, stabilise, blur, n_frames, progress, None)


def read_frames_and_digest(
    paths: Sequence[str | os.PathLike[str]] | VideoFrames,
    size: tuple[int, int] | None,
    *,
    stabilise: Stabilise | None = None,
    blur: float | None = None,
    n_frames: int | None = None,
) -> tuple[Grey, bytes]:
    """Read frames as `read_frames` does, and the `content_digest` of their files from the same bytes."""
    if isinstance(paths, VideoFrames):
        frames = _read(paths, size, None, stabilise, blur, n_frames, False, None)
        return frames, content_digest(paths)
    checksums: list[bytes] = []
    frames = _read(paths, size, None, stabilise, blur, n_frames, False, checksums)
    return frames, hashlib.sha256(b"".join(checksums)).digest()


def content_digest(paths: Sequence[str | os.PathLike[str]] | VideoFrames) -> bytes:
    """SHA-256 of the length (8 bytes) and CRC-32 (4 bytes) of each file in the order given, little-endian.

    Names play no part in it. CRC-32, because SHA-256 of every file took 5 % of what decoding it takes: these
    checksums tell changed files from unchanged ones, and protect against nobody. Of a part of a video, those
    of the whole file and which part it is. An OSError if a file cannot be read.
    """
    if isinstance(paths, VideoFrames):
        length, crc = length_and_crc(paths.path)
        whole = length.to_bytes(8, "little") + crc.to_bytes(4, "little")
        return hashlib.sha256(whole + paths.part).digest()
    checksums = []
    for path in paths:
        try:
            with open_file(path) as file:
                checksums.append(_length_and_crc(iter(partial(file.read, 1 << 20), b"")))
        except ClipError as error:
            raise OSError(str(error)) from error
    return hashlib.sha256(b"".join(checksums)).digest()


def read_image(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read the luma of one image file, resized to `size` (height, width) if given.

    A JPEG's colours are never decoded. It is decoded at its full size and resized once: letting the decoder
    halve it first (``draft`` with the smaller size) takes half the time and gives other pixels, on frames of
    340 x 280 resized to 128 x 128 up to 11 grey levels away, with other LTOGP codes at half of the pixels
    (simulated frames).

    It is turned and mirrored as its EXIF orientation says. Of a grey image of 16 bits the upper 8 are read of
    those that it fills: 8, 10, 12, 14 or 16, the fewest that hold its largest value, because a camera of 12
    bits fills them up to 4095 and nothing in the file says so; in a clip, the fewest that hold all of its
    frames'. `microexpr.describe` takes arrays of uint16 exactly. Floats and numbers below 0 or above 65535
    are a ClipError. Of an image in colour of 16 bits a channel, the upper 8 are read. A file of several pages
    is a ClipError: `read_clip` reads them.
    """
    check_options(None, None, size)
    with open_file(path) as file:
        pages = decode_image(file, path, size=size)
    if pages.n_pages > 1:
        raise ClipError(f"{path} has {pages.n_pages} pages; read_clip reads them as a clip")
    return pages.frames[0]


def resize(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a grey frame to (height, width) pixels: bilinear, anti-aliased where it shrinks."""
    check_options(None, None, size)
    if size is None:
        raise ValueError("size is None; it must be (height, width) in pixels")
    _check_frame(frame)
    if frame.shape == tuple(size):
        return frame
    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def check_options(stabilise: Any, n_frames: Any, size: Any = None, blur: Any = None) -> None:
    """Raise a ValueError unless these are what `read_frames` takes."""
    check_stabilise(stabilise)
    check_blur(blur)
    check_n_frames(n_frames)
    if size is not None and not _are_whole(size, 2, least=1, most=_MOST_PIXELS):
        raise ValueError(
            f"size is {size!r}; it must be (height, width) in pixels, each from 1 to {_MOST_PIXELS}"
        )


def image_paths(folder: str | os.PathLike[str]) -> list[Path]:
    """Image files of a folder, put in order by the numbers in their names.

    Folders are passed over whatever their names, and so are files whose names begin with a point
    (``._img1.jpg`` is what macOS leaves in archives).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not (entry.name.startswith(".") or is_folder(entry))]
    paths = (folder / name for name in names)
    return sorted((path for path in paths if path.suffix.lower() in IMAGES), key=_numbers_as_numbers)


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
    check_margin(margin)
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
    blur: float | None,
    n_frames: int | None,
    progress: bool | None,
    checksums: list[bytes] | None,
) -> Grey:
    check_options(stabilise, n_frames, size, blur)
    if isinstance(paths, VideoFrames):
        if box is not None:
            raise ValueError("box is of images; a part of a video is cropped to its face, or not at all")
        require("reading a video", *["video", "face"][: 1 + paths.face])
        part = (paths.first, paths.last)
        frames = _read_video(paths.path, size, paths.face, 0.1, progress, part=part)
        return settle(frames, stabilise, blur, n_frames)
    if isinstance(paths, (str, bytes, os.PathLike)):
        raise ValueError(f"paths is {paths!r}; it must be a sequence of paths (read_clip reads a folder)")
    if box is not None and not (_are_whole(box, 4, 0, _MOST_PIXELS) and box[2] > 0 < box[3]):
        raise ValueError(f"box is {box!r}; it must be (top, left, height, width) in pixels")
    if len(paths) == 0:
        raise ClipError("the clip has no frames")
    frames = _decode_all(paths, size, box, progress, checksums=checksums)
    return settle(frames, stabilise, blur, n_frames)


def _decode_all(
    paths: Sequence[str | os.PathLike[str]],
    size: tuple[int, int] | None,
    box: Box | None,
    progress: bool | None,
    *,
    checksums: list[bytes] | None = None,
    alone: bool = False,
    bits: int = 0,
) -> NDArray[np.uint8]:
    """Decode image files, and append the length and CRC of each to `checksums`.

    `alone` and `bits` are as for `decode_image`.
    """
    frames: list[NDArray[np.uint8]] = []
    first, one = None, Path(paths[0])
    for path in progress_bar(paths, "read", len(paths), "frame", progress, leave=False):
        with open_file(path) as file:
            if checksums is not None:
                data = file.read()
                checksums.append(_length_and_crc([data]))
                file = io.BytesIO(data)
            pages = decode_image(file, path, box=box, size=size, bits=bits, alone=alone)
        if first is None:
            first, bits = pages, pages.bits
            check_length(path, len(paths) * len(pages.frames), pages.frames[0])
        if (pages.n_pages > 1) != (first.n_pages > 1):
            counts = f"{path} has {_counted_pages(pages)} and {one.name} has {_counted_pages(first)}"
            raise ClipError(f"{counts}: the files of a clip must have one page each, or several each")
        if (pages.bits > 0) != (first.bits > 0):
            depths = f"{path} has {'16' if pages.bits else '8'} bits a pixel and {one.name} has not"
            raise ClipError(f"{depths}: the images of a clip must be of one kind")
        if pages.bits > bits:  # the frames before it were scaled by fewer
            if checksums is not None:
                checksums.clear()
            return _decode_all(paths, size, box, progress, checksums=checksums, alone=alone, bits=pages.bits)
        frames += pages.frames
        for frame in pages.frames:
            if frame.shape != frames[0].shape:
                raise ClipError(
                    f"{path} is {frame.shape[0]} x {frame.shape[1]} pixels but {one.name} is "
                    f"{frames[0].shape[0]} x {frames[0].shape[1]}; give size=(height, width) to resize them"
                )
    return np.stack(frames)


def _counted_pages(pages: Pages) -> str:
    return f"{pages.n_pages} pages" if pages.n_pages > 1 else "one page"


def _sample(paths: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
    """About five frames, spread over a clip."""
    if len(paths) == 1:
        every = max(1, _count(paths[0]) // 4)
        with open_file(paths[0]) as file:
            yield from decode_image(file, paths[0], alone=True, every=every).frames
    else:
        for path in paths[:: max(1, len(paths) // 4)]:
            with open_file(path) as file:
                yield decode_image(file, path, every=sys.maxsize).frames[0]


def _count(path: Path) -> int:
    with open_file(path) as file:
        return count_pages(file, path)


def _length_and_crc(pieces: Iterable[bytes]) -> bytes:
    length = crc = 0
    for piece in pieces:
        length, crc = length + len(piece), zlib.crc32(piece, crc)
    return length.to_bytes(8, "little") + crc.to_bytes(4, "little")


def check_margin(margin: float) -> None:
    """Raise a ValueError unless this is what `find_face` takes as `margin`."""
    if isinstance(margin, bool) or not isinstance(margin, Real) or not 0 <= margin < np.inf:
        raise ValueError(f"margin is {margin}; it must be 0 or more, as a fraction of the face")


class VideoFile:
    """A video file that is read: what is damaged in it, where its face is, its frames.

    `keep` says to go on where it is damaged, and to warn at its end; `part` which frames are the clip, first
    and last, or None.
    """

    def __init__(self, path: Path, *, keep: bool = False, part: tuple[int, int] | None = None) -> None:
        self.path, self.keep, self.part = path, keep, part
        self.first = 0 if part is None else part[0]
        self.stop = None if part is None else part[1] + 1
        self.found: list[str] = []
        check_file(path, LARGEST_VIDEO, "videos")
        with self._as_clip_error():
            self.packets = survey_video(path, self._damage)
        self.count = self.packets if self.stop is None else self.stop - self.first

    def find_face(self, margin: float, among: int | None = None) -> Box:
        """Find the largest face in about five frames, spread over it, or over its first `among` frames."""
        every = max(1, min(self.count, among or self.count) // 4)
        # Decoded twice rather than kept: a long video at full size does not fit in memory.
        with self._as_clip_error(), closing(shown_frames(self.path, self._damage)) as shown:
            return face_of(self.path, islice(islice(shown, self.first, self.stop), 0, among, every), margin)

    def frames(
        self,
        size: tuple[int, int] | None,
        box: Box | None,
        progress: bool | None,
        *,
        again: bool = False,
        needed: Container[int] | None = None,
    ) -> Generator[NDArray[np.uint8], None, None]:
        """Decode the frames one after the other, cut the box out of each and resize that.

        `again` says that they were decoded before, and damage was found then: on all cores. Of those that are
        not `needed`, by their number in the file, one of no pixels is given.
        """
        read = 0
        shape: tuple[int, ...] | None = None
        with (
            self._as_clip_error(),
            closing(shown_frames(self.path, self._damage, threads=0 if again else 1, needed=needed)) as shown,
        ):
            wanted = islice(shown, self.first, self.stop)
            for frame in progress_bar(wanted, "read", self.count or None, "frame", progress, leave=False):
                if not frame.size:
                    read += 1
                    yield frame
                    continue
                shape = shape or frame.shape
                if frame.shape != shape and (box is not None or size is None):
                    sizes = f"{shape[0]} x {shape[1]} to {frame.shape[0]} x {frame.shape[1]} pixels"
                    raise ClipError(f"{self.path} changes from {sizes} after {read} frames")
                read += 1
                yield _crop(frame, box, size)
        if self.stop is not None and read < self.stop - self.first:
            raise ClipError(f"{self.path} has {read} of the frames {self.first} to {self.stop - 1}")
        if not read:
            raise ClipError(f"{self.path} has no video frames")
        if self.found:
            more = f" (and {len(self.found) - 1} more)" if len(self.found) > 1 else ""
            kept = f"its {read} frames are kept, as {option('damaged', 'keep')} says"
            warnings.warn(f"{self.path} {self.found[0]}{more}; {kept}", UserWarning, stacklevel=4)

    def _damage(self, what: str) -> None:
        if not self.keep:
            unreadable = what if what.startswith("ends early") else f"is not a readable video: it {what}"
            remedy = "" if self.part else f"; {option('damaged', 'keep')} reads what is there"
            raise ClipError(f"{self.path} {unreadable}{remedy}")
        if what not in self.found:
            self.found.append(what)

    @contextmanager
    def _as_clip_error(self) -> Iterator[None]:
        try:
            yield
        except (ClipError, ModuleNotFoundError):
            raise
        except IndexError as error:
            raise ClipError(f"{self.path} is not a readable video: it has no pictures in it") from error
        except Exception as error:  # PyAV's are of many kinds; those of Python about hostile headers too
            cut = what_is_cut_off(self.path)
            reason = f"it {cut}" if cut else reason_of(error)
            raise ClipError(f"{self.path} is not a readable video: {reason}") from error


def _read_video(
    path: Path,
    size: tuple[int, int] | None,
    face: bool,
    margin: float,
    progress: bool | None,
    *,
    keep: bool = False,
    part: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    video = VideoFile(path, keep=keep, part=part)
    box = video.find_face(margin) if face else None
    frames: list[NDArray[np.uint8]] = []
    for frame in video.frames(size, box, progress):
        frames.append(frame)
        if len(frames) == 1:
            check_length(path, min(video.count, video.packets), frame)
    return np.stack(frames)


def face_of(path: Path, sample: Iterable[NDArray[np.uint8]], margin: float) -> Box:
    """Find the largest face in frames of a file or folder, which the message names where there is none."""
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
