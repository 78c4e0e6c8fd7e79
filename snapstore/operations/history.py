"""Reading the manifests of a dossier: which snapshots there are, which are whole, and which were taken away.

Here: reading, verifying, ordering, rosters. Not here: the content of snapshots.

Rules: a manifest counts only if a station signed it whose key a keyset certifies, and, for a revoked station, only
up to its last number. What does not count is reported, never dropped in silence. The copy in ok/ stands in for a
manifest that is gone or damaged. A manifest is confirmed if its ok copy is listed; both names begin with the hash of
the same bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..blobs.places import get_from_place
from ..crypto.derivation import digest
from ..errors import DamagedObjectError, DamageError, ObjectNotFoundError, TamperedError, UnsupportedFormatError
from ..format.keyset import StationRecord, station_id
from ..format.manifest import ManifestFacts, ManifestText, SealedManifest, decode_manifest
from ..format.names import dossier_folder, name_matches
from ..format.record import RecordType
from ..stores.cached import warm
from ..stores.protocol import StoredObject
from ..types import HistoryReview, LastResult, MediumId, Problem, Snapshot, SnapshotId, SnapshotKind
from .clock import time_of
from .clones import see_medium
from .context import DossierContext, one_look
from .keysets import read_all_of, stations_in
from .records import SignedRecord, read_records

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
    size: int
    """Bytes of each whole copy."""
    held: bool = False
    """Whether records say that it is to stay."""


@dataclass(slots=True)
class History:
    """All manifests of a dossier that count, newest first, and what was noticed."""

    manifests: list[ReadManifest] = field(default_factory=list)
    missing: list[SnapshotId] = field(default_factory=list)
    expected: list[SnapshotId] = field(default_factory=list)
    """What rosters of this medium and records of copies to it name, and what this station saw whole here last."""
    forgotten: set[SnapshotId] = field(default_factory=set)
    """By a record; but what is held and still there is not forgotten."""
    held: set[SnapshotId] = field(default_factory=set)
    every: list[ReadManifest] = field(default_factory=list)
    """Also further manifests of one snapshot, and those of snapshots that are forgotten: a forget was interrupted."""
    stations: dict[bytes, StationRecord] = field(default_factory=dict)
    """By id, those of the keysets that hold."""
    attested: set[SnapshotId] = field(default_factory=set)
    """Of `expected`, what is written on the medium itself."""
    results: dict[int, SignedRecord] = field(default_factory=dict)
    """What a check and a drill found last, by the type of their records."""
    problems: list[Problem] = field(default_factory=list)

    def confirmed_once(self) -> list[ReadManifest]:
        """Return what is confirmed, oldest first, and what was: a roster names it, and its ok copy was lost since."""
        expected = set(self.expected)
        return [item for item in reversed(self.manifests) if item.confirmed or item.sealed.snapshot_id in expected]


@dataclass(frozen=True, slots=True)
class _Signers:
    records: dict[bytes, StationRecord]

    @classmethod
    def of(cls, records: Iterable[StationRecord]) -> _Signers:
        return cls({station_id(item.public_key): item for item in records})

    def check(self, sealed: SealedManifest, facts: ManifestFacts, name: str) -> StationRecord:
        """Return the signer's record. TamperedError if the signature does not count."""
        record = self.records.get(facts.station_id)
        if record is None or not sealed.verify(record.public_key):
            raise TamperedError(f"{name} is signed by no station of this dossier.", code="unknown_signer")
        if record.last_number is not None and facts.number > record.last_number:
            raise TamperedError(f"{name} was written by a station after it was revoked.", code="revoked_signer")
        return record


