"""A crash at every store operation of init, create_dossier and snapshot, and single failures everywhere.

Each run works on a copy of the same repository and station, and its store fails from the k-th operation on (or fails
once, or does the k-th put and denies it). Afterwards every snapshot that was ever reported restores in every byte, the
next run succeeds, and it clears away what the dead one left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import snapstore
from snapstore.errors import SnapstoreError
from snapstore.operations.opening import init_repository
from snapstore.station import StateFolder
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store
from snapstore.testing import CrashAt, FailAt, Recorder

MOST = 400


def crash_after_effect(store: Store, k: int) -> CrashAt:
    return CrashAt(store, k, after_effect=True)


FAULTS: list[Callable[[Store, int], Recorder]] = [CrashAt, crash_after_effect, FailAt]
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=["crash", "crash-after-effect", "fail-once"])


def each_k(run: Callable[[int], bool]) -> int:
    """Call `run` with k = 1, 2, ... until it says that the k-th operation was never reached. Return how many were."""
    for k in range(1, MOST):
        if not run(k):
            return k - 1
    raise AssertionError("there is no end to it")


@each_fault
def test_init(tmp_path: Path, fault: Callable[[Store, int], Recorder]) -> None:
    def run(k: int) -> bool:
        inner = MemoryStore()
        store = fault(inner, k)
        state = StateFolder(tmp_path / f"state {k}")
        try:
            init_repository(store, state, protected=False, share=False, kdf_seconds=0)
            reported = True
        except SnapstoreError:
            reported = False
        try:
            init_repository(inner, state, protected=False, share=False, kdf_seconds=0)
        except snapstore.RepositoryExistsError:
            assert reported or list(inner.list("config"))
        else:
            assert not reported
        assert len(list(inner.list("config"))) == 1
        return store.count() >= k

    print(f"init: {each_k(run)} crash points")


@each_fault
def test_create_dossier(lab: Any, fault: Callable[[Store, int], Recorder]) -> None:
    def run(k: int) -> bool:
        fork = lab.fork(str(k))
        repository = fork.open()
        store = fault(fork.store, k)
        repository._context.store = store
        reported = True
        try:
            repository.create_dossier("letters", secret=fork.secret)
        except SnapstoreError:
            reported = False
        after = fork.open()
        assert after.dossier("books").list() == ()
        if not reported:
            with pytest.raises(snapstore.DossierNotFoundError):
                after.dossier("letters")
            after.create_dossier("letters", secret=fork.secret)
        fork.write("letter", b"dear reader")
        report = after.dossier("letters").snapshot(fork.source)
        fork.assert_restores(after.dossier("letters"), fork.facts(), report.snapshot)
        return store.count() >= k

    print(f"create_dossier: {each_k(run)} crash points")


@pytest.fixture
def begun(lab: Any) -> Any:
    """One snapshot is there, and the source has changed since."""
    for number in range(6):
        lab.write(f"folder {number % 2}/file {number}", bytes([number]) * 3000 * number)
    lab.dossier().snapshot(lab.source, label="first")
    return lab


def snapshots_before_and_after(lab: Any) -> Iterator[dict[str, Any]]:
    yield lab.facts()
    lab.write("folder 0/new", b"new" * 5000)
    lab.write("folder 1/file 1", b"changed" * 700)
    (lab.source / "folder 0" / "file 2").unlink()
    yield lab.facts()


@each_fault
def test_second_snapshot(begun: Any, fault: Callable[[Store, int], Recorder]) -> None:
    first, second = snapshots_before_and_after(begun)
    survived = 0

    def run(k: int) -> bool:
        nonlocal survived
        fork = begun.fork(str(k))
        dossier = fork.dossier()
        store = fault(fork.store, k)
        dossier._context.repository.store = store
        truth = {"first": first}
        try:
            dossier.snapshot(begun.source, label="second")
            truth["second"] = second
            survived += 1
        except SnapstoreError:
            pass

        after = fork.dossier()
        _assert_all_restore(fork, after, truth)

        report = after.snapshot(begun.source, label="again")
        assert report.problems == ()
        truth["again"] = second
        confirmed = _assert_all_restore(fork, after, truth)
        assert [snapshot for snapshot in after.list() if not snapshot.confirmed] == []
        assert report.snapshot.number == max(snapshot.number for snapshot in confirmed.values())
        assert len({snapshot.number for snapshot in confirmed.values()}) == len(confirmed)
        review = after.review()
        assert (review.missing, review.problems) == ((), ())
        return store.count() >= k

    points = each_k(run)
    print(f"second snapshot: {points} crash points, {survived} of them survived")
    assert points > 20


def _assert_all_restore(fork: Any, dossier: snapstore.Dossier, truth: dict[str, Any]) -> dict[str, snapstore.Snapshot]:
    confirmed = {snapshot.label or "": snapshot for snapshot in dossier.list() if snapshot.confirmed}
    assert truth.keys() <= confirmed.keys()
    dossier.unlock(fork.secret)
    for label, facts in truth.items():
        fork.assert_restores(dossier, facts, confirmed[label])
    return confirmed


def test_an_interrupted_first_run_is_gone_on_with(lab: Any, write_every_shape: Callable[..., None]) -> None:
    """Packs are there, an index is not: their headers tell what is in them."""
    write_every_shape(lab.source)
    fork = lab.fork("whole")
    whole = fork.dossier().snapshot(lab.source)

    class DiesAtIndex(Recorder):
        def _start(self, operation: str, name: str) -> None:
            super()._start(operation, name)
            if any(call.name.startswith("index/") and call.operation == "put" for call in self.calls):
                raise snapstore.StoreUnavailableError("the stick was pulled out")

    with pytest.raises(snapstore.StoreUnavailableError):
        lab.dossier(store=DiesAtIndex(lab.store)).snapshot(lab.source)
    assert lab.names("packs")
    assert lab.names("index") == lab.names("snapshots") == []

    report = lab.dossier().snapshot(lab.source)
    assert report.blobs_added == 0
    assert report.blobs_reused >= whole.blobs_added
    assert report.added_bytes < whole.added_bytes // 20
    lab.assert_restores(lab.unlocked("reader"), lab.facts(), report.snapshot)


def test_what_dead_runs_of_this_station_left_is_dropped_and_others_is_not(begun: Any) -> None:
    other = begun.unlocked("other")
    for dossier in (begun.dossier(), other):

        class NoOk(Recorder):
            def _start(self, operation: str, name: str) -> None:
                if operation == "put" and name.startswith("ok/"):
                    raise snapstore.StoreUnavailableError("gone")

        dossier._context.repository.store = NoOk(begun.store)
        with pytest.raises(snapstore.StoreUnavailableError):
            dossier.snapshot(begun.source, label="dead")
    fresh = begun.dossier()
    stations = sorted(snapshot.station or "" for snapshot in fresh.list() if not snapshot.confirmed)
    assert stations == ["one", "other"]
    fresh.snapshot(begun.source, label="alive")
    assert [snapshot.station for snapshot in fresh.list() if not snapshot.confirmed] == ["other"]
    begun.dossier("other").snapshot(begun.source, label="alive too")
    assert all(snapshot.confirmed for snapshot in fresh.list())
