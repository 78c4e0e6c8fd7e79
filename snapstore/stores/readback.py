"""Reading a file from the device, not from memory, after it was written.

Here: `read_uncached`, with one way for each system, and `flush`, the sync that must come before it. Not here: what
the bytes are compared with (local.py).

Rules: without these calls a read after a write is served from the page cache and proves nothing. They are requests: a
file system that ignores them (tmpfs, some FUSE ones) gives cached bytes, and the comparison then proves less, never
wrong. A sync that failed is not tried again on the same file: after an I/O error the kernel marks the pages clean,
and a second sync would report success (https://lwn.net/Articles/752063/).
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from typing import Final

from ..limits import MIB
from .protocol import Block

BLOCK_BYTES: Final = MIB  # a multiple of every sector size; neither larger nor smaller blocks were faster
# What file systems answer that cannot sync a folder, or know no full flush: exFAT, SMB and FUSE ones among them.
_UNSUPPORTED: Final = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY}
_NONBLOCKING: Final = getattr(os, "O_NONBLOCK", 0)  # so that a pipe under an object's name cannot hang a reader
READ_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | _NONBLOCKING


def flush(descriptor: int) -> None:
    """Have the written bytes on the device before this returns."""
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync alone stops at the drive's own cache there
            return
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    os.fsync(descriptor)


def flush_folder(path: str) -> None:
    """Have the folder's entries on the device. Windows has no such call, and some file systems do not support it."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flush(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    from ._windows import read_unbuffered

    def read_uncached(path: str) -> Iterator[Block]:
        """The file's bytes in blocks of at most 1 MiB, from the device. A block is good until the next is asked for."""
        return read_unbuffered(path, BLOCK_BYTES)

else:

    def read_uncached(path: str) -> Iterator[Block]:
        """The file's bytes in blocks of at most 1 MiB, from the device. A block is good until the next is asked for."""
        with open(os.open(path, READ_FLAGS), "rb", buffering=0) as file:
            drop_cache(file.fileno())
            size = os.fstat(file.fileno()).st_size
            memory = memoryview(
                bytearray(max(1, min(size, BLOCK_BYTES)))
            )  # one for all: fresh memory costs page faults
            while count := file.readinto(memory):
                yield memory[:count]


def read_fully(descriptor: int, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end of the file: one `read` may give less than was asked."""
    block = os.read(descriptor, size)
    if len(block) == size or not block:
        return block
    parts = [block]
    missing = size - len(block)
    while missing and (block := os.read(descriptor, missing)):
        parts.append(block)
        missing -= len(block)
    return b"".join(parts)


def drop_cache(descriptor: int) -> None:
    """Ask the kernel to read from the device; clean pages only, so the file must have been flushed."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_NOCACHE, 1)
    elif sys.platform == "linux":
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
