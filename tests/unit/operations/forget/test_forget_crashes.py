"""A crash at every store operation of forget, hold and unhold, and single failures everywhere.

Afterwards what stays restores in every byte, nothing looks as if it had been taken away, and the next forget leaves
neither manifest nor ok copy of what was forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import snapstore
from snapstore.errors import SnapstoreError
from snapstore.stores.protocol import Store
from snapstore.testing import CrashAt, FailAt, Recorder
from snapstore.upkeep_types import RetentionPolicy

MOST = 200


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


@pytest.fixture
def begun(lab: Any) -> Any:
    """Four snapshots, the first one held."""
    dossier = lab.dossier()
    for number in range(4):
        lab.write("file", f"{number} {time.time_ns()}".encode())
        dossier.snapshot(lab.source, label=str(number))
    dossier.hold("latest~3")
    return lab


def attempted(lab: Any, fault: Callable[[Store, int], Recorder], k: int, verb: Callable[[Any], object]) -> Recorder:
    dossier = lab.dossier()
    store = fault(lab.store, k)
    dossier._context.repository.store = store
    try:
        verb(dossier)
    except SnapstoreError:
        pass
    else:
        store.calls.append(DONE)
    return store


DONE: Any = object()


@each_fault
def test_forget(begun: Any, fault: Callable[[Store, int], Recorder]) -> None:
    policy = RetentionPolicy(last=1)
    newest = begun.facts()

    def run(k: int) -> bool:
        fork = begun.fork(str(k))
        store = attempted(fork, fault, k, lambda dossier: dossier.forget(policy))
        after = fork.dossier()
        review = after.review()
        assert (review.missing, review.problems) == ((), ())
        labels = [snapshot.label for snapshot in review.snapshots]
        assert labels in (["3", "2", "1", "0"], ["3", "0"])
        assert DONE not in store.calls or labels == ["3", "0"]
        fork.assert_restores(after, newest, "latest")
        after.forget(policy)
        assert [snapshot.label for snapshot in after.list()] == ["3", "0"]
        assert len(fork.names("ok")) == len(fork.names("snapshots")) == 2
        review = fork.dossier().review()
        assert (review.missing, review.problems) == ((), ())
        return len([call for call in store.calls if call is not DONE]) >= k

    print(f"forget: {each_k(run)} crash points")


@each_fault
def test_a_snapshot_after_a_forget_that_died(begun: Any, fault: Callable[[Store, int], Recorder]) -> None:
    def run(k: int) -> bool:
        fork = begun.fork(str(k))
        store = attempted(fork, fault, k, lambda dossier: dossier.forget(RetentionPolicy(last=1)))
        fork.write("file", b"another day")
        after = fork.dossier()
        report = after.snapshot(fork.source)
        fork.assert_restores(after, fork.facts(), report.snapshot)
        assert report.snapshot.number == 5
        review = after.review()
        assert (review.missing, review.problems) == ((), ())
        return len([call for call in store.calls if call is not DONE]) >= k

    print(f"forget, then snapshot: {each_k(run)} crash points")


@each_fault
@pytest.mark.parametrize("verb", ["hold", "unhold"])
def test_hold_and_unhold(begun: Any, fault: Callable[[Store, int], Recorder], verb: str) -> None:
    wanted = "latest~2" if verb == "hold" else "latest~3"

    def held(dossier: snapstore.Dossier) -> bool:
        return dossier.find(wanted).held

    def run(k: int) -> bool:
        fork = begun.fork(str(k))
        store = attempted(fork, fault, k, lambda dossier: getattr(dossier, verb)(wanted))
        after = fork.dossier()
        assert DONE not in store.calls or held(after) == (verb == "hold")
        getattr(after, verb)(wanted)
        assert held(after) == (verb == "hold")
        return len([call for call in store.calls if call is not DONE]) >= k

    print(f"{verb}: {each_k(run)} crash points")
