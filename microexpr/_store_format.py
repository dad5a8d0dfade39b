"""What lies where in a feature store: docs/store.md."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Blocks = tuple[int, int]
Kind = Blocks | str  # of features: LTOGP's in so many blocks down and across, or others by their name

FORMAT = "microexpr-features"
FORMAT_VERSION = 2

# One writer owns a chunk of rows. 32 rows of 8 x 8 blocks are 4 MB: a million clips make 31,250 files an
# array.
CHUNK_ROWS = 32
TABLE_ROWS = 4096  # columns of the table: written by one process at a time
TEXT_WIDTH = 256  # bytes of a string: no file system has longer names
MOST_ROWS = 1 << 40
LONGEST = 1 << 24  # features of a clip: 32 rows of them are 4 GB

TEXTS = ("dataset", "subject", "clip", "emotion", "action_units")
NUMBERS = ("onset", "apex", "offset")
COLUMNS = (*TEXTS, *NUMBERS, "identity")


class StoreError(ValueError):
    """A feature store that cannot be read or written as asked; the message says which, where and why."""


class DamagedStoreError(StoreError):
    """A part of a feature store is not as it was written."""


class Layout(NamedTuple):
    """How an array is stored.

    Its fill value, which a chunk that is gone reads as, is nothing that is ever written where that can be:
    0xFF is no byte of UTF-8, and no hash of a clip is all ones.
    """

    shape: tuple[int, ...]  # of a row; (-1,) is any number of features
    dtype: str
    rows: int  # of a chunk
    fill: float
    compressed: bool = False  # padded strings do; features hardly (zstd: 10 %, in four times the time)


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


def layout_of(name: str, size: tuple[int, int]) -> Layout:
    """Return how the array of this name is stored, for mean frames of this size."""
    folder, _, own = name.partition("/")
    if folder == "clips":
        if own in NUMBERS:
            return Layout((), "int64", TABLE_ROWS, np.iinfo(np.int64).min, True)
        if own == "crc":
            return Layout((), "uint32", TABLE_ROWS, 0)
        return Layout((16 if own == "identity" else TEXT_WIDTH,), "uint8", TABLE_ROWS, 255, own != "identity")
    if folder == "frames":
        shape, dtype = {
            "content": ((32,), "uint8"),
            "stat": ((32,), "uint8"),
            "count": ((), "int64"),
            "mean": (tuple(size), "uint8"),
            "crc": ((2,), "uint32"),
        }[own]
        return Layout(shape, dtype, CHUNK_ROWS, 0)
    shape, dtype, fill = {
        "u": ((-1,), "float64", np.nan),
        "key": ((32,), "uint8", 0.0),
        "crc": ((), "uint32", 0.0),
    }[folder]
    return Layout(shape, dtype, CHUNK_ROWS, fill)


def check_attributes(raw: bytes | None, title: str) -> dict[str, Any]:
    """Return the attributes of a store's group, or raise what is wrong with its zarr.json."""

    def damaged(what: str) -> DamagedStoreError:
        return DamagedStoreError(f"{title}: zarr.json is damaged: {what}; extract into it again")

    if raw is None:
        raise DamagedStoreError(f"{title}: zarr.json is gone; extract into it again")
    try:
        group = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise damaged(_short(error)) from error
    attributes = group.get("attributes") if isinstance(group, dict) else None
    if not isinstance(attributes, dict) or attributes.get("format") != FORMAT:
        raise damaged("it is no feature store's")
    version = attributes.get("format_version")
    if not _is_count(version, 0, MOST_ROWS):
        raise damaged(f"format_version is {_short(version)}")
    if version != FORMAT_VERSION:
        raise StoreError(
            f"{title} is in format {version}; this version of microexpr reads format {FORMAT_VERSION}: "
            "extract into another path"
        )
    if group.get("zarr_format") != 3 or group.get("node_type") != "group":
        raise damaged("it is no group's")
    crc = attributes.pop("crc32", None)
    for field, is_right, what in (
        ("parameters", lambda value: isinstance(value, dict), "an object"),
        ("versions", _are_versions, "a list of objects of texts"),
        ("rows", lambda value: _is_count(value, 0, MOST_ROWS), f"a whole number from 0 to {MOST_ROWS}"),
    ):
        if not is_right(attributes.get(field)):
            raise damaged(f"{field} is {_short(attributes.get(field))}, and not {what}")
    size = attributes["parameters"].get("size")
    if not isinstance(size, list) or len(size) != 2 or not all(_is_count(side, 1, 65_500) for side in size):
        raise damaged(f"parameters.size is {_short(size)}, and not two sides in pixels")
    if crc != checksum_of_attributes(attributes) or isinstance(crc, bool):
        raise damaged("its attributes do not have its checksum")
    return attributes


