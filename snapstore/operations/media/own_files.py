"""The files of a medium's test: made in a folder of their own, written, read back, and always removed.

Here: `OwnFiles`. Not here: what is in the files (patterns.py) and what the result means (testing_medium.py).

Rules: the folder is called `snapstore-test-` and eight digits. While a test runs it holds a file that is locked by the
operating system, so that the folders of runs that were killed can be told from those under way; the next run removes
them. Only files with the names that a test gives are ever removed. These raise `OSError`.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ...errors import StationStateError
from ...limits import MIB
from ...station.protection import is_running, running_mark
from ...stores.files import write_fully
from ...stores.readback import flush, flush_folder, read_uncached
from ...stores.reserving import reserve_space
from ...stores.root import WRITE_FLAGS
from .patterns import BLOCK_BYTES

_FOLDER = re.compile(r"snapstore-test-[0-9a-f]{8}")
_FILE = re.compile(r"[0-9]{6}\.(?:test|room)|running\.lock")
_LOCK: Final = "running.lock"
_PIECE_BYTES: Final = 2048 * MIB  # FAT32 has files up to 4 GiB
_SYNC_BYTES: Final = 64 * MIB  # what is written between two syncs: the system must not hold all of it in memory


class OwnFiles:
    """The files of one test in `root`. A context manager that removes them."""

    def __init__(self, root: Path) -> None:
        self.device = os.stat(root).st_dev
        self._root = root
        self._path = root / f"snapstore-test-{secrets.token_hex(4)}"
        self._count = 0
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for path in self._root.iterdir():
            ours = _FOLDER.fullmatch(path.name) and not path.is_symlink() and path.is_dir()
            if ours and not is_running(path / _LOCK):
                _remove(path)
        with contextlib.ExitStack() as undoing:
            undoing.callback(_remove, self._path)
            self._path.mkdir()
            try:
                undoing.enter_context(running_mark(self._path / _LOCK))
            except StationStateError as error:
                raise error.__cause__ if isinstance(error.__cause__, OSError) else error  # noqa: B904 - it is the cause
            self._open = undoing.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def new(self) -> OwnFile:
        """Begin the next file."""
        return OwnFile(self._next("test"))

    def reserve(self, size: int) -> bool:
        """Set room aside without writing; whether the file system can do that, and has the room."""
        while size > 0:
            piece = min(size, _PIECE_BYTES)
            try:
                if not reserve_space(str(self._next("room")), piece):
                    return False
            except OSError:  # what is written next meets the same, and says so
                return False
            size -= piece
        return True

    def blocks(self, name: str, count: int) -> Iterator[memoryview]:
        """Read a file back from the device: `count` blocks, each good until the next; shorter ones where it ends."""
        block = bytearray(BLOCK_BYTES)
        filled = given = 0
        for part in read_uncached(str(self._path / name)):
            view = memoryview(part)
            while view and given < count:
                taken = min(len(view), BLOCK_BYTES - filled)
                block[filled : filled + taken] = view[:taken]
                filled, view = filled + taken, view[taken:]
                if filled == BLOCK_BYTES:
                    yield memoryview(block)
                    filled, given = 0, given + 1
        while given < count:
            yield memoryview(block)[:filled]
            filled, given = 0, given + 1

    def _next(self, ending: str) -> Path:
        self._count += 1
        return self._path / f"{self._count:06}.{ending}"


class OwnFile:
    """One file being written. A context manager that has all of it on the device at its end."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        self._descriptor = os.open(path, WRITE_FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        self._unsynced = 0
        self._synced = 0

    def write(self, block: bytes) -> None:
        """Append one block."""
        write_fully(self._descriptor, block)
        self._unsynced += len(block)
        if self._unsynced >= _SYNC_BYTES:
            self._sync()

    def synced_blocks(self) -> int:
        """Return how many whole blocks are on the device, as far as it said."""
        return self._synced // BLOCK_BYTES

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._sync()
            elif isinstance(error, OSError):  # what was taken before a full medium refused more
                with contextlib.suppress(OSError):
                    self._sync()
        finally:
            os.close(self._descriptor)
        if kind is None:
            flush_folder(str(self._path.parent))

    def _sync(self) -> None:
        flush(self._descriptor)
        self._synced += self._unsynced
        self._unsynced = 0


def _remove(folder: Path) -> None:
    """Remove a test's folder, as far as that goes: the medium may be gone, or be read-only now."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if _FILE.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    path.unlink()
        folder.rmdir()
