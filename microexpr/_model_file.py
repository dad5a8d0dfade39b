"""A recogniser's file: arrays of numbers and a JSON in an uncompressed zip archive, as `numpy.savez` has it.

Nothing in it is code, and nothing in it is taken on trust: names, types, shapes and values of all of it are
looked at before a recogniser is made of it.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import secrets
import stat
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._json_fields import (
    COUNT,
    NUMBER,
    TEXT,
    YES_OR_NO,
    WrongField,
    anything,
    fields,
    list_of,
    matches,
    names_to,
    one_of,
    or_null,
    parse_object,
    shortened,
)
from .experiment.pins_file import PARAMETERS, check_parameters
from .pooling import POOLINGS, length_of

#: Of the file.
FORMAT = 1
#: Bytes that are read of a file: one of 16384 features of 10,000 clips has a megabyte.
LARGEST_FILE = 1 << 30

_FLOATS = ("mean", "scale", "coef", "intercept", "texture", "held_out_face", "held_out_motion")
# Of an array in the first version of NumPy's format, as numpy.save writes it; there it is evaluated.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<descr>[<|][fiu][18])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>[0-9, ]*)\), \} *\n",
    re.DOTALL,
)
_TYPES = {**dict.fromkeys(_FLOATS, "<f8"), "selected": "<i8", "face": "|u1", "about": "|u1"}


def write_model(path: Path, about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Write a file whole or not at all: the same bytes of the same content."""
    text = json.dumps({"format": FORMAT, **about}, ensure_ascii=False, allow_nan=False, sort_keys=True)
    content = {**arrays, "about": np.frombuffer(text.encode(), np.uint8)}
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with zipfile.ZipFile(partial, "x", zipfile.ZIP_STORED) as archive:
            for name, kind in _TYPES.items():
                # A name and no path: the archive's own date, 1980, stands in each.
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.save(file, content[name].astype(kind, order="C"), allow_pickle=False)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def read_model(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a file, or raise a ValueError that says what is wrong where."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; `microexpr train` writes one") from None
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(
            f"{path} is {'a folder' if path.is_dir() else 'not a regular file'}; it must be a model"
        )
    if status.st_size > LARGEST_FILE:
        raise ValueError(f"{path} has {status.st_size} bytes; models of up to {LARGEST_FILE} are read")
    try:
        arrays = _arrays(path.read_bytes())
        about = parse_object(arrays.pop("about").tobytes())
    except (ValueError, zipfile.BadZipFile, EOFError, NotImplementedError, RecursionError) as error:
        reason = shortened(str(error) or type(error).__name__)
        raise ValueError(f"{path} is not a model of `microexpr train`, or damaged: {reason}") from error
    if about["format"] != FORMAT or isinstance(about["format"], bool):
        raise ValueError(f"{path} has format {shortened(repr(about['format']))}; this version reads {FORMAT}")
    try:
        _ABOUT(about, "")
        check_parameters(about["parameters"])
        _check(about, arrays)
    except WrongField as error:
        raise ValueError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: it is nested too deeply") from error
    return about, arrays


