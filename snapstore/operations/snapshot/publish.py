"""From saved blobs to a snapshot that counts: the manifest, the look afterwards, the ok copy.

Here: steps 3 to 7 of docs/format/11-protocol.md. Not here: saving blobs.

Rules: condemn is read before packs are listed, never the other way round. Nothing is reported before ok/ holds the
copy and the manifest is seen to be there still."""

from __future__ import annotations

import contextlib
import getpass
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..._version import __version__
from ...blobs.catalogue import list_packs, read_condemned
from ...blobs.naming import put_named
from ...crypto.derivation import digest
from ...crypto.entropy import random_bytes
from ...errors import (
    DamagedObjectError,
    DamageError,
    MissingObjectError,
    ObjectNotFoundError,
    StoreError,
    UnsupportedFormatError,
)
from ...format.envelope import Envelope
from ...format.manifest import Manifest, ManifestFacts, ManifestText, SealedManifest, decode_manifest, encode_manifest
from ...format.names import dossier_folder, dossier_path, name_matches, object_path
from ...format.notes import SessionNote, decode_session, encode_session
from ...stores.protocol import lanes_of
from ...types import BlobId, PlainHash, Problem, SnapshotId, SnapshotKind
from ..clock import zone_minutes
from ..context import DossierContext
from ..history import History, history_look

Note = Callable[[str], None]
"""Remembers the full name of an object that is about to be put."""

_LAST_SECONDS = 3.0  # for what is nice to have done when all else has failed
_TEXTS_KEPT = 1000  # sources and patterns that a manifest repeats; they are for people


def _no_note(name: str) -> None:
    """What is torn will be called damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a snapshot was taken, if that is not here and now: of one that is copied from another repository."""

    zone_minutes: int
    host: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the walk gave; everything a manifest says but its number and roster."""

    snapshot_id: SnapshotId
    start_ns: int
    root_hash: PlainHash
    root_id: BlobId
    files: int
    directories: int
    others: int
    total_bytes: int
    added_bytes: int
    kind: SnapshotKind
    label: str | None
    sources: tuple[str, ...]
    excludes: tuple[str, ...]
    problems: tuple[Problem, ...]
    problem_count: int
    duration_ms: int
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A manifest in the store, not yet confirmed."""

    name: str
    data: bytes
    sealed: SealedManifest
    facts: ManifestFacts
    text: ManifestText


def first_look(dossier: DossierContext) -> contextlib.AbstractContextManager[None]:
    """List side by side what a snapshot looks at before it saves anything."""
    return history_look(dossier, ("sessions",), ("condemn",), ("index", "packs"))


def mark_condemned(dossier: DossierContext) -> None:
    """Look at the index anew and use no pack that is condemned."""
    context = dossier.repository
    loaded = context.index(refresh=True)
    for pack in read_condemned(context.catalogue()):
        loaded.index.set_usable(pack, usable=False)


def put_session_note(dossier: DossierContext) -> str:
    """Tell others that a snapshot is under way; returns the note's name."""
    context = dossier.repository
    note = SessionNote(station_id=context.state.station.id, dossier_id=dossier.id, start_ns=time.time_ns())
    data = encode_session(context.newest_maintenance(), context.config.repository_id, note)
    return put_named(context.store, lambda name: object_path("sessions", name), data)


@contextlib.contextmanager
def dropping_notes(dossier: DossierContext) -> Iterator[list[str]]:
    """Give a list for names of session notes, which are deleted at the end: notes are advisory, so without an error.

    After an error nobody waits for that for long: the line may be dead, and its time-outs and further tries would take
    many minutes after a Ctrl-C. What is left the next run of this station deletes.
    """
    notes: list[str] = []

    def delete() -> None:
        with contextlib.suppress(Exception):
            drop(dossier, notes)

    try:
        yield notes
    except BaseException:
        if lanes_of(dossier.repository.store) == 1:
            delete()
        else:
            background = threading.Thread(target=delete, name="snapstore-note", daemon=True)
            background.start()
            background.join(_LAST_SECONDS)
        raise
    delete()


def drop_old_notes(dossier: DossierContext) -> None:
    """Delete this station's notes of runs that died. Notes are advisory: what cannot be read is left alone."""
    context = dossier.repository
    if any(True for _ in context.state.living_runs()):
        return
    keys = context.maintenance()
    for item in list(context.store.list("sessions")):
        with contextlib.suppress(StoreError, DamageError, UnsupportedFormatError, KeyError):
            data = context.store.get(item.name)
            note = decode_session(keys[Envelope.decode(data[:8]).epoch], context.config.repository_id, data)
            if note.station_id == context.state.station.id:
                drop(dossier, [item.name])


