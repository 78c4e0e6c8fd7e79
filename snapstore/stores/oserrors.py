"""What the operating system reports, as the errors that snapstore's callers know.

Here: one function from `OSError` to `StoreError`, by `errno` and by Windows' own numbers. Not here: any decision
whether to try again; the error says whether that is worth while.

Rules: an `OSError` is translated once, where the system call is made, and raised `from` the original. The message
names what was done, the object or folder, the system's own words, and the next step. `FileNotFoundError` means
different things to `get`, `put` and `list`, so those look first whether the store itself is still there.
"""

from __future__ import annotations

import errno
from typing import Final

from ..errors import StoreError, StoreFullError, StorePermissionError, StoreUnavailableError

_FULL: Final = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_REFUSED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
# Windows: ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL, ERROR_DISK_QUOTA_EXCEEDED.
_WINDOWS_FULL: Final = {39, 112, 1295}
# Windows: NOT_READY, GEN_FAILURE, BAD_NETPATH, DEV_NOT_EXIST, DEVICE_NOT_CONNECTED, NO_MEDIA_IN_DRIVE. Python maps some
# of them to EACCES, and "permission denied" would send people to the wrong place when a stick was pulled out.
_WINDOWS_GONE: Final = {21, 31, 53, 55, 1167, 1112}


def translated(error: OSError, doing: str, where: str) -> StoreError:
    """The store error for `error`, which happened while `doing` (such as "write packs/a/0123") at the place `where`."""
    reason = error.strerror or type(error).__name__
    message = f"Could not {doing} in {where}: {reason}."
    windows_code = getattr(error, "winerror", None)
    if windows_code in _WINDOWS_GONE:
        return StoreUnavailableError(f"{message} See that the medium is connected, and try again.")
    if error.errno in _FULL or windows_code in _WINDOWS_FULL:
        return StoreFullError(f"{message} Free some space, or use another medium.")
    if error.errno in _REFUSED:
        return StorePermissionError(f"{message} See that you may write there and that it is not write-protected.")
    return StoreUnavailableError(f"{message} See that the medium is connected and healthy, and try again.")


def vanished(where: str) -> StoreUnavailableError:
    """The error for a store whose own folder is gone, or is another one than when it was opened."""
    return StoreUnavailableError(
        f"The store {where} is no longer there: connect the medium again and open the store anew.",
        code="store_vanished",
        retryable=False,
    )
