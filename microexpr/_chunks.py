"""Arrays of a zarr group, read and written in chunks of rows, as damage and kills leave them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def create_array(
    group: Any,
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    rows: int,
    *,
    fill: float = 0,
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """Make an array in chunks of so many rows."""
    from zarr.codecs import Crc32cCodec, GzipCodec

    # Features hardly compress (zstd: 10 %, in four times the time); padded strings do. The checksum
    # is over the bytes as stored, so a file that was cut is an error, not zeros.
    codecs = [Crc32cCodec()]
    if name.startswith("clips/"):
        codecs.insert(0, GzipCodec(level=1))
    return group.create_array(
        name,
        shape=shape,
        chunks=(rows, *shape[1:]),
        dtype=dtype,
        compressors=codecs,
        fill_value=fill,
        attributes=dict(attributes or {}),
        config={"write_empty_chunks": True},
    )


def read_rows(array: Any, n: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read the first n rows of an array; where a chunk is damaged, its fill value and True."""
    torn = np.zeros(n, dtype=bool)
    try:
        return array[:n], torn
    except Exception as error:
        _raise_unless_damage(error)
    values = np.full((n, *array.shape[1:]), array.fill_value, dtype=array.dtype)
    for start in range(0, n, array.chunks[0]):
        chunk, whole = read_chunk(array, start)
        stop = min(n, start + array.chunks[0])
        values[start:stop] = chunk[: stop - start]
        torn[start:stop] = not whole
    return values, torn


def read_chunk(array: Any, start: int) -> tuple[NDArray[Any], bool]:
    """Read the chunk that starts at this row, and whether it is whole; if not, its fill value."""
    stop = min(start + array.chunks[0], array.shape[0])
    try:
        return array[start:stop], True
    except Exception as error:
        _raise_unless_damage(error)
    return np.full((stop - start, *array.shape[1:]), array.fill_value, dtype=array.dtype), False


def write_rows(array: Any, rows: NDArray[np.intp], values: NDArray[Any]) -> None:
    """Write rows of one chunk: zarr puts a chunk's file in place as a whole, so all or none of it."""
    start = int(rows[0]) // array.chunks[0] * array.chunks[0]
    if len(rows) == array.chunks[0]:
        chunk = values
    else:
        chunk, _ = read_chunk(array, start)
        chunk[rows - start] = values
    array[start : start + len(chunk)] = chunk


def checksum(u: NDArray[np.float64]) -> int:
    """CRC-32 of a row of features, little-endian."""
    return zlib.crc32(np.ascontiguousarray(u, dtype="<f8").data)


def _raise_unless_damage(error: Exception) -> None:
    """Which exception a codec raises for damaged bytes is no part of its contract; these it is not."""
    if isinstance(error, (OSError, MemoryError)):
        raise error
