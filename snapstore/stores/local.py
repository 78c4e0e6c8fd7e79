"""A store in a folder: an internal disk, a stick, or a mounted network drive.

Here: `LocalStore`. Not here: finding the stick (media.py), reading past the cache (readback.py), the wording of
system errors (oserrors.py).

Rules:
- An object is written under a temporary name in tmp/, synced, and moved to its final name; the folder is synced, and
  then the object is read back past the page cache and compared. Only then does `put` return. Whatever fails takes the
  object with it.
- A final name is never overwritten: by a hard link where the file system has them (which fails if the name exists),
  by Windows' rename, which refuses too, and on FAT and exFAT by looking first, under a lock of this process.
- The folder that was opened is remembered by its device number. A stick that was pulled out leaves an empty folder,
  or another stick comes up under its letter: every operation that could be fooled looks whether it still has the same
  device.
- Files get the mode that the umask leaves of 0666, as with any other program: a second user's read access to sealed
  objects gives nothing away that the medium does not. All of the folder lies on one file system.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from ..errors import InputError, StoreError, StoreUnavailableError
from ..limits import MAX_OBJECT_BYTES
from .files import extended_path, move_to_new_name, remove_quietly, write_fully
from .oserrors import translated, vanished
from .protocol import (
    TEMPORARY_FOLDER,
    StoredObject,
    check_name,
    check_prefix,
    check_range,
    check_station,
    existing_name_error,
    missing_object_error,
    short_object_error,
)
from .readback import BLOCK_BYTES, READ_FLAGS, flush, flush_folder, read_fully, read_uncached
from .scan import scan_folder
from .source import ObjectSource

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuv"
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_IN_USE_ON_WINDOWS: Final = 32  # ERROR_SHARING_VIOLATION


class LocalStore:
    """Objects as files below `root`.

    `create` makes the last folder of `root` and no other: a missing parent is more often a medium that is not mounted
    than a wish. `station` marks this writer's temporaries.
    """

    def __init__(self, root: Path | str, *, create: bool = False, station: str = "unnamed") -> None:
        self._station = check_station(station)
        path = os.path.abspath(root)
        self._url = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        self._root = extended_path(path) if sys.platform == "win32" else path
        try:
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(self._root)
                    flush_folder(os.path.dirname(self._root))
            status = os.stat(self._root)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreUnavailableError(
                f"There is no folder {self._url}: see that the medium is connected and mounted, or make the folder.",
                code="store_absent",
                retryable=False,
            ) from error
        except OSError as error:
            raise translated(error, "open the store", self._url) from error
        if not stat.S_ISDIR(status.st_mode):
            raise InputError(f"{self._url} is a file: name the folder that is to hold the store.", code="not_a_folder")
        self._device = status.st_dev
        self._synced_folders: set[str] = set()

    @property
    def url(self) -> str:
        """The folder's absolute path."""
        return self._url

    @property
    def root(self) -> str:
        """The folder, as the system takes it."""
        return self._root

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Store, sync, and read back; see `Store.put`."""
        check_name(name)
        source = ObjectSource(data, name, size)
        final = self._path(name)
        self._check_root()
        try:
            if os.path.lexists(final):
                raise existing_name_error(name, self._url)
            self._make_folders(name)
            self._write(source, final, name)
        except OSError as error:
            self._check_root()
            raise translated(error, f"store {name}", self._url) from error

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """See `Store.get`."""
        check_name(name)
        check_range(offset, size)
        try:
            descriptor = os.open(self._path(name), READ_FLAGS)
        except FileNotFoundError as error:
            self._check_root()
            raise missing_object_error(name, self._url) from error
        except OSError as error:
            raise translated(error, f"open {name}", self._url) from error
        try:
            return self._read(descriptor, name, offset, size)
        except OSError as error:
            raise translated(error, f"read {name}", self._url) from error
        finally:
            os.close(descriptor)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list`."""
        folder = check_prefix(prefix)
        self._check_root()
        return self._walk(folder)

    def delete(self, name: str) -> None:
        """See `Store.delete`."""
        check_name(name)
        self._check_root()
        path = self._path(name)
        try:
            os.unlink(path)
            flush_folder(os.path.dirname(path))
        except FileNotFoundError as error:
            self._check_root()
            raise missing_object_error(name, self._url) from error
        except OSError as error:
            raise translated(error, f"delete {name}", self._url) from error

    def free_bytes(self) -> int | None:
        """What the file system offers this user."""
        self._check_root()
        try:
            usage = shutil.disk_usage(self._root)
        except OSError as error:
            raise translated(error, "ask for the free space", self._url) from error
        # Some FUSE file systems leave the answer blank, which must not be read as a full disk.
        return usage.free if usage.total else None

    def clean_temporaries(self, station: str) -> None:
        """See `Store.clean_temporaries`. On Windows a file that is open is left for the next time."""
        start = f"{check_station(station)}-"
        folder = self._path(TEMPORARY_FOLDER)
        self._check_root()
        try:
            leftovers = [entry for entry in os.listdir(folder) if entry.startswith(start)]
        except FileNotFoundError:
            return
        except OSError as error:
            raise translated(error, "list tmp", self._url) from error
        for leftover in leftovers:
            try:
                os.unlink(os.path.join(folder, leftover))
            except FileNotFoundError:
                continue
            except OSError as error:
                if getattr(error, "winerror", None) != _IN_USE_ON_WINDOWS:
                    raise translated(error, f"remove tmp/{leftover}", self._url) from error

    def close(self) -> None:
        """Nothing is held open between calls."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _path(self, name: str) -> str:
        return os.path.join(self._root, *name.split("/")) if name else self._root

    def _check_root(self) -> None:
        try:
            if os.stat(self._root).st_dev == self._device:
                return
        except OSError as error:
            raise vanished(self._url) from error
        raise vanished(self._url)

    def _make_folders(self, name: str) -> None:
        """Make the object's folder and tmp/, with each new entry synced before it is relied on."""
        for folder in (name.rpartition("/")[0], TEMPORARY_FOLDER):
            path = self._root
            for element in filter(None, folder.split("/")):
                parent, path = path, os.path.join(path, element)
                if path in self._synced_folders and os.path.isdir(path):
                    continue
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path)
                flush_folder(parent)  # also where another thread or run made it and may not have come to this
                self._synced_folders.add(path)

    def _write(self, source: ObjectSource, final: str, name: str) -> None:
        descriptor, temporary = self._open_temporary()
        try:
            try:
                for block in source.blocks(BLOCK_BYTES):
                    write_fully(descriptor, block)
                flush(descriptor)
            finally:
                os.close(descriptor)
            if not move_to_new_name(temporary, final):
                raise existing_name_error(name, self._url)
        except BaseException:
            remove_quietly(temporary)
            raise
        try:
            flush_folder(os.path.dirname(final))
            self._read_back(source, final, name)
        except BaseException:
            remove_quietly(final)
            raise

    def _open_temporary(self) -> tuple[int, str]:
        while True:
            random = "".join(secrets.choice(_DIGITS) for _ in range(5))
            path = self._path(f"{TEMPORARY_FOLDER}/{self._station}-{random}")
            with contextlib.suppress(FileExistsError):
                return os.open(path, _WRITE_FLAGS, 0o666), path

    def _read_back(self, source: ObjectSource, final: str, name: str) -> None:
        for block in read_uncached(final):
            if not source.matches(block):
                break
        else:
            if source.matched_all():
                return
        raise StoreError(
            f"Object {name} reads back from {self._url} with other bytes than were written: the medium is failing, "
            "or its size is faked. Replace it.",
            code="store_read_back_differs",
        )

    def _read(self, descriptor: int, name: str, offset: int, size: int | None) -> bytes:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise missing_object_error(name, self._url)
        wanted = max(status.st_size - offset, 0) if size is None else size
        if wanted > MAX_OBJECT_BYTES:
            raise StoreError(
                f"Object {name} in {self._url} has {status.st_size} bytes, more than any object: it was not put there "
                "by snapstore. Check the repository.",
                code="object_too_large",
            )
        if offset + wanted > status.st_size:
            raise short_object_error(name, self._url, offset + wanted, status.st_size)
        if offset:
            os.lseek(descriptor, offset, os.SEEK_SET)
        data = read_fully(descriptor, wanted) if wanted else b""
        if len(data) != wanted:
            raise short_object_error(name, self._url, offset + wanted, offset + len(data))
        return data

    def _walk(self, folder: str) -> Iterator[StoredObject]:
        """A folder is read to its end before anything of it is given, so that no error comes after a part of it."""
        try:
            objects, folders = scan_folder(self._path(folder), folder)
        except FileNotFoundError:
            self._check_root()
            return
        except OSError as error:
            raise translated(error, f"list {folder or 'the store'}", self._url) from error
        self._check_root()
        yield from objects
        for below in folders:
            yield from self._walk(below)
