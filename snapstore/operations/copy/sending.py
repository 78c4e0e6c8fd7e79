"""Stored blobs from one twin to another.

Here: `Sender`: which of the wanted blobs the destination lacks, and sending these. Not here: which are wanted
(`reach`), manifests (`twin`).

Rules: the destination has a blob if it holds the very same copy (stored hash, voucher and all), or one that the
dossier's own key vouches for where this station holds that. Anything else under the same id may be anybody's. All
copies that the source has are sent where it cannot be told which is the honest one: a reader tries each. A pack all of
whose blobs are lacking is copied as it is, under a new name; else its blobs go into new packs. Blobs that cannot be
read, and packs whose bytes are not those of their name, are passed over: whether another copy made good for it is
looked at in the end.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from ...blobs.index import BlobCopy, BlobIndex
from ...blobs.naming import put_named
from ...blobs.packer import PackWriter
from ...blobs.sidecars import SidecarWriter
from ...crypto.blob import voucher
from ...crypto.derivation import digest
from ...errors import DamageError, UnsupportedFormatError
from ...format.index import IndexedPack, encode_index
from ...format.names import name_matches, object_path, pack_path
from ...format.pack import TRAILER_BYTES, BlobKind, PackEntry, decode_header, encode_entries, header_object_size
from ...limits import INDEX_EVERY_PACKS
from ...stores.protocol import Store, lanes_of
from ...stores.watched import watched
from ...types import Problem
from ..context import DossierContext, RepositoryContext
from ..marks import BlobMarks
from ..meter import Meter
from ..parity import new_sidecars
from ..reading import read_blobs, read_pack

_LOOKED_UP_AT_ONCE: Final = 4096
Vouched = Callable[[PackEntry], bool]


@dataclass(frozen=True, slots=True)
class PackShare:
    """What is lacking of one pack of the source: positions among its entries."""

    pack: str
    pack_size: int
    positions: array[int]
    whole: bool
    size: int


class Sender:
    """Sends blobs to one destination. Use it, then `close` it, whatever happened."""

    def __init__(self, source: RepositoryContext, destination: RepositoryContext | None, meter: Meter) -> None:
        """Without a destination everything is lacking, and nothing can be sent."""
        self.relied: dict[str, int] = {}
        """Packs of the destination that hold what was asked for, with their sizes."""
        self.blobs = 0
        self._source = source
        self._destination = destination
        self._meter = meter
        self._source_index = source.index(refresh=False).index
        self._index = destination.index(refresh=False).index if destination is not None else BlobIndex()
        self._on_the_way: dict[bytes, None] = {}  # copies that no stored pack holds yet
        self._copied: list[IndexedPack] = []
        self._copied_bytes = 0
        self._store: Store | None = None
        self._packs: PackWriter | None = None
        self._sidecars: SidecarWriter | None = None
        if destination is not None:
            self._store = watched(destination.store)
            self._sidecars = new_sidecars(self._store)
            self._packs = self._writer(destination, self._store)

    @property
    def stored_bytes(self) -> int:
        """Bytes put into the destination so far."""
        return self._copied_bytes + (0 if self._packs is None else self._packs.stored_bytes)

    def plan(self, wanted: BlobMarks, vouched: Vouched) -> list[PackShare]:
        """Return what is lacking, and rely on the rest. Look at `lost` after sending."""
        sizes = {name: size for name, size, _ in self._source_index.packs()}
        shares = []
        for pack in wanted.packs():
            entries = self._source_index.entries(pack)
            positions = array("I")
            wanted_positions = list(wanted.positions(pack))
            for at in range(0, len(wanted_positions), _LOOKED_UP_AT_ONCE):
                some = wanted_positions[at : at + _LOOKED_UP_AT_ONCE]
                held = self._held([entries[position] for position in some], vouched)
                positions.extend([position for position, is_held in zip(some, held, strict=True) if not is_held])
            if positions:
                size = sum([entries[position].stored_size for position in positions])
                shares.append(PackShare(pack, sizes[pack], positions, len(positions) == len(entries), size))
        return shares

    def send(self, shares: Sequence[PackShare]) -> list[PackEntry]:
        """Send what is lacking; returns what could not be read. Raises StoreError, OperationCancelledError."""
        failed: list[PackEntry] = []
        for share in shares:
            self._meter.step(current=None)
            if not (share.whole and self._send_pack(share)):
                failed += self._send_blobs(share)
        return failed

    def lost(self, failed: Sequence[PackEntry], vouched: Vouched) -> bool:
        """Tell whether the destination has, or will have, no copy at all of one of these."""
        return any(
            not held and not any(key.startswith(_id_and_kind(entry)) for key in self._on_the_way)
            for entry, held in zip(failed, self._held_otherwise(failed, vouched), strict=True)
        )

    def finish(self) -> None:
        """Store everything that is on the way, and the index of it. More may be sent afterwards."""
        assert self._packs is not None
        self._write_index()
        self._packs.finish(self._meter.step)

    def close(self) -> None:
        """Drop what is not stored."""
        if self._packs is not None:
            self._packs.close()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What went wrong with the parity of packs that were sent."""
        return () if self._packs is None else self._packs.problems

    def _writer(self, destination: RepositoryContext, store: Store) -> PackWriter:
        return PackWriter(
            store,
            destination.newest_maintenance(),
            destination.config.repository_id,
            destination.state.spool(),
            on_pack=self._on_pack,
            sidecars=self._sidecars,
        )

    def _on_pack(self, pack: IndexedPack) -> None:
        self._index.add(pack)
        self.relied[pack.name] = pack.pack_size
        for entry in pack.entries():
            self._on_the_way.pop(_key(entry), None)

    def _held(self, entries: Sequence[PackEntry], vouched: Vouched) -> list[bool]:
        found = self._index.find_many([entry.blob_id for entry in entries])
        return [
            _key(entry) in self._on_the_way or self._rely(entry, copies, vouched)
            for entry, copies in zip(entries, found, strict=True)
        ]

    def _held_otherwise(self, entries: Sequence[PackEntry], vouched: Vouched) -> list[bool]:
        """As `_held`, for entries of which any other whole copy of the source will do."""
        found = self._index.find_many([entry.blob_id for entry in entries])
        sources = self._source_index.find_many([entry.blob_id for entry in entries])
        return [
            any(self._rely(copy.entry, copies, vouched) for copy in others if copy.entry.kind == entry.kind)
            for entry, copies, others in zip(entries, found, sources, strict=True)
        ]

    def _rely(self, entry: PackEntry, copies: Sequence[BlobCopy], vouched: Vouched) -> bool:
        for copy in copies:
            same = copy.entry._replace(offset=entry.offset) == entry
            if copy.usable and copy.entry.kind == entry.kind and (same or vouched(copy.entry)):
                self.relied[copy.pack] = copy.pack_size
                return True
        return False

    # --- blobs into new packs ------------------------------------------------------------------------------------

    def _send_blobs(self, share: PackShare) -> list[PackEntry]:
        assert self._packs is not None
        entries = self._source_index.entries(share.pack)
        lacking = [entries[position] for position in share.positions]
        failed: list[PackEntry] = []
        for whole, broken in read_blobs(self._source.store, share.pack, share.pack_size, lacking):
            failed += broken
            new = [blob for blob in whole if _key(blob.entry) not in self._on_the_way]
            self._on_the_way.update(dict.fromkeys([_key(blob.entry) for blob in new]))
            self._packs.add_many(new)
            self._count(len(new), sum([len(blob.stored) for blob in whole]))
        return failed

    def _count(self, blobs: int, size: int) -> None:
        self.blobs += blobs
        self._meter.step(size=size)

    # --- whole packs ---------------------------------------------------------------------------------------------

    def _send_pack(self, share: PackShare) -> bool:
        """Copy a pack as it is. False if it is better taken apart: it is damaged, or uploads would wait for it."""
        store = self._store
        assert store is not None
        if lanes_of(store) > 1:
            return False
        data = read_pack(self._source.store, share.pack, share.pack_size)
        if data is None or not name_matches(share.pack, digest(data)):
            return False
        entries = self._source_index.entries(share.pack)
        if not self._has_header(data, entries) or any(_key(entry) in self._on_the_way for entry in entries):
            return False
        path = put_named(store, pack_path, data)
        pack = IndexedPack(name=path.rpartition("/")[2], pack_size=len(data), entries_bytes=encode_entries(entries))
        self._copied.append(pack)
        self._copied_bytes += len(data)
        self._on_pack(pack)
        if self._sidecars is not None:
            self._sidecars.later(pack.name, pack.pack_size)
        self._count(len(entries), share.size)
        if len(self._copied) >= INDEX_EVERY_PACKS:
            self._write_index()
        return True

    def _has_header(self, data: bytes, entries: Sequence[PackEntry]) -> bool:
        try:
            end = len(data) - TRAILER_BYTES
            start = end - header_object_size(data[end:])
            header = data[start:end]
            keys = self._source.catalogue().key_of(header, "a pack's header")
            return decode_header(keys, self._source.config.repository_id, header, blob_area=start) == list(entries)
        except (DamageError, UnsupportedFormatError):
            return False

    def _write_index(self) -> None:
        destination = self._destination
        if not self._copied or destination is None or self._store is None:
            return
        keys, repository_id = destination.newest_maintenance(), destination.config.repository_id
        data = encode_index(keys, repository_id, self._copied)
        put_named(self._store, partial(object_path, "index"), data)
        self._copied = []
        self._copied_bytes += len(data)


def voucher_check(dossier: DossierContext) -> Vouched:
    """Return a function that tells whether the dossier's own stations stored a copy. Without keys it never does."""
    keys = [item.voucher for item in dossier.epoch_keys()]

    def vouched(entry: PackEntry) -> bool:
        facts = entry.vouched_facts
        return any(voucher(key, entry.blob_id, entry.stored_hash, facts) == entry.voucher for key in keys)

    return vouched


def _id_and_kind(entry: PackEntry) -> bytes:
    return entry.blob_id + bytes((BlobKind(entry.kind),))


def _key(entry: PackEntry) -> bytes:
    """What tells one copy of a blob from another."""
    return _id_and_kind(entry) + entry.stored_hash + entry.voucher
