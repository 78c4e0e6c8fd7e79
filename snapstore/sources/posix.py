"""Directories on POSIX systems, reached by descriptors and one name at a time.

Here: `PosixAccess`. Not here: what is made of what is found (`directory`), contents (`file`).

Rules: every step below the source is an `openat` of a single name with O_NOFOLLOW, so no path is ever too long and no
link that is swapped in while we walk leads elsewhere. The cost is descriptors, which are few: the first
`ANCHOR_DEPTH` levels keep theirs, below that only every `ANCHOR_DEPTH`th level does. A level between gives its own up
when a child is opened; if it is asked again it steps down from its anchor, and refuses to go on if it finds another
directory there. At 1,000 levels that makes 64 descriptors.

Measured: `scandir` and `lstat` by descriptor take 0.45 s for 125,000 entries, by path 0.52 s.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from ..types import EntryType, Problem
from .attributes import read_xattrs
from .problems import replaced
from .scanned import ScannedEntry

ANCHOR_DEPTH: Final = 32
PATH_STEP_BYTES: Final = 900  # macOS takes paths of 1,024 bytes, Linux of 4,096

_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_NOATIME: Final = getattr(os, "O_NOATIME", 0)  # Linux: reading for a backup is not an access of the user's
_DIRECTORY: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_FILE: Final = os.O_RDONLY | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0)
_PATH_ONLY: Final = getattr(os, "O_PATH", 0)  # Linux: enough to reach what is below a directory that may not be listed

# Linux: extended attributes are asked for by path only; this is a path to what lies in an open directory, of any depth.
_DESCRIPTOR_PATHS: Final = b"/proc/self/fd" if sys.platform == "linux" and os.path.isdir("/proc/self/fd") else b""
# macOS: open a link instead of what it leads to, and never wait for a pipe.
_ITSELF: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_SYMLINK", 0x200000)
_NODES: Final = frozenset({EntryType.CHARACTER_DEVICE, EntryType.BLOCK_DEVICE, None})


class Anchor:
    """An open directory that several levels share; it is closed when the last lets go of it."""

    __slots__ = ("_users", "descriptor")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._users = 1

    def retain(self) -> Anchor:
        """Count one more user."""
        self._users += 1
        return self

    def release(self) -> None:
        """Count one user less."""
        self._users -= 1
        if self._users == 0:
            os.close(self.descriptor)


class PosixAccess:
    """One directory. Used by one thread at a time, closed by whoever opened it; children may outlive it."""

    __slots__ = ("_base", "_depth", "_identity", "_own", "_refusal", "_steps", "path")

    def __init__(self, *, path: str, own: Anchor, depth: int, base: Anchor | None, steps: tuple[bytes, ...]) -> None:
        self.path = path
        self._own: Anchor | None = own
        self._depth = depth
        self._base = base
        self._steps = steps
        self._identity: tuple[int, int] | None = None
        self._refusal: OSError | None = None

    @classmethod
    def open(cls, path: str) -> PosixAccess:
        """Open an absolute path of any size. Links within it are followed: it is what the user named."""
        descriptor, refusal = _open_path(os.fsencode(path))
        access = cls(path=path, own=Anchor(descriptor), depth=0, base=None, steps=())
        access._refusal = refusal
        return access

    def child(self, name: bytes) -> PosixAccess:
        """Open a directory below this one."""
        descriptor, refusal = _open_directory(name, self.descriptor, follow=False)
        path = os.path.join(self.path, os.fsdecode(name))
        base, steps = self._own, [name]
        if base is None or not self._keeps_descriptor:
            base, steps = self._base, [*self._steps, name]
            self._give_up()
        assert base is not None  # only the topmost has no base, and it keeps its descriptor
        access = PosixAccess(
            path=path, own=Anchor(descriptor), depth=self._depth + 1, base=base.retain(), steps=tuple(steps)
        )
        access._refusal = refusal
        return access

    @property
    def descriptor(self) -> int:
        """An open descriptor of this directory, good until the next call that opens a child or closes."""
        if self._own is None:
            self._own = Anchor(self._step_down())
        return self._own.descriptor

    @property
    def batch_descriptor(self) -> int | None:
        """`descriptor`, for calls that read many entries at once."""
        return self.descriptor

    def entries(self) -> Iterator[tuple[bytes, os.stat_result | OSError]]:
        """Yield every name with its `lstat`, or with what kept us from it, in no order."""
        descriptor = self.descriptor
        if self._refusal is not None:
            raise self._refusal
        with os.scandir(descriptor) as found:
            for item in found:
                name = os.fsencode(item.name)
                try:
                    yield name, item.stat(follow_symlinks=False)
                except OSError as error:
                    yield name, error

    def stat(self, name: bytes) -> os.stat_result:
        """Look at one name, not through it."""
        return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)

    def own_stat(self) -> os.stat_result:
        """Look at the directory itself."""
        return os.fstat(self.descriptor)

    def open_file(self, name: bytes) -> int:
        """Open a file for reading. Never waits: a pipe that took its place opens at once, to be refused by the
        caller."""
        return _open_quietly(name, _FILE, self.descriptor)

    def read_link(self, name: bytes) -> bytes:
        """Return a link's target as it is."""
        return os.readlink(name, dir_fd=self.descriptor)

    def xattrs(self, entry: ScannedEntry) -> tuple[dict[bytes, bytes], tuple[Problem, ...]]:
        """Return an entry's extended attributes; no link is followed."""
        path = os.path.join(self.path, os.fsdecode(entry.name))
        if _DESCRIPTOR_PATHS:
            found = read_xattrs(b"%s/%d/%s" % (_DESCRIPTOR_PATHS, self.descriptor, entry.name), path=path)
            if found[0]:
                there = self.stat(entry.name)
                if (there.st_dev, there.st_ino) != (entry.device, entry.inode):
                    raise replaced(path)  # they are those of whatever took its name
            return found
        if sys.platform == "darwin":
            if entry.type in _NODES:  # opening a device may do something
                return {}, ()
            opened = os.open(entry.name, _ITSELF, dir_fd=self.descriptor)
            try:
                return read_xattrs(opened, path=path)
            finally:
                os.close(opened)
        else:
            return read_xattrs(os.fsencode(path), path=path)

    def own_xattrs(self) -> tuple[dict[bytes, bytes], tuple[Problem, ...]]:
        """Return the directory's extended attributes."""
        if _DESCRIPTOR_PATHS:  # a descriptor that may not list cannot be asked directly
            return read_xattrs(b"%s/%d/." % (_DESCRIPTOR_PATHS, self.descriptor), path=self.path)
        return read_xattrs(self.descriptor, path=self.path)

    def close(self) -> None:
        """Let go of all descriptors."""
        if self._own is not None:
            self._own.release()
            self._own = None
        if self._base is not None:
            self._base.release()
            self._base = None

    @property
    def _keeps_descriptor(self) -> bool:
        return self._depth < ANCHOR_DEPTH or self._depth % ANCHOR_DEPTH == 0

    def _give_up(self) -> None:
        """Close the descriptor, remembering which directory it was."""
        if self._own is None:
            return
        if self._identity is None:
            found = os.fstat(self._own.descriptor)
            self._identity = (found.st_dev, found.st_ino)
        self._own.release()
        self._own = None

    def _step_down(self) -> int:
        """Open this directory again from its anchor."""
        if self._base is None:
            raise ValueError("the directory is closed")
        current = os.dup(self._base.descriptor)
        try:
            for name in self._steps:
                below, self._refusal = _open_directory(name, current, follow=False)
                os.close(current)
                current = below
            found = os.fstat(current)
            if (found.st_dev, found.st_ino) != self._identity:
                raise replaced(self.path)
        except BaseException:
            os.close(current)
            raise
        return current


