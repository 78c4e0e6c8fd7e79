"""Media and state folders without space or without permission: an error by name, and no harm to what was there."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compare_trees
import pytest

import snapstore
from snapstore.errors import StationStateError, StoreFullError
from snapstore.stores.local import LocalStore
from snapstore.testing import FullAfter

SECRET = "a secret for a small stick"


@contextlib.contextmanager
def tmpfs(point: Path, size: str) -> Iterator[Path]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting needs root on Linux")
    point.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", point], check=False)
    if made.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", point], check=True)


def write_noise(path: Path, size: int, seed: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size))


def test_a_medium_that_gets_full_and_is_given_room(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_noise(source / "kept", 200_000)
    with tmpfs(tmp_path / "stick", "4m") as stick:
        url = stick / "backup"
        with snapstore.init(url, state_dir=tmp_path / "state", kdf_seconds=0) as repository:
            repository.create_dossier("books", secret=SECRET).snapshot(source, label="first")
        facts = compare_trees.collect(source)
        ballast = stick / "photos"
        write_noise(ballast, 1_000_000)
        write_noise(source / "large", 3_500_000, seed=2)
        with snapstore.open(url, state_dir=tmp_path / "state") as repository:
            dossier = repository.dossier("books")
            with pytest.raises(StoreFullError) as caught:
                dossier.snapshot(source, label="second")
            assert not caught.value.retryable
            assert [snapshot.label for snapshot in dossier.list()] == ["first"]
            assert dossier.restore("latest", to=tmp_path / "target").problems == ()
            assert compare_trees.differences(facts, compare_trees.collect(tmp_path / "target")) == []

            (source / "large").write_bytes(b"much smaller")
            ballast.unlink()
            report = dossier.snapshot(source, label="third")
            dossier.unlock(SECRET)
            assert dossier.restore(report.snapshot, to=tmp_path / "target 2").problems == ()
            assert (tmp_path / "target 2" / "large").read_bytes() == b"much smaller"
        assert [path for path in (url / "tmp").rglob("*") if path.is_file()] == []


def test_full_at_every_size(lab: Any) -> None:
    """Wherever in the run the space ends, earlier snapshots stay, and with room the next run succeeds."""
    for number in range(5):
        write_noise(lab.source / f"file {number}", 30_000, number)
    lab.dossier().snapshot(lab.source, label="first")
    first = lab.facts()
    write_noise(lab.source / "file 9", 100_000, 9)
    failed = 0
    for capacity in range(0, 200_000, 9_000):
        fork = lab.fork(str(capacity))
        try:
            fork.dossier(store=FullAfter(fork.store, capacity)).snapshot(lab.source, label="second")
        except StoreFullError:
            failed += 1
        after = fork.dossier()
        after.unlock(lab.secret)
        [kept] = [snapshot for snapshot in after.list() if snapshot.label == "first"]
        fork.assert_restores(after, first, kept)
        report = after.snapshot(lab.source, label="third")
        fork.assert_restores(after, lab.facts(), report.snapshot)
    assert 5 < failed < 22


def test_a_repository_that_does_not_fit_leaves_nothing_that_looks_like_one(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "stick", "1m") as stick:
        write_noise(stick / "photos", shutil.disk_usage(stick).free)
        with pytest.raises(StoreFullError):
            snapstore.init(stick / "backup", state_dir=tmp_path / "state", kdf_seconds=0)
        with pytest.raises(snapstore.RepositoryNotFoundError):
            snapstore.open(stick / "backup", state_dir=tmp_path / "state")
        (stick / "photos").unlink()
        snapstore.init(stick / "backup", state_dir=tmp_path / "state", kdf_seconds=0).close()


@pytest.mark.parametrize("left", [0, 8_000, 120_000, 200_000, 250_000, 800_000])
def test_a_full_state_folder_ends_in_an_error_by_name_or_not_at_all(
    tmp_path: Path, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packs for a store that cannot build are built there; the caches that follow are no reason to fail."""
    monkeypatch.setattr(LocalStore, "begin", lambda store: None)
    source = tmp_path / "source"
    write_noise(source / "file", 200_000)
    with (
        tmpfs(tmp_path / "tiny", "1m") as tiny,
        snapstore.init(tmp_path / "backup", state_dir=tiny / "state", kdf_seconds=0) as repository,
    ):
        dossier = repository.create_dossier("books", secret=SECRET)
        write_noise(tiny / "ballast", max(1, shutil.disk_usage(tiny).free - left))
        if left < 150_000:
            with pytest.raises(StationStateError):
                dossier.snapshot(source)
            assert dossier.list() == ()
        elif left == 800_000:
            assert dossier.snapshot(source).snapshot == dossier.list()[0]
        else:
            with contextlib.suppress(StationStateError):
                dossier.snapshot(source)
        (tiny / "ballast").unlink()
        report = dossier.snapshot(source)
        target = tmp_path / "target"
        assert dossier.restore(report.snapshot, to=target).problems == ()
        assert compare_trees.differences(compare_trees.collect(source), compare_trees.collect(target)) == []


