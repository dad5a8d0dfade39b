"""The joint ℓ2,1 problem: objective, dual, certificate, critical gamma.

With X (n, d), Y (n, c) and γ > 0,

    primal   min_W  γ Σ_i ‖(XW - Y)_i‖₂ + Σ_j ‖W_j‖₂
    dual     max_Λ  ⟨Λ, Y⟩   subject to   ‖Λ_i‖₂ <= γ,  ‖(XᵀΛ)_j‖₂ <= 1

The rows of Y are the samples, so one far-off sample counts by its distance and not by its square, and a
feature's row of W is zero for all classes or for none. Everything here is evaluated in float64, whatever the
dtype of X. X is an array or a scipy.sparse matrix or array, which is never made dense.

The largest entries of X and Y need to lie between 1e-60 and 1e60 (or be all 0) and γ between 1e-120 and
1e120: then no bound below leaves float64's range. A gap is certified up to the rounding of XW and XᵀΛ, which
is about 1e-16 Σ_i γ_i ‖X_i‖ ‖W‖ in the objective: where γ is so large that this is no longer small beside
‖W‖_{2,1}, a small gap can't be reached, and the result says so.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from ._blas import one_blas_thread

Floats = NDArray[np.floating]
Matrix = Any  # X: Floats, or a scipy.sparse matrix or array in CSR or CSC

# Columns of X are taken this many numbers at a time: a float32 X is never copied whole to float64, and what
# is copied stays in the cache (XᵀΛ at 256 x 65536 takes 35 ms; with sixteen times as many, 86).
_BLOCK = 1 << 18

# Of the largest entry of X and of Y, and of γ.
_ENTRIES = 1e-60, 1e60
_GAMMAS = 1e-120, 1e120


@one_blas_thread()
def objective(X: Matrix, Y: ArrayLike, W: ArrayLike, gamma: float | ArrayLike = 1.0) -> float:
    """Value of the primal, γ‖XW - Y‖_{2,1} + ‖W‖_{2,1}, in float64.

    Parameters
    ----------
    X : array or sparse matrix (n, d)
    Y : array (n, c)
    W : array (d, c)
    gamma : float or array (n,)
        Weight of the loss, or one weight for each sample.

    Returns
    -------
    float
        `inf` where W is so large that it overflows.

    Examples
    --------
    >>> import numpy as np, l21
    >>> l21.objective([[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]], np.zeros((2, 2)), gamma=3.0)
    6.0
    """
    X, Y, radius = check_problem(X, Y, gamma)
    W = check_weights("W", W, (X.shape[1], Y.shape[1]))
    with np.errstate(over="ignore", invalid="ignore"):
        value = primal(X, Y, W, radius)
    return value if value < np.inf else float("inf")  # inf - inf is NaN


@one_blas_thread()
def feasible_dual(X: Matrix, dual: ArrayLike, gamma: float | ArrayLike = 1.0) -> Floats:
    """Scale any Λ (n, c) into the dual's feasible set, in float64.

    Rows longer than γ are cut to length γ; then, if a row of XᵀΛ is longer than 1, all of Λ is divided by the
    longest. ⟨result, Y⟩ is then a lower bound of the primal.

    Examples
    --------
    >>> import l21
    >>> l21.feasible_dual([[2.0]], [[7.0]], gamma=1.0)
    array([[0.5]])
    """
    X, dual = _matrix(X), real_array("the dual", dual).astype(np.float64)
    if X.ndim != 2 or dual.ndim != 2 or len(dual) != X.shape[0] or 0 in X.shape:
        raise ValueError(
            f"the dual has shape {dual.shape} and X {X.shape}: both need one row for each sample, "
            "and X a feature"
        )
    _check_entries("X", X)
    check_finite("the dual", dual)
    return scale_into_dual_set(X, dual, check_gamma(gamma, X.shape[0]))[0]


@one_blas_thread()
def relative_gap(
    X: Matrix, Y: ArrayLike, W: ArrayLike, dual: ArrayLike, gamma: float | ArrayLike = 1.0
) -> float:
    """Relative duality gap (primal - dual) / primal of any W and Λ, in float64.

    Λ is first scaled into the feasible set (`feasible_dual`), so the gap is a certificate whatever Λ is: W's
    objective is above the optimum by at most this fraction of itself. It needs nothing but its arguments, so
    it can check the result of any solver. NaN and infinity in them are a ValueError; where W is so large that
    its objective overflows, there is no gap, and the result is `inf`.

    Examples
    --------
    >>> import numpy as np, l21
    >>> X, Y = np.eye(2), np.eye(2)
    >>> l21.relative_gap(X, Y, np.zeros((2, 2)), 0.5 * Y, gamma=0.5)
    0.0
    """
    X, Y, radius = check_problem(X, Y, gamma)
    if np.shape(dual) != Y.shape:
        raise ValueError(f"the dual has shape {np.shape(dual)}; it needs to be that of Y, {Y.shape}")
    upper = objective(X, Y, W, gamma)
    feasible = feasible_dual(X, dual, radius)
    return gap_of(upper, float(np.vdot(feasible, Y)))


@one_blas_thread()
def critical_gamma(X: Matrix, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Largest γ at which W = 0 is optimal: 1 / max_j ‖(XᵀŶ)_j‖₂, where Ŷ has Y's rows at unit length.

    For one-hot Y, Ŷ = Y. A row of zeros in Y stays zero in Ŷ; then W = 0 up to this γ and possibly somewhat
    above.

    Parameters
    ----------
    X : array or sparse matrix (n, d)
    Y : array (n, c)
        One-hot classes, or targets.
    sample_weight : array (n,), optional
        For the problem with γ · sample_weight_i as the weight of sample i: its row of Ŷ has length
        sample_weight_i, at least 0.

    Returns
    -------
    float
        `inf` when XᵀŶ = 0: then W = 0 is optimal at every γ.

    Examples
    --------
    >>> import l21
    >>> l21.critical_gamma([[1.0, 0.0], [0.0, 4.0]], [[1.0, 0.0], [0.0, 1.0]])
    0.25
    """
    X, Y, _ = check_problem(X, Y, 1.0)
    weights = check_sample_weight(sample_weight, len(Y))
    largest = float(row_norms(correlations(X, weights[:, None] * unit_rows(Y))).max())
    return 1.0 / largest if largest > 0.0 else float("inf")


