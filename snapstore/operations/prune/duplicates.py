"""Copies of blobs that are the same in every byte, of which one is enough.

Here: `drop_duplicates`. Not here: copies that differ, which all stay: only the dossier's key tells which is honest.

Rules: two copies are the same if all is that a header says of them, but for the place: stored hash, voucher, sizes and
the rest. One is dropped only when the one that stays has been read, and its bytes have that hash. Which one stays does
not depend on the blob: packs have an order, and all that two packs have in common stays in the one that comes first, so
that the other is of no use and not both of half.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from ...blobs.index import BlobCopy, BlobIndex, find_prefixes
from ...blobs.segments import PREFIX_BYTES
from ...format.names import pack_path
from ...format.pack import PackEntry
from ...stores.protocol import Store
from ...types import Problem
from ..context import RepositoryContext
from ..marks import BlobMarks
from ..meter import Meter
from ..reading import read_blobs
from .survey import Needs, PackUse

_AT_ONCE: Final = 4096
_Place = tuple[str, int]
Rank = Mapping[str, tuple[float, int, str]]


def rank_of(uses: Collection[PackUse], lost: Collection[str]) -> Rank:
    """Return the order of packs whose copies may stay: those most in use first, then the largest."""
    return {
        use.name: (-round(use.used_bytes / max(1, use.size), 1), -use.size, use.name)
        for use in uses
        if use.name not in lost
    }


def drop_duplicates(
    context: RepositoryContext, needs: Needs, rank: Rank, meter: Meter, *, verify: bool
) -> tuple[BlobMarks, BlobMarks, list[Problem]]:
    """Return which copies must stay, and which of these were read and stand for others.

    Without `verify` nothing is read, and all are taken for whole."""
    index = context.index(refresh=False).index
    keepers = BlobMarks()
    for group in _groups(index, needs.repeated, rank):
        keepers.add(*group[0])
    problems: list[Problem] = []
    verified = _verified(context, index, keepers, meter, problems) if verify else keepers
    kept = needs.marks.copy()
    for first, *others in _groups(index, needs.repeated, rank):
        if first in verified:
            for pack, position in others:
                kept.discard(pack, position)
    return kept, verified, problems


def _groups(index: BlobIndex, prefixes: bytearray, rank: Rank) -> Iterator[list[_Place]]:
    """Yield the places of copies that are the same, that which stays first. Those of packs without a rank come last."""
    last = (1.0, 0, "")
    for copies in _each(index, prefixes):
        same: dict[PackEntry, list[_Place]] = {}
        for position, copy in copies:
            same.setdefault(without_place(copy.entry), []).append((copy.pack, position))
        for places in same.values():
            places.sort(key=lambda place: (*rank.get(place[0], last), place[1]))
            if len(places) > 1 and places[0][0] in rank:
                yield places


def _each(index: BlobIndex, prefixes: bytearray) -> Iterator[list[tuple[int, BlobCopy]]]:
    step = _AT_ONCE * PREFIX_BYTES
    for at in range(0, len(prefixes), step):
        some = prefixes[at : at + step]
        yield from find_prefixes(
            index, [bytes(some[start : start + PREFIX_BYTES]) for start in range(0, len(some), PREFIX_BYTES)]
        )


def without_place(entry: PackEntry) -> PackEntry:
    """Return what two copies that are the same have in common."""
    return entry._replace(offset=0)


def _verified(
    context: RepositoryContext, index: BlobIndex, keepers: BlobMarks, meter: Meter, problems: list[Problem]
) -> BlobMarks:
    """Return those that can be read and have their stored hash."""
    verified = BlobMarks()
    sizes = {name: size for name, size, _ in index.packs()}
    for pack in keepers.packs():
        entries = index.entries(pack)
        position_of = {entries[position].offset: position for position in keepers.positions(pack)}
        wanted = [entries[position] for position in keepers.positions(pack)]
        for whole, broken in read_blobs(context.store, pack, sizes[pack], wanted):
            for blob in whole:
                verified.add(pack, position_of[blob.entry.offset])
            meter.step(size=sum([len(blob.stored) for blob in whole]))
            if broken and is_there(context.store, pack):
                problems.append(damaged_blobs(pack, len(broken)))
    return verified


def is_there(store: Store, pack: str) -> bool:
    """Tell whether a pack is listed still: another prune may have deleted what could not be read."""
    path = pack_path(pack)
    return any(item.name == path for item in store.list(path.rpartition("/")[0]))


def damaged_blobs(pack: str, count: int) -> Problem:
    """Return the problem of a pack in which something that is needed cannot be read."""
    message = f"{count} blobs that snapshots need are damaged in this pack; it was left as it is. Repair it."
    return Problem(code="damaged_blob", path=f"packs/{pack}", message=message)


def is_held(copies: list[tuple[int, BlobCopy]], wanted: PackEntry, holds: Callable[[str, int], bool]) -> bool:
    """Tell whether one of these copies is the same as `wanted` and lies where `holds` says that it may."""
    key = without_place(wanted)
    return any(holds(copy.pack, position) and without_place(copy.entry) == key for position, copy in copies)
