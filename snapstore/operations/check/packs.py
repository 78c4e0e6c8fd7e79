"""Reading a pack from end to end and holding it against all that says what is in it.

Here: `PackReader`, for one pack and for many. Not here: which packs are due (`data`), what their blobs are needed for
(`reach`).

Rules: everything is compared that can be without a dossier's key: the name with the hash of all bytes, the header with
the index, each blob's stored hash with its bytes, and each tree's child list with the maintenance key. A pack that is
damaged is looked at blob by blob, so that what is whole of it is not called lost. Packs are read whole, some of them
at a time: hashing lets go of the interpreter, and remote stores answer side by side. In memory are as many packs as are
read at a time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from ...blobs.catalogue import Catalogue
from ...crypto.blob import stored_hash, unseal_child_list
from ...crypto.derivation import digest
from ...errors import (
    DamagedObjectError,
    DamageError,
    NotEnrolledError,
    ObjectNotFoundError,
    StoreError,
    UnsupportedFormatError,
)
from ...format.names import name_matches, pack_path
from ...format.pack import TRAILER_BYTES, BlobKind, PackEntry, decode_header, encode_entries, header_object_size
from ...stores.local import LocalStore
from ...stores.protocol import Store, lanes_of
from ...stores.wrapper import innermost
from ...upkeep_types import Finding
from ..reading import is_fault_of_place, read_blobs

_LOCAL_AT_ONCE: Final = 2  # one is read while the other is hashed
_REMOTE_AT_ONCE: Final = 4  # 128 MiB of packs


@dataclass(slots=True)
class PackState:
    """What became of reading a pack."""

    name: str
    entries: list[PackEntry] = field(default_factory=list)
    """As the index has them; as the header, if no index names the pack."""
    bad: set[int] = field(default_factory=set)
    """Positions of blobs that are not what was stored."""
    children: list[tuple[bytes, ...]] = field(default_factory=list)
    """For each blob of a pack of trees, the prefixes of what it refers to; nothing for one that is bad."""
    findings: list[Finding] = field(default_factory=list)
    read_bytes: int = 0
    gone: bool = False
    """It is not there any more."""

    @property
    def whole(self) -> bool:
        """Whether it is in order, every bit of it."""
        return not self.gone and not any(item.is_damage for item in self.findings)

    def damage(self, code: str, message: str) -> None:
        """Note damage of this pack."""
        path = pack_path(self.name)
        self.findings.append(Finding(code=code, object_name=path, message=f"{path} {message}"))


class PackReader:
    """Reads packs of one repository. Safe for several threads."""

    def __init__(self, catalogue: Catalogue, store: Store, entries_of: Callable[[str], list[PackEntry]]) -> None:
        """`entries_of` gives what the index says of a pack; nothing for one that it does not name."""
        self._catalogue = catalogue
        self._store = store
        self._entries_of = entries_of

    def read_all(self, packs: Iterable[tuple[str, int]]) -> Iterator[PackState]:
        """Read packs, given as name and size, in their order. Raises StoreError where the store as a whole fails."""
        remote = lanes_of(self._store) > 1
        at_once = min(_REMOTE_AT_ONCE, lanes_of(self._store)) if remote else min(_LOCAL_AT_ONCE, os.cpu_count() or 1)
        with ThreadPoolExecutor(at_once, thread_name_prefix="snapstore-check") as workers:
            under_way: deque[Future[PackState]] = deque()
            try:
                for name, size in packs:
                    under_way.append(workers.submit(self.read, name, size))
                    if len(under_way) >= at_once:
                        yield under_way.popleft().result()
                while under_way:
                    yield under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()

    def read(self, name: str, listed_size: int) -> PackState:
        """Read one pack."""
        state = PackState(name)
        state.entries = self._entries_of(name)
        data = self._get(state)
        if data is None:
            if not state.gone:
                self._read_in_pieces(state, listed_size)
            return state
        state.read_bytes = len(data)
        if not name_matches(name, digest(data)):
            state.damage("damaged_pack", "does not have the bytes it was stored with.")
        self._compare_header(state, data)
        view = memoryview(data)
        for position, entry in enumerate(state.entries):
            stored = view[entry.offset : entry.offset + entry.stored_size]
            self._take(state, position, entry, stored)
        self._conclude(state)
        return state

    def _get(self, state: PackState) -> bytes | None:
        path = pack_path(state.name)
        store = innermost(self._store)
        if isinstance(store, LocalStore):
            store.drop_cached(path)  # what was written a minute ago would prove the memory, not the medium
        try:
            return self._store.get(path)
        except ObjectNotFoundError as error:
            state.gone = not any(item.name == path for item in self._store.list(path.rpartition("/")[0]))
            if not state.gone:
                state.damage("object_unreadable", f"is listed and cannot be read: {error}")
        except (DamageError, StoreError) as error:
            if not is_fault_of_place(self._store, error):
                raise
            state.damage("object_unreadable", f"cannot be read: {error}")
        return None

    def _read_in_pieces(self, state: PackState, listed_size: int) -> None:
        """Find out which blobs can be read of a pack that cannot be read as a whole."""
        inside = [entry for entry in state.entries if entry.offset + entry.stored_size <= listed_size]
        found: dict[int, memoryview] = {}
        for whole, _ in read_blobs(self._store, state.name, listed_size, inside):
            for blob in whole:
                state.read_bytes += len(blob.stored)
                found[blob.entry.offset] = memoryview(blob.stored)
        for position, entry in enumerate(state.entries):
            stored = found.get(entry.offset)
            self._take(state, position, entry, self._read_alone(state.name, entry) if stored is None else stored)
        self._conclude(state)

    def _read_alone(self, name: str, entry: PackEntry) -> memoryview:
        """Return one blob's bytes as far as they can be read: a bad sector beside it need not concern it."""
        try:
            data = self._store.get(pack_path(name), offset=entry.offset, size=entry.stored_size)
        except (DamageError, StoreError) as error:
            if not is_fault_of_place(self._store, error):
                raise
            return memoryview(b"")
        return memoryview(data)

    def _compare_header(self, state: PackState, data: bytes) -> None:
        try:
            header = self._header(state.name, data)
        except NotEnrolledError as error:
            if state.findings:  # damaged bytes may name any epoch
                return
            path = pack_path(state.name)
            state.findings.append(Finding(code=error.code, object_name=path, message=str(error), is_damage=False))
            return
        except UnsupportedFormatError as error:
            state.damage(error.code, f"cannot be understood: {error}")
            return
        except DamageError as error:
            state.damage("damaged_header", f"has a header that cannot be read: {error}")
            return
        if not state.entries:
            state.entries = header
        elif encode_entries(header) != encode_entries(state.entries):
            state.damage("index_differs", "holds something else than the index says.")

    def _header(self, name: str, data: bytes) -> list[PackEntry]:
        end = len(data) - TRAILER_BYTES
        start = end - header_object_size(data[max(0, end) :])
        if start <= 0:
            raise DamagedObjectError("it is cut short.")
        header = data[start:end]
        keys = self._catalogue.key_of(header, pack_path(name))
        return decode_header(keys, self._catalogue.repository_id, header, blob_area=start)

    def _take(self, state: PackState, position: int, entry: PackEntry, stored: memoryview) -> None:
        children: tuple[bytes, ...] = ()
        if len(stored) != entry.stored_size or stored_hash(stored) != entry.stored_hash:
            state.bad.add(position)
        elif entry.kind == BlobKind.TREE:
            keys = self._catalogue.maintenance.get(entry.epoch)
            try:
                if keys is not None:
                    sealed = stored[: entry.child_size]
                    children = unseal_child_list(
                        keys.child_list, self._catalogue.repository_id, entry.blob_id, bytes(sealed)
                    )
            except DamageError:
                state.bad.add(position)
        if entry.kind == BlobKind.TREE:
            state.children.append(children)

    def _conclude(self, state: PackState) -> None:
        if state.bad:
            state.damage("damaged_blob", f"holds {len(state.bad)} pieces that are not what was stored.")
