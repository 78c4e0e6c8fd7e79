"""Packs on their way to a store that only takes whole objects: in a temporary file first.

Here: `SpooledBuilder`, which grows in the station's folder as `ObjectBuilder`s grow in a store; and `SpooledPack`, the
file as the store reads it, compared while it does. Not here: what is in a pack. Stores that can build need none of
this: it costs a second write and two more reads of everything.

Rules: the store can compare only with what this file gives it, so what it gives must be what was meant. That is known
from memory, from while the pack was written; the last bytes are handed out only if the file's bytes up to there are
the ones meant. A store that writes, renames and compares can therefore not come to an object that was not meant. One
pass instead of two, since every pass costs a hundred milliseconds of each GB. What the temporary file's disk reports
stays an `OSError`: it is the station's, not the store's.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from ..errors import DamagedObjectError
from ..limits import MIB
from ..stores.protocol import Block, Comparison, Store


def _go_on() -> None:
    """What is asked before each read where nobody can call the upload off."""


class SpooledPack(io.BufferedIOBase):
    """`file` from its start to its end, which `compare` must hold for. Closing it leaves `file` open.

    `go_on` is called before each read and ends the put by what it raises."""

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        compare: Callable[[], Comparison],
        place: str,
        go_on: Callable[[], None] = _go_on,
    ) -> None:
        self._file = file
        self._go_on = go_on
        self._size = size
        self._compare = compare
        self._place = place
        self._comparison = compare()
        self._compared = 0
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
            self._comparison, self._compared = self._compare(), 0
        return position

    def read(self, size: int | None = -1) -> bytes:
        """Read on. DamagedObjectError in place of the last bytes if the file is not what was written to it."""
        self._go_on()
        position = self._file.tell()
        block = self._file.read(-1 if size is None else size)
        if not self._proven and block and position == self._compared:
            self._comparison.update(block)
            self._compared += len(block)
            if self._compared >= self._size:
                self._conclude()
        return block

    def prove(self) -> None:
        """See that the whole file was proven, now at the latest: a store might read in an order of its own."""
        if not self._proven:
            self.seek(0)
            while self.read(MIB):
                pass
            if not self._proven:
                self._conclude()

    def _conclude(self) -> None:
        if self._compared != self._size or not self._comparison.holds():
            raise DamagedObjectError(
                f"A pack did not come back from {self._place} as it was written there; it was not stored. "
                "Test that disk and this computer's memory.",
                code="verification_failed",
            )
        self._proven = True


class SpooledBuilder:
    """See `ObjectBuilder`, whose object is put when it is published. `go_on`: see `SpooledPack`."""

    def __init__(self, store: Store, folder: Path, go_on: Callable[[], None] = _go_on) -> None:
        self._store = store
        self._folder = folder
        self._go_on = go_on
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by `discard`
        self._size = 0

    @property
    def size(self) -> int:
        """See `ObjectBuilder.size`."""
        return self._size

    def write(self, data: Block) -> None:
        """See `ObjectBuilder.write`; the limit is the store's to name."""
        self._file.seek(self._size)
        self._file.write(data)
        self._size += len(data)

    def blocks(self) -> Iterator[Block]:
        """See `ObjectBuilder.blocks`."""
        self._file.seek(0)
        while block := self._file.read(MIB):
            yield block

    def publish(self, name: str, compare: Callable[[], Comparison]) -> None:
        """See `ObjectBuilder.publish`. DamagedObjectError if the temporary file does not give what was written."""
        with self:
            self.put(name, compare)

    def put(self, name: str, compare: Callable[[], Comparison]) -> None:
        """As `publish`, but the builder can be put again, under another name."""
        spooled = SpooledPack(self._file, self._size, compare, str(self._folder), self._go_on)
        self._store.put(name, spooled.as_file(), size=self._size)
        spooled.prove()

    def discard(self) -> None:
        """See `ObjectBuilder.discard`."""
        with contextlib.suppress(OSError):  # a full disk: what was still to be written is dropped anyway
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()
