"""What does it cost to look at folders and to read small files, with one call for many or one by one?

    python benchmarks/folder-reading/measure.py TREE [--rounds 5] [--limit 16384]

Walks TREE, with caches warm, in the two ways that `snapstore.sources` has: compiled, and its twin in Python. Three
tasks, as a snapshot has them:

- unchanged: look at each folder, take its signature and go on to its sub-folders (no object for a file);
- look: the same, and make the entries;
- read: look, and read every file of up to `--limit` bytes with its attributes, at most 256 files or 1 MiB in one call.

Each is tried alone, and beside a thread that compresses blocks of 16 KiB, taking and giving back the interpreter lock
with each, as the sealing side of a snapshot does. Ways take turns within a round; the table has the medians, per file
of the tree (the folders' own cost is spread over them): the walking thread's own CPU time, and its wall time.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from snapstore.sources.directory import FolderLook, ScannedEntry, SourceDirectory, open_source
from snapstore.types import EntryType

BATCH_FILES = 256
BATCH_BYTES = 1024 * 1024
BLOCK = bytes(range(256)) * 64


class Cost(NamedTuple):
    """Seconds."""

    cpu: float
    wall: float


def walk(root: str, *, native: bool) -> Iterator[tuple[SourceDirectory, FolderLook]]:
    """Yield every folder with its look, depth first."""
    waiting = [open_source(root)]
    while waiting:
        with waiting.pop() as directory:
            look = directory.look(_native=native)
            yield directory, look
            waiting.extend(directory.child(folder.name) for folder in look.folders)


def unchanged(root: str, limit: int, *, native: bool) -> int:
    """The least that a snapshot needs of a folder that is as it was: bytes of signatures."""
    return sum(len(look.signature) for _, look in walk(root, native=native))


def make_entries(root: str, limit: int, *, native: bool) -> int:
    """Make an object for each entry, and count them."""
    return sum(len(look.entries) for _, look in walk(root, native=native))


def read(root: str, limit: int, *, native: bool) -> int:
    """Read all small files: how many bytes they have."""
    total = 0
    for directory, look in walk(root, native=native):
        small = [entry for entry in look.entries if entry.type is EntryType.FILE and entry.size <= limit]
        for batch in batches(small):
            total += len(directory.read_small(batch, limit, _native=native).data)
    return total


def batches(entries: list[ScannedEntry]) -> Iterator[list[ScannedEntry]]:
    """Cut a folder's files into what one call may hold."""
    batch: list[ScannedEntry] = []
    size = 0
    for entry in entries:
        if batch and (len(batch) == BATCH_FILES or size + entry.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch


TASKS: dict[str, Callable[..., int]] = {"unchanged": unchanged, "look": make_entries, "read": read}


def compress_until(stop: threading.Event) -> None:
    """Give the interpreter lock away and want it back, over and over."""
    while not stop.is_set():
        zlib.compress(BLOCK, 1)


def measured(task: Callable[..., int], root: str, limit: int, *, native: bool, company: bool) -> Cost:
    """Run a task once."""
    stop = threading.Event()
    other = threading.Thread(target=compress_until, args=(stop,))
    if company:
        other.start()
    cpu, wall = time.thread_time(), time.perf_counter()
    task(root, limit, native=native)
    cost = Cost(time.thread_time() - cpu, time.perf_counter() - wall)
    stop.set()
    if company:
        other.join()
    return cost


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=16 * 1024)
    options = parser.parse_args()
    files = sum(
        entry.type is not EntryType.DIRECTORY for _, look in walk(options.tree, native=False) for entry in look.entries
    )
    print(f"{files:,} files, {options.rounds} rounds; microseconds a file, medians\n")
    print(f"{'task':10} {'beside':12} {'CPU compiled':>13} {'CPU twin':>9} {'wall compiled':>14} {'wall twin':>10}")
    for name, task in TASKS.items():
        if task(options.tree, options.limit, native=True) != task(options.tree, options.limit, native=False):
            raise SystemExit(f"{name}: the two ways differ")
        for company in (False, True):
            costs: dict[bool, list[Cost]] = {True: [], False: []}
            for _ in range(options.rounds):
                for native in (True, False):
                    costs[native].append(measured(task, options.tree, options.limit, native=native, company=company))
            cells = [
                statistics.median(getattr(cost, kind) for cost in costs[native]) / files * 1e6
                for kind in ("cpu", "wall")
                for native in (True, False)
            ]
            beside = "a compressor" if company else "nothing"
            print(f"{name:10} {beside:12} {cells[0]:13.2f} {cells[1]:9.2f} {cells[2]:14.2f} {cells[3]:10.2f}")


if __name__ == "__main__":
    main()
