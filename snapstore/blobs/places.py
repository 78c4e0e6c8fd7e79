"""Reading from a medium of which single places have gone bad.

Here: `get_from_place`. Not here: reading what is left of an object, sector by sector (`patchy`).

Rules: an object that lies where nothing can be read is damaged, and its second copy, if it has one, stands in for it. A
store that cannot be reached at all is an error and never damage: nobody may take what was not asked for as lost. So is
a read that fails once: damage is what fails again, after the store has answered otherwise.
"""

from __future__ import annotations

from ..errors import DamagedObjectError, StoreUnavailableError
from ..stores.protocol import Store
from .patchy import is_fault_of_place


def get_from_place(store: Store, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
    """Return bytes as `store.get` does; DamagedObjectError where only they cannot be read, and all else answers."""
    try:
        return store.get(name, offset=offset, size=size)
    except StoreUnavailableError as error:
        if not is_fault_of_place(store, error):
            raise
        try:
            return store.get(name, offset=offset, size=size)
        except StoreUnavailableError:
            raise DamagedObjectError(f"{name} cannot be read: {error}", object_name=name) from error
