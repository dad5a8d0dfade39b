"""Dask's workers for a command: what --dask does."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from ._extras import require

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from distributed import Client

#: Seconds within which a scheduler has to answer.
CONNECT = 10
#: Seconds without any worker after which a command gives up, at the beginning and later.
NO_WORKERS = 60

# Of `versions`: what moves no bit.
_HARMLESS = ("pandas", "matplotlib")
# They differ where processors do, which nobody can mend: told, not refused.
_PROCESSOR = ("machine", "blas")


def on_dask(address: str | None) -> AbstractContextManager[None]:
    """Have joblib's tasks run by the workers of a scheduler; without an address change nothing.

    Parameters
    ----------
    address : str, optional
        Such as tcp://127.0.0.1:8786, or the path of a scheduler's file.

    Raises
    ------
    ModuleNotFoundError
        If Dask is not installed.
    ConnectionError
        If no scheduler answers within `CONNECT` seconds, it has no worker for `NO_WORKERS` seconds, a worker
        has no microexpr or other versions of it or of what it needs, or the work was lost: the scheduler is
        gone, or the same task ended several workers.
    """
    if address is None:
        return nullcontext()
    require("--dask", "dask")
    return _on_dask(address)


@contextmanager
def _on_dask(address: str) -> Iterator[None]:
    from distributed import KilledWorker
    from joblib import parallel_config

    with _quiet(), _connect(address) as client:
        _wait_for_workers(client, address)
        _check_versions(client, address)
        done, lost = threading.Event(), threading.Event()
        watch = threading.Thread(target=_watch, args=(client, done, lost), daemon=True)
        watch.start()
        try:
            with parallel_config(backend="dask", client=client, wait_for_workers_timeout=NO_WORKERS):
                yield
        except CancelledError as error:
            why = f"it had no worker for {NO_WORKERS} s" if lost.is_set() else "the scheduler is gone"
            raise ConnectionError(f"{address}: {why}; the work is lost") from error
        except KilledWorker as error:
            raise ConnectionError(
                f"{address}: several workers ended at the same task; had they enough memory? {error}"
            ) from error
        finally:
            done.set()


def _connect(address: str) -> Client:
    from distributed import Client

    where = {"scheduler_file": address} if os.path.isfile(address) else {"address": address}
    try:
        return Client(**where, timeout=CONNECT)
    except OSError as error:
        raise ConnectionError(f"{address}: no scheduler of Dask answered within {CONNECT} s") from error
    except Exception as error:  # whatever else may answer there, and whatever a file may hold
        raise ConnectionError(
            f"{address} is no scheduler of Dask, nor its file: {type(error).__name__} {error}"
        ) from error


def _wait_for_workers(client: Client, address: str) -> None:
    if client.ncores():
        return
    print(f"{address}: no workers yet; waiting for one, {NO_WORKERS} s at most", file=sys.stderr, flush=True)
    try:
        # A task, and not `wait_for_workers`: clusters that grow as needed begin with none.
        client.submit(os.getpid, pure=False).result(timeout=NO_WORKERS)
    except TimeoutError as error:
        raise ConnectionError(f"{address}: the scheduler has no workers ({NO_WORKERS} s waited)") from error


def _check_versions(client: Client, address: str) -> None:
    """Raise if a worker has other versions, and say so if it has another kind of processor."""
    from .experiment.pins import versions

    here = versions()
    for worker, there in client.run(versions, on_error="return").items():
        if not isinstance(there, dict):
            raise ConnectionError(f"{address}: worker {worker} cannot import microexpr: {there}")
        differ = [
            f"{name} {there.get(name, 'none')} instead of {here.get(name, 'none')}"
            for name in sorted({*here, *there} - {*_HARMLESS})
            if there.get(name) != here.get(name)
            # Bits, and what workers send each other, change with 3.12, not with 3.11.9.
            and (name != "python" or _minor(there.get(name)) != _minor(here[name]))
        ]
        of_processors = [text for text in differ if text.startswith(_PROCESSOR)]
        others = [text for text in differ if text not in of_processors]
        if others:
            raise ConnectionError(
                f"{address}: worker {worker} has {', '.join(others)}; the same bits need the same versions"
            )
        if of_processors:
            print(
                f"warning: worker {worker} has {', '.join(of_processors)}; the last bits may differ",
                file=sys.stderr,
            )


def _minor(version: str | None) -> list[str]:
    return (version or "").split(".")[:2]


def _watch(client: Client, done: threading.Event, lost: threading.Event) -> None:
    """Close the client, which ends what waits for it, when there was no worker for a while.

    Dask itself waits for ever.
    """
    without = 0
    while not done.wait(1):
        try:
            without = 0 if client.ncores() else without + 1
        except Exception:  # the scheduler's end, which the client sees by itself
            return
        if without >= NO_WORKERS:
            lost.set()
            client.close()
            return


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's log, with tracebacks, from between a command's lines: what matters is raised."""
    import logging  # 20 ms, which --help need not pay

    loggers: list[Any] = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    loggers += [
        logging.getLogger(name)
        for name in list(logging.root.manager.loggerDict)
        if name.startswith("distributed.")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
