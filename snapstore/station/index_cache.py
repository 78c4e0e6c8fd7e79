"""What a station keeps of the index of one medium, so that it need not open every index object again.

Here: the files and whether they are whole. Not here: what is in them (`snapstore.blobs`).

    MEDIUM/index             which files belong together, their hashes, and a table; replaced whole
    MEDIUM/index-*.segment   never altered once written

Rules: everything is a cache. What is missing, damaged, of another repository or medium, or kept under another key,
reads as nothing and costs only time; every file is hashed when it is opened. The files hold in the clear what the
maintenance key opens: blob ids, sizes, packs. They are private (mode 0600), not synced, and taken away when nothing
names them: those of a run that is still writing them are left alone for a day.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import secrets
import tempfile
import threading
import time
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from ..chunking.native import choose_kernel
from ..crypto.derivation import KEY_BYTES, keyed
from ..errors import DamageError, UnsupportedFormatError
from ..format.packing import decode, encode
from ..limits import MIB
from .protection import make_private_folder, state_errors

_VERSION: Final = 1
_BLOCK_BYTES: Final = 4 * MIB  # read and hashed at a time
_LEFT_OVER_SECONDS: Final = 86_400


class IndexFile:
    """One file, open until nobody holds it. The name is empty if nobody can open it again."""

    __slots__ = ("__weakref__", "_descriptor", "_folder", "_lock", "hash", "name", "size")

    def __init__(self, folder: Path, name: str, file_hash: bytes, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._folder = folder
        self.name = name
        self.hash = file_hash
        self.size = os.fstat(descriptor).st_size
        self._lock = threading.Lock()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # there were no descriptors left to duplicate
            os.close(self._descriptor)

    def map(self, size: int) -> mmap.mmap:
        """Map the first bytes. Raises OSError or ValueError."""
        return mmap.mmap(self._descriptor, size, access=mmap.ACCESS_READ)

    def read(self, offset: int, size: int) -> bytes:
        """Return a piece of the file. Raises OSError."""
        piece = self._read(offset, size)
        if len(piece) != size:
            raise OSError(errno.EIO, "the file ends early")
        return piece

    def read_rows(self, offsets: array[int], row_size: int, *, _native: bool | None = None) -> bytes:
        """Return the pieces of `row_size` bytes that begin at `offsets`, back to back. Raises StationStateError.

        Searching asks for rows amid work on sources and stores, whose errors are OSError and other ones.
        """
        with state_errors(self._folder):
            kernel = choose_kernel(native=_native) if hasattr(os, "pread") else None
            if kernel is not None:
                return kernel.read_rows(self._descriptor, offsets, row_size)
            return b"".join([self.read(offset, row_size) for offset in offsets])

    def _read(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):  # not on Windows
            return os.pread(self._descriptor, size, offset)
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, size)


class IndexCache:
    """The kept index of one medium. `owner` names repository and medium."""

    def __init__(self, folder: Path, owner: bytes) -> None:
        self.folder = folder
        self._owner = owner

    def read(self, key: bytes) -> tuple[bytes, Sequence[IndexFile]] | None:
        """Return the table and the files kept under `key`, or None unless every bit of them is as it was written."""
        for _ in range(2):  # another process of this station may replace them between the two steps
            try:
                stored = (self.folder / "index").read_bytes()
                payload = stored[KEY_BYTES:]
                if stored[:KEY_BYTES] != keyed(key, payload):
                    return None
                record: Any = decode(payload, what="station's index")
                version, owner, table, files = record
                if (version, owner) != (_VERSION, self._owner):
                    return None
                return table, [self._open(name, file_hash) for name, file_hash in files]
            except FileNotFoundError:
                continue
            except (DamageError, UnsupportedFormatError, OSError, TypeError, ValueError):
                return None
        return None

    def write(self, blocks: Iterable[bytes | bytearray | memoryview], *, temporary: bool) -> IndexFile:
        """Write a file. A temporary one goes when nobody holds it. Raises OSError."""
        make_private_folder(self.folder)
        if temporary:
            with tempfile.TemporaryFile(prefix="index-", suffix=".segment", dir=self.folder) as file:
                for block in blocks:
                    file.write(block)
                file.flush()
                return IndexFile(self.folder, "", b"", file.fileno())
        name = f"index-{secrets.token_hex(6)}.segment"
        path = self.folder / name
        try:
            with open(path, "x+b", opener=_private) as file:
                hasher = blake3()
                for block in blocks:
                    file.write(block)
                    hasher.update(block)
                file.flush()
                return IndexFile(self.folder, name, hasher.digest(), file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise

    def keep(self, key: bytes, table: bytes, files: Sequence[tuple[str, bytes]]) -> None:
        """Keep `table` and the files with these names and hashes instead of what was kept before. Raises OSError."""
        names = {name for name, _ in files}
        for name in names:
            os.stat(self.folder / name)  # another process of this station may have kept something else meanwhile
        before = self._kept_names()
        payload = encode([_VERSION, self._owner, table, [list(file) for file in files]])
        temporary = self.folder / f"index-{secrets.token_hex(6)}.new"
        try:
            with open(temporary, "xb", opener=_private) as file:
                file.write(keyed(key, payload) + payload)
            os.replace(temporary, self.folder / "index")
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        self._remove(names, before)

    def forget(self) -> None:
        """Drop what was kept: the next run reads everything from the store. Raises OSError."""
        before = self._kept_names()
        (self.folder / "index").unlink(missing_ok=True)
        self._remove(set(), before)

    def _open(self, name: str, file_hash: bytes) -> IndexFile:
        with open(self.folder / name, "rb", buffering=0) as file:
            hasher = blake3()
            block = memoryview(bytearray(min(_BLOCK_BYTES, os.fstat(file.fileno()).st_size)))
            while count := file.readinto(block):
                hasher.update(block[:count])
            if hasher.digest() != file_hash:
                raise ValueError("the file is not as it was written")
            return IndexFile(self.folder, name, file_hash, file.fileno())

    def _kept_names(self) -> set[str]:
        try:
            record: Any = decode((self.folder / "index").read_bytes()[KEY_BYTES:], what="station's index")
            return {name for name, _ in record[3]}
        except (DamageError, UnsupportedFormatError, OSError, TypeError, ValueError, LookupError):
            return set()

    def _remove(self, names: set[str], before: set[str]) -> None:
        """Remove what was kept before, and what dead runs left: of the living, some may be writing."""
        oldest = time.time() - _LEFT_OVER_SECONDS
        for path in self.folder.glob("index-*"):
            with contextlib.suppress(OSError):  # on Windows it stays while it is open: then a day later
                if path.name not in names and (path.name in before or path.stat().st_mtime < oldest):
                    path.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o600)
