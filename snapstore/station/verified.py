"""When this station last read each pack of a medium from end to end and found it right.

Here: one small file for each medium. Not here: reading packs, and which are due (`snapstore.operations.check`).

Shape: a line of 40 bytes for each pack, its name and a u64 of seconds since 1970 (0 if it was damaged), behind a mark
and the hash of all lines. A file that is missing or damaged in any bit reads as nothing remembered, which costs only
that packs are read again sooner. It is replaced whole or not at all. Two checks at the same time may lose what one of
them read.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Final

from ..crypto.derivation import digest
from ..errors import DamageError
from ..types import MediumId, RepositoryId
from .protection import read_private, write_private

_MARK: Final = b"snapstore verified 1\n"
_HASH_BYTES: Final = 32
_LINE: Final = struct.Struct("<32sQ")
_LATEST: Final = (1 << 63) - 1


class VerifiedPacks:
    """Names of packs and when they were found right."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, int]:
        """Return seconds since 1970 by the name of the pack; nothing if that is not known."""
        try:
            stored = read_private(self._path)
        except (DamageError, OSError):
            return {}
        start = len(_MARK) + _HASH_BYTES
        if stored is None or not stored.startswith(_MARK):
            return {}
        lines = stored[start:]
        if stored[len(_MARK) : start] != digest(lines) or len(lines) % _LINE.size:
            return {}
        return {name.rstrip(b"\0").decode("latin-1"): seconds for name, seconds in _LINE.iter_unpack(lines)}

    def write(self, seconds: Mapping[str, int], listed: Container[str]) -> None:
        """Remember these, of packs that are `listed`. What cannot be kept is left."""
        kept = sorted((name, when) for name, when in seconds.items() if name in listed)
        lines = b"".join([_LINE.pack(name.encode("latin-1"), min(max(0, when), _LATEST)) for name, when in kept])
        with contextlib.suppress(OSError):
            write_private(self._path, _MARK + digest(lines) + lines)


def verified_packs(state: Path, repository_id: RepositoryId, medium_id: MediumId) -> VerifiedPacks:
    """Return what the station with the folder `state` remembers of a medium."""
    return VerifiedPacks(state / "repositories" / repository_id.hex() / medium_id.hex() / "verified")
