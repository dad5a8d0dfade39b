"""Rank pooling: a sequence of frames in, the weights that put them in order out."""

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
    "HierarchicalRankPooling",
    "RankPooling",
    "RankSVM",
    "RankSVMResult",
    "approximate_rank_pool",
    "dynamic_image",
    "held_out_scores",
    "hierarchical_rank_pool",
    "ndcg",
    "ndcg_scorer",
    "rank_pool",
    "rank_svm",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":  # that of the distribution, which all four packages come with
        from importlib.metadata import version

        return version("microexpr")
    # scikit-learn takes a second to import; the functions don't need it
    if name in ("HierarchicalRankPooling", "RankPooling"):
        from . import estimator

        return getattr(estimator, name)
    if name in ("RankSVM", "ndcg", "ndcg_scorer"):
        from . import learning

        return getattr(learning, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
