"""Kernels in parallel: one pool of Python threads for the process, over kernels that release the GIL.

Not `numba.prange`: its default threading layer aborts the process when two Python threads enter it at once,
and some of the others do not survive a fork.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, local

import numba

# Read once, as OpenMP does: Dask sets it for its workers in the process that starts them and leaves it so.
_OMP_NUM_THREADS = os.environ.get("OMP_NUM_THREADS", "")
shared_pool: ThreadPoolExecutor | None = None
pool_lock = Lock()
_inside = local()  # of a thread of the pool: its `pool` is True


def thread_limit() -> int:
    """Return how many threads may run: the CPUs of this process, NUMBA_NUM_THREADS or OMP_NUM_THREADS.

    The fewest of them. Joblib gives its process workers a share of the machine through both variables, Dask
    through the second.
    """
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cpus = os.cpu_count() or 1
    # OpenMP also allows a list, one number for each level of nesting: that is left to OpenMP.
    limit = int(_OMP_NUM_THREADS) if _OMP_NUM_THREADS.isdigit() else cpus
    return max(1, min(cpus, numba.config.NUMBA_NUM_THREADS, limit))


def run(function: Callable[..., int], pieces: Sequence[tuple[int, ...]], n_threads: int) -> list[int]:
    """Return [function(*piece) for piece in pieces], from at most n_threads threads.

    The threads come from one pool that all callers share, and callers only wait: when eight Python threads
    call at once, no more than thread_limit() kernels run.
    """
    # A thread of the pool that waited for others of the pool could wait for ever.
    if n_threads == 1 or len(pieces) == 1 or getattr(_inside, "pool", False):
        return [function(*piece) for piece in pieces]
    queue = iter(enumerate(pieces))  # its next() is atomic, under the GIL
    results = [0] * len(pieces)

    def work() -> None:
        _inside.pool = True
        for i, piece in queue:
            results[i] = function(*piece)

    pool = _get_pool()
    for future in [pool.submit(work) for _ in range(min(n_threads, len(pieces)))]:
        future.result()
    return results


def _get_pool() -> ThreadPoolExecutor:
    global shared_pool
    with pool_lock:
        if shared_pool is None:
            shared_pool = ThreadPoolExecutor(thread_limit(), thread_name_prefix="ltogp")
        return shared_pool


def _forget_pool() -> None:
    """Start afresh in a forked child: threads don't survive a fork, and the lock may have been held."""
    global shared_pool, pool_lock
    shared_pool = None
    pool_lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
