"""BLAS threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

_lock = threading.Lock()
_libraries: Any = None
_limit: Any = None
_inside = 0


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit the process to one BLAS thread inside; the last of several threads to leave restores the number.

    The matrices are small: a second thread gains little on an idle machine, and on a busy one OpenBLAS's
    threads spin for each other (two cores, both busy, 246 x 16384: Cholesky 250 ms with two threads and 0.2
    with one, an IRLS step 670 ms and 50). It also makes the result the same, bit for bit, whatever number of
    threads is set outside.
    """
    global _libraries, _limit, _inside
    with _lock:
        if _inside == 0:
            if _libraries is None:
                from threadpoolctl import ThreadpoolController

                _libraries = ThreadpoolController().select(user_api="blas")
            _take_control()
            _limit = _libraries.limit(limits=1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _take_control()
                _limit.restore_original_limits()
                _take_control()


def _take_control() -> None:
    # From 3.8, threadpoolctl lets only the first thread to set a limit change it again and ignores the others
    # in silence; here the last to leave, often another thread, restores it.
    for library in _libraries.lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)
