"""Parity sidecars of packs: made while a writer stores packs, or of packs that are in the store.

Here: `SidecarWriter`. Not here: what a sidecar is (`format.parity`), and healing by it (healing.py).

Rules: a sidecar never decides whether something is stored. What goes wrong with one is a problem, and the first
problem ends the making of more: on a full medium the room is the packs' and what must follow them. Each pack is read
from where that is cheap: one for a server from the temporary file that it is built in; one in a folder from the folder,
after all packs of a run and their index, so that packs come first where room is short (and what was just read back to
be compared is still in memory). What is read has to fit the pack's name, or parity would keep a damage for ever.
Memory holds the parity rows of one pack, a tenth of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from blake3 import blake3

from ..errors import DamagedObjectError, DamageError, StoreError
from ..format.names import name_matches, pack_path, parity_path
from ..format.parity import SidecarMaker
from ..limits import MIB
from ..stores.protocol import Block, Store, lanes_of
from ..types import Problem
from .naming import put_named

_PIECE_BYTES: Final = MIB
_REMOTE_PIECE_BYTES: Final = 8 * MIB  # each piece costs a round trip


class MadeSidecar:
    """The sidecar of a pack whose bytes have gone by and that may not have its name yet."""

    def __init__(self, pack_size: int, blocks: Iterable[Block]) -> None:
        """Raises InputError where there are more or fewer bytes."""
        self._maker = SidecarMaker(pack_size)
        self._hasher = blake3()
        for block in blocks:
            self._hasher.update(block)
            self._maker.update(block)
        self._maker.finish()

    def put(self, store: Store, pack: str) -> int:
        """Put the sidecar under a new name; returns its size. DamagedObjectError if it is not of that pack's bytes."""
        if not name_matches(pack, self._hasher.digest()):
            raise DamagedObjectError(
                f"{pack_path(pack)} does not have the bytes that its name was made for; it gets no parity. "
                "Check the repository.",
                object_name=pack_path(pack),
            )
        data = self._maker.sidecar(pack)
        put_named(store, partial(parity_path, pack), data)
        return len(data)


class SidecarWriter:
    """Puts sidecars of the packs that a `PackWriter` stores. `problems` are for its report; no method raises them."""

    def __init__(self, store: Store, wanted: Callable[[], bool]) -> None:
        """`wanted` is asked once, when the first pack is stored."""
        self.problems: list[Problem] = []
        self.added = 0
        self.added_bytes = 0
        self._store = store
        self._ask = wanted
        self._wanted: bool | None = None
        self._waiting: list[tuple[str, int]] = []
        self._lock = threading.RLock()  # packs are put in several threads

    def make(self, pack_size: int, blocks: Iterable[Block]) -> MadeSidecar | None:
        """Make the sidecar of a pack that is still where reading costs nothing; None if there is to be none."""
        if not self._is_wanted():
            return None
        try:
            return MadeSidecar(pack_size, blocks)
        except (DamageError, StoreError, OSError, ValueError) as error:
            self._give_up(error)
            return None

    def put(self, made: MadeSidecar, pack: str) -> None:
        """Put what was made, now that the pack is in the store."""
        try:
            size = made.put(self._store, pack)
        except (DamageError, StoreError) as error:
            self._give_up(error)
            return
        with self._lock:
            self.added += 1
            self.added_bytes += size

    def later(self, pack: str, pack_size: int) -> None:
        """Take note of a pack that is in the store and is to be read there when all are."""
        if self._is_wanted():
            self._waiting.append((pack, pack_size))

    def finish(self, step: Callable[[], None] = lambda: None) -> None:
        """Put the sidecars of all packs that wait. `step` is called now and then; only what it raises comes out."""
        while self._waiting:
            pack, size = self._waiting.pop(0)
            blocks = pack_blocks(self._store, pack, size)
            made = self.make(size, blocks)
            step()
            if made is not None:
                self.put(made, pack)

    def _is_wanted(self) -> bool:
        with self._lock:
            if self._wanted is None:
                try:
                    self._wanted = self._ask()
                except StoreError as error:
                    self._give_up(error)
            return bool(self._wanted)

    def _give_up(self, error: Exception) -> None:
        """Make no more of them, and say why, once."""
        with self._lock:
            self._wanted = False
            self._waiting.clear()
            if not self.problems:
                code = "parity_failed"
                message = f"Packs of this run were stored without parity: {error} Add it later (parity add)."
                self.problems.append(Problem(code=code, path=self._store.url, message=message))


def pack_blocks(store: Store, pack: str, pack_size: int) -> Iterator[bytes]:
    """Yield a stored pack in pieces."""
    piece = _REMOTE_PIECE_BYTES if lanes_of(store) > 1 else _PIECE_BYTES
    for offset in range(0, pack_size, piece):
        yield store.get(pack_path(pack), offset=offset, size=min(piece, pack_size - offset))
