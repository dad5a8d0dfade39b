"""Where the face is in a frame."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._extras import require
from .._wording import option
from ._errors import ClipError
from ._images import Box
from .resizing import check_frame, resize

__all__ = ["check_margin", "face_of", "find_face"]


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
        check_frame(frame)
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


def face_of(path: Path, sample: Iterable[NDArray[np.uint8]], margin: float) -> Box:
    """Find the largest face in frames of a file or folder, which the message names where there is none."""
    try:
        return find_face(sample, margin)
    except ClipError as error:
        raise ClipError(f"{path}: {error}") from None


def check_margin(margin: float) -> None:
    """Raise a ValueError unless this is what `find_face` takes as `margin`."""
    if isinstance(margin, bool) or not isinstance(margin, Real) or not 0 <= margin < np.inf:
        raise ValueError(f"margin is {margin}; it must be 0 or more, as a fraction of the face")


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
