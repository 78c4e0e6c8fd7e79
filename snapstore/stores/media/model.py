"""What a medium is, and which one is meant.

Here: `Medium`, and the choice of one by its label or by the repository on it (`find_medium`). Not here: which media
are connected (linux.py, windows.py, macos.py), mounting, and reading a repository's id, which is the format's
business: `find_medium` takes a function for that.

Rules: a medium is known by what is on it, never by its drive letter or mount point, which change. What fits twice is
an `AmbiguousError`, never a guess; what fits nothing is an error that lists what is connected. The repository of a
medium lies in the folder `snapstore` at its root. A medium that cannot be looked at is left out; it may be somebody
else's.
"""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ...errors import AmbiguousError, StoreUnavailableError

REPOSITORY_FOLDER: Final = "snapstore"
ID_PREFIX_MIN_CHARS: Final = 6  # 24 bits: shorter ones are sooner a label with a typing error than an id

Identify = Callable[[Path], Iterable[str]]
"""From a repository's folder to the hexadecimal ids it is known by (repository, medium); none where it holds none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """A mounted medium. Texts are "" and sizes None where the system does not say."""

    path: Path
    label: str = ""
    uuid: str = ""
    """What the file system calls itself by; a serial number on FAT and exFAT."""
    file_system: str = ""
    """In the words of Linux: "vfat", "exfat", "ntfs", "ext4" ..."""
    total_bytes: int | None = None
    free_bytes: int | None = None
    read_only: bool = False

    def __str__(self) -> str:
        return f"{self.label or 'without label'} at {self.path}"


def space_of(path: Path) -> tuple[int | None, int | None]:
    """Total and free bytes of the file system at `path`; None for both where it does not tell."""
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return None, None
    return (usage.total, usage.free) if usage.total else (None, None)  # some FUSE ones leave the answer blank


def with_space(medium: Medium) -> Medium:
    """The medium with its sizes asked for."""
    total, free = space_of(medium.path)
    return replace(medium, total_bytes=total, free_bytes=free)


def find_medium(
    wanted: str, media: Sequence[Medium], identify: Identify | None = None, *, folder: str = REPOSITORY_FOLDER
) -> Medium:
    """The one medium with the label `wanted` (capitals do not count), its uuid, or a repository id that begins with it.

    Ids are looked for in `folder` of each medium, and only where `identify` is given. "" is nobody's label.
    """
    name = _plain(wanted)
    fits = [medium for medium in media if name and name in (_plain(medium.label), _plain(medium.uuid))]
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


def _plain(label: str) -> str:
    """What counts of a label: an accent is one letter with it on one system, and a letter and a mark on another."""
    return unicodedata.normalize("NFC", label).casefold()


def _is_id_prefix(wanted: str) -> bool:
    return re.fullmatch(rf"[0-9a-fA-F]{{{ID_PREFIX_MIN_CHARS},32}}", wanted) is not None


def _holds(medium: Medium, prefix: str, identify: Identify, folder: str) -> bool:
    try:
        return any(found.lower().startswith(prefix) for found in identify(medium.path / folder))
    except OSError:
        return False


def _listed(media: Iterable[Medium]) -> str:
    return ", ".join(map(str, media))
