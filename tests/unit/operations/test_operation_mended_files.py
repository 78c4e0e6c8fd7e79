"""Faults of sources, caches and restores that were there once: odd files, links, sources in turn, kept targets."""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import compare_trees
import pytest

import snapstore
from snapstore.errors import SourceEmptyError
from snapstore.format.tree import Chunk, Hole
from snapstore.operations.browse import open_view
from snapstore.operations.context import DossierContext
from snapstore.operations.listing import find_manifest
from snapstore.operations.snapshot import estimate
from snapstore.progress import ProgressStatus
from snapstore.sources import native
from snapstore.sources.directory import Attributes, FolderLook, SourceDirectory
from snapstore.sources.look import look_at_each
from snapstore.types import EntryType

ContextOf = Callable[[snapstore.Dossier], DossierContext]
BeforeReading = Callable[[Callable[[bytes], object]], None]
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX has it")
MARKER = ".snapstore-restoring"
SIZES = {"inline": 10, "bundled": 9000, "chunked": 300_000, "by blocks": 1_500_000}
OLD_NS = 1_000_000_000_000_000_000
YEAR_2400_NS = 13_569_465_600 * 10**9


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def paths_of(dossier: snapstore.Dossier) -> dict[str, EntryType]:
    return {entry.path: entry.type for entry in dossier.entries("latest")}


# --- odd sources -----------------------------------------------------------------------------------------------------


def test_a_time_beyond_nanoseconds_is_saved_as_the_nearest(lab: Any) -> None:
    path = lab.write("from the future", b"x")
    os.utime(path, ns=(YEAR_2400_NS, YEAR_2400_NS))
    if path.stat().st_mtime_ns < 2**63:
        pytest.skip("this file system has no such time")
    report = lab.dossier().snapshot(lab.source)
    assert [(item.code, item.path) for item in report.problems] == [("time_out_of_range", str(path))]
    target = lab.folder / "target"
    assert lab.dossier().restore("latest", to=target).problems == ()
    assert (target / path.name).read_bytes() == b"x"
    assert (target / path.name).stat().st_mtime_ns == 2**63 - 1


def test_very_many_patterns(lab: Any) -> None:
    lab.write("file", b"x")
    lab.write("pattern 139999", b"left out")
    dossier = lab.dossier()
    patterns = [*(f"# {number}" for number in range(139_999)), "pattern *"]  # comments are quickly read
    report = dossier.snapshot(lab.source, exclude=patterns)
    assert dossier.list() == (report.snapshot,)
    assert lab.unlocked("newcomer").list() == dossier.list()
    assert paths_of(dossier) == {"file": EntryType.FILE}


