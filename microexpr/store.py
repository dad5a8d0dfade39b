"""Features of clips on disk: a zarr group that needs nothing of this package to be read (docs/store.md)."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._chunks import checksum, create_array, read_chunk, read_rows, write_rows
from ._extras import require
from ._filling import Filling
from ._store_format import (
    CHUNK_ROWS,
    COLUMNS,
    NUMBERS,
    TABLE_ROWS,
    TEXTS,
    Blocks,
    Kind,
    StoreError,
    decode_texts,
    encode_texts,
    identities,
    kind_of,
    name_of,
    open_group,
    subjects_of,
    title_of,
    whole_number,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FeatureStore", "StoreError"]

#: Raised by one whenever the same frames and parameters would give other features than before: what older
#: versions wrote is then computed again.
ALGORITHM = 2

_ABSENT, _OUTDATED, _DAMAGED = "not extracted", "outdated", "damaged"


class FeatureStore:
    """Features of clips on disk, one row a clip, for any number of block grids and other kinds side by side.

    Each row of a kind is there whole or not at all, whenever the writer was stopped: what identifies its
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

    def __init__(
        self, path: str | os.PathLike[str], mode: str = "r", parameters: Mapping[str, Any] | None = None
    ) -> None:
        if mode not in ("r", "a"):
            raise ValueError(f'mode is {mode!r}; it must be "r" or "a"')
        require("a feature store", "store")
        self.path, self.mode = Path(path), mode
        self._group = open_group(self.path, mode, parameters)
        attributes = dict(self._group.attrs)
        self.parameters: dict[str, Any] = attributes["parameters"]
        self.versions: list[dict[str, str]] = attributes["versions"]
        self._prefix = hashlib.sha256(json.dumps([ALGORITHM, self.parameters], sort_keys=True).encode())
        self._parameters_of: dict[Kind, dict[str, Any]] = {}  # of kinds that are being written
        self._read_table()

    # -- reading ---------------------------------------------------------------------------------------------

    @property
    def blocks(self) -> list[Blocks]:
        """Block grids of LTOGP that the store holds, (down, across) each, in order."""
        return sorted(kind for kind in self._kinds if not isinstance(kind, str))

    @property
    def features(self) -> list[str]:
        """Names of the other features that the store holds, in order."""
        return sorted(kind for kind in self._kinds if isinstance(kind, str))

    @property
    def table(self) -> pd.DataFrame:
        """The clips: dataset, subject, clip, emotion, onset, apex, offset, action_units, n_frames.

        One row per clip that was ever registered, whether its features are there or not; the index is the
        row in the arrays. Unknown numbers are NA; n_frames is that of the frames described.
        """
        import pandas as pd

        rows = np.flatnonzero(self._listed)
        columns: dict[str, Any] = {name: decode_texts(self._columns[name][rows]) for name in TEXTS[:4]}
        for name in NUMBERS:
            numbers = self._columns[name][rows]
            columns[name] = pd.array(numbers, dtype="Int64")
            columns[name][numbers < 0] = pd.NA
        columns["action_units"] = decode_texts(self._columns["action_units"][rows])
        columns["n_frames"] = self._whole("frames/count")[rows]
        return pd.DataFrame(columns, index=pd.Index(rows))

    def complete(self, features: Sequence[Kind] | None = None) -> pd.DataFrame:
        """Rows of `table` that each kind of features (by default all there are) has, up to date and whole."""
        table = self.table
        complete = np.ones(len(table), dtype=bool)
        for kind in self._kinds if features is None else features:
            complete[[position for position, _ in self.missing(kind, table)]] = False
        return table[complete].reset_index(drop=True)

    def load(self, features: Kind, table: pd.DataFrame | None = None) -> NDArray[np.float64]:
        """Load the features of one kind.

        Parameters
        ----------
        features : (int, int) or str
            LTOGP's in so many blocks down and across, or others by their name.
        table : pandas.DataFrame, optional
            Clips wanted, by the columns dataset, subject and clip; by default those of
            ``complete([features])``.

        Returns
        -------
        ndarray of shape (n, d)
            In the order of the table.

        Raises
        ------
        StoreError
            If the store has no such features, or lacks clips of `table`, or some are outdated or damaged.
        """
        X, faults = self._read(features, self._rows(self.table if table is None else table))
        bad = [position for position, fault in enumerate(faults) if fault]
        if table is None:
            return X if not bad else np.delete(X, bad, axis=0)
        if bad:
            row = table.iloc[bad[0]]
            raise StoreError(
                f"{self.path} lacks {len(bad)} of the {len(table)} clips in {title_of(features)}: "
                f"{row['dataset']} {row['subject']}/{row['clip']} is {faults[bad[0]]}"
                f"{', and so on' if len(bad) > 1 else ''}; extract them again into it"
            )
        return X

    def missing(self, features: Kind, table: pd.DataFrame | None = None) -> list[tuple[int, str]]:
        """Positions in the table of the clips that `load` would refuse, and why, reading every row asked for.

        The reasons are ``"not extracted"``, ``"outdated"`` (by other source files or an older algorithm) and
        ``"damaged"``.
        """
        faults = self._read(features, self._rows(self.table if table is None else table), keep=False)[1]
        return [(position, fault) for position, fault in enumerate(faults) if fault]

    def digest(self, table: pd.DataFrame | None = None) -> str:
        """SHA-256 of which clips these are and what is in their files, in any order, wherever they lie."""
        wanted = self.table if table is None else table
        contents = self._whole("frames/content")
        lines = []
        for identity, row in zip(identities(wanted), self._rows(wanted), strict=True):
            if row < 0 or not contents[row].any():
                raise StoreError(f"{self.path}: {'/'.join(identity)} is {_ABSENT}")
            lines.append(json.dumps([*identity, contents[row].tobytes().hex()]))
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def mean_face(self, table: pd.DataFrame | None = None) -> NDArray[np.float64]:
        """Mean of the clips' mean frames, in grey levels, shape (height, width)."""
        wanted = self._rows(self.table if table is None else table)
        counts, faces = self._whole("frames/count"), self._array("frames/mean")
        total, n = np.zeros(faces.shape[1:]), 0
        for start in np.unique(wanted[wanted >= 0] // CHUNK_ROWS) * CHUNK_ROWS:
            rows = wanted[(wanted // CHUNK_ROWS == start // CHUNK_ROWS) & (counts[wanted] > 0)]
            chunk, whole = read_chunk(faces, int(start))
            if whole:
                total += chunk[rows - start].sum(axis=0, dtype=float)
                n += len(rows)
        if not n:
            raise StoreError(f"{self.path} has no mean frame of these clips; extract them again into it")
        return total / n

    # -- writing ---------------------------------------------------------------------------------------------

    @contextmanager
    def filling(
        self, table: pd.DataFrame, kinds: Mapping[Kind, Mapping[str, Any]], versions: Mapping[str, str]
    ) -> Iterator[Filling]:
        """Find what these clips lack, take it in as it comes, and write it, whatever stops the run.

        Parameters
        ----------
        table : pandas.DataFrame
            Clips, as the readers return them.
        kinds : dict
            Kinds of features wanted -> what each depends on besides the store's parameters, in JSON's types
            (`microexpr.Features.parameters`; nothing for LTOGP's).
        versions : dict
            Of the software that is about to write.

        Yields
        ------
        Filling
            Its `todo` says what is lacking; its `add` takes what was done.
        """
        with self.lock():
            filling = Filling(self, table, kinds)
            if filling.todo and dict(versions) not in self.versions:
                self.versions = [*self.versions, dict(versions)]
                self._group.attrs["versions"] = self.versions
            try:
                yield filling
            finally:  # also after Ctrl-C: these clips are done
                filling.flush()

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

    def register(self, table: pd.DataFrame, features: Iterable[Kind]) -> NDArray[np.intp]:
        """Give each clip of a table a row, and each block grid its arrays; return the rows.

        Clips that have a row keep it, and their columns (a corrected emotion, for example) are written anew.
        For one process at a time (see `lock`).
        """
        clips = identities(table)
        twice = [clip for clip, count in Counter(clips).items() if count > 1]
        if twice:
            raise StoreError(f"the table names {len(twice)} clip(s) twice, the first {'/'.join(twice[0])}")
        known = self._index
        new = [clip for clip in clips if clip not in known]
        n_old, n = len(self._listed), len(self._listed) + len(new)
        rows_of = {**known, **{clip: n_old + k for k, clip in enumerate(new)}}
        rows = np.array([rows_of[clip] for clip in clips], dtype=np.intp)

        self._require("frames/count", (n,), "int64")
        self._require("frames/content", (n, 32), "uint8")
        self._require("frames/stat", (n, 32), "uint8")
        self._require("frames/mean", (n, *self.parameters["size"]), "uint8")
        for kind in dict.fromkeys([*features, *self._kinds]):
            array = self._array(f"u/{name_of(kind)}")
            if array is not None:
                self._require_kind(kind, n, array.shape[1])
            elif not isinstance(kind, str) and "pooling" not in self.parameters:
                # How long others are, or another pooling makes them, is known with the first clip.
                self._require_kind(kind, n, kind[0] * kind[1] * 256)
        for name, (shape, dtype) in COLUMNS.items():
            values: Any = 1
            if name != "listed":
                column = subjects_of(table) if name == "subject" else table.get(name, [None] * len(table))
                values = encode_texts(column) if name in TEXTS else [whole_number(value) for value in column]
            old = self._columns[name]
            wanted = np.concatenate([old, np.zeros((len(new), *shape), dtype)])
            wanted[rows] = values
            self._require(f"clips/{name}", (n, *shape), dtype, TABLE_ROWS)
            if new or name in self._torn or (wanted != old).any():
                self._array(f"clips/{name}")[:n] = wanted
        self._read_table()
        return rows

    def write(
        self,
        rows: NDArray[np.intp],
        features: Mapping[Kind, NDArray[np.float64]],
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
            For each kind an array of shape (k, d).
        content, stat : ndarray of shape (k, 32)
            SHA-256 of the clips' source files, and of their names, sizes and times.
        count, mean : ndarray of shape (k,) and (k, height, width)
            Frames described, and their mean.
        """
        if len(set(rows // CHUNK_ROWS)) != 1:
            raise ValueError(f"rows {rows.min()} to {rows.max()} lie in more than one chunk of {CHUNK_ROWS}")
        # A key is what makes a row count. It goes first if there is one, and comes back last, so that whoever
        # reads between, or after the process was killed between, finds the row absent.
        for kind, u in features.items():
            self._require_kind(kind, len(self._listed), u.shape[1])
            key = self._array(f"key/{name_of(kind)}")
            if read_chunk(key, rows[0] // CHUNK_ROWS * CHUNK_ROWS)[0][rows % CHUNK_ROWS].any():
                write_rows(key, rows, np.zeros((len(rows), 32), np.uint8))
        for name, values in (("stat", stat), ("content", content), ("count", count), ("mean", mean)):
            write_rows(self._array(f"frames/{name}"), rows, values)
        for kind, u in features.items():
            write_rows(self._array(f"u/{name_of(kind)}"), rows, u)
            crcs = np.array([checksum(row) for row in u], np.uint32)
            write_rows(self._array(f"crc/{name_of(kind)}"), rows, crcs)
            start = self._start_of_key(kind)
            keys = [np.frombuffer(_key(start, row), np.uint8) for row in content]
            write_rows(self._array(f"key/{name_of(kind)}"), rows, np.stack(keys))

    def write_stat(self, rows: NDArray[np.intp], stat: NDArray[np.uint8]) -> None:
        """Write names, sizes and times of files whose contents were found to be the same."""
        order = np.argsort(rows)
        rows, stat = rows[order], stat[order]
        for start in np.unique(rows // CHUNK_ROWS):
            here = rows // CHUNK_ROWS == start
            write_rows(self._array("frames/stat"), rows[here], stat[here])

    def outdated(self, kind: Kind, parameters: Mapping[str, Any], rows: NDArray[np.intp]) -> list[int]:
        """Which of these rows lack this kind of features with these parameters, whatever their files."""
        self._parameters_of[kind] = dict(parameters)
        array = self._array(f"u/{name_of(kind)}")
        if array is None:
            return list(range(len(rows)))
        noted = array.attrs.get("parameters", {})
        if dict(parameters) != noted:
            raise StoreError(
                f"{self.path} has {title_of(kind)} with {noted}, not {dict(parameters)}; give them another "
                "name or another store"
            )
        return [k for k, fault in enumerate(self._read(kind, rows, keep=False)[1]) if fault]

    def sources(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return `content` and `stat` of these rows as they were written; zeros where they were not."""
        return self._whole("frames/content")[rows], self._whole("frames/stat")[rows]

    # -- parts ---------------------------------------------------------------------------------------------

    @property
    def _kinds(self) -> list[Kind]:
        names = self._group["u"].array_keys() if "u" in self._group else ()
        return [kind_of(name) for name in names]

    def _require_kind(self, kind: Kind, n: int, length: int) -> None:
        """Make the arrays of a kind of features unless they are there, and see that they have n rows."""
        name = name_of(kind)
        parameters = self._parameters_of.get(kind)
        attributes = {"parameters": parameters} if parameters else {}
        self._require(f"u/{name}", (n, length), "float64", fill=np.nan, attributes=attributes)
        self._require(f"key/{name}", (n, 32), "uint8")
        self._require(f"crc/{name}", (n,), "uint32")
        if self._array(f"u/{name}").shape[1] != length:
            there = self._array(f"u/{name}").shape[1]
            raise StoreError(f"{self.path}: {title_of(kind)} have length {there} in it, and not {length}")

    def _require(
        self, name: str, shape: tuple[int, ...], dtype: str, rows: int = CHUNK_ROWS, **options: Any
    ) -> None:
        """Make an array unless it is there, and see that it has that many rows."""
        array = self._array(name)
        if array is not None:
            if array.shape[0] < shape[0]:
                array.resize((shape[0], *array.shape[1:]))
            return
        self._known[name] = create_array(self._group, name, shape, dtype, rows, **options)

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
        for name, (shape, dtype) in COLUMNS.items():
            if n == 0:
                self._columns[name] = np.zeros((0, *shape), dtype)
                continue
            self._columns[name], torn = read_rows(self._array(f"clips/{name}"), n)
            if torn.any():
                self._torn.add(name)
                if name in TEXTS[:3]:  # nobody knows any more which clips these are
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
        identities = zip(*(decode_texts(self._columns[name]) for name in TEXTS[:3]), strict=True)
        self._index = {identity: row for row, identity in enumerate(identities) if self._listed[row]}

    def _rows(self, table: pd.DataFrame) -> NDArray[np.intp]:
        """Row of each clip, -1 where there is none."""
        return np.array([self._index.get(identity, -1) for identity in identities(table)], dtype=np.intp)

    def _whole(self, name: str) -> NDArray[Any]:
        return read_rows(self._array(name), len(self._listed))[0]

    def _read(
        self, kind: Kind, rows: NDArray[np.intp], keep: bool = True
    ) -> tuple[NDArray[np.float64], list[str]]:
        """Features of these rows (none if not to keep) and, for each of them, what is wrong with it or ""."""
        name = name_of(kind)
        u = self._array(f"u/{name}")
        if u is None or self._array(f"key/{name}") is None or self._array(f"crc/{name}") is None:
            there = ", ".join([*map(name_of, self.blocks), *self.features]) or "none"
            raise StoreError(f"{self.path} has no features in {title_of(kind)}; it has {there}")
        keys, crcs = self._whole(f"key/{name}"), self._whole(f"crc/{name}")
        contents, start_of_key = self._whole("frames/content"), self._start_of_key(kind)
        X = np.empty((len(rows) if keep else 0, u.shape[1]))
        faults = [_ABSENT] * len(rows)
        positions = np.flatnonzero(rows >= 0)
        for start in np.unique(rows[positions] // CHUNK_ROWS) * CHUNK_ROWS:
            chunk, whole = None, True
            for position in positions[rows[positions] // CHUNK_ROWS * CHUNK_ROWS == start]:
                row = rows[position]
                if not keys[row].any():
                    continue
                if keys[row].tobytes() != _key(start_of_key, contents[row]):
                    faults[position] = _OUTDATED
                    continue
                if chunk is None:
                    chunk, whole = read_chunk(u, int(start))
                values = chunk[row - start]
                faults[position] = "" if whole and checksum(values) == crcs[row] else _DAMAGED
                if keep:
                    X[position] = values
        return X, faults

    def _start_of_key(self, kind: Kind) -> Any:
        """Hash what a row's key depends on besides its content."""
        parameters = self._array(f"u/{name_of(kind)}").attrs.get("parameters", {})
        start = self._prefix.copy()
        start.update(name_of(kind).encode())
        start.update(json.dumps(parameters, sort_keys=True).encode() if parameters else b"")
        return start


def _key(start: Any, content: NDArray[np.uint8]) -> bytes:
    key = start.copy()
    key.update(content.tobytes())
    return key.digest()
