"""Raw optical flow from onset to apex and a linear SVM: MEB's strongest simple row.

Varanka et al., MEB: a benchmark of micro-expressions, github.com/tvaranka/meb. Chosen here: the flow's mean
over squares of 4 x 4 pixels, so that a pixel's alignment matters less and features are as many as LTOGP's
histogram has.
"""

import numpy as np
from numpy.typing import NDArray

from . import Comparator
from .optical_flow import apex_flow

SQUARE = 4


def describe(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return x and y of the flow of each square."""
    flow = apex_flow(frames)
    height, width = (n // SQUARE * SQUARE for n in flow.shape[:2])
    squares = flow[:height, :width].reshape(height // SQUARE, SQUARE, width // SQUARE, SQUARE, 2)
    return squares.mean(axis=(1, 3)).ravel()


COMPARATOR = Comparator("optical flow, raw", "MEB (Varanka et al.)", describe)
