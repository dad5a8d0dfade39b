"""Which clips a feature store lacks, and the writing of those that are done."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._store_format import CHUNK_ROWS, ClipFeatures, Kind
from .data import VideoFrames
from .data.clips import content_digest

if TYPE_CHECKING:
    import pandas as pd

    from .store import FeatureStore


class Filling:
    """What clips lack in a store, and its filling; from `FeatureStore.filling`.

    Attributes
    ----------
    todo : dict
        Position in the table -> kinds of features that the clip lacks, in the order to take them.
    problems : dict
        Position -> why the clip's files cannot be looked at.
    n_skipped : int
        How many clips lack nothing.
    """

    def __init__(
        self, store: FeatureStore, table: pd.DataFrame, kinds: Mapping[Kind, Mapping[str, Any]]
    ) -> None:
        self._store = store
        self._rows = store.register(table, kinds)
        self._pending: list[tuple[int, ClipFeatures]] = []
        self._stats = np.zeros((len(table), 32), dtype=np.uint8)
        self.problems: dict[int, OSError] = {}
        for k, frames in enumerate(table["frames"]):
            try:
                self._stats[k] = np.frombuffer(_stat_digest(frames), np.uint8)
            except OSError as error:
                self.problems[k] = error
        lacking: dict[int, list[Kind]] = {k: [] for k in range(len(table)) if k not in self.problems}
        for kind in kinds:
            for k in store.outdated(kind, kinds[kind], self._rows):
                if k in lacking:
                    lacking[k].append(kind)
        self._compare_contents(lacking, list(table["frames"]), list(kinds))
        self.n_skipped = sum(not wanted for wanted in lacking.values())
        # In the order of the rows, so that a chunk of them is done before the next one begins.
        positions = sorted((k for k, wanted in lacking.items() if wanted), key=lambda k: self._rows[k])
        self.todo = {k: lacking[k] for k in positions}

    def add(self, position: int, clip: ClipFeatures) -> None:
        """Take in what was done; it is written with its chunk of rows, or when the filling ends."""
        chunk = self._rows[position] // CHUNK_ROWS
        if self._pending and chunk != self._rows[self._pending[0][0]] // CHUNK_ROWS:
            self.flush()
        self._pending.append((position, clip))

    def flush(self) -> None:
        """Write what was taken in: the clips of one chunk of rows, those with the same features together."""
        pending, self._pending = self._pending, []
        for kinds in {tuple(clip.features) for _, clip in pending}:
            alike = [(k, clip) for k, clip in pending if tuple(clip.features) == kinds]
            positions = [k for k, _ in alike]
            self._store.write(
                self._rows[positions],
                {kind: np.stack([clip.features[kind] for _, clip in alike]) for kind in kinds},
                content=np.stack([np.frombuffer(clip.content, np.uint8) for _, clip in alike]),
                stat=self._stats[positions],
                count=np.array([clip.count for _, clip in alike]),
                mean=np.stack([clip.mean for _, clip in alike]),
            )

    def _compare_contents(
        self, lacking: dict[int, list[Kind]], frames: Sequence[Any], kinds: list[Kind]
    ) -> None:
        """Read files with other names or times, which takes a tenth of describing them, for what is new."""
        contents, known = self._store.sources(self._rows)
        same = []
        for k in list(lacking):
            if (known[k] == self._stats[k]).all():
                continue
            try:
                if len(lacking[k]) < len(kinds) and content_digest(frames[k]) == contents[k].tobytes():
                    same.append(k)
                else:
                    lacking[k] = kinds
            except OSError as error:
                self.problems[k] = error
                del lacking[k]
        if same:
            self._store.write_stat(self._rows[same], self._stats[same])


def _stat_digest(frames: Iterable[str | os.PathLike[str]] | VideoFrames) -> bytes:
    """SHA-256 of the files' names, sizes and modification times, and of which part of a video it is."""
    digest = hashlib.sha256()
    if isinstance(frames, VideoFrames):
        digest.update(frames.part)
        frames = [frames.path]
    for path in frames:
        status = os.stat(path)
        digest.update(f"{os.path.basename(path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.digest()
