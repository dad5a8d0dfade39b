"""Mean frames of clips in a feature store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._arrays import Arrays, checksums, spans
from ._store_format import CHUNK_ROWS, DamagedStoreError, StoreError


def read_mean_frames(
    arrays: Arrays,
    path: Any,
    rows: NDArray[np.intp],
    area: int,
    needs_all: bool,
    where_damaged: Callable[[NDArray[np.intp]], str],
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
    """Yield positions and mean frames, some at a time; raise if there are none, or not all that are needed.

    `rows` are -1 where the store has no such clip; `area` is of a frame, in pixels.
    """
    n, absent = 0, int((rows < 0).sum())
    kept = np.flatnonzero(rows >= 0)
    rows = rows[kept]
    for _, _, positions in spans(rows, CHUNK_ROWS, area):
        faces = arrays.read("frames/mean", rows[positions])
        crc = arrays.read("frames/crc", rows[positions])
        # Also of a clip that has a content and no checksum: that of frames/crc is lost, or comes next.
        there = crc.any(axis=1) | arrays.read("frames/content", rows[positions]).any(axis=1)
        identity = arrays.read("clips/identity", rows[positions])
        if (there & (checksums(faces, identity) != crc[:, 1])).any():
            where = where_damaged(rows[positions[there]])
            raise DamagedStoreError(
                f"{path}: frames/mean is damaged{where}; extract the data set into it again"
            )
        n += int(there.sum())
        yield kept[positions[there]], faces[there]
    absent += len(rows) - n
    if not n or (needs_all and absent):
        which = f"{absent} of these clips" if n else "these clips"
        raise StoreError(f"{path} has no mean frame (frames/mean) of {which}; extract them again into it")
