"""What one look at a directory entry tells.

Here: `ScannedEntry`, and how it is made from a `stat_result`. Not here: anything that touches the file system.

Rules: names are the bytes that the format stores (`name_bytes`): the system's own on POSIX; on Windows UTF-8 of the
UTF-16, lone surrogates as three bytes. Inode, device and time of change serve to recognise unchanged files on one
station and are never stored in a snapshot.

`ScannedEntry` is a NamedTuple where its neighbours are frozen dataclasses: one is made for every file on each run,
and a frozen dataclass of 16 fields takes 2.5 microseconds to make, four times as long.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
from typing import Final, NamedTuple

from ..types import EntryType

SETTLED_AFTER_NS: Final = 3_000_000_000
"""FAT counts modification times in steps of 2 s, ext4 in ticks of up to 10 ms. A file that changed less than this
before it was looked at may change again and keep its size and times."""

_TYPES: Final = {
    stat.S_IFREG: EntryType.FILE,
    stat.S_IFDIR: EntryType.DIRECTORY,
    stat.S_IFLNK: EntryType.SYMLINK,
    stat.S_IFIFO: EntryType.FIFO,
    stat.S_IFCHR: EntryType.CHARACTER_DEVICE,
    stat.S_IFBLK: EntryType.BLOCK_DEVICE,
}
_JUNCTION_TAG: Final = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT
_KEPT_WINDOWS_ATTRIBUTES: Final = 0x0001 | 0x0002 | 0x0004 | 0x0020 | 0x2000
"""Read-only, hidden, system, archive, not content-indexed: those that `SetFileAttributes` can give back and that say
something of the file, not of how this volume keeps it (compressed, encrypted, sparse, off-line)."""

_SIGNATURE: Final = struct.Struct("=BqqqQHqqI")  # of this station's cache, read by it alone
_UNSUPPORTED: Final = 255
_NO_ATTRIBUTES: Final = 2**32 - 1

WINDOWS: Final = sys.platform == "win32"
_HAS_BIRTH_TIME: Final = sys.platform != "linux"


class ScannedEntry(NamedTuple):
    """One name in a directory and what `lstat` said of it."""

    name: bytes
    type: EntryType | None
    """None for a socket or anything else that cannot be saved."""
    size: int
    mtime_ns: int
    ctime_ns: int
    """POSIX: when content or attributes last changed. Windows: when the file was made."""
    inode: int
    device: int
    links: int
    mode: int
    """The 12 permission bits."""
    uid: int
    gid: int
    rdev: tuple[int, int] | None
    """Major and minor number of a device node."""
    blocks: int | None
    """Units of 512 bytes that are allocated; None where the system does not say."""
    windows_attributes: int | None
    birth_ns: int | None
    """When the file was made. macOS tells it as a float: exact to about a microsecond."""

    @property
    def signature(self) -> bytes:
        """Equal on two looks at one path only if nothing was written between them; see also `settled`."""
        _, kind, size, mtime_ns, ctime_ns, inode, _, _, mode, uid, gid, _, _, attributes, _ = self
        try:
            return _SIGNATURE.pack(
                _UNSUPPORTED if kind is None else kind.value,
                size,
                mtime_ns,
                ctime_ns,
                inode,
                mode,
                uid,
                gid,
                _NO_ATTRIBUTES if attributes is None else attributes,
            )
        except struct.error:  # a time beyond the year 2262, an inode of 128 bits
            return repr((kind, size, mtime_ns, ctime_ns, inode, mode, uid, gid, attributes)).encode()

    @property
    def sparse(self) -> bool:
        """True for a file that has less on disk than its size: it has holes, or is compressed."""
        return self.blocks is not None and self.blocks * 512 < self.size

    def settled(self, now_ns: int) -> bool:
        """False if the file changed so shortly before `now_ns` that its signature must not be trusted later on."""
        return max(self.mtime_ns, self.ctime_ns) + SETTLED_AFTER_NS <= now_ns


def name_bytes(name: str) -> bytes:
    """Return the name as the format stores it."""
    return name.encode("utf-8", "surrogatepass") if WINDOWS else os.fsencode(name)


def name_text(name: bytes) -> str:
    """Return a stored name as this system's functions take it. Undecodable bytes become lone surrogates."""
    return name.decode("utf-8", "surrogatepass") if WINDOWS else os.fsdecode(name)


if sys.platform == "win32":

    def entry_from_stat(name: bytes, found: os.stat_result) -> ScannedEntry:
        """Return what `found` says of `name`."""
        kind = _TYPES.get(stat.S_IFMT(found.st_mode))
        if found.st_reparse_tag == _JUNCTION_TAG:
            kind = EntryType.SYMLINK  # walked into, "Application Data" would lead round in circles
        return ScannedEntry(
            name,
            kind,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_ino,
            found.st_dev,
            found.st_nlink,
            found.st_mode & 0o7777,
            0,
            0,
            None,
            None,
            found.st_file_attributes & _KEPT_WINDOWS_ATTRIBUTES,
            int(getattr(found, "st_birthtime_ns", found.st_ctime_ns)),
        )

else:

    def entry_from_stat(name: bytes, found: os.stat_result) -> ScannedEntry:
        """Return what `found` says of `name`."""
        mode = found.st_mode
        kind = _TYPES.get(stat.S_IFMT(mode))
        rdev = None
        if kind is EntryType.CHARACTER_DEVICE or kind is EntryType.BLOCK_DEVICE:
            rdev = (os.major(found.st_rdev), os.minor(found.st_rdev))
        born = getattr(found, "st_birthtime", None) if _HAS_BIRTH_TIME else None
        return ScannedEntry(
            name,
            kind,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_ino,
            found.st_dev,
            found.st_nlink,
            mode & 0o7777,
            found.st_uid,
            found.st_gid,
            rdev,
            found.st_blocks,
            None,
            None if born is None else int(born * 1_000_000) * 1000,
        )