def read_history(dossier: DossierContext, known: History | None = None) -> History:
    """Read every manifest of the dossier.

    `known` is what an earlier look of the same operation gave: objects never change, so what it read is not read again.

    Raises StoreError if a listing fails, TamperedError or DamagedObjectError if the keyset cannot be used.
    """
    context = dossier.repository
    history = History()
    keysets = read_all_of(context, dossier.id, history.problems)
    keyset = keysets[0].keyset
    signers = _Signers.of(stations_in(context, keysets, dossier.epoch_keys()))
    if keyset.generation < dossier.pin.generation:
        message = "The keys on this medium are older than what this station has seen; it may be an old copy."
        history.problems.append(Problem(code="older_keyset", path=dossier.pin.name, message=message))
    medium = context.state.medium(context.config.repository_id, context.config.medium_id, dossier.id)
    last = None if context.is_clone else medium.last()  # before the list: another run may end meanwhile
    opened = {item.names: item for item in known.manifests} if known is not None else {}
    listed = _listed(dossier)
    warm(context.store, [max(item.name for item in copies) for copies in listed.values()])
    for copies in listed.values():
        manifest = _known(copies, opened, signers)
        if manifest is None:
            manifest = _read(dossier, copies, signers, history.problems)
        if manifest is not None:
            history.manifests.append(manifest)
            if manifest.sealed.keyset_generation > keyset.generation:
                message = "A snapshot was made under newer keys than this medium holds: a keyset was taken away."
                history.problems.append(Problem(code="keyset_missing", path=manifest.names[0], message=message))
    history.manifests.sort(key=_order, reverse=True)
    records = read_records(dossier, signers.records, history.problems)
    history.stations, history.results, history.held = signers.records, records.results, records.held()
    history.problems = [item for item in history.problems if item.path not in records.set_aside]
    present = {item.sealed.snapshot_id for item in history.manifests}
    history.forgotten = records.forgotten - (history.held & present)  # a forget died before it saw the hold
    medium_id = context.config.medium_id
    expected = _attested(history.manifests, medium_id, records.copied.get(medium_id, set()))
    history.attested = set(expected)
    history.expected = expected if last is None or last.id in history.attested else [*expected, last.id]
    history.missing = [item for item in history.expected if item not in present and item not in records.forgotten]
    history.every = [replace(item, held=item.sealed.snapshot_id in history.held) for item in history.manifests]
    once = _each_once(history.every)
    history.manifests = [item for item in once if item.sealed.snapshot_id not in history.forgotten]
    return history


