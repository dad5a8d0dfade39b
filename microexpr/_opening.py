"""Opening, making and restoring a feature store: what its own zarr.json says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._store_format import (
    FORMAT,
    FORMAT_VERSION,
    DamagedStoreError,
    StoreError,
    check_attributes,
    checksum_of_attributes,
)
from ._wording import option

if TYPE_CHECKING:
    from ._objects import Objects


# What a store does not note, because it is what the paper has.
_NOT_NOTED = {"pooling": "rank"}
# What `microexpr extract` has options for; what else is noted, such as C, is given in Python only.
_OPTIONS = ("size", "crop", "stabilise", "blur", "n_frames", "pooling")


def open_store(objects: Objects, mode: str, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the attributes of a store, made in mode "a" if there is none; raise if they are not as asked."""
    try:
        raw = objects.get("zarr.json")
    except DamagedStoreError:  # a folder, a FIFO
        raw = b""
    if raw is None and not _holds_arrays(objects):
        problem = _problem_of_place(objects, mode, parameters)
        raw = objects.get("zarr.json")  # another run may have made it this moment
        if raw is None and problem:
            raise StoreError(problem)
        if raw is None and parameters is not None:
            objects.make_writable()
            # One of several who make it at the same time does; the others find what it has.
            objects.create("zarr.json", store_json(_new(parameters)))
            raw = objects.get("zarr.json")
    if mode == "a":
        objects.make_writable()
    try:
        attributes = check_attributes(raw, objects.title)
    except DamagedStoreError:
        if not _holds_arrays(objects):
            raise StoreError(
                f"{objects.title} is not a feature store of microexpr; give another path"
            ) from None
        if mode == "r" or parameters is None:
            raise
        attributes = _restore(objects, parameters)
    there = attributes["parameters"]
    if parameters is not None and dict(parameters) != there:
        names = sorted({*parameters, *there})
        differ = [n for n in names if parameters.get(n) != there.get(n)]
        theirs, ours = (
            ", ".join(_named(n, which.get(n, _NOT_NOTED.get(n))) for n in differ)
            for which in (there, parameters)
        )
        more = " (one of mean+rank serves every pooling)" if differ == ["pooling"] else ""
        raise StoreError(
            f"{objects.title} was made with {theirs}, not {ours}; give another store for that{more}"
        )
    return attributes


def _named(name: str, value: Any) -> str:
    return option(name, value) if name in _OPTIONS else f"{name}={value!r}"


def _problem_of_place(objects: Objects, mode: str, parameters: Any) -> str:
    """Say why no store can be made there; a text, empty if one can."""
    title, folder = objects.title, objects.folder
    # A process killed at once leaves an empty folder, or one with a file that it had not put in place.
    if folder is not None and folder.exists():
        other = not folder.is_dir() or any(
            p.suffix != ".partial" and p.name != "claims" for p in folder.iterdir()
        )
    else:
        other = folder is None and any(name != "claims" for name in objects.names(""))
    if other:
        return f"{title} is not a feature store of microexpr; give another path"
    if mode == "r":
        return f"{title}: there is no feature store; extract into it first"
    if parameters is None:
        return f"{title}: there is no feature store, and parameters are needed to make one"
    if folder is not None and not folder.parent.is_dir():
        return f"{folder.parent}: no such folder to make a store in; make it first"
    return ""


def _holds_arrays(objects: Objects) -> bool:
    """Whether it is a feature store, even if its zarr.json is lost."""
    return {"identity", "crc"} <= {*objects.names("clips")}


def _restore(objects: Objects, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Make a lost zarr.json anew; features that were computed with other parameters do not fit their keys."""
    from ._arrays import Arrays
    from ._claims import locked
    from ._clip_table import count_rows

    with locked(objects):
        arrays = Arrays(objects, tuple(parameters["size"]), writable=True)
        attributes = {**_new(parameters), "rows": count_rows(arrays)}
        objects.put("zarr.json", store_json(attributes))
    return check_attributes(objects.get("zarr.json"), objects.title)


def _new(parameters: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {"format": FORMAT, "format_version": FORMAT_VERSION, "rows": 0, "versions": []}
    return {**attributes, "parameters": dict(parameters)}


def put_groups(objects: Objects) -> None:
    """Make the groups within the store unless they are there, for those who read it with zarr."""
    for name in damaged_groups(objects):
        objects.put(name, _group_json({}))


def damaged_groups(objects: Objects) -> list[str]:
    """Name the zarr.json of those groups within the store that are not as they should be."""
    found = []
    for name in (f"{folder}/zarr.json" for folder in ("clips", "frames", "u", "key", "crc", "claims")):
        try:
            if objects.get(name) != _group_json({}):
                found.append(name)
        except DamagedStoreError:
            found.append(name)
    return found


def store_json(attributes: Mapping[str, Any]) -> bytes:
    """Return a store's zarr.json, in which a checksum of its attributes stands beside them."""
    return _group_json({**attributes, "crc32": checksum_of_attributes(attributes)})


def _group_json(attributes: Mapping[str, Any]) -> bytes:
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    return json.dumps(group, indent=2).encode()
