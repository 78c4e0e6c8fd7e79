"""The protocol as a model for the explorer, and what must hold in each of its states.

Here: how processes interleave, safety, and what one prune run alone has to leave. Not here: what a process does
(protocol_actors.py), what lies on the store (protocol_world.py).

Rules: in every state each process may be the next one, or none: that is a crash of all. Safety: what was reported and
not forgotten has a manifest or an ok copy, and each of its blobs a copy in a listed pack. Liveness: wherever all
processes stop for ever, one prune run alone leaves no blob that nobody needs, none twice, no condemn object and no
half forgotten snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from explorer import Explored, explore
from protocol_actors import Pruner, looking
from protocol_world import (
    CONDEMNED,
    DONE,
    PACKS,
    START,
    Actor,
    Mistake,
    Scene,
    State,
    Store,
    holding,
    slots,
)

_STEPS_OF_A_RUN: Final = 200  # far more than a prune run has; a run that does not end is a problem as well


def explored(scene: Scene, *, max_states: int) -> Explored[State]:
    """Look at every state of a scene."""
    return explore(ProtocolModel(scene), max_states=max_states)


class ProtocolModel:
    """The scene as a model for the explorer (docs/format/11-protocol.md)."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        spare, spare_condemn = scene.pack_slots, scene.condemn_slots
        self._last = Pruner("last", pack=spare, condemn=(spare_condemn,), alone=True)
        self._at_rest: dict[Store, str | None] = {}
        self._after = {second: first for first, second in scene.twins}

    def initial(self) -> State:
        scene = self.scene
        roots = 0
        for snapshot in slots(scene.reported):
            roots |= scene.manifest(snapshot) | scene.ok(snapshot)
        store = Store(
            packs=(1 << len(scene.packs)) - 1,
            contents=(*scene.packs, *[0] * (scene.pack_slots + 1 - len(scene.packs))),
            condemned=(1 << len(scene.dead)) - 1,
            masks=(*scene.dead, *[0] * (scene.condemn_slots + 1 - len(scene.dead))),
            roots=roots,
            reported=scene.reported,
        )
        return store, (START,) * len(scene.processes)

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        store, actors = state
        for number, process in enumerate(self.scene.processes):
            actor = actors[number]
            if actor is DONE or actor.at == "done":
                continue
            first = self._after.get(number)
            if first is not None and actor.at == "start" and actors[first].at == "start":
                continue
            for words, after, changed in process.steps(self.scene, store, actor):
                yield f"{process.name}: {words}", self._settled(store, after, actors, number, changed)

    def _settled(self, before: Store, after: Store, actors: tuple[Actor, ...], number: int, changed: Actor) -> State:
        """The state after a step: others' lists learn of what changed, and what nobody can see any more is dropped."""
        moved = (*actors[:number], changed, *actors[number + 1 :])
        if after is before and changed.look is not None:
            return after, moved
        if after is not before:
            moved = tuple([self._noticed(actor, after) if actor.look is not None else actor for actor in moved])
        looked_at = {actor.look[0] for actor in moved if actor.look is not None}
        return _forgetting(after, looked_at, keep_packs=Mistake.PRUNER_LISTS_PACKS_FIRST in self.scene.mistakes), moved

    def _noticed(self, actor: Actor, store: Store) -> Actor:
        """A process whose list goes on while the store changed."""
        folder, always, ever = actor.look  # type: ignore[misc]  # asked for by the caller
        there: int = store[folder]  # type: ignore[assignment]  # the folders are integers
        if self.scene.atomic_lists:
            return actor._replace(look=(folder, there, there))
        if always & ~there or there & ~ever:
            return actor._replace(look=(folder, always & there, ever | there))
        return actor

    def problem(self, state: State) -> str | None:
        store = state[0]
        if store not in self._at_rest:
            self._at_rest[store] = self.lost(store) or self._rest(store)
        return self._at_rest[store] or self._brought_back(state)

    def lost(self, store: Store) -> str | None:
        """Safety: what was reported and not forgotten is there, and whole."""
        scene = self.scene
        there, kept = scene.named(store.roots), holding(store, store.packs)
        for snapshot in slots(store.reported & ~scene.recorded(store.roots)):
            if not there >> snapshot & 1:
                return f"snapshot {snapshot} was reported and has neither manifest nor ok copy"
            if scene.needs[snapshot] & ~kept:
                return f"snapshot {snapshot} was reported and lacks a blob"
        return None

    def _brought_back(self, state: State) -> str | None:
        """A repair must not bring back what was forgotten and is not whole any more."""
        store, actors = state
        scene = self.scene
        again = store.roots >> 3 * scene.count
        if not again or any(
            actor.at != "done"
            for actor, process in zip(actors, scene.processes, strict=True)
            if process.name.startswith("forget")
        ):
            return None
        for snapshot in slots(again & scene.recorded(store.roots)):
            if scene.needs[snapshot] & ~holding(store, store.packs):
                return f"snapshot {snapshot} was forgotten, and a repair brought it back without its blobs"
        return None

    def _rest(self, store: Store) -> str | None:
        """Liveness: should everybody stop here for ever, one prune run alone leaves nothing that nobody needs."""
        scene, start = self.scene, store
        actor = START
        for _ in range(_STEPS_OF_A_RUN):
            if actor.at == "done":
                break
            _, store, actor = next(iter(self._last.steps(scene, store, actor)), ("", store, DONE))
            if actor.look is not None:
                actor = looking(actor.at, store, actor.look[0], actor.known)  # nobody changes what it lists
        needed = scene.needed(scene.named(store.roots))
        if self.lost(store):
            return f"one prune run alone: {self.lost(store)}"
        if start.condemned and store.condemned:
            return "a condemn object is left after one prune run alone"
        if store.condemned:
            return "one prune run alone leaves its own condemn object"
        if scene.named(store.roots) & scene.recorded(store.roots):
            return "a snapshot is half forgotten after one prune run alone"
        seen = 0
        for slot in slots(store.packs):
            if store.contents[slot] & ~needed or store.contents[slot] & seen:
                return "an unneeded blob is left after one prune run alone"
            seen |= store.contents[slot]
        return None


def _forgetting(store: Store, looked_at: set[int], *, keep_packs: bool) -> Store:
    """The store without what nobody can see any more, so that states which differ in nothing else are one."""
    contents, masks = store.contents, store.masks
    if PACKS not in looked_at and not keep_packs:
        contents = _only(contents, store.packs)
    if CONDEMNED not in looked_at:
        masks = _only(masks, store.condemned)
    if contents is store.contents and masks is store.masks:
        return store
    return store._replace(contents=contents, masks=masks)


def _only(items: tuple[int, ...], there: int) -> tuple[int, ...]:
    kept = tuple([item if there >> slot & 1 else 0 for slot, item in enumerate(items)])
    return items if kept == items else kept
