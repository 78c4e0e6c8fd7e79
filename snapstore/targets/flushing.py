"""System calls that make written bytes durable, for one descriptor.

Here: one file (`flush_file`) and a whole file system (`flush_file_system`, Linux). Not here: what is flushed when
(`syncing`, `files`).

Rules: an error is raised as OSError and never tried again on the same descriptor: the kernel marks pages clean after a
failed write-back, so a second call would report success for bytes that are lost.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from contextlib import suppress

if sys.platform != "win32":
    import fcntl

_MACOS_FULL_FSYNC = 51  # F_FULLFSYNC of <sys/fcntl.h>: fsync alone leaves the bytes in the drive's cache
_NOT_A_FOLDERS_CALL = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})


def flush_file(descriptor: int) -> None:
    """Make one file's content and size durable."""
    if sys.platform == "darwin":
        try:
            fcntl.fcntl(descriptor, _MACOS_FULL_FSYNC)
            return
        except OSError:
            pass  # network and FAT volumes know only fsync
    os.fsync(descriptor)


def flush_file_system(descriptor: int) -> bool:
    """Make everything on the file system of `descriptor` durable; False where only file by file is possible."""
    if sys.platform == "linux":
        _syncfs(descriptor)
        if file_system_type(os.fstat(descriptor).st_dev).startswith("fuse"):
            # A file system that runs as a program writes to the device by itself, which syncfs knows nothing of.
            try:
                os.fsync(descriptor)
            except OSError as error:
                if error.errno not in _NOT_A_FOLDERS_CALL:
                    raise
            os.sync()
    return sys.platform == "linux"


def _syncfs(descriptor: int) -> None:
    try:
        function = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):  # a C library older than the call
        if sys.platform != "win32":
            os.sync()
        return
    if function(ctypes.c_int(descriptor)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def file_system_type(device: int) -> str:
    """Linux's name for the type of the file system with this `st_dev` ("ext4", "vfat", "fuseblk"); "" if not known."""
    if sys.platform != "win32":
        wanted = f"{os.major(device)}:{os.minor(device)}".encode()
        with suppress(OSError, IndexError), open("/proc/self/mountinfo", "rb") as mounts:
            for line in mounts:
                fields, _, rest = line.partition(b" - ")
                if fields.split(b" ")[2] == wanted:
                    return rest.split(b" ")[0].decode("ascii", "replace")
    return ""
