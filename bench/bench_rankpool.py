"""Rank pooling beside what its users have: LIBLINEAR on all pair differences, and the SVR on frame indices.

    pytest bench/bench_rankpool.py --benchmark-only

The clip is made from scikit-image's astronaut: her face, cropped, whose mouth rises and falls.

`extra_info` (in --benchmark-json) holds each solution's objective and gap. LinearSVC runs once per problem,
and not at all above 68 frames: its pair differences would take 4 GB at T=500, d=4096 and 16 GB at T=2000,
d=1024.
"""

import time
import warnings
from functools import partial
from threading import Thread

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from skimage.data import astronaut
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.svm import LinearSVC, LinearSVR
from threadpoolctl import threadpool_limits

import ltogp
from rankpool import RankPooling, _kernels, held_out_scores, rank_pool, rank_svm
from rankpool._frames import gram


def clip(T, seed=0):
    """T frames of LTOGP block histograms: a face whose mouth region rises and falls, with noise."""
    image = astronaut()[48:176, 160:288, 1].astype(np.float64)
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:128, :128].astype(np.float64)
    bump = np.exp(-((x - 64) ** 2 + (y - 95) ** 2) / 400)
    frames = []
    for t in range(T):
        moved = map_coordinates(
            image, [y + 2 * np.sin(np.pi * t / T) * bump, x + t / T], order=1, mode="nearest"
        )
        frames.append(np.clip(moved + rng.normal(size=moved.shape), 0, 255).astype(np.uint8))
    return ltogp.histogram(np.array(frames))


@pytest.fixture(scope="module")
def counts():
    return clip(68)


PROBLEMS = {
    "raw": lambda V: V,
    "raw/4": lambda V: np.float64(V) / 4,
    "raw/16": lambda V: np.float64(V) / 16,
    "raw/64": lambda V: np.float64(V) / 64,
    "l2": lambda V: np.float64(V) / np.linalg.norm(np.float64(V), axis=1, keepdims=True),
}


def pair_differences(V):
    i, j = np.triu_indices(len(V), 1)
    return np.asarray(V, dtype=np.float64)[j] - V[i]


def note(benchmark, result):
    benchmark.extra_info.update(
        objective=result.objective, gap=result.gap, method=result.method, n_iter=result.n_iter
    )


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_rank_svm(benchmark, counts, problem, loss):
    benchmark.group = f"T=68 d=16384 {problem} {loss}"
    V = PROBLEMS[problem](counts)
    rank_svm(V, loss=loss)  # compiled: otherwise the first call sets the number of rounds, to five
    note(benchmark, benchmark(rank_svm, V, loss=loss))


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_linear_svc_on_pairs(benchmark, counts, problem, loss):
    benchmark.group = f"T=68 d=16384 {problem} {loss}"
    V = PROBLEMS[problem](counts)

    def fit():
        differences = pair_differences(V)
        sign = np.where(np.arange(len(differences)) % 2, -1.0, 1.0)  # two classes are obligatory
        differences *= sign[:, None]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its iteration limit
            svc = LinearSVC(loss=loss, fit_intercept=False, dual=True, tol=1e-6).fit(differences, sign)
        hinges = np.maximum(0, 1 - sign * (differences @ svc.coef_[0]))
        return svc.coef_[0], hinges

    u, hinges = benchmark.pedantic(fit, rounds=1)
    benchmark.extra_info["objective"] = 0.5 * u @ u + (hinges if loss == "hinge" else hinges**2).sum()


@pytest.mark.parametrize("method", ["held out", "one solve", "LinearSVR, cross_val_predict"])
def test_held_out_scores(benchmark, counts, method):
    """Beside what scikit-learn offers for it: time regressed on the frames, predicted in the same folds."""
    benchmark.group = "T=68 d=16384 raw, scores of frames held out"
    T = len(counts)
    predict = partial(cross_val_predict, LinearSVR(dual=True, max_iter=10000), counts, np.arange(T))
    folds = PredefinedSplit(np.arange(T) % 5)
    run = {"held out": held_out_scores, "one solve": rank_svm}.get(method, lambda V: predict(cv=folds))
    benchmark(run, counts)


def test_held_out_scores_of_a_long_clip(benchmark):
    benchmark.group = "T=5000 d=16384, scores of frames held out"
    V = clip(500)
    benchmark.pedantic(held_out_scores, (np.tile(V, (10, 1)),), rounds=2, warmup_rounds=1)


@pytest.mark.parametrize("method", ["ranksvm", "svr", "approximate"])
def test_methods(benchmark, counts, method):
    benchmark.group = "T=68 d=16384 raw, methods"
    benchmark(rank_pool, counts, method=method)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("kind", ["walk", "l2"])
def test_500_frames(benchmark, kind, loss):
    benchmark.group = f"T=500 d=4096 {kind} {loss}"
    V = np.cumsum(np.random.default_rng(0).normal(size=(500, 4096)), axis=0)
    V /= 64 if kind == "walk" else np.linalg.norm(V, axis=1, keepdims=True)
    note(benchmark, benchmark.pedantic(rank_svm, (V,), {"loss": loss}, rounds=3, warmup_rounds=1))


