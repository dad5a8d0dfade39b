"""Options of ``microexpr evaluate`` from a TOML file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_NOT_THERE = ("help", "config")
_POSITIONALS = ("dataset", "root")
LARGEST_FILE = 1 << 20  # bytes; a file of every option there is has 2000


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; what it does not say, the file that ``--config`` names may."""
    options = parser.parse_args(arguments)
    if getattr(options, "config", None) is None:
        return options
    command: Any = options.own_parser
    command.source = f"{options.config}: "
    given = vars(command.parse_args(_words(command, _read(command, options.config))))
    command.source = ""
    defaults = {action.dest: action.default for action in command._actions}
    chosen = {name: value for name, value in given.items() if value != defaults.get(name)}
    command.set_defaults(**chosen | {"named_last": None})
    return parser.parse_args(arguments)


def _read(command: Any, path: Path) -> dict[str, Any]:
    import tomllib

    try:
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            command.error(f"it has {path.stat().st_size} bytes; up to {LARGEST_FILE} are read")
        if path.exists() and not path.is_file():
            command.error("it is not a file")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        command.error("no such file")
    except OSError as error:
        command.error(error.strerror or str(error))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        command.error(f"not TOML: {error}")
    raise AssertionError  # error() exits


def _words(command: Any, content: dict[str, Any]) -> Iterator[str]:
    """Write the file as a command line, so that its values are read and checked as those typed are."""
    content = {key.replace("_", "-"): value for key, value in content.items()}
    sources = [content.pop(name) for name in _POSITIONALS if name in content]
    for source in sources:
        if not isinstance(source, str) or source.startswith("-"):
            command.error(f"dataset and root must be text, not {source!r}")
    yield from sources
    further = content.pop("with", [])
    for key, value in content.items():
        yield from _option(command, key, value)
    if not isinstance(further, list) or not all(isinstance(table, dict) for table in further):
        command.error("with: give each further data set as [[with]], with its dataset and root")
    for table in further:
        if not all(isinstance(table.get(name), str) for name in _POSITIONALS):
            command.error("with: a further data set has a dataset and a root, both text")
        yield from ("--with", *(table[name] for name in _POSITIONALS))
        for key, value in table.items():
            if key not in _POSITIONALS:
                yield from _option(command, key.replace("_", "-"), value, f"with: {key}")


def _option(command: Any, key: str, value: Any, shown: str | None = None) -> Iterator[str]:
    action = command._option_string_actions.get(f"--{key}")
    if action is None or key in _NOT_THERE:
        command.error(f"{shown or key}: there is no such option")
    values = value if isinstance(value, list) else [value]
    if isinstance(value, bool):
        if action.nargs != 0 or (not value and f"--no-{key}" not in command._option_string_actions):
            takes = "be true or left out" if action.nargs == 0 else "have a value, not be true or false"
            command.error(f"{shown or key}: it must {takes}")
        yield f"--{key}" if value else f"--no-{key}"
    elif not values or not all(_is_plain(item) for item in values):
        command.error(f"{shown or key} is {value!r}; it must be text, a number, or a list of these")
    elif isinstance(value, list):
        yield from (f"--{key}", *map(str, values))
    else:
        yield f"--{key}={value}"


def _is_plain(value: Any) -> bool:
    """Whether it is a text or number that cannot be taken for an option."""
    if isinstance(value, str):
        return not value.startswith("-")
    return isinstance(value, int | float) and not isinstance(value, bool)
