"""The few Windows calls that Python does not offer, through ctypes.

Here: unbuffered reading, the drives with their labels, and the volume of a path. Not here: any decision; readback.py
and media/ use these.

Rules: imported on Windows only. `ReadFile` without buffering wants sizes and addresses aligned to the sector, so
reads go to an anonymous memory map (aligned to a page) in blocks of 1 MiB; the last read gives the rest of the file.
Failures are raised as `OSError` with Windows' number, as Python's own calls do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A drive with a letter, as Windows describes it."""

    root: str
    label: str
    serial: str
    removable: bool
    file_system: str = ""
    read_only: bool = False
    remote: bool = False


if sys.platform == "win32":
    import ctypes
    import mmap
    from ctypes import wintypes

    _GENERIC_READ = 0x80000000
    _GENERIC_WRITE = 0x40000000
    _SHARE_ALL = 0x7
    _OPEN_EXISTING = 3
    _NO_BUFFERING = 0x20000000
    _SEQUENTIAL = 0x08000000
    _INVALID_HANDLE = ctypes.c_void_p(-1).value
    _DRIVE_REMOVABLE = 2
    _DRIVE_FIXED = 3
    _DRIVE_REMOTE = 4
    _READ_ONLY_VOLUME = 0x00080000
    _PATH_MAX_CHARS = 32768

    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel.CreateFileW.restype = wintypes.HANDLE
    _kernel.CreateFileW.argtypes = [
        wintypes.LPCWSTR,
        wintypes.DWORD,
        wintypes.DWORD,
        ctypes.c_void_p,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.HANDLE,
    ]
    _kernel.ReadFile.argtypes = [
        wintypes.HANDLE,
        ctypes.c_void_p,
        wintypes.DWORD,
        ctypes.POINTER(wintypes.DWORD),
        ctypes.c_void_p,
    ]
    _kernel.CloseHandle.argtypes = [wintypes.HANDLE]
    _kernel.FlushFileBuffers.argtypes = [wintypes.HANDLE]
    _kernel.SetEndOfFile.argtypes = [wintypes.HANDLE]
    _kernel.SetFilePointerEx.argtypes = [wintypes.HANDLE, ctypes.c_longlong, ctypes.c_void_p, wintypes.DWORD]

    def read_unbuffered(path: str, block_bytes: int) -> Iterator[bytes]:
        """The file's bytes in blocks, past the system's cache. `block_bytes` is a multiple of the sector size."""
        flags = _NO_BUFFERING | _SEQUENTIAL
        handle = _kernel.CreateFileW(path, _GENERIC_READ, _SHARE_ALL, None, _OPEN_EXISTING, flags, None)
        if handle == _INVALID_HANDLE:
            raise ctypes.WinError(ctypes.get_last_error())
        memory = mmap.mmap(-1, block_bytes)
        try:
            address = ctypes.c_char.from_buffer(memory)
            try:
                count = wintypes.DWORD()
                while True:
                    if not _kernel.ReadFile(handle, ctypes.byref(address), block_bytes, ctypes.byref(count), None):
                        raise ctypes.WinError(ctypes.get_last_error())
                    if count.value:
                        yield memory[: count.value]
                    if count.value < block_bytes:
                        return
            finally:
                del address  # a map with a live view into it refuses to close
        finally:
            memory.close()
            _kernel.CloseHandle(handle)

    def system_drive() -> str:
        """The letter and colon of the drive that Windows started from."""
        folder = ctypes.create_unicode_buffer(261)
        _kernel.GetSystemWindowsDirectoryW(folder, 261)
        return folder.value[:2]

    def volumes() -> Iterator[Volume]:
        """All drives that are ready. A card reader without a card is not."""
        letters = _kernel.GetLogicalDrives()
        for number in range(26):
            root = f"{chr(ord('A') + number)}:\\"
            kind = _kernel.GetDriveTypeW(root) if letters >> number & 1 else 0
            if kind not in (_DRIVE_REMOVABLE, _DRIVE_FIXED):
                continue
            volume = _describe(root, removable=kind == _DRIVE_REMOVABLE)
            if volume is not None:
                yield volume

    def volume_of(path: str) -> Volume:
        """The volume that a path lies on: a drive, a share, or one mounted in a folder."""
        root = ctypes.create_unicode_buffer(_PATH_MAX_CHARS)
        if not _kernel.GetVolumePathNameW(path, root, _PATH_MAX_CHARS):
            raise ctypes.WinError(ctypes.get_last_error())
        name = root.value.replace("\\\\?\\UNC\\", "\\\\").removeprefix("\\\\?\\")
        volume = _describe(name, removable=_kernel.GetDriveTypeW(name) == _DRIVE_REMOVABLE)
        if volume is None:
            raise ctypes.WinError(ctypes.get_last_error())
        return volume

    def set_end_of_file(path: str, size: int) -> None:
        """Give an existing file a size without writing to it: NTFS, exFAT and FAT only set the room aside."""
        handle = _kernel.CreateFileW(path, _GENERIC_WRITE, _SHARE_ALL, None, _OPEN_EXISTING, 0, None)
        if handle == _INVALID_HANDLE:
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            moved = _kernel.SetFilePointerEx(handle, ctypes.c_longlong(size), None, 0)
            if not (moved and _kernel.SetEndOfFile(handle)):
                raise ctypes.WinError(ctypes.get_last_error())
        finally:
            _kernel.CloseHandle(handle)

    def flush_volume(path: str) -> None:
        """Flush the drive that a path lies on. OSError where this user may not."""
        root = ctypes.create_unicode_buffer(_PATH_MAX_CHARS)
        if not _kernel.GetVolumePathNameW(path, root, _PATH_MAX_CHARS):
            raise ctypes.WinError(ctypes.get_last_error())
        device = "\\\\.\\" + root.value.removeprefix("\\\\?\\").rstrip("\\")
        handle = _kernel.CreateFileW(device, _GENERIC_WRITE, _SHARE_ALL, None, _OPEN_EXISTING, 0, None)
        if handle == _INVALID_HANDLE:
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            if not _kernel.FlushFileBuffers(handle):
                raise ctypes.WinError(ctypes.get_last_error())
        finally:
            _kernel.CloseHandle(handle)

    def _describe(root: str, *, removable: bool) -> Volume | None:
        label, file_system = ctypes.create_unicode_buffer(261), ctypes.create_unicode_buffer(261)
        serial, flags = wintypes.DWORD(), wintypes.DWORD()
        ready = _kernel.GetVolumeInformationW(
            root, label, 261, ctypes.byref(serial), None, ctypes.byref(flags), file_system, 261
        )
        if not ready:
            return None
        return Volume(
            root=root,
            label=label.value,
            serial=f"{serial.value >> 16:04X}-{serial.value & 0xFFFF:04X}",
            removable=removable,
            file_system=file_system.value,
            read_only=bool(flags.value & _READ_ONLY_VOLUME),
            remote=_kernel.GetDriveTypeW(root) == _DRIVE_REMOTE,
        )
