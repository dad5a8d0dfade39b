"""What lies where in a feature store: docs/store.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Blocks = tuple[int, int]
Kind = Blocks | str  # of features: LTOGP's in so many blocks down and across, or others by their name

FORMAT = "microexpr-features"
FORMAT_VERSION = 1


# One writer owns a chunk of rows. 32 rows of 8 x 8 blocks are 4 MB: a million clips make 31,250 files a
# grid, and a killed writer loses at most 31 clips that were done.
CHUNK_ROWS = 32
TABLE_ROWS = 4096  # columns of the table: written all at once, by one process
TEXT_WIDTH = 256  # bytes of a string: no file system has longer names

TEXTS = ("dataset", "subject", "clip", "emotion", "action_units")
NUMBERS = ("onset", "apex", "offset")
# Shape and dtype of a row of each column of the table. `listed` is last: a row that was being registered when
# the process died is no clip.
COLUMNS: dict[str, tuple[tuple[int, ...], str]] = {
    **dict.fromkeys(TEXTS, ((TEXT_WIDTH,), "uint8")),
    **dict.fromkeys(NUMBERS, ((), "int64")),
    "listed": ((), "uint8"),
}


class StoreError(ValueError):
    """A feature store that cannot be read or written as asked; the message says which, where and why."""


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    """What a store keeps of one clip.

    Attributes
    ----------
    features : dict
        For each kind of features its row, (d,).
    content : bytes
        `microexpr.data.clips.content_digest` of its files.
    count : int
        Frames described.
    mean : ndarray of shape (height, width), uint8
        Mean frame.
    """

    features: dict[Kind, NDArray[np.float64]]
    content: bytes
    count: int
    mean: NDArray[np.uint8]


def open_group(path: Path, mode: str, parameters: Mapping[str, Any] | None) -> Any:
    """Open the zarr group of a store, or make it in mode "a"."""
    import zarr

    # A process killed at once leaves an empty folder, or one with a file that it had not put in place.
    if not path.exists() or (path.is_dir() and all(p.suffix == ".partial" for p in path.iterdir())):
        if mode == "r":
            raise StoreError(f"{path}: there is no feature store; extract into it first")
        if parameters is None:
            raise StoreError(f"{path}: there is no feature store, and parameters are needed to make one")
        if not path.parent.is_dir():
            raise StoreError(f"{path.parent}: no such folder to make a store in; make it first")
        attributes = {"format": FORMAT, "format_version": FORMAT_VERSION, "versions": []}
        return zarr.create_group(path, attributes={**attributes, "parameters": dict(parameters)})
    try:
        group = zarr.open_group(path, mode="r" if mode == "r" else "r+", zarr_format=3)
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
    there = group.attrs["parameters"]
    if parameters is not None and dict(parameters) != there:
        names = sorted({*parameters, *there})
        differ = [n for n in names if parameters.get(n) != there.get(n)]
        theirs = ", ".join(f"{n}={there.get(n)!r}" for n in differ)
        ours = ", ".join(f"{n}={parameters.get(n)!r}" for n in differ)
        raise StoreError(f"{path} was made with {theirs}, not {ours}; give another store for that")
    return group


def kind_of(name: str) -> Kind:
    """Return (2, 3) for "2x3", and other names as they are."""
    grid = re.fullmatch(r"([0-9]+)x([0-9]+)", name)
    return (int(grid[1]), int(grid[2])) if grid else name


def name_of(kind: Kind) -> str:
    """Return the name of the arrays of this kind of features, or raise if it cannot be one."""
    if not isinstance(kind, str):
        return f"{kind[0]}x{kind[1]}"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", kind):
        raise StoreError(
            f"{kind!r} cannot name features in a store: give letters, digits, _, - and ., a letter first, "
            "with microexpr.Features(function, name)"
        )
    return kind


def title_of(kind: Kind) -> str:
    """Return what messages call this kind of features."""
    return kind if isinstance(kind, str) else f"{name_of(kind)} blocks"


def identities(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return what tells clips apart: dataset, subject and clip of each."""
    return list(zip(map(str, table["dataset"]), subjects_of(table), map(str, table["clip"]), strict=True))


def subjects_of(table: pd.DataFrame) -> Iterator[str]:
    """Yield subjects without the data set's name that `combine` puts before them."""
    for dataset, subject in zip(table["dataset"], table["subject"], strict=True):
        yield str(subject).removeprefix(f"{dataset}/")


def whole_number(value: Any) -> int:
    """Return a number of a frame, -1 where there is none."""
    try:
        return int(value)
    except (TypeError, ValueError):  # NA
        return -1


def encode_texts(texts: Iterable[Any]) -> NDArray[np.uint8]:
    """Return texts in UTF-8, padded with zero bytes."""
    encoded = [str("" if text is None else text).encode() for text in texts]
    longest = max(encoded, key=len, default=b"")
    if len(longest) > TEXT_WIDTH:
        raise StoreError(
            f"{longest.decode()!r} has {len(longest)} bytes; a store's strings have at most {TEXT_WIDTH}"
        )
    return np.array(encoded, dtype=f"S{TEXT_WIDTH}").view(np.uint8).reshape(-1, TEXT_WIDTH)


def decode_texts(column: NDArray[np.uint8]) -> NDArray[Any]:
    """Read texts in UTF-8 that are padded with zero bytes."""
    texts = np.empty(len(column), dtype=object)
    texts[:] = [row.tobytes().rstrip(b"\0").decode("utf-8", "replace") for row in column]
    return texts