@pytest.mark.parametrize("left", [0, 8_000, 120_000])
def test_a_full_state_folder_is_no_matter_where_packs_are_built_in_the_store(tmp_path: Path, left: int) -> None:
    source = tmp_path / "source"
    write_noise(source / "file", 200_000)
    with (
        tmpfs(tmp_path / "tiny", "1m") as tiny,
        snapstore.init(tmp_path / "backup", state_dir=tiny / "state", kdf_seconds=0) as repository,
    ):
        dossier = repository.create_dossier("books", secret=SECRET)
        write_noise(tiny / "ballast", max(1, shutil.disk_usage(tiny).free - left))
        report = dossier.snapshot(source)
        (tiny / "ballast").unlink()
        dossier.unlock(SECRET)
        target = tmp_path / "target"
        assert dossier.restore(report.snapshot, to=target).problems == ()
        assert compare_trees.differences(compare_trees.collect(source), compare_trees.collect(target)) == []


def test_a_full_state_folder_before_the_first_key(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "tiny", "1m") as tiny:
        write_noise(tiny / "ballast", shutil.disk_usage(tiny).free)
        with pytest.raises(StationStateError):
            snapstore.init(tmp_path / "backup", state_dir=tiny / "state", kdf_seconds=0)


def test_a_state_folder_that_is_read_only(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_noise(source / "file", 50_000)
    with tmpfs(tmp_path / "mount", "4m") as mount:
        with snapstore.init(tmp_path / "backup", state_dir=mount / "state", kdf_seconds=0) as repository:
            dossier = repository.create_dossier("books", secret=SECRET)
            first = dossier.snapshot(source)
        subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
        for state in ("state", "a new one"):
            with pytest.raises(StationStateError):
                snapstore.open(tmp_path / "backup", state_dir=mount / state)
        # Another folder, and the secret, are all that is needed.
        with snapstore.open(tmp_path / "backup", state_dir=tmp_path / "state") as repository:
            dossier = repository.unlock(SECRET)
            assert dossier.list() == (first.snapshot,)
            assert dossier.restore("latest", to=tmp_path / "target").problems == ()
    assert len(list((tmp_path / "backup" / "snapshots").rglob("*"))) == 2


def test_a_read_only_medium_can_be_listed_and_restored(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_noise(source / "file", 50_000)
    with tmpfs(tmp_path / "mount", "4m") as mount:
        with snapstore.init(mount / "backup", state_dir=tmp_path / "state", kdf_seconds=0) as repository:
            first = repository.create_dossier("books", secret=SECRET).snapshot(source)
        subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
        with snapstore.open(mount / "backup", state_dir=tmp_path / "state") as repository:
            dossier = repository.dossier("books")
            assert dossier.list() == (first.snapshot,)
            assert dossier.restore("latest", to=tmp_path / "target").problems == ()
            with pytest.raises(snapstore.StoreError) as caught:
                dossier.snapshot(source)
            assert caught.value.code in {"store_permission", "store_read_only"}
            assert not caught.value.retryable
