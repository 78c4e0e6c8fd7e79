"""One file on its way into the target.

It is written under a temporary name in the folder it goes to, gets its attributes, and only then its name, so that
under that name there is either what was there before or the whole file. Holes are sought over and stay holes where
the file system has them.

Not here: whether the bytes are right (the caller has them verified) and durable at the end (`syncing`), unless
`commit(sync=True)` asks for it file by file.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO

from ..errors import TargetError
from ..types import EntryType, Problem
from .attributes import FileAttributes, apply_attributes
from .flushing import flush_file
from .folders import Folder
from .handles import DescriptorHandle
from .names import temporary_name
from .problems import translate

FLUSH_LATER = sys.platform != "linux"
"""True where no call makes a whole file system durable, so that the files written must be remembered."""

_WINDOWS_READ_ONLY = 0x01
_ZEROS_BYTES = 1024 * 1024
_PIECES_AT_ONCE = 256  # systems take 16 at least, all that have the call 1024


@dataclass(slots=True, kw_only=True)
class TargetState:
    """What all folders and files of one open target share."""

    numeric_owner: bool
    unflushed: list[tuple[Folder, bytes]] = field(default_factory=list)
    """Files committed without `sync`, where FLUSH_LATER."""
    file_systems: dict[int, Folder] = field(default_factory=dict)
    """A folder on each file system that was entered, by device number."""
    fill_holes: bool = False
    """Write zeros where holes may show old bytes of the medium, as on fusefat."""


def _can_be_opened_again(attributes: FileAttributes) -> bool:
    mode = 0o600 if attributes.mode is None else attributes.mode
    return mode & 0o600 == 0o600 and not (attributes.windows_attributes or 0) & _WINDOWS_READ_ONLY


_seeking = threading.Lock()


def _write_at(descriptor: int, pieces: Sequence[memoryview], position: int) -> int:
    """Write some of the pieces, one after the other, and return how many bytes."""
    if sys.platform != "win32":
        if hasattr(os, "pwritev"):  # not before macOS 11
            return os.pwritev(descriptor, pieces, position)
        return os.pwrite(descriptor, pieces[0], position)
    else:
        with _seeking:
            os.lseek(descriptor, position, os.SEEK_SET)
            return os.write(descriptor, pieces[0])


def hole_after(file: BinaryIO) -> int:
    """How many bytes from where a file is read next lie in a hole, as far as the system tells; else 0."""
    if not hasattr(os, "SEEK_DATA"):
        return 0
    descriptor, position = file.fileno(), file.tell()
    read_to = os.lseek(descriptor, 0, os.SEEK_CUR)  # what the object has in its buffer lies before that
    try:
        data = os.lseek(descriptor, position, os.SEEK_DATA)
    except OSError as error:  # ENXIO: there is none behind
        data = os.fstat(descriptor).st_size if error.errno == errno.ENXIO else position
    os.lseek(descriptor, read_to, os.SEEK_SET)
    return max(0, data - position)


class TargetFile:
    """A new file, written once: from front to back, or by `write_at` and then `end_at`.

    A context manager: leaving it without `commit` discards the file."""

    def __init__(self, folder: Folder, state: TargetState, name: bytes, path: str) -> None:
        self._folder = folder
        self._state = state
        self._name = name
        self._path = path
        self._position = 0
        self._written_to = 0
        self._temporary = temporary_name()
        self._descriptor = -1
        try:
            self._descriptor = folder.create(self._temporary)
        except (OSError, ValueError) as error:
            raise translate(error, path) from error

    def __enter__(self) -> TargetFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    @property
    def size(self) -> int:
        """Bytes so far, holes counted."""
        return self._position

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes. TargetError `target_full`, `target_failed` or `file_too_large`; the file is to be discarded."""
        rest = memoryview(data).cast("B")
        if not rest:
            return
        try:
            if self._position != self._written_to:
                os.lseek(self._descriptor, self._position, os.SEEK_SET)
            while rest:
                count = os.write(self._descriptor, rest)
                rest = rest[count:]
                self._position += count
        except OSError as error:
            raise translate(error, self._path) from error
        self._written_to = self._position

    def write_at(self, position: int, *pieces: bytes | memoryview) -> None:
        """Put bytes anywhere, from any thread, before `end_at` says how large the file is; the pieces one after the
        other. Errors as `write`."""
        rest, at = [memoryview(piece).cast("B") for piece in pieces if len(piece)], 0
        try:
            while at < len(rest):
                count = _write_at(self._descriptor, rest[at : at + _PIECES_AT_ONCE], position)
                if not count:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                position += count
                while at < len(rest) and count >= len(rest[at]):
                    count -= len(rest[at])
                    at += 1
                if count:
                    rest[at] = rest[at][count:]
        except OSError as error:
            raise translate(error, self._path) from error

    def fill_hole(self, position: int, size: int) -> None:
        """As `write_at` for a hole: zeros are written only where the target has no holes."""
        if not self._state.fill_holes:
            self._make_sparse()
            return
        for start in range(0, size, _ZEROS_BYTES):
            self.write_at(position + start, bytes(min(_ZEROS_BYTES, size - start)))

    def end_at(self, size: int) -> None:
        """Say that the file has `size` bytes, all of which `write_at` has put there unless they are holes."""
        self._position = size
        self._written_to = -1

    def skip(self, size: int) -> None:
        """Append a hole of `size` bytes."""
        if size < 0:
            raise ValueError("a hole has no negative size")
        if self._state.fill_holes:
            for start in range(0, size, _ZEROS_BYTES):
                self.write(bytes(min(_ZEROS_BYTES, size - start)))
            return
        if self._position == self._written_to:
            self._make_sparse()
        self._position += size

    def _make_sparse(self) -> None:
        if sys.platform == "win32":
            from .windows import make_sparse

            make_sparse(self._descriptor)

    def commit(self, attributes: FileAttributes, *, sync: bool, replace: bool) -> list[Problem]:
        """Finish the file, give it `attributes` and then its name. Returns the attributes that were lost.

        With `sync` the bytes are durable before the name appears (the name itself after the folder's `sync`). Without
        `replace`, TargetError `in_the_way` if anything has the name. After any error the file is gone.
        """
        try:
            problems = self._finish(attributes, sync=sync)
            if not replace:
                self._refuse_if_taken()
            self._folder.rename(self._temporary, self._name)
        except (OSError, OverflowError) as error:
            self.discard()
            raise translate(error, self._path) from error
        except BaseException:
            self.discard()
            raise
        self._temporary = b""
        if FLUSH_LATER and not sync and _can_be_opened_again(attributes):
            self._state.unflushed.append((self._folder, self._name))
        return problems

    def _finish(self, attributes: FileAttributes, *, sync: bool) -> list[Problem]:
        if self._position != self._written_to:
            os.ftruncate(self._descriptor, self._position)
        problems = []
        if self._folder.by_descriptor:
            problems = self._apply(attributes)
        if sync or (FLUSH_LATER and not _can_be_opened_again(attributes)):
            flush_file(self._descriptor)
        # Network file systems report a failed write here at the latest.
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        return problems if self._folder.by_descriptor else self._apply(attributes)

    def _apply(self, attributes: FileAttributes) -> list[Problem]:
        by_descriptor = self._folder.by_descriptor
        handle = DescriptorHandle(self._descriptor) if by_descriptor else self._folder.handle(self._temporary)
        numeric = self._state.numeric_owner
        try:
            return apply_attributes(handle, EntryType.FILE, attributes, self._path, numeric=numeric)
        finally:
            handle.close()

    def _refuse_if_taken(self) -> None:
        try:
            self._folder.stat(self._name)
        except FileNotFoundError:
            return
        raise TargetError(f"There is already something at {self._path!r}; it was kept.", code="in_the_way")

    def discard(self) -> None:
        """Remove the unfinished file. Nothing happens after `commit`, or a second time."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with suppress(OSError):  # it is given up anyway
                os.close(descriptor)
        if self._temporary:
            temporary, self._temporary = self._temporary, b""
            with suppress(OSError):  # it carries the name of a left-over, which the next restore removes
                self._folder.unlink(temporary)
