"""Reading, cutting and writing arrays of which only a part fits into memory.

An array here is anything with a shape, a dtype and slices: of NumPy, a memory map, of zarr, h5py or Dask.
What is read of it has the axes (channel, frame, row, column), whatever those of the array are.
"""

import mmap
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import lru_cache
from itertools import pairwise, product
from threading import Lock
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from ltogp import _threads
from ltogp._checks import (
    EPS,
    KERNEL_DTYPES,
    check_array,
    check_channel_axis,
    check_images,
    check_mask,
    refuse_masked,
    refuse_number,
    share_memory,
    to_kernel_dtype,
    warn_if_divided,
)
from ltogp._geometry import border_sources

Tile = tuple[int, int, int, int, int, int]  # frames t0:t1, rows i0:i1 and columns j0:j1 of what is computed

# Of arrays in memory or mapped to it a tile is of this many rows and columns, few rows because they lie
# together; of arrays in chunks it is larger, because a chunk that two tiles share is decoded twice.
_TILE, _TILE_OF_CHUNKS = (512, 4096), (4096, 4096)
# And at most of this many bytes, read or written.
_BYTES, _BYTES_OF_CHUNKS = 1 << 23, 1 << 25
# Smaller memory maps are not worth giving back.
_LARGE = 1 << 26


class Source(NamedTuple):
    """An array, or any object with slices, that holds images."""

    array: Any
    names: list[str]  # of each channel, for errors
    axes: tuple[int, ...]  # which axes of the array hold channel, frame, row and column; -1: it has none
    shape: tuple[int, int, int, int]  # in that order

    def key(self, t: slice, rows: slice, columns: slice) -> tuple[slice, ...]:
        """Return what to index the array with."""
        key = [slice(None)] * len(self.array.shape)
        for axis, part in zip(self.axes[1:], (t, rows, columns), strict=True):
            if axis >= 0:
                key[axis] = part
        return tuple(key)

    def ordered(self, part: NDArray[Any]) -> NDArray[Any]:
        """Give a part of the array the axes (channel, frame, row, column)."""
        part = part.transpose([axis for axis in self.axes if axis >= 0])
        return part[tuple(slice(None) if axis >= 0 else None for axis in self.axes)]

    def restored(self, part: NDArray[Any]) -> NDArray[Any]:
        """Give it the axes of the array again."""
        present = [axis for axis in self.axes if axis >= 0]
        part = part[tuple(slice(None) if axis >= 0 else 0 for axis in self.axes)]
        return part.transpose(np.argsort(present).tolist())


class Place(NamedTuple):
    """Where in the image what was read stands."""

    names: list[str]  # of the channels
    frame: int
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]


class Strip(NamedTuple):
    """The pixels that a tile needs along an axis."""

    runs: list[slice]  # where they stand in the image
    # Which of those is each of the tile; -2 is a zero, and no neighbour of 0. None: they are in order.
    order: NDArray[np.intp] | None
    sources: NDArray[np.intp]  # where each of the tile stands in the image


# -------------------------------------------------------------------------------------------------- arguments


def open_image(image: Any, name: str, channel_axis: Any) -> Source:
    """Check what can be said without reading it."""
    refuse_masked(image, name)
    if not has_slices(image):
        image = check_array(image, name)
    if any(n != n for n in image.shape):  # of a Dask array, NaN
        raise ValueError(f"{name} has shape {image.shape}: call its compute_chunk_sizes() first")
    shape, ndim = tuple(map(int, image.shape)), len(image.shape)
    check_array(np.empty(0, image.dtype), name)
    channels, moved = check_images(np.broadcast_to(np.uint8(0), shape), name, channel_axis)
    c = -1 if channel_axis is None else check_channel_axis(channel_axis, shape, name) % ndim
    rest = [axis for axis in range(ndim) if axis != c]
    axes = (c, rest[0] if len(rest) == 3 else -1, rest[-2], rest[-1])
    n_frames = moved[0] if len(moved) == 3 else 1
    return Source(image, list(channels), axes, (len(channels), n_frames, moved[-2], moved[-1]))


def open_mask(mask: Any, image: Source) -> Source | None:
    if mask is None:
        return None
    refuse_masked(mask, "mask")
    if not has_slices(mask):
        mask = np.asarray(mask)
    frames = image.shape[1:] if image.axes[1] >= 0 else image.shape[2:]
    shape = tuple(map(int, mask.shape))
    check_mask(np.broadcast_to(np.empty((), mask.dtype), shape), frames)
    t = 0 if len(shape) == 3 else -1
    n_frames = shape[0] if t == 0 else 1
    return Source(mask, ["mask"], (-1, t, t + 1, t + 2), (1, n_frames, shape[-2], shape[-1]))


