"""What a restore must not remove, whatever it was told to delete.

Here: one question about something in the target. Not here: removing.

Rules: the folders of the repository and of the station's state are kept, and what an exclude names. A folder that
holds such a thing anywhere below is kept whole: better too much than the wrong thing gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...targets.directory import TargetDirectory, TargetStat
from ...types import EntryType


@dataclass(frozen=True, slots=True)
class Keeper:
    """Knows the folders to keep, by device and inode, and asks `excludes` about paths."""

    own_folders: frozenset[tuple[int, int]]
    excludes: Callable[[tuple[bytes, ...], bool], bool]

    def keeps(self, directory: TargetDirectory, path: tuple[bytes, ...], name: bytes, found: TargetStat) -> bool:
        """Tell whether `name` in `directory`, at `path` in the snapshot's terms, or anything below it is to be kept."""
        waiting = [(directory, path, name, found)]
        while waiting:
            above, path, name, found = waiting.pop()
            is_directory = found.type is EntryType.DIRECTORY
            if (found.file_system, found.inode) in self.own_folders or self.excludes((*path, name), is_directory):
                return True
            if is_directory:
                folder = above.child(name)
                waiting.extend((folder, (*path, name), below, item) for below, item in folder.scan().items())
        return False