def put_manifest(
    dossier: DossierContext, draft: Draft, history: History, generation: int, note: Note = _no_note
) -> Published:
    """Sign the manifest and put it into snapshots/."""
    context = dossier.repository
    origin = draft.origin or Origin(zone_minutes=zone_minutes(), host=platform.node(), user=_user())
    facts = ManifestFacts(
        number=_next_number(dossier, history),
        time_ns=draft.start_ns,
        zone_minutes=origin.zone_minutes,
        root_id=draft.root_id,
        files=draft.files,
        directories=draft.directories,
        others=draft.others,
        total_bytes=draft.total_bytes,
        added_bytes=draft.added_bytes,
        kind=draft.kind,
        medium_id=context.config.medium_id,
        station_id=context.state.station.id,
        roster=_roster(history, draft.snapshot_id),
        duration_ms=draft.duration_ms,
        problem_count=draft.problem_count,
    )
    text = ManifestText(
        label=draft.label,
        host=origin.host,
        user=origin.user,
        sources=draft.sources[:_TEXTS_KEPT],
        problems=draft.problems,
        version=__version__,
        excludes=draft.excludes[:_TEXTS_KEPT],
    )
    manifest = Manifest(
        repository_id=context.config.repository_id,
        dossier_id=dossier.id,
        snapshot_id=draft.snapshot_id,
        keyset_generation=generation,
        facts=facts,
        text=text,
    )
    keys = dossier.epoch_keys()[0]
    data = encode_manifest(
        manifest,
        keys=keys,
        maintenance=keys.maintenance_keys,
        hpke_public=dossier.pin.hpke_public,
        root_hash=draft.root_hash,
        station_key=context.state.station.signing,
    )
    opened = decode_manifest(data)
    if opened.open_maintenance(keys.maintenance_keys) != facts:
        raise DamagedObjectError(
            "The snapshot's record did not come back as it was written.", code="verification_failed"
        )
    opened.open_text(keys)
    return Published(put_copy(dossier, "snapshots", data, note), data, opened, facts, text)


def look(dossier: DossierContext, relied: dict[str, int]) -> set[str]:
    """Return the packs among `relied` that are condemned, gone, or not of their size."""
    catalogue = dossier.repository.catalogue()
    condemned = read_condemned(catalogue)
    listed = list_packs(catalogue)
    return {name for name, size in relied.items() if name in condemned or listed.get(name) != size}


def see_manifest(dossier: DossierContext, published: Published) -> None:
    """See that the manifest is there still, after the ok copy was put.

    Raises MissingObjectError if somebody took the manifest away meanwhile; the ok copy stays, and a new run is needed.
    """
    folder = dossier_folder(dossier.id)
    if all(item.name != published.name for item in dossier.repository.store.list(f"snapshots/{folder}")):
        raise MissingObjectError(
            "The snapshot's record was removed while the snapshot was being made. Take the snapshot again.",
            code="manifest_removed",
            object_name=published.name,
        )


def put_copy(dossier: DossierContext, folder: str, data: bytes, note: Note = _no_note) -> str:
    """Put a manifest's bytes under a new name; returns the name. `note` is called with each name before it is used."""

    def named(name: str) -> str:
        path = dossier_path(folder, dossier.id, name)
        note(path)
        return path

    return put_named(dossier.repository.store, named, data)


def drop_torn(dossier: DossierContext, names: Sequence[str]) -> None:
    """Delete those of our own manifests, put by a run that died or had no answer, that are there without their end."""
    for name in names:
        with contextlib.suppress(ObjectNotFoundError):
            if not name_matches(name.rpartition("/")[2], digest(dossier.repository.store.get(name))):
                drop(dossier, [name])


def drop(dossier: DossierContext, names: Sequence[str]) -> None:
    """Delete objects of our own that nobody needs; one that is gone already is no matter."""
    for name in names:
        try:
            dossier.repository.store.delete(name)
        except ObjectNotFoundError:
            continue


def new_snapshot_id() -> SnapshotId:
    """Draw the id of a new snapshot."""
    return SnapshotId(random_bytes(16))


def _next_number(dossier: DossierContext, history: History) -> int:
    """Return one more than the highest number seen: on this medium, and by this station on its twins."""
    context = dossier.repository
    own = context.state.highest_number(context.config.repository_id, dossier.id)
    return 1 + max([own, *(item.facts.number for item in history.manifests)])


def _roster(history: History, own: SnapshotId) -> tuple[SnapshotId, ...]:
    """Return what is to be seen as long as nobody forgets it: what is confirmed, what the newest roster of this
    medium named (its ok copy may be lost), what is missing (so that it goes on being reported), and this one.
    """
    expected = {item.sealed.snapshot_id for item in history.manifests if item.confirmed}
    present = {item.sealed.snapshot_id for item in history.manifests}
    expected.update(item for item in history.expected if item in present)
    return tuple(sorted({*expected, *history.missing, own}))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""  # a service account without a name
