"""Reading packs, indexes and condemn objects from a store into a `BlobIndex`.

Here: which packs there are, which are condemned, what is in them. Not here: the index itself, or who decides to delete.

Rules: only packs that are listed count, whatever an index says. Packs that no index names are read by their headers,
so an interrupted first run is not lost. An index object that is damaged is reported and its packs are read by their
headers too. A condemn object that cannot be read is an error: what it condemns is unknown. What the station has kept
(`kept`) only spares reading: with it the index is the same."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..crypto.derivation import digest
from ..crypto.keys import MaintenanceKeys
from ..errors import DamagedObjectError, DamageError, NotEnrolledError, ObjectNotFoundError, UnsupportedFormatError
from ..format.envelope import Envelope
from ..format.index import IndexedPack, decode_index
from ..format.names import name_matches, pack_path
from ..format.notes import decode_condemn
from ..format.pack import TRAILER_BYTES, decode_header, encode_entries, header_object_size
from ..stores.protocol import Store
from ..types import Problem, RepositoryId
from .index import BlobIndex
from .kept import cache_key, is_worth_keeping, keep, open_kept
from .lanes import each_side_by_side
from .places import get_from_place
from .segments import IndexFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The sealed side of a repository: its store, its id, and the maintenance keys by epoch."""

    store: Store
    repository_id: RepositoryId
    maintenance: Mapping[int, MaintenanceKeys]
    files: IndexFiles | None = None
    """Where the station keeps the index of this medium, if it does."""

    def key_of(self, data: bytes, name: str) -> MaintenanceKeys:
        """Return the maintenance keys that the object `data` was sealed under."""
        epoch = Envelope.decode(data[:8]).epoch
        try:
            return self.maintenance[epoch]
        except KeyError:
            raise NotEnrolledError(
                f"{name} was sealed under newer keys (epoch {epoch}) than this station holds. "
                "Type the secret once to enrol again.",
                code="newer_keys",
            ) from None

    def get_whole(self, name: str) -> bytes:
        """Return an object whose name fits its bytes; DamagedObjectError otherwise."""
        data = get_from_place(self.store, name)
        if not name_matches(name.rpartition("/")[2], digest(data)):
            raise DamagedObjectError(
                f"{name} does not have the bytes it was stored with. Restore from another medium, and repair this one.",
                object_name=name,
            )
        return data


@dataclass(slots=True)
class LoadedIndex:
    """An index as of one look at the store."""

    index: BlobIndex = field(default_factory=BlobIndex)
    objects: set[str] = field(default_factory=set)
    """Index objects that need not be read again in this run."""
    merged: set[str] = field(default_factory=set)
    """Those of them that were whole: all that they say is in the index."""
    unkept_objects: int = 0
    """How many of these the station would have to read again."""
    listed: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def list_packs(catalogue: Catalogue) -> dict[str, int]:
    """Return name and size of every pack in the store."""
    return {item.name.rpartition("/")[2]: item.size for item in catalogue.store.list("packs")}


def read_condemned(catalogue: Catalogue) -> set[str]:
    """Return the names of all condemned packs.

    Raises DamagedObjectError for a condemn object that cannot be read.
    """
    condemned: set[str] = set()
    for item in catalogue.store.list("condemn"):
        try:
            data = catalogue.get_whole(item.name)
        except ObjectNotFoundError:
            continue  # its prune ended between the list and the get
        note = decode_condemn(catalogue.key_of(data, item.name), catalogue.repository_id, data)
        condemned.update(note.packs)
    return condemned


def load_index(catalogue: Catalogue, loaded: LoadedIndex | None = None) -> LoadedIndex:
    """Read what is new in the store into `loaded`, or into what the station kept."""
    names = [item.name for item in catalogue.store.list("index")]
    listed = list_packs(catalogue)
    if loaded is None:
        loaded = _open_kept(catalogue, listed)
    loaded.listed = listed
    _read_indexes(catalogue, [name for name in names if name not in loaded.objects], loaded)
    headers = each_side_by_side(
        catalogue.store,
        [
            partial(read_pack_header, catalogue, name, size, loaded.problems)
            for name, size in listed.items()
            if name not in loaded.index
        ],
    )
    loaded.index.load([pack for pack in headers if pack is not None])
    for name, size, _ in loaded.index.packs():
        loaded.index.set_usable(name, usable=listed.get(name) == size)
    if catalogue.files is not None and is_worth_keeping(loaded.index, loaded.unkept_objects):
        loaded.unkept_objects = 0  # also where it fails: one try is enough for this run
        with contextlib.suppress(OSError, ValueError):
            keep(catalogue.files, cache_key(catalogue.maintenance), loaded.index, loaded.merged.intersection(names))
    return loaded


def _open_kept(catalogue: Catalogue, listed: Mapping[str, int]) -> LoadedIndex:
    if catalogue.files is None:
        return LoadedIndex()
    kept = open_kept(catalogue.files, cache_key(catalogue.maintenance), listed)
    if kept is None:
        return LoadedIndex(index=BlobIndex(catalogue.files))
    index, objects = kept
    return LoadedIndex(index=index, objects=set(objects), merged=objects)


def _read_indexes(catalogue: Catalogue, names: Sequence[str], loaded: LoadedIndex) -> None:
    """Take what index objects say about packs that are listed."""
    reads = [partial(_read_index, catalogue, name, loaded.problems) for name in names]
    for name, packs in zip(names, each_side_by_side(catalogue.store, reads), strict=True):
        loaded.objects.add(name)
        if packs is not None:
            loaded.merged.add(name)
            loaded.unkept_objects += 1
            loaded.index.load(pack for pack in packs if pack.name in loaded.listed)


def _read_index(catalogue: Catalogue, name: str, problems: list[Problem]) -> list[IndexedPack] | None:
    try:
        data = catalogue.get_whole(name)
        return decode_index(catalogue.key_of(data, name), catalogue.repository_id, data)
    except ObjectNotFoundError:
        return None  # a prune replaced it between the list and the get
    except (DamageError, UnsupportedFormatError) as error:
        problems.append(Problem(code=error.code, path=name, message=str(error)))
        return None


def read_pack_header(catalogue: Catalogue, name: str, size: int, problems: list[Problem]) -> IndexedPack | None:
    """Return what a pack says of itself; None, and a problem, if it cannot be read. Raises NotEnrolledError."""
    path = pack_path(name)
    try:
        end = size - TRAILER_BYTES
        if end <= 0:
            raise DamagedObjectError(f"{path} is too short to be a pack ({size} bytes).", object_name=path)
        header_size = header_object_size(get_from_place(catalogue.store, path, offset=end, size=TRAILER_BYTES))
        if header_size > end:
            raise DamagedObjectError(f"{path} has no readable header; it is truncated or altered.", object_name=path)
        start = end - header_size
        header = get_from_place(catalogue.store, path, offset=start, size=header_size)
        entries = decode_header(catalogue.key_of(header, path), catalogue.repository_id, header, blob_area=start)
        return IndexedPack(name=name, pack_size=size, entries_bytes=encode_entries(entries))
    except ObjectNotFoundError:
        return None
    except (DamageError, UnsupportedFormatError) as error:
        problems.append(Problem(code=error.code, path=path, message=str(error)))
        return None
