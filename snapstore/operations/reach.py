"""Which blobs a snapshot needs, by the child lists of its trees.

Here: `Reach`. Not here: reading or sending the blobs.

Rules: only the maintenance key is needed (docs/format/05-blobs.md). A child list that opens is what some writer of the
repository sealed. Whether it was an honest one only the dossier's key could tell: so the union of the lists of all
copies is followed, and every copy of every blob counts as needed. One whole list for each tree is the least; a blob of
which no copy is known, or a tree none of whose lists opens, makes the snapshot one that is not whole. Trees are
taken in batches by their places, so that packs are read about in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from ..blobs.fetching import FarWindows, Range
from ..blobs.index import BlobCopy, find_prefixes
from ..blobs.windows import PackWindows
from ..crypto.blob import CHILD_PREFIX_BYTES, unseal_child_list
from ..errors import DamagedObjectError, DamageError, MissingObjectError, StoreError
from ..format.names import pack_path
from ..format.pack import BlobKind
from ..stores.cached import trees_of
from ..stores.protocol import lanes_of
from ..types import BlobId
from .context import RepositoryContext
from .marks import BlobMarks
from .meter import Meter
from .reading import is_fault_of_place

_TREES_AT_ONCE: Final = 1024
_LISTS_AT_ONCE: Final = 256


class Reach:
    """Follows the trees of one repository."""

    def __init__(self, source: RepositoryContext, meter: Meter) -> None:
        self._source = source
        self._meter = meter
        self.lost: list[bytes] | None = None
        """Where it is a list, following goes on past what is not there or does not open, and its prefixes go here."""
        self.refreshing = True
        """Whether the index is read again where something is not in it. What was marked before has new copies then."""
        self.repeated: bytearray | None = None
        """Where it is set, the prefixes of blobs of which there are several copies are joined here, each once."""
        self._index = source.index(refresh=True).index
        self._keys: dict[int, bytes] = {}
        lanes = lanes_of(source.store)
        self._windows = FarWindows(trees_of(source.store), lanes) if lanes > 1 else PackWindows(source.store)

    def below(self, root_id: BlobId, known: BlobMarks) -> BlobMarks:
        """Return the places of all copies of everything from `root_id` on that is not in `known`.

        Raises MissingObjectError, DamagedObjectError, StoreError, OperationCancelledError."""
        found = BlobMarks()
        self._follow([root_id], known, found)
        return found

    def follow(self, root_ids: Sequence[BlobId], marks: BlobMarks) -> None:
        """Mark all copies of everything from these roots on; what is marked already is not followed again.

        Raises as `below`, after which `marks` is of no use."""
        self._follow(root_ids, BlobMarks(), marks)

    def _follow(self, root_ids: Sequence[BlobId], known: BlobMarks, found: BlobMarks) -> None:
        waiting: deque[bytes] = deque()
        self._mark(sorted({root_id[:CHILD_PREFIX_BYTES] for root_id in root_ids}), known, found, waiting)
        while waiting:
            self._meter.step()
            trees = [waiting.popleft() for _ in range(min(len(waiting), _TREES_AT_ONCE))]
            self._mark(sorted(self._children(trees)), known, found, waiting)

    def _mark(self, prefixes: Sequence[bytes], known: BlobMarks, found: BlobMarks, waiting: deque[bytes]) -> None:
        """Mark all copies of blobs; those of trees that were not marked before go to `waiting`."""
        for prefix, copies in zip(prefixes, self._find(prefixes), strict=True):
            is_any_new = new_tree = False
            for position, copy in copies:
                is_new = (copy.pack, position) not in known and found.add(copy.pack, position)
                is_any_new = is_any_new or is_new
                new_tree = new_tree or (is_new and copy.entry.kind == BlobKind.TREE)
            if new_tree:
                waiting.append(prefix)
            if is_any_new and self.repeated is not None and len(copies) > 1:
                self.repeated += prefix

    def _find(self, prefixes: Sequence[bytes]) -> list[list[tuple[int, BlobCopy]]]:
        found = find_prefixes(self._index, prefixes)
        if not all(found):
            if self.refreshing:
                self._source.index(refresh=True)  # another station may have stored it since, or repacked it
            found = find_prefixes(self._index, prefixes)
            if not all(found) and self.lost is not None:
                self.lost += [prefix for prefix, copies in zip(prefixes, found, strict=True) if not copies]
            elif not all(found):
                raise MissingObjectError(
                    "A piece of the snapshot is not in the repository (no pack holds it).", code="missing_blob"
                )
        return found

    def _children(self, trees: Sequence[bytes]) -> set[bytes]:
        copies = [
            (copy.pack, copy.entry.offset, number, copy)
            for number, some in enumerate(self._find(trees))
            for _, copy in some
            if copy.entry.kind == BlobKind.TREE
        ]
        copies.sort(key=lambda item: item[:3])
        children: set[bytes] = set()
        opened: set[int] = set()
        for at in range(0, len(copies), _LISTS_AT_ONCE):
            some_copies = copies[at : at + _LISTS_AT_ONCE]
            stored = self._read([copy for _, _, _, copy in some_copies])
            for (_, _, number, copy), sealed in zip(some_copies, stored, strict=True):
                listed = self._open(copy, sealed)
                if listed is None:  # a window may have gone bad on the way, or in a cache
                    listed = self._open(copy, self._read_alone(copy))
                if listed is not None:
                    opened.add(number)
                    children.update(listed)
        if len(opened) < len(trees) and self.lost is not None:
            self.lost += [prefix for number, prefix in enumerate(trees) if number not in opened]
        elif len(opened) < len(trees):
            raise DamagedObjectError(
                "A part of the snapshot's tree is damaged, in all its copies.", code="damaged_blob"
            )
        return children

    def _read(self, copies: Sequence[BlobCopy]) -> list[bytes | None]:
        """Return sealed child lists; None for one that cannot be read this way."""
        if isinstance(self._windows, PackWindows):
            return [self._read_alone(copy) for copy in copies]
        found = self._windows.read_many([_range_of(copy) for copy in copies])
        return [bytes(item) if isinstance(item, memoryview) else None for item in found]

    def _read_alone(self, copy: BlobCopy) -> bytes | None:
        """Return the sealed child list as the store itself has it. StoreError if the store as a whole fails."""
        try:
            if isinstance(self._windows, PackWindows):
                return self._windows.read(*_range_of(copy))
            path, _, offset, size = _range_of(copy)
            return self._source.store.get(path, offset=offset, size=size)
        except (DamageError, StoreError) as error:
            if is_fault_of_place(self._source.store, error):
                return None
            raise

    def _open(self, copy: BlobCopy, sealed: bytes | None) -> tuple[bytes, ...] | None:
        epoch = copy.entry.epoch
        if epoch not in self._keys:
            self._keys[epoch] = self._source.catalogue_keys(epoch).child_list
        key = self._keys[epoch]
        try:
            repository_id = self._source.config.repository_id
            return None if sealed is None else unseal_child_list(key, repository_id, copy.entry.blob_id, sealed)
        except DamageError:
            return None


def _range_of(copy: BlobCopy) -> Range:
    return Range(pack_path(copy.pack), copy.pack_size, copy.entry.offset, copy.entry.child_size)
