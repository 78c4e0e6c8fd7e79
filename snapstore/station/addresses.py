"""Which repository this station saw at an address that goes to a medium.

Here: `KnownAddresses`, one small private file. Not here: what follows from another one being there
(`snapstore.operations.media.expected`), and where a medium was seen (places.py).

Rules: several processes may read and write at the same time; the file is replaced whole, under a lock. A file that is
missing or damaged reads as nothing known, and what cannot be kept is left: then another medium goes unnoticed, and
nothing else happens. What was seen longest ago goes first once there are too many.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ..errors import DamageError
from .protection import locked, read_private, write_private

SIGHTINGS_MAX: Final = 500  # a stick for each weekday and client; each takes about 250 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A repository on a medium at an address, and when it was seen there last. Ids are hexadecimal."""

    address: str
    repository: str
    medium: str
    label: str
    seen: str
    """ISO 8601 with zone."""

    @property
    def time(self) -> datetime:
        """When it was seen."""
        return datetime.fromisoformat(self.seen)


class KnownAddresses:
    """The file at `path`."""

    def __init__(self, path: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = path
        self._now = now

    def at(self, address: str) -> list[Sighting]:
        """Return what was seen at an address, the last one first."""
        return sorted((item for item in self._read() if item.address == address), key=_when, reverse=True)

    def last_seen(self, medium: str) -> datetime | None:
        """Return when a medium was seen last, wherever that was."""
        return max((item.time for item in self._read() if item.medium == medium), default=None)

    def remember(self, address: str, *, repository: str, medium: str, label: str) -> None:
        """Note that a repository was seen at an address now."""
        import json  # late: most runs know no medium, and every start would pay

        seen = self._now().isoformat()
        new = Sighting(address=address, repository=repository, medium=medium, label=label, seen=seen)
        with contextlib.suppress(OSError), locked(self._path.with_name(f"{self._path.name}.lock")):
            kept = [item for item in self._read() if (item.address, item.medium) != (address, medium)]
            kept = sorted([*kept, new], key=_when)[-SIGHTINGS_MAX:]
            write_private(self._path, json.dumps([asdict(item) for item in kept]).encode("utf-8"))

    def _read(self) -> list[Sighting]:
        try:
            stored = read_private(self._path)
            if stored is None:
                return []
            import json

            found = [Sighting(**item) for item in json.loads(stored)]
            return [item for item in found if all(map(_is_text, asdict(item).values())) and item.time.tzinfo]
        except (DamageError, OSError, ValueError, TypeError):
            return []


def _when(sighting: Sighting) -> datetime:
    return sighting.time


def _is_text(value: object) -> bool:
    return isinstance(value, str)
