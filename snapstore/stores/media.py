"""Which media are connected, and which of them is meant.

Here: the mounted media of this machine (`connected_media`), and the choice of one by its label or by the repository
on it (`find_medium`). The parsers take text, so that they can be tried anywhere; the probes only fetch it. Not here:
mounting, and reading a repository's id, which is the format's business: `find_medium` takes a function for that.

Rules: a medium is known by what is on it, never by its drive letter or mount point, which change. What fits twice is
an `AmbiguousError`, never a guess; what fits nothing is an error that lists what is connected. The repository of a
medium lies in the folder `snapstore` at its root. A medium that cannot be looked at is left out; it may be somebody
else's.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from ..errors import AmbiguousError, StoreUnavailableError

REPOSITORY_FOLDER: Final = "snapstore"
ID_PREFIX_MIN_CHARS: Final = 6  # 24 bits: shorter ones are sooner a label with a typing error than an id

_MOUNT_ESCAPE = re.compile(r"\\([0-7]{3})")
_UDEV_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})")
# Where desktops mount what people plug in.
_MEDIA_PARENTS: Final = (PurePosixPath("/media"), PurePosixPath("/run/media"))
_PARTITION = re.compile(r"(?P<disk>(?:mmcblk|nvme|loop|nbd)\d+(?:n\d+)?)p\d+|(?P<letter_disk>[a-z]+)\d+")

Identify = Callable[[Path], Iterable[str]]
"""From a repository's folder to the hexadecimal ids it is known by (repository, medium); none where it holds none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """A mounted medium. `label` is "" where it has none; `uuid` is what the file system calls itself by, or ""."""

    path: Path
    label: str = ""
    uuid: str = ""

    def __str__(self) -> str:
        return f"{self.label or 'without label'} at {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of /proc/mounts."""

    device: str
    path: str
    file_system: str


def parse_mounts(text: str) -> list[Mount]:
    r"""The lines of /proc/mounts, where a blank in a path stands as `\040`, and so on."""
    mounts = []
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) >= 4:
            device, path = (_unescape(_MOUNT_ESCAPE, 8, field) for field in fields[:2])
            mounts.append(Mount(device=device, path=path, file_system=fields[2]))
    return mounts


def unescape_label(name: str) -> str:
    r"""A file name of /dev/disk/by-label as the label it stands for: udev writes a blank as `\x20`."""
    return _unescape(_UDEV_ESCAPE, 16, name)


def disk_of(device: str) -> str:
    """The name of the disk a partition lies on, as in /sys/block: "sdb" for "/dev/sdb1"."""
    name = PurePosixPath(device).name
    match = _PARTITION.fullmatch(name)
    return (match["disk"] or match["letter_disk"]) if match else name


def removable_media(
    mounts: Iterable[Mount],
    *,
    labels: Mapping[str, str],
    uuids: Mapping[str, str],
    is_removable: Callable[[str], bool],
) -> list[Medium]:
    """The mounts that are removable media: the disk says so, or a desktop mounted it where it does that.

    `labels` and `uuids` go from device to text; `is_removable` takes the disk's name.
    """
    media: dict[str, Medium] = {}
    for mount in mounts:
        path = PurePosixPath(mount.path)
        at_media_place = any(parent in path.parents for parent in _MEDIA_PARENTS)
        on_device = mount.device.startswith("/dev/")
        if not at_media_place and not (on_device and is_removable(disk_of(mount.device))):
            continue
        label = labels.get(mount.device) or (path.name if at_media_place else "")
        media[mount.path] = Medium(path=Path(mount.path), label=label, uuid=uuids.get(mount.device, ""))
    return list(media.values())


def find_medium(
    wanted: str, media: Sequence[Medium], identify: Identify | None = None, *, folder: str = REPOSITORY_FOLDER
) -> Medium:
    """The one medium with the label `wanted` (capitals do not count), its uuid, or a repository id that begins with it.

    Ids are looked for in `folder` of each medium, and only where `identify` is given.
    """
    fits = [medium for medium in media if wanted.casefold() in (medium.label.casefold(), medium.uuid.casefold())]
    if not fits and identify is not None and _is_id_prefix(wanted):
        fits = [medium for medium in media if _holds(medium, wanted.lower(), identify, folder)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise AmbiguousError(
            f"{wanted!r} fits {len(fits)} media: {_listed(fits)}. Disconnect one, or name its folder instead.",
            code="medium_ambiguous",
        )
    raise StoreUnavailableError(
        f"No medium {wanted!r} is connected. Connected: {_listed(media) or 'none'}. Connect it and try again.",
        code="medium_not_connected",
        retryable=False,
    )


def _is_id_prefix(wanted: str) -> bool:
    return re.fullmatch(rf"[0-9a-fA-F]{{{ID_PREFIX_MIN_CHARS},32}}", wanted) is not None


def _holds(medium: Medium, prefix: str, identify: Identify, folder: str) -> bool:
    try:
        return any(found.lower().startswith(prefix) for found in identify(medium.path / folder))
    except OSError:
        return False


def _listed(media: Iterable[Medium]) -> str:
    return ", ".join(map(str, media))


def _unescape(pattern: re.Pattern[str], base: int, text: str) -> str:
    """Escapes stand for bytes, and several of them for one letter outside ASCII."""
    data = pattern.sub(
        lambda match: chr(0xDC00 + int(match[1], base)) if int(match[1], base) > 127 else chr(int(match[1], base)), text
    )
    return data.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def _device_names(folder: Path) -> dict[str, str]:
    """From device to label or uuid, by udev's links."""
    try:
        return {os.path.realpath(link): unescape_label(link.name) for link in folder.iterdir()}
    except OSError:  # no udev here, or nothing has a label
        return {}


def _is_removable_on_linux(disk: str) -> bool:
    try:
        return Path("/sys/block", disk, "removable").read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False


if sys.platform == "win32":
    from ._windows import system_drive, volumes

    def connected_media() -> list[Medium]:
        """The drives with a letter, except the system's. External disks call themselves fixed there, so those count."""
        return [
            Medium(path=Path(volume.root), label=volume.label, uuid=volume.serial)
            for volume in volumes()
            if volume.removable or not volume.root.startswith(system_drive())
        ]

elif sys.platform == "darwin":

    def connected_media() -> list[Medium]:
        """Everything in /Volumes but the system's own volume, which is a link there."""
        try:
            volumes = [str(path) for path in Path("/Volumes").iterdir() if not path.is_symlink()]
        except OSError:
            return []
        return [Medium(path=Path(path), label=Path(path).name) for path in volumes if os.path.ismount(path)]

else:

    def connected_media() -> list[Medium]:
        """The media connected now, as far as this user may see them; none on a system without /proc."""
        try:
            mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return []
        return removable_media(
            parse_mounts(mounts),
            labels=_device_names(Path("/dev/disk/by-label")),
            uuids=_device_names(Path("/dev/disk/by-uuid")),
            is_removable=_is_removable_on_linux,
        )
