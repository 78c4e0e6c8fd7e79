"""Manifests: the stored record of a snapshot, in parts that different keys open.

Here: `Manifest` (what a writer puts in), `SealedManifest` (what decoding gives, with a method for each part),
`ManifestFacts` and `ManifestText`. Not here: whose signature counts, rosters compared with what is there, and the
copy in `ok/`, which has the same bytes.

Rules (docs/format/08-manifest.md): counts and times open with the maintenance key, names with the dossier's key, the
root with the secret alone. Decoding believes nothing: the station's key is named inside the sealed facts, so a reader
opens those, finds the key in the keyset, and only then verifies.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from ..crypto import hybrid
from ..crypto.keys import DossierKeys, MaintenanceKeys
from ..crypto.sealing import seal, unseal
from ..crypto.signing import SigningKey
from ..limits import PROBLEMS_KEPT
from ..types import (
    BlobId,
    DossierId,
    MediumId,
    PlainHash,
    Problem,
    RepositoryId,
    SnapshotId,
    SnapshotKind,
    StationId,
)
from .envelope import Envelope, Kind
from .packing import (
    I64_MAX,
    I64_MIN,
    U32_MAX,
    Fields,
    as_bytes,
    as_list,
    as_text,
    decode,
    encode,
    join_ids,
    refuse,
    unsupported,
)
from .sealed import need_epoch
from .signed import SignedObject, decode_signed, encode_signed

ZONE_MAX_MINUTES: Final = 24 * 60  # no zone is further from UTC than 14 hours; a day leaves room for new ones
_MANIFEST: Final = "manifest"
_ROOT_INFO: Final = b"snapstore 2026-11 v1 manifest root"
_FACTS_FIELD: Final = 4
_TEXT_FIELD: Final = 5
_U32: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFacts:
    """What the maintenance key opens. `roster` is sorted and holds the snapshot itself."""

    number: int
    time_ns: int
    """When the snapshot began."""
    zone_minutes: int
    root_id: BlobId
    files: int
    directories: int
    others: int
    total_bytes: int
    added_bytes: int
    kind: SnapshotKind
    medium_id: MediumId
    station_id: StationId
    roster: tuple[SnapshotId, ...]
    duration_ms: int
    problem_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestText:
    """What the dossier's key opens."""

    label: str | None
    host: str
    user: str
    sources: tuple[str, ...]
    problems: tuple[Problem, ...]
    version: str
    excludes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All that goes into a manifest, the root's h excepted."""

    repository_id: RepositoryId
    dossier_id: DossierId
    snapshot_id: SnapshotId
    keyset_generation: int
    facts: ManifestFacts
    text: ManifestText


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedManifest:
    """A decoded manifest: its clear fields, and its parts still closed."""

    repository_id: RepositoryId
    dossier_id: DossierId
    snapshot_id: SnapshotId
    keyset_generation: int
    facts_section: bytes = field(repr=False)
    text_section: bytes = field(repr=False)
    sealed_root: bytes = field(repr=False)
    signed: SignedObject = field(repr=False)

    @property
    def envelope(self) -> Envelope:
        """The clear envelope; its epoch says which keys open the rest."""
        return self.signed.envelope

    @property
    def epoch(self) -> int:
        """The epoch of the keys that open it."""
        return self.signed.envelope.epoch

    def verify(self, public_key: bytes) -> bool:
        """Whether the station with that key signed it."""
        return self.signed.verify(public_key)

    def open_maintenance(self, maintenance: MaintenanceKeys) -> ManifestFacts:
        """The facts. The keys must be those of `epoch`."""
        need_epoch(maintenance.epoch, self.epoch, _MANIFEST)
        facts = _decode_facts(unseal(maintenance.manifest, self.facts_section, self._data(_FACTS_FIELD)))
        if self.snapshot_id not in facts.roster:
            refuse(_MANIFEST, "roster")
        return facts

    def open_text(self, keys: DossierKeys) -> ManifestText:
        """The names. The keys must be those of `epoch`."""
        need_epoch(keys.epoch, self.epoch, _MANIFEST)
        return _decode_text(unseal(keys.text, self.text_section, self._data(_TEXT_FIELD)))

    def open_root(self, private: hybrid.HybridPrivateKey) -> PlainHash:
        """The h of the root's tree blob, with the secret's private half."""
        info = _root_info(self.signed.envelope, self.repository_id, self.dossier_id, self.snapshot_id)
        return PlainHash(as_bytes(private.decrypt(self.sealed_root, info), _MANIFEST, "root", 32))

    def _data(self, number: int) -> bytes:
        return _section_data(self.signed.envelope, self.repository_id, self.dossier_id, self.snapshot_id, number)


def _section_data(
    envelope: Envelope, repository_id: RepositoryId, dossier_id: DossierId, snapshot_id: SnapshotId, number: int
) -> bytes:
    return repository_id + envelope.encode() + dossier_id + snapshot_id + _U32.pack(number)


def _root_info(
    envelope: Envelope, repository_id: RepositoryId, dossier_id: DossierId, snapshot_id: SnapshotId
) -> bytes:
    return _ROOT_INFO + envelope.encode() + repository_id + dossier_id + snapshot_id


