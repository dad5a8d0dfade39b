"""Kernels of rankpool against their NumPy twins."""

import numpy as np
import pytest

from rankpool import _dense_kernels, _kernels, _lagrangian_kernels


def random_state(T=9, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    later = np.array([2, 2, 3, 6, 6, 6, 8, 8, 9]) if ties else np.arange(1, T + 1)
    end = np.array([6] * 6 + [9] * 3) if ties else np.full(T, T)  # two groups
    i, j = np.nonzero((np.arange(T) >= later[:, None]) & (np.arange(T) < end[:, None]))
    A = np.zeros((len(i), T))
    A[np.arange(len(i)), i], A[np.arange(len(i)), j] = -1, 1
    C = 2.0
    return rng, later, end, A, C, rng.uniform(0.1, 1.9, len(i))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_frame_kernels(dtype):
    rng = np.random.default_rng(0)
    V = (rng.normal(size=(7, 3001)) * 10).astype(dtype)
    D = V.astype(np.float64) - V[0].astype(np.float64)
    beta, u, f = rng.normal(size=7), np.empty(3001), np.empty(7)
    _kernels.combine(V, beta, u)
    np.testing.assert_allclose(u, beta @ D, rtol=1e-12, atol=1e-12)
    _kernels.relative_scores(V, u, f)
    np.testing.assert_allclose(f, D @ u, rtol=1e-12)
    for T in (2, 3, 4, 5, 7):  # four frames at a time
        squares = _kernels.weigh(V[:T], beta[:T], 2 * beta[:T], u, f[:T])
        np.testing.assert_allclose(u, beta[:T] @ D[:T], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(f[:T], D[:T] @ u, rtol=1e-12)
        np.testing.assert_allclose(squares, (u @ u, 4 * u @ u), rtol=1e-12)
    panel = np.empty((7, 100))
    _kernels.relative_panel(V, 500, 100, panel)
    np.testing.assert_array_equal(panel, D[:, 500:600])
    assert _kernels.whole_panel(V, 500, 100, 1.0, panel) == (dtype is np.int32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_whole_frames_in_float32(dtype):
    V = np.random.default_rng(0).integers(0, 50, (6, 300)).astype(dtype)
    panel, offset = np.empty((6, 300), np.float32), V - V[0]
    for unit in (1.0, 4.0, 4096.0):
        assert _kernels.whole_unit(V[0] / dtype(unit)) == unit
        assert _kernels.whole_panel(V / dtype(unit), 0, 300, dtype(unit), panel)
        np.testing.assert_array_equal(panel, offset)
    assert _kernels.whole_unit(V[0] / 3) == 0
    assert _kernels.whole_unit(V[0] / 8192) == 0
    for t, k, change in ((3, 7, 4096), (0, 5, 2.0**-20)):  # its square is 2^24; a difference rounded to whole
        damaged = V.copy()
        damaged[t, k] = damaged[t, k] * (t > 0) + change
        assert not _kernels.whole_panel(damaged, 0, 300, dtype(1), panel)


@pytest.mark.parametrize("ties", [False, True])
def test_pair_sums_and_hinges(ties):
    rng, later, end, A, _, alpha = random_state(ties=ties)
    beta = np.empty(9)
    sums = _kernels.pair_sums(alpha, later, end, beta)
    np.testing.assert_allclose(sums, (alpha.sum(), alpha @ alpha), rtol=1e-13)
    np.testing.assert_allclose(beta, A.T @ alpha, atol=1e-14)
    f = rng.normal(size=9)
    m = A @ f
    for power in (1, 2):
        expected = (np.maximum(0, 1 - m) ** power).sum()
        assert _kernels.hinge_sum(f, later, end, power) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("delta", [2.0, 0.05])
def test_multipliers(delta, ties, power):
    rng, later, end, A, C, base = random_state(ties=ties)
    q, bound = (0.0, C) if power == 1 else (0.25 / C, np.inf)
    f, beta, out = rng.normal(size=9), np.empty(9), np.empty(len(A))
    sums = _lagrangian_kernels.multipliers(f, base, later, end, delta, q, bound, power, out, beta)
    h = 1 - A @ f
    expected = np.clip((h + delta * base) / (delta + q), 0, bound)
    np.testing.assert_allclose(out, expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(beta, A.T @ expected, atol=1e-9)
    loss, moved = (np.maximum(h, 0) ** power).sum(), ((expected - base) ** 2).sum()
    inside = ((expected > 0) & (expected < bound)).sum()
    np.testing.assert_allclose(sums, (expected.sum(), expected @ expected, loss, moved, inside), rtol=1e-11)
    assert inside if delta == 2.0 or power == 2 else {0.0, C} <= set(out)


def test_multipliers_ignore_what_rounding_leaves_of_a_margin():
    f, base, out, beta = 1e6 * np.arange(3.0), np.zeros(3), np.empty(3), np.empty(3)
    f[1] = 1.0 - 1e-10
    later, end = np.arange(1, 4), np.full(3, 3)
    assert _lagrangian_kernels.multipliers(f, base, later, end, 1.0, 0.0, 1.0, 1, out, beta)[2] == 0
    assert out[0] == pytest.approx(1e-10)  # the multiplier is as it is


@pytest.mark.parametrize("bound", [2.0, np.inf])
@pytest.mark.parametrize("ties", [False, True])
def test_window_kernels(ties, bound):
    rng, later, end, A, _, alpha = random_state(ties=ties)
    alpha = np.clip(rng.normal(size=len(alpha)) * 2, 0, 2)
    inside = (alpha > 0) & (alpha < bound)
    L = np.full((9, 9), np.nan)
    _lagrangian_kernels.window_laplacian_of_pairs(alpha, later, end, bound, L)
    np.testing.assert_array_equal(L, A[inside].T @ A[inside])
    x, out = rng.normal(size=9), np.empty(9)
    _lagrangian_kernels.window_product(alpha, later, end, bound, x, out)
    np.testing.assert_allclose(out, L @ x, atol=1e-13)
    i, j = np.empty((2, inside.sum()), np.intp)
    _lagrangian_kernels.list_window(alpha, later, end, bound, i, j)
    np.testing.assert_array_equal(np.eye(9)[j] - np.eye(9)[i], A[inside])
    B = rng.normal(size=(9, 4))
    M = np.full((_dense_kernels.padded(len(i)),) * 2, np.nan)
    _kernels.pair_matrix(B @ B.T, i, j, 0.3, M)
    lower = np.tril(np.ones((len(i), len(i)), bool))
    D = A[inside] @ B
    np.testing.assert_allclose(
        M[: len(i), : len(i)][lower], (D @ D.T + 0.3 * np.eye(len(i)))[lower], atol=1e-12
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.15, 0.6])  # by pairs, by a list, by the whole Laplacian
@pytest.mark.parametrize("in_frames", [False, True])
def test_direction_solves_the_newton_equation(share, ties, in_frames):
    rng = np.random.default_rng(0)
    T, rank, C, ridge = 50, 49 if in_frames else 30, 2.0, 0.3 if in_frames else 1e-2
    later, end = np.arange(1, T + 1), np.full(T, T)
    if ties:
        later, end = np.minimum(2 * (np.arange(T) // 2) + 2, 30), np.full(T, 30)
        later[30:], end[30:] = np.arange(31, T + 1), T
    n = (end - later).sum()
    alpha = np.where(rng.random(n) < share, 1.0, C * rng.integers(0, 2, n))
    inside = int((alpha == 1.0).sum())
    R = np.zeros((_dense_kernels.padded(rank), _dense_kernels.padded(T)))
    R[:rank, :T] = rng.normal(size=(rank, T))
    Rt, pivots, known = R[:rank, :T], np.arange(rank), np.empty((2, 0, 0))
    if in_frames:  # one frame at the origin, the others independent
        pivots = rng.permutation(T)[:rank]
        Rt[:] = 0.0
        Rt[:, pivots] = np.triu(0.2 * rng.normal(size=(rank, rank)) / np.sqrt(rank)) + np.eye(rank)
        known = np.ascontiguousarray(Rt[:, pivots].T), np.linalg.inv(Rt[:, pivots].T @ Rt[:, pivots])
    problem = _lagrangian_kernels.Problem(Rt.T @ Rt, R, rank, later, end, C, False, pivots, *known)
    workspace = _lagrangian_kernels.Workspace(
        np.zeros((R.shape[1],) * 2), np.zeros_like(R), np.zeros((len(R),) * 2)
    )
    p, residual = np.zeros((2, len(R)))
    residual[:rank] = rng.normal(size=rank)
    D = np.zeros((T, T))
    _lagrangian_kernels.window_laplacian_of_pairs(alpha, later, end, C, D)
    curvature = np.eye(rank) + Rt @ D @ Rt.T / ridge

    def direction(residual, kept):
        return _lagrangian_kernels.direction(problem, alpha, C, ridge, inside, residual, kept, workspace, p)

    slope, kept = direction(residual, _lagrangian_kernels.NOTHING)
    np.testing.assert_allclose(curvature @ p[:rank], -residual[:rank], atol=1e-9)
    assert slope == pytest.approx(p @ residual)
    new = _lagrangian_kernels.IN_FRAMES if in_frames else _lagrangian_kernels.ITSELF
    assert kept == (new if inside > rank else _lagrangian_kernels.NOTHING)
    assert (inside > rank) == (share > 0.02)
    if kept:  # conjugate gradients with the factor of another window; or that of this one, which is exact
        residual[:rank] = rng.normal(size=rank)
        assert direction(residual, kept) == (pytest.approx(p @ residual), kept)
        np.testing.assert_allclose(curvature @ p[:rank], -residual[:rank], atol=1e-9)
        some = np.flatnonzero(alpha == 1.0)[::5]
        alpha[some] = C
        inside -= len(some)
        _lagrangian_kernels.window_laplacian_of_pairs(alpha, later, end, C, D)
        curvature = np.eye(rank) + Rt @ D @ Rt.T / ridge
        assert direction(residual, kept)[1] == kept
        error = curvature @ p[:rank] + residual[:rank]
        exact = np.linalg.solve(curvature, -residual[:rank])
        assert 0 < error @ np.linalg.solve(curvature, error) < 0.05 * (exact @ curvature @ exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "others", "d"), [(4, 5, 1), (8, 68, 37), (71, 12, 600), (130, 72, 64)])
def test_products(rows, others, d, dtype):
    rng = np.random.default_rng(rows)
    spare, other_spare = _dense_kernels.padded(rows), _dense_kernels.padded(others)
    P, Q = rng.integers(-9, 9, (spare, d)).astype(dtype), rng.integers(-9, 9, (other_spare, d)).astype(dtype)
    K = np.ones((spare, other_spare))
    _dense_kernels.add_products(P, rows, Q, others, d, False, K)
    P, Q = P[:rows], Q[:others]
    np.testing.assert_array_equal(K[:rows, :others], 1 + P @ Q.T)
    K = np.ones((spare, spare))
    _dense_kernels.add_products(np.vstack([P, P])[:spare], rows, np.vstack([P, P])[:spare], rows, d, True, K)
    K = np.ascontiguousarray(K[:rows, :rows])
    _dense_kernels.mirror(K)
    np.testing.assert_array_equal(K, 1 + P @ P.T)
    x, y = rng.normal(size=d), rng.normal(size=rows)
    out, out_transposed = np.empty(rows), np.empty(d)
    _dense_kernels.row_products(P.astype(np.float64), x, out)
    _dense_kernels.row_sum(P.astype(np.float64), y, out_transposed)
    np.testing.assert_allclose(out, P @ x, atol=1e-12)
    np.testing.assert_allclose(out_transposed, P.T @ y, atol=1e-12)


def test_symmetric_product():
    rng = np.random.default_rng(0)
    S, x, out = rng.normal(size=(9, 9)), rng.normal(size=7), np.empty(7)
    _dense_kernels.symmetric_product(S, x, out)
    lower = np.tril(S[:7, :7])
    np.testing.assert_allclose(out, (lower + lower.T - np.diag(np.diag(lower))) @ x, atol=1e-13)


@pytest.mark.parametrize("n", [1, 4, 7, 12, 13, 76, 600])
def test_cholesky_and_solves(n):
    rng = np.random.default_rng(n)
    B = rng.normal(size=(n, n))
    M = B @ B.T + np.eye(n)
    # what is beside the lower triangle does not matter
    factor = np.full((_dense_kernels.padded(n),) * 2, np.nan)
    factor[:n, :n] = np.where(np.tri(n, dtype=bool), M, np.nan)
    assert _dense_kernels.cholesky(factor, n)
    L = np.tril(factor[:n, :n])
    np.testing.assert_allclose(L, np.linalg.cholesky(M), rtol=1e-8, atol=1e-10)
    x = rng.normal(size=n)
    solved = x.copy()
    _dense_kernels.solve_lower(factor, solved)
    np.testing.assert_allclose(L @ solved, x, rtol=1e-9, atol=1e-10)
    _dense_kernels.solve_lower_transposed(factor, solved)
    np.testing.assert_allclose(M @ solved, x, rtol=1e-8, atol=1e-8)
    factor[:n, :n] = M
    factor[n - 1, n - 1] = L[n - 1, : n - 1] @ L[n - 1, : n - 1] - 1e-6
    assert not _dense_kernels.cholesky(factor, n)


@pytest.mark.parametrize("rank", [0, 1, 5, 12])
def test_pivoted_cholesky(rank):
    B = np.random.default_rng(rank).normal(size=(12, rank))
    K = B @ B.T
    R, pivots = np.zeros((12, 12)), np.zeros(12, np.intp)
    assert _dense_kernels.pivoted_cholesky(K, R, pivots) == rank
    np.testing.assert_allclose(R[:rank].T @ R[:rank], K, atol=1e-12)
    square = R[:rank, pivots[:rank]]
    np.testing.assert_array_equal(square, np.triu(square))
