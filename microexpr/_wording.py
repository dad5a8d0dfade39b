"""How a message names an option: in the words of the door that the caller came through."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

_NAME_ONLY = object()
# Keywords whose options are called otherwise.
_CALLED = {"n_frames": "frames", "n_jobs": "jobs", "poolings": "pooling"}
_on_command_line = False


def option(name: str, value: Any = _NAME_ONLY) -> str:
    """Name an option, or say which value to give it; ``...`` stands for one that the caller knows.

    Examples
    --------
    >>> option("allow_gaps"), option("allow_gaps", True), option("sheet", ...), option("cropped", False)
    ('allow_gaps', 'allow_gaps=True', 'sheet=...', 'cropped=False')
    >>> with command_line():
    ...     option("allow_gaps"), option("allow_gaps", True), option("sheet", ...), option("cropped", False)
    ...     option("size", [64, 48]), option("n_frames", None)
    ('--allow-gaps', '--allow-gaps', '--sheet ...', '--raw')
    ('--size 64 48', 'no --frames')
    """
    if not _on_command_line:
        shown = "..." if value is ... else repr(value)
        return name if value is _NAME_ONLY else f"{name}={shown}"
    named = flag(name)
    if value is _NAME_ONLY or value is True:
        return named
    if value is False:
        return {"cropped": "--raw"}.get(name, f"--no-{named[2:]}")
    if value is None:
        return f"no {named}"
    words = value if isinstance(value, list | tuple) else ["..." if value is ... else value]
    return " ".join(map(str, [named, *words]))


def with_options(message: str, flags: Container[str]) -> str:
    """Say one of these options for the keyword that a message begins with.

    Examples
    --------
    >>> with_options("n_frames is 1; it must be a whole number of at least 2", ["--frames"])
    '--frames is 1; it must be a whole number of at least 2'
    """
    name, found, rest = message.partition(" is ")
    return f"{flag(name)} is {rest}" if found and flag(name) in flags else message


def is_command_line() -> bool:
    """Whether messages speak to who typed a command."""
    return _on_command_line


@contextmanager
def command_line() -> Iterator[None]:
    """Let messages speak to who typed a command. For all threads: those that read clips are among them."""
    global _on_command_line
    before, _on_command_line = _on_command_line, True
    try:
        yield
    finally:
        _on_command_line = before


def flag(name: str) -> str:
    """Return what is typed for a keyword."""
    return "--" + _CALLED.get(name, name).replace("_", "-")
