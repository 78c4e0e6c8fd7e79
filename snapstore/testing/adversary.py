"""What a simulated store may be and meet: kinds of storage, faults, and what is left when a process dies.

Here: `StoreKind` and the three kinds, `Fault` and `Faults`, `SimulatedCrash`, and the medium, which outlives processes.
Not here: the store (simulated.py).

Rule: nothing here draws anything; who has the seed decides.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ..errors import InputError, StoreError
from ..stores.memory import MemoryStore


class SimulatedCrash(BaseException):
    """The process is dead. Not an `Exception`: no program handles its own death."""


class Fault(StrEnum):
    """What an operation meets."""

    CRASH = "crash"
    """The process dies in it."""
    UNAVAILABLE = "unavailable"
    """`StoreUnavailableError`, without an effect. A listing may give some objects before. Lasting: so does all else."""
    LOST_ANSWER = "lost answer"
    """A put or delete of which nobody knows: done, done later, or not. In a folder, only for a delete."""
    FULL = "full"
    """`StoreFullError`. Lasting: nothing is taken any more."""
    IO_ERROR = "i/o error"
    """`StoreUnavailableError` of one object. Lasting: whoever gets it meets it again."""


BEFALLS: Final = {
    Fault.CRASH: frozenset({"put", "get", "list", "delete", "append"}),
    Fault.UNAVAILABLE: frozenset({"put", "get", "list", "delete", "append"}),
    Fault.LOST_ANSWER: frozenset({"put", "delete"}),
    Fault.FULL: frozenset({"put", "append"}),
    Fault.IO_ERROR: frozenset({"put", "get", "append"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong for one process: the `at`-th operation that the fault can befall (0: none), counted from 1.

    `chance` has any of these operations meet it besides, each with that probability.
    """

    at: int = 0
    fault: Fault = Fault.CRASH
    lasting: bool = False
    chance: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreKind:
    """What a kind of storage does to operations that do not come to their end."""

    name: str
    builds: bool
    """Objects grow in it (`BuildingStore`)."""
    lanes: int
    """How many calls at a time gain anything (`RemoteStore`); 1 for what is not remote."""
    tears: bool
    """An object whose put was interrupted may stand there without its end: its size tells."""
    temporaries: bool
    """Objects are named by a rename, so that one that was interrupted leaves a temporary, or both names."""
    answers_late: bool
    """The answer to a put or delete may get lost, and its effect come later."""


FOLDER: Final = StoreKind(name="folder", builds=True, lanes=1, tears=True, temporaries=True, answers_late=False)
SERVER: Final = StoreKind(name="server", builds=False, lanes=3, tears=True, temporaries=True, answers_late=True)
OBJECT_STORAGE: Final = StoreKind(
    name="object storage", builds=False, lanes=4, tears=False, temporaries=False, answers_late=True
)


@dataclass(frozen=True, slots=True)
class Event:
    """One operation of a process: its number, what it was, and what became of it ("" for nothing out of the way)."""

    number: int
    operation: str
    name: str
    outcome: str = ""


@dataclass(slots=True, eq=False)
class Medium:
    """What outlives processes."""

    kind: StoreKind
    objects: MemoryStore
    temporaries: set[str] = field(default_factory=set)
    """Their names, of all stations; what is in them nobody asks."""
    torn: set[str] = field(default_factory=set)
    """The names of objects that were left without their end."""
    late: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    operations: int = 0
    changes: int = 0
    processes: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def tick(self) -> None:
        """Count an operation, and let what is due take effect."""
        self.operations += 1
        self.deliver(self.operations)

    def deliver(self, now: int | None = None) -> None:
        """Let everything late take effect that is due by operation `now`, or all of it."""
        with self.lock:
            due = [effect for when, effect in self.late if now is None or when <= now]
            self.late = [(when, effect) for when, effect in self.late if now is not None and when > now]
            for effect in due:
                # It may be there or gone already, or there is no room for it: nobody is told any more.
                with contextlib.suppress(InputError, StoreError):
                    effect()
                    self.changes += 1
