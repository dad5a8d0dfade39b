"""l21 on any machine: where no folder can be written, among threads, and across a fork."""

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import l21
from l21._blas import one_blas_thread

PACKAGE = Path(l21.__file__).parent


# --- Numba's cache ---


def run(code, **environment):
    """Run code in a new interpreter and return what it printed and warned."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_CACHE", "XDG_", "PYTHON"))}
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=kept | {k: str(v) for k, v in environment.items()},
        cwd=environment["PYTHONPATH"],  # "" comes before PYTHONPATH
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout, finished.stderr


@pytest.fixture
def copy(tmp_path):
    """The package in a folder of its own, without compiled files."""
    shutil.copytree(PACKAGE, tmp_path / "site" / "l21", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site"


@pytest.fixture
def no_folder(copy, tmp_path):
    """Environment in which Numba finds nothing to write to, even as root: files in the folders' places."""
    (copy / "l21" / "__pycache__").touch()
    (tmp_path / "file").touch()
    nowhere = tmp_path / "file" / "home"
    return {"PYTHONPATH": copy, "HOME": nowhere, "USERPROFILE": nowhere, "XDG_CACHE_HOME": nowhere,
            "LOCALAPPDATA": nowhere, "PYTHONDONTWRITEBYTECODE": 1}  # fmt: skip


ALL = """
    import numpy as np, l21
    X, y = np.random.default_rng(0).standard_normal((30, 10)), np.arange(30) % 3
    Y = l21.one_hot(y)[0]
    for solve in (l21.solve, l21.solve_squared, l21.solve_logistic):
        assert solve(X, Y, 1.0).gap <= 1e-6
    for loss in ("l21", "squared", "logistic"):
        assert l21.L21Selector(3, loss=loss, gamma=2.0).fit_transform(X, y).shape == (30, 3)
    print(l21.__file__)
"""


def test_without_a_folder_it_works_and_warns_once(no_folder, copy):
    out, err = run(ALL, **no_folder)
    assert Path(out.strip()).is_relative_to(copy)
    if os.environ.get("NUMBA_DISABLE_JIT", "0") == "0":
        assert err.count("UserWarning") == 1
        assert "NUMBA_CACHE_DIR" in err


def test_with_numba_cache_dir_it_is_silent(no_folder, tmp_path):
    cache = tmp_path / "cache"
    _, err = run(ALL, **no_folder, NUMBA_CACHE_DIR=cache)
    assert "Warning" not in err
    if os.environ.get("NUMBA_DISABLE_JIT", "0") == "0":
        assert list(cache.rglob("*.nbc"))


def test_a_cache_that_cannot_be_saved_is_no_error(copy):
    _, err = run(
        """
        import numpy as np, numba
        import l21._kernels, l21
        from numba.core.caching import Cache

        def full(*_):
            raise OSError(28, "No space left on device")

        Cache.save_overload = full
        X = np.random.default_rng(0).standard_normal((30, 10))
        Y = np.eye(3)[np.arange(30) % 3]
        assert l21.solve_squared(X, Y, 1.0).gap <= 1e-6
        assert l21.solve_logistic(X, Y, 1.0).gap <= 1e-6
        """,
        PYTHONPATH=copy,
    )
    if os.environ.get("NUMBA_DISABLE_JIT", "0") == "0":
        assert err.count("UserWarning") == 1
        assert "No space left" in err


def test_a_changed_kernel_is_not_served_stale(copy, tmp_path):
    code = "from l21._kernels import descend_rows, other; print(other(1))"
    kernels = copy / "l21" / "_kernels.py"
    kernels.write_text(kernels.read_text() + "\n\n@compiled\ndef other(x):\n    return x + HELPER\n")
    (copy / "l21" / "_kernels_more.py").write_text("HELPER = 1\n")
    kernels.write_text("from ._kernels_more import HELPER\n" + kernels.read_text().split('"""', 2)[2])
    for value in (1, 2):
        (copy / "l21" / "_kernels_more.py").write_text(f"HELPER = {value}\n")
        out, _ = run(code, PYTHONPATH=copy, NUMBA_CACHE_DIR=tmp_path / "cache", PYTHONDONTWRITEBYTECODE=1)
        assert out.strip() == str(1 + value)


