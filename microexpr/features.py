"""What may stand where LTOGP does: functions from frames to one row of numbers a frame."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Features"]

FrameFunction = Callable[[NDArray[np.uint8]], ArrayLike]  # (T, height, width) -> (T, d)


@dataclass(frozen=True)
class Features:
    """A function that describes frames, to stand where LTOGP does in `describe` and `microexpr.extract`.

    A plain function will do in its place; this says more about it.

    Parameters
    ----------
    function : callable
        From frames (T, height, width), in `extract` uint8 (uint16 with ``stabilise="tiles"`` or ``blur``),
        to (T, d): one row of finite numbers per frame, of the same length for all clips of one size. Called
        from several threads at once.
    name : str, optional
        Of the features, in tables and feature stores (there letters, digits, ``_``, ``-`` and ``.`` only). By
        default the function's own.
    blocks : (int, int), optional
        If the face is divided into (down, across) blocks: the columns of the blocks follow each other, row of
        blocks by row of blocks, as many for each. Tells `microexpr.plots.plot_face_parts` where to draw what.
    parameters : mapping, optional
        What the features depend on besides the frames, of JSON types: a feature store notes it, and refuses
        features of that name with others. By default the keywords of a `functools.partial`. That the function
        itself was changed cannot be seen: a version number in here tells.

    Raises
    ------
    TypeError
        If `function` is not callable.
    ValueError
        If `blocks` is none of those above, or `parameters` is not of JSON types.

    Examples
    --------
    >>> import numpy as np, microexpr
    >>> def thirds(frames):
    ...     return np.stack([part.mean(axis=(1, 2)) for part in np.array_split(frames, 3, axis=1)], axis=1)
    >>> features = microexpr.Features(thirds, blocks=(3, 1))
    >>> features.name, features(np.zeros((4, 60, 60), np.uint8)).shape
    ('thirds', (4, 3))
    """

    function: FrameFunction
    name: str = ""
    blocks: tuple[int, int] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"features is {self.function!r}; it must be a function from frames to (T, d)")
        name, parameters = name_and_parameters(self.function)
        object.__setattr__(self, "name", self.name or name)
        object.__setattr__(self, "parameters", as_json(dict(self.parameters) or parameters))
        if self.blocks is not None:
            object.__setattr__(self, "blocks", as_blocks(self.blocks))

    def __call__(self, frames: NDArray[Any]) -> NDArray[Any]:
        """Describe the frames, or raise what is wrong with the description."""
        rows = finite(self.function(frames), f"features {self.name}", f"({len(frames)}, d)", 2)
        if len(rows) != len(frames):
            raise ValueError(
                f"features {self.name} gave shape {rows.shape}; it must be a row a frame, ({len(frames)}, d)"
            )
        return rows


def as_features(features: FrameFunction | Features) -> Features:
    """Return the features as `Features`, made from a plain function."""
    return features if isinstance(features, Features) else Features(features)


def as_blocks(blocks: Any) -> tuple[int, int]:
    """Return (down, across) as ints, or raise what is wrong with them."""
    array = np.asarray(blocks)
    if array.shape != (2,) or array.dtype.kind not in "iu" or array.min() < 1:
        raise ValueError(f"blocks is {blocks!r}; it must be (down, across), each at least 1")
    return int(array[0]), int(array[1])


def name_and_parameters(function: Any) -> tuple[str, dict[str, Any]]:
    """Name of a function, and the keywords that a `functools.partial` binds."""
    parameters: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        parameters = {**function.keywords, **parameters}
        if function.args:
            parameters["arguments"] = [*function.args, *parameters.get("arguments", [])]
        function = function.func
    return getattr(function, "__name__", type(function).__name__), parameters


def as_json(value: Any) -> Any:
    """Return a value as JSON keeps it: arrays and tuples as lists; raise if it cannot."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): as_json(item) for name, item in value.items()}
    if (
        value is None
        or isinstance(value, str | bool | int)
        or (isinstance(value, float) and np.isfinite(value))
    ):
        return value
    raise ValueError(f"{value!r} is not of JSON types; a feature store could not note it")


def finite(given: ArrayLike, origin: str, shape: str, ndim: int) -> NDArray[Any]:
    """Return an array, or raise if it has a mask, another number of axes, nothing in it, NaN or infinity."""
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError(f"{origin} gave a masked array; its mask would be ignored")
    array = np.asarray(given)
    if array.ndim != ndim or array.dtype.kind not in "biuf" or 0 in array.shape[ndim - 1 :]:
        raise ValueError(f"{origin} gave shape {array.shape} of {array.dtype}; it must be numbers, {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{origin} gave NaN or infinity")
    return array
