"""What a station keeps: identity, keys, caches, locks; and what happens when it is lost, damaged or shared."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import snapstore
from snapstore.crypto.keys import EpochKeys
from snapstore.errors import DamagedObjectError, StationStateError
from snapstore.station import DossierPin, LastSnapshot, RepositoryKeys, StateFolder
from snapstore.station.caches import FolderCache
from snapstore.station.protection import is_running, locked, read_private, running_mark, write_private
from snapstore.types import DossierId, MediumId, PlainHash, RepositoryId, SnapshotId

REPOSITORY = RepositoryId(b"r" * 16)
MEDIUM = MediumId(b"m" * 16)
DOSSIER = DossierId(b"d" * 16)
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")


def pin(name: str = "books", generation: int = 1, epochs: tuple[int, ...] = (1,)) -> DossierPin:
    keys = tuple(
        EpochKeys(epoch=epoch, maintenance=bytes([epoch]) * 32, content=None, chunker=b"k" * 32, dossier=b"d" * 32)
        for epoch in epochs
    )
    return DossierPin(name=name, keys=keys, hpke_public=b"h" * 1216, signing_public=b"s" * 32, generation=generation)


# --- identity --------------------------------------------------------------------------------------------------------


def test_a_station_is_made_once(tmp_path: Path) -> None:
    first = StateFolder(tmp_path / "state", station_name="counter")
    again = StateFolder(tmp_path / "state", station_name="another name")
    assert first.station.public_key == again.station.public_key
    assert again.station.name == "counter"
    assert len(first.station.id) == 16
    assert StateFolder(tmp_path / "other").station.public_key != first.station.public_key


def test_stations_made_at_once_are_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        states = list(threads.map(lambda _: StateFolder(tmp_path / "state"), range(8)))
    assert len({state.station.public_key for state in states}) == 1


@posix_only
def test_only_the_user_may_read_what_is_secret(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        state = StateFolder(tmp_path / "deep" / "state")
        state.update_keys(REPOSITORY, lambda keys: keys.with_dossier(DOSSIER, pin()))
        medium = state.medium(REPOSITORY, MEDIUM, DOSSIER)
        medium.keep(last(), medium.new_folders())
        medium.keep_checked_copies({b"c" * 32})
        state.spool()
    finally:
        os.umask(before)
    assert not stat.S_IMODE(state.path.stat().st_mode) & 0o077, "so nobody else gets at what is in it"
    secret = [path for path in state.path.rglob("*") if path.is_file() and path.name != ".lock"]
    assert {path.name for path in secret} >= {"station", "keys", "last", "checked", "folders.sqlite"}
    for path in secret:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"\0garbage", b"\x01sealed by Windows", b"\0\x80", b"\0\x82\x00\x01\x01\x02"]
)
def test_a_damaged_station_file_is_an_error_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "station").write_bytes(content)
    with pytest.raises(snapstore.SnapstoreError) as caught:
        StateFolder(tmp_path)
    assert isinstance(caught.value, DamagedObjectError)
    assert str(tmp_path / "station") in str(caught.value)


@posix_only
def test_reprs_hold_no_keys(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    keys = state.update_keys(REPOSITORY, lambda keys: keys.with_dossier(DOSSIER, pin()))
    shown = repr(state) + repr(state.station) + repr(keys) + repr(keys.dossiers[DOSSIER]) + repr(last())
    for secret in (state.station.signing.seed, b"d" * 32, b"k" * 32, b"q" * 32):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


# --- keys ------------------------------------------------------------------------------------------------------------


def test_keys_come_back(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    assert state.keys(REPOSITORY) == RepositoryKeys(dossiers={})
    held = state.update_keys(REPOSITORY, lambda keys: keys.with_dossier(DOSSIER, pin(epochs=(3, 1))))
    assert StateFolder(tmp_path).keys(REPOSITORY) == held
    assert [item.epoch for item in held.epochs] == [3, 1]
    more = state.update_keys(REPOSITORY, lambda keys: keys.with_dossier(DossierId(b"e" * 16), pin("more", 4, (2, 1))))
    assert [item.epoch for item in more.epochs] == [3, 2, 1]
    less = state.update_keys(REPOSITORY, lambda keys: keys.without_dossier(DOSSIER))
    assert list(less.dossiers) == [b"e" * 16]
    assert less.epochs == more.epochs, "what the repository's dossiers share stays"
    assert state.keys(RepositoryId(b"x" * 16)).dossiers == {}


def test_changes_of_many_threads_are_all_kept(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)

    def add(number: int) -> None:
        dossier_id = DossierId(bytes([number]) * 16)
        StateFolder(tmp_path).update_keys(REPOSITORY, lambda keys: keys.with_dossier(dossier_id, pin(str(number))))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(24)))
    assert {item.name for item in state.keys(REPOSITORY).dossiers.values()} == set(map(str, range(24)))


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    held = state.update_keys(REPOSITORY, lambda keys: keys.with_dossier(DOSSIER, pin()))

    def fail(keys: RepositoryKeys) -> RepositoryKeys:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        state.update_keys(REPOSITORY, fail)
    assert state.keys(REPOSITORY) == held


def test_damaged_keys_are_an_error_by_name(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    state.update_keys(REPOSITORY, lambda keys: keys.with_dossier(DOSSIER, pin()))
    path = tmp_path / "repositories" / REPOSITORY.hex() / "keys"
    whole = path.read_bytes()
    for content in (b"", b"\0", whole[:-1], whole + b"x", b"\x02" + whole[1:], b"\0\x81\x00\x01"):
        path.write_bytes(content)
        with pytest.raises(DamagedObjectError):
            state.keys(REPOSITORY)


# --- caches ----------------------------------------------------------------------------------------------------------


def last(number: int = 7) -> LastSnapshot:
    return LastSnapshot(
        id=SnapshotId(b"i" * 16),
        number=number,
        root=PlainHash(b"q" * 32),
        packs={"pack": 4096, "other": 8192},
        source_entries={"/source": 3, os.fsdecode(b"/\xff odd"): 4} if sys.platform == "linux" else {"C:\\s": 3},
    )


def test_caches_come_back(tmp_path: Path) -> None:
    medium = StateFolder(tmp_path).medium(REPOSITORY, MEDIUM, DOSSIER)
    assert medium.last() is None
    assert medium.folders(None).get(b"/source") is None
    folders = medium.new_folders()
    folders.put(b"/source", b"row")
    folders.put(b"/source", b"newer row")
    medium.keep(last(), folders)
    again = StateFolder(tmp_path).medium(REPOSITORY, MEDIUM, DOSSIER)
    assert again.last() == last()
    kept = again.folders(again.last())
    assert (kept.get(b"/source"), kept.get(b"/absent")) == (b"newer row", None)
    kept.close()
    kept.close()


def test_a_new_cache_that_is_not_kept_changes_nothing(tmp_path: Path) -> None:
    medium = StateFolder(tmp_path).medium(REPOSITORY, MEDIUM, DOSSIER)
    folders = medium.new_folders()
    folders.put(b"/source", b"row")
    medium.keep(last(), folders)
    dropped = medium.new_folders()
    dropped.put(b"/source", b"another")
    dropped.close()
    kept = medium.folders(medium.last())
    assert kept.get(b"/source") == b"row"
    kept.close()
    medium.new_folders().close()
    assert len(list(medium.folder.glob("*.new"))) == 1, "what a dead run left is cleared away"


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"\0garbage", b"\0\x80", b"\0\x85\x00\x01\x01\x01\x02\x02\x03\x03\x04\x04"]
)
def test_damaged_caches_read_as_empty(tmp_path: Path, content: bytes) -> None:
    medium = StateFolder(tmp_path).medium(REPOSITORY, MEDIUM, DOSSIER)
    medium.keep(last(), medium.new_folders())
    medium.keep_checked_copies({b"c" * 32})
    for name in ("last", "folders.sqlite", "checked"):
        (medium.folder / name).write_bytes(content)
    assert medium.last() is None
    cache = medium.folders(last())
    assert cache.get(b"/source") is None
    cache.close()
    assert medium.checked_copies() == set()


def test_checked_copies_come_back(tmp_path: Path) -> None:
    medium = StateFolder(tmp_path).medium(REPOSITORY, MEDIUM, DOSSIER)
    assert medium.checked_copies() == set()
    copies = {bytes([number]) * 32 for number in range(5)}
    medium.keep_checked_copies(copies)
    assert medium.checked_copies() == copies
    medium.keep_checked_copies(set())
    assert medium.checked_copies() == copies


def test_a_cache_that_cannot_be_opened_is_empty(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    cache = FolderCache(tmp_path / "folder", writable=False)
    assert cache.get(b"x") is None
    cache.close()


# --- files and locks -------------------------------------------------------------------------------------------------


def test_private_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    assert read_private(path) is None
    for content in (b"", b"first", b"second" * 1000):
        write_private(path, content)
        assert read_private(path) == content
    assert [item.name for item in path.parent.iterdir()] == ["file"]


def test_a_lock_is_for_one_at_a_time(tmp_path: Path) -> None:
    inside = threading.Semaphore(1)

    def work(_: int) -> bool:
        with locked(tmp_path / ".lock"):
            alone = inside.acquire(blocking=False)
            inside.release()
            return alone

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(work, range(60)))


def test_a_running_mark_is_seen_and_goes_away(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    medium = state.medium(REPOSITORY, MEDIUM, DOSSIER)
    assert list(state.living_runs()) == []
    with medium.running(SnapshotId(b"s" * 16)):
        assert len(list(state.living_runs())) == 1
        assert medium.broken_off() == ()
    assert list(state.living_runs()) == []
    assert medium.broken_off() == ()


def test_a_run_that_ended_badly_is_remembered_until_it_is_forgotten(tmp_path: Path) -> None:
    medium = StateFolder(tmp_path).medium(REPOSITORY, MEDIUM, DOSSIER)
    with pytest.raises(ZeroDivisionError), medium.running(SnapshotId(b"s" * 16)):
        raise ZeroDivisionError
    assert medium.broken_off() == (b"s" * 16,)
    other = StateFolder(tmp_path).medium(REPOSITORY, MediumId(b"n" * 16), DOSSIER)
    assert other.broken_off() == ()
    with medium.running(SnapshotId(b"t" * 16)):
        assert medium.broken_off() == (b"s" * 16,)
    medium.forget_broken_off(SnapshotId(b"s" * 16))
    medium.forget_broken_off(SnapshotId(b"s" * 16))
    assert medium.broken_off() == ()


def test_a_folder_cache_belongs_to_one_snapshot(tmp_path: Path) -> None:
    """Two runs at once may leave the one's `last` beside the other's folders: together they would be believed."""
    medium = StateFolder(tmp_path).medium(REPOSITORY, MEDIUM, DOSSIER)
    folders = medium.new_folders()
    folders.put(b"/source", b"row")
    medium.keep(last(), folders)
    foreign = replace(last(), id=SnapshotId(b"another run's one"[:16]))
    assert medium.folders(foreign).get(b"/source") is None
    assert medium.folders(None).get(b"/source") is None
    kept = medium.folders(last())
    assert kept.get(b"/source") == b"row"
    kept.close()


def test_the_mark_of_a_dead_process_counts_for_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from snapstore.station.protection import running_mark\n"
        "with running_mark(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    mark = tmp_path / "running" / "x.lock"
    environment = os.environ | {"PYTHONPATH": str(Path(snapstore.__path__[0]).parent)}
    with subprocess.Popen(
        [sys.executable, "-c", program, mark], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert is_running(mark)
        process.kill()
        process.wait()
    assert mark.exists()
    assert not is_running(mark)
    with running_mark(mark):
        assert is_running(mark)


def test_a_state_folder_that_is_a_file_is_an_error_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StationStateError):
            StateFolder(path)
