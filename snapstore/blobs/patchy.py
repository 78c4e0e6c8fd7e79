"""Reading an object of which the medium gives a part only.

Here: `read_patchy`, and what is the fault of one place and what of the whole store. Not here: what is done without the
rest (healing.py).

Rules: an object is read whole if that works. Where it does not, it is read in ever smaller pieces, down to the sectors
that a disk loses at a time; what cannot be read, and what is missing at the end, is zeros, and its sectors are named. A
store that fails as a whole raises: its silence says nothing about the object. A failing disk may take seconds for each
sector that it gives up, so after many of them the rest is not looked at in detail any more: so much cannot be healed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..errors import DamageError, ObjectNotFoundError, StoreError, StoreUnavailableError
from ..limits import MIB, PARITY_BLOCK_BYTES, PARITY_SECTOR_BYTES
from ..stores.protocol import Store

_PIECES: Final = (MIB, PARITY_BLOCK_BYTES, PARITY_SECTOR_BYTES)
_MAX_FAILURES: Final = 2048  # 4 MiB of bad sectors with the larger pieces around them: more than parity heals
_CODES_OF_CONNECTIONS: Final = frozenset({"connection_lost", "store_timeout"})


@dataclass(slots=True)
class Patchy:
    """An object's bytes, zeros for what could not be read, and the numbers of the sectors in which these are."""

    data: bytearray
    bad: set[int] = field(default_factory=set)

    @property
    def is_whole(self) -> bool:
        """Whether every byte was read."""
        return not self.bad


def read_patchy(store: Store, name: str, size: int, step: Callable[[], None] = lambda: None) -> Patchy:
    """Read what there is of an object that should have `size` bytes. All is bad if there is no such object.

    `step` is called before each read and may raise. Raises StoreError where the store as a whole fails.
    """
    return _Reading(store, name, size, step).run()


def is_fault_of_place(store: Store, error: Exception) -> bool:
    """Tell whether it is one object or one place on the medium that cannot be read, and the store answers otherwise."""
    if isinstance(error, DamageError | ObjectNotFoundError) or getattr(error, "code", None) == "object_too_large":
        return True
    if not isinstance(error, StoreUnavailableError) or error.code in _CODES_OF_CONNECTIONS:
        return False
    try:
        return any(True for _ in store.list("config"))
    except StoreError:
        return False


class _Reading:
    """One object, being read."""

    def __init__(self, store: Store, name: str, size: int, step: Callable[[], None]) -> None:
        self._store = store
        self._name = name
        self._step = step
        self._found = Patchy(bytearray(size))
        self._failures = 0
        self._known_to_answer = False

    def run(self) -> Patchy:
        size = len(self._found.data)
        self._step()
        try:
            data = self._store.get(self._name)
        except ObjectNotFoundError:
            self._give_up(0, size)
        except (DamageError, StoreError) as error:
            self._note(error)
            self._read(0, size, _PIECES)
        else:
            self._found.data[: len(data)] = data[:size]
            if len(data) < size:
                self._give_up(len(data), size)
        return self._found

    def _read(self, start: int, end: int, pieces: tuple[int, ...]) -> None:
        """Read a range in pieces of the first size, and those that fail in pieces of the next."""
        for at in range(start, end, pieces[0]):
            stop = min(at + pieces[0], end)
            if self._failures >= _MAX_FAILURES:
                self._give_up(at, end)
                return
            self._step()
            try:
                self._found.data[at:stop] = self._store.get(self._name, offset=at, size=stop - at)
            except (DamageError, StoreError) as error:
                self._note(error)
                if len(pieces) > 1:
                    self._read(at, stop, pieces[1:])
                else:
                    self._give_up(at, stop)

    def _note(self, error: DamageError | StoreError) -> None:
        """Count a failure; raise it if it is the store's. Whether it answers is asked once for many failures."""
        self._failures += 1
        if isinstance(error, StoreError) and not (self._known_to_answer and self._failures % 64):
            self._known_to_answer = is_fault_of_place(self._store, error)
            if not self._known_to_answer:
                raise error

    def _give_up(self, start: int, end: int) -> None:
        self._found.bad.update(range(start // PARITY_SECTOR_BYTES, -(-end // PARITY_SECTOR_BYTES)))
