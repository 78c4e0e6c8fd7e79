"""Whole operations over a store that seems far away: the same results, side by side, each window once, nothing left."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from far_store import AfterEffect, FarStore, threads_named

from snapstore.blobs import packer
from snapstore.errors import OperationCancelledError, StoreError, StoreFullError, StoreUnavailableError
from snapstore.limits import MIB
from snapstore.operations.snapshot import publish
from snapstore.progress import ProgressStatus
from snapstore.types import SnapshotOptions

FILES = 120


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]


@pytest.fixture
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packer, "PACK_TARGET_BYTES", 300_000)
    monkeypatch.setattr(packer, "_SHUFFLE_BYTES", 100_000)


def write_files(lab: Any, seed: int = 1, sizes: tuple[int, ...] = (0, 300, 3_000, 40_000)) -> None:
    chance = random.Random(seed)
    for number in range(FILES):
        lab.write(f"folder {number % 7}/sub {number % 3}/file {number}", chance.randbytes(chance.choice(sizes)))


def test_a_snapshot_over_a_far_store_is_whole(lab: Any, small_packs: None) -> None:
    write_files(lab)
    facts = lab.facts()
    far = FarStore(lab.store, seconds=0.005)
    report = lab.dossier(store=far).snapshot(lab.source)
    assert report.problems == ()
    assert far.most["put"] > 1
    lab.assert_restores(lab.dossier(), facts, report.snapshot)
    far.got.clear()
    lab.assert_restores(lab.dossier(store=far), facts, report.snapshot)
    assert far.most["get"] > 1


class Watcher:
    """Keeps the last figures of each phase."""

    def __init__(self) -> None:
        self.last: dict[str, ProgressStatus] = {}

    def update(self, status: ProgressStatus) -> None:
        self.last[status.phase] = status


def test_progress_tells_what_was_stored(lab: Any, small_packs: None) -> None:
    write_files(lab)
    watcher = Watcher()
    report = lab.dossier(store=FarStore(lab.store)).snapshot(lab.source, progress=watcher)
    stored = sum(item.size for folder in ("packs", "index") for item in lab.store.list(folder))
    assert watcher.last["confirm"].added_bytes == stored <= report.added_bytes
    copied = lab.open().copy_to(lab.folder / "twin", mode="twin", progress=watcher)
    assert watcher.last["copy"].added_bytes == copied.added_bytes > 0
    assert watcher.last["copy"].files_done == watcher.last["copy"].files_total == FILES


def test_each_window_is_fetched_about_once(lab: Any) -> None:
    write_files(lab, sizes=(500, 50_000, 300_000, 1_500_000))
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    far = FarStore(lab.store, seconds=0.001)
    lab.assert_restores(lab.dossier(store=far), lab.facts(), "latest")
    fetched: Counter[tuple[str, int]] = Counter()
    for name, offset, size in far.got:
        if name.startswith("packs/") and size is not None:
            fetched.update((name, number) for number in range(offset // MIB, -(-(offset + size) // MIB)))
    assert len(fetched) > 30
    assert fetched.total() <= 1.15 * len(fetched)


def test_listing_a_far_snapshot_gives_the_same(lab: Any) -> None:
    write_files(lab)
    lab.dossier().snapshot(lab.source)
    far = lab.dossier(store=FarStore(lab.store))
    near = [(entry.path, entry.size) for entry in lab.dossier().entries("latest", secret=lab.secret)]
    assert [(entry.path, entry.size) for entry in far.entries("latest", secret=lab.secret)] == near


@pytest.mark.parametrize("error", [StoreFullError("full"), StoreUnavailableError("gone")])
def test_an_error_at_any_put_leaves_nothing_behind(lab: Any, small_packs: None, error: StoreError) -> None:
    write_files(lab)
    counting = lab.fork("counting")
    far = FarStore(counting.store, seconds=0.0)
    counting.dossier(store=far).snapshot(lab.source)
    puts = len(far.names("put"))
    assert puts > 8
    for k in range(1, puts + 1):
        trial = lab.fork(f"put {k} {error.code}")
        far = FarStore(trial.store, seconds=0.0)
        far.error_of = lambda kind, name, number, k=k: error if (kind, number) == ("put", k) else None  # type: ignore[misc]
        with suppress(type(error)):  # the note about a running snapshot may fail without harm
            trial.dossier(store=far).snapshot(lab.source)
        assert not threads_named("snapstore-upload")
        far.error_of = lambda kind, name, number: None
        assert trial.dossier(store=far).snapshot(lab.source).problems == ()
    trial.assert_restores(trial.dossier(), lab.facts(), "latest")


def test_nobody_waits_long_for_a_note_to_be_deleted_over_a_dead_line(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class DeadLine(FarStore):
        healed = threading.Event()

        def put(self, name: str, data: Any, *, size: int | None = None) -> None:
            if name.startswith("packs"):
                raise StoreUnavailableError("the line is dead")
            super().put(name, data, size=size)

        def delete(self, name: str) -> None:
            assert self.healed.wait(20)
            super().delete(name)

    monkeypatch.setattr(publish, "_LAST_SECONDS", 0.1)
    write_files(lab)
    far = DeadLine(lab.store, seconds=0.0)
    with pytest.raises(StoreUnavailableError, match="the line is dead"):
        lab.dossier(store=far).snapshot(lab.source)
    assert not far.healed.is_set()
    assert len(lab.names("sessions")) == 1
    far.healed.set()  # who stays alive deletes it when that can be done
    [background] = threads_named("snapstore-note")
    background.join(20)
    assert lab.names("sessions") == []


@pytest.mark.parametrize("lost", [StoreError, AfterEffect], ids=["was not stored", "was stored"])
def test_uncertain_packs_and_indexes_are_put_again(lab: Any, small_packs: None, lost: type[StoreError]) -> None:
    write_files(lab)
    far = FarStore(lab.store, seconds=0.0)
    tried: set[str] = set()

    def error_of(kind: str, name: str, number: int) -> BaseException | None:
        content = name.rpartition("/")[2][:16]  # of its hash; the rest is chance
        if kind == "put" and name.startswith(("packs", "index")) and content not in tried:
            tried.add(content)
            return lost("the answer was lost", code="put_uncertain")
        return None

    far.error_of = error_of
    report = lab.dossier(store=far).snapshot(lab.source)
    assert report.problems == ()
    far.error_of = lambda kind, name, number: None
    assert len(far.names("put")) == len(set(far.names("put")))
    lab.assert_restores(lab.dossier(), lab.facts(), report.snapshot)
    assert lab.dossier().snapshot(lab.source).blobs_added == 0


def test_reading_everything_proves_what_the_store_holds_and_not_the_cache(lab: Any) -> None:
    write_files(lab)
    far = FarStore(lab.store, seconds=0.0)
    dossier = lab.dossier(store=far)
    first = dossier.snapshot(lab.source)
    assert len(list(dossier.entries("latest", secret=lab.secret))) > FILES, "now the cache has the trees"
    for name in lab.names("packs"):
        data = lab.store.get(name)
        lab.store.delete(name)
        lab.store.put(name, bytes(len(data) - 4096) + data[-4096:])
    again = lab.dossier(store=far).snapshot(lab.source, options=SnapshotOptions(force_read=True))
    assert again.blobs_added == first.blobs_added
    lab.assert_restores(lab.unlocked("reader"), lab.facts(), again.snapshot)


def test_a_restore_from_a_store_that_breaks_off_ends(lab: Any, small_packs: None, tmp_path: Path) -> None:
    write_files(lab)
    lab.dossier().snapshot(lab.source)
    far = FarStore(lab.store, seconds=0.0)
    dossier = lab.dossier(store=far)
    far.error_of = lambda kind, name, number: (
        StoreUnavailableError("gone") if kind == "get" and name.startswith("packs") and number > 8 else None
    )
    with pytest.raises(StoreUnavailableError):
        dossier.restore("latest", to=tmp_path / "target", secret=lab.secret)
    assert not threads_named("snapstore-fetch")


def test_a_file_read_in_order_is_fetched_side_by_side(lab: Any) -> None:
    content = random.Random(9).randbytes(12_000_000)
    lab.write("large", content)
    lab.dossier().snapshot(lab.source)
    far = FarStore(lab.store, seconds=0.01)
    dossier = lab.dossier(store=far)
    with dossier.open_file("latest", "large", secret=lab.secret) as file:
        assert file.read(10) == content[:10]
        assert file.read() == content[10:]
        assert far.most["get"] > 1
        count = len([name for name, _, _ in far.got if name.startswith("packs/")])
        assert count <= 16
        file.seek(5_000_000)
        assert file.read(100) == content[5_000_000:5_000_100]


class _CancelLater:
    """Wants the operation to end from a moment on."""

    def __init__(self) -> None:
        self.wanted = threading.Event()

    def is_set(self) -> bool:
        return self.wanted.is_set()


def test_a_cancel_ends_a_restore_whose_server_is_silent(lab: Any, small_packs: None) -> None:
    write_files(lab, sizes=(700_000,))
    lab.dossier().snapshot(lab.source)
    far = FarStore(lab.store)
    answers, cancel = threading.Event(), _CancelLater()

    def stall(kind: str, name: str, number: int) -> None:
        if kind == "get" and name.startswith("packs/") and number > 40:
            cancel.wanted.set()
            answers.wait(60)

    far.error_of = stall
    release = threading.Timer(25, answers.set)
    release.start()
    with pytest.raises(OperationCancelledError):
        lab.dossier(store=far).restore("latest", to=lab.folder / "out", secret=lab.secret, cancel=cancel)
    assert not answers.is_set(), "it waited for the server"
    release.cancel()
    answers.set()
    left = [path.name for path in (lab.folder / "out").rglob(".snapstore*") if path.is_file()]
    assert left in ([], [".snapstore-restoring"])
