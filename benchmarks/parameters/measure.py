"""Which page chunk, which bundles and which level of compression cost least, in time and in bytes?

Cuts real files as snapstore would under other parameters and compresses the pieces, in one thread and in memory. For
bundles it also tells what an edit costs: the mean of what the bundles of all small files take, each file counting
once. For pages it also lets days pass and tells what the pieces take that are new each day. Nothing is written but a
copy of the database in a temporary folder.

    python benchmarks/parameters/measure.py --database FILE FOLDER [FOLDER ...]

Seconds are of processor time. What each piece costs beside its content (nonce and tag, entry in header and index, line
in its chunk list) is counted with 241 bytes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import zstandard

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.shop_database import advance_day
from snapstore.chunking import plan_bundles
from snapstore.chunking.choose import CutterSet, choose_cutter, make_cutters
from snapstore.limits import COARSE_TARGET_BYTES, FINE_TARGET_BYTES, INLINE_MAX_BYTES, KIB, PAGE_CHUNK_BYTES

KEY = bytes(32)
BESIDE_BYTES = 241
LEVELS = (1, 2, 3)
PAGE_CHUNKS = (8, 16, 32, 64, 1024)
PAGE_LEVELS = (1, 2, 3, 5)
DAYS = 3


class Bundles(NamedTuple):
    """Bounds in KiB."""

    file_maximum: int
    minimum: int
    mean: int
    maximum: int

    def __str__(self) -> str:
        return f"files to {self.file_maximum}, {self.minimum}+{self.mean} to {self.maximum} KiB"


SETTINGS = (
    Bundles(16, 16, 32, 64),
    Bundles(16, 32, 32, 128),
    Bundles(32, 32, 48, 128),
    Bundles(32, 64, 64, 192),
    Bundles(64, 64, 64, 256),
    Bundles(128, 64, 128, 512),
)


class Folder(NamedTuple):
    """The files of one folder by name."""

    small: list[tuple[bytes, bytes]]
    larger: list[tuple[bytes, bytes]]


def read_folders(top: Path, file_maximum: int) -> Iterator[Folder]:
    """Yield every folder with what its files hold."""
    for path, folders, names in os.walk(top):
        folders.sort()
        found = Folder([], [])
        for name in sorted(os.fsencode(name) for name in names):
            file = os.path.join(os.fsencode(path), name)
            if not os.path.islink(file) and os.path.getsize(file) > INLINE_MAX_BYTES:
                with open(file, "rb") as opened:
                    data = opened.read()
                (found.small if len(data) <= file_maximum else found.larger).append((name, data))
        yield found


def cutters() -> CutterSet:
    """Return the cutters as they are."""
    return make_cutters(
        gear_key=KEY,
        page_chunk=PAGE_CHUNK_BYTES,
        fine_target=FINE_TARGET_BYTES,
        coarse_target=COARSE_TARGET_BYTES,
        page_extensions=(),
    )


def pieces_of(folder: Folder, setting: Bundles, cut: CutterSet) -> Iterator[tuple[bytes, int]]:
    """Yield every piece and the count of small files in it."""
    names, contents = [name for name, _ in folder.small], [data for _, data in folder.small]
    plan = plan_bundles(
        names,
        [len(data) for data in contents],
        key=KEY,
        minimum=setting.minimum * KIB,
        mean=setting.mean * KIB,
        maximum=setting.maximum * KIB,
    )
    for group in plan:
        yield b"".join([contents[position] for position in group]), len(group)
    for name, data in folder.larger:
        start = 0
        for end in choose_cutter(name, data, cut).cuts(data, final=True):
            yield data[start:end], 0
            start = end


def measure_bundles(top: Path, setting: Bundles) -> None:
    """Print what one setting gives on one folder."""
    contexts = [zstandard.ZstdCompressor(level=level) for level in LEVELS]
    sizes, seconds = [0] * len(LEVELS), [0.0] * len(LEVELS)
    pieces = files = weighted = 0
    cut = cutters()
    for folder in read_folders(top, setting.file_maximum * KIB):
        for piece, count in pieces_of(folder, setting, cut):
            pieces += 1
            files += count
            for at, context in enumerate(contexts):
                start = time.process_time()
                size = min(len(context.compress(piece)), len(piece))
                seconds[at] += time.process_time() - start
                sizes[at] += size + BESIDE_BYTES
                weighted += count * size if LEVELS[at] == 3 else 0
    columns = "  ".join(
        f"level {level}: {size / 1e6:7.1f} MB {spent:5.2f} s"
        for level, size, spent in zip(LEVELS, sizes, seconds, strict=True)
    )
    print(
        f"  {setting!s:34} {pieces:7,} pieces  {columns}  an edit {weighted / max(files, 1) / 1e3:5.1f} kB", flush=True
    )


def pages_of(path: Path, size: int) -> Iterator[bytes]:
    """Yield the file in chunks of `size` bytes."""
    with open(path, "rb") as file:
        while piece := file.read(size):
            yield piece


def measure_pages(database: Path, chunk: int) -> None:
    """Print what a page chunk gives for the whole file."""
    columns = []
    for level in PAGE_LEVELS:
        context = zstandard.ZstdCompressor(level=level)
        size, spent, count = 0, 0.0, 0
        for piece in pages_of(database, chunk * KIB):
            start = time.process_time()
            size += min(len(context.compress(piece)), len(piece)) + BESIDE_BYTES
            spent += time.process_time() - start
            count += 1
        columns.append(f"level {level}: {size / 1e6:6.1f} MB {spent:5.2f} s")
    print(f"  {chunk:5} KiB {count:7,} pieces  " + "  ".join(columns), flush=True)


def measure_days(database: Path) -> None:
    """Print what is new each day."""
    context = zstandard.ZstdCompressor(level=3)
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before", Path(folder) / "after"
        shutil.copyfile(database, after)
        for day in range(1, DAYS + 1):
            shutil.copyfile(after, before)
            advance_day(after, day)
            columns = [_day(before, after, chunk, context) for chunk in PAGE_CHUNKS[:-1]]
            print(f"  day {day}:  " + "  ".join(columns), flush=True)


def _day(before: Path, after: Path, chunk: int, context: zstandard.ZstdCompressor) -> str:
    old = iter(pages_of(before, chunk * KIB))
    size = count = 0
    for piece in pages_of(after, chunk * KIB):
        if piece != next(old, b""):
            size += min(len(context.compress(piece)), len(piece)) + BESIDE_BYTES
            count += 1
    return f"{chunk} KiB: {count} new, {size / 1e6:.2f} MB"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description="Measures parameters of chunking and compression.")
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("folders", type=Path, nargs="*")
    given = parser.parse_args(arguments)
    for top in given.folders:
        print(f"bundles, {top.name}")
        for setting in SETTINGS:
            measure_bundles(top, setting)
    print(f"page chunks, {given.database.stat().st_size / 1e6:.0f} MB")
    for chunk in PAGE_CHUNKS:
        measure_pages(given.database, chunk)
    print("new each day, level 3")
    measure_days(given.database)


if __name__ == "__main__":
    main()
