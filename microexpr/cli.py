"""The command line: what runs a command, and how it ends."""

from __future__ import annotations

import argparse
import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from ._clip_commands import check, crop, describe, extract, spot
from ._config import parse
from ._evaluation_command import evaluate
from ._extras import require
from ._machine_commands import doctor, warmup
from ._options import make_parser
from ._recognition_commands import classify, train
from ._simulation_commands import demo, simulate
from ._temporary import remove_temporary_folders
from ._wording import command_line, with_options

# What NumPy, Numba and scikit-learn cost to import is paid by the commands that use them, not by --help.

_process_ends = False  # after the command: what was stopped stays deaf to further signals until then
_STOP = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status, one of those that `_examples.STATUS` says to users.

    141 too: nobody reads what it prints any more.
    """
    options = parse(_parser(), arguments)
    with _signals_stop() as received:
        try:
            with command_line(), _lines_of_progress():
                status = options.command(options) or 0
            if sys.stdout is not None:
                sys.stdout.flush()
            return status
        except BaseException as error:
            for number in _STOP:  # of cleaning up nothing is left undone
                if number in received.handled:
                    signal.signal(number, signal.SIG_IGN)
            status = _status(error, received.numbers, options.own_parser)
            if status is None:
                raise
            return status


def run() -> None:
    """Run the command of this process, and end it."""
    global _process_ends
    _process_ends = True
    status = 128 + signal.SIGINT
    with suppress(KeyboardInterrupt):  # a second one
        status = main()
        if status == 0:
            return
        # Threads that joblib leaves at work would be ended by Python inside of what they run: where that is
        # C++, it says "terminate called without an active exception", and aborts.
        atexit._run_exitfuncs()
    remove_temporary_folders()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):
            stream.flush()
    os._exit(status)


@contextmanager
def _lines_of_progress() -> Iterator[None]:
    """Show what is logged of long work on standard error."""
    if sys.stderr is None:
        yield
        return
    import logging  # 20 ms, which --help need not pay

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with suppress(OSError, ValueError):
                print(record.getMessage(), file=sys.stderr, flush=True)

    logger, lines = logging.getLogger("microexpr"), Lines(logging.INFO)
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)


class _Received(NamedTuple):
    numbers: list[int]
    handled: dict[int, Any]  # signal -> its handler before


@contextmanager
def _signals_stop() -> Iterator[_Received]:
    """Let signals that end a process do so as Ctrl-C does, unless its parent has them ignored (nohup)."""
    received = _Received([], {})

    def stop(number: int, frame: Any) -> None:
        received.numbers.append(number)
        if "multiprocessing" in sys.modules:
            import multiprocessing

            for process in multiprocessing.active_children():  # joblib ends them where it has time to
                process.kill()
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in _STOP:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                received.handled[number] = signal.signal(number, stop)
    try:
        yield received
    finally:
        for number, handler in received.handled.items():
            if not (_process_ends and signal.getsignal(number) is signal.SIG_IGN):
                signal.signal(number, handler)


def _status(error: BaseException, signals: list[int], parser: Any) -> int | None:
    """Say what has ended a command, and return the status for it, or None if it is a fault of the program."""
    if signals or isinstance(error, KeyboardInterrupt):  # an error may be what cleaning up made of it
        remove_temporary_folders()
        status, words = 128 + (signals[0] if signals else signal.SIGINT), "stopped"
    elif isinstance(error, BrokenPipeError) and _nobody_reads():
        return 141
    elif isinstance(error, (OSError, ValueError, ModuleNotFoundError, MemoryError)):
        words = " ".join(str(error).split())  # a library's message may have several lines
        status, words = 2, with_options(words, parser._option_string_actions)
        if isinstance(error, MemoryError):
            words = f"not enough memory: {words}"
    else:
        return None
    with suppress(OSError):
        print(f"{parser.prog}: {words}", file=sys.stderr)
    return status


def _nobody_reads() -> bool:
    try:
        print(flush=True)  # what could not be written is dropped, so that flushing alone would say nothing
    except BrokenPipeError:
        return True
    return False


def _parser() -> argparse.ArgumentParser:
    functions = {"demo": demo, "simulate": simulate, "describe": describe, "crop": crop, "spot": spot}
    functions |= {"extract": extract, "check": check, "evaluate": evaluate}
    functions |= {"train": train, "classify": classify}
    return make_parser({**functions, "warmup": warmup, "doctor": doctor, "completion": _completion})


def _completion(options: argparse.Namespace) -> None:
    require("this command", "completion")
    import shtab

    print(shtab.complete(_parser(), options.shell))
