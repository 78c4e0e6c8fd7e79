"""What is not read again, what is, and what happens when caches or packs are lost between two snapshots."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import compare_trees
import pytest

import snapstore
from snapstore.format.names import pack_path
from snapstore.operations.context import DossierContext
from snapstore.stores.protocol import Store
from snapstore.testing import Recorder
from snapstore.types import SnapshotOptions

ContextOf = Callable[[snapstore.Dossier], DossierContext]


def pack_names(store: Store) -> list[str]:
    return sorted(item.name.rpartition("/")[2] for item in store.list("packs"))


def cache_folder(lab: Any, context: DossierContext) -> Path:
    config = context.repository.config
    return Path(lab.state().medium(config.repository_id, config.medium_id, context.id).folder)


def test_an_unchanged_tree_is_not_read_and_adds_next_to_nothing(lab: Any, settled_tree: Path) -> None:
    dossier = lab.dossier()
    first = dossier.snapshot(settled_tree)
    packs = pack_names(lab.store)
    second = dossier.snapshot(settled_tree)
    assert first.raw_bytes_read > 3_000_000
    assert second.raw_bytes_read == 0
    assert second.added_bytes < 20_000
    assert (second.files_new, second.files_changed) == (0, 0)
    assert second.files_unchanged == first.files_new == first.snapshot.files - 1  # a second name is a link
    assert second.snapshot.total_bytes == first.snapshot.total_bytes
    assert (second.snapshot.files, second.snapshot.directories, second.snapshot.others) == (
        first.snapshot.files,
        first.snapshot.directories,
        first.snapshot.others,
    )
    assert pack_names(lab.store) == packs
    truth = compare_trees.collect(settled_tree)
    reader = lab.unlocked("reader")
    assert compare_trees.differences(truth, lab.restored(reader, second.snapshot)) == []


def test_an_unchanged_tree_needs_no_blob_of_the_store(lab: Any, settled_tree: Path) -> None:
    lab.dossier().snapshot(settled_tree)
    store = Recorder(lab.store)
    dossier = lab.dossier(store=store)
    dossier.snapshot(settled_tree)
    assert [call for call in store.calls if call.operation == "get" and call.name.startswith("packs/")] == []


def test_only_the_changed_file_and_its_bundle_are_read(lab: Any, settled_tree: Path) -> None:
    dossier = lab.dossier()
    dossier.snapshot(settled_tree)
    changed = settled_tree / "deep" / "chunks"
    changed.write_bytes(b"other" * 20_000)
    (settled_tree / "inline").unlink()
    report = dossier.snapshot(settled_tree)
    assert report.files_changed == 1
    assert 100_000 <= report.raw_bytes_read < 120_000
    truth = compare_trees.collect(settled_tree)
    assert compare_trees.differences(truth, lab.restored(lab.unlocked("reader"), report.snapshot)) == []


@pytest.mark.usefixtures("way")
def test_a_file_that_changed_within_the_racy_window_is_read_again(lab: Any) -> None:
    """Its times would be the same, had it been changed once more right after it was read."""
    path = lab.write("fresh", b"one" * 30_000)
    lab.write("fresh too", b"inline")
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    assert dossier.snapshot(lab.source).raw_bytes_read == 90_006
    times = os.stat(path)
    with path.open("r+b") as file:
        file.write(b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    report = dossier.snapshot(lab.source)
    assert report.raw_bytes_read == 90_006
    dossier.unlock(lab.secret)
    with dossier.open_file(report.snapshot, "fresh") as stream:
        assert stream.read(6) == b"twoone"


def test_force_read_reads_everything_and_stores_nothing_new(lab: Any, settled_tree: Path) -> None:
    dossier = lab.dossier()
    first = dossier.snapshot(settled_tree)
    report = dossier.snapshot(settled_tree, options=SnapshotOptions(force_read=True))
    assert report.raw_bytes_read == first.raw_bytes_read
    assert (report.blobs_added, report.added_bytes < 20_000) == (0, True)


@pytest.mark.parametrize("harm", ["removed", "garbage", "last only", "folders only"])
def test_without_its_cache_a_station_reads_everything_and_stores_nothing_new(
    lab: Any, settled_tree: Path, context: ContextOf, harm: str
) -> None:
    dossier = lab.dossier()
    first = dossier.snapshot(settled_tree)
    folder = cache_folder(lab, context(dossier))
    kept = [path for path in folder.iterdir() if path.is_file()]
    assert {path.name for path in kept} == {"last", "folders.sqlite"}
    if harm == "removed":
        shutil.rmtree(folder)
    elif harm == "garbage":
        for path in kept:
            path.write_bytes(b"garbage" * 100)
    else:
        (folder / ("last" if harm == "last only" else "folders.sqlite")).unlink()
    report = dossier.snapshot(settled_tree)
    assert report.raw_bytes_read == first.raw_bytes_read
    assert (report.blobs_added, report.added_bytes < 20_000) == (0, True)
    truth = compare_trees.collect(settled_tree)
    assert compare_trees.differences(truth, lab.restored(lab.unlocked("reader"), report.snapshot)) == []


def test_rows_of_the_cache_that_do_not_decode_are_no_rows(lab: Any, settled_tree: Path, context: ContextOf) -> None:
    dossier = lab.dossier()
    dossier.snapshot(settled_tree)
    with sqlite3.connect(cache_folder(lab, context(dossier)) / "folders.sqlite") as connection:
        connection.execute("UPDATE folders SET record = x'c1ff00'")
    connection.close()
    report = dossier.snapshot(settled_tree)
    assert (report.blobs_added, report.problems) == (0, ())
    truth = compare_trees.collect(settled_tree)
    assert compare_trees.differences(truth, lab.restored(lab.unlocked("reader"), report.snapshot)) == []


def kinds_of_packs(context: DossierContext) -> dict[str, int]:
    index = context.repository.index(refresh=True).index
    return {name: index.entries(name)[0].kind for name, _, _ in index.packs()}


@pytest.mark.parametrize("which", ["data", "tree"])
@pytest.mark.parametrize("harm", ["delete", "truncate"])
def test_one_lost_pack_makes_only_what_was_in_it_stored_again(
    lab: Any, settled_tree: Path, context: ContextOf, which: str, harm: str
) -> None:
    """The cache is no longer trusted as it is: each blob is looked up, and only files that miss one are read."""
    first = lab.dossier().snapshot(settled_tree)
    [lost] = [name for name, kind in kinds_of_packs(context(lab.dossier())).items() if (kind == 1) == (which == "data")]
    size = len(lab.store.get(pack_path(lost)))
    whole = lab.store.get(pack_path(lost))
    lab.store.delete(pack_path(lost))
    if harm == "truncate":
        lab.store.put(pack_path(lost), whole[:-1])

    report = lab.dossier().snapshot(settled_tree)
    if which == "tree":
        # Only the file with a chunk list is read: its list was in the pack.
        assert report.raw_bytes_read == 300_016
    else:
        assert report.raw_bytes_read > 3_000_000
    assert 0.8 * size < report.added_bytes < 1.2 * size + 10_000
    assert report.blobs_added < first.blobs_added
    truth = compare_trees.collect(settled_tree)
    assert compare_trees.differences(truth, lab.restored(lab.unlocked("reader"), report.snapshot)) == []
    again = lab.dossier().snapshot(settled_tree)
    assert (again.raw_bytes_read, again.blobs_added) == (0, 0)


def test_a_lost_pack_of_other_files_makes_no_file_read(lab: Any, settled_tree: Path, context: ContextOf) -> None:
    lab.dossier().snapshot(settled_tree)
    before = set(pack_names(lab.store))
    extra = lab.write("big", bytes(range(256)) * 400)
    lab.dossier().snapshot([settled_tree, extra])
    fresh = {name: kind for name, kind in kinds_of_packs(context(lab.dossier())).items() if name not in before}
    [lost] = [name for name, kind in fresh.items() if kind == 1]
    lab.store.delete(pack_path(lost))
    report = lab.dossier().snapshot(settled_tree)
    assert (report.raw_bytes_read, report.blobs_added) == (0, 0)
    truth = compare_trees.collect(settled_tree)
    assert compare_trees.differences(truth, lab.restored(lab.unlocked("reader"), report.snapshot)) == []


def test_another_station_stores_nothing_that_is_there(lab: Any, settled_tree: Path) -> None:
    lab.dossier().snapshot(settled_tree)
    report = lab.unlocked("other").snapshot(settled_tree)
    assert (report.blobs_added, report.added_bytes < 20_000) == (0, True)


def test_files_are_counted_as_new_changed_and_unchanged(lab: Any, settled_tree: Path) -> None:
    dossier = lab.dossier()
    first = dossier.snapshot(settled_tree)
    (settled_tree / "new").write_bytes(b"new")
    (settled_tree / "deep" / "note 20").write_bytes(b"changed")
    report = dossier.snapshot(settled_tree)
    assert (report.files_new, report.files_changed) == (1, 1)
    assert report.files_unchanged == first.files_new - 1
