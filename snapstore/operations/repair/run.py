"""Repairing a medium: the verb, as a plan and as its execution.

Here: the order of things. Not here: the things (see the package).

Rules: nothing is changed without a plan that names it. Doing a plan looks at everything again that the plan is about,
and does what of the plan still applies, step by step: keys first, then what a person sets aside, indexes, packs, and
manifests last, since a snapshot may count only when all that it needs is there. A step that fails is told, and the
others go on, unless the store fails as a whole. An interruption leaves everything that was readable readable: the next
plan names what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ...errors import DamageError, InUseError, NotEnrolledError
from ...format.names import CONDEMN, DOSSIERS, OK, RECORDS, SNAPSHOTS, b32, pack_path
from ...format.record import RecordType
from ...stores.options import StoreOptions
from ...stores.protocol import settled
from ...types import BlobId, Problem
from ...upkeep_types import Finding, HurtSnapshot, RepairPlan, RepairReport, RepairStep
from ..clock import time_of
from ..clones import claim_medium, see_medium
from ..context import DossierContext, RepositoryContext
from ..history import History
from ..meter import Meter
from ..parity import drop_orphans
from ..quarantine import read_quarantined
from ..records import put_record
from .indexes import forget_index, remedies_for_indexes
from .live import sealing
from .packs import Outlook, PackMender, SealLive
from .remedy import Remedy
from .retiring import retire
from .setting_aside import remedies_for_setting_aside, without_keyset
from .survey import Survey, look_through, small_objects
from .twins import Address, TwinRemedies, histories, name_of_missing, opened_twin
from .vital import Scene, remedies_for_manifests, remedies_for_single

_HEALING = frozenset({"heal_pack", "heal_blob"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairRequest:
    """What may be healed from, and what a person sets aside."""

    twin: Address | None = None
    options: StoreOptions | None = None
    """How the twin is reached."""
    sources: tuple[str, ...] = ()
    quarantine: tuple[str, ...] = ()


def plan_repair(context: RepositoryContext, request: RepairRequest, meter: Meter) -> RepairPlan:
    """Look at everything and say what can be done.

    Raises NotEnrolledError, InputError, RepositoryNotFoundError, StoreError, OperationCancelledError."""
    see_medium(context)
    with meter.ending_waits(context.store), opened_twin(context, request.twin, request.options) as twin:
        return _Repair(context, request, twin, meter).plan()


def repair(context: RepositoryContext, plan: RepairPlan, request: RepairRequest, meter: Meter) -> RepairReport:
    """Do what a plan says, with the same request that it was made with. Raises as `plan_repair`."""
    claim_medium(context)
    with meter.ending_waits(context.store), opened_twin(context, request.twin, request.options) as twin:
        report = _Repair(context, request, twin, meter).run(plan)
    settled(context.store)
    return report


@dataclass(slots=True)
class _Gathered:
    """All that can be done, in the order in which it is."""

    before: list[Remedy] = field(default_factory=list)
    after: list[Remedy] = field(default_factory=list)
    lost: dict[str, Finding] = field(default_factory=dict)


class _Repair:
    def __init__(
        self, context: RepositoryContext, request: RepairRequest, twin: RepositoryContext | None, meter: Meter
    ) -> None:
        self._context = context
        self._request = request
        self._twin = twin
        self._meter = meter
        self._problems: list[Problem] = []

    # --- the plan ---------------------------------------------------------------------------------------------------

    def plan(self) -> RepairPlan:
        """Look at everything."""
        self._meter.enter("check")
        survey = look_through(self._context, self._meter)
        gathered = self._gather(survey)
        mender, seal_live = self._mender(survey), self._sealing()
        outlook = mender.foresee(self._twin)
        steps = [item.step for item in gathered.before]
        steps += list(self._steps_for_packs(survey, outlook, with_live=seal_live is not None))
        steps += [item.step for item in gathered.after]
        stays = outlook.lost - outlook.on_twin
        findings = [*gathered.lost.values()]
        if stays:
            where = (
                "Live files may give some of them." if seal_live else "Name a twin or the files' folders to heal from."
            )
            message = f"{len(stays):,} pieces that snapshots need are whole nowhere on this medium. {where}"
            findings.append(Finding(code="missing_blob", object_name="", message=message))
        return RepairPlan(
            steps=tuple(steps),
            unhealable=tuple(findings),
            hurt=self._hurt(survey, mender, stays, outlook),
            problems=tuple(self._problems),
        )

    def _gather(self, survey: Survey) -> _Gathered:
        self._here = histories(self._context, self._problems)
        self._set_aside = self._read_set_aside()
        for name in self._set_aside:
            survey.bad.pop(name, None)
        self._problems = [item for item in self._problems if item.path not in self._set_aside]
        gathered = _Gathered()
        scene = Scene(
            context=self._context,
            survey=survey,
            twin=self._twin,
            forgotten={one for _, history in self._here.values() for one in history.forgotten},
            expected={one for _, history in self._here.values() for one in history.expected},
            meter=self._meter,
        )
        self._forgotten = scene.forgotten
        lost = _take(remedies_for_single(scene), gathered.before)
        lost += small_objects(survey, CONDEMN)
        covered: set[str] = set()
        if self._twin is not None:
            twin = TwinRemedies(self._context, self._twin, survey, self._here, self._meter)
            gathered.before += twin.keys_and_records()
            gathered.after += twin.snapshots()
            covered = twin.covered
        missing = [
            name_of_missing(dossier_id, one)
            for dossier_id, (_, history) in self._here.items()
            for one in history.missing
        ]
        aside = remedies_for_setting_aside(self._context, survey, self._here, self._request.quarantine)
        gathered.before += aside
        gathered.before += remedies_for_indexes(self._context, survey)
        lost += _take(remedies_for_manifests(scene), gathered.after)
        covered |= {item.object_name for item in gathered.before if item.object_name.startswith(f"{DOSSIERS}/")}
        covered |= {item.object_name for item in aside}
        missing += sorted(without_keyset(self._context, survey) - self._set_aside)
        gathered.lost = {
            name: _finding(survey, name) for name in dict.fromkeys([*lost, *missing]) if name not in covered
        }
        return gathered

    def _read_set_aside(self) -> set[str]:
        found: set[str] = set()
        for dossier, history in self._here.values():
            found |= read_quarantined(dossier, history.stations, [])
        return found

    def _mender(self, survey: Survey) -> PackMender:
        roots = {root.root_id for root in survey.roots.values() if root.snapshot_id not in self._forgotten}
        return PackMender(self._context, survey, roots, self._meter)

    def _sealing(self) -> SealLive | None:
        return sealing(self._request.sources, self._here)

    def _steps_for_packs(self, survey: Survey, outlook: Outlook, *, with_live: bool) -> Iterable[RepairStep]:
        for pack in sorted(survey.bad_packs):
            path = pack_path(pack)
            if pack in outlook.by_parity:
                message = f"{path} is whole with its parity; what is in it is stored again, and the pack deleted."
                yield RepairStep(code="heal_pack", object_name=path, message=message)
                continue
            whole, count = outlook.left[pack]
            what = (
                f"{whole:,} of its {count:,} pieces are whole and stored again"
                if count
                else "nobody knows what was in it"
            )
            message = f"{path}: {what}; the pack is deleted unless it holds the only copy of something."
            yield RepairStep(code="heal_blob", object_name=path, message=message)
        from_gone = outlook.by_parity - set(survey.bad_packs)
        if outlook.on_twin or from_gone or (with_live and outlook.lost):
            of_twin = f"{len(outlook.on_twin):,} of {len(outlook.lost):,} missing pieces are on the twin"
            message = f"{of_twin}{'; live files are sealed again for the rest' if with_live else ''}."
            yield RepairStep(code="heal_blob", object_name="", message=message)

    # --- doing it ---------------------------------------------------------------------------------------------------

    def run(self, plan: RepairPlan) -> RepairReport:
        """Do what of the plan still applies."""
        wanted = {(step.code, step.object_name) for step in plan.steps}
        packs = {step.object_name.rpartition("/")[2] for step in plan.steps if step.code in _HEALING}
        indexes = {step.object_name for step in plan.steps if step.code == "rebuild_index"}
        self._meter.enter("check")
        survey = look_through(self._context, self._meter, packs=packs, indexes=indexes)
        gathered = self._gather(survey)
        self._done: list[RepairStep] = []
        self._failed: list[Finding] = []
        self._added = 0
        self._meter.enter("repair")
        for remedy in gathered.before:
            self._do(remedy, wanted)
        mender = self._mender(survey)
        if any(code in _HEALING for code, _ in wanted):
            self._attempt(lambda: self._mend(mender, survey, plan), "")
        for remedy in gathered.after:
            self._do(remedy, wanted)
        hurt = self._hurt(survey, mender, mender.lost, None)
        self._say_so(hurt)
        forget_index(self._context)
        done = {step.object_name for step in self._done}
        left = [item for name, item in gathered.lost.items() if name not in done]
        return RepairReport(
            done=tuple(self._done),
            failed=(*self._failed, *left),
            added_bytes=self._added,
            hurt=hurt,
            problems=tuple(self._problems),
        )

    def _do(self, remedy: Remedy, wanted: Collection[tuple[str, str]]) -> None:
        if (remedy.code, remedy.object_name) not in wanted:
            return
        self._meter.step(current=remedy.object_name)

        def act() -> None:
            self._added += remedy.act()
            self._done.append(remedy.step)

        self._attempt(act, remedy.object_name)

    def _attempt(self, act: Callable[[], None], name: str) -> None:
        try:
            act()
        except (DamageError, InUseError, NotEnrolledError) as error:
            self._failed.append(Finding(code=error.code, object_name=name, message=str(error)))

    def _mend(self, mender: PackMender, survey: Survey, plan: RepairPlan) -> None:
        mender.mend(self._twin, self._sealing())
        self._added += mender.added_bytes
        kept = sorted(
            pack for pack, lost in mender.unhealed.items() if mender.lost and (lost is None or lost & mender.lost)
        )
        gone = sorted(set(survey.bad_packs) - set(kept))
        if survey.bad_packs:
            retire(self._context, gone, kept, mender.relied)
            drop_orphans(self._context, self._meter, deleted=gone)
        paths = {pack_path(pack) for pack in gone}
        there = {pack_path(pack) for pack in kept}
        self._done += [
            step
            for step in plan.steps
            if step.code in _HEALING and (step.object_name in paths or not (step.object_name or mender.lost))
        ]
        self._failed += [
            Finding(
                code="damaged_pack", object_name=path, message=f"{path} held what is whole nowhere; it is set aside."
            )
            for path in sorted(there)
        ]
        if mender.lost:
            message = f"{len(mender.lost):,} pieces that snapshots need are whole nowhere."
            self._failed.append(Finding(code="missing_blob", object_name="", message=message))

    # --- what stays hurt --------------------------------------------------------------------------------------------

    def _hurt(
        self, survey: Survey, mender: PackMender, lost: Collection[bytes], outlook: Outlook | None
    ) -> tuple[HurtSnapshot, ...]:
        roots: dict[BlobId, list[str]] = {}
        for name, root in survey.roots.items():
            if root.snapshot_id not in self._forgotten:
                roots.setdefault(root.root_id, []).append(name)
        hurt = mender.hurt(roots, lost, outlook.good if outlook is not None else None)
        names = {b32(dossier_id): dossier.pin.name for dossier_id, (dossier, _) in self._here.items()}
        found = {}
        for name in (name for root in hurt for name in roots[root]):
            root, folder = survey.roots[name], name.split("/")[1]
            found[root.snapshot_id] = HurtSnapshot(
                dossier=names.get(folder) or folder,
                snapshot_id=root.snapshot_id,
                time=time_of(root.time_ns),
                files=(),
                file_count=0,
            )
        return tuple(sorted(found.values(), key=lambda item: (item.dossier, item.time or 0, item.snapshot_id)))

    def _say_so(self, hurt: Sequence[HurtSnapshot]) -> None:
        """Leave a signed word on the medium for each dossier of which something stays hurt."""
        mine: dict[str, tuple[DossierContext, History]] = {
            dossier.pin.name: (dossier, history) for dossier, history in self._here.values() if dossier.pin.keys
        }
        for name in sorted({item.dossier for item in hurt} & set(mine)):
            dossier, history = mine[name]
            station = history.stations.get(self._context.state.station.id)
            known = history.results.get(RecordType.CHECKED)
            is_said = known is not None and not known.facts.verdict()[1]
            if station is not None and station.last_number is None and not is_said:
                put_record(dossier, RecordType.CHECKED, mandatory=False, payload={0: 0, 1: False})


def _take(found: Iterable[Remedy | str], remedies: list[Remedy]) -> list[str]:
    """Add the remedies to `remedies`; returns the names of what has none."""
    lost = []
    for item in found:
        if isinstance(item, Remedy):
            remedies.append(item)
        else:
            lost.append(item)
    return lost


def _finding(survey: Survey, name: str) -> Finding:
    folder = name.split("/", maxsplit=1)[0]
    if name not in survey.bad:
        if folder == DOSSIERS:
            message, code = f"{name} holds no keyset that can be read, and there are snapshots.", "keyset_missing"
        else:
            message = "A snapshot was taken away: rosters name it, and no record says that it was forgotten."
            code = "snapshot_missing"
    else:
        message, code = survey.bad[name], "damaged_object"
    if folder in (SNAPSHOTS, OK, RECORDS, CONDEMN) or code == "keyset_missing":
        message += f" If no twin has it, set it aside: --quarantine {name}"
    return Finding(code=code, object_name=name, message=message)
