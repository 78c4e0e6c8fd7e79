"""Owner, permission bits, extended attributes and times, put back in the order in which they survive one another.

Owner first (changing it clears setuid, setgid and capabilities), then plain extended attributes (they need write
permission), then the mode, then ACLs (they refine the mode), times last. Then it is looked whether the system really
took them: some say yes and do nothing. What is lost comes back as Problems, at most one of each code.

Owner and group go by *name* if this system knows the name, else by number, as tar and rsync do: on another machine
the same person often has another number. The number 0 is never mapped, and `numeric=True` turns names off. If an
owner could not be set, setuid and setgid are dropped: a program must not run as somebody who never had it.

Attributes that are None were not known where the snapshot was made; a mode then follows the umask. The time of creation
is set on Windows only, and its absence elsewhere is not reported, as no call sets it.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Final

from ..types import EntryType, Problem
from .handles import AttributeHandle

_ACL_PREFIX: Final = b"system.posix_acl_"
_OURS_TO_REMOVE: Final = (b"user.", _ACL_PREFIX, b"security.capability")
"""Surplus attributes that are removed; others (security labels, a file system's own) belong to the target."""

_WINDOWS_SETTABLE: Final = 0x01 | 0x02 | 0x04 | 0x20 | 0x2000  # read-only, hidden, system, archive, not indexed
_WINDOWS_VISIBLE: Final = 0x01 | 0x02 | 0x04  # whose loss a person would notice; "archive" is on every file
_WINDOWS_READ_ONLY: Final = 0x01
_TIME_TOLERANCE_NS: Final = 2_000_000_000  # FAT keeps two seconds; coarser times are reported once for the target


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAttributes:
    """What an entry says about itself apart from its content. None: nothing of the kind is known."""

    mode: int | None = None
    mtime_ns: int | None = None
    uid: int | None = None
    gid: int | None = None
    user: str | None = None
    group: str | None = None
    xattrs: Mapping[bytes, bytes] | None = None
    windows_attributes: int | None = None
    birth_ns: int | None = None


@cache
def _user_number(name: str) -> int | None:
    if sys.platform != "win32":
        import pwd

        with suppress(KeyError, ValueError, OSError):
            return pwd.getpwnam(name).pw_uid
    return None


@cache
def _group_number(name: str) -> int | None:
    if sys.platform != "win32":
        import grp

        with suppress(KeyError, ValueError, OSError):
            return grp.getgrnam(name).gr_gid
    return None


def owner_here(attributes: FileAttributes, *, numeric: bool) -> tuple[int, int]:
    """The user and group number that stand for the entry's on this system; -1 where it has none."""
    uid, gid = attributes.uid, attributes.gid
    if not numeric and attributes.user and uid != 0:
        uid = _first(_user_number(attributes.user), uid)
    if not numeric and attributes.group and gid != 0:
        gid = _first(_group_number(attributes.group), gid)
    return -1 if uid is None else uid, -1 if gid is None else gid


def _first(known: int | None, otherwise: int | None) -> int | None:
    return otherwise if known is None else known


@cache
def _umask() -> int:
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"Umask:"):
                    return int(line.split()[1], 8)
    except (OSError, ValueError):
        pass
    mask = os.umask(0o077)  # the only portable way to read it; for that moment it is stricter, never laxer
    os.umask(mask)
    return mask


