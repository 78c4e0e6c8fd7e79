"""Snapshots on media that get full, are write-protected, are pulled out in the middle, or fail to read and to write.

On real FAT32, exFAT and NTFS file systems. After each fault: a clear error, the earlier snapshots restore bit for bit,
and the next run goes on.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from media_images import KINDS, MIB, Medium, medium_image
from server import ServerMissingError

import snapstore

SECRET = "onyx and opal"


@dataclass
class Scene:
    """A shop with one snapshot on a medium."""

    medium: Medium
    base: Path

    @property
    def files(self) -> Path:
        return self.base / "files"

    @contextlib.contextmanager
    def dossier(self) -> Iterator[snapstore.Dossier]:
        with snapstore.open(self.medium.path / "snapstore", state_dir=self.base / "state") as repository:
            yield repository.dossier("shop")

    def add_files(self, megabytes: int) -> None:
        chance = random.Random(megabytes)
        for number in range(megabytes):
            (self.files / f"photo {megabytes}-{number}.jpg").write_bytes(b"\xff\xd8\xff" + chance.randbytes(MIB))

    def snapshot(self, **options: object) -> snapstore.SnapshotReport:
        with self.dossier() as dossier:
            return dossier.snapshot(self.files, **options)  # type: ignore[arg-type]

    def check_first(self) -> None:
        """The first snapshot is as it was."""
        target = self.base / f"restored {random.random()}"
        with self.dossier() as dossier:
            first = min(dossier.list(), key=lambda snapshot: snapshot.number)
            report = dossier.restore(first, to=target, secret=SECRET)
        assert report.clean
        assert sorted(os.listdir(target)) == ["photo 2-0.jpg", "photo 2-1.jpg"]
        for name in os.listdir(target):
            assert (target / name).read_bytes() == (self.files / name).read_bytes()

    def check_goes_on(self) -> None:
        """The next run saves everything."""
        report = self.snapshot()
        assert report.clean
        target = self.base / f"restored {random.random()}"
        with self.dossier() as dossier:
            assert dossier.restore("latest", to=target, secret=SECRET).clean
        assert sorted(os.listdir(target)) == sorted(os.listdir(self.files))


@pytest.fixture
def scene_on(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    with contextlib.ExitStack() as stack:

        def make(kind: str, **wishes: object) -> Scene:
            try:
                medium = stack.enter_context(medium_image(kind, tmp_path / kind, **wishes))  # type: ignore[arg-type]
            except ServerMissingError as error:
                pytest.skip(str(error))
            scene = Scene(medium, tmp_path)
            scene.files.mkdir()
            scene.add_files(2)
            url = medium.path / "snapstore"
            with snapstore.init(url, state_dir=tmp_path / "state", kdf_seconds=0) as repository:
                repository.create_dossier("shop", secret=SECRET).snapshot(scene.files)
            return scene

        yield make


class AtCall:
    """A cancel that never cancels, and does something when it is asked for the n-th time."""

    def __init__(self, number: int, action: Callable[[], None]) -> None:
        self._left = number
        self._action = action

    def is_set(self) -> bool:
        self._left -= 1
        if self._left == 0:
            self._action()
        return False


@pytest.mark.parametrize("kind", KINDS)
def test_a_medium_that_gets_full(scene_on: Callable[..., Scene], kind: str) -> None:
    scene = scene_on(kind, size=36 * MIB)
    scene.add_files(40)
    # fusefat says "not permitted" when it is full, and nothing of its free space.
    error = snapstore.StorePermissionError if kind == "fat" else snapstore.StoreFullError
    with pytest.raises(error) as caught:
        scene.snapshot()
    assert str(scene.medium.path) in str(caught.value)
    if kind != "fat":
        assert os.statvfs(scene.medium.path).f_bavail * os.statvfs(scene.medium.path).f_frsize >= 512 * 1024
    scene.check_first()
    for path in scene.files.glob("photo 40-*"):
        path.unlink()
    scene.add_files(3)
    scene.check_goes_on()


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_medium_is_refused_before_anything_is_written(scene_on: Callable[..., Scene], kind: str) -> None:
    scene = scene_on(kind, size=36 * MIB)
    if os.statvfs(scene.medium.path).f_blocks == 0:
        pytest.skip("fusefat does not say what is free")
    filling = scene.medium.path / "somebody's film.mp4"
    with filling.open("wb") as file, contextlib.suppress(OSError):
        while True:
            status = os.statvfs(scene.medium.path)
            free = status.f_bavail * status.f_frsize
            if free < 500 * 1024:
                break
            file.write(os.urandom(min(MIB, max(free - 450 * 1024, 4096))))
            file.flush()
    before = sorted(scene.medium.path.glob("snapstore/**/*"))
    with pytest.raises(snapstore.StoreFullError, match="Nothing was written"):
        scene.snapshot()
    assert sorted(scene.medium.path.glob("snapstore/**/*")) == before
    scene.check_first()
    filling.unlink()
    scene.check_goes_on()


@pytest.mark.parametrize("kind", KINDS)
def test_a_write_protected_medium(scene_on: Callable[..., Scene], kind: str) -> None:
    scene = scene_on(kind)
    scene.medium.take_out()
    scene.medium.plug_in(read_only=True)
    with pytest.raises(snapstore.StorePermissionError) as caught:
        scene.snapshot()
    assert "write-protected" in str(caught.value)
    scene.check_first()
    scene.medium.take_out()
    scene.medium.plug_in()
    scene.check_goes_on()


@pytest.mark.parametrize(
    ("kind", "how", "call"),
    [
        ("fat", "pull_out", 6),  # fusefat is slow
        *((kind, how, call) for kind in ("exfat", "ntfs") for how in ("pull_out", "detach") for call in (1, 6)),
    ],
)
def test_a_medium_that_is_pulled_out(scene_on: Callable[..., Scene], kind: str, how: str, call: int) -> None:
    scene = scene_on(kind)
    scene.add_files(8)
    with pytest.raises(snapstore.StoreError) as caught:
        scene.snapshot(cancel=AtCall(call, getattr(scene.medium, how)))
    assert isinstance(caught.value, snapstore.StoreUnavailableError)
    scene.medium.clear_away()
    assert list(scene.medium.path.iterdir()) == []  # nothing was written beside the medium
    with pytest.raises((snapstore.RepositoryNotFoundError, snapstore.StoreUnavailableError)):
        scene.snapshot()
    scene.medium.plug_in()
    scene.check_first()
    scene.check_goes_on()


@pytest.mark.parametrize("kind", ["exfat", "ntfs"])
def test_writes_that_fail(scene_on: Callable[..., Scene], kind: str) -> None:
    scene = scene_on(kind, failing=True)
    scene.add_files(8)
    with pytest.raises(snapstore.StoreUnavailableError) as caught:
        scene.snapshot(cancel=AtCall(3, lambda: scene.medium.fail("write")))
    assert "connected and healthy" in str(caught.value)
    scene.medium.fail()
    scene.medium.take_out()
    scene.medium.plug_in()
    scene.check_first()
    scene.check_goes_on()


@pytest.mark.parametrize("kind", ["exfat", "ntfs"])
def test_reads_that_fail(scene_on: Callable[..., Scene], kind: str) -> None:
    scene = scene_on(kind, failing=True)
    scene.medium.take_out()  # so that nothing of it is in the system's memory
    scene.medium.plug_in()
    with scene.dossier() as dossier:
        dossier.list()
        scene.medium.fail("read")
        with pytest.raises(snapstore.StoreUnavailableError) as caught:
            dossier.restore("latest", to=scene.base / "broken", secret=SECRET)
    assert caught.value.retryable
    with pytest.raises(snapstore.StoreUnavailableError):
        scene.snapshot()
    scene.medium.fail()
    scene.check_first()
    scene.add_files(3)
    scene.check_goes_on()


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_says_that_the_medium_may_be_unplugged(scene_on: Callable[..., Scene], kind: str) -> None:
    scene = scene_on(kind)
    scene.add_files(3)
    assert scene.snapshot().safe_to_unplug is True
    scene.medium.pull_out()  # at once, as people do
    scene.medium.clear_away()
    scene.medium.plug_in()
    with scene.dossier() as dossier:
        assert [snapshot.number for snapshot in dossier.list()] == [2, 1]
    scene.check_first()
