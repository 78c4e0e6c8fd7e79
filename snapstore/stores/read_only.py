"""A store that is only looked at.

Here: `ReadOnlyStore`. Not here: media and servers that cannot be written; they say so themselves.

Rule: whatever would change the store is refused before the inner store hears of it.
"""

from __future__ import annotations

from typing import BinaryIO, NoReturn

from ..errors import StorePermissionError
from .protocol import Store
from .wrapper import StoreWrapper


class ReadOnlyStore(StoreWrapper):
    """Refuses `put`, `delete`, `begin` and `clean_temporaries` with the code "read_only"."""

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> NoReturn:
        """Refused."""
        self._refuse(f"store {name}")

    def delete(self, name: str) -> NoReturn:
        """Refused."""
        self._refuse(f"delete {name}")

    def begin(self) -> NoReturn:
        """Refused."""
        self._refuse("store a new object")

    def clean_temporaries(self, station: str) -> NoReturn:
        """Refused."""
        self._refuse("remove unfinished uploads")

    def _refuse(self, what: str) -> NoReturn:
        raise StorePermissionError(
            f"Could not {what} in {self.url}: it was opened for reading only. Open it without that (--read-only).",
            code="read_only",
        )


def refuse_read_only(store: Store, what: str) -> None:
    """Raise StorePermissionError if the store was opened for reading only. `what` is a verb."""
    while isinstance(store, StoreWrapper):
        if isinstance(store, ReadOnlyStore):
            store._refuse(what)
        store = store.inner
