"""When snapshots were taken, as far as their clocks can be believed.

Here: `effective_times`. Not here: what is done with them (policy.py).

Rules (docs/design/012-effective-time.md): numbers tell the order, and times of one order rise. The longest chain of
times that rise with the numbers is believed; of several the one over the least span, so that a time far off is outside.
A snapshot outside the chain counts as taken when the next one of the chain was: never before, and so never instead of
another one. With one wrong clock that is the least time among the snapshot and all later ones whose clocks are right.

What comes after the end of the newest chain has nobody to bear it out: its time is open. What comes before its
beginning with later times is an age of its own, in which the same is done once more: that the clock of a computer went
back to its first day for good must not make one day of all the years before.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EffectiveTime:
    """When a snapshot counts as taken."""

    time_ns: int
    age: int
    """0 for the newest chain and all that it bears out, 1 for the one before it."""
    believed: bool
    """Whether it is a member of its chain, so that the time is its own."""
    open: bool
    """Whether nothing tells when it was taken: it stands after the end of the newest chain."""


def effective_times(times_ns: Sequence[int]) -> list[EffectiveTime]:
    """Return the effective time of each snapshot; `times_ns` is in the order of numbers, the oldest first."""
    effective: list[EffectiveTime] = []  # from the newest on
    end, age = len(times_ns), 0
    while end:
        chain = _chain(times_ns[:end])
        members = set(chain)
        next_ns = None
        for position in reversed(range(chain[0], end)):
            believed = position in members
            if believed:
                next_ns = times_ns[position]
            time_ns = times_ns[chain[-1]] if next_ns is None else next_ns
            effective.append(EffectiveTime(time_ns, age, believed, next_ns is None and age == 0))
        end, age = chain[0], age + 1
    effective.reverse()
    return effective


def _chain(times_ns: Sequence[int]) -> list[int]:
    """Return the positions of the longest chain of times that do not fall; of several the one of the least span."""
    ranks = sorted(set(times_ns))
    best = _BestBelow(len(ranks))
    before: list[int] = []
    winner, winning = -1, (0, 0, 0)
    for position, time_ns in enumerate(times_ns):
        size, start, previous = best.up_to(bisect_right(ranks, time_ns))
        if previous < 0:
            start = time_ns
        before.append(previous)
        found = (size + 1, start, position)
        best.take(bisect_left(ranks, time_ns), found)
        worth = (size + 1, start - time_ns, time_ns)
        if winner < 0 or worth > winning:
            winner, winning = position, worth
    chain = []
    while winner >= 0:
        chain.append(winner)
        winner = before[winner]
    chain.reverse()
    return chain


class _BestBelow:
    """The best of all entries up to a rank: the longest, then the one that begins latest (a Fenwick tree)."""

    def __init__(self, count: int) -> None:
        self._best = [(0, 0, -1)] * (count + 1)

    def up_to(self, count: int) -> tuple[int, int, int]:
        """Return the best of the first `count` ranks: its size, the time it begins with, its last position."""
        best = (0, 0, -1)
        while count:
            best = max(best, self._best[count])
            count -= count & -count
        return best

    def take(self, rank: int, entry: tuple[int, int, int]) -> None:
        """Enter a chain that ends at `rank`."""
        number = rank + 1
        while number < len(self._best):
            self._best[number] = max(self._best[number], entry)
            number += number & -number
