"""The processes of the protocol, step by step: writer, pruner, forget, clean-up, repair.

Here: what each does between two moments at which others may come in. Not here: what they share (protocol_world.py).

Rules: a step touches the store at most once, by one put, one delete, or the end of one list. What a process decides
from what it saw belongs to the step that saw it. The numbers in comments are those of docs/format/11-protocol.md and
of the design it follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from protocol_world import (
    CONDEMNED,
    DONE,
    PACKS,
    ROOTS,
    Actor,
    Mistake,
    Scene,
    Step,
    Store,
    condemned_packs,
    holding,
    outcomes,
    put_condemn,
    put_pack,
    slots,
)

_NOWHERE = -1


def looking(at: str, store: Store, folder: int, known: tuple[int, ...]) -> Actor:
    """A process that begins a list."""
    there: int = store[folder]  # type: ignore[assignment]  # the folders are integers
    return Actor(at, (folder, there, there), known)


@dataclass(frozen=True, slots=True)
class Writer:
    """Takes a snapshot. `snapshots` has a second number if the source may change: then lost blobs may lead to it.

    Known: new packs used, which of the snapshots, whether its manifest was put, condemned packs, and for each blob the
    pack that is relied on.
    """

    name: str
    snapshots: tuple[int, ...]
    packs: tuple[int, ...]

    def steps(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        match actor.at:
            case "start":
                yield from self._choose(scene, store, 0, 0)
            case "pack":
                yield self._put_pack(scene, store, actor.known)
            case "manifest":
                yield self._put_manifest(scene, store, actor.known)
            case "drop old":
                after = store._replace(roots=store.roots & ~scene.manifest(self.snapshots[0]))
                yield "deletes its old manifest", after, self._look(scene, after, actor.known)
            case "condemn?":
                yield from self._see_condemned(scene, store, actor)
            case "packs?":
                yield from self._see_packs(scene, store, actor)
            case "ok":
                yield self._put_ok(scene, store, actor.known)
            case "see":
                yield self._see_manifest(scene, store, actor.known)

    def _choose(self, scene: Scene, store: Store, used: int, which: int) -> Iterator[Step]:
        """(0) Reuse any packs that are there, or store anew: what is condemned already is no good choice, but safe."""
        need = scene.needs[self.snapshots[which]]
        ways = []
        for blob in range(scene.blobs):
            found = [slot for slot in slots(store.packs) if store.contents[slot] >> blob & 1]
            ways.append([*found, _NOWHERE] if need >> blob & 1 else [_NOWHERE - 1])
        for where in product(*ways):
            known = (used, which, 0, 0, *where)
            yield "chooses what it reuses", store, Actor("pack" if _NOWHERE in where else "manifest", None, known)

    def _put_pack(self, scene: Scene, store: Store, known: tuple[int, ...]) -> Step:
        """(1), (2) One pack for all that is nowhere; the index that follows tells nothing more."""
        used, which, published, _, *where = known
        blobs = sum(1 << blob for blob, pack in enumerate(where) if pack == _NOWHERE)
        slot = self.packs[used]
        if scene.wrong(Mistake.NAMES_USED_AGAIN) and blobs in scene.packs:
            slot = scene.packs.index(blobs)
        after = put_pack(store, slot, blobs)
        placed = [slot if pack == _NOWHERE else pack for pack in where]
        known = (used + 1, which, published, 0, *placed)
        if not published:
            return "puts a pack", after, Actor("manifest", None, known)
        return "puts a pack", after, self._look(scene, after, known)

    def _put_manifest(self, scene: Scene, store: Store, known: tuple[int, ...]) -> Step:
        """(3)"""
        used, which, _, _, *where = known
        after = store._replace(roots=store.roots | scene.manifest(self.snapshots[which]))
        known = (used, which, 1, 0, *where)
        if which:
            return "puts a new manifest", after, Actor("drop old", None, known)
        if scene.wrong(Mistake.WRITER_DOES_NOT_LOOK):
            return "puts the manifest", after, Actor("ok", None, known)
        return "puts the manifest", after, self._look(scene, after, known)

    def _look(self, scene: Scene, store: Store, known: tuple[int, ...]) -> Actor:
        if scene.wrong(Mistake.WRITER_LISTS_PACKS_FIRST):
            return looking("packs?", store, PACKS, known)
        return looking("condemn?", store, CONDEMNED, known)

    def _see_condemned(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        """(4)"""
        assert actor.look is not None
        used, which, published, bad, *where = actor.known
        relied = _relied(where)
        for found in {condemned_packs(store, seen) & relied for seen in outcomes(actor.look)}:
            known = (used, which, published, bad | found, *where)
            if scene.wrong(Mistake.WRITER_LISTS_PACKS_FIRST):
                yield from self._judge(scene, store, known)
            else:
                yield "has listed condemn", store, looking("packs?", store, PACKS, known)

    def _see_packs(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        """(5)"""
        assert actor.look is not None
        used, which, published, bad, *where = actor.known
        relied = _relied(where)
        for missing in {relied & ~seen for seen in outcomes(actor.look)}:
            known = (used, which, published, bad | missing, *where)
            if scene.wrong(Mistake.WRITER_LISTS_PACKS_FIRST):
                yield "has listed packs", store, looking("condemn?", store, CONDEMNED, known)
            else:
                yield from self._judge(scene, store, known)

    def _judge(self, scene: Scene, store: Store, known: tuple[int, ...]) -> Iterator[Step]:
        """(6) Go on, or store again what was lost, or, where the source changed meanwhile, snapshot anew."""
        used, which, published, bad, *where = known
        if not bad:
            if scene.wrong(Mistake.WRITER_REPORTS_BEFORE_OK):
                store = store._replace(reported=store.reported | 1 << self.snapshots[which])
            yield "finds all whole", store, Actor("ok", None, (used, which, published, 0, *where))
            return
        if used < len(self.packs):
            kept = [_NOWHERE if pack >= 0 and bad >> pack & 1 else pack for pack in where]
            yield "misses a pack and stores anew", store, Actor("pack", None, (used, which, published, 0, *kept))
        else:
            yield "gives up", store, DONE
        if which + 1 < len(self.snapshots) and used < len(self.packs):
            for _, _, chosen in self._choose(scene, store, used, which + 1):
                yield "misses a pack and finds its source changed", store, chosen

    def _put_ok(self, scene: Scene, store: Store, known: tuple[int, ...]) -> Step:
        """(7)"""
        snapshot = self.snapshots[known[1]]
        after = store._replace(roots=store.roots | scene.ok(snapshot))
        if scene.wrong(Mistake.WRITER_DOES_NOT_SEE_ITS_MANIFEST):
            return "puts ok, reports", after._replace(reported=after.reported | 1 << snapshot), DONE
        return "puts ok", after, Actor("see", None, known[1:2])

    def _see_manifest(self, scene: Scene, store: Store, known: tuple[int, ...]) -> Step:
        snapshot = self.snapshots[known[0]]
        if not store.roots & scene.manifest(snapshot):
            return "does not see its manifest and reports nothing", store, DONE
        return "sees its manifest, reports", store._replace(reported=store.reported | 1 << snapshot), DONE


def _relied(where: list[int]) -> int:
    packs = 0
    for pack in where:
        if pack >= 0:
            packs |= 1 << pack
    return packs


@dataclass(frozen=True, slots=True)
class Pruner:
    """Deletes what nobody needs. Known: its candidates, what others condemned, blobs needed, packs listed, blobs that
    it moves to a new pack, and which of its condemn objects stands. `alone` plans well and in one way; others choose
    any packs, to be stopped by their look.
    """

    name: str
    pack: int
    """The slot of the pack that it repacks into."""
    condemn: tuple[int, ...]
    """The slots of its condemn object and of the smaller ones that may follow."""
    repacks: bool = True
    adopts: bool = True
    alone: bool = False
    withdraws: bool = False
    """Whether it puts a smaller condemn object for what it keeps, and begins its look anew. Else the first one stays
    until the end, and what is needed is just not deleted."""

    @property
    def own(self) -> int:
        """The bits of its condemn objects."""
        return sum(1 << slot for slot in self.condemn)

    def steps(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:  # noqa: C901, PLR0912  a table
        match actor.at:
            case "start":
                yield from self._plan(scene, store)
            case "repack":
                yield from self._repack(store, actor.known)
            case "roots first":
                yield from self._see_roots(scene, store, actor)
            case "condemn":
                yield self._condemn(scene, store, actor.known)
            case "condemn?":
                yield from self._see_condemned(scene, store, actor)
            case "manifests?":
                yield from self._see_manifests(scene, store, actor)
            case "roots?":
                yield from self._see_roots(scene, store, actor)
            case "packs?":
                yield from self._see_packs(scene, store, actor)
            case "withdraw" | "withdraw the rest":
                yield self._withdraw(scene, store, actor)
            case "delete":
                yield from self._delete(scene, store, actor.known)
            case "repack last":
                after = put_pack(store, self.pack, actor.known[4])
                yield "puts what it moves", after, Actor("delete", None, (*actor.known[:4], 0, actor.known[5]))
            case "adopt":
                yield from self._adopt(scene, store, actor.known[0])
            case "gone?":
                yield from self._see_gone(scene, store, actor)

    def _plan(self, scene: Scene, store: Store) -> Iterator[Step]:
        """(1) Finish what was half forgotten; choose packs, and whether to move what is needed of them."""
        half = scene.named(store.roots) & scene.recorded(store.roots)
        for snapshot in slots(half):
            for bit in (scene.ok(snapshot), scene.manifest(snapshot), scene.again(snapshot)):
                if store.roots & bit:
                    yield "goes on forgetting", store._replace(roots=store.roots & ~bit), Actor("start")
                    return
        others = condemned_packs(store, store.condemned)
        needed = scene.needed(scene.named(store.roots))
        good = _worth_keeping(store, needed, others)
        if self.alone and scene.wrong(Mistake.NEVER_ADOPTS):
            good |= others
        best = store.packs & ~good
        if not best and self.adopts and store.condemned:
            yield "finds nothing but condemn objects of others", store, Actor("adopt", None, (0,))
        choices = {best}
        if scene.any_plan and not self.alone:
            choices |= set(_parts(store.packs))
        for mine in sorted(choices - {0}):
            moved = needed & holding(store, mine) & ~holding(store, store.packs & ~mine & ~others)
            known = (mine, 0, 0, 0)
            if moved and self.repacks:
                late = scene.wrong(Mistake.REPACKS_LAST)
                there = (*known, moved, 0)
                at = self._first(scene, store, there) if late else Actor("repack", None, there)
                yield f"will delete {mine:b} and move {moved:b}", store, at
            if not self.alone or not moved:
                yield f"will delete {mine:b}", store, self._first(scene, store, (*known, 0, 0))

    def _first(self, scene: Scene, store: Store, known: tuple[int, ...]) -> Actor:
        if scene.wrong(Mistake.ROOTS_BEFORE_CONDEMN):
            return looking("roots first", store, ROOTS, known)
        return Actor("condemn", None, known)

    def _repack(self, store: Store, known: tuple[int, ...]) -> Iterator[Step]:
        moved = known[4]
        if moved & ~holding(store, store.packs):
            yield "cannot read what it would move", store, DONE
            return
        after = put_pack(store, self.pack, moved)
        yield "puts what it moves", after, Actor("condemn", None, (*known[:4], 0, 0))

    def _condemn(self, scene: Scene, store: Store, known: tuple[int, ...]) -> Step:
        after = put_condemn(store, self.condemn[0], known[0])
        if scene.wrong(Mistake.PRUNER_LISTS_PACKS_FIRST):
            return "condemns", after, looking("packs?", after, PACKS, known)
        return "condemns", after, looking("condemn?", after, CONDEMNED, known)

    def _see_condemned(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        """(2)"""
        assert actor.look is not None
        mine, _, need, listed, moved, current = actor.known
        for others in {condemned_packs(store, seen & ~self.own) for seen in outcomes(actor.look)}:
            known = (mine, others, need, listed, moved, current)
            if scene.wrong(Mistake.ROOTS_BEFORE_CONDEMN):
                yield "has listed condemn", store, looking("packs?", store, PACKS, known)
            elif scene.side_by_side or scene.wrong(Mistake.ROOTS_SIDE_BY_SIDE):
                yield "has listed condemn", store, looking("roots?", store, ROOTS, known)
            else:
                yield "has listed condemn", store, looking("manifests?", store, ROOTS, known)

    def _see_manifests(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        """(3) First snapshots/: a manifest that is gone by then was confirmed before, if it ever was."""
        assert actor.look is not None
        first = scene.confirmed if scene.wrong(Mistake.ROOTS_OK_FIRST) else scene.manifests
        for named in {first(seen) for seen in outcomes(actor.look)}:
            known = (*actor.known[:3], named, *actor.known[4:])
            yield "has listed snapshots", store, looking("roots?", store, ROOTS, known)

    def _see_roots(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        """(3) Snapshots and ok copies; a snapshot that was taken away stops everything."""
        assert actor.look is not None
        mine, others, _, before, moved, current = actor.known
        packs_first = scene.wrong(Mistake.PRUNER_LISTS_PACKS_FIRST)
        found = set()
        for seen in outcomes(actor.look):
            if scene.wrong(Mistake.ROOTS_WITHOUT_OK):
                named = scene.manifests(seen) | before
            elif scene.side_by_side or scene.wrong(Mistake.ROOTS_SIDE_BY_SIDE):
                named = scene.named(seen)
            elif scene.wrong(Mistake.ROOTS_OK_FIRST):
                named = before | scene.manifests(seen)
            else:
                named = before | scene.confirmed(seen)
            found.add((scene.needed(named), scene.taken_away(named, scene.recorded(seen))))
        for need, taken_away in found:
            known = (mine, others, need, before if packs_first else 0, moved, current)
            if actor.at == "roots first":
                yield "has read roots", store, DONE if taken_away else Actor("condemn", None, known)
            elif taken_away:
                yield "misses a snapshot", store, Actor("withdraw", None, (mine, 0, 0, 0, 0, current))
            elif packs_first:
                yield from self._judge(scene, store, known)
            else:
                yield "has read roots", store, looking("packs?", store, PACKS, known)

    def _see_packs(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        """(4)"""
        assert actor.look is not None
        mine, others, need, _, moved, current = actor.known
        for listed in set(outcomes(actor.look)):
            known = (mine, others, need, listed, moved, current)
            if scene.wrong(Mistake.PRUNER_LISTS_PACKS_FIRST):
                yield "has listed packs", store, looking("condemn?", store, CONDEMNED, known)
            else:
                yield from self._judge(scene, store, known)

    def _judge(self, scene: Scene, store: Store, known: tuple[int, ...]) -> Iterator[Step]:
        """(5) Which candidates have to stay; several choices where several packs hold a blob."""
        mine, others, need, listed, moved, current = known
        if scene.wrong(Mistake.IGNORES_OTHERS):
            others = 0
        careless = scene.wrong(Mistake.WITHDRAWS_WHAT_OTHERS_CONDEMN)
        choices = {mine}
        for blob in slots(need & ~moved):
            following = set()
            for left in choices:
                if any(store.contents[slot] >> blob & 1 for slot in slots(listed & ~left & ~others)) or (
                    careless and any(store.contents[slot] >> blob & 1 for slot in slots(listed & mine & ~left))
                ):
                    following.add(left)
                    continue
                holders = [slot for slot in slots(listed & left) if store.contents[slot] >> blob & 1]
                free = [slot for slot in holders if careless or not others >> slot & 1]
                if free:
                    following |= {left & ~(1 << slot) for slot in free}
                else:
                    following.add(left & ~sum(1 << slot for slot in holders))
            choices = following
        for left in choices:
            if left == mine or not self.withdraws:
                yield f"may delete {left:b}", store, Actor("delete", None, (left, 0, 0, 0, moved, current))
            else:
                yield f"may keep {left:b} condemned", store, Actor("withdraw", None, (mine, left, 0, 0, moved, current))

    def _withdraw(self, scene: Scene, store: Store, actor: Actor) -> Step:
        """Put the smaller condemn object, then delete the old one; then look again, since who listed meanwhile may
        have seen neither."""
        _, left, _, _, moved, current = actor.known
        old = self.condemn[current]
        if not left:
            return "withdraws all", _without_condemn(store, old), self._after_all(scene)
        last = actor.at == "withdraw the rest"
        puts = last if scene.wrong(Mistake.OLD_BEFORE_SMALLER) else not last
        after = put_condemn(store, self.condemn[current + 1], left) if puts else _without_condemn(store, old)
        words = "puts the smaller condemn object" if puts else "deletes the old condemn object"
        if not last:
            return words, after, Actor("withdraw the rest", None, actor.known)
        known = (left, 0, 0, 0, moved, current + 1)
        if scene.wrong(Mistake.NO_LOOK_AFTER_WITHDRAWING):
            return words, after, Actor("delete", None, known)
        return words, after, looking("condemn?", after, CONDEMNED, known)

    def _delete(self, scene: Scene, store: Store, known: tuple[int, ...]) -> Iterator[Step]:
        """(6), (7) Packs, then the condemn object."""
        mine, _, _, _, moved, current = known
        own = self.own
        left = mine & store.packs
        if scene.wrong(Mistake.CONDEMN_DELETED_FIRST) and store.condemned & own:
            yield (
                "deletes its condemn object",
                store._replace(condemned=store.condemned & ~own),
                Actor("delete", None, known),
            )
        elif left:
            low = left & -left
            after = store._replace(packs=store.packs & ~low)
            if mine == low and not moved and scene.wrong(Mistake.CONDEMN_DELETED_FIRST):
                yield f"deletes pack {low:b}", after, self._after_all(scene)
            else:
                yield f"deletes pack {low:b}", after, Actor("delete", None, (mine & ~low, 0, 0, 0, moved, current))
        elif moved:
            yield "has deleted its packs", store, Actor("repack last", None, known)
        else:
            after = store._replace(condemned=store.condemned & ~own)
            yield "deletes its condemn object", after, self._after_all(scene)

    def _after_all(self, scene: Scene) -> Actor:
        return Actor("adopt", None, (0,)) if self.adopts and not scene.wrong(Mistake.NEVER_ADOPTS) else DONE

    def _adopt(self, scene: Scene, store: Store, after: int) -> Iterator[Step]:
        """Read the next condemn object of another, and see whether its packs are gone."""
        rest = [slot for slot in slots(store.condemned) if slot >= after and slot not in self.condemn]
        if not rest:
            yield "ends", store, DONE
            return
        slot = rest[0]
        if scene.wrong(Mistake.WITHDRAWS_FOR_OTHERS):
            yield f"deletes condemn object {slot}", _without_condemn(store, slot), Actor("adopt", None, (slot + 1,))
            return
        known = (slot, store.masks[slot])
        yield f"reads condemn object {slot}", store, looking("gone?", store, PACKS, known)

    def _see_gone(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        assert actor.look is not None
        slot, packs = actor.known
        following = Actor("adopt", None, (slot + 1,))
        for left in {bool(seen & packs) for seen in outcomes(actor.look)}:
            if left:
                yield f"finds packs of condemn object {slot}", store, following
            else:
                yield f"cleans up condemn object {slot}", _without_condemn(store, slot), following


def _without_condemn(store: Store, slot: int) -> Store:
    return store._replace(condemned=store.condemned & ~(1 << slot))


def _worth_keeping(store: Store, needed: int, others: int) -> int:
    """Packs that hold nothing but what is needed, and nothing twice."""
    kept = covered = 0
    for slot in slots(store.packs & ~others):
        blobs = store.contents[slot]
        if not blobs & ~needed and not blobs & covered:
            kept |= 1 << slot
            covered |= blobs
    return kept


def _parts(mask: int) -> Iterator[int]:
    part = mask
    while part:
        yield part
        part = (part - 1) & mask


@dataclass(frozen=True, slots=True)
class Forget:
    """Record, ok, manifest."""

    name: str
    snapshot: int

    def steps(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        record, ok = scene.record(self.snapshot), scene.ok(self.snapshot)
        manifest = scene.manifest(self.snapshot)
        order = [(record, "puts the record"), (ok, "deletes ok"), (manifest, "deletes the manifest")]
        if scene.wrong(Mistake.MANIFEST_BEFORE_OK):
            order = [order[0], order[2], order[1]]
        if scene.wrong(Mistake.RECORD_LAST):
            order = [order[1], order[2], order[0]]
        number = 0 if actor.at == "start" else actor.known[0]
        bit, words = order[number]
        roots = store.roots | bit if bit == record else store.roots & ~bit
        after = store._replace(roots=roots)
        if scene.wrong(Mistake.RECORD_LAST):  # what the user asked for is forgotten, whatever the record says
            after = after._replace(reported=after.reported & ~(1 << self.snapshot))
        yield words, after, DONE if number == 2 else Actor("go on", None, (number + 1,))


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Drops manifests of its station's runs that it takes for dead, rightly or not."""

    name: str
    snapshots: int

    def steps(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        if actor.at == "start":
            yield "begins", store, looking("roots?", store, ROOTS, ())
        elif actor.at == "roots?":
            assert actor.look is not None
            unfinished = set()
            for seen in outcomes(actor.look):
                unfinished.add(scene.manifests(seen) & ~(seen >> scene.count) & self.snapshots)
            for found in unfinished:
                yield "has looked", store, Actor("drop", None, (found,)) if found else DONE
        else:
            low = actor.known[0] & -actor.known[0]
            rest = actor.known[0] & ~low
            after = store._replace(roots=store.roots & ~(low | low << 3 * scene.count))
            yield "drops an unfinished manifest", after, Actor("drop", None, (rest,)) if rest else DONE


@dataclass(frozen=True, slots=True)
class Repair:
    """Puts a manifest again that is there in ok/ only. It knows nothing of records: see docs/design/014-model.md."""

    name: str
    snapshot: int

    def steps(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        manifest, ok = scene.manifest(self.snapshot), scene.ok(self.snapshot)
        first, second = (ok, manifest) if scene.wrong(Mistake.REPAIR_READS_OK_FIRST) else (manifest, ok)
        goes_on = {manifest: False, ok: True}
        match actor.at:
            case "start":
                if bool(store.roots & first) == goes_on[first]:
                    yield "looks", store, Actor("second", None, ())
                else:
                    yield "has nothing to do", store, DONE
            case "second":
                if bool(store.roots & second) == goes_on[second]:
                    yield "looks again", store, Actor("put", None, ())
                else:
                    yield "has nothing to do", store, DONE
            case _:
                yield "puts the manifest again", store._replace(roots=store.roots | scene.again(self.snapshot)), DONE


@dataclass(frozen=True, slots=True)
class Replace:
    """Takes a damaged pack away: all that is whole of it into a new one, and no look at roots."""

    name: str
    damaged: int
    pack: int
    condemn: int

    def steps(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        mine = 1 << self.damaged
        match actor.at:
            case "start":
                if not store.packs & mine:
                    yield "finds nothing to do", store, DONE
                    return
                after = put_pack(store, self.pack, store.contents[self.damaged])
                yield "puts what is whole", after, Actor("condemn")
            case "condemn":
                after = put_condemn(store, self.condemn, mine)
                yield "condemns the damaged pack", after, looking("condemn?", after, CONDEMNED, ())
            case "condemn?":
                assert actor.look is not None
                for seen in set(outcomes(actor.look)):
                    others = condemned_packs(store, seen & ~(1 << self.condemn))
                    lost = others >> self.pack & 1 and not scene.wrong(Mistake.REPLACES_WITHOUT_LOOKING)
                    following = Actor("end") if lost else looking("packs?", store, PACKS, ())
                    yield "has listed condemn", store, following
            case "packs?":
                assert actor.look is not None
                for there in {bool(seen >> self.pack & 1) for seen in outcomes(actor.look)}:
                    yield "has listed packs", store, Actor("delete" if there else "end")
            case "delete":
                yield "deletes the damaged pack", store._replace(packs=store.packs & ~mine), Actor("end")
            case _:
                yield "deletes its condemn object", _without_condemn(store, self.condemn), DONE
