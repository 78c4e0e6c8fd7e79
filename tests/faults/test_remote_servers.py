"""Servers that are killed, full, read-only, misconfigured, emptied or off by an hour, under every kind of remote store.

After each fault nothing that was reported done is lost, and the next run succeeds once the fault is gone. Where a
fault is made on the server's disk (a file system of its own for one repository), the server has to keep its objects in
a folder, and mounting takes root; elsewhere those tests skip and say so.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import compare_trees
import pytest
from remote_scene import SECRET, RemoteScene, impatient, until, wire_of
from server import Server
from wire_faults import FaultyWire

import snapstore
from snapstore.errors import StoreError, StoreFullError, StorePermissionError

HOUR_SECONDS = 3600
RESTART_WAIT_SECONDS = 0.3
TRIES_OVER_A_RESTART = 15


pytestmark = pytest.mark.remote_servers("sshd", "vsftpd", "versitygw")


@pytest.fixture
def scene(
    remote_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> Iterator[RemoteScene]:
    impatient(monkeypatch)
    made = RemoteScene(folder=tmp_path, server=remote_server, place=f"srv{random.randrange(10**9)}")
    yield made
    record_property("faults", max(made.points, 1))  # most tests here are about one


@pytest.fixture
def lasting(scene: RemoteScene) -> RemoteScene:
    """A scene whose server still has everything after a restart."""
    if not getattr(scene.server, "restart_keeps_objects", True):
        pytest.skip(f"{scene.server.name} keeps objects in memory only")
    return scene


@pytest.fixture
def place(scene: RemoteScene) -> Path:
    """Where the server keeps the repository."""
    if scene.server.folder is None:
        pytest.skip(f"{scene.server.name} keeps objects in memory only")
    return scene.server.folder / scene.place


@pytest.fixture
def small_disk(scene: RemoteScene, place: Path) -> Iterator[Path]:
    """A file system of its own for the repository, of 3 MiB."""
    # Servers of object storage move what they have received within a bucket, which has to be one file system.
    point = place.parent if is_object_storage(scene.server) else place
    point.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=0777", "tmpfs", str(point)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)


def is_object_storage(server: Server) -> bool:
    return server.url("x").startswith(("s3:", "gs:", "az:"))


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


@contextmanager
def power_cut(server: Server, wire: FaultyWire, *, at_burst: int) -> Iterator[threading.Event]:
    """Kill the server when the client makes that request, and start it again a little later.

    The event is set when it was killed in time: requests are not the same number in each run.
    """
    over, killed = threading.Event(), threading.Event()

    def cut() -> None:
        until(lambda: wire.counts.bursts >= at_burst or over.is_set())
        if not over.is_set():
            killed.set()
        server.stop()
        wire.reset_now()
        time.sleep(0.1)
        server.start()

    wire.count_anew()
    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def test_a_server_that_is_killed_and_restarted_in_the_middle_of_a_snapshot(
    lasting: RemoteScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = lasting
    impatient(monkeypatch, wait_seconds=RESTART_WAIT_SECONDS)
    scene.begin()
    with wire_of(scene.server) as wire:
        scene.change_source()
        wire.count_anew()
        assert scene.snapshot("undisturbed", through=wire) is None
        whole = wire.counts.bursts
        for part in (0.3, 0.5, 0.7, 0.9):
            for tries in (1, TRIES_OVER_A_RESTART):
                scene.change_source()
                with power_cut(scene.server, wire, at_burst=max(1, int(whole * part))) as killed:
                    options = scene.options(tries=tries)
                    error = scene.snapshot(f"killed at {part}, {tries} tries", through=wire, options=options)
                assert error is None or isinstance(error, StoreError)
                assert error is None or tries == 1, f"it did not go on after the restart: {error}"
                assert scene.snapshot(f"after {part}, {tries} tries") is None
                scene.points += killed.is_set()
    assert scene.points >= 4, "the server was hardly ever killed in time"
    scene.assert_nothing_lost()


def test_a_server_that_is_killed_and_restarted_in_the_middle_of_a_restore(
    lasting: RemoteScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = lasting
    impatient(monkeypatch, wait_seconds=RESTART_WAIT_SECONDS)
    scene.begin()
    truth = scene.done["first"]
    with wire_of(scene.server) as wire:
        for _ in range(2):  # the first one warms the station's caches
            wire.count_anew()
            with scene.opened("writer", through=wire) as repository:
                scene.restored(repository.dossier("books"), "latest")
        whole = wire.counts.bursts
        for part in (0.4, 0.6, 0.9):
            options = scene.options(tries=TRIES_OVER_A_RESTART)
            with (
                power_cut(scene.server, wire, at_burst=max(1, int(whole * part))) as killed,
                scene.opened("writer", through=wire, options=options) as repository,
            ):
                found = scene.restored(repository.dossier("books"), "latest")
            assert compare_trees.differences(truth, found) == []
            scene.points += killed.is_set()
    assert scene.points > 0, "the server was never killed in time"
    scene.assert_nothing_lost()


def test_a_full_disk_is_said_and_harms_nothing(scene: RemoteScene, small_disk: Path) -> None:
    scene.begin()
    with scene.opened("reader") as repository:
        dossier = repository.unlock(SECRET)
        for label in ("one", "two", "three"):
            scene.change_much()
            error = scene.snapshot(label, options=scene.options(tries=3))
            if error is not None:
                break
        assert isinstance(error, StoreFullError), f"{error!r}"
        assert not error.retryable
        scene.assert_found(dossier, list(scene.done))
        left_behind = [path for path in small_disk.glob("tmp/*") if path.stat().st_size]
        assert left_behind == [], "what could not be stored still takes space"
        remount(small_disk, "size=40m")
        assert scene.snapshot("with more space") is None
        scene.assert_found(dossier, list(scene.done))
    scene.assert_nothing_lost()


def test_a_read_only_disk_is_said_and_can_be_read(scene: RemoteScene, small_disk: Path) -> None:
    scene.begin()
    with scene.opened("reader") as repository:
        dossier = repository.unlock(SECRET)
        remount(small_disk, "ro")
        try:
            scene.change_source()
            error = scene.snapshot("refused", options=scene.options(tries=3))
            # Object storage has no answer that means this: it is an error of the server's.
            expected = StoreError if is_object_storage(scene.server) else StorePermissionError
            assert isinstance(error, expected), f"{error!r}"
            scene.assert_found(dossier, ["first"])
        finally:
            remount(small_disk, "rw")
        assert scene.snapshot("allowed") is None
    scene.assert_nothing_lost()


@pytest.mark.skipif(os.name == "nt", reason="no permission bits here")
@pytest.mark.parametrize("folder", ["snapshots", "packs", "index", "dossiers"])
def test_a_folder_that_may_not_be_read_is_never_an_empty_one(scene: RemoteScene, place: Path, folder: str) -> None:
    scene.begin()
    (place / folder).chmod(0)
    try:
        with scene.opened("reader") as repository:
            found = repository.unlock(SECRET).list()
        assert [snapshot.label for snapshot in found] == ["first"]  # a server run by root may read all the same
        error = None
    except snapstore.SnapstoreError as raised:
        error = raised
        assert isinstance(error, StoreError), f"{error!r}"
    scene.change_source()
    snapshot_error = scene.snapshot("refused or not")
    (place / folder).chmod(0o777)
    assert error is None or snapshot_error is not None or folder in ("packs", "index")
    assert scene.snapshot("allowed") is None
    scene.assert_nothing_lost()


def test_a_repository_whose_folder_is_gone_is_not_an_empty_one(scene: RemoteScene, place: Path) -> None:
    scene.begin()
    if is_object_storage(scene.server):
        pytest.skip("object storage has no folders: one without objects is no different from one that never was")
    with scene.opened("reader") as repository:
        dossier = repository.unlock(SECRET)
        place.rename(place.with_name("elsewhere"))
        try:
            with pytest.raises(snapstore.SnapstoreError):
                dossier.list()
            error = scene.snapshot("into nothing", options=scene.options(tries=2))
            assert isinstance(error, StoreError | snapstore.RepositoryNotFoundError), f"{error!r}"
            assert not place.exists(), "a folder was made where a disk should have been"
        finally:
            shutil.rmtree(place, ignore_errors=True)
            place.with_name("elsewhere").rename(place)
        scene.assert_found(dossier, ["first"])
    assert scene.snapshot("it is back") is None
    scene.assert_nothing_lost()


@pytest.mark.parametrize("hours", [-1, 1])
def test_clocks_that_are_an_hour_off_decide_nothing(
    scene: RemoteScene, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's, by the times of its files, and then the station's."""
    scene.begin()
    offset = hours * HOUR_SECONDS
    if scene.server.folder is not None:
        for path in (scene.server.folder / scene.place).rglob("*"):
            os.utime(path, (time.time() + offset, time.time() + offset))
    scene.change_source()
    assert scene.snapshot("server off") is None
    real = time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: real() + offset * 10**9)
        scene.change_source()
        assert scene.snapshot("station off") is None
        scene.assert_nothing_lost()
    scene.change_source()
    assert scene.snapshot("right again") is None
    scene.assert_nothing_lost()
    with scene.opened("writer") as repository:
        labels = [found.label for found in repository.dossier("books").list()]
    assert labels == ["right again", "station off", "server off", "first"]