def history_look(dossier: DossierContext, *others: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """List what `read_history` will, and `others`, side by side; manifests after their ok copies: see the order of a
    forget.
    """
    folder = dossier_folder(dossier.id)
    chains = ("dossiers",), (f"ok/{folder}", f"snapshots/{folder}"), (f"records/{folder}",)
    return one_look(dossier.repository, *chains, *others)


def review_history(dossier: DossierContext) -> HistoryReview:
    """Return the history as callers see it."""
    see_medium(dossier.repository)
    with history_look(dossier):
        history = read_history(dossier)
    return HistoryReview(
        snapshots=tuple(snapshot_of(item) for item in history.manifests),
        missing=tuple(history.missing),
        problems=tuple(history.problems),
        last_check=_last_result(history, RecordType.CHECKED),
        last_drill=_last_result(history, RecordType.DRILL),
    )


def _last_result(history: History, kind: RecordType) -> LastResult | None:
    record = history.results.get(kind)
    if record is None:
        return None
    amount, whole = record.facts.verdict()
    return LastResult(time=time_of(record.facts.time_ns), whole=whole, amount=amount, station=record.signer.name)


def snapshot_of(manifest: ReadManifest) -> Snapshot:
    """Return the record that callers see."""
    facts, text = manifest.facts, manifest.text
    return Snapshot(
        id=manifest.sealed.snapshot_id,
        number=facts.number,
        time=time_of(facts.time_ns),
        kind=SnapshotKind(facts.kind),
        confirmed=manifest.confirmed,
        held=manifest.held,
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


def _listed(dossier: DossierContext) -> dict[str, list[StoredObject]]:
    """Return manifests and ok copies, by the hash of their bytes. ok/ is listed first: see the order of a forget."""
    folder = dossier_folder(dossier.id)
    listed: dict[str, list[StoredObject]] = {}
    for prefix in ("ok", "snapshots"):
        for item in dossier.repository.store.list(f"{prefix}/{folder}"):
            listed.setdefault(item.name.rpartition("/")[2][:_DIGEST_CHARS], []).append(item)
    return listed


def _order(manifest: ReadManifest) -> tuple[int, int, bytes, str]:
    return manifest.facts.number, manifest.facts.time_ns, manifest.sealed.snapshot_id, manifest.names[0]


def _each_once(manifests: Sequence[ReadManifest]) -> list[ReadManifest]:
    """Return the manifests without further ones of the same snapshot: stations that copy one at once leave several.

    A confirmed one goes first, then the oldest, so that nobody who comes later can take the place of another's."""
    best: dict[SnapshotId, ReadManifest] = {}
    for item in sorted(manifests, key=lambda item: (not item.confirmed, _order(item))):
        best.setdefault(item.sealed.snapshot_id, item)
    return [item for item in manifests if best[item.sealed.snapshot_id] is item]


def _known(
    copies: list[StoredObject], opened: Mapping[tuple[str, ...], ReadManifest], signers: _Signers
) -> ReadManifest | None:
    """Return what an earlier look read of exactly these copies, if its signer still counts."""
    found = opened.get(tuple(sorted((item.name for item in copies), reverse=True)))
    if found is None or any(item.size != found.size for item in copies):
        return None
    try:
        return replace(found, station=signers.check(found.sealed, found.facts, found.names[0]).name)
    except TamperedError:
        return None


def _read(
    dossier: DossierContext, copies: list[StoredObject], signers: _Signers, problems: list[Problem]
) -> ReadManifest | None:
    """Return what the first whole copy says.

    A copy of another size is an upload that broke off: it confirms nothing.
    """
    copies = sorted(copies, key=lambda item: item.name, reverse=True)  # snapshots/ before ok/
    for item in copies:
        try:
            data = get_from_place(dossier.repository.store, item.name)
            if not name_matches(item.name.rpartition("/")[2], digest(data)):
                raise DamagedObjectError(
                    f"{item.name} does not have the bytes it was stored with.", code="damaged_object"
                )
            sealed, facts, text, station = _open(dossier, data, item.name, signers)
        except ObjectNotFoundError:
            continue
        except (DamageError, UnsupportedFormatError) as error:
            problems.append(Problem(code=error.code, path=item.name, message=str(error)))
            continue
        whole = [copy.name for copy in copies if copy.size == len(data)]
        for copy in copies:
            if copy.size != len(data):
                message = f"{copy.name} has not the size it was stored with."
                problems.append(Problem(code="damaged_object", path=copy.name, message=message))
        confirmed = any(name.startswith("ok/") for name in whole)
        names = tuple(copy.name for copy in copies)
        return ReadManifest(names, sealed, facts, text, confirmed, station, len(data))
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
    keys = next((item for item in dossier.epoch_keys() if item.epoch == sealed.envelope.epoch), None)
    return sealed, facts, None if keys is None else sealed.open_text(keys), record.name


def _attested(manifests: list[ReadManifest], medium_id: MediumId, copied: set[SnapshotId]) -> list[SnapshotId]:
    """Return what should be on this medium by what is written on it.

    Witnesses are the rosters of all manifests made on it, and the records of copies to it. What was made on a twin says
    nothing of this medium. What this station itself saw whole here last tells besides when a medium was set back to an
    older state altogether.
    """
    expected: dict[SnapshotId, None] = {}
    for item in manifests:
        if item.facts.medium_id == medium_id:
            # An unconfirmed one may be a run that broke off, which its station drops.
            own = None if item.confirmed else item.sealed.snapshot_id
            expected.update((other, None) for other in item.facts.roster if other != own)
    expected.update((other, None) for other in sorted(copied))
    return list(expected)