def encode_manifest(
    manifest: Manifest,
    *,
    keys: DossierKeys,
    maintenance: MaintenanceKeys,
    hpke_public: bytes,
    root_hash: PlainHash,
    station_key: SigningKey,
) -> bytes:
    """A whole manifest; `keys` and `maintenance` are of one epoch."""
    need_epoch(maintenance.epoch, keys.epoch, _MANIFEST)
    envelope = Envelope.of(Kind.MANIFEST, keys.epoch)
    ids = (manifest.repository_id, manifest.dossier_id, manifest.snapshot_id)
    facts = encode(_facts_map(manifest.facts))
    text = encode(_text_map(manifest.text))
    body = {
        0: manifest.repository_id,
        1: manifest.dossier_id,
        2: manifest.snapshot_id,
        3: manifest.keyset_generation,
        4: seal(maintenance.manifest, facts, _section_data(envelope, *ids, _FACTS_FIELD)),
        5: seal(keys.text, text, _section_data(envelope, *ids, _TEXT_FIELD)),
        6: hybrid.encrypt(hpke_public, root_hash, _root_info(envelope, *ids)),
    }
    return encode_signed(envelope, encode(body), station_key)


def decode_manifest(data: bytes) -> SealedManifest:
    """The clear fields of a manifest, nothing verified."""
    signed = decode_signed(Kind.MANIFEST, data)
    fields = Fields(decode(signed.body, what=_MANIFEST), _MANIFEST, range(7))
    return SealedManifest(
        repository_id=RepositoryId(fields.octets(0, 16)),
        dossier_id=DossierId(fields.octets(1, 16)),
        snapshot_id=SnapshotId(fields.octets(2, 16)),
        keyset_generation=fields.integer(3, 1, U32_MAX),
        facts_section=fields.octets(4),
        text_section=fields.octets(5),
        sealed_root=fields.octets(6),
        signed=signed,
    )


def _facts_map(facts: ManifestFacts) -> dict[int, object]:
    return {
        0: facts.number,
        1: facts.time_ns,
        2: facts.zone_minutes,
        3: facts.root_id,
        4: facts.files,
        5: facts.directories,
        6: facts.others,
        7: facts.total_bytes,
        8: facts.added_bytes,
        9: facts.kind.value,
        10: facts.medium_id,
        11: facts.station_id,
        12: join_ids(facts.roster),
        13: facts.duration_ms,
        14: facts.problem_count,
    }


def _decode_facts(data: bytes) -> ManifestFacts:
    fields = Fields(decode(data, what=_MANIFEST), _MANIFEST, range(15))
    kind = fields.integer(9)
    if kind not in _SNAPSHOT_KINDS:
        raise unsupported(_MANIFEST, f"is of snapshot kind {kind}, which this version does not know")
    return ManifestFacts(
        number=fields.integer(0, 1),
        time_ns=fields.integer(1, I64_MIN, I64_MAX),
        zone_minutes=fields.integer(2, -ZONE_MAX_MINUTES, ZONE_MAX_MINUTES),
        root_id=BlobId(fields.octets(3, 32)),
        files=fields.integer(4),
        directories=fields.integer(5),
        others=fields.integer(6),
        total_bytes=fields.integer(7),
        added_bytes=fields.integer(8),
        kind=SnapshotKind(kind),
        medium_id=MediumId(fields.octets(10, 16)),
        station_id=StationId(fields.octets(11, 16)),
        roster=tuple(SnapshotId(item) for item in fields.ids(12)),
        duration_ms=fields.integer(13),
        problem_count=fields.integer(14),
    )


_SNAPSHOT_KINDS: Final = frozenset(kind.value for kind in SnapshotKind)


def _text_map(text: ManifestText) -> dict[int, object]:
    problems = [
        [_path_bytes(item.path), _clean(item.code), _clean(item.message)] for item in text.problems[:PROBLEMS_KEPT]
    ]
    label: dict[int, object] = {} if text.label is None else {0: _clean(text.label)}
    return label | {
        1: _clean(text.host),
        2: _clean(text.user),
        3: [_clean(source) for source in text.sources],
        4: problems,
        5: _clean(text.version),
        6: [_clean(pattern) for pattern in text.excludes],
    }


def _clean(text: str) -> str:
    """Text without lone surrogates: a source's undecodable name must not stop a snapshot at its last step."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _decode_text(data: bytes) -> ManifestText:
    fields = Fields(decode(data, what=_MANIFEST), _MANIFEST, range(7))
    rows = fields.items(4)
    if len(rows) > PROBLEMS_KEPT:
        refuse(_MANIFEST, "problems")
    return ManifestText(
        label=fields.text(0) if 0 in fields else None,
        host=fields.text(1),
        user=fields.text(2),
        sources=fields.texts(3),
        problems=tuple(_decode_problem(row) for row in rows),
        version=fields.text(5),
        excludes=fields.texts(6),
    )


def _decode_problem(row: object) -> Problem:
    name = "problems"
    path, code, message = as_list(row, _MANIFEST, name, 3)
    return Problem(
        code=as_text(code, _MANIFEST, name),
        path=as_bytes(path, _MANIFEST, name).decode("utf-8", "surrogateescape"),
        message=as_text(message, _MANIFEST, name),
    )


def _path_bytes(path: str) -> bytes:
    """A path's own bytes: undecodable ones of POSIX as they were, lone surrogates of Windows as three bytes."""
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogatepass")
