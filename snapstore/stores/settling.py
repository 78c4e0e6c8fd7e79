"""Having a whole file system on its device, so that the medium may be unplugged.

Here: `flush_file_system`. Not here: the sync of one file or folder (readback.py), which comes first: every object of a
folder store is on the device before its `put` returns, and what is flushed here is the rest, such as names that were
removed and what other programs wrote.

Rules: it says whether all is on the device and raises nothing: what is not there any more is nothing to unplug. A
system that flushes a volume for its administrators only (Windows) has the files on the device all the same.
"""

from __future__ import annotations

import contextlib
import os
import sys

if sys.platform == "win32":
    from ._windows import flush_volume

    def flush_file_system(folder: str) -> bool:
        """Flush the volume that the folder lies on, where that is allowed. False if the folder is gone."""
        if not os.path.isdir(folder):
            return False
        with contextlib.suppress(OSError):  # not an administrator: the files were flushed one by one
            flush_volume(folder)
        return True

else:
    from .readback import flush_folder

    def flush_file_system(folder: str) -> bool:
        """Flush the file system that the folder lies on. False if that failed, or the folder is gone."""
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                done = _sync(descriptor)
            finally:
                os.close(descriptor)
            if done:
                flush_folder(folder)  # F_FULLFSYNC on macOS: past the drive's own cache
        except OSError:
            return False
        return done

    def _sync(descriptor: int) -> bool:
        if sys.platform == "linux":
            import ctypes  # late: few runs come here, and every start would pay

            try:
                failed: int = ctypes.CDLL(None).syncfs(descriptor)  # from 5.8 on it tells of writes that failed
            except AttributeError:
                pass
            else:
                return failed == 0
        os.sync()
        return True
