"""Who works on what in a feature store: claims that end with the process that made them, on any machine."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ._objects import Objects
from ._store_format import DamagedStoreError

# A claim that its holder has not renewed for so long is free. Of a process on this machine that is gone it is
# free at once.
LEASE = 30.0
RENEWAL = 5.0

_TABLE = "table"


class Claims:
    """Claims of one run.

    A claim is an object of the store, created where none is. Its holder renews it: others see that it
    changes, and need not compare clocks. If two hold the same one in spite of it (one of them was paused for
    longer than the lease), what they write is the same, and rows that came out mixed are found by their
    checksums.
    """

    def __init__(self, objects: Objects, run: str | None = None) -> None:
        self._objects, self.run = objects, run or uuid.uuid4().hex
        self._held: dict[str, bytes] = {}
        self._seen: dict[str, tuple[bytes, float]] = {}  # of others: what they last wrote, and since when
        self._lock = threading.RLock()

    def claim(self, name: str) -> bool:
        """Claim something, and say whether it is this run's now."""
        with self._lock:
            if name in self._held:
                return True
            mine = self._content(0)
            if self._objects.create(_key(name), mine):
                self._held[name] = mine
                return True
            there = self._get(name)
            if there is None:
                return False  # given up this moment: the next time
            same_run = _owner(there).get("run") == self.run  # a worker of it that died
            if (same_run or self._is_abandoned(name, there)) and self._take_over(name, there, mine):
                self._held[name] = mine
                return True
            return False

    def holds(self, name: str) -> bool:
        """Whether it is this run's still."""
        with self._lock:
            return name in self._held

    def release(self, name: str) -> None:
        """Give up a claim."""
        with self._lock:
            mine = self._held.pop(name, None)
            if mine is not None and self._get(name) == mine:
                self._objects.delete(_key(name))

    def release_all(self) -> None:
        """Give up all claims."""
        for name in list(self._held):
            self.release(name)

    def renew(self) -> None:
        """Show that this run goes on; what others took over meanwhile is theirs."""
        with self._lock:
            for name, mine in list(self._held.items()):
                if self._get(name) != mine:
                    del self._held[name]
                    continue
                again = self._content(_owner(mine).get("beat", 0) + 1)
                self._objects.put(_key(name), again)
                self._held[name] = again

    def others(self) -> list[str]:
        """Names of the claims that others hold, workers of this run too, but for those that are free."""
        found = []
        for name in self._objects.names("claims"):
            there = self._get(name) if name != "zarr.json" and name not in self._held else None
            if there is not None and not self._is_abandoned(name, there):
                found.append(name)
        return found

    def clear(self) -> None:
        """Remove claims of processes that are gone."""
        at_work = self.others()
        for name in self._objects.names("claims"):
            if name != "zarr.json" and name not in at_work and self.claim(name):
                self.release(name)

    def _get(self, name: str) -> bytes | None:
        return _content_of(self._objects, name)

    def _content(self, beat: int) -> bytes:
        owner = {"run": self.run, "host": _host(), "pid": os.getpid(), "beat": beat, "of": uuid.uuid4().hex}
        return json.dumps(owner).encode()

    def _is_abandoned(self, name: str, there: bytes) -> bool:
        owner = _owner(there)
        if owner.get("host") == _host() and not _is_alive(owner.get("pid")):
            return True
        content, since = self._seen.get(name, (b"", 0.0))
        if content != there:
            self._seen[name] = (there, time.monotonic())
            return False
        return time.monotonic() - since > LEASE

    def _take_over(self, name: str, there: bytes, mine: bytes) -> bool:
        """Put this run's claim in place of one that is free; of several who try, one does."""
        marker = f"{name}-{hashlib.sha256(there).hexdigest()[:16]}"
        if not self._objects.create(_key(marker), mine):
            theirs = self._get(marker)
            if theirs is not None and self._is_abandoned(marker, theirs):
                self._objects.delete(_key(marker))
            return False
        try:
            if self._get(name) != there:
                return False
            self._objects.put(_key(name), mine)
            return True
        finally:
            self._objects.delete(_key(marker))


@contextmanager
def locked(objects: Objects) -> Iterator[Claims]:
    """Keep others from changing the table of clips and the list of arrays meanwhile; waits for its turn."""
    claims = Claims(objects)
    pause = 0.02
    while not claims.claim(_TABLE):
        time.sleep(pause)
        pause = min(2 * pause, 0.5)
    try:
        with repeating(claims.renew, RENEWAL):
            yield claims
    finally:
        claims.release_all()


@contextmanager
def repeating(function: Callable[[], Any], seconds: float) -> Iterator[None]:
    """Call a function every so often, in a thread, and at the end raise what it raised."""
    stop, raised = threading.Event(), []

    def repeat() -> None:
        while not stop.wait(seconds):
            try:
                function()
            except Exception as error:
                raised.append(error)
                return

    thread = threading.Thread(target=repeat, name="microexpr-claims", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if raised:
        raise raised[0]


def describe_claims(objects: Objects) -> list[str]:
    """Say who holds what, for a report."""
    lines = []
    for name in objects.names("claims"):
        there = _content_of(objects, name) if name != "zarr.json" else None
        if there is not None:
            owner = _owner(there)
            gone = owner.get("host") == _host() and not _is_alive(owner.get("pid"))
            host = str(owner.get("host")).partition("/")[0]
            what = "the table of clips" if name == _TABLE else f"chunk {name}"
            lines.append(f"{what}: process {owner.get('pid')} of {host}{', which is gone' if gone else ''}")
    return lines


def _key(name: str) -> str:
    return f"claims/{name}"


def _content_of(objects: Objects, name: str) -> bytes | None:
    """Return a claim as it was written, None if there is none; of what is no file, nothing is known."""
    try:
        return objects.get(_key(name))
    except DamagedStoreError:
        return b""


def _owner(content: bytes) -> dict[str, Any]:
    """Return what a claim says; nothing if it is not one of these."""
    try:
        owner = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    known = {"run": str, "host": str, "pid": int, "beat": int}
    whole = isinstance(owner, dict) and all(isinstance(owner.get(name), kind) for name, kind in known.items())
    return owner if whole else {}


@functools.cache
def _host() -> str:
    """Name this machine, this start of it, and whose process numbers it has (a container's are its own)."""
    parts = [platform.node()]
    for path, read in (("/proc/sys/kernel/random/boot_id", _read), ("/proc/self/ns/pid", os.readlink)):
        try:
            parts.append(read(path))
        except OSError:
            parts.append("")
    return "/".join(parts)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def _is_alive(pid: Any) -> bool:
    """Whether there is such a process here; where that cannot be asked without harm, it may be."""
    if os.name != "posix" or not isinstance(pid, int) or not 0 < pid < 2**31:
        return True
    try:
        os.kill(pid, 0)
        return ") Z " not in _read(f"/proc/{pid}/stat")  # dead, and not yet waited for
    except ProcessLookupError:
        return False
    except OSError:
        return True
