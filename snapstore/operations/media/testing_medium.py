"""The test of a medium that writes: does it keep what it takes, all over the size it claims?

Here: `try_medium`, the order of things, and the report. Not here: the files (own_files.py), what is in them
(patterns.py).

Rules: everything is written before anything is read back, past the system's cache, so that a medium that writes over
itself is found out. A quick test writes about a hundredth of the free space. Where the file system can set room aside
without writing it, that is spread over the free space to its end, and finds media that lie about their size: those that
drop what they have no room for, and most of those that write it over something else. Elsewhere it finds only media that
lose data at once, and the report says so (`spread`); so on a disk that the system works on and in memory, where room
set aside would be missed, and where a full test is refused. A full test writes all free space but a small rest, and
finds all of them for certain. What is wrong with the medium is a problem in the report; an error is raised only for
what keeps the test from being made: a medium that cannot be written at all, is full, or went away. The test's files are
removed whatever happens, and those of a run that was killed by the next run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ...crypto.entropy import random_bytes
from ...errors import InputError, StoreFullError, StorePermissionError, StoreUnavailableError
from ...limits import MIB
from ...stores.media import connected_media, find_medium
from ...stores.media.linux import is_in_memory
from ...stores.oserrors import translated, vanished
from ...types import MediumTestReport, Problem
from ..configs import repository_ids
from ..meter import Meter
from .own_files import OwnFiles
from .patterns import BLOCK_BYTES, Pattern, first_difference

LEAST_FREE_BYTES: Final = 8 * MIB  # less is no test, and leaves no room for what the file system needs
_KEPT_FREE_BYTES: Final = 4 * MIB  # for the file system's own needs, and for others that write meanwhile
_QUICK_SHARE: Final = 100
_QUICK_MIN_BYTES: Final = 16 * MIB
_QUICK_MAX_BYTES: Final = 256 * MIB  # half a minute on a slow stick
# Small and at places of chance, so that some of them meet on a medium which writes beyond its size on top of what it
# has: with n of them and r bytes really there, 1 - exp(-n * n * size / r) finds it: 98 % for 16 GiB, 63 % for 64 GiB.
_SAMPLE_BYTES: Final = 1 * MIB
_FILE_BYTES: Final = 1024 * MIB  # FAT32 has files up to 4 GiB
_ENDLESS: Final = 1 << 62
_EARLY: Final = 0.9  # of the free space taken: cluster sizes explain no more than that
_GONE: Final = {errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.ESTALE}
_USB = re.compile(r"usb:/*([^/]*).*", re.IGNORECASE | re.DOTALL)


def try_medium(path: str | os.PathLike[str], meter: Meter, *, full: bool) -> MediumTestReport:
    """Test the medium that the folder `path` lies on, or that "usb:LABEL" names.

    Raises InputError, StoreUnavailableError, StorePermissionError, StoreFullError, OperationCancelledError.
    """
    folder = _folder_of(path)
    try:
        device = os.stat(folder).st_dev
        usage = shutil.disk_usage(folder)
    except OSError as error:
        raise translated(error, "test the medium", folder) from error
    shared = _is_of_the_system(device) or is_in_memory(folder)
    if full and shared:
        raise InputError(
            f"{folder} is on a disk that the system works on, or in its memory: a full test would leave it without "
            "room. Name a folder on the medium, or make the quick test.",
            code="system_disk",
        )
    try:
        with OwnFiles(Path(folder)) as files:  # which makes room first, by removing what killed runs left
            free = shutil.disk_usage(folder).free if usage.total else None
            if free is not None and free < LEAST_FREE_BYTES:
                raise StoreFullError(
                    f"{folder} has {free // MIB} MiB free, and a test takes {LEAST_FREE_BYTES // MIB}. Free some space."
                )
            return _Run(folder, files, meter, free, full=full, shared=shared).run()
    except OSError as error:
        if _is_gone(folder, device, error):
            raise vanished(folder) from error
        raise translated(error, "test the medium", folder) from error


@dataclass(slots=True)
class _Written:
    """A file that was written: its number and its first block's."""

    name: str
    first_block: int
    size: int


