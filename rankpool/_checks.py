"""Checks of the frames and of the settings: what is wrong, and what would be right."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

REACH = 1e150  # of C, from its inverse on: 4 C and the squares of α, which is at most 2C, stay in float64


def check_frames(V: Any) -> Any:
    """Return V as a CSR matrix of float64, or as an aligned C-contiguous read-only array: one type per dtype.

    Read-only, so that the kernels are compiled once and not again for an array that is.
    """
    if hasattr(V, "tocsr") or hasattr(V, "todense"):
        if not hasattr(V, "tocsr"):
            raise TypeError("V is sparse; pass a dense array, V.toarray()")
        frames = V.tocsr()
        if frames.dtype.kind not in "biuf":
            raise TypeError(f"V has dtype {frames.dtype}; rank pooling needs real numbers")
    else:
        refuse_masked(V, "V")
        frames = np.asarray(V)
    if frames.dtype.kind not in "biuf":
        try:
            if frames.dtype.kind != "O":
                raise TypeError
            frames = frames.astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(
                f"V has dtype {frames.dtype}; rank pooling needs one array of real numbers"
            ) from None
    if frames.ndim != 2:
        raise ValueError(f"V has {frames.ndim} dimensions; it must be (frames, features)")
    T, d = frames.shape
    if T < 2:
        raise ValueError(f"V has {T} frame{'s' * (T != 1)}; rank pooling needs at least 2")
    if d < 1:
        raise ValueError("V has 0 features; rank pooling needs at least 1")
    with np.errstate(over="ignore"):  # a longdouble beyond float64 is an infinity, and that an error
        if not isinstance(frames, np.ndarray):
            return frames.astype(np.float64, copy=False)
        if frames.dtype == bool:
            frames = frames.view(np.uint8)
        elif frames.dtype.kind == "f" and frames.dtype.itemsize == 2:  # of either byte order
            frames = frames.astype(np.float32)
        elif frames.dtype.kind == "f" and frames.dtype.itemsize > 8:
            frames = frames.astype(np.float64)
    frames = np.ascontiguousarray(frames, dtype=frames.dtype.newbyteorder("="))
    return read_only(frames if frames.flags.aligned else frames.copy())


def read_only(frames: NDArray[Any]) -> NDArray[Any]:
    """Return a view that cannot be written to."""
    frames = frames.view()
    frames.flags.writeable = False
    return frames


def refuse_masked(values: Any, name: str) -> None:
    """Raise for a masked array: what its mask hides would be read as if it were there."""
    if isinstance(values, np.ma.MaskedArray) or (
        isinstance(values, (list, tuple)) and any(isinstance(row, np.ma.MaskedArray) for row in values)
    ):
        raise TypeError(
            f"{name} is a masked array, and its mask would be ignored: leave out what is masked, or fill it "
            f"({name}.filled(...))"
        )


def check_settings(C: Any, loss: Any, tol: Any, max_iter: Any) -> tuple[float, float]:
    """Return C and tol as floats, if all four are as `rank_svm` says."""
    C, tol = _check_C(C), check_positive(tol, "tol")
    if loss not in ("hinge", "squared_hinge"):
        raise ValueError(f'loss is {loss!r}; it must be "hinge" or "squared_hinge"')
    if max_iter is not None:
        check_at_least(max_iter, 1, "max_iter")
    return C, tol


def check_at_least(value: Any, least: int, name: str) -> None:
    """Raise unless it is an integer, and as large."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be an integer of at least {least}")


def check_positive(value: Any, name: str) -> float:
    """Return the number as a float."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}; it must be a positive number")
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        number = np.inf
    if not 0 < number < np.inf:
        raise ValueError(f"{name} is {value!r}; it must be positive and finite")
    return number


def _check_C(C: Any) -> float:
    number = check_positive(C, "C")
    if not 1 / REACH <= number <= REACH:
        raise ValueError(
            f"C is {C!r}; float64 holds what is computed with it from {1 / REACH:g} to {REACH:g}"
        )
    return number
