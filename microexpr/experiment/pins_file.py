"""An evaluation.json read back: every field is looked at before anything is done that it says."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import is_whole
from ..data.clips import check_options
from ..data.datasets import check_source
from ..features import as_json
from ..pipeline import describe
from ..pooling import POOLINGS
from .pins import FORMAT
from .settings import Settings, title
from .tables import numbers_of_features

__all__ = ["LARGEST_FILE", "read_pins"]

#: Bytes that are read of an evaluation.json: one of 170,000 clips with the paper's Fig. 4 has as many. Of
#: empty lists they would take 23 times as much memory.
LARGEST_FILE = 128 << 20

_MOST_DIGITS = 1000  # of a whole number


def read_pins(path: Path) -> tuple[dict[str, Any], Settings]:
    """Read an evaluation.json, and the settings in it; raise a ValueError that names the file and the field.

    What its first version had must be there. Later ones added `classifier`, options of sources, the
    parameters `blur` and `pooling`, and settings and rows of other poolings. What no version writes is
    refused.
    """
    if not path.exists() or path.is_dir():
        raise FileNotFoundError(f"{path}: no such file; `microexpr evaluate` writes one, evaluation.json")
    try:
        content = _parsed(path)
        _FILE(content, "")
        settings = _settings(content["settings"])
        _check_parameters(content["data"]["parameters"])
        _check_features(content["data"], settings)
    except _Wrong as error:
        raise ValueError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: it is nested too deeply") from error
    return content, settings


def _parsed(path: Path) -> dict[str, Any]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # others may have no end
        raise _Wrong("it is not a regular file")
    if status.st_size > LARGEST_FILE:
        raise _Wrong(f"it has {status.st_size} bytes; up to {LARGEST_FILE} are read")
    try:
        content = json.loads(
            path.read_bytes().decode("utf-8"),
            object_pairs_hook=_object_of,
            parse_constant=_Unfit,
            parse_float=_float_of,
            parse_int=_int_of,
        )
        if not isinstance(content, dict):
            raise ValueError(f"it is {_shown(content)}")
        if "format" not in content:
            raise ValueError("it has no format")
    except ValueError as error:  # JSON's and UTF-8's too
        raise ValueError(f"{path} is not an evaluation.json of `microexpr evaluate`: {error}") from error
    if not is_whole(content["format"]) or content["format"] != FORMAT:
        raise ValueError(f"{path} has format {_shown(content['format'])}; this version reads {FORMAT}")
    return content


def _settings(fields: Mapping[str, Any]) -> Settings:
    try:
        return Settings(**fields)
    except ValueError as error:
        raise _Wrong(f"settings.{_shortened(str(error))}") from error


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise unless `extract` takes each of them; what is `describe`'s is tried, on two black frames."""
    try:
        stabilise, n_frames, size = (parameters[name] for name in ("stabilise", "n_frames", "size"))
        check_options(stabilise, n_frames, size, parameters.get("blur"))
    except ValueError as error:
        raise _Wrong(f"data.parameters.{_shortened(str(error))}") from error
    for name, parameter in inspect.signature(describe).parameters.items():
        if name not in _DESCRIBED or repr(parameters[name]) == repr(as_json(parameter.default)):
            continue  # not by ==, to which true is 1
        try:
            describe(np.zeros((2, 3, 3), np.uint8), blocks=(1, 1), n_jobs=1, **{name: parameters[name]})
        except (TypeError, ValueError, OverflowError) as error:
            raise _Wrong(f"data.parameters.{name}: {_shortened(str(error))}") from error


def _check_features(data: Mapping[str, Any], settings: Settings) -> None:
    """Raise unless they are those of the grids in the settings, or one function's, and N are less."""
    there, (height, width) = list(data["features"]), data["parameters"]["size"]
    if not any(re.fullmatch("[0-9]+ x [0-9]+", name) for name in there):
        if len(there) != 1:
            raise _Wrong(f"data.features has {len(there)} names; it must have one, or those of blocks")
        return
    for down, across in settings.grids:
        if down > height or across > width:
            blocks = _shortened(f"{down} x {across}")
            raise _Wrong(
                f"settings.blocks or settings.sweep_blocks has {blocks}; frames are {height} x {width} pixels"
            )
        try:
            numbers_of_features(settings, (down, across), 256 * down * across)
        except ValueError as error:
            words = f"settings.n_features or settings.sweep_n_features: {_shortened(str(error))}"
            raise _Wrong(words) from error
    wanted = [title(blocks).removesuffix(" blocks") for blocks in settings.grids]
    if set(wanted) != set(there):
        raise _Wrong(
            f"settings.blocks and settings.sweep_blocks are {_shortened(', '.join(wanted))}; "
            f"data.features are of {_shortened(', '.join(there))}"
        )