def test_attributes_beyond_a_chunk_are_a_problem(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attributes that no file system here takes: given by the way that reads files one by one."""
    given = {b"user.large": bytes(5 * 1024 * 1024)}
    path = lab.write("file", b"x")
    monkeypatch.setattr(native, "POSIX", None)
    monkeypatch.setattr(SourceDirectory, "attributes", lambda *_: Attributes(xattrs=given))
    dossier = lab.dossier()
    report = dossier.snapshot(lab.source)
    assert [(item.code, item.path) for item in report.problems] == [("xattr_too_large", str(path))]
    assert [(entry.path, dict(entry.xattrs)) for entry in dossier.entries("latest")] == [("file", {})]
    target = lab.folder / "target"
    dossier.restore("latest", to=target)
    assert (target / "file").read_bytes() == b"x"


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="few file systems take as many attributes")
@pytest.mark.usefixtures("way")
def test_real_attributes_beyond_a_chunk_are_a_problem(lab: Any) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "file"
        path.write_bytes(b"x")
        try:
            for number in range(80):
                os.setxattr(path, f"user.{number}", bytes(65_000))
        except OSError:
            pytest.skip("this system does not take as many attributes")
        report = lab.dossier().snapshot(folder)
        assert [(item.code, item.path) for item in report.problems] == [("xattr_too_large", str(path))]
        with lab.dossier().open_file("latest", "file") as stream:
            assert stream.read() == b"x"


@posix_only
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("second", ["second", "z/second"])
def test_a_hard_link_whose_first_name_vanishes(lab: Any, before_reading: BeforeReading, size: int, second: str) -> None:
    content = noise(size)
    first, other = lab.write("first", content), lab.source / second
    other.parent.mkdir(exist_ok=True)
    os.link(first, other)
    before_reading(lambda name: first.unlink(missing_ok=True) if name == b"first" else None)
    dossier = lab.dossier()
    report = dossier.snapshot(lab.source)
    assert [(item.code, item.path) for item in report.problems] == [("vanished", str(first))]
    assert (report.snapshot.files, paths_of(dossier)[second]) == (1, EntryType.FILE)
    assert dossier.restore("latest", to=lab.folder / "target").problems == ()
    assert (lab.folder / "target" / second).read_bytes() == content


@posix_only
def test_an_inode_that_is_used_again_is_no_hard_link(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the walk goes on, the number of a file that was deleted becomes another file's."""
    for number, path in enumerate(["a/one", "a/two", "b/three", "b/four"]):
        os.utime(lab.write(path, noise(5000, number)), ns=(OLD_NS + number, OLD_NS + number))
    original = SourceDirectory.look
    asked = []

    def look(self: SourceDirectory) -> FolderLook:
        found = original(self)
        asked.append(self.path)
        odd = [entry._replace(inode=42, links=2) if entry.type is EntryType.FILE else entry for entry in found.entries]
        return look_at_each(odd, found.problems, complete=found.complete)

    with monkeypatch.context() as patch:
        patch.setattr(SourceDirectory, "look", look)
        report = lab.dossier().snapshot(lab.source)
    assert set(asked) == {str(lab.source / name) for name in ("", "a", "b")}
    assert EntryType.HARD_LINK not in paths_of(lab.dossier()).values()
    lab.assert_restores(lab.unlocked("reader"), lab.facts(), report.snapshot)


@posix_only
def test_a_sparse_database_is_cut_by_pages_throughout(lab: Any, context: ContextOf) -> None:
    page = 4096
    header = b"SQLite format 3\0" + page.to_bytes(2, "big")
    path = lab.write("database", header.ljust(page, b"\0") + noise(40 * page))
    with path.open("r+b") as file:
        file.seek(2_048_000)
        file.write(noise(60 * page, 2))
        file.truncate(4_096_000)
    if path.stat().st_blocks * 512 >= 4_000_000:
        pytest.skip("this file system has no holes")
    dossier = lab.dossier()
    snapshot = dossier.snapshot(lab.source).snapshot
    of = context(dossier)
    view = open_view(of, find_manifest(of, "latest"), None)
    segments: list[list[int]] = [[]]
    for item in view.items(view.find("database")):
        if isinstance(item, Hole):
            segments.append([])
        elif isinstance(item, Chunk):
            segments[-1] += [item.size] * item.repeat
    [first, second] = [sizes for sizes in segments if sizes]
    assert len(set(first[:-1] + second[:-1])) == 1
    assert first[0] % page == 0
    lab.assert_restores(lab.unlocked("reader"), lab.facts(), snapshot)


def test_repository_and_state_within_the_source_are_left_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_bytes(noise(300_000))
    with snapstore.init(source / "backup", state_dir=source / "sub" / "state", protected=False, kdf_seconds=0) as made:
        dossier = made.create_dossier("books")
        for number in range(2):
            report = dossier.snapshot(source)
            assert paths_of(dossier) == {"sub": EntryType.DIRECTORY, "sub/file": EntryType.FILE}
            assert report.problems == ()
            assert (report.added_bytes < 20_000) == (number == 1)


# --- one source after another, and caches ----------------------------------------------------------------------------


def test_a_source_that_is_empty_now_though_another_was_saved_meanwhile(lab: Any) -> None:
    full, other = lab.write("A/file", b"x"), lab.write("B/file", b"y")
    dossier = lab.dossier()
    for path in (full, other):
        dossier.snapshot(path.parent)
    full.unlink()
    with pytest.raises(SourceEmptyError):
        dossier.snapshot(full.parent)
    assert dossier.snapshot(other.parent).clean


def test_sources_in_turn_are_not_read_again(lab: Any, settled_tree: Path) -> None:
    lab.write("file", b"another source")
    dossier = lab.dossier()
    assert dossier.snapshot(settled_tree).raw_bytes_read > 3_000_000
    dossier.snapshot(lab.source)
    third = dossier.snapshot(settled_tree)
    assert (third.raw_bytes_read, third.files_new, third.files_changed) == (0, 0, 0)
    lab.assert_restores(lab.unlocked("reader"), compare_trees.collect(settled_tree), third.snapshot)


def test_a_wrong_bit_in_the_cache_does_not_reach_a_snapshot(lab: Any, settled_tree: Path) -> None:
    dossier = lab.dossier()
    dossier.snapshot(settled_tree)
    reader, facts = lab.unlocked("reader"), compare_trees.collect(settled_tree)
    for where in (0.0, 0.1, 0.3, 0.6, 0.95):
        [cache] = (lab.folder / "state one").rglob("folders.sqlite")
        connection = sqlite3.connect(cache)
        rows = connection.execute("SELECT path, record FROM folders WHERE path != x''").fetchall()
        assert len(rows) >= 5
        for path, record in rows:
            changed = bytearray(record)
            changed[int(len(changed) * where)] ^= 4
            connection.execute("UPDATE folders SET record=? WHERE path=?", (bytes(changed), path))
        connection.commit()
        connection.close()
        report = dossier.snapshot(settled_tree)
        assert report.problems == ()
        lab.assert_restores(reader, facts, report.snapshot)


def test_progress_tells_how_much_is_left(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run counts ahead, beside the walk; the second knows from the first."""
    monkeypatch.setattr(estimate, "_BEGIN_AFTER_SECONDS", 0.05)
    for number in range(400):
        lab.write(f"folder {number % 7}/file {number}", noise(2000, number))

    class Watcher:
        def __init__(self) -> None:
            self.seen: list[ProgressStatus] = []

        def update(self, status: ProgressStatus) -> None:
            self.seen.append(status)

        def is_set(self) -> bool:
            time.sleep(0.03)  # so that the run is long enough to have a rate
            return False

    dossier = lab.dossier()
    for _ in range(2):
        watcher = Watcher()
        dossier.snapshot(lab.source, progress=watcher, cancel=watcher)
        assert watcher.seen[-1].bytes_total == 800_000
        assert watcher.seen[-1].files_total == 400
        assert [status for status in watcher.seen if status.seconds_left]
