"""Copies to a twin: made without a secret, whole in every byte, and never more than what is lacking."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import compare_trees
import pytest

import snapstore
from snapstore.crypto.derivation import digest
from snapstore.format.names import new_name, object_path
from snapstore.format.notes import Condemn, encode_condemn
from snapstore.format.record import RecordType, copied_payload, ids_payload
from snapstore.operations.copy import destination as opening_of_destinations
from snapstore.operations.history import read_history
from snapstore.operations.records import put_record
from snapstore.operations.snapshot.publish import drop
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store
from snapstore.testing import CrashAt, FailAt, FullAfter, Recorder, StoreWrapper

MOST = 400
_numbers = itertools.count(1)


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Give an address that opens a store of the test's own."""
    stores: dict[str, Store] = {}
    real = opening_of_destinations.open_store

    def opened(url: Any, **more: Any) -> Store:
        return stores[url] if url in stores else real(url, **more)

    monkeypatch.setattr(opening_of_destinations, "open_store", opened)

    def make(store: Store) -> str:
        url = f"test:{next(_numbers)}"
        stores[url] = store
        return url

    return make


def write_many(lab: Any, seed: int = 0) -> None:
    for number in range(6):
        lab.write(f"folder {number % 2}/file {number}", bytes([number, seed]) * 3000 * number)
    lab.write("folder 0/large", bytes(range(256)) * 1500 + bytes([seed]))


@pytest.fixture
def begun(lab: Any) -> Any:
    """Two snapshots are there."""
    write_many(lab)
    lab.dossier().snapshot(lab.source, label="first")
    write_many(lab, 1)
    lab.dossier().snapshot(lab.source, label="second")
    return lab


def twin_of(lab: Any, target: Callable[[Store], str], store: Store | None = None) -> MemoryStore:
    made = MemoryStore()
    report = lab.open().copy_to(target(made if store is None else store), mode="twin")
    assert report.problems == ()
    return made


def names_of(dossier: snapstore.Dossier) -> list[str]:
    return [item.name for item in dossier.list()]


@pytest.mark.parametrize("which", ["lab", "shared_lab", "unprotected_lab"])
def test_every_shape_comes_back_bit_for_bit(
    which: str, request: pytest.FixtureRequest, target: Callable[[Store], str], write_every_shape: Any
) -> None:
    lab = request.getfixturevalue(which)
    lab.source.mkdir()
    write_every_shape(lab.source)
    first = lab.dossier()
    lab.open().create_dossier("letters", secret=None if lab.secret is None else "another secret")
    second = lab.open().dossier("letters")
    first.snapshot(lab.source, label="of books")
    second.snapshot(lab.source, label="of letters")
    facts = lab.facts()

    store = MemoryStore()
    report = lab.open().copy_to(target(store), mode="twin")
    assert (report.mode, report.created, report.problems) == (snapstore.CopyMode.TWIN, True, ())
    assert sorted(item.dossier or "" for item in report.copied) == ["books", "letters"]

    for name, secret in (("books", lab.secret), ("letters", None if lab.secret is None else "another secret")):
        repository = lab.open("a new computer", store)
        dossier = repository.dossier(name) if secret is None else repository.unlock(secret)
        review = dossier.review()
        assert (len(review.snapshots), review.missing, review.problems) == (1, (), ())
        assert review.snapshots[0].label == f"of {name}"
        assert review.snapshots[0].confirmed
        target_folder = lab.folder / f"restored {name}"
        assert dossier.restore("latest", to=target_folder).problems == ()
        assert compare_trees.differences(facts, compare_trees.collect(target_folder)) == []


