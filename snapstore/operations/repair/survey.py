"""What is there and what of it is no use, as far as a repair can do something about it.

Here: `look_through`, which reads every object of a medium with the maintenance key alone. Not here: what snapshots need
of it (`needs`), what is done about it (`vital`, `indexes`, `packs`).

Rules: an object is whole if its bytes are those of its name and decode. What this version does not know, and what was
sealed under newer keys, is nobody's damage and is not touched. A place that cannot be read is damage of what lies
there; a store that fails as a whole is an error. Packs are read from end to end, or those alone that are named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from ...blobs.catalogue import read_pack_header
from ...blobs.lanes import each_side_by_side
from ...crypto.derivation import digest
from ...errors import (
    DamagedObjectError,
    DamageError,
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
    HASH_DIGITS,
    INDEX,
    OK,
    RECORDS,
    SESSIONS,
    SNAPSHOTS,
    b32,
    name_matches,
    pack_path,
    valid_name,
)
from ...format.notes import decode_condemn, decode_session
from ...format.pack import TRAILER_BYTES, decode_header, encode_entries, header_object_size
from ...format.record import decode_record
from ...stores.cached import uncached
from ...types import BlobId, SnapshotId
from ..context import RepositoryContext
from ..meter import Meter
from ..reading import is_fault_of_place, read_pack

_OF_DOSSIERS: Final = (OK, SNAPSHOTS, RECORDS, DOSSIERS)
_SMALL: Final = (*_OF_DOSSIERS, CONFIG, CONDEMN, SESSIONS)


@dataclass(frozen=True, slots=True)
class Root:
    """What a whole manifest says of its snapshot."""

    snapshot_id: SnapshotId
    root_id: BlobId
    time_ns: int


@dataclass(slots=True)
class Survey:
    """What was found. Names are full ones; packs go by their last element."""

    bad: dict[str, str] = field(default_factory=dict)
    """Objects that are no use, packs apart, and why."""
    whole: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """Objects by folder and the hash in their names."""
    roots: dict[str, Root] = field(default_factory=dict)
    """By name, of manifests and their copies."""
    packs: dict[str, int] = field(default_factory=dict)
    """All that are listed, with sizes."""
    bad_packs: dict[str, str] = field(default_factory=dict)
    indexed: set[str] = field(default_factory=set)
    """Packs that a whole index object names."""
    condemned: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Packs by condemn object that can be read."""
    gone: dict[str, int] = field(default_factory=dict)
    """Those of them that are not listed: pruned since, or lost."""

    def has(self, folder: str, name: str) -> str | None:
        """Return the name of a whole object in a folder that has the bytes for which `name` was made."""
        return next(iter(self.whole.get((folder, hash_of(name)), ())), None)


def hash_of(name: str) -> str:
    """Return the digits of an object's name that its bytes decide."""
    return name.rpartition("/")[2][:HASH_DIGITS]


def folder_of(name: str) -> str:
    """Return the folder that an object is in."""
    return name.rpartition("/")[0]


def look_through(
    context: RepositoryContext,
    meter: Meter,
    *,
    packs: Collection[str] | None = None,
    indexes: Collection[str] | None = None,
) -> Survey:
    """Read everything, or of the packs only those named, and compare only these index objects with packs' headers.

    Raises NotEnrolledError, StoreError, OperationCancelledError."""
    return _Look(context, meter).run(packs, indexes)


