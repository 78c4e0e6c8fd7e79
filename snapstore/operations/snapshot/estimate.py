"""How much there is to save, told while it is being saved.

Here: totals for the progress: those of the last snapshot of the same sources, or a count made by a thread beside the
walk. Not here: anything the snapshot depends on.

Rules: nothing is counted when nobody listens. The count stops with the snapshot. It is an estimate: files come and go,
and those excluded for what they are (caches, other file systems) are counted.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Final

from ...errors import SnapstoreError
from ...sources.directory import SourceDirectory, open_source
from ...sources.excludes import ExcludeRules
from ...sources.layout import SourceLayout, SourceNode
from ...types import EntryType
from ..history import History
from ..meter import Meter

_BEGIN_AFTER_SECONDS: Final = 5.0  # a short run needs no estimate, and counting takes time from the walk


@contextlib.contextmanager
def estimated(layout: SourceLayout, rules: ExcludeRules, history: History, meter: Meter) -> Iterator[None]:
    """Give the meter its totals: at once if they are known, else when they are counted."""
    if meter.silent:
        yield
        return
    for item in history.manifests:
        if item.confirmed and item.text is not None and item.text.sources == layout.sources:
            meter.files_total = item.facts.files + item.facts.others
            meter.bytes_total = item.facts.total_bytes
            yield
            return
    stop = threading.Event()
    counting = threading.Thread(target=_count, args=(layout, rules, meter, stop), name="snapstore-count", daemon=True)
    counting.start()
    try:
        yield
    finally:
        stop.set()
        counting.join()


def _count(layout: SourceLayout, rules: ExcludeRules, meter: Meter, stop: threading.Event) -> None:
    files = size = 0
    if stop.wait(_BEGIN_AFTER_SECONDS):
        return
    try:
        for node, path in _whole_nodes(layout.root, ""):
            assert node.path is not None
            if not os.path.isdir(node.path):
                files, size = files + 1, size + os.path.getsize(node.path)
                continue
            for found, bytes_found in _count_below(node.path, path, rules):
                if stop.is_set():
                    return
                files, size = files + found, size + bytes_found
    except (OSError, SnapstoreError):
        return  # the walk will say what is the matter
    meter.files_total, meter.bytes_total = files, size


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
