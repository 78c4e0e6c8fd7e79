"""One thing that a repair can do.

Here: `Remedy`. Not here: which there are (`vital`, `indexes`, `twins`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import ObjectNotFoundError
from ...upkeep_types import RepairStep
from ..context import RepositoryContext


@dataclass(frozen=True, slots=True)
class Remedy:
    """A step, and how it is done. `act` returns the bytes it added; it may raise any SnapstoreError."""

    code: str
    object_name: str
    message: str
    act: Callable[[], int]

    @property
    def step(self) -> RepairStep:
        """What callers see of it."""
        return RepairStep(code=self.code, object_name=self.object_name, message=self.message)

    @classmethod
    def removing(cls, context: RepositoryContext, name: str, why: str) -> Remedy:
        """Return the remedy that deletes an object which is no use and need not be."""

        def act() -> int:
            with contextlib.suppress(ObjectNotFoundError):
                context.store.delete(name)
            return 0

        return cls("remove_damaged", name, f"{name} is deleted: {why}.", act)
