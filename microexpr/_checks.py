"""Checks that several modules share."""

import os
from collections.abc import Sequence
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_whole(value: Any) -> bool:
    """Whether it is a whole number by its type; True and False are not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


@cache  # asked for each frame that is read
def physical_memory() -> float:
    """How many bytes of memory this machine has; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return np.inf


def is_positive(value: Any) -> bool:
    """Whether it is a positive, finite number."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < np.inf
    except OverflowError:  # a whole number that no float is as large as
        return False


def stacked(frames: Any) -> NDArray[Any]:
    """Return frames as one array, or raise if a mask would be ignored, or they are of different sizes."""
    given = frames if isinstance(frames, list | tuple) else [frames]
    if any(isinstance(frame, np.ma.MaskedArray) for frame in given):
        raise TypeError("frames is a masked array; its mask would be ignored: fill it, or leave frames out")
    try:
        return np.asarray(frames)
    except ValueError as error:  # NumPy's own speaks of an inhomogeneous shape
        raise ValueError("frames are of different sizes; they must be of one: resize them") from error


def grey(frames: Any) -> NDArray[Any]:
    """Return frames as an array of shape (T, height, width), or raise what is wrong with that."""
    frames = stacked(frames)
    if frames.ndim != 3:
        raise ValueError(f"frames have shape {frames.shape}; they must be grey, (T, height, width)")
    if frames.shape[2] in (3, 4) and min(frames.shape[:2]) > 4:
        raise ValueError(
            f"frames have shape {frames.shape}, which is a picture in colour; they must be grey, "
            "(T, height, width)"
        )
    return frames


def check_clips(table: Any, columns: Sequence[str], name: str = "table") -> None:
    """Raise unless it is a table of clips with these columns."""
    missing = [column for column in columns if column not in getattr(table, "columns", ())]
    if missing:
        raise ValueError(
            f"{name} has no column {missing[0]}; it must be a table of clips, as read_dataset gives it"
        )


def check_new_folder(path: Path, writer: str) -> None:
    """Raise unless there is nothing at the path, or an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(
            f"{path} exists and is not an empty folder; {writer} writes only into a new one"
        )
