"""Other people's methods, to be run on the same clips, folds and scores as this project's: see ../compare.py.

Each file holds one method, with what its source leaves open and what was chosen there, and names itself in
`COMPARATOR`. Comparators, not product: the shortest readable form of each, on well-kept libraries.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .classifiers import Classify, svm

# In the order of the table.
NAMES = (
    "paper",
    "mpca",
    "distlbp_rip",
    "sparse_sampling",
    "cnn_lstm",
    "lbp_top",
    "lbp_sip",
    "stlbp_ip",
    "higo_top",
    "flow",
    "mdmo",
    "bi_woof",
)


class Comparator(NamedTuple):
    """A way from the frames of a clip to its class."""

    name: str
    source: str
    describe: Callable[[NDArray[np.uint8]], NDArray]  # frames (T, height, width) -> an array of one shape
    classify: Classify = svm
    quoted: tuple[str, ...] = ()  # what the paper's Tables 1 and 2 quote, and on which data set


def load(name: str) -> Comparator:
    """Return the comparator of a file; an ImportError where a library is missing."""
    return importlib.import_module(f".{name}", __name__).COMPARATOR
