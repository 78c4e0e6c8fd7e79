"""Directories of a source: what is in them, and the way to it.

Here: `open_source` and `SourceDirectory`, with `ScannedEntry`, `SourceFile` and `Attributes` at hand. Not here: which
of it is saved (`excludes`, `layout`) and how the system is asked (`posix`, `windows`).

Rules: a walk goes down with `child`, depth first, and closes each directory when it is done with it; one thread at a
time. Trees may be 1,000 levels deep and paths longer than the system takes. A directory that cannot be opened or
listed does not raise when it is entered: it scans as having no entries, `complete` is False and `problems` says why.
`open_file` and `read_link` raise OSError for the caller to put into the report by `problem_from_error`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from ..types import Problem
from .attributes import Attributes, OwnerNames, read_xattrs
from .file import SourceFile
from .look import FolderLook, look_at_each
from .native import choose_posix, look_at_once, read_at_once
from .problems import problem_from_error, replaced, unsupported_type
from .scanned import ScannedEntry, entry_from_stat, name_text
from .small import SmallFile, SmallFiles, read_one

if sys.platform == "win32":
    from .windows import WindowsAccess as Access
else:
    from .posix import PosixAccess as Access

__all__ = [
    "Attributes",
    "FolderLook",
    "ScannedEntry",
    "SmallFile",
    "SmallFiles",
    "SourceDirectory",
    "SourceFile",
    "open_source",
    "problem_from_error",
]


class SourceDirectory:
    """A directory that is being saved; close it, or use it in a `with` statement."""

    __slots__ = ("_access", "_complete", "_failure", "_owners", "_problems", "path")

    def __init__(self, access: Access | OSError, *, path: str, owners: OwnerNames) -> None:
        """For `open_source` and `child`, which callers use."""
        self.path = path
        self._owners = owners
        self._access: Access | None = None
        self._failure: OSError | None = None
        if isinstance(access, OSError):
            self._failure = access
        else:
            self._access = access
        self._problems: tuple[Problem, ...] = ()
        self._complete = True

    def __enter__(self) -> SourceDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What the last `scan` could not save or look at; `path` in them is the source's."""
        return self._problems

    @property
    def complete(self) -> bool:
        """False after a `scan` that could not list the directory, or not to its end."""
        return self._complete

    def close(self) -> None:
        """Let go of the directory. Children that are still open stay good."""
        if self._access is not None:
            self._access.close()
            self._access = None

    def scan(self) -> list[ScannedEntry]:
        """Return what is in the directory, by rising name. Each name is looked at once.

        Sockets and the like are among the entries, with type None, and are a problem too.
        """
        look = self.look()
        self._problems, self._complete = look.problems, look.complete
        return look.entries

    def look(self, *, _native: bool | None = None) -> FolderLook:
        """Look at every name in the directory once. `problems` and `complete` of the answer count, not the
        directory's."""
        posix, descriptor = choose_posix(native=_native), self._batch_descriptor()
        if posix is not None and descriptor is not None:
            look = look_at_once(posix, descriptor, self.path_of)
            if look is not None:
                return look
        entries: list[ScannedEntry] = []
        problems: list[Problem] = []
        complete = True
        try:
            for name, found in self._opened().entries():
                if isinstance(found, OSError):
                    problems.append(problem_from_error(found, self.path_of(name)))
                    continue
                entry = entry_from_stat(name, found)
                if entry.type is None:
                    problems.append(unsupported_type(self.path_of(name)))
                entries.append(entry)
        except OSError as error:
            complete = False
            problems.append(problem_from_error(error, self.path))
        return look_at_each(entries, problems, complete=complete)

    def entry(self, name: bytes) -> ScannedEntry:
        """Look at one name again, or at a source that is a single file. Raises OSError."""
        return entry_from_stat(name, self._opened().stat(name))

    def own_entry(self, name: bytes = b"") -> ScannedEntry:
        """Return the entry of the directory itself, under the name it is to have. Raises OSError."""
        return entry_from_stat(name, self._opened().own_stat())

    def child(self, name: bytes) -> SourceDirectory:
        """Go to a directory in this one. Never raises OSError: see the module's rules."""
        path = self.path_of(name)
        try:
            return SourceDirectory(self._opened().child(name), path=path, owners=self._owners)
        except OSError as error:
            return SourceDirectory(error, path=path, owners=self._owners)

    def open_file(self, entry: ScannedEntry) -> SourceFile:
        """Open a file for reading. Raises OSError, also if what is there now is not a regular file."""
        file = SourceFile(self._opened().open_file(entry.name), name=entry.name, parent=self.path)
        if sys.platform == "win32" and entry.inode and file.entry.inode != entry.inode:
            self._refuse_link(file)
        return file

    def read_small(self, entries: Sequence[ScannedEntry], limit: int, *, _native: bool | None = None) -> SmallFiles:
        """Read files whole, with their attributes; of one that is larger than `limit` bytes, one byte more than that.

        Keep what they hold together to about 1 MiB. Never raises OSError: see `SmallFile.error`.
        """

        def alone(entry: ScannedEntry) -> tuple[SmallFile, bytes]:
            return read_one(entry, limit, self.open_file, self.attributes)

        posix, descriptor = choose_posix(native=_native), self._batch_descriptor()
        if posix is not None and descriptor is not None:
            return read_at_once(posix, descriptor, entries, limit, self._owners, alone)
        read = list(map(alone, entries))
        return SmallFiles(b"".join([data for _, data in read]), [file for file, _ in read])

    def read_link(self, entry: ScannedEntry) -> bytes:
        """Return the target of a symbolic link as it is. Raises OSError."""
        try:
            return self._opened().read_link(entry.name)
        except OSError as error:
            if isinstance(error, FileNotFoundError | PermissionError):
                raise
            raise replaced(self.path_of(entry.name)) from error

    def attributes(self, entry: ScannedEntry, file: SourceFile | None = None) -> Attributes:
        """Return what an entry carries besides. `file`, if it is open, saves the system a search. Never raises
        OSError."""
        path = self.path_of(entry.name)
        try:
            if file is not None:
                xattrs, problems = read_xattrs(file.descriptor, path=path)
            else:
                xattrs, problems = self._opened().xattrs(entry)
        except OSError as error:
            xattrs, problems = {}, (problem_from_error(error, path),)
        return self._named(entry, xattrs, problems)

    def own_attributes(self) -> Attributes:
        """Return what the directory itself carries besides. Never raises OSError."""
        try:
            access = self._opened()
            return self._named(self.own_entry(), *access.own_xattrs())
        except OSError as error:
            return Attributes(problems=(problem_from_error(error, self.path),))

    def path_of(self, name: bytes) -> str:
        """Return the source path of a name in this directory."""
        return os.path.join(self.path, name_text(name))

    def _opened(self) -> Access:
        if self._access is None:
            if self._failure is not None:
                raise self._failure
            raise ValueError(f"the directory {self.path!r} is closed")
        return self._access

    def _batch_descriptor(self) -> int | None:
        """Return the descriptor for calls that read many at once; None where there is none, or why there is none
        is to be told one by one."""
        with suppress(OSError):
            return None if self._access is None else self._access.batch_descriptor
        return None

    def _named(self, entry: ScannedEntry, xattrs: dict[bytes, bytes], problems: tuple[Problem, ...]) -> Attributes:
        if not xattrs and not problems:
            return self._owners.nothing_else(entry.uid, entry.gid)
        user, group = self._owners.user(entry.uid), self._owners.group(entry.gid)
        return Attributes(xattrs=xattrs, user=user, group=group, problems=problems)

    def _refuse_link(self, file: SourceFile) -> None:
        """Windows opens what a link leads to: accept another file under the name only if it is one itself."""
        try:
            if self.entry(file.entry.name).inode == file.entry.inode:
                return
            raise replaced(file.path)
        except OSError:
            file.close()
            raise


def open_source(path: str) -> SourceDirectory:
    """Open a directory that is named as a source, or what a source lies in. Links on the way are followed.

    `path` is absolute, of any size. Never raises OSError: see the module's rules.
    """
    owners = OwnerNames()
    try:
        return SourceDirectory(Access.open(path), path=path, owners=owners)
    except OSError as error:
        return SourceDirectory(error, path=path, owners=owners)
