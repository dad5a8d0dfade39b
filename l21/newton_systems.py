"""The Newton systems of `newton`: H⁻¹G by conjugate gradients in float32, or by a factor in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, get_blas_funcs, get_lapack_funcs, lapack

from .problem import Floats, row_norms

# A Newton system larger than this isn't factorised: its matrix would take more than 800 MB.
LARGEST = 10_000


class NewtonSteps:
    """H⁻¹G of one system after another that are alike, with H as in `solve_hessian`.

    Or a direction that leaves a tenth of G: conjugate gradients do, and though there are half as many Newton
    steps again as with H⁻¹G, the whole takes half the time. A tenth needs no more digits than float32 has, in
    half the time of float64. Where the iterations would take longer than to factorise H, H is factorised.

    A preconditioner costs as much as n / 4c iterations, so it is kept while it takes no more than those more
    than when it was new.
    """

    def __init__(self) -> None:
        self._precondition: Callable[[Floats], Floats] | None = None
        self._enough = 0

    def __call__(
        self, G: Floats, XA: Floats, a: Floats, A: Floats, diagonal: Floats, nonzero: NDArray[Any], B: Floats
    ) -> Floats:
        """Return the step for one system."""
        n, c = G.shape
        k, m = len(XA), len(XA) + len(B)
        multiplications = _multiplications(n, c, k, m)
        direct = min(multiplications)
        size = (n * c, m, k * c)[multiplications.index(direct)]
        # What NumPy needs to call an iteration's dozen functions would do for another 400,000.
        iteration = 2 * n * k * c + min(n * n, 2 * n * k) * c + 400_000
        most = direct // (2 * iteration)  # 2: iterating in vain is lost time
        if most >= 10:
            if self._precondition is not None:
                step, n_iter = conjugate_gradients(
                    G, XA, a, A, diagonal, nonzero, B, self._precondition, min(most, self._enough)
                )
                if n_iter:
                    return step
            self._precondition = preconditioner(XA, a, A, diagonal, nonzero, B)
            step, n_iter = conjugate_gradients(
                G, XA, a, A, diagonal, nonzero, B, self._precondition, min(most, 300)
            )
            if n_iter:
                self._enough = n_iter + n // (4 * c)
                return step
            self._precondition = None
        if size > LARGEST:
            precondition = preconditioner(XA, a, A, diagonal, nonzero, B, np.float64)
            return conjugate_gradients(G, XA, a, A, diagonal, nonzero, B, precondition, 300, np.float64)[0]
        return solve_hessian(G, XA, a, A, diagonal, nonzero, B)


def conjugate_gradients(
    G: Floats,
    XA: Floats,
    a: Floats,
    A: Floats,
    diagonal: Floats,
    nonzero: NDArray[Any],
    B: Floats,
    precondition: Callable[[Floats], Floats],
    most: int,
    dtype: type[np.floating] = np.float32,
) -> tuple[Floats, int]:
    """H⁻¹G, and after how many iterations the residual was down to a tenth: 0 if `most` weren't enough.

    Nor are they where the numbers leave float32's range.
    """
    size = np.linalg.norm(G)
    F, a, A, diagonal = XA.astype(dtype), a.astype(dtype)[:, None], A.astype(dtype), diagonal.astype(dtype)
    B_all = np.zeros(G.shape, dtype)
    B_all[nonzero] = B
    diagonal = diagonal[:, None]
    residual = (G / size).astype(dtype)
    solution = np.zeros_like(residual)
    direction = z = precondition(residual)
    descent = np.vdot(residual, z)
    for n_iter in range(1, most + 1):
        T = times(F, direction)
        T = a * T + np.einsum("ij,ij->i", A, T)[:, None] * A
        H_direction = transposed_times(F, T) + diagonal * direction
        H_direction += np.einsum("ij,ij->i", B_all, direction)[:, None] * B_all
        length = descent / np.vdot(direction, H_direction)
        if not np.isfinite(length):
            break
        solution += length * direction
        residual -= length * H_direction
        if np.linalg.norm(residual) <= 0.1:
            return size * solution.astype(np.float64), n_iter
        z = precondition(residual)
        descent, last = np.vdot(residual, z), descent
        direction = z + (descent / last) * direction
    return size * solution.astype(np.float64), 0


def preconditioner(
    XA: Floats,
    a: Floats,
    A: Floats,
    diagonal: Floats,
    nonzero: NDArray[Any],
    B: Floats,
    dtype: type[np.floating] = np.float32,
) -> Callable[[Floats], Floats]:
    """(Q ⊗ I)⁻¹, where Q is P with the mean over the c columns of H's rank-one terms in it.

    Q = Σ_j (a_j + ‖A_j‖² / c) x_j x_jᵀ + diag(diagonal_i + ‖B_i‖² / c). On 246 x 16384 with c = 5 conjugate
    gradients take 5 to 50 iterations, and with P half as many again. By a Cholesky factor, of k x k where the
    features are fewer; where there is none, it gives NaN.
    """
    k, n = XA.shape
    c = A.shape[1]
    d = diagonal.copy()
    d[nonzero] += np.einsum("ij,ij->i", B, B) / c
    if k == 0:
        return lambda R: (R / d[:, None]).astype(dtype)
    F = XA.astype(dtype)
    F *= np.sqrt(a + np.einsum("ij,ij->i", A, A) / c).astype(dtype)[:, None]
    syrk = get_blas_funcs("syrk", (F,))
    potrf, potrs = get_lapack_funcs(("potrf", "potrs"), (F,))
    if 2 * k < n:
        root = np.sqrt(d).astype(dtype)[:, None]
        F /= root[:, 0]
        L, info = potrf(_add_diagonal(syrk(1.0, F.T, trans=1, lower=1), 1.0), lower=1, clean=0)

        def precondition(R: Floats) -> Floats:
            R = R / root
            return (R - F.T @ potrs(L, F @ R, lower=1)[0]) / root

    else:
        L, info = potrf(_add_diagonal(syrk(1.0, F.T, lower=1), d), lower=1, clean=0)

        def precondition(R: Floats) -> Floats:
            return potrs(L, R, lower=1)[0]

    return precondition if info == 0 else lambda R: np.full_like(R, np.nan)


# Up to so many multiplications OpenBLAS has other kernels with AVX-512: 1204 x 236 times 236 x 5 takes 0.19
# ms at once, 0.10 in two parts. With AVX2 it makes no difference.
_SMALL = 1_000_000


def times(XT: Floats, V: Floats) -> Floats:
    """XT @ V, for V of few columns."""
    step = _SMALL // V.size
    if len(XT) <= step or V.size > _SMALL // 50:
        return XT @ V
    result = np.empty((len(XT), V.shape[1]), XT.dtype)
    for j in range(0, len(XT), step):
        np.matmul(XT[j : j + step], V, out=result[j : j + step])
    return result


def transposed_times(XT: Floats, T: Floats) -> Floats:
    """XT.T @ T, for T of few columns."""
    size = XT.shape[1] * T.shape[1]
    step = _SMALL // size
    if len(XT) <= step or size > _SMALL // 50:
        return XT.T @ T
    result = XT[:step].T @ T[:step]
    for j in range(step, len(XT), step):
        result += XT[j : j + step].T @ T[j : j + step]
    return result


def solve_hessian(
    G: Floats, XA: Floats, a: Floats, A: Floats, diagonal: Floats, nonzero: NDArray[Any], B: Floats
) -> Floats:
    """H⁻¹G, where H is φ's (generalised) Hessian.

    The derivative of S_σ at a row v longer than σ is (1 - s) I + s v vᵀ / ‖v‖², s = σ / ‖v‖: a multiple of I
    plus a rank-one term; at a shorter row it is zero. With the active features' columns x_j, the samples'
    unit vectors 1_i,

        H = P ⊗ I + Σ_j (x_j ⊗ A_j)(x_j ⊗ A_j)ᵀ + Σ_i (1_i ⊗ B_i)(1_i ⊗ B_i)ᵀ,
        P = Σ_j a_j x_j x_jᵀ + diagonal.

    Of three ways, the one with the fewest multiplications: H assembled, nc x nc; Woodbury's identity with the
    rank-one terms, whose Gram matrix in the metric of P ⊗ I is an elementwise product, free of c;
    Woodbury's identity with the active features, kc x kc, where they are few against the samples.
    """
    n, c = G.shape
    assembled, rank_one, features = _multiplications(n, c, len(XA), len(XA) + len(B))
    if features < min(assembled, rank_one):
        return _solve_features(G, XA, a, A, diagonal, nonzero, B)
    P = _quadratic(XA, a, diagonal)
    if assembled < rank_one:
        return _solve_assembled(G, P, XA, A, nonzero, B)
    return _solve_rank_one(G, P, XA, A, nonzero, B)


def _multiplications(n: int, c: int, k: int, m: int) -> tuple[int, int, int]:
    """Count the multiplications of `_solve_assembled`, `_solve_rank_one` and `_solve_features`."""
    assembled = (n * c) ** 2 * k // 2 + (n * c) ** 3 // 6
    rank_one = n**3 // 6 + n * n * (k + m) // 2 + n * m * m // 2 + m**3 // 6 + 20 * m * m
    features = n * k * k * c * (c + 1) // 2 + (k * c) ** 3 // 6
    return assembled, rank_one, 4 * features  # 4: it is the least accurate, where residuals are zero


def _quadratic(XA: Floats, a: Floats, diagonal: Floats) -> Floats:
    """P, lower triangle."""
    P = np.zeros((len(diagonal), len(diagonal)), order="F")
    if len(XA):
        P = blas.dsyrk(1.0, (np.sqrt(a)[:, None] * XA).T, lower=1)
    return _add_diagonal(P, diagonal)


def _add_diagonal(M: Floats, diagonal: Floats | float) -> Floats:
    M[np.diag_indices(len(M))] += diagonal
    return M


def _solve_rank_one(G: Floats, P: Floats, XA: Floats, A: Floats, nonzero: NDArray[Any], B: Floats) -> Floats:
    """With the columns x_j, 1_i in K and A_j, B_i in Z, the inner system is I + (KᵀP⁻¹K) ∘ (ZZᵀ)."""
    k, m = len(XA), len(XA) + len(B)
    L = cholesky(P)
    first = lapack.dpotrs(L, G, lower=1)[0]
    if m == 0:
        return first
    K = np.zeros((m, len(G)))
    K[:k] = XA
    K[np.arange(k, m), nonzero] = 1.0
    Z = np.asfortranarray(np.concatenate([A, B]))
    S = blas.dsyrk(1.0, blas.dtrsm(1.0, L, K.T, lower=1), trans=1, lower=1)
    S *= blas.dsyrk(1.0, Z, lower=1)
    S[np.diag_indices(m)] += 1.0
    weights = lapack.dpotrs(cholesky(S), np.einsum("ij,ij->i", K @ first, Z), lower=1)[0]
    return first - lapack.dpotrs(L, K.T @ (weights[:, None] * Z), lower=1)[0]


def _solve_assembled(G: Floats, P: Floats, XA: Floats, A: Floats, nonzero: NDArray[Any], B: Floats) -> Floats:
    n, c = G.shape
    H = np.zeros((n * c, n * c), order="F")
    if len(XA):
        F = (A[:, :, None] * XA[:, None, :]).reshape(len(XA), c * n)  # class by class
        H = blas.dsyrk(1.0, F.T, lower=1)
    blocks = H.T.reshape(c, n, c, n)  # the transposed view: its upper triangle, row by row
    for k in range(c):
        blocks[k, :, k, :] += P.T
        for l in range(k, c):
            blocks[k, nonzero, l, nonzero] += B[:, k] * B[:, l]
    solution = lapack.dpotrs(cholesky(H), G.T.reshape(-1), lower=1)[0]
    return solution.reshape(c, n).T


def _solve_features(
    G: Floats, XA: Floats, a: Floats, A: Floats, diagonal: Floats, nonzero: NDArray[Any], B: Floats
) -> Floats:
    """H = D + XᵀMX, with D and M block diagonal; the inner system is M⁻¹ + X D⁻¹Xᵀ."""
    k, c = A.shape
    u, V = 1.0 / diagonal, np.zeros_like(G)  # D_i⁻¹ = u_i I - V_i V_iᵀ
    V[nonzero] = B / np.sqrt(diagonal[nonzero] * (diagonal[nonzero] + row_norms(B) ** 2))[:, None]

    def solve_samples(R: Floats) -> Floats:
        return u[:, None] * R - np.einsum("ij,ij->i", V, R)[:, None] * V

    first = solve_samples(G)
    if k == 0:
        return first
    a = np.maximum(a, 1e-15 * row_norms(A) ** 2)
    scaled = A / np.sqrt(a * (a + row_norms(A) ** 2))[:, None]  # M_j⁻¹ = I / a_j - scaled_j scaled_jᵀ
    S = np.empty((c, k, c, k))
    each = np.arange(k)
    for p in range(c):
        for q in range(p + 1):
            weights = (u if p == q else 0.0) - V[:, p] * V[:, q]
            S[p, :, q] = (XA * weights) @ XA.T
            S[p, each, q, each] += (1.0 / a if p == q else 0.0) - scaled[:, p] * scaled[:, q]
    L = cholesky(S.reshape(c * k, c * k))
    inner = lapack.dpotrs(L, (XA @ first).T.reshape(-1), lower=1)[0].reshape(c, k)
    return first - solve_samples(XA.T @ inner.T)


def cholesky(A: Floats) -> Floats:
    """Lower factor; the diagonal is raised until it exists. A stays as it was."""
    ridge = 0.0
    while True:
        M = A.copy(order="F")
        M[np.diag_indices_from(M)] += ridge * np.trace(A) / len(A)
        L, info = lapack.dpotrf(M, lower=1, overwrite_a=1, clean=0)
        if info == 0:
            return L
        if not ridge < 1.0:
            raise np.linalg.LinAlgError("a Newton system has no Cholesky factor")
        ridge = max(1e-15, 10.0 * ridge)
