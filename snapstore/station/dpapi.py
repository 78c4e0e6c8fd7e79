"""Windows' Data Protection API through ctypes: bytes that only this Windows account can open again.

Here: two calls into crypt32. Not here: any other use of Windows. Imported on Windows only.

Source: CryptProtectData and CryptUnprotectData in the Windows SDK's dpapi.h.
"""

from __future__ import annotations

import ctypes
from typing import Any

from ..errors import DamagedObjectError

_UI_FORBIDDEN = 0x1  # CRYPTPROTECT_UI_FORBIDDEN: fail rather than ask, for services


class _Blob(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("data", ctypes.POINTER(ctypes.c_char))]


def _call(name: str, data: bytes) -> bytes | None:
    windll: Any = getattr(ctypes, "windll")  # noqa: B009  absent from the type stubs of other systems
    source = _Blob(len(data), ctypes.cast(ctypes.create_string_buffer(data, len(data)), ctypes.POINTER(ctypes.c_char)))
    result = _Blob()
    done = getattr(windll.crypt32, name)(
        ctypes.byref(source), None, None, None, None, _UI_FORBIDDEN, ctypes.byref(result)
    )
    if not done:
        return None
    try:
        return ctypes.string_at(result.data, result.size)
    finally:
        windll.kernel32.LocalFree(result.data)


def protect(data: bytes) -> bytes:
    """Seal `data` to the current Windows account. OSError if Windows refuses."""
    sealed = _call("CryptProtectData", data)
    if sealed is None:
        raise OSError("Windows refused to protect the station's keys (CryptProtectData)")
    return sealed


def unprotect(data: bytes, where: str) -> bytes:
    """Open what `protect` sealed; DamagedObjectError naming `where` if it is not this account's."""
    plain = _call("CryptUnprotectData", data)
    if plain is None:
        raise DamagedObjectError(
            f"The station file {where} does not open under this Windows account. "
            "Move it away; the secret enrols this station anew.",
            code="station_file_damaged",
        )
    return plain
