"""Rank pooling: a sequence of frames in, the weights that put them in order out."""

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .held_out import HeldOutScores, held_out_scores
from .pooling import dynamic_image, hierarchical_rank_pool, rank_pool
from .ranksvm import approximate_rank_pool, rank_svm
from .result import RankSVMResult

if TYPE_CHECKING:
    from .estimator import HierarchicalRankPooling, RankPooling
    from .learning import RankSVM, ndcg, ndcg_scorer

__all__ = [
    "HeldOutScores",
    "RankSVMResult",
    "approximate_rank_pool",
    "dynamic_image",
    "held_out_scores",
    "hierarchical_rank_pool",
    "rank_pool",
    "rank_svm",
]
if find_spec("sklearn"):  # without it `from rankpool import *` leaves these out
    __all__ += ["HierarchicalRankPooling", "RankPooling", "RankSVM", "ndcg", "ndcg_scorer"]

# Loaded when first used: scikit-learn takes a second to import; the functions don't need it.
_MODULES = {
    "HierarchicalRankPooling": "estimator",
    "RankPooling": "estimator",
    "RankSVM": "learning",
    "ndcg": "learning",
    "ndcg_scorer": "learning",
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
