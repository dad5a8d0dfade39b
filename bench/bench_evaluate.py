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
from sklearn.svm import SVC

import microexpr
from microexpr.experiment import Settings, evaluate
from microexpr.experiment.folds import _standardised, _svm_predictions

TITLE = "the experiment on 246 simulated clips"
GRIDS = Settings().sweep_blocks
LOSO: list = []


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Every grid's features of the simulation, and its table; workers are started, kernels are compiled."""
    Parallel(n_jobs=-1)(delayed(microexpr.make_classifier)() for _ in range(16))
    root = microexpr.simulate(tmp_path_factory.mktemp("bench") / "data")
    clips = microexpr.extract(microexpr.read_casme2(root), blocks=GRIDS)
    few = clips.table["subject"].isin(clips.table["subject"].unique()[:4]).to_numpy()
    small = {GRIDS[0]: clips.features[GRIDS[0]][few]}
    # Compiles: without it the first row took 7.1 s in a new clone, with it 4.8 s.
    evaluate(small, clips.table[few], Settings(blocks=GRIDS[0], sweep=False, nested=False), progress=False)
    return clips


def run(benchmark, clips, settings):
    return benchmark.pedantic(
        lambda: evaluate(clips.features, clips.table, settings, progress=False), rounds=1
    )


@pytest.mark.benchmark(group="LOSO with and without selection, 246 x 16384")
def test_loso(benchmark, lines, clips):
    done = run(benchmark, clips, Settings(sweep=False, nested=False))
    LOSO.extend(done.rows)
    lines.append(f"LOSO: {benchmark.stats.stats.median:.1f} s\n{done}")


@pytest.mark.benchmark(group="LOSO with and without selection, 246 x 16384")
def test_loso_of_scikit_learn(benchmark, lines, clips):
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
    lines.append(f"Pipeline and cross_val_predict: {benchmark.stats.stats.median:.1f} s")
    for row, expected in zip(LOSO, guesses, strict=False):  # if both were run
        np.testing.assert_array_equal(row.scores.predicted, expected)


@pytest.mark.benchmark(group="Fig. 4: 5 block grids x 8 N x 26 folds")
def test_fig_4(benchmark, lines, clips):
    done = run(benchmark, clips, Settings(nested=False))
    assert len(done.sweep) == 40
    lines.append(f"Fig. 4: {benchmark.stats.stats.median:.1f} s\n{done}")


@pytest.mark.benchmark(group="one fold's 63 SVMs: 9 N x 7 C")
@pytest.mark.parametrize("whose", ["ours", "scikit-learn's"])
def test_svms(benchmark, clips, whose):
    """The Gram matrices of one fold for every C: fitted while C matters, or every one by scikit-learn."""
    X, y = clips.features[8, 8], np.unique(clips.table["emotion"], return_inverse=True)[1]
    test = (clips.table["subject"] == clips.table["subject"].iloc[0]).to_numpy()
    Z, Z_test = _standardised(X, np.flatnonzero(~test), np.flatnonzero(test))
    settings = Settings()
    grams = [
        (Z[:, :n] @ Z[:, :n].T, Z_test[:, :n] @ Z[:, :n].T) for n in (*settings.sweep_n_features, Z.shape[1])
    ]

    def each_C(gram, gram_test):
        fits = [SVC(C=C, kernel="precomputed").fit(gram, y[~test]) for C in settings.C_grid]
        return [svm.predict(gram_test) for svm in fits]

    def ours(gram, gram_test):
        return _svm_predictions(gram, gram_test, y[~test], list(settings.C_grid), None)

    fit = ours if whose == "ours" else each_C
    found = benchmark.pedantic(lambda: [fit(*pair) for pair in grams], rounds=5, warmup_rounds=1)
    np.testing.assert_array_equal(found, [each_C(*pair) for pair in grams])


@pytest.mark.benchmark(group="everything: Fig. 4, and C and N chosen inside the training folds")
def test_everything(benchmark, lines, clips):
    run(benchmark, clips, Settings())
    lines.append(f"everything: {benchmark.stats.stats.median:.1f} s")
