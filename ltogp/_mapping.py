"""From codes to bins: the groups of 8-bit patterns that scikit-image's local_binary_pattern names."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAPPINGS = ("default", "ror", "uniform", "nri_uniform")


def mapping_bins(mapping: Any) -> tuple[NDArray[np.uint8], int]:
    """Return the bin of each of the 256 codes, and how many bins there are."""
    if not isinstance(mapping, str):
        raise TypeError(f"mapping is {mapping!r}; must be one of {', '.join(MAPPINGS)}")
    if mapping not in MAPPINGS:
        raise ValueError(f"mapping is {mapping!r}; must be one of {', '.join(MAPPINGS)}")
    return _bins(mapping)


@cache
def _bins(mapping: str) -> tuple[NDArray[np.uint8], int]:
    if mapping == "default":
        bins = list(range(256))
    elif mapping == "ror":
        smallest = [min(_rotate(code, k) for k in range(8)) for code in range(256)]
        bins = np.unique(smallest, return_inverse=True)[1].tolist()
    elif mapping == "uniform":
        bins = [code.bit_count() if _is_uniform(code) else 9 for code in range(256)]
    else:
        bins = [_nri_uniform(code) if _is_uniform(code) else 58 for code in range(256)]
    table = np.array(bins, np.uint8)
    table.flags.writeable = False
    return table, max(bins) + 1


def _rotate(code: int, k: int) -> int:
    return (code >> k | code << (8 - k)) & 255


def _is_uniform(code: int) -> bool:
    """Whether the ones of the circle of bits stand together."""
    return (code ^ _rotate(code, 1)).bit_count() <= 2


def _nri_uniform(code: int) -> int:
    """Return 0 for no ones, 1 to 56 by the number of ones and where they stand, 57 for eight ones."""
    n = code.bit_count()
    if n in (0, 8):
        return 57 * (n == 8)
    run = (1 << n) - 1
    return 1 + 8 * (n - 1) + next(k for k in range(8) if _rotate(run, k) == code)
