"""Where a station saw a medium last, so that a copy of it is told from the medium itself.

Here: one small private file for each medium. Not here: what a place is made of (`snapstore.stores.media.fingerprint`),
and what follows from two that differ (`snapstore.operations.clones`).

Rules: a file that is missing or damaged reads as nothing known. Nothing depends on it but that the copy is noticed.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..errors import DamageError
from .protection import read_private, write_private


class MediumPlace:
    """The fingerprint of the file system and folder in which a medium was seen last."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str | None:
        """Return it, or None if nothing is known."""
        try:
            stored = read_private(self._path)
            return None if stored is None else stored.decode("utf-8")
        except (DamageError, OSError, UnicodeDecodeError):
            return None

    def write(self, fingerprint: str) -> None:
        """Remember it. What cannot be kept is left: then the next copy goes unnoticed, and nothing else happens."""
        with contextlib.suppress(OSError):
            write_private(self._path, fingerprint.encode("utf-8"))