# -- JSON ----------------------------------------------------------------------------------------------------


class _Unfit:
    """What Python's JSON lets through and no field takes, in words: it is told when its field is known."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __repr__(self) -> str:
        return self.words


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Unfit:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            return _Unfit(f"an object with two {_shown(name)}")
        found[name] = value
    return found


def _float_of(text: str) -> float | _Unfit:
    return value if math.isfinite(value := float(text)) else _Unfit(_shortened(text))


def _int_of(text: str) -> int | _Unfit:
    return int(text) if len(text) <= _MOST_DIGITS else _Unfit(f"a number of {len(text)} digits")


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    return repr(value) if isinstance(value, _Unfit) else _shortened(json.dumps(value))


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


# -- what stands where ---------------------------------------------------------------------------------------

_Check = Callable[[Any, str], None]  # of a value and the name of its field


class _Wrong(Exception):
    """What is wrong with which field."""


def _is(right: Callable[[Any], bool], words: str) -> _Check:
    def check(value: Any, field: str) -> None:
        if not right(value):
            raise _Wrong(f"{field or 'it'} is {_shown(value)}; it must be {words}")

    return check


def _or_null(check: _Check) -> _Check:
    return lambda value, field: None if value is None else check(value, field)


def _list_of(check: _Check, length: int | None = None) -> _Check:
    words = "a list" if length is None else f"a list of {length}"
    is_list = _is(lambda value: isinstance(value, list) and length in (None, len(value)), words)

    def check_all(value: Any, field: str) -> None:
        is_list(value, field)
        for k, item in enumerate(value):
            check(item, f"{field}[{k}]")

    return check_all


def _names_to(check: _Check) -> _Check:
    """Check an object whose keys may be any."""

    def check_all(value: Any, field: str) -> None:
        _OBJECT(value, field)
        for name, item in value.items():
            _TEXT(name, f"a name in {field}")
            check(item, f"{field}.{_key(name)}")

    return check_all


def _fields(needed: Mapping[str, _Check], further: Mapping[str, _Check] | None = None) -> _Check:
    """Check an object whose keys are known."""
    known = {**needed, **(further or {})}

    def check_all(value: Any, field: str) -> None:
        _OBJECT(value, field)
        for name in value:
            if name not in known:
                raise _Wrong(f"{field or 'it'} has {_shown(name)}, which is none of {', '.join(known)}")
        for name, check in known.items():
            if name in value:
                check(value[name], f"{field}.{name}" if field else name)
            elif name in needed:
                raise _Wrong(f"{field or 'it'} has no {name}")

    return check_all


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w -]{1,40}", name, re.ASCII) else _shown(name)


def _is_text(value: Any) -> bool:
    # A file name with a zero byte is none, and half a surrogate pair cannot be printed.
    return isinstance(value, str) and "\0" not in value and not re.search("[\ud800-\udfff]", value)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (is_whole(value) and abs(value) < 1e300)


_ANY: _Check = _is(lambda value: not isinstance(value, _Unfit), "of JSON")
_OBJECT = _is(lambda value: isinstance(value, dict), "an object")
_TEXT = _is(_is_text, "a text")
_YES_OR_NO = _is(lambda value: isinstance(value, bool), "true or false")
_NUMBER = _is(_is_number, "a number")
_COUNT = _is(lambda value: is_whole(value) and value >= 0, "a whole number, 0 or more")
_HASH = _is(
    lambda value: isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value)),
    "a text of 64 hexadecimal digits",
)


def _one_of(*words: str) -> _Check:
    return _is(lambda value: isinstance(value, str) and value in words, " or ".join(words))


def _blocks(value: Any, field: str) -> None:
    (_list_of(_COUNT, 2) if isinstance(value, list) else _COUNT)(value, field)


def _json(value: Any, field: str) -> None:
    """Check what may be of any type."""
    _ANY(value, field)
    if isinstance(value, list):
        _list_of(_json)(value, field)
    elif isinstance(value, dict):
        _names_to(_json)(value, field)


def _source(value: Any, field: str) -> None:
    _is(
        lambda value: isinstance(value, list) and len(value) in (2, 3),
        "a list: a data set's name, its folder, perhaps options",
    )(value, field)
    for k, item in enumerate(value[:2]):
        _TEXT(item, f"{field}[{k}]")
    options = value[2] if len(value) == 3 else {}
    _OBJECT(options, f"{field}[2]")
    try:
        check_source(value[0], options)
    except ValueError as error:
        raise _Wrong(f"{field}: {_shortened(str(error))}") from error
    _fields({}, _READING)(options, f"{field}[2]")


# Of `extract` and `describe`, as a store notes them.
_DESCRIBED = ("radius", "mode", "templates", "C", "loss", "tol")
_PARAMETERS = {"size": _list_of(_COUNT, 2), **dict.fromkeys(("stabilise", "n_frames", *_DESCRIBED), _json)}
_LATER_PARAMETERS = dict.fromkeys(("blur", "pooling"), _json)

# Options of the readers of `microexpr.data`.
_READING = {
    **dict.fromkeys(("sheet", "tree", "encoding"), _or_null(_TEXT)),
    **dict.fromkeys(("strict", "allow_gaps", "whole_folder", "follow_outside"), _YES_OR_NO),
    "cropped": _or_null(_YES_OR_NO),
    "camera": _one_of("HS", "VIS", "NIR"),
    "expressions": _one_of("micro", "macro", "all"),
}

_SCORES = {name: _NUMBER for name in ("accuracy", "uf1", "uar")}
_SCORED = {**_SCORES, "confusion": _list_of(_list_of(_COUNT)), "predictions": _list_of(_TEXT)}
_INTERVAL = _list_of(_NUMBER, 2)

_ROW = _fields(
    needed={
        **dict.fromkeys(("name", "basis"), _TEXT),
        "n_features": _list_of(_COUNT),
        "C": _list_of(_or_null(_NUMBER)),
        "recall": _names_to(_or_null(_NUMBER)),
        "intervals": _fields(dict.fromkeys(_SCORES, _INTERVAL)),
        "by_subject": _names_to(_list_of(_COUNT, 2)),
        "by_dataset": _names_to(_INTERVAL),
        **_SCORED,
    },
    further={"pooling": _one_of(*POOLINGS)},
)
_COMPARISON = _fields(
    {
        "rows": _list_of(_COUNT, 2),
        "difference": _NUMBER,
        "interval": _INTERVAL,
        "mcnemar": _fields({"only_first": _COUNT, "only_second": _COUNT, "p": _NUMBER}),
    }
)
_RESULTS = _fields(
    {
        "labels": _list_of(_TEXT),
        "rows": _list_of(_ROW),
        "comparisons": _list_of(_COMPARISON),
        "sweep": _list_of(_fields({"n_features": _COUNT, **_SCORED}, {"blocks": _blocks, "features": _TEXT})),
        "weights": _or_null(_list_of(_list_of(_NUMBER))),
        "nonzero_rows": _list_of(_COUNT),
        "largest_gap": _or_null(_NUMBER),
        "notes": _list_of(_TEXT),
    }
)
_DATA = _fields(
    {
        "sources": _list_of(_source),
        "classes": _or_null(_one_of("paper", "composite", "all")),
        "digest": _HASH,
        "parameters": _fields(_PARAMETERS, _LATER_PARAMETERS),
        "clips": _HASH,
        "features": _names_to(_HASH),
    },
    {"poolings": _names_to(_HASH)},
)
_SETTINGS = {field.name: _ANY for field in dataclasses.fields(Settings)}
_LATER_SETTINGS = {name: _SETTINGS.pop(name) for name in ("poolings", "classifier", "class_weight")}
_FILE = _fields(
    {
        "format": _COUNT,
        "simulated": _YES_OR_NO,
        "settings": _fields(_SETTINGS, _LATER_SETTINGS),
        "versions": _names_to(_TEXT),
        "data": _DATA,
        "results": _RESULTS,
    },
    {"classifier": _TEXT},
)
