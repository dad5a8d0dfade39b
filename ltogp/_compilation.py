"""Which kernel is compiled, for which dtype, when it is first needed, and cached for the next process."""

import os
import warnings
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from threading import Lock
from typing import Any

import numpy as np
from llvmlite.binding import get_host_cpu_features  # type: ignore[import-untyped]
from numba import config, njit, types

from ltogp import _blocks, _kernels, _planes, _volumes

# What `_planes.py` needs, as LLVM names it.
_BITS = ("avx512vpopcntdq", "avx512bw")
compile_lock = Lock()
_ready: dict[tuple[str, np.dtype, bool], Callable[..., int]] = {}


def compiled(name: str, dtype: np.dtype, options: bool = False) -> Callable[..., int]:
    """Return a kernel compiled for frames of this dtype, whatever their strides, read-only or not.

    With `options` it takes a table, or, if it counts, the options of `_blocks.py`; otherwise None.
    """
    kernel = _ready.get((name, dtype, options))
    if kernel is None:
        with compile_lock:  # threads that start together wait for one compilation
            kernel = _ready[name, dtype, options] = _compiled(name, dtype, options)
    return kernel


@cache
def counts_bits() -> bool:
    """Whether Numba compiles for a processor that counts the bits of whole vectors: see `_planes.py`."""
    if config.DISABLE_JIT:  # no instructions then
        return False
    if config.CPU_NAME or config.CPU_FEATURES:  # the variables NUMBA_CPU_NAME and NUMBA_CPU_FEATURES
        features = (config.CPU_FEATURES or "").split(",")
        return all(f"+{name}" in features for name in _BITS)
    try:
        host = get_host_cpu_features()
    except RuntimeError:  # LLVM does not know it
        return False
    return all(host.get(name, False) for name in _BITS)


@cache
def _compiled(name: str, dtype: np.dtype, options: bool) -> Callable[..., int]:
    number = getattr(types, dtype.name)
    n, pairs = types.intp, types.Array(types.intp, 2, "C", readonly=True)
    frames = types.Array(number, 3, "A", readonly=True, aligned=False)
    sources = types.Array(types.intp, 1, "C", readonly=True)
    weights = types.Array(types.float64, 1, "C", readonly=True)
    piece, blocks = types.UniTuple(n, 4), types.UniTuple(pairs, 2)
    geometry = types.Tuple((sources, sources, n, pairs, weights, number))
    table = types.Array(types.uint8, 1, "C", readonly=True)
    mask = types.Array(types.uint8, 3, "A", readonly=True, aligned=False)
    if name == "encode":
        codes = types.uint8[:, :, ::1]
        return _compile(_kernels.encode, (frames, piece, geometry, codes, table if options else types.none))
    if name == "normalize":
        return _compile(_kernels.normalize, (types.float32[:, ::1], n, n))
    if name == "volume":
        counts = types.float32[:, ::1]
        given = (sources, counts, table, mask, sources)
        return _compile(_volumes.volume, (frames, piece, blocks, geometry, *given))
    count = _planes.histogram if name == "planes" else _kernels.histogram
    counts = types.float32[:, ::1]
    given = types.Tuple((table, mask, sources, n, n)) if options else types.none
    return _compile(count, (frames, piece, blocks, geometry, counts, n, given))


def _compile(function: Callable[..., int], signature: tuple[Any, ...]) -> Callable[..., int]:
    """Compile a kernel, or load it; without a cache where there is no folder for one, or no room in it."""
    if config.DISABLE_JIT:
        # NumPy's numbers would warn where 8-bit counters begin again at 0, and of what happens to lie between
        # the padded rows, whose codes mean nothing.
        return np.errstate(over="ignore", invalid="ignore")(function)
    try:
        # Numba names a kernel's file in the cache after this, and looks for changes only in the source file
        # of the kernel itself: those that it calls may be in the other one.
        function.__qualname__ = f"{function.__name__}_{_digest()}"
        return njit(signature, nogil=True, cache=True)(function)
    # A RuntimeError if no folder can be written, an OSError if it can but is full.
    except (RuntimeError, OSError) as error:
        kernel = njit(signature, nogil=True)(function)
        _warn_once(str(error))
    return kernel


@cache
def _digest() -> str:
    """Of the sources of all kernels."""
    sources = sha256()
    for module in (_blocks, _kernels, _planes, _volumes):
        loader: Any = module.__loader__  # which reads from a zip file, too
        sources.update(loader.get_data(module.__file__))
    return sources.hexdigest()[:16]


_warned = False


def _warn_once(why: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"ltogp cannot cache its compiled kernels ({why}), so every new process compiles them again, for "
            "some seconds; set the environment variable NUMBA_CACHE_DIR to a folder that can be written to",
            stacklevel=2,
        )


def _new_lock() -> None:
    """In a forked child: another thread may have held the lock."""
    global compile_lock
    compile_lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
