"""Media on macOS: what stands in /Volumes, and what `statfs` and `getattrlist` say of it.

Here: the decoding of the two answers, which takes bytes and can be tried anywhere, and `connected_media`. Not here:
which medium is meant (model.py).

Rules: the system's own volume is a link in /Volumes and does not count. Both calls go through ctypes, so that no
program need be started; an answer that has not the size expected counts as none.
Sources: statfs(2) with 64-bit inodes, getattrlist(2) with ATTR_VOL_UUID.
"""

from __future__ import annotations

import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .model import Medium, with_space
from .superblock import text_of_uuid

# bsize, iosize; blocks, free, available, files, ffree; fsid (2); owner, type, flags, subtype; three names
_STATFS: Final = struct.Struct("=Ii 5Q 2i 4I 16s 1024s 1024s")
_STATFS_BYTES: Final = 4096  # more than the structure has, with its reserve
_MOUNT_READ_ONLY: Final = 0x1
_KINDS: Final = {"msdos": "vfat", "lifs": "vfat", "ufsd_ntfs": "ntfs"}
_VOLUME_ATTRIBUTES: Final = struct.pack("=HHIIIII", 5, 0, 0, 0x80000000 | 0x00040000, 0, 0, 0)  # INFO and UUID
_UUID_ANSWER: Final = struct.Struct("=I16s")


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFacts:
    """What `statfs` says of a path's volume."""

    file_system: str
    mount_point: str
    device: str
    read_only: bool


def parse_statfs(data: bytes) -> VolumeFacts | None:
    """Decode a `struct statfs`."""
    if len(data) < _STATFS.size:
        return None
    *_, flags, _, kind, point, device = _STATFS.unpack_from(data)
    name, mount_point, source = (os.fsdecode(text.split(b"\0", 1)[0]) for text in (kind, point, device))
    return VolumeFacts(
        file_system=_KINDS.get(name, name),
        mount_point=mount_point,
        device=source,
        read_only=bool(flags & _MOUNT_READ_ONLY),
    )


def parse_volume_uuid(data: bytes) -> str:
    """Decode what `getattrlist` answers when a volume's uuid is asked for; "" where it has none."""
    if len(data) < _UUID_ANSWER.size:
        return ""
    size, value = _UUID_ANSWER.unpack_from(data)
    return text_of_uuid(value) if size == _UUID_ANSWER.size else ""


if sys.platform == "darwin":
    import ctypes

    _library = ctypes.CDLL(None, use_errno=True)
    _statfs = getattr(_library, "statfs$INODE64", None) or _library.statfs  # one name on Intel, another on ARM

    def volume_facts(path: str) -> VolumeFacts | None:
        """What `statfs` says, or None."""
        answer = ctypes.create_string_buffer(_STATFS_BYTES)
        return parse_statfs(answer.raw) if _statfs(os.fsencode(path), answer) == 0 else None

    def volume_uuid(mount_point: str) -> str:
        """The uuid of the volume mounted there, or ""."""
        answer = ctypes.create_string_buffer(_UUID_ANSWER.size)
        wanted = ctypes.create_string_buffer(_VOLUME_ATTRIBUTES, len(_VOLUME_ATTRIBUTES))
        size = ctypes.c_size_t(_UUID_ANSWER.size)
        done = _library.getattrlist(os.fsencode(mount_point), wanted, answer, size, ctypes.c_ulong(0))
        return parse_volume_uuid(answer.raw) if done == 0 else ""

    def connected_media() -> list[Medium]:
        """Everything in /Volumes but the system's own volume."""
        try:
            paths = [str(path) for path in Path("/Volumes").iterdir() if not path.is_symlink()]
        except OSError:
            return []
        return [with_space(_medium(path)) for path in paths if os.path.ismount(path)]

    def medium_at(path: str) -> Medium | None:
        """The medium that a path lies on, without its sizes; None for one on the system's own volume."""
        facts = volume_facts(path)
        if facts is None or not facts.mount_point.startswith("/Volumes/"):
            return None
        return _medium(facts.mount_point)

    def _medium(path: str) -> Medium:
        facts = volume_facts(path)
        return Medium(
            path=Path(path),
            label=Path(path).name,
            uuid=volume_uuid(path),
            file_system=facts.file_system if facts else "",
            read_only=facts is not None and facts.read_only,
        )
