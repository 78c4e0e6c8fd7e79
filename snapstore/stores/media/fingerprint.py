"""What tells one file system from another that holds copies of its files.

Here: `fingerprint`. Not here: what follows from two that differ (the file manager's copy of a repository).

Rules: it stays the same when a medium is unplugged and plugged in again, on another mount point, letter or port, and
it differs between two media with the same files. It is made of the file system's own uuid or serial number, and, where
files have lasting numbers, of the folder's, so that a copy beside the original differs too; FAT and exFAT make such
numbers up at each mount. Where none of this is known it is None, never a guess: device numbers and times change.
A block-for-block image of a medium has its fingerprint. Compare only what one computer found: systems differ in what
they call a volume by.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import Final

# File systems whose inode numbers are kept on the disk.
_LASTING_INODES: Final = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "ntfs", "refs", "apfs", "hfs", "hfsplus"}
)
# File systems whose f_fsid comes from their uuid, not from the number of their device.
_LASTING_FSID: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs"})


def fingerprint(folder: str | os.PathLike[str]) -> str | None:
    """What tells the file system (and place in it) of an existing folder from others, or None where nothing does."""
    path = os.path.realpath(folder)
    try:
        status = os.stat(path)
        kind, name = _file_system(path)
    except OSError:
        return None
    return compose(kind, name, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def compose(kind: str, name: str, inode: int) -> str | None:
    """The fingerprint of a folder on a file system of this kind and name."""
    if not name:
        return None
    return f"{kind}:{name}:{inode}" if kind in _LASTING_INODES and inode else f"{kind}:{name}"


if sys.platform == "win32":
    from .._windows import volume_of
    from .windows import plain_kind

    def _file_system(path: str) -> tuple[str, str]:
        volume = volume_of(path)
        return plain_kind(volume.file_system), volume.serial.strip("0-") and volume.serial

elif sys.platform == "darwin":
    from .macos import volume_facts, volume_uuid

    def _file_system(path: str) -> tuple[str, str]:
        facts = volume_facts(path)
        return (facts.file_system, volume_uuid(facts.mount_point)) if facts else ("", "")

else:
    from .linux import device_names, kind_of_device, mount_of, plain_kind, read_mounts
    from .superblock import read_superblock

    def _file_system(path: str) -> tuple[str, str]:
        mount = mount_of(path, read_mounts())
        if mount is None:
            return "", ""
        kind = plain_kind(mount.file_system, kind_of_device(mount.device))
        name = device_names("by-uuid").get(os.path.realpath(mount.device), "")
        if name and kind != "fuseblk":
            return kind, name
        found = read_superblock(mount.device)
        if found is not None:
            return found
        if name:
            return kind, name
        fsid = os.statvfs(path).f_fsid if kind in _LASTING_FSID else 0
        return kind, f"fsid-{fsid:016x}" if fsid else ""