def one_hot(labels: ArrayLike) -> tuple[Floats, NDArray[Any]]:
    """One-hot Y (n, c) of n class labels, and the c classes in order.

    Examples
    --------
    >>> import l21
    >>> Y, classes = l21.one_hot(["b", "a", "b"])
    >>> Y
    array([[0., 1.],
           [1., 0.],
           [0., 1.]])
    >>> classes.tolist()
    ['a', 'b']
    """
    refuse_masked("labels", labels)
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(
            f"labels have shape {labels.shape}; one-hot coding needs one label for each sample, (n,)"
        )
    classes, index = np.unique(labels, return_inverse=True)
    return np.eye(len(classes))[index], classes


# Below: what the solvers share. X is checked, float32 or float64; radius is γ for each sample, (n,) float64.


def check_problem(X: Matrix, Y: ArrayLike, gamma: float | ArrayLike) -> tuple[Matrix, Floats, Floats]:
    """X as float32 or float64, Y as float64, γ as (n,), or an error that says where the trouble is."""
    X, Y = _matrix(X), real_array("Y", Y).astype(np.float64)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X has shape {X.shape}; it needs to be (samples, features), at least 1 x 1")
    if Y.ndim != 2:
        raise ValueError(
            f"Y has shape {Y.shape}; it needs to be (samples, classes): one_hot makes it from labels"
        )
    if X.shape[0] != len(Y):
        raise ValueError(f"X has {X.shape[0]} samples, Y has {len(Y)}")
    if Y.shape[1] == 0:
        raise ValueError("Y has no columns")
    _check_entries("X", X)
    _check_entries("Y", Y)
    return X, Y, check_gamma(gamma, len(Y))


def _check_entries(name: str, array: Matrix) -> None:
    """Raise a ValueError on NaN and infinity, and where the largest entry is out of reach."""
    values = np.atleast_2d(np.asarray(array.data)) if issparse(array) else array
    # One pass without a temporary: NaN and infinity survive it, and squares out of range show.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->", values, values, dtype=np.float64)
    low, high = _ENTRIES
    if low**2 * max(1, values.size) <= squares <= high**2:
        return
    check_finite(name, array)
    largest = float(np.abs(values).max()) if values.size else 0.0
    if largest > 0.0 and not low <= largest <= high:
        raise ValueError(
            f"{name} has {largest:.1e} as its largest entry; it needs to lie between {low:.0e} and "
            f"{high:.0e}, where float64 can certify a solution: rescale it"
        )