def _arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an archive, none of which is larger than the archive itself."""
    found: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        names = [entry.filename.removesuffix(".npy") for entry in entries]
        if sorted(names) != sorted(_TYPES):
            raise ValueError(f"it holds {shortened(', '.join(names))}; it must hold {', '.join(_TYPES)}")
        for name, entry in zip(names, entries, strict=True):
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
                raise ValueError(f"{name} is compressed")
            content = archive.read(entry)  # which looks at its CRC
            header = _HEADER.match(content)
            if header is None or header["descr"].decode() != _TYPES[name]:
                raise ValueError(f"{name} is not an array of {_TYPES[name]}, in rows")
            dtype = np.dtype(_TYPES[name])
            shape = tuple(int(length) for length in re.findall(rb"\d{1,18}", header["shape"]))
            if math.prod(shape) * dtype.itemsize != len(content) - header.end():
                raise ValueError(f"{name} has shape {shape} and {len(content) - header.end()} bytes")
            values = np.frombuffer(content, dtype, offset=header.end()).reshape(shape)
            found[name] = values.astype(dtype.newbyteorder("="))
    return found


def _check(about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Raise unless the arrays fit each other, and what is said of them."""
    c, (down, across), (height, width) = len(about["classes"]), about["blocks"], about["parameters"]["size"]
    if c < 2 or about["classes"] != sorted(set(about["classes"])):
        raise WrongField("classes must be two or more, sorted, each once")
    if not (1 <= down <= height and 1 <= across <= width):
        raise WrongField(f"blocks are {down} x {across}; frames are {height} x {width} pixels")
    trained_on = about["about"]
    confusion, counts = trained_on["scores"]["confusion"], trained_on["class_counts"]
    if [len(row) for row in confusion] != [c] * c or sum(map(sum, confusion)) != trained_on["clips"]:
        raise WrongField("about.scores.confusion must have a row and a column a class, and count each clip")
    if list(counts) != about["classes"] or sum(counts.values()) != trained_on["clips"]:
        raise WrongField("about.class_counts must have each class, and count each clip")
    if not about["temperature"] > 0:
        raise WrongField("temperature must be positive")
    d, texture = (length_of(pooling, (down, across)) for pooling in (about["pooling"], "rank"))
    n, p = len(arrays["selected"]), c * (c - 1) // 2 if about["pairs"] else c
    m = trained_on["clips"]
    shapes = {"mean": (d,), "scale": (d,), "selected": (n,), "coef": (p, n), "intercept": (p,)}
    shapes |= {"face": (height, width), "texture": (texture,), "held_out_face": (m,), "held_out_motion": (m,)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise WrongField(f"{name} has shape {arrays[name].shape}; it must have {shape}")
        if name in _FLOATS and not np.isfinite(arrays[name]).all():
            raise WrongField(f"{name} holds NaN or infinity")
    selected = arrays["selected"]
    if not n or selected[0] < 0 or selected[-1] >= d or (np.diff(selected) <= 0).any():
        raise WrongField(f"selected must be of the {d} features, one or more, rising")
    if not (arrays["scale"] > 0).all():
        raise WrongField("scale must be positive")
    for name in ("held_out_face", "held_out_motion"):
        if not m or (np.diff(arrays[name]) < 0).any():
            raise WrongField(f"{name} must be rising")


_SCORED = fields(
    {
        **dict.fromkeys(("accuracy", "uf1", "uar"), list_of(NUMBER, 3)),
        "log_loss": list_of(NUMBER, 2),
        "confusion": list_of(list_of(COUNT)),
        "folds": TEXT,
    }
)
_TRAINED_ON = fields(
    {
        "datasets": list_of(TEXT),
        "simulated": YES_OR_NO,
        "clips": COUNT,
        "subjects": COUNT,
        "class_counts": names_to(COUNT),
        "digest": TEXT,
        "classifier": one_of("svm", "lda"),
        "class_weight": or_null(one_of("balanced")),
        "n_features": COUNT,
        "C": or_null(NUMBER),
        "gamma": NUMBER,
        "chosen_from": COUNT,
        "gap": or_null(NUMBER),
        "scores": _SCORED,
        "versions": names_to(TEXT),
        "notes": list_of(TEXT),
    }
)
_ABOUT = fields(
    {
        "format": anything,
        "classes": list_of(TEXT),
        "blocks": list_of(
            matches(lambda value: type(value) is int and 0 < value < 1 << 16, "a whole number"), 2
        ),
        "pooling": one_of(*POOLINGS),
        "parameters": PARAMETERS,
        "pairs": YES_OR_NO,
        "temperature": NUMBER,
        "about": _TRAINED_ON,
    }
)
