"""Extended attributes: three calls, alike on Linux and macOS, ENOTSUP elsewhere.

The target is an open descriptor, or on Linux a path under /proc/self/fd, so that no link is ever followed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Sequence

if sys.platform == "linux":

    def list_xattrs(target: int | str) -> Sequence[bytes]:
        """Names of the attributes."""
        return [os.fsencode(name) for name in os.listxattr(target)]

    def set_xattr(target: int | str, name: bytes, value: bytes) -> None:
        """Create or replace one."""
        os.setxattr(target, name, value)

    def remove_xattr(target: int | str, name: bytes) -> None:
        """Remove one."""
        os.removexattr(target, name)

elif sys.platform == "darwin":
    _libc = ctypes.CDLL(None, use_errno=True)
    _libc.flistxattr.restype = ctypes.c_ssize_t
    _libc.flistxattr.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    _libc.fsetxattr.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint32,
        ctypes.c_int,
    ]
    _libc.fremovexattr.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int]

    def _checked(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def list_xattrs(target: int | str) -> Sequence[bytes]:
        """Names of the attributes."""
        room = _checked(_libc.flistxattr(target, None, 0, 0))
        buffer = ctypes.create_string_buffer(max(room, 1))
        size = _checked(_libc.flistxattr(target, buffer, room, 0))
        return [name for name in buffer.raw[:size].split(b"\0") if name]

    def set_xattr(target: int | str, name: bytes, value: bytes) -> None:
        """Create or replace one."""
        if b"\0" in name:
            raise ValueError("embedded null byte")
        _checked(_libc.fsetxattr(target, name, value, len(value), 0, 0))

    def remove_xattr(target: int | str, name: bytes) -> None:
        """Remove one."""
        _checked(_libc.fremovexattr(target, name, 0))

else:

    def list_xattrs(target: int | str) -> Sequence[bytes]:
        """Names of the attributes."""
        raise OSError(errno.ENOTSUP, "extended attributes")

    def set_xattr(target: int | str, name: bytes, value: bytes) -> None:
        """Create or replace one."""
        raise OSError(errno.ENOTSUP, "extended attributes")

    def remove_xattr(target: int | str, name: bytes) -> None:
        """Remove one."""
        raise OSError(errno.ENOTSUP, "extended attributes")
