"""Checks of numbers that several modules share."""

from numbers import Real
from typing import Any

import numpy as np


def is_whole(value: Any) -> bool:
    """Whether it is a whole number by its type; True and False are not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_positive(value: Any) -> bool:
    """Whether it is a positive, finite number."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < np.inf
    except OverflowError:  # a whole number that no float is as large as
        return False
