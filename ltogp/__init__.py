"""LTOGP, the local two-order gradient pattern: a texture descriptor.

>>> import numpy as np
>>> import ltogp
>>> image = np.zeros((128, 128), np.uint8)
>>> ltogp.encode(image).shape, ltogp.histogram(image, blocks=(8, 8)).shape
((128, 128), (16384,))
"""

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ltogp.descriptor import encode, histogram
from ltogp.tiles import encode_tiles, histogram_map
from ltogp.top import histogram_top

if TYPE_CHECKING:
    from ltogp._compilation import counts_bits as counts_bits
    from ltogp.estimator import LTOGP

__all__ = ["encode", "encode_tiles", "histogram", "histogram_map", "histogram_top"]
if find_spec("sklearn"):  # without it `from ltogp import *` leaves the estimator out
    __all__ += ["LTOGP"]

# Loaded when first used.
_MODULES = {
    "LTOGP": "estimator",  # scikit-learn, whose import takes longer than everything else here
    "counts_bits": "_compilation",  # for `microexpr doctor`, which says what is chosen here
}


def __getattr__(name: str) -> Any:
    if name == "__version__":  # that of the distribution, which all four packages come with
        from importlib.metadata import version

        return version("microexpr")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
