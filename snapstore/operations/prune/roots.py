"""What counts as a snapshot for whoever deletes, and what stops him.

Here: `read_roots`. Not here: what lies below a root (`operations.reach`).

Rules (docs/format/11-protocol.md): every manifest in snapshots/ or ok/ that opens under the maintenance key is a root,
whoever signed it and whether it is confirmed or not. A prune stops where a manifest or a record cannot be read, where a
mandatory record is of a type that this version does not know, and where a snapshot is absent that rosters name and no
signed forget record explains. What a signed quarantine record names by its full name is passed over; a manifest that
it names and that does open stays a root, of which parts may be missing. ok/ is listed when the list of snapshots/ has
ended, never before or beside it: a snapshot may go from the one to the other meanwhile (design/014). Both come before
records are read: see the order of a forget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ...blobs.lanes import each_side_by_side
from ...crypto.derivation import digest
from ...errors import (
    DamagedObjectError,
    DamageError,
    ObjectNotFoundError,
    PruneRefusedError,
    TamperedError,
    UnsupportedFormatError,
)
from ...format.manifest import decode_manifest
from ...format.names import HASH_DIGITS, b32, dossier_folder, name_matches
from ...format.record import RecordType, decode_record
from ...types import BlobId, DossierId, Problem, SnapshotId
from ..context import RepositoryContext
from ..copy.sealed import sealed_dossiers
from ..history import History, read_history
from ..records import set_aside_by, signed_records

_ADVICE = (
    "Nothing was deleted. See what `snapstore check` says; what cannot be mended, `snapstore repair --quarantine` \
lets a prune pass over."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """One manifest: where its snapshot begins."""

    names: tuple[str, ...]
    """Its full names, in no order."""
    root_id: BlobId
    dossier_id: DossierId
    snapshot_id: SnapshotId
    quarantined: bool


@dataclass(slots=True)
class Roots:
    """All roots as of one look at the store."""

    found: dict[str, Root] = field(default_factory=dict)
    """By the hash that their names begin with."""
    quarantined: set[str] = field(default_factory=set)
    """Full names that signed quarantine records pass over."""
    forgotten: dict[DossierId, set[SnapshotId]] = field(default_factory=dict)
    histories: dict[DossierId, History] = field(default_factory=dict)
    records: set[str] = field(default_factory=set)
    """Records that were read, and do not stop a prune."""
    problems: list[Problem] = field(default_factory=list)

    def leftovers(self) -> list[Root]:
        """Return manifests of which a signed record says that they are forgotten: a forget was interrupted."""
        return [item for item in self.found.values() if item.snapshot_id in self.forgotten.get(item.dossier_id, ())]


def refused(message: str, name: str) -> PruneRefusedError:
    """Return the error that names the object for which nothing is deleted."""
    return PruneRefusedError(f"{message} {_ADVICE}", object_name=name)


def read_roots(context: RepositoryContext, known: Roots | None = None) -> Roots:
    """Read all roots. `known` are those of an earlier look in the same run: objects never change.

    Raises PruneRefusedError, UnsupportedFormatError, NotEnrolledError if keys are newer, StoreError."""
    known = known or Roots()
    roots = Roots()
    listed: dict[str, list[str]] = {}
    for folder in ("snapshots", "ok"):
        for item in context.store.list(folder):
            listed.setdefault(item.name.rpartition("/")[2][:HASH_DIGITS], []).append(item.name)
    missing = _read_dossiers(context, known, roots, listed)
    _check_records(context, known, roots)
    new = [group for group in listed if group not in known.found]
    reads = [partial(_read_root, context, sorted(listed[group]), roots.quarantined) for group in new]
    fresh = dict(zip(new, each_side_by_side(context.store, reads), strict=True))
    for group in listed:
        root = known.found.get(group) or fresh.get(group)
        if root is not None:
            roots.found[group] = root
    unreadable = [names[0].split("/")[1] for group, names in listed.items() if group not in roots.found]
    _refuse_missing(roots, missing, unreadable)
    return roots


def _read_dossiers(
    context: RepositoryContext, known: Roots, roots: Roots, listed: dict[str, list[str]]
) -> dict[DossierId, set[SnapshotId]]:
    """Read every dossier's history; return what is absent without a signed word of it."""
    noticed: list[Problem] = []
    dossiers = sealed_dossiers(context, noticed)
    missing: dict[DossierId, set[SnapshotId]] = {}
    for dossier in dossiers:
        history = read_history(dossier, known.histories.get(dossier.id))
        roots.histories[dossier.id] = history
        roots.forgotten[dossier.id] = history.forgotten
        roots.problems += [item for item in history.problems if item not in noticed]
        wanted = (RecordType.QUARANTINE, RecordType.DOSSIER_REMOVED)
        removed = False
        for record in signed_records(dossier, wanted, history.stations, []):
            if record.signer.last_number is not None:
                continue
            if record.type == RecordType.QUARANTINE:
                roots.quarantined.update(set_aside_by(record))
            else:
                removed = True  # its removal was interrupted, or it came back later
        missing[dossier.id] = set() if removed else set(history.missing)
    roots.problems += noticed
    with_keys = {dossier_folder(dossier.id) for dossier in dossiers}
    for names in listed.values():
        folder = names[0].split("/")[1]
        if folder not in with_keys and f"dossiers/{folder}" not in roots.quarantined:
            raise refused(
                f"There are snapshots of the dossier {folder}, and no keyset of it that is whole.", f"dossiers/{folder}"
            )
    return missing


