"""Joint ℓ2,1-norm feature selection (Nie et al. 2010), solved to a certified duality gap.

`solve` and the functions of the problem are plain NumPy; `L21Selector` is scikit-learn's selector around
them.
"""

from typing import TYPE_CHECKING, Any

from .problem import critical_gamma, feasible_dual, objective, one_hot, relative_gap
from .solvers import L21Result, solve

if TYPE_CHECKING:
    from .selector import L21Selector

__all__ = [
    "L21Result",
    "L21Selector",
    "critical_gamma",
    "feasible_dual",
    "objective",
    "one_hot",
    "relative_gap",
    "solve",
]


def __getattr__(name: str) -> Any:
    if name == "L21Selector":  # imports scikit-learn, which `solve` does not need
        from .selector import L21Selector

        return L21Selector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
