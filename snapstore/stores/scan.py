"""One folder of a folder store, read: which objects and folders of the store are right below it.

Here: `scan_folder`. Not here: walking the whole store, and whether an absent folder is an empty one (local.py).

Rules: every error but a file's own disappearance is raised. Foreign files are passed over. FAT and exFAT may show a
short name in capitals (PACKS, A, README.TXT) when another system wrote it: such an entry counts under the name it was
put by, where opening it by that name works and no entry of that very name is listed beside it. Inode numbers cannot
tell: FUSE gives one file two of them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection
from typing import NamedTuple

from .protocol import README_NAME, StoredObject, is_folder, is_name


class Scan(NamedTuple):
    """The objects and folders right below one folder, by full name."""

    objects: list[StoredObject]
    folders: list[str]


def scan_folder(path: str, folder: str) -> Scan:
    """Read the folder at `path`, which is `folder` in the store."""
    objects, folders = scan = Scan([], [])
    start = f"{folder}/" if folder else ""
    with os.scandir(path) as entries:
        listed = {entry.name: entry for entry in entries}
    for shown, entry in listed.items():
        element = _element(shown, listed.keys(), path, start)
        if element is None:
            continue
        name = start + element
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            status = entry.stat() if element == shown else os.stat(os.path.join(path, element))
            if is_name(name) and stat.S_ISREG(status.st_mode):
                objects.append(StoredObject(name, status.st_size))
            elif is_folder(name) and stat.S_ISDIR(status.st_mode):
                folders.append(name)
    return scan


def _element(shown: str, listed: Collection[str], path: str, start: str) -> str | None:
    """The last element of the store's name for an entry, or None for a foreign one."""
    if _ours(start + shown):
        return shown
    lower = README_NAME if shown.upper() == README_NAME.upper() else shown.lower()
    if lower not in listed and _ours(start + lower) and os.path.lexists(os.path.join(path, lower)):
        return lower
    return None


def _ours(name: str) -> bool:
    return is_name(name) or is_folder(name)
