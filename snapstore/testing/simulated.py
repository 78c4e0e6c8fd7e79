"""A store in memory with an adversary in it that is drawn from a seed: crashes, late effects, listings that change.

Here: `SimulatedStore`. Not here: the kinds of storage and the faults (adversary.py); damage that a storage would not
own up to (faults.py).

A store object is what one process holds; `another` gives the next process its own, on the same objects. When the fault
is a crash, the operation ends in `SimulatedCrash`, and so does everything that is asked of that object afterwards. What
the operation did is drawn: nothing, all of it, a part of it (the object is too short), or all of it later on. What an
earlier call acknowledged is never lost: this adversary does everything that docs/format/11-protocol.md leaves open and
nothing that it forbids.

Rules: the draws depend on the seed, the process and the operation's number alone, so the same calls give the same
history (`history`), whatever the names are. Where several threads call, their order is theirs. An effect that is late
comes at most once, and before the 12th operation of anybody after it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Final, NoReturn

from ..errors import InputError, ObjectNotFoundError, StoreFullError, StoreUnavailableError
from ..stores.memory import MemoryStore
from ..stores.protocol import (
    Block,
    Comparison,
    ObjectBuilder,
    StoredObject,
    check_name,
    check_station,
    new_temporary,
    uncertain_put_error,
)
from ..stores.source import ObjectSource
from .adversary import BEFALLS, FOLDER, Event, Fault, Faults, Medium, SimulatedCrash, StoreKind
from .wrapper import StoreWrapper, WrappedBuilder

_LATE_OPERATIONS: Final = 12


class SimulatedStore(StoreWrapper):
    """A store in memory of some kind, as one process sees it. Without `faults` it is a store like any other."""

    def __init__(
        self,
        seed: int = 0,
        *,
        kind: StoreKind = FOLDER,
        faults: Faults | None = None,
        capacity_bytes: int | None = None,
    ) -> None:
        objects = MemoryStore(capacity_bytes=capacity_bytes)
        super().__init__(objects)
        self._seed = seed
        self._enter(Medium(kind, objects), faults or Faults(), "unnamed", None)

    def another(
        self,
        *,
        faults: Faults | None = None,
        station: str = "unnamed",
        on_crash: Callable[[], object] | None = None,
    ) -> SimulatedStore:
        """The same objects for another process. `station` marks its temporaries.

        `on_crash` is called in the moment of its crash, before anything that is running gets to know: for a copy of
        the files that a killed process leaves, which one that ends with an exception would still tidy up.
        """
        other = SimulatedStore(self._seed)
        other.inner = self._medium.objects
        other._enter(self._medium, faults or Faults(), station, on_crash)
        return other

    def _enter(self, medium: Medium, faults: Faults, station: str, on_crash: Callable[[], object] | None) -> None:
        self._medium, self._faults, self._on_crash = medium, faults, on_crash
        self._station = check_station(station)
        self._process, medium.processes = medium.processes, medium.processes + 1
        self._befallen = 0  # operations so far that the fault could have befallen
        self._dead = self._broken = False
        self._bad: set[str] = set()
        self.history: list[Event] = []
        """Every operation of this process, in the order in which they started."""
        self.met = 0
        """How many operations met the fault."""

    # --- what a test asks ---------------------------------------------------------------------------------------

    @property
    def kind(self) -> StoreKind:
        """Of what kind it is."""
        return self._medium.kind

    @property
    def lanes(self) -> int:
        """See `RemoteStore.lanes`."""
        return self._medium.kind.lanes

    @property
    def medium(self) -> Medium:
        """What all processes share: the temporaries that are there, and what is late."""
        return self._medium

    # --- what a program asks ------------------------------------------------------------------------------------

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """See `Store.put`."""
        check_name(name)
        content = ObjectSource(data, name, size).read_all()
        self._put(name, content, lambda: self.inner.put(name, content))

    def publish(self, builder: ObjectBuilder, name: str, compare: Callable[[], Comparison]) -> None:
        """See `ObjectBuilder.publish`."""
        content = b"".join(map(bytes, builder.blocks()))
        self._put(name, content, lambda: builder.publish(name, compare))

    def append(self, builder: ObjectBuilder, data: Block) -> None:
        """See `ObjectBuilder.write`."""
        with self._medium.lock:
            event, fault = self._meet("append", "")
            if fault is not None:
                self._fail(event, fault)
            builder.write(data)

    def begin(self) -> ObjectBuilder | None:
        """See `BuildingStore.begin`; None if the kind cannot."""
        with self._medium.lock:
            self._see_alive()
            if not self.kind.builds:
                return None
            return _Builder(self, self._medium.objects.begin(), self._new_temporary())

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """See `Store.get`."""
        with self._medium.lock:
            event, fault = self._meet("get", name)
            if fault is not None:
                if self._faults.lasting and fault is Fault.IO_ERROR:
                    self._bad.add(name)
                self._fail(event, fault)
            return self.inner.get(name, offset=offset, size=size)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list`: in any order, and what changes meanwhile is seen or not."""
        with self._medium.lock:
            event, fault = self._meet("list", prefix)
            if fault is Fault.CRASH:
                self._fail(event, fault)
            found = [*self.inner.list(prefix)]
            self._draws(event, "order").shuffle(found)
            breaks_at = None if fault is None else self._draws(event, "break").randrange(len(found) + 1)
            if breaks_at == 0 and fault is not None:
                self._fail(event, fault)
            return self._walk(event, prefix, found, breaks_at)

    def delete(self, name: str) -> None:
        """See `Store.delete`."""
        with self._medium.lock:
            event, fault = self._meet("delete", name)
            if fault in (Fault.CRASH, Fault.LOST_ANSWER):
                outcomes = ["nothing", "done", *(["late"] if self.kind.answers_late else [])]
                self._take_effect(event, self._draws(event, "outcome").choice(outcomes), self._delete, name)
            if fault is not None:
                self._fail(event, fault)
            self._delete(name)

    def free_bytes(self) -> int | None:
        """See `Store.free_bytes`."""
        self._see_alive()
        return 0 if self._broken and self._faults.fault is Fault.FULL else self.inner.free_bytes()

    def clean_temporaries(self, station: str) -> None:
        """See `Store.clean_temporaries`."""
        with self._medium.lock:
            self._see_alive()
            start = f"tmp/{check_station(station)}-"
            self._medium.temporaries -= {name for name in self._medium.temporaries if name.startswith(start)}

    # --- what becomes of it -------------------------------------------------------------------------------------

    def _put(self, name: str, content: bytes, put: Callable[[], None]) -> None:
        with self._medium.lock:
            event, fault = self._meet("put", name)
            if fault is Fault.LOST_ANSWER and not self.kind.answers_late:
                fault = Fault.UNAVAILABLE
            if fault in (Fault.CRASH, Fault.LOST_ANSWER):
                self._interrupt(event, name, content)
            if fault is Fault.LOST_ANSWER:
                raise uncertain_put_error(name, self.url, "its answer was lost")
            if fault is not None:
                self._fail(event, fault)
            put()
            self._medium.changes += 1

    def _interrupt(self, event: Event, name: str, content: bytes) -> None:
        """Do of a put what its storage may have done by the time that nobody listens any more."""
        draws, kind = self._draws(event, "outcome"), self.kind
        outcome = draws.choice(
            ["nothing", "done", *(["torn"] if kind.tears else []), *(["late"] if kind.answers_late else [])]
        )
        if outcome == "torn":
            content = content[: draws.randrange(max(len(content), 1))]
            self._medium.torn.add(name)
        if kind.temporaries and draws.random() < 0.5:
            self._new_temporary()
        self._take_effect(event, outcome, lambda: self.inner.put(name, content))

    def _take_effect(self, event: Event, outcome: str, effect: Callable[..., None], *arguments: str) -> None:
        self._say(event, outcome)
        if outcome == "late":
            due = self._medium.operations + self._draws(event, "late").randrange(1, _LATE_OPERATIONS)
            self._medium.late.append((due, lambda: effect(*arguments)))
        elif outcome != "nothing":
            try:
                effect(*arguments)
            except (ObjectNotFoundError, InputError, StoreFullError):
                return  # it would have failed without the fault too; nobody lives to hear it
            self._medium.changes += 1

    def _delete(self, name: str) -> None:
        self.inner.delete(name)
        self._medium.changes += 1

    def _walk(
        self, event: Event, prefix: str, found: Sequence[StoredObject], breaks_at: int | None
    ) -> Iterator[StoredObject]:
        """What was there at the call, and of what came or went since then some."""
        changes, draws = self._medium.changes, self._draws(event, "seen")
        for place, item in enumerate(found):
            with self._medium.lock:
                self._see_alive()
                if place == breaks_at:
                    self._fail(event, Fault.UNAVAILABLE)
                if self._medium.changes != changes and not self._holds(item.name) and draws.random() < 0.5:
                    continue
            yield item
        with self._medium.lock:
            self._see_alive()
            if breaks_at is not None:
                self._fail(event, Fault.UNAVAILABLE)
            known = {item.name for item in found}
            changed = self._medium.changes != changes
            later = [item for item in self.inner.list(prefix) if item.name not in known] if changed else []
        yield from (item for item in later if draws.random() < 0.5)

    def _holds(self, name: str) -> bool:
        try:
            self.inner.get(name, size=0)
        except ObjectNotFoundError:
            return False
        return True

    # --- when something goes wrong ------------------------------------------------------------------------------

    def _meet(self, operation: str, name: str) -> tuple[Event, Fault | None]:
        """Begin an operation; say which fault it meets."""
        self._see_alive()
        self._medium.tick()
        event = Event(len(self.history) + 1, operation, name)
        self.history.append(event)
        faults = self._faults
        if name in self._bad and operation == "get":
            return event, Fault.IO_ERROR
        if operation not in BEFALLS[faults.fault]:
            return event, None
        self._befallen += 1
        hit = self._befallen == faults.at or self._broken
        if not hit and faults.chance:
            hit = self._draws(event, "chance").random() < faults.chance
        if not hit:
            return event, None
        self.met += 1
        self._broken = faults.lasting and faults.fault in (Fault.UNAVAILABLE, Fault.FULL)
        return event, faults.fault

    def _fail(self, event: Event, fault: Fault) -> NoReturn:
        """End an operation as the fault does."""
        if not self.history[event.number - 1].outcome:
            self._say(event, fault.value)
        what = f"Could not {event.operation} {event.name or 'a new object'} in {self.url}: "
        if fault is Fault.CRASH:
            self._dead = True
            if self._on_crash is not None:
                self._on_crash()
            raise SimulatedCrash(f"{what}the process died in operation {event.number}.")
        if fault is Fault.FULL:
            raise StoreFullError(f"{what}no space. Use another medium.")
        raise StoreUnavailableError(f"{what}{fault.value} {event.number}. Try again.")

    def _say(self, event: Event, outcome: str) -> None:
        self.history[event.number - 1] = Event(event.number, event.operation, event.name, outcome)

    def _see_alive(self) -> None:
        if self._dead:
            raise SimulatedCrash(f"The process that used {self.url} is dead.")

    def _draws(self, event: Event, what: str) -> random.Random:
        return random.Random(f"{self._seed}/{self._process}/{event.number}/{what}")

    def _new_temporary(self) -> str:
        name = new_temporary(self._station)
        self._medium.temporaries.add(name)
        return name

    def _drop_temporary(self, name: str) -> None:
        with self._medium.lock:
            if not self._dead:
                self._medium.temporaries.discard(name)


class _Builder(WrappedBuilder):
    """An object in the making, which has a temporary as long as its process lives or after that."""

    def __init__(self, store: SimulatedStore, inner: ObjectBuilder, temporary: str) -> None:
        super().__init__(store, inner)
        self._simulated = store
        self._temporary = temporary

    def discard(self) -> None:
        """See `ObjectBuilder.discard`."""
        super().discard()
        self._simulated._drop_temporary(self._temporary)
