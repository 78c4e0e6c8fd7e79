"""Pruning while others write and prune: at every store operation of the one, all of the other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pytest

import snapstore
from snapstore.blobs.naming import put_named
from snapstore.errors import SnapstoreError, StoreUnavailableError
from snapstore.format.names import object_path
from snapstore.format.notes import Condemn, decode_condemn, encode_condemn
from snapstore.stores.protocol import Store, StoredObject
from snapstore.testing import CrashAt, Recorder

MOST = 400


def sampled() -> Iterator[int]:
    """Every point, or each third where time is short."""
    step = 1 if os.environ.get("SNAPSTORE_TEST_EVERY_FAULT") else 3
    return iter(range(1, MOST, step))


class Meanwhile(Recorder):
    """Before the k-th operation something else happens, over the store itself."""

    def __init__(self, inner: Store, k: int, what: Callable[[], object]) -> None:
        super().__init__(inner)
        self._k = k
        self._what = what
        self.happened = False

    def _start(self, operation: str, name: str) -> None:
        super()._start(operation, name)
        if self.count() == self._k:
            self.happened = True
            self._what()


class StopsBeforeItsLook(Recorder):
    """A writer's store that is gone when the writer's manifest is there and it would look at what is condemned."""

    def _start(self, operation: str, name: str) -> None:
        super()._start(operation, name)
        if any(call.operation == "put" and call.name.startswith("snapshots/") for call in self.calls[:-1]):
            raise StoreUnavailableError("The medium is gone.")


class SlowList(Recorder):
    """In the middle of the k-th listing something else happens; a part that was taken before does not show it."""

    def __init__(self, inner: Store, k: int, what: Callable[[], object], *, late_first: bool) -> None:
        super().__init__(inner)
        self._k = k
        self._what = what
        self._late_first = late_first
        self.happened = False

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Half of the names as of before, half as of after."""
        before = list(super().list(prefix))
        if self.count("list") != self._k:
            return iter(before)
        self.happened = True
        self._what()
        after = list(self.inner.list(prefix))
        names = sorted({item.name for item in (*before, *after)}, reverse=self._late_first)
        early = set(names[: len(names) // 2])
        shown = [item for item in before if item.name in early] + [item for item in after if item.name not in early]
        return iter(shown)


@pytest.fixture
def two(days: Any) -> Any:
    """A second station is enrolled, and has taken a snapshot of its own."""
    days.lab.unlocked("two")
    days.take("4", seed=4)
    days.take("5", seed=5)
    days.forget("4")
    return days


def snapshot(days: Any, station: str, label: str) -> None:
    report = days.lab.dossier(station).snapshot(days.lab.source, label=label)
    assert report.problems == ()
    days.truth[label] = days.lab.facts()


def test_a_snapshot_between_every_two_operations(two: Any, prune_on: Any) -> None:
    """Of files that only forgotten snapshots had: it reuses what is about to go, and must not lose it."""
    for k in sampled():
        fork = two.fork(str(k))
        for number in range(3):
            fork.lab.write(f"again {number}", bytes([number]) * 5000)
        first = fork.lab.dossier("two").snapshot(two.lab.source, label="gone")
        fork.lab.dossier("two").forget(snapshots=[first.snapshot], allow_last=True)
        store = Meanwhile(fork.lab.store, k, lambda fork=fork: snapshot(fork, "two", "meanwhile"))
        prune_on(fork.lab, store)
        fork.assert_whole()
        fork.prune()
        fork.assert_whole()
        fork.assert_at_rest()
        if not store.happened:
            print(f"a snapshot at {k - 1} points")
            return
    raise AssertionError("there is no end to it")


def test_a_prune_between_every_two_operations_of_a_snapshot(two: Any) -> None:
    for k in sampled():
        fork = two.fork(str(k))
        dossier = fork.lab.dossier("two")
        store = Meanwhile(fork.lab.store, k, fork.prune)
        dossier._context.repository.store = store
        dossier.snapshot(fork.lab.source, label="meanwhile")
        fork.truth["meanwhile"] = fork.lab.facts()
        fork.assert_whole()
        fork.prune()
        fork.assert_whole()
        fork.assert_at_rest()
        if not store.happened:
            return
    raise AssertionError("there is no end to it")


def prune_as(days: Any, station: str, store: Store | None = None) -> None:
    repository = days.lab.open(station)
    if store is not None:
        repository._context.store = store
    repository.prune(options=snapstore.PruneOptions(max_unused=0))


def test_another_prune_between_every_two_operations(two: Any) -> None:
    for k in sampled():
        fork = two.fork(str(k))
        store = Meanwhile(fork.lab.store, k, lambda fork=fork: prune_as(fork, "two"))
        prune_as(fork, "one", store)
        fork.assert_whole()
        fork.prune()
        fork.assert_whole()
        fork.assert_at_rest()
        if not store.happened:
            return
    raise AssertionError("there is no end to it")


@pytest.mark.parametrize("after_effect", [False, True])
def test_another_prune_that_dies_between_every_two_operations(two: Any, *, after_effect: bool) -> None:
    """The one that goes on meets condemn objects, new packs and deleted ones of the one that died."""
    counted = two.fork("counted")
    recorder = Recorder(counted.lab.store)
    prune_as(counted, "two", recorder)
    calls = [call.operation for call in recorder.calls]
    ends = [number for number, operation in enumerate(calls, 1) if operation in ("put", "delete")]
    total = recorder.count()
    for end in ends:
        for k in range(1 + end % 5, total, 5 * (1 + len(ends) // 4)):
            fork = two.fork(f"{end} {k}")

            def die(fork: Any = fork, end: int = end) -> None:
                with contextlib.suppress(SnapstoreError):  # a part may be done already, and it comes to its end
                    prune_as(fork, "two", CrashAt(fork.lab.store, end, after_effect=after_effect))

            store = Meanwhile(fork.lab.store, k, die)
            prune_as(fork, "one", store)
            fork.assert_whole()
            fork.prune()
            fork.assert_at_rest()
            fork.assert_whole()


@pytest.mark.parametrize("late_first", [False, True])
def test_listings_that_show_half_of_what_happens(two: Any, *, late_first: bool) -> None:
    """A prune or a snapshot of another station runs in the middle of each listing of a prune."""
    for what in ("prune", "snapshot"):
        for k in range(1, MOST):
            fork = two.fork(f"{what} {k}")

            def happen(fork: Any = fork, what: str = what) -> None:
                if what == "prune":
                    prune_as(fork, "two")
                else:
                    snapshot(fork, "two", "meanwhile")

            store = SlowList(fork.lab.store, k, happen, late_first=late_first)
            with contextlib.suppress(snapstore.PruneRefusedError):  # it saw a half of something, and stopped
                prune_as(fork, "one", store)
            fork.assert_whole()
            fork.prune()
            fork.assert_whole()
            fork.assert_at_rest()
            if not store.happened:
                break
        else:
            raise AssertionError("there is no end to it")


# --- condemn objects of others --------------------------------------------------------------------------------------


def condemn(days: Any, packs: list[str]) -> str:
    context = days.lab.open("two")._context
    note = Condemn(station_id=context.state.station.id, time_ns=1, packs=tuple(packs))
    data = encode_condemn(context.newest_maintenance(), context.config.repository_id, note)
    return put_named(days.lab.store, lambda name: object_path("condemn", name), data)


def pack_names(days: Any) -> list[str]:
    return [name.rpartition("/")[2] for name in days.lab.names("packs")]


def test_everything_was_condemned_by_a_dead_one(two: Any) -> None:
    old = pack_names(two)
    condemn(two, old)
    two.assert_whole()
    report = two.prune()
    assert report.deleted_packs == len(old)
    assert not set(old) & set(pack_names(two))
    two.assert_whole()
    two.assert_at_rest()


def test_a_condemn_object_whose_packs_are_gone_is_removed(two: Any) -> None:
    condemn(two, ["0" * 32])
    two.prune()
    two.assert_at_rest()


def test_what_is_needed_and_damaged_is_not_condemned_too(two: Any) -> None:
    """Another one condemned it; it is left to a repair, and so is the condemn object."""
    two.prune()
    name = max(two.lab.names("packs"), key=lambda name: len(two.lab.store.get(name)))
    data = bytearray(two.lab.store.get(name))
    data[100] ^= 1
    two.lab.store.delete(name)
    two.lab.store.put(name, bytes(data))
    put = condemn(two, [name.rpartition("/")[2]])
    report = two.prune()
    assert [problem.code for problem in report.problems] == ["damaged_blob"]
    assert name in two.lab.names("packs")
    assert two.lab.names("condemn") == [put]


def test_a_condemned_pack_that_comes_into_use_stays(two: Any, prune_on: Any) -> None:
    """The other writer reads condemn/ before we condemn, and puts its manifest before we look."""
    lab = two.lab
    lab.write("again", b"of use again" * 2000)
    first = lab.dossier("two").snapshot(lab.source, label="gone")
    lab.dossier("two").forget(snapshots=[first.snapshot], allow_last=True)
    writer = lab.dossier("two")
    writer._context.repository.store = StopsBeforeItsLook(lab.store)
    looked = []
    counted_prune = two.fork("counted prune")
    recorder = Recorder(counted_prune.lab.store)
    prune_on(counted_prune.lab, recorder)
    calls = [(call.operation, call.name.partition("/")[0]) for call in recorder.calls]
    condemning = 1 + calls.index(("put", "condemn"))

    def write() -> None:
        with pytest.raises(SnapstoreError):
            writer.snapshot(lab.source)
        looked.append(len(lab.names("snapshots")))

    # ... but after we have looked first.
    repository = lab.open()
    repository._context.store = Meanwhile(lab.store, condemning, write)
    report = repository.prune(options=snapstore.PruneOptions(max_unused=0))
    assert looked == [3]
    assert report.withdrawn_packs > 0
    assert lab.names("condemn") == []
    two.assert_whole()
    unconfirmed = [item for item in lab.dossier("two").list() if not item.confirmed]
    assert len(unconfirmed) == 1
    lab.assert_restores(lab.dossier("two"), lab.facts(), unconfirmed[0])


def test_our_condemn_object_is_never_replaced(two: Any, prune_on: Any) -> None:
    """A list that ran across a smaller one put and the old one deleted could miss both."""
    recorder = Recorder(two.lab.store)
    prune_on(two.lab, recorder)
    puts = [call.name for call in recorder.calls if call.operation == "put" and call.name.startswith("condemn/")]
    deletes = [number for number, call in enumerate(recorder.calls) if call.name in puts and call.operation == "delete"]
    packs = [n for n, call in enumerate(recorder.calls) if call.operation == "delete" and call.name[:5] == "packs"]
    assert len(puts) == len(deletes) == 1
    assert max(packs) < deletes[0]


def test_the_order_of_the_looks(two: Any, prune_on: Any) -> None:
    """Condemn; then condemn/, then snapshots/, then ok/, then packs/; only then is anything deleted."""
    recorder = Recorder(two.lab.store)
    prune_on(two.lab, recorder)
    calls = [(call.operation, call.name.partition("/")[0]) for call in recorder.calls]
    at = calls.index(("put", "condemn"))
    for step in [("list", "condemn"), ("list", "snapshots"), ("list", "ok"), ("list", "packs"), ("delete", "packs")]:
        later = calls.index(step, at)
        assert later > at
        at = later
    first = calls.index(("put", "condemn"))
    assert ("delete", "packs") not in calls[:first]


def test_condemn_objects_are_read_back(two: Any) -> None:
    context = two.lab.open()._context
    name = condemn(two, sorted(pack_names(two)))
    data: bytes | BinaryIO = two.lab.store.get(name)
    assert isinstance(data, bytes)
    note = decode_condemn(context.newest_maintenance(), context.config.repository_id, data)
    assert list(note.packs) == sorted(pack_names(two))
