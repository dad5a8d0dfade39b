"""The progress of everything that takes a while: a bar where somebody looks, lines where a log is kept."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from threading import Timer
from time import perf_counter
from typing import TypeVar

Item = TypeVar("Item")

logger = logging.getLogger("microexpr")
logger.addHandler(logging.NullHandler())

#: Seconds before a bar is shown.
DELAY = 2.0
#: Seconds between two lines: a log shows that work goes on, and can still be read.
EVERY = 30.0


def progress_bar(
    items: Iterable[Item],
    name: str,
    total: int | None,
    unit: str,
    progress: bool | None,
    *,
    leave: bool = True,
) -> Iterable[Item]:
    """Iterate behind a bar, after 2 seconds, on a terminal or in a notebook; elsewhere, with lines.

    `progress` is that of the public functions. None: the lines go to the logger "microexpr", level INFO,
    where the commands and `logging.basicConfig` show them; True: to standard error; False: nothing is said.
    """
    if progress is False:
        return items
    if _on_a_terminal() or _in_a_notebook():
        return _with_bar(items, name, total, unit, leave)
    return _with_lines(items, name, total, unit, logger.info if progress is None else _to_standard_error)


def _with_bar(items: Iterable[Item], name: str, total: int | None, unit: str, leave: bool) -> Iterator[Item]:
    from tqdm.auto import tqdm

    with tqdm(items, name, total, unit=unit, delay=DELAY, leave=leave) as bar:
        # tqdm by itself shows nothing until the first item is done, however long that takes.
        shown = Timer(DELAY, bar.refresh)
        shown.daemon = True
        shown.start()
        try:
            yield from bar
        finally:
            shown.cancel()


def _with_lines(
    items: Iterable[Item], name: str, total: int | None, unit: str, say: Callable[[str], None]
) -> Iterator[Item]:
    started = said = perf_counter()
    count = 0
    for count, item in enumerate(items, start=1):
        yield item
        now = perf_counter()
        if now - said >= EVERY and count != total:
            said = now
            if total:
                left = (now - started) * (total - count) / count
                say(f"{name}: {count} of {total} {unit}s, about {left:.0f} s left")
            else:
                say(f"{name}: {count} {unit}s")
    seconds = perf_counter() - started
    (logger.debug if said == started else say)(f"{name}: {count} {unit}s, done in {seconds:.0f} s")


def _on_a_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _in_a_notebook() -> bool:
    """Whether this is a notebook's kernel; IPython is there then, and is not imported for this."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
