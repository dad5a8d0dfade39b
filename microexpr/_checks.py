"""Checks that several modules share."""

import os
from functools import cache
from numbers import Real
from typing import Any

import numpy as np


def is_whole(value: Any) -> bool:
    """Whether it is a whole number by its type; True and False are not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


@cache  # asked for each frame that is read
def physical_memory() -> float:
    """How many bytes of memory this machine has; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return np.inf


def is_positive(value: Any) -> bool:
    """Whether it is a positive, finite number."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < np.inf
    except OverflowError:  # a whole number that no float is as large as
        return False