def _refuse_missing(roots: Roots, missing: dict[DossierId, set[SnapshotId]], unreadable: Sequence[str]) -> None:
    """Raise PruneRefusedError for a snapshot that was taken away.

    `unreadable` are the dossiers of manifests that are passed over: each may be one that is missing."""
    there = {root.snapshot_id for root in roots.found.values()}
    for dossier_id, snapshots in missing.items():
        folder = dossier_folder(dossier_id)
        names = {f"snapshots/{folder}/{b32(item)}": item for item in sorted(snapshots - there)}
        gone = [name for name in names if name not in roots.quarantined]
        if len(gone) > unreadable.count(folder):
            raise refused(
                f"The snapshot {names[gone[0]].hex()} is gone from this medium, and no record says that it was "
                "forgotten.",
                gone[0],
            )


def _check_records(context: RepositoryContext, known: Roots, roots: Roots) -> None:
    """Refuse records that cannot be read, or that must be understood and are not."""
    names = [item.name for item in context.store.list("records")]
    roots.records = known.records.intersection(names)
    new = [name for name in names if name not in roots.records]
    reads = [partial(_check_record, context, name, quarantined=name in roots.quarantined) for name in new]
    for name, _ in zip(new, each_side_by_side(context.store, reads), strict=True):
        roots.records.add(name)


def _check_record(context: RepositoryContext, name: str, *, quarantined: bool) -> None:
    try:
        data = context.store.get(name)
        if not name_matches(name.rpartition("/")[2], digest(data)):
            raise DamagedObjectError(f"{name} does not have the bytes it was stored with.", object_name=name)
        record = decode_record(data)
    except ObjectNotFoundError:
        return
    except (DamageError, UnsupportedFormatError) as error:
        if quarantined:
            return
        if isinstance(error, UnsupportedFormatError):
            raise
        raise refused(f"{name} cannot be read.", name) from error
    if record.blocks and record.repository_id == context.config.repository_id:
        raise UnsupportedFormatError(
            f"{name} is a record that must be understood before anything is deleted, and this version does not. "
            "Update snapstore."
        )


def _read_root(context: RepositoryContext, names: Sequence[str], quarantined: set[str]) -> Root | None:
    """Return the root that the first whole copy gives; None for one that is gone meanwhile, or passed over."""
    failures: list[tuple[str, Exception]] = []
    for name in names:
        try:
            data = context.store.get(name)
            if not name_matches(name.rpartition("/")[2], digest(data)):
                raise DamagedObjectError(f"{name} does not have the bytes it was stored with.", object_name=name)
            sealed = decode_manifest(data)
            if sealed.repository_id != context.config.repository_id:
                raise TamperedError(f"{name} belongs to another repository.", object_name=name)
            facts = sealed.open_maintenance(context.catalogue_keys(sealed.envelope.epoch))
        except ObjectNotFoundError:
            continue
        except (DamageError, UnsupportedFormatError) as error:
            failures.append((name, error))
            continue
        return Root(
            names=tuple(names),
            root_id=facts.root_id,
            dossier_id=sealed.dossier_id,
            snapshot_id=sealed.snapshot_id,
            quarantined=quarantined.issuperset(names),
        )
    for name, failure in failures:
        if name in quarantined:
            continue
        if isinstance(failure, UnsupportedFormatError):
            raise failure
        raise refused(f"{name} cannot be read: {failure}", name) from failure
    return None
