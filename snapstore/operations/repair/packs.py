"""Packs that are damaged and blobs that are missing: storing again what is left, and what is found elsewhere.

Here: `PackMender`. Not here: what is damaged (`survey`), live files (`live`), taking the damaged packs away
(`retiring`).

Rules: blobs go word for word into new packs, with vouchers and child lists, and only if the stored hash fits. First
comes what parity gives back of a pack, then what can be read of it, down to single blobs; then copies on a twin, then
what the station's own files still give. A copy that another pack of this medium holds is relied on. All that is whole
of a pack is stored again, needed or not: so nobody who relies on the pack loses anything by its end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...blobs.healing import Sidecars, heal_pack
from ...blobs.index import BlobIndex, find_prefixes
from ...blobs.packer import PackWriter
from ...blobs.sealer import SealedBlob
from ...crypto.blob import stored_hash
from ...errors import DamageError, ObjectNotFoundError, StoreError, UnsupportedFormatError
from ...format.index import IndexedPack
from ...format.names import pack_path
from ...format.pack import TRAILER_BYTES, PackEntry, decode_header, encode_entries, header_object_size
from ...stores.cached import uncached
from ...stores.protocol import Store
from ...stores.watched import watched
from ...types import BlobId
from ..context import RepositoryContext
from ..marks import BlobMarks
from ..meter import Meter
from ..parity import new_sidecars
from ..reading import is_fault_of_place, read_blobs
from .needs import Needs, Prefix, prefix_of
from .retiring import condemned_packs
from .survey import Survey

_AT_ONCE: Final = 1024

SealLive = Callable[[RepositoryContext, Meter], tuple[dict[str, int], int]]
"""Stores what live files give of the blobs that are lost; returns the packs that hold it, with sizes, and the bytes
that were added."""


@dataclass(slots=True)
class Outlook:
    """What a repair would find of the packs, before it stores anything."""

    by_parity: set[str] = field(default_factory=set)
    """Packs that parity gives back whole."""
    left: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of other damaged packs how many blobs are whole, and how many there are; 0 where nobody knows."""
    lost: set[Prefix] = field(default_factory=set)
    """Needed, and in no whole copy on this medium."""
    on_twin: set[Prefix] = field(default_factory=set)
    """Of these, what the twin has."""
    good: BlobMarks = field(default_factory=BlobMarks)
    """Places in damaged packs that are whole."""


