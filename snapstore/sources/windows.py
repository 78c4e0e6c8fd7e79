"""Directories on Windows, reached by paths with the `\\\\?\\` prefix.

Here: `WindowsAccess`, the twin of `posix.PosixAccess`. Not here: what is made of what is found.

Rules: the prefix lifts the limit of 260 characters and lets through names that the shell cannot type (a dot or a
space at the end, `AUX`). Files are opened with all sharing allowed, because applications hold their databases open
all day; the C runtime's own `open` would refuse to let them write meanwhile. Each name is asked for with `lstat`:
what a listing itself says of size and times may be stale for files that are open, and it never tells the number of
hard links.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Final

from ..types import Problem
from .scanned import ScannedEntry, name_bytes, name_text

_PREFIX: Final = "\\\\?\\"


def extended_path(path: str) -> str:
    """Return an absolute path with the prefix that lifts the limits."""
    if path.startswith(_PREFIX):
        return path
    if path.startswith("\\\\"):
        return _PREFIX + "UNC\\" + path[2:]
    return _PREFIX + path


def plain_link_target(target: str) -> str:
    """Return a link's target as people know it: Windows gives absolute ones with the prefix."""
    if target.startswith(_PREFIX + "UNC\\"):
        return "\\\\" + target[8:]
    if target.startswith(_PREFIX) and target[5:6] == ":":
        return target[4:]
    return target


class WindowsAccess:
    """One directory."""

    __slots__ = ("_extended", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._extended = extended_path(path)

    @classmethod
    def open(cls, path: str) -> WindowsAccess:
        """Take an absolute path of any size. Nothing is held open."""
        return cls(path)

    def child(self, name: bytes) -> WindowsAccess:
        """Go to a directory below this one."""
        return WindowsAccess(os.path.join(self.path, name_text(name)))

    @property
    def batch_descriptor(self) -> int | None:
        """None: nothing is held open."""
        return None

    def entries(self) -> Iterator[tuple[bytes, os.stat_result | OSError]]:
        """Yield every name with its `lstat`, or with what kept us from it, in no order."""
        with os.scandir(self._extended) as found:
            for item in found:
                name = name_bytes(item.name)
                try:
                    yield name, os.lstat(item.path)
                except OSError as error:
                    yield name, error

    def stat(self, name: bytes) -> os.stat_result:
        """Look at one name, not through it."""
        return os.lstat(self._below(name))

    def own_stat(self) -> os.stat_result:
        """Look at the directory itself."""
        return os.stat(self._extended)

    def open_file(self, name: bytes) -> int:
        """Open a file for reading while others may read, write, rename and delete it."""
        return open_shared(self._below(name))

    def read_link(self, name: bytes) -> bytes:
        """Return the target of a link or junction."""
        return name_bytes(plain_link_target(os.readlink(self._below(name))))

    def xattrs(self, entry: ScannedEntry) -> tuple[dict[bytes, bytes], tuple[Problem, ...]]:
        """Return nothing: Windows has no extended attributes that programs use."""
        return {}, ()

    def own_xattrs(self) -> tuple[dict[bytes, bytes], tuple[Problem, ...]]:
        """Return nothing."""
        return {}, ()

    def close(self) -> None:
        """Do nothing: no handle is held."""

    def _below(self, name: bytes) -> str:
        return os.path.join(self._extended, name_text(name))


if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _GENERIC_READ: Final = 0x80000000
    _SHARE_ALL: Final = 0x1 | 0x2 | 0x4  # read, write, delete (which is also rename)
    _OPEN_EXISTING: Final = 3
    _FLAGS: Final = 0x02000000 | 0x08000000  # backup semantics (a backup operator may read all), sequential scan
    _INVALID_HANDLE: Final = ctypes.c_void_p(-1).value

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _create_file = _kernel32.CreateFileW
    _create_file.restype = ctypes.c_void_p
    _create_file.argtypes = [
        wintypes.LPCWSTR,
        wintypes.DWORD,
        wintypes.DWORD,
        ctypes.c_void_p,
        wintypes.DWORD,
        wintypes.DWORD,
        ctypes.c_void_p,
    ]
    _close_handle = _kernel32.CloseHandle
    _close_handle.argtypes = [ctypes.c_void_p]

    def open_shared(path: str) -> int:
        """Return a descriptor of a file that others may go on using."""
        handle = _create_file(path, _GENERIC_READ, _SHARE_ALL, None, _OPEN_EXISTING, _FLAGS, None)
        if handle is None or handle == _INVALID_HANDLE:
            error = ctypes.WinError(ctypes.get_last_error())
            error.filename = path
            raise error
        try:
            return msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)
        except BaseException:
            _close_handle(handle)
            raise

else:

    def open_shared(path: str) -> int:
        """Return a descriptor of a file. Elsewhere than on Windows no program can lock others out of reading."""
        return os.open(path, os.O_RDONLY)
