"""ltogp from many threads and processes."""

import ctypes.util
import os
import platform
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import joblib
import numpy as np
import pytest

import ltogp
from ltogp import _threads

STACK = np.random.default_rng(0).integers(0, 256, (64, 128, 128), dtype=np.uint8)
LARGE = np.random.default_rng(1).integers(0, 65536, (1100, 1300), dtype=np.uint16)


def results(n_jobs=None):
    """All ways of splitting work: over frames, over rows, over bands of one block."""
    return [
        ltogp.encode(STACK, n_jobs=n_jobs),
        ltogp.histogram(STACK, n_jobs=n_jobs),
        ltogp.encode(LARGE, n_jobs=n_jobs),
        ltogp.histogram(LARGE, n_jobs=n_jobs),
        ltogp.histogram(LARGE, (1, 1), n_jobs=n_jobs),
        ltogp.histogram(LARGE[None, :600], (7, 2), radius=3, n_jobs=n_jobs),
    ]


EXPECTED = results(n_jobs=1)


def assert_same(actual, expected=EXPECTED):
    for a, b in zip(actual, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def run_python(code, cwd=None, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 8, -1, None])
def test_same_bits_at_any_number_of_threads(n_jobs, eight_threads):
    assert_same(results(n_jobs))


@pytest.mark.parametrize("shape", [(3, 100_000), (100_000, 3), (1, 300_000)])
@pytest.mark.parametrize("by", [1, 2, 3])
def test_fewer_rows_than_pieces(shape, by, eight_threads):
    image = np.resize(LARGE, shape)
    blocks = (min(by, shape[0]), 2)
    assert_same([ltogp.histogram(image, blocks)], [ltogp.histogram(image, blocks, n_jobs=1)])
    assert_same([ltogp.encode(image)], [ltogp.encode(image, n_jobs=1)])
    assert ltogp.histogram(image, blocks).sum() == image.size


@pytest.mark.parametrize("variable", ["NUMBA_NUM_THREADS", "OMP_NUM_THREADS"])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_number_of_threads_follows_the_environment(variable, threads):
    # how joblib and Dask tell their process workers what share of the machine is theirs
    out = run_python("from ltogp import _threads; print(_threads.thread_limit())", **{variable: threads})
    assert int(out) <= int(threads)


def test_eight_python_threads_at_once():
    barrier = threading.Barrier(8)

    def work(_):
        barrier.wait()
        return results()

    with ThreadPoolExecutor(8) as pool:
        for actual in pool.map(work, range(8)):
            assert_same(actual)
    ours = [t for t in threading.enumerate() if t.name.startswith("ltogp")]
    assert len(ours) <= _threads.thread_limit()


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_joblib(backend):
    for actual in joblib.Parallel(2, backend=backend)(joblib.delayed(results)() for _ in range(4)):
        assert_same(actual)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fork_after_use():
    run_python(
        """
import os, threading, numpy as np, ltogp
from ltogp import _compilation, _threads
stack = np.random.default_rng(0).integers(0, 256, (64, 128, 128), dtype=np.uint8)
expected = ltogp.histogram(stack)
_threads.pool_lock.acquire()  # as if another thread held them at the fork
_compilation.compile_lock.acquire()
child = os.fork()
if child == 0:
    same = all((ltogp.histogram(stack, n_jobs=n) == expected).all() for n in (1, None, None))
    same = same and ltogp.encode(stack.astype(np.float32)).shape == stack.shape  # compiles, or loads
    os._exit(0 if same else 3)
_threads.pool_lock.release()
_compilation.compile_lock.release()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert (ltogp.histogram(stack) == expected).all()
"""
    )


def numba_threading_layers():
    """Numba's threading layers here: its own, OpenMP where the system has GNU's, TBB where pip has it."""
    layers = ["workqueue"]
    if sys.platform == "linux" and ctypes.util.find_library("gomp"):
        layers.append("omp")
    if sys.platform == "linux" and platform.machine() == "x86_64":
        layers.append("tbb")  # the extra "test" brings it
    return layers


