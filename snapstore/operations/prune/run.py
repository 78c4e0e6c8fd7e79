"""A prune: the order of things.

Here: `plan_prune` and `prune`. Not here: the things (see the package).

Rules (docs/format/11-protocol.md): what is needed of packs that go is written anew and in the store, with its index,
before they are condemned; all are condemned before the look; what the look finds needed stays. Until the first pack is
deleted, an error takes the condemn object back; after that it stays, since a delete whose answer was lost may yet
happen, and the next prune ends it. Where room is short, what nothing needs goes first, and the rest bit by bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from ...blobs.catalogue import list_packs
from ...blobs.lanes import each_side_by_side
from ...errors import StoreFullError
from ...format.names import pack_path
from ...limits import MIB
from ...stores.read_only import refuse_read_only
from ...types import Problem
from ...upkeep_types import PruneOptions, PrunePlan, PruneReport
from ..clones import claim_medium, see_medium
from ..context import RepositoryContext
from ..copy.destination import refuse_unknown_features
from ..marks import BlobMarks
from ..meter import Meter
from ..parity import drop_orphans
from ..reserve import give_up_reserve, keep_reserve
from ..snapshot.room import local_free_bytes
from .condemn import delete_object, put_condemned, read_condemned_by
from .duplicates import drop_duplicates, rank_of
from .indexes import IndexObjects
from .leftovers import drop_broken_off, drop_forgotten
from .look import Trusted, look_again
from .plan import Choice, choose
from .repack import Repacker
from .roots import Roots, read_roots
from .survey import Needs, PackUse, uses_of

_ROUND_BYTES: Final = 1024 * MIB  # written anew before it is known that the old packs may go
_SPARE_BYTES: Final = 64 * MIB
_FINISHING_BYTES: Final = 2 * MIB  # an index, a condemn object, and what stores keep free themselves


def plan_prune(context: RepositoryContext, options: PruneOptions, meter: Meter) -> PrunePlan:
    """Say what a prune would do. Nothing is changed.

    Raises PruneRefusedError, UnsupportedFormatError, NotEnrolledError, StoreError, OperationCancelledError."""
    see_medium(context)
    with meter.ending_waits(context.store):
        state = _survey(context, read_roots(context), options, meter, verify=False)
    choice, uses = state.choice, state.uses
    return PrunePlan(
        packs=len(state.listed),
        stored_bytes=sum(state.listed.values()),
        used_bytes=sum(use.used_bytes for use in uses),
        delete_packs=len(choice.delete),
        delete_bytes=sum(use.size for use in choice.delete),
        repack_packs=len(choice.repack),
        repack_bytes=choice.repack_bytes,
        freed_bytes=choice.freed_bytes,
        later_bytes=choice.later_bytes,
        problems=tuple(state.problems),
        options=options,
    )


def prune(context: RepositoryContext, options: PruneOptions, meter: Meter) -> PruneReport:
    """Delete what no snapshot needs. Raises as `plan_prune`, and StoreFullError."""
    see_medium(context)
    refuse_read_only(context.store, "prune")
    refuse_unknown_features(context)
    with meter.ending_waits(context.store):
        roots = read_roots(context)
        claim_medium(context)
        drop_forgotten(context, roots)
        removed = drop_broken_off(context, roots)
        state = _survey(context, roots, options, meter, verify=True)
        run = _Run(context, state, meter)
        run.run()
        keep_reserve(context.store)
    return PruneReport(
        deleted_packs=run.deleted_packs,
        freed_bytes=run.freed_bytes,
        repacked_bytes=run.repacked_bytes,
        later_bytes=state.choice.later_bytes,
        withdrawn_packs=len(run.withdrawn),
        removed_manifests=removed,
        problems=tuple(state.problems),
    )


@dataclass(slots=True)
class _State:
    """What the first look gave."""

    roots: Roots
    needs: Needs
    uses: list[PackUse]
    """With what is needed, one of several same copies counted."""
    kept: BlobMarks
    verified: BlobMarks
    choice: Choice
    listed: dict[str, int]
    problems: list[Problem] = field(default_factory=list)


def _survey(context: RepositoryContext, roots: Roots, options: PruneOptions, meter: Meter, *, verify: bool) -> _State:
    """Find out what is needed, and choose."""
    meter.enter("scan")
    leftovers = {root.names for root in roots.leftovers()}
    others = read_condemned_by(context, roots.quarantined)
    lost = frozenset[str]().union(*others.values())
    needs = Needs()
    wanted = [root for root in roots.found.values() if root.names not in leftovers]
    needs.follow(context, wanted, meter)
    loaded = context.index(refresh=not wanted)  # following looks anew
    meter.enter("verify")
    rank = rank_of(uses_of(loaded.index, loaded.listed, needs.marks), lost)
    kept, verified, problems = drop_duplicates(context, needs, rank, meter, verify=verify)
    uses = uses_of(loaded.index, loaded.listed, kept)
    odd = _odd_packs(loaded.index.packs(), loaded.listed, needs, loaded.problems)
    choice = choose([*uses, *odd], lost, options)
    problems = [*roots.problems, *problems, *loaded.problems]
    if needs.lost:
        message = f"{len(needs.lost)} pieces of snapshots that were put in quarantine are not there, or do not open."
        problems.append(Problem(code="content_lost", path=context.store.url, message=message))
    return _State(roots, needs, uses, kept, verified, choice, dict(loaded.listed), problems)


def _odd_packs(
    known: Iterable[tuple[str, int, bool]], listed: dict[str, int], needs: Needs, problems: Iterable[Problem]
) -> list[PackUse]:
    """Return packs that nobody can use: of another size than their index gives, or without a header or an index.

    An upload that broke off leaves such. All that snapshots need was found without them; where it was not, they stay:
    a repair may get something out of them. So do those of a format that is not known."""
    if needs.lost:
        return []
    sizes = {name: size for name, size, _ in known}
    damaged = {item.path.rpartition("/")[2] for item in problems if item.code != "unsupported_format"}
    return [
        PackUse(name, size, 0, 0, 0, 0, 0)
        for name, size in listed.items()
        if (name in damaged if name not in sizes else sizes[name] != size and 1 not in needs.marks.row(name))
    ]


class _Run:
    """Condemns, looks and deletes, in one round or several."""

    def __init__(self, context: RepositoryContext, state: _State, meter: Meter) -> None:
        self.deleted_packs = 0
        self.freed_bytes = 0
        self.repacked_bytes = 0
        self.withdrawn: set[str] = set()
        self._context = context
        self._state = state
        self._meter = meter
        self._indexes = IndexObjects(context, meter)
        self._new: dict[str, int] = {}
        self._is_full = False
        self._deleted_names: set[str] = set()
        self._needed = frozenset(use.name for use in state.uses if use.used_blobs)

    def run(self) -> None:
        """Do everything, and put in order what earlier prunes left."""
        self._meter.bytes_total = self._meter.bytes + self._state.choice.repack_bytes
        self._meter.added = lambda: self.repacked_bytes
        for whole, partial in self._rounds():
            with contextlib.ExitStack() as opened:
                moved = self._repack(partial, opened)
                self._delete([*whole, *moved])
        self._meter.enter("confirm")
        self._indexes.tidy(frozenset(), self._needed.union(self._new))
        self.freed_bytes -= self._indexes.written_bytes
        self._drop_finished()
        self.freed_bytes += drop_orphans(self._context, self._meter, deleted=self._deleted_names)
        self._meter.tell()

    def _rounds(self) -> Iterator[tuple[list[PackUse], list[PackUse]]]:
        """Yield which packs to delete, and which to write anew before that."""
        choice = self._state.choice
        waiting, delete = list(choice.repack), list(choice.delete)
        free = local_free_bytes(self._context.store)
        if free is not None and free < choice.fresh_bytes + _SPARE_BYTES:
            give_up_reserve(self._context.store)
            yield delete, []
            delete = []
        while delete or waiting:
            free = local_free_bytes(self._context.store)
            limit = _ROUND_BYTES if free is None else min(_ROUND_BYTES, max(0, free - _FINISHING_BYTES))
            some: list[PackUse] = []
            for use in list(waiting):
                if use.used_bytes + use.used_bytes // 16 <= limit:
                    limit -= use.used_bytes
                    some.append(use)
                    waiting.remove(use)
            if waiting and not some:
                self._note_full(f"What is needed of {len(waiting)} packs has no room to be written anew.")
                waiting = []
            yield delete, some
            delete = []

    def _note_full(self, message: str) -> None:
        self._is_full = True
        problem = Problem(code="no_room_to_repack", path=self._context.store.url, message=message)
        self._state.problems.append(problem)

    def _repack(self, uses: list[PackUse], opened: contextlib.ExitStack) -> list[PackUse]:
        """Write anew what is needed of some packs; return those of which everything is."""
        if not uses or self._is_full:
            return []
        self._meter.enter("copy")
        repacker = Repacker(self._context, self._meter)
        opened.callback(repacker.close)
        try:
            moved = [use for use in uses if repacker.repack(use, self._state.kept)]
            repacker.finish()
        except StoreFullError as error:
            moved = []
            self._note_full(str(error))
        finally:
            self.repacked_bytes += repacker.copied_bytes
            self.freed_bytes -= repacker.stored_bytes
            self._new.update(repacker.new)
        self._state.problems += repacker.problems
        return moved

    def _delete(self, uses: list[PackUse]) -> None:
        """Condemn packs, look, and delete what is not needed."""
        if not uses:
            return
        self._meter.enter("confirm")
        mine = frozenset(use.name for use in uses)
        objects: list[str] = []
        try:
            for name in put_condemned(self._context, mine):
                objects.append(name)
            trusted = Trusted(new=self._new, verified=self._state.verified)
            looked = look_again(
                self._context, self._state.roots, self._state.needs, (mine, objects), trusted, self._meter
            )
            self._state.roots = looked.roots
            self.withdrawn |= looked.withdrawn
            doomed = [use for use in uses if use.name not in looked.withdrawn and use.name in looked.listed]
            with contextlib.suppress(StoreFullError):  # then when there is room
                self._indexes.tidy(frozenset(use.name for use in doomed), self._needed.union(self._new))
        except BaseException:
            with contextlib.suppress(Exception):
                for name in objects:
                    delete_object(self._context, name)
            raise
        self._meter.enter("delete")
        for use in self._deleted(doomed):
            self._meter.step(current=use.name)
            self.deleted_packs += 1
            self._deleted_names.add(use.name)
            self.freed_bytes += use.size
        there = list_packs(self._context.catalogue())
        if not any(use.name in there for use in doomed):
            for name in objects:
                delete_object(self._context, name)

    def _deleted(self, uses: list[PackUse]) -> Iterator[PackUse]:
        def delete(use: PackUse) -> PackUse:
            delete_object(self._context, pack_path(use.name))
            return use

        calls = [lambda use=use: delete(use) for use in uses]
        return each_side_by_side(self._context.store, calls)

    def _drop_finished(self) -> None:
        """Delete condemn objects all of whose packs are gone, whoever put them."""
        condemned = read_condemned_by(self._context, self._state.roots.quarantined)
        if condemned:
            listed = list_packs(self._context.catalogue())
            for name, packs in condemned.items():
                if packs.isdisjoint(listed):
                    delete_object(self._context, name)


def options_of(plan: PrunePlan | None, options: PruneOptions | None) -> PruneOptions:
    """Return what counts: the caller's options, else those that the plan was made with."""
    return options or (replace(plan.options) if plan is not None else PruneOptions())
