"""One look at everything in a folder.

Here: `FolderLook`, and how it is made of what the system tells one by one (`look_at_each`). Not here: which system
calls that takes (`posix`, `windows`) and the way that makes them all in one go (`native`).

Rules: a folder that is `plain` and whose `signature` is that of an earlier look needs no object for each of its files,
which is most of what an unchanged snapshot would otherwise spend. So `entries` are made when they are first asked for.

Shape of a signature, in this machine's byte order, for each entry by rising name: size of the name, type (the values
of `EntryType`, 255 for what cannot be saved), the name; and for all but folders size, time of modification and of
change (seconds, nanoseconds), inode (two halves: ReFS has 128 bits), permission bits, owner, group and Windows
attributes. Device, blocks and number of links are not in it: they change while a file stays as it is. It is kept in
the station's cache only.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Final

from ..types import EntryType, Problem
from .scanned import ScannedEntry

_HEAD: Final = struct.Struct("=HB")
_BODY: Final = struct.Struct("=qqIqIQQHIII")
_UNSUPPORTED: Final = 255
_PLAIN: Final = frozenset({EntryType.FILE, EntryType.SYMLINK, EntryType.DIRECTORY})
_SECOND_NS: Final = 1_000_000_000
_LOW_64: Final = 2**64 - 1
_LOW_32: Final = 2**32 - 1


class FolderLook:
    """What is in a folder."""

    __slots__ = ("_entries", "_folders", "_make", "complete", "newest_ns", "plain", "problems", "signature")

    def __init__(
        self,
        *,
        signature: bytes,
        newest_ns: int,
        problems: tuple[Problem, ...],
        complete: bool,
        plain: bool,
        make: tuple[Callable[[], list[ScannedEntry]], Callable[[], list[ScannedEntry]]],
    ) -> None:
        """`make` returns all entries, and those that are folders, by rising name; each is called once at most."""
        self.signature: Final = signature
        """Equal on two looks exactly if no name and nothing but folders differs in what the module's shape lists."""
        self.newest_ns: Final = newest_ns
        """The greatest time of modification or change of all but folders; 0 if there is nothing else."""
        self.problems: Final = problems
        """What cannot be saved or looked at, by rising path."""
        self.complete: Final = complete
        """False if the folder could not be listed, or not to its end."""
        self.plain: Final = plain
        """True if there is nothing but folders, and symbolic links and files with one name each, and no problem."""
        self._make = make
        self._entries: list[ScannedEntry] | None = None
        self._folders: list[ScannedEntry] | None = None

    @property
    def entries(self) -> list[ScannedEntry]:
        """What is in the folder, by rising name. Sockets and the like are among it, with type None."""
        if self._entries is None:
            self._entries = self._make[0]()
        return self._entries

    @property
    def folders(self) -> list[ScannedEntry]:
        """The folders in it, by rising name."""
        if self._folders is None:
            self._folders = self._make[1]()
        return self._folders


def look_at_each(entries: Iterable[ScannedEntry], problems: Iterable[Problem], *, complete: bool) -> FolderLook:
    """Return the look that `entries`, in any order, and `problems` make."""
    found = sorted(entries, key=itemgetter(0))
    trouble = tuple(sorted(problems, key=lambda problem: problem.path))
    others = [entry for entry in found if entry.type is not EntryType.DIRECTORY]
    return FolderLook(
        signature=b"".join(map(_signed, found)),
        newest_ns=max((max(entry.mtime_ns, entry.ctime_ns) for entry in others), default=0),
        problems=trouble,
        complete=complete,
        plain=not trouble and all(map(_is_plain, found)),
        make=(lambda: found, lambda: [entry for entry in found if entry.type is EntryType.DIRECTORY]),
    )


def _is_plain(entry: ScannedEntry) -> bool:
    return entry.type in _PLAIN and (entry.type is EntryType.DIRECTORY or entry.links == 1)


def _signed(entry: ScannedEntry) -> bytes:
    kind = _UNSUPPORTED if entry.type is None else entry.type.value
    head = _HEAD.pack(len(entry.name), kind) + entry.name
    if entry.type is EntryType.DIRECTORY:
        return head
    attributes = _LOW_32 if entry.windows_attributes is None else entry.windows_attributes
    return head + _BODY.pack(
        entry.size,
        *divmod(entry.mtime_ns, _SECOND_NS),
        *divmod(entry.ctime_ns, _SECOND_NS),
        entry.inode & _LOW_64,
        entry.inode >> 64,
        entry.mode,
        entry.uid & _LOW_32,
        entry.gid & _LOW_32,
        attributes,
    )
