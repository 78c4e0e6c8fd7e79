"""Signed records of what was done to a dossier: writing and reading.

Here: putting one, and reading which snapshots were forgotten. Not here: when records are due.

Rules: a record that is damaged or signed by nobody known counts for nothing and is reported.
"""

from __future__ import annotations

import time

from ..crypto.derivation import digest
from ..errors import DamageError, ObjectNotFoundError
from ..format.names import dossier_folder, dossier_path, name_matches, new_name
from ..format.record import RecordFacts, RecordType, decode_record, encode_record
from ..types import Problem, SnapshotId
from .clock import zone_minutes
from .context import DossierContext


def put_record(dossier: DossierContext, kind: RecordType, *, mandatory: bool, payload: dict[int, object]) -> None:
    """Sign a record of type `kind` as this station and store it."""
    context = dossier.repository
    maintenance = context.newest_maintenance()
    facts = RecordFacts(
        station_id=context.state.station.id, time_ns=time.time_ns(), zone_minutes=zone_minutes(), payload=payload
    )
    data = encode_record(
        repository_id=context.config.repository_id,
        dossier_id=dossier.id,
        type=kind,
        mandatory=mandatory,
        facts=facts,
        maintenance=maintenance,
        station_key=context.state.station.signing,
    )
    context.store.put(dossier_path("records", dossier.id, new_name(digest(data))), data)


def forgotten_snapshots(
    dossier: DossierContext, stations: dict[bytes, bytes], problems: list[Problem]
) -> set[SnapshotId]:
    """Return the snapshots that signed records say were forgotten. `stations` maps id to public key."""
    context = dossier.repository
    maintenance = context.maintenance()
    forgotten: set[SnapshotId] = set()
    for item in context.store.list(f"records/{dossier_folder(dossier.id)}"):
        try:
            data = context.store.get(item.name)
            if not name_matches(item.name.rpartition("/")[2], digest(data)):
                raise DamageError(f"{item.name} does not have the bytes it was stored with.")
            sealed = decode_record(data)
            if sealed.type != RecordType.FORGET:
                continue
            facts = sealed.open(maintenance[sealed.envelope.epoch])
            public_key = stations.get(facts.station_id)
            if public_key is None or not sealed.verify(public_key):
                raise DamageError(f"{item.name} is signed by no station of this dossier.", code="unknown_signer")
            ids = facts.payload.get(0, b"")
            if isinstance(ids, bytes):
                forgotten.update(SnapshotId(ids[at : at + 16]) for at in range(0, len(ids), 16))
        except ObjectNotFoundError:
            continue
        except (DamageError, KeyError) as error:
            code = error.code if isinstance(error, DamageError) else "newer_keys"
            problems.append(Problem(code=code, path=item.name, message=str(error)))
    return forgotten
