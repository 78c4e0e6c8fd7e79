"""An object that grows in a folder store, from its first byte to its name.

Here: `LocalBuilder`, which is how every object of a folder store comes about, those that are put as well. Not here:
the store (local.py), and what the bytes are compared with.

Rules: the object is written under a temporary name in tmp/, synced, closed (Windows renames no open file), and moved
to its final name; the folder is synced, and then the object is read back past the page cache and compared. Only then
does `publish` return. Whatever fails takes the object with it. Bytes are written once and read once. An unnamed file
(O_TMPFILE) would clear itself away after a crash, but FAT, exFAT, macOS and Windows have none.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from .files import move_to_new_name, remove_quietly, write_fully
from .protocol import Block, Comparison, check_name, check_size, existing_name_error, read_back_error
from .readback import BLOCK_BYTES, READ_FLAGS, flush, flush_folder, read_fully, read_uncached
from .root import WRITE_FLAGS, StoreRoot

_CLOSED: Final = -1


class LocalBuilder:
    """See `ObjectBuilder`. `name` is for messages, where it is known from the start."""

    def __init__(self, root: StoreRoot, name: str = "") -> None:
        self._root = root
        self._name = name or "in the making"
        self._doing = f"store {name or 'a new object'}"
        self._size = 0
        root.check()
        with root.translating(self._doing):
            self._descriptor, self._temporary = root.open_temporary()

    @property
    def size(self) -> int:
        """See `ObjectBuilder.size`."""
        return self._size

    def write(self, data: Block) -> None:
        """See `ObjectBuilder.write`."""
        check_size(self._name, self._size + len(data))
        with self._root.translating(self._doing):
            self._open_again()
            write_fully(self._descriptor, data)
        self._size += len(data)

    def blocks(self) -> Iterator[Block]:
        """See `ObjectBuilder.blocks`."""
        with self._root.translating("read a new object again"):
            # Closed for it: some FUSE drivers (fusefat) show a file that is being written without its end.
            self._close()
            with open(os.open(self._temporary, READ_FLAGS), "rb", buffering=0) as file:
                while block := read_fully(file.fileno(), BLOCK_BYTES):
                    yield block

    def publish(self, name: str, compare: Callable[[], Comparison]) -> None:
        """See `ObjectBuilder.publish`."""
        with self:
            check_name(name)
            self._root.check()
            with self._root.translating(f"store {name}"):
                self._root.make_folder(name.rpartition("/")[0])
                final = self._root.path(name)
                self._open_again()
                flush(self._descriptor)
                self._close()
                if not move_to_new_name(self._temporary, final):
                    raise existing_name_error(name, self._root.url)
                self._temporary = ""
                try:
                    flush_folder(os.path.dirname(final))
                    self._read_back(name, final, compare())
                except BaseException:
                    remove_quietly(final)
                    raise

    def discard(self) -> None:
        """See `ObjectBuilder.discard`."""
        with contextlib.suppress(OSError):  # a full or vanished medium reports now what it could not write
            self._close()
        temporary, self._temporary = self._temporary, ""
        if temporary:
            remove_quietly(temporary)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _read_back(self, name: str, final: str, comparison: Comparison) -> None:
        for block in read_uncached(final):
            comparison.update(block)
        if not comparison.holds():
            raise read_back_error(name, self._root.url)

    def _open_again(self) -> None:
        """Have it open for writing at its end; `blocks` closed it."""
        if self._descriptor == _CLOSED:
            self._descriptor = os.open(self._temporary, WRITE_FLAGS)
            os.lseek(self._descriptor, self._size, os.SEEK_SET)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)
