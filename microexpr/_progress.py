"""The progress bar of everything that takes a while."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress_bar(
    items: Iterable[Item],
    name: str,
    total: int | None,
    unit: str,
    progress: bool | None,
    *,
    leave: bool = True,
) -> Iterable[Item]:
    """Iterate behind a bar on standard error, which appears after 2 seconds.

    `progress` is that of the public functions: None shows it only where standard error is a terminal.
    """
    hidden = None if progress is None else not progress
    return tqdm(items, name, total, unit=unit, delay=2, leave=leave, disable=hidden)
