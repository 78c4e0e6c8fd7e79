"""Reading the manifests of a dossier: which snapshots there are, which are whole, and which were taken away.

Here: reading, verifying, ordering, rosters. Not here: the content of snapshots.

Rules: a manifest counts only if a station signed it whose key the keyset certifies, and, for a revoked station, only up to
its last number. What does not count is reported, never dropped in silence. The copy in ok/ stands in for a manifest that is
gone or damaged. A manifest is confirmed if its ok copy is listed; both names begin with the hash of the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..crypto.derivation import digest
from ..errors import DamagedObjectError, DamageError, ObjectNotFoundError, TamperedError, UnsupportedFormatError
from ..format.keyset import StationRecord
from ..format.manifest import ManifestFacts, ManifestText, SealedManifest, decode_manifest
from ..format.names import dossier_folder, name_matches
from ..station.identity import station_id
from ..types import HistoryReview, Problem, Snapshot, SnapshotId, SnapshotKind
from .clock import time_of
from .context import DossierContext
from .keysets import read_keyset
from .records import forgotten_snapshots

_DIGEST_CHARS = 26


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """A manifest that counts, opened as far as this station's keys go."""

    names: tuple[str, ...]
    """Its full names in snapshots/ and ok/."""
    sealed: SealedManifest
    facts: ManifestFacts
    text: ManifestText | None
    confirmed: bool
    station: str | None


@dataclass(slots=True)
class History:
    """All manifests of a dossier that count, newest first, and what was noticed."""

    manifests: list[ReadManifest] = field(default_factory=list)
    missing: list[SnapshotId] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Signers:
    records: dict[bytes, StationRecord]

    @classmethod
    def of(cls, records: Iterable[StationRecord]) -> _Signers:
        return cls({station_id(item.public_key): item for item in records})

    def public_keys(self) -> dict[bytes, bytes]:
        return {key: item.public_key for key, item in self.records.items()}

    def check(self, sealed: SealedManifest, facts: ManifestFacts, name: str) -> StationRecord:
        """Return the signer's record. TamperedError if the signature does not count."""
        record = self.records.get(facts.station_id)
        if record is None or not sealed.verify(record.public_key):
            raise TamperedError(f"{name} is signed by no station of this dossier.", code="unknown_signer")
        if record.last_number is not None and facts.number > record.last_number:
            raise TamperedError(f"{name} was written by a station after it was revoked.", code="revoked_signer")
        return record


def read_history(dossier: DossierContext) -> History:
    """Read every manifest of the dossier.

    Raises StoreError if a listing fails, TamperedError or DamagedObjectError if the keyset cannot be used.
    """
    context = dossier.repository
    keyset = read_keyset(context, dossier.id).keyset
    keys = next((item for item in dossier.keys() if item.epoch == keyset.epoch), dossier.keys()[0])
    signers = _Signers.of(keyset.stations(context.catalogue_keys(keyset.epoch), keys))
    history = History()
    if keyset.generation < dossier.pin.generation:
        message = "The keys on this medium are older than what this station has seen; it may be an old copy."
        history.problems.append(Problem(code="older_keyset", path=dossier.pin.name, message=message))
    for digest_part, names in _listed(dossier).items():
        manifest = _read(dossier, digest_part, names, signers, history.problems)
        if manifest is not None:
            history.manifests.append(manifest)
    history.manifests.sort(key=lambda item: (item.facts.number, item.facts.time_ns, item.sealed.snapshot_id))
    history.manifests.reverse()
    forgotten = forgotten_snapshots(dossier, signers.public_keys(), history.problems)
    history.missing = _missing(history.manifests, forgotten, context.config.medium_id)
    return history


def review_history(dossier: DossierContext) -> HistoryReview:
    """Return the history as callers see it."""
    history = read_history(dossier)
    return HistoryReview(
        snapshots=tuple(snapshot_of(item) for item in history.manifests),
        missing=tuple(history.missing),
        problems=tuple(history.problems),
    )


def snapshot_of(manifest: ReadManifest) -> Snapshot:
    """Return the record that callers see."""
    facts, text = manifest.facts, manifest.text
    return Snapshot(
        id=manifest.sealed.snapshot_id,
        number=facts.number,
        time=time_of(facts.time_ns),
        kind=SnapshotKind(facts.kind),
        confirmed=manifest.confirmed,
        files=facts.files,
        directories=facts.directories,
        others=facts.others,
        total_bytes=facts.total_bytes,
        added_bytes=facts.added_bytes,
        problem_count=facts.problem_count,
        duration_seconds=facts.duration_ms / 1000,
        station=manifest.station,
        label=text.label if text else None,
        host=text.host if text else None,
        user=text.user if text else None,
        sources=text.sources if text else (),
        excludes=text.excludes if text else (),
        problems=text.problems if text else (),
    )


def _listed(dossier: DossierContext) -> dict[str, list[str]]:
    """Return the names of manifests and ok copies, by the hash of their bytes. ok/ first: see the order of a forget."""
    folder = dossier_folder(dossier.id)
    listed: dict[str, list[str]] = {}
    for prefix in ("ok", "snapshots"):
        for item in dossier.repository.store.list(f"{prefix}/{folder}"):
            listed.setdefault(item.name.rpartition("/")[2][:_DIGEST_CHARS], []).append(item.name)
    return listed


def _read(
    dossier: DossierContext, digest_part: str, names: list[str], signers: _Signers, problems: list[Problem]
) -> ReadManifest | None:
    failure: DamageError | UnsupportedFormatError | None = None
    names = sorted(names, reverse=True)  # snapshots/ before ok/
    for name in names:
        try:
            data = dossier.repository.store.get(name)
            if not name_matches(name.rpartition("/")[2], digest(data)):
                raise DamagedObjectError(f"{name} does not have the bytes it was stored with.", object_name=name)
            manifest = _open(dossier, data, name, signers)
            confirmed = any(item.startswith("ok/") for item in names)
            return ReadManifest(tuple(names), manifest[0], manifest[1], manifest[2], confirmed, manifest[3])
        except ObjectNotFoundError:
            continue
        except (DamageError, UnsupportedFormatError) as error:
            failure = failure or error
            problems.append(Problem(code=error.code, path=name, message=str(error)))
    return None


def _open(
    dossier: DossierContext, data: bytes, name: str, signers: _Signers
) -> tuple[SealedManifest, ManifestFacts, ManifestText | None, str | None]:
    context = dossier.repository
    sealed = decode_manifest(data)
    if sealed.repository_id != context.config.repository_id or sealed.dossier_id != dossier.id:
        raise TamperedError(f"{name} belongs to another repository or dossier.", object_name=name)
    facts = sealed.open_maintenance(context.catalogue_keys(sealed.envelope.epoch))
    record = signers.check(sealed, facts, name)
    keys = next((item for item in dossier.keys() if item.epoch == sealed.envelope.epoch), None)
    return sealed, facts, None if keys is None else sealed.open_text(keys), record.name


def _missing(manifests: list[ReadManifest], forgotten: set[SnapshotId], medium_id: bytes) -> list[SnapshotId]:
    """Return what the newest roster of this medium names and neither the store nor a forget record has."""
    present = {item.sealed.snapshot_id for item in manifests}
    for manifest in manifests:
        if manifest.facts.medium_id == medium_id and manifest.confirmed:
            return [item for item in manifest.facts.roster if item not in present and item not in forgotten]
    return []
