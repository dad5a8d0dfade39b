"""LBP-SIP: local binary patterns on the six points where the three planes' neighbours meet.

Wang, See, Phan, Oh: LBP with six intersection points: reducing redundant information in LBP-TOP for micro-
expression recognition. ACCV 2014, LNCS 9003.

LBP-TOP with four neighbours a plane asks each of six points twice. Asked once each, the four in space make
a code of 4 bits and the two in time one of 2: 16 + 4 bins a block instead of LBP-TOP's 3 x 16. Chosen here:
radius 1, 5 x 5 blocks, each histogram's sum 1. The paper's pyramid (the same at two coarser sizes) is left
out.
"""

import numpy as np
from numpy.typing import NDArray

from . import Comparator

BLOCKS = 5


def describe(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return BLOCKS x BLOCKS x 20 numbers."""
    padded = np.pad(frames, 1, mode="edge")
    (T, height, width) = frames.shape

    def shifted(dt: int, dy: int, dx: int) -> NDArray[np.uint8]:
        return padded[1 + dt : 1 + dt + T, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    def code(*steps: tuple[int, int, int]) -> NDArray[np.intp]:
        bits = [(shifted(*step) >= frames) * np.intp(1 << k) for k, step in enumerate(steps)]
        return sum(bits[1:], bits[0])

    in_space = code((0, 0, 1), (0, -1, 0), (0, 0, -1), (0, 1, 0))
    in_time = code((-1, 0, 0), (1, 0, 0))
    row = np.arange(height)[:, None] * BLOCKS // height
    block = row * BLOCKS + np.arange(width) * BLOCKS // width
    counts = [
        np.bincount((codes + n * block).ravel(), minlength=n * BLOCKS * BLOCKS).reshape(-1, n)
        for codes, n in ((in_space, 16), (in_time, 4))
    ]
    return np.concatenate([part / part.sum(axis=1, keepdims=True) for part in counts], axis=1).ravel()


COMPARATOR = Comparator("LBP-SIP", "Wang et al., ACCV 2014", describe)
