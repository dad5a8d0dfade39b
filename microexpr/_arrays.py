"""The arrays of a feature store, read and written in chunks of rows, as damage and kills leave them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, GzipCodec

from ._objects import Objects
from ._store_format import DamagedStoreError, Layout, check_array, layout_of

_AT_ONCE = 1 << 24  # bytes: as many chunks as one read takes, which zarr fetches side by side


class Arrays:
    """The arrays of a store by their names; `layout_of` says how each is stored.

    In a store that is read, a damaged zarr.json of an array is an error. In one that is written, the array is
    absent until `require` makes it again, around the chunks that are there.
    """

    def __init__(self, objects: Objects, size: tuple[int, int], writable: bool) -> None:
        self.objects, self.writable = objects, writable
        self._size = size
        self._known: dict[str, Any] = {}

    def forget(self) -> None:
        """Look anew at what others may have changed."""
        self._known = {}

    def names(self, folder: str) -> list[str]:
        """Names of the arrays below a folder."""
        return [name for name in self.objects.names(folder) if name != "zarr.json"]

    def get(self, name: str) -> Any:
        """Return zarr's array of that name, opened once, or None."""
        array = self._known.get(name)  # a worker's threads share a store: another may `forget` meanwhile
        if array is None:
            try:
                if self._look_at(name) is None:
                    return None
            except DamagedStoreError:
                if not self.writable:
                    raise
                return None
            array = self._known[name] = zarr.open_array(
                self.objects.zarr, path=name, mode="r+" if self.writable else "r", zarr_format=3
            )
        return array

    def attributes(self, name: str) -> dict[str, Any]:
        """Return an array's attributes; none if it is not there."""
        array = self.get(name)
        return {} if array is None else dict(array.attrs)

    def require(
        self, name: str, n: int, length: int | None = None, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Make an array unless it is there, and see that it has n rows at least: whole chunks of them.

        Whole ones, so that nobody who knows fewer rows writes fewer of a chunk. For one process at a time,
        after `forget`: zarr would make an array smaller that another one enlarged, and delete its chunks.
        """
        layout = self._layout(name)
        n = -(-n // layout.rows) * layout.rows
        array = self.get(name)
        if array is None:
            shape = layout.shape if length is None else (length,)
            self.objects.delete(f"{name}/zarr.json")  # a damaged one; the chunks stay
            self._known[name] = zarr.create_array(
                self.objects.zarr,
                name=name,
                shape=(n, *shape),
                chunks=(layout.rows, *shape),
                dtype=layout.dtype,
                compressors=[*([GzipCodec(level=1)] if layout.compressed else []), Crc32cCodec()],
                fill_value=layout.fill,
                attributes=dict(attributes or {}),
                config={"write_empty_chunks": True},
            )
        elif array.shape[0] < n:
            array.resize((n, *array.shape[1:]))

    def read(self, name: str, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Read these rows; the fill value where there are none, or their chunk is damaged."""
        layout, array = self._layout(name), self.get(name)
        shape = layout.shape if array is None else array.shape[1:]
        values = np.full((len(rows), *shape), layout.fill, layout.dtype)
        if array is not None:
            row_bytes = max(1, int(np.prod(shape)) * values.itemsize)
            for start, stop, positions in spans(rows, layout.rows, row_bytes):
                values[positions] = self._span(array, layout, start, stop)[rows[positions] - start]
        return values

    def write(self, name: str, rows: NDArray[np.intp], values: NDArray[Any]) -> None:
        """Write rows, in rising order: a chunk's object is put in place as a whole, so all or none of it."""
        layout, array = self._layout(name), self.get(name)
        for chunk in np.unique(rows // layout.rows):
            here = rows // layout.rows == chunk
            start, stop = int(chunk) * layout.rows, (int(chunk) + 1) * layout.rows
            if here.all() and len(rows) == layout.rows:
                array[start:stop] = values
                continue
            whole = self._span(array, layout, start, stop)
            whole[rows[here] - start] = values[here]
            array[start:stop] = whole

    def damage(self, name: str, rows: NDArray[np.intp]) -> list[str]:
        """Say what is wrong with an array's zarr.json, or with which chunks of these rows."""
        layout = self._layout(name)
        try:
            if self._look_at(name) is None:
                return ["zarr.json is gone"]
        except DamagedStoreError as error:
            return [str(error).partition(f"{name}/")[2].rpartition(";")[0]]
        array, found = self.get(name), []
        for chunk in np.unique(rows // layout.rows):
            if self.objects.get(self._key(name, int(chunk))) is None:
                found.append(f"chunk {chunk} is gone")
            elif self._chunk(array, layout, int(chunk) * layout.rows) is None:
                found.append(f"chunk {chunk} is damaged")
        return found

    def _key(self, name: str, chunk: int) -> str:
        return f"{name}/c/{chunk}" + "/0" * len(self._layout(name).shape)

    def _look_at(self, name: str) -> tuple[int, dict[str, Any]] | None:
        """Check an array's zarr.json; None if there is none."""
        raw = self.objects.get(f"{name}/zarr.json")
        if raw is None:
            return None
        layout = self._layout(name)
        codecs = ["bytes", "gzip", "crc32c"] if layout.compressed else ["bytes", "crc32c"]
        try:
            return check_array(raw, layout, codecs)
        except ValueError as error:
            raise DamagedStoreError(
                f"{self.objects.title}: {name}/zarr.json is damaged: {error}; extract into it again"
            ) from error

    def _layout(self, name: str) -> Layout:
        return layout_of(name, self._size)

    def _span(self, array: Any, layout: Layout, start: int, stop: int) -> NDArray[Any]:
        """Read whole chunks; the fill value where one is damaged, or beyond the array."""
        try:
            values = array[start:stop]
        except Exception as error:
            _raise_unless_damage(error)
            values = np.full((stop - start, *array.shape[1:]), layout.fill, layout.dtype)
            for first in range(start, stop, layout.rows):
                chunk = self._chunk(array, layout, first)
                if chunk is not None:
                    values[first - start : first - start + len(chunk)] = chunk
        if len(values) < stop - start:
            absent = np.full((stop - start - len(values), *array.shape[1:]), layout.fill, layout.dtype)
            values = np.concatenate([values, absent])
        return values

    def _chunk(self, array: Any, layout: Layout, start: int) -> NDArray[Any] | None:
        """Read the chunk that starts at this row; None if it is damaged."""
        try:
            return array[start : start + layout.rows]
        except Exception as error:
            _raise_unless_damage(error)
        return None


def spans(
    rows: NDArray[np.intp], chunk_rows: int, row_bytes: int
) -> Iterator[tuple[int, int, NDArray[np.intp]]]:
    """Yield (start, stop, positions in `rows`) of runs of whole chunks that hold them, none of them large."""
    most = max(1, _AT_ONCE // (chunk_rows * row_bytes))
    order = np.argsort(rows, kind="stable")
    chunks, begins = np.unique(rows[order] // chunk_rows, return_index=True)
    ends = np.append(begins[1:], len(order))
    first = 0
    for k in range(1, len(chunks) + 1):
        if k == len(chunks) or chunks[k] != chunks[k - 1] + 1 or k - first == most:
            start, stop = int(chunks[first]) * chunk_rows, (int(chunks[k - 1]) + 1) * chunk_rows
            yield start, stop, order[begins[first] : ends[k - 1]]
            first = k


def checksums(*columns: NDArray[Any]) -> NDArray[np.uint32]:
    """CRC-32 of each row, its columns one after the other, little-endian."""
    n = len(columns[0])
    if n == 0:
        return np.empty(0, dtype=np.uint32)
    parts = [np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("<")) for column in columns]
    lines = [part.reshape(n, -1).view(np.uint8) for part in parts]
    joined = lines[0] if len(lines) == 1 else np.concatenate(lines, axis=1)
    return np.array([zlib.crc32(line.data) for line in joined], dtype=np.uint32)


def _raise_unless_damage(error: Exception) -> None:
    """Which exception a codec raises for damaged bytes is no part of its contract; these it is not."""
    if isinstance(error, (OSError, MemoryError)) and not isinstance(error, gzip.BadGzipFile):
        raise error
