"""Many small files in one call, where the system and the build have it.

Here: `write_many`, over the compiled module (`snapstore/_writing.c`), and what it needs to know of a file. Not here:
its twin in Python, which is `TargetFile` with `AttributeWriter`: callers take it where `can_write_many` says no.

Rules: a file is made under its own name, so only where nothing has that name, and where somebody knows until the end
that the restore is not whole yet. Its bytes are in memory, verified, before it is made; after a failure it is gone.
Attributes that are unusual, or that were not seen to be set, are left to `TargetDirectory.apply`, which says what is
lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol, TypeAlias

from ..compiled import optional_module
from ..errors import TargetError
from .attributes import FileAttributes, owner_here
from .directory import TargetDirectory
from .folders import DescriptorFolder
from .names import check_name
from .problems import display, translate

Buffer: TypeAlias = bytes | memoryview

LEAVE_ATTRIBUTES: Final = -1
_WRITTEN: Final = 0
_OWNER_TOO_LARGE: Final = 2**31  # nobody's number; the slow way says what the system makes of it


class NewFile(NamedTuple):
    """One file to be made. `mode` -1 leaves all attributes to the caller; owner -1 is what the system gives."""

    name: bytes
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    pieces: tuple[int, ...]
    """Index into the buffers, offset, size; and so on for each piece."""


class _Native(Protocol):
    write_files: Callable[[int, list[NewFile], list[Buffer]], list[int]]
    finish: Callable[[int, int, int, int, int], bool]


_native: _Native | None = optional_module("_writing")


def can_write_many(directory: TargetDirectory) -> bool:
    """Whether `write_many` can be used below `directory`."""
    return _native is not None and isinstance(directory.folder, DescriptorFolder)


def hold_open(directory: TargetDirectory) -> None:
    """Keep a folder open until `let_go`, so that `write_many` into it waits for nobody. Raises TargetError.

    Elsewhere nothing is held: each file opens its folder by itself, and a process may have few descriptors."""
    if isinstance(directory.folder, DescriptorFolder) and can_write_many(directory):
        try:
            directory.folder.pin()
        except OSError as error:
            raise translate(error, directory.path) from error


def let_go(directory: TargetDirectory) -> None:
    """End a `hold_open`."""
    if isinstance(directory.folder, DescriptorFolder) and can_write_many(directory):
        directory.folder.unpin()


def finish_folder(directory: TargetDirectory, wanted: FileAttributes) -> bool:
    """Give a folder plain attributes in one call. False if `TargetDirectory.apply_self` is to do it instead."""
    folder = directory.folder
    if _native is None or not isinstance(folder, DescriptorFolder):
        return False
    if wanted.mode is None or wanted.mtime_ns is None or wanted.xattrs or wanted.windows_attributes is not None:
        return False
    uid, gid = owner_of_new(wanted.uid, wanted.gid, wanted.user, wanted.group, directory.state.numeric_owner)
    try:
        with folder.opened() as descriptor:
            return _native.finish(descriptor, wanted.mode, uid, gid, wanted.mtime_ns)
    except OSError:
        return False


@lru_cache(maxsize=1024)
def owner_of_new(
    uid: int | None,
    gid: int | None,
    user: str | None,
    group: str | None,
    numeric: bool,  # noqa: FBT001
) -> tuple[int, int]:
    """The numbers for a NewFile."""
    uid, gid = owner_here(FileAttributes(uid=uid, gid=gid, user=user, group=group), numeric=numeric)
    return min(uid, _OWNER_TOO_LARGE), min(gid, _OWNER_TOO_LARGE)


def write_many(directory: TargetDirectory, files: list[NewFile], buffers: list[Buffer]) -> Sequence[bool | TargetError]:
    """Make the files in `directory`, which is held open.

    True is done, False is written with its attributes left; or what kept it out."""
    results: list[bool | TargetError] = []
    good: list[NewFile] = []
    for file in files:
        try:
            check_name(file.name)
            good.append(file)
        except TargetError as error:
            results.append(error)
    if results:  # a name that cannot be: never from a tree that decoded, but names are checked where they are used
        found = iter(write_many(directory, good, buffers))
        known = {id(file) for file in good}
        refused = iter(results)
        return [next(found) if id(file) in known else next(refused) for file in files]
    folder = directory.folder
    assert _native is not None
    assert isinstance(folder, DescriptorFolder)
    codes = _native.write_files(folder.descriptor, files, buffers)
    return [
        code == _WRITTEN if code >= 0 else _failure(-code, (*directory.elements, file.name))
        for code, file in zip(codes, files, strict=True)
    ]


def _failure(number: int, elements: tuple[bytes, ...]) -> TargetError:
    return translate(OSError(number, ""), display(elements))
