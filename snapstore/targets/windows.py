"""What Windows does differently, through kernel32: attributes, times, sparse files, the kind of a volume.

Importable everywhere; on other systems every call raises ENOTSUP. Paths come in the extended form (two backslashes,
question mark, backslash), so that neither 260 characters nor device names limit them.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Sequence
from typing import Any, Final

from .handles import unsupported

_EPOCH_TICKS: Final = 116_444_736_000_000_000  # 1601 to 1970 in the 100 ns that FILETIME counts
_WRITE_ATTRIBUTES: Final = 0x100
_SHARE_ALL: Final = 0x7
_OPEN_EXISTING: Final = 3
_OPEN_FOLDERS_AND_LINKS: Final = 0x0200_0000 | 0x0020_0000  # FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT
_SET_SPARSE: Final = 0x0009_00C4  # FSCTL_SET_SPARSE
_ATTRIBUTE_NORMAL: Final = 0x80
_NAME_SURROGATE: Final = 0x2000_0000  # the bit of reparse tags that lead elsewhere: links and junctions, not OneDrive


def leads_elsewhere(found: os.stat_result) -> bool:
    """True for symbolic links, junctions and mounted folders; false for placeholders of cloud storage."""
    if stat.S_ISLNK(found.st_mode):
        return True
    return bool(getattr(found, "st_reparse_tag", 0) & _NAME_SURROGATE)


def is_real_folder(found: os.stat_result) -> bool:
    """True for a folder that holds its content itself."""
    return stat.S_ISDIR(found.st_mode) and not leads_elsewhere(found)


def extended_path(path: str) -> str:
    """The form of an absolute path that Windows takes literally and at any size."""
    absolute = os.path.abspath(path)
    if absolute.startswith("\\\\?\\"):
        return absolute
    if absolute.startswith("\\\\"):
        return "\\\\?\\UNC\\" + absolute[2:]
    return "\\\\?\\" + absolute


def _kernel32() -> Any:  # noqa: ANN401 (ctypes libraries have no types)
    if sys.platform == "win32":
        library = ctypes.WinDLL("kernel32", use_last_error=True)
        library.CreateFileW.restype = ctypes.c_void_p
        library.CreateFileW.argtypes = [
            ctypes.c_wchar_p,
            ctypes.c_uint32,
            ctypes.c_uint32,
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_uint32,
            ctypes.c_void_p,
        ]
        library.CloseHandle.argtypes = [ctypes.c_void_p]
        library.SetFileTime.argtypes = [ctypes.c_void_p] * 4
        library.SetFileAttributesW.argtypes = [ctypes.c_wchar_p, ctypes.c_uint32]
        library.DeviceIoControl.argtypes = [
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        return library
    else:
        raise unsupported("Windows")


def _raise_last() -> None:
    if sys.platform == "win32":
        raise ctypes.WinError(ctypes.get_last_error())


def _ticks(time_ns: int | None) -> object:
    return None if time_ns is None else ctypes.byref(ctypes.c_uint64(time_ns // 100 + _EPOCH_TICKS))


def make_sparse(descriptor: int) -> None:
    """Let holes in this file take no space; file systems without sparse files fill them, so a refusal is no error."""
    if sys.platform == "win32":
        import msvcrt

        returned = ctypes.c_uint32()
        handle = msvcrt.get_osfhandle(descriptor)
        _kernel32().DeviceIoControl(handle, _SET_SPARSE, None, 0, None, 0, ctypes.byref(returned), None)


def volume_type(path: str) -> str:
    """ "NTFS", "FAT32", "exFAT" ...; "" where it cannot be found out."""
    if sys.platform == "win32":
        library = ctypes.WinDLL("kernel32", use_last_error=True)
        root = ctypes.create_unicode_buffer(1024)
        kind = ctypes.create_unicode_buffer(64)
        if not library.GetVolumePathNameW(ctypes.c_wchar_p(path), root, len(root)):
            return ""
        if not library.GetVolumeInformationW(root, None, 0, None, None, None, kind, len(kind)):
            return ""
        return str(kind.value)
    else:
        return ""


class WindowsHandle:
    """The attributes of what is at `path`, links not followed."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def stat(self) -> os.stat_result:
        return os.lstat(self._path)

    def chown(self, uid: int, gid: int) -> None:
        raise unsupported("owner")

    def chmod(self, mode: int) -> None:
        os.chmod(self._path, mode)  # Windows keeps the owner's write permission alone, as its read-only attribute

    def set_times(self, access_ns: int, modified_ns: int, birth_ns: int | None) -> None:
        library = _kernel32()
        handle = library.CreateFileW(
            self._path, _WRITE_ATTRIBUTES, _SHARE_ALL, None, _OPEN_EXISTING, _OPEN_FOLDERS_AND_LINKS, None
        )
        if handle in (None, ctypes.c_void_p(-1).value):
            _raise_last()
        try:
            if not library.SetFileTime(handle, _ticks(birth_ns), None, _ticks(modified_ns)):
                _raise_last()
        finally:
            library.CloseHandle(handle)

    def set_windows_attributes(self, attributes: int) -> None:
        if not _kernel32().SetFileAttributesW(self._path, attributes or _ATTRIBUTE_NORMAL):
            _raise_last()

    def list_xattrs(self) -> Sequence[bytes]:
        raise unsupported("extended attributes")

    def set_xattr(self, name: bytes, value: bytes) -> None:
        raise unsupported("extended attributes")

    def remove_xattr(self, name: bytes) -> None:
        raise unsupported("extended attributes")

    def close(self) -> None:
        """Nothing is held."""
