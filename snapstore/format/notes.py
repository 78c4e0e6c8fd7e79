"""Condemn objects and session notes.

Here: both as records and as sealed objects. Not here: what a condemned pack means to writers and pruners
(docs/format/11-protocol.md).

Rules (docs/format/09-records.md): a condemn object names packs, without their folders, in rising order and at least
one. A session note pins nothing: whoever finds an old one may delete it, so nothing may ever rest on one being there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..crypto.keys import MaintenanceKeys
from ..types import DossierId, RepositoryId, StationId
from .envelope import Kind
from .names import valid_name
from .packing import I64_MAX, I64_MIN, Fields, decode, encode, refuse
from .sealed import seal_object, unseal_object

_CONDEMN: Final = "condemn object"
_SESSION: Final = "session note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condemn:
    """Packs that a pruner is about to delete."""

    station_id: StationId
    time_ns: int
    packs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionNote:
    """A writer at work, or one that died."""

    station_id: StationId
    dossier_id: DossierId
    start_ns: int


def encode_condemn(
    keys: MaintenanceKeys,
    repository_id: RepositoryId,
    condemn: Condemn,
    *,
    object_id: bytes | None = None,
    nonce: bytes | None = None,
) -> bytes:
    """A whole condemn object."""
    plaintext = encode({0: condemn.station_id, 1: condemn.time_ns, 2: sorted(set(condemn.packs))})
    return seal_object(
        Kind.CONDEMN, keys.condemn, repository_id, keys.epoch, plaintext, object_id=object_id, nonce=nonce
    )


def decode_condemn(keys: MaintenanceKeys, repository_id: RepositoryId, data: bytes) -> Condemn:
    """The condemn object in `data`."""
    plaintext = unseal_object(Kind.CONDEMN, keys.condemn, repository_id, data)
    fields = Fields(decode(plaintext, what=_CONDEMN), _CONDEMN, range(3))
    packs = fields.texts(2)
    if not packs or list(packs) != sorted(set(packs)) or not all(valid_name(name) for name in packs):
        refuse(_CONDEMN, "packs")
    return Condemn(station_id=StationId(fields.octets(0, 16)), time_ns=fields.integer(1, I64_MIN, I64_MAX), packs=packs)


def encode_session(
    keys: MaintenanceKeys,
    repository_id: RepositoryId,
    note: SessionNote,
    *,
    object_id: bytes | None = None,
    nonce: bytes | None = None,
) -> bytes:
    """A whole session note."""
    plaintext = encode({0: note.station_id, 1: note.dossier_id, 2: note.start_ns})
    return seal_object(
        Kind.SESSION, keys.session, repository_id, keys.epoch, plaintext, object_id=object_id, nonce=nonce
    )


def decode_session(keys: MaintenanceKeys, repository_id: RepositoryId, data: bytes) -> SessionNote:
    """The session note in `data`."""
    plaintext = unseal_object(Kind.SESSION, keys.session, repository_id, data)
    fields = Fields(decode(plaintext, what=_SESSION), _SESSION, range(3))
    return SessionNote(
        station_id=StationId(fields.octets(0, 16)),
        dossier_id=DossierId(fields.octets(1, 16)),
        start_ns=fields.integer(2, I64_MIN, I64_MAX),
    )