def has_slices(x: Any) -> bool:
    try:
        np.dtype(x.dtype)
    except (AttributeError, TypeError):
        return False
    return hasattr(x, "shape") and hasattr(x, "__getitem__")


def check_writable(out: Any, shape: tuple[int, ...], sources: Sequence[Source | None]) -> None:
    refuse_masked(out, "out")
    if not (has_slices(out) and hasattr(out, "__setitem__")) or is_dask(out):
        raise TypeError(
            f"out is {type(out).__name__}; must be an array, a memory map, or another with slices to write to"
        )
    if tuple(out.shape) != shape:
        raise ValueError(f"out has shape {tuple(out.shape)}; must be {shape}")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ValueError("out is read-only")
    for source in sources:
        if source is not None and (out is source.array or share_memory(out, source.array)):
            raise ValueError(f"out shares memory with {'mask' if source.names == ['mask'] else 'image'}")


def is_dask(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "dask" and hasattr(x, "map_blocks")


def warn_if_quotients(image: Source, stacklevel: int) -> None:
    """Warn as `ltogp.encode` does, of the middle of the image."""
    dtype = np.dtype(image.array.dtype)
    if dtype.kind != "f" or image.shape[1] == 0:
        return
    t = image.shape[1] // 2
    rows, columns = (
        strip(n, max(0, n // 2 - 32), min(n, n // 2 + 32), 0, "nearest") for n in image.shape[2:]
    )
    warn_if_divided(
        read(image, t, t + 1, rows, columns)[0], EPS[dtype.itemsize], image.names[0], stacklevel + 1
    )


# ---------------------------------------------------------------------------------------------------- reading


@lru_cache(1024)
def strip(n: int, start: int, stop: int, reach: int, mode: str) -> Strip:
    """Return pixels start:stop of an axis of n pixels, and `reach` more on both sides."""
    if start >= reach and stop + reach <= n:
        return Strip([slice(start - reach, stop + reach)], None, np.arange(start - reach, stop + reach))
    sources = border_sources(n, reach, mode)[start : stop + 2 * reach]
    wanted = np.zeros(n, bool)
    wanted[sources[sources >= 0]] = True
    edges = np.flatnonzero(np.diff(wanted, prepend=False, append=False))
    order = np.where(sources < 0, -2, np.cumsum(wanted)[sources] - 1)
    return Strip([slice(int(a), int(b)) for a, b in edges.reshape(-1, 2)], order, sources)


def read(source: Source, t0: int, t1: int, rows: Strip, columns: Strip) -> NDArray[Any]:
    """Return the pixels (channel, frame, row, column), without a copy where the array allows it."""
    bands = []
    for r in rows.runs:
        parts = [_read(source, slice(t0, t1), r, c) for c in columns.runs]
        bands.append(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=3))
    stack = bands[0] if len(bands) == 1 else np.concatenate(bands, axis=2)
    for axis, order in ((2, rows.order), (3, columns.order)):
        if order is not None:
            stack = _ordered(stack, order, axis)
    return stack


def _ordered(stack: NDArray[Any], order: NDArray[np.intp], axis: int) -> NDArray[Any]:
    """As stack.take(order, axis), with zeros for -2."""
    before = (slice(None),) * axis
    out = np.empty((*stack.shape[:axis], len(order), *stack.shape[axis + 1 :]), stack.dtype)
    # Nearly all are neighbours, which a slice copies 20 times as fast.
    edges = [0, *(np.flatnonzero(np.diff(order) != 1) + 1).tolist(), len(order)]
    for start, stop in pairwise(edges):
        first = int(order[start])
        source = slice(first, first + stop - start)
        out[(*before, slice(start, stop))] = 0 if first < 0 else stack[(*before, source)]
    return out


def _read(source: Source, t: slice, rows: slice, columns: slice) -> NDArray[Any]:
    part = source.array[source.key(t, rows, columns)]
    refuse_masked(part, source.names[0])
    return source.ordered(np.asarray(part))


def to_kernel(stack: NDArray[Any], name: str) -> NDArray[Any]:
    return stack if stack.dtype in KERNEL_DTYPES else to_kernel_dtype(stack, name)


def refuse_beyond(stack: NDArray[Any], limit: Any, name: str, place: Place) -> NoReturn:
    """Say which is the first number that is none, and where."""
    t, y, x = np.argwhere(~(np.abs(stack) <= limit))[0]
    refuse_number(
        stack[t, y, x], limit, name, place.frame + int(t), int(place.rows[y]), int(place.columns[x])
    )


# -------------------------------------------------------------------------------------------------- computing


def cut(
    image: Source,
    wanted: tuple[int, int, int],
    n_bytes: int,
    stride: tuple[int, int],
    tile: Any,
    out: Any,
    out_axes: tuple[int, ...],
) -> list[Tile]:
    """Cut what is wanted (frames, rows, columns), of n_bytes each, into tiles.

    Row i of it is of the pixels from i*stride[0] on. Axes `out_axes` of `out` are its frames, rows, columns,
    -1 if it has none: where `out` is stored in chunks, tiles are whole ones, because two threads cannot both
    change one chunk.
    """
    chunks = getattr(out, "shards", None) or getattr(out, "chunks", None)
    steps = _steps(image, wanted, n_bytes, stride, tile)
    for k, axis in enumerate(out_axes):
        if chunks and axis >= 0:
            chunk = int(chunks[axis])
            steps[k] = max(1, steps[k] // chunk if tile is None else -(-steps[k] // chunk)) * chunk
    cuts = [[(a, min(a + step, n)) for a in range(0, n, step)] for n, step in zip(wanted, steps, strict=True)]
    return [(*t, *i, *j) for t, i, j in product(*cuts)]


def _steps(
    image: Source, wanted: tuple[int, int, int], n_bytes: int, stride: tuple[int, int], tile: Any
) -> list[int]:
    if tile is not None:
        return [1, *(-(-n // step) for n, step in zip(tile, stride, strict=True))]
    chunked = bool(getattr(image.array, "chunks", None))
    limit = _BYTES_OF_CHUNKS if chunked else _BYTES
    height, width = (
        min(n, most) for n, most in zip(image.shape[2:], _TILE_OF_CHUNKS if chunked else _TILE, strict=True)
    )
    a_pixel = max(image.shape[0] * np.dtype(image.array.dtype).itemsize, n_bytes / (stride[0] * stride[1]))
    while height * width * a_pixel > limit and max(height, width) > 1:
        height, width = (height, -(-width // 2)) if width > height else (-(-height // 2), width)
    frames = max(1, int(limit // (image.shape[2] * image.shape[3] * a_pixel)))
    return [frames, -(-height // stride[0]), -(-width // stride[1])]


def run(compute: Callable[[Tile], Any], tiles: Sequence[Tile], threads: int, arrays: Sequence[Any]) -> None:
    """Compute each tile. Of `arrays`, what is mapped is given back after each.

    Of the errors, that of the first tile is raised, whichever thread met one first; no tile behind it is
    begun after it.
    """
    maps = [m for m in map(_map_of, arrays) if m is not None]
    failed: dict[int, Exception] = {}
    lock = Lock()
    last = len(tiles)

    def one(k: int) -> int:
        nonlocal last
        if k > last:
            return -1
        try:
            compute(tiles[k])
        except Exception as error:
            with lock:
                failed[k] = error
                last = min(last, k)
        for m in maps:
            m.madvise(mmap.MADV_DONTNEED)
        return -1

    try:
        _threads.run(one, [(k,) for k in range(len(tiles))], threads)
    except BaseException:  # Ctrl-C, while other threads work
        last = -1
        raise
    if failed:
        raise failed[min(failed)]


def _map_of(array: Any) -> Any:
    """Return the memory map of an array, if it is a large one of a file that others see.

    Its pages count as this process's memory until they are given back, which costs nothing: the system keeps
    them as long as it has room.
    """
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    m = getattr(array, "_mmap", None)
    # Mode "c" has pages that are in no file.
    fitting = m is not None and array.mode != "c" and len(m) >= _LARGE
    return m if fitting and hasattr(mmap, "MADV_DONTNEED") and hasattr(m, "madvise") else None


def writer(out: Any) -> Callable[[tuple[Any, ...], NDArray[Any]], None]:
    """Return a function that writes a tile to `out`: one thread at a time if it is not known to bear more."""
    chunked = getattr(out, "chunks", None) is not None
    lock = nullcontext() if isinstance(out, np.ndarray) or chunked else Lock()

    def write(key: tuple[Any, ...], values: NDArray[Any]) -> None:
        with lock:
            out[key] = values.astype(out.dtype, copy=False)

    return write
