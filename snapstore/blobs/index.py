"""Where every blob lies: blob id to copies in packs.

Here: the in-memory index, built from the plaintext of index objects or of pack headers. Not here: reading those from a
store (`blobs.catalogue`).

Shape: entries stay as the bytes they were read as (84 each, docs/format/06-packs.md), one string per pack. Over them
lie 24-byte records, sorted: 16 bytes of blob id, pack number u32, entry number u32, both big-endian so that the order
of bytes is the order of numbers. The kernel sorts and searches them; no Python object exists per blob. Packs stored in
this session go into a small dictionary on top.

Rules: safe for several threads; finding takes no lock. A pack that is not usable is skipped by writers and still read
by readers."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..chunking.records import match_records, sort_records
from ..format.index import IndexedPack
from ..format.pack import ENTRY_BYTES, PackEntry, decode_entry
from ..types import BlobId

_PREFIX_BYTES = 16
_RECORD_BYTES = 24
_MATCH = struct.Struct(">III")
_COUNT_BYTES = 4


class BlobCopy(NamedTuple):
    """One stored copy of a blob."""

    pack: str
    pack_size: int
    usable: bool
    entry: PackEntry


class BlobIndex:
    """All known copies of all blobs."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._sizes: list[int] = []
        self._usable: list[bool] = []
        self._entries: list[bytes] = []
        self._numbers: dict[str, int] = {}
        self._records: bytes | bytearray = b""
        self._added: dict[bytes, list[tuple[int, int]]] = {}
        self._lock = threading.Lock()

    def __contains__(self, pack: str) -> bool:
        return pack in self._numbers

    def load(self, packs: Iterable[IndexedPack], *, usable: bool = True) -> None:
        """Add many packs at once; those already known are passed over."""
        with self._lock:
            parts = [bytes(self._records)]
            for pack in packs:
                if pack.name not in self._numbers:
                    number = self._append(pack, usable=usable)
                    parts.append(_records_of(pack.entries_bytes, number))
            if len(parts) > 1:
                records = bytearray(b"".join(parts))
                sort_records(records, _RECORD_BYTES, _RECORD_BYTES)
                self._records = records

    def add(self, pack: IndexedPack) -> None:
        """Add one pack that was just stored, cheaply."""
        with self._lock:
            if pack.name in self._numbers:
                return
            number = self._append(pack, usable=True)
            data = pack.entries_bytes
            for position, at in enumerate(range(_COUNT_BYTES, len(data), ENTRY_BYTES)):
                self._added.setdefault(data[at : at + _PREFIX_BYTES], []).append((number, position))

    def set_usable(self, pack: str, *, usable: bool) -> None:
        """Say whether writers may rely on the copies in `pack`."""
        number = self._numbers.get(pack)
        if number is not None:
            self._usable[number] = usable

    def packs(self) -> Iterator[tuple[str, int, bool]]:
        """Yield name, size and usability of every pack."""
        return zip(list(self._names), list(self._sizes), list(self._usable), strict=True)

    def copies(self, blob_id: BlobId) -> Sequence[BlobCopy]:
        """Return every known copy, usable packs first."""
        return self.find_many((blob_id,))[0]

    def find_many(self, blob_ids: Sequence[BlobId]) -> list[Sequence[BlobCopy]]:
        """Return for each id every known copy, usable packs first. A batch costs one search, a miss nothing."""
        prefixes = [blob_id[:_PREFIX_BYTES] for blob_id in blob_ids]
        found: list[Sequence[BlobCopy]] = [()] * len(prefixes)
        records, added = self._records, self._added
        places: dict[int, list[tuple[int, int]]] = {}
        if records:
            answer = match_records(records, _RECORD_BYTES, _PREFIX_BYTES, b"".join(prefixes))
            for which, number, position in _MATCH.iter_unpack(answer):
                places.setdefault(which, []).append((number, position))
        if added:
            for at, prefix in enumerate(prefixes):
                if prefix in added:
                    places.setdefault(at, []).extend(added[prefix])
        for at, where in places.items():
            found[at] = self._copies_at(where, blob_ids[at])
        return found

    def _copies_at(self, places: list[tuple[int, int]], blob_id: BlobId) -> Sequence[BlobCopy]:
        if len(places) > 1:
            places.sort(key=lambda place: not self._usable[place[0]])
        copies = []
        for number, position in places:
            entry = self._entry(number, position)
            if entry.blob_id == blob_id:
                copies.append(BlobCopy(self._names[number], self._sizes[number], self._usable[number], entry))
        return copies

    def _append(self, pack: IndexedPack, *, usable: bool) -> int:
        number = len(self._names)
        self._names.append(pack.name)
        self._sizes.append(pack.pack_size)
        self._usable.append(usable)
        self._entries.append(pack.entries_bytes)
        self._numbers[pack.name] = number
        return number

    def _entry(self, number: int, position: int) -> PackEntry:
        at = _COUNT_BYTES + position * ENTRY_BYTES
        return decode_entry(self._entries[number][at : at + ENTRY_BYTES])


def _records_of(entries: bytes, number: int) -> bytes:
    pack = number.to_bytes(4, "big")
    return b"".join(
        entries[at : at + _PREFIX_BYTES] + pack + position.to_bytes(4, "big")
        for position, at in enumerate(range(_COUNT_BYTES, len(entries), ENTRY_BYTES))
    )
