"""Putting an object under a new name, and under another one if nobody can tell whether it is there.

Here: `put_named`. Not here: what the objects are.

Rules: a name is used once, ever (docs/format/11-protocol.md). Where the answer to a put was lost, the object may be in
the store, or come to be there, or have been removed by somebody since: the same name must not be put again. The object
is put under a new one, and what may lie under the first is the same bytes, which hurts nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..crypto.derivation import digest
from ..errors import StoreError
from ..format.names import new_name
from ..stores.protocol import PUT_UNCERTAIN, Store

_NAMES_TRIED: Final = 3


def put_named(store: Store, path_of: Callable[[str], str], data: bytes) -> str:
    """Put `data` under the full name that `path_of` makes of a new name; returns the full name. Raises StoreError."""
    return under_new_names(digest(data), lambda name: _put(store, path_of(name), data))


def under_new_names(content_hash: bytes, put: Callable[[str], str]) -> str:
    """Call `put` with a new name for content of that hash, and with others as long as its fate is uncertain."""
    for last in (*[False] * (_NAMES_TRIED - 1), True):
        try:
            return put(new_name(content_hash))
        except StoreError as error:
            if error.code != PUT_UNCERTAIN or last:
                raise
    raise AssertionError("the last try returns or raises")


def _put(store: Store, name: str, data: bytes) -> str:
    store.put(name, data)
    return name