def test_a_twin_has_the_same_ids_but_for_the_medium(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    here, there = begun.open(), begun.open("one", store)
    assert here.id == there.id
    assert here.medium_id != there.medium_id
    assert there._context.config.generation == here._context.config.generation + 1
    assert names_of(there.dossier("books")) == names_of(here.dossier("books"))


def test_no_secret_is_asked_and_a_station_with_the_maintenance_key_alone_can_copy(
    begun: Any, target: Callable[[Store], str]
) -> None:
    begun.open().create_dossier("letters", secret="another secret")
    begun.unlocked("other", name="books")
    state = begun.state("other")
    other = begun.open("other")
    state.update_keys(other.id, lambda held: held.without_dossier(next(iter(held.dossiers))))
    store = MemoryStore()
    report = begun.open("other").copy_to(target(store), mode="twin")
    assert report.problems == ()
    assert [item.dossier for item in report.copied] == [None, None]
    review = begun.unlocked("a third", store).review()
    assert len(review.snapshots) == 2
    assert (review.missing, review.problems) == ((), ())


def test_a_second_run_puts_nothing(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    recorder = Recorder(store)
    report = begun.open().copy_to(target(recorder))
    assert recorder.count("put") == 0
    assert (report.copied, report.present, report.added_bytes) == ((), 2, 0)


def test_only_what_is_lacking_is_sent(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    begun.write("folder 1/new", b"new" * 4000)
    saved = begun.dossier().snapshot(begun.source)
    report = begun.open().copy_to(target(store))
    assert (len(report.copied), report.present) == (1, 2)
    assert report.blobs == saved.blobs_added
    begun.assert_restores(begun.dossier(store=store), begun.facts(), "latest")


def test_blobs_that_were_saved_directly_are_not_sent(begun: Any, target: Callable[[Store], str]) -> None:
    """A stick for each weekday: both media hold the same content, sealed twice."""
    store = twin_of(begun, target)
    begun.write("folder 1/new", bytes(range(200)) * 2000)
    begun.dossier().snapshot(begun.source)
    begun.dossier(store=store).snapshot(begun.source)
    report = begun.open().copy_to(target(store))
    assert len(report.copied) == 1
    assert report.blobs == 0
    assert len(names_of(begun.dossier(store=store))) == 4


def test_a_dry_run_changes_nothing(begun: Any, target: Callable[[Store], str]) -> None:
    empty = Recorder(MemoryStore())
    report = begun.open().copy_to(target(empty), mode="twin", dry_run=True)
    assert (len(report.copied), report.created, report.dry_run) == (2, False, True)
    assert report.blobs > 0
    assert empty.count("put") == 0
    store = twin_of(begun, target)
    begun.write("more", b"more" * 1000)
    begun.dossier().snapshot(begun.source)
    recorder = Recorder(store)
    report = begun.open().copy_to(target(recorder), dry_run=True)
    assert (len(report.copied), report.present) == (1, 2)
    assert recorder.count("put") + recorder.count("delete") == 0


def test_chosen_snapshots_only(begun: Any, target: Callable[[Store], str]) -> None:
    store = MemoryStore()
    report = begun.dossier().copy_to(target(store), ["latest"], mode="twin")
    assert [item.id for item in report.copied] == [begun.dossier().find("latest").id]
    there = begun.dossier(store=store)
    assert names_of(there) == [begun.dossier().find("latest").name]
    review = there.review()
    assert (review.missing, review.problems) == ((), ())  # that the first is not here is no loss
    begun.assert_restores(there, begun.facts(), "latest")


def test_snapshots_go_on_on_either_medium_and_numbers_rise(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    begun.write("on the twin", b"twin" * 100)
    on_twin = begun.dossier(store=store).snapshot(begun.source).snapshot
    begun.write("on the first", b"first" * 100)
    on_first = begun.dossier().snapshot(begun.source).snapshot
    assert (on_twin.number, on_first.number) == (3, 4)
    for medium in (begun.store, store):
        review = begun.dossier(store=medium).review()
        assert (review.missing, review.problems) == ((), ())
    begun.open("one", store).copy_to(begun.open())
    begun.open().copy_to(target(store))
    assert names_of(begun.dossier()) == names_of(begun.dossier(store=store))
    assert [item.number for item in begun.dossier().list()] == [4, 3, 2, 1]
    begun.assert_restores(begun.dossier(store=store), begun.facts(), on_first)


def test_what_is_taken_from_a_twin_is_missed(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    dossier = begun.dossier(store=store)
    gone = dossier.find("latest")
    for folder in ("snapshots", "ok"):
        for item in list(store.list(folder)):
            manifest = read_history(dossier._context).manifests
            if any(item.name in one.names and one.sealed.snapshot_id == gone.id for one in manifest):
                store.delete(item.name)
    assert begun.dossier(store=store).review().missing == (gone.id,)
    report = begun.open().copy_to(target(store))  # and copying heals it
    assert len(report.copied) == 1
    assert begun.dossier(store=store).review().missing == ()


def forget(dossier: snapstore.Dossier, *snapshots: snapstore.Snapshot) -> None:
    """As docs/format/11-protocol.md says."""
    context = dossier._context
    ids = [item.id for item in snapshots]
    manifests = [item for item in read_history(context).manifests if item.sealed.snapshot_id in ids]
    put_record(context, RecordType.FORGET, mandatory=True, payload=ids_payload(ids))
    drop(context, sorted((name for item in manifests for name in item.names), reverse=False))


def test_what_was_forgotten_at_the_destination_stays_so_unless_it_is_named(
    begun: Any, target: Callable[[Store], str]
) -> None:
    store = twin_of(begun, target)
    second, first = begun.dossier().list()
    forget(begun.dossier(store=store), first, second)
    report = begun.open().copy_to(target(store))
    assert (report.copied, report.forgotten) == ((), 2)
    assert begun.dossier(store=store).list() == ()
    report = begun.dossier().copy_to(target(store), [first])
    assert (len(report.copied), report.problems) == (1, ())
    review = begun.dossier(store=store).review()
    assert [item.id for item in review.snapshots] == [first.id]
    assert (review.missing, review.problems) == ((), ())
    assert begun.open().copy_to(target(store)).forgotten == 1


def test_a_forget_is_not_carried_where_it_would_take_something_away(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    second, first = begun.dossier().list()
    forget(begun.dossier(), first)
    begun.open().copy_to(target(store))
    assert names_of(begun.dossier(store=store)) == [second.name, first.name]
    assert names_of(begun.dossier()) == [second.name]
    other = twin_of(begun, target)  # to where the snapshot never was, the record goes
    assert len(list(other.list("records"))) == 2
    assert begun.open("one", store).copy_to(begun.open()).forgotten == 1  # and back it does not come


def test_holds_come_along_and_come_first(begun: Any, target: Callable[[Store], str]) -> None:
    context = begun.dossier()._context
    snapshot = begun.dossier().find("latest")
    put_record(context, RecordType.RUN, mandatory=False, payload={0: 1, 1: 0, 2: 5, 3: 5, 4: 0})
    put_record(context, RecordType.CHECKED, mandatory=False, payload={0: 5, 1: True})
    put_record(context, RecordType.HOLD, mandatory=True, payload=ids_payload([snapshot.id]))
    recorder = Recorder(MemoryStore())
    twin_of(begun, target, recorder)
    put = [call.name for call in recorder.calls if call.operation == "put"]
    records = [begun.store.get(name) for name in begun.names("records")]
    copied = [recorder.get(name) for name in put if name.startswith("records/")]
    assert sum(data in copied for data in records) == 2
    assert b"" not in copied
    assert [data in records for data in copied] == [True, True, False]  # the last one is the record of the copy


def test_a_dossier_removed_at_the_destination_stays_away(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    keys = begun.state().keys(begun.open().id)
    begun.open("one", store).remove_dossier("books", secret=begun.secret)
    begun.state().update_keys(begun.open().id, lambda _: keys)  # that station knows the dossier from the first medium
    report = begun.open().copy_to(target(store))
    assert [problem.code for problem in report.problems] == ["dossier_removed"]
    assert report.copied == ()
    assert len(begun.dossier().copy_to(target(store), ["latest"]).copied) == 1
    review = begun.dossier(store=store).review()
    assert (len(review.snapshots), review.missing, review.problems) == (1, (), ())


# --- keysets -----------------------------------------------------------------------------------------------------


def generation_in(lab: Any, store: Store) -> int:
    return max(info.generation for info in lab.open("one", store).dossiers())


def test_a_newer_keyset_comes_along(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    assert generation_in(begun, store) == 1
    begun.dossier().rename("ledgers", secret=begun.secret)
    begun.open().copy_to(target(store))
    assert generation_in(begun, store) == 2
    assert begun.unlocked("new", store).name == "ledgers"


def test_an_older_keyset_is_never_brought_back(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    begun.dossier(store=store).rename("ledgers", secret=begun.secret)
    before = sorted(item.name for item in store.list("dossiers"))
    begun.write("more", b"more")
    begun.open().dossier("ledgers").snapshot(begun.source)
    report = begun.open().copy_to(target(store))
    assert len(report.copied) == 1
    assert sorted(item.name for item in store.list("dossiers")) == before
    assert len(begun.unlocked("new", store).list()) == 3


def test_snapshots_of_a_station_that_the_destination_revoked_do_not_come(
    begun: Any, target: Callable[[Store], str]
) -> None:
    store = twin_of(begun, target)
    begun.unlocked("other")
    begun.open("other", store).unlock(begun.secret)
    begun.unlocked("one", store).revoke_station("other")
    begun.write("more", b"more")
    begun.dossier("other").snapshot(begun.source)
    report = begun.open().copy_to(target(store))
    assert [problem.code for problem in report.problems] == ["older_keyset", "not_copied"]
    assert begun.dossier(store=store).review().problems == ()


# --- places ------------------------------------------------------------------------------------------------------


def test_a_medium_is_not_copied_to_itself(begun: Any, target: Callable[[Store], str]) -> None:
    with pytest.raises(snapstore.InputError) as caught:
        begun.open().copy_to(target(begun.store))
    assert caught.value.code == "same_medium"
    with pytest.raises(snapstore.InputError) as caught:
        begun.open().copy_to(begun.open(), mode="twin")
    assert caught.value.code == "same_medium"


def test_a_copy_made_by_hand_becomes_a_twin_also_where_places_tell_nothing(
    begun: Any, target: Callable[[Store], str], copy_store: Callable[[Store], MemoryStore]
) -> None:
    by_hand = copy_store(begun.store)
    begun.write("more", b"more" * 100)
    begun.dossier().snapshot(begun.source)
    report = begun.open().copy_to(target(by_hand))
    assert (len(report.copied), report.present) == (1, 2)
    assert begun.open("one", by_hand).medium_id != begun.open().medium_id
    for store in (begun.store, by_hand):
        review = begun.dossier(store=store).review()
        assert (len(review.snapshots), review.missing, review.problems) == (3, (), ())
    assert list(by_hand.list("sessions")) == []


def test_nothing_is_made_without_a_wish(begun: Any, target: Callable[[Store], str], tmp_path: Path) -> None:
    for mode in (None, "independent"):
        for to in (target(MemoryStore()), tmp_path / "absent"):
            with pytest.raises(snapstore.RepositoryNotFoundError):
                begun.open().copy_to(to, mode=mode)
    assert not (tmp_path / "absent").exists()
    with pytest.raises(snapstore.InputError) as caught:
        begun.open().copy_to(target(MemoryStore()), mode="clone")
    assert caught.value.code == "invalid_copy_mode"


def test_the_wrong_mode_for_what_is_there(begun: Any, target: Callable[[Store], str], templates: Any) -> None:
    store = twin_of(begun, target)
    with pytest.raises(snapstore.InputError) as caught:
        begun.open().copy_to(target(store), mode="independent")
    assert caught.value.code == "copy_mode"
    with pytest.raises(snapstore.InputError) as caught:
        begun.open().copy_to(target(templates["shared"].store), mode="twin")
    assert caught.value.code == "copy_mode"


def test_parts_of_a_repository_are_no_empty_place(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    for item in list(store.list("config")):
        store.delete(item.name)
    with pytest.raises(snapstore.DamagedObjectError) as caught:
        begun.open().copy_to(target(store), mode="twin")
    assert caught.value.code == "config_missing"


def test_a_station_without_keys_copies_nothing(begun: Any, target: Callable[[Store], str]) -> None:
    store = MemoryStore()
    with pytest.raises(snapstore.NotEnrolledError):
        begun.open("stranger").copy_to(target(store), mode="twin")
    assert list(store.list("packs")) == []


def test_a_cancel_ends_it_and_the_next_run_goes_on(begun: Any, target: Callable[[Store], str]) -> None:
    class After:
        def __init__(self, looks: int) -> None:
            self.left = looks

        def is_set(self) -> bool:
            self.left -= 1
            return self.left < 0

    store = MemoryStore()
    for looks in range(3, 200):
        try:
            begun.open().copy_to(target(store), mode="twin", cancel=After(looks))
        except snapstore.OperationCancelledError:
            continue
        break
    assert looks > 4
    assert list(store.list("sessions")) == []
    assert len(begun.dossier(store=store).list()) == 2
    begun.assert_restores(begun.dossier(store=store), begun.facts(), "latest")


class NotesAtTheFirstPack(StoreWrapper):
    """Counts the session notes that there are when the first pack comes."""

    notes: int | None = None

    def put(self, name: str, data: Any, *, size: int | None = None) -> None:
        if self.notes is None and name.startswith("packs/"):
            self.notes = len(list(self.list("sessions")))
        super().put(name, data, size=size)


def test_each_dossier_that_is_copied_has_its_note(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    begun.write("more", b"more")
    begun.dossier().snapshot(begun.source)
    begun.open().create_dossier("letters", secret="amber and agate").snapshot(begun.source)
    watching = NotesAtTheFirstPack(store)
    begun.open().copy_to(begun.open(store=watching))
    assert watching.notes == 2
    assert list(store.list("sessions")) == []


# --- damage ------------------------------------------------------------------------------------------------------


class Broken(StoreWrapper):
    """Gives one bit wrong in packs at the middle of what is asked for, for names that were chosen."""

    def __init__(self, inner: Store, names: set[str]) -> None:
        super().__init__(inner)
        self.names = names

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        data = bytearray(super().get(name, offset=offset, size=size))
        if name in self.names:
            start = 40 if offset == 0 else len(data) // 2
            data[start] ^= 1
        return bytes(data)


def test_a_damaged_pack_leaves_out_its_snapshots_and_no_others(lab: Any, target: Callable[[Store], str]) -> None:
    write_many(lab)
    lab.dossier().snapshot(lab.source)
    before = set(lab.names("packs"))
    lab.write("folder 1/damaged", bytes(range(251)) * 3000)
    damaged = lab.dossier().snapshot(lab.source).snapshot
    of_second = set(lab.names("packs")) - before
    (lab.source / "folder 1" / "damaged").unlink()
    lab.write("folder 0/later", b"later" * 3000)
    lab.dossier().snapshot(lab.source)
    store = MemoryStore()
    report = lab.open("one", Broken(lab.store, of_second)).copy_to(target(store), mode="twin")
    assert [problem.path for problem in report.problems] == [damaged.name]
    assert report.problems[0].code == "damaged_blob"
    assert len(report.copied) == 2
    there = lab.dossier(store=store)
    assert damaged.name not in names_of(there)
    assert there.review().missing == ()
    lab.assert_restores(there, lab.facts(), "latest")
    assert len(lab.open().copy_to(target(store)).copied) == 1  # from a medium that is whole


def test_another_copy_makes_good(begun: Any, target: Callable[[Store], str]) -> None:
    old = set(begun.names("packs"))
    begun.dossier().snapshot(begun.source, options=snapstore.SnapshotOptions(force_read=True))
    for name in sorted(old):
        data = begun.store.get(name)
        begun.store.delete(name)
        begun.store.put(name, data[:60] + bytes([data[60] ^ 1]) + data[61:])
    begun.dossier().snapshot(begun.source, options=snapstore.SnapshotOptions(force_read=True))
    assert set(begun.names("packs")) - old  # what went bad was stored again
    store = MemoryStore()
    report = begun.open().copy_to(target(store), mode="twin")
    latest = begun.dossier().find("latest")
    assert latest.id in [item.id for item in report.copied]
    begun.assert_restores(begun.dossier(store=store), begun.facts(), latest)


def test_a_condemned_pack_at_the_destination_is_not_relied_on(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    context = begun.open("one", store)._context
    packs = tuple(sorted(item.name.rpartition("/")[2] for item in store.list("packs")))
    note = Condemn(station_id=context.state.station.id, time_ns=1, packs=packs)
    data = encode_condemn(context.newest_maintenance(), context.config.repository_id, note)
    store.put(object_path("condemn", new_name(digest(data))), data)
    begun.write("more", b"more" * 500)
    begun.dossier().snapshot(begun.source)
    report = begun.open().copy_to(target(store))
    assert len(report.copied) == 1
    for pack in packs:
        store.delete(next(item.name for item in store.list("packs") if item.name.endswith(pack)))
    begun.assert_restores(begun.dossier(store=store), begun.facts(), "latest")


def test_packs_that_vanish_at_the_last_moment_are_sent_again(begun: Any, target: Callable[[Store], str]) -> None:
    class Vanishing(StoreWrapper):
        done = False

        def put(self, name: str, data: Any, *, size: int | None = None) -> None:
            super().put(name, data, size=size)
            if name.startswith("snapshots/") and not self.done:
                self.done = True
                for item in list(self.inner.list("packs")):
                    self.inner.delete(item.name)

    inner = MemoryStore()
    report = begun.open().copy_to(target(Vanishing(inner)), mode="twin")
    assert len(report.copied) == 2
    begun.assert_restores(begun.dossier(store=inner), begun.facts(), "latest")


def test_a_full_destination_is_an_error_and_room_lets_it_go_on(begun: Any, target: Callable[[Store], str]) -> None:
    whole = sum(item.size for item in twin_of(begun, target).list(""))
    for share in (0.1, 0.4, 0.7, 0.95):
        inner = MemoryStore()
        with pytest.raises(snapstore.StoreFullError):
            begun.open().copy_to(target(FullAfter(inner, int(whole * share))), mode="twin")
        begun.open().copy_to(target(inner), mode="twin")
        assert len(begun.dossier(store=inner).list()) == 2
        begun.assert_restores(begun.dossier(store=inner), begun.facts(), "latest")


# --- crashes -----------------------------------------------------------------------------------------------------


def crash_after_effect(store: Store, k: int) -> CrashAt:
    return CrashAt(store, k, after_effect=True)


FAULTS: list[Callable[[Store, int], Recorder]] = [CrashAt, crash_after_effect, FailAt]
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=["crash", "crash-after-effect", "fail-once"])


def steps() -> Iterator[int]:
    yield from range(1, MOST)


@each_fault
def test_a_fault_of_the_destination_at_any_operation(
    begun: Any, target: Callable[[Store], str], fault: Callable[[Store, int], Recorder]
) -> None:
    facts = begun.facts()
    for k in steps():
        fork = begun.fork(str(k))
        inner = MemoryStore()
        store = fault(inner, k)
        reported = 0
        with contextlib.suppress(snapstore.SnapstoreError):
            reported = len(fork.open().copy_to(target(store), mode="twin").copied)
        if reported:
            assert len([item for item in fork.dossier(store=inner).list() if item.confirmed]) == reported
        report = fork.open().copy_to(target(inner), mode="twin")
        assert report.problems == ()
        there = fork.dossier(store=inner)
        review = there.review()
        assert (len(review.snapshots), review.missing, review.problems) == (2, (), ())
        assert all(item.confirmed for item in review.snapshots)
        if k % 5 == 0:
            fork.folder.joinpath("source").mkdir(exist_ok=True)
            assert compare_trees.differences(facts, fork.restored(there)) == []
        if store.count() < k:
            return
    raise AssertionError("there is no end to it")


@each_fault
def test_a_fault_of_the_source_at_any_operation(
    begun: Any, target: Callable[[Store], str], fault: Callable[[Store, int], Recorder]
) -> None:
    for k in steps():
        fork = begun.fork(str(k))
        inner = MemoryStore()
        repository = fork.open()
        store = fault(fork.store, k)
        repository._context.store = store
        try:
            report = repository.copy_to(target(inner), mode="twin")
            assert len(report.copied) + len({problem.path for problem in report.problems}) >= 2
        except snapstore.SnapstoreError:
            pass
        report = fork.open().copy_to(target(inner), mode="twin")
        assert report.problems == ()
        assert len(fork.dossier(store=inner).review().snapshots) == 2
        if store.count() < k:
            return
    raise AssertionError("there is no end to it")


def test_what_an_interrupted_copy_sent_is_not_sent_again(begun: Any, target: Callable[[Store], str]) -> None:
    inner = MemoryStore()
    probe = Recorder(MemoryStore())
    twin_of(begun, target, probe)
    puts = [call.name for call in probe.calls if call.operation == "put"]
    first_manifest = next(number for number, name in enumerate(puts, 1) if name.startswith("snapshots/"))

    class StopAt(FailAt):
        """Fails from the k-th put on."""

        def _fails(self, number: int) -> bool:
            return number >= self._k

    with pytest.raises(snapstore.StoreError):
        begun.open().copy_to(target(StopAt(inner, first_manifest, operations=frozenset({"put"}))), mode="twin")
    assert list(inner.list("snapshots")) == []
    report = begun.open().copy_to(target(inner))
    assert (len(report.copied), report.blobs) == (2, 0)


# --- rosters -----------------------------------------------------------------------------------------------------


def test_a_record_of_a_copy_is_a_witness_for_its_medium_alone(begun: Any, target: Callable[[Store], str]) -> None:
    store = twin_of(begun, target)
    absent = snapstore.SnapshotId(bytes(range(16)))
    here, there = begun.dossier(), begun.dossier(store=store)
    payload = copied_payload(begun.open().medium_id, [absent])
    put_record(there._context, RecordType.COPIED, mandatory=False, payload=payload)
    assert there.review().missing == ()
    put_record(here._context, RecordType.COPIED, mandatory=False, payload=payload)
    assert here.review().missing == (absent,)
    put_record(here._context, RecordType.FORGET, mandatory=True, payload=ids_payload([absent]))
    assert here.review().missing == ()
