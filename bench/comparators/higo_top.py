"""HIGO-TOP: unweighted histograms of gradient orientations on three orthogonal planes.

Li et al.: Towards reading hidden emotions: a comparative study of spontaneous micro-expression spotting and
recognition methods. IEEE Transactions on Affective Computing 9(4), 2018.

Chosen here: 8 signed orientations, each pixel's vote split between the two next ones (as HOG does, but
without the gradient's length), 6 x 6 blocks in space and 2 in time, each histogram's sum 1. Li et al.
choose the blocks on the test data.
"""

import numpy as np
from numpy.typing import NDArray

from . import Comparator

BINS, BLOCKS, PARTS = 8, 6, 2


def describe(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return 3 planes x PARTS x BLOCKS x BLOCKS x BINS numbers."""
    values = frames.astype(np.float32)
    by_t, by_y, by_x = np.gradient(values)
    (T, height, width) = frames.shape
    cell = (np.arange(T)[:, None, None] * PARTS // T) * BLOCKS
    cell = (cell + np.arange(height)[:, None] * BLOCKS // height) * BLOCKS
    cell = cell + np.arange(width) * BLOCKS // width
    planes = [orientations(b, a, cell) for a, b in ((by_x, by_y), (by_x, by_t), (by_y, by_t))]
    return np.concatenate(planes)


def orientations(up: NDArray, right: NDArray, cell: NDArray[np.intp]) -> NDArray[np.float64]:
    """Count the directions of the gradients in each cell; where there is none, nothing is counted."""
    angle = (np.arctan2(up, right) / (2 * np.pi) % 1.0) * BINS
    lower = np.floor(angle).astype(np.intp)
    share, n = angle - lower, PARTS * BLOCKS * BLOCKS
    there = (up != 0) | (right != 0)
    counts = np.zeros(n * BINS)
    for bins, weight in ((lower % BINS, 1 - share), ((lower + 1) % BINS, share)):
        counts += np.bincount((cell * BINS + bins)[there], weight[there], minlength=n * BINS)
    counts = counts.reshape(n, BINS)
    return (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)).ravel()


COMPARATOR = Comparator("HIGO-TOP", "Li et al., TAFFC 2018", describe)
