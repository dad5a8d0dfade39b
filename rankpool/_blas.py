"""BLAS threads."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

_lock = threading.Lock()
_libraries: Any = None
_limit: Any = None
_inside: dict[int, int] = {}  # thread -> how deep


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit the process to one BLAS thread inside; the last of several threads to leave restores the number.

    The matrices are small: a second thread gains little on an idle machine, and on a busy one OpenBLAS's
    threads spin for each other (two cores, both busy, 246 x 16384: Cholesky 250 ms with two threads and 0.2
    with one, an IRLS step 670 ms and 50). It also makes the result the same, bit for bit, whatever number of
    threads is set outside.
    """
    global _libraries, _limit
    me = threading.get_ident()
    with _lock:
        if not _inside:
            if _libraries is None:
                from threadpoolctl import ThreadpoolController

                _libraries = ThreadpoolController().select(user_api="blas")
            _take_control()
            _limit = _libraries.limit(limits=1)
        _inside[me] = _inside.get(me, 0) + 1
    try:
        yield
    finally:
        with _lock:
            _inside[me] -= 1
            if not _inside[me]:
                del _inside[me]
                if not _inside:
                    _restore()


def _restore() -> None:
    _take_control()
    _limit.restore_original_limits()
    _take_control()


def _take_control() -> None:
    # From 3.8, threadpoolctl lets only the first thread to set a limit change it again and ignores the others
    # in silence; here the last to leave, often another thread, restores it.
    for library in _libraries.lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


def _after_fork() -> None:
    """In the child only the forking thread goes on; others may have held the lock, or been inside."""
    global _lock
    _lock = threading.Lock()
    me = threading.get_ident()
    others = [thread for thread in _inside if thread != me]
    for thread in others:
        del _inside[thread]
    if others and not _inside:
        _restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