def check_finite(name: str, array: Matrix) -> None:
    """Raise a ValueError that says where NaN or infinity is."""
    if not np.isfinite(array.data if issparse(array) else array).all():
        row, column = _first_not_finite(array)
        raise ValueError(
            f"{name} has {array[row, column]} at row {row}, column {column}; it needs to be finite"
        )


def check_options(
    tol: float, max_iter: int | None, W0: ArrayLike | None, shape: tuple[int, int]
) -> Floats | None:
    """W0 as float64, or an error that says which of the three no solver can use."""
    if not 0.0 < tol < 1.0:
        raise ValueError(f"tol needs to lie between 0 and 1, got {tol}")
    if max_iter is not None and not (isinstance(max_iter, Integral) and max_iter >= 1):
        raise ValueError(f"max_iter needs to be an integer of at least 1, got {max_iter!r}")
    return None if W0 is None else check_weights("W0", W0, shape)


def check_weights(name: str, W: ArrayLike, shape: tuple[int, int]) -> Floats:
    """W or W0 as float64, of that shape and finite."""
    W = real_array(name, W).astype(np.float64)
    if W.shape != shape:
        raise ValueError(f"{name} has shape {W.shape}; it needs to be {shape}, and finite")
    check_finite(name, W)
    return W


def _matrix(X: Matrix) -> Matrix:
    """X as float32 or float64, dense, CSR or CSC."""
    if not issparse(X):
        return real_array("X", X)
    if X.dtype.kind not in "biuf":
        raise TypeError(f"X has dtype {X.dtype}; it needs to be an array or a sparse matrix of real numbers")
    if X.format not in ("csr", "csc"):
        X = X.tocsr()
    return X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)


def _first_not_finite(array: Matrix) -> tuple[int, int]:
    if issparse(array):
        array = array.tocoo()
        bad = ~np.isfinite(array.data)
        return min(zip(array.row[bad].tolist(), array.col[bad].tolist(), strict=True))
    row, column = np.argwhere(~np.isfinite(array))[0]
    return row, column


def real_array(name: str, array: ArrayLike) -> Floats:
    """Float32 and float64 as they are, other real numbers as float64."""
    refuse_masked(name, array)
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}; it needs to be an array of real numbers")
    with np.errstate(over="ignore"):  # a longdouble beyond float64 is an infinity, and that an error
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def refuse_masked(name: str, array: Any) -> None:
    """Raise a ValueError on masked entries: numpy.asarray reads what lies under the mask."""
    parts = array if isinstance(array, list | tuple) else (array,)
    if any(np.ma.is_masked(part) for part in parts):
        raise ValueError(f"{name} has masked entries; fill them, or leave out their samples or features")


def check_gamma(gamma: float | ArrayLike, n: int, name: str = "gamma") -> Floats:
    """γ as one weight for each of n samples."""
    radius = real_array(name, gamma).astype(np.float64)
    if radius.ndim > 1 or radius.size not in (1, n):
        raise ValueError(
            f"{name} has shape {radius.shape}; it needs to be one number or one for each of {n} samples"
        )
    if not (np.isfinite(radius).all() and (radius > 0).all()):
        raise ValueError(f"{name} needs to be positive and finite, got {gamma!r}")
    low, high = _GAMMAS
    if radius.min() < low or radius.max() > high:
        extreme = radius.min() if radius.min() < low else radius.max()
        raise ValueError(
            f"{name} needs to lie between {low:.0e} and {high:.0e}, where float64 can certify a solution, "
            f"got {extreme}: rescale X"
        )
    return np.array(np.broadcast_to(radius, n))


def check_sample_weight(sample_weight: ArrayLike | None, n: int) -> Floats:
    """One weight, at least 0, for each of n samples."""
    weights = real_array("sample_weight", 1.0 if sample_weight is None else sample_weight).astype(np.float64)
    if weights.ndim > 0 and weights.shape != (n,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}; it needs to be ({n},), one weight for each sample"
        )
    weights = np.array(np.broadcast_to(weights, n))
    bad = np.flatnonzero(~((weights >= 0.0) & (weights < np.inf)))
    if len(bad):
        raise ValueError(
            f"sample_weight needs to be finite and at least 0, got {weights[bad[0]]} for sample {bad[0]}"
        )
    if not weights.any():
        raise ValueError("sample_weight needs to be above 0 for at least one sample, all are 0")
    check_gamma(weights[weights > 0.0], int(np.count_nonzero(weights)), "sample_weight")
    return weights


