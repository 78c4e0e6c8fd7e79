"""Which packs a check reads, so that a part each day covers all of them in a while.

Here: `DataPlan`, and remembering what was read when. Not here: reading (`packs`).

Rules: what was read longest ago comes first, and what never was before that. Packs of trees are read in every check,
since all else rests on them, and so are those that were damaged when they were read last. A share is one of the bytes
of the other packs and is never undercut, so a share of a tenth covers everything in ten checks. Limits end the choice
with the pack in which they are reached: at least one is read. What the station remembers decides nothing but the order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from ...station import verified_packs
from ...upkeep_types import CheckOptions
from ..clock import time_of
from ..context import RepositoryContext
from .packs import PackState

_DAMAGED: Final = 0
"""In place of the time at which a pack was found right."""


class DataPlan:
    """What is read of a medium, and what was."""

    def __init__(self, context: RepositoryContext, packs: Mapping[str, int], options: CheckOptions) -> None:
        """`packs` are all that are listed, with their sizes."""
        config = context.config
        self._file = verified_packs(context.state.path, config.repository_id, config.medium_id)
        self._is_clone = context.is_clone
        self._known = {} if context.is_clone else self._file.read()
        self._before = dict(self._known)
        self._packs = packs
        self._options = options

    def doubtful(self) -> set[str]:
        """Return the packs that were damaged when they were read last."""
        return {name for name in self._packs if self._known.get(name) == _DAMAGED}

    def chosen(self, packs: Iterable[str], seconds: Callable[[], float]) -> Iterator[tuple[str, int]]:
        """Yield names and sizes of those of `packs` that are due. `seconds` tells how long the check has taken."""
        due = sorted(packs, key=lambda name: (self._before.get(name, -1), name))  # names are random
        limit = self._limit(due)
        taken = 0
        for name in due:
            over = limit is not None and taken >= limit
            late = self._options.max_seconds is not None and seconds() >= self._options.max_seconds
            if over or (late and taken):
                return
            yield name, self._packs[name]
            taken += self._packs[name]

    def bytes_due(self, packs: Iterable[str]) -> int:
        """Return about how many bytes of `packs` are going to be read, were there no limit of time."""
        names = list(packs)
        total = sum(self._packs[name] for name in names)
        limit = self._limit(names)
        return total if limit is None else min(total, limit)

    def take(self, state: PackState) -> None:
        """Take note of a pack that was read."""
        self._known[state.name] = max(1, int(time.time())) if state.whole else _DAMAGED

    def remember(self) -> None:
        """Keep what was noted; nothing of a clone, which has another medium's id for now."""
        if not self._is_clone:
            self._file.write(self._known, self._packs)

    def verified_bytes(self) -> int:
        """Return the bytes of packs that are there and were read at some time."""
        return sum(size for name, size in self._packs.items() if self._known.get(name))

    def oldest(self) -> datetime | None:
        """Return when the pack was read that was read longest ago; None if some never was, or there is none."""
        times = [self._known.get(name) for name in self._packs]
        known = [when for when in times if when]
        return time_of(min(known) * 10**9) if known and len(known) == len(times) else None

    def _limit(self, names: Iterable[str]) -> int | None:
        limits = []
        if self._options.share is not None:
            total = sum(self._packs[name] for name in names)
            limits.append(-int(-total * min(1.0, max(0.0, self._options.share)) // 1))
        if self._options.max_bytes is not None:
            limits.append(max(1, self._options.max_bytes))
        return min(limits) if limits else None
