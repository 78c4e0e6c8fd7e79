"""The bytes of one `put`, read once to be stored and once more to be compared.

Here: `ObjectSource`, over bytes or a seekable file, and its comparison. Not here: where the bytes go.

Rules: a file is taken from its current position to its end, is left open, and its size is known before the first byte
is stored, so that a wrong `size` or an object above the limit costs nothing. A file that shrinks meanwhile is an
error.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import InputError
from .protocol import Block, check_size


class ObjectSource:
    """`blocks` gives the bytes; `comparison` compares others with them, block by block."""

    def __init__(self, data: bytes | BinaryIO, name: str, size: int | None) -> None:
        self._name = name
        self._file: BinaryIO = io.BytesIO(data) if isinstance(data, (bytes, bytearray, memoryview)) else data
        if not self._file.seekable():
            raise InputError(f"The file for object {name} cannot be read twice: give bytes, or a file that can seek.")
        self._start = self._file.tell()
        self.size = self._file.seek(0, io.SEEK_END) - self._start
        self._file.seek(self._start)
        if size is not None and size != self.size:
            raise InputError(f"Object {name} was to have {size} bytes and has {self.size}.", code="wrong_size")
        check_size(name, self.size)

    def blocks(self, block_bytes: int) -> Iterator[bytes]:
        """The bytes in order, from the start."""
        self._file.seek(self._start)
        left = self.size
        while left:
            block = self._file.read(min(block_bytes, left))
            if not block:
                raise InputError(f"The file for object {self._name} became shorter while it was stored.")
            left -= len(block)
            yield block

    def read_all(self) -> bytes:
        """All bytes at once; an object is at most 64 MiB."""
        return b"".join(self.blocks(max(self.size, 1)))

    def comparison(self) -> SourceComparison:
        """Compare from the start. It moves the file, so the last one asked for is the one that counts."""
        self._file.seek(self._start)
        return SourceComparison(self._file, self.size)


class SourceComparison:
    """A `Comparison` with what follows in a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._missing = size
        self._same = True

    def update(self, block: Block, /) -> None:
        """Compare the next bytes."""
        self._missing -= len(block)
        # As bytes: a view is compared item by item, which takes ten times as long.
        self._same = self._same and self._missing >= 0 and self._file.read(len(block)) == bytes(block)

    def holds(self) -> bool:
        """Whether all bytes were the same."""
        return self._same and self._missing == 0
