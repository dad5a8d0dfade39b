"""STLBP-IP: spatiotemporal LBP of integral projections.

Huang, Wang, Zhao, Pietikäinen: Facial micro-expression recognition using spatiotemporal local binary
pattern with integral projection. ICCV Workshops 2015.

Projections of each frame's difference to the first. Chosen here: 4 x 4 blocks, 1-D LBP of eight neighbours.
"""

import numpy as np
from numpy.typing import NDArray

from . import Comparator
from .integral_projections import lbp_of_projections


def describe(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the histograms of the projections of what differs from the first frame."""
    values = frames.astype(np.float32)
    return lbp_of_projections(values - values[0])


COMPARATOR = Comparator("STLBP-IP", "Huang et al., ICCVW 2015", describe)
