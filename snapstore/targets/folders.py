"""One folder of the target, as the system sees it: the narrow seam under `directory`.

Here: the protocol, and `DescriptorFolder`, the POSIX way: every step is an openat with O_NOFOLLOW | O_DIRECTORY from
the folder above, so no path is ever resolved by the system, none is too long for it, and a link that stands in the
target leads nowhere. The twin for systems without openat is in `path_folder`.

Rules: names come checked. Methods raise OSError untranslated. Descriptors are few: a pool keeps the most recently used
ones open and opens an ancestor again, from the nearest open one downwards, when it is needed; a folder that is not the
same one then (device and inode differ) is refused. Folders may be used from several threads.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final, Protocol

from .flushing import flush_file_system
from .handles import AttributeHandle, DescriptorHandle, NameHandle

OPEN_FOLDERS_MAX: Final = 64
"""Far below the 256 descriptors that macOS grants; a tree 1,000 deep is still walked back 64 levels at a time."""

_OPEN_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_READ_FILE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class Folder(Protocol):
    """What `TargetDirectory` asks of the system."""

    by_descriptor: bool
    """True: a file's attributes are set through its descriptor, before it is closed."""

    @property
    def above(self) -> Folder | None:
        """The folder above; None for the root of the target."""

    def child(self, name: bytes) -> Folder:
        """Open a folder in this one; ENOTDIR or ELOOP if it is anything else."""

    def entries(self) -> Sequence[tuple[bytes, os.stat_result]]:
        """Everything in the folder, links not followed."""

    def stat(self, name: bytes | None) -> os.stat_result:
        """Facts of a name, or of the folder itself for None; links not followed."""

    def create(self, name: bytes) -> int:
        """A new file, mode 0600, open for writing; EEXIST if the name is taken."""

    def open(self, name: bytes) -> int:
        """A regular file, open for reading; no link is followed."""

    def open_to_flush(self, name: bytes) -> int:
        """A regular file, open in the way that flushing it takes."""

    def make_folder(self, name: bytes) -> None:
        """A new folder, mode 0700."""

    def make_symlink(self, name: bytes, target: bytes) -> None:
        """A new symbolic link."""

    def make_fifo(self, name: bytes) -> None:
        """A new named pipe, mode 0600."""

    def make_device(self, name: bytes, kind: int, device: tuple[int, int]) -> None:
        """A new device node, mode 0600; `kind` is S_IFCHR or S_IFBLK."""

    def make_link(self, name: bytes, folder: Folder, existing: bytes) -> None:
        """A new hard link to `existing` in `folder`, which is of the same class."""

    def rename(self, old: bytes, new: bytes) -> None:
        """Rename within the folder, over what is there."""

    def unlink(self, name: bytes) -> None:
        """Remove anything but a folder."""

    def remove_folder(self, name: bytes) -> None:
        """Remove an empty folder."""

    def handle(self, name: bytes | None) -> AttributeHandle:
        """For the attributes of a name, or of the folder itself for None."""

    def sync(self) -> None:
        """Make the folder's names durable."""

    def sync_file_system(self) -> bool:
        """Make all of the file system that the folder is on durable; False if the system cannot."""

    def close(self) -> None:
        """Give back what is held; the folder may still be used, unless it is the root."""


