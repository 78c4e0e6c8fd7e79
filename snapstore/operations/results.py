"""Keeping the date and the result of a check or a drill.

Here: `put_result`. Not here: reading them (`records`), checking (`check`) and rehearsing (`drill`).

Rules: only a station in good standing writes one, and nothing depends on it. A station keeps its newest record of each
kind: the older ones say nothing that is needed, and a record a day would make every later look longer.
"""

from __future__ import annotations

import contextlib

from ..errors import ObjectNotFoundError
from ..format.record import RecordType
from .context import DossierContext
from .history import History
from .records import put_record, signed_records


def put_result(dossier: DossierContext, history: History, kind: RecordType, *, amount: int, whole: bool) -> bool:
    """Sign what a check or drill found, in place of what this station signed before. False if it may not write.

    `amount` is bytes that a check read, or files that a drill restored. Raises StoreError."""
    context = dossier.repository
    station = history.stations.get(context.state.station.id)
    if station is None or station.last_number is not None or not dossier.pin.keys:
        return False
    older = [
        record.name
        for record in signed_records(dossier, (kind,), history.stations, [])
        if record.signer.public_key == station.public_key
    ]
    put_record(dossier, kind, mandatory=False, payload={0: amount, 1: whole})
    for name in older:
        with contextlib.suppress(ObjectNotFoundError):
            context.store.delete(name)
    return True
