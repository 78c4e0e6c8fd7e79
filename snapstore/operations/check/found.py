"""A repository as its maintenance key shows it.

Here: `Structure` and `CheckedDossier`, which the parts of a check fill in and read. Not here: how (`structure`,
`dossiers`).

Rule: these are records of one look; what changes in the store meanwhile is for who compares (`run`).
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from ...blobs.index import BlobIndex
from ...crypto.blob import CHILD_PREFIX_BYTES
from ...format.names import b32
from ...format.pack import COUNT, ENTRY_BYTES
from ...types import DossierId, SnapshotId
from ..context import DossierContext
from ..history import History, ReadManifest
from .objects import Seen


@dataclass(slots=True, kw_only=True)
class CheckedDossier:
    """A dossier and its snapshots."""

    context: DossierContext
    history: History

    @property
    def name(self) -> str:
        """Its name, or the digits of its id where this station does not know it."""
        return self.context.pin.name or b32(self.context.id)

    def relies_on(self, manifest: ReadManifest) -> bool:
        """Tell whether somebody was told that a snapshot is done. Of a run that is not finished parts may be absent."""
        return manifest.confirmed or manifest.sealed.snapshot_id in self.history.expected


@dataclass(slots=True)
class Structure:
    """A repository as its maintenance key shows it."""

    seen: Seen
    index: BlobIndex
    packs: dict[str, int]
    """Listed, with their sizes."""
    tree_packs: set[str] = field(default_factory=set)
    suspects: set[str] = field(default_factory=set)
    """Packs that are to be read in any case: something about them does not fit."""
    absent: dict[str, bytes] = field(default_factory=dict)
    """Entries of packs that an index names and nobody lists."""
    dossiers: list[CheckedDossier] = field(default_factory=list)
    keyless: dict[SnapshotId, tuple[DossierId, int]] = field(default_factory=dict)
    """Snapshots of dossiers without a keyset, and when they were taken."""
    set_aside: set[str] = field(default_factory=set)
    """Objects that a signed record of quarantine names."""

    def manifests(self) -> Iterator[tuple[CheckedDossier, ReadManifest]]:
        """Yield every snapshot that counts."""
        for dossier in self.dossiers:
            for manifest in dossier.history.manifests:
                yield dossier, manifest

    def absent_packs(self, prefixes: Container[bytes]) -> dict[str, int]:
        """Return how many of these blobs were in packs that are not there any more."""
        found: dict[str, int] = {}
        for name, entries in self.absent.items():
            starts = range(COUNT.size, len(entries), ENTRY_BYTES)
            count = sum(entries[at : at + CHILD_PREFIX_BYTES] in prefixes for at in starts)
            if count:
                found[name] = count
        return found
