"""Reading every small object of a repository and decoding it by itself.

Here: the listing, in the order in which nothing that is being written can look lost, and what a config, keyset, record,
manifest, index, condemn object or session note must be to be one. Not here: what they mean together (`structure`), and
packs (`packs`).

Rules: the maintenance key is all that is needed. An object that was listed and is not there any more was deleted
meanwhile, unless it is still listed. A store that fails as a whole is an error; a place that cannot be read is damage
of the object that lies there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from ...blobs.lanes import each_side_by_side
from ...crypto.derivation import digest
from ...errors import (
    DamagedObjectError,
    DamageError,
    InputError,
    NotEnrolledError,
    ObjectNotFoundError,
    StoreError,
    TamperedError,
    UnsupportedFormatError,
)
from ...format.config import decode_config
from ...format.index import IndexedPack, decode_index
from ...format.keyset import decode_keyset
from ...format.manifest import decode_manifest
from ...format.names import (
    CONDEMN,
    CONFIG,
    DOSSIERS,
    INDEX,
    OK,
    PACKS,
    README,
    RECORDS,
    SESSIONS,
    SNAPSHOTS,
    b32,
    name_matches,
    pack_path,
    unb32,
    valid_name,
)
from ...format.notes import decode_condemn, decode_session
from ...format.parity import decode_sidecar
from ...format.record import RecordType, decode_record
from ...stores.cached import uncached
from ...stores.protocol import StoredObject
from ...types import DossierId, SnapshotId
from ..context import RepositoryContext, one_look
from ..meter import Meter
from ..reading import is_fault_of_place
from ..readme import README_TEXT
from .report import Findings

_OF_DOSSIERS: Final = frozenset({DOSSIERS, RECORDS, SNAPSHOTS, OK})
_PARITY: Final = "parity"
_ORDER: Final = (OK, SNAPSHOTS, RECORDS, DOSSIERS, CONFIG, CONDEMN, SESSIONS, INDEX, PACKS, _PARITY)
"""Roots before what they need: who writes does it the other way round."""


@dataclass(frozen=True, slots=True)
class SeenManifest:
    """A manifest or its copy that opens under the maintenance key."""

    name: str
    dossier_id: DossierId
    snapshot_id: SnapshotId
    time_ns: int


@dataclass(slots=True)
class Seen:
    """What reading all small objects gave."""

    listed: dict[str, list[StoredObject]] = field(default_factory=dict)
    """By folder of the layout; only what has a name of an object and lies in its place."""
    manifests: list[SeenManifest] = field(default_factory=list)
    condemned: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Packs by condemn object."""
    removed: set[DossierId] = field(default_factory=set)
    """Dossiers of which a record that opens says that they were removed."""

    def dossiers(self) -> set[DossierId]:
        """Return the ids of all dossiers of which anything is there."""
        return {
            DossierId(unb32(item.name.split("/")[1])) for folder in _OF_DOSSIERS for item in self.listed.get(folder, ())
        }

    @property
    def count(self) -> int:
        """How many objects there are."""
        return sum(len(items) for items in self.listed.values())


