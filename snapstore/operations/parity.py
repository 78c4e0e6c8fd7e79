"""Parity sidecars: whether packs get them, and adding them to packs that have none.

Here: `new_sidecars` for whoever stores packs, `drop_sidecars` for whoever deletes some, `add_parity`. Not
here: making and putting one (`blobs.sidecars`), healing by it (`blobs.healing`, `operations.repair`).

Rules: packs get parity on media that people unplug, since these fail; elsewhere if somebody asks for it, and from then
on, since parity that is there is kept up. The config says nothing of it. A sidecar pins nothing, so one whose pack is
gone is deleted: sidecars are listed before packs are, so that none of a pack that is being stored is taken for such.
The copy of a small pack is kept as long as an index names the pack: then the pack was lost, and not pruned.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from ..blobs.catalogue import Catalogue
from ..blobs.healing import Sidecars, read_heads
from ..blobs.patchy import is_fault_of_place
from ..blobs.sidecars import MadeSidecar, SidecarWriter, pack_blocks
from ..crypto.derivation import digest
from ..errors import DamageError, NotEnrolledError, ObjectNotFoundError, StoreError, UnsupportedFormatError
from ..format.index import decode_index
from ..format.names import INDEX, PARITY, name_matches, pack_path
from ..stores.medium_store import MediumStore
from ..stores.protocol import Store, StoredObject
from ..stores.wrapper import innermost
from ..types import Problem
from ..upkeep_types import ParityReport
from .clones import claim_medium
from .context import RepositoryContext
from .meter import Meter
from .reserve import is_on_medium


def new_sidecars(store: Store, *, wanted: bool | None = None) -> SidecarWriter:
    """Return what puts sidecars of a run's packs into `store`, if `wanted`, or where that is the rule."""

    def is_wanted() -> bool:
        if wanted is not None:
            return wanted
        return isinstance(innermost(store), MediumStore) or is_on_medium(store) or has_parity(store)

    return SidecarWriter(store, is_wanted)


def has_parity(store: Store) -> bool:
    """Tell whether there is any sidecar. Raises StoreError."""
    return any(True for _ in store.list(PARITY))


def drop_sidecars(store: Store, packs: Collection[str]) -> int:
    """Delete the sidecars of packs that were deleted; returns their bytes. Raises StoreError."""
    if not packs or not has_parity(store):
        return 0
    sidecars, freed = Sidecars(store), 0
    for pack in packs:
        for name, head in sidecars.of(pack):
            with contextlib.suppress(ObjectNotFoundError):
                store.delete(name)
                freed += head.shape.sidecar_size
    return freed


@dataclass(slots=True)
class _Present:
    """What is in parity/ at the beginning."""

    of_pack: dict[str, list[str]] = field(default_factory=dict)
    """Full names of sidecars by pack."""
    copies: set[str] = field(default_factory=set)
    """Those of them that are copies."""
    headless: list[StoredObject] = field(default_factory=list)


def add_parity(context: RepositoryContext, meter: Meter) -> ParityReport:
    """Put a sidecar for each pack that has none, and delete those of packs that are gone.

    A pack that is damaged gets none and is in the report's problems. Interrupted, the next run goes on. Raises
    UnsupportedFormatError, StoreError, OperationCancelledError."""
    unknown = context.config.unknown_write_features
    if unknown:
        raise UnsupportedFormatError(
            f"Writing to this repository needs features this version does not have: {', '.join(unknown)}. "
            "Update snapstore; reading works."
        )
    with meter.ending_waits(context.store):
        claim_medium(context)
        return _Adding(context, meter).run()