class _Look:
    def __init__(self, context: RepositoryContext, meter: Meter) -> None:
        self._context = context
        self._catalogue = context.catalogue()
        self._store = uncached(context.store)
        self._meter = meter
        self._survey = Survey()
        self._claims: dict[str, list[tuple[str, bytes]]] = {}  # of each pack: index object, hash of what it says
        self._sizes: dict[str, int] = {}

    def run(self, packs: Collection[str] | None, indexes: Collection[str] | None) -> Survey:
        decoders: dict[str, Callable[[str, bytes], None]] = {
            **dict.fromkeys((OK, SNAPSHOTS), self._take_manifest),
            RECORDS: self._take_record,
            DOSSIERS: self._take_keyset,
            CONFIG: self._take_config,
            CONDEMN: self._take_condemn,
            SESSIONS: self._take_session,
            INDEX: self._take_index,
        }
        survey = self._survey
        for folder, take in decoders.items():
            names = [item.name for item in self._store.list(folder) if _is_in_place(folder, item.name)]
            for _ in each_side_by_side(self._store, [partial(self._read, name, take) for name in names]):
                self._meter.step()
        for item in self._store.list("packs"):
            name = item.name.rpartition("/")[2]
            if valid_name(name) and item.name == pack_path(name):
                survey.packs[name] = item.size
        self._meter.bytes_total = sum(size for name, size in survey.packs.items() if packs is None or name in packs)
        for name, size in survey.packs.items():
            claims = self._claims.get(name, ())
            if packs is None or name in packs:
                self._compare(name, self._read_pack(name, size), None)
                self._meter.step(size=size)
            elif indexes is None or any(index in indexes for index, _ in claims):
                header = read_pack_header(self._catalogue, name, size, [])
                self._compare(name, header, indexes)
                self._meter.step()
        survey.indexed = {
            name for name, claims in self._claims.items() if any(index not in survey.bad for index, _ in claims)
        }
        survey.gone = {name: self._sizes[name] for name in survey.indexed if name not in survey.packs}
        return survey

    def _read(self, name: str, take: Callable[[str, bytes], None]) -> None:
        try:
            data = self._store.get(name)
            if not name_matches(name.rpartition("/")[2], digest(data)):
                raise DamagedObjectError(f"{name} does not have the bytes it was stored with.")
            take(name, data)
        except (UnsupportedFormatError, NotEnrolledError):
            return
        except ObjectNotFoundError as error:
            if any(item.name == name for item in self._store.list(folder_of(name))):
                self._survey.bad[name] = f"{name} is listed and cannot be read: {error}"
        except DamageError as error:
            self._survey.bad[name] = str(error) if name in str(error) else f"{name}: {error}"
        except StoreError as error:
            if not is_fault_of_place(self._store, error):
                raise
            self._survey.bad[name] = f"{name} cannot be read: {error}"
        else:
            self._survey.whole.setdefault((folder_of(name), hash_of(name)), []).append(name)

    # --- packs and indexes ---------------------------------------------------------------------------------------

    def _read_pack(self, name: str, size: int) -> IndexedPack | None:
        """Return what a pack that is whole says of itself."""
        path = pack_path(name)
        data = read_pack(self._store, name, size)
        try:
            if data is None or not name_matches(name, digest(data)):
                why = "cannot be read" if data is None else "does not have the bytes it was stored with"
                raise DamagedObjectError(f"{path} {why}.")
            end = size - TRAILER_BYTES
            start = end - header_object_size(data[end:])
            if start < 0:
                raise DamagedObjectError(f"{path} has no readable header.")
            keys = self._catalogue.key_of(data[start:end], path)
            entries = decode_header(keys, self._catalogue.repository_id, data[start:end], blob_area=start)
        except DamageError as error:
            self._survey.bad_packs[name] = str(error) if path in str(error) else f"{path}: {error}"
        except (UnsupportedFormatError, NotEnrolledError):
            pass
        else:
            return IndexedPack(name=name, pack_size=size, entries_bytes=encode_entries(entries))
        return None

    def _compare(self, name: str, pack: IndexedPack | None, indexes: Collection[str] | None) -> None:
        """Find the index objects that say something else of a pack than it does itself."""
        for index, said in self._claims.get(name, ()):
            if pack is not None and said != _hash_of(pack) and (indexes is None or index in indexes):
                self._survey.bad[index] = f"{index} says something else of {pack_path(name)} than the pack itself."

    def _take_index(self, name: str, data: bytes) -> None:
        for pack in decode_index(self._catalogue.key_of(data, name), self._catalogue.repository_id, data):
            self._claims.setdefault(pack.name, []).append((name, _hash_of(pack)))
            self._sizes[pack.name] = pack.pack_size

    # --- small objects -------------------------------------------------------------------------------------------

    def _need_place(self, name: str, repository_id: bytes, dossier_id: bytes | None = None) -> None:
        here = self._context.config.repository_id
        if repository_id != here or (dossier_id is not None and b32(dossier_id) != name.split("/")[1]):
            raise TamperedError(f"{name} belongs to another repository or dossier.")

    def _take_manifest(self, name: str, data: bytes) -> None:
        manifest = decode_manifest(data)
        self._need_place(name, manifest.repository_id, manifest.dossier_id)
        facts = manifest.open_maintenance(self._context.catalogue_keys(manifest.envelope.epoch))
        self._survey.roots[name] = Root(manifest.snapshot_id, facts.root_id, facts.time_ns)

    def _take_record(self, name: str, data: bytes) -> None:
        record = decode_record(data)
        self._need_place(name, record.repository_id, record.dossier_id)
        record.open(self._context.catalogue_keys(record.epoch))

    def _take_keyset(self, name: str, data: bytes) -> None:
        keyset = decode_keyset(data)
        self._need_place(name, keyset.repository_id, keyset.dossier_id)

    def _take_config(self, name: str, data: bytes) -> None:
        decoded = decode_config(data)
        self._need_place(name, decoded.config.repository_id)
        if not any(decoded.verify(keys.config) for keys in self._catalogue.maintenance.values()):
            raise TamperedError(f"{name} was not written by this repository's owners.")

    def _take_condemn(self, name: str, data: bytes) -> None:
        note = decode_condemn(self._catalogue.key_of(data, name), self._catalogue.repository_id, data)
        self._survey.condemned[name] = note.packs

    def _take_session(self, name: str, data: bytes) -> None:
        decode_session(self._catalogue.key_of(data, name), self._catalogue.repository_id, data)


def small_objects(survey: Survey, folder: str) -> Iterator[str]:
    """Yield the bad objects of a folder of the layout."""
    return (name for name in sorted(survey.bad) if name.split("/")[0] == folder)


def _is_in_place(folder: str, name: str) -> bool:
    parts = name.split("/")
    return valid_name(parts[-1]) and len(parts) == (3 if folder in _OF_DOSSIERS else 2)


def _hash_of(pack: IndexedPack) -> bytes:
    return digest(pack.pack_size.to_bytes(8, "big") + pack.entries_bytes)[:16]
