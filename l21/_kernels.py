"""Compiled loops of `losses`."""

import numpy as np

from ._compilation import compiled


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
