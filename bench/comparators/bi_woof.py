"""Bi-WOOF: orientations of the flow from onset to apex, weighted by its length and by optical strain.

Liong, See, Wong, Phan: Less is more: micro-expression recognition from video using apex frame. Signal
Processing: Image Communication 62, 2018.

Each pixel votes for its orientation with the flow's length; each block's histogram is weighed with the
block's mean strain. As published: 8 orientations; chosen here: 8 x 8 blocks (they try 5 to 8 by data set),
DIS flow.
"""

import numpy as np
from numpy.typing import NDArray

from . import Comparator
from .optical_flow import apex_flow, blocks_of

BLOCKS, BINS = 8, 8


def describe(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return BLOCKS x BLOCKS x BINS numbers."""
    flow = apex_flow(frames).astype(np.float64)
    (height, width, _), n = flow.shape, BLOCKS * BLOCKS
    block = blocks_of(height, width, BLOCKS)
    angle = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) % 1.0
    cell = (block * BINS + np.floor(angle * BINS).astype(np.intp) % BINS).ravel()
    histograms = np.bincount(cell, np.linalg.norm(flow, axis=2).ravel(), minlength=n * BINS)
    (u_y, u_x), (v_y, v_x) = np.gradient(flow[..., 0]), np.gradient(flow[..., 1])
    strain = np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2)
    weights = np.bincount(block.ravel(), strain.ravel(), minlength=n) / np.bincount(
        block.ravel(), minlength=n
    )
    return (histograms.reshape(n, BINS) * weights[:, None]).ravel()


COMPARATOR = Comparator("Bi-WOOF", "Liong et al. 2018", describe)
