"""How a message names an option: in the words of the door that the caller came through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAME_ONLY = object()
_on_command_line = False


def option(name: str, value: Any = _NAME_ONLY) -> str:
    """Name an option, or say which value to give it; ``...`` stands for one that the caller knows.

    Examples
    --------
    >>> option("allow_gaps"), option("allow_gaps", True), option("sheet", ...), option("cropped", False)
    ('allow_gaps', 'allow_gaps=True', 'sheet=...', 'cropped=False')
    >>> with command_line():
    ...     option("allow_gaps"), option("allow_gaps", True), option("sheet", ...), option("cropped", False)
    ('--allow-gaps', '--allow-gaps', '--sheet ...', '--raw')
    """
    if not _on_command_line:
        shown = "..." if value is ... else repr(value)
        return name if value is _NAME_ONLY else f"{name}={shown}"
    flag = "--" + name.replace("_", "-")
    if value is _NAME_ONLY or value is True:
        return flag
    if value is False:
        return {"cropped": "--raw"}.get(name, f"--no-{flag[2:]}")
    return f"{flag} {'...' if value is ... else value}"


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
