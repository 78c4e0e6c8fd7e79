"""What is to be copied, and what the report is made of while it is.

Here: `CopyRequest` and `CopyTally`. Not here: any step.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ...errors import InputError
from ...limits import PROBLEMS_KEPT
from ...stores.options import StoreOptions
from ...types import CopiedSnapshot, CopyMode, CopyReport, Problem, SnapshotId
from ..clock import time_of
from ..context import DossierContext, RepositoryContext
from ..history import ReadManifest
from ..meter import Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRequest:
    """What to copy, and where to. `to` is an address, or a repository that is open already."""

    to: str | os.PathLike[str] | RepositoryContext
    mode: CopyMode | str | None = None
    """None: a twin where the destination is one, else an independent copy. A plain word becomes a `CopyMode`."""
    options: StoreOptions | None = None
    dry_run: bool = False
    new_secret: str | None = field(default=None, repr=False)
    """Of the dossier in an independent destination, where this station does not know it yet."""

    def __post_init__(self) -> None:
        """Raises InputError for a word that is no mode."""
        if self.mode is not None:
            try:
                object.__setattr__(self, "mode", CopyMode(self.mode))
            except ValueError:
                raise InputError(
                    f"{self.mode!r} is no kind of copy: use twin or independent.", code="invalid_copy_mode"
                ) from None


@dataclass(slots=True, kw_only=True)
class CopyTally:
    """The figures of one copy so far."""

    meter: Meter
    mode: CopyMode
    created: bool
    dry_run: bool
    copied: list[CopiedSnapshot] = field(default_factory=list)
    present: int = 0
    forgotten: int = 0
    blobs: int = 0
    added_bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    safe_to_unplug: bool | None = None

    def report_problem(self, *problems: Problem) -> None:
        """Take note of problems; the first thousand are kept."""
        self.problems.extend(problems[: max(0, PROBLEMS_KEPT - len(self.problems))])
        self.meter.problems += len(problems)

    def take(self, dossier: DossierContext, manifest: ReadManifest, copy_id: SnapshotId) -> None:
        """Count a snapshot that is whole at the destination, or would be."""
        facts = manifest.facts
        self.copied.append(
            CopiedSnapshot(
                dossier_id=dossier.id,
                dossier=dossier.pin.name or None,
                id=manifest.sealed.snapshot_id,
                copy_id=copy_id,
                time=time_of(facts.time_ns),
                files=facts.files,
                total_bytes=facts.total_bytes,
            )
        )

    def report(self) -> CopyReport:
        """Return the result."""
        return CopyReport(
            mode=self.mode,
            created=self.created,
            dry_run=self.dry_run,
            copied=tuple(self.copied),
            present=self.present,
            forgotten=self.forgotten,
            blobs=self.blobs,
            added_bytes=self.added_bytes,
            duration_seconds=self.meter.seconds,
            problems=tuple(self.problems),
            safe_to_unplug=self.safe_to_unplug,
        )


def not_copied(manifest: ReadManifest, why: Exception | str) -> Problem:
    """Return the problem for a snapshot that could not be copied."""
    name = manifest.sealed.snapshot_id.hex()
    code = str(getattr(why, "code", "not_copied"))
    return Problem(code=code, path=name, message=f"Snapshot {name[:8]} was not copied: {why}")
