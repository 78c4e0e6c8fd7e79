"""A pack in a temporary file, on its way to a store.

Here: `SpooledPack`, the file as the store reads it, hashed while it does. Not here: what is in a pack.

Rules: the store can compare only with what this file gives it, so what it gives must be what was meant. The hash was
taken from memory while the pack was written; the last bytes are handed out only if the file's bytes up to there give
the same one. A store that writes, renames and compares can therefore not come to an object that was not meant. One
pass instead of two, since every pass costs a hundred milliseconds of each GB.
"""

from __future__ import annotations

import io
from typing import BinaryIO, cast

from blake3 import blake3

from ..errors import DamagedObjectError
from ..limits import MIB


class SpooledPack(io.BufferedIOBase):
    """`file` from its start to its end, which must give `digest`. Closing it leaves `file` open."""

    def __init__(self, file: BinaryIO, size: int, digest: bytes, place: str) -> None:
        self._file = file
        self._size = size
        self._digest = digest
        self._place = place
        self._hasher = blake3()
        self._hashed = 0
        self._proven = False
        file.seek(0)

    def as_file(self) -> BinaryIO:
        """Return it under the type that stores take."""
        return cast(BinaryIO, self)

    def seekable(self) -> bool:
        """Stores read an object twice."""
        return True

    def readable(self) -> bool:
        """That is what it is for."""
        return True

    def tell(self) -> int:
        """Return the position in the file."""
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere; the bytes count as proven only after they were read in order from the start."""
        position = self._file.seek(offset, whence)
        if position == 0 and not self._proven:
            self._hasher, self._hashed = blake3(), 0
        return position

    def read(self, size: int | None = -1) -> bytes:
        """Read on. DamagedObjectError in place of the last bytes if the file is not what was written to it."""
        position = self._file.tell()
        block = self._file.read(-1 if size is None else size)
        if not self._proven and block and position == self._hashed:
            self._hasher.update(block)
            self._hashed += len(block)
            if self._hashed >= self._size:
                self._compare()
        return block

    def prove(self) -> None:
        """See that the whole file was proven, now at the latest: a store might read in an order of its own."""
        if not self._proven:
            self.seek(0)
            while self.read(MIB):
                pass
            if not self._proven:
                self._compare()

    def _compare(self) -> None:
        if self._hashed != self._size or self._hasher.digest() != self._digest:
            raise DamagedObjectError(
                f"A pack did not come back from {self._place} as it was written there; it was not stored. "
                "Test that disk and this computer's memory.",
                code="verification_failed",
            )
        self._proven = True
