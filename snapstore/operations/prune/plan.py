"""Which packs go, which are written anew, and which are left for another time.

Here: `choose`, a pure function over how much of each pack is needed. Not here: finding that out, and doing it.

Rules: a pack of which nothing is needed goes. Of the others, those that gain most are written anew, until what is of no
use in the rest is below the threshold; and small ones together once there are many, since each costs a line in every
listing. Nothing is written anew unless that gives room back: what a pack would take when written anew is computed, with
its padding, so that a prune after a prune finds nothing to do. What another pruner condemned counts as lost: what is
needed of it is written anew first.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...format.names import padme
from ...format.pack import ENTRY_BYTES, header_size
from ...limits import MIB, PACK_TARGET_BYTES
from ...upkeep_types import PruneOptions
from .survey import PackUse

_SMALL_BYTES: Final = 2 * MIB
_SMALL_PACKS: Final = 16  # of a kind; together they fill one pack


@dataclass(slots=True)
class Choice:
    """What is to be done with the packs."""

    delete: list[PackUse] = field(default_factory=list)
    repack: list[PackUse] = field(default_factory=list)
    """What is needed of them is written anew, then they go. Those that others condemned first."""
    later_bytes: int = 0
    """Of no use, and left."""
    fresh_bytes: int = 0
    """What is written anew will take about so much."""

    @property
    def repack_bytes(self) -> int:
        """Bytes of blobs to be written anew."""
        return sum(use.used_bytes for use in self.repack)

    @property
    def freed_bytes(self) -> int:
        """What the medium gains."""
        return sum(use.size for use in (*self.delete, *self.repack)) - self.fresh_bytes


def choose(uses: Sequence[PackUse], lost: Container[str], options: PruneOptions) -> Choice:
    """Choose among packs. `lost` are those that others condemned."""
    choice = Choice()
    choice.delete = [use for use in uses if not use.used_blobs]
    used = [use for use in uses if use.used_blobs]
    others = _within([use for use in used if use.name in lost], options.max_repack_bytes)
    spent = sum(use.used_bytes for use in others)
    left = None if options.max_repack_bytes is None else options.max_repack_bytes - spent
    choice.repack = [*others, *_worth_it([use for use in used if use.name not in lost], left, options.max_unused)]
    chosen = {use.name for use in choice.repack}
    choice.later_bytes = sum(use.stored_bytes - use.used_bytes for use in used if use.name not in chosen)
    for kind in {use.kind for use in choice.repack}:
        choice.fresh_bytes += fresh_size(use for use in choice.repack if use.kind == kind)
    return choice


def _within(uses: Sequence[PackUse], limit: int | None) -> list[PackUse]:
    """Return as many as can be written anew within the limit."""
    chosen = []
    for use in uses:
        if limit is None or use.used_bytes <= limit:
            chosen.append(use)
            limit = None if limit is None else limit - use.used_bytes
    return chosen


def _worth_it(uses: Sequence[PackUse], limit: int | None, max_unused: float) -> list[PackUse]:
    """Return what to write anew, that which gains most for each byte first."""
    allowed = max_unused * sum(_least_size(use) for use in uses)
    wasted = sum(_waste(use) for use in uses)
    wanted: set[str] = set()
    many: set[int] = set()
    ordered = sorted(uses, key=lambda use: (-_waste(use) / use.size, use.name))
    for use in ordered:
        if wasted <= allowed:
            break
        wanted.add(use.name)
        wasted -= _waste(use)
    for kind in {use.kind for use in uses}:
        small = [use for use in uses if use.kind == kind and use.size < _SMALL_BYTES]
        if len(small) >= _SMALL_PACKS:
            wanted.update(use.name for use in small)
            many.add(kind)
    planned = _within([use for use in ordered if use.name in wanted], limit)
    chosen: list[PackUse] = []
    for kind in sorted({use.kind for use in planned}):
        some = [use for use in planned if use.kind == kind]
        gain = sum(use.size for use in some) - fresh_size(some)
        if gain > max_unused * sum(use.size for use in some) or (kind in many and gain >= 0):
            chosen += some
    return chosen


def fresh_size(uses: Iterable[PackUse]) -> int:
    """Return what the needed blobs of some packs, all of one kind, take in new ones."""
    blob_bytes = blobs = 0
    for use in uses:
        blob_bytes += use.used_bytes
        blobs += use.used_blobs
    packs = -(-(blob_bytes + blobs * ENTRY_BYTES) // PACK_TARGET_BYTES)
    if packs == 0:
        return 0
    return packs * padme(blob_bytes // packs + header_size(max(1, blobs // packs)))


def _least_size(use: PackUse) -> int:
    return use.used_bytes + use.used_blobs * ENTRY_BYTES


def _waste(use: PackUse) -> int:
    return max(0, use.size - _least_size(use))
