"""Index objects without packs that are gone.

Here: `IndexObjects`. Not here: the index that a run looks blobs up in (`blobs.index`).

Rules: a new object is put before the old ones that it stands for are deleted, so every pack that is there is named at
every moment. index/ is listed before packs/: whatever an index names was put before it, so what is not listed then is
gone. Objects that cannot be read are left to a repair. Many small ones become one; so does what no index names yet.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Final

from ...blobs.catalogue import list_packs
from ...blobs.index import rows_of
from ...blobs.lanes import each_side_by_side
from ...blobs.naming import put_named
from ...errors import DamagedObjectError, DamageError, ObjectNotFoundError, UnsupportedFormatError
from ...format.index import IndexedPack, decode_index, encode_index
from ...format.names import object_path
from ...format.pack import COUNT, ENTRY_BYTES
from ...limits import KIB, MIB
from ..context import RepositoryContext
from ..meter import Meter
from .condemn import delete_object
from .leftovers import with_room

_SMALL_PACKS: Final = 8
_SMALL_OBJECTS: Final = 16
_PACKS_PER_OBJECT: Final = 256
_BYTES_PER_OBJECT: Final = 3 * MIB + 512 * KIB  # what a station keeps of a remote store is at most 4 MiB


class IndexObjects:
    """The index objects of a store, and the packs that each names."""

    def __init__(self, context: RepositoryContext, meter: Meter) -> None:
        self.written_bytes = 0
        """Of new objects, less those that were deleted."""
        self._context = context
        self._meter = meter
        self._packs: dict[str, tuple[str, ...]] = {}
        """What each object names; nothing for one that cannot be read."""

    def tidy(self, gone: Collection[str], needed: Collection[str]) -> None:
        """Replace objects that name packs which are not there, or are about to be `gone`.

        What no object names is named if it is among `needed`. Raises StoreError."""
        sizes = self._read_new()
        listed = list_packs(self._context.catalogue())
        there = {name for name in listed if name not in gone}
        stale = {name for name, packs in self._packs.items() if not there.issuperset(packs)}
        small = {name for name, packs in self._packs.items() if 0 < len(packs) < _SMALL_PACKS}
        replaced = stale | small if len(small) >= _SMALL_OBJECTS else stale
        kept = {pack for name, packs in self._packs.items() if name not in replaced for pack in packs}
        named = {pack for name in replaced for pack in self._packs[name]}
        wanted = sorted(((named - kept) | {pack for pack in needed if pack not in kept}) & there)
        if not replaced and not wanted:
            return
        self._write(wanted)
        for name in sorted(replaced):
            self._meter.step()
            delete_object(self._context, name)
            self.written_bytes -= sizes[name]
            del self._packs[name]

    def _read_new(self) -> dict[str, int]:
        """Read objects that were not read before; return the sizes of all."""
        sizes = {item.name: item.size for item in self._context.store.list("index")}
        self._packs = {name: packs for name, packs in self._packs.items() if name in sizes}
        new = [name for name in sizes if name not in self._packs]
        reads = [partial(self._names_in, name) for name in new]
        for name, packs in zip(new, each_side_by_side(self._context.store, reads), strict=True):
            self._packs[name] = packs
        return sizes

    def _names_in(self, name: str) -> tuple[str, ...]:
        catalogue = self._context.catalogue()
        try:
            data = catalogue.get_whole(name)
            packs = decode_index(catalogue.key_of(data, name), catalogue.repository_id, data)
        except (ObjectNotFoundError, DamageError, UnsupportedFormatError):
            return ()
        return tuple(pack.name for pack in packs)

    def _write(self, packs: Sequence[str]) -> None:
        index = self._context.index(refresh=False).index
        sizes = {name: size for name, size, _ in index.packs()}
        some: list[IndexedPack] = []
        total = 0
        for name in packs:
            rows = rows_of(index, name)
            if not rows:
                continue
            if some and (len(some) >= _PACKS_PER_OBJECT or total + len(rows) > _BYTES_PER_OBJECT):
                self._put(some)
                some, total = [], 0
            entries = COUNT.pack(len(rows) // ENTRY_BYTES) + rows
            some.append(IndexedPack(name=name, pack_size=sizes[name], entries_bytes=entries))
            total += len(rows)
        if some:
            self._put(some)

    def _put(self, packs: Sequence[IndexedPack]) -> None:
        context = self._context
        keys, repository_id = context.newest_maintenance(), context.config.repository_id
        data = encode_index(keys, repository_id, packs)
        if decode_index(keys, repository_id, data) != list(packs):
            raise DamagedObjectError("An index did not come back as it was written.", code="verification_failed")
        name = with_room(context.store, partial(put_named, context.store, partial(object_path, "index"), data))
        self._packs[name] = tuple(pack.name for pack in packs)
        self.written_bytes += len(data)
