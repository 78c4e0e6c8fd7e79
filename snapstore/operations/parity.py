"""Parity sidecars: whether packs get them, and adding them to packs that have none.

Here: `new_sidecars` for whoever stores packs, `drop_orphans` for whoever deletes some, `add_parity`. Not
here: making and putting one (`blobs.sidecars`), healing by it (`blobs.healing`, `operations.repair`).

Rules: packs get parity on media that people unplug, since these fail; elsewhere if somebody asks for it, and from then
on, since parity that is there is kept up. The config says nothing of it. A sidecar pins nothing, so one whose pack is
gone is deleted: sidecars are listed before packs are, so that none of a pack that is being stored is taken for such.
The copy of a small pack is kept as long as an index names the pack: then the pack was lost, and not pruned.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ..blobs.healing import read_heads
from ..blobs.patchy import is_fault_of_place
from ..blobs.sidecars import MadeSidecar, SidecarWriter, pack_blocks
from ..crypto.derivation import digest
from ..errors import DamageError, NotEnrolledError, ObjectNotFoundError, StoreError, UnsupportedFormatError
from ..format.index import decode_index
from ..format.names import INDEX, PACKS, PARITY, name_matches, pack_path
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


def drop_orphans(context: RepositoryContext, meter: Meter, *, deleted: Collection[str] = ()) -> int:
    """Delete the sidecars of packs that are gone; returns their bytes. Raises StoreError, OperationCancelledError.

    `deleted` are packs that the caller has deleted, whatever an index still says. If there are none, heads are read
    only where there are more sidecars than packs: an earlier run may have died before it came to this."""
    sidecars = list(context.store.list(PARITY))
    if not sidecars:
        return 0
    listed = list_packs(context.store)
    if not deleted and len(sidecars) <= len(listed):
        return 0
    return _drop_orphans(context, _look(context.store, sidecars, meter), listed, deleted)


@dataclass(slots=True)
class _Present:
    """What is in parity/ at the beginning."""

    of_pack: dict[str, list[str]] = field(default_factory=dict)
    """Full names of sidecars by pack."""
    copies: set[str] = field(default_factory=set)
    """Those of them that are copies."""
    headless: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    """Of all of them, by full name."""


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
        present = _look(self._store, list(self._store.list(PARITY)), meter)
        listed = list_packs(self._store)
        _drop_orphans(self._context, present, listed)
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

    def _drop_rubbish(self, headless: Iterable[str]) -> None:
        """Delete what has lost both heads and is not what its name says either: no version can do anything with it."""
        for name in headless:
            try:
                data = self._store.get(name)
            except (DamageError, StoreError) as error:
                if not is_fault_of_place(self._store, error):
                    raise
                self._report(name, f"{name} cannot be read: {error}")
                continue
            if not name_matches(name.rpartition("/")[2], digest(data)):
                _delete(self._store, name)

    def _report(self, name: str, message: str) -> None:
        self._problems.append(Problem(code="parity_failed", path=name, message=message))
        self._meter.problems += 1


def list_packs(store: Store) -> dict[str, int]:
    """Return name and size of every pack. No keys are needed. Raises StoreError."""
    return {item.name.rpartition("/")[2]: item.size for item in store.list(PACKS)}


def _look(store: Store, sidecars: Sequence[StoredObject], meter: Meter) -> _Present:
    present = _Present(sizes={item.name: item.size for item in sidecars})
    for name, head in read_heads(store, sidecars):
        meter.step()
        if head is None:
            present.headless.append(name)
            continue
        present.of_pack.setdefault(head.pack, []).append(name)
        if not head.shape.parity_rows:
            present.copies.add(name)
    return present


def _drop_orphans(
    context: RepositoryContext, present: _Present, listed: dict[str, int], deleted: Collection[str] = ()
) -> int:
    """Delete sidecars of packs that are gone for good. `listed` is newer than `present`."""
    orphans = {pack: names for pack, names in present.of_pack.items() if pack not in listed}
    has_copies = any(name in present.copies for names in orphans.values() for name in names)
    is_named = _named_packs(context) if has_copies else None
    freed = 0
    for pack, names in orphans.items():
        for name in names:
            if is_named is None or name not in present.copies or pack in deleted or not is_named(pack):
                _delete(context.store, name)
                freed += present.sizes[name]
    return freed


def _named_packs(context: RepositoryContext) -> Callable[[str], bool]:
    """Return what tells whether an index names a pack. Where one cannot be read, any may be named."""
    found: set[str] = set()
    try:
        catalogue = context.catalogue()
        for item in list(catalogue.store.list(INDEX)):
            with contextlib.suppress(ObjectNotFoundError):  # a prune replaced it meanwhile
                data = catalogue.get_whole(item.name)
                packs = decode_index(catalogue.key_of(data, item.name), catalogue.repository_id, data)
                found.update(pack.name for pack in packs)
    except (NotEnrolledError, DamageError, UnsupportedFormatError):
        return lambda _: True
    return found.__contains__


def _delete(store: Store, name: str) -> None:
    with contextlib.suppress(ObjectNotFoundError):
        store.delete(name)
