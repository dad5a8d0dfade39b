"""Compiled loops of `losses`."""

import numpy as np

from ._compilation import compiled


@compiled
def descend_blocks(XT, grams, curvature, threshold, R, W, sweeps):
    """Sweeps of block coordinate descent for ½‖XW - Y‖² + threshold ‖W‖_{2,1}, row by row, in place.

    XT (d, n) holds the columns of X as rows, R (n, c) is Y - XW and stays so, W is (d, c), curvature (d,) is
    ‖x_j‖². The rows are taken B at a time: grams (d, B) holds ⟨x_j, x_l⟩ for the rows l of j's block. What a
    row's step does to the later ones of its block goes through these, to the rest through R after the block:
    the steps are those of row after row, but R is read and written by BLAS's matrix product, once a block.
    """
    d, n = XT.shape
    c = W.shape[1]
    size = grams.shape[1]
    steps, change = np.empty((size, c)), np.empty((n, c))
    for _ in range(sweeps):
        for first in range(0, d, size):
            m = min(size, d - first)
            columns, S = XT[first : first + m], steps[:m]
            np.dot(columns, R, S)
            any_moved = False
            for j in range(m):
                row, L = first + j, curvature[first + j]
                if L == 0.0:
                    S[j] = 0.0
                    continue
                square = 0.0
                for k in range(c):
                    u = W[row, k] + S[j, k] / L
                    S[j, k] = u
                    square += u * u
                length = np.sqrt(square)
                shrink = 1.0 - threshold / (L * length) if L * length > threshold else 0.0
                moved = 0.0
                for k in range(c):
                    new = shrink * S[j, k]
                    S[j, k] = new - W[row, k]
                    W[row, k] = new
                    moved += S[j, k] * S[j, k]
                if moved == 0.0:
                    continue
                any_moved = True
                for l in range(j + 1, m):
                    g = grams[first + l, j]
                    for k in range(c):
                        S[l, k] -= g * S[j, k]
            if any_moved:
                np.dot(columns.T, S, change)
                for i in range(n):
                    for k in range(c):
                        R[i, k] -= change[i, k]


@compiled
def descend_rows(XT, H, G, W, curvature, sweeps):
    """Sweeps of block coordinate descent for ½ Σ H_ik (XW - T)_ik² + ‖W‖_{2,1}, row by row, in place.

    XT (d, n) holds the columns of X as rows, G (n, c) is H ∘ (T - XW) and stays so, W is (d, c), curvature
    (d,) is max_k Σ_i H_ik X_ij².
    """
    d, n = XT.shape
    c = W.shape[1]
    u = np.empty(c)
    for _ in range(sweeps):
        for j in range(d):
            L = curvature[j]
            if L == 0.0:
                continue
            u[:] = 0.0
            for i in range(n):
                x = XT[j, i]
                for k in range(c):
                    u[k] += x * G[i, k]
            square = 0.0
            for k in range(c):
                u[k] = W[j, k] + u[k] / L
                square += u[k] * u[k]
            length = np.sqrt(square)
            shrink = 1.0 - 1.0 / (L * length) if L * length > 1.0 else 0.0
            moved = 0.0
            for k in range(c):
                new = shrink * u[k]
                u[k] = new - W[j, k]
                W[j, k] = new
                moved += u[k] * u[k]
            if moved == 0.0:
                continue
            for i in range(n):
                x = XT[j, i]
                for k in range(c):
                    G[i, k] -= H[i, k] * x * u[k]
