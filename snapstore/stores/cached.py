"""What a remote store was asked for before, kept in a folder of this computer.

Here: `CachedStore`, and `trees_of`, the store by which trees are read. Not here: which computer keeps what for how
long (`snapstore.station`), and what is in the objects, all of which are sealed.

Rules: objects never change and names are never used again, so what was read once stays true as long as the name is
listed; whether it is listed, is always asked of the store itself, and so is everything that proves what a store holds
(`uncached`). Kept are small whole objects of the folders below, when they are read or put, and, where the caller says
that it reads trees, ranges of packs. A file of the cache begins with the hash of its name and of what follows; one
that does not fit is as good as none. The folder is bounded: what was not used longest goes first. What cannot be kept
is left: nothing depends on it. Several processes may use one folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final

from ..errors import DamageError, StoreError
from ..limits import KIB, MIB
from .protocol import Store, lanes_of
from .wrapper import StoreWrapper

KEPT_FOLDERS: Final = frozenset({"config", "dossiers", "index", "ok", "records", "snapshots"})
KEPT_MAX_BYTES: Final = 512 * MIB
_OBJECT_MAX_BYTES: Final = 4 * MIB  # one window of trees, or the index of sixteen packs of small files
_BLOCK_BYTES: Final = MIB  # of packs
_HASH_BYTES: Final = 16
_SWEPT_TO: Final = 0.75  # of the bound, so that not each new file makes the folder be looked through
_FILE_OVERHEAD_BYTES: Final = 2 * KIB  # half a block, and the folder's entry


class CachedStore(StoreWrapper):
    """Passes everything on, but for reading what `folder` still has. Safe for several threads."""

    def __init__(
        self, inner: Store, folder: Path, *, fits: Callable[[str, bytes], bool], max_bytes: int = KEPT_MAX_BYTES
    ) -> None:
        """`fits` tells whether bytes are what an object of that name holds: nothing else is kept."""
        super().__init__(inner)
        self._folder = folder
        self._fits = fits
        self._max_bytes = max_bytes
        self._added_bytes: int | None = None
        self._lock = threading.Lock()

    @property
    def trees(self) -> Store:
        """The same store for who reads trees: ranges of packs are kept too."""
        return _TreeStore(self)

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """From the cache where it is kept whole and the folder is one of those that are."""
        if offset or size is not None or not _is_kept(name):
            return self.inner.get(name, offset=offset, size=size)
        file = self._file(name)
        kept = self._read(file)
        if kept is not None:
            return kept
        data = self.inner.get(name)
        if self._fits(name, data):
            self._keep(file, data)
        return data

    def get_blocks(self, name: str, offset: int, size: int | None) -> bytes:
        """A range of a pack by way of the cache, which keeps blocks of 1 MiB; what is missing is asked for at once.

        What they hold is not known: `forget_ranges` if it proves damaged.
        """
        if size is None or offset % _BLOCK_BYTES:
            return self.inner.get(name, offset=offset, size=size)
        starts = range(offset, offset + size, _BLOCK_BYTES)
        sizes = {start: min(_BLOCK_BYTES, offset + size - start) for start in starts}
        blocks = {start: self._read(self._file(name, start, sizes[start])) for start in starts}
        missing = [start for start, block in blocks.items() if block is None]
        if missing:
            end = missing[-1] + sizes[missing[-1]]
            data = self.inner.get(name, offset=missing[0], size=end - missing[0])
            for start in range(missing[0], end, _BLOCK_BYTES):
                blocks[start] = data[start - missing[0] :][: sizes[start]]
                self._keep(self._file(name, start, sizes[start]), blocks[start] or b"")
        return b"".join([block for block in blocks.values() if block is not None])

    def forget_ranges(self, name: str) -> None:
        """Keep nothing of a pack any more."""
        with contextlib.suppress(OSError):
            for file in self._folder.glob(f"{name.replace('/', '-')}-*"):
                file.unlink()

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Put, and keep what was put."""
        self.inner.put(name, data, size=size)
        if isinstance(data, bytes) and _is_kept(name):
            self._keep(self._file(name), data)

    def delete(self, name: str) -> None:
        """Delete, and keep it no longer."""
        with contextlib.suppress(OSError):
            self._file(name).unlink()
        self.inner.delete(name)

    def warm(self, names: Iterable[str]) -> None:
        """Fetch side by side those of the named objects that are not kept yet. An error is for who reads the object."""
        missing = [name for name in names if _is_kept(name) and not os.path.exists(self._file(name))]
        if len(missing) < 2:
            return
        with ThreadPoolExecutor(lanes_of(self.inner), thread_name_prefix="snapstore-warm") as workers:
            list(workers.map(self._try_to_get, missing))

    def _try_to_get(self, name: str) -> None:
        with contextlib.suppress(StoreError, DamageError):
            self.get(name)

    def _file(self, name: str, offset: int | None = None, size: int = 0) -> Path:
        return self._folder / (name.replace("/", "-") + ("" if offset is None else f"-{offset}-{size}"))

    def _read(self, file: Path) -> bytes | None:
        try:
            stored = file.read_bytes()
            if _hash(file.name, stored[_HASH_BYTES:]) != stored[:_HASH_BYTES]:
                file.unlink()
                return None
        except OSError:
            return None
        with contextlib.suppress(OSError):  # a folder that can only be read serves as well
            os.utime(file)
        return stored[_HASH_BYTES:]

    def _keep(self, file: Path, data: bytes) -> None:
        if len(data) > _OBJECT_MAX_BYTES:
            return
        temporary = self._folder / f"new-{secrets.token_hex(6)}"
        try:
            self._make_room(len(data) + _FILE_OVERHEAD_BYTES)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            with open(descriptor, "wb") as opened:
                opened.write(_hash(file.name, data) + data)
            os.replace(temporary, file)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _make_room(self, wanted_bytes: int) -> None:
        with self._lock:
            if self._added_bytes is None or self._added_bytes + wanted_bytes > self._max_bytes:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._added_bytes = self._sweep()
            self._added_bytes += wanted_bytes

    def _sweep(self) -> int:
        """Remove what was not used longest if there is too much; return how much there is."""
        files = sorted(self._statuses(), reverse=True)
        total = sum(size for _, size, _ in files)
        goal = self._max_bytes if total <= self._max_bytes * _SWEPT_TO else int(self._max_bytes * _SWEPT_TO)
        while files and total > goal:
            _, size, path = files.pop()
            with contextlib.suppress(OSError):
                os.unlink(path)
                total -= size
        return total

    def _statuses(self) -> Iterator[tuple[float, int, str]]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    yield status.st_mtime, status.st_size + _FILE_OVERHEAD_BYTES, entry.path


