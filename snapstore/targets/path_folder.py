"""A folder of the target reached by its path: for Windows, which has no openat.

Rules: the same as `folders.Folder`. A folder is looked at before it is entered, and what leads elsewhere (symbolic
links, junctions, mounted folders) is not entered. Between that look and a write somebody else who may write in the
target could put a link there: unlike the POSIX twin this is safe against what a snapshot or a target *holds*, not
against a second program that changes the target during the restore.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Sequence

from .folders import Folder
from .handles import AttributeHandle, NameHandle
from .windows import WindowsHandle, extended_path, is_real_folder

_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_CLOEXEC", 0)
_DO_NOT_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class PathFolder:
    """A folder by its full path. `parent` None marks the root."""

    __slots__ = ("_path", "above", "by_descriptor")

    def __init__(self, path: str, above: PathFolder | None) -> None:
        self._path = path
        self.above = above
        self.by_descriptor = False  # closing a file on Windows may touch its times once more

    @classmethod
    def root(cls, path: str) -> PathFolder:
        """The target itself."""
        resolved = extended_path(path) if sys.platform == "win32" else os.path.abspath(path)
        if not os.path.isdir(resolved):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return cls(resolved, None)

    def _at(self, name: bytes) -> str:
        return os.path.join(self._path, os.fsdecode(name))

    def child(self, name: bytes) -> PathFolder:
        path = self._at(name)
        if not is_real_folder(os.lstat(path)):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return PathFolder(path, self)

    def entries(self) -> Sequence[tuple[bytes, os.stat_result]]:
        # The listing's own facts lack inode and link count on Windows.
        return [(os.fsencode(name), os.lstat(os.path.join(self._path, name))) for name in os.listdir(self._path)]

    def stat(self, name: bytes | None) -> os.stat_result:
        return os.stat(self._path) if name is None else os.lstat(self._at(name))

    def create(self, name: bytes) -> int:
        return os.open(self._at(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)

    def open(self, name: bytes) -> int:
        path = self._at(name)
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "not a regular file")
        return os.open(path, os.O_RDONLY | _BINARY | _DO_NOT_FOLLOW)

    def open_to_flush(self, name: bytes) -> int:
        if sys.platform != "win32":
            return self.open(name)
        else:
            return os.open(self._at(name), os.O_RDWR | _BINARY)  # FlushFileBuffers asks for the right to write

    def make_folder(self, name: bytes) -> None:
        os.mkdir(self._at(name), 0o700)

    def make_symlink(self, name: bytes, target: bytes) -> None:
        text = os.fsdecode(target)
        # Windows must be told what kind of link it is; for a dangling one nobody knows, and a file is the common case.
        is_folder = sys.platform == "win32" and os.path.isdir(os.path.join(self._path, text))
        os.symlink(text, self._at(name), target_is_directory=is_folder)

    def make_fifo(self, name: bytes) -> None:
        if sys.platform != "win32":
            os.mkfifo(self._at(name), 0o600)
        else:
            raise OSError(errno.ENOTSUP, "named pipes")

    def make_device(self, name: bytes, kind: int, device: tuple[int, int]) -> None:
        if sys.platform != "win32":
            os.mknod(self._at(name), kind | 0o600, os.makedev(*device))
        else:
            raise OSError(errno.ENOTSUP, "device nodes")

    def make_link(self, name: bytes, folder: Folder, existing: bytes) -> None:
        assert isinstance(folder, PathFolder)
        os.link(folder._at(existing), self._at(name), follow_symlinks=sys.platform == "win32")

    def rename(self, old: bytes, new: bytes) -> None:
        try:
            os.replace(self._at(old), self._at(new))
        except PermissionError:
            if sys.platform == "win32":
                os.chmod(self._at(new), stat.S_IWRITE)  # a read-only file is not replaced otherwise
                os.replace(self._at(old), self._at(new))
            else:
                raise

    def unlink(self, name: bytes) -> None:
        path = self._at(name)
        if sys.platform != "win32":
            os.unlink(path)
        elif stat.S_ISDIR(os.lstat(path).st_mode):
            os.rmdir(path)  # a junction or a link to a folder: removes the link alone
        else:
            try:
                os.unlink(path)
            except PermissionError:
                os.chmod(path, stat.S_IWRITE)
                os.unlink(path)

    def remove_folder(self, name: bytes) -> None:
        os.rmdir(self._at(name))

    def handle(self, name: bytes | None) -> AttributeHandle:
        if sys.platform != "win32":
            return NameHandle(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC), b"." if name is None else name)
        else:
            return WindowsHandle(self._path if name is None else self._at(name))

    def sync(self) -> None:
        """Windows writes names through its own journal; there is no call for one folder."""

    def sync_file_system(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing is held."""
