"""Which blobs a snapshot needs, by the child lists of its trees.

Here: `Reach`. Not here: reading or sending the blobs.

Rules: only the maintenance key is needed (docs/format/05-blobs.md). A child list that opens is what some writer of the
repository sealed. Whether it was an honest one only the dossier's key could tell: so the union of the lists of all
copies is followed, and every copy of every blob counts as needed. One whole list for each tree is the least; a blob of
which no copy is known, or a tree none of whose lists opens, makes the snapshot one that cannot be copied. Trees are
taken in batches by their places, so that packs are read about in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from ...blobs.index import BlobCopy, find_prefixes
from ...blobs.windows import PackWindows
from ...crypto.blob import CHILD_PREFIX_BYTES, unseal_child_list
from ...errors import DamagedObjectError, DamageError, MissingObjectError, ObjectNotFoundError
from ...format.names import pack_path
from ...format.pack import BlobKind
from ...types import BlobId
from ..context import RepositoryContext
from ..meter import Meter
from .marks import BlobMarks
from .reading import is_fault_of_place

_TREES_AT_ONCE: Final = 1024
_WINDOWS: Final = 32


class Reach:
    """Follows the trees of one repository."""

    def __init__(self, source: RepositoryContext, meter: Meter) -> None:
        self._source = source
        self._meter = meter
        self._index = source.index(refresh=True).index
        self._windows = PackWindows(source.store, windows_kept=_WINDOWS)

    def below(self, root_id: BlobId, known: BlobMarks) -> BlobMarks:
        """Return the places of all copies of everything from `root_id` on that is not in `known`.

        Raises MissingObjectError, DamagedObjectError, StoreError, OperationCancelledError."""
        found = BlobMarks()
        waiting: deque[bytes] = deque()
        self._mark([root_id[:CHILD_PREFIX_BYTES]], known, found, waiting)
        while waiting:
            self._meter.step()
            trees = [waiting.popleft() for _ in range(min(len(waiting), _TREES_AT_ONCE))]
            self._mark(sorted(self._children(trees)), known, found, waiting)
        return found

    def _mark(self, prefixes: Sequence[bytes], known: BlobMarks, found: BlobMarks, waiting: deque[bytes]) -> None:
        """Mark all copies of blobs; those of trees that were not marked before go to `waiting`."""
        for prefix, copies in zip(prefixes, self._find(prefixes), strict=True):
            new_tree = False
            for position, copy in copies:
                is_new = (copy.pack, position) not in known and found.add(copy.pack, position)
                new_tree = new_tree or (is_new and copy.entry.kind == BlobKind.TREE)
            if new_tree:
                waiting.append(prefix)

    def _find(self, prefixes: Sequence[bytes]) -> list[list[tuple[int, BlobCopy]]]:
        found = find_prefixes(self._index, prefixes)
        if not all(found):
            self._source.index(refresh=True)  # another station may have stored it since, or repacked it
            found = find_prefixes(self._index, prefixes)
            if not all(found):
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
        children: set[bytes] = set()
        opened: set[int] = set()
        for _, _, number, copy in sorted(copies, key=lambda item: item[:3]):
            listed = self._child_list(copy)
            if listed is not None:
                opened.add(number)
                children.update(listed)
        if len(opened) < len(trees):
            raise DamagedObjectError(
                "A part of the snapshot's tree is damaged, in all its copies.", code="damaged_blob"
            )
        return children

    def _child_list(self, copy: BlobCopy) -> tuple[bytes, ...] | None:
        entry, path = copy.entry, pack_path(copy.pack)
        key = self._source.catalogue_keys(entry.epoch).child_list
        try:
            sealed = self._windows.view(path, copy.pack_size, entry.offset, entry.child_size)
            return unseal_child_list(key, self._source.config.repository_id, entry.blob_id, sealed)
        except (DamageError, ObjectNotFoundError):
            return None
        except Exception as error:
            if is_fault_of_place(self._source.store, error):
                return None
            raise
