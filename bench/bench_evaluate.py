"""The paper's experiment on stored features, beside scikit-learn's plain Pipeline and cross_val_predict.

    pytest bench/bench_evaluate.py --benchmark-only

246 simulated clips of 26 drawn faces in CASME II's layout: leave one subject out with and without
selection, and Fig. 4, 5 block grids x 8 values of N x 26 folds. The simulation and the features are made
first, outside the timings. One round each: the runs are long.
"""

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

import microexpr
from microexpr.experiment import Settings, evaluate

GRIDS = Settings().sweep_blocks
LOSO: list = []


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Every grid's features of the simulation, and its table; the worker processes are started already."""
    Parallel(n_jobs=-1)(delayed(microexpr.make_classifier)() for _ in range(16))
    root = microexpr.simulate(tmp_path_factory.mktemp("bench") / "data")
    return microexpr.extract(microexpr.read_casme2(root), blocks=GRIDS)


def run(benchmark, clips, settings):
    return benchmark.pedantic(
        lambda: evaluate(clips.features, clips.table, settings, progress=False), rounds=1
    )


@pytest.mark.benchmark(group="LOSO with and without selection, 246 x 16384")
def test_loso(benchmark, clips):
    done = run(benchmark, clips, Settings(sweep=False, nested=False))
    LOSO.extend(done.rows)
    print(f"\nLOSO: {benchmark.stats.stats.median:.1f} s\n{done}")


@pytest.mark.benchmark(group="LOSO with and without selection, 246 x 16384")
def test_loso_of_scikit_learn(benchmark, clips):
    X, table = clips.features[8, 8], clips.table
    y, groups = table["emotion"].to_numpy(dtype=str), table["subject"].to_numpy(dtype=str)

    def both():
        return [
            cross_val_predict(
                microexpr.make_classifier(n), X, y, groups=groups, cv=LeaveOneGroupOut(), n_jobs=-1
            )
            for n in ("all", 450)
        ]

    guesses = benchmark.pedantic(both, rounds=1)
    print(f"\nPipeline and cross_val_predict: {benchmark.stats.stats.median:.1f} s")
    for row, expected in zip(LOSO, guesses, strict=False):  # if both were run
        np.testing.assert_array_equal(row.scores.predicted, expected)


@pytest.mark.benchmark(group="Fig. 4: 5 block grids x 8 N x 26 folds")
def test_fig_4(benchmark, clips):
    done = run(benchmark, clips, Settings(nested=False))
    assert len(done.sweep) == 40
    print(f"\nFig. 4: {benchmark.stats.stats.median:.1f} s\n{done}")


@pytest.mark.benchmark(group="everything: Fig. 4, and C and N chosen inside the training folds")
def test_everything(benchmark, clips):
    run(benchmark, clips, Settings())
    print(f"\neverything: {benchmark.stats.stats.median:.1f} s")
