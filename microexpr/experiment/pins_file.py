"""An evaluation.json read back: every field is looked at before anything is done that it says."""

from __future__ import annotations

import dataclasses
import inspect
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import is_whole
from .._json_fields import (
    ANY,
    COUNT,
    HASH,
    NUMBER,
    OBJECT,
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
    shown,
)
from ..data.clips import check_options
from ..data.cropping import check_crop
from ..data.datasets import check_source
from ..features import as_json
from ..pipeline import describe
from ..pooling import POOLINGS
from .pins import FORMAT
from .settings import Settings, title
from .tables import numbers_of_features

__all__ = ["LARGEST_FILE", "PARAMETERS", "check_parameters", "read_pins"]

#: Bytes that are read of an evaluation.json: one of 170,000 clips with the paper's Fig. 4 has as many. Of
#: empty lists they would take 23 times as much memory.
LARGEST_FILE = 128 << 20


def read_pins(path: Path) -> tuple[dict[str, Any], Settings]:
    """Read an evaluation.json, and the settings in it; raise a ValueError that names the file and the field.

    What its first version had must be there. Later ones added `classifier`, options of sources, the
    parameters `blur`, `crop` and `pooling`, and settings and rows of other poolings. What no version writes
    is refused.
    """
    if not path.exists() or path.is_dir():
        raise FileNotFoundError(f"{path}: no such file; `microexpr evaluate` writes one, evaluation.json")
    try:
        content = _parsed(path)
        _FILE(content, "")
        settings = _settings(content["settings"])
        check_parameters(content["data"]["parameters"])
        _check_features(content["data"], settings)
    except WrongField as error:
        raise ValueError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: it is nested too deeply") from error
    return content, settings


def _parsed(path: Path) -> dict[str, Any]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # others may have no end
        raise WrongField("it is not a regular file")
    if status.st_size > LARGEST_FILE:
        raise WrongField(f"it has {status.st_size} bytes; up to {LARGEST_FILE} are read")
    try:
        content = parse_object(path.read_bytes())
    except ValueError as error:  # JSON's and UTF-8's too
        raise ValueError(f"{path} is not an evaluation.json of `microexpr evaluate`: {error}") from error
    if not is_whole(content["format"]) or content["format"] != FORMAT:
        raise ValueError(f"{path} has format {shown(content['format'])}; this version reads {FORMAT}")
    return content


def _settings(given: Mapping[str, Any]) -> Settings:
    try:
        return Settings(**given)
    except ValueError as error:
        raise WrongField(f"settings.{shortened(str(error))}") from error


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise unless `extract` takes each of them; what is `describe`'s is tried, on two black frames."""
    try:
        stabilise, n_frames, size = (parameters[name] for name in ("stabilise", "n_frames", "size"))
        check_options(stabilise, n_frames, size, parameters.get("blur"))
        check_crop(parameters.get("crop"))
    except ValueError as error:
        raise WrongField(f"data.parameters.{shortened(str(error))}") from error
    for name, parameter in inspect.signature(describe).parameters.items():
        if name not in _DESCRIBED or repr(parameters[name]) == repr(as_json(parameter.default)):
            continue  # not by ==, to which true is 1
        try:
            describe(np.zeros((2, 3, 3), np.uint8), blocks=(1, 1), n_jobs=1, **{name: parameters[name]})
        except (TypeError, ValueError, OverflowError) as error:
            raise WrongField(f"data.parameters.{name}: {shortened(str(error))}") from error


def _check_features(data: Mapping[str, Any], settings: Settings) -> None:
    """Raise unless they are those of the grids in the settings, or one function's, and N are less."""
    there, (height, width) = list(data["features"]), data["parameters"]["size"]
    if not any(re.fullmatch("[0-9]+ x [0-9]+", name) for name in there):
        if len(there) != 1:
            raise WrongField(f"data.features has {len(there)} names; it must have one, or those of blocks")
        return
    for down, across in settings.grids:
        if down > height or across > width:
            blocks = shortened(f"{down} x {across}")
            raise WrongField(
                f"settings.blocks or settings.sweep_blocks has {blocks}; frames are {height} x {width} pixels"
            )
        try:
            numbers_of_features(settings, (down, across), 256 * down * across)
        except ValueError as error:
            words = f"settings.n_features or settings.sweep_n_features: {shortened(str(error))}"
            raise WrongField(words) from error
    wanted = [title(blocks).removesuffix(" blocks") for blocks in settings.grids]
    if set(wanted) != set(there):
        raise WrongField(
            f"settings.blocks and settings.sweep_blocks are {shortened(', '.join(wanted))}; "
            f"data.features are of {shortened(', '.join(there))}"
        )


