"""What all tests share: Hypothesis profiles, and file systems of the kinds that sticks have.

Choose a profile with `--hypothesis-profile NAME`. `dev` is the default and keeps the whole suite short; `ci` looks
longer; `thorough` is for a night. No profile has a deadline: on a shared machine a slow example says nothing about
the code.

`fat_mount`, `exfat_mount` and `ntfs_mount` are folders on image files mounted through FUSE, once a session, and
always unmounted; `tiny_mount` is a tmpfs of 1 MiB of the test's own. Each skips, with the reason, where mounting is
not possible. Tests make a folder of their own on a mount. At the end of a run plugins say which stores were tried, and
how much was tried by tests that try many things.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, print_blob=True)
settings.register_profile("thorough", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile("dev")

pytest_plugins = ["which_stores", "counted"]

IMAGE_BYTES = 512 << 20  # sparse; an object may have 64 MiB, and FAT32 starts at 33 MiB
COMMAND_SECONDS = 30


@pytest.fixture(scope="session")
def fat_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """FAT32, by fusefat."""
    need_commands("mkfs.vfat", "fusefat")
    folder = tmp_path_factory.mktemp("fat")
    image = new_image(folder, "mkfs.vfat", "-F", "32", "-n", "FATSTICK")
    with mounted(folder / "mount", "fusefat", "-o", "rw+", str(image), str(folder / "mount")) as path:
        yield path


@pytest.fixture(scope="session")
def exfat_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """exFAT, by exfat-fuse, which wants a block device: so a loop device, and root."""
    need_commands("mkfs.exfat", "mount.exfat-fuse", "losetup")
    folder = tmp_path_factory.mktemp("exfat")
    image = new_image(folder, "mkfs.exfat", "-L", "EXFATSTICK")
    loop = command("losetup", "--find", "--show", str(image)).strip()
    try:
        with mounted(folder / "mount", "mount.exfat-fuse", loop, str(folder / "mount")) as path:
            yield path
    finally:
        subprocess.run(["losetup", "--detach", loop], check=False, timeout=COMMAND_SECONDS)


@pytest.fixture(scope="session")
def ntfs_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """NTFS, by ntfs-3g."""
    need_commands("mkfs.ntfs", "ntfs-3g")
    folder = tmp_path_factory.mktemp("ntfs")
    image = new_image(folder, "mkfs.ntfs", "-F", "-Q", "-q", "-L", "NTFSSTICK")
    with mounted(folder / "mount", "ntfs-3g", str(image), str(folder / "mount")) as path:
        yield path


@pytest.fixture
def tiny_mount(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB that gets full."""
    need_commands("mount")
    point = tmp_path / "tiny"
    with mounted(point, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(point)) as path:
        yield path


def need_commands(*names: str) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("file systems are mounted on Linux only")
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def new_image(folder: Path, *make: str) -> Path:
    """A sparse file with a new file system in it."""
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    command(*make, str(image))
    return image


def command(*arguments: str) -> str:
    """Run a command; skip the test where it fails, since what it needs is not the project's to give."""
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if result.returncode != 0:
        pytest.skip(f"{arguments[0]} failed here: {result.stderr.strip() or result.returncode}")
    return result.stdout


@contextmanager
def mounted(point: Path, *mount: str) -> Iterator[Path]:
    """Mount at `point`, and unmount whatever happens."""
    point.mkdir()
    # The FUSE daemons keep their standard error open, so a pipe would never end.
    result = subprocess.run(
        mount, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=COMMAND_SECONDS, check=False
    )
    if result.returncode != 0 or not os.path.ismount(point):
        pytest.skip(f"{mount[0]} failed here with {result.returncode}: mounting takes root or /dev/fuse")
    try:
        yield point
    finally:
        unmount(point)


def unmount(point: Path) -> None:
    """Unmount; a daemon may be busy for a moment still. The last try takes it off the tree at once."""
    for attempt in range(6):
        lazily = ["-l"] if attempt == 5 else []
        subprocess.run(["umount", *lazily, str(point)], capture_output=True, timeout=COMMAND_SECONDS, check=False)
        if not os.path.ismount(point):
            return
        time.sleep(0.2)
    subprocess.run(["fusermount", "-u", "-z", str(point)], capture_output=True, timeout=COMMAND_SECONDS, check=False)
