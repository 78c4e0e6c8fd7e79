"""The codes of what can be lost, and the translation of the system's errors.

What an entry loses while the restore goes on is a `Problem`; what keeps one entry from being restored is a
`TargetError` with one of these codes, which the caller turns into a Problem and goes on, unless the code is in
`FATAL_CODES`.

| code | how | means |
|---|---|---|
| `renamed` | problem | the target cannot hold the name; the message has both |
| `owner_not_restored` | problem | owner or group differ: not allowed here, or the file system has none |
| `mode_not_restored` | problem | permission bits differ (setuid, setgid are dropped when the owner could not be set) |
| `xattr_not_restored` | problem | one or more extended attributes are missing |
| `acl_not_restored` | problem | the access control list is missing |
| `time_not_restored` | problem | the time of modification is off by two seconds or more |
| `windows_attributes_not_restored` | problem | hidden, system or read-only could not be set |
| `times_rounded` | problem, once | the file system keeps coarser times than the snapshot |
| `holes_filled` | problem, once | the file system has no sparse files: holes take space |
| `name_invalid` | error | the name would lead elsewhere, or cannot stand here; never written |
| `in_the_way` | error | something else has the name: a link, a file, a full folder |
| `file_too_large` | error | more bytes than a file may have here |
| `symlink_not_supported` | error | no symbolic links here |
| `hard_link_copied` | error | no hard link possible: the caller writes a copy instead |
| `fifo_not_supported` | error | no named pipes here |
| `device_not_restored` | error | device nodes need the administrator, or do not exist here |
| `not_restored` | error | any other refusal of the system |
| `target_missing` | error, fatal | the target folder is not there, or is no folder |
| `target_full` | error, fatal | no space (or quota) left |
| `target_failed` | error, fatal | the device failed, was taken out, or is read-only |

Codes are stable and only ever added.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from ..errors import TargetError
from ..types import Problem

FATAL_CODES: Final = frozenset({"target_missing", "target_full", "target_failed"})
"""Errors that every further entry would meet too: the restore ends."""

UNSUPPORTED: Final = frozenset(
    value
    for value in (getattr(errno, name, None) for name in ("ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EINVAL", "ENOTTY"))
    if value is not None
)
"""What systems answer to a call that their file system has no notion of."""

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_FAILED = frozenset({errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, getattr(errno, "ENOTCONN", errno.EIO)})
_IN_THE_WAY = frozenset(
    {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, getattr(errno, "ELOOP", errno.EEXIST)}
)
_WINDOWS_FULL = frozenset({39, 112})  # ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL


def display(elements: tuple[bytes, ...]) -> str:
    """A path for messages: elements joined by "/", undecodable bytes as lone surrogates."""
    return b"/".join(elements).decode("utf-8", "surrogateescape")


def translate(error: Exception, path: str, *, code: str = "not_restored") -> TargetError:
    """The TargetError for a failed system call on `path`; `code` is used where the error says nothing more exact."""
    if isinstance(error, TargetError):
        return error
    number = error.errno if isinstance(error, OSError) else None
    reason = os.strerror(number) if number else str(error)
    if number in _FULL or getattr(error, "winerror", None) in _WINDOWS_FULL:
        return TargetError(f"No space is left in the target for {path!r}; make room and run again.", code="target_full")
    if number in _FAILED:
        return TargetError(f"The target failed at {path!r}: {reason}. Check the device.", code="target_failed")
    if number == errno.EFBIG:
        return TargetError(f"{path!r} is larger than a file may be here.", code="file_too_large")
    if number in _IN_THE_WAY:
        return TargetError(f"Something else is in the way at {path!r}: {reason}.", code="in_the_way")
    return TargetError(f"{path!r} could not be restored: {reason}.", code=code)


def renamed(path: str, original: bytes, replacement: bytes) -> Problem:
    """The Problem for an entry whose name was replaced by `Capabilities.portable_name`; `path` is the original one."""
    old = original.decode("utf-8", "backslashreplace")
    new = replacement.decode("utf-8", "backslashreplace")
    return Problem(code="renamed", path=path, message=f"The target cannot hold the name {old!r}; restored as {new!r}.")
