"""How much there is to save, told while it is being saved.

Here: totals for the progress: those of the last snapshot of the same sources, or a count made by a thread beside the
walk; and from the count, whether the store has room (room.py). Not here: anything the snapshot depends on.

Rules: nothing is counted when nobody listens and there is room for all of the last snapshot once more. The count stops
with the snapshot. It is an estimate: files come and go, and those excluded for what they are (caches, other file
systems) are counted.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ...errors import SnapstoreError
from ...limits import MIB
from ...sources.directory import SourceDirectory, open_source
from ...sources.excludes import ExcludeRules
from ...sources.layout import SourceLayout, SourceNode
from ...types import EntryType
from ..history import History
from ..meter import Meter
from .room import notice_of_room

_BEGIN_AFTER_SECONDS: Final = 5.0  # a short run needs no estimate, and counting takes time from the walk
_BEGIN_SOON_SECONDS: Final = 1.0  # where the room is scarce, the user should hear of it before much is written
_SCARCE_BYTES: Final = 8 * 1024 * MIB


@contextlib.contextmanager
def estimated(
    layout: SourceLayout, rules: ExcludeRules, history: History, meter: Meter, free_bytes: int | None = None
) -> Iterator[None]:
    """Give the meter its totals: at once if they are known, else when they are counted; and a notice if they may not
    fit into `free_bytes`."""
    last_total = _last_total(layout, history, meter)
    fits = free_bytes is None or (last_total is not None and free_bytes >= last_total)
    if fits and (meter.silent or last_total is not None):
        yield
        return
    count = _Count(layout, rules, meter, last_total, free_bytes)
    counting = threading.Thread(target=count.run, name="snapstore-count", daemon=True)
    counting.start()
    try:
        yield
    finally:
        count.stop.set()
        counting.join()


def _last_total(layout: SourceLayout, history: History, meter: Meter) -> int | None:
    for item in history.manifests:
        if item.confirmed and item.text is not None and item.text.sources == layout.sources:
            meter.files_total = item.facts.files + item.facts.others
            meter.bytes_total = item.facts.total_bytes
            return item.facts.total_bytes
    return None


@dataclass(slots=True)
class _Count:
    """A count of the sources, for a thread of its own."""

    layout: SourceLayout
    rules: ExcludeRules
    meter: Meter
    last_total: int | None
    free_bytes: int | None
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Count, and tell the meter."""
        scarce = self.free_bytes is not None and self.free_bytes < _SCARCE_BYTES
        if self.stop.wait(_BEGIN_SOON_SECONDS if scarce else _BEGIN_AFTER_SECONDS):
            return
        files = size = 0
        try:
            for files_found, bytes_found in self._found():
                if self.stop.is_set():
                    return
                files, size = files + files_found, size + bytes_found
        except (OSError, SnapstoreError):
            return  # the walk will say what is the matter
        self.meter.files_total, self.meter.bytes_total = files, size
        if self.free_bytes is not None:
            notice = notice_of_room(size, self.last_total or 0, self.free_bytes)
            self.meter.notices += [notice] if notice is not None else []

    def _found(self) -> Iterator[tuple[int, int]]:
        for node, path in _whole_nodes(self.layout.root, ""):
            assert node.path is not None
            if os.path.isdir(node.path):
                yield from _count_below(node.path, path, self.rules)
            else:
                yield 1, os.path.getsize(node.path)


def _whole_nodes(node: SourceNode, path: str) -> Iterator[tuple[SourceNode, str]]:
    if node.whole:
        yield node, path
        return
    for child in node.children:
        name = os.fsdecode(child.name)
        yield from _whole_nodes(child, f"{path}/{name}" if path else name)


def _count_below(top: str, path: str, rules: ExcludeRules) -> Iterator[tuple[int, int]]:
    """Yield files and bytes of one folder after the other, depth first: a folder is reached from its open parent."""
    levels: list[tuple[SourceDirectory, str, list[bytes]]] = []
    try:
        entered: SourceDirectory | None = open_source(top)
        while entered is not None or levels:
            if entered is not None:
                levels.append((entered, path, []))
                files, size, folders = _count_here(entered, path, rules)
                levels[-1][2].extend(folders)
                yield files, size
            directory, above, waiting = levels[-1]
            entered = None
            if waiting:
                name = os.fsdecode(waiting[-1])
                path = f"{above}/{name}" if above else name
                entered = directory.child(waiting.pop())
            else:
                levels.pop()[0].close()
    finally:
        for level in levels:
            level[0].close()


def _count_here(directory: SourceDirectory, path: str, rules: ExcludeRules) -> tuple[int, int, list[bytes]]:
    files = size = 0
    folders = []
    for entry in directory.look().entries:
        text = f"{path}/{os.fsdecode(entry.name)}" if path else os.fsdecode(entry.name)
        is_directory = entry.type is EntryType.DIRECTORY
        if rules.excludes(text, is_directory=is_directory, size=entry.size):
            continue
        if is_directory:
            folders.append(entry.name)
        else:
            files += 1
            size += entry.size if entry.type is EntryType.FILE else 0
    return files, size, folders
