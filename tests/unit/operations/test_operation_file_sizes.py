"""Files at and beside each size at which the way of saving changes, alone and many at once, with holes and without."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import snapstore
from snapstore.format.tree import Chunk, TreeEntry
from snapstore.limits import BUNDLE_FILE_MAX_BYTES, BUNDLE_MAX_BYTES, INLINE_MAX_BYTES, MIB, SHARED_MIN_FILE_BYTES
from snapstore.operations.browse import SnapshotView, open_view
from snapstore.operations.context import DossierContext
from snapstore.operations.listing import find_manifest
from snapstore.sources.directory import SourceDirectory

ContextOf = Callable[[snapstore.Dossier], DossierContext]
BESIDE = (-1, 0, 1)
BOUNDARIES = (0, INLINE_MAX_BYTES, BUNDLE_FILE_MAX_BYTES, BUNDLE_MAX_BYTES, MIB)

pytestmark = pytest.mark.usefixtures("way")


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def view_of(dossier: snapstore.Dossier, context: ContextOf) -> SnapshotView:
    of = context(dossier)
    return open_view(of, find_manifest(of, "latest"), None)


def kind_of(entry: TreeEntry) -> str:
    if entry.slice is not None:
        return "bundled"
    if entry.chunks is not None or entry.chunk_tree is not None:
        return "chunks"
    return "inline"


def expected_kind(size: int) -> str:
    if size <= INLINE_MAX_BYTES:
        return "inline"
    return "bundled" if size <= BUNDLE_FILE_MAX_BYTES else "chunks"


@pytest.mark.parametrize("zeros", [False, True], ids=["noise", "zeros"])
def test_every_boundary(trial: Any, context: ContextOf, zeros: bool) -> None:
    sizes = sorted({size + more for size in BOUNDARIES for more in BESIDE if size + more >= 0})
    for size in sizes:
        for folder in ("together", f"alone {size}"):
            (trial.lab.source / folder).mkdir(exist_ok=True)
            content = bytes(size) if zeros else noise(size, size)
            (trial.lab.source / folder / f"{size:08}").write_bytes(content)
    first = trial.check()
    assert (first.files_new, first.snapshot.total_bytes, first.raw_bytes_read) == (
        2 * len(sizes),
        2 * sum(sizes),
        2 * sum(sizes),
    )
    view = view_of(trial.dossier, context)
    for size in sizes:
        for folder in ("together", f"alone {size}"):
            entry = view.find(f"{folder}/{size:08}")
            assert (kind_of(entry), entry.size or 0) == (expected_kind(size), size)
    again = trial.check()
    assert (again.files_unchanged, again.raw_bytes_read, again.blobs_added) == (2 * len(sizes), 0, 0)


@pytest.mark.parametrize("more", BESIDE)
@pytest.mark.parametrize("start", BOUNDARIES[1:])
def test_a_file_that_crosses_a_boundary_and_comes_back(trial: Any, start: int, more: int) -> None:
    path = trial.lab.source / "file"
    (trial.lab.source / "neighbour").write_bytes(noise(600))
    for size in (start, start + more, start + 1, start - 1, start):
        path.write_bytes(noise(size, 5))
        report = trial.check()
        assert report.snapshot.total_bytes == size + 600


@pytest.mark.parametrize("count", [1, 256, 257, 513])
@pytest.mark.parametrize("size", [100, 700])
def test_many_files_in_one_folder(trial: Any, monkeypatch: pytest.MonkeyPatch, count: int, size: int) -> None:
    """Groups of 256 are read in one call; bundles are smaller than that, and are as they are for all readers."""
    for number in range(count):
        (trial.lab.source / f"{number:04}").write_bytes(noise(size, number))
    asked: list[int] = []
    original = SourceDirectory.read_small

    def read_small(self: SourceDirectory, entries: Any, limit: int) -> Any:
        asked.append(len(entries))
        return original(self, entries, limit)

    monkeypatch.setattr(SourceDirectory, "read_small", read_small)
    report = trial.snapshot()
    assert sum(asked) == count
    assert max(asked) <= 256 or size > INLINE_MAX_BYTES
    if size <= INLINE_MAX_BYTES:
        assert asked == [256] * (count // 256) + ([count % 256] if count % 256 else [])
    assert (report.snapshot.files, report.snapshot.total_bytes) == (count, count * size)
    trial.check()


@pytest.mark.parametrize("sizes", [(600_000, 600_000, 600_000), (MIB, 70_000, MIB), (100_000,) * 12])
def test_medium_files_that_do_not_fit_one_call(
    trial: Any, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...]
) -> None:
    for number, size in enumerate(sizes):
        (trial.lab.source / f"{number:04}").write_bytes(noise(size, number))
    asked: list[int] = []
    original = SourceDirectory.read_small

    def read_small(self: SourceDirectory, entries: Any, limit: int) -> Any:
        asked.append(sum(entry.size for entry in entries))
        return original(self, entries, limit)

    monkeypatch.setattr(SourceDirectory, "read_small", read_small)
    report = trial.snapshot()
    assert sum(asked) == report.raw_bytes_read == sum(sizes)
    assert max(asked) <= MIB
    trial.check()
    (trial.lab.source / "0001").write_bytes(noise(sizes[1], 99))
    report = trial.check()
    assert (report.files_changed, report.raw_bytes_read) == (1, sizes[1])


@pytest.mark.skipif(sys.platform == "win32", reason="holes are made otherwise there")
@pytest.mark.parametrize("size", [5000, BUNDLE_FILE_MAX_BYTES, 300_000, MIB + 4096, 3 * MIB])
@pytest.mark.parametrize("where", ["head", "both", "none"])
def test_files_with_holes(trial: Any, context: ContextOf, size: int, where: str) -> None:
    path = Path(trial.lab.source / "sparse")
    with path.open("wb") as file:
        if where in ("head", "both"):
            file.write(noise(min(size, 6000)))
        if where in ("tail", "both"):
            file.seek(max(0, size - 6000))
            file.write(noise(min(size, 6000), 2))
        file.truncate(size)
    (trial.lab.source / "dense").write_bytes(path.read_bytes())
    report = trial.check()
    assert (report.snapshot.files, report.snapshot.total_bytes) == (2, 2 * size)
    assert view_of(trial.dossier, context).find("sparse").size == size
    os.truncate(path, size + 100_000)
    assert trial.check().files_changed == 1
    assert trial.check().files_unchanged == 2


@pytest.mark.parametrize("more", BESIDE)
def test_only_larger_files_are_shared(shared_lab: Any, context: ContextOf, more: int) -> None:
    """What is read whole decides by what was read, what is read by blocks by what was opened: it is the same."""
    size = SHARED_MIN_FILE_BYTES + more
    shared_lab.write("file", noise(size))
    shared_lab.write("large", noise(MIB + 5, 2))
    dossier = shared_lab.dossier()
    dossier.snapshot(shared_lab.source)
    view = view_of(dossier, context)
    entry = view.find("file")
    assert (entry.shared, view.find("large").shared) == (more >= 0, True)
    assert entry.chunks is not None
    assert sum(item.size for item in entry.chunks if isinstance(item, Chunk)) == size
    shared_lab.assert_restores(dossier, shared_lab.facts(), "latest")


@pytest.mark.parametrize("name", ["file", "pages.db"])
@pytest.mark.parametrize("size", [70_000, 900_000, MIB])
def test_read_whole_or_by_blocks_the_chunks_are_the_same(
    trial: Any, context: ContextOf, monkeypatch: pytest.MonkeyPatch, size: int, name: str
) -> None:
    content = (b"SQLite format 3\0" + (4096).to_bytes(2, "big") if "." in name else b"") + noise(size)
    (trial.lab.source / name).write_bytes(content[:size])
    trial.snapshot()
    whole = view_of(trial.dossier, context).find(name)
    monkeypatch.setattr("snapstore.operations.snapshot.contents.MEDIUM_MAX_BYTES", 0)
    os.utime(trial.lab.source / name, ns=(10**18, 10**18))
    trial.snapshot()
    by_blocks = view_of(trial.dossier, context).find(name)
    assert (by_blocks.chunks, by_blocks.chunk_tree) == (whole.chunks, whole.chunk_tree)
    assert by_blocks.mtime_ns != whole.mtime_ns
