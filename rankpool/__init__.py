"""Rank pooling: a sequence of frames in, the weights that put them in order out."""

from typing import TYPE_CHECKING, Any

from .pooling import dynamic_image, rank_pool
from .ranksvm import RankSVMResult, approximate_rank_pool, rank_svm

if TYPE_CHECKING:
    from .estimator import RankPooling

__all__ = [
    "RankPooling",
    "RankSVMResult",
    "approximate_rank_pool",
    "dynamic_image",
    "rank_pool",
    "rank_svm",
]


def __getattr__(name: str) -> Any:
    if name == "RankPooling":  # scikit-learn takes a second to import; the functions don't need it
        from .estimator import RankPooling

        return RankPooling
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
