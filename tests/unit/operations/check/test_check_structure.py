"""What a check finds with the maintenance key alone, and that it finds all of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import snapstore
from snapstore.errors import NotEnrolledError, StoreUnavailableError
from snapstore.format.manifest import decode_manifest
from snapstore.format.names import b32
from snapstore.format.pack import BlobKind
from snapstore.format.record import RecordType, decode_record
from snapstore.stores.protocol import Store
from snapstore.testing import StoreWrapper

Report = snapstore.CheckReport
Check = Callable[..., Report]
Damage = Callable[[Report], set[tuple[str, str]]]
Codes = Callable[[Report], set[str]]
Replaced = Callable[[Store, str, bytes], None]
PLAIN = snapstore.CheckOptions()


def packs_of_kind(lab: Any, kind: BlobKind) -> list[str]:
    with lab.open() as repository:
        index = repository._context.index(refresh=True).index
        return [name for name in lab.names("packs") if index.entries(name.rpartition("/")[2])[0].kind == kind]


@pytest.mark.parametrize("kind", ["lab", "shared_lab", "unprotected_lab"])
def test_what_is_whole_has_no_findings(
    kind: str, request: pytest.FixtureRequest, write_every_shape: Callable[..., None], check: Check
) -> None:
    lab = request.getfixturevalue(kind)
    lab.source.mkdir()
    write_every_shape(lab.source)
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    lab.write("deep/chunks", b"others" * 60_000)
    dossier.snapshot(lab.source)
    for report in (check(lab), check(lab, content=False), check(lab, options=PLAIN, content=False)):
        assert report.findings == ()
        assert (report.whole, report.hurt, report.snapshots, report.problems) == (True, (), 2, ())
        assert report.objects == len(lab.names("")) - 1  # the README is none
    assert check(lab).content
    assert report.verified_bytes == report.stored_bytes == sum(item.size for item in lab.store.list("packs"))
    assert report.oldest_verified is not None


def test_each_object_altered_or_cut_is_flagged(saved: Any, check: Check, damage: Damage, replaced: Replaced) -> None:
    generator = random.Random(5)
    tried = 0
    for item in list(saved.store.list("")):
        data = saved.store.get(item.name)
        places = {0, 3, 6, len(data) // 2, len(data) - 1, *(generator.randrange(len(data)) for _ in range(6))}
        forms = [
            data[:place] + bytes([data[place] ^ 1 << generator.randrange(8)]) + data[place + 1 :] for place in places
        ]
        forms += [data[:-1], data[: len(data) // 2], b"", data + b"\0"]
        for form in forms:
            replaced(saved.store, item.name, form)
            if item.name.startswith("config"):
                continue  # the only one: opening says so
            report = check(saved, content=False)
            if item.name == "README.txt":
                assert report.whole
                assert [found.object_name for found in report.findings] == ["README.txt"]
            else:
                assert item.name in {name for _, name in damage(report)}, item.name
                assert not report.whole
            tried += 1
        replaced(saved.store, item.name, data)
    assert tried > 100
    assert check(saved).findings == ()


def test_an_altered_config_is_flagged_beside_another(
    saved: Any, check: Check, damage: Damage, replaced: Replaced
) -> None:
    (name,) = saved.names("config")
    with saved.open() as repository:
        data = saved.store.get(name)
        replaced(saved.store, name, data[:-1] + bytes([data[-1] ^ 1]))
        report = repository.check(record=False)
        assert damage(report) == {("damaged_object", name)}
        saved.store.delete(name)
        assert damage(repository.check(record=False)) == {("config_missing", "config")}


@pytest.mark.parametrize("folder", ["snapshots", "ok", "index", "packs", "dossiers"])
def test_two_objects_in_each_others_place_are_flagged(
    folder: str, saved: Any, check: Check, damage: Damage, replaced: Replaced
) -> None:
    dossier = saved.unlocked("two")  # so that there are two keysets
    dossier.snapshot(saved.source)
    one, other = saved.names(folder)[:2]
    first, second = saved.store.get(one), saved.store.get(other)
    replaced(saved.store, one, second)
    replaced(saved.store, other, first)
    assert {one, other} <= {name for _, name in damage(check(saved, content=False))}


def test_a_pack_that_is_gone_hurts_the_snapshots_that_need_it(saved: Any, check: Check, damage: Damage) -> None:
    latest = saved.dossier().find("latest")
    sizes = {item.name: item.size for item in saved.store.list("packs")}
    data = [name for name in packs_of_kind(saved, BlobKind.DATA) if sizes[name] < 150_000]
    assert len(data) == 1  # the second snapshot's
    saved.store.delete(data[0])
    report = check(saved, options=PLAIN)
    assert damage(report) == {("missing_pack", data[0])}
    assert [(item.snapshot_id, item.files, item.file_count) for item in report.hurt] == [
        (latest.id, ("folder/third",), 1)
    ]
    assert report.hurt[0].dossier == "books"
    unnamed = check(saved, options=PLAIN, content=False, station="one")
    assert [item.snapshot_id for item in unnamed.hurt] == [latest.id]
    assert unnamed.hurt[0].files == ("folder/third",)  # this station's own newest one needs no secret


def test_a_lost_folder_stands_for_what_was_in_it(saved: Any, check: Check) -> None:
    for name in packs_of_kind(saved, BlobKind.TREE):
        saved.store.delete(name)
    report = check(saved)
    assert len(report.hurt) == 2
    assert all(item.files == ("/",) for item in report.hurt)


def test_nothing_ends_at_the_first_damage(saved: Any, check: Check, damage: Damage, replaced: Replaced) -> None:
    broken = [saved.names(folder)[0] for folder in ("snapshots", "ok", "index", "dossiers")] + saved.names("packs")
    for name in broken:
        data = saved.store.get(name)
        replaced(saved.store, name, data[:40] + bytes([data[40] ^ 255]) + data[41:])
    found = {name for _, name in damage(check(saved, content=False))}
    assert found.issuperset(broken)


def test_an_index_that_is_gone_costs_only_time(saved: Any, check: Check, codes: Codes) -> None:
    for name in saved.names("index"):
        saved.store.delete(name)
    report = check(saved)
    assert report.whole
    assert codes(report) == {"unindexed_pack"}
    assert len(report.findings) == len(saved.names("packs"))


def test_a_session_note_of_a_dead_run_is_no_damage(saved: Any, check: Check, replaced: Replaced) -> None:
    name = f"sessions/{'0' * 32}"
    saved.store.put(name, b"torn")
    report = check(saved)
    assert report.whole
    assert [item.object_name for item in report.findings] == [name]


def test_files_of_others_are_passed_over(saved: Any, check: Check, codes: Codes) -> None:
    saved.store.put("packs/a/photo", b"a photo")
    saved.store.put("index/0123", b"?")
    report = check(saved)
    assert report.whole
    assert codes(report) == {"foreign_object"}


def test_what_was_taken_away_is_named(saved: Any, check: Check, damage: Damage) -> None:
    first = saved.dossier().find("latest~1")
    for folder in ("snapshots", "ok"):
        for name in saved.names(folder):
            if decode_manifest(saved.store.get(name)).snapshot_id == first.id:
                saved.store.delete(name)
    report = check(saved)
    assert damage(report) == {("snapshot_missing", "")}
    assert [(item.snapshot_id, item.time) for item in report.hurt] == [(first.id, None)]
    assert first.name in report.findings[0].message


def test_the_newest_snapshot_taken_away_is_known_to_its_station(saved: Any, check: Check, damage: Damage) -> None:
    latest = saved.dossier().find("latest")
    for folder in ("snapshots", "ok"):
        for name in saved.names(folder):
            if decode_manifest(saved.store.get(name)).snapshot_id == latest.id:
                saved.store.delete(name)
    assert damage(check(saved)) == {("snapshot_missing", "")}


@pytest.mark.parametrize("folder", ["snapshots", "ok"])
def test_one_copy_of_a_manifest_that_is_gone_is_damage(folder: str, saved: Any, check: Check, codes: Codes) -> None:
    for name in saved.names(folder):
        saved.store.delete(name)
    report = check(saved)
    assert not report.whole
    assert codes(report) == {"copy_missing"}
    assert len(report.findings) == 2
    assert report.hurt == ()


def test_the_last_keyset_gone_hurts_everything(saved: Any, check: Check, codes: Codes) -> None:
    for name in saved.names("dossiers"):
        saved.store.delete(name)
    report = check(saved, content=False)
    assert codes(report) == {"keyset_missing"}
    assert len(report.hurt) == 2
    for folder in ("snapshots", "ok", "records"):
        for name in saved.names(folder):
            saved.store.delete(name)
    assert codes(check(saved, content=False)) == {"keyset_missing"}  # this station remembers


def test_a_newer_keyset_taken_away_is_known(saved: Any, check: Check, codes: Codes) -> None:
    before = set(saved.names("dossiers"))
    dossier = saved.unlocked("two")
    saved.open().unlock(saved.secret)  # the first station sees the new keyset
    dossier.snapshot(saved.source)
    (newest,) = set(saved.names("dossiers")) - before
    saved.store.delete(newest)
    assert codes(check(saved, content=False)) == {"older_keyset", "unknown_signer"}


def test_an_older_keyset_put_back_changes_nothing(saved: Any, check: Check, replaced: Replaced) -> None:
    old = saved.names("dossiers")[0]
    data = saved.store.get(old)
    saved.unlocked("two")
    folder, name = old.rpartition("/")[::2]
    saved.store.put(f"{folder}/{name[:26]}000000", data)
    report = check(saved)
    assert report.whole


def test_a_forgotten_snapshot_is_no_damage_and_its_record_is_needed(saved: Any, check: Check, codes: Codes) -> None:
    dossier = saved.dossier()
    old = saved.names("snapshots") + saved.names("ok")
    kept = {name: saved.store.get(name) for name in old}
    dossier.forget(snapshots=("latest~1",))
    assert check(saved).findings == ()
    for name in set(old) - set(saved.names("snapshots") + saved.names("ok")):
        saved.store.put(name, kept[name])  # replayed from before
    report = check(saved)
    assert report.whole
    assert codes(report) == {"forget_unfinished"}
    for name in old:
        if decode_manifest(kept[name]).snapshot_id != dossier.find("latest").id:
            saved.store.delete(name)
    for name in saved.names("records"):
        if decode_record(saved.store.get(name)).type == RecordType.FORGET:
            saved.store.delete(name)
    assert codes(check(saved)) == {"snapshot_missing"}


def test_dossiers_of_others_are_looked_at_too(saved: Any, check: Check, tmp_path: Path) -> None:
    with saved.open() as repository:
        other = repository.create_dossier("other", secret="another secret")
        before = set(saved.names("packs"))
        (tmp_path / "others").write_bytes(b"theirs" * 1000)
        snapshot = other.snapshot(tmp_path / "others").snapshot
    new = set(saved.names("packs")) - before
    saved.unlocked("two", name="books")
    assert check(saved, station="two", content=False).snapshots == 3
    for name in new:
        saved.store.delete(name)
    report = check(saved, station="two", content=False)
    assert [(item.dossier, item.snapshot_id) for item in report.hurt] == [(b32(other.id), snapshot.id)]


def test_without_keys_there_is_nothing_to_check_with(saved: Any, check: Check) -> None:
    with pytest.raises(NotEnrolledError):
        check(saved, station="stranger", content=False)
    assert check(saved, station="stranger").whole  # the secret enrols


class Failing(StoreWrapper):
    """A store on which some objects cannot be read, or which is gone altogether."""

    def __init__(self, inner: Store, bad: frozenset[str], *, gone: bool = False) -> None:
        super().__init__(inner)
        self._bad = bad
        self.gone = gone

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        if self.gone or name in self._bad:
            raise StoreUnavailableError(f"I/O error reading {name}.", retryable=False)
        return self.inner.get(name, offset=offset, size=size)

    def list(self, prefix: str) -> Any:
        if self.gone:
            raise StoreUnavailableError("The medium is gone.", retryable=False)
        return self.inner.list(prefix)


def test_what_cannot_be_read_is_damage_and_a_store_that_is_gone_is_not(
    saved: Any, check: Check, damage: Damage
) -> None:
    for unread in ((saved.names("ok")[0], packs_of_kind(saved, BlobKind.DATA)[0]), (saved.names("index")[0],)):
        bad = frozenset(unread)
        report = check(saved, store=Failing(saved.store, bad), content=False)
        assert {name for _, name in damage(report)} == bad
    assert {code for code, name in damage(report) if not name.startswith("packs/")} == {"object_unreadable"}
    store = Failing(saved.store, frozenset())
    with saved.open(store=store) as repository:
        store.gone = True
        with pytest.raises(StoreUnavailableError):
            repository.check()
        store.gone = False


class Meanwhile(StoreWrapper):
    """Does something once, at the first listing of a folder."""

    def __init__(self, inner: Store, folder: str, action: Callable[[], object]) -> None:
        super().__init__(inner)
        self._folder = folder
        self._action: Callable[[], object] | None = action

    def list(self, prefix: str) -> Any:
        if prefix == self._folder and self._action is not None:
            action, self._action = self._action, None
            action()
        return self.inner.list(prefix)


@pytest.mark.parametrize("folder", ["ok", "snapshots", "records", "dossiers", "index", "packs", "parity"])
def test_what_others_write_meanwhile_is_no_damage(folder: str, saved: Any, check: Check) -> None:
    other = saved.unlocked("two")

    def write() -> None:
        saved.write("more", b"more" * 30_000)
        other.snapshot(saved.source)

    report = check(saved, store=Meanwhile(saved.store, folder, write))
    assert report.whole, report


@pytest.mark.parametrize("folder", ["ok", "snapshots", "records", "dossiers", "index", "packs", "parity"])
def test_what_others_forget_and_prune_meanwhile_is_no_damage(folder: str, saved: Any, check: Check) -> None:
    saved.write("folder/third", b"")
    (saved.source / "folder" / "second").unlink()
    saved.dossier().snapshot(saved.source)
    other = saved.unlocked("two")

    def clean() -> None:
        other.forget(snapshots=("latest~1", "latest~2"))
        other.repository.prune()

    report = check(saved, store=Meanwhile(saved.store, folder, clean))
    assert report.whole, report
