"""Where the eyes are, and frames turned so that they are level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Point = tuple[float, float]  # across, down, in pixels from the upper left corner of the picture

_FACE = 240  # pixels that a face is resized to where eyes are looked for


def find_eyes(frame: NDArray[Any], face: tuple[int, int, int, int]) -> tuple[Point, Point] | None:
    """Find the centres of the eyes in a face's box, with OpenCV's cascade; None unless there are both.

    The one that finds open eyes, with or without glasses: docs/cropping.md has what was tried beside it. It
    misses more eyes than the others, most of them shut, and that costs nothing: a clip has other frames.
    """
    import cv2
    import cv2.data

    model = Path(cv2.data.haarcascades, "haarcascade_eye_tree_eyeglasses.xml")
    cascade = cv2.CascadeClassifier(str(model))
    top, left, height, width = face
    zoom = _FACE / width
    eyes = []
    for side in (0.08, 0.5):
        x, y = round(left + side * width), round(top + 0.15 * height)
        part = frame[y : round(top + 0.6 * height), x : round(left + (side + 0.42) * width)]
        found, _, weights = cascade.detectMultiScale3(
            cv2.resize(
                part, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
            ),
            scaleFactor=1.05,
            minNeighbors=3,
            minSize=(round(0.14 * _FACE),) * 2,
            maxSize=(round(0.4 * _FACE),) * 2,
            outputRejectLevels=True,
        )
        if len(found) == 0:
            return None
        eye = found[int(np.argmax(weights))] / zoom
        eyes.append((float(x + eye[0] + eye[2] / 2), float(y + eye[1] + eye[3] / 2)))
    (x0, y0), (x1, y1) = eyes
    # Further apart, closer or steeper than in any face whose front the cascade finds: one of them is no eye.
    if not 0.25 * width < x1 - x0 < 0.6 * width or abs(y1 - y0) > 0.5 * (x1 - x0):
        return None
    return eyes[0], eyes[1]


def has_cascades() -> bool:
    """Whether there is an OpenCV with cascades."""
    try:
        import cv2
    except ImportError:
        return False
    return hasattr(cv2, "CascadeClassifier")  # OpenCV 5 has none


def align(
    frames: NDArray[Any], eyes: tuple[Point, Point], size: tuple[int, int], eyes_at: tuple[float, float]
) -> NDArray[np.uint8]:
    """Turn, scale and move the frames so that the eyes lie where they should."""
    height, width = size
    left, right = np.array(eyes)
    wanted = np.array([eyes_at[0] * width, eyes_at[1] * height])
    # From a pixel of the image to one of the frame: (x, y) -> left + M ((x, y) - wanted).
    across = (right - left) / (width * (1 - 2 * eyes_at[0]))
    M = np.array([[across[0], -across[1]], [across[1], across[0]]])
    corners = left + (np.array([[0, 0], [width, 0], [0, height], [width, height]]) - wanted) @ M.T
    beyond = np.maximum(0, np.ceil([*-corners.min(axis=0), *(corners.max(axis=0) - frames.shape[:0:-1])]))
    before_x, before_y, after_x, after_y = beyond.astype(int) + 2
    # Pillow's transform does not smooth where it shrinks: into a larger image, and then into its means.
    finer = max(1, int(np.ceil(np.hypot(*across))))
    offset = left - M @ wanted + [before_x, before_y]
    row_x, row_y = M / finer
    coefficients = (*row_x, offset[0], *row_y, offset[1])
    out = np.empty((len(frames), height, width), np.uint8)
    for frame, aligned in zip(frames, out, strict=True):
        wide = Image.fromarray(np.pad(frame, ((before_y, after_y), (before_x, after_x)), mode="edge"))
        large = wide.transform(
            (finer * width, finer * height), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
        )
        aligned[...] = np.asarray(large.reduce(finer))
    return out