def _blocks(value: Any, field: str) -> None:
    (list_of(COUNT, 2) if isinstance(value, list) else COUNT)(value, field)


def _source(value: Any, field: str) -> None:
    matches(
        lambda value: isinstance(value, list) and len(value) in (2, 3),
        "a list: a data set's name, its folder, perhaps options",
    )(value, field)
    for k, item in enumerate(value[:2]):
        TEXT(item, f"{field}[{k}]")
    options = value[2] if len(value) == 3 else {}
    OBJECT(options, f"{field}[2]")
    try:
        check_source(value[0], options)
    except ValueError as error:
        raise WrongField(f"{field}: {shortened(str(error))}") from error
    fields({}, _READING)(options, f"{field}[2]")


# Of `extract` and `describe`, as a store notes them.
_DESCRIBED = ("radius", "mode", "templates", "C", "loss", "tol")
_PARAMETERS = {"size": list_of(COUNT, 2), **dict.fromkeys(("stabilise", "n_frames", *_DESCRIBED), anything)}
_LATER_PARAMETERS = dict.fromkeys(("blur", "crop", "pooling"), anything)
PARAMETERS = fields(_PARAMETERS, _LATER_PARAMETERS)

# Options of the readers of `microexpr.data`.
_READING = {
    **dict.fromkeys(("sheet", "tree", "encoding"), or_null(TEXT)),
    **dict.fromkeys(("strict", "allow_gaps", "whole_folder", "follow_outside"), YES_OR_NO),
    "cropped": or_null(YES_OR_NO),
    "camera": one_of("HS", "VIS", "NIR"),
    "expressions": one_of("micro", "macro", "all"),
}

_SCORES = {name: NUMBER for name in ("accuracy", "uf1", "uar")}
_SCORED = {**_SCORES, "confusion": list_of(list_of(COUNT)), "predictions": list_of(TEXT)}
_INTERVAL = list_of(NUMBER, 2)

_ROW = fields(
    needed={
        **dict.fromkeys(("name", "basis"), TEXT),
        "n_features": list_of(COUNT),
        "C": list_of(or_null(NUMBER)),
        "recall": names_to(or_null(NUMBER)),
        "intervals": fields(dict.fromkeys(_SCORES, _INTERVAL)),
        "by_subject": names_to(list_of(COUNT, 2)),
        "by_dataset": names_to(_INTERVAL),
        **_SCORED,
    },
    further={"pooling": one_of(*POOLINGS)},
)
_COMPARISON = fields(
    {
        "rows": list_of(COUNT, 2),
        "difference": NUMBER,
        "interval": _INTERVAL,
        "mcnemar": fields({"only_first": COUNT, "only_second": COUNT, "p": NUMBER}),
    }
)
_RESULTS = fields(
    {
        "labels": list_of(TEXT),
        "rows": list_of(_ROW),
        "comparisons": list_of(_COMPARISON),
        "sweep": list_of(fields({"n_features": COUNT, **_SCORED}, {"blocks": _blocks, "features": TEXT})),
        "weights": or_null(list_of(list_of(NUMBER))),
        "nonzero_rows": list_of(COUNT),
        "largest_gap": or_null(NUMBER),
        "notes": list_of(TEXT),
    }
)
_DATA = fields(
    {
        "sources": list_of(_source),
        "classes": or_null(one_of("paper", "composite", "all")),
        "digest": HASH,
        "parameters": PARAMETERS,
        "clips": HASH,
        "features": names_to(HASH),
    },
    {"poolings": names_to(HASH)},
)
_SETTINGS = {field.name: ANY for field in dataclasses.fields(Settings)}
_LATER_SETTINGS = {name: _SETTINGS.pop(name) for name in ("poolings", "classifier", "class_weight")}
_FILE = fields(
    {
        "format": COUNT,
        "simulated": YES_OR_NO,
        "settings": fields(_SETTINGS, _LATER_SETTINGS),
        "versions": names_to(TEXT),
        "data": _DATA,
        "results": _RESULTS,
    },
    {"classifier": TEXT},
)
