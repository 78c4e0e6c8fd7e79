"""Setting room aside on a file system without writing it.

Here: `reserve_space`, with one way for each system. Not here: what it is good for (the quick test of a medium places
what it writes all over the free space in this way).

Rules: room is set aside by the file system's own call or not at all: writing zeros, which libraries and some systems do
instead, takes as long as a full test. Where there is no such call (FUSE drivers, exFAT on older kernels) the answer is
False, and the file stays empty.
"""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    from ._windows import set_end_of_file

    def reserve_space(path: str, size: int) -> bool:
        """Make a new file that holds `size` bytes of the free space; whether it does. OSError if it cannot be made."""
        open(path, "xb").close()
        try:
            set_end_of_file(path, size)
        except OSError:
            return False
        return True

else:

    def reserve_space(path: str, size: int) -> bool:
        """Make a new file that holds `size` bytes of the free space; whether it does. OSError if it cannot be made."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            free_before = os.fstatvfs(descriptor).f_bfree
            return _allocate(descriptor, size) and os.fstatvfs(descriptor).f_bfree != free_before
        finally:
            os.close(descriptor)

    if sys.platform == "darwin":
        import fcntl
        import struct

        def _allocate(descriptor: int, size: int) -> bool:
            # F_PREALLOCATE with F_ALLOCATEALL from the end of the file (struct fstore of fcntl(2)).
            try:
                fcntl.fcntl(descriptor, 42, struct.pack("=IiqqQ", 0x4, 3, 0, size, 0))
            except OSError:
                return False
            return True

    else:
        import ctypes

        def _allocate(descriptor: int, size: int) -> bool:
            try:
                fallocate = ctypes.CDLL(None).fallocate
            except AttributeError:
                return False
            # Not posix_fallocate: the C library's way, where the file system has none, is to write to every block.
            keep_size = 1
            failed: int = fallocate(descriptor, keep_size, ctypes.c_int64(0), ctypes.c_int64(size))
            return failed == 0
