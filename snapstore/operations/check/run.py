"""Checking a repository: the order in which its parts are looked at, and the report.

Here: the verb. Not here: the parts (see the package).

Rules: it goes on after damage and finds everything; only a store that fails as a whole ends it. Nothing is written but
a signed record that this station checked, and with what result, for each dossier it may write to. What others do at
the same time is no damage: before something is called lost the store is looked at once more, and who was hurt is asked
only of snapshots that are still there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ...blobs.reader import BlobReader
from ...crypto.blob import CHILD_PREFIX_BYTES
from ...errors import InputError, SnapstoreError, StorePermissionError
from ...format.keyset import PrivateHalves
from ...format.names import OK, PACKS, SNAPSHOTS, b32, pack_path
from ...format.record import RecordType
from ...stores.cached import uncached
from ...types import BlobId, DossierId, PlainHash, Problem
from ...upkeep_types import CheckOptions, CheckReport, HurtSnapshot
from ..browse import root_of
from ..clock import time_of
from ..clones import see_medium
from ..context import RepositoryContext
from ..history import ReadManifest
from ..meter import Meter
from ..results import put_result
from .content import ContentCheck
from .data import DataPlan
from .found import CheckedDossier, Structure
from .hurt import HurtFiles
from .objects import ObjectReader
from .packs import PackReader, PackState
from .reach import Prefix, References, TreeLists
from .report import Findings
from .structure import look_at_structure, read_unindexed

_LOOKS: Final = 3  # at a store in which something seems to be lost


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """What to check, and with which keys."""

    options: CheckOptions = field(default_factory=CheckOptions)
    private: Mapping[DossierId, PrivateHalves] = field(default_factory=dict)
    """Of the dossiers whose content is to be opened."""
    record: bool = True


def check_repository(context: RepositoryContext, request: CheckRequest, meter: Meter) -> CheckReport:
    """Look at everything that is asked for.

    Raises NotEnrolledError if this station has no keys of the repository, InputError, StoreError,
    OperationCancelledError. What was read until then is remembered."""
    _refuse_impossible(request.options)
    context.maintenance()
    see_medium(context)
    with meter.ending_waits(context.store):
        meter.enter("check")
        check = _Check(context, request, meter)
        try:
            check.read_packs()
            check.open_content()
            check.follow()
            report = check.report()
        finally:
            check.plan.remember()
    if request.record:
        report = _put_records(context, check.structure, report)
    return report


def _refuse_impossible(options: CheckOptions) -> None:
    limits = (options.max_bytes, options.max_seconds)
    if (options.share is not None and not 0 < options.share <= 1) or any(
        item is not None and item < 0 for item in limits
    ):
        raise InputError("A check reads a share between 0 and 1 of the packs, and bytes or seconds from 0 on.")


def _put_records(context: RepositoryContext, structure: Structure, report: CheckReport) -> CheckReport:
    """Sign the result for every dossier that this station may write to. What cannot be written is a problem."""
    problems: list[Problem] = []
    for dossier in structure.dossiers:
        try:
            put_result(
                dossier.context,
                dossier.history,
                RecordType.CHECKED,
                amount=report.read_bytes,
                whole=report.whole,
            )
        except StorePermissionError:
            break  # a medium that takes nothing can be checked all the same
        except SnapstoreError as error:
            message = f"That the dossier {dossier.name} was checked could not be recorded: {error}"
            problems.append(Problem(code=error.code, path="", message=message))
    return replace(report, problems=(*report.problems, *problems))


class _Check:
    def __init__(self, context: RepositoryContext, request: CheckRequest, meter: Meter) -> None:
        self._context = context
        self._request = request
        self._meter = meter
        self._store = uncached(context.store)
        self.findings = Findings()
        self._objects = ObjectReader(context, self.findings, meter)
        self.structure: Structure = look_at_structure(context, self._objects, self.findings)
        structure = self.structure
        self.plan = DataPlan(context, dict(structure.packs), request.options)
        self._packs = PackReader(context.catalogue(), self._store, structure.index.entries)
        self._lists = TreeLists()
        self._references = References(structure.index, structure.packs, self._lists, meter)
        self._read_bytes = 0
        self._whole_packs: set[str] = set()
        self._hurt: set[Prefix] = set()
        self._lost: set[Prefix] = set()
        self._all_opened = False

    # --- packs ---------------------------------------------------------------------------------------------------

    def read_packs(self) -> None:
        """Read all packs of trees, all that do not seem right, and of the others those that are due."""
        structure, options = self.structure, self._request.options
        always = structure.tree_packs | structure.suspects | self.plan.doubtful()
        first = [name for name in structure.packs if name in always]
        others = [name for name in structure.packs if name not in always]
        due = self.plan.bytes_due(others) if options.read_data else 0
        self._meter.bytes_total = sum(structure.packs[name] for name in first) + due
        self._read((name, structure.packs[name]) for name in first)
        if options.read_data:
            self._read(self.plan.chosen(others, lambda: self._meter.seconds))
        if options.read_data and (options.share, options.max_bytes, options.max_seconds) == (None, None, None):
            self._objects.read_sidecars()

    def _read(self, packs: Iterable[tuple[str, int]]) -> None:
        for state in self._packs.read_all(packs):
            self._take(state)
            self._meter.step(size=state.read_bytes, current=state.name)

    def _take(self, state: PackState) -> None:
        for finding in state.findings:
            self.findings.add(finding)
        self._references.mark_bad(state)
        if state.gone:
            self.structure.packs.pop(state.name, None)
            return
        self._read_bytes += state.read_bytes
        self.plan.take(state)
        if state.children:
            self._lists.take(state)
        if state.whole:
            self._whole_packs.add(state.name)

    # --- content -------------------------------------------------------------------------------------------------

    def open_content(self) -> None:
        """Open what the snapshots hold of dossiers whose private keys are at hand."""
        for dossier in self.structure.dossiers:
            roots = self._roots(dossier) if dossier.context.id in self._request.private else {}
            if not roots:
                continue
            check = ContentCheck(
                self._store,
                self.structure.index,
                dossier.context.epoch_keys(),
                self._references,
                self.findings,
                self._meter,
                opened_packs=self._whole_packs if self._request.options.read_data else (),
            )
            with contextlib.closing(check):
                for root in roots.values():
                    check.walk(root)
                check.finish()

    def _roots(self, dossier: CheckedDossier) -> dict[str, PlainHash]:
        """Return the h of the roots that can be opened, by the manifest's name."""
        found: dict[str, PlainHash] = {}
        private = self._request.private.get(dossier.context.id)
        for manifest in dossier.history.manifests:
            name = manifest.names[0]
            try:
                root = root_of(dossier.context, manifest, private) if dossier.context.pin.keys else None
            except SnapstoreError as error:
                self.findings.damage("root_unreadable", name, f"{name}: its root does not open: {error}")
                continue
            if root is None:
                continue
            if not self._is_id_of(dossier, root, manifest.facts.root_id):
                message = f"{name}: the root that it gives to the dossier is not the one that it shows."
                self.findings.damage("root_differs", name, message)
            found[name] = root
        return found

    @staticmethod
    def _is_id_of(dossier: CheckedDossier, root: PlainHash, root_id: BlobId) -> bool:
        return any(keys.own.address(root)[0] == root_id for keys in dossier.context.epoch_keys())

    # --- references ----------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Find out what is lost, and below which trees."""
        for look in range(_LOOKS):
            roots = [item.facts.root_id for dossier, item in self.structure.manifests() if dossier.relies_on(item)]
            trees, self._lost = self._references.follow(roots)
            if not self._lost or look == _LOOKS - 1 or not self._changed_meanwhile():
                break
        if self._lost:
            self._hurt = self._references.hurt_by(trees, self._lost)
            self._name_lost()
        for dossier, manifest in self.structure.manifests():
            if not dossier.relies_on(manifest) and self._references.follow([manifest.facts.root_id])[1]:
                name = manifest.names[0]
                message = f"{name} is of a run that was not finished, and not all of it is there."
                self.findings.remark("unconfirmed_incomplete", name, message)

    def _changed_meanwhile(self) -> bool:
        """Look at the store again, and go on with what is there now. False if it is what was there before."""
        structure = self.structure
        there = {item.name for folder in (OK, SNAPSHOTS) for item in self._store.list(folder)}
        changed = False
        for dossier in structure.dossiers:
            manifests = [item for item in dossier.history.manifests if there.intersection(item.names)]
            changed = changed or len(manifests) < len(dossier.history.manifests)
            dossier.history.manifests = manifests
        packs = {item.name.rpartition("/")[2]: item.size for item in self._store.list(PACKS)}
        new = {name: size for name, size in packs.items() if name not in structure.packs}
        gone = [name for name in structure.packs if name not in packs]
        for name in gone:
            del structure.packs[name]
        structure.packs.update(new)
        if new:
            read_unindexed(self._context, structure, Findings())
            self._read((name, size) for name, size in new.items() if name in structure.tree_packs)
        return changed or bool(new)

    def _name_lost(self) -> None:
        """Say where what is lost was, as far as anything tells."""
        absent = self.structure.absent_packs(self._lost)
        for name, count in absent.items():
            message = f"{pack_path(name)} is gone, with {count} pieces that snapshots need."
            self.findings.damage("missing_pack", pack_path(name), message)
        known = sum(absent.values()) + sum(self._references.packs_of(self._lost).values())
        if known < len(self._lost):
            count = len(self._lost) - known
            self.findings.damage("missing_blob", "", f"{count} pieces that snapshots need are in no pack.")

    # --- the report ----------------------------------------------------------------------------------------------

    def report(self) -> CheckReport:
        """Put together what was found."""
        structure = self.structure
        hurt = tuple(self._hurt_snapshots())
        findings = self.findings.all(structure.set_aside)
        packs = structure.packs
        return CheckReport(
            whole=not hurt and not any(item.is_damage for item in findings),
            findings=findings,
            hurt=hurt,
            snapshots=sum(1 for _ in structure.manifests()),
            packs=len(packs),
            objects=structure.seen.count,
            read_bytes=self._read_bytes,
            verified_bytes=self.plan.verified_bytes(),
            stored_bytes=sum(packs.values()),
            oldest_verified=self.plan.oldest(),
            content=bool(self._request.private),
        )

    def _hurt_snapshots(self) -> Iterator[HurtSnapshot]:
        for dossier in self.structure.dossiers:
            for snapshot_id in dossier.history.missing:
                yield HurtSnapshot(dossier=dossier.name, snapshot_id=snapshot_id, time=None, files=(), file_count=0)
            hurt = [
                item
                for item in dossier.history.manifests
                if dossier.relies_on(item) and item.facts.root_id[:CHILD_PREFIX_BYTES] in self._hurt
            ]
            roots = self._roots(dossier) if hurt else {}
            reader = BlobReader(self._store, self.structure.index, dossier.context.epoch_keys())
            files = HurtFiles(reader, dossier.context.epoch_keys(), self._hurt, self._meter)
            for manifest in hurt:
                yield _hurt(dossier, manifest, files, roots.get(manifest.names[0]))
        for snapshot_id, (dossier_id, time_ns) in self.structure.keyless.items():
            yield HurtSnapshot(
                dossier=b32(dossier_id), snapshot_id=snapshot_id, time=time_of(time_ns), files=(), file_count=0
            )


def _hurt(dossier: CheckedDossier, manifest: ReadManifest, files: HurtFiles, root: PlainHash | None) -> HurtSnapshot:
    paths, count = files.below(root) if root is not None else ((), 0)
    return HurtSnapshot(
        dossier=dossier.name,
        snapshot_id=manifest.sealed.snapshot_id,
        time=time_of(manifest.facts.time_ns),
        files=paths,
        file_count=count,
    )
