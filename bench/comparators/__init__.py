"""Other people's methods, to be run on the same clips, folds and scores as this project's: see ../compare.py.

Each file holds one method, with what its source leaves open and what was chosen there, and names itself in
`COMPARATOR`. Comparators, not product: the shortest readable form of each, on well-kept libraries.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microexpr.experiment import QUOTED

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

PACKAGES = {"cv2": "opencv-python-headless", "PIL": "pillow", "skimage": "scikit-image"}  # where names differ


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


def missing(name: str) -> str:
    """Say which library a method lacks and how it is had; nothing if it lacks none."""
    try:
        load(name)
    except ModuleNotFoundError as error:
        package = PACKAGES.get(error.name or "", error.name)
        return (
            f"it needs {error.name}: pip install {package}, or all that the methods need: "
            'pip install -e ".[compare]"'
        )
    return ""


def about(name: str) -> str:
    """Return what a method's file says of it and of its source, and what it lacks."""
    tree = ast.parse(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8"))
    title, *more = (ast.get_docstring(tree) or "").split("\n\n")
    source = [" ".join(part.split()) for part in more[:1]]
    return "\n    ".join([f"{name:<16}{title}", *source, *filter(None, [missing(name)])])


def quoted(row: str, note: str = "") -> tuple[str, ...]:
    """Return what the paper's Tables 1 and 2 say in a row, and of which data set."""
    return tuple(
        f"{accuracies[row]:.2f} ({dataset}{note})"
        for dataset, accuracies in QUOTED.items()
        if row in accuracies
    )
