"""Which paths of a snapshot a restore takes.

Here: `Selection`. Not here: reading the snapshot.

Rules: a path without wildcards means itself and everything below it, and must exist. One with `*`, `?` or `[` is a
pattern in gitignore syntax; a folder that fits is taken whole. No paths means everything. Excludes are applied last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum

from ...sources.excludes import ExcludeRules
from ..browse import SnapshotView, split_path

_WILDCARDS = re.compile(r"[*?\[]")


class Part(Enum):
    """How much of an entry is taken."""

    NONE = 0
    PERHAPS = 1
    """A folder of which something below may be taken."""
    WHOLE = 2


class Selection:
    """Decides for each entry on the way down."""

    def __init__(self, paths: Iterable[str], exclude: Iterable[str]) -> None:
        given = list(paths)
        self._literal = [tuple(split_path(path)) for path in given if not _WILDCARDS.search(path)]
        patterns = [path for path in given if _WILDCARDS.search(path)]
        self._patterns = ExcludeRules(patterns) if patterns else None
        self._exclude = ExcludeRules(tuple(exclude))
        self.everything = not given

    def check(self, view: SnapshotView) -> None:
        """Raise EntryNotFoundError for a path that is not in the snapshot."""
        for path in self._literal:
            view.find("/".join(name.decode("utf-8", "surrogateescape") for name in path))

    def part(self, path: tuple[bytes, ...], *, is_directory: bool, above: Part) -> Part:
        """Return how much of the entry at `path` is taken, given how much of its folder is."""
        text = b"/".join(path).decode("utf-8", "surrogateescape")
        if self._exclude.excludes(text, is_directory=is_directory, size=0):
            return Part.NONE
        if self.everything or above is Part.WHOLE:
            return Part.WHOLE
        if any(path[: len(wanted)] == wanted for wanted in self._literal):
            return Part.WHOLE
        if self._patterns is not None and self._patterns.excludes(text, is_directory=is_directory, size=0):
            return Part.WHOLE
        on_the_way = any(wanted[: len(path)] == path for wanted in self._literal)
        return Part.PERHAPS if is_directory and (on_the_way or self._patterns is not None) else Part.NONE
