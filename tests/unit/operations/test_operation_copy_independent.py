"""Copies into another repository: the same in every byte and attribute, and nothing of them to be seen."""

from __future__ import annotations

import copy
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import compare_trees
import pytest

import snapstore
from snapstore.blobs.reader import BlobReader
from snapstore.format.record import RecordType, ids_payload
from snapstore.operations.copy import CopyRequest
from snapstore.operations.history import read_history
from snapstore.operations.opening import init_repository
from snapstore.operations.records import put_record
from snapstore.operations.snapshot.publish import drop
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store
from snapstore.testing import CrashAt, FailAt, FullAfter, Recorder, StoreWrapper

OTHER = "the secret over there"
MOST = 400
TEXT = b"an unmistakable line of plain text"


class Other:
    """Another repository, made by the same station."""

    def __init__(self, lab: Any, *, protected: bool = True, share: bool = False) -> None:
        self.lab = lab
        self.store = MemoryStore()
        self.secret = OTHER if protected else None
        init_repository(self.store, lab.state(), protected=protected, share=share, kdf_seconds=0)

    def open(self, store: Store | None = None, station: str = "one") -> snapstore.Repository:
        return self.lab.open(station, self.store if store is None else store)  # type: ignore[no-any-return]

    def copy(self, *snapshots: Any, store: Store | None = None, **more: Any) -> snapstore.CopyReport:
        """Copy from the lab's dossier."""
        wishes = {"secret": self.lab.secret, "new_secret": self.secret} | more
        source = wishes.pop("dossier", None) or self.lab.dossier()
        return source.copy_to(self.open(store), snapshots, mode="independent", **wishes)  # type: ignore[no-any-return]

    def dossier(self) -> snapstore.Dossier:
        return self.open().dossier("books")

    def restored(self, snapshot: Any = "latest") -> dict[str, compare_trees.Facts]:
        target = self.lab.folder / "restored there"
        report = self.dossier().restore(snapshot, to=target, secret=self.secret)
        assert report.problems == ()
        found = compare_trees.collect(target)
        shutil.rmtree(target)
        return found


def write_many(lab: Any, seed: int = 0) -> None:
    for number in range(6):
        lab.write(f"folder {number % 2}/file {number}", bytes([number, seed]) * 3000 * number)
    lab.write("folder 0/plain name", TEXT * 20)
    lab.write("folder 1/large", TEXT * 40_000 + bytes([seed]))


@pytest.fixture
def begun(lab: Any) -> Any:
    write_many(lab)
    lab.dossier().snapshot(lab.source, label="first", exclude=["*.tmp"])
    write_many(lab, 1)
    lab.dossier().snapshot(lab.source, kind=snapstore.SnapshotKind.AUTOMATIC)
    return lab


@pytest.mark.parametrize("which", ["lab", "shared_lab", "unprotected_lab"])
@pytest.mark.parametrize("protected", [True, False], ids=["to protected", "to unprotected"])
@pytest.mark.parametrize("share", [False, True], ids=["alone", "shared"])
def test_every_shape_comes_back_bit_for_bit(
    which: str, protected: bool, share: bool, request: pytest.FixtureRequest, write_every_shape: Any
) -> None:
    lab = request.getfixturevalue(which)
    lab.source.mkdir()
    write_every_shape(lab.source)
    os.chmod(lab.source / "deep", 0o711)
    os.utime(lab.source / "inline", ns=(1, -5_000_000_123))
    if sys.platform == "linux":
        os.setxattr(lab.source / "inline", b"user.small", b"value")
        os.setxattr(lab.source / "deep" / "chunks", b"user.large", bytes(range(250)) * 14)
        os.setxattr(lab.source / "empty folder", b"user.large", bytes(range(249)) * 14)
    lab.dossier().snapshot(lab.source)
    other = Other(lab, protected=protected, share=share)
    report = other.copy()
    assert (report.mode, len(report.copied), report.problems) == (snapstore.CopyMode.INDEPENDENT, 1, ())
    assert compare_trees.differences(lab.facts(), other.restored()) == []


