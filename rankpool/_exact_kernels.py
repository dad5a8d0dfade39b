"""Numba kernels: the certificate in about twice the precision of float64, where that decides.

A number is a pair of floats whose sum it is. `_sum` and `_product` return the rounded result and its error,
exactly: T. Ogita, S. M. Rump, S. Oishi, "Accurate sum and dot product", SIAM J. Sci. Comput. 2005. So nothing
here may be reassociated.
"""

import numpy as np
from numba import njit

from ._compilation import exact


@exact
def exact_dot(row, first, u):
    """Return u^T (row - first)."""
    total, low = 0.0, 0.0
    for k in range(u.size):
        x, x_low = _sum(np.float64(row[k]), -np.float64(first[k]))
        p, p_low = _product(u[k], x)
        total, error = _sum(total, p)
        low += (error + p_low) + u[k] * x_low
    return _sum(total, low)


@exact
def exact_add(row, first, b, b_low, w, w_low):
    """Add b (row - first) to w."""
    for k in range(w.size):
        x, x_low = _sum(np.float64(row[k]), -np.float64(first[k]))
        p, p_low = _product(b, x)
        w[k], error = _sum(w[k], p)
        w_low[k] += (error + p_low) + (b * x_low + b_low * x)


@exact
def exact_hinges(f, f_low, later, end, power):
    """Sum of max(0, 1 - (f_j - f_i))^power over the pairs, power 1 or 2."""
    total, low = 0.0, 0.0
    for i in range(f.size):
        for j in range(later[i], end[i]):
            h = _hinge(f, f_low, i, j)
            if h > 0.0:
                total, error = _sum(total, h if power == 1 else h * h)
                low += error
    return total + low


@exact
def exact_pair_sums(alpha, later, end, beta, beta_low):
    """Write beta = A^T alpha; returns the sums of alpha and of alpha^2."""
    beta[:] = 0.0
    beta_low[:] = 0.0
    total, low, square, square_low = 0.0, 0.0, 0.0, 0.0
    p = 0
    for i in range(beta.size):
        for j in range(later[i], end[i]):
            a = alpha[p]
            beta[j], error = _sum(beta[j], a)
            beta_low[j] += error
            beta[i], error = _sum(beta[i], -a)
            beta_low[i] += error
            total, error = _sum(total, a)
            low += error
            square, error = _sum(square, a * a)
            square_low += error
            p += 1
    return total + low, square + square_low


@exact
def exact_clipped_sums(f, f_low, later, end, slope, bound, beta, beta_low):
    """As `exact_pair_sums`, of alpha = clip(slope (1 - m), 0, bound)."""
    beta[:] = 0.0
    beta_low[:] = 0.0
    total, low, square, square_low = 0.0, 0.0, 0.0, 0.0
    for i in range(beta.size):
        for j in range(later[i], end[i]):
            a = min(max(0.0, slope * _hinge(f, f_low, i, j)), bound)
            beta[j], error = _sum(beta[j], a)
            beta_low[j] += error
            beta[i], error = _sum(beta[i], -a)
            beta_low[i] += error
            total, error = _sum(total, a)
            low += error
            square, error = _sum(square, a * a)
            square_low += error
    return total + low, square + square_low


@njit(inline="always")
def _hinge(f, f_low, i, j):
    """Return 1 - (f_j - f_i), rounded once or so."""
    m, m_low = _sum(f[j], -f[i])
    h, h_low = _sum(1.0, -m)
    return h + (h_low - (m_low + (f_low[j] - f_low[i])))


@njit(inline="always")
def _sum(a, b):
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@njit(inline="always")
def _product(a, b):
    p = a * b
    a_high = 134217729.0 * a  # 2^27 + 1: halves of 26 bits, whose products are exact
    a_high -= a_high - a
    b_high = 134217729.0 * b
    b_high -= b_high - b
    a_low, b_low = a - a_high, b - b_high
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low
