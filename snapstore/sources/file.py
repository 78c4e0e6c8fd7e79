"""Contents of one open file.

Here: `SourceFile` and the two kinds of segment. Not here: how it was found and opened (`directory`).

Rules: what is read is the file as it was when it was opened: never more bytes than it had then, so that sizes agree
even if it grows meanwhile. A file that shrinks ends early, and `changed` says so; callers ask it after the last read.
Nothing waits: anything that is not a regular file (a pipe swapped in) is refused when it is opened.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from .problems import replaced
from .scanned import ScannedEntry, entry_from_stat, name_text

# Numbers that no system knows where there are no such names: `_seek` then takes everything for data.
_SEEK_DATA: Final = int(getattr(os, "SEEK_DATA", 1003))
_SEEK_HOLE: Final = int(getattr(os, "SEEK_HOLE", 1004))
_ADVISE_FROM_BYTES: Final = 1024 * 1024  # below this one read-ahead window holds the whole file


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A stretch of a file that has bytes."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch that is not allocated: it reads as zero bytes."""

    offset: int
    size: int


class SourceFile:
    """An open file; close it, or use it in a `with` statement."""

    __slots__ = ("_descriptor", "_parent", "_seen", "entry")

    def __init__(self, descriptor: int, *, name: bytes, parent: str) -> None:
        """Take over `descriptor`. Raises OSError, and closes it, if it is not a regular file."""
        self._parent = parent
        self._descriptor = descriptor
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise replaced(os.path.join(parent, name_text(name)))
        except BaseException:
            os.close(descriptor)
            raise
        self._seen = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        self.entry: ScannedEntry = entry_from_stat(name, found)
        """What the file was when it was opened: newer than the scan, and the one to store."""

    def __enter__(self) -> SourceFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> str:
        """The source path, for messages."""
        return os.path.join(self._parent, name_text(self.entry.name))

    @property
    def descriptor(self) -> int:
        """The open descriptor, for `read_xattrs`."""
        return self._descriptor

    @property
    def size(self) -> int:
        """Bytes the file had when it was opened."""
        return self.entry.size

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read_all(self, limit: int) -> bytes:
        """Return the content, at most its first `limit` bytes, in one system call in all but freak cases."""
        wanted = min(self.size, limit)
        if wanted == 0:
            return b""
        data = os.read(self._descriptor, wanted)
        if len(data) == wanted:
            return data
        return data + self.read(len(data), wanted - len(data))

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only where the file has ended."""
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        first = _read_at(self._descriptor, size, offset)
        if len(first) == size or not first:
            return first
        parts = [first]
        done = len(first)
        while done < size:
            part = _read_at(self._descriptor, size - done, offset + done)
            if not part:
                break
            parts.append(part)
            done += len(part)
        return b"".join(parts)

    def blocks(self, offset: int, size: int, block_size: int) -> Iterator[bytes]:
        """Yield `size` bytes from `offset` in blocks of `block_size`, the last one shorter, none empty."""
        if size >= _ADVISE_FROM_BYTES:
            _advise_sequential(self._descriptor, offset, size)
        end = offset + size
        while offset < end:
            wanted = min(block_size, end - offset)
            block = self.read(offset, wanted)
            if block:
                yield block
            if len(block) < wanted:
                return
            offset += wanted

    def segments(self) -> Iterator[Data | Gap]:
        """Yield what the file is made of, in order and without overlap; the sizes add up to `size`.

        Holes are looked for only where fewer bytes are allocated than the file has. Two of a kind never follow each
        other.
        """
        if self.size == 0:
            return
        if not self.entry.sparse:
            yield Data(offset=0, size=self.size)
            return
        position = 0
        while position < self.size:
            start = min(self._seek(position, _SEEK_DATA), self.size)
            if start > position:
                yield Gap(offset=position, size=start - position)
            if start == self.size:
                return
            end = max(min(self._seek(start, _SEEK_HOLE), self.size), start)
            if end == start:  # punched between the two questions
                end = self.size
            yield Data(offset=start, size=end - start)
            position = end

    def changed(self) -> bool:
        """Tell whether size or times are no longer what they were when the file was opened."""
        found = os.fstat(self._descriptor)
        return (found.st_size, found.st_mtime_ns, found.st_ctime_ns) != self._seen

    def _seek(self, offset: int, whence: int) -> int:
        """Return where the next data or hole begins; the end of the file if there is none."""
        try:
            return os.lseek(self._descriptor, offset, whence)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return self.size
            return offset if whence == _SEEK_DATA else self.size  # the file system does not know: all is data


if sys.platform == "win32":

    def _read_at(descriptor: int, size: int, offset: int) -> bytes:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)

else:

    def _read_at(descriptor: int, size: int, offset: int) -> bytes:
        return os.pread(descriptor, size, offset)


def _advise_sequential(descriptor: int, offset: int, size: int) -> None:
    """Ask for twice the read-ahead, for the sake of spinning disks: on solid state no difference could be measured."""
    if sys.platform == "linux":
        os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_SEQUENTIAL)
