"""One file of a snapshot as a seekable stream.

Here: `open_content`. Not here: finding the file.

Rules: only the blobs under the bytes that are read are loaded, and the nodes on the way to them. Every byte is
authenticated before it is returned. A hole reads as zeros. What is read in order from a remote store is fetched ahead.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

from ..errors import DamagedObjectError, InputError
from ..format.tree import Chunk, ChunkItem, ChunkLeaf, ChunkNode, TreeEntry
from ..limits import MIB
from ..types import EntryType, PlainHash
from .browse import SnapshotView

_FETCHED_AHEAD_BYTES: Final = 4 * MIB  # of a file in a remote store


def open_content(view: SnapshotView, path: str) -> BinaryIO:
    """Open the file at `path` (a hard link opens its first name).

    Raises EntryNotFoundError, InputError if it is no file; reading raises DamageError.
    """
    entry = view.find(path)
    if entry.type is EntryType.HARD_LINK and entry.hard_link is not None:
        entry = _find_bytes(view, entry.hard_link)
    if entry.type is not EntryType.FILE:
        raise InputError(f"{path!r} is not a file but a {entry.type.name.lower()}.", code="not_a_file")
    if entry.chunks is None and entry.chunk_tree is None:
        return io.BytesIO(view.load_small(entry))
    return cast(BinaryIO, io.BufferedReader(_ChunkedReader(view, entry), buffer_size=MIB))


def _find_bytes(view: SnapshotView, path: bytes) -> TreeEntry:
    return view.find("/".join(os.fsdecode(name) for name in path.split(b"/")))


@dataclass(frozen=True, slots=True)
class _Place:
    """An item and where its bytes begin in the file."""

    item: ChunkItem
    start: int

    @property
    def size(self) -> int:
        """Bytes of the file that the item stands for."""
        return self.item.size * (self.item.repeat if isinstance(self.item, Chunk) else 1)


class _ChunkedReader(io.RawIOBase):
    def __init__(self, view: SnapshotView, entry: TreeEntry) -> None:
        self._view = view
        self._entry = entry
        self._size = entry.size or 0
        self._position = 0
        self._leaf: list[_Place] = []
        self._loaded: tuple[PlainHash, bytes] | None = None
        self._loaded_end = 0
        if entry.chunks is not None:
            self._leaf = _places(entry.chunks, 0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        wanted = min(len(target), self._size - self._position)
        if wanted <= 0:
            return 0
        place = self._locate(self._position)
        within = self._position - place.start
        if isinstance(place.item, Chunk):
            data = self._load(place, place.item)
            within %= place.item.size
            piece = data[within : within + wanted]
            target[: len(piece)] = piece
            count = len(piece)
        else:
            count = min(wanted, place.size - within)
            target[:count] = bytes(count)
        self._position += count
        return count

    def _load(self, place: _Place, chunk: Chunk) -> bytes:
        if self._loaded is None or self._loaded[0] != chunk.h:
            if self._view.reader.reads_ahead and place.start == self._loaded_end:
                self._fetch_from(place)
            self._loaded_end = place.start + place.size
            self._loaded = (chunk.h, self._view.load_chunk(chunk, shared=self._entry.shared))
        return self._loaded[1]

    def _fetch_from(self, place: _Place) -> None:
        """Begin to fetch what lies at a place and behind it: the file is read in order."""
        end = place.start + _FETCHED_AHEAD_BYTES
        soon = [following.item for following in self._leaf if place.start <= following.start < end]
        chunks = [item.h for item in soon if isinstance(item, Chunk)]
        self._view.reader.prefetch(chunks, shared=self._entry.shared)

    def _locate(self, position: int) -> _Place:
        for place in self._leaf:
            if place.start <= position < place.start + place.size:
                return place
        if self._entry.chunk_tree is not None:
            self._leaf = self._descend(self._entry.chunk_tree[1], position)
            for place in self._leaf:
                if place.start <= position < place.start + place.size:
                    return place
        raise DamagedObjectError("The file's list of chunks ends before the file does.", code="damaged_tree")

    def _descend(self, plain_hash: PlainHash, position: int) -> list[_Place]:
        start = 0
        while True:
            node = self._view.reader.load_node(plain_hash)
            if isinstance(node, ChunkLeaf):
                return _places(node.items, start)
            if not isinstance(node, ChunkNode):
                return []
            for child in node.children:
                if position < start + child.bytes:
                    plain_hash = child.h
                    break
                start += child.bytes
            else:
                return []


def _places(items: tuple[ChunkItem, ...], start: int) -> list[_Place]:
    places = []
    for item in items:
        place = _Place(item, start)
        places.append(place)
        start += place.size
    return places
