"""LBP of integral projections: what STLBP-IP and DiSTLBP-RIP share."""

import numpy as np
from numpy.typing import NDArray

import ltogp

BLOCKS, REACH = 4, 4


def lbp_of_projections(motion: NDArray[np.float32]) -> NDArray[np.float64]:
    """Describe (T, height, width): 1-D LBP in space and LBP in time of each block's projections.

    A block's projections are its sums along rows and along columns. In space each value is compared with the
    four before and the four after it, 8 bits; in time the projections of all frames, one below the other,
    are a picture, whose LBP is that of a texture. A block has 2 directions x 2 x 256 bins, each histogram's
    sum being 1.
    """
    parts = []
    for rows in np.array_split(motion, BLOCKS, axis=1):
        for block in np.array_split(rows, BLOCKS, axis=2):
            for axis in (1, 2):
                picture = np.ascontiguousarray(block.mean(axis=axis), dtype=np.float32)  # (T, length)
                in_time = ltogp.histogram(picture, (1, 1), templates="lbp", n_jobs=1)
                parts += [one_dimensional(picture), in_time.ravel()]
    histograms = np.array(parts, dtype=np.float64)
    return (histograms / histograms.sum(axis=1, keepdims=True)).ravel()


def one_dimensional(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """Count the 8-bit codes of every value of every row."""
    padded = np.pad(picture, ((0, 0), (REACH, REACH)), mode="edge")
    codes, width = np.zeros(picture.shape, np.intp), picture.shape[1]
    steps = [step for step in range(-REACH, REACH + 1) if step]
    for k, step in enumerate(steps):
        codes |= (padded[:, REACH + step : REACH + step + width] >= picture).astype(np.intp) << k
    return np.bincount(codes.ravel(), minlength=256).astype(np.float64)
