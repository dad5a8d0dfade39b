"""Python threads that pool at once leave the process with the BLAS threads that it had."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse
from threadpoolctl import ThreadpoolController, threadpool_limits

from rankpool import HierarchicalRankPooling, RankPooling, RankSVM, _blas, rank_svm
from rankpool._blas import one_blas_thread


def blas_threads():
    libraries = ThreadpoolController().select(user_api="blas").info()
    return {library["filepath"]: library["num_threads"] for library in libraries}


def trend(T, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(T, d)) + np.linspace(0, 1, T)[:, None]


@pytest.fixture(autouse=True)
def two_blas_threads():
    """Two, on a machine with one core too: otherwise one left behind would not show."""
    with threadpool_limits(2, user_api="blas"):
        if 2 not in blas_threads().values():  # cvxpy's solvers bring one that has a single thread
            pytest.skip("no BLAS with two threads")
        yield


def test_sequences_of_different_lengths():
    """The shorter starts first and ends first: what it found was what the longer one had set."""
    before = blas_threads()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            jobs = [pool.submit(rank_svm, trend(T, 4), tol=1e-2) for T in (9000, 3100)]
            for job in jobs:
                assert job.result().gap <= 1e-2
            assert blas_threads() == before


def test_many_threads_and_errors():
    clips = [np.cumsum(trend(12, 5, seed), axis=0) for seed in range(6)]

    def bad():
        with pytest.raises(ValueError, match="clip 1: V"):
            RankPooling(n_jobs=2).fit_transform([clips[0], clips[1] * np.nan])

    def interrupted():
        with pytest.raises(ZeroDivisionError), one_blas_thread():
            1 / 0  # noqa: B018

    calls = [
        lambda: rank_svm(trend(600, 3), tol=1e-2),
        lambda: rank_svm(trend(3100, 3), tol=1e-2, loss="squared_hinge"),
        lambda: RankPooling(n_jobs=2).fit_transform(clips),
        lambda: HierarchicalRankPooling(n_jobs=2, window=4).fit_transform(clips),
        lambda: RankSVM(tol=1e-2).fit(trend(3100, 3), np.arange(3100)),
        bad,
        interrupted,
    ]
    before = blas_threads()
    with ThreadPoolExecutor(8) as pool:
        for job in [pool.submit(calls[k % len(calls)]) for k in range(8 * len(calls))]:
            job.result()
    assert blas_threads() == before


def test_certificates_and_scores_have_the_same_bits_at_any_number_of_threads():
    V = np.random.default_rng(0).normal(size=(100, 50_000))
    model, seen = RankSVM(tol=0.5).fit(V, np.arange(100)), set()
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            results = [rank_svm(V[:8], tol=1e-13), rank_svm(scipy.sparse.csr_array(V[:8]))]
            scores = model.decision_function(V).tobytes()
        seen.add((scores, *((result.objective, result.dual_objective) for result in results)))
    assert len(seen) == 1


def test_one_thread_inside_and_nested():
    def inside():  # of the libraries that were there when it was first called: others' tests may load more
        return {library["num_threads"] for library in _blas._libraries.info()}

    before = blas_threads()
    with one_blas_thread():
        assert inside() == {1}
        with one_blas_thread():
            pass
        assert inside() == {1}
    assert blas_threads() == before


def test_threadpoolctl_is_imported_when_it_is_needed():
    code = "import sys, rankpool; rankpool.rank_svm([[0.], [1.]]); print('threadpoolctl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
