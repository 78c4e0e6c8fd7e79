"""Runs of packs in the local index: sorted records over the packs' entries, in memory or in a file of the station.

Here: `IndexSegment`, making one from packs or from smaller ones, and what is asked of the station's files. Not here:
which packs there are and whether they count (`index`), and what the files are called (`snapstore.station`).

Shape: 24-byte records, sorted (16 bytes of blob id, pack number, entry number), and then the 84-byte entries as they
stand in the packs' headers, in order of the packs. A segment never changes; joining makes a new one.

Rules: joining takes its parts through in pieces of about a MiB, by ranges of blob ids, so memory stays flat whatever
their sizes. Records of a file are mapped and count as this process's memory;
its entries are read when they are asked for, a batch in one call.
"""

from __future__ import annotations

import mmap
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, Protocol

from ..chunking.native import ReadableBuffer
from ..chunking.records import make_records, match_records, sort_records
from ..format.index import IndexedPack
from ..format.pack import COUNT, ENTRY_BYTES
from ..limits import MIB

_MATCH: Final = struct.Struct(">III")
PREFIX_BYTES: Final = 16
_ID_BYTES: Final = 32
RECORD_BYTES: Final = 24
ROW_BYTES: Final = RECORD_BYTES + ENTRY_BYTES
_RELEASE_EVERY: Final = 16  # pieces
_RANGE_ENDS: Final = 1 << 16  # ranges of ids are told apart by two bytes


class IndexFile(Protocol):
    """A file of the station, open."""

    @property
    def name(self) -> str:
        """What the station knows it by; empty for one that nobody can open again."""
        ...

    @property
    def hash(self) -> bytes:
        """What the station knows its bytes by."""
        ...

    @property
    def size(self) -> int:
        """Its bytes."""
        ...

    def map(self, size: int) -> mmap.mmap:
        """Map the first bytes. Raises OSError or ValueError."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return a piece of it. Raises OSError."""
        ...

    def read_rows(self, offsets: array[int], row_size: int) -> bytes:
        """Return the pieces of `row_size` bytes that begin at `offsets`, back to back. Raises StationStateError."""
        ...


class IndexFiles(Protocol):
    """Where a station keeps segments: `snapstore.station.IndexCache`."""

    def read(self, key: bytes) -> tuple[bytes, Sequence[IndexFile]] | None:
        """Return what was kept under `key`, or None unless every bit of it is as it was written."""
        ...

    def write(self, blocks: Iterable[ReadableBuffer], *, temporary: bool) -> IndexFile:
        """Write a file. A temporary one goes when it is no longer used. Raises OSError."""
        ...

    def keep(self, key: bytes, table: bytes, files: Sequence[tuple[str, bytes]]) -> None:
        """Keep `table` and the files with these names and hashes instead of what was kept before. Raises OSError."""
        ...


