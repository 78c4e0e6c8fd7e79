"""Small steps with files that `LocalStore` is made of.

Here: writing all of a block, giving a file a name that nobody has, taking a file back, and Windows' long paths. Not
here: syncing and reading past the cache (readback.py), and any knowledge of objects.

Rule: these raise `OSError` and leave its translation to the store, which knows what was being done.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Final

from .protocol import Block

_NAME_LOCK: Final = threading.Lock()  # shared by all stores of the process: two may have the same folder open


def extended_path(path: str) -> str:
    r"""An absolute Windows path as `\\?\C:\...` or `\\?\UNC\server\share\...`, which may exceed 260 characters."""
    if path.startswith(("\\\\?\\", "\\\\.\\")):
        return path
    if path.startswith("\\\\"):
        return "\\\\?\\UNC\\" + path[2:]
    return "\\\\?\\" + path


def write_fully(descriptor: int, block: Block) -> None:
    """Write the whole block: one `write` may take less than it was given."""
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def move_to_new_name(temporary: str, final: str) -> bool:
    """Give the file its final name unless that is taken; whether it got it."""
    if sys.platform != "win32":
        try:
            os.link(temporary, final)
        except FileExistsError:
            return False
        except OSError:
            pass  # no hard links here (FAT, exFAT, some network drives); any other reason stops the rename as well
        else:
            remove_quietly(temporary)  # the object is there; a leftover goes at the next start
            return True
    with _NAME_LOCK:
        if os.path.lexists(final):
            return False
        try:
            os.rename(temporary, final)
        except FileExistsError:
            return False
        return True


def remove_quietly(path: str) -> None:
    """Take back what an error left; the error itself is what the caller has to hear of."""
    with contextlib.suppress(OSError):
        os.unlink(path)
