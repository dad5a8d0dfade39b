"""Features of clips: a zarr group that needs nothing of this package to be read (docs/store.md)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._extras import require
from ._opening import open_store, put_groups, store_json
from ._store_format import (
    CHUNK_ROWS,
    NUMBERS,
    TEXTS,
    Blocks,
    DamagedStoreError,
    Kind,
    StoreError,
    check_attributes,
    decode_texts,
    hash_identities,
    identities,
    name_of,
    title_of,
)

if TYPE_CHECKING:
    import pandas as pd

    from ._arrays import Arrays
    from ._objects import Location
    from ._store_report import StoreReport

__all__ = ["FeatureStore", "StoreError"]

#: Raised by one whenever the same frames and parameters would give other features than before: what older
#: versions wrote is then computed again.
ALGORITHM = 2

_ABSENT, _OUTDATED, _DAMAGED = "not extracted", "outdated", "damaged"


class FeatureStore:
    """Features of clips, one row a clip, for any number of block grids and other kinds side by side.

    Each row of a kind is there whole or not at all, whenever the writer was stopped: what identifies its
    content is written after it and checked against it (see docs/store.md for the format). Whatever is read is
    checked: a file of the store that was cut, lost or changed is a StoreError or a clip that `missing` names,
    and never a wrong number.

    Parameters
    ----------
    path : path, URL or zarr.abc.store.Store
        The store's folder, by convention ``*.zarr``; or where else it lies, ``"s3://bucket/name.zarr"`` or
        another URL that fsspec knows; or any store of zarr's that can be listed.
    mode : {"r", "a"}
        ``"r"``: read. ``"a"``: also write, and make the store if it is not there.
    parameters : dict, optional
        JSON types. What the features are computed with, the same for all rows: needed to make a store, and
        compared with the store's if it is there.

    Attributes
    ----------
    path : pathlib.Path, str or zarr.abc.store.Store
    parameters : dict
    versions : list of dict
        Versions of the software that wrote into it, oldest first.

    Raises
    ------
    StoreError
        If there is no feature store at `path` (``"r"``) or something else is (``"a"``), it is of another
        format, it was made with other parameters, or its zarr.json is damaged (``"r"``).
    OSError
        If it cannot be read, or reached.
    ModuleNotFoundError
        If zarr or pandas is not installed, or what fsspec needs for the URL.

    Examples
    --------
    >>> import tempfile, microexpr
    >>> from microexpr.store import FeatureStore
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     root = microexpr.simulate(folder + "/data", subjects=2, clips=4, frames=(3, 4))
    ...     table = microexpr.read_casme2(root)
    ...     _ = microexpr.extract(table, folder + "/x.zarr", blocks=[(8, 8), (4, 4)])
    ...     store = FeatureStore(folder + "/x.zarr")
    ...     store.blocks, len(store), store.load((8, 8)).shape
    ([(4, 4), (8, 8)], 4, (4, 16384))
    """

    path: Path | str | Any

    def __init__(self, path: Location, mode: str = "r", parameters: Mapping[str, Any] | None = None) -> None:
        if mode not in ("r", "a"):
            raise ValueError(f'mode is {mode!r}; it must be "r" or "a"')
        require("a feature store", "store")
        from ._arrays import Arrays
        from ._kinds import Kinds
        from ._objects import Objects

        self.mode, self.objects = mode, Objects(path)
        self.path = self.objects.location
        self._attributes = open_store(self.objects, mode, parameters)
        self.parameters: dict[str, Any] = self._attributes["parameters"]
        self.arrays: Arrays = Arrays(self.objects, tuple(self.parameters["size"]), mode == "a")
        self._kinds = Kinds(self.arrays, json.dumps([ALGORITHM, self.parameters], sort_keys=True))

    @staticmethod
    def exists(path: Location) -> bool:
        """Whether there is something at this path or URL that `FeatureStore` would open."""
        require("a feature store", "store")
        from ._objects import Objects

        return Objects(path).get("zarr.json") is not None

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.path)!r}, {self.n_rows} rows)"

    # -- reading ---------------------------------------------------------------------------------------------

    @property
    def n_rows(self) -> int:
        """How many rows were given out: clips, and what once were."""
        return self._attributes["rows"]

    @property
    def versions(self) -> list[dict[str, str]]:
        """Versions of the software that wrote into it, oldest first."""
        return self._attributes["versions"]

    @property
    def blocks(self) -> list[Blocks]:
        """Block grids of LTOGP that the store holds, (down, across) each, in order."""
        return sorted(kind for kind in self._kinds.names() if not isinstance(kind, str))

    @property
    def features(self) -> list[str]:
        """Names of the other features that the store holds, in order."""
        return sorted(kind for kind in self._kinds.names() if isinstance(kind, str))

    def __len__(self) -> int:
        """How many clips were ever registered, whether their features are there or not."""
        from ._clip_table import read_identities

        return int(read_identities(self.arrays, self.n_rows).any(axis=1).sum())

    @property
    def table(self) -> pd.DataFrame:
        """The clips: dataset, subject, clip, emotion, onset, apex, offset, action_units, n_frames.

        One row per clip that was ever registered, whether its features are there or not; the index is the
        row in the arrays. Unknown numbers are NA; n_frames is that of the frames described. Read when it is
        asked for: of a million clips it takes minutes and gigabytes, and `load` does without.
        """
        import pandas as pd

        from ._clip_table import read_clips

        rows, read = read_clips(self.arrays, np.arange(self.n_rows))
        columns: dict[str, Any] = {name: decode_texts(read[name]) for name in TEXTS[:4]}
        for name in NUMBERS:
            columns[name] = pd.array(read[name], dtype="Int64")
            columns[name][read[name] < 0] = pd.NA
        columns["action_units"] = decode_texts(read["action_units"])
        _, counts, there = self._sources(rows)
        columns["n_frames"] = pd.array(counts, dtype="Int64")
        columns["n_frames"][~there] = pd.NA
        return pd.DataFrame(columns, index=pd.Index(rows))

    def complete(self, features: Sequence[Kind] | None = None) -> pd.DataFrame:
        """Rows of `table` that each kind of features (by default all there are) has, up to date and whole."""
        table = self.table
        complete = np.ones(len(table), dtype=bool)
        for kind in self._kinds.names() if features is None else features:
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
        rows = self._rows(table)
        X, faults = self._read(features, rows)
        bad = [position for position, fault in enumerate(faults) if fault]
        if table is None:
            return X if not bad else np.delete(X, bad, axis=0)
        if bad:
            row = table.iloc[bad[0]]
            where = self._damage(features, rows[bad[:1]]) if faults[bad[0]] == _DAMAGED else ""
            raise StoreError(
                f"{self.path} lacks {len(bad)} of the {len(table)} clips in {title_of(features)}: "
                f"{row['dataset']} {row['subject']}/{row['clip']} is {faults[bad[0]]}{where}"
                f"{', and so on' if len(bad) > 1 else ''}; extract them again into it"
            )
        return X

    def missing(self, features: Kind, table: pd.DataFrame | None = None) -> list[tuple[int, str]]:
        """Positions in the table of the clips that `load` would refuse, and why, reading every row asked for.

        The reasons are ``"not extracted"``, ``"outdated"`` (by other source files or an older algorithm) and
        ``"damaged"``.
        """
        faults = self._read(features, self._rows(table), keep=False)[1]
        return [(position, fault) for position, fault in enumerate(faults) if fault]

    def digest(self, table: pd.DataFrame | None = None) -> str:
        """SHA-256 of which clips these are and what is in their files, in any order, wherever they lie."""
        wanted = self.table if table is None else table
        rows = self._rows(wanted)
        contents, _, _ = self._sources(np.maximum(rows, 0))
        lines = []
        for identity, row, content in zip(identities(wanted), rows, contents, strict=True):
            if row < 0 or not content.any():
                where = self._damage(None, np.array([row])) if row >= 0 else " (no row in clips/identity)"
                raise StoreError(
                    f"{self.path}: {'/'.join(identity)} is {_ABSENT}{where}; extract it again into it"
                )
            lines.append(json.dumps([*identity, content.tobytes().hex()]))
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def mean_face(self, table: pd.DataFrame | None = None) -> NDArray[np.float64]:
        """Mean of the clips' mean frames, in grey levels, shape (height, width).

        Of all clips that are described, if no table is given; else each of the table has to be.
        """
        total, n = np.zeros(self.parameters["size"]), 0
        for _, faces in self._faces(table):
            total += faces.sum(axis=0, dtype=float)
            n += len(faces)
        return total / n

    def mean_frames(self, table: pd.DataFrame) -> NDArray[np.uint8]:
        """Mean frame of each clip of a table, in grey levels, shape (n, height, width)."""
        means = np.empty((len(table), *self.parameters["size"]), np.uint8)
        for positions, faces in self._faces(table):
            means[positions] = faces
        return means

    def check(self, progress: bool | None = None) -> StoreReport:
        """Read everything in it and say what is there, and what is stale or damaged.

        Parameters
        ----------
        progress : bool, optional
            Show a progress bar; by default only when standard error is a terminal.

        Returns
        -------
        StoreReport
            To print; its `is_whole` says whether all is well.
        """
        from ._store_report import check_store

        return check_store(self, progress)

    # -- writing ---------------------------------------------------------------------------------------------

    def register(
        self,
        table: pd.DataFrame,
        kinds: Mapping[Kind, Mapping[str, Any]],
        versions: Mapping[str, str] | None = None,
    ) -> NDArray[np.intp]:
        """Give each clip of a table a row, and each block grid its arrays; return the rows.

        Clips that have a row keep it, and their columns (a corrected emotion, for example) are written anew.
        Runs that do this at the same time wait for each other.

        Parameters
        ----------
        table : pandas.DataFrame
            Clips, as the readers return them.
        kinds : dict
            Kinds of features that will be written -> what each depends on besides the store's parameters, in
            JSON's types (`microexpr.Features.parameters`; nothing for LTOGP's).
        versions : dict, optional
            Of the software that will write them.
        """
        from ._claims import locked
        from ._clip_table import register

        with locked(self.objects):
            self.arrays.forget()
            put_groups(self.objects)
            self._attributes = check_attributes(self.objects.get("zarr.json"), self.objects.title)
            rows, n = register(self.arrays, self.n_rows, table)
            for name in ("content", "stat", "count", "mean", "crc"):
                self.arrays.require(f"frames/{name}", n)
            for kind, parameters in kinds.items():
                u = self.arrays.get(f"u/{name_of(kind)}")
                if u is not None:
                    self._kinds.require(kind, n, u.shape[1], parameters)
                elif not isinstance(kind, str) and "pooling" not in self.parameters:
                    # How long others are, or another pooling makes them, is known with the first clip.
                    self._kinds.require(kind, n, kind[0] * kind[1] * 256, parameters)
            noted = self.versions
            if versions and dict(versions) not in noted:
                noted = [*noted, dict(versions)]
            changed = {**self._attributes, "rows": n, "versions": noted}
            if changed != self._attributes:
                self.objects.put("zarr.json", store_json(changed))
                self._attributes = changed
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
        parameters: Mapping[Kind, Mapping[str, Any]] | None = None,
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
        parameters : dict, optional
            What kinds of features depend on, as for `register`.
        """
        from ._arrays import checksums
        from ._claims import locked

        if len(set(rows // CHUNK_ROWS)) != 1:
            raise ValueError(f"rows {rows.min()} to {rows.max()} lie in more than one chunk of {CHUNK_ROWS}")
        for kind, u in features.items():
            own = (parameters or {}).get(kind, {})
            if not self._kinds.has(kind) or rows.max() >= self.arrays.get(f"key/{name_of(kind)}").shape[0]:
                with locked(self.objects):  # others may make or enlarge them just now
                    self.arrays.forget()
                    self._kinds.require(kind, self.n_rows, u.shape[1], own)
            self._kinds.check(kind, u.shape[1], own)
        # A key is what makes a row count. It goes first if there is one, and comes back last, so that whoever
        # reads between, or after the process was killed between, finds the row absent.
        for name in [*(f"key/{name_of(kind)}" for kind in features), "frames/crc"]:
            old = self.arrays.read(name, rows)
            if old.any():
                self.arrays.write(name, rows, np.zeros_like(old))
        columns: dict[str, NDArray[Any]] = {
            "stat": stat,
            "content": content,
            "count": count.astype(np.int64),
            "mean": mean,
        }
        for name, values in columns.items():
            self.arrays.write(f"frames/{name}", rows, values)
        identity = self.arrays.read("clips/identity", rows)
        for kind, u in features.items():
            self.arrays.write(f"u/{name_of(kind)}", rows, u)
            self.arrays.write(f"crc/{name_of(kind)}", rows, checksums(u))
        crc = np.stack([checksums(content, columns["count"], identity), checksums(mean, identity)], axis=1)
        self.arrays.write("frames/crc", rows, crc)
        for kind in features:
            self.arrays.write(f"key/{name_of(kind)}", rows, self._kinds.keys(kind, content, identity))

    def write_stat(self, rows: NDArray[np.intp], stat: NDArray[np.uint8]) -> None:
        """Write names, sizes and times of files whose contents were found to be the same."""
        order = np.argsort(rows)
        self.arrays.write("frames/stat", rows[order], stat[order])

    def faults(self, kind: Kind, rows: NDArray[np.intp]) -> list[str]:
        """Say of each row why it lacks this kind of features, whatever its files; "" if it has them."""
        if not self._kinds.has(kind):
            return [_ABSENT] * len(rows)
        return self._read(kind, rows, keep=False)[1]

    def lengths(self, kinds: Iterable[Kind]) -> dict[Kind, int]:
        """How long the features of each kind are that it has."""
        return {kind: self._kinds.length(kind) for kind in kinds if self._kinds.has(kind)}

    def sources(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return `content` and `stat` of these rows as they were written; zeros where they were not."""
        return self.arrays.read("frames/content", rows), self.arrays.read("frames/stat", rows)

    # -- parts ---------------------------------------------------------------------------------------------

    def _rows(self, table: pd.DataFrame | None) -> NDArray[np.intp]:
        """Row of each clip, -1 where there is none; of all clips if no table is given."""
        from ._clip_table import find, read_identities

        known = read_identities(self.arrays, self.n_rows)
        if table is None:
            return np.flatnonzero(known.any(axis=1))
        return find(known, hash_identities(identities(table)))

    def _faces(self, table: pd.DataFrame | None) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
        from ._mean_frames import read_mean_frames

        area = int(np.prod(self.parameters["size"]))
        where = partial(self._damage, None)
        return read_mean_frames(self.arrays, self.path, self._rows(table), area, table is not None, where)

    def _read(
        self, kind: Kind, rows: NDArray[np.intp], keep: bool = True
    ) -> tuple[NDArray[np.float64], list[str]]:
        """Features of these rows (none if not to keep) and, for each of them, what is wrong with it or ""."""
        from ._arrays import checksums, spans

        name, read = name_of(kind), self.arrays.read
        if not self._kinds.has(kind):
            there = ", ".join([*map(name_of, self.blocks), *self.features]) or "none"
            where = self._damage(kind, rows[:0]) if kind in self._kinds.names() else ""
            raise StoreError(
                f"{self.path} has no features in {title_of(kind)}{where}; it has {there}; "
                "extract them into it"
            )
        length = self._kinds.length(kind)
        X = np.empty((len(rows) if keep else 0, length))
        faults = np.full(len(rows), _ABSENT, dtype=object)
        registered = np.flatnonzero(rows >= 0)
        for _, _, part in spans(rows[registered], CHUNK_ROWS, 8 * length):
            positions = registered[part]
            keys = read(f"key/{name}", rows[positions])
            positions, keys = positions[keys.any(axis=1)], keys[keys.any(axis=1)]
            here = rows[positions]
            content = read("frames/content", here)
            identity = read("clips/identity", here)
            current = (keys == self._kinds.keys(kind, content, identity)).all(axis=1)
            faults[positions[~current]] = _OUTDATED
            positions, here = positions[current], here[current]
            content, identity = content[current], identity[current]
            u = read(f"u/{name}", here)
            whole = checksums(u) == read(f"crc/{name}", here)
            counts, means, crc = (read(f"frames/{part}", here) for part in ("count", "mean", "crc"))
            whole &= (crc[:, 0] == checksums(content, counts, identity)) & (
                crc[:, 1] == checksums(means, identity)
            )
            faults[positions] = np.where(whole, "", _DAMAGED)
            if keep:
                X[positions] = u
        return X, faults.tolist()

    def _sources(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.uint8], NDArray[np.int64], Any]:
        """Content and number of frames of these rows, checked, and whether they are described by now."""
        from ._arrays import checksums

        content, counts, crc = (
            self.arrays.read(f"frames/{name}", rows) for name in ("content", "count", "crc")
        )
        there = crc.any(axis=1)
        identity = self.arrays.read("clips/identity", rows)
        bad = there & (checksums(content, counts, identity) != crc[:, 0])
        if bad.any():
            where = self._damage(None, rows[bad])
            raise DamagedStoreError(
                f"{self.path}: frames/content or frames/count is damaged{where}; "
                "extract the data set into it again"
            )
        return content, counts, there

    def _damage(self, kind: Kind | None, rows: NDArray[np.intp]) -> str:
        """Say in brackets which arrays, of this kind's and those of all kinds, are not whole here."""
        parts = [] if kind is None else [f"{part}/{name_of(kind)}" for part in ("u", "key", "crc")]
        parts += [f"frames/{name}" for name in ("content", "count", "mean", "crc")]
        found = [f"{name}: {what}" for name in parts for what in self.arrays.damage(name, rows)[:1]]
        return f" ({', '.join(found)})" if found else ""
