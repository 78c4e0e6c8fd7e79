"""Faults of media, keysets and runs that were there once: lost copies, races, dead runs, media that take nothing."""

from __future__ import annotations

import contextlib
import io
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import compare_trees
import pytest

import snapstore
from snapstore.crypto.derivation import digest
from snapstore.errors import (
    DamagedObjectError,
    DossierExistsError,
    DossierNotFoundError,
    NotEnrolledError,
    RepositoryExistsError,
    SnapstoreError,
    StoreError,
    StoreFullError,
    StorePermissionError,
    StoreUnavailableError,
)
from snapstore.format.config import decode_config
from snapstore.format.keyset import decode_keyset
from snapstore.format.manifest import decode_manifest
from snapstore.format.names import new_name, object_path
from snapstore.format.record import RecordType, ids_payload
from snapstore.operations import opening
from snapstore.operations.context import DossierContext
from snapstore.operations.opening import init_repository
from snapstore.operations.records import put_record
from snapstore.station import StateFolder
from snapstore.stores.local import LocalStore
from snapstore.testing import Recorder, StoreWrapper, WithoutBuilders
from snapstore.types import SnapshotId, SnapshotOptions

ContextOf = Callable[[snapstore.Dossier], DossierContext]


def take(lab: Any, label: str, station: str = "one") -> snapstore.Snapshot:
    lab.write("file", label.encode())
    snapshot = lab.dossier(station).snapshot(lab.source, label=label).snapshot
    assert isinstance(snapshot, snapstore.Snapshot)
    return snapshot


def delete_copies(lab: Any, snapshot: snapstore.Snapshot, *folders: str) -> None:
    for folder in folders:
        for name in lab.names(folder):
            if decode_manifest(lab.store.get(name)).snapshot_id == snapshot.id:
                lab.store.delete(name)


def delete_newest_keyset(lab: Any) -> None:
    names = lab.names("dossiers")
    lab.store.delete(max(names, key=lambda name: decode_keyset(lab.store.get(name)).generation))


def forget(context: DossierContext, *ids: SnapshotId) -> None:
    put_record(context, RecordType.FORGET, mandatory=True, payload=ids_payload(ids))


class Refusing(StoreWrapper):
    """A medium that can be read only, or is full."""

    def __init__(self, inner: Any, error: StoreError) -> None:
        super().__init__(inner)
        self.error = error

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        raise self.error


# --- what is gone from the medium ------------------------------------------------------------------------------------


def test_manifests_stay_when_all_ok_copies_are_gone(lab: Any) -> None:
    older = [take(lab, f"snapshot {number}") for number in range(3)]
    manifests = set(lab.names("snapshots"))
    for name in lab.names("ok"):
        lab.store.delete(name)
    newest = take(lab, "after")
    assert manifests < set(lab.names("snapshots"))
    for dossier in (lab.dossier(), lab.unlocked("newcomer")):
        review = dossier.review()
        assert {item.id: item.confirmed for item in review.snapshots} == {
            newest.id: True,
            **{item.id: False for item in older},
        }
        assert review.missing == ()
    lab.assert_restores(lab.unlocked("reader"), lab.facts(), newest)


def test_what_is_missing_goes_on_being_reported(lab: Any) -> None:
    lost, _ = take(lab, "lost"), take(lab, "kept")
    delete_copies(lab, lost, "snapshots", "ok")
    dossier = lab.dossier()
    for number in range(2):
        lab.write("file", f"after {number}".encode())
        report = dossier.snapshot(lab.source)
        assert [(item.code, item.path) for item in report.problems] == [("snapshot_missing", lost.name)]
        assert dossier.review().missing == (lost.id,)
    assert lab.unlocked("newcomer").review().missing == (lost.id,)
    forget(lab.dossier()._context, lost.id)
    assert dossier.review().missing == ()
    assert dossier.snapshot(lab.source).clean


