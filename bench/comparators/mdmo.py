"""MDMO: the main direction and mean length of the optical flow in each region of the face.

Liu et al.: A main directional mean optical flow feature for spontaneous micro-expression recognition. IEEE
Transactions on Affective Computing 7(4), 2016.

In each region the flow's directions fall into 8 bins; of the fullest bin the mean vector is taken, as
(length, angle), and the mean over the frames of the clip, each against the first. Chosen here: 6 x 6 blocks
for the 36 regions, which the paper draws through 66 landmarks; every fourth frame; angles as their cosine
and sine times the length, because the mean of angles is none.
"""

import numpy as np
from numpy.typing import NDArray

from . import Comparator
from .optical_flow import blocks_of, flow_between

BLOCKS, BINS, EVERY = 6, 8, 4


def describe(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return length, cosine and sine of each block."""
    chosen = range(1, len(frames), EVERY)
    means = np.mean([main_direction(flow_between(frames[0], frames[t])) for t in chosen], axis=0)
    return np.concatenate([np.linalg.norm(means, axis=1), means.ravel()])


def main_direction(flow: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean vector of the fullest bin of each block, (BLOCKS * BLOCKS, 2)."""
    (height, width, _), n = flow.shape, BLOCKS * BLOCKS
    angle = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) + 0.5 / BINS
    bin_of = np.floor(angle % 1.0 * BINS).astype(np.intp) % BINS  # -1e-9 % 1.0 is 1.0 in float32
    cell = (blocks_of(height, width, BLOCKS) * BINS + bin_of).ravel()
    counts = np.bincount(cell, minlength=n * BINS).reshape(n, BINS)
    sums = [np.bincount(cell, flow[..., k].ravel(), minlength=n * BINS).reshape(n, BINS) for k in (0, 1)]
    fullest, block = counts.argmax(axis=1), np.arange(n)
    return np.stack([part[block, fullest] / counts[block, fullest] for part in sums], axis=1)


COMPARATOR = Comparator("MDMO", "Liu et al., TAFFC 2016", describe)
