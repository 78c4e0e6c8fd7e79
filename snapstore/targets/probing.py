"""Finding out what a target's file system can hold, by trying.

Everything is tried in one temporary folder in the root of the target, which is removed again; a killed probe leaves a
folder that `TargetDirectory.clean_leftovers` removes. What mount options, drivers and network servers do is not to be
told from a file system's name; only the largest file is looked up by it, as trying would write 4 GiB.

Rules: a refusal of the system means "cannot". TargetError only if nothing at all can be written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ..errors import TargetError
from ..types import EntryType
from .attributes import FileAttributes
from .capabilities import FAT_MAX_FILE_BYTES, Capabilities
from .directory import TargetDirectory
from .flushing import file_system_type
from .names import WINDOWS_FORBIDDEN, check_name, temporary_name
from .windows import volume_type

_FAT_TYPES: Final = frozenset({"vfat", "msdos", "fuse.fusefat", "FAT", "FAT32"})
_PROBE_TIME_NS: Final = 1_600_000_001_123_456_789
_GRANULARITIES_NS: Final = (1, 100, 1000, 10**6, 10**7, 10**9, 2 * 10**9)
_HOLE_BYTES: Final = 1024 * 1024
_SOMEBODY_ELSE: Final = 65533  # a number that is nobody's, nor "nobody"


def probe(root: TargetDirectory, path: str) -> Capabilities:
    """Try out the file system of `root`, which was opened at `path`. Holes are written as it needs from then on."""
    name = temporary_name()
    place = root.make_directory(name)
    try:
        found = _Probe(place).run(_max_file_bytes(place, path), _name_max(path))
        root.state.fill_holes = not found.sparse
        return found
    finally:
        with suppress(TargetError):  # a left-over by its name: the next restore removes it
            root.remove(name)


def _max_file_bytes(place: TargetDirectory, path: str) -> int | None:
    kind = volume_type(path) if sys.platform == "win32" else file_system_type(place.folder.stat(None).st_dev)
    return FAT_MAX_FILE_BYTES if kind in _FAT_TYPES else None


def _name_max(path: str) -> int:
    if sys.platform != "win32":
        try:
            return int(os.pathconf(path, "PC_NAME_MAX"))
        except (OSError, ValueError):
            return 255
    else:
        return 255


class _Probe:
    """The attempts, each with names of its own in one empty folder."""

    def __init__(self, place: TargetDirectory) -> None:
        self._place = place
        self._write(b"file", FileAttributes())

    def run(self, max_file_bytes: int | None, name_max: int) -> Capabilities:
        any_bytes = self._keeps(b"bytes-\xff\xfe")
        by_units = self._keeps("\u00e9".encode() * 200)
        return Capabilities(
            symlinks=self._works(lambda: self._place.symlink(b"symlink", b"nowhere")),
            hard_links=self._hard_links(),
            mode=self._mode(),
            owner=self._owner(),
            xattrs=self._xattrs(),
            sparse=max_file_bytes != FAT_MAX_FILE_BYTES and self._sparse(),
            fifos=self._works(lambda: self._place.fifo(b"fifo")),
            devices=self._works(lambda: self._place.device(b"device", EntryType.CHARACTER_DEVICE, (1, 3))),
            time_granularity_ns=self._granularity(),
            max_file_bytes=max_file_bytes,
            case_sensitive=self._keeps(b"Case") and self._keeps(b"cASE"),
            unicode_sensitive=self._keeps("\u00e9".encode()) and self._keeps("e\u0301".encode()),
            any_bytes=any_bytes,
            # Not tried: exfat-fuse ends at such a name, and takes the target with it.
            lone_surrogates=any_bytes or sys.platform == "win32",
            forbidden=self._forbidden(),
            trailing_dot_or_space=self._keeps(b"dot.") and self._keeps(b"space "),
            reserved_names=self._keeps(b"nul") and self._keeps(b"aux.txt"),
            name_max=255 if by_units else min(name_max, 255),
            name_max_in_utf16=by_units,
        )

    def _works(self, attempt: Callable[[], object]) -> bool:
        try:
            attempt()
        except TargetError:
            return False
        return True

    def _write(self, name: bytes, attributes: FileAttributes) -> None:
        with self._place.new_file(name) as file:
            file.commit(attributes, sync=False, replace=False)

    def _keeps(self, name: bytes) -> bool:
        """Whether a file gets exactly that name, and its own content under it."""
        try:
            check_name(name)
            self._write(name, FileAttributes())
            return name in self._place.scan()
        except TargetError:
            return False

    def _hard_links(self) -> bool:
        elements = [*self._place.elements, b"file"]
        return self._works(lambda: self._place.hard_link(b"link", elements))

    def _loses(self, name: bytes, attributes: FileAttributes) -> bool:
        try:
            return bool(self._place.apply(name, EntryType.FILE, attributes))
        except TargetError:
            return True

    def _mode(self) -> bool:
        return not any(self._loses(b"file", FileAttributes(mode=mode)) for mode in (0o640, 0o755, 0o600))

    def _owner(self) -> bool:
        self._write(b"owner", FileAttributes())
        return not self._loses(b"owner", FileAttributes(uid=_SOMEBODY_ELSE, gid=_SOMEBODY_ELSE))

    def _xattrs(self) -> bool:
        return not self._loses(b"file", FileAttributes(xattrs={b"user.snapstore.probe": b"1"}))

    def _granularity(self) -> int:
        self._write(b"time", FileAttributes(mtime_ns=_PROBE_TIME_NS))
        found = self._place.stat(b"time")
        for granularity in _GRANULARITIES_NS:
            if found is not None and found.mtime_ns == _PROBE_TIME_NS // granularity * granularity:
                return granularity
        return _GRANULARITIES_NS[-1]

    def _sparse(self) -> bool:
        if sys.platform != "win32":
            self._place.state.fill_holes = False
            with self._place.new_file(b"sparse") as file:
                file.skip(_HOLE_BYTES)
                file.write(b"\n")
                file.commit(FileAttributes(), sync=False, replace=False)
            return 0 < self._place.folder.stat(b"sparse").st_blocks * 512 < _HOLE_BYTES
        else:
            return True  # a file system that has none fills the holes without a word

    def _forbidden(self) -> bytes:
        candidates = bytes(range(1, 32)) + WINDOWS_FORBIDDEN + b"\x7f"
        return bytes(byte for byte in candidates if not self._keeps(b"with-%c-in" % byte))
