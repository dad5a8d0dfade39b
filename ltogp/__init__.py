"""LTOGP, the local two-order gradient pattern: a texture descriptor.

>>> import numpy as np
>>> import ltogp
>>> image = np.zeros((128, 128), np.uint8)
>>> ltogp.encode(image).shape, ltogp.histogram(image, blocks=(8, 8)).shape
((128, 128), (16384,))
"""

from typing import TYPE_CHECKING, Any

from ltogp.descriptor import encode, histogram
from ltogp.tiles import encode_tiles, histogram_map
from ltogp.top import histogram_top

if TYPE_CHECKING:
    from ltogp._compilation import counts_bits as counts_bits
    from ltogp.estimator import LTOGP

__all__ = ["LTOGP", "encode", "encode_tiles", "histogram", "histogram_map", "histogram_top"]


def __getattr__(name: str) -> Any:
    if name == "__version__":  # that of the distribution, which all four packages come with
        from importlib.metadata import version

        return version("microexpr")
    if name == "counts_bits":  # for `microexpr doctor`, which says what is chosen here
        from ltogp._compilation import counts_bits

        return counts_bits
    # The estimator needs scikit-learn, whose import takes longer than everything else here.
    if name == "LTOGP":
        from ltogp.estimator import LTOGP

        return LTOGP
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
