"""Keysets, manifests, records and rosters of every dossier, also of those that this station is not enrolled in.

Here: what they say together, by the maintenance key. Not here: single objects (`objects`).

Rules: a snapshot that some witness names (a roster, a record of a copy, what this station saw last), that is absent and
that no signed record explains, was taken away. What can be seen of nothing any more is not found: a record which no
witness names, an older keyset, a snapshot that was taken and deleted before anybody named it. An unfinished snapshot,
forget or removal is no damage.
"""

from __future__ import annotations

from ...errors import DamageError, NotEnrolledError
from ...format.names import DOSSIERS, b32
from ...format.record import RecordType
from ...types import DossierId, Problem
from ..context import DossierContext, RepositoryContext
from ..copy.sealed import sealed_dossiers
from ..history import History, ReadManifest, read_history
from ..records import set_aside_by, signed_records
from .found import CheckedDossier, Structure
from .report import Findings


def look_at_dossiers(context: RepositoryContext, structure: Structure, findings: Findings) -> None:
    """Read the history of every dossier. Raises StoreError."""
    problems: list[Problem] = []
    found: set[DossierId] = set()
    for dossier in sealed_dossiers(context, problems):
        found.add(dossier.id)
        try:
            history = read_history(dossier)
        except NotEnrolledError as error:
            findings.remark(error.code, _folder(dossier.id), str(error))
            continue
        except DamageError as error:
            findings.damage(error.code, error.object_name or _folder(dossier.id), str(error))
            _note_keyless(structure, dossier.id)
            continue
        findings.take(history.problems)
        structure.dossiers.append(CheckedDossier(context=dossier, history=history))
        _look_at_records(dossier, history, structure, findings)
        _look_at_snapshots(structure.dossiers[-1], structure, findings)
    findings.take(problems)
    for dossier_id in sorted(structure.seen.dossiers() | _remembered(context)):
        if dossier_id not in found:
            _look_at_keyless(structure, dossier_id, findings)


def _look_at_snapshots(dossier: CheckedDossier, structure: Structure, findings: Findings) -> None:
    history = dossier.history
    for snapshot_id in history.missing:
        message = (
            f"The snapshot {snapshot_id.hex()} of the dossier {dossier.name} should be there, is not, and nobody "
            "forgot it: it was taken away."
        )
        findings.damage("snapshot_missing", "", message)
    for manifest in history.manifests:
        _look_at_copies(manifest, history, findings)
    for item in structure.seen.manifests:
        if item.dossier_id == dossier.context.id and item.snapshot_id in history.forgotten:
            message = f"{item.name} is of a snapshot that was forgotten; the next prune removes it."
            findings.remark("forget_unfinished", item.name, message)


def _look_at_copies(manifest: ReadManifest, history: History, findings: Findings) -> None:
    name = manifest.names[0]
    if not manifest.confirmed:
        if manifest.sealed.snapshot_id in history.expected:
            findings.damage("copy_missing", name, f"{name} was confirmed once, and its copy in ok/ is gone.")
        else:
            findings.remark("unconfirmed_snapshot", name, f"{name} is of a run that was not finished, or is under way.")
    elif not any(item.startswith("snapshots/") for item in manifest.names):
        findings.damage("copy_missing", name, f"{name} stands alone: the manifest in snapshots/ is gone.")


def _look_at_records(dossier: DossierContext, history: History, structure: Structure, findings: Findings) -> None:
    problems: list[Problem] = []
    for record in signed_records(dossier, None, history.stations, problems):
        if record.type == RecordType.QUARANTINE and record.signer.last_number is None:
            structure.set_aside.update(set_aside_by(record))
    findings.take(problems)


def _look_at_keyless(structure: Structure, dossier_id: DossierId, findings: Findings) -> None:
    has_manifests = any(item.dossier_id == dossier_id for item in structure.seen.manifests)
    folder = _folder(dossier_id)
    if dossier_id in structure.seen.removed:
        if has_manifests:
            findings.remark("removal_unfinished", folder, f"The dossier {b32(dossier_id)} was being removed.")
        return
    message = f"No keyset of the dossier {b32(dossier_id)} is whole: no secret can open its snapshots here."
    findings.damage("keyset_missing", folder, message)
    _note_keyless(structure, dossier_id)


def _note_keyless(structure: Structure, dossier_id: DossierId) -> None:
    for item in structure.seen.manifests:
        if item.dossier_id == dossier_id:
            structure.keyless[item.snapshot_id] = (dossier_id, item.time_ns)


def _remembered(context: RepositoryContext) -> set[DossierId]:
    """Return the dossiers of which this station saw a snapshot of its own on this medium."""
    if context.is_clone:
        return set()
    config = context.config
    return {
        dossier_id
        for dossier_id in context.held_keys().dossiers
        if context.state.medium(config.repository_id, config.medium_id, dossier_id).last() is not None
    }


def _folder(dossier_id: DossierId) -> str:
    return f"{DOSSIERS}/{b32(dossier_id)}"