class _TreeStore(StoreWrapper):
    """A cached store as those see it who read trees."""

    def __init__(self, cached: CachedStore) -> None:
        super().__init__(cached)
        self._cached = cached

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """By way of the cache."""
        return self._cached.get_blocks(name, offset, size)


def trees_of(store: Store) -> Store:
    """The store by which trees are read: one that keeps what it read, where there is a cache."""
    cached = _cached(store)
    return store if cached is None else cached.trees


def forget_ranges(store: Store, name: str) -> None:
    """Keep nothing of a pack any more, where there is a cache."""
    cached = _cached(store)
    if cached is not None:
        cached.forget_ranges(name)


def warm(store: Store, names: Iterable[str]) -> None:
    """Fetch objects ahead where there is a cache to hold them."""
    cached = _cached(store)
    if cached is not None:
        cached.warm(names)


def uncached(store: Store) -> Store:
    """The store without its cache, for who wants to know what the storage holds."""
    cached = _cached(store)
    return store if cached is None else cached.inner


def _cached(store: Store) -> CachedStore | None:
    while isinstance(store, StoreWrapper):
        if isinstance(store, CachedStore):
            return store
        store = store.inner
    return None


def _is_kept(name: str) -> bool:
    return name.partition("/")[0] in KEPT_FOLDERS


def _hash(name: str, data: bytes) -> bytes:
    hasher = hashlib.blake2b(name.encode(), digest_size=_HASH_BYTES)
    hasher.update(b"\0")
    hasher.update(data)
    return hasher.digest()
