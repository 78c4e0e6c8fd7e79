"""Whether the store has room for a snapshot, and what is to be said of it.

Here: `check_room`, before anything is written, and `notice_of_room`, from a count of the sources. Not here: watching
the free space while packs are stored (stores/watched.py).

Rules: only folder stores are asked. A snapshot is refused for want of room only where even an unchanged one would not
fit. What the sources will take cannot be known before they are read: they may compress, and most of them may be stored
already. So a count gives a notice and never an error; what grew since the last snapshot is all that it speaks of.
"""

from __future__ import annotations

from typing import Final

from ...errors import StoreFullError
from ...limits import KIB, MIB
from ...stores.local import LocalStore
from ...stores.protocol import Store
from ...stores.wrapper import innermost

# An unchanged snapshot takes a session note, a manifest and its copy: 8 to 16 KiB were measured on exFAT and NTFS with
# clusters of 4 KiB, and exFAT has clusters of up to 128.
LEAST_ROOM_BYTES: Final = 512 * KIB
SPACE_MAY_NOT_SUFFICE: Final = "space_may_not_suffice"


def local_free_bytes(store: Store) -> int | None:
    """Return what is free in a folder store; None for any other, and where nobody knows."""
    return store.free_bytes() if isinstance(innermost(store), LocalStore) else None


def check_room(store: Store) -> None:
    """Raise StoreFullError if not even an unchanged snapshot has room."""
    free = local_free_bytes(store)
    if free is not None and free < LEAST_ROOM_BYTES:
        raise StoreFullError(
            f"{store.url} is full: {free // KIB:,} KiB are free, and a snapshot takes {LEAST_ROOM_BYTES // KIB:,} even "
            "if nothing has changed. Nothing was written. Free some space, or use another medium."
        )


def notice_of_room(total_bytes: int, last_total_bytes: int, free_bytes: int) -> tuple[str, str] | None:
    """Return code and text if sources of this size may not fit; None where they will, as far as a count can tell."""
    growth = total_bytes - last_total_bytes
    if growth <= free_bytes:
        return None
    more = "more than in the last snapshot" if last_total_bytes else "to save"
    return SPACE_MAY_NOT_SUFFICE, (
        f"There are {growth // MIB:,} MiB {more} and {free_bytes // MIB:,} MiB free: unless much of it compresses or "
        "is stored already, the room will not suffice. If it does not, earlier snapshots are unharmed."
    )
