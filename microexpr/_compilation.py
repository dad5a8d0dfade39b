"""What the log says when kernels are compiled, which takes half a minute and happens once."""

from __future__ import annotations

from functools import cache
from typing import Any

from numba.core import event

from ._progress import logger


class Compilation(event.Listener):
    """Says once that kernels are compiled; of those that are kept from an earlier time there is no event."""

    told = False

    def on_start(self, started: Any) -> None:
        """Say it, if the kernel is one of ours."""
        # An error here would be an error of whoever compiles: methods of others' jitclasses have no module.
        function = getattr(started.data.get("dispatcher"), "py_func", None)
        package = str(getattr(function, "__module__", None)).partition(".")[0]
        if not self.told and package in ("ltogp", "rankpool", "l21"):
            self.told = True
            logger.info("compiling kernels, half a minute the first time; `microexpr warmup` does it too")

    def on_end(self, ended: Any) -> None:
        """Say nothing: the work goes on."""


@cache
def tell_of_compilation() -> Compilation:
    """Have the log say so when kernels are compiled in this process."""
    listener = Compilation()
    event.register("numba:compile", listener)
    return listener
