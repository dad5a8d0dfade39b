"""Frames of a clip, from a video file or a folder of images."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._extras import require
from .._progress import progress_bar
from ._errors import ClipError
from ._images import (
    IMAGES,
    Box,
    Pages,
    check_length,
    count_pages,
    decode_image,
    is_folder,
    open_file,
)
from ._video_parts import VideoFrames, length_and_crc, video_length_and_crc
from .faces import check_margin, face_of
from .resizing import MOST_PIXELS, are_whole, check_size
from .stabilisation import Grey, Stabilise, check_blur, check_n_frames, check_stabilise, settle
from .video_file import read_video

__all__ = ["image_paths", "read_clip", "read_frames", "read_image"]

Damaged = Literal["raise", "keep"]


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
    check_options(stabilise, n_frames, size, blur, damaged)
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
        frames = read_video(path, size, crop, margin, progress, keep=damaged == "keep")
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
        return hashlib.sha256(video_length_and_crc(paths.path) + paths.part).digest()
    checksums = []
    for path in paths:
        try:
            with open_file(path) as file:
                checksums.append(length_and_crc(file))
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


def check_options(
    stabilise: Any, n_frames: Any, size: Any = None, blur: Any = None, damaged: Any = "raise"
) -> None:
    """Raise a ValueError unless these are what `read_clip` takes."""
    check_stabilise(stabilise)
    check_blur(blur)
    check_n_frames(n_frames)
    if size is not None:
        check_size(size)
    if damaged not in ("raise", "keep"):
        raise ValueError(f'damaged is {damaged!r}; it must be "raise" or "keep"')


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
        frames = read_video(paths.path, size, paths.face, 0.1, progress, part=part)
        return settle(frames, stabilise, blur, n_frames)
    if isinstance(paths, (str, bytes, os.PathLike)):
        raise ValueError(f"paths is {paths!r}; it must be a sequence of paths (read_clip reads a folder)")
    if box is not None and not (are_whole(box, 4, 0, MOST_PIXELS) and box[2] > 0 < box[3]):
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
                file = io.BytesIO(file.read())
                checksums.append(length_and_crc(file))
                file.seek(0)
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


def _numbers_as_numbers(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.stem.lower())
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts] + [(2, 0, path.suffix)]
