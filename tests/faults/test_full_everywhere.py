"""A medium that gets full at any moment of a snapshot, and one without a free byte that is pruned.

Here a real file system of 1 MiB is filled to its last byte by somebody else at the 1st, 2nd, ... store operation; what
the store refuses by itself is simulated in test_every_crash.py.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import compare_trees

import snapstore
from snapstore.errors import StoreFullError
from snapstore.operations.opening import open_repository
from snapstore.station import StateFolder
from snapstore.stores.local import LocalStore
from snapstore.testing import Recorder, SimulatedStore

SECRET = "a secret for a full disk"
MOST = 200


class FilledAt(Recorder):
    """At its k-th operation somebody else takes all the space that is left."""

    def __init__(self, inner: LocalStore, k: int, ballast: Path) -> None:
        super().__init__(inner)
        self._k = k
        self._ballast = ballast

    def _start(self, operation: str, name: str) -> None:
        super()._start(operation, name)
        if self.count() == self._k:
            fill(self._ballast)


def fill(ballast: Path) -> None:
    for size in (4096, 1):
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
            while file.write(bytes(size)):
                pass


def test_a_disk_that_is_filled_at_any_moment(
    tiny_mount: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "kept").write_bytes(random.Random(1).randbytes(40_000))
    template = tmp_path / "template"
    with snapstore.init(template, state_dir=tmp_path / "state", kdf_seconds=0) as repository:
        repository.create_dossier("books", secret=SECRET).snapshot(source)
    first = compare_trees.collect(source)
    (source / "new").write_bytes(random.Random(2).randbytes(90_000))
    second = compare_trees.collect(source)
    failed = 0
    for k in range(1, MOST):
        medium, state = tiny_mount / f"medium {k}", tmp_path / f"state {k}"
        shutil.copytree(template, medium)
        shutil.copytree(tmp_path / "state", state)

        def open_with(store: LocalStore | FilledAt, state: Path = state) -> snapstore.Repository:
            return snapstore.Repository(open_repository(store, StateFolder(state)))

        store = FilledAt(LocalStore(medium), k, tiny_mount / "ballast")
        reported = []
        with open_with(store) as repository:
            try:
                reported.append(repository.dossier("books").snapshot(source).snapshot.id)
            except StoreFullError:
                failed += 1
        (tiny_mount / "ballast").unlink(missing_ok=True)
        with open_with(LocalStore(medium)) as repository:
            dossier = repository.dossier("books")
            reported.append(dossier.snapshot(source).snapshot.id)
            dossier.unlock(SECRET)
            found = dossier.review()
            assert not found.problems
            assert set(reported) <= {snapshot.id for snapshot in found.snapshots if snapshot.confirmed}
            for snapshot in found.snapshots:
                assert dossier.restore(snapshot, to=tmp_path / "target").problems == ()
                expected = first if snapshot.number == 1 else second
                assert compare_trees.differences(expected, compare_trees.collect(tmp_path / "target")) == []
                shutil.rmtree(tmp_path / "target")
        assert [path for path in (medium / "tmp").glob("*") if path.is_file()] == []
        shutil.rmtree(medium)
        shutil.rmtree(state)
        if store.count() < k:
            break
    record_property("counted: moments of a snapshot at which a real disk was filled", k - 1)
    assert failed > 5


def test_prune_without_a_free_byte(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / "file").write_bytes(random.Random(number).randbytes(60_000))
        with (
            snapstore.init(tmp_path / "medium", state_dir=tmp_path / "state", kdf_seconds=0)
            if not number
            else (snapstore.open(tmp_path / "medium", state_dir=tmp_path / "state")) as repository
        ):
            if not number:
                repository.create_dossier("books", secret=SECRET)
            repository.dossier("books").snapshot(source)
            if number == 2:
                repository.dossier("books").forget(snapstore.RetentionPolicy(last=1))
    objects = {
        item.name: LocalStore(tmp_path / "medium").get(item.name) for item in LocalStore(tmp_path / "medium").list("")
    }
    objects["reserve/0"] = random.Random(9).randbytes(8192)
    full = SimulatedStore(capacity_bytes=sum(map(len, objects.values())))
    for name, data in objects.items():
        full.put(name, data)
    assert full.free_bytes() == 0
    with snapstore.Repository(open_repository(full, StateFolder(tmp_path / "state"))) as repository:
        report = repository.prune(options=snapstore.PruneOptions(max_unused=0.0))
        assert report.deleted_packs >= 2
        assert report.freed_bytes > 100_000
        assert repository.check(record=False).whole
        dossier = repository.unlock(SECRET)
        assert dossier.restore("latest", to=tmp_path / "target").problems == ()
        assert (
            compare_trees.differences(compare_trees.collect(source), compare_trees.collect(tmp_path / "target")) == []
        )
    assert not list(full.list("condemn"))
