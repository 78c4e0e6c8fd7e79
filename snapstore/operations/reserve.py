"""Room on a medium that is given up when it is full.

Here: making the reserve and giving it up. Not here: who is in need of it (`operations.prune`).

Rules: only media that people unplug have one, and where little is free it is small or none. It holds random bytes, so
that no file system or stick compresses it away. That it cannot be made is no error: a medium without it works, but for
a prune on the very last byte.
"""

from __future__ import annotations

import contextlib
from typing import Final

from ..blobs.naming import put_named
from ..crypto.entropy import random_bytes
from ..errors import ObjectNotFoundError, StoreError
from ..format.names import object_path
from ..limits import KIB, MIB
from ..stores.local import LocalStore
from ..stores.media import medium_at
from ..stores.protocol import Store
from ..stores.wrapper import innermost

RESERVE: Final = "reserve"
_BYTES: Final = 8 * MIB
_SHARE: Final = 32  # of what is free: a small stick is not spent on it
_LEAST_BYTES: Final = 128 * KIB  # less than this holds no condemn object and an index, each with its cluster


def is_on_medium(store: Store) -> bool:
    """Tell whether a store lies on something that people unplug."""
    inner = innermost(store)
    return isinstance(inner, LocalStore) and medium_at(str(inner.root)) is not None


def keep_reserve(store: Store) -> None:
    """Make the reserve where there should be one and is none. Raises nothing."""
    if not is_on_medium(store):
        return
    with contextlib.suppress(StoreError):
        if not any(True for _ in store.list(RESERVE)):
            put_reserve(store)


def put_reserve(store: Store) -> None:
    """Put the reserve, as large as what is free allows. Raises StoreError."""
    free = store.free_bytes()
    size = _BYTES if free is None else min(_BYTES, free // _SHARE)
    if size >= _LEAST_BYTES:
        put_named(store, lambda name: object_path(RESERVE, name), random_bytes(size))


def give_up_reserve(store: Store) -> bool:
    """Delete the reserve; whether there was one. Raises StoreError."""
    names = [item.name for item in store.list(RESERVE)]
    for name in names:
        with contextlib.suppress(ObjectNotFoundError):
            store.delete(name)
    return bool(names)
