"""The frame of the conformance tests: what they are told of a store, and how they look at it.

Here: `StoreUnderTest`, `listing`, `raises`. Not here: any rule (conformance.py, building_rules.py).

Rule: nothing here needs pytest; whoever tests a store chooses the runner. A rule that a store has nothing for is
skipped by `unittest.SkipTest`, which all runners know.
"""

from __future__ import annotations

import contextlib
import unittest
from collections.abc import Iterator

from ..limits import MAX_OBJECT_BYTES
from ..stores.protocol import Store


class StoreUnderTest:
    """What a derived class says of its store."""

    objects_in_bulk: int = 300
    """How many objects there are in rules about many; fewer for a server far away."""
    largest_object_bytes: int = MAX_OBJECT_BYTES
    """How large the largest object is that is really stored; smaller for a slow line."""

    def open_store(self) -> Store:
        """The store under test; within a test, always the same one."""
        raise NotImplementedError("open_store has to be defined for the store under test")

    def plant_foreign_file(self, path: str, content: bytes) -> None:
        """Put a file where the store keeps its objects, past the store."""
        raise unittest.SkipTest("this storage holds nothing but objects")

    def foreign_file(self, path: str) -> bytes:
        """The content of a file that was planted."""
        raise unittest.SkipTest("this storage holds nothing but objects")


def listing(store: Store, prefix: str) -> dict[str, int]:
    """All objects below a folder with their sizes; none may be listed twice."""
    found = list(store.list(prefix))
    sizes = {stored.name: stored.size for stored in found}
    assert len(sizes) == len(found), f"a name was listed twice: {found}"
    return sizes


@contextlib.contextmanager
def raises(kind: type[Exception], what: str = "") -> Iterator[list[Exception]]:
    """Fail unless an error of that kind comes; the list holds it afterwards."""
    caught: list[Exception] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
        return
    raise AssertionError(f"{kind.__name__} was not raised {what!r}")
