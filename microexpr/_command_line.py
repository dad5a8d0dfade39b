"""What the commands have in common."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ._extras import is_installed
from ._wording import option


def reading_of(options: argparse.Namespace) -> dict[str, Any]:
    return getattr(options, "reading", {})


def check_writable(path: str | Path, name: str = "out", *, folder: bool = False) -> None:
    """Raise before the work is done rather than after it; `name` is the option that says where to write."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder to write into")
    if not os.access(path.parent, os.W_OK):
        where = path.parent.resolve()
        raise PermissionError(f"{where}: this folder may not be written into; {option(name)} names another")
    if path.is_dir() and not folder:
        raise IsADirectoryError(f"{path} is a folder; {option(name)} is the file to write")
    if path.exists() and not path.is_dir() and folder:
        raise NotADirectoryError(f"{path} is a file; {option(name)} is the folder to write into")


def matplotlib_is_there() -> bool:
    if not is_installed("plot"):
        print("no plot: install microexpr[plot] for one", file=sys.stderr)
    return is_installed("plot")


def print_json(content: Any) -> None:
    """Print it for machines: paths and problems as text, and null for what is no number."""
    import json

    print(json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):  # a number of NumPy's
        value = value.item()
    if isinstance(value, float) and not abs(value) < float("inf"):  # NaN too
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)


@contextmanager
def warned_once() -> Iterator[None]:
    """Print what is warned of within, once each, at its end; what fails warns of nothing besides."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    say_once(caught)


def say_once(caught: list[warnings.WarningMessage]) -> None:
    """Print a warning that several folds gave once, with how many gave it."""
    by_place: dict[tuple[str, int], list[str]] = {}
    for warning in caught:
        if issubclass(warning.category, DeprecationWarning | PendingDeprecationWarning):
            continue  # a library's, for those who call it
        by_place.setdefault((warning.filename, warning.lineno), []).append(str(warning.message))
    for messages in by_place.values():
        more = f" (and {len(messages) - 1} more like it)" if len(messages) > 1 else ""
        print(f"warning: {messages[0]}{more}", file=sys.stderr)
