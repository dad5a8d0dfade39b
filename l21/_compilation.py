"""Numba with a cache on disk where there is a folder for one, and without where there is none."""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` when it is first called; cached on disk if Numba can.

    Numba looks for changes in the caller's file only. The digest makes its cache files, which it names by
    `__qualname__`, those of this state of the kernels.
    """
    function.__qualname__ += f"_{_digest()}"
    try:
        kernel = njit(cache=True)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        _warn_once("Numba finds no folder that it can write its cache to")
        return njit(function)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal kernel
        try:
            return kernel(*arguments)
        except OSError as error:  # a full disk, a folder that became read-only; raised before the kernel runs
            _warn_once(f"Numba can not use its cache ({error})")
            kernel = njit(function)
            return kernel(*arguments)

    return call


@functools.cache
def _digest() -> str:
    try:
        sources = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("_kernels*.py"))]
    except OSError:
        return ""
    return hashlib.sha256(b"".join(sources)).hexdigest()[:12]


@functools.cache
def _warn_once(what: str) -> None:
    warnings.warn(
        f"{what}: l21's kernels are compiled again in every process; set NUMBA_CACHE_DIR to a folder that "
        "can be written",
        UserWarning,
        stacklevel=3,
    )
