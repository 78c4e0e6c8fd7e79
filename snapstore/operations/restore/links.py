"""Hard links of a restore: which file a link means, and whether it is there.

Here: `Links`. Not here: making links, or restoring a file whose first name is not there (`entries`).

Rules: links are made when the files are there, at the end, and what is kept until then is for each link, never for each
file. Where the file itself is not restored, one link gets its content, and those that mean the same file wait until it
is known whether that went well. The file that a link means is found again by its path; so it is remembered which paths
do *not* hold what the snapshot has: what failed, what was kept without looking, what has another name in the target. A
link is never made to a file of the user's."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from ...errors import DamageError, EntryNotFoundError, TargetError
from ...format.tree import TreeEntry
from ...targets.directory import TargetDirectory
from ...types import EntryType
from ..browse import SnapshotView
from .marker import MARKER_NAME
from .place import Place
from .select import Selection

_LOOKED_UP_MAX: Final = 1024

Path = tuple[bytes, ...]


class Link(NamedTuple):
    """A hard link that is to be made."""

    place: Place
    entry: TreeEntry
    name: bytes


class Links:
    """The links of one restore, and what is known of the files that they mean."""

    def __init__(self, view: SnapshotView, selection: Selection, *, target_was_empty: bool) -> None:
        self.waiting: list[Link] = []
        self._view = view
        self._selection = selection
        self._target_was_empty = target_was_empty
        self._lost: set[Path] = set()
        self._renamed: dict[Path, bytes] = {}
        self._instead: dict[bytes, Path] = {}
        self._copies: dict[tuple[int, bytes], Link] = {}
        self._copying: set[bytes] = set()
        self._damaged: set[bytes] = set()
        self._looked_up: dict[bytes, bool] = {}

    def is_ready(self, link: Link) -> bool:
        """Whether a link need not wait for more files: the one it means is not to come, or a copy is there."""
        first = first_name(link)
        return not self.awaits_copy(link) and (first in self._instead or not self._selection.takes(first.split(b"/")))

    def lose(self, path: Path) -> None:
        """Note that what is at `path` in the target, or below it, is not what the snapshot has there."""
        self._lost.add(path)

    def rename(self, path: Path, name: bytes) -> None:
        """Note that what the snapshot has at `path` has another name in the target."""
        self._renamed[path] = name

    def restored_instead(self, link: Link) -> None:
        """Note that the file a link means was restored under the link's name; other links mean that one now."""
        self._instead[first_name(link)] = target_path(link.place, link.name)

    def begin_copy(self, link: Link) -> None:
        """Note that the file a link means is on its way to the link's name."""
        self._copies[id(link.place), link.name] = link
        self._copying.add(first_name(link))

    def end_copy(self, place: Place, name: bytes, failure: Exception | None) -> None:
        """Note how the copy ended that is on its way to `name`, if one is."""
        link = self._copies.pop((id(place), name), None) if self._copies else None
        if link is None:
            return
        self._copying.discard(first_name(link))
        if failure is None:
            self.restored_instead(link)
        elif isinstance(failure, DamageError):
            self._damaged.add(first_name(link))

    def awaits_copy(self, link: Link) -> bool:
        """Whether a copy is on its way that the link may come to mean. Not of what was found damaged: each link is
        tried by itself then, and none waits for another's failure."""
        first = first_name(link)
        return first in self._copying and first not in self._damaged

    def first_of(self, link: Link, root: TargetDirectory | None) -> Path | None:
        """Return where in the target the file is that a link means, or None if it was not restored.

        Without `root` nothing is written, and it is enough that it would be restored."""
        first = first_name(link)
        if first in self._instead:
            return self._instead[first]
        path = tuple(first.split(b"/"))
        prefixes = [path[:count] for count in range(1, len(path) + 1)]
        if any(prefix in self._lost for prefix in prefixes) or not self._selection.takes(path):
            return None
        if (not self._target_was_empty or path == (MARKER_NAME,) or root is None) and not self._is_file(first):
            return None
        there = tuple(self._renamed.get(prefix, prefix[-1]) for prefix in prefixes)
        return there if root is None or _is_linkable(root, there) else None

    def _is_file(self, first: bytes) -> bool:
        """Whether the snapshot itself has something to link to at that path."""
        known = self._looked_up.get(first)
        if known is None:
            try:
                entry = self._view.find("/".join(os.fsdecode(name) for name in first.split(b"/")))
                known = entry.type not in (EntryType.DIRECTORY, EntryType.HARD_LINK)
            except (DamageError, EntryNotFoundError):
                known = False
            if len(self._looked_up) >= _LOOKED_UP_MAX:
                self._looked_up.clear()
            self._looked_up[first] = known
        return known


def first_name(link: Link) -> bytes:
    """Return the path in the snapshot of the file that a link means."""
    assert link.entry.hard_link is not None
    return link.entry.hard_link


def target_path(place: Place, name: bytes) -> Path:
    """The names that lead to `name` in the target, from its root."""
    names = [name]
    step: Place | None = place
    while step is not None and step.parent is not None:
        names.append(step.name)
        step = step.parent
    return tuple(reversed(names))


def _is_linkable(root: TargetDirectory, path: Path) -> bool:
    folder = root
    try:
        for name in path[:-1]:
            folder = folder.child(name)
        found = folder.stat(path[-1])
    except TargetError:
        return False
    return found is not None and found.type not in (None, EntryType.DIRECTORY)
