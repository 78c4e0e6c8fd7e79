"""Media for tests: image files with the file systems of sticks, mounted through FUSE, that can be pulled out and break.

Here: `Medium`, and `medium_image`, which makes one, for FAT32 (fusefat), exFAT (exfat-fuse on a loop device) and NTFS
(ntfs-3g). Not here: the file systems that only have to be there (the fixtures in tests/conftest.py).

Rules: `ServerMissingError` says why one cannot be had. Only the daemon of the medium's own mount point is ever killed,
and only its own loop device is let go. A wrapping library (failing_medium.c) is compiled when a test wants reads or
writes that fail, or a medium that lies about its size.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from server import ServerMissingError

MIB = 1024 * 1024
SECONDS = 30
KINDS = ("fat", "exfat", "ntfs")
SOURCE = Path(__file__).with_name("failing_medium.c")
NEEDED = {
    "fat": ("mkfs.vfat", "fusefat"),
    "exfat": ("mkfs.exfat", "mount.exfat-fuse", "losetup"),
    "ntfs": ("mkfs.ntfs", "ntfs-3g"),
}
MAKE = {
    "fat": ("mkfs.vfat", "-F", "32", "-n", "STICK"),
    "exfat": ("mkfs.exfat", "-L", "STICK"),
    "ntfs": ("mkfs.ntfs", "-F", "-Q", "-q", "-L", "STICK"),
}


@dataclass
class Medium:
    """A medium that is mounted at `path`, or pulled out."""

    kind: str
    folder: Path
    real_bytes: int = 0
    dropping: bool = False
    library: Path | None = None
    loop: str | None = None
    _closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def path(self) -> Path:
        return self.folder / "mount"

    @property
    def image(self) -> Path:
        return self.folder / "image"

    def plug_in(self, *, read_only: bool = False) -> None:
        device = self.loop or str(self.image)
        options = {"fat": ["ro" if read_only else "rw+"], "exfat": [], "ntfs": []}[self.kind]
        options += ["ro"] if read_only and self.kind != "fat" else []
        options += [f"fsname={self.image}"] if self.kind == "fat" else []  # so that fingerprint() can tell it
        program = {"fat": "fusefat", "exfat": "mount.exfat-fuse", "ntfs": "ntfs-3g"}[self.kind]
        environment = dict(os.environ)
        if self.library is not None:
            environment["LD_PRELOAD"] = str(self.library)
            environment["MEDIUM_FAULTS"] = str(self.folder / "faults")
            environment["MEDIUM_REAL_BYTES"] = str(self.real_bytes)
            environment["MEDIUM_BEYOND"] = "drop" if self.dropping else "wrap"
        command = [program, *(["-o", ",".join(options)] if options else []), device, str(self.path)]
        # The daemons keep their standard error open, so a pipe would never end.
        result = subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
            env=environment,
        )
        if result.returncode != 0 or not os.path.ismount(self.path):
            raise ServerMissingError(
                f"{program} failed here with {result.returncode}: mounting takes root or /dev/fuse"
            )

    def take_out(self) -> None:
        """Unmount as one should; lazily if something is busy for long."""
        for attempt in range(20):
            if not os.path.ismount(self.path):
                break
            lazily = ["-l"] if attempt == 19 else []
            subprocess.run(["umount", *lazily, str(self.path)], capture_output=True, timeout=SECONDS, check=False)
            if os.path.ismount(self.path):
                time.sleep(0.1)
        self._wait_for_daemon()

    def pull_out(self) -> None:
        """The daemon dies: what is open fails, and the place is dead."""
        for process in self._daemons():
            os.kill(process, signal.SIGKILL)
        self._wait_for_daemon()

    def detach(self) -> None:
        """The mount goes and what is open lives on: the place is an empty folder."""
        subprocess.run(["umount", "-l", str(self.path)], capture_output=True, timeout=SECONDS, check=True)

    def clear_away(self) -> None:
        """After `pull_out`: what the system does by itself when a stick is gone."""
        subprocess.run(["umount", "-l", str(self.path)], capture_output=True, timeout=SECONDS, check=False)
        self._wait_for_daemon()

    def fail(self, *kinds: str) -> None:
        """Have "read" or "write" fail with EIO from now on; no kinds: none."""
        faults = self.folder / "faults"
        for kind in ("read", "write"):
            if kind in kinds:
                (faults / kind).touch()
            else:
                (faults / kind).unlink(missing_ok=True)

    def fail_sectors(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Have reads fail with EIO that touch these ranges of the device, given as offset and size; none: none."""
        text = "".join(f"{offset} {size}\n" for offset, size in ranges)
        written = self.folder / "sectors"
        written.write_text(text)
        written.replace(self.folder / "faults" / "sectors")

    def _daemons(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    if str(self.path).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def _wait_for_daemon(self) -> None:
        deadline = time.monotonic() + SECONDS
        while self._daemons() and time.monotonic() < deadline:
            time.sleep(0.02)


@contextmanager
def medium_image(
    kind: str, folder: Path, *, size: int = 96 * MIB, failing: bool = False, real_bytes: int = 0, dropping: bool = False
) -> Iterator[Medium]:
    """A new medium of `size` bytes, plugged in. `failing` lets `fail` work, `real_bytes` makes it lie (not for FAT):
    what is written beyond lands on top of something else, or vanishes if `dropping`."""
    _need(*NEEDED[kind], "umount")
    folder.mkdir(parents=True, exist_ok=True)
    medium = Medium(kind, folder, real_bytes=real_bytes, dropping=dropping)
    medium.path.mkdir()
    (folder / "faults").mkdir()
    with medium.image.open("wb") as file:
        file.truncate(size)
    _run(*MAKE[kind], str(medium.image))
    if kind == "ntfs":  # mkfs.ntfs gives two that are made in one second the same number
        with medium.image.open("r+b") as file:
            file.seek(0x48)
            file.write(os.urandom(8))
    if failing or real_bytes:
        medium.library = _library(folder)
    if kind == "exfat":
        medium.loop = _run("losetup", "--find", "--show", str(medium.image)).strip()
    try:
        medium.plug_in()
        yield medium
    finally:
        medium.fail()
        medium.take_out()
        if medium.loop is not None:
            subprocess.run(["losetup", "--detach", medium.loop], capture_output=True, timeout=SECONDS, check=False)


@contextmanager
def ext4_on(folder: Path, size: int) -> Iterator[Path]:
    """A folder on an ext4 image in `folder`, mounted by the kernel: a file system that can set room aside."""
    _need("mkfs.ext4", "mount", "umount")
    image, point = folder / "ext4.image", Path(f"{folder}-ext4")
    with image.open("wb") as file:
        file.truncate(size)
    _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", "-O", "^has_journal,^metadata_csum", str(image))
    point.mkdir()
    _run("mount", "-o", "loop", str(image), str(point))
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], capture_output=True, timeout=SECONDS, check=False)


def _library(folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ServerMissingError("not installed: a C compiler")
    library = folder / "failing_medium.so"
    _run(compiler, "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", str(SOURCE), "-o", str(library), "-ldl")
    return library


def _need(*names: str) -> None:
    if not sys.platform.startswith("linux"):
        raise ServerMissingError("file systems are mounted on Linux only")
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise ServerMissingError(f"not installed: {', '.join(missing)}")


def _run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if result.returncode != 0:
        raise ServerMissingError(f"{command[0]} failed here: {result.stderr.strip() or result.returncode}")
    return result.stdout