def checksum_of_attributes(attributes: Mapping[str, Any]) -> int:
    """CRC-32 of the JSON text of a store's attributes, sorted by name."""
    return zlib.crc32(json.dumps(attributes, sort_keys=True).encode())


def check_array(raw: bytes, layout: Layout, codecs: list[str]) -> tuple[int, dict[str, Any]]:
    """Return an array's number of rows and attributes, or raise what is wrong in its zarr.json."""
    try:
        array = json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(array, dict):
        raise ValueError("no object")
    shape, attributes = array.get("shape"), array.get("attributes", {})
    lengths = shape[1:] if isinstance(shape, list) else None
    free = layout.shape == (-1,) and lengths and len(lengths) == 1 and _is_count(lengths[0], 1, LONGEST)
    if not isinstance(shape, list) or not shape or not (free or lengths == list(layout.shape)):
        raise ValueError(f"shape is {_short(shape)}")
    if not _is_count(shape[0], 0, 2 * MOST_ROWS):
        raise ValueError(f"shape is {_short(shape)}")
    named = array.get("codecs")
    unknown = sorted(set(map(str, array)) - _FIELDS)
    if unknown:
        raise ValueError(f"{_short(unknown[0])} is no field of an array")
    expected = {
        "zarr_format": 3,
        "node_type": "array",
        "data_type": layout.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [layout.rows, *shape[1:]]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if np.isnan(layout.fill) else int(layout.fill),
    }
    for field, value in expected.items():
        if array.get(field) != value or isinstance(array.get(field), bool):
            raise ValueError(f"{field} is {_short(array.get(field))}, and not {value!r}")
    if (
        not isinstance(named, list)
        or not all(isinstance(codec, dict) for codec in named)
        or [codec.get("name") for codec in named] != codecs
        or not all(set(codec) <= {"name", "configuration"} for codec in named)
        or not all(codec.get("configuration", {}) in _CONFIGURATIONS[codec["name"]] for codec in named)
        or array.get("dimension_names") is not None
        or array.get("storage_transformers", []) != []
    ):
        raise ValueError(f"codecs is {_short(named)}")
    if not isinstance(attributes, dict) or not isinstance(attributes.get("parameters", {}), dict):
        raise ValueError(f"attributes is {_short(attributes)}")
    return shape[0], attributes


_FIELDS = {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding"}
_FIELDS |= {"fill_value", "codecs", "attributes", "storage_transformers", "dimension_names"}
_CONFIGURATIONS: dict[str, list[dict[str, Any]]] = {
    "bytes": [{}, {"endian": "little"}],
    "gzip": [{"level": level} for level in range(10)],
    "crc32c": [{}],
}


def kind_of(name: str) -> Kind:
    """Return (2, 3) for "2x3", and other names as they are."""
    grid = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", name)
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


def hash_identities(clips: Iterable[tuple[str, str, str]]) -> NDArray[np.uint8]:
    """Return the first 16 bytes of SHA-256 over the JSON text of each, by which a store finds a clip."""
    hashes = [hashlib.sha256(json.dumps(list(clip)).encode()).digest()[:16] for clip in clips]
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 16)


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
    """Return texts in UTF-8, padded with zero bytes; of file names, what is no UTF-8 stays as it is."""
    encoded = [str("" if text is None else text).encode("utf-8", "surrogateescape") for text in texts]
    longest = max(encoded, key=len, default=b"")
    if len(longest) > TEXT_WIDTH:
        raise StoreError(
            f"{longest.decode()!r} has {len(longest)} bytes; a store's strings have at most {TEXT_WIDTH}"
        )
    return np.array(encoded, dtype=f"S{TEXT_WIDTH}").view(np.uint8).reshape(-1, TEXT_WIDTH)


def decode_texts(column: NDArray[np.uint8]) -> NDArray[Any]:
    """Read texts in UTF-8 that are padded with zero bytes."""
    texts = np.empty(len(column), dtype=object)
    texts[:] = [row.tobytes().rstrip(b"\0").decode("utf-8", "surrogateescape") for row in column]
    return texts


def _are_versions(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and all(isinstance(text, str) for text in entry.values()) for entry in value
    )


def _is_count(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Exception) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
