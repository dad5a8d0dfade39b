"""How the kernels are compiled, and cached for the next process."""

import shutil
import warnings
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core.caching import FunctionCache

SOURCES = (
    "_compilation.py",
    "_dense_kernels.py",
    "_exact_kernels.py",
    "_kernels.py",
    "_lagrangian_kernels.py",
    "_long_kernels.py",
)  # all that decides what a kernel does
_ROOM = 2**24  # bytes free where the kernels are cached: they take 3 MB


_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "nsz", "contract"},
}

# Of a kernel that one other calls, once: LLVM optimises a kernel again in each of those that call it, and so
# on upwards. Six of them took rank_svm's first call from 13 to 11 s on a busy machine; with loops in place of
# array expressions, from 19 to 10 s on an idle one
part = njit(inline="always", **_OPTIONS)


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function when it is first called, and cache what is compiled if there is a folder for it."""
    return _compiled(function, _OPTIONS)


def exact(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `kernel`, with every operation rounded as it is written."""
    return _compiled(function, {**_OPTIONS, "fastmath": False})


def _compiled(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    # Numba names the files of its cache by this, and looks for changes in the kernel's own source file only
    function.__qualname__ += "_" + _digest()
    compiled = njit(**options)(function)
    if config.DISABLE_JIT:
        return compiled
    try:
        cache = _Cache(function)
    except RuntimeError as error:  # "no locator available"
        _warn_once(str(error))
        return compiled
    if _has_room(cache.cache_path):
        compiled._cache = cache  # all that njit's cache=True does, with Numba's own class
    else:
        _warn_once(f"less than {_ROOM >> 20} MB are free in {cache.cache_path}")
    return compiled


class _Cache(FunctionCache):
    """Numba's cache; where it fails, on a disk that was filled since, what is compiled is used all the same.

    Not a function around each kernel that tries again: kernels call each other, and Numba knows no such one.
    """

    def load_overload(self, *args: Any) -> Any:
        try:
            return super().load_overload(*args)
        except OSError as error:
            _warn_once(str(error))
            return None

    def save_overload(self, *args: Any) -> None:
        try:
            super().save_overload(*args)
        except OSError as error:
            _warn_once(str(error))


@cache
def _digest() -> str:
    """Of `SOURCES`; 0.2 ms."""
    sources = sha256()
    for name in SOURCES:
        sources.update(__loader__.get_data(str(Path(__file__).with_name(name))))  # type: ignore[name-defined]
    return sources.hexdigest()[:16]


@cache
def _has_room(folder: str) -> bool:
    """Whether what is compiled will fit: not to be able to save it would be an error of the first call."""
    try:
        return shutil.disk_usage(folder).free >= _ROOM
    except OSError:
        return False


_warned = False


def _warn_once(why: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"rankpool cannot cache its compiled kernels ({why}), so every new process compiles them again, "
            "for some seconds; set the environment variable NUMBA_CACHE_DIR to a folder that it can write to",
            stacklevel=2,
        )