class _Adding:
    """One run."""

    def __init__(self, context: RepositoryContext, meter: Meter) -> None:
        self._context = context
        self._store = context.store
        self._meter = meter
        self._problems: list[Problem] = []
        self._added_bytes = 0

    def run(self) -> ParityReport:
        meter = self._meter
        meter.enter("scan")
        meter.added = lambda: self._added_bytes
        present = self._look()
        listed = {item.name.rpartition("/")[2]: item.size for item in self._store.list("packs")}
        self._drop_orphans(present, listed)
        self._drop_rubbish(present.headless)
        lacking = {name: size for name, size in listed.items() if name not in present.of_pack}
        meter.bytes_total = sum(lacking.values())
        meter.enter("parity")
        added = sum([self._add(name, size) for name, size in sorted(lacking.items())])
        meter.tell()
        return ParityReport(
            packs=len(listed) - len(lacking) + added,
            added=added,
            added_bytes=self._added_bytes,
            problems=tuple(self._problems),
        )

    def _look(self) -> _Present:
        present = _Present()
        sidecars = list(self._store.list(PARITY))
        sizes = {item.name: item for item in sidecars}
        for name, head in read_heads(self._store, sidecars):
            self._meter.step()
            if head is None:
                present.headless.append(sizes[name])
                continue
            present.of_pack.setdefault(head.pack, []).append(name)
            if not head.shape.parity_rows:
                present.copies.add(name)
        return present

    def _add(self, pack: str, size: int) -> bool:
        """Put a sidecar; False if the pack is damaged, gone or no pack."""
        self._meter.step(current=pack)
        try:
            made = MadeSidecar(size, pack_blocks(self._store, pack, size))
        except (DamageError, StoreError, ValueError) as error:
            if not isinstance(error, ValueError) and not is_fault_of_place(self._store, error):
                raise
            if not isinstance(error, ObjectNotFoundError):  # pruned since it was listed
                self._report(pack_path(pack), f"{pack_path(pack)} cannot be read and gets no parity: {error}")
            return False
        try:
            self._added_bytes += made.put(self._store, pack)
        except DamageError as error:
            self._report(pack_path(pack), str(error))
            return False
        self._meter.step(size=size)
        return True

    def _drop_orphans(self, present: _Present, listed: dict[str, int]) -> None:
        """Delete sidecars of packs that are gone for good."""
        orphans = {pack: names for pack, names in present.of_pack.items() if pack not in listed}
        has_copies = any(name in present.copies for names in orphans.values() for name in names)
        is_indexed = self._is_indexed() if has_copies else None
        for pack, names in orphans.items():
            for name in names:
                if is_indexed is None or name not in present.copies or not is_indexed(pack):
                    self._delete(name)

    def _is_indexed(self) -> Callable[[str], bool]:
        """Return what tells whether an index names a pack. Where indexes cannot be read, any may be named."""
        try:
            return named_packs(self._context.catalogue()).__contains__
        except (NotEnrolledError, DamageError, UnsupportedFormatError):
            return lambda _: True

    def _drop_rubbish(self, headless: Iterable[StoredObject]) -> None:
        """Delete what has lost both heads and is not what its name says either: no version can do anything with it."""
        for item in headless:
            try:
                data = self._store.get(item.name)
            except (DamageError, StoreError) as error:
                if not is_fault_of_place(self._store, error):
                    raise
                self._report(item.name, f"{item.name} cannot be read: {error}")
                continue
            if not name_matches(item.name.rpartition("/")[2], digest(data)):
                self._delete(item.name)

    def _delete(self, name: str) -> None:
        with contextlib.suppress(ObjectNotFoundError):
            self._store.delete(name)

    def _report(self, name: str, message: str) -> None:
        self._problems.append(Problem(code="parity_failed", path=name, message=message))
        self._meter.problems += 1


def named_packs(catalogue: Catalogue) -> set[str]:
    """Return the names of all packs that index objects name. Raises DamageError, NotEnrolledError, StoreError."""
    found: set[str] = set()
    for item in list(catalogue.store.list(INDEX)):
        with contextlib.suppress(ObjectNotFoundError):  # a prune replaced it meanwhile
            data = catalogue.get_whole(item.name)
            packs = decode_index(catalogue.key_of(data, item.name), catalogue.repository_id, data)
            found.update(pack.name for pack in packs)
    return found
