"""What a file carries beside content, mode and times: extended attributes, ACLs, names of owner and group.

Here: `Attributes`, `OwnerNames`, `read_xattrs`. Not here: Windows attributes and numbers of owners, which a plain
look tells (`scanned`).

Rules: POSIX ACLs are the extended attributes `system.posix_acl_access` and `system.posix_acl_default`, in the
kernel's binary form, and travel as such. Everything the system lists is kept but `SKIPPED_XATTRS`. A system or file
system without extended attributes gives none; one attribute that cannot be read is a problem of its own and the
others are kept.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..types import Problem

SKIPPED_XATTRS: Final = frozenset(
    {
        b"security.evm",  # a keyed hash over this inode's number and generation: wrong on any other file
        b"com.apple.provenance",  # macOS keeps these two to itself: nobody can set them again
        b"com.apple.macl",
    }
)
SKIPPED_XATTR_PREFIXES: Final = (
    b"ceph.",  # computed by the server, some at each look: every snapshot would differ
    b"trusted.glusterfs.",  # these and the next say where the server keeps the file
    b"trusted.afr.",
    b"lustre.",
    b"btrfs.",  # how this volume stores it; not settable elsewhere
)

_NO_XATTRS: Final = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_GONE: Final = frozenset({errno.ENODATA, getattr(errno, "ENOATTR", errno.ENODATA)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What `lstat` does not tell. `user` and `group` are None where the number has no name, and on Windows."""

    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)
    user: str | None = None
    group: str | None = None
    problems: tuple[Problem, ...] = ()
    """Attributes that could not be read; they are missing from `xattrs`."""


class OwnerNames:
    """Names of user and group numbers, each asked for once: a directory service may take a while to answer."""

    __slots__ = ("_groups", "_nothing_else", "_users")

    def __init__(self) -> None:
        self._users: dict[int, str | None] = {}
        self._groups: dict[int, str | None] = {}
        self._nothing_else: dict[tuple[int, int], Attributes] = {}

    def nothing_else(self, user: int, group: int) -> Attributes:
        """Return attributes that are these two names and no more: one object for all files that have them."""
        attributes = self._nothing_else.get((user, group))
        if attributes is None:
            attributes = Attributes(user=self.user(user), group=self.group(group))
            self._nothing_else[user, group] = attributes
        return attributes

    def user(self, number: int) -> str | None:
        """Return the user's name, or None."""
        if number not in self._users:
            self._users[number] = _user_name(number)
        return self._users[number]

    def group(self, number: int) -> str | None:
        """Return the group's name, or None."""
        if number not in self._groups:
            self._groups[number] = _group_name(number)
        return self._groups[number]


def read_xattrs(target: int | bytes, *, path: str) -> tuple[dict[bytes, bytes], tuple[Problem, ...]]:
    """Return all attributes of an open descriptor or of a path (a link at its end is not followed), by rising name.

    `path` is what problems name. Raises nothing: an attribute list that cannot be had is a problem as well.
    """
    values: dict[bytes, bytes] = {}
    problems: list[Problem] = []
    try:
        names = sorted(_kept(_list(target)))
    except OSError as error:
        return {}, () if error.errno in _NO_XATTRS else (_problem(path, "The extended attributes", error),)
    for name in names:
        try:
            values[name] = _get(target, name)
        except OSError as error:
            if error.errno not in _GONE:
                problems.append(_problem(path, f"The extended attribute {os.fsdecode(name)!r}", error))
    return values, tuple(problems)


def _kept(names: Iterator[bytes]) -> Iterator[bytes]:
    for name in names:
        if name not in SKIPPED_XATTRS and not name.startswith(SKIPPED_XATTR_PREFIXES):
            yield name


def _problem(path: str, what: str, error: OSError) -> Problem:
    return Problem(code="xattr_unreadable", path=path, message=f"{what} could not be read: {error.strerror}.")


if sys.platform == "win32":

    def _user_name(number: int) -> str | None:
        return None

    def _group_name(number: int) -> str | None:
        return None

else:
    import grp
    import pwd

    def _user_name(number: int) -> str | None:
        try:
            return pwd.getpwuid(number).pw_name
        except (KeyError, OverflowError):
            return None

    def _group_name(number: int) -> str | None:
        try:
            return grp.getgrgid(number).gr_name
        except (KeyError, OverflowError):
            return None


if sys.platform == "linux":

    def _list(target: int | bytes) -> Iterator[bytes]:
        return map(os.fsencode, os.listxattr(target, follow_symlinks=isinstance(target, int)))

    def _get(target: int | bytes, name: bytes) -> bytes:
        return os.getxattr(target, name, follow_symlinks=isinstance(target, int))

elif sys.platform == "darwin":
    import ctypes

    _libc = ctypes.CDLL(None, use_errno=True)
    _NOFOLLOW: Final = 1

    _SIZE, _POINTER, _STRING = ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_char_p
    _INT, _UINT = ctypes.c_int, ctypes.c_uint32
    for _name, _arguments in {
        "listxattr": [_STRING, _POINTER, ctypes.c_size_t, _INT],
        "flistxattr": [_INT, _POINTER, ctypes.c_size_t, _INT],
        "getxattr": [_STRING, _STRING, _POINTER, ctypes.c_size_t, _UINT, _INT],
        "fgetxattr": [_INT, _STRING, _POINTER, ctypes.c_size_t, _UINT, _INT],
    }.items():
        _function = getattr(_libc, _name)
        _function.restype, _function.argtypes = _SIZE, _arguments

    def _checked(size: int) -> int:
        if size < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return size

    def _list(target: int | bytes) -> Iterator[bytes]:
        by_number = isinstance(target, int)
        call, options = (_libc.flistxattr, 0) if by_number else (_libc.listxattr, _NOFOLLOW)
        room = _checked(call(target, None, 0, options))
        buffer = ctypes.create_string_buffer(max(room, 1))
        size = _checked(call(target, buffer, room, options))
        return iter([name for name in buffer.raw[:size].split(b"\0") if name])

    def _get(target: int | bytes, name: bytes) -> bytes:
        by_number = isinstance(target, int)
        call, options = (_libc.fgetxattr, 0) if by_number else (_libc.getxattr, _NOFOLLOW)
        room = _checked(call(target, name, None, 0, 0, options))
        buffer = ctypes.create_string_buffer(max(room, 1))
        return bytes(buffer.raw[: _checked(call(target, name, buffer, room, 0, options))])

else:

    def _list(target: int | bytes) -> Iterator[bytes]:
        return iter(())

    def _get(target: int | bytes, name: bytes) -> bytes:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