def test_a_direct_snapshot_finds_every_blob_of_the_copy(lab: Any, settled_tree: Path) -> None:
    """The destination's own keys decide the cuts, so that the trees are the same to the last node."""
    lab.dossier().snapshot(settled_tree)
    other = Other(lab)
    other.copy()
    report = other.dossier().snapshot(settled_tree)
    assert report.blobs_added == 0
    first, second = (item.facts.root_id for item in read_history(other.dossier()._context).manifests)
    assert first == second


def test_holes_stay_holes(lab: Any, settled_tree: Path) -> None:
    lab.dossier().snapshot(settled_tree)
    other = Other(lab)
    other.copy()
    target = lab.folder / "sparse"
    other.dossier().restore("latest", to=target, secret=OTHER)
    original, copy = os.stat(settled_tree / "deep" / "sparse"), os.stat(target / "deep" / "sparse")
    assert copy.st_size == original.st_size
    assert copy.st_blocks <= original.st_blocks


class Meanwhile(StoreWrapper):
    """Lets something happen before the first manifest is put."""

    def __init__(self, inner: Store, action: Callable[[], object]) -> None:
        super().__init__(inner)
        self.action: Callable[[], object] | None = action

    def put(self, name: str, data: Any, *, size: int | None = None) -> None:
        action, self.action = self.action, None if name.startswith("snapshots/") else self.action
        if action is not None and self.action is None:
            action()
        super().put(name, data, size=size)


def test_what_two_stations_copy_at_once_is_there_once(begun: Any) -> None:
    other = Other(begun)
    first, second = reversed(begun.dossier().list())
    other.copy(first)
    begun.unlocked("two")
    other.open(station="two").unlock(OTHER)

    def copy_too() -> None:
        begun.dossier("two").copy_to(other.open(station="two"), secret=begun.secret, mode="independent")

    assert len(other.copy(second, store=Meanwhile(other.store, copy_too)).copied) == 1
    assert len(list(other.store.list("ok"))) == 3
    copies = other.dossier().list()
    assert [item.label for item in copies] == [None, "first"]
    assert [other.dossier().find(item.name).id for item in copies] == [item.id for item in copies]
    assert compare_trees.differences(begun.facts(), other.restored(copies[0].name)) == []
    assert other.copy().present == 2


def test_everything_that_is_said_of_a_snapshot_is_kept(begun: Any) -> None:
    other = Other(begun)
    other.copy()
    for original, copied in zip(begun.dossier().list(), other.dossier().list(), strict=True):
        assert original.id != copied.id
        for name in ("time", "kind", "label", "host", "user", "sources", "excludes", "problems", "files"):
            assert getattr(original, name) == getattr(copied, name)
        for name in ("directories", "others", "total_bytes", "problem_count", "duration_seconds", "number"):
            assert getattr(original, name) == getattr(copied, name)
        assert copied.confirmed


def test_nothing_of_the_content_can_be_seen(begun: Any) -> None:
    other = Other(begun)
    other.copy()
    for item in other.store.list(""):
        data = other.store.get(item.name)
        for secret in (TEXT, b"plain name", b"books", begun.secret.encode(), OTHER.encode()):
            assert secret not in data
    held = begun.state().keys(begun.open().id)
    for epoch in held.epochs:  # nor is a key of the first repository there
        assert all(epoch.maintenance not in other.store.get(item.name) for item in other.store.list(""))
    ids = {bytes(item.name.encode()) for item in begun.store.list("packs")}
    assert ids.isdisjoint(item.name.encode() for item in other.store.list("packs"))


def test_plaintext_touches_no_disk(begun: Any) -> None:
    other = Other(begun)
    other.copy()
    for path in begun.folder.rglob("*"):
        if path.is_file() and begun.source not in path.parents:
            assert TEXT not in path.read_bytes()


def test_a_second_run_copies_nothing(begun: Any) -> None:
    other = Other(begun)
    other.copy()
    recorder = Recorder(other.store)
    report = other.copy(store=recorder)
    assert (report.copied, report.present) == ((), 2)
    assert recorder.count("put") == 0


