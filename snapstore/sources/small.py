"""Small files, many at once.

Here: `SmallFile`, `SmallFiles`, and how one file is read by itself (`read_one`). Not here: the way that reads them all
in one go (`native`).

Rules: as for `SourceFile`, what is read is a file as it was when it was opened, and a file that cannot be read is an
error beside the others, raised by nobody. What one call returns lies in memory whole: callers pass a few hundred files
or about 1 MiB at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class SmallFiles:
    """Files in the order in which they were asked for, and their contents back to back."""

    __slots__ = ("_entries", "_files", "attributes", "data")

    def __init__(self, data: bytes, files: Sequence[SmallFile]) -> None:
        self.data = data
        self.attributes: Attributes | None = None
        """Those of all files, if each is as it was listed, was read whole and held still; else None."""
        self._files: Sequence[SmallFile] | None = files
        self._entries: Sequence[ScannedEntry] = ()

    @classmethod
    def ordinary(cls, data: bytes, entries: Sequence[ScannedEntry], attributes: Attributes) -> SmallFiles:
        """Return what was read of files of which there is nothing to say but that they have these attributes."""
        made = cls(data, ())
        made.attributes, made._entries, made._files = attributes, entries, None
        return made

    @property
    def files(self) -> Sequence[SmallFile]:
        """What there is to say of each."""
        if self._files is None:
            attributes = self.attributes or UNKNOWN
            self._files = [SmallFile(entry, entry.size, False, attributes, None) for entry in self._entries]
        return self._files


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
