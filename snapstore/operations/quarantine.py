"""Objects that nobody can read, and that a person has decided to go on without.

Here: putting a quarantine record, and which objects such records name. Not here: whether an object is unreadable
(`operations.repair`), what pruning makes of it (`operations.prune`).

Rules (docs/format/09-records.md): a manifest, its copy or a record is set aside by a record of its own dossier, a
condemn object by one of any dossier. A quarantine speaks of one medium and is not copied; a record of a revoked station
counts for nothing. A quarantined object counts as one that is not there as long as it cannot be read; one that can be
read counts as ever, so that nobody takes a good snapshot away by naming it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from ..errors import InputError, NotEnrolledError
from ..format.keyset import StationRecord
from ..format.names import CONDEMN, OK, RECORDS, SNAPSHOTS
from ..format.record import RecordType
from ..types import Problem
from .context import DossierContext
from .records import may_be_set_aside, put_record, set_aside_by, signed_records

CAN_BE_SET_ASIDE: Final = (SNAPSHOTS, OK, RECORDS, CONDEMN)
"""Folders of objects without which no prune can know what is needed."""


def read_quarantined(
    dossier: DossierContext, stations: Mapping[bytes, StationRecord], problems: list[Problem]
) -> set[str]:
    """Return the full names that records of the dossier set aside. `stations` is by id, as `signed_records` has it."""
    named: set[str] = set()
    for record in signed_records(dossier, (RecordType.QUARANTINE,), stations, problems):
        if record.signer.last_number is None:
            named.update(set_aside_by(record))
    return named


def put_quarantine(dossiers: Sequence[DossierContext], names: Collection[str]) -> None:
    """Sign, as this station, that these objects are set aside. `dossiers` are those that it is enrolled in.

    Raises InputError for a name that no record can be about, NotEnrolledError."""
    waiting = set(names)
    for dossier in dossiers:
        mine = sorted(name for name in waiting if may_be_set_aside(name, dossier.id))
        if mine:
            put_record(dossier, RecordType.QUARANTINE, mandatory=True, payload={0: mine})
            waiting.difference_update(mine)
    for name in sorted(waiting):
        if name.split("/")[0] not in CAN_BE_SET_ASIDE:
            raise InputError(f"{name} cannot be set aside: that is for {', '.join(CAN_BE_SET_ASIDE)}.")
        raise NotEnrolledError(
            f"{name} belongs to a dossier in which this station is not enrolled. Unlock it with its secret first."
        )
