"""Which paths of a snapshot a restore takes.

Here: `Selection`. Not here: reading the snapshot.

Rules: a path without wildcards means itself and everything below it, and must exist. One with `*`, `?` or `[` is a
pattern in gitignore syntax; a folder that fits is taken whole. No paths means everything. Excludes are applied last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum

from ...errors import EntryNotFoundError
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
        self._given = list(paths)
        self._literal: list[tuple[bytes, ...]] = []
        self._patterns: dict[str, ExcludeRules] = {}
        self._matched: set[str] = set()
        exclude = tuple(exclude)
        self._exclude = ExcludeRules(exclude)
        self.excludes_some = bool(exclude)
        self.everything = not self._given

    def resolve(self, view: SnapshotView) -> None:
        """Tell paths from patterns: what is in the snapshot as it stands is a path.

        Raises EntryNotFoundError, InputError.
        """
        for path in self._given:
            try:
                view.find(path)
            except EntryNotFoundError:
                if not _WILDCARDS.search(path):
                    raise
                self._patterns[path] = ExcludeRules([path])
            else:
                self._literal.append(tuple(split_path(path)))

    def unmatched(self) -> list[str]:
        """Return the patterns that nothing fitted."""
        return [pattern for pattern in self._patterns if pattern not in self._matched]

    def excludes(self, path: tuple[bytes, ...], *, is_directory: bool) -> bool:
        """Tell whether the path is one that is left as it is."""
        text = b"/".join(path).decode("utf-8", "surrogateescape")
        return self._exclude.excludes(text, is_directory=is_directory, size=0)

    @property
    def start(self) -> Part:
        """How much of the root is taken."""
        return Part.WHOLE if self.everything else Part.PERHAPS

    def takes(self, path: Sequence[bytes]) -> bool:
        """Tell whether the thing at `path`, which is no folder, is taken."""
        if self.everything and not self.excludes_some:
            return True
        part = self.start
        for count in range(1, len(path) + 1):
            part = self.part(tuple(path[:count]), is_directory=count < len(path), above=part)
            if part is Part.NONE:
                return False
        return part is Part.WHOLE

    def part(self, path: tuple[bytes, ...], *, is_directory: bool, above: Part) -> Part:
        """Return how much of the entry at `path` is taken, given how much of its folder is."""
        if self.excludes_some and self.excludes(path, is_directory=is_directory):
            return Part.NONE
        if self.everything or above is Part.WHOLE:
            return Part.WHOLE
        text = b"/".join(path).decode("utf-8", "surrogateescape")
        if any(path[: len(wanted)] == wanted for wanted in self._literal):
            return Part.WHOLE
        fitting = [
            name for name, rule in self._patterns.items() if rule.excludes(text, is_directory=is_directory, size=0)
        ]
        if fitting:
            self._matched.update(fitting)
            return Part.WHOLE
        on_the_way = any(wanted[: len(path)] == path for wanted in self._literal)
        return Part.PERHAPS if is_directory and (on_the_way or self._patterns) else Part.NONE
