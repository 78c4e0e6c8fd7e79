"""What the model's processes share: a store of few packs, condemn objects and roots, and lists that are not atomic.

Here: `Store`, `Actor`, the look at a folder while others change it, and the scene that is explored.
Not here: what each process does (protocol_actors.py), what must hold (protocol_model.py).

Rules: sets are bits of integers. Packs, condemn objects and snapshots have slots that are given out beforehand, one
for each put that can happen, so no name is ever used twice. A list takes from one step to another of the process that
makes it: what was there all the while is seen, what was there for a part of it may be seen or not, each for itself.
It begins together with the step before it, which gives the longest interval and so every outcome of a shorter one.
A process that waits for ever, one that was killed, and an operation that takes effect late are all the same: one that
is not chosen for a long time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple, Protocol


class Store(NamedTuple):
    """What lies on the store, and which snapshots were reported done."""

    packs: int
    """Slots of the packs that are listed."""
    contents: tuple[int, ...]
    """For each slot of a pack its blobs; 0 where nobody can see it any more."""
    condemned: int
    """Slots of the condemn objects that are there."""
    masks: tuple[int, ...]
    """For each slot of a condemn object its packs."""
    roots: int
    """Manifests, ok copies and forget records, as `Scene` numbers them."""
    reported: int


PACKS: Final = 0
CONDEMNED: Final = 2
ROOTS: Final = 4


class Actor(NamedTuple):
    """Where a process stands and what it remembers."""

    at: str
    look: tuple[int, int, int] | None = None
    """A list under way: the folder, what was there all the while, what was there at any time."""
    known: tuple[int, ...] = ()


DONE: Final = Actor("done")
START: Final = Actor("start")

State = tuple[Store, tuple[Actor, ...]]
Step = tuple[str, Store, Actor]


class Mistake(StrEnum):
    """A way to do it wrong. Each must make the model fail."""

    WRITER_LISTS_PACKS_FIRST = "the writer lists packs before it lists condemn objects"
    WRITER_REPORTS_BEFORE_OK = "the writer reports before it puts ok"
    WRITER_DOES_NOT_SEE_ITS_MANIFEST = "the writer reports without a last look for its manifest"
    WRITER_DOES_NOT_LOOK = "the writer puts ok without looking at condemn objects and packs again"
    NAMES_USED_AGAIN = "a pack with the same content gets the same name, and condemn objects of the dead are cleaned up"
    ROOTS_BEFORE_CONDEMN = "the pruner reads roots before it condemns"
    PRUNER_LISTS_PACKS_FIRST = "the pruner lists packs before it lists the condemn objects of others"
    ROOTS_SIDE_BY_SIDE = "the pruner lists snapshots/ and ok/ at the same time"
    ROOTS_OK_FIRST = "the pruner lists ok/ before snapshots/"
    ROOTS_WITHOUT_OK = "the pruner takes only snapshots/ for roots"
    OLD_BEFORE_SMALLER = "the pruner deletes its condemn object before it puts the smaller one"
    WITHDRAWS_WHAT_OTHERS_CONDEMN = "the pruner withdraws a pack that another one condemned too"
    IGNORES_OTHERS = "the pruner relies on packs that others condemned"
    NO_LOOK_AFTER_WITHDRAWING = "the pruner deletes after it put a smaller condemn object, without looking again"
    CONDEMN_DELETED_FIRST = "the pruner deletes its condemn object before the packs"
    WITHDRAWS_FOR_OTHERS = "the pruner deletes another's condemn object whose packs are still there"
    REPACKS_LAST = "the pruner deletes packs before it stores what they held anew"
    MANIFEST_BEFORE_OK = "forgetting deletes the manifest before its ok copy"
    RECORD_LAST = "forgetting puts its record after it deleted the snapshot"
    REPAIR_READS_OK_FIRST = "repair lists ok/ before snapshots/"
    REPLACES_WITHOUT_LOOKING = "repair deletes a damaged pack though another condemned the one that replaces it"
    NEVER_ADOPTS = "the pruner leaves condemn objects of the dead and their packs alone"


def slots(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def outcomes(look: tuple[int, int, int]) -> Iterator[int]:
    """All that a list may give: what was there all the while, and any part of what was there for a part of it."""
    _, always, ever = look
    extra = doubtful = ever & ~always
    while True:
        yield always | extra
        if not extra:
            return
        extra = (extra - 1) & doubtful


def holding(store: Store, packs: int) -> int:
    """The blobs in some packs."""
    blobs = 0
    for slot in slots(packs):
        blobs |= store.contents[slot]
    return blobs


def condemned_packs(store: Store, seen: int) -> int:
    """The packs that some condemn objects name."""
    packs = 0
    for slot in slots(seen):
        packs |= store.masks[slot]
    return packs


def put_pack(store: Store, slot: int, blobs: int) -> Store:
    contents = store.contents
    if contents[slot] != blobs:
        contents = (*contents[:slot], blobs, *contents[slot + 1 :])
    return store._replace(packs=store.packs | 1 << slot, contents=contents)


def put_condemn(store: Store, slot: int, packs: int) -> Store:
    masks = (*store.masks[:slot], packs, *store.masks[slot + 1 :])
    return store._replace(condemned=store.condemned | 1 << slot, masks=masks)


class Process(Protocol):
    """One kind of process, with the slots that are its own."""

    @property
    def name(self) -> str:
        """For the words of a trace."""
        ...

    def steps(self, scene: Scene, store: Store, actor: Actor) -> Iterator[Step]:
        """What it may do next."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What there is at the start, who is at work, and what is done wrong on purpose.

    `needs` has for each snapshot its blobs; the snapshots of writers have their numbers too. A root's bit is its
    snapshot's number, in four groups: manifests, ok copies, forget records, manifests that a repair put.
    """

    name: str
    packs: tuple[int, ...] = ()
    """The blobs of each pack that is there at the start; they have the first slots."""
    needs: tuple[int, ...]
    reported: int = 0
    """The snapshots that are there, whole and reported, at the start."""
    rosters: tuple[int, ...] = ()
    """For each snapshot those that its manifest says are there; by default itself."""
    processes: tuple[Process, ...]
    twins: tuple[tuple[int, int], ...] = ()
    """Pairs of processes that are alike but for their slots: the second starts after the first."""
    pack_slots: int
    condemn_slots: int
    mistakes: frozenset[Mistake] = field(default=frozenset())
    dead: tuple[int, ...] = ()
    """Condemn objects of pruners that died before; they have the first slots."""
    side_by_side: bool = True
    """Whether pruners may list snapshots/ and ok/ at the same time. All that can come of one after the other can come
    of this too; it is safe only where nobody drops manifests of runs that may be alive.
    """
    atomic_lists: bool = False
    """Whether lists show one moment, which hardly a store does."""
    any_plan: bool = True
    """Whether pruners condemn any packs whatever, or only what seems to be unneeded."""

    @property
    def count(self) -> int:
        """How many snapshots there may be."""
        return len(self.needs)

    @property
    def blobs(self) -> int:
        """How many blobs there may be."""
        every = 0
        for need in (*self.needs, *self.packs):
            every |= need
        return every.bit_length()

    def manifest(self, snapshot: int) -> int:
        return 1 << snapshot

    def ok(self, snapshot: int) -> int:
        return 1 << self.count + snapshot

    def record(self, snapshot: int) -> int:
        return 1 << 2 * self.count + snapshot

    def again(self, snapshot: int) -> int:
        return 1 << 3 * self.count + snapshot

    def manifests(self, roots: int) -> int:
        """The snapshots that have a manifest, wherever it came from."""
        every = (1 << self.count) - 1
        return (roots | roots >> 3 * self.count) & every

    def confirmed(self, roots: int) -> int:
        """The snapshots that have an ok copy."""
        return roots >> self.count & ((1 << self.count) - 1)

    def named(self, roots: int) -> int:
        """The snapshots that a manifest or an ok copy is there of."""
        return self.manifests(roots) | self.confirmed(roots)

    def recorded(self, roots: int) -> int:
        """The snapshots that a forget record names."""
        return roots >> 2 * self.count & ((1 << self.count) - 1)

    def needed(self, snapshots: int) -> int:
        """The blobs of some snapshots."""
        blobs = 0
        for snapshot in slots(snapshots):
            blobs |= self.needs[snapshot]
        return blobs

    def taken_away(self, there: int, recorded: int) -> bool:
        """Whether a roster names what is neither there nor forgotten."""
        return any(self.rosters and self.rosters[snapshot] & ~(there | recorded) for snapshot in slots(there))

    def wrong(self, mistake: Mistake) -> bool:
        return mistake in self.mistakes

    def with_mistake(self, mistake: Mistake) -> Scene:
        """The same with something more done wrong."""
        return replace(self, name=f"{self.name}: {mistake.value}", mistakes=self.mistakes | {mistake})
