"""What a person names as lost for good.

Here: the remedies of `--quarantine`. Not here: what such records mean (`operations.quarantine`).

Rules: only what cannot be read is set aside, and only by name. A manifest stays where it is: a second copy may heal it
later, and a quarantine ends where an object can be read again. A condemn object is deleted after the record was put:
writers stop at it too. A snapshot that is missing altogether is forgotten, by a signed record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from ...errors import InputError, NotEnrolledError
from ...format.names import CONDEMN, DOSSIERS, b32
from ...format.record import RecordType, ids_payload
from ...types import DossierId, SnapshotId
from ..context import DossierContext, RepositoryContext
from ..history import History
from ..keysets import read_keysets
from ..quarantine import CAN_BE_SET_ASIDE, put_quarantine
from ..records import put_record
from .remedy import Remedy
from .survey import Survey
from .twins import name_of_missing
from .vital import remove

Histories = Mapping[DossierId, tuple[DossierContext, History]]


def remedies_for_setting_aside(
    context: RepositoryContext, survey: Survey, here: Histories, names: Sequence[str]
) -> list[Remedy]:
    """Return a remedy for each name. Raises InputError for one that can be read, or is none of what may be named."""
    missing = {
        name_of_missing(dossier_id, one): (dossier, one)
        for dossier_id, (dossier, history) in here.items()
        for one in history.missing
    }
    remedies = []
    for name in dict.fromkeys(names):
        if name in missing:
            dossier, snapshot_id = missing[name]
            message = f"Snapshot {snapshot_id.hex()[:8]} is missing and counts as forgotten from now on."
            remedies.append(Remedy("quarantine", name, message, partial(_forget, dossier, snapshot_id)))
        elif name in without_keyset(context, survey):
            message = f"{name} holds no keyset that can be read. Its snapshots stay; no prune stops at them any more."
            remedies.append(Remedy("quarantine", name, message, partial(_set_aside, context, here, name)))
        elif name in survey.bad and name.split("/")[0] in CAN_BE_SET_ASIDE:
            message = f"{name} cannot be read and counts as absent from now on."
            if name.startswith(f"{CONDEMN}/"):
                message += " It is deleted. No prune may be running on any computer while this is done."
            remedies.append(Remedy("quarantine", name, message, partial(_set_aside, context, here, name)))
        else:
            raise InputError(
                f"{name} cannot be set aside: it is not there, or whole, or not of {', '.join(CAN_BE_SET_ASIDE)}.",
                code="not_unreadable",
            )
    return remedies


def without_keyset(context: RepositoryContext, survey: Survey) -> set[str]:
    """Return the folders of dossiers that have snapshots and no keyset that is whole."""
    held = {f"{DOSSIERS}/{b32(dossier_id)}" for dossier_id in read_keysets(context)}
    return {f"{DOSSIERS}/{name.split('/')[1]}" for name in survey.roots} - held


def _set_aside(context: RepositoryContext, here: Histories, name: str) -> int:
    put_quarantine([dossier for dossier, _ in here.values() if dossier.pin.keys], [name])
    if name.startswith(f"{CONDEMN}/"):
        remove(context, [name])
    return 0


def _forget(dossier: DossierContext, snapshot_id: SnapshotId) -> int:
    if not dossier.pin.keys:
        raise NotEnrolledError("The snapshot is of a dossier in which this station is not enrolled.")
    put_record(dossier, RecordType.FORGET, mandatory=True, payload=ids_payload([snapshot_id]))
    return 0