class DescriptorPool:
    """The open folders of one target, least recently used first."""

    def __init__(self, capacity: int = OPEN_FOLDERS_MAX) -> None:
        self._capacity = max(2, capacity)
        self._lock = threading.RLock()
        self._open: OrderedDict[DescriptorFolder, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def acquire(self, folder: DescriptorFolder) -> int:
        """The folder's descriptor, pinned until `release`."""
        with self._lock:
            if folder.parent is not None:
                self._reach(folder)
            elif folder.descriptor < 0:
                raise OSError(errno.EBADF, "the target was closed")
            folder.pins += 1
            return folder.descriptor

    def release(self, folder: DescriptorFolder) -> None:
        """Unpin."""
        with self._lock:
            folder.pins -= 1

    def close(self, folder: DescriptorFolder) -> None:
        """Close the descriptor of `folder`, or of all if it is the root."""
        with self._lock:
            self._drop(folder)
            if folder.parent is None:
                for other in list(self._open):
                    self._drop(other)

    def _reach(self, folder: DescriptorFolder) -> None:
        missing = []
        node = folder
        while node.descriptor < 0 and node.parent is not None:
            missing.append(node)
            node = node.parent
        if node.descriptor < 0:
            raise OSError(errno.EBADF, "the target was closed")
        for child in reversed(missing):
            assert child.parent is not None
            child.open_from(child.parent.descriptor)
            self._open[child] = None
            self._trim(child)
        if not missing:
            self._open.move_to_end(folder)

    def _trim(self, keep: DescriptorFolder) -> None:
        surplus = len(self._open) - self._capacity  # more than one after many were pinned
        if surplus > 0:
            idle = (folder for folder in self._open if folder is not keep and not folder.pins)
            for folder in list(islice(idle, surplus)):
                self._drop(folder)

    def _drop(self, folder: DescriptorFolder) -> None:
        self._open.pop(folder, None)
        if folder.descriptor >= 0:
            os.close(folder.descriptor)
            folder.descriptor = -1


class DescriptorFolder:
    """A folder reached by openat. `parent` None marks the root, whose descriptor is always open."""

    __slots__ = ("_identity", "_name", "_pool", "by_descriptor", "descriptor", "parent", "pins")

    def __init__(self, pool: DescriptorPool, parent: DescriptorFolder | None, name: bytes) -> None:
        self._pool = pool
        self._name = name
        self._identity: tuple[int, int] | None = None
        self.by_descriptor = True
        self.parent = parent
        self.descriptor = -1
        self.pins = 0

    @classmethod
    def root(cls, path: str, *, open_folders: int = OPEN_FOLDERS_MAX) -> DescriptorFolder:
        """The target itself. Links in `path` are followed: it is the user's own choice."""
        folder = cls(DescriptorPool(open_folders), None, b"")
        folder.descriptor = os.open(path, _OPEN_FOLDER & ~getattr(os, "O_NOFOLLOW", 0))
        return folder

    def open_from(self, above: int) -> None:
        """Open the descriptor; called by the pool with its lock held."""
        descriptor = os.open(self._name, _OPEN_FOLDER, dir_fd=above)
        found = os.fstat(descriptor)
        identity = (found.st_dev, found.st_ino)
        if self._identity not in (None, identity):
            os.close(descriptor)
            raise OSError(errno.ENOTDIR, "another folder has taken its place meanwhile")
        self._identity = identity
        self.descriptor = descriptor

    def pin(self) -> None:
        """Keep the descriptor open until `unpin`."""
        self._pool.acquire(self)

    def unpin(self) -> None:
        """End a `pin`."""
        self._pool.release(self)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """The descriptor, kept open meanwhile."""
        descriptor = self._pool.acquire(self)
        try:
            yield descriptor
        finally:
            self._pool.release(self)

    @property
    def above(self) -> DescriptorFolder | None:
        return self.parent

    def child(self, name: bytes) -> DescriptorFolder:
        folder = DescriptorFolder(self._pool, self, name)
        with folder.opened():
            return folder

    def entries(self) -> Sequence[tuple[bytes, os.stat_result]]:
        with self.opened() as descriptor, os.scandir(descriptor) as entries:
            found = []
            for entry in entries:
                with suppress(FileNotFoundError):  # removed by somebody else meanwhile
                    found.append((os.fsencode(entry.name), entry.stat(follow_symlinks=False)))
            return found

    def stat(self, name: bytes | None) -> os.stat_result:
        with self.opened() as descriptor:
            if name is None:
                return os.fstat(descriptor)
            return os.stat(name, dir_fd=descriptor, follow_symlinks=False)

    def create(self, name: bytes) -> int:
        with self.opened() as descriptor:
            return os.open(name, _NEW_FILE, 0o600, dir_fd=descriptor)

    def open(self, name: bytes) -> int:
        with self.opened() as descriptor:
            opened = os.open(name, _READ_FILE, dir_fd=descriptor)
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise OSError(errno.EEXIST, "not a regular file")
        return opened

    def open_to_flush(self, name: bytes) -> int:
        return self.open(name)

    def make_folder(self, name: bytes) -> None:
        with self.opened() as descriptor:
            os.mkdir(name, 0o700, dir_fd=descriptor)

    def make_symlink(self, name: bytes, target: bytes) -> None:
        with self.opened() as descriptor:
            os.symlink(target, name, dir_fd=descriptor)

    def make_fifo(self, name: bytes) -> None:
        if sys.platform != "win32":
            with self.opened() as descriptor:
                os.mkfifo(name, 0o600, dir_fd=descriptor)
        else:
            raise OSError(errno.ENOTSUP, "named pipes")

    def make_device(self, name: bytes, kind: int, device: tuple[int, int]) -> None:
        if sys.platform != "win32":
            with self.opened() as descriptor:
                os.mknod(name, kind | 0o600, os.makedev(*device), dir_fd=descriptor)
        else:
            raise OSError(errno.ENOTSUP, "device nodes")

    def make_link(self, name: bytes, folder: Folder, existing: bytes) -> None:
        assert isinstance(folder, DescriptorFolder)
        with self.opened() as here, folder.opened() as there:
            os.link(existing, name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)

    def rename(self, old: bytes, new: bytes) -> None:
        with self.opened() as descriptor:
            os.rename(old, new, src_dir_fd=descriptor, dst_dir_fd=descriptor)

    def unlink(self, name: bytes) -> None:
        with self.opened() as descriptor:
            os.unlink(name, dir_fd=descriptor)

    def remove_folder(self, name: bytes) -> None:
        with self.opened() as descriptor:
            os.rmdir(name, dir_fd=descriptor)

    def handle(self, name: bytes | None) -> AttributeHandle:
        with self.opened() as descriptor:
            # The handle outlives the pin, so it gets a descriptor of its own, and closes it.
            own = os.dup(descriptor)
        try:
            return DescriptorHandle(own, owned=True) if name is None else NameHandle(own, name)
        except BaseException:
            os.close(own)
            raise

    def sync(self) -> None:
        with self.opened() as descriptor:
            os.fsync(descriptor)

    def sync_file_system(self) -> bool:
        with self.opened() as descriptor:
            return flush_file_system(descriptor)

    def close(self) -> None:
        self._pool.close(self)
