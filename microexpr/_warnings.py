"""Warnings in several threads."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_filters: warnings.catch_warnings | None = None
_inside = 0


@contextmanager
def ignore_user_warnings() -> Iterator[None]:
    """Ignore UserWarnings inside; the last of several threads to leave puts the filters back.

    `warnings.catch_warnings` alone is for one thread: the second to enter would find, and put back for good,
    what the first had set.
    """
    global _filters, _inside
    with _lock:
        if not _inside:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.simplefilter("ignore", UserWarning)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _filters is not None:
                _filters.__exit__(None, None, None)