class IndexSegment:
    """The entries of the packs `first_pack`, `first_pack + 1`, ..., of which there are `counts`."""

    __slots__ = ("_map", "_starts", "blob_count", "counts", "entries", "file", "first_pack", "records")

    def __init__(self, first_pack: int, counts: Sequence[int], data: tuple[ReadableBuffer, bytes] | IndexFile) -> None:
        """`data` is records and entries, or a file with both. ValueError if that has another size, OSError."""
        self.first_pack = first_pack
        self.counts = array("I", counts)
        self.blob_count = sum(counts)
        self.file: IndexFile | None = None
        self.entries = b""
        self._map: mmap.mmap | None = None
        records_end = 0
        if isinstance(data, tuple):
            self.records, self.entries = memoryview(data[0]), data[1]
        else:
            records_end = self.blob_count * RECORD_BYTES
            if data.size != self.blob_count * ROW_BYTES:
                raise ValueError("the file does not have one row for each entry")
            self.file = data
            self._map = data.map(records_end)
            self.records = memoryview(self._map)
        self._starts = array("Q", accumulate((count * ENTRY_BYTES for count in counts), initial=records_end))

    @classmethod
    def of_packs(cls, first_pack: int, packs: Sequence[IndexedPack]) -> IndexSegment:
        """Return a segment in memory."""
        entries = [memoryview(pack.entries_bytes)[COUNT.size :] for pack in packs]
        records = bytearray().join(
            make_records(part, ENTRY_BYTES, PREFIX_BYTES, first_pack + place) for place, part in enumerate(entries)
        )
        sort_records(records, RECORD_BYTES, RECORD_BYTES)
        return cls(first_pack, [len(part) // ENTRY_BYTES for part in entries], (records, b"".join(entries)))

    @property
    def is_kept(self) -> bool:
        """True if the station can open it again."""
        return self.file is not None and self.file.name != ""

    def find(self, blob_ids: bytes) -> list[tuple[int, int, int]]:
        """Return which id, pack number and entry number of every entry whose id begins as one of these does."""
        found = match_records(self.records, RECORD_BYTES, PREFIX_BYTES, blob_ids, stride=_ID_BYTES)
        return list(_MATCH.iter_unpack(found))

    def rows(self, matches: Sequence[tuple[int, int, int]]) -> bytes:
        """Return the entries that were found, back to back. Raises StationStateError."""
        starts, first = self._starts, self.first_pack
        offsets = [starts[pack - first] + position * ENTRY_BYTES for _, pack, position in matches]
        if self.file is not None:
            return self.file.read_rows(array("Q", offsets), ENTRY_BYTES)
        return b"".join([self.entries[at : at + ENTRY_BYTES] for at in offsets])

    def pack_rows(self, pack: int) -> bytes:
        """Return the entries of one pack. Raises StationStateError."""
        place = pack - self.first_pack
        return self.rows([(0, pack, position) for position in range(self.counts[place])])

    def pack_bytes(self, pack: int) -> bytes:
        """Return the entries of one pack as they stand, in one read. Raises OSError."""
        first = pack - self.first_pack
        start, end = self._starts[first], self._starts[first + 1]
        return self.entries[start:end] if self.file is None else self.file.read(start, end - start)

    def entry_blocks(self) -> Iterator[bytes]:
        """Yield all entries in pieces. Raises OSError."""
        for at in range(self._starts[0], self._starts[-1], MIB):
            end = min(at + MIB, self._starts[-1])
            yield self.entries[at:end] if self.file is None else self.file.read(at, end - at)

    def release(self) -> None:
        """Let go of the pages of a mapped file; they come back when they are read."""
        if self._map is not None and sys.platform != "win32":
            self._map.madvise(mmap.MADV_DONTNEED)


def join_in_memory(segments: Sequence[IndexSegment]) -> IndexSegment:
    """Return one segment in place of several that follow each other and are in memory."""
    records = bytearray().join(segment.records for segment in segments)
    sort_records(records, RECORD_BYTES, RECORD_BYTES)
    entries = b"".join([segment.entries for segment in segments])
    return IndexSegment(segments[0].first_pack, _all_counts(segments), (records, entries))


def join_in_file(segments: Sequence[IndexSegment], files: IndexFiles, *, temporary: bool) -> IndexSegment:
    """Return one segment in place of several that follow each other, in a file. Raises OSError or ValueError."""
    file = files.write(_blocks(segments), temporary=temporary)
    return IndexSegment(segments[0].first_pack, _all_counts(segments), file)


def _all_counts(segments: Sequence[IndexSegment]) -> list[int]:
    return [count for segment in segments for count in segment.counts]


def _blocks(segments: Sequence[IndexSegment]) -> Iterator[ReadableBuffer]:
    for number, piece in enumerate(_record_ranges(segments)):
        yield piece
        if number % _RELEASE_EVERY == 0:
            for segment in segments:
                segment.release()
    for segment in segments:
        yield from segment.entry_blocks()


def _record_ranges(segments: Sequence[IndexSegment]) -> Iterator[bytearray]:
    """Yield the records of all segments in order: those of each range of ids are put together and sorted."""
    total = sum(len(segment.records) for segment in segments)
    ranges = min(_RANGE_ENDS, total // MIB + 1)
    begins = [0] * len(segments)
    for number in range(1, ranges + 1):
        ends = [_first_from(segment.records, number * _RANGE_ENDS // ranges) for segment in segments]
        together = bytearray().join(
            segment.records[begin:end] for segment, begin, end in zip(segments, begins, ends, strict=True)
        )
        sort_records(together, RECORD_BYTES, RECORD_BYTES)
        yield together
        begins = ends


def _first_from(records: memoryview, two_bytes: int) -> int:
    """Return where the records begin whose ids are not below these first two bytes."""
    if two_bytes == _RANGE_ENDS:
        return len(records)
    wanted = two_bytes.to_bytes(2, "big")
    positions = range(len(records) // RECORD_BYTES)
    place = bisect_left(positions, wanted, key=lambda at: bytes(records[at * RECORD_BYTES : at * RECORD_BYTES + 2]))
    return place * RECORD_BYTES