@pytest.mark.parametrize("kind", ["walk", "l2", "trend"])
def test_3000_frames(benchmark, kind):
    """As many as are held in pairs, with more features than frames: walks, and a trend in noise."""
    benchmark.group = "T=3000 d=3500 hinge"
    V = long_sequence("trend" if kind == "trend" else "walk", 3000, 3500)
    if kind == "l2":
        V /= np.linalg.norm(V, axis=1, keepdims=True)
    rank_svm(V[:610, :620])  # compiled
    note(benchmark, benchmark.pedantic(rank_svm, (V,), rounds=1))


LONG = {  # T, d, tol
    "T=2000 d=1024": (2000, 1024, 1e-6),
    "T=20000 d=512": (20_000, 512, 1e-3),
    "T=100000 d=64": (100_000, 64, 1e-3),
}


def long_sequence(kind, T, d):
    """A random walk, or a trend in noise."""
    rng = np.random.default_rng(0)
    if kind == "walk":
        return np.cumsum(rng.normal(size=(T, d)), axis=0) / np.sqrt(d)
    return rng.normal(size=(T, d)) + np.linspace(0, 1, T)[:, None] * rng.normal(size=d)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("kind", ["walk", "trend"])
@pytest.mark.parametrize("size", LONG)
def test_long(benchmark, size, kind, loss):
    benchmark.group = f"{size} {kind}"
    T, d, tol = LONG[size]
    V = long_sequence(kind, T, d)
    rank_svm(V[:2100, :8], loss=loss, tol=1e-2)  # compiled
    note(benchmark, benchmark.pedantic(rank_svm, (V,), {"loss": loss, "tol": tol}, rounds=1))


@pytest.mark.parametrize("T", [10, 20, 50, 100, 200, 500, 1000])
def test_time_against_frames(benchmark, T):
    benchmark.group = "l2 d=1024, frames"
    V = np.cumsum(np.random.default_rng(0).normal(size=(T, 1024)), axis=0)
    V /= np.linalg.norm(V, axis=1, keepdims=True)
    rounds = 1 if T > 200 else 10
    note(benchmark, benchmark.pedantic(rank_svm, (V,), rounds=rounds, warmup_rounds=1))


@pytest.mark.parametrize("rows", ["of unit length", "normalize='l2'"])
def test_beside_its_gram_matrix(benchmark, counts, rows):
    """`extra_info["ratio"]`: the median of its time over that of V Vᵀ by BLAS just before, in float64."""
    benchmark.group = "T=68 d=16384, rank_pool of frames of unit length"
    unit = PROBLEMS["l2"](counts)
    pool = (
        partial(rank_pool, unit) if rows == "of unit length" else partial(rank_pool, counts, normalize="l2")
    )
    ratios = []
    with threadpool_limits(1, user_api="blas"):
        for _ in range(100):
            start = time.perf_counter()
            unit @ unit.T
            between = time.perf_counter()
            pool()
            ratios.append((time.perf_counter() - between) / (between - start))
    benchmark(pool)
    benchmark.extra_info["ratio"] = float(np.median(ratios))


@pytest.fixture(scope="module")
def clips():
    base = clip(100)
    rng = np.random.default_rng(0)
    return [base[: rng.integers(20, 101)] for _ in range(246)]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_batch(benchmark, clips, n_jobs):
    """`extra_info["ratio"]`: the time over the sum of the single calls divided by the threads.

    `extra_info["control"]`: the same of single calls in as many threads, which is what the machine gives: two
    cores that work are each slower than one alone. All three run in turn.
    """
    benchmark.group = "246 clips of 20 to 100 frames, d=16384"
    pooling = RankPooling(n_jobs=n_jobs).fit(clips)

    def singles(k=0, every=1):
        for V in clips[k::every]:
            rank_pool(V)

    def control():
        threads = [Thread(target=singles, args=(k, n_jobs)) for k in range(n_jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def seconds(function):
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    ratios, controls = [], []
    with threadpool_limits(1, user_api="blas"):
        singles()
        for _ in range(5):
            alone = seconds(singles) / n_jobs
            ratios.append(seconds(partial(pooling.transform, clips)) / alone)
            controls.append(seconds(control) / alone)
    benchmark.pedantic(pooling.transform, (clips,), rounds=3, warmup_rounds=1)
    benchmark.extra_info.update(ratio=float(np.median(ratios)), control=float(np.median(controls)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("by", ["rankpool", "numpy"])
def test_gram(benchmark, counts, by, dtype):
    benchmark.group = f"Gram matrix T=68 d=16384 {dtype}"
    V = counts if dtype == "float32" else np.float64(counts) / 3
    benchmark(gram if by == "rankpool" else (lambda V: V @ V.T), V)


@pytest.mark.parametrize("kernel", ["combine", "relative_scores"])
def test_frame_kernels(benchmark, counts, kernel):
    benchmark.group = "kernels T=68 d=16384"
    u, f = np.ones(counts.shape[1]), np.ones(68)
    args = (counts, f, u) if kernel == "combine" else (counts, u, f)
    benchmark(getattr(_kernels, kernel), *args)