# Every way to call us from several threads or processes, while a parallel function of the user's own is
# running in the process. With that in our place, "workqueue" aborts in the first step and "omp" in the last.
BESIDE_THE_USERS_OWN = """
import os, threading
from concurrent.futures import ThreadPoolExecutor
import dask.array, joblib, numba, numpy as np
from dask.distributed import Client, LocalCluster
import ltogp
from ltogp import _threads

stack = np.random.default_rng(0).integers(0, 256, (64, 128, 128), dtype=np.uint8)
codes, counts = ltogp.encode(stack, n_jobs=1), ltogp.histogram(stack, n_jobs=1)

def is_right(_=None):
    return np.array_equal(ltogp.encode(stack), codes) and np.array_equal(ltogp.histogram(stack), counts)

def n_pool_threads():
    return sum(t.name.startswith("ltogp") for t in threading.enumerate())

@numba.njit(parallel=True)
def users_own(x):
    total = 0
    for i in numba.prange(len(x)):
        total += x[i]
    return total

x = np.arange(1_000_000)
assert users_own(x) == x.sum()
assert numba.threading_layer() == os.environ["NUMBA_THREADING_LAYER"]
stop = threading.Event()

def keep_running():
    times = 0
    while not stop.is_set():
        assert users_own(x) == x.sum()
        times += 1
    return times

with ThreadPoolExecutor(9) as pool:
    running = pool.submit(keep_running)
    try:
        assert all(pool.map(is_right, range(16))), "eight threads"
        for backend in ("threading", "loky"):
            right_ones = joblib.Parallel(2, backend=backend)(joblib.delayed(is_right)() for _ in range(4))
            assert all(right_ones), backend
        frames = dask.array.from_array(stack, chunks=(16, -1, -1))
        for processes in (False, True):
            with (
                LocalCluster(
                    n_workers=2, threads_per_worker=2, processes=processes, dashboard_address=None
                ) as cluster,
                Client(cluster),
            ):
                V = frames.map_blocks(
                    ltogp.histogram, dtype=np.float32, drop_axis=(1, 2), new_axis=1, chunks=(16, 16384)
                )
                assert np.array_equal(V.compute(), counts), f"Dask, processes={processes}"
                encoded = frames.map_blocks(ltogp.encode, dtype=np.uint8)
                assert np.array_equal(encoded.compute(), codes), f"Dask, processes={processes}"
        assert n_pool_threads() <= _threads.thread_limit()
    finally:
        stop.set()
    assert running.result() > 0

child = os.fork()
if child == 0:
    os._exit(0 if is_right() else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "fork"
assert users_own(x) == x.sum()
assert is_right()
print("all right")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("layer", numba_threading_layers())
def test_beside_a_parallel_function_of_the_users_own(layer):
    environment = {"NUMBA_THREADING_LAYER": layer}
    if layer == "tbb":  # pip puts it where the loader does not look
        (library,) = (file for file in metadata.files("tbb") if file.name == "libtbb.so.12")
        environment["LD_LIBRARY_PATH"] = str(Path(library.locate()).resolve().parent)
    assert run_python(BESIDE_THE_USERS_OWN, **environment).endswith("all right\n")


def test_a_failing_piece_is_reported():
    def fail(i):
        raise MemoryError(i)

    with pytest.raises(MemoryError):
        _threads.run(fail, [(0,), (1,), (2,)], 2)
    assert _threads.run(lambda i: i * i, [(i,) for i in range(20)], 2) == [i * i for i in range(20)]


def test_a_piece_may_call_us_again():
    """As of an image whose slices are computed by ltogp: it would wait for threads that wait for it."""
    run_python(
        """
from ltogp import _threads
_threads.thread_limit = lambda: 2
assert _threads.run(lambda k: sum(_threads.run(lambda i: i, [(1,), (k,)], 2)), [(2,)] * 8, 2) == [3] * 8
"""
    )


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x[:, ::-1, 1:], np.asfortranarray])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_no_copy_of_the_stack(view, dtype):
    stack = view(np.zeros((100, 128, 128), dtype))  # 1.6 MB or more
    out = np.empty((100, 256), np.float32)
    ltogp.histogram(stack, (1, 1))  # the first call loads the kernel
    ltogp.encode(stack)
    tracemalloc.start()
    try:
        ltogp.histogram(stack, (1, 1), out=out)
        assert tracemalloc.get_traced_memory()[1] < 400_000
        codes = ltogp.encode(stack)
        assert tracemalloc.get_traced_memory()[1] < codes.nbytes + 400_000
    finally:
        tracemalloc.stop()


# -------------------------------------------------------------------------------------- number of threads


def test_negative_numbers_of_jobs_are_those_of_joblib(monkeypatch):
    used = []

    def run(function, pieces, n_threads):
        used.append(n_threads)
        return [function(*piece) for piece in pieces]

    monkeypatch.setattr(_threads, "run", run)
    monkeypatch.setattr(_threads, "thread_limit", lambda: 8)
    stack = np.zeros((64, 128, 128), np.uint8)
    expected = ltogp.histogram(stack, n_jobs=1)
    used.clear()
    for n_jobs, threads in [(-1, 8), (None, 8), (-2, 7), (-3, 6), (-7, 2), (5, 5), (99, 8)]:
        np.testing.assert_array_equal(ltogp.histogram(stack, n_jobs=n_jobs), expected)
        np.testing.assert_array_equal(ltogp.LTOGP(n_jobs=n_jobs).fit_transform(stack), expected)
        assert used[0] == used[-1] == threads
        used.clear()
    for n_jobs in (-8, -9, -100):  # one thread at least, and that needs no pool
        np.testing.assert_array_equal(ltogp.encode(stack, n_jobs=n_jobs), ltogp.encode(stack, n_jobs=1))
        assert not used
    with pytest.raises(
        ValueError, match="n_jobs is 0; must be None, -1 or at least 1, or -2 for all CPUs but one"
    ):
        ltogp.LTOGP(n_jobs=0).fit(stack)
