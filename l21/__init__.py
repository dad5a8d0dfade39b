"""Joint ℓ2,1-norm feature selection (Nie et al. 2010), solved to a certified duality gap.

`solve` and the functions of the problem are plain NumPy; `L21Selector` is scikit-learn's selector around
them. `solve_squared` and `solve_logistic` are the same penalty with other losses, to compare with.
"""

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .problem import critical_gamma, feasible_dual, objective, one_hot, relative_gap
from .solvers import L21Result, path, solve

if TYPE_CHECKING:
    from ._blas import one_blas_thread as one_blas_thread
    from ._parallel import received as received
    from ._parallel import share as share
    from .losses import solve_logistic, solve_squared
    from .plots import plot_residuals
    from .selector import L21Selector

__all__ = [
    "L21Result",
    "critical_gamma",
    "feasible_dual",
    "objective",
    "one_hot",
    "path",
    "plot_residuals",
    "relative_gap",
    "solve",
    "solve_logistic",
    "solve_squared",
]
if find_spec("sklearn"):  # without it `from l21 import *` leaves the selector out
    __all__ += ["L21Selector"]

# Loaded when first used: scikit-learn, Numba and matplotlib, which `solve` does not need.
_MODULES = {
    "L21Selector": "selector",
    # for microexpr, whose folds are spread as those of the selector are
    "one_blas_thread": "_blas",
    "share": "_parallel",
    "received": "_parallel",
    "plot_residuals": "plots",
    "solve_logistic": "losses",
    "solve_squared": "losses",
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
