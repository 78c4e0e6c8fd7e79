"""Folders and small files with one call into compiled code for many (Linux).

Here: `look_at_once` and `read_at_once`, which make Python's objects of what `snapstore/_posix.c` returns. Not here: the
twins, which do the same one by one: `look` and `small`.

Rules: the compiled module is optional and there on Linux alone; without it the twins give the same results, with five
or six hand-overs of the interpreter lock for each file. It deals with what is ordinary and leaves the rest, errors
among it, to the twins. No environment variable is read; tests pick a way with the private `_native` argument of the
methods of `SourceDirectory`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, TypeAlias

from ..compiled import optional_module
from ..types import EntryType, Problem
from .attributes import SKIPPED_XATTR_PREFIXES, SKIPPED_XATTRS, Attributes, OwnerNames
from .look import FolderLook
from .problems import unsupported_type
from .scanned import ScannedEntry
from .small import SmallFile, SmallFiles

Look: TypeAlias = tuple[bytes, bytes, bytes, int, bool, bool]
Batch: TypeAlias = tuple[bytes, bytes, bytes, bytes, bool]

_RECORD: Final = struct.Struct("=qqqQQQqIIIIII")
_ANSWER: Final = struct.Struct("=qII")
_XATTR: Final = struct.Struct("=II")
_LEFT_TO_TWIN: Final = 1
_CHANGED: Final = 2
_DIFFERS: Final = 4
_TYPES: Final[dict[int, EntryType | None]] = {**{kind.value: kind for kind in EntryType}, 255: None}
_SKIPPED: Final = b"".join(name + b"\0" for name in sorted(SKIPPED_XATTRS))
_SKIPPED_PREFIXES: Final = b"".join(prefix + b"\0" for prefix in SKIPPED_XATTR_PREFIXES)


class Posix(Protocol):
    """What the compiled module offers; its source says what the answers hold."""

    look: Callable[[int], Look | None]
    read_small: Callable[[int, Sequence[ScannedEntry], EntryType, int, bytes, bytes], Batch]


POSIX: Final[Posix | None] = optional_module("_posix")


def choose_posix(*, native: bool | None) -> Posix | None:
    """Return the compiled module, or None when the twins are to be used; True insists on it (ImportError)."""
    if native is False:
        return None
    if native and POSIX is None:
        raise ImportError("snapstore._posix was not compiled")
    return POSIX


def look_at_once(posix: Posix, directory: int, path_of: Callable[[bytes], str]) -> FolderLook | None:
    """Look at everything in an open directory. None if that is for the twin."""
    found = posix.look(directory)
    if found is None:
        return None
    signature, records, folders, newest_ns, plain, unsupported = found
    problems: tuple[Problem, ...] = ()
    if unsupported:
        odd = (entry.name for entry in _entries(records, signature) if entry.type is None)
        problems = tuple(sorted(map(unsupported_type, map(path_of, odd)), key=lambda problem: problem.path))
    return FolderLook(
        signature=signature,
        newest_ns=newest_ns,
        problems=problems,
        complete=True,
        plain=plain,
        make=(lambda: _entries(records, signature), lambda: _entries(folders, signature)),
    )


def read_at_once(
    posix: Posix,
    directory: int,
    entries: Sequence[ScannedEntry],
    limit: int,
    owners: OwnerNames,
    read_one: Callable[[ScannedEntry], tuple[SmallFile, bytes]],
) -> SmallFiles:
    """Read files in an open directory. `read_one` is the twin, for those that are left to it."""
    data, answers, records, xattrs, ordinary = posix.read_small(
        directory, entries, EntryType.FILE, limit, _SKIPPED, _SKIPPED_PREFIXES
    )
    if ordinary and entries:
        return SmallFiles.ordinary(data, entries, owners.nothing_else(entries[0].uid, entries[0].gid))
    make, kind = tuple.__new__, SmallFile
    differing = iter(_entries(records, b""))  # those that are not what they were when they were listed
    attributes_of = _BatchAttributes(owners, xattrs)
    parts: list[bytes] = []
    files: list[SmallFile] = []
    offset = start = 0
    for entry, (size, flags, xattr_size) in zip(entries, _ANSWER.iter_unpack(answers), strict=True):
        if flags & _LEFT_TO_TWIN:
            file, content = read_one(entry)
            files.append(file)
            parts += (data[start:offset], content)
            start = offset
            continue
        opened = next(differing)._replace(name=entry.name) if flags & _DIFFERS else entry
        attributes = attributes_of(opened, xattr_size)
        files.append(make(kind, (opened, size, bool(flags & _CHANGED), attributes, None)))
        offset += size
    if parts:
        data = b"".join((*parts, data[start:]))
    return SmallFiles(data, files)


class _BatchAttributes:
    """Attributes of one batch's files, in their order; equal ones are one object."""

    __slots__ = ("_known", "_offset", "_owners", "_xattrs")

    def __init__(self, owners: OwnerNames, xattrs: bytes) -> None:
        self._owners = owners
        self._xattrs = xattrs
        self._offset = 0
        self._known: dict[tuple[int, int, bytes], Attributes] = {}

    def __call__(self, entry: ScannedEntry, size: int) -> Attributes:
        if not size:
            return self._owners.nothing_else(entry.uid, entry.gid)
        stored = self._xattrs[self._offset : self._offset + size]
        self._offset += size
        key = (entry.uid, entry.gid, stored)
        attributes = self._known.get(key)
        if attributes is None:
            user, group = self._owners.user(entry.uid), self._owners.group(entry.gid)
            attributes = Attributes(xattrs=dict(sorted(_pairs(stored))), user=user, group=group)
            self._known[key] = attributes
        return attributes


def _pairs(stored: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = 0
    while offset < len(stored):
        name_size, size = _XATTR.unpack_from(stored, offset)
        middle = offset + _XATTR.size + name_size
        yield stored[offset + _XATTR.size : middle], stored[middle : middle + size]
        offset = middle + size


def _entries(records: bytes, names: bytes) -> list[ScannedEntry]:
    """Return an entry for each record. This runs for every file of a first snapshot."""
    make, entry, types = tuple.__new__, ScannedEntry, _TYPES
    return [
        make(
            entry,
            (
                names[start:stop],
                types[kind],
                size,
                mtime_ns,
                ctime_ns,
                inode,
                device,
                links,
                mode,
                uid,
                gid,
                None,
                blocks,
                None,
                None,
            ),
        )
        for (
            size,
            mtime_ns,
            ctime_ns,
            inode,
            device,
            links,
            blocks,
            mode,
            uid,
            gid,
            kind,
            start,
            stop,
        ) in _RECORD.iter_unpack(records)
    ]
