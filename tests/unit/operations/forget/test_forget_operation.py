"""Forgetting and holding in real repositories: by policy and by name, by two stations, and what is refused."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from far_store import FarStore

import snapstore
from snapstore.crypto.derivation import digest
from snapstore.errors import (
    DamagedObjectError,
    InputError,
    NotEnrolledError,
    SnapshotNotFoundError,
    StationRevokedError,
    UnsupportedFormatError,
)
from snapstore.format.names import dossier_folder, dossier_path, new_name
from snapstore.format.record import RecordFacts, RecordType, encode_record
from snapstore.operations.history import read_history
from snapstore.stores.memory import MemoryStore
from snapstore.testing import Recorder
from snapstore.upkeep_types import RetentionPolicy


def take(lab: Any, count: int, station: str = "one", **more: Any) -> list[snapstore.Snapshot]:
    dossier = lab.dossier(station)
    taken = []
    for number in range(count):
        lab.write("file", f"{station} {number} {time.time_ns()}".encode())
        taken.append(dossier.snapshot(lab.source, **more).snapshot)
    return taken


def ids(snapshots: Any) -> list[bytes]:
    return [snapshot.id for snapshot in snapshots]


def put_record(lab: Any, dossier: Any, type: int, payload: dict[int, object], *, mandatory: bool = True) -> str:
    """A record of this station, also of a type that no version knows."""
    context = dossier._context.repository
    station = context.state.station
    data = encode_record(
        repository_id=context.config.repository_id,
        dossier_id=dossier.id,
        type=type,
        mandatory=mandatory,
        facts=RecordFacts(station_id=station.id, time_ns=time.time_ns(), zone_minutes=0, payload=payload),
        maintenance=context.newest_maintenance(),
        station_key=station.signing,
    )
    name = dossier_path("records", dossier.id, new_name(digest(data)))
    lab.store.put(name, data)
    return str(name)


def test_a_policy(lab: Any) -> None:
    taken = take(lab, 4)
    dossier = lab.dossier()
    looked = dossier.forget(RetentionPolicy(last=2), dry_run=True)
    assert (len(dossier.list()), looked.dry_run, ids(looked.forgotten)) == (4, True, ids(taken[1::-1]))
    report = dossier.forget(RetentionPolicy(last=2))
    assert (report.dossier, report.dry_run, report.problems) == ("books", False, ())
    assert report.decisions == looked.decisions
    assert ids(report.forgotten) == ids(taken[1::-1])
    review = lab.dossier().review()
    assert (ids(review.snapshots), review.missing, review.problems) == (ids(taken[:1:-1]), (), ())
    folder = dossier_folder(dossier.id)
    assert (len(lab.names(f"ok/{folder}")), len(lab.names(f"snapshots/{folder}"))) == (2, 2)
    lab.assert_restores(dossier, lab.facts(), taken[-1])
    assert take(lab, 1)[0].number == 5


def test_nothing_is_written_where_nothing_goes(lab: Any) -> None:
    take(lab, 2)
    before = lab.names("")
    lab.dossier().forget(RetentionPolicy(last=5))
    lab.dossier().forget(RetentionPolicy(last=1), dry_run=True)
    assert lab.names("") == before


def test_the_record_goes_first_then_the_ok_copy_then_the_manifest(lab: Any) -> None:
    take(lab, 2)
    store = Recorder(lab.store)
    dossier = lab.dossier(store=store)
    store.calls.clear()
    dossier.forget(RetentionPolicy(last=1))
    writes = [(call.operation, call.name.split("/")[0]) for call in store.calls if call.operation in {"put", "delete"}]
    assert writes == [("put", "records"), ("delete", "ok"), ("delete", "snapshots")]


def test_on_a_server_many_go_at_a_time_and_still_ok_copies_first(lab: Any) -> None:
    take(lab, 9)
    far = FarStore(lab.store, seconds=0.0)
    assert len(lab.dossier(store=far).forget(RetentionPolicy(last=1)).forgotten) == 8
    folders = [name.split("/")[0] for name in far.names("delete")]
    assert folders == ["ok"] * 8 + ["snapshots"] * 8
    assert lab.dossier().review().missing == ()


def test_by_name(lab: Any) -> None:
    taken = take(lab, 4)
    dossier = lab.dossier()
    report = dossier.forget(snapshots=["latest", taken[1].name[:8], taken[1]])
    assert ids(report.forgotten) == [taken[3].id, taken[1].id]
    assert [(item.snapshot.id, item.keep, item.reasons) for item in report.decisions] == [
        (taken[3].id, False, ("named",)),
        (taken[2].id, True, ("not named",)),
        (taken[1].id, False, ("named",)),
        (taken[0].id, True, ("not named",)),
    ]
    assert ids(dossier.list()) == [taken[2].id, taken[0].id]
    with pytest.raises(SnapshotNotFoundError):
        dossier.forget(snapshots=[taken[1]])
    both = dossier.forget(RetentionPolicy(last=1), snapshots=taken[2])
    assert ids(both.forgotten) == [taken[2].id]
    assert ids(dossier.list()) == [taken[0].id]


def test_the_last_whole_one_goes_by_name_and_on_wish_only(lab: Any) -> None:
    taken = take(lab, 2)
    dossier = lab.dossier()
    with pytest.raises(InputError) as caught:
        dossier.forget(snapshots=taken)
    assert caught.value.code == "last_snapshot"
    assert len(dossier.list()) == 2
    dossier.forget(snapshots=taken, allow_last=True)
    review = dossier.review()
    assert (review.snapshots, review.missing) == ((), ())
    [again] = take(lab, 1)
    lab.assert_restores(dossier, lab.facts(), again)


def test_a_call_that_says_nothing_is_refused(lab: Any) -> None:
    take(lab, 1)
    for policy in (None, RetentionPolicy()):
        with pytest.raises(InputError) as caught:
            lab.dossier().forget(policy)
        assert caught.value.code == "empty_policy"


def test_unconfirmed_ones_stay_unless_they_are_named(lab: Any) -> None:
    taken = take(lab, 3)
    dossier = lab.dossier()
    [oldest] = [item for item in read_history(dossier._context).manifests if item.sealed.snapshot_id == taken[0].id]
    lab.store.delete(next(name for name in oldest.names if name.startswith("ok/")))
    report = dossier.forget(RetentionPolicy(last=1))
    assert ids(report.forgotten) == [taken[1].id]
    assert taken[0].id not in ids(item.snapshot for item in report.decisions)
    assert ids(dossier.list()) == [taken[2].id, taken[0].id]
    assert ids(dossier.forget(snapshots=[taken[0]]).forgotten) == [taken[0].id]


def test_all_manifests_of_a_snapshot_go(lab: Any) -> None:
    taken = take(lab, 2)
    dossier = lab.dossier()
    [oldest] = [item for item in read_history(dossier._context).manifests if item.sealed.snapshot_id == taken[0].id]
    for name in oldest.names:
        data = lab.store.get(name)
        lab.store.put(dossier_path(name.split("/")[0], dossier.id, new_name(digest(data))), data)
    dossier.forget(snapshots=[taken[0]])
    assert len(lab.names("ok")) == len(lab.names("snapshots")) == 1


def test_one_dated_far_ahead_takes_nobody_with_it(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = take(lab, 2)
    real = time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: real() + 73 * 366 * 86_400 * 10**9)
        taken += take(lab, 1)
        # the clock here is still ahead when it is decided
        assert lab.dossier().forget(RetentionPolicy(within=timedelta(days=30))).forgotten == ()
    taken += take(lab, 1)
    report = lab.dossier().forget(RetentionPolicy(within=timedelta(days=30), yearly=2))
    assert (report.forgotten, len(report.decisions)) == ((), 4)
    daily = lab.dossier().forget(RetentionPolicy(daily=10))
    assert ids(daily.forgotten) == ids(taken[2::-1])


# --- holding ----------------------------------------------------------------------------------------------------


def test_held_ones_stay(lab: Any) -> None:
    taken = take(lab, 4)
    dossier = lab.dossier()
    dossier.hold(taken[0], taken[1].name[:8])
    assert [snapshot.held for snapshot in dossier.list()] == [False, False, True, True]
    assert dossier.find(taken[0].name).held
    report = dossier.forget(RetentionPolicy(last=1))
    assert ids(report.forgotten) == [taken[2].id]
    with pytest.raises(InputError) as caught:
        dossier.forget(snapshots=[taken[0]])
    assert caught.value.code == "held"
    dossier.unhold(taken[0])
    assert ids(dossier.forget(RetentionPolicy(last=1)).forgotten) == [taken[0].id]
    assert ids(dossier.list()) == [taken[3].id, taken[1].id]


def test_holding_and_letting_go_again_and_again(lab: Any) -> None:
    [snapshot] = take(lab, 1)
    dossier = lab.dossier()
    dossier.unhold(snapshot)  # nothing to let go of
    assert lab.names("records") == []
    for _ in range(2):
        dossier.hold(snapshot)
        dossier.hold(snapshot)
        assert dossier.find("latest").held
        dossier.unhold(snapshot)
        assert not dossier.find("latest").held
    assert len(lab.names("records")) == 8
    with pytest.raises(InputError):
        dossier.hold()


def test_holding_wins_over_letting_go_at_the_same_time(lab: Any) -> None:
    [snapshot] = take(lab, 1)
    dossier, other = lab.dossier(), lab.unlocked("other")
    dossier.hold(snapshot)
    held = set(lab.names("records"))
    dossier.hold(snapshot)
    [second] = set(lab.names("records")) - held
    data = lab.store.get(second)
    lab.store.delete(second)
    other.unhold(snapshot)  # which did not see the second one
    assert not dossier.find("latest").held
    lab.store.put(dossier_path("records", dossier.id, new_name(digest(data))), data)
    assert dossier.find("latest").held


def test_two_who_let_go_do_not_stand_in_the_way_of_the_next_hold(lab: Any) -> None:
    [snapshot] = take(lab, 1)
    dossier = lab.dossier()
    dossier.hold(snapshot)
    for _ in range(2):
        put_record(lab, dossier, RecordType.RELEASE, {0: snapshot.id})
    assert not dossier.find("latest").held
    dossier.hold(snapshot)
    assert dossier.find("latest").held


def test_the_same_record_stored_twice_counts_once(lab: Any) -> None:
    [snapshot] = take(lab, 1)
    dossier = lab.dossier()
    dossier.hold(snapshot)
    [name] = lab.names("records")
    data = lab.store.get(name)
    lab.store.put(dossier_path("records", dossier.id, new_name(digest(data))), data)
    dossier.unhold(snapshot)
    assert not dossier.find("latest").held


class HoldMeanwhile(Recorder):
    """Another station holds a snapshot just before, or just after, the first forget record is put."""

    def __init__(self, lab: Any, snapshot: snapstore.Snapshot) -> None:
        super().__init__(lab.store)
        self._lab = lab
        self._snapshot: snapstore.Snapshot | None = snapshot

    def put(self, name: str, data: Any, *, size: int | None = None) -> None:
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            self._lab.dossier("other").hold(snapshot)
        super().put(name, data, size=size)


@pytest.mark.parametrize("alone", [True, False])
def test_what_is_held_meanwhile_stays(lab: Any, alone: bool) -> None:
    taken = take(lab, 3)
    lab.unlocked("other")
    dossier = lab.dossier(store=HoldMeanwhile(lab, taken[0]))
    goes = [taken[0]] if alone else taken[:2]
    report = dossier.forget(snapshots=goes)
    assert ids(report.forgotten) == ids(goes[1:])
    assert [(problem.code, problem.path) for problem in report.problems] == [("held", taken[0].name)]
    review = lab.dossier().review()
    assert (review.missing, review.problems) == ((), ())
    assert taken[0].id in ids(review.snapshots)
    assert lab.dossier().find(taken[0].name).held


class ForgetMeanwhile(HoldMeanwhile):
    """Another station forgets a snapshot just before the record that holds it is put."""

    def put(self, name: str, data: Any, *, size: int | None = None) -> None:
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            self._lab.dossier("other").forget(snapshots=[snapshot])
        Recorder.put(self, name, data, size=size)


def test_what_is_forgotten_meanwhile_is_not_said_to_be_held(lab: Any) -> None:
    taken = take(lab, 2)
    lab.unlocked("other")
    with pytest.raises(SnapshotNotFoundError, match="meanwhile"):
        lab.dossier(store=ForgetMeanwhile(lab, taken[0])).hold(taken[0])
    review = lab.dossier().review()
    assert (ids(review.snapshots), review.missing) == ([taken[1].id], ())


def test_a_forget_that_died_before_it_saw_a_hold_takes_nothing(lab: Any) -> None:
    taken = take(lab, 3)
    dossier = lab.dossier()
    dossier.hold(taken[0])
    put_record(lab, dossier, RecordType.FORGET, {0: b"".join(sorted(ids(taken[:2])))})
    assert ids(dossier.list()) == [taken[2].id, taken[0].id]
    assert dossier.forget(RetentionPolicy(last=1)).forgotten == ()
    dossier.hold(taken[0])  # again, which finds the record
    assert ids(dossier.list()) == [taken[2].id, taken[0].id]
    assert len(lab.names("snapshots")) == 2
    dossier.unhold(taken[0])
    dossier.forget(RetentionPolicy(last=1))
    assert len(lab.names("snapshots")) == len(lab.names("ok")) == 1
    assert dossier.review().missing == ()


class ForgetJustBefore(HoldMeanwhile):
    """Another station puts a forget record just before a hold, and dies."""

    def put(self, name: str, data: Any, *, size: int | None = None) -> None:
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            put_record(self._lab, self._lab.dossier("other"), RecordType.FORGET, {0: snapshot.id})
        Recorder.put(self, name, data, size=size)


def test_who_holds_what_is_being_forgotten_lets_go_again(lab: Any) -> None:
    taken = take(lab, 2)
    lab.unlocked("other")
    with pytest.raises(SnapshotNotFoundError, match="meanwhile"):
        lab.dossier(store=ForgetJustBefore(lab, taken[0])).hold(taken[0])
    dossier = lab.dossier()
    assert ids(dossier.list()) == [taken[1].id]
    dossier.forget(RetentionPolicy(last=1))
    assert len(lab.names("snapshots")) == 1


# --- several stations -------------------------------------------------------------------------------------------


def test_any_station_forgets_what_another_took(lab: Any) -> None:
    taken = take(lab, 2)
    lab.unlocked("other")
    taken += take(lab, 2, "other")
    lab.dossier("other").forget(RetentionPolicy(last=2))
    review = lab.dossier().review()
    assert (ids(review.snapshots), review.missing, review.problems) == (ids(taken[:1:-1]), (), ())
    report = lab.dossier().forget(RetentionPolicy(last=1))
    assert ids(report.forgotten) == [taken[2].id]


def test_no_secret_but_enrolment_is_needed(lab: Any) -> None:
    take(lab, 2)
    with pytest.raises(NotEnrolledError):
        lab.dossier("stranger")
    lab.unlocked("other")
    owner = lab.dossier()
    owner.revoke_station("other", secret=lab.secret)
    for verb in (
        lambda: lab.dossier("other").forget(RetentionPolicy(last=1)),
        lambda: lab.dossier("other").hold("latest"),
        lambda: lab.dossier("other").unhold("latest"),
    ):
        with pytest.raises(StationRevokedError):
            verb()
    assert len(owner.list()) == 2


def test_what_a_revoked_station_held_and_released_by_then_is_signed_again(lab: Any) -> None:
    taken = take(lab, 4)
    owner = lab.dossier()
    other = lab.unlocked("other")
    owner.hold(taken[0], taken[1])
    other.unhold(taken[0])
    for _ in range(2):
        other.hold(taken[2])
    before = [snapshot.held for snapshot in owner.list()]
    assert before == [False, True, True, False]
    late = other._context
    owner.revoke_station("other", secret=lab.secret)
    assert [snapshot.held for snapshot in owner.list()] == before
    put_record(lab, type("Late", (), {"_context": late, "id": late.id}), RecordType.RELEASE, {0: taken[1].id})
    assert [snapshot.held for snapshot in owner.list()] == before
    owner.unhold(taken[1], taken[2])
    assert not any(snapshot.held for snapshot in owner.list())


def test_holds_come_along_to_a_twin(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from snapstore.operations.copy import destination

    taken = take(lab, 2)
    lab.dossier().hold(taken[0])
    twin = MemoryStore()
    monkeypatch.setattr(destination, "open_store", lambda *_, **__: twin)
    lab.open().copy_to("memory:twin", mode="twin")
    there = lab.dossier(store=twin)
    assert [snapshot.held for snapshot in there.list()] == [False, True]
    assert there.forget(RetentionPolicy(last=1)).forgotten == ()


# --- what forbids it --------------------------------------------------------------------------------------------


def test_a_mandatory_record_that_is_not_known_forbids_it(lab: Any) -> None:
    take(lab, 2)
    dossier = lab.dossier()
    put_record(lab, dossier, 1000, {0: 1}, mandatory=False)
    assert dossier.forget(RetentionPolicy(last=1), dry_run=True).forgotten
    put_record(lab, dossier, 1001, {0: 1}, mandatory=True)
    for dry_run in (True, False):
        with pytest.raises(UnsupportedFormatError) as caught:
            dossier.forget(RetentionPolicy(last=1), dry_run=dry_run)
        assert caught.value.code == "unknown_record"
    assert len(dossier.list()) == 2


def test_a_record_that_cannot_be_read_forbids_it_until_it_is_quarantined(lab: Any) -> None:
    take(lab, 2)
    dossier = lab.dossier()
    dossier.hold("latest~1")
    [name] = lab.names("records")
    data = bytearray(lab.store.get(name))
    data[-1] ^= 1
    lab.store.delete(name)
    lab.store.put(name, bytes(data))
    with pytest.raises(DamagedObjectError, match="repair"):
        dossier.forget(RetentionPolicy(last=1))
    assert len(dossier.list()) == 2
    put_record(lab, dossier, RecordType.QUARANTINE, {0: [name]})
    assert len(dossier.forget(RetentionPolicy(last=1)).forgotten) == 1


def test_a_damaged_manifest_is_told_and_makes_nothing_else_go(lab: Any) -> None:
    taken = take(lab, 4)
    dossier = lab.dossier()
    [newest] = [item for item in read_history(dossier._context).manifests if item.sealed.snapshot_id == taken[3].id]
    for name in newest.names:
        data = lab.store.get(name)
        lab.store.delete(name)
        lab.store.put(name, data[:-1] + bytes([data[-1] ^ 1]))
    report = dossier.forget(RetentionPolicy(last=2))
    assert ids(report.forgotten) == [taken[0].id]
    assert {problem.code for problem in report.problems} == {"damaged_object", "snapshot_missing"}
