"""Copies of a medium that were made by hand: noticed, readable, and media of their own once something is written.

Real folders, since a clone is told by where it lies. Where the file system of the tests has nothing lasting to tell
places by, the folder's number stands in.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import snapstore
from snapstore.operations import clones
from snapstore.stores.options import StoreOptions
from snapstore.testing import CrashAt, FailAt

SECRET = "a secret for clones"


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> None:
    real = clones.fingerprint

    def known(folder: str) -> str:
        return real(folder) or f"number {os.stat(folder).st_ino}"

    monkeypatch.setattr(clones, "fingerprint", known)


class Shop:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.source = base / "source"
        self.source.mkdir()
        self.write("first")
        with snapstore.init(self.base / "a", state_dir=self.state(), kdf_seconds=0) as repository:
            repository.create_dossier("books", secret=SECRET)
        self.snapshot("a")

    def state(self, name: str = "one") -> Path:
        return self.base / f"state {name}"

    def write(self, text: str) -> None:
        (self.source / "file").write_text(text * 1000)

    def open(self, name: str, station: str = "one", **more: Any) -> snapstore.Repository:
        return snapstore.open(self.base / name, state_dir=self.state(station), **more)

    def snapshot(self, name: str) -> snapstore.Snapshot:
        with self.open(name) as repository:
            return repository.dossier("books").snapshot(self.source).snapshot

    def clone(self, name: str, of: str = "a") -> None:
        shutil.copytree(self.base / of, self.base / name)

    def codes(self, name: str, station: str = "one") -> list[str]:
        with self.open(name, station) as repository:
            return [problem.code for problem in repository.problems]

    def medium(self, name: str, station: str = "one") -> bytes:
        with self.open(name, station) as repository:
            return repository.medium_id

    def missing(self, name: str) -> tuple[bytes, ...]:
        with self.open(name) as repository:
            review = repository.dossier("books").review()
            assert review.problems == ()
            return review.missing


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_medium_is_no_clone_of_itself(shop: Shop) -> None:
    for _ in range(2):
        assert shop.codes("a") == []
        shop.snapshot("a")
    os.rename(shop.base / "a", shop.base / "moved")
    assert shop.codes("moved") == []


@pytest.mark.parametrize("first", ["a", "b"])
def test_both_become_media_of_their_own_whichever_is_written_first(shop: Shop, first: str) -> None:
    shop.clone("b")
    assert shop.medium("a") == shop.medium("b")
    assert shop.codes("b") == ["cloned_medium"]
    other = "b" if first == "a" else "a"
    for name in (first, other, first, other):
        shop.write(f"from {name}")
        shop.snapshot(name)
        assert shop.missing(name) == ()
    assert shop.medium("a") != shop.medium("b")
    assert shop.codes("a") == shop.codes("b") == []
    for name, snapshots in (("a", 3), ("b", 3)):
        with shop.open(name) as repository:
            dossier = repository.dossier("books")
            assert len(dossier.list()) == snapshots
            dossier.restore("latest", to=shop.base / f"restored {name}", secret=SECRET)
        assert (shop.base / f"restored {name}" / "file").read_text() == f"from {name}" * 1000


def test_what_the_first_got_since_is_not_missing_on_the_clone(shop: Shop) -> None:
    shop.clone("b")
    shop.write("later")
    shop.snapshot("a")
    assert shop.missing("b") == ()  # this station's own last snapshot is on the other one
    with shop.open("b") as repository:
        assert len(repository.dossier("books").list()) == 1
    shop.snapshot("b")
    assert shop.missing("b") == ()
    assert shop.missing("a") == ()


def test_numbers_go_on_above_those_of_the_other(shop: Shop) -> None:
    shop.clone("b")
    shop.write("later")
    assert shop.snapshot("a").number == 2
    assert shop.snapshot("b").number == 3


def test_reading_changes_nothing(shop: Shop) -> None:
    shop.clone("b")
    before = sorted(str(path) for path in (shop.base / "b").rglob("*"))
    with shop.open("b") as repository:
        dossier = repository.dossier("books")
        dossier.restore("latest", to=shop.base / "restored", secret=SECRET)
        assert [problem.code for problem in repository.problems] == ["cloned_medium"]
    assert sorted(str(path) for path in (shop.base / "b").rglob("*")) == before


@pytest.mark.parametrize(
    "write",
    [
        lambda repository: repository.dossier("books").rename("ledgers", secret=SECRET),
        lambda repository: repository.dossier("books").add_recovery_code(secret=SECRET),
        lambda repository: repository.create_dossier("letters", secret="another secret"),
        lambda repository: repository.remove_dossier("books", secret=SECRET),
    ],
    ids=["rename", "recovery code", "create", "remove"],
)
def test_every_verb_that_writes_gives_it_an_id(shop: Shop, write: Callable[[snapstore.Repository], object]) -> None:
    shop.clone("b")
    before = shop.medium("a")
    with shop.open("b") as repository:
        write(repository)
        assert repository.medium_id != before
    assert shop.medium("a") == before
    assert shop.codes("b") == []


def test_enrolling_a_new_station_gives_it_an_id(shop: Shop) -> None:
    shop.clone("b")
    assert shop.codes("a", "new") == []  # that station sees the medium without any key
    with shop.open("b", "new") as repository:
        assert [problem.code for problem in repository.problems] == ["cloned_medium"]
        repository.unlock(SECRET)
        assert repository.medium_id != shop.medium("a")


def test_a_station_that_lost_its_state_takes_the_first_it_sees_for_the_medium(shop: Shop) -> None:
    shop.clone("b")
    assert shop.codes("b", "new") == []
    assert shop.codes("a", "new") == ["cloned_medium"]
    with shop.open("a", "new") as repository:
        repository.unlock(SECRET).snapshot(shop.source)
    assert shop.medium("a", "new") != shop.medium("b", "new")


def test_a_clone_that_cannot_be_written_stays_one(shop: Shop) -> None:
    shop.clone("b")
    with shop.open("b", options=StoreOptions(read_only=True)) as repository:
        dossier = repository.dossier("books")
        assert len(dossier.list()) == 1
        with pytest.raises(snapstore.StorePermissionError):
            dossier.snapshot(shop.source)
    assert shop.medium("b") == shop.medium("a")
    assert shop.codes("b") == ["cloned_medium"]


@pytest.mark.parametrize("fault", [CrashAt, FailAt], ids=["crash", "fail-once"])
def test_a_fault_at_any_operation_loses_nothing(shop: Shop, fault: Any) -> None:
    for k in range(1, 60):
        name = f"clone {k}"
        shop.clone(name)
        shop.write(f"at {k}")
        with shop.open(name) as repository:
            repository._context.store = store = fault(repository._context.store, k)
            with contextlib.suppress(snapstore.SnapstoreError):
                repository.dossier("books").snapshot(shop.source)
        shop.snapshot(name)
        assert shop.missing(name) == ()
        assert shop.medium(name) != shop.medium("a")
        with shop.open(name) as repository:
            assert len(repository.dossier("books").list()) >= 2
        shutil.rmtree(shop.base / name)
        if store.count() < k:
            return
    raise AssertionError("there is no end to it")


def test_moved_to_another_disk_it_gets_a_new_id_and_loses_nothing(shop: Shop) -> None:
    before = shop.medium("a")
    shop.clone("b")
    shutil.rmtree(shop.base / "a")
    shop.write("there")
    shop.snapshot("b")
    assert shop.medium("b") != before
    with shop.open("b") as repository:
        assert len(repository.dossier("books").list()) == 2
    assert shop.missing("b") == ()


def test_a_clone_of_a_clone(shop: Shop) -> None:
    shop.clone("b")
    shop.snapshot("b")
    shop.clone("c", of="b")
    shop.snapshot("c")
    shop.snapshot("a")
    assert len({shop.medium(name) for name in "abc"}) == 3
    assert [shop.missing(name) for name in "abc"] == [(), (), ()]


def test_the_ids_of_a_folder_are_those_that_count(shop: Shop) -> None:
    from snapstore.operations.configs import repository_ids

    shop.clone("b")
    shop.snapshot("b")
    with shop.open("b") as repository:
        assert repository_ids(shop.base / "b") == {repository.id.hex(), repository.medium_id.hex()}
    assert len(list((shop.base / "b" / "config").iterdir())) == 2


def test_a_clone_can_be_copied_to(shop: Shop) -> None:
    shop.clone("b")
    shop.write("later")
    shop.snapshot("a")
    with shop.open("a") as repository:
        report = repository.copy_to(shop.base / "b")
        assert (len(report.copied), report.present) == (1, 1)
    assert shop.medium("a") != shop.medium("b")
    assert shop.missing("b") == ()
    with shop.open("b") as clone, pytest.raises(snapstore.InputError, match="very medium"):
        clone.copy_to(shop.base / "b")


def test_stores_without_a_place_have_no_clones(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clones, "fingerprint", lambda folder: None)
    shop.clone("b")
    assert shop.codes("b") == []
    shop.snapshot("b")
    assert shop.medium("a") == shop.medium("b")
