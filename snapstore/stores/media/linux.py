r"""Media on Linux: what is mounted, and what udev and sysfs say of it.

Here: parsers of /proc/mounts and of udev's names and records, which take text and can be tried anywhere; the choice
of what is a removable medium; and `connected_media`, which only fetches the texts. Not here: which medium is meant
(model.py).

Rules: a disk is removable if sysfs says so or if it hangs on USB, which external disks do that call themselves fixed;
and whatever a desktop mounted where it mounts what people plug in counts too. The system's own mounts never do, also
on a computer that was started from a stick. A device that is mounted twice is listed once.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from .model import Medium, with_space
from .superblock import read_superblock

_MOUNT_ESCAPE = re.compile(r"\\([0-7]{3})")
_UDEV_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})")
# Where desktops mount what people plug in.
_MEDIA_PARENTS: Final = (PurePosixPath("/media"), PurePosixPath("/run/media"))
_SYSTEM_PLACES: Final = (PurePosixPath("/boot"), PurePosixPath("/usr"), PurePosixPath("/var"), PurePosixPath("/snap"))
_PARTITION = re.compile(r"(?P<disk>(?:mmcblk|nvme|loop|nbd)\d+(?:n\d+)?)p\d+|(?P<letter_disk>[a-z]+)\d+")
# Drivers that name a file system in their own way. "fuseblk" may be any: udev is asked.
_KINDS: Final = {
    "ntfs3": "ntfs",
    "msdos": "vfat",
    "fuse.fusefat": "vfat",
    "fuse.exfat": "exfat",
    "fuse.ntfs-3g": "ntfs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of /proc/mounts."""

    device: str
    path: str
    file_system: str
    read_only: bool = False


def parse_mounts(text: str) -> list[Mount]:
    r"""The lines of /proc/mounts, where a blank in a path stands as `\040`, and so on."""
    mounts = []
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) >= 4:
            device, path = (_unescape(_MOUNT_ESCAPE, 8, field) for field in fields[:2])
            read_only = "ro" in fields[3].split(",")
            mounts.append(Mount(device=device, path=path, file_system=fields[2], read_only=read_only))
    return mounts


def read_mounts() -> list[Mount]:
    """What is mounted now; nothing on a system without /proc."""
    try:
        return parse_mounts(Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        return []


def mount_of(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that a path without links lies on: the deepest, and of those at one place the last."""
    fitting: Mount | None = None
    for mount in mounts:
        inside = path == mount.path or path.startswith(mount.path.rstrip("/") + "/")
        if inside and (fitting is None or len(mount.path) >= len(fitting.path)):
            fitting = mount
    return fitting


def is_in_memory(path: str) -> bool:
    """Whether a folder lies in the computer's memory: all that is free there is what programs run in."""
    mount = mount_of(os.path.realpath(path), read_mounts())
    return mount is not None and mount.file_system in ("tmpfs", "ramfs")


def unescape_label(name: str) -> str:
    r"""A file name of /dev/disk/by-label as the label it stands for: udev writes a blank as `\x20`."""
    return _unescape(_UDEV_ESCAPE, 16, name)


def parse_udev_record(text: str) -> dict[str, str]:
    """The properties in a file of /run/udev/data: its lines "E:NAME=value"."""
    lines = (line[2:] for line in text.splitlines() if line.startswith("E:"))
    return {name: value for name, found, value in (line.partition("=") for line in lines) if found}


def disk_of(device: str) -> str:
    """The name of the disk a partition lies on, as in /sys/block: "sdb" for "/dev/sdb1"."""
    name = PurePosixPath(device).name
    match = _PARTITION.fullmatch(name)
    return (match["disk"] or match["letter_disk"]) if match else name


def plain_kind(file_system: str, udev_kind: str = "") -> str:
    """A file system's name without that of its driver; what the driver says where nobody knows better."""
    return udev_kind or _KINDS.get(file_system, file_system)


def removable_media(
    mounts: Iterable[Mount],
    *,
    labels: Mapping[str, str],
    uuids: Mapping[str, str],
    is_removable: Callable[[str], bool],
    kind_of: Callable[[str], str] = lambda device: "",
) -> list[Medium]:
    """The mounts that are removable media: the disk says so, or a desktop mounted it where it does that.

    `labels` and `uuids` go from device to text; `is_removable` takes the disk's name, `kind_of` a device.
    """
    media: dict[str, Medium] = {}
    path_of: dict[str, str] = {}
    for mount in mounts:
        path = PurePosixPath(mount.path)
        at_media_place = any(parent in path.parents for parent in _MEDIA_PARENTS)
        on_device = mount.device.startswith("/dev/")
        if not at_media_place and not (
            on_device and not _is_of_the_system(path) and is_removable(disk_of(mount.device))
        ):
            continue
        if on_device and path_of.setdefault(mount.device, mount.path) != mount.path:
            continue
        media[mount.path] = Medium(
            path=Path(mount.path),
            label=labels.get(mount.device) or (path.name if at_media_place else ""),
            uuid=uuids.get(mount.device, ""),
            file_system=plain_kind(mount.file_system, kind_of(mount.device) if on_device else ""),
            read_only=mount.read_only,
        )
    return list(media.values())


def connected_media() -> list[Medium]:
    """The media connected now, as far as this user may see them."""
    return [with_space(medium) for medium in _media_among(read_mounts())]


def medium_at(path: str) -> Medium | None:
    """The medium that a path lies on, without its sizes; None for one on the system's own disks."""
    mount = mount_of(os.path.realpath(path), read_mounts())
    return next(iter(_media_among([mount])), None) if mount is not None else None


def _media_among(mounts: Iterable[Mount]) -> list[Medium]:
    return removable_media(
        mounts,
        labels=device_names("by-label"),
        uuids=device_names("by-uuid"),
        is_removable=_is_removable,
        kind_of=_kind_of,
    )


def device_names(kind: str) -> dict[str, str]:
    """From device to label or uuid, by udev's links ("by-label", "by-uuid")."""
    try:
        return {os.path.realpath(link): unescape_label(link.name) for link in Path("/dev/disk", kind).iterdir()}
    except OSError:  # no udev here, or nothing has a label
        return {}


def kind_of_device(device: str) -> str:
    """The file system on a device as udev's record of it says, or ""."""
    try:
        number = _device_number(os.stat(device))
        record = Path(f"/run/udev/data/b{number}")
        return parse_udev_record(record.read_text(encoding="utf-8", errors="replace")).get("ID_FS_TYPE", "")
    except OSError:
        return ""


def _kind_of(device: str) -> str:
    kind = kind_of_device(device)
    found = None if kind else read_superblock(device)
    return found[0] if found else kind


if sys.platform == "win32":  # where this module is only tried

    def _device_number(status: os.stat_result) -> str:
        return "-"

else:

    def _device_number(status: os.stat_result) -> str:
        return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def _is_of_the_system(path: PurePosixPath) -> bool:
    return path == PurePosixPath("/") or any(path == place or place in path.parents for place in _SYSTEM_PLACES)


def _is_removable(disk: str) -> bool:
    folder = Path("/sys/block", disk)
    try:
        says_so = (folder / "removable").read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False
    return says_so or "/usb" in os.path.realpath(folder)


def _unescape(pattern: re.Pattern[str], base: int, text: str) -> str:
    """Escapes stand for bytes, and several of them for one letter outside ASCII."""
    data = pattern.sub(
        lambda match: chr(0xDC00 + int(match[1], base)) if int(match[1], base) > 127 else chr(int(match[1], base)), text
    )
    return data.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
