"""Sealed blobs to packs in the store, and their index.

Here: packs that are being built in temporary files, the choice of the pack for each blob, merging at the end, index
objects. Not here: sealing, threads.

Rules: data and tree blobs go into packs of their own. Several data packs are filled at a time; chance decides which
one gets a blob and what is appended at a time is shuffled, so that neighbours in a file are not neighbours in a pack.
A pack's header is decoded again before the pack is stored. Memory holds one batch; the rest is in the temporary file,
which has sealed bytes only. A writer that failed once refuses to go on. For one thread at a time."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from blake3 import blake3

from ..crypto.entropy import random_bytes
from ..crypto.keys import MaintenanceKeys
from ..errors import BrokenWriterError, DamagedObjectError, StationStateError
from ..format.index import IndexedPack, encode_index
from ..format.names import new_name, object_path, pack_path
from ..format.pack import BlobKind, PackEntry, decode_header, encode_entries, encode_header, header_size, padding_needed
from ..limits import INDEX_EVERY_PACKS, MIB, OPEN_DATA_PACKS, PACK_TARGET_BYTES
from ..stores.protocol import Store
from ..types import RepositoryId
from .sealer import SealedBlob

_SHUFFLE_BYTES: Final = 2 * MIB  # what waits in memory to be shuffled
_HEADER_SIZE_BYTES: Final = 4
_RANDOM: Final = random.SystemRandom()  # an order that can be predicted could be undone


class _OpenPack:
    """One pack being built."""

    def __init__(self, spool: Path) -> None:
        self.file: BinaryIO = tempfile.TemporaryFile(dir=spool)  # noqa: SIM115  closed by `close`
        self.entries: list[PackEntry] = []
        self.size = 0
        self._hasher = blake3()

    def write(self, data: bytes) -> None:
        """Append bytes; the hash covers what was meant, not what the disk made of it."""
        self._hasher.update(data)
        self.file.write(data)

    def digest(self) -> bytes:
        """Return the BLAKE3 hash of everything written."""
        return self._hasher.digest()

    def has_room(self, stored_size: int, count: int) -> bool:
        """Tell whether `count` blobs more fit. A pack that is nearly as large as its target wastes least on padding."""
        if not self.entries:
            return True
        return self.size + stored_size + header_size(len(self.entries) + count) <= PACK_TARGET_BYTES

    def append(self, blob: SealedBlob) -> None:
        """Append a blob."""
        self.entries.append(blob.entry._replace(offset=self.size))
        self.size += len(blob.stored)
        self.write(blob.stored)

    def absorb(self, other: _OpenPack) -> None:
        """Append everything of `other`."""
        other.file.seek(0)
        while block := other.file.read(MIB):
            self.write(block)
        self.entries.extend(entry._replace(offset=entry.offset + self.size) for entry in other.entries)
        self.size += other.size
        other.file.close()


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
    ) -> None:
        self._store = store
        self._maintenance = maintenance
        self._repository_id = repository_id
        self._spool = spool
        self._on_pack = on_pack
        self._waiting: dict[BlobKind, list[SealedBlob]] = {BlobKind.DATA: [], BlobKind.TREE: []}
        self._waiting_bytes = dict.fromkeys(self._waiting, 0)
        self._open: dict[BlobKind, list[_OpenPack]] = {BlobKind.DATA: [], BlobKind.TREE: []}
        self._unindexed: list[IndexedPack] = []
        self._failed = False
        self.stored_bytes = 0

    def add(self, blob: SealedBlob) -> None:
        """Take a sealed blob; stores a pack whenever one is full. Errors of the store come out here."""
        self._guard()
        kind = BlobKind(blob.entry.kind)
        self._waiting[kind].append(blob)
        self._waiting_bytes[kind] += len(blob.stored)
        if self._waiting_bytes[kind] >= _SHUFFLE_BYTES:
            self._run(lambda: self._place(kind))

    def finish(self) -> None:
        """Store everything that is still open, and an index of it. More may be added afterwards."""
        self._guard()
        self._run(self._finish)

    def close(self) -> None:
        """Drop what is open."""
        for packs in self._open.values():
            for pack in packs:
                with contextlib.suppress(OSError):  # a full disk: what was still to be written is dropped anyway
                    pack.file.close()
            packs.clear()
        self._failed = True

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

    def _finish(self) -> None:
        for kind, packs in self._open.items():
            self._place(kind)
            packs.sort(key=lambda pack: pack.size)
            while packs:
                pack = packs[0]  # each stays on the list until it is closed, so that a failure closes it too
                while len(packs) > 1 and pack.has_room(packs[1].size, len(packs[1].entries)):
                    pack.absorb(packs[1])
                    del packs[1]
                if pack.entries:
                    self._store_pack(pack)
                pack.file.close()
                del packs[0]
        self._write_index()

    def _place(self, kind: BlobKind) -> None:
        blobs, self._waiting[kind] = self._waiting[kind], []
        self._waiting_bytes[kind] = 0
        if not blobs:
            return
        _RANDOM.shuffle(blobs)
        wanted = OPEN_DATA_PACKS if kind is BlobKind.DATA else 1
        packs = self._open[kind]
        while len(packs) < wanted:
            packs.append(_OpenPack(self._spool))
        for blob in blobs:
            position = _RANDOM.randrange(len(packs))
            if not packs[position].has_room(len(blob.stored), 1):
                full, packs[position] = packs[position], _OpenPack(self._spool)
                self._store_pack(full)
            packs[position].append(blob)

    def _store_pack(self, pack: _OpenPack) -> None:
        with pack.file as file:
            pack.write(random_bytes(padding_needed(pack.size, len(pack.entries))))
            header = encode_header(self._maintenance, self._repository_id, pack.entries)
            self._check_header(header, pack)
            pack.write(header)
            size = file.tell()
            name = new_name(pack.digest())
            self._check_spooled(pack)
            file.seek(0)
            self._store.put(pack_path(name), file, size=size)
        self.stored_bytes += size
        indexed = IndexedPack(name=name, pack_size=size, entries_bytes=encode_entries(pack.entries))
        self._unindexed.append(indexed)
        self._on_pack(indexed)
        if len(self._unindexed) >= INDEX_EVERY_PACKS:
            self._write_index()

    def _check_spooled(self, pack: _OpenPack) -> None:
        """See that the temporary file holds what was meant: the store can compare only with that file."""
        hasher = blake3()
        pack.file.seek(0)
        while block := pack.file.read(MIB):
            hasher.update(block)
        if hasher.digest() != pack.digest():
            raise DamagedObjectError(
                f"A pack did not come back from {self._spool} as it was written there; it was not stored. "
                "Test that disk and this computer's memory.",
                code="verification_failed",
            )

    def _check_header(self, header: bytes, pack: _OpenPack) -> None:
        sealed = header[:-_HEADER_SIZE_BYTES]
        decoded = decode_header(self._maintenance, self._repository_id, sealed, blob_area=None)
        if list(decoded) != pack.entries:
            raise DamagedObjectError(
                "A pack's header did not come back as it was written; the pack was not stored.",
                code="verification_failed",
            )

    def _write_index(self) -> None:
        if not self._unindexed:
            return
        data = encode_index(self._maintenance, self._repository_id, self._unindexed)
        self._store.put(object_path("index", new_name(blake3(data).digest())), data)
        self.stored_bytes += len(data)
        self._unindexed = []
