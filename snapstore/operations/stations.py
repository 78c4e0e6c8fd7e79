"""The stations of a dossier, and recovery codes: changes of the keyset that need its secret.

Here: listing, revoking, adding a recovery code. Not here: enrolment, which happens when a secret is typed (`dossiers`).

Rules: a revoked station stays on the list with the number of its last accepted snapshot, so that what it wrote before
stays valid and what it writes after is reported."""

from __future__ import annotations

import time
from dataclasses import replace

from ..crypto.secrets import new_recovery_code, normalise_recovery_code
from ..errors import InputError, NotEnrolledError, NotFoundError, StationRevokedError
from ..format.keyset import SlotKind, StationRecord, make_slot, station_id
from ..types import StationId, StationInfo
from .clock import time_of
from .context import DossierContext
from .deriving import derive_alone
from .dossiers import keep
from .history import read_history
from .keysets import (
    OpenedKeyset,
    next_generation,
    publish,
    read_all_of,
    refuse_older,
    reopen,
    slots_of,
    stations_in,
    stations_of,
)
from .records import confirm_records_of


def list_stations(dossier: DossierContext) -> tuple[StationInfo, ...]:
    """Return the stations of the dossier in order of enrolment."""
    own = dossier.repository.state.station.public_key
    return tuple(_info(record, own) for record in station_records(dossier))


def station_records(dossier: DossierContext) -> tuple[StationRecord, ...]:
    """Return the stations that the keysets on this medium list."""
    return stations_in(dossier.repository, read_all_of(dossier.repository, dossier.id), dossier.epoch_keys())


def check_may_write(dossier: DossierContext) -> None:
    """Raise StationRevokedError or NotEnrolledError if what this station writes would not count."""
    own = dossier.repository.state.station.public_key
    record = next((item for item in station_records(dossier) if item.public_key == own), None)
    if record is None:
        raise NotEnrolledError(
            f"This station is not on the list of the dossier {dossier.pin.name!r} on this medium: its snapshots would "
            "not count. Type the secret once to enrol it here.",
            code="station_not_listed",
        )
    if record.last_number is not None:
        raise StationRevokedError(
            f"This station was revoked from the dossier {dossier.pin.name!r} and may not write to it. "
            "Start with a new state folder and type the secret to enrol anew."
        )


def revoke_station(dossier: DossierContext, station: StationId | str, opened: OpenedKeyset) -> DossierContext:
    """Revoke a station, given by id or by an unambiguous part of its id (hexadecimal) or its name.

    Raises NotFoundError, InputError.
    """
    refuse_older(dossier.repository, opened)
    opened = reopen(dossier.repository, dossier.id, opened.private)
    target = _pick(stations_of(opened), station)
    if target.last_number is not None:
        return keep(dossier.repository, opened)
    wanted = station_id(target.public_key)
    history = read_history(dossier)
    last = max((item.facts.number for item in history.manifests if item.facts.station_id == wanted), default=0)
    now = time.time_ns()

    def revoke(valid: OpenedKeyset) -> bytes | None:
        stations = [
            replace(item, last_number=last, revoked_ns=now)
            if item.public_key == target.public_key and item.last_number is None
            else item
            for item in stations_of(valid)
        ]
        if tuple(stations) == tuple(stations_of(valid)):
            return None
        return next_generation(valid, name=None, stations=stations, created_ns=now)

    confirm_records_of(dossier, target.public_key, {station_id(item.public_key): item for item in stations_of(opened)})
    return keep(dossier.repository, publish(dossier.repository, opened, revoke))


def add_recovery_code(dossier: DossierContext, opened: OpenedKeyset) -> str:
    """Add a slot for a new recovery code and return the code. It is kept nowhere else."""
    context = dossier.repository
    refuse_older(context, opened)
    parameters = context.config.kdf[-1]
    code = new_recovery_code()
    master = derive_alone(normalise_recovery_code(code), parameters)
    slot = make_slot(
        SlotKind.RECOVERY, parameters.generation, master, opened.private, context.config.repository_id, dossier.id
    )

    def add(valid: OpenedKeyset) -> bytes | None:
        if any(item.slot_id == slot.slot_id for item in slots_of(valid)):
            return None
        stations = stations_of(valid)
        return next_generation(valid, name=None, stations=stations, created_ns=time.time_ns(), slots=(slot,))

    keep(context, publish(context, opened, add))
    return code


def _info(record: StationRecord, own: bytes) -> StationInfo:
    return StationInfo(
        id=station_id(record.public_key),
        name=record.name,
        enrolled=time_of(record.enrolled_ns),
        revoked=None if record.revoked_ns is None else time_of(record.revoked_ns),
        last_number=record.last_number,
        this=record.public_key == own,
    )


def _pick(stations: tuple[StationRecord, ...], wanted: StationId | str) -> StationRecord:
    if isinstance(wanted, bytes):
        found = [item for item in stations if station_id(item.public_key) == wanted]
    else:
        found = [
            item
            for item in stations
            if item.name == wanted or (len(wanted) >= 4 and station_id(item.public_key).hex().startswith(wanted))
        ]
    if not found:
        raise NotFoundError("No station of this dossier has that id or name. List the stations to see them.")
    if len(found) > 1:
        raise InputError("Several stations have that name. Give more digits of the id.", code="ambiguous")
    return found[0]