class PackMender:
    """Mends the packs of one medium."""

    def __init__(self, context: RepositoryContext, survey: Survey, roots: Collection[BlobId], meter: Meter) -> None:
        """`roots` are those of all snapshots that are to be kept."""
        self.relied: dict[str, int] = {}
        """Packs that hold what was stored again, or was there already."""
        self.lost: set[Prefix] = set()
        """What is needed and was not found anywhere, once `mend` was run."""
        self.unhealed: dict[str, set[Prefix] | None] = {}
        """Of each damaged pack what could not be read of it; None where nobody knows what was in it."""
        self.added_bytes = 0
        self._context = context
        self._survey = survey
        self._roots = roots
        self._meter = meter
        self._store = uncached(context.store)
        self._sidecars = Sidecars(self._store)
        self._unusable = {*survey.bad_packs}
        self._index = BlobIndex()
        self._on_the_way: dict[PackEntry, None] = {}

    # --- before ---------------------------------------------------------------------------------------------------

    def foresee(self, twin: RepositoryContext | None) -> Outlook:
        """Look at what is left, without storing anything."""
        outlook = Outlook()
        index = self._fresh_index()
        for pack in sorted(self._survey.bad_packs):
            self._meter.step()
            healed = self._healed(pack)
            if healed is not None:
                outlook.by_parity.add(pack)
                index.add(healed[0])
                index.set_usable(pack, usable=False)
                _mark(outlook.good, pack, range(len(index.entries(pack))))
                continue
            entries = index.entries(pack)
            places = {entry.offset: position for position, entry in enumerate(entries)}
            whole = [places[blob.entry.offset] for some, _ in self._left_of(pack, entries) for blob in some]
            _mark(outlook.good, pack, whole)
            outlook.left[pack] = (len(whole), len(entries))
        outlook.lost = self._needs(outlook.good).lost_below(self._roots)
        if outlook.lost and self._survey.gone:
            outlook.lost -= self._in_gone_packs(outlook)
        if twin is not None and outlook.lost:
            outlook.on_twin = {prefix for prefix, there in _found(twin, sorted(outlook.lost)) if there}
        return outlook

    def _in_gone_packs(self, outlook: Outlook) -> set[Prefix]:
        found: set[Prefix] = set()
        for pack in self._survey.gone:
            healed = self._healed(pack)
            if healed is not None:
                outlook.by_parity.add(pack)
                found.update(prefix_of(entry.blob_id) for entry in healed[0].entries())
        return found

    def hurt(self, roots: Iterable[BlobId], lost: Collection[Prefix], good: BlobMarks | None = None) -> set[BlobId]:
        """Return those of `roots` below which something of `lost` is needed."""
        if not lost:
            return set()
        needs = self._needs(good)
        return {root for root in set(roots) if not needs.lost_below([root]).isdisjoint(lost)}

    # --- mending --------------------------------------------------------------------------------------------------

    def mend(self, twin: RepositoryContext | None, seal_live: SealLive | None) -> None:
        """Store again all that can be had. Raises StoreError, OperationCancelledError, DamageError."""
        self._fresh_index()
        with contextlib.closing(self._writer()) as writer:
            for pack in sorted(self._survey.bad_packs):
                self._store_again(writer, pack)
            self._finish(writer)
            self._look()
            if self.lost and self._survey.gone:
                for pack in sorted(self._survey.gone):
                    healed = self._healed(pack)
                    if healed is not None:
                        self._add(writer, _blobs_of(*healed))
                self._finish(writer)
                self._look()
            before: set[Prefix] = set()
            while twin is not None and self.lost and self.lost != before:
                before = self.lost  # a tree that was healed shows what it needs
                self._take_from(twin, writer)
                self._finish(writer)
                self._look()
            self.added_bytes += writer.stored_bytes
        if self.lost and seal_live is not None:
            relied, added = seal_live(self._context, self._meter)
            self.relied.update(relied)
            self.added_bytes += added
            self._look()

    def _look(self) -> None:
        self.lost = set(self._needs().lost_below(self._roots))

    def _store_again(self, writer: PackWriter, pack: str) -> None:
        self._meter.step()
        healed = self._healed(pack)
        if healed is not None:
            self._add(writer, _blobs_of(*healed))
            self.unhealed[pack] = set()
            return
        entries = self._index.entries(pack)
        lost: set[Prefix] = set()
        for some, broken in self._left_of(pack, entries):
            self._add(writer, some)
            lost.update(prefix_of(entry.blob_id) for entry in broken)
        self.unhealed[pack] = lost if entries else None

    def _take_from(self, twin: RepositoryContext, writer: PackWriter) -> None:
        """Store what a twin has of what is lost."""
        index = twin.index(refresh=False).index
        store = uncached(twin.store)
        wanted: dict[str, tuple[int, dict[int, PackEntry]]] = {}
        prefixes = sorted(self.lost)
        for at in range(0, len(prefixes), _AT_ONCE):
            for copies in find_prefixes(index, prefixes[at : at + _AT_ONCE]):
                for _, copy in copies:
                    wanted.setdefault(copy.pack, (copy.pack_size, {}))[1][copy.entry.offset] = copy.entry
        for pack, (size, by_offset) in sorted(wanted.items()):
            entries = [by_offset[offset] for offset in sorted(by_offset)]
            for some, _ in _read_left(store, pack, size, entries):
                self._meter.step(size=sum(len(blob.stored) for blob in some))
                self._add(writer, some)

    # --- new packs ------------------------------------------------------------------------------------------------

    def _writer(self) -> PackWriter:
        context = self._context
        store = watched(context.store)
        return PackWriter(
            store,
            context.newest_maintenance(),
            context.config.repository_id,
            context.state.spool(),
            on_pack=self._on_pack,
            sidecars=new_sidecars(store),
        )

    def _on_pack(self, pack: IndexedPack) -> None:
        self._index.add(pack)
        self.relied[pack.name] = pack.pack_size
        self._on_the_way = {}

    def _add(self, writer: PackWriter, blobs: Sequence[SealedBlob]) -> None:
        """Store blobs, except those of which the very same copy is here, in a pack that is whole."""
        found = self._index.find_many([blob.entry.blob_id for blob in blobs])
        new: list[SealedBlob] = []
        for blob, copies in zip(blobs, found, strict=True):
            key = _key(blob.entry)
            same = next((copy for copy in copies if copy.usable and _key(copy.entry) == key), None)
            if same is not None:
                self.relied[same.pack] = same.pack_size
            elif key not in self._on_the_way:
                self._on_the_way[key] = None
                new.append(blob)
        writer.add_many(new)

    def _finish(self, writer: PackWriter) -> None:
        writer.finish(self._meter.step)
        self._on_the_way = {}

    # --- what is there --------------------------------------------------------------------------------------------

    def _fresh_index(self) -> BlobIndex:
        self._on_the_way = {}
        self._index = self._context.index(refresh=True).index
        self._unusable = {*self._survey.bad_packs, *condemned_packs(self._context)}
        for pack in self._unusable:
            self._index.set_usable(pack, usable=False)
        return self._index

    def _needs(self, good: BlobMarks | None = None) -> Needs:
        return Needs(self._context, self._meter, self._unusable, good)

    def _healed(self, pack: str) -> tuple[IndexedPack, bytes] | None:
        """Return a damaged pack as parity gives it back."""
        size = self._survey.packs.get(pack) or self._survey.gone.get(pack, 0)
        healed = heal_pack(self._store, pack, size, self._sidecars, self._meter.step)
        if healed is None:
            return None
        data = healed.data
        try:
            end = len(data) - TRAILER_BYTES
            start = end - header_object_size(data[end:])
            catalogue = self._context.catalogue()
            keys = catalogue.key_of(data[start:end], pack_path(pack))
            entries = decode_header(keys, catalogue.repository_id, data[start:end], blob_area=start)
        except (DamageError, UnsupportedFormatError):
            return None  # it has its bytes, and they are no pack of ours
        return IndexedPack(name=pack, pack_size=len(data), entries_bytes=encode_entries(entries)), data

    def _left_of(self, pack: str, entries: Sequence[PackEntry]) -> Iterator[tuple[list[SealedBlob], list[PackEntry]]]:
        return _read_left(self._store, pack, self._survey.packs[pack], entries)


