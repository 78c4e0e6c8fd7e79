"""Pruning on a medium without a free byte: the reserve is given up, what nothing needs goes first, then the rest."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

import snapstore
from snapstore.blobs.naming import put_named
from snapstore.errors import StoreFullError
from snapstore.format.names import object_path
from snapstore.operations import reserve
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Block, Comparison, ObjectBuilder, Store
from snapstore.testing import Recorder

MIB = 1024 * 1024


class Small(Recorder):
    """A medium of a certain size: what is deleted can be used again."""

    def __init__(self, inner: Store, capacity: int) -> None:
        super().__init__(inner)
        self._capacity = capacity

    def free_bytes(self) -> int | None:
        """What is left."""
        return self._capacity - sum(item.size for item in self.inner.list(""))

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Refused where it does not fit."""
        content = data if isinstance(data, bytes) else data.read()
        self._check(len(content))
        super().put(name, content)

    def append(self, builder: ObjectBuilder, data: Block) -> None:
        """Refused where it does not fit."""
        self._check(builder.size + len(data))
        super().append(builder, data)

    def publish(self, builder: ObjectBuilder, name: str, compare: Callable[[], Comparison]) -> None:
        """Refused where it does not fit."""
        self._check(builder.size)
        super().publish(builder, name, compare)

    def _check(self, size: int) -> None:
        if size > (self.free_bytes() or 0):
            raise StoreFullError(f"{self.url} is full.")


@pytest.fixture
def full(lab: Any, make_days: Callable[..., Any]) -> Any:
    """Three days, of which the first is forgotten; nothing else may follow."""
    days = make_days(lab=lab)
    for day in range(3):
        days.take(str(day), seed=day, files=20, size=200_000)
    days.forget("0")
    return days


def used(store: Store) -> int:
    return sum(item.size for item in store.list(""))


def test_with_a_reserve(full: Any, prune_on: Any) -> None:
    inner = full.lab.store
    inner.put("reserve/" + "0" * 32, bytes(64 * 1024))
    store = Small(inner, used(inner))
    assert store.free_bytes() == 0
    report = prune_on(full.lab, store)
    assert report.freed_bytes > 0
    assert full.lab.names("condemn") == []
    assert full.lab.names("reserve") == []  # no medium that is unplugged: none is made
    full.assert_whole()
    full.prune()
    full.assert_at_rest()


def test_without_a_reserve_and_without_a_byte(full: Any, prune_on: Any) -> None:
    store = Small(full.lab.store, used(full.lab.store))
    before = set(full.lab.names("packs"))
    with pytest.raises(StoreFullError):
        prune_on(full.lab, store)
    assert set(full.lab.names("packs")) >= before
    assert full.lab.names("condemn") == []
    full.assert_whole()


@pytest.mark.parametrize("spare", [2_000, 20_000, 200_000, 2_000_000])
def test_with_little_room(full: Any, prune_on: Any, spare: int) -> None:
    """It ends well or is refused, and never harms; with room again the next one finishes."""
    store = Small(full.lab.store, used(full.lab.store) + spare)
    report = prune_on(full.lab, store)
    assert {problem.code for problem in report.problems} <= {"no_room_to_repack"}
    full.assert_whole()
    full.prune()
    full.assert_whole()
    full.assert_at_rest()


def test_the_reserve_of_a_medium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "is_on_medium", lambda store: True)
    url = tmp_path / "stick"
    with snapstore.init(url, state_dir=tmp_path / "state", kdf_seconds=0) as repository:
        (made,) = (url / "reserve").iterdir()
        assert 0 < made.stat().st_size <= 8 * MIB
        store = repository._context.store
        assert reserve.give_up_reserve(store)
        assert not reserve.give_up_reserve(store)
        source = tmp_path / "source"
        source.mkdir()
        (source / "file").write_bytes(random.Random(0).randbytes(9000))
        dossier = repository.create_dossier("books", secret="a secret for a stick")
        dossier.snapshot(source)
        assert len(list((url / "reserve").iterdir())) == 1
        reserve.give_up_reserve(store)
        repository.prune()
        assert len(list((url / "reserve").iterdir())) == 1


def test_elsewhere_there_is_no_reserve(tmp_path: Path) -> None:
    with snapstore.init(tmp_path / "folder", state_dir=tmp_path / "state", kdf_seconds=0):
        pass
    assert not list((tmp_path / "folder").glob("reserve/*"))


def test_a_small_medium_has_a_small_reserve() -> None:
    store = MemoryStore()
    reserve.put_reserve(Small(store, 16 * MIB))
    (made,) = store.list("reserve")
    assert made.size == 512 * 1024
    reserve.give_up_reserve(store)
    reserve.put_reserve(Small(store, MIB))
    assert list(store.list("reserve")) == []
    put_named(store, lambda name: object_path("reserve", name), b"any bytes")
    assert reserve.give_up_reserve(store)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting needs root on Linux")
    point = tmp_path / "disk"
    point.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", point], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield point
    subprocess.run(["umount", "-l", point], check=True)


def test_a_disk_without_a_free_byte(small_disk: Path, tmp_path: Path) -> None:
    """A real one, first filled by snapshots and then by something else, to the last byte."""
    state, source, generator = tmp_path / "state", tmp_path / "source", random.Random(5)
    source.mkdir()
    with snapstore.init(small_disk / "backup", state_dir=state, kdf_seconds=0) as repository:
        store = repository._context.store
        store.put("reserve/" + "0" * 32, generator.randbytes(6 * MIB))
        dossier = repository.create_dossier("books", secret="a secret for a disk")
        for day in range(3):
            for number in range(10):
                if day == 0 or number % 3 == day:
                    (source / f"file {number}").write_bytes(generator.randbytes(900_000))
            dossier.snapshot(source, label=str(day))
        dossier.forget(snapshots=["latest~1", "latest~2"])
        with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))
        assert store.free_bytes() == 0
        report = repository.prune(options=snapstore.PruneOptions(max_unused=0))
        assert report.freed_bytes > 0
        assert list(store.list("condemn")) == []
        (small_disk / "ballast").unlink()
        repository.prune(options=snapstore.PruneOptions(max_unused=0))
        plan = repository.plan_prune(snapstore.PruneOptions(max_unused=0))
        assert (plan.delete_packs, plan.repack_packs, plan.later_bytes) == (0, 0, 0)
        assert dossier.restore("latest", to=tmp_path / "restored", secret="a secret for a disk").problems == ()
        for path in source.iterdir():
            assert (tmp_path / "restored" / path.name).read_bytes() == path.read_bytes()
