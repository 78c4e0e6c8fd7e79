"""Runs of packs in the local index: sorted records over the packs' entries, in memory or in a file of the station.

Here: `IndexSegment`, making one from packs or from smaller ones, and what is asked of the station's files. Not here:
which packs there are and whether they count (`index`), and what the files are called (`snapstore.station`).

Shape: 24-byte records, sorted (16 bytes of blob id, pack number, entry number), and then the 84-byte entries as they
stand in the packs' headers, in order of the packs. A segment never changes; joining makes a new one.

Rules: joining takes its parts through in pieces of about a MiB, by ranges of blob ids, so memory stays flat whatever
their sizes. Pages of a mapped file count as this process's memory until they are let go (`release`).
"""

from __future__ import annotations

import mmap
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

PREFIX_BYTES: Final = 16
RECORD_BYTES: Final = 24
ROW_BYTES: Final = RECORD_BYTES + ENTRY_BYTES
_RELEASE_EVERY: Final = 16  # pieces
_RANGE_ENDS: Final = 1 << 16  # ranges of ids are told apart by two bytes


class MappedFile(Protocol):
    """A file of the station, in the address space of this process."""

    @property
    def name(self) -> str:
        """What the station knows it by; empty for one that nobody can open again."""
        ...

    @property
    def data(self) -> mmap.mmap:
        """Its bytes."""
        ...


class IndexFiles(Protocol):
    """Where a station keeps segments: `snapstore.station.IndexCache`."""

    def read(self, key: bytes) -> tuple[bytes, Sequence[MappedFile]] | None:
        """Return what was kept under `key`, or None unless every bit of it is as it was written."""
        ...

    def write(self, blocks: Iterable[ReadableBuffer], *, temporary: bool) -> MappedFile:
        """Write a file. A temporary one goes when it is no longer used. Raises OSError."""
        ...

    def keep(self, key: bytes, table: bytes, names: Sequence[str]) -> None:
        """Keep `table` and the files with these names instead of what was kept before. Raises OSError."""
        ...


class IndexSegment:
    """The entries of the packs `first_pack`, `first_pack + 1`, ..., of which there are `counts`."""

    __slots__ = ("blob_count", "counts", "entries", "file", "first_pack", "records", "starts")

    def __init__(
        self,
        first_pack: int,
        counts: Sequence[int],
        records: ReadableBuffer,
        entries: ReadableBuffer,
        file: MappedFile | None = None,
    ) -> None:
        self.first_pack = first_pack
        self.counts = array("I", counts)
        self.blob_count = sum(counts)
        self.starts = array("Q", [0, *accumulate(count * ENTRY_BYTES for count in counts)])
        self.records = memoryview(records)
        self.entries = memoryview(entries)
        self.file = file

    @classmethod
    def of_file(cls, first_pack: int, counts: Sequence[int], file: MappedFile) -> IndexSegment:
        """Return the segment in a file. ValueError if the file has another size."""
        data = memoryview(file.data)
        end = sum(counts) * RECORD_BYTES
        if len(data) != sum(counts) * ROW_BYTES:
            raise ValueError("the file does not have one row for each entry")
        return cls(first_pack, counts, data[:end], data[end:], file)

    @classmethod
    def of_packs(cls, first_pack: int, packs: Sequence[IndexedPack]) -> IndexSegment:
        """Return a segment in memory."""
        entries = [memoryview(pack.entries_bytes)[COUNT.size :] for pack in packs]
        records = bytearray().join(
            make_records(part, ENTRY_BYTES, PREFIX_BYTES, first_pack + place) for place, part in enumerate(entries)
        )
        sort_records(records, RECORD_BYTES, RECORD_BYTES)
        return cls(first_pack, [len(part) // ENTRY_BYTES for part in entries], records, b"".join(entries))

    @property
    def is_kept(self) -> bool:
        """True if the station can open it again."""
        return self.file is not None and self.file.name != ""

    def find(self, prefixes: ReadableBuffer) -> bytes:
        """Return which prefix, pack number and entry number, u32 big-endian each, of every entry that fits one."""
        return match_records(self.records, RECORD_BYTES, PREFIX_BYTES, prefixes)

    def entry(self, pack: int, position: int) -> memoryview:
        """Return the bytes of one entry."""
        at = self.starts[pack - self.first_pack] + position * ENTRY_BYTES
        return self.entries[at : at + ENTRY_BYTES]

    def release(self) -> None:
        """Let go of the pages of a mapped file; they come back when they are read."""
        if self.file is not None and sys.platform != "win32":
            self.file.data.madvise(mmap.MADV_DONTNEED)


def join_in_memory(segments: Sequence[IndexSegment]) -> IndexSegment:
    """Return one segment in place of several that follow each other; for small ones."""
    records = bytearray().join(segment.records for segment in segments)
    sort_records(records, RECORD_BYTES, RECORD_BYTES)
    return IndexSegment(
        segments[0].first_pack, _all_counts(segments), records, b"".join(segment.entries for segment in segments)
    )


def join_in_file(segments: Sequence[IndexSegment], files: IndexFiles, *, temporary: bool) -> IndexSegment:
    """Return one segment in place of several that follow each other, in a file. Raises OSError."""
    file = files.write(_blocks(segments), temporary=temporary)
    return IndexSegment.of_file(segments[0].first_pack, _all_counts(segments), file)


def _all_counts(segments: Sequence[IndexSegment]) -> list[int]:
    return [count for segment in segments for count in segment.counts]


def _blocks(segments: Sequence[IndexSegment]) -> Iterator[ReadableBuffer]:
    pieces: Iterator[ReadableBuffer] = _record_ranges(segments)
    if len(segments) == 1:
        pieces = _slices(segments[0].records)
    for number, piece in enumerate(pieces):
        yield piece
        if number % _RELEASE_EVERY == 0:
            for segment in segments:
                segment.release()
    for segment in segments:
        for number, piece in enumerate(_slices(segment.entries)):
            yield piece
            if number % _RELEASE_EVERY == 0:
                segment.release()
        segment.release()


def _slices(data: memoryview) -> Iterator[memoryview]:
    for at in range(0, len(data), MIB):
        yield data[at : at + MIB]


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
