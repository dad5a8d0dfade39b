"""Figures. Drawn on a matplotlib Axes, which is returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_residuals(
    residuals: ArrayLike,
    ax: Axes | None = None,
    *,
    marked: ArrayLike | None = None,
    names: ArrayLike | None = None,
    zero: float = 1e-3,
) -> Axes:
    r"""Show what the robust loss does: the residuals ‖(XW - Y)_i‖, sorted, the largest last.

    The ℓ2,1 loss counts a sample by its distance: it lets a few be far off, as mislabelled ones are, and can
    meet others exactly. Needs matplotlib.

    Parameters
    ----------
    residuals : array (n,)
        `L21Selector.residuals_`. NaN (samples of weight 0) is left out.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure.
    marked : array (n,) of bool, or of indices, optional
        Samples to mark, such as `outliers_[:10]`, or those known to be mislabelled.
    names : array (n,), optional
        Written beside the marked samples.
    zero : float, default 1e-3
        Residuals up to here are drawn as zero. A one-hot row has length 1.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If `residuals` is not (n,), or `marked` or `names` doesn't fit it.
    ModuleNotFoundError
        Without matplotlib.

    Examples
    --------
    500 of scikit-learn's digits, 50 of their labels wrong; of the 50 largest residuals, 44 are such:

    >>> import numpy as np, l21
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y = StandardScaler().fit_transform(X[:500]), y[:500]
    >>> flipped = np.random.default_rng(0).choice(500, 50, replace=False)
    >>> y[flipped] = (y[flipped] + 1) % 10
    >>> selector = l21.L21Selector(gamma=("critical", 30.0)).fit(X, y)
    >>> int(np.isin(selector.outliers_[:50], flipped).sum())
    44
    >>> ax = l21.plot_residuals(selector.residuals_, marked=flipped)
    >>> ax.get_ylabel()
    'residual $\\|(XW - Y)_i\\|$'
    """
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("plot_residuals needs matplotlib; install microexpr[plot]") from error

    residuals = np.asarray(residuals, dtype=np.float64)
    if residuals.ndim != 1 or not np.isfinite(residuals).any():
        raise ValueError(f"residuals have shape {residuals.shape}; they need to be (n,), one a sample")
    is_marked = np.zeros(len(residuals), dtype=bool)
    if marked is not None:
        marked = np.asarray(marked)
        if marked.dtype == bool and marked.shape != residuals.shape:
            raise ValueError(f"marked has shape {marked.shape}, residuals {residuals.shape}")
        is_marked[marked] = True
    if names is not None and len(np.asarray(names)) != len(residuals):
        raise ValueError(f"{len(np.asarray(names))} names for {len(residuals)} residuals")

    order = np.argsort(residuals, kind="stable")[: np.count_nonzero(np.isfinite(residuals))]
    values, is_marked, rank = residuals[order], is_marked[order], np.arange(1, len(order) + 1)
    is_zero = values <= zero
    if ax is None:
        ax = plt.subplots()[1]
    for shown, color, face, label in (
        (~is_marked & ~is_zero, "#0072b2", "#0072b2", "samples"),
        (~is_marked & is_zero, "#0072b2", "none", "zero residual"),
        (is_marked, "#d55e00", "#d55e00", "marked"),
    ):
        if shown.any():
            ax.scatter(
                rank[shown],
                np.where(is_zero, 0.0, values)[shown],
                s=14,
                edgecolors=color,
                facecolors=face,
                label=f"{label} ({np.count_nonzero(shown)})",
            )
    if names is not None:
        names = np.asarray(names)[order]
        for i in np.flatnonzero(is_marked):
            ax.annotate(
                str(names[i]),
                (float(rank[i]), float(values[i])),
                xytext=(-4, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize="x-small",
            )
    ax.set_xlabel(f"sample, by residual (of {len(order)})")
    ax.set_ylabel(r"residual $\|(XW - Y)_i\|$")
    ax.set_ylim(bottom=-0.03 * max(float(values[-1]), zero))
    ax.legend(loc="upper left", frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