def stat_path(path: str) -> os.stat_result:
    """`os.stat` for an absolute path of any size: links are followed."""
    try:
        return os.stat(path)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
    parent, name = os.path.split(os.fsencode(path))
    descriptor, _ = _open_path(parent)
    try:
        return os.stat(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _open_path(path: bytes) -> tuple[int, OSError | None]:
    """Open a directory in steps that no system finds too long. The second value: why it may not be listed."""
    names = [name for name in path.split(b"/") if name]
    current, refusal = _open_directory(b"/", None, follow=True)
    step: list[bytes] = []
    for position, name in enumerate(names):
        step.append(name)
        size = sum(map(len, step)) + len(step)
        if position + 1 < len(names) and size + len(names[position + 1]) < PATH_STEP_BYTES:
            continue
        try:
            below, refusal = _open_directory(b"/".join(step), current, follow=True)
        finally:
            os.close(current)
        current, step = below, []
    return current, refusal


def _open_directory(name: bytes, parent: int | None, *, follow: bool) -> tuple[int, OSError | None]:
    flags = _DIRECTORY if follow else _DIRECTORY | _NOFOLLOW
    try:
        return _open_quietly(name, flags, parent), None
    except PermissionError as error:
        if not _PATH_ONLY:
            raise
        with suppress(OSError):
            return os.open(name, flags | _PATH_ONLY, dir_fd=parent), error
        raise


def _open_quietly(name: bytes, flags: int, parent: int | None) -> int:
    """Open without touching the time of last access where that is allowed: to the owner and to root."""
    if _NOATIME:
        try:
            return os.open(name, flags | _NOATIME, dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
    return os.open(name, flags, dir_fd=parent)
