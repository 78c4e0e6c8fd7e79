"""What is needed, pack by pack.

Here: `Needs`, which blobs snapshots need, and `PackUse`, how much of each pack that is. Not here: what is done with it
(`plan`), which copies need not all stay (`duplicates`).

Rules: every copy of every blob that any root reaches is needed, until another one that is the same in every byte has
been read. Marks and rows are bytes: no object exists for each blob. A root whose tree cannot be followed stops the
prune, by its name; one that a quarantine record names is followed as far as it goes.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Final, NamedTuple

from ...blobs.index import BlobIndex, rows_of
from ...errors import DamageError, InUseError, PruneRefusedError
from ...format.pack import ENTRY_BYTES
from ..context import RepositoryContext
from ..marks import BlobMarks
from ..meter import Meter
from ..reach import Reach
from .roots import Root, refused

_TRIES: Final = 5
_WORDS: Final = ENTRY_BYTES // 4
_STORED_SIZE_WORD: Final = 10  # of an entry's 84 bytes, 40 to 43
_KIND_BYTE: Final = 32


class PackUse(NamedTuple):
    """One listed pack whose entries are known."""

    name: str
    size: int
    kind: int
    blobs: int
    used_blobs: int
    stored_bytes: int
    """Of all its blobs."""
    used_bytes: int
    """Of those that are needed."""


@dataclass(slots=True)
class Needs:
    """What the roots that were followed need."""

    marks: BlobMarks = field(default_factory=BlobMarks)
    repeated: bytearray = field(default_factory=bytearray)
    """The first 16 bytes of the ids of which there were several copies, each once."""
    lost: list[bytes] = field(default_factory=list)
    """What quarantined roots need and nothing holds, or what does not open."""

    def follow(self, context: RepositoryContext, roots: Iterable[Root], meter: Meter) -> None:
        """Add everything below `roots`, by an index that is read now and stays the same meanwhile.

        Where another prune deletes what that index names, everything is followed again by the next: half by the one
        and half by the other, new copies of what was marked before would be of no use to anybody. Raises
        PruneRefusedError, StoreError, OperationCancelledError."""
        planned = list(roots)
        if not planned:
            return
        for _ in range(_TRIES):
            found = Needs(marks=self.marks.copy(), repeated=bytearray(self.repeated), lost=list(self.lost))
            reach = Reach(context, meter)
            reach.refreshing = False
            before = set(context.index(refresh=False).listed)
            try:
                found._follow(reach, planned)
            except PruneRefusedError:
                if before.issubset(context.index(refresh=True).listed):
                    raise
                continue
            self.marks, self.repeated, self.lost = found.marks, found.repeated, found.lost
            return
        raise InUseError("Packs vanish while they are looked through; is another prune at work? Try again later.")

    def _follow(self, reach: Reach, roots: list[Root]) -> None:
        reach.repeated = self.repeated
        strict = [root for root in roots if not root.quarantined]
        try:
            if self.lost:  # a tree that was passed over before does not show again
                for root in strict:
                    self.marks.update(reach.below(root.root_id, BlobMarks()))
            else:
                reach.follow([root.root_id for root in strict], self.marks)
        except DamageError as error:
            raise _by_name(reach, strict, error) from error
        reach.lost = self.lost
        reach.follow([root.root_id for root in roots if root.quarantined], self.marks)


def _by_name(reach: Reach, roots: Sequence[Root], error: DamageError) -> PruneRefusedError:
    """Return the error with the name of the first root that it is about."""
    for root in roots:
        try:
            reach.below(root.root_id, BlobMarks())
        except DamageError as found:
            return refused(f"The snapshot {root.snapshot_id.hex()} is not whole: {found}", root.names[0])
    return refused(f"A snapshot is not whole: {error}", roots[0].names[0])


def uses_of(index: BlobIndex, listed: dict[str, int], marks: BlobMarks) -> list[PackUse]:
    """Return how much of each pack is needed: of those that are listed with the size that the index gives."""
    uses = []
    for name, size, _ in index.packs():
        if listed.get(name) == size:
            rows = rows_of(index, name)
            sizes = _stored_sizes(rows)
            marked = marks.row(name)
            used = sum(compress(sizes, marked))
            uses.append(PackUse(name, size, rows[_KIND_BYTE], len(sizes), marked.count(1), sum(sizes), used))
    return uses


def _stored_sizes(rows: bytes) -> array[int]:
    words = array("I", rows)
    if sys.byteorder == "big":
        words.byteswap()
    return words[_STORED_SIZE_WORD::_WORDS]
