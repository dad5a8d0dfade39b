"""What `rank_svm` returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ._frames import Floats, PairOrder, count_pairs, first_pairs

Loss = Literal["hinge", "squared_hinge"]


@dataclass(frozen=True, eq=False, repr=False)
class RankSVMResult:
    """The optimum of :func:`rank_svm` and its certificate.

    Anyone can check the certificate: `objective` follows from `u` alone, `dual_objective` from `dual` alone,
    and the optimum lies between them whatever the solver did. After all but ``"newton"`` the gap is never
    above 1: u = 0 or α = 0 are returned where the solver found no better. Above 10^8 pairs both objectives
    are moved apart by a bound on the rounding of their sums.

    Attributes
    ----------
    u : ndarray of shape (d,)
        The weights; float64. The scores ``V @ u`` rise with time.
    objective : float
        The primal objective at `u`.
    dual_objective : float
        The dual objective at `dual`.
    gap : float
        ``(objective - dual_objective) / |objective|``; 0 where both are 0. NaN or infinity where an objective
        is beyond float64, never 0.
    n_iter : int
        Iterations of the solver; 0 where a closed form holds.
    method : str
        ``"chain"`` or ``"saturated"`` (closed forms), ``"augmented-lagrangian"``, or ``"newton"`` (long
        sequences).
    beta : ndarray of shape (T,)
        u = Vᵀβ; β sums to zero. After ``"newton"`` β = Aᵀα, the net weight of each frame's pairs, and
        ½ ‖u - Vᵀβ‖² is part of the gap.
    dual : ndarray of shape (n_pairs,), or None
        The dual variable α of each row of `pairs`. None after ``"newton"``, which does not hold the pairs:
        with a pair's margin m = u·(v_j - v_i), α is C clip((1 - m)/delta, 0, 1) for the hinge and
        2C max(0, 1 - m) for the squared hinge; the dual objective is Σα - ½ ‖Vᵀβ‖², less Σα²/(4C) for the
        squared hinge.
    delta : float or None
        The δ above; None elsewhere.
    n_pairs : int
        Number of pairs.
    pairs : ndarray of shape (n_pairs, 2)
        Frame indices (i, j) of each pair, frame i earlier than frame j, made when asked for: 16 bytes a pair.
    """

    u: Floats
    objective: float
    dual_objective: float
    gap: float
    n_iter: int
    method: str
    beta: Floats
    dual: Floats | None
    delta: float | None
    _pairs: PairOrder

    def __repr__(self) -> str:
        """Say the certificate and not the arrays."""
        return (
            f"RankSVMResult(u of length {len(self.u)}, objective {self.objective:.6g}, gap {self.gap:.1e}, "
            f"{self.method}, {self.n_iter} iterations, {self.n_pairs} pairs)"
        )

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return count_pairs(self._pairs)

    @property
    def pairs(self) -> NDArray[np.intp]:
        """Frame indices (i, j) of each pair, shape (n_pairs, 2), frame i earlier than frame j."""
        order, _, later, end, _ = self._pairs
        i = np.repeat(np.arange(len(later)), end - later)
        j = np.arange(len(i)) - first_pairs(self._pairs)[i] + later[i]
        return np.column_stack([order[i], order[j]])


def relative_gap(primal: float, dual: float) -> float:
    """Return (primal - dual) / |primal|: 0 where both are 0, NaN or infinity where one is beyond float64."""
    if primal == dual == 0.0:
        return 0.0
    gap = (primal - dual) / abs(primal) if primal else math.inf
    return gap if not gap < 0.0 else 0.0  # below zero by rounding; NaN stays
