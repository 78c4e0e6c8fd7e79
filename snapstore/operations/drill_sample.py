"""Choosing which files of a snapshot a drill restores.

Here: `Sample`. Not here: restoring them (`drill`).

Rules: of each way in which content is stored some are taken, by chance, whatever their count; what is asked for by name
comes first; the rest is filled up at random as far as the limits go. What is remembered is bounded.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from ..format.tree import TreeEntry

MOST_FILES: Final = 200
_OF_EACH_KIND: Final = 3
_LARGEST_KEPT: Final = 50
COMPANION_ENDINGS: Final = (b"-wal", b"-journal")
_LIKELY: Final = (b".db", b".db3", b".sqlite", b".sqlite3", b".s3db", b".sl3")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file of the snapshot."""

    path: bytes
    size: int
    kind: str

    @classmethod
    def of(cls, path: bytes, entry: TreeEntry) -> Candidate:
        """Return it with the way in which its content is stored."""
        kinds = (
            ("inline", entry.inline),
            ("bundled", entry.slice),
            ("chunks", entry.chunks),
            ("chunk list", entry.chunk_tree),
        )
        kind = next((name for name, value in kinds if value is not None), "empty")
        return cls(path, entry.size or 0, f"{kind}, shared" if entry.shared else kind)


@dataclass(slots=True)
class Sample:
    """Files that may be taken: a fair choice of each kind, however many there are."""

    generator: random.Random
    _kept: dict[str, list[Candidate]] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _largest: list[Candidate] = field(default_factory=list)
    _companions: dict[bytes, Candidate] = field(default_factory=dict)

    def offer(self, candidate: Candidate) -> None:
        """Keep each candidate of a kind with the same chance (reservoir sampling)."""
        kept = self._kept.setdefault(candidate.kind, [])
        count = self._counts[candidate.kind] = self._counts.get(candidate.kind, 0) + 1
        if len(kept) < MOST_FILES:
            kept.append(candidate)
        elif (place := self.generator.randrange(count)) < MOST_FILES:
            kept[place] = candidate
        if candidate.path.endswith(COMPANION_ENDINGS) and candidate.size:
            self._companions[candidate.path] = candidate
        self._largest.append(candidate)
        if len(self._largest) > 4 * _LARGEST_KEPT:
            self._trim()

    def perhaps_databases(self) -> list[Candidate]:
        """Return those that may be databases, by their names or their sizes, the largest first."""
        self._trim()
        return sorted(self._largest, key=lambda item: item.size, reverse=True)

    def with_journals(self, candidate: Candidate) -> list[Candidate]:
        """Return a database and what SQLite has to play back before it is whole."""
        beside = [self._companions.get(candidate.path + ending) for ending in COMPANION_ENDINGS]
        return [candidate, *(item for item in beside if item is not None)]

    def choose(self, first: list[Candidate], max_bytes: int) -> list[Candidate]:
        """Return `first`, some of each kind, and then others at random, as far as the limits go."""
        chosen = dict.fromkeys(first)
        left = max_bytes - sum(item.size for item in first)
        for kept in self._kept.values():
            self.generator.shuffle(kept)
        some = []
        for kept in self._kept.values():
            some += [min(kept, key=lambda item: item.size), *kept[: _OF_EACH_KIND - 1]]
        others = [item for kept in self._kept.values() for item in kept]
        self.generator.shuffle(others)
        for item in (*some, *others):
            if item not in chosen and item.size <= left and len(chosen) < MOST_FILES:
                chosen[item] = None
                left -= item.size
        return list(chosen)

    def _trim(self) -> None:
        self._largest.sort(key=lambda item: (item.path.lower().endswith(_LIKELY), item.size), reverse=True)
        del self._largest[_LARGEST_KEPT:]
