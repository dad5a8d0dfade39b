"""Grey frames of image files as a viewer shows them: one picture each, the pages of a TIFF, an animation."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .._checks import physical_memory
from ._errors import ClipError

Box = tuple[int, int, int, int]  # top, left, height, width

# By their names, in a folder.
IMAGES = frozenset(
    {".bmp", ".gif", ".j2k", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)

# By content, not by name. Of the others Pillow would hand EPS to Ghostscript, which runs what is in it.
_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

LARGEST_FILE = 1 << 30  # bytes
LARGEST_VIDEO = 1 << 40  # read piece by piece: what is larger is no file that anybody recorded

_ORIENTATION, _PHOTOMETRIC, _BITS, _NEW_SUBFILE, _SUBFILE = 274, 262, 258, 254, 255  # tags of TIFF and EXIF

_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Pages(NamedTuple):
    """What an image file holds."""

    frames: list[NDArray[np.uint8]]
    n_pages: int  # whether all of them were read or not
    bits: int  # of each pixel, as `decode_image` counts them; 0 if it has 8 for sure


def open_file(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open an image file: a regular one, because others may have no end, and not too large."""
    check_file(path, LARGEST_FILE)
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ClipError(f"{path} is not a readable image: {error.strerror}") from error


def check_file(path: str | os.PathLike[str], most: int, kind: str = "images") -> None:
    """Raise a ClipError unless it is a regular file of at most so many bytes, which `kind` is read up to."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ClipError(f"{path} is {'a folder' if stat.S_ISDIR(status.st_mode) else 'not a regular file'}")
    if status.st_size > most:
        raise ClipError(f"{path} has {status.st_size} bytes; {kind} of up to {most} are read")


def check_length(path: str | os.PathLike[str], n_frames: int, frame: NDArray[Any]) -> None:
    """Raise a ClipError if so many frames do not fit into memory, before the system ends the process."""
    if 2 * n_frames * frame.nbytes > physical_memory():  # in a list, and stacked
        shape = " x ".join(map(str, frame.shape))
        raise ClipError(
            f"{path}: {n_frames} frames of {shape} pixels take {n_frames * frame.nbytes >> 20} MB, more than "
            f"half of this machine's memory"
        )


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; what cannot be looked at (links in a loop) is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def decode_image(
    file: IO[bytes],
    path: str | os.PathLike[str],
    *,
    box: Box | None = None,
    size: tuple[int, int] | None = None,
    bits: int = 0,
    alone: bool = False,
    every: int = 1,
) -> Pages:
    """Decode the luma of an image file, turn it, cut the box out of it and resize that.

    It takes an open file, because of one that it opens itself, uncompressed TIFFs, Pillow 13.0 mixes up the
    pixels where the orientation makes columns of rows.

    Of a grey image of 16 bits a pixel the upper 8 are taken of those that it fills, 8, 10, 12, 14 or 16 of
    them, or of `bits` if that is more: the frames of one clip must be taken alike.

    `alone` says that the file is the clip: then it may be an animation. Of its pages one in `every` is read.
    """
    try:
        with Image.open(file, formats=_FORMATS) as image:
            pages = _pages(image, path, alone)
            frames: list[NDArray[np.uint8]] = []
            for page in pages[::every]:
                if page:
                    image.seek(page)
                _check_pixels(image, path)
                grey, needed = _grey(image, path, bits)
                if frames and (needed > 0) != (bits > 0):
                    raise ClipError(f"{path} has pages of 8 bits a pixel and pages of 16")
                if frames and needed > bits:
                    break
                bits = needed
                frames.append(_fitted(grey, path, box, size))
                if len(frames) == 1:
                    check_length(path, -(-len(pages) // every), frames[0])
            else:
                return Pages(frames, len(pages), bits)
    except ClipError:
        raise
    # Pillow raises nearly anything about a damaged file: of 22,563 of them 168 were refused by what is none
    # of OSError, SyntaxError and ValueError.
    except Exception as error:
        raise ClipError(f"{path} is not a readable image: {_reason(error)}") from error
    file.seek(0)
    return decode_image(file, path, box=box, size=size, bits=needed, alone=alone, every=every)


def count_pages(file: IO[bytes], path: str | os.PathLike[str]) -> int:
    """Count the pages of a file that is the clip."""
    try:
        with Image.open(file, formats=_FORMATS) as image:
            return len(_pages(image, path, alone=True))
    except ClipError:
        raise
    except Exception as error:
        raise ClipError(f"{path} is not a readable image: {_reason(error)}") from error


def _pages(image: Any, path: str | os.PathLike[str], alone: bool) -> Sequence[int]:
    """Positions of the pictures in an image file that are frames.

    Of other formats (MPO, ICO, PSD) the first picture is the one that a viewer shows.
    """
    if image.format == "TIFF":
        return _tiff_pages(image)
    if image.format not in ("GIF", "PNG", "WEBP") or image.n_frames == 1:
        return [0]
    if not alone:
        raise ClipError(
            f"{path} is an animation of {image.n_frames} frames: it is a clip by itself, not a frame of one"
        )
    first = int(getattr(image, "default_image", False))  # of a PNG: shown where animations are not
    return range(first, image.n_frames)


def _tiff_pages(image: Any) -> Sequence[int]:
    """Positions of the pages that are neither a thumbnail nor a mask of another."""
    if not image.is_animated:
        return [0]
    pages = []
    for page in range(image.n_frames):
        image.seek(page)
        if not (image.tag_v2.get(_NEW_SUBFILE, 0) & 0b101 or image.tag_v2.get(_SUBFILE) == 2):
            pages.append(page)
    image.seek(0)
    return pages or [0]


def _check_pixels(image: Image.Image, path: str | os.PathLike[str]) -> None:
    most = Image.MAX_IMAGE_PIXELS  # from there on Pillow warns, and from twice as many raises
    if most is not None and image.width * image.height > most:
        raise ClipError(f"{path} is {image.height} x {image.width} pixels; images of up to {most} are read")


def _grey(image: Image.Image, path: str | os.PathLike[str], bits: int) -> tuple[Image.Image, int]:
    """Decode the picture, as grey of 8 bits, and turn it; return how many bits it was taken by too."""
    image.draft("L", image.size)  # a JPEG then decodes its luma only
    image.load()
    if image.mode[0] in "IF":  # Pillow would clip these to 8 bits without a word
        grey, bits = _upper_bits(image, path, bits)
    else:
        grey, bits = image if image.mode == "L" else image.convert("L"), 0
    turn = _TURN.get(_orientation(image))
    return grey if turn is None else grey.transpose(turn), bits


def _upper_bits(image: Any, path: str | os.PathLike[str], bits: int) -> tuple[Image.Image, int]:
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ClipError(
            f"{path} has pixels of mode {image.mode}, but of grey ones whole numbers from 0 to 65535 are "
            "read: convert it to 8 bits, or give microexpr.describe the frames as an array"
        )
    if image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0:  # 0 is white
        values = (1 << image.tag_v2[_BITS][0]) - 1 - values.astype(int)
    needed = int(values.max()).bit_length()
    bits = max(8, needed + needed % 2, bits)
    return Image.fromarray((values >> (bits - 8)).astype(np.uint8)), bits


def _orientation(image: Image.Image) -> int:
    """Orientation by EXIF, of a picture that is loaded: Pillow has turned a TIFF already."""
    if image.format == "TIFF" or not ("exif" in image.info or "Raw profile type exif" in image.info):
        return 1
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # as for a damaged image; but this one is not, and viewers show it as it is
        return 1


def _fitted(
    grey: Image.Image, path: str | os.PathLike[str], box: Box | None, size: tuple[int, int] | None
) -> NDArray[np.uint8]:
    """Cut the box out and resize that, without copies between."""
    if box is not None:
        top, left, height, width = box
        if left + width > grey.width or top + height > grey.height:  # Pillow would fill up with black
            raise ClipError(f"{path} is {grey.height} x {grey.width} pixels; box {box} is not inside it")
        grey = grey.crop((left, top, left + width, top + height))
    if size is not None and grey.size != (size[1], size[0]):
        grey = grey.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.array(grey)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # Pillow names the object it read from, not the file
        return "it is of no known image format"
    return " ".join(str(error).split()) or type(error).__name__