@pytest.mark.parametrize("harm", ["deleted", "damaged"])
def test_lost_keysets_are_not_called_no_dossier(lab: Any, harm: str) -> None:
    take(lab, "kept")
    for name in lab.names("dossiers"):
        data = lab.store.get(name)
        lab.store.delete(name)
        if harm == "damaged":
            lab.store.put(name, data[:-1] + bytes([data[-1] ^ 1]))
    repository = lab.open("new computer")
    for ask in (lambda: repository.unlock(lab.secret), repository.dossiers):
        with pytest.raises(DamagedObjectError) as caught:
            ask()
        assert caught.value.code == "keyset_missing"
    with pytest.raises(DamagedObjectError if harm == "deleted" else NotEnrolledError):
        repository.dossier("books")


def test_a_repository_without_dossiers_is_no_damage(lab: Any) -> None:
    take(lab, "kept")
    lab.open().remove_dossier("books", secret=lab.secret)
    repository = lab.open()
    assert repository.dossiers() == ()
    with pytest.raises(DossierNotFoundError):
        repository.unlock(lab.secret)
    with pytest.raises(DossierNotFoundError):
        repository.dossier("books")


def test_a_pack_with_other_bytes_is_stored_again(lab: Any, write_every_shape: Callable[..., None]) -> None:
    """Neither name nor size tells; reading everything does."""
    write_every_shape(lab.source)
    first = lab.dossier().snapshot(lab.source)
    for name in lab.names("packs"):
        data = bytearray(lab.store.get(name))
        for position in range(0, len(data) * 4 // 5, 50):
            data[position] ^= 1
        lab.store.delete(name)
        lab.store.put(name, bytes(data))
    again = lab.dossier().snapshot(lab.source, options=SnapshotOptions(force_read=True))
    assert again.blobs_added > first.blobs_added // 2
    lab.assert_restores(lab.unlocked("reader"), lab.facts(), again.snapshot)


# --- stations and their keysets --------------------------------------------------------------------------------------


def test_stations_that_enrol_at_the_same_moment_are_all_listed(lab: Any) -> None:
    names = ["two", "three", "four", "five", "six", "seven"]
    with ThreadPoolExecutor(len(names)) as threads:
        assert [dossier.name for dossier in threads.map(lab.unlocked, names)] == ["books"] * len(names)
    everybody = {"one", *names}
    taken = {take(lab, name, name).id for name in everybody}
    review = lab.dossier().review()
    assert {station.name for station in lab.dossier().stations()} == everybody
    assert {item.id for item in review.snapshots if item.confirmed} == taken
    assert {item.station for item in review.snapshots} == everybody
    assert review.problems == ()


def test_a_station_that_the_medium_does_not_list_is_told_so(lab: Any) -> None:
    lab.unlocked("two")
    delete_newest_keyset(lab)
    dossier = lab.dossier("two")
    lab.write("file", b"x")
    with pytest.raises(NotEnrolledError) as caught:
        dossier.snapshot(lab.source)
    assert caught.value.code == "station_not_listed"
    assert lab.names("packs") == lab.names("snapshots") == []
    dossier.unlock(lab.secret)
    report = dossier.snapshot(lab.source)
    assert lab.dossier().list() == (report.snapshot,)


@pytest.mark.parametrize(
    "error", [StorePermissionError("read-only"), StoreFullError("full")], ids=["read-only", "full"]
)
def test_a_medium_that_takes_nothing_can_be_unlocked_and_read(lab: Any, error: StoreError) -> None:
    snapshot = take(lab, "kept")
    before = lab.names("")
    dossier = lab.unlocked("new computer", store=Refusing(lab.store, error))
    assert dossier.list() == (snapshot,)
    lab.assert_restores(dossier, lab.facts(), snapshot)
    with pytest.raises(NotEnrolledError):
        dossier.snapshot(lab.source)
    assert lab.names("") == before
    again = lab.dossier("new computer")  # now it takes something
    again.unlock(lab.secret)
    assert again.snapshot(lab.source).clean


@pytest.mark.parametrize("opened", ["once", "each"])
def test_one_name_for_four_dossiers_of_the_same_moment(lab: Any, opened: str) -> None:
    repositories = [lab.open()] * 4 if opened == "once" else [lab.open() for _ in range(4)]

    def create(repository: snapstore.Repository) -> str:
        try:
            return repository.create_dossier("letters", secret=lab.secret).name
        except DossierExistsError:
            return "exists"

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(create, repositories)) == ["exists"] * 3 + ["letters"]
    assert len(lab.names("dossiers")) == 2  # with "books"
    lab.write("file", b"dear reader")
    dossier = lab.dossier(name="letters")
    report = dossier.snapshot(lab.source)
    lab.assert_restores(lab.unlocked("reader", name="letters"), lab.facts(), report.snapshot)


