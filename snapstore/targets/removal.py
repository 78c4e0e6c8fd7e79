"""Removing a folder with all that is in it, and making a folder usable for its owner.

Here: walks without recursion (a tree may be deeper than Python's stack) and without ever following a link; another file
system mounted inside is not emptied. Not here: whether something is to be removed.

Rules: OSError as the system gives it; TargetError `in_the_way` for a mount.
"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import TargetError
from .folders import Folder
from .windows import is_real_folder

_OWNER_ALL = stat.S_IRWXU


def make_usable(folder: Folder, name: bytes) -> Folder:
    """Open a folder that is there, and give its owner back the rights to write in it."""
    try:
        child = folder.child(name)
    except PermissionError:
        _give_rights(folder, name)
        return folder.child(name)
    found = child.stat(None)
    own = getattr(os, "geteuid", lambda: 0)()
    if own != 0 and found.st_uid == own and found.st_mode & _OWNER_ALL != _OWNER_ALL:
        _give_rights(folder, name)
    return child


def _give_rights(folder: Folder, name: bytes) -> None:
    handle = folder.handle(name)
    try:
        found = handle.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise OSError(errno.ENOTDIR, "not a folder")
        handle.chmod(stat.S_IMODE(found.st_mode) | _OWNER_ALL)
    finally:
        handle.close()


def remove_entry(folder: Folder, name: bytes) -> None:
    """Remove `name`, whatever it is."""
    if not is_real_folder(folder.stat(name)):
        folder.unlink(name)
        return
    device = folder.stat(None).st_dev
    stack = [_Level(folder, name, device)]
    while stack:
        level = stack[-1]
        if level.folders:
            stack.append(_Level(level.folder, level.folders.pop(), device))
            continue
        stack.pop()
        level.folder.close()
        level.above.remove_folder(level.name)


class _Level:
    """A folder that is being emptied: its files are gone, its folders are left to do."""

    __slots__ = ("above", "folder", "folders", "name")

    def __init__(self, above: Folder, name: bytes, device: int) -> None:
        self.above = above
        self.name = name
        self.folder = make_usable(above, name)
        if self.folder.stat(None).st_dev != device:
            shown = name.decode("utf-8", "backslashreplace")
            raise TargetError(f"Another file system is mounted at {shown!r}; it was kept.", code="in_the_way")
        self.folders: list[bytes] = []
        for entry, found in self.folder.entries():
            if is_real_folder(found):
                self.folders.append(entry)
            else:
                self.folder.unlink(entry)
