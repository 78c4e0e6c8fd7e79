"""What a twin of the medium has and the medium has not: keysets, records, whole snapshots.

Here: opening the twin, and the remedies that copy from it. Not here: single objects and blobs (`vital`, `packs`).

Rules: only what is missing by what is written on the medium itself comes back, and nothing that was forgotten here.
Everything goes by the steps of a copy (`operations.copy`), so a snapshot counts only after all that it needs was seen.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping
from functools import partial

from ...errors import DamagedObjectError, DamageError, InputError
from ...format.names import DOSSIERS, OK, RECORDS, SNAPSHOTS, b32, dossier_folder
from ...stores.options import StoreOptions
from ...stores.url import open_store
from ...types import CopyMode, DossierId, Problem, SnapshotId
from ..configs import repository_ids
from ..context import DossierContext, RepositoryContext, station_mark
from ..copy.request import CopyTally
from ..copy.sealed import copy_keysets, copy_records, in_destination, sealed_dossiers
from ..copy.twin import copy_to_twin
from ..history import History, ReadManifest, read_history
from ..keysets import read_keysets
from ..meter import Meter
from ..opening import open_repository
from .remedy import Remedy
from .survey import Survey, hash_of, small_objects
from .vital import remove

Address = str | os.PathLike[str] | RepositoryContext


@contextlib.contextmanager
def opened_twin(
    context: RepositoryContext, twin: Address | None, options: StoreOptions | None
) -> Iterator[RepositoryContext | None]:
    """Open another medium of the same repository, and close it at the end if it was opened here.

    Raises InputError if it is another repository, or this very medium; StoreError, RepositoryNotFoundError."""
    if twin is None:
        yield None
        return
    with contextlib.ExitStack() as opened:
        if isinstance(twin, RepositoryContext):
            other = twin
        else:
            mark = station_mark(context.state)
            store = open_store(twin, create=False, station=mark, identify=repository_ids, options=options)
            opened.callback(store.close)
            other = open_repository(store, context.state)
            opened.callback(other.close)
        if other.config.repository_id != context.config.repository_id:
            raise InputError(f"{other.store.url} is another repository: only a twin can heal.", code="not_a_twin")
        if other.config.medium_id == context.config.medium_id and not other.is_clone:
            raise InputError(f"{other.store.url} is the very medium that is to be repaired.", code="same_medium")
        yield other


def histories(context: RepositoryContext, problems: list[Problem]) -> dict[DossierId, tuple[DossierContext, History]]:
    """Read the history of every dossier with a valid keyset; what is wrong with one becomes `problems`."""
    found: dict[DossierId, tuple[DossierContext, History]] = {}
    for dossier in sealed_dossiers(context, problems):
        try:
            history = read_history(dossier)
        except DamageError as error:
            problems.append(Problem(code=error.code, path=dossier.pin.name or dossier.id.hex(), message=str(error)))
            continue
        problems.extend(history.problems)
        found[dossier.id] = (dossier, history)
    return found


class TwinRemedies:
    """Compares a twin with the medium, dossier by dossier."""

    def __init__(
        self,
        context: RepositoryContext,
        twin: RepositoryContext,
        survey: Survey,
        here: Mapping[DossierId, tuple[DossierContext, History]],
        meter: Meter,
    ) -> None:
        self._context = context
        self._survey = survey
        self._here = here
        self._meter = meter
        self._there = histories(twin, [])
        self.covered: set[str] = set()
        """Bad objects, or names of missing snapshots, that `snapshots` deals with."""

    def keys_and_records(self) -> Iterator[Remedy]:
        """Yield what brings keysets and records that the medium lacks."""
        held = read_keysets(self._context)
        pins = self._context.held_keys().dossiers
        for dossier, history in self._there.values():
            newest = read_keysets(dossier.repository)[dossier.id][0].keyset.generation
            own = held.get(dossier.id)
            pin = pins.get(dossier.id)
            damaged = any(
                name.split("/")[1] == dossier_folder(dossier.id) for name in small_objects(self._survey, DOSSIERS)
            )
            lacks = damaged and not own
            if (pin is None or newest >= pin.generation) and (
                lacks or (own is not None and newest > own[0].keyset.generation)
            ):
                name = f"{DOSSIERS}/{dossier_folder(dossier.id)}"
                message = f"The keys of a dossier are brought from the twin (generation {newest})."
                yield Remedy("restore_copy", name, message, partial(self._copy_keysets, dossier))
            if dossier.id in self._here and self._lacks_records(dossier):
                name = f"{RECORDS}/{dossier_folder(dossier.id)}"
                message = "Signed records that only the twin has are brought from it."
                yield Remedy("restore_copy", name, message, partial(self._copy_records, dossier, history))

    def snapshots(self) -> Iterator[Remedy]:
        """Yield what brings snapshots of which no whole record is on the medium."""
        bad = [*small_objects(self._survey, SNAPSHOTS), *small_objects(self._survey, OK)]
        for dossier_id, (dossier, history) in self._there.items():
            if dossier_id not in self._here:
                continue
            held = self._here[dossier_id][1]
            for manifest in history.manifests:
                snapshot_id = manifest.sealed.snapshot_id
                replaced = [name for name in bad if hash_of(name) == hash_of(manifest.names[0])]
                present = any(item.sealed.snapshot_id == snapshot_id for item in held.manifests)
                if present or snapshot_id in held.forgotten or not (replaced or snapshot_id in held.missing):
                    continue
                missing = name_of_missing(dossier_id, snapshot_id)
                name = min(replaced, default=missing)
                self.covered.update((missing, *replaced))
                message = f"Snapshot {snapshot_id.hex()[:8]}, of which the medium has no whole record, is copied here."
                yield Remedy("restore_copy", name, message, partial(self._copy, dossier, manifest, replaced))

    def _copy_keysets(self, dossier: DossierContext) -> int:
        copy_keysets(dossier, self._context)
        return 0

    def _lacks_records(self, dossier: DossierContext) -> bool:
        """Tell whether the twin has records that may explain what is missing here."""
        folder = f"{RECORDS}/{dossier_folder(dossier.id)}"
        own = {hash_of(item.name) for item in self._context.store.list(folder)}
        theirs = {hash_of(item.name) for item in dossier.repository.store.list(folder)}
        return bool(theirs - own) and bool(self._here[dossier.id][1].missing)

    def _copy_records(self, dossier: DossierContext, history: History) -> int:
        copy_records(dossier, history, self._here[dossier.id][1], in_destination(dossier, self._context))
        return 0

    def _copy(self, dossier: DossierContext, manifest: ReadManifest, replaced: Collection[str]) -> int:
        tally = CopyTally(meter=self._meter, mode=CopyMode.TWIN, created=False, dry_run=False)
        copy_to_twin([dossier], {dossier.id: [manifest]}, self._context, tally)
        if not tally.copied:
            why = "; ".join(problem.message for problem in tally.problems) or "it is not whole there either"
            raise DamagedObjectError(f"The twin could not give it: {why}", code="damaged_blob")
        remove(self._context, replaced)
        return tally.added_bytes


def name_of_missing(dossier_id: DossierId, snapshot_id: SnapshotId) -> str:
    """Return how a snapshot is named of which nothing is there."""
    return f"{SNAPSHOTS}/{dossier_folder(dossier_id)}/{b32(snapshot_id)}"
