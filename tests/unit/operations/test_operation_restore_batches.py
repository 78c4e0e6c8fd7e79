"""Restoring in batches: many in one call, or in parts, as file by file; and links find their files."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import compare_trees
import pytest

from snapstore.errors import StoreUnavailableError
from snapstore.operations.restore import entries, loading, run, write
from snapstore.progress import ProgressStatus
from snapstore.targets import many
from snapstore.testing import Recorder
from snapstore.types import Overwrite, RestoreOptions


def write_much(lab: Any) -> None:
    """Folders and files enough for several batches, with everything between that is written in another way."""
    generator = random.Random(7)
    for number in range(700):
        lab.write(f"many/{number % 23}/{number}", generator.randbytes(generator.choice((0, 5, 600, 3000, 9000))))
    for number in range(40):
        lab.write(f"wide/{number}/below/{number}/file", b"%d" % number)
    lab.write("large", generator.randbytes(5_300_000))
    lab.write("medium", generator.randbytes(200_000))
    lab.write("zeros", bytes(3_000_000))
    lab.write("the same twice", b"ab" * 4000)
    lab.write("many/the same twice", b"ab" * 4000)


@pytest.fixture
def much(lab: Any, write_every_shape: Callable[..., None]) -> Any:
    write_every_shape(lab.source)
    write_much(lab)
    lab.dossier().snapshot(lab.source)
    return lab


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("nodes", [1, 64])
def test_the_tree_comes_back_in_either_way(
    much: Any, monkeypatch: pytest.MonkeyPatch, native: bool, nodes: int
) -> None:
    if not native:
        monkeypatch.setattr(many, "_native", None)
    monkeypatch.setattr(loading, "_NODES_AT_ONCE", nodes)
    monkeypatch.setattr(loading, "_NODES_KEPT", 4 * nodes)
    monkeypatch.setattr(run, "_FOLDERS_AT_ONCE", nodes)
    target = much.folder / "target"
    report = much.dossier().restore("latest", to=target)
    [snapshot] = much.dossier().list()
    assert compare_trees.differences(much.facts(), compare_trees.collect(target)) == []
    assert (report.problems, report.bytes_written) == ((), snapshot.total_bytes)
    assert report.files_restored + report.others == snapshot.files + snapshot.others


@pytest.mark.parametrize("batch", [1, 5000])
def test_batches_of_any_size(much: Any, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(write, "_BATCH_BYTES", batch)
    monkeypatch.setattr(write, "_PART_BYTES", batch)
    target = much.folder / "target"
    assert much.dossier().restore("latest", to=target).problems == ()
    assert compare_trees.differences(much.facts(), compare_trees.collect(target)) == []


def test_an_interrupted_restore_compares_and_writes_only_the_rest(much: Any) -> None:
    class Gone(Recorder):
        def _start(self, operation: str, name: str) -> None:
            super()._start(operation, name)
            if sum(call.name.startswith("packs/") and call.operation == "get" for call in self.calls) > 4:
                raise StoreUnavailableError("the stick was pulled out")

    target = much.folder / "target"
    with pytest.raises(StoreUnavailableError):
        much.dossier(store=Gone(much.store)).restore("latest", to=target)
    victims = [path for path in (target / "many").rglob("*") if path.is_file() and path.stat().st_size > 1]
    for victim in victims[:3]:  # as a power cut may leave them: the right size and time, and other bytes
        status = victim.stat()
        victim.write_bytes(bytes(status.st_size))
        os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = much.dossier().restore("latest", to=target)
    assert report.problems == ()
    assert compare_trees.differences(much.facts(), compare_trees.collect(target)) == []


def test_progress_moves_within_a_large_file(much: Any) -> None:
    class Watcher:
        statuses: list[ProgressStatus] = []  # noqa: RUF012 - one run

        def update(self, status: ProgressStatus) -> None:
            self.statuses.append(status)

    watcher = Watcher()
    much.dossier().restore("latest", to=much.folder / "target", progress=watcher)
    [snapshot] = much.dossier().list()
    done = [status.bytes_done for status in watcher.statuses]
    assert done == sorted(done)
    assert (done[-1], watcher.statuses[-1].files_done) == (snapshot.total_bytes, snapshot.files + snapshot.others)


@pytest.mark.skipif(sys.platform == "win32", reason="links are made on POSIX only")
@pytest.mark.parametrize("waiting", [1, 4096])
@pytest.mark.parametrize("overwrite", [None, *Overwrite])
def test_links_across_folders(
    lab: Any, monkeypatch: pytest.MonkeyPatch, waiting: int, overwrite: Overwrite | None
) -> None:
    monkeypatch.setattr(entries, "_LINKS_WAITING_MAX", waiting)
    for number in range(30):
        lab.write(f"folder {number % 3}/{number}", b"%d" % number)
    for number in range(30):
        for folder in ("a", f"folder {number % 3}", "z/below"):
            (lab.source / folder).mkdir(parents=True, exist_ok=True)
            os.link(lab.source / f"folder {number % 3}" / str(number), lab.source / folder / f"link {number}")
    lab.dossier().snapshot(lab.source)
    target = lab.folder / "target"
    report = lab.dossier().restore("latest", to=target, options=RestoreOptions(overwrite=overwrite))
    assert report.problems == ()
    assert (report.files_restored, report.others) == (30, 90)
    differences = compare_trees.differences(lab.facts(), compare_trees.collect(target))
    assert [line for line in differences if not line.startswith("'.'")] == []  # "never" leaves the target's own time


@pytest.mark.skipif(sys.platform == "win32", reason="links are made on POSIX only")
def test_a_link_to_a_file_that_is_lost_is_no_link_to_something_else(lab: Any) -> None:
    """Its first name is in a folder that another thing is in the way of, where a file of the user's has that name."""
    lab.write("folder/first", b"the snapshot's")
    (lab.source / "z").mkdir()
    os.link(lab.source / "folder" / "first", lab.source / "z" / "second")
    lab.dossier().snapshot(lab.source)
    target: Path = lab.folder / "target"
    (target / "elsewhere").mkdir(parents=True)
    (target / "elsewhere" / "first").write_bytes(b"the user's")
    (target / "folder").symlink_to("elsewhere")
    options = RestoreOptions(overwrite=Overwrite.NEVER)
    report = lab.dossier().restore("latest", to=target, options=options)
    assert [(problem.code, problem.path) for problem in report.problems] == [("in_the_way", "folder")]
    assert (target / "z" / "second").read_bytes() == b"the snapshot's"
    assert (target / "elsewhere" / "first").read_bytes() == b"the user's"
