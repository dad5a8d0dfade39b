"""JSON that anybody may have written: every field is looked at before anything is done that it says.

A check is a function of a value and the name of its field, and raises `WrongField`; checks are built from
each other as the JSON is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ._checks import is_whole

_MOST_DIGITS = 1000  # of a whole number


def parse_object(data: bytes) -> dict[str, Any]:
    """Parse an object with a format, or raise a ValueError; what is not JSON is `Unfit` until it is asked."""
    content = json.loads(
        data.decode("utf-8"),
        object_pairs_hook=_object_of,
        parse_constant=Unfit,
        parse_float=_float_of,
        parse_int=_int_of,
    )
    if not isinstance(content, dict):
        raise ValueError(f"it is {shown(content)}")
    if "format" not in content:
        raise ValueError("it has no format")
    return content


class Unfit:
    """What Python's JSON lets through and no field takes, in words: it is told when its field is known."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __repr__(self) -> str:
        return self.words


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Unfit:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            return Unfit(f"an object with two {shown(name)}")
        found[name] = value
    return found


def _float_of(text: str) -> float | Unfit:
    return value if math.isfinite(value := float(text)) else Unfit(shortened(text))


def _int_of(text: str) -> int | Unfit:
    return int(text) if len(text) <= _MOST_DIGITS else Unfit(f"a number of {len(text)} digits")


def shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    return repr(value) if isinstance(value, Unfit) else shortened(json.dumps(value))


def shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


Check = Callable[[Any, str], None]  # of a value and the name of its field


class WrongField(Exception):
    """What is wrong with which field."""


def matches(right: Callable[[Any], bool], words: str) -> Check:
    def check(value: Any, field: str) -> None:
        if not right(value):
            raise WrongField(f"{field or 'it'} is {shown(value)}; it must be {words}")

    return check


def or_null(check: Check) -> Check:
    return lambda value, field: None if value is None else check(value, field)


def list_of(check: Check, length: int | None = None) -> Check:
    words = "a list" if length is None else f"a list of {length}"
    is_list = matches(lambda value: isinstance(value, list) and length in (None, len(value)), words)

    def check_all(value: Any, field: str) -> None:
        is_list(value, field)
        for k, item in enumerate(value):
            check(item, f"{field}[{k}]")

    return check_all


def names_to(check: Check) -> Check:
    """Check an object whose keys may be any."""

    def check_all(value: Any, field: str) -> None:
        OBJECT(value, field)
        for name, item in value.items():
            TEXT(name, f"a name in {field}")
            check(item, f"{field}.{_key(name)}")

    return check_all


def fields(needed: Mapping[str, Check], further: Mapping[str, Check] | None = None) -> Check:
    """Check an object whose keys are known."""
    known = {**needed, **(further or {})}

    def check_all(value: Any, field: str) -> None:
        OBJECT(value, field)
        for name in value:
            if name not in known:
                raise WrongField(f"{field or 'it'} has {shown(name)}, which is none of {', '.join(known)}")
        for name, check in known.items():
            if name in value:
                check(value[name], f"{field}.{name}" if field else name)
            elif name in needed:
                raise WrongField(f"{field or 'it'} has no {name}")

    return check_all


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w -]{1,40}", name, re.ASCII) else shown(name)


def _is_text(value: Any) -> bool:
    # A file name with a zero byte is none, and half a surrogate pair cannot be printed.
    return isinstance(value, str) and "\0" not in value and not re.search("[\ud800-\udfff]", value)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (is_whole(value) and abs(value) < 1e300)


ANY: Check = matches(lambda value: not isinstance(value, Unfit), "of JSON")
OBJECT = matches(lambda value: isinstance(value, dict), "an object")
TEXT = matches(_is_text, "a text")
YES_OR_NO = matches(lambda value: isinstance(value, bool), "true or false")
NUMBER = matches(_is_number, "a number")
COUNT = matches(lambda value: is_whole(value) and value >= 0, "a whole number, 0 or more")
HASH = matches(
    lambda value: isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value)),
    "a text of 64 hexadecimal digits",
)


def one_of(*words: str) -> Check:
    return matches(lambda value: isinstance(value, str) and value in words, " or ".join(words))


def anything(value: Any, field: str) -> None:
    """Check what may be of any type."""
    ANY(value, field)
    if isinstance(value, list):
        list_of(anything)(value, field)
    elif isinstance(value, dict):
        names_to(anything)(value, field)
