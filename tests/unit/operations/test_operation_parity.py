"""Parity beside a snapshot: where it is stored, that it heals, and that it never costs a snapshot."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from far_store import FarStore

import snapstore
from snapstore.blobs.healing import Sidecars, heal_pack
from snapstore.crypto.derivation import digest
from snapstore.errors import (
    OperationCancelledError,
    StoreFullError,
    StorePermissionError,
    StoreUnavailableError,
)
from snapstore.format.names import new_name, pack_path, parity_path
from snapstore.format.parity import decode_sidecar, make_sidecar
from snapstore.limits import MIB
from snapstore.operations.meter import Meter
from snapstore.operations.opening import init_repository, open_repository
from snapstore.operations.parity import drop_orphans, has_parity
from snapstore.station import StateFolder
from snapstore.stores.media import Medium
from snapstore.stores.medium_store import MediumStore
from snapstore.stores.protocol import Store, StoredObject
from snapstore.stores.watched import FINISHING_BYTES
from snapstore.testing import CrashAt, Recorder, StoreWrapper

WITH_PARITY = snapstore.SnapshotOptions(parity=True)
WITHOUT_PARITY = snapstore.SnapshotOptions(parity=False)


def write_noise(lab: Any, name: str, size: int, seed: int = 1) -> None:
    lab.write(name, random.Random(seed).randbytes(size))


def packs_of(store: Store) -> dict[str, int]:
    return {item.name.rpartition("/")[2]: item.size for item in store.list("packs")}


def protected_packs(store: Store) -> set[str]:
    sidecars = Sidecars(store)
    return {pack for pack in packs_of(store) if sidecars.of(pack)}


def spoil(store: Store, name: str, at: int = 0) -> bytes:
    """Alter a byte of an object; returns what it was."""
    data = store.get(name)
    altered = bytearray(data)
    altered[at] ^= 1
    store.delete(name)
    store.put(name, bytes(altered))
    return data


@pytest.fixture
def books(lab: Any) -> Iterator[Any]:
    """A repository with something to save."""
    write_noise(lab, "database", 3 * MIB)
    write_noise(lab, "letter", 30_000, seed=2)
    return lab


def test_it_is_stored_where_it_is_asked_for_and_from_then_on(books: Any) -> None:
    dossier = books.dossier()
    dossier.snapshot(books.source)
    assert not has_parity(books.store)
    write_noise(books, "database", 2 * MIB, seed=3)
    report = dossier.snapshot(books.source, options=WITH_PARITY)
    assert report.problems == ()
    assert len(protected_packs(books.store)) == 2
    write_noise(books, "database", MIB, seed=4)
    dossier.snapshot(books.source)
    assert len(protected_packs(books.store)) == 4
    write_noise(books, "database", MIB, seed=5)
    dossier.snapshot(books.source, options=WITHOUT_PARITY)
    assert (len(protected_packs(books.store)), len(packs_of(books.store))) == (4, 8)
    for name in books.names("parity"):
        decode_sidecar(books.store.get(name))
        assert digest(books.store.get(name)) is not None


def test_what_it_takes_is_counted(books: Any) -> None:
    before = sum(item.size for item in books.store.list(""))
    report = books.dossier().snapshot(books.source, options=WITH_PARITY)
    stored = sum(item.size for item in books.store.list("")) - before
    assert stored == report.added_bytes
    assert sum(item.size for item in books.store.list("parity")) < 0.2 * report.added_bytes


def test_removable_media_have_it_without_being_asked(tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(random.Random(1).randbytes(1_500_000))
    store = MediumStore(tmp_path / "stick" / "snapstore", Medium(path=tmp_path / "stick"), create=True)
    state = StateFolder(tmp_path / "state")
    with snapstore.Repository(init_repository(store, state, protected=False, share=False, kdf_seconds=0)) as repository:
        dossier = repository.create_dossier("books")
        assert dossier.snapshot(source).problems == ()
        assert protected_packs(store) == packs_of(store).keys()
        (source / "b").write_bytes(random.Random(2).randbytes(1_500_000))
        dossier.snapshot(source, options=WITHOUT_PARITY)
        assert len(protected_packs(store)) == len(packs_of(store)) - 2


def test_sidecars_follow_packs_and_their_index_and_come_before_the_manifest(books: Any) -> None:
    recorder = Recorder(books.store)
    books.dossier(store=recorder).snapshot(books.source, options=WITH_PARITY)
    puts = [call.name.partition("/")[0] for call in recorder.calls if call.operation == "put"]
    assert puts == ["sessions", "packs", "packs", "index", "parity", "parity", "snapshots", "ok"]


def test_every_pack_heals_by_its_sidecar(books: Any) -> None:
    dossier = books.dossier()
    dossier.snapshot(books.source, options=WITH_PARITY)
    for pack, size in packs_of(books.store).items():
        whole = spoil(books.store, pack_path(pack), size // 2)
        healed = heal_pack(books.store, pack, size)
        assert healed is not None
        assert healed.data == whole
        assert healed.healed_bytes > 0


def test_from_a_server_no_pack_is_read_back(books: Any) -> None:
    far = FarStore(books.store, seconds=0.0)
    books.dossier(store=far).snapshot(books.source, options=WITH_PARITY)
    assert protected_packs(books.store) == packs_of(books.store).keys()
    assert [name for name in far.names("get") if name.startswith("packs/")] == []
    assert far.names("put")[-2].startswith("snapshots/")


# --- what goes wrong with it -------------------------------------------------------------------------------------


class NoParity(StoreWrapper):
    """Refuses everything below parity/; `refused` counts. Cannot build, or can, as the inner store."""

    def __init__(self, inner: Store, error: Exception, *, lists: bool = True) -> None:
        super().__init__(inner)
        self.error = error
        self.lists = lists
        self.refused = 0

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        if name.startswith("parity/"):
            self.refused += 1
            raise self.error
        super().put(name, data, size=size)

    def publish(self, builder: Any, name: str, compare: Any) -> None:
        super().publish(builder, name, compare)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        if prefix.startswith("parity") and not self.lists:
            raise self.error
        return super().list(prefix)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize(
    "error",
    [StoreFullError("No space left."), StorePermissionError("Not allowed."), StoreUnavailableError("I/O error.")],
)
def test_a_sidecar_that_cannot_be_put_is_a_problem_of_the_report_alone(
    books: Any, error: Exception, *, far: bool
) -> None:
    refusing = NoParity(books.store, error)
    store: Store = FarStore(refusing, seconds=0.0, lanes=2) if far else refusing
    dossier = books.dossier(store=store)
    report = dossier.snapshot(books.source, options=WITH_PARITY)
    assert [problem.code for problem in report.problems] == ["parity_failed"]
    assert str(error) in report.problems[0].message
    assert report.snapshot.problem_count == 0
    assert far or refusing.refused == 1
    again = books.dossier()
    books.assert_restores(again, books.facts(), report.snapshot)
    assert again.list()[0].confirmed


def test_a_parity_folder_that_cannot_be_listed_is_a_problem_of_the_report_alone(books: Any) -> None:
    store = NoParity(books.store, StoreUnavailableError("I/O error."), lists=False)
    report = books.dossier(store=store).snapshot(books.source)
    assert [problem.code for problem in report.problems] == ["parity_failed"]
    books.assert_restores(books.dossier(), books.facts(), report.snapshot)


def test_a_pack_that_reads_back_otherwise_gets_no_parity(books: Any) -> None:
    class OtherBytes(StoreWrapper):
        def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
            data = super().get(name, offset=offset, size=size)
            return bytes(len(data)) if name.startswith("packs/") else data

    report = books.dossier(store=OtherBytes(books.store)).snapshot(books.source, options=WITH_PARITY)
    assert [problem.code for problem in report.problems] == ["parity_failed"]
    assert not has_parity(books.store)


def test_packs_come_first_where_room_is_short(tmp_path: Path) -> None:
    """The medium has room for the packs and what must follow them, and for no parity."""

    class Small(MediumStore):
        left = 100 * MIB

        def free_bytes(self) -> int | None:
            used = sum(item.size for item in self.list(""))
            return max(0, self.left - used)

    (tmp_path / "stick").mkdir()
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(random.Random(1).randbytes(2_000_000))
    store = Small(tmp_path / "stick" / "snapstore", Medium(path=tmp_path / "stick"), create=True)
    state = StateFolder(tmp_path / "state")
    with snapstore.Repository(init_repository(store, state, protected=False, share=False, kdf_seconds=0)) as repository:
        dossier = repository.create_dossier("books")
        dossier.snapshot(source, options=WITHOUT_PARITY)
        (source / "b").write_bytes(random.Random(2).randbytes(2_000_000))
        store.left = sum(item.size for item in store.list("")) + 2_100_000 + FINISHING_BYTES
        report = dossier.snapshot(source)
        assert [problem.code for problem in report.problems] == ["parity_failed"]
        assert "full" in report.problems[0].message
        assert [item.confirmed for item in dossier.list()] == [True, True]


def test_a_cancel_among_sidecars_ends_the_snapshot_cleanly(books: Any) -> None:
    class CancelAtParity:
        asked = False

        def is_set(self) -> bool:
            return len(books.names("index")) > 0

    with pytest.raises(OperationCancelledError):
        books.dossier().snapshot(books.source, options=WITH_PARITY, cancel=CancelAtParity())
    books.assert_restores(books.dossier(), books.facts(), books.dossier().snapshot(books.source).snapshot)


# --- adding it later ---------------------------------------------------------------------------------------------


def test_it_is_added_for_packs_that_have_none(books: Any) -> None:
    dossier = books.dossier()
    dossier.snapshot(books.source)
    phases: set[str] = set()

    class Watcher:
        def update(self, status: snapstore.ProgressStatus) -> None:
            phases.add(status.phase)

    repository = books.open()
    report = repository.add_parity(progress=Watcher())
    assert (report.packs, report.added, report.problems) == (2, 2, ())
    assert report.added_bytes == sum(item.size for item in books.store.list("parity"))
    assert phases == {"scan", "parity"}
    again = repository.add_parity()
    assert (again.packs, again.added, again.added_bytes) == (2, 0, 0)
    write_noise(books, "more", MIB, seed=9)
    dossier.snapshot(books.source)
    assert protected_packs(books.store) == packs_of(books.store).keys()


def test_it_needs_no_keys(books: Any) -> None:
    books.dossier().snapshot(books.source)
    stranger = snapstore.Repository(open_repository(books.store, StateFolder(books.folder / "a stranger's state")))
    assert stranger.add_parity().added == 2


def test_adding_goes_on_after_a_crash_at_any_operation(books: Any) -> None:
    books.dossier().snapshot(books.source)
    for number in range(1, 100):
        lab = books.fork(f"crash {number}")
        crashing = CrashAt(lab.store, number)
        try:
            lab.open(store=crashing).add_parity()
        except snapstore.SnapstoreError:
            assert lab.open().add_parity().packs == 2
            assert len(lab.names("parity")) >= 2
        else:
            break
    else:
        pytest.fail("it never came to its end")
    assert number > 8


def test_damaged_packs_get_none_and_are_named(books: Any) -> None:
    books.dossier().snapshot(books.source)
    first, second = packs_of(books.store)
    spoil(books.store, pack_path(first), 5)
    books.store.put(f"packs/0/{'0' * 32}", b"")
    report = books.open().add_parity()
    assert (report.packs, report.added) == (1, 1)
    assert {problem.path for problem in report.problems} == {pack_path(first), f"packs/0/{'0' * 32}"}
    assert {problem.code for problem in report.problems} == {"parity_failed"}
    assert protected_packs(books.store) == {second}


def test_sidecars_of_packs_that_are_gone_are_deleted(books: Any) -> None:
    """But for copies of packs that an index names: those packs were lost and can be healed whole."""
    books.dossier().snapshot(books.source, options=WITH_PARITY)
    gone = random.Random(1).randbytes(5000)
    name = new_name(digest(gone))
    sidecar = make_sidecar(name, [gone])
    books.store.put(parity_path(name, new_name(digest(sidecar))), sidecar)
    assert len(books.names("parity")) == 3
    assert books.open().add_parity().packs == 2
    assert len(books.names("parity")) == 2
    for pack in packs_of(books.store):
        books.store.delete(pack_path(pack))
    assert books.open().add_parity().packs == 0
    assert len(books.names("parity")) == 1
    kept = decode_sidecar(books.store.get(books.names("parity")[0]))[0]
    healed = heal_pack(books.store, kept.pack, kept.shape.pack_size)
    assert healed is not None
    for index in books.names("index"):
        books.store.delete(index)
    books.open().add_parity()
    assert books.names("parity") == []


def test_sidecars_that_say_nothing_any_more_are_replaced(books: Any) -> None:
    books.dossier().snapshot(books.source, options=WITH_PARITY)
    for name in books.names("parity"):
        size = len(books.store.get(name))
        books.store.delete(name)
        books.store.put(name, bytes(size))
    of_tomorrow = b"\x8a\x53\x09\x02" + bytes(400)
    kept = parity_path("0" * 32, new_name(digest(of_tomorrow)))
    books.store.put(kept, of_tomorrow)
    assert books.open().add_parity().added == 2
    assert len(books.names("parity")) == 3
    assert kept in books.names("parity")


def test_sidecars_of_deleted_packs_are_dropped(books: Any, context: Any) -> None:
    books.dossier().snapshot(books.source, options=WITH_PARITY)
    first, second = packs_of(books.store)
    before = sum(item.size for item in books.store.list("parity"))
    books.store.delete(pack_path(first))
    freed = drop_orphans(context(books.dossier()).repository, Meter(None, None), deleted=[first])
    assert freed == before - sum(item.size for item in books.store.list("parity"))
    assert protected_packs(books.store) == {second}


def test_a_read_only_store_refuses(books: Any, tmp_path: Path) -> None:
    books.dossier().snapshot(books.source)

    class ReadOnly(StoreWrapper):
        def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
            raise StorePermissionError("Read-only.")

    with pytest.raises(StorePermissionError):
        books.open(store=ReadOnly(books.store)).add_parity()


def test_twins_have_parity_where_the_destination_has(books: Any, tmp_path: Path) -> None:
    books.dossier().snapshot(books.source)
    repository = books.open()
    first = repository.copy_to(tmp_path / "twin", mode="twin")
    assert first.problems == ()
    with snapstore.open(tmp_path / "twin", state_dir=books.folder / "state one") as twin:
        assert twin.add_parity().added == 2
    write_noise(books, "more", 2 * MIB, seed=7)
    books.dossier().snapshot(books.source)
    report = repository.copy_to(tmp_path / "twin")
    assert (len(report.copied), report.problems) == (1, ())
    with snapstore.open(tmp_path / "twin", state_dir=books.folder / "state one") as twin:
        assert twin.add_parity().added == 0


def test_a_prune_leaves_parity_for_what_is_left_and_none_for_what_is_not(books: Any) -> None:
    dossier = books.dossier()
    first = dossier.snapshot(books.source, options=WITH_PARITY).snapshot
    half = random.Random(1).randbytes(3 * MIB)[: MIB + MIB // 2]
    books.write("database", half)
    second = dossier.snapshot(books.source).snapshot
    dossier.forget(snapshots=[first])
    repository = books.open()
    report = repository.prune(options=snapstore.PruneOptions(max_unused=0.0))
    assert report.problems == ()
    assert report.deleted_packs > 0
    assert protected_packs(books.store) == packs_of(books.store).keys()
    assert len(books.names("parity")) == len(packs_of(books.store))
    assert (repository.add_parity().added, repository.check().whole) == (0, True)
    books.assert_restores(books.dossier(), books.facts(), second)


def test_a_damaged_pack_is_repaired_by_parity_alone(books: Any) -> None:
    dossier = books.dossier()
    snapshot = dossier.snapshot(books.source, options=WITH_PARITY).snapshot
    for pack, size in packs_of(books.store).items():
        spoil(books.store, pack_path(pack), size // 3)
    repository = books.open()
    plan = repository.plan_repair()
    assert [step.code for step in plan.steps].count("heal_pack") == 2
    assert repository.repair(plan).failed == ()
    assert protected_packs(books.store) == packs_of(books.store).keys()
    assert len(books.names("parity")) == len(packs_of(books.store))
    books.assert_restores(books.dossier(), books.facts(), snapshot)
