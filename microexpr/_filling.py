"""Which clips a feature store lacks, and the writing of those that are done, beside other runs."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._claims import RENEWAL, Claims, repeating
from ._store_format import CHUNK_ROWS, ClipFeatures, Kind
from .data import VideoFrames
from .data.clips import content_digest

if TYPE_CHECKING:
    import pandas as pd

    from ._objects import Objects
    from .store import FeatureStore

# What is done is written at the latest after so many seconds, though its chunk of rows is not complete: a
# chunk is written again then, 4 MB for each grid. A run's first clips wait less, and the next twice as long
# each time, so that runs of which none lives for long come to an end together.
_WRITE_FIRST, _WRITE_AFTER = 0.25, 3.0
_WAIT = 0.5  # seconds, between looks at what other runs work on


class Filling:
    """What clips lack in a store, and its filling. Its methods may be called from several threads.

    Parameters
    ----------
    store : FeatureStore
        In mode "a".
    table : pandas.DataFrame
        Clips.
    rows : ndarray of shape (n,)
        Their rows, from `FeatureStore.register`.
    kinds : dict
        Kinds of features wanted, and what each depends on.
    run : str, optional
        Those who give the same take over each other's claims: workers of one run, each with clips of its own.

    Attributes
    ----------
    problems : dict
        Position -> why the clip's files cannot be looked at.
    n_skipped : int
        How many clips lacked nothing, or were described by another run meanwhile.
    """

    def __init__(
        self,
        store: FeatureStore,
        table: pd.DataFrame,
        rows: NDArray[np.intp],
        kinds: Mapping[Kind, Mapping[str, Any]],
        run: str | None = None,
    ) -> None:
        self._store, self._rows, self._kinds = store, rows, kinds
        self._frames = list(table["frames"])
        self._claims = Claims(store.objects, run)
        self._stats = np.zeros((len(table), 32), dtype=np.uint8)
        self._has_stat = np.zeros(len(table), dtype=bool)
        # Positions of which it is not known yet that nothing is to be done.
        self._open = set(range(len(table)))
        self._lacking: dict[int, list[Kind]] = {}
        self._at_work: dict[int, set[int]] = {}  # chunk of rows -> positions that are to come
        self._done: dict[int, list[tuple[int, ClipFeatures]]] = {}  # chunk -> not written yet
        self._since = 0.0  # when the first of those came
        self._patience = _WRITE_FIRST
        self._lock = threading.RLock()
        self._looked = self._closed = False
        self._renewed = time.monotonic()
        self._error: Exception | None = None
        self.problems: dict[int, str] = {}
        self.n_skipped = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep what is claimed and write what was done, at the latest when this ends, however it does."""
        with repeating(self._keep, _WRITE_FIRST):
            try:
                yield
            finally:  # also after Ctrl-C: these clips are done
                with self._lock:
                    self._closed = True
                    try:
                        for chunk in list(self._done):
                            self._write(chunk)
                    finally:
                        self._claims.release_all()

    def todo(self, progress: Callable[[list[int]], Iterable[int]], waiting: Iterator[object]) -> list[int]:
        """Positions that lack something and are no other run's just now, in the order to take them.

        Empty when all is there. To be called again when they were taken in: others may not be done yet.
        `progress` is put around the chunks that are looked at, `waiting` asked for an item at each look at
        what others have.
        """
        while self._open:
            first, self._looked = not self._looked, True
            with self._lock:
                self._has_stat[:] = False
                chunks = self._rows // CHUNK_ROWS
                for chunk in progress(sorted({int(chunks[k]) for k in self._open})):
                    self._look_at([k for k in sorted(self._open) if chunks[k] == chunk])
                # In the order of the rows, so that a chunk of them is done before the next one begins.
                order = sorted(self._lacking, key=lambda k: self._rows[k])
            if not order or first:
                return order
            free = [k for k in order if self._claims.claim(str(self._rows[k] // CHUNK_ROWS))]
            if free:
                return free
            next(waiting)
            time.sleep(_WAIT)
        return []

    def begin(self, position: int) -> list[Kind]:
        """Claim a clip and return what it lacks: nothing if another run has it, or has done it by now."""
        chunk = int(self._rows[position]) // CHUNK_ROWS
        with self._lock:
            if self._error is not None:
                raise self._error
            if self._closed or position not in self._lacking:
                return []
            if chunk not in self._at_work:
                if not self._claims.claim(str(chunk)):
                    return []
                self._look_at([k for k in self._lacking if self._rows[k] // CHUNK_ROWS == chunk])
                self._at_work[chunk] = {k for k in self._lacking if self._rows[k] // CHUNK_ROWS == chunk}
            if not self._at_work[chunk]:
                self._end(chunk)
            kinds = self._lacking.get(position, [])
        # By the thread that reads the files, and before it does: of what changes them meanwhile, the next
        # run sees that names and times are others than those that are noted.
        if kinds and not self._take_stat(position):
            self.fail(position)
            return []
        return kinds

    def add(self, position: int, clip: ClipFeatures) -> None:
        """Take in what was done; it is written with its chunk of rows, or in a few seconds."""
        with self._lock:
            if self._closed:
                return
            chunk = int(self._rows[position]) // CHUNK_ROWS
            if not self._done:
                self._since = time.monotonic()
            self._done.setdefault(chunk, []).append((position, clip))
            self._forget(position, chunk)

    def fail(self, position: int) -> None:
        """Take note that a clip cannot be described."""
        with self._lock:
            self._forget(position, int(self._rows[position]) // CHUNK_ROWS)

    def _forget(self, position: int, chunk: int) -> None:
        """Nothing is to be done any more about this clip, nor about its chunk if it was the last."""
        self._open.discard(position)
        self._lacking.pop(position, None)
        left = self._at_work.get(chunk)
        if left is not None:
            left.discard(position)
            if not left:
                self._end(chunk)

    def _end(self, chunk: int) -> None:
        del self._at_work[chunk]
        self._write(chunk)
        self._claims.release(str(chunk))

    def _keep(self) -> None:
        """Now and then: hold what is claimed, write what has waited."""
        try:
            with self._lock:
                if self._done and time.monotonic() - self._since > self._patience:
                    self._patience = min(2 * self._patience, _WRITE_AFTER)
                    for chunk in list(self._done):
                        self._write(chunk)
            if time.monotonic() - self._renewed > RENEWAL:
                self._renewed = time.monotonic()
                self._claims.renew()
        except Exception as error:
            self._error = error  # for whoever asks for the next clip
            raise

    def _write(self, chunk: int) -> None:
        """Write what was taken in of a chunk of rows, the clips with the same features together."""
        done = sorted(self._done.pop(chunk, []), key=lambda entry: self._rows[entry[0]])
        if done and not self._claims.holds(str(chunk)):  # taken over while this run was paused
            self._open |= {k for k, _ in done}
            return
        for kinds in {tuple(clip.features) for _, clip in done}:
            alike = [(k, clip) for k, clip in done if tuple(clip.features) == kinds]
            positions = [k for k, _ in alike]
            self._store.write(
                self._rows[positions],
                {kind: np.stack([clip.features[kind] for _, clip in alike]) for kind in kinds},
                content=np.stack([np.frombuffer(clip.content, np.uint8) for _, clip in alike]),
                stat=self._stats[positions],
                count=np.array([clip.count for _, clip in alike]),
                mean=np.stack([clip.mean for _, clip in alike]),
                parameters=self._kinds,
            )

    def _look_at(self, positions: Sequence[int]) -> None:
        """Find out what these clips lack."""
        lacking: dict[int, list[Kind]] = {k: [] for k in positions}
        for k in positions:
            self._lacking.pop(k, None)
        for kind in self._kinds:
            for k, fault in zip(positions, self._store.faults(kind, self._rows[positions]), strict=True):
                if fault:
                    lacking[k].append(kind)
        partly: dict[int, list[Kind]] = {}
        for k, kinds in lacking.items():
            if len(kinds) == len(self._kinds):  # whatever its files are: `begin` looks at them
                self._lacking[k] = kinds
            elif self._take_stat(k):
                partly[k] = kinds
            else:
                self._open.discard(k)
        self._compare_contents(partly)
        for k, kinds in partly.items():
            if kinds:
                self._lacking[k] = kinds
            else:
                self._open.discard(k)
                self.n_skipped += 1

    def _take_stat(self, position: int) -> bool:
        """Take note of names, sizes and times of a clip's files, once; False if that cannot be done."""
        if not self._has_stat[position]:
            try:
                self._stats[position] = np.frombuffer(_stat_digest(self._frames[position]), np.uint8)
            except OSError as error:
                self.problems[position] = str(error)
                return False
            self._has_stat[position] = True
        return True

    def _compare_contents(self, lacking: dict[int, list[Kind]]) -> None:
        """Read files with other names or times, which takes a tenth of describing them, for what is new."""
        asked = list(lacking)
        contents, known = self._store.sources(self._rows[asked])
        same = []
        for k, content, stat in zip(asked, contents, known, strict=True):
            if (stat == self._stats[k]).all():
                continue
            try:
                if content_digest(self._frames[k]) == content.tobytes():
                    same.append(k)
                else:
                    lacking[k] = list(self._kinds)
            except OSError as error:
                self.problems[k] = str(error)
                self._open.discard(k)
                del lacking[k]
        for chunk in {int(row) // CHUNK_ROWS for row in self._rows[same]}:
            if self._claims.holds(str(chunk)) or self._claims.claim(str(chunk)):
                here = [k for k in same if self._rows[k] // CHUNK_ROWS == chunk]
                self._store.write_stat(self._rows[here], self._stats[here])
                if chunk not in self._at_work:
                    self._claims.release(str(chunk))


@contextmanager
def clearing_up(objects: Objects) -> Iterator[None]:
    """Remove claims of killed writers, and files that they had not put in place unless others may be writing.

    Once a run: its workers would not know each other's.
    """
    found, runs = objects.unfinished(), Claims(objects)
    if runs.others():
        found = []
    # Claims are written by those who have none yet, in no time: what is still there at the end was left.
    claims = [file for file in found if file.parent.name == "claims" or file.parent == objects.folder]
    for file in found:
        if file not in claims:
            file.unlink(missing_ok=True)
    yield
    for file in claims:
        file.unlink(missing_ok=True)
    runs.clear()


def _stat_digest(frames: Iterable[str | os.PathLike[str]] | VideoFrames) -> bytes:
    """SHA-256 of the files' names, sizes and modification times, and of which part of a video it is."""
    digest = hashlib.sha256()
    if isinstance(frames, VideoFrames):
        digest.update(frames.part)
        frames = [frames.path]
    for path in frames:
        name = os.fspath(path)  # once, of three that would
        status = os.stat(name)
        digest.update(f"{os.path.basename(name)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.digest()
