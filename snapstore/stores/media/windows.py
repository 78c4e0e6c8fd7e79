"""Media on Windows: the drives with a letter, except the system's.

Here: which drives count as media, from what Windows says of them. Not here: the calls (stores/_windows.py).

Rules: external disks call themselves fixed there, so every drive but the one Windows runs from counts. The choice
takes what was asked and can be tried anywhere; only `connected_media` asks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from .._windows import Volume
from .model import Medium, with_space


def media_among(volumes: Iterable[Volume], system_drive: str) -> list[Medium]:
    """The volumes that are media, where `system_drive` ("C:") is the one Windows runs from."""
    return [
        Medium(
            path=Path(volume.root),
            label=volume.label,
            uuid=volume.serial,
            file_system=plain_kind(volume.file_system),
            read_only=volume.read_only,
        )
        for volume in volumes
        if not volume.remote and (volume.removable or not volume.root.upper().startswith(system_drive.upper()))
    ]


def plain_kind(file_system: str) -> str:
    """Windows' name of a file system in the words of Linux: every width of FAT is "vfat" there."""
    kind = file_system.lower()
    return "vfat" if kind in ("fat", "fat12", "fat16", "fat32") else kind


if sys.platform == "win32":
    from .._windows import system_drive, volume_of, volumes

    def connected_media() -> list[Medium]:
        """The drives that are ready now."""
        return [with_space(medium) for medium in media_among(volumes(), system_drive())]

    def medium_at(path: str) -> Medium | None:
        """The medium that a path lies on, without its sizes; None for one on the system's own drive."""
        try:
            volume = volume_of(path)
        except OSError:
            return None
        return next(iter(media_among([volume], system_drive())), None)
