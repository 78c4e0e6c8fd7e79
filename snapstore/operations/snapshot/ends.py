"""What comes before and after taking a snapshot: is there room, and may the medium be unplugged?

Here: `take_snapshot`, which is what callers of this package call. Not here: the snapshot (take.py).

Rule: the store is settled when the last object of the run was put or dropped, so that "may be unplugged" holds.
"""

from __future__ import annotations

from dataclasses import replace

from ...stores.protocol import settled
from ...types import Problem, SnapshotReport
from ..clones import see_medium
from ..context import DossierContext
from ..meter import Meter
from ..reserve import keep_reserve
from . import take
from .request import SnapshotRequest
from .room import check_room


def take_snapshot(dossier: DossierContext, request: SnapshotRequest, meter: Meter) -> SnapshotReport:
    """Save the sources and report the snapshot once it is whole. Raises as `take.take_snapshot`, and StoreFullError."""
    store = dossier.repository.store
    see_medium(dossier.repository)
    check_room(store)
    report = take.take_snapshot(dossier, request, meter)
    keep_reserve(store)  # of media from before there was one
    notices = tuple(Problem(code=code, path=store.url, message=text) for code, text in meter.notices)
    return replace(report, notices=notices, safe_to_unplug=settled(store))
