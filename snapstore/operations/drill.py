"""Rehearsing a restore: a random sample of a snapshot is brought back to a scratch folder and looked at.

Here: restoring it, looking at it, cleaning up. Not here: choosing it (`drill_sample`), opening databases (`databases`),
how files are restored (`restore`, which computes every hash anew), checking the whole repository (`check`).

Rules: of each way in which content is stored at least one file is taken, and the largest SQLite database that fits the
limit comes first: it is what hurts most. The scratch folder is removed whatever happens, for the files in it are in the
clear; it is made closed to other users. A database is opened read-only; one with a journal beside it, which
SQLite has to play back first, as a copy of the files that stood together.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ..errors import DamageError, InputError, SnapstoreError, StorePermissionError, TargetError
from ..format.keyset import PrivateHalves
from ..format.record import RecordType
from ..limits import MIB
from ..types import EntryType, Problem, RestoreOptions, Snapshot
from ..upkeep_types import DrillReport
from .browse import SnapshotView, open_view
from .context import DossierContext
from .databases import look_at_database
from .drill_sample import COMPANION_ENDINGS, Candidate, Sample
from .history import ReadManifest, read_history, snapshot_of
from .listing import find_manifest
from .meter import Meter
from .open_file import open_content
from .restore import RestoreRequest, restore_snapshot
from .results import put_result

DRILL_BYTES: Final = 512 * MIB
_SQLITE_MAGIC: Final = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRequest:
    """What to rehearse."""

    snapshot: Snapshot | str = "latest"
    max_bytes: int = DRILL_BYTES
    scratch: str | None = None
    """Where the scratch folder is made; None: where the system has its temporary files."""
    record: bool = True


def drill(dossier: DossierContext, request: DrillRequest, private: PrivateHalves | None, meter: Meter) -> DrillReport:
    """Restore a sample and look at it.

    Raises SecretRequiredError, SnapshotNotFoundError, TargetError if the scratch folder cannot be used, InputError,
    StoreError, OperationCancelledError. Damage is in the report."""
    if request.max_bytes < 1:
        raise InputError("A drill restores at least one byte.")
    manifest = find_manifest(dossier, request.snapshot)
    with _scratch(request.scratch) as folder:
        report = _Drill(dossier, request, manifest, private, meter).run(folder)
    if request.record:
        try:
            put_result(dossier, read_history(dossier), RecordType.DRILL, amount=report.files, whole=report.whole)
        except StorePermissionError:
            return report  # from a medium that takes nothing one can restore all the same
        except SnapstoreError as error:
            message = f"That a drill was done could not be recorded: {error}"
            problem = Problem(code=error.code, path="", message=message)
            report = replace(report, problems=(*report.problems, problem))
    return report


class _Drill:
    def __init__(
        self,
        dossier: DossierContext,
        request: DrillRequest,
        manifest: ReadManifest,
        private: PrivateHalves | None,
        meter: Meter,
    ) -> None:
        self._dossier = dossier
        self._request = request
        self._manifest = manifest
        self._private = private
        self._meter = meter
        self._differing: list[str] = []
        self._broken: list[str] = []
        self._problems: list[Problem] = []

    def run(self, scratch: str) -> DrillReport:
        """Choose, restore, look."""
        self._meter.enter("scan")
        max_bytes = min(self._request.max_bytes, shutil.disk_usage(scratch).free // 2)
        view = open_view(self._dossier, self._manifest, self._private)
        with contextlib.closing(view.reader):
            sample = Sample(random.Random())
            self._collect(view, sample)
            chosen = sample.choose(self._largest_database(view, sample, max_bytes), max_bytes)
        target = os.path.join(scratch, "files")
        if chosen:
            self._restore(chosen, target)
        found = [
            item for item in chosen if self._is_database(item, target)
        ]  # SQLite removes journals that it plays back
        databases = sum(self._is_in_order(item, target) for item in found)
        restored = [item for item in chosen if _text(item.path) not in self._differing]
        return DrillReport(
            snapshot=snapshot_of(self._manifest),
            files=len(restored),
            total_bytes=sum(item.size for item in restored),
            differing=tuple(self._differing),
            databases=databases,
            broken_databases=tuple(self._broken),
            whole=not self._differing and not self._broken,
            problems=tuple(self._problems),
        )

    def _collect(self, view: SnapshotView, sample: Sample) -> None:
        """Offer every file of the snapshot; a folder that cannot be read is one that differs."""
        waiting = [(b"", view.root)]
        while waiting:
            self._meter.step()
            above, folder = waiting.pop()
            try:
                for entry in view.children(folder):
                    path = above + b"/" + entry.name if above else entry.name
                    if entry.type is EntryType.DIRECTORY:
                        waiting.append((path, entry))
                    elif entry.type is EntryType.FILE:
                        sample.offer(Candidate.of(path, entry))
            except DamageError as error:
                self._differ(_text(above) + "/", error)

    def _largest_database(self, view: SnapshotView, sample: Sample, max_bytes: int) -> list[Candidate]:
        """Return the largest SQLite database that fits, with its journals; nothing if there is none."""
        too_large = False
        for candidate in sample.perhaps_databases():
            self._meter.step()
            together = sample.with_journals(candidate)
            try:
                with open_content(view, _text(candidate.path)) as file:
                    found = file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
            except DamageError as error:
                self._differ(_text(candidate.path), error)
                continue
            if found and sum(item.size for item in together) <= max_bytes:
                return together
            too_large = too_large or found
        if too_large:
            message = "No database of the snapshot is small enough for this drill. Give it more room (max_bytes)."
            self._problems.append(Problem(code="database_too_large", path="", message=message))
        return []

    def _restore(self, chosen: list[Candidate], target: str) -> None:
        request = RestoreRequest(
            manifest=self._manifest,
            to=target,
            paths=tuple(_text(item.path) for item in chosen),
            options=RestoreOptions(sync=False),
        )
        self._problems.extend(restore_snapshot(self._dossier, request, self._private, self._meter).problems)

    def _is_database(self, candidate: Candidate, target: str) -> bool:
        """Look whether a restored file is there in its whole size, and tell whether it is a database."""
        try:
            path = _place(candidate, target)
            size = os.stat(path).st_size
            with open(path, "rb") as file:
                is_database = file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
        except OSError:
            size, is_database = -1, False
        if size != candidate.size:
            self._differ(_text(candidate.path), None)
            return False
        return is_database and not candidate.path.endswith(COMPANION_ENDINGS)

    def _is_in_order(self, candidate: Candidate, target: str) -> bool:
        verdict = look_at_database(Path(_place(candidate, target)), self._meter)
        if verdict.broken:
            self._broken.append(_text(candidate.path))
        if verdict.message:
            problem = Problem(code=verdict.code, path=_text(candidate.path), message=verdict.message)
            self._problems.append(problem)
        return verdict.in_order

    def _differ(self, path: str, error: DamageError | None) -> None:
        if path not in self._differing:
            self._differing.append(path)
        if error is not None:
            self._problems.append(Problem(code=error.code, path=path, message=str(error)))


def _text(path: bytes) -> str:
    return os.fsdecode(path)


def _place(candidate: Candidate, target: str) -> str:
    return os.path.join(target, *_text(candidate.path).split("/"))


@contextlib.contextmanager
def _scratch(parent: str | None) -> Iterator[str]:
    """Give a folder that only this user may enter, and remove it with everything in it."""
    try:
        folder = tempfile.mkdtemp(prefix="snapstore-drill-", dir=parent)
    except OSError as error:
        raise TargetError(
            f"No scratch folder can be made in {parent or tempfile.gettempdir()}: {error.strerror or error}. "
            "Name another place (scratch).",
            code="target_unusable",
        ) from error
    try:
        yield folder
    finally:
        for above, folders, files in os.walk(folder):  # what was restored may be closed to writing
            for name in (*folders, *(files if os.name == "nt" else ())):
                path = os.path.join(above, name)
                if not os.path.islink(path):
                    with contextlib.suppress(OSError):
                        os.chmod(path, 0o700)
        shutil.rmtree(folder, ignore_errors=True)
