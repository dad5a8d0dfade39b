"""The folder that a run keeps what is not asked for in, and what killed runs have left of theirs."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there what a killed run left stays
    fcntl = None  # type: ignore[assignment]

_PREFIX = "microexpr-"
_mine: set[Path] = set()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder, and remove it in the end; those of runs that were killed are removed first.

    Which these are says a lock on a file in each, which the system holds as long as the process lives: a
    number of a process may be another's by now, or of another container.
    """
    _remove_abandoned()
    folder = Path(tempfile.gettempdir(), _PREFIX + secrets.token_hex(8))
    _mine.add(folder)  # before it is there: a signal may come in between
    lock = None
    try:
        folder.mkdir(0o700)
        if fcntl is not None:
            lock = os.open(folder / "lock.new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            with suppress(OSError):  # file systems without locks
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.rename(folder / "lock.new", folder / "lock")
        yield folder
    finally:
        _remove(folder)
        if lock is not None:
            os.close(lock)


def remove_temporary_folders() -> None:
    """Remove those of this process: a second signal may have come while the first had it done."""
    for folder in list(_mine):
        _remove(folder)


def _remove(folder: Path) -> None:
    for _ in range(20):  # a thread may be writing into it still
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            _mine.discard(folder)
            return
        time.sleep(0.05)


def _remove_abandoned() -> None:
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        found = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
        for folder in found:
            with suppress(OSError):  # another's, without a lock, or gone by now
                if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                    continue
                lock = os.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(lock)
