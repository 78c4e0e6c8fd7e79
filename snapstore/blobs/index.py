"""Where every blob lies: blob id to copies in packs.

Here: the index that a run looks blobs up in, built from the plaintext of index objects or of pack headers. Not here:
reading those from a store (`catalogue`), the form of its parts (`segments`), keeping it for the next run (`kept`).

Shape: packs are numbered as they come. Their entries stay as the bytes they were read as (84 each,
docs/format/06-packs.md), under sorted 24-byte records, in a few segments; no Python object exists per blob. Small
segments are joined as they come, so that there are never many; where the station lends its files, what would take
much memory goes there.

Rules: safe for several threads; finding takes no lock. A pack that is not usable is skipped by writers and still read
by readers. Finding raises StationStateError where the station's files cannot be read: an OSError would be taken for
one of a source or of a store."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from ..errors import StationStateError
from ..format.index import IndexedPack
from ..format.names import NAME_CHARS
from ..format.pack import PackEntry, decode_rows
from ..limits import MIB
from ..types import BlobId
from .segments import (
    ROW_BYTES,
    IndexFile,
    IndexFiles,
    IndexSegment,
    join_in_file,
    join_in_memory,
)

_PACK: Final = struct.Struct(f"<{NAME_CHARS}sII")
_ID_BYTES: Final = 32
_MEMORY_BYTES: Final = 24 * MIB  # of segments in memory; more goes to a file: 230,000 blobs
_TEMPORARY_FILES: Final = 16  # every lookup searches all of them, and joining them writes all again
_GROWTH: Final = 4  # a kept segment is at least so many times the next, so ten million blobs are in about five


class BlobCopy(NamedTuple):
    """One stored copy of a blob."""

    pack: str
    pack_size: int
    usable: bool
    entry: PackEntry


_new_copy: Final[Callable[[tuple[str, int, bool, PackEntry]], BlobCopy]] = partial(tuple.__new__, BlobCopy)
"""`BlobCopy._make`, three times as fast: half a million a second are wanted."""


class BlobIndex:
    """All known copies of all blobs. `files` are lent by the station; without them all is in memory."""

    def __init__(self, files: IndexFiles | None = None) -> None:
        self._files = files
        self._names: list[str] = []  # empty for packs that were gone when the kept index was opened
        self._sizes: list[int] = []
        self._usable: list[bool] = []
        self._numbers: dict[str, int] = {}
        self._segments: tuple[IndexSegment, ...] = ()
        self._lock = threading.Lock()

    def __contains__(self, pack: str) -> bool:
        return pack in self._numbers

    def load(self, packs: Iterable[IndexedPack]) -> None:
        """Add packs; those already known are passed over."""
        with self._lock:
            new = {pack.name: pack for pack in packs if pack.name not in self._numbers}
            if new:
                segment = IndexSegment.of_packs(len(self._names), list(new.values()))
                for pack in new.values():
                    self._append(pack.name, pack.pack_size)
                self._push(segment)

    def add(self, pack: IndexedPack) -> None:
        """Add one pack that was just stored."""
        self.load((pack,))

    def set_usable(self, pack: str, *, usable: bool) -> None:
        """Say whether writers may rely on the copies in `pack`."""
        number = self._numbers.get(pack)
        if number is not None:
            self._usable[number] = usable

    def packs(self) -> Iterator[tuple[str, int, bool]]:
        """Yield name, size and usability of every pack."""
        for name, size, usable in zip(list(self._names), list(self._sizes), list(self._usable), strict=False):
            if name:
                yield name, size, usable

    def entries(self, pack: str) -> list[PackEntry]:
        """Return what is in `pack`, in its order; nothing for one that is not known."""
        number = self._numbers.get(pack, -1)
        for segment in self._segments:
            if segment.first_pack <= number < segment.first_pack + len(segment.counts):
                return decode_rows(segment.pack_rows(number))
        return []

    def copies(self, blob_id: BlobId) -> Sequence[BlobCopy]:
        """Return every known copy, usable packs first."""
        return self.find_many((blob_id,))[0]

    def find_many(self, blob_ids: Sequence[BlobId]) -> list[Sequence[BlobCopy]]:
        """Return for each id every known copy, usable packs first. A batch costs one search, a miss nothing."""
        joined = b"".join(blob_ids)
        found: list[Sequence[BlobCopy]] = [()] * len(blob_ids)
        names, sizes, usable = self._names, self._sizes, self._usable
        for segment in self._segments:
            matches = segment.find(joined)
            entries = decode_rows(segment.rows(matches)) if matches else []
            for (which, number, _), entry in zip(matches, entries, strict=True):
                name = names[number]
                if name and entry.blob_id == blob_ids[which]:
                    copy = _new_copy((name, sizes[number], usable[number], entry))
                    found[which] = _with_copy(found[which], copy) if found[which] else (copy,)
        return found

    def unkept_blobs(self) -> int:
        """Return how many blobs the station would not find again in what it keeps."""
        return sum(segment.blob_count for segment in self._segments if not segment.is_kept)

    def keep(self, files: IndexFiles) -> tuple[bytes, list[tuple[IndexFile, int]]]:
        """Bring all segments into files that stay. Returns what `adopt` takes. Raises OSError or ValueError."""
        with self._lock:
            segments = list(self._segments)
            joined: list[IndexSegment] = []
            blobs = 0
            while segments and (not segments[-1].is_kept or segments[-1].blob_count < _GROWTH * blobs):
                joined.insert(0, segments.pop())
                blobs += joined[0].blob_count
            if joined:
                segments.append(join_in_file(joined, files, temporary=False))
                self._segments = tuple(segments)
            counts = [count for segment in segments for count in segment.counts]
            rows = zip(self._names, self._sizes, counts, strict=True)
            table = b"".join([_PACK.pack(name.encode("ascii"), size, count) for name, size, count in rows])
            return table, [(segment.file, len(segment.counts)) for segment in segments if segment.file]

    def adopt(self, table: bytes, files: Sequence[tuple[IndexFile, int]], listed: Container[str]) -> float:
        """Take over what was kept: for each file, how many packs are in it. Packs that are not listed are forgotten.

        Returns the share of the entries that belong to those. ValueError or struct.error if it does not fit together.
        """
        rows: list[tuple[str, int, int]] = [
            (name.rstrip(b"\0").decode("ascii"), size, count) for name, size, count in _PACK.iter_unpack(table)
        ]
        segments = []
        first = 0
        for file, packs in files:
            counts = [count for _, _, count in rows[first : first + packs]]
            segments.append(IndexSegment(first, counts, file))
            first += packs
        if first != len(rows):
            raise ValueError("not every pack is in one of the files")
        for name, size, _ in rows:
            self._append(name if name in listed else "", size)
        self._segments = tuple(segments)
        gone = sum(count for name, _, count in rows if name not in listed)
        return gone / max(1, sum(count for _, _, count in rows))

    def _append(self, name: str, size: int) -> None:
        if name:
            self._numbers[name] = len(self._names)
        self._names.append(name)
        self._sizes.append(size)
        self._usable.append(True)

    def _push(self, segment: IndexSegment) -> None:
        """Add a segment. Those in memory at least halve from one to the next, so that each entry is moved seldom."""
        settled = [item for item in self._segments if item.file is not None]
        small = [item for item in self._segments if item.file is None]
        small.append(segment)
        if self._files is not None and sum(item.blob_count for item in small) * ROW_BYTES > _MEMORY_BYTES:
            try:
                settled.append(join_in_file(small, self._files, temporary=True))
                small.clear()
                settled = self._join_temporary(settled, self._files)
            except (OSError, ValueError):
                self._files = None  # a full disk: then memory has to do
        while len(small) > 1 and small[-2].blob_count < 2 * small[-1].blob_count:
            small[-2:] = [join_in_memory(small[-2:])]
        self._segments = (*settled, *small)

    def _join_temporary(self, segments: list[IndexSegment], files: IndexFiles) -> list[IndexSegment]:
        kept = [item for item in segments if item.is_kept]
        temporary = segments[len(kept) :]
        if len(temporary) > _TEMPORARY_FILES:
            temporary = [join_in_file(temporary, files, temporary=True)]
        return [*kept, *temporary]


def _with_copy(copies: Sequence[BlobCopy], copy: BlobCopy) -> Sequence[BlobCopy]:
    return tuple(sorted((*copies, copy), key=lambda item: not item.usable))


def find_prefixes(index: BlobIndex, prefixes: Sequence[bytes]) -> list[list[tuple[int, BlobCopy]]]:
    """Return for the first 16 bytes of each id every known copy, with its position among the entries of its pack.

    Several ids may begin alike: whoever follows child lists takes all of them."""
    joined = b"".join([prefix.ljust(_ID_BYTES, b"\0") for prefix in prefixes])
    found: list[list[tuple[int, BlobCopy]]] = [[] for _ in prefixes]
    names, sizes, usable = index._names, index._sizes, index._usable
    for segment in index._segments:
        matches = segment.find(joined)
        entries = decode_rows(segment.rows(matches)) if matches else []
        for (which, number, position), entry in zip(matches, entries, strict=True):
            if names[number]:
                copy = _new_copy((names[number], sizes[number], usable[number], entry))
                found[which].append((position, copy))
    return found


def rows_of(index: BlobIndex, pack: str) -> bytes:
    """Return what is in `pack` as bytes, 84 for each entry; nothing for one that is not known.

    Raises StationStateError."""
    number = index._numbers.get(pack, -1)
    for segment in index._segments:
        if segment.first_pack <= number < segment.first_pack + len(segment.counts):
            try:
                return segment.pack_bytes(number)
            except OSError as error:
                raise StationStateError(f"The index that this station keeps cannot be read: {error}.") from error
    return b""
