"""What a file system calls itself by, read from its first blocks.

Here: `parse_superblock`, from bytes to kind and uuid, for the file systems that sticks and disks have, and
`read_superblock`. Not here: what udev read already, which is asked first: reading a device takes rights that few have.

Rules: any bytes give an answer or None; nothing is trusted but fixed places. The uuid is written as udev writes it, so
that it is the same text whoever read it. A serial number of nothing but zeros, which some formatters write, is none.
Sources: exFAT specification 3.1, ntfs(5) boot sector, fatgen103, ext4/xfs/btrfs on-disk layouts.
"""

from __future__ import annotations

import os
import stat
from typing import Final

SUPERBLOCK_BYTES: Final = 0x10048 + 64  # as far as btrfs' magic


def parse_superblock(data: bytes) -> tuple[str, str] | None:
    """Kind ("vfat", "exfat", "ntfs", "ext4", "xfs", "btrfs") and uuid, or None for what is not known."""
    if data[3:11] == b"EXFAT   ":
        return _found("exfat", _serial(data[0x64:0x68]))
    if data[3:11] == b"NTFS    ":
        return _found("ntfs", _hexadecimal(data[0x48:0x50]))
    if data[510:512] == b"\x55\xaa" and data[0x52:0x5A] == b"FAT32   ":
        return _found("vfat", _serial(data[0x43:0x47]))
    if data[510:512] == b"\x55\xaa" and data[0x36:0x39] == b"FAT":
        return _found("vfat", _serial(data[0x27:0x2B]))
    if data[0x438:0x43A] == b"\x53\xef":
        return _found("ext4", text_of_uuid(data[0x468:0x478]))
    if data[:4] == b"XFSB":
        return _found("xfs", text_of_uuid(data[32:48]))
    if data[0x10040:0x10048] == b"_BHRfS_M":
        return _found("btrfs", text_of_uuid(data[0x10020:0x10030]))
    return None


def read_superblock(device: str) -> tuple[str, str] | None:
    """Read it of a device, which root may, or of an image file that FUSE mounted. None where that is not possible."""
    try:
        mode = os.stat(device).st_mode
        if not os.path.isabs(device) or not (stat.S_ISBLK(mode) or stat.S_ISREG(mode)):
            return None
        with open(os.open(device, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb", buffering=0) as file:
            return parse_superblock(file.read(SUPERBLOCK_BYTES))
    except OSError:
        return None


def _found(kind: str, name: str) -> tuple[str, str] | None:
    return (kind, name) if name else None


def _hexadecimal(little_endian: bytes) -> str:
    return little_endian[::-1].hex().upper() if any(little_endian) else ""


def _serial(little_endian: bytes) -> str:
    digits = _hexadecimal(little_endian)
    return f"{digits[:4]}-{digits[4:]}" if len(digits) == 8 else ""


def text_of_uuid(data: bytes) -> str:
    """Sixteen bytes as a uuid is written; "" for nothing but zeros, and for fewer."""
    if len(data) != 16 or not any(data):
        return ""
    digits = data.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
