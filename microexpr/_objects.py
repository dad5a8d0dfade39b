"""The objects (files) of a feature store: in a folder, at a URL of fsspec's, in any store of zarr's."""

from __future__ import annotations

import os
import stat
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, MemoryStore, WrapperStore

from ._store_format import DamagedStoreError, StoreError

Location: TypeAlias = str | os.PathLike[str] | Store
Result = TypeVar("Result")

# The largest that a store of this format has: 32 rows of the longest features.
_LARGEST = 1 << 32


class Objects:
    """Named bytes: what is there is whole, because each is put in place at once.

    Attributes
    ----------
    title : str
        What messages call the store.
    location : Path, str or zarr.abc.store.Store
        What opens it again, in another process too.
    folder : Path or None
        Where it lies, if that is in a folder.
    zarr : zarr.abc.store.Store
        For zarr's own functions.
    """

    def __init__(self, location: Location) -> None:
        self.location, self.folder = location, None
        if isinstance(location, Store):
            self.title, inner = str(location), location
        elif "://" in (text := os.fspath(location)) and not text.startswith("file://"):
            self.title, inner = text, _open_url(text)
        else:
            path = Path(url2pathname(urlsplit(text).path) if text.startswith("file://") else text)
            self.location = self.folder = path
            # Zarr makes the folder, and those above it, of one that may be written into.
            self.title, inner = str(path), LocalStore(path, read_only=True)
        if isinstance(inner, LocalStore):
            self.folder = inner.root
        self.zarr: Store = _Guarded(inner)
        self._inner = inner

    def make_writable(self) -> None:
        """Make the folder unless it is there, and allow writing."""
        if (
            isinstance(self._inner, LocalStore)
            and self._inner.read_only
            and not isinstance(self.location, Store)
        ):
            self._inner = LocalStore(self._inner.root)
            self.zarr = _Guarded(self._inner)

    def shared_location(self) -> Location:
        """Return what opens it in another process, which may run in another folder."""
        if isinstance(self._inner, MemoryStore) or self.title.startswith("memory://"):
            raise StoreError(f"{self.title}: other processes cannot reach a store in this one's memory")
        return self.folder.resolve() if isinstance(self.location, Path) and self.folder else self.location

    def get(self, key: str) -> bytes | None:
        """Return what is there under this key, None if nothing is; raise if it is no file of a store's."""
        try:
            buffer = self._wait(self.zarr.get(key, default_buffer_prototype()))
        except (FileNotFoundError, NotADirectoryError):  # there is not even a folder
            return None
        return None if buffer is None else buffer.to_bytes()

    def put(self, key: str, data: bytes) -> None:
        """Put it there, in place of what was."""
        self._wait(self.zarr.set(key, _buffer(data)))

    def create(self, key: str, data: bytes) -> bool:
        """Put it there if nothing is, and say whether this one of all who try did.

        Atomic in folders, in memory, and in object stores that take If-None-Match, as S3 does. `data` has to
        differ from what others would put there.
        """
        if isinstance(self._inner, FsspecStore):
            path = f"{self._inner.path}/{key}".lstrip("/") if self._inner.path else key
            try:
                self._wait(self._inner.fs._pipe_file(path, data, mode="create"))
                return True
            except FileExistsError:
                return False
        try:
            self._wait(self.zarr.set_if_not_exists(key, _buffer(data)))
        except OSError:
            if not isinstance(self._inner, LocalStore) or self._inner.root.is_file():
                raise
            return _create_without_links(self._inner.root / key, data)
        try:
            return self.get(key) == data
        except DamagedStoreError:  # a folder, a FIFO
            return False

    def delete(self, key: str) -> None:
        """Remove what is there, if anything is."""
        self._wait(self.zarr.delete(key))

    def names(self, prefix: str) -> list[str]:
        """Names of what lies under a prefix, which has no slash at its end."""

        async def listed() -> list[str]:
            found = [name async for name in self.zarr.list_dir(prefix)]
            names = {name.rstrip("/").rpartition("/")[2] for name in found} - {""}
            return sorted(name for name in names if not name.endswith(".partial"))

        try:
            return self._wait(listed())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def unfinished(self) -> list[Path]:
        """Files that their killed writer did not put in place, or that are being written just now."""
        return [] if self.folder is None else list(self.folder.rglob("*.partial"))

    def _wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for what zarr does in a thread of its own."""
        with _transport_errors():
            return sync(work)


class _Guarded(WrapperStore[Store]):
    """A store whose files are regular and not too large, and whose transport raises OSErrors only."""

    async def get(self, key: str, *arguments: Any, **options: Any) -> Any:
        if isinstance(self._store, LocalStore):
            _check_file(self._store.root / key)
        with _transport_errors():
            return await self._store.get(key, *arguments, **options)

    async def set(self, key: str, value: Any) -> None:
        with _transport_errors():
            try:
                await self._store.set(key, value)
            except IsADirectoryError:
                os.rmdir(self._store.root / key)
                await self._store.set(key, value)


@contextmanager
def _transport_errors() -> Iterator[None]:
    """Let what goes wrong with transport be an OSError, of whatever library it is."""
    try:
        yield
    except (OSError, MemoryError, StoreError):
        raise
    except Exception as error:  # of botocore, aiohttp and the like
        raise OSError(f"{type(error).__name__}: {error}") from error


def _open_url(url: str) -> Store:
    try:
        # A listing that is kept does not show what other processes did.
        return FsspecStore.from_url(url, storage_options={"use_listings_cache": False})
    except ImportError as error:
        scheme = urlsplit(url).scheme
        extra = "microexpr[s3]" if scheme in ("s3", "s3a") else f"what fsspec wants for {scheme}://"
        raise ModuleNotFoundError(
            f"{url} needs a package that is not there: {error}; install {extra}"
        ) from None
    except ValueError as error:
        raise StoreError(f"{url} is not a place for a feature store: {error}") from error


def _check_file(path: Path) -> None:
    try:
        status = os.stat(path)
    except OSError:
        return  # what zarr makes of it
    if not stat.S_ISREG(status.st_mode):
        raise DamagedStoreError(f"{path} is not a regular file; extract into the store again")
    if status.st_size > _LARGEST:
        raise DamagedStoreError(
            f"{path} has {status.st_size} bytes, and no file of a feature store more than {_LARGEST}; "
            "extract into the store again"
        )


def _create_without_links(path: Path, data: bytes) -> bool:
    """Create a file where there are no hard links (FAT, some network drives): it may be seen half written."""
    try:
        with open(path, "xb") as file:
            file.write(data)
        return True
    except FileExistsError:
        return False


def _buffer(data: bytes) -> Any:
    return default_buffer_prototype().buffer.from_bytes(data)
