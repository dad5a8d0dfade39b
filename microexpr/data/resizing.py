"""Grey frames of other sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .._checks import is_whole

__all__ = ["MOST_PIXELS", "are_whole", "check_frame", "check_size", "resize"]

# Beyond what any clip has: an option with such a number is a slip, and would end in a MemoryError.
MOST_PIXELS = 65_500  # of a side: a JPEG's limit


def resize(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a grey frame to (height, width) pixels: bilinear, anti-aliased where it shrinks."""
    if size is None:
        raise ValueError("size is None; it must be (height, width) in pixels")
    check_size(size)
    check_frame(frame)
    if frame.shape == tuple(size):
        return frame
    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def check_size(size: Any) -> None:
    """Raise a ValueError unless this is a (height, width) that frames can be resized to."""
    if not are_whole(size, 2, least=1, most=MOST_PIXELS):
        raise ValueError(
            f"size is {size!r}; it must be (height, width) in pixels, each from 1 to {MOST_PIXELS}"
        )


def check_frame(frame: Any) -> None:
    """Raise unless this is one grey frame of uint8."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or isinstance(frame, np.ma.MaskedArray):
        kind = getattr(frame, "dtype", type(frame).__name__)
        raise TypeError(f"the frame is of {kind}; it must be an array of uint8 without a mask")
    if frame.ndim != 2 or frame.size == 0:
        raise ValueError(f"the frame has shape {frame.shape}; it must be grey, (height, width)")


def are_whole(values: Any, count: int, least: int, most: int) -> bool:
    """Tell whether these are so many whole numbers in a range."""
    return np.shape(values) == (count,) and all(is_whole(v) and least <= v <= most for v in values)
