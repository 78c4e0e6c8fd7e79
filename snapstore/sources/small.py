"""Small files, many at once.

Here: `SmallFile`, `SmallFiles`, and how one file is read by itself (`read_one`). Not here: the way that reads them all
in one go (`native`).

Rules: as for `SourceFile`, what is read is a file as it was when it was opened, and a file that cannot be read is an
error beside the others, raised by nobody. What one call returns lies in memory whole: callers pass a few hundred files
or about 1 MiB at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from .attributes import Attributes
from .file import SourceFile
from .scanned import ScannedEntry

UNKNOWN: Final = Attributes()
"""What a file that could not be opened carries."""


class SmallFile(NamedTuple):
    """One file. A NamedTuple for the reason that `ScannedEntry` is one."""

    entry: ScannedEntry
    """What it was when it was opened; the object that was passed in if nothing differs."""
    size: int
    """Bytes that were read, at most one more than the limit; 0 after an error."""
    changed: bool
    """True if size or times changed while it was read, or if it ended before its size."""
    attributes: Attributes
    """Files without extended attributes share one object for each owner and group."""
    error: OSError | None
    """Why it could not be read: what `SourceDirectory.open_file` raises, or reading does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallFiles:
    """Files in the order in which they were asked for, and their contents back to back."""

    data: bytes
    files: list[SmallFile]


def read_one(
    entry: ScannedEntry,
    limit: int,
    open_file: Callable[[ScannedEntry], SourceFile],
    attributes_of: Callable[[ScannedEntry, SourceFile], Attributes],
) -> tuple[SmallFile, bytes]:
    """Read one file, at most `limit + 1` bytes of it. Raises no OSError."""
    try:
        with open_file(entry) as file:
            data = file.read_all(limit + 1)
            opened = file.entry if file.entry != entry else entry
            attributes = attributes_of(opened, file)
            changed = file.changed() or len(data) < min(opened.size, limit + 1)
    except OSError as error:
        return SmallFile(entry, 0, False, UNKNOWN, error), b""
    return SmallFile(opened, len(data), changed, attributes, None), data
