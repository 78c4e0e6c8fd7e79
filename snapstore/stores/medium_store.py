"""A store on a medium that was named by what is on it.

Here: `MediumStore`, a folder store that knows its medium. Not here: how the medium was found (media/).

Rule: the medium is as it was when it was found; its free space changes, and `free_bytes` asks.
"""

from __future__ import annotations

from pathlib import Path

from .local import LocalStore
from .media import Medium
from .settling import flush_file_system


class MediumStore(LocalStore):
    """Objects as files below `root`, which lies on `medium`."""

    def __init__(self, root: Path | str, medium: Medium, *, create: bool = False, station: str = "unnamed") -> None:
        super().__init__(root, create=create, station=station)
        self._medium = medium

    @property
    def medium(self) -> Medium:
        """The medium, as it was found."""
        return self._medium

    def settle(self) -> bool:
        """See `SettlingStore.settle`: the whole medium is flushed."""
        return flush_file_system(self.root)
