"""A crash at every store operation of a prune, single failures everywhere, and a crash of the prune after a crash.

Afterwards everything that was reported restores in every byte, and the next prune leaves no garbage and no condemn.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from snapstore.errors import SnapstoreError
from snapstore.stores.protocol import Store
from snapstore.testing import CrashAt, FailAt, Recorder

MOST = 400
EVERY = bool(os.environ.get("SNAPSTORE_TEST_EVERY_FAULT"))


def crash_after_effect(store: Store, k: int) -> CrashAt:
    return CrashAt(store, k, after_effect=True)


each_fault = pytest.mark.parametrize(
    "fault", [CrashAt, crash_after_effect, FailAt], ids=["crash", "crash-after-effect", "fail-once"]
)


def each_k(run: Callable[[int], bool]) -> int:
    for k in range(1, MOST):
        if not run(k):
            return k - 1
    raise AssertionError("there is no end to it")


@each_fault
def test_a_prune(days: Any, prune_on: Any, fault: Callable[[Store, int], Recorder]) -> None:
    survived = 0

    def run(number: int) -> bool:
        nonlocal survived
        k = number if EVERY else 2 * number - 1
        fork = days.fork(str(k))
        store = fault(fork.lab.store, k)
        try:
            prune_on(fork.lab, store)
        except SnapstoreError:
            survived += 1
        fork.assert_whole()
        fork.prune()
        fork.assert_whole()
        fork.assert_at_rest()
        return store.count() >= k

    points = each_k(run)
    assert survived > points // 2
    print(f"prune: {points} crash points")


def test_a_prune_after_a_crash(days: Any, prune_on: Any) -> None:
    """Crashed once while something is condemned and not everything is gone, and then again at every point."""
    counted = days.fork("counted")
    recorder = Recorder(counted.lab.store)
    prune_on(counted.lab, recorder)
    calls = [(call.operation, call.name.partition("/")[0]) for call in recorder.calls]
    first_delete = 1 + calls.index(("delete", "packs"))
    condemned = 1 + calls.index(("put", "condemn"))
    for crashed_at in (condemned + 1, first_delete + 1):
        begun = days.fork(f"crashed at {crashed_at}")
        with pytest.raises(SnapstoreError):
            prune_on(begun.lab, CrashAt(begun.lab.store, crashed_at))
        assert len(begun.lab.names("condemn")) == 1

        def run(number: int, begun: Any = begun) -> bool:
            k = number if EVERY else 4 * number
            fork = begun.fork(str(k))
            store = CrashAt(fork.lab.store, k, after_effect=k % 2 == 0)
            try:
                prune_on(fork.lab, store)
            except SnapstoreError:
                fork.assert_whole()
                fork.prune()
            fork.assert_whole()
            fork.assert_at_rest()
            return store.count() >= k

        print(f"prune after a crash: {each_k(run)} crash points")


def test_a_forget_that_was_interrupted_is_finished(days: Any) -> None:
    days.take("4", seed=4)
    dossier = days.lab.dossier()
    (chosen,) = [item for item in dossier.list() if item.label == "3"]
    for k in range(1, MOST):
        fork = days.fork(str(k))
        dossier = fork.lab.dossier()
        store = CrashAt(fork.lab.store, k)
        dossier._context.repository.store = store
        try:
            dossier.forget(snapshots=[chosen.name])
            ended = True
        except SnapstoreError:
            ended = False
        gone = "3" not in [item.label for item in fork.lab.dossier().list()]
        if gone:
            del fork.truth["3"]
        fork.prune()
        fork.assert_whole()
        fork.assert_at_rest()
        assert len(fork.lab.names("ok")) == len(fork.lab.names("snapshots")) == len(fork.truth)
        if ended:
            return
    raise AssertionError("there is no end to it")
