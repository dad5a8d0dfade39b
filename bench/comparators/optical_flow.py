"""Optical flow by OpenCV, and which frames it is taken between."""

import cv2
import numpy as np
from numpy.typing import NDArray


def flow_between(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how far each pixel moves, (height, width, 2), x first: OpenCV's DIS flow, medium preset.

    On one thread: clips are described side by side.
    """
    cv2.setNumThreads(1)
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)  # down to the pixel: motion is of a pixel or two
    return flow.calc(np.ascontiguousarray(first), np.ascontiguousarray(second), None)


def apex_flow(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the flow from the first frame to the apex.

    Not every data set says where the apex is: here it is the frame that differs most from the first, in the
    mean of three frames, so that one noisy frame is not taken for it.
    """
    values = frames.astype(np.float32)
    difference = np.abs(values - values[0]).mean(axis=(1, 2))
    smooth = np.convolve(np.pad(difference, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    return flow_between(frames[0], frames[int(np.argmax(smooth))])


def blocks_of(height: int, width: int, n: int) -> NDArray[np.intp]:
    """Return the block of each pixel, row of blocks by row of blocks, (height, width)."""
    return (np.arange(height)[:, None] * n // height) * n + np.arange(width) * n // width