@dataclass(slots=True)
class _Run:
    """One test under way."""

    folder: str
    files: OwnFiles
    meter: Meter
    free: int | None
    full: bool = field(kw_only=True)
    shared: bool = field(kw_only=True)
    spread: bool = False
    written: list[_Written] = field(default_factory=list)
    written_bytes: int = 0
    verified_bytes: int = 0
    first_wrong: int | None = None
    problems: list[Problem] = field(default_factory=list)
    pattern: Pattern = field(default_factory=Pattern)

    def run(self) -> MediumTestReport:
        """Write, read back, and say what came of it."""
        planned = self._planned()
        self.meter.bytes_total = 2 * planned if self.free is not None else None
        self.meter.enter("write")
        start = time.monotonic()
        self._write(planned)
        write_seconds = time.monotonic() - start
        self.meter.bytes_total = 2 * self.written_bytes
        self.meter.enter("verify")
        start = time.monotonic()
        for file in self.written:
            self._verify(file)
        read_seconds = time.monotonic() - start
        self.meter.tell()
        return MediumTestReport(
            path=self.folder,
            full=self.full,
            spread=self.spread,
            free_bytes=self.free,
            written_bytes=self.written_bytes,
            verified_bytes=self.verified_bytes,
            first_wrong_offset=self.first_wrong,
            write_bytes_per_second=_rate(self.written_bytes, write_seconds),
            read_bytes_per_second=_rate(self.written_bytes, read_seconds),
            duration_seconds=self.meter.seconds,
            problems=tuple(self.problems),
        )

    def _planned(self) -> int:
        """How much to write. Where the file system does not say what is free (fusefat), a full test finds it out."""
        free = self.free if self.free is not None else _QUICK_MIN_BYTES * _QUICK_SHARE if not self.full else _ENDLESS
        planned = free - _KEPT_FREE_BYTES
        if not self.full:
            planned = min(planned, _QUICK_MAX_BYTES, max(free // _QUICK_SHARE, _QUICK_MIN_BYTES))
        return planned - planned % BLOCK_BYTES

    def _write(self, planned: int) -> None:
        """Write until `planned` bytes are there, the medium is full, or it fails."""
        self.spread = self.full
        sample = _FILE_BYTES if self.full else _SAMPLE_BYTES
        gaps = iter(self._gaps(planned, -(-planned // sample)))
        while self.written_bytes < planned and not self.problems:
            gap = next(gaps, 0)
            if gap:
                self.spread = self.files.reserve(gap)
                gaps = gaps if self.spread else iter(())
            wanted = min(sample, planned - self.written_bytes)
            if self._write_file(wanted) < wanted:
                break
        if self.full and self.free is not None and not self.problems and self.written_bytes < _EARLY * planned:
            self._fault(
                "medium_full_early",
                f"It took {self.written_bytes:,} of the {self.free:,} bytes that it says are free, and then was full.",
            )

    def _gaps(self, planned: int, samples: int) -> list[int]:
        """How much room is set aside before each sample: together all that is free, cut at places of chance."""
        if self.full or self.shared or self.free is None:
            return []
        room = self.free - planned - _KEPT_FREE_BYTES
        draws = [int.from_bytes(random_bytes(4), "little") + 1 for _ in range(samples)]
        return [room * draw // sum(draws) // BLOCK_BYTES * BLOCK_BYTES for draw in draws]

    def _write_file(self, wanted: int) -> int:
        """Write one file of whole blocks, and return how much of it is there."""
        written = _Written("", self.written_bytes // BLOCK_BYTES, 0)
        file = None
        try:
            with self.files.new() as file:
                written.name = file.name
                while written.size < wanted:
                    file.write(self.pattern.block(written.first_block + written.size // BLOCK_BYTES))
                    written.size += BLOCK_BYTES
                    self.meter.step(size=BLOCK_BYTES, current=file.name)
        except OSError as error:
            if not self._is_full(error):
                self._fault("medium_write_failed", f"Writing failed: {error.strerror or error}.", error)
            written.size = 0 if file is None else file.synced_blocks() * BLOCK_BYTES
        if written.size:
            self.written.append(written)
            self.written_bytes += written.size
        return written.size

    def _is_full(self, error: OSError) -> bool:
        # fusefat says "not permitted" when it is full, which no other driver says of a file that is open for writing.
        return isinstance(translated(error, "write", self.folder), (StoreFullError, StorePermissionError))

    def _verify(self, file: _Written) -> None:
        """Read one file back and compare. What comes after a read error in it is not tried."""
        count = file.size // BLOCK_BYTES
        done = 0
        try:
            for done, found in enumerate(self.files.blocks(file.name, count)):
                number = file.first_block + done
                wrong = first_difference(found, self.pattern.block(number))
                if wrong is None:
                    self.verified_bytes += BLOCK_BYTES
                else:
                    self._wrong(
                        number * BLOCK_BYTES + wrong, "medium_data_differs", "Data came back other than it was written"
                    )
                self.meter.step(size=BLOCK_BYTES, current=file.name)
        except OSError as error:
            self._wrong((file.first_block + done) * BLOCK_BYTES, "medium_read_failed", "Reading failed", error)

    def _wrong(self, offset: int, code: str, what: str, error: OSError | None = None) -> None:
        if self.first_wrong is None:
            self.first_wrong = offset
        if all(problem.code != code for problem in self.problems):
            reason = f" ({error.strerror or error})" if error is not None else ""
            self._fault(code, f"{what}{reason}, from byte {offset:,} of the test on.", error)

    def _fault(self, code: str, message: str, error: OSError | None = None) -> None:
        if error is not None and _is_gone(self.folder, self.files.device, error):
            raise error
        self.problems.append(Problem(code=code, path=self.folder, message=f"{message} Replace the medium."))
        self.meter.problems = len(self.problems)


def _folder_of(path: str | os.PathLike[str]) -> str:
    match = _USB.fullmatch(path) if isinstance(path, str) else None
    if match is not None:
        return str(find_medium(match[1], connected_media(), repository_ids).path)
    if not os.fspath(path):
        raise InputError("The path is empty: name a folder on the medium.", code="not_a_folder")
    folder = os.path.abspath(path)
    if not os.path.exists(folder):
        raise StoreUnavailableError(
            f"There is no folder {folder}: see that the medium is connected and mounted.",
            code="store_absent",
            retryable=False,
        )
    if not os.path.isdir(folder):
        raise InputError(f"{folder} is a file: name a folder on the medium.", code="not_a_folder")
    return folder


def _is_of_the_system(device: int) -> bool:
    """Whether others count on room there, for a moment too."""
    for place in (os.sep, os.path.expanduser("~"), tempfile.gettempdir()):
        with contextlib.suppress(OSError):
            if os.stat(place).st_dev == device:
                return True
    return False


def _is_gone(folder: str, device: int, error: OSError) -> bool:
    if error.errno in _GONE:
        return True
    try:
        return os.stat(folder).st_dev != device
    except OSError:
        return True


def _rate(size: int, seconds: float) -> float | None:
    return size / seconds if size and seconds > 0 else None