def test_what_has_not_changed_is_not_read_again(lab: Any, settled_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.dossier().snapshot(settled_tree)
    other = Other(lab)
    other.copy()
    (settled_tree / "deep" / "er" / "folder" / "new").write_bytes(b"new" * 300)
    lab.dossier().snapshot(settled_tree)
    loaded: list[Any] = []
    load_many = BlobReader.load_many

    def watched(self: BlobReader, plain_hashes: Any, **options: Any) -> Any:
        found = load_many(self, plain_hashes, **options)
        loaded.extend(len(item) for item in found if not isinstance(item, Exception))
        return found

    monkeypatch.setattr(BlobReader, "load_many", watched)
    report = other.copy()
    assert len(report.copied) == 1
    assert sum(loaded) < 30_000  # nodes, and the bundle beside the new file
    facts = compare_trees.collect(settled_tree)
    assert compare_trees.differences(facts, other.restored()) == []


def test_chosen_snapshots_and_a_dry_run(begun: Any) -> None:
    other = Other(begun)
    report = other.copy(dry_run=True)
    assert len(report.copied) == 2
    assert list(other.store.list("dossiers")) == []
    report = other.copy("latest~1")
    assert [item.id for item in report.copied] == [begun.dossier().find("latest~1").id]
    report = other.copy(dry_run=True)
    assert (len(report.copied), report.present) == (1, 1)
    report = other.copy()
    assert (len(report.copied), report.present) == (1, 1)
    assert compare_trees.differences(begun.facts(), other.restored()) == []


# --- secrets -----------------------------------------------------------------------------------------------------


def test_it_takes_the_secret_of_the_source(begun: Any) -> None:
    other = Other(begun)
    with pytest.raises(snapstore.SecretRequiredError):
        other.copy(secret=None)
    with pytest.raises(snapstore.WrongSecretError):
        other.copy(secret="some wrong secret")
    with pytest.raises(snapstore.SecretRequiredError):
        begun.open().copy_to(other.open(), mode="independent")
    assert list(other.store.list("packs")) == []


def test_it_takes_a_secret_for_a_new_dossier(begun: Any) -> None:
    other = Other(begun)
    with pytest.raises(snapstore.SecretRequiredError) as caught:
        other.copy(new_secret=None)
    assert caught.value.code == "new_secret_required"
    with pytest.raises(snapstore.SecretTooShortError):
        other.copy(new_secret="short")
    other.copy()
    assert other.copy(new_secret=None).present == 2  # now the station knows it


def test_a_station_that_is_new_at_the_destination_unlocks_the_dossier(begun: Any) -> None:
    other = Other(begun)
    other.copy()
    begun.unlocked("new")
    new = begun.dossier("new")
    with pytest.raises(snapstore.WrongSecretError):
        new.copy_to(other.open(station="new"), secret=begun.secret, new_secret="a wrong secret")
    begun.write("more", b"more")
    new.snapshot(begun.source)
    report = new.copy_to(other.open(station="new"), secret=begun.secret, new_secret=OTHER)
    assert (len(report.copied), report.present) == (1, 2)
    assert len(other.open().dossiers()) == 1


def test_a_protected_source_goes_to_an_unprotected_place_only_by_name(begun: Any) -> None:
    other = Other(begun, protected=False)
    with pytest.raises(snapstore.InputError) as caught:
        begun.dossier().copy_to(other.open(), secret=begun.secret)
    assert caught.value.code == "unprotected_destination"
    assert len(other.copy().copied) == 2


def test_all_dossiers_of_an_unprotected_repository(unprotected_lab: Any) -> None:
    lab = unprotected_lab
    write_many(lab)
    lab.dossier().snapshot(lab.source)
    lab.open().create_dossier("letters").snapshot(lab.source)
    other = Other(lab, protected=False)
    report = lab.open().copy_to(other.open())
    assert sorted(item.dossier or "" for item in report.copied) == ["books", "letters"]


def test_secrets_show_in_no_repr(begun: Any) -> None:
    assert OTHER not in repr(CopyRequest(to="somewhere", new_secret=OTHER))


# --- faults ------------------------------------------------------------------------------------------------------


def test_damage_in_the_source_leaves_out_what_it_hits(lab: Any) -> None:
    write_many(lab)
    lab.dossier().snapshot(lab.source)
    before = set(lab.names("packs"))
    lab.write("folder 1/damaged", os.urandom(300_000))
    damaged = lab.dossier().snapshot(lab.source).snapshot
    packs = set(lab.names("packs")) - before
    (lab.source / "folder 1" / "damaged").unlink()
    lab.dossier().snapshot(lab.source)

    class Broken(StoreWrapper):
        def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
            data = super().get(name, offset=offset, size=size)
            return bytes(len(data)) if name in packs and len(data) > 100_000 else data

    other = Other(lab)
    report = other.copy(dossier=lab.dossier(store=Broken(lab.store)))
    assert [problem.path for problem in report.problems] == [damaged.name]
    assert len(report.copied) == 2
    assert compare_trees.differences(lab.facts(), other.restored()) == []
    assert len(other.copy().copied) == 1


def test_a_full_destination(begun: Any) -> None:
    other = Other(begun)
    whole = Other(begun)
    whole.copy()
    size = sum(item.size for item in whole.store.list(""))
    for share in (0.2, 0.6, 0.95):
        with pytest.raises(snapstore.StoreFullError):
            other.copy(store=FullAfter(other.store, int(size * share / 2)))
    assert len(other.copy().copied) + len(other.dossier().list()) >= 2
    assert len(other.dossier().list()) == 2
    assert compare_trees.differences(begun.facts(), other.restored()) == []


def crash_after_effect(store: Store, k: int) -> CrashAt:
    return CrashAt(store, k, after_effect=True)


FAULTS: list[Callable[[Store, int], Recorder]] = [CrashAt, crash_after_effect, FailAt]


@pytest.mark.parametrize("fault", FAULTS, ids=["crash", "crash-after-effect", "fail-once"])
def test_a_fault_of_the_destination_at_any_operation(
    begun: Any, fault: Callable[[Store, int], Recorder], copy_store: Callable[[Store], MemoryStore]
) -> None:
    facts = begun.facts()
    made = Other(begun)
    made.open().create_dossier("books", secret=OTHER)
    for k in range(1, MOST):
        fork = begun.fork(str(k))
        other = copy.copy(made)
        other.lab, other.store = fork, copy_store(made.store)
        repository = other.open()
        store = fault(repository._context.store, k)
        repository._context.store = store
        reported = 0
        try:
            report = fork.dossier().copy_to(repository, secret=fork.secret)
            reported = len(report.copied)
        except snapstore.SnapstoreError:
            pass
        assert len([item for item in other.dossier().list() if item.confirmed]) >= reported
        other.copy()
        review = other.dossier().review()
        assert (len(review.snapshots), review.missing, review.problems) == (2, (), ())
        assert all(item.confirmed for item in review.snapshots)
        if k % 10 == 0:
            assert compare_trees.differences(facts, other.restored()) == []
        if store.count() < k:
            return
    raise AssertionError("there is no end to it")


def test_a_dossier_that_is_named_otherwise_gets_its_own(begun: Any) -> None:
    other = Other(begun)
    other.open().create_dossier("letters", secret="another secret")
    other.copy()
    assert sorted(info.name or "" for info in other.open().dossiers()) == ["books", "letters"]


def test_forgotten_copies_stay_away_unless_named(begun: Any) -> None:
    other = Other(begun)
    other.copy()
    there = other.dossier()
    latest = read_history(there._context).manifests[0]
    payload = ids_payload([latest.sealed.snapshot_id])
    put_record(there._context, RecordType.FORGET, mandatory=True, payload=payload)
    drop(there._context, latest.names)
    report = other.copy()
    assert (report.copied, report.present, report.forgotten) == ((), 1, 1)
    assert len(other.copy("latest").copied) == 1
    review = other.dossier().review()
    assert (len(review.snapshots), review.missing) == (2, ())


def test_the_destination_by_its_address(begun: Any, tmp_path: Path) -> None:
    snapstore.init(tmp_path / "other", state_dir=begun.folder / "state one", kdf_seconds=0).close()
    report = begun.dossier().copy_to(tmp_path / "other", secret=begun.secret, new_secret=OTHER)
    assert (report.mode, len(report.copied)) == (snapstore.CopyMode.INDEPENDENT, 2)