def test_what_a_revoked_station_forgot_before_stays_forgotten_and_after_does_not(lab: Any, context: ContextOf) -> None:
    first, second, third = (take(lab, label) for label in ("first", "second", "third"))
    lost = context(lab.unlocked("lost laptop"))
    forget(lost, first.id)
    delete_copies(lab, first, "snapshots", "ok")
    owner = lab.dossier()
    owner.revoke_station("lost laptop", secret=lab.secret)
    forget(lost, second.id)
    for dossier in (owner, lab.unlocked("newcomer")):
        review = dossier.review()
        assert [item.id for item in review.snapshots] == [third.id, second.id]
        assert review.missing == ()
        assert {item.code for item in review.problems} == {"revoked_signer"}


CHANGES: dict[str, Callable[[snapstore.Dossier, str], object]] = {
    "rename": lambda dossier, secret: dossier.rename("letters", secret=secret),
    "revoke": lambda dossier, secret: dossier.revoke_station("one", secret=secret),
    "recovery": lambda dossier, secret: dossier.add_recovery_code(secret=secret),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_keysets_are_not_changed_on_a_medium_that_was_set_back(
    lab: Any, copy_store: Any, change: Callable[[snapstore.Dossier, str], object]
) -> None:
    """The change would be lost among those that this medium has forgotten."""
    take(lab, "kept")
    old = copy_store(lab.store)
    lab.unlocked("two")
    lab.dossier().rename("ledgers", secret=lab.secret)
    lab.store = old
    before = lab.names("dossiers")
    dossier = lab.dossier(name="ledgers")
    with pytest.raises(SnapstoreError) as caught:
        change(dossier, lab.secret)
    assert caught.value.code == "older_keyset"
    assert lab.names("dossiers") == before


# --- several at the same moment --------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", range(3))
def test_of_four_that_make_a_repository_at_most_one_stays(tmp_path: Path, attempt: int) -> None:
    medium = tmp_path / "stick"

    def make(number: int) -> bool:
        with contextlib.suppress(RepositoryExistsError):
            snapstore.init(medium, protected=False, state_dir=tmp_path / f"state {number}", kdf_seconds=0).close()
            return True
        return False

    with ThreadPoolExecutor(4) as threads:
        made = sum(threads.map(make, range(4)))
    ids = {decode_config(path.read_bytes()).config.repository_id for path in (medium / "config").iterdir()}
    assert len(ids) == made <= 1
    if not made:
        assert make(0)
    for number in range(5):
        with snapstore.open(medium, state_dir=tmp_path / f"state {number}") as repository:
            assert not ids or {repository.id} == ids


class LostConfig(StoreWrapper):
    """Stores the first config without an answer; after the second another station's is there as well."""

    puts = 0
    other = b""

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        super().put(name, data, size=size)
        self.puts += name.startswith("config/")
        if self.puts == 1 and name.startswith("config/"):
            raise StoreError("the answer was lost", code="put_uncertain")
        if self.puts == 2:
            super().put(object_path("config", new_name(digest(self.other))), self.other)


def test_who_withdraws_takes_back_a_config_whose_put_was_uncertain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_WITHDRAWAL_PAUSE_SECONDS", 0)
    snapstore.init(tmp_path / "other", protected=False, state_dir=tmp_path / "s1", kdf_seconds=0).close()
    store = LostConfig(LocalStore(tmp_path / "medium", create=True))
    store.other = next((tmp_path / "other" / "config").iterdir()).read_bytes()
    with pytest.raises(RepositoryExistsError):
        init_repository(store, StateFolder(tmp_path / "s2"), protected=False, share=True, kdf_seconds=0)
    assert store.puts == 2
    assert [path.read_bytes() for path in (tmp_path / "medium" / "config").iterdir()] == [store.other]


def test_nine_snapshots_by_three_threads(lab: Any, tmp_path: Path) -> None:
    repository = lab.open()
    facts = {}
    for thread in range(3):
        for number in range(20):
            path = tmp_path / f"folder {thread}" / f"file {number}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(random.Random(thread).randbytes(1000 * number))
        facts[thread] = compare_trees.collect(tmp_path / f"folder {thread}")

    def run(thread: int) -> list[snapstore.Snapshot]:
        dossier = repository.dossier("books")
        return [
            dossier.snapshot(tmp_path / f"folder {thread}", label=f"{thread} {number}").snapshot for number in range(3)
        ]

    with ThreadPoolExecutor(3) as threads:
        taken = [snapshot for snapshots in threads.map(run, range(3)) for snapshot in snapshots]
    dossier = lab.unlocked("reader")
    listed = dossier.list()
    assert {item.id for item in listed} == {item.id for item in taken}
    assert len(listed) == 9
    assert all(item.confirmed for item in listed)
    assert repository.dossier("books").list() == listed
    for thread in range(3):
        own = [item for item in listed if (item.label or "").startswith(f"{thread} ")]
        assert [item.label for item in own] == [f"{thread} {number}" for number in (2, 1, 0)]
        assert len({item.number for item in own}) == 3
        lab.assert_restores(dossier, facts[thread], own[0])
    assert dossier.review().missing == ()


# --- runs that died --------------------------------------------------------------------------------------------------


class PulledOut(Recorder):
    """The medium is gone when the manifest is there and the ok copy is due."""

    gone = False

    def _start(self, operation: str, name: str) -> None:
        self.gone = self.gone or (operation == "put" and name.startswith("ok/"))
        if self.gone:
            raise StoreUnavailableError("the stick was pulled out")


def die(lab: Any, station: str = "one") -> None:
    dossier = lab.dossier(station)
    dossier._context.repository.store = PulledOut(lab.store)
    with pytest.raises(StoreUnavailableError):
        dossier.snapshot(lab.source, label="dead")


def marks(lab: Any) -> list[Path]:
    return list((lab.folder / "state one").glob("repositories/*/*/*/running/*.lock"))


def test_only_what_the_dead_run_left_is_dropped(lab: Any) -> None:
    lost_ok = take(lab, "lost ok")
    take(lab, "whole")
    delete_copies(lab, lost_ok, "ok")
    lab.unlocked("other")
    die(lab)
    die(lab, "other")
    assert len(marks(lab)) == 1
    labels = [item.label for item in lab.dossier().list() if not item.confirmed]
    assert sorted(map(str, labels)) == ["dead", "dead", "lost ok"]
    take(lab, "alive")
    left = {(item.label, item.station) for item in lab.dossier().list() if not item.confirmed}
    assert left == {("dead", "other"), ("lost ok", "one")}
    assert marks(lab) == []


def test_notes_of_dead_runs_are_cleared_away(lab: Any) -> None:
    lab.write("file", b"x")
    lab.unlocked("other")
    die(lab)
    die(lab)
    die(lab, "other")
    notes = lab.names("sessions")
    assert len(notes) >= 2
    take(lab, "alive")
    [left] = lab.names("sessions")  # the other station's
    take(lab, "alive too", "other")
    assert left in notes
    assert lab.names("sessions") == []


def test_a_byte_that_the_spool_changed_is_noticed(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Flipping(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() == 0 and data:
                data = bytes([data[0] ^ 1]) + bytes(data[1:])
            return super().write(data)

    lab.write("file", os.urandom(100_000))
    with monkeypatch.context() as patch:
        patch.setattr("snapstore.blobs.spooled.tempfile.TemporaryFile", lambda **_: Flipping())
        with pytest.raises(DamagedObjectError) as caught:
            lab.dossier(store=WithoutBuilders(lab.store)).snapshot(lab.source)
    assert caught.value.code == "verification_failed"
    assert lab.names("packs") == lab.names("index") == lab.names("snapshots") == []
    assert lab.dossier().snapshot(lab.source).clean
