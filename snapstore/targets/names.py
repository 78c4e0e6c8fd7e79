"""Which names may be written into a target folder, and the temporary ones.

A snapshot may come from anybody, so every name is checked before the system sees it: one element, never a path. On
Windows that takes more than "/" and "..": a backslash or a colon leads elsewhere (folders, drives, streams), some names
are devices whatever their folder, and trailing dots and spaces are cut off by the system, which makes two names one.

Temporary names are recognised by their exact shape, so that those left by a killed restore can be removed and nothing
else ever is.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Final

from ..errors import TargetError

WINDOWS_FORBIDDEN: Final = b'<>:"|?*\\'
"""What no Windows file system takes in a name, control characters apart."""

_RESERVED = re.compile(
    "(con|prn|aux|nul|conin\\$|conout\\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])[ ]*(\\.|$)",
    re.IGNORECASE,
)
_TEMPORARY = re.compile(rb"\.snapstore-[0-9a-f]{16}\.part")


def is_reserved(name: bytes) -> bool:
    """True for the names that Windows takes for devices, with any extension: NUL, com1.txt ..."""
    return _RESERVED.match(name.decode("utf-8", "replace")) is not None


def check_name(name: bytes, *, windows: bool = sys.platform == "win32") -> bytes:
    """Return `name` if it names exactly one thing directly in a folder; else TargetError `name_invalid`."""
    bad = not name or name in (b".", b"..") or b"/" in name or b"\0" in name
    if windows and not bad:
        bad = (
            any(byte < 32 or byte in WINDOWS_FORBIDDEN for byte in name)
            or name[-1:] in (b".", b" ")
            or is_reserved(name)
        )
    if bad:
        raise TargetError(f"The name {name!r} cannot stand in a folder here; it was not restored.", code="name_invalid")
    return name


def temporary_name() -> bytes:
    """A fresh name for something on its way in; short, so that it fits wherever the final name does."""
    return b".snapstore-%s.part" % os.urandom(8).hex().encode("ascii")


def is_temporary(name: bytes) -> bool:
    """True for names that `temporary_name` made."""
    return _TEMPORARY.fullmatch(name) is not None