class ObjectReader:
    """Lists and reads."""

    def __init__(self, context: RepositoryContext, findings: Findings, meter: Meter) -> None:
        self._context = context
        self._store = uncached(context.store)
        self._findings = findings
        self._meter = meter
        self._catalogue = context.catalogue()
        self.seen = Seen()

    def list_all(self) -> None:
        """List every folder of the layout. Raises StoreError."""
        with one_look(self._context, _ORDER[:2], _ORDER[2:6], _ORDER[6:7], _ORDER[7:]):
            for folder in _ORDER:
                self.seen.listed[folder] = [
                    item for item in self._context.store.list(folder) if self._in_place(folder, item)
                ]

    def read_all(self) -> None:
        """Read and decode everything small but indexes."""
        self._look_at_readme()
        decoders = {
            CONFIG: self._decode_config,
            DOSSIERS: self._decode_keyset,
            RECORDS: self._decode_record,
            SNAPSHOTS: self._decode_manifest,
            OK: self._decode_manifest,
            CONDEMN: self._decode_condemn,
            SESSIONS: self._decode_session,
        }
        for folder, decode in decoders.items():
            items = self.seen.listed[folder]
            calls = [partial(self._read, item.name, decode, harmless=folder == SESSIONS) for item in items]
            for _ in each_side_by_side(self._store, calls):
                self._meter.step()

    def indexes(self) -> Iterator[tuple[str, list[IndexedPack] | None]]:
        """Yield every index object and what it says; None where it cannot be read."""
        found: dict[str, list[IndexedPack]] = {}

        def decode(name: str, data: bytes) -> None:
            found[name] = decode_index(self._catalogue.key_of(data, name), self._catalogue.repository_id, data)

        names = [item.name for item in self.seen.listed[INDEX]]
        calls = [partial(self._read, name, decode, harmless=False) for name in names]
        for name, _ in zip(names, each_side_by_side(self._store, calls), strict=True):
            self._meter.step()
            yield name, found.pop(name, None)

    def read_sidecars(self) -> None:
        """Read what packs can be healed by. Damage of it costs no data, only the means to mend some."""
        names = [item.name for item in self.seen.listed[_PARITY]]
        calls = [partial(self._read, name, _decode_sidecar, harmless=True) for name in names]
        for _ in each_side_by_side(self._store, calls):
            self._meter.step()

    def is_listed(self, name: str) -> bool:
        """Ask the store whether an object is there now."""
        return any(item.name == name for item in self._store.list(name.rpartition("/")[0]))

    def _in_place(self, folder: str, item: StoredObject) -> bool:
        """Tell whether an object may be what its place says. Other files are somebody's own, and not touched."""
        parts = item.name.split("/")
        fits = valid_name(parts[-1]) and len(parts) == (3 if folder in (*_OF_DOSSIERS, PACKS, _PARITY) else 2)
        if fits and folder in _OF_DOSSIERS:
            fits = _is_dossier(parts[1])
        if fits and folder == PACKS:
            fits = item.name == pack_path(parts[-1])
        if not fits:
            message = f"{item.name} has no name that an object in this place can have; it is passed over."
            self._findings.remark("foreign_object", item.name, message)
        return fits

    def _read(self, name: str, decode: Callable[[str, bytes], None], *, harmless: bool) -> None:
        note = self._findings.remark if harmless else self._findings.damage
        try:
            data = self._store.get(name)
            if not name_matches(name.rpartition("/")[2], digest(data)):
                raise DamagedObjectError(f"{name} does not have the bytes it was stored with.", object_name=name)
            decode(name, data)
        except (UnsupportedFormatError, NotEnrolledError) as error:
            self._findings.remark(error.code, name, str(error))
        except DamageError as error:
            note(error.code, name, f"{name}: {error}" if name not in str(error) else str(error))
        except ObjectNotFoundError as error:
            if self.is_listed(name):
                note("object_unreadable", name, f"{name} is listed and cannot be read: {error}")
        except StoreError as error:
            if not is_fault_of_place(self._store, error):
                raise
            note("object_unreadable", name, f"{name} cannot be read: {error}")

    def _look_at_readme(self) -> None:
        try:
            same = self._store.get(README) == README_TEXT.encode()
        except ObjectNotFoundError:
            message = f"{README}, the text for whoever finds the medium, is not there."
            self._findings.remark("readme_missing", README, message)
        except (DamageError, StoreError) as error:
            if not is_fault_of_place(self._store, error):
                raise
            self._findings.remark("object_unreadable", README, f"{README} cannot be read: {error}")
        else:
            if not same:
                message = f"{README}, the text for whoever finds the medium, is not the one of this version."
                self._findings.remark("readme_differs", README, message)

    # --- what each must be ---------------------------------------------------------------------------------------

    def _need_place(self, name: str, repository_id: bytes, dossier_id: bytes | None = None) -> None:
        here = self._context.config.repository_id
        if repository_id != here or (dossier_id is not None and b32(dossier_id) != name.split("/")[1]):
            raise TamperedError(f"{name} belongs to another repository or dossier.", object_name=name)

    def _decode_config(self, name: str, data: bytes) -> None:
        decoded = decode_config(data)
        self._need_place(name, decoded.config.repository_id)
        if not any(decoded.verify(keys.config) for keys in self._catalogue.maintenance.values()):
            raise TamperedError(f"{name} was not written by this repository's owners.", object_name=name)

    def _decode_keyset(self, name: str, data: bytes) -> None:
        keyset = decode_keyset(data)
        self._need_place(name, keyset.repository_id, keyset.dossier_id)
        keyset.stations(self._context.catalogue_keys(keyset.epoch), None)

    def _decode_record(self, name: str, data: bytes) -> None:
        record = decode_record(data)
        self._need_place(name, record.repository_id, record.dossier_id)
        record.open(self._context.catalogue_keys(record.epoch))
        if record.type == RecordType.DOSSIER_REMOVED:
            self.seen.removed.add(record.dossier_id)
        if not record.known:
            message = f"{name} is of a kind that this version does not know ({record.type}). Update snapstore."
            self._findings.remark("unknown_record", name, message)

    def _decode_manifest(self, name: str, data: bytes) -> None:
        manifest = decode_manifest(data)
        self._need_place(name, manifest.repository_id, manifest.dossier_id)
        facts = manifest.open_maintenance(self._context.catalogue_keys(manifest.epoch))
        self.seen.manifests.append(SeenManifest(name, manifest.dossier_id, manifest.snapshot_id, facts.time_ns))

    def _decode_condemn(self, name: str, data: bytes) -> None:
        note = decode_condemn(self._catalogue.key_of(data, name), self._catalogue.repository_id, data)
        self.seen.condemned[name] = note.packs

    def _decode_session(self, name: str, data: bytes) -> None:
        decode_session(self._catalogue.key_of(data, name), self._catalogue.repository_id, data)


def _is_dossier(folder: str) -> bool:
    try:
        return len(unb32(folder)) == 16
    except InputError:
        return False


def _decode_sidecar(name: str, data: bytes) -> None:
    decode_sidecar(data)
