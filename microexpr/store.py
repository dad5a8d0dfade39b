"""Features of clips on disk: a zarr group that needs nothing of this package to be read (docs/store.md)."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .data.readers import import_pandas

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FeatureStore", "StoreError"]

Blocks = tuple[int, int]

FORMAT = "microexpr-features"
FORMAT_VERSION = 1

#: Raised by one whenever the same frames and parameters would give other features than before: what older
#: versions wrote is then computed again.
ALGORITHM = 1

# One writer owns a chunk of rows. 32 rows of 8 x 8 blocks are 4 MB: a million clips make 31,250 files a
# grid, and a killed writer loses at most 31 clips that were done.
_ROWS = 32
_TABLE_ROWS = 4096  # columns of the table: written all at once, by one process
_WIDTH = 256  # bytes of a string: no file system has longer names

_TEXTS = ("dataset", "subject", "clip", "emotion", "action_units")
_NUMBERS = ("onset", "apex", "offset")
# Shape and dtype of a row of each column of the table. `listed` is last: a row that was being registered when
# the process died is no clip.
_COLUMNS: dict[str, tuple[tuple[int, ...], str]] = {
    **dict.fromkeys(_TEXTS, ((_WIDTH,), "uint8")),
    **dict.fromkeys(_NUMBERS, ((), "int64")),
    "listed": ((), "uint8"),
}
_ABSENT, _OUTDATED, _DAMAGED = "not extracted", "outdated", "damaged"


class StoreError(ValueError):
    """A feature store that cannot be read or written as asked; the message says which, where and why."""


class FeatureStore:
    """Features of clips on disk, one row a clip, for any number of block grids side by side.

    Each row of a grid is there whole or not at all, whenever the writer was stopped: what identifies its
    content is written after it and checked against it (see docs/store.md for the format).

    Parameters
    ----------
    path : path
        The store's folder, by convention ``*.zarr``.
    mode : {"r", "a"}
        ``"r"``: read. ``"a"``: also write, and make the store if it is not there.
    parameters : dict, optional
        JSON types. What the features are computed with, the same for all rows: needed to make a store, and
        compared with the store's if it is there.

    Attributes
    ----------
    path : pathlib.Path
    parameters : dict
    versions : list of dict
        Versions of the software that wrote into it, oldest first.

    Raises
    ------
    StoreError
        If there is no feature store at `path` (``"r"``) or something else is (``"a"``), it is of a newer
        format, it was made with other parameters, or a part of it that belongs to no single clip is damaged.
    ModuleNotFoundError
        If zarr or pandas is not installed.

    Examples
    --------
    >>> import tempfile, microexpr
    >>> from microexpr.store import FeatureStore
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     root = microexpr.simulate(folder + "/data", subjects=2, clips=4, frames=(3, 4))
    ...     table = microexpr.read_casme2(root)
    ...     _ = microexpr.extract(table, folder + "/x.zarr", blocks=[(8, 8), (4, 4)])
    ...     store = FeatureStore(folder + "/x.zarr")
    ...     store.blocks, store.load((8, 8)).shape
    ([(4, 4), (8, 8)], (4, 16384))
    """

    #: Rows of a chunk of the features: what one writer owns.
    chunk_rows = _ROWS

    def __init__(
        self, path: str | os.PathLike[str], mode: str = "r", parameters: Mapping[str, Any] | None = None
    ) -> None:
        if mode not in ("r", "a"):
            raise ValueError(f'mode is {mode!r}; it must be "r" or "a"')
        self._zarr = _import_zarr()
        self.path, self.mode = Path(path), mode
        self._group = self._open(parameters)
        attributes = dict(self._group.attrs)
        self.parameters: dict[str, Any] = attributes["parameters"]
        self.versions: list[dict[str, str]] = attributes["versions"]
        self._prefix = hashlib.sha256(json.dumps([ALGORITHM, self.parameters], sort_keys=True).encode())
        if parameters is not None and dict(parameters) != self.parameters:
            names = sorted({*parameters, *self.parameters})
            differ = [n for n in names if parameters.get(n) != self.parameters.get(n)]
            theirs = ", ".join(f"{n}={self.parameters.get(n)!r}" for n in differ)
            ours = ", ".join(f"{n}={parameters.get(n)!r}" for n in differ)
            raise StoreError(f"{self.path} was made with {theirs}, not {ours}; give another store for that")
        self._read_table()

    # -- reading ---------------------------------------------------------------------------------------------

    @property
    def blocks(self) -> list[Blocks]:
        """Block grids that the store holds, (down, across) each, in order."""
        names = self._group["u"].array_keys() if "u" in self._group else ()
        return sorted((int(down), int(across)) for down, across in (name.split("x") for name in names))

    @property
    def table(self) -> pd.DataFrame:
        """The clips: dataset, subject, clip, emotion, onset, apex, offset, action_units, n_frames.

        One row per clip that was ever registered, whether its features are there or not; the index is the
        row in the arrays. Unknown numbers are NA; n_frames is that of the frames described.
        """
        pd = import_pandas()
        rows = np.flatnonzero(self._listed)
        columns: dict[str, Any] = {name: _decode(self._columns[name][rows]) for name in _TEXTS[:4]}
        for name in _NUMBERS:
            numbers = self._columns[name][rows]
            columns[name] = pd.array(numbers, dtype="Int64")
            columns[name][numbers < 0] = pd.NA
        columns["action_units"] = _decode(self._columns["action_units"][rows])
        columns["n_frames"] = self._whole("frames/count")[rows]
        return pd.DataFrame(columns, index=pd.Index(rows))

    def complete(self, blocks: Sequence[Blocks] | None = None) -> pd.DataFrame:
        """Rows of `table` that each of these grids (by default all there are) has, up to date and whole."""
        table = self.table
        kept = np.ones(len(table), dtype=bool)
        for grid in self.blocks if blocks is None else blocks:
            kept[[position for position, _ in self.missing(grid, table)]] = False
        return table[kept].reset_index(drop=True)

    def load(self, blocks: Blocks, table: pd.DataFrame | None = None) -> NDArray[np.float64]:
        """Load the features of one grid.

        Parameters
        ----------
        blocks : (int, int)
            The grid.
        table : pandas.DataFrame, optional
            Clips wanted, by the columns dataset, subject and clip; by default those of
            ``complete([blocks])``.

        Returns
        -------
        ndarray of shape (n, d)
            In the order of the table.

        Raises
        ------
        StoreError
            If the store has no such grid, or not all the clips of `table`, or some are outdated or damaged.
        """
        X, whys = self._read(blocks, self._rows(self.table if table is None else table))
        bad = [position for position, why in enumerate(whys) if why]
        if table is None:
            return X if not bad else np.delete(X, bad, axis=0)
        if bad:
            row = table.iloc[bad[0]]
            raise StoreError(
                f"{self.path} lacks {len(bad)} of the {len(table)} clips in {_name(blocks)} blocks: "
                f"{row['dataset']} {row['subject']}/{row['clip']} is {whys[bad[0]]}"
                f"{', and so on' if len(bad) > 1 else ''}; extract them again into it"
            )
        return X

    def missing(self, blocks: Blocks, table: pd.DataFrame | None = None) -> list[tuple[int, str]]:
        """Positions in the table of the clips that `load` would refuse, and why, reading every row asked for.

        The reasons are ``"not extracted"``, ``"outdated"`` (by other source files or an older algorithm) and
        ``"damaged"``.
        """
        whys = self._read(blocks, self._rows(self.table if table is None else table), keep=False)[1]
        return [(position, why) for position, why in enumerate(whys) if why]

    def digest(self, table: pd.DataFrame | None = None) -> str:
        """SHA-256 of which clips these are and what is in their files, in any order, wherever they lie."""
        wanted = self.table if table is None else table
        contents = self._whole("frames/content")
        lines = []
        for identity, row in zip(_identities(wanted), self._rows(wanted), strict=True):
            if row < 0 or not contents[row].any():
                raise StoreError(f"{self.path}: {'/'.join(identity)} is {_ABSENT}")
            lines.append(json.dumps([*identity, contents[row].tobytes().hex()]))
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def mean_face(self, table: pd.DataFrame | None = None) -> NDArray[np.float64]:
        """Mean of the clips' mean frames, in grey levels, shape (height, width)."""
        wanted = self._rows(self.table if table is None else table)
        counts, faces = self._whole("frames/count"), self._array("frames/mean")
        total, n = np.zeros(faces.shape[1:]), 0
        for start in np.unique(wanted[wanted >= 0] // _ROWS) * _ROWS:
            rows = wanted[(wanted // _ROWS == start // _ROWS) & (counts[wanted] > 0)]
            chunk, whole = _chunk(faces, int(start))
            if whole:
                total += chunk[rows - start].sum(axis=0, dtype=float)
                n += len(rows)
        if not n:
            raise StoreError(
                f"{self.path} has no mean frame of any of these clips; extract them again into it"
            )
        return total / n

    # -- writing ---------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second run from registering clips while this one does; freed when the process ends."""
        try:
            import fcntl
        except ModuleNotFoundError:  # Windows: left to the user
            yield
            return
        folder = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(f"{self.path}: another run is writing into this store") from None
            self._read_table()  # what that run registered before
            yield
        finally:
            os.close(folder)

    def register(self, table: pd.DataFrame, blocks: Sequence[Blocks]) -> NDArray[np.intp]:
        """Give each clip of a table a row, and each grid its arrays; return the rows.

        Clips that have a row keep it, and their columns (a corrected emotion, for example) are written anew.
        For one process at a time (see `lock`).
        """
        identities = _identities(table)
        twice = [identity for identity, count in Counter(identities).items() if count > 1]
        if twice:
            raise StoreError(f"the table names {len(twice)} clip(s) twice, the first {'/'.join(twice[0])}")
        known = self._index
        new = [identity for identity in identities if identity not in known]
        n_old, n = len(self._listed), len(self._listed) + len(new)
        rows_of = {**known, **{identity: n_old + k for k, identity in enumerate(new)}}
        rows = np.array([rows_of[identity] for identity in identities], dtype=np.intp)

        self._require("frames/count", (n,), "int64")
        self._require("frames/content", (n, 32), "uint8")
        self._require("frames/stat", (n, 32), "uint8")
        self._require("frames/mean", (n, *self.parameters["size"]), "uint8")
        for down, across in dict.fromkeys([*blocks, *self.blocks]):
            self._require(f"u/{down}x{across}", (n, down * across * 256), "float64", fill=np.nan)
            self._require(f"key/{down}x{across}", (n, 32), "uint8")
            self._require(f"crc/{down}x{across}", (n,), "uint32")
        for name, (shape, dtype) in _COLUMNS.items():
            values: Any = 1
            if name != "listed":
                column = _subjects(table) if name == "subject" else table.get(name, [None] * len(table))
                values = _encode(column) if name in _TEXTS else [_number(value) for value in column]
            old = self._columns[name]
            wanted = np.concatenate([old, np.zeros((len(new), *shape), dtype)])
            wanted[rows] = values
            self._require(f"clips/{name}", (n, *shape), dtype, _TABLE_ROWS)
            if new or name in self._torn or (wanted != old).any():
                self._array(f"clips/{name}")[:n] = wanted
        self._read_table()
        return rows

    def write(
        self,
        rows: NDArray[np.intp],
        features: Mapping[Blocks, NDArray[np.float64]],
        *,
        content: NDArray[np.uint8],
        stat: NDArray[np.uint8],
        count: NDArray[np.integer],
        mean: NDArray[np.uint8],
    ) -> None:
        """Write the features of clips that are registered and lie in one chunk of rows.

        Several processes may do this at once, each with its own chunks (32 rows from a multiple of 32 on).

        Parameters
        ----------
        rows : ndarray of shape (k,)
            As `register` gave them, increasing.
        features : dict
            For each grid an array of shape (k, d).
        content : ndarray of shape (k, 32)
            SHA-256 of the clips' source files.
        stat : ndarray of shape (k, 32)
            SHA-256 of their names, sizes and times.
        count : ndarray of shape (k,)
            Frames described.
        mean : ndarray of shape (k, height, width)
            Mean frames.
        """
        if len(set(rows // _ROWS)) != 1:
            raise ValueError(f"rows {rows.min()} to {rows.max()} lie in more than one chunk of {_ROWS}")
        # A key is what makes a row count. It goes first if there is one, and comes back last, so that whoever
        # reads between, or after the process was killed between, finds the row absent.
        for blocks in features:
            key = self._array(f"key/{_name(blocks)}")
            if _chunk(key, rows[0] // _ROWS * _ROWS)[0][rows % _ROWS].any():
                _put(key, rows, np.zeros((len(rows), 32), np.uint8))
        for name, values in (("stat", stat), ("content", content), ("count", count), ("mean", mean)):
            _put(self._array(f"frames/{name}"), rows, values)
        for blocks, u in features.items():
            _put(self._array(f"u/{_name(blocks)}"), rows, u)
            _put(self._array(f"crc/{_name(blocks)}"), rows, np.array([_crc(row) for row in u], np.uint32))
            keys = [np.frombuffer(self._key(blocks, row), np.uint8) for row in content]
            _put(self._array(f"key/{_name(blocks)}"), rows, np.stack(keys))

    def write_stat(self, rows: NDArray[np.intp], stat: NDArray[np.uint8]) -> None:
        """Write names, sizes and times of files whose contents were found to be the same."""
        for start in np.unique(rows // _ROWS):
            here = rows // _ROWS == start
            _put(self._array("frames/stat"), rows[here], stat[here])

    def sources(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return `content` and `stat` of these rows as they were written; zeros where they were not."""
        return self._whole("frames/content")[rows], self._whole("frames/stat")[rows]

    def record(self, versions: Mapping[str, str]) -> None:
        """Note the versions of the software that is about to write."""
        if dict(versions) not in self.versions:
            self.versions = [*self.versions, dict(versions)]
            self._group.attrs["versions"] = self.versions

    # -- parts ---------------------------------------------------------------------------------------------

    def _open(self, parameters: Mapping[str, Any] | None) -> Any:
        path = self.path
        # A process killed at once leaves an empty folder, or one with a file that it had not put in place.
        if not path.exists() or (path.is_dir() and all(p.suffix == ".partial" for p in path.iterdir())):
            if self.mode == "r":
                raise StoreError(f"{path}: there is no feature store; extract into it first")
            if parameters is None:
                raise StoreError(f"{path}: there is no feature store, and parameters are needed to make one")
            if not path.parent.is_dir():
                raise StoreError(f"{path.parent}: no such folder to make a store in; make it first")
            attributes = {"format": FORMAT, "format_version": FORMAT_VERSION, "versions": []}
            return self._zarr.create_group(path, attributes={**attributes, "parameters": dict(parameters)})
        try:
            group = self._zarr.open_group(path, mode="r" if self.mode == "r" else "r+", zarr_format=3)
            version = group.attrs["format_version"] if group.attrs["format"] == FORMAT else None
        except PermissionError:
            raise
        except (OSError, ValueError, KeyError):
            version = None
        if version is None:
            raise StoreError(f"{path} is not a feature store of microexpr; give another path")
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{path} is in format {version}; this version of microexpr reads format {FORMAT_VERSION}"
            )
        return group

    def _require(
        self, name: str, shape: tuple[int, ...], dtype: str, rows: int = _ROWS, fill: float = 0
    ) -> None:
        """Make an array unless it is there, and see that it has that many rows."""
        array = self._array(name)
        if array is not None:
            if array.shape[0] < shape[0]:
                array.resize(shape)
            return
        # Features hardly compress (zstd: 10 %, in four times the time); padded strings do. The checksum
        # is over the bytes as stored, so a file that was cut is an error, not zeros.
        codecs = [self._zarr.codecs.Crc32cCodec()]
        if name.startswith("clips/"):
            codecs.insert(0, self._zarr.codecs.GzipCodec(level=1))
        self._known[name] = self._group.create_array(
            name,
            shape=shape,
            chunks=(rows, *shape[1:]),
            dtype=dtype,
            compressors=codecs,
            fill_value=fill,
            config={"write_empty_chunks": True},
        )

    def _array(self, name: str) -> Any:
        """Return the array of that name, opened once, or None."""
        if name not in self._known and name in self._group:
            self._known[name] = self._group[name]
        return self._known.get(name)

    def _read_table(self) -> None:
        """Read the columns of the table; in mode "a", a damaged one is mended by `register`."""
        self._known: dict[str, Any] = {}
        listed = self._array("clips/listed")
        if listed is None and self.mode == "r":
            raise StoreError(f"{self.path} was not made to its end; extract into it again")
        n = 0 if listed is None else listed.shape[0]
        self._torn: set[str] = set()
        self._columns: dict[str, NDArray[Any]] = {}
        lost = np.zeros(n, dtype=bool)
        for name, (shape, dtype) in _COLUMNS.items():
            if n == 0:
                self._columns[name] = np.zeros((0, *shape), dtype)
                continue
            self._columns[name], torn = _all(self._array(f"clips/{name}"), n)
            if torn.any():
                self._torn.add(name)
                if name in _TEXTS[:3]:  # nobody knows any more which clips these are
                    lost |= torn
        # A file that is gone reads as zeros: a clip without a name.
        lost |= (self._columns["listed"] == 1) & ~self._columns["clip"].any(axis=1)
        if self.mode == "r" and (self._torn or lost.any()):
            name = min(self._torn, default="clip")
            raise StoreError(f"{self.path}: clips/{name} is damaged; extract into it again")
        if lost.any():
            self._columns["listed"][lost] = 0
            self._torn.add("listed")
        self._listed = self._columns["listed"] == 1
        identities = zip(*(_decode(self._columns[name]) for name in _TEXTS[:3]), strict=True)
        self._index = {identity: row for row, identity in enumerate(identities) if self._listed[row]}

    def _rows(self, table: pd.DataFrame) -> NDArray[np.intp]:
        """Row of each clip, -1 where there is none."""
        return np.array([self._index.get(identity, -1) for identity in _identities(table)], dtype=np.intp)

    def _whole(self, name: str) -> NDArray[Any]:
        return _all(self._array(name), len(self._listed))[0]

    def _read(
        self, blocks: Blocks, rows: NDArray[np.intp], keep: bool = True
    ) -> tuple[NDArray[np.float64], list[str]]:
        """Features of these rows (none if not to keep) and, for each of them, what is wrong with it or ""."""
        name = _name(blocks)
        u, keys, crcs = (self._array(f"{part}/{name}") for part in ("u", "key", "crc"))
        if u is None or keys is None or crcs is None:
            there = ", ".join(map(_name, self.blocks)) or "none"
            raise StoreError(f"{self.path} has no features in {name} blocks; it has {there}")
        keys, crcs = self._whole(f"key/{name}"), self._whole(f"crc/{name}")
        contents = self._whole("frames/content")
        X = np.empty((len(rows) if keep else 0, u.shape[1]))
        whys = [_ABSENT] * len(rows)
        positions = np.flatnonzero(rows >= 0)
        for start in np.unique(rows[positions] // _ROWS) * _ROWS:
            chunk, whole = None, True
            for position in positions[rows[positions] // _ROWS * _ROWS == start]:
                row = rows[position]
                if not keys[row].any():
                    continue
                if keys[row].tobytes() != self._key(blocks, contents[row]):
                    whys[position] = _OUTDATED
                    continue
                if chunk is None:
                    chunk, whole = _chunk(u, int(start))
                values = chunk[row - start]
                whys[position] = "" if whole and _crc(values) == crcs[row] else _DAMAGED
                if keep:
                    X[position] = values
        return X, whys

    def _key(self, blocks: Blocks, content: NDArray[np.uint8]) -> bytes:
        key = self._prefix.copy()
        key.update(_name(blocks).encode() + content.tobytes())
        return key.digest()


def _import_zarr() -> Any:
    try:
        import zarr
        import zarr.codecs
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"feature stores need zarr ({error}); install microexpr[store]") from error
    return zarr


def _name(blocks: Blocks) -> str:
    return f"{blocks[0]}x{blocks[1]}"


def _subjects(table: pd.DataFrame) -> Iterator[str]:
    """Subjects without the data set's name that `combine` puts before them."""
    for dataset, subject in zip(table["dataset"], table["subject"], strict=True):
        yield str(subject).removeprefix(f"{dataset}/")


def _identities(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    return list(zip(map(str, table["dataset"]), _subjects(table), map(str, table["clip"]), strict=True))


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):  # NA
        return -1


def _encode(texts: Iterable[Any]) -> NDArray[np.uint8]:
    """UTF-8, padded with zero bytes."""
    encoded = [str("" if text is None else text).encode() for text in texts]
    longest = max(encoded, key=len, default=b"")
    if len(longest) > _WIDTH:
        raise StoreError(
            f"{longest.decode()!r} has {len(longest)} bytes; a store's strings have at most {_WIDTH}"
        )
    return np.array(encoded, dtype=f"S{_WIDTH}").view(np.uint8).reshape(-1, _WIDTH)


def _decode(column: NDArray[np.uint8]) -> NDArray[Any]:
    texts = np.empty(len(column), dtype=object)
    texts[:] = [row.tobytes().rstrip(b"\0").decode("utf-8", "replace") for row in column]
    return texts


def _crc(u: NDArray[np.float64]) -> int:
    return zlib.crc32(np.ascontiguousarray(u, dtype="<f8").data)


def _all(array: Any, n: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read the first n rows of an array; where a chunk is damaged, its fill value and True."""
    torn = np.zeros(n, dtype=bool)
    try:
        return array[:n], torn
    except Exception as error:
        _raise_unless_damage(error)
    values = np.full((n, *array.shape[1:]), array.fill_value, dtype=array.dtype)
    for start in range(0, n, array.chunks[0]):
        chunk, whole = _chunk(array, start)
        stop = min(n, start + array.chunks[0])
        values[start:stop] = chunk[: stop - start]
        torn[start:stop] = not whole
    return values, torn


def _chunk(array: Any, start: int) -> tuple[NDArray[Any], bool]:
    """Read the chunk that starts at this row, and whether it is whole; if not, its fill value."""
    stop = min(start + array.chunks[0], array.shape[0])
    try:
        return array[start:stop], True
    except Exception as error:
        _raise_unless_damage(error)
    return np.full((stop - start, *array.shape[1:]), array.fill_value, dtype=array.dtype), False


def _raise_unless_damage(error: Exception) -> None:
    """Which exception a codec raises for damaged bytes is no part of its contract; these it is not."""
    if isinstance(error, (OSError, MemoryError)):
        raise error


def _put(array: Any, rows: NDArray[np.intp], values: NDArray[Any]) -> None:
    """Write rows of one chunk: zarr puts a chunk's file in place as a whole, so all or none of it."""
    start = int(rows[0]) // array.chunks[0] * array.chunks[0]
    if len(rows) == array.chunks[0]:
        chunk = values
    else:
        chunk, _ = _chunk(array, start)
        chunk[rows - start] = values
    array[start : start + len(chunk)] = chunk