def test_numba_and_scikit_learn_are_not_loaded_before_they_are_needed():
    out, _ = run(
        """
        import sys, numpy as np, l21
        l21.solve(np.eye(3), np.eye(3), 2.0)
        print([name for name in ("numba", "sklearn", "matplotlib", "threadpoolctl") if name in sys.modules])
        l21.L21Selector().fit(np.eye(4), [0, 1, 0, 1])
        print("numba" in sys.modules)
        """,
        PYTHONPATH=PACKAGE.parent,
    )
    assert out.splitlines() == ["['threadpoolctl']", "False"]


# --- BLAS threads ---


def counts():
    """Threads of each BLAS but OpenCV's, which is loaded late, if at all, and which nothing here calls."""
    return [
        library["num_threads"]
        for library in threadpool_info()
        if library["user_api"] == "blas" and "opencv" not in library["filepath"]
    ]


@pytest.fixture
def two_blas_threads():
    with threadpool_limits(2, user_api="blas"):
        yield counts()


def test_the_functions_of_the_problem_have_the_same_bits_at_any_number_of_blas_threads():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((500, 500)), np.eye(10)[np.arange(500) % 10]
    W, dual, seen = rng.standard_normal((500, 10)), rng.standard_normal((500, 10)), set()
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            numbers = l21.critical_gamma(X, Y), l21.objective(X, Y, W), l21.relative_gap(X, Y, W, dual)
            seen.add((numbers, l21.feasible_dual(X.astype(np.float32), dual).tobytes()))
    assert len(seen) == 1


def test_many_threads_leave_the_count_as_it_was(two_blas_threads):
    before = counts()
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((40, 200)), np.eye(2)[np.arange(40) % 2]
    solves = [l21.solve, l21.solve_squared, l21.solve_logistic]

    def work(i):
        if i % 5 == 4:
            with pytest.raises(ValueError, match="gamma"):
                l21.solve(X, Y, -1.0)
        # Sizes differ, so that threads leave in another order than they came.
        return solves[i % 3](X[:, : 20 + 7 * (i % 11)], Y, 3.0).gap

    with ThreadPoolExecutor(12) as pool:
        gaps = list(pool.map(work, range(120)))
    assert max(gaps) <= 1e-6
    assert counts() == before


def test_one_thread_inside_and_the_last_one_out_restores(two_blas_threads):
    entered, leave = threading.Barrier(4), [threading.Event() for _ in range(3)]
    seen = []

    def work(k):
        with one_blas_thread(), one_blas_thread():  # nested
            entered.wait()
            leave[k].wait()
            seen.append(counts())

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    entered.wait()
    for k in (1, 0, 2):
        leave[k].set()
        threads[k].join()
        assert (counts() == two_blas_threads) == (k == 2)
    assert seen == [[1] * len(two_blas_threads)] * 3


def test_an_exception_inside_restores(two_blas_threads):
    with pytest.raises(KeyError), one_blas_thread(), one_blas_thread():
        raise KeyError
    assert counts() == two_blas_threads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_another_thread_is_inside():
    out, _ = run(
        """
        import os, threading, warnings
        import numpy as np, l21
        from l21 import _blas
        from threadpoolctl import threadpool_info, threadpool_limits
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads

        def counts():
            return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

        threadpool_limits(2, user_api="blas")
        inside, leave = threading.Event(), threading.Event()

        def work():
            with _blas.one_blas_thread():
                inside.set()
                leave.wait()

        thread = threading.Thread(target=work)
        thread.start()
        inside.wait()
        for held in (False, True):  # another thread is between two lines that hold the lock
            if held:
                _blas._lock.acquire()
            child = os.fork()
            if child == 0:
                before = counts()
                gap = l21.solve(np.eye(3), np.eye(3), 2.0).gap
                print(before, counts(), gap <= 1e-6, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            if held:
                _blas._lock.release()
        with _blas.one_blas_thread():  # the forking thread itself is inside
            child = os.fork()
            if child == 0:
                print(counts(), flush=True)
        if child == 0:
            print(counts(), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        leave.set()
        thread.join()
        print(counts(), flush=True)
        """,
        PYTHONPATH=PACKAGE.parent,
    )
    assert out.splitlines() == ["{2} {2} True", "{2} {2} True", "{1}", "{2}", "{2}"]