def _read_left(
    store: Store, pack: str, size: int, entries: Sequence[PackEntry]
) -> Iterator[tuple[list[SealedBlob], list[PackEntry]]]:
    """As `read_blobs`; what cannot be read in a piece with others is read once more alone."""
    for whole, broken in read_blobs(store, pack, size, entries):
        found, lost = list(whole), []
        for entry in broken:
            blob = _read_alone(store, pack, entry)
            if blob is None:
                lost.append(entry)
            else:
                found.append(blob)
        yield found, lost


def _read_alone(store: Store, pack: str, entry: PackEntry) -> SealedBlob | None:
    try:
        stored = store.get(pack_path(pack), offset=entry.offset, size=entry.stored_size)
    except (DamageError, ObjectNotFoundError):
        return None
    except StoreError as error:
        if not is_fault_of_place(store, error):
            raise
        return None
    return SealedBlob(entry, stored) if stored_hash(stored) == entry.stored_hash else None


def _blobs_of(pack: IndexedPack, data: bytes) -> list[SealedBlob]:
    view = memoryview(data)
    blobs = [SealedBlob(entry, view[entry.offset : entry.offset + entry.stored_size]) for entry in pack.entries()]
    return [blob for blob in blobs if stored_hash(blob.stored) == blob.entry.stored_hash]


def _found(context: RepositoryContext, prefixes: Sequence[Prefix]) -> Iterator[tuple[Prefix, bool]]:
    index = context.index(refresh=True).index
    for at in range(0, len(prefixes), _AT_ONCE):
        some = prefixes[at : at + _AT_ONCE]
        for prefix, copies in zip(some, find_prefixes(index, some), strict=True):
            yield prefix, bool(copies)


def _mark(marks: BlobMarks, pack: str, positions: Iterable[int]) -> None:
    for position in positions:
        marks.add(pack, position)


def _key(entry: PackEntry) -> PackEntry:
    """What tells one copy of a blob from another: all but its place."""
    return entry._replace(offset=0)
