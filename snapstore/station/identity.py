"""The station's own signing key and name.

Here: the record and its file. Not here: keys of repositories (`keyring`).

Rules: the key is drawn once per installation and never leaves the machine; its public half is what keysets certify.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..crypto.signing import SigningKey
from ..errors import DamagedObjectError
from ..format.keyset import station_id
from ..format.packing import decode, encode
from ..types import StationId
from .protection import locked, read_private, write_private


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Station:
    """This installation: its name for people and its key for signatures."""

    name: str
    signing: SigningKey

    @property
    def public_key(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""
        return self.signing.public_bytes

    @property
    def id(self) -> StationId:
        """The first 16 bytes of the public key's BLAKE3 hash (docs/format/01-conventions.md)."""
        return station_id(self.public_key)

    def __repr__(self) -> str:
        return f"Station({self.name!r}, {self.id.hex()})"


def load_station(path: Path, name: str | None) -> Station:
    """Read the station's file, or make one named `name` (default: the host's name) with a new key."""
    with locked(path.with_name(".lock")):
        stored = read_private(path)
        if stored is not None:
            return _decode(stored, path)
        station = Station(name=name or platform.node() or "station", signing=SigningKey.generate())
        write_private(path, encode({0: station.name, 1: station.signing.seed}))
        return station


def _decode(stored: bytes, path: Path) -> Station:
    record: Any = decode(stored, what=str(path))
    try:
        name, seed = record[0], record[1]
        if isinstance(name, str) and isinstance(seed, bytes):
            return Station(name=name, signing=SigningKey.from_seed(seed))
    except (LookupError, TypeError, ValueError):
        pass
    raise DamagedObjectError(
        f"The station file {path} is damaged. Move it away; the secret enrols this station anew.",
        code="station_file_damaged",
    )
