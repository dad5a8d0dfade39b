"""The table of clips in a feature store: which row is which clip's, and what is coded of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._arrays import Arrays, checksums
from ._store_format import (
    COLUMNS,
    NUMBERS,
    TABLE_ROWS,
    TEXT_WIDTH,
    TEXTS,
    DamagedStoreError,
    StoreError,
    decode_texts,
    encode_texts,
    hash_identities,
    identities,
    layout_of,
    subjects_of,
    whole_number,
)

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, NDArray[Any]]


def read_identities(arrays: Arrays, n: int) -> NDArray[np.uint8]:
    """Read the hash of the clip of each row, (n, 16); zeros where a row is no clip any more."""
    known = arrays.read("clips/identity", np.arange(n))
    lost = _are_lost(known)
    if lost.any():
        raise _damaged(arrays, "identity", np.flatnonzero(lost))
    return known


def find(known: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the row of each wanted hash among those known, -1 where it is not."""
    if not len(known) or not len(wanted):
        return np.full(len(wanted), -1, dtype=np.intp)
    halves, looked_for = known.view("<u8"), np.ascontiguousarray(wanted).view("<u8")  # (n, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    firsts = halves[order, 0]
    rows = np.full(len(wanted), -1, dtype=np.intp)
    position = np.searchsorted(firsts, looked_for[:, 0])
    open_ = np.arange(len(wanted))
    while len(open_):  # once, but for hashes whose first halves are the same
        open_ = open_[position[open_] < len(order)]
        candidates = order[position[open_]]
        open_, candidates = (
            part[halves[candidates, 0] == looked_for[open_, 0]] for part in (open_, candidates)
        )
        same = halves[candidates, 1] == looked_for[open_, 1]
        rows[open_[same]] = candidates[same]
        open_ = open_[~same]
        position[open_] += 1
    return rows


def read_clips(arrays: Arrays, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], Columns]:
    """Read the columns of those of these rows that are clips; a StoreError if one of them is damaged."""
    columns, whole = _read_columns(arrays, rows)
    no_clip = whole & ~columns["identity"].any(axis=1)
    if not whole.all():
        bad = rows[~whole]
        for name in (*COLUMNS, "crc"):
            lost = columns[name][~whole] == layout_of(f"clips/{name}", (0, 0)).fill
            if lost.reshape(len(bad), -1).all(axis=1).any() or arrays.damage(f"clips/{name}", bad):
                raise _damaged(arrays, name, bad)
        raise _damaged(arrays, "crc", bad)
    return rows[~no_clip], {name: columns[name][~no_clip] for name in COLUMNS}


def register(arrays: Arrays, n: int, table: pd.DataFrame) -> tuple[NDArray[np.intp], int]:
    """Give each clip a row of the store's n, or a new one; return them, and how many there are then.

    Clips that have a row keep it, and their columns (a corrected emotion, for example) are written anew where
    they differ, or are damaged. The new rows count when the caller has noted that there are so many.
    """
    clips = identities(table)
    twice = [clip for clip, count in Counter(clips).items() if count > 1]
    if twice:
        raise StoreError(f"the table names {len(twice)} clip(s) twice, the first {'/'.join(twice[0])}")
    values: Columns = {"identity": hash_identities(clips)}
    for name in TEXTS:
        column = subjects_of(table) if name == "subject" else table.get(name, [None] * len(table))
        values[name] = encode_texts(column)
    for name in NUMBERS:
        column = table.get(name, [None] * len(table))
        values[name] = np.array([whole_number(value) for value in column], dtype=np.int64)
    for name in (*COLUMNS, "crc"):
        arrays.require(f"clips/{name}", n)

    rows = find(_restored_identities(arrays, n, values["identity"]), values["identity"])
    new = rows < 0
    rows[new] = np.arange(n, n + new.sum())
    total = n + int(new.sum())
    for name in (*COLUMNS, "crc"):
        arrays.require(f"clips/{name}", total)
    for chunk in np.unique(rows // TABLE_ROWS):
        here = np.flatnonzero(rows // TABLE_ROWS == chunk)
        here = here[np.argsort(rows[here])]
        _write_where_other(arrays, rows[here], {name: column[here] for name, column in values.items()})
    return rows, total


def count_rows(arrays: Arrays) -> int:
    """How many rows there are, where the store's own word for it is lost: up to the last that is whole."""
    array = arrays.get("clips/crc")
    chunks = [int(name) for name in arrays.objects.names("clips/crc/c") if name.isdecimal()]
    n = 0 if array is None else min(array.shape[0], (max(chunks, default=-1) + 1) * TABLE_ROWS)
    whole = _read_columns(arrays, np.arange(n))[1]
    return int(np.flatnonzero(whole).max(initial=-1)) + 1


def _read_columns(arrays: Arrays, rows: NDArray[np.intp]) -> tuple[Columns, NDArray[np.bool_]]:
    """Read the columns of these rows, crc included, and which rows are whole."""
    columns = {name: arrays.read(f"clips/{name}", rows) for name in (*COLUMNS, "crc")}
    return columns, checksums(*(columns[name] for name in COLUMNS)) == columns["crc"]


def _write_where_other(arrays: Arrays, rows: NDArray[np.intp], values: Columns) -> None:
    """Write columns of rows of one chunk, those columns only in which something is not as it should be."""
    there, _ = _read_columns(arrays, rows)
    crc = checksums(*(values[name] for name in COLUMNS))
    for name, column in ({**values, "crc": crc}).items():
        if (there[name] != column).any():
            arrays.write(f"clips/{name}", rows, column)


def _restored_identities(arrays: Arrays, n: int, wanted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Read the hash of each row's clip; a lost one from the texts, and if they are too the row is no clip."""
    known = arrays.read("clips/identity", np.arange(n))
    lost = np.flatnonzero(_are_lost(known))
    if not len(lost):
        return known
    columns, _ = _read_columns(arrays, lost)
    texts = [decode_texts(columns[name]) for name in TEXTS[:3]]
    columns["identity"] = hash_identities(zip(*texts, strict=True))
    right = checksums(*(columns[name] for name in COLUMNS)) == columns["crc"]
    right |= find(wanted, columns["identity"]) >= 0
    known[lost] = np.where(right[:, None], columns["identity"], 0)
    arrays.write("clips/identity", lost, known[lost])
    no_clip = lost[~right]
    if len(no_clip):
        empty: Columns = {name: np.zeros((len(no_clip), TEXT_WIDTH), np.uint8) for name in TEXTS}
        empty |= {name: np.full(len(no_clip), -1, np.int64) for name in NUMBERS}
        empty["identity"] = known[no_clip]
        for name, column in (empty | {"crc": checksums(*(empty[name] for name in COLUMNS))}).items():
            arrays.write(f"clips/{name}", no_clip, column)
    return known


def _are_lost(known: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (known == 255).all(axis=1)


def _damaged(arrays: Arrays, name: str, rows: NDArray[np.intp]) -> DamagedStoreError:
    what = arrays.damage(f"clips/{name}", rows)
    where = f" ({', '.join(what)})" if what else f" (row {rows[0]})"
    return DamagedStoreError(
        f"{arrays.objects.title}: clips/{name} is damaged{where}; extract the data set into it again"
    )