class AttributeWriter:
    """Puts one entry's attributes on one thing; used once."""

    def __init__(self, handle: AttributeHandle, kind: EntryType, wanted: FileAttributes, path: str) -> None:
        self._handle = handle
        self._kind = kind
        self._wanted = wanted
        self._path = path
        self._before = handle.stat()
        self._problems: dict[str, str] = {}
        self._lost_xattrs: list[bytes] = []

    def apply(self, *, numeric: bool = False) -> list[Problem]:
        """Set everything; what could not be set is in the result."""
        uid, gid = owner_here(self._wanted, numeric=numeric)
        self._set_owner(uid, gid)
        xattrs = self._xattrs_to_set()
        self._set_xattrs({name: value for name, value in xattrs.items() if not name.startswith(_ACL_PREFIX)})
        mode = self._set_mode(uid, gid)
        self._set_acls({name: value for name, value in xattrs.items() if name.startswith(_ACL_PREFIX)})
        self._set_windows_attributes()
        self._set_times()
        self._look_again(uid, gid, mode)
        if self._lost_xattrs:
            names = ", ".join(name.decode("utf-8", "backslashreplace") for name in self._lost_xattrs)
            self._note("xattr_not_restored", f"Extended attributes could not be restored: {names}.")
        return [Problem(code=code, path=self._path, message=text) for code, text in self._problems.items()]

    def _note(self, code: str, message: str) -> None:
        self._problems.setdefault(code, message)

    def _set_owner(self, uid: int, gid: int) -> None:
        new_uid = -1 if uid == self._before.st_uid else uid
        new_gid = -1 if gid == self._before.st_gid else gid
        if new_uid == new_gid == -1:
            return
        # Who may not give a file away may still hand it to one of his groups.
        for pair in ((new_uid, new_gid), (-1, new_gid)):
            try:
                self._handle.chown(*pair)
                break
            except (OSError, OverflowError):
                continue
        self._before = self._handle.stat()

    def _xattrs_to_set(self) -> dict[bytes, bytes]:
        """The wanted attributes, after removing those that a folder's default ACL, say, gave the new file."""
        if self._wanted.xattrs is None:
            return {}
        try:
            present = self._handle.list_xattrs()
        except OSError:
            present = ()
        for name in present:
            if name not in self._wanted.xattrs and name.startswith(_OURS_TO_REMOVE):
                try:
                    self._handle.remove_xattr(name)
                except OSError:
                    self._note("xattr_not_restored", f"The extended attribute {name!r} could not be removed.")
        if present:
            self._before = self._handle.stat()
        return dict(self._wanted.xattrs)

    def _set_xattrs(self, xattrs: dict[bytes, bytes]) -> None:
        refused = [name for name, value in xattrs.items() if not self._set_xattr(name, value)]
        writable = stat.S_IMODE(self._before.st_mode) | stat.S_IWUSR
        if refused and self._kind is not EntryType.SYMLINK and writable != stat.S_IMODE(self._before.st_mode):
            # A read-only file of one's own takes no attributes: the mode is set after this anyway.
            try:
                self._handle.chmod(writable)
                self._before = self._handle.stat()
                refused = [name for name in refused if not self._set_xattr(name, xattrs[name])]
            except OSError:
                pass
        self._lost_xattrs += refused

    def _set_xattr(self, name: bytes, value: bytes) -> bool:
        try:
            self._handle.set_xattr(name, value)
        except (OSError, ValueError):
            return False
        return True

    def _set_acls(self, acls: dict[bytes, bytes]) -> None:
        if not all(self._set_xattr(name, value) for name, value in acls.items()):
            self._note("acl_not_restored", "The access control list could not be restored; check who may read this.")

    def _wanted_mode(self, uid: int, gid: int) -> int | None:
        if self._kind is EntryType.SYMLINK:
            return None
        if self._wanted.mode is None:
            mode = (0o777 if self._kind is EntryType.DIRECTORY else 0o666) & ~_umask()
            if (self._wanted.windows_attributes or 0) & _WINDOWS_READ_ONLY and self._kind is EntryType.FILE:
                mode &= ~0o222
            return None if sys.platform == "win32" else mode
        mode = self._wanted.mode & 0o7777
        if uid not in (-1, self._before.st_uid):
            mode &= ~stat.S_ISUID
        if gid not in (-1, self._before.st_gid) and self._kind is not EntryType.DIRECTORY:
            mode &= ~stat.S_ISGID
        return mode

    def _set_mode(self, uid: int, gid: int) -> int | None:
        mode = self._wanted_mode(uid, gid)
        if mode is not None and mode != stat.S_IMODE(self._before.st_mode):
            with suppress(OSError, NotImplementedError):  # seen by _look_again
                self._handle.chmod(mode)
        return None if self._kind is EntryType.SYMLINK else self._wanted.mode

    def _set_windows_attributes(self) -> None:
        wanted = self._wanted.windows_attributes
        if wanted is None:
            return
        try:
            self._handle.set_windows_attributes(wanted & _WINDOWS_SETTABLE)
        except OSError:
            lost = wanted & _WINDOWS_VISIBLE
            if sys.platform != "win32":
                lost &= ~_WINDOWS_READ_ONLY  # the mode says it
            if lost:
                self._note("windows_attributes_not_restored", "Hidden, system or read-only could not be set.")

    def _set_times(self) -> None:
        modified = self._wanted.mtime_ns
        if modified is None:
            return
        with suppress(OSError, OverflowError, ValueError, NotImplementedError):  # seen by _look_again
            self._handle.set_times(self._before.st_atime_ns, modified, self._wanted.birth_ns)

    def _look_again(self, uid: int, gid: int, mode: int | None) -> None:
        now = self._handle.stat()
        if uid not in (-1, now.st_uid) or gid not in (-1, now.st_gid):
            self._note("owner_not_restored", f"Owner {uid}:{gid} could not be set; it is {now.st_uid}:{now.st_gid}.")
        if mode is not None and mode & 0o7777 != stat.S_IMODE(now.st_mode):
            self._note("mode_not_restored", f"Mode {mode:04o} could not be set; it is {stat.S_IMODE(now.st_mode):04o}.")
        modified = self._wanted.mtime_ns
        if modified is not None and abs(now.st_mtime_ns - modified) >= _TIME_TOLERANCE_NS:
            self._note("time_not_restored", "The time of modification could not be set.")


def apply_attributes(
    handle: AttributeHandle, kind: EntryType, wanted: FileAttributes, path: str, *, numeric: bool = False
) -> list[Problem]:
    """Put `wanted` on what `handle` stands for, and report under `path` what is lost. Raises OSError if it is gone."""
    return AttributeWriter(handle, kind, wanted, path).apply(numeric=numeric)
