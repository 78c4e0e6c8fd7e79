"""Several repositories, several threads, and stations in turn, in one process."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import compare_trees
import pytest

import snapstore
from snapstore.errors import OperationCancelledError
from snapstore.progress import ProgressStatus


def fill(folder: Path, seed: int) -> dict[str, compare_trees.Facts]:
    generator = random.Random(seed)
    for number in range(40):
        path = folder / f"folder {number % 4}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(generator.randbytes(generator.randrange(40_000)))
    return compare_trees.collect(folder)


def assert_restored(
    dossier: snapstore.Dossier, snapshot: snapstore.Snapshot, target: Path, facts: dict[str, compare_trees.Facts]
) -> None:
    assert dossier.restore(snapshot, to=target).problems == ()
    assert compare_trees.differences(facts, compare_trees.collect(target)) == []


def test_two_repositories_at_once(lab: Any, unprotected_lab: Any, tmp_path: Path) -> None:
    """One station may write to both, and neither knows of the other."""
    state = tmp_path / "one station"
    folders = [tmp_path / "A", tmp_path / "B"]
    facts = [fill(folder, seed) for seed, folder in enumerate(folders)]
    repositories = [
        snapstore.init(tmp_path / "stick", state_dir=state, kdf_seconds=0),
        snapstore.init("memory:two-repositories", protected=False, state_dir=state, kdf_seconds=0),
    ]
    dossiers = [
        repositories[0].create_dossier("books", secret="a secret for a stick"),
        repositories[1].create_dossier("books"),
    ]
    with ThreadPoolExecutor(2) as threads:
        reports = list(threads.map(lambda dossier, folder: dossier.snapshot(folder), dossiers, folders))
    dossiers[0].unlock("a secret for a stick")
    for number in range(2):
        assert_restored(dossiers[number], reports[number].snapshot, tmp_path / f"restored {number}", facts[number])
        assert dossiers[number].list() == (reports[number].snapshot,)
    for repository in repositories:
        repository.close()
        repository.close()


def test_two_threads_on_one_dossier(lab: Any, tmp_path: Path) -> None:
    folders = [tmp_path / f"folder {number}" for number in range(4)]
    facts = [fill(folder, seed % 2) for seed, folder in enumerate(folders)]  # the same contents twice
    dossier = lab.unlocked("two")
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(dossier.snapshot, folders))
    listed = dossier.list()
    assert {snapshot.id for snapshot in listed} == {report.snapshot.id for report in reports}
    assert all(snapshot.confirmed for snapshot in listed)
    assert dossier.review().missing == ()
    for number, report in enumerate(reports):
        assert_restored(dossier, report.snapshot, tmp_path / f"restored {number}", facts[number])


def test_two_threads_on_two_dossiers_of_one_repository(shared_lab: Any, tmp_path: Path) -> None:
    secrets = {"books": shared_lab.secret, "letters": "a secret for letters"}
    repository = shared_lab.open()
    repository.create_dossier("letters", secret=secrets["letters"])
    shared = random.Random(3).randbytes(600_000)
    facts = {}
    for number, name in enumerate(secrets):
        fill(tmp_path / name, number)
        (tmp_path / name / "shared").write_bytes(shared)
        facts[name] = compare_trees.collect(tmp_path / name)

    def run(name: str) -> snapstore.Snapshot:
        dossier = repository.dossier(name)
        for _ in range(3):
            report = dossier.snapshot(tmp_path / name)
        return report.snapshot

    with ThreadPoolExecutor(2) as threads:
        newest = dict(zip(secrets, threads.map(run, secrets), strict=True))
    for name, snapshot in newest.items():
        dossier = repository.dossier(name)
        dossier.unlock(secrets[name])
        assert [item.number for item in dossier.list()] == [3, 2, 1]
        assert_restored(dossier, snapshot, tmp_path / f"restored {name}", facts[name])


def test_a_restore_while_a_snapshot_runs(lab: Any, tmp_path: Path) -> None:
    facts = fill(tmp_path / "folder", 1)
    dossier = lab.unlocked("two")
    first = dossier.snapshot(tmp_path / "folder")

    class Meanwhile:
        done = False

        def update(self, status: ProgressStatus) -> None:
            if status.phase == "upload" and not self.done:
                self.done = True
                assert_restored(dossier, first.snapshot, tmp_path / "restored", facts)

    progress = Meanwhile()
    fill(tmp_path / "folder", 2)
    dossier.snapshot(tmp_path / "folder", progress=progress)
    assert progress.done


def test_two_stations_in_turn_on_one_medium(tmp_path: Path) -> None:
    medium, secret = tmp_path / "stick", "a secret for a stick"
    with snapstore.init(medium, state_dir=tmp_path / "state 0", kdf_seconds=0) as repository:
        repository.create_dossier("books", secret=secret)
    with snapstore.open(medium, state_dir=tmp_path / "state 1") as repository:
        repository.unlock(secret)
    truth = {}
    for turn in range(4):
        facts = fill(tmp_path / "folder", turn)
        with snapstore.open(medium, state_dir=tmp_path / f"state {turn % 2}") as repository:
            report = repository.dossier("books").snapshot(tmp_path / "folder", label=str(turn))
            assert report.snapshot.number == turn + 1
            truth[report.snapshot.id] = facts
    with snapstore.open(medium, state_dir=tmp_path / "state 2") as repository:
        dossier = repository.unlock(secret)
        listed = dossier.list()
        assert [snapshot.label for snapshot in listed] == ["3", "2", "1", "0"]
        assert len({snapshot.station for snapshot in listed}) == 1  # both are this host
        for snapshot in listed:
            assert_restored(dossier, snapshot, tmp_path / f"restored {snapshot.number}", truth[snapshot.id])
    assert [path for path in (medium / "tmp").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("phase", ["snapshot", "upload", "confirm"])
def test_cancelling_leaves_the_repository_good(lab: Any, tmp_path: Path, phase: str) -> None:
    facts = fill(tmp_path / "folder", 1)

    class CancelIn:
        cancelled = False

        def update(self, status: ProgressStatus) -> None:
            self.cancelled = self.cancelled or status.phase == phase

        def is_set(self) -> bool:
            return self.cancelled

    watcher = CancelIn()
    dossier = lab.dossier()
    try:
        dossier.snapshot(tmp_path / "folder", progress=watcher, cancel=watcher)
    except OperationCancelledError:
        assert dossier.list() == ()
    else:
        assert phase == "confirm", "from the manifest on it is over in a moment"
    assert lab.names("sessions") == []
    report = dossier.snapshot(tmp_path / "folder")
    assert_restored(lab.unlocked("reader"), report.snapshot, tmp_path / "restored", facts)


def test_an_exception_of_the_progress_ends_the_snapshot(lab: Any, tmp_path: Path) -> None:
    fill(tmp_path / "folder", 1)

    class Broken:
        def update(self, status: ProgressStatus) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lab.dossier().snapshot(tmp_path / "folder", progress=Broken())
    assert lab.dossier().list() == ()
