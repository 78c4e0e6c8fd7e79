"""Sealed blobs to packs in the store, and their index.

Here: packs that are being built, in the store where it can build and else in temporary files (spooled.py); the choice
of the pack for each blob, merging at the end, index objects. Not here: sealing, threads.

Rules: data and tree blobs go into packs of their own. Several data packs are filled at a time; chance decides which
one gets a blob and what is appended at a time is shuffled, so that neighbours in a file are not neighbours in a pack.
A pack's header is decoded again before the pack is stored. Memory holds one batch; the rest is in the builders, which
get sealed bytes only. What is read back of a pack is compared by a hash that was taken while the pack was in memory.
A pack for a remote store is put while the next ones fill, and counts as stored when that is over. Parity sidecars
(sidecars.py) follow their packs, and never break a writer. A writer that failed once refuses to go on. For one thread
at a time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from blake3 import blake3

from ..crypto.entropy import random_bytes
from ..crypto.keys import MaintenanceKeys
from ..errors import BrokenWriterError, DamagedObjectError, StationStateError
from ..format.index import IndexedPack, encode_index
from ..format.names import object_path, pack_path
from ..format.pack import (
    COUNT,
    ENTRY,
    ENTRY_BYTES,
    TRAILER_BYTES,
    BlobKind,
    PackEntry,
    decode_header,
    encode_entries,
    encode_header_of,
    encode_placed,
    header_size,
    padding_needed,
)
from ..limits import INDEX_EVERY_PACKS, MIB, OPEN_DATA_PACKS, PACK_TARGET_BYTES
from ..stores.protocol import Block, ObjectBuilder, Store, begin_object, lanes_of
from ..stores.wrapper import is_cancelled
from ..types import Problem, RepositoryId
from .naming import put_named, under_new_names
from .sealer import SealedBlob
from .sidecars import SidecarWriter
from .spooled import SpooledBuilder
from .uploading import Uploads

T = TypeVar("T")

_SHUFFLE_BYTES: Final = 2 * MIB  # what waits in memory to be shuffled
_MERGE_SPARE_BYTES: Final = MIB  # left for the file system's own needs and what follows the packs
_KEY_BYTES: Final = 8  # of chance for each blob: where it goes among its neighbours


class _PackComparison:
    """What is read back of a pack, with what was written."""

    def __init__(self, size: int, digest: bytes) -> None:
        self._missing = size
        self._digest = digest
        self._hasher = blake3()

    def update(self, block: Block, /) -> None:
        """Take the next bytes."""
        self._hasher.update(block)
        self._missing -= len(block)

    def holds(self) -> bool:
        """Tell whether size and hash are the same."""
        return self._missing == 0 and self._hasher.digest() == self._digest


class _OpenPack:
    """One pack being built. `entries` are encoded: objects of ten fields each would take four times as much memory."""

    def __init__(self, builder: ObjectBuilder) -> None:
        self.builder = builder
        self.entries = bytearray()
        self.size = 0
        self._hasher = blake3()

    @property
    def count(self) -> int:
        """How many blobs it has."""
        return len(self.entries) // ENTRY_BYTES

    def write(self, data: Block) -> None:
        """Append bytes; the hash covers what was meant, not what the disk made of it."""
        self._hasher.update(data)
        self.builder.write(data)

    def publish(self) -> str:
        """Put the pack under a new name, which is returned. The builder is used up."""
        with self.builder:
            return under_new_names(self.digest(), self._publish_as)

    def _publish_as(self, name: str) -> str:
        if isinstance(self.builder, SpooledBuilder):
            self.builder.put(pack_path(name), self.comparison)
        else:
            self.builder.publish(pack_path(name), self.comparison)
        return name

    def digest(self) -> bytes:
        """Return the BLAKE3 hash of everything written."""
        return self._hasher.digest()

    def comparison(self) -> _PackComparison:
        """Return a new comparison with everything written."""
        return _PackComparison(self.builder.size, self.digest())

    def has_room(self, stored_size: int, count: int) -> bool:
        """Tell whether `count` blobs more fit. A pack that is nearly as large as its target wastes least on padding."""
        return self.size + stored_size + header_size(self.count + count) <= PACK_TARGET_BYTES

    def append(self, blobs: Sequence[SealedBlob]) -> None:
        """Append blobs in one write."""
        entries, self.size = encode_placed([blob.entry for blob in blobs], self.size)
        self.entries += entries
        self.write(b"".join([blob.stored for blob in blobs]))

    def absorb(self, other: _OpenPack) -> None:
        """Append everything of `other`, which must give what was written to it: from here on its hash is not asked."""
        comparison = other.comparison()
        for block in other.builder.blocks():
            comparison.update(block)
            self.write(block)
        if not comparison.holds():
            raise DamagedObjectError(
                "A pack in the making did not come back as it was written; it was not stored. "
                "Test the medium and this computer's memory.",
                code="verification_failed",
            )
        moved = map(PackEntry._make, ENTRY.iter_unpack(other.entries))
        entries, self.size = encode_placed(moved, self.size)
        self.entries += entries


class PackWriter:
    """Builds packs and stores them, and tells `on_pack` of each."""

    def __init__(
        self,
        store: Store,
        maintenance: MaintenanceKeys,
        repository_id: RepositoryId,
        spool: Path,
        *,
        on_pack: Callable[[IndexedPack], None],
        sidecars: SidecarWriter | None = None,
    ) -> None:
        self._store = store
        self._maintenance = maintenance
        self._repository_id = repository_id
        self._spool = spool
        self._on_pack = on_pack
        self._sidecars = sidecars
        self._parity_bytes = 0
        self._waiting: dict[BlobKind, list[SealedBlob]] = {BlobKind.DATA: [], BlobKind.TREE: []}
        self._waiting_bytes = dict.fromkeys(self._waiting, 0)
        self._open: dict[BlobKind, list[_OpenPack]] = {BlobKind.DATA: [], BlobKind.TREE: []}
        self._unindexed: list[IndexedPack] = []
        self._failed = False
        self._uploads = Uploads(lanes_of(store), partial(is_cancelled, store)) if lanes_of(store) > 1 else None
        self.stored_bytes = 0

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What went wrong with the parity of packs; the packs are stored all the same."""
        return () if self._sidecars is None else tuple(self._sidecars.problems)

    def add(self, blob: SealedBlob) -> None:
        """Take a sealed blob; as `add_many`."""
        self.add_many((blob,))

    def add_many(self, blobs: Sequence[SealedBlob]) -> None:
        """Take sealed blobs of one kind; stores a pack whenever one is full. Errors of the store come out here."""
        self._guard()
        if self._uploads is not None:
            self._run(self._uploads.look)
        if not blobs:
            return
        kind = BlobKind(blobs[0].entry.kind)
        self._waiting[kind].extend(blobs)
        self._waiting_bytes[kind] += sum([len(blob.stored) for blob in blobs])
        if self._waiting_bytes[kind] >= _SHUFFLE_BYTES:
            self._run(lambda: self._place(kind))

    def finish(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Store everything that is still open, and an index of it. More may be added afterwards.

        `meanwhile` is called now and then while uploads are waited for; what it raises breaks the writer."""
        self._guard()
        self._run(lambda: self._finish(meanwhile))

    def close(self) -> None:
        """Drop what is open, and what is on its way."""
        self._failed = True
        if self._uploads is not None:
            self._uploads.close()
        for packs in self._open.values():
            for pack in packs:
                pack.builder.discard()
            packs.clear()

    def _guard(self) -> None:
        if self._failed:
            raise BrokenWriterError("This writer has failed before; start the operation again.")

    def _run(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:  # the store translates its own: this is the temporary file
            self._failed = True
            raise StationStateError(
                f"A pack could not be built in {self._spool}: {error.strerror or error}. "
                "Make room there, or choose another folder for the station's state (state_dir)."
            ) from error
        except BaseException:
            self._failed = True
            raise

    def _finish(self, meanwhile: Callable[[], None]) -> None:
        for kind, packs in self._open.items():
            # What never filled a pack would only be merged again.
            self._place(kind, spread=bool(packs))
            packs.sort(key=lambda pack: pack.size, reverse=True)
            while packs:
                pack = packs[0]  # each stays on the list until it is dropped, so that a failure drops it too
                while len(packs) > 1 and self._can_merge(pack, packs[-1]):
                    pack.absorb(packs[-1])
                    packs.pop().builder.discard()
                if pack.entries:
                    self._store_pack(pack)
                else:
                    pack.builder.discard()
                del packs[0]
        if self._uploads is not None:
            self._uploads.wait(meanwhile)
        self._write_index()
        if self._uploads is not None:
            self._uploads.wait(meanwhile)
        if self._sidecars is not None:
            self._sidecars.finish(meanwhile)
            self.stored_bytes += self._sidecars.added_bytes - self._parity_bytes
            self._parity_bytes = self._sidecars.added_bytes

    def _can_merge(self, pack: _OpenPack, other: _OpenPack) -> bool:
        """Tell whether `other` fits into `pack`, and twice into the store for a moment where both are built there."""
        if not pack.has_room(other.size, other.count):
            return False
        free = None if isinstance(pack.builder, SpooledBuilder) else self._store.free_bytes()
        return free is None or free >= other.size + _MERGE_SPARE_BYTES

    def _begin_pack(self) -> _OpenPack:
        builder = begin_object(self._store)
        if builder is None and self._uploads is not None:
            builder = SpooledBuilder(self._store, self._spool, self._uploads.go_on)
        return _OpenPack(builder or SpooledBuilder(self._store, self._spool))

    def _place(self, kind: BlobKind, *, spread: bool = True) -> None:
        blobs, self._waiting[kind] = self._waiting[kind], []
        self._waiting_bytes[kind] = 0
        if not blobs:
            return
        wanted = OPEN_DATA_PACKS if spread and kind is BlobKind.DATA else 1
        for position, share in enumerate(_scattered(blobs, wanted)):
            if share:
                self._fill(kind, position, share)

    def _fill(self, kind: BlobKind, position: int, blobs: Sequence[SealedBlob]) -> None:
        """Append blobs to the open pack at `position`, storing it when it is full."""
        packs = self._open[kind]
        while len(packs) <= position:
            packs.append(self._begin_pack())
        while blobs:
            fitting = _fitting(packs[position], blobs)
            packs[position].append(blobs[:fitting])
            blobs = blobs[fitting:]
            if blobs:
                self._store_pack(packs[position])
                packs[position] = self._begin_pack()

    def _store_pack(self, pack: _OpenPack) -> None:
        entries = COUNT.pack(pack.count) + pack.entries
        pack.write(random_bytes(padding_needed(pack.size, pack.count)))
        header = encode_header_of(self._maintenance, self._repository_id, entries)
        self._check_header(header, entries)
        pack.write(header)
        self._carry_out(partial(self._publish, pack), partial(self._note_pack, pack.builder.size, entries))
        if len(self._unindexed) >= INDEX_EVERY_PACKS:
            self._write_index()

    def _publish(self, pack: _OpenPack) -> str:
        """Put a pack and see to its sidecar; returns the pack's name."""
        sidecars, size = self._sidecars, pack.builder.size
        if sidecars is None:
            return pack.publish()
        if self._uploads is None:
            name = pack.publish()
            sidecars.later(name, size)
            return name
        made = sidecars.make(size, pack.builder.blocks())
        name = pack.publish()
        if made is not None:
            sidecars.put(made, name)
        return name

    def _carry_out(self, put: Callable[[], T], done: Callable[[T], None]) -> None:
        """Put something, now or while this writer goes on, and hand what `put` returned to `done` in this thread."""
        if self._uploads is None:
            done(put())
        else:
            self._uploads.begin(put, done)

    def _note_pack(self, size: int, entries: bytes, name: str) -> None:
        """Take note of a pack that is in the store."""
        self.stored_bytes += size
        indexed = IndexedPack(name=name, pack_size=size, entries_bytes=entries)
        self._unindexed.append(indexed)
        self._on_pack(indexed)

    def _check_header(self, header: bytes, entries: bytes) -> None:
        sealed = header[:-TRAILER_BYTES]
        decoded = decode_header(self._maintenance, self._repository_id, sealed, blob_area=None)
        if encode_entries(decoded) != entries:
            raise DamagedObjectError(
                "A pack's header did not come back as it was written; the pack was not stored.",
                code="verification_failed",
            )

    def _write_index(self) -> None:
        if not self._unindexed:
            return
        data = encode_index(self._maintenance, self._repository_id, self._unindexed)
        self._unindexed = []
        self._carry_out(lambda: put_named(self._store, partial(object_path, "index"), data), partial(self._count, data))

    def _count(self, data: bytes, _name: str) -> None:
        self.stored_bytes += len(data)


def _scattered(blobs: Sequence[SealedBlob], parts: int) -> list[list[SealedBlob]]:
    """Deal blobs out by chance, in an order of chance. An order that can be predicted could be undone."""
    count = len(blobs)
    randomness = random_bytes(_KEY_BYTES * count + count)
    keys = struct.unpack_from(f"<{count}Q", randomness)
    dealt: list[list[SealedBlob]] = [[] for _ in range(parts)]
    for at in sorted(range(count), key=keys.__getitem__):
        dealt[randomness[_KEY_BYTES * count + at] % parts].append(blobs[at])
    return dealt


def _fitting(pack: _OpenPack, blobs: Sequence[SealedBlob]) -> int:
    """How many of the next blobs go into the pack: all, but once in a pack's life. An empty one takes any blob."""
    if pack.has_room(sum([len(blob.stored) for blob in blobs]), len(blobs)):
        return len(blobs)
    size = 0
    for count, blob in enumerate(blobs):
        size += len(blob.stored)
        if not pack.has_room(size, count + 1):
            return count if count or pack.entries else 1
    return len(blobs)
