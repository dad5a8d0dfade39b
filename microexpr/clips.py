"""Frames of a clip, from a video file or a folder of images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

__all__ = ["ClipError", "find_face", "image_paths", "read_clip", "read_frames", "read_image", "resize"]

Box = tuple[int, int, int, int]  # top, left, height, width

_IMAGES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".tif", ".tiff"}


class ClipError(ValueError):
    """A clip that cannot be read or has nothing to describe in it; the message says which and why."""


def read_clip(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = (128, 128),
    face: bool | None = None,
    margin: float = 0.1,
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
        If a file is damaged or ends early, there is no image or no face, or frames differ in size and
        `size` is None.
    ModuleNotFoundError
        If PyAV (videos) or scikit-image (faces) is needed and not installed.
    ValueError
        If `margin` is negative or not finite.
    """
    _check_margin(margin)  # here too: below, an error while a video is read is taken for the video's
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if not path.is_dir():
        return _read_video(path, size, face is None or face, margin, progress)
    paths = image_paths(path)
    if not paths:
        raise ClipError(f"{path} holds no images ({', '.join(sorted(_IMAGES))})")
    box = None
    if face:
        box = _face_of(path, map(read_image, paths[:: max(1, len(paths) // 4)]), margin)
    return read_frames(paths, size, box=box, progress=progress)


def read_frames(
    paths: Sequence[str | os.PathLike[str]],
    size: tuple[int, int] | None = (128, 128),
    *,
    box: Box | None = None,
    progress: bool | None = None,
) -> NDArray[np.uint8]:
    """Read image files, in the order given, as grey frames.

    Parameters
    ----------
    paths : sequence of path
        Image files of one size, or of any size if `size` is given.
    size : (int, int) or None
        Height and width that every frame is resized to, in pixels.
    box : (top, left, height, width), optional
        Part of every frame to keep, in pixels, cut out before resizing.
    progress : bool, optional
        Show a progress bar; by default only when standard error is a terminal.

    Returns
    -------
    ndarray of shape (T, height, width), uint8
    """
    frames = [_crop(read_image(path), box, size) for path in _bar(paths, len(paths), progress)]
    for path, frame in zip(paths, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise ClipError(
                f"{path} is {frame.shape[0]} x {frame.shape[1]} pixels but {Path(paths[0]).name} is "
                f"{frames[0].shape[0]} x {frames[0].shape[1]}; give size=(height, width) to resize them"
            )
    return np.stack(frames)


def read_image(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read the luma of one image file, resized to `size` (height, width) if given."""
    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":  # Pillow would clip these to 8 bits without a word
                raise ClipError(
                    f"{path} has pixels of mode {image.mode}; images of 8 bits a channel are read"
                )
            image.draft("L", image.size)  # a JPEG then decodes its luma only
            grey = np.asarray(image.convert("L"))
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, UnidentifiedImageError) as error:  # SyntaxError: Pillow's for broken PNG
        raise ClipError(f"{path} is not a readable image: {error}") from error
    return grey if size is None else resize(grey, size)


def resize(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a grey frame to (height, width) pixels: bilinear, anti-aliased where it shrinks."""
    if frame.shape == tuple(size):
        return frame
    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR))


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
        If `margin` is negative or not finite.
    """
    _check_margin(margin)
    try:
        import skimage.data
        from skimage.feature import Cascade
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"finding faces needs scikit-image ({error}); install microexpr[face]"
        ) from error

    cascade = Cascade(skimage.data.lbp_frontal_face_cascade_filename())
    largest, searched = (0, 0, 0), 0
    for frame in frames:
        searched += 1
        height, width = frame.shape
        shrink = max(1.0, max(height, width) / 640)  # 60 ms at 640 x 360, and it grows with the area
        small = resize(frame, (round(height / shrink), round(width / shrink)))
        side = min(small.shape)
        for found in cascade.detect_multi_scale(
            small, scale_factor=1.2, step_ratio=1, min_size=(side // 6, side // 6), max_size=(side, side)
        ):
            largest = max(largest, tuple(round(found[key] * shrink) for key in ("width", "r", "c")))
    face, r, c = largest
    if not face:
        raise ClipError(
            f"no face found in the {searched} frames searched; "
            "crop the clip and read it with face=False (--no-face)"
        )
    top, left = max(0, round(r - margin * face)), max(0, round(c - margin * face))
    bottom, right = (round(start + (1 + margin) * face) for start in (r, c))
    return top, left, min(bottom, height) - top, min(right, width) - left


def _check_margin(margin: float) -> None:
    if not 0 <= margin < np.inf:
        raise ValueError(f"margin is {margin}; it must be 0 or more, as a fraction of the face")


def _read_video(
    path: Path, size: tuple[int, int] | None, face: bool, margin: float, progress: bool | None
) -> NDArray[np.uint8]:
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"reading a video needs PyAV ({error}); install microexpr[video]"
        ) from error
    import imageio.v3 as iio

    def decode() -> Iterable[NDArray[np.uint8]]:
        return iio.imiter(path, plugin="pyav", format="gray")

    try:
        # Packets are counted, not frames: some whole files announce frames that are not for showing.
        with av.open(str(path)) as container:
            announced = container.streams.video[0].frames
            packets = sum(packet.size > 0 for packet in container.demux(video=0))
        if packets < announced:
            raise ClipError(f"{path} ends early: {packets} of its {announced} frames are there")
        box = None
        if face:
            # Decoded twice rather than kept: a long video at full size does not fit in memory.
            box = _face_of(path, islice(decode(), 0, None, max(1, packets // 4)), margin)
        frames = [_crop(frame, box, size) for frame in _bar(decode(), packets, progress)]
    except ClipError:
        raise
    except (OSError, ValueError, IndexError, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClipError(f"{path} is not a readable video: {reason}") from error
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


def _bar(frames: Iterable, total: int, progress: bool | None) -> Iterable:
    hidden = None if progress is None else not progress
    return tqdm(frames, "read", total or None, unit="frame", delay=2, leave=False, disable=hidden)


def _numbers_as_numbers(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.stem.lower())
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts] + [(2, 0, path.suffix)]