def leave_out(
    X: Matrix, Y: Floats, radius: Floats, sample_weight: ArrayLike | None
) -> tuple[Matrix, Floats, Floats, NDArray[np.bool_] | None]:
    """X, Y, γ times the weights and a mask of the samples with a weight above 0; None where that is all."""
    if sample_weight is None:
        return X, Y, radius, None
    weights = check_sample_weight(sample_weight, len(Y))
    kept = weights > 0.0
    radius = check_gamma(radius[kept] * weights[kept], int(np.count_nonzero(kept)), "gamma * sample_weight")
    return (X, Y, radius, None) if kept.all() else (X[kept], Y[kept], radius, kept)


def row_norms(A: Floats) -> Floats:
    """‖A_i‖₂, also where its square is out of range; NaN and infinity stay."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", A, A)
        norms = np.sqrt(squares)
        doubtful = np.flatnonzero(~((squares > 1e-280) & (squares < np.inf)))
        if len(doubtful):
            doubtful = doubtful[A[doubtful].any(axis=1)]
        if len(doubtful):
            part, exponents = _near_one(A[doubtful])
            norms[doubtful] = np.ldexp(np.sqrt(np.einsum("ij,ij->i", part, part)), exponents)
    return norms


def unit_rows(A: Floats) -> Floats:
    """A_i / ‖A_i‖₂; zero rows stay zero."""
    A, _ = _near_one(A)
    norms = row_norms(A)[:, None]
    return np.divide(A, norms, out=np.zeros_like(A), where=norms > 0)


def _near_one(A: Floats) -> tuple[Floats, NDArray[Any]]:
    """Rows divided by a power of two, so that their largest entries are near 1, and the exponents."""
    _, exponents = np.frexp(np.abs(A).max(axis=1))
    return np.ldexp(A, -exponents[:, None]), exponents


def exponent(A: Matrix) -> int:
    """Exponent of the largest entry; 0 where it is within a factor of 2³² of 1, or A is 0."""
    values = A.data if issparse(A) else A
    largest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    power = int(np.frexp(largest)[1])
    return power if abs(power) > 32 else 0


def correlations(X: Matrix, dual: Floats) -> Floats:
    """XᵀΛ (d, c) in float64."""
    if issparse(X):
        return X.T @ dual
    if X.dtype == np.float64:
        return (dual.T @ X).T  # 4 ms, X.T @ dual 15 ms at 246 x 16384 and c = 5
    step = max(1, _BLOCK // len(X))
    result = np.empty((dual.shape[1], X.shape[1]))
    for j in range(0, X.shape[1], step):
        result[:, j : j + step] = dual.T @ X[:, j : j + step].astype(np.float64)
    return result.T


def residual(X: Matrix, Y: Floats, W: Floats) -> Floats:
    """Y - XW in float64; only W's non-zero rows are multiplied."""
    if issparse(X):
        return Y - X @ W
    rows = np.flatnonzero(W.any(axis=1))
    if X.dtype == np.float64 and 2 * len(rows) > len(W):
        return Y - X @ W
    R = Y.copy()
    step = max(1, _BLOCK // len(X))
    for j in range(0, len(rows), step):
        part = rows[j : j + step]
        R -= X[:, part].astype(np.float64, copy=False) @ W[part]
    return R


def scale_into_dual_set(X: Matrix, dual: Floats, radius: Floats) -> tuple[Floats, Floats]:
    """Feasible Λ, and ‖(XᵀΛ)_j‖ before Λ was divided by the longest of them."""
    lengths = row_norms(dual)
    shrink = np.divide(radius, lengths, out=np.ones_like(lengths), where=~(lengths <= radius))
    feasible = dual * shrink[:, None]
    nearness = row_norms(correlations(X, feasible))
    longest = max(1.0, float(nearness.max()))
    return feasible / longest, nearness


def gap_of(primal: float, dual: float) -> float:
    """(primal - dual) / primal; infinite, not 0, where either is no number."""
    if not (np.isfinite(primal) and np.isfinite(dual)):
        return float("inf")
    # Y = 0 has primal 0; rounding can put the dual a few ulp above the primal.
    return max(0.0, (primal - dual) / primal) if primal > 0.0 else 0.0


def primal(X: Matrix, Y: Floats, W: Floats, radius: Floats) -> float:
    """Σ γ_i ‖(XW - Y)_i‖ + Σ ‖W_j‖."""
    return float(radius @ row_norms(residual(X, Y, W)) + row_norms(W).sum())
