"""l21: the Newton solver beside Nie et al.'s iteration, in one run.

    pytest bench/bench_l21.py --benchmark-only

Newton solves to a relative duality gap of 1e-6. Nie et al.'s algorithm (`solver="irls"`, its n x n form, the
same BLAS) is asked for 1e-3 only, and stopped after 20 s. The gap each reached, its steps and W's non-zero
rows are in the table's JSON (`--benchmark-json`) as extra_info, and are printed with -s.
"""

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from sklearn.exceptions import ConvergenceWarning

import l21

DATA = Path(__file__).parents[2] / "shared" / "data" / "selection"
REAL = ["colon", "ALLAML", "GLIOMA", "Prostate-GE", "warpPIE10P"]
FACTORS = [0.1, 1.0, 10.0, 100.0]


@cache
def problem(name):
    """Return standardised X and one-hot Y."""
    if name == "synthetic":
        X, labels = synthetic()
    else:
        mat = scipy.io.loadmat(DATA / f"{name}.mat")
        X, labels = mat["X"].astype(np.float64), mat["Y"].ravel()
    scale = X.std(axis=0)
    return np.ascontiguousarray((X - X.mean(axis=0)) / np.where(scale > 0, scale, 1.0)), l21.one_hot(labels)[
        0
    ]


def synthetic(n=246, d=16384):
    """Return data of CASME II's size: five classes in its proportions, correlated features.

    Sixty factors with a falling spectrum, noise, and 200 features whose mean depends on the class.
    """
    rng = np.random.default_rng(0)
    labels = rng.choice(5, size=n, p=np.array([32, 25, 64, 27, 99]) / 247)
    factors = rng.standard_normal((n, 60)) / np.sqrt(np.arange(1, 61))
    loadings = rng.standard_normal((60, d)) * (rng.random((60, d)) < 0.3)
    X = factors @ loadings + 0.7 * rng.standard_normal((n, d))
    X[:, rng.choice(d, 200, replace=False)] += 0.8 * rng.standard_normal((5, 200))[labels]
    return X, labels


def run(benchmark, name, gamma, rounds, **options):
    X, Y = problem(name)
    benchmark.group = f"{name} {X.shape[0]} x {X.shape[1]}, c={Y.shape[1]}, gamma={gamma}"
    value = 1.0 if gamma == "1" else float(gamma.removesuffix(" x critical")) * l21.critical_gamma(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = benchmark.pedantic(
            lambda: l21.solve(X, Y, value, **options), rounds=rounds, warmup_rounds=rounds > 1
        )
    benchmark.extra_info.update(
        gap=result.gap, n_iter=result.n_iter, rows=int(np.count_nonzero(result.W.any(axis=1)))
    )
    print(
        f"\n{benchmark.group}: {options['solver']} {benchmark.stats.stats.median:.3f} s, "
        f"gap {result.gap:.1e}, {result.n_iter} steps, {benchmark.extra_info['rows']} non-zero rows"
    )
    return result


GAMMAS = [f"{factor:g} x critical" for factor in FACTORS] + ["1"]


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("name", [*REAL, "synthetic"])
def test_newton(benchmark, name, gamma):
    assert run(benchmark, name, gamma, rounds=3, solver="newton").gap <= 1e-6


@pytest.mark.parametrize("gamma", ["10 x critical", "100 x critical", "1"])
@pytest.mark.parametrize("name", [*REAL, "synthetic"])
def test_irls(benchmark, name, gamma):
    run(benchmark, name, gamma, rounds=1, solver="irls", tol=1e-3, time_limit=20.0)
