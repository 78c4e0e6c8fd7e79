"""One thing in the target whose attributes are read and set, without ever following a link.

Here: the protocol, and its POSIX twins (an open descriptor; a name in an open folder). The Windows one is in `windows`.

Rules: every method raises OSError as the system gives it, ENOTSUP where the system has no such notion. On Linux a name
is pinned by an O_PATH descriptor, and calls that know no "do not follow" go through /proc/self/fd, which leads to the
very object and not to what a link names. Owner and times do not need /proc, so they come back in a bare rescue system.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Protocol

from . import xattrs


class AttributeHandle(Protocol):
    """Reads and sets the attributes of one thing; the values are the system's."""

    def stat(self) -> os.stat_result:
        """The facts of the thing itself."""

    def chown(self, uid: int, gid: int) -> None:
        """Set owner and group; -1 leaves one as it is."""

    def chmod(self, mode: int) -> None:
        """Set the twelve permission bits."""

    def set_times(self, access_ns: int, modified_ns: int, birth_ns: int | None) -> None:
        """Set the times; that of creation where the system lets it be set."""

    def set_windows_attributes(self, attributes: int) -> None:
        """Set read-only, hidden, system and the like."""

    def list_xattrs(self) -> Sequence[bytes]:
        """Names of the extended attributes."""

    def set_xattr(self, name: bytes, value: bytes) -> None:
        """Create or replace one extended attribute."""

    def remove_xattr(self, name: bytes) -> None:
        """Remove one extended attribute."""

    def close(self) -> None:
        """Give back what the handle holds."""


def unsupported(what: str) -> OSError:
    """The error for a notion that this system does not have."""
    return OSError(errno.ENOTSUP, what)


class DescriptorHandle:
    """An open file or folder. The descriptor stays the caller's unless it is `owned`."""

    __slots__ = ("_descriptor", "_owned")

    def __init__(self, descriptor: int, *, owned: bool = False) -> None:
        self._descriptor = descriptor
        self._owned = owned

    def stat(self) -> os.stat_result:
        return os.fstat(self._descriptor)

    def chown(self, uid: int, gid: int) -> None:
        if sys.platform != "win32":
            os.fchown(self._descriptor, uid, gid)
        else:
            raise unsupported("owner")

    def chmod(self, mode: int) -> None:
        if sys.platform != "win32":
            os.fchmod(self._descriptor, mode)
        else:
            raise unsupported("mode")

    def set_times(self, access_ns: int, modified_ns: int, birth_ns: int | None) -> None:
        os.utime(self._descriptor, ns=(access_ns, modified_ns))

    def set_windows_attributes(self, attributes: int) -> None:
        raise unsupported("Windows attributes")

    def list_xattrs(self) -> Sequence[bytes]:
        return xattrs.list_xattrs(self._descriptor)

    def set_xattr(self, name: bytes, value: bytes) -> None:
        xattrs.set_xattr(self._descriptor, name, value)

    def remove_xattr(self, name: bytes) -> None:
        xattrs.remove_xattr(self._descriptor, name)

    def close(self) -> None:
        if self._owned:
            os.close(self._descriptor)
            self._owned = False


class NameHandle:
    """A name in an open folder, of any type. The handle owns the descriptor `folder` once it is made."""

    __slots__ = ("_anchor", "_folder", "_name")

    def __init__(self, folder: int, name: bytes) -> None:
        self._folder = folder
        self._name = name
        self._anchor = -1
        if sys.platform == "linux":
            self._anchor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)

    @property
    def _path(self) -> str:
        return f"/proc/self/fd/{self._anchor}"

    def _xattr_target(self) -> int | str:
        if sys.platform == "darwin" and self._anchor < 0:
            # Only when it is needed: opening a device can set something off.
            self._anchor = os.open(self._name, os.O_RDONLY | os.O_SYMLINK | os.O_NONBLOCK, dir_fd=self._folder)
        return self._path if sys.platform == "linux" else self._anchor

    def stat(self) -> os.stat_result:
        if self._anchor >= 0:
            return os.fstat(self._anchor)
        return os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)

    def chown(self, uid: int, gid: int) -> None:
        if sys.platform != "win32":
            os.chown(self._name, uid, gid, dir_fd=self._folder, follow_symlinks=False)
        else:
            raise unsupported("owner")

    def chmod(self, mode: int) -> None:
        if sys.platform == "linux":
            os.chmod(self._path, mode)
        else:
            os.chmod(self._name, mode, dir_fd=self._folder, follow_symlinks=False)

    def set_times(self, access_ns: int, modified_ns: int, birth_ns: int | None) -> None:
        os.utime(self._name, ns=(access_ns, modified_ns), dir_fd=self._folder, follow_symlinks=False)

    def set_windows_attributes(self, attributes: int) -> None:
        raise unsupported("Windows attributes")

    def list_xattrs(self) -> Sequence[bytes]:
        return xattrs.list_xattrs(self._xattr_target())

    def set_xattr(self, name: bytes, value: bytes) -> None:
        xattrs.set_xattr(self._xattr_target(), name, value)

    def remove_xattr(self, name: bytes) -> None:
        xattrs.remove_xattr(self._xattr_target(), name)

    def close(self) -> None:
        if self._anchor >= 0:
            os.close(self._anchor)
            self._anchor = -1
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1
