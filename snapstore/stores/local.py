"""A store in a folder: an internal disk, a stick, or a mounted network drive.

Here: `LocalStore`. Not here: how an object is written (building.py), the folder itself (root.py), finding the stick
(media/), reading past the cache (readback.py), the wording of system errors (oserrors.py).

Rules:
- Every object comes about in a `LocalBuilder`: written under a temporary name, synced, named, read back, compared.
- A final name is never overwritten: by a hard link where the file system has them (which fails if the name exists),
  by Windows' rename, which refuses too, and on FAT and exFAT by looking first, under a lock of this process.
- Every operation that could be fooled by another or an absent medium at the same path looks for that (root.py). All of
  the folder lies on one file system.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from ..limits import MAX_OBJECT_BYTES
from .building import LocalBuilder
from .media import medium_at
from .oserrors import translated
from .protocol import (
    TEMPORARY_FOLDER,
    StoredObject,
    check_name,
    check_prefix,
    check_range,
    check_station,
    existing_name_error,
    missing_object_error,
    oversized_object_error,
    short_object_error,
)
from .readback import BLOCK_BYTES, READ_FLAGS, drop_cache, flush_folder, read_fully
from .root import StoreRoot
from .scan import scan_folder
from .settling import flush_file_system
from .source import ObjectSource

_IN_USE_ON_WINDOWS: Final = 32  # ERROR_SHARING_VIOLATION


class LocalStore:
    """Objects as files below `root`.

    `create` makes the last folder of `root` and no other: a missing parent is more often a medium that is not mounted
    than a wish. `station` marks this writer's temporaries.
    """

    def __init__(self, root: Path | str, *, create: bool = False, station: str = "unnamed") -> None:
        self._root = StoreRoot(root, create=create, station=station)

    @property
    def url(self) -> str:
        """The folder's absolute path."""
        return self._root.url

    @property
    def root(self) -> str:
        """The folder, as the system takes it."""
        return self._root.folder

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Store, sync, and read back; see `Store.put`."""
        check_name(name)
        source = ObjectSource(data, name, size)
        self._root.check()
        with self._root.translating(f"store {name}"):
            if os.path.lexists(self._root.path(name)):
                raise existing_name_error(name, self.url)
            with LocalBuilder(self._root, name) as builder:
                for block in source.blocks(BLOCK_BYTES):
                    builder.write(block)
                builder.publish(name, source.comparison)

    def begin(self) -> LocalBuilder:
        """See `BuildingStore.begin`."""
        return LocalBuilder(self._root)

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """See `Store.get`."""
        check_name(name)
        check_range(offset, size)
        try:
            descriptor = os.open(self._root.path(name), READ_FLAGS)
        except FileNotFoundError as error:
            self._root.check_absent(name)
            raise missing_object_error(name, self.url) from error
        except OSError as error:
            raise translated(error, f"open {name}", self.url) from error
        try:
            return self._read(descriptor, name, offset, size)
        except OSError as error:
            raise translated(error, f"read {name}", self.url) from error
        finally:
            os.close(descriptor)

    def drop_cached(self, name: str) -> None:
        """Have the next `get` ask the device for an object, where the system lets that be said. Raises no OSError."""
        check_name(name)
        with suppress(OSError):
            descriptor = os.open(self._root.path(name), READ_FLAGS)
            try:
                drop_cache(descriptor)
            finally:
                os.close(descriptor)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list`."""
        folder = check_prefix(prefix)
        self._root.check()
        return self._walk(folder)

    def delete(self, name: str) -> None:
        """See `Store.delete`."""
        check_name(name)
        self._root.check()
        path = self._root.path(name)
        try:
            os.unlink(path)
            flush_folder(os.path.dirname(path))
        except FileNotFoundError as error:
            self._root.check_absent(name)
            raise missing_object_error(name, self.url) from error
        except OSError as error:
            raise translated(error, f"delete {name}", self.url) from error

    def free_bytes(self) -> int | None:
        """What the file system offers this user."""
        self._root.check()
        try:
            usage = shutil.disk_usage(self._root.folder)
        except OSError as error:
            raise translated(error, "ask for the free space", self.url) from error
        # Some FUSE file systems leave the answer blank, which must not be read as a full disk.
        return usage.free if usage.total else None

    def clean_temporaries(self, station: str) -> None:
        """See `Store.clean_temporaries`. On Windows a file that is open is left for the next time."""
        start = f"{check_station(station)}-"
        folder = self._root.path(TEMPORARY_FOLDER)
        self._root.check()
        try:
            leftovers = [entry for entry in os.listdir(folder) if entry.startswith(start)]
        except FileNotFoundError:
            return
        except OSError as error:
            raise translated(error, "list tmp", self.url) from error
        for leftover in leftovers:
            try:
                os.unlink(os.path.join(folder, leftover))
            except FileNotFoundError:
                continue
            except OSError as error:
                if getattr(error, "winerror", None) != _IN_USE_ON_WINDOWS:
                    raise translated(error, f"remove tmp/{leftover}", self.url) from error

    def settle(self) -> bool:
        """See `SettlingStore.settle`: a medium is flushed whole. Elsewhere each object was flushed when it was put, and
        to flush a system's disk would take the time that all other programs owe it."""
        return medium_at(self._root.folder) is None or flush_file_system(self._root.folder)

    def close(self) -> None:
        """Nothing is held open between calls."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, descriptor: int, name: str, offset: int, size: int | None) -> bytes:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise missing_object_error(name, self.url)
        wanted = max(status.st_size - offset, 0) if size is None else size
        if wanted > MAX_OBJECT_BYTES:
            raise oversized_object_error(name, self.url, status.st_size)
        if offset + wanted > status.st_size:
            raise short_object_error(name, self.url, offset + wanted, status.st_size)
        if offset:
            os.lseek(descriptor, offset, os.SEEK_SET)
        data = read_fully(descriptor, wanted) if wanted else b""
        if len(data) != wanted:
            raise short_object_error(name, self.url, offset + wanted, offset + len(data))
        return data

    def _walk(self, folder: str) -> Iterator[StoredObject]:
        """A folder is read to its end before anything of it is given, so that no error comes after a part of it."""
        try:
            objects, folders = scan_folder(self._root.path(folder), folder)
        except FileNotFoundError:
            self._root.check_absent(folder)
            return
        except OSError as error:
            raise translated(error, f"list {folder or 'the store'}", self.url) from error
        self._root.check()
        yield from objects
        for below in folders:
            yield from self._walk(below)
