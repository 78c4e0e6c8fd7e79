"""Publish, then look: what a writer does about packs that vanish or are condemned while it writes, and in which order.

Source: docs/format/11-protocol.md. The store under the writer is real; a thin layer over it does what a pruner on
another PC would do between the writer's manifest and its look.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, BinaryIO

import compare_trees
import pytest

import snapstore
from snapstore.crypto.derivation import digest
from snapstore.errors import DamagedObjectError, InUseError, MissingObjectError
from snapstore.format.names import new_name, object_path, pack_path
from snapstore.format.notes import Condemn, encode_condemn
from snapstore.operations.context import DossierContext
from snapstore.progress import ProgressStatus
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store
from snapstore.testing import Call, Recorder, StoreWrapper


class AfterManifest(StoreWrapper):
    """Calls `act` once a manifest was put, as often as `times` says."""

    def __init__(self, inner: Store, act: Callable[[], None], times: int = 1) -> None:
        super().__init__(inner)
        self.manifests: list[str] = []
        self._act = act
        self._times = times

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        super().put(name, data, size=size)
        if name.startswith("snapshots/"):
            self.manifests.append(name)
            if len(self.manifests) <= self._times:
                self._act()


class Pruner:
    """Another PC that condemns and deletes packs."""

    def __init__(self, store: Store, context: DossierContext) -> None:
        self.store = store
        self.context = context

    def packs(self) -> list[str]:
        return sorted(item.name.rpartition("/")[2] for item in self.store.list("packs"))

    def condemn(self, packs: list[str] | None = None) -> None:
        note = Condemn(
            station_id=self.context.repository.state.station.id,
            time_ns=time.time_ns(),
            packs=tuple(self.packs() if packs is None else packs),
        )
        keys = self.context.repository.newest_maintenance()
        data = encode_condemn(keys, self.context.repository.config.repository_id, note)
        self.store.put(object_path("condemn", new_name(digest(data))), data)

    def delete(self, packs: list[str] | None = None) -> None:
        for name in self.packs() if packs is None else packs:
            self.store.delete(pack_path(name))


@pytest.fixture
def pruner(lab: Any, context: Callable[[snapstore.Dossier], DossierContext]) -> Pruner:
    return Pruner(lab.store, context(lab.dossier()))


@pytest.fixture
def written(lab: Any, write_every_shape: Callable[..., None]) -> Any:
    write_every_shape(lab.source)
    return lab


@pytest.mark.parametrize("harm", ["condemn", "delete", "truncate"])
def test_packs_lost_before_the_look_are_stored_again_under_a_new_manifest(
    written: Any, pruner: Pruner, harm: str
) -> None:
    before: list[str] = []

    def truncate() -> None:
        for name in pruner.packs():
            whole = written.store.get(pack_path(name))
            written.store.delete(pack_path(name))
            written.store.put(pack_path(name), whole[:-1])

    def act() -> None:
        before.extend(pruner.packs())
        {"condemn": pruner.condemn, "delete": pruner.delete, "truncate": truncate}[harm]()

    store = AfterManifest(written.store, act)
    report = written.dossier(store=store).snapshot(written.source)

    assert len(store.manifests) == 2
    assert written.names("snapshots") == [store.manifests[1]]
    assert len(written.names("ok")) == 1
    assert report.snapshot.number == 2  # the first manifest was there when the second was made
    for name in before:  # the restore must not live on what was condemned
        if harm != "delete":
            written.store.delete(pack_path(name))
    reader = written.unlocked("reader")
    assert [snapshot.confirmed for snapshot in reader.list()] == [True]
    written.assert_restores(reader, written.facts(), report.snapshot)


def test_one_pack_of_an_old_snapshot_vanishes_while_the_next_one_relies_on_it(
    lab: Any, settled_tree: Any, pruner: Pruner
) -> None:
    lab.dossier().snapshot(settled_tree)
    packs = pruner.packs()
    assert len(packs) == 2

    for number, pack in enumerate(packs):
        fork = lab.fork(str(number))
        fork_pruner = Pruner(fork.store, pruner.context)
        store = AfterManifest(fork.store, lambda pack=pack, at=fork_pruner: at.delete([pack]))
        report = fork.dossier(store=store).snapshot(settled_tree)
        assert len(store.manifests) == 2
        reader = fork.unlocked("reader")
        restored = fork.restored(reader, report.snapshot)
        assert compare_trees.differences(compare_trees.collect(settled_tree), restored) == []


def test_packs_that_always_vanish_end_in_an_error_and_leave_no_manifest(written: Any, pruner: Pruner) -> None:
    store = AfterManifest(written.store, pruner.condemn, times=1000)
    with pytest.raises(InUseError):
        written.dossier(store=store).snapshot(written.source)
    assert written.names("snapshots") == written.names("ok") == written.names("sessions") == []


def test_a_manifest_taken_away_before_ok_is_an_error(written: Any, pruner: Pruner) -> None:
    class TakenAway(Recorder):
        def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
            if name.startswith("ok/"):
                for item in list(self.inner.list("snapshots")):
                    self.inner.delete(item.name)
            super().put(name, data, size=size)

    with pytest.raises(MissingObjectError) as caught:
        written.dossier(store=TakenAway(written.store)).snapshot(written.source)
    assert caught.value.code == "manifest_removed"


def test_packs_condemned_before_the_run_are_not_reused(written: Any, pruner: Pruner) -> None:
    first = written.dossier().snapshot(written.source)
    old = pruner.packs()
    pruner.condemn()
    store = AfterManifest(written.store, lambda: None)
    second = written.dossier(store=store).snapshot(written.source)
    assert len(store.manifests) == 1, "known from the start, not found out by the look"
    assert second.added_bytes >= 0.9 * first.added_bytes
    pruner.delete(old)
    reader = written.unlocked("reader")
    written.assert_restores(reader, written.facts(), second.snapshot)


def test_a_condemn_object_that_cannot_be_read_stops_the_writer(written: Any) -> None:
    written.store.put(object_path("condemn", new_name(digest(b"x"))), b"garbage that nobody can read")
    with pytest.raises(DamagedObjectError):
        written.dossier().snapshot(written.source)
    assert written.names("snapshots") == written.names("ok") == []


class Witness(Recorder):
    """Notes what the caller was told among the operations of the store."""

    def update(self, status: ProgressStatus) -> None:
        self.calls.append(Call("tell", status.phase))


def test_the_order_of_operations(written: Any) -> None:
    store = Witness(written.store)
    dossier = written.dossier(store=store)
    store.calls.clear()
    dossier.snapshot(written.source, progress=store)
    store.calls.append(Call("report", ""))

    def places(operation: str, folder: str) -> list[int]:
        return [
            number
            for number, call in enumerate(store.calls)
            if call.operation == operation and call.name.split("/")[0] == folder
        ]

    [manifest], [ok] = places("put", "snapshots"), places("put", "ok")
    note, note_gone = places("put", "sessions"), places("delete", "sessions")
    assert note[0] < min(places("list", "condemn")) < min(places("put", "packs"))
    assert max(places("put", "packs")) < max(places("put", "index")) < manifest
    after = [(call.operation, call.name.split("/")[0]) for call in store.calls[manifest + 1 : ok]]
    steps = [step for step in after if step[0] in {"list", "put"}]
    assert steps == [("list", "condemn"), ("list", "packs")]
    seen_again = [place for place in places("list", "snapshots") if place > ok]
    assert seen_again
    assert ok < note_gone[-1] < places("report", "")[0]
    assert places("tell", "confirm")[0] < ok
    assert {call.name for call in store.calls if call.operation == "tell"} == {"snapshot", "upload", "confirm"}


def test_nothing_is_reported_before_ok(written: Any) -> None:
    class NoOk(MemoryStore):
        def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
            if name.startswith("ok/"):
                raise snapstore.StoreFullError("no space")
            super().put(name, data, size=size)

    store = NoOk()
    for item in written.store.list(""):
        store.put(item.name, written.store.get(item.name))
    with pytest.raises(snapstore.StoreFullError):
        written.dossier(store=store).snapshot(written.source)
    listed = written.dossier(store=store).list()
    assert [snapshot.confirmed for snapshot in listed] == [False]


def test_an_unconfirmed_snapshot_is_listed_and_can_be_restored(written: Any) -> None:
    written.dossier().snapshot(written.source)
    [ok] = written.names("ok")
    written.store.delete(ok)
    reader = written.unlocked("reader")
    [snapshot] = reader.list()
    assert not snapshot.confirmed
    assert reader.find("latest") == snapshot
    written.assert_restores(reader, written.facts(), snapshot)
