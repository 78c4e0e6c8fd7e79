"""What a partial restore cannot bring back, and how it is told.

Here: `LostPart`, the problems that name what is lost, and `forgiving`, a store in which a place that cannot be read is
damage of what lies there. Not here: loading (`loading`) or writing (`batch`, `write`).

Rules: what is lost of a file is a hole of zeros, and each range is named. A file of which everything is lost is not
made. A file with holes does not get its time of the snapshot: a later restore that takes equal times for equal files
must not pass it over. Nor does it take the place of a file that is there: that may be the better one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias

from ...errors import DamagedObjectError, StoreUnavailableError
from ...format.tree import DirectoryChild
from ...stores.protocol import Store
from ...stores.wrapper import StoreWrapper
from ...targets.attributes import FileAttributes
from ...types import Problem
from ..reading import is_fault_of_place

_NAMED: Final = 32  # ranges or names in one message

LostRange: TypeAlias = tuple[int, int]
"""Offset and size in a file."""


class LostPart(NamedTuple):
    """A part of a file of which not even the chunks are known."""

    size: int


def joined(ranges: Iterable[LostRange]) -> tuple[LostRange, ...]:
    """Return the ranges by rising offset, neighbours as one."""
    found: list[LostRange] = []
    for offset, size in sorted(ranges):
        if found and sum(found[-1]) == offset:
            found[-1] = (found[-1][0], found[-1][1] + size)
        else:
            found.append((offset, size))
    return tuple(found)


def is_all(ranges: Iterable[LostRange], size: int) -> bool:
    """Tell whether nothing of a file of that size is left."""
    return sum(lost for _, lost in ranges) >= size


def content_lost(path: str, ranges: Sequence[LostRange]) -> Problem:
    """Return the problem for a file with holes."""
    named = ", ".join(f"{size:,} bytes at {offset:,}" for offset, size in ranges[:_NAMED])
    more = f" and {len(ranges) - _NAMED:,} more ranges" if len(ranges) > _NAMED else ""
    total = sum(size for _, size in ranges)
    message = f"{total:,} bytes of the file are lost and zeros stand in their place: {named}{more}."
    return Problem(code="content_lost", path=path, message=message)


def lost_entries(children: Sequence[DirectoryChild]) -> DamagedObjectError:
    """Return the error for parts of a directory that cannot be read."""
    count = sum(child.entries for child in children)
    names = ", ".join(repr(child.last_name.decode("utf-8", "replace")) for child in children[:_NAMED])
    return DamagedObjectError(
        f"Parts of this folder's list are lost, with {count:,} entries in it and below, among them {names}.",
        code="damaged_blob",
    )


def without_time(attributes: FileAttributes) -> FileAttributes:
    """Return what a file with holes gets."""
    return replace(attributes, mtime_ns=None)


class _ForgivingStore(StoreWrapper):
    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        try:
            return self.inner.get(name, offset=offset, size=size)
        except StoreUnavailableError as error:
            if is_fault_of_place(self.inner, error):
                raise DamagedObjectError(str(error), object_name=name) from error
            raise


def forgiving(store: Store) -> Store:
    """The store, for reading: a place that cannot be read is damage, as long as the store answers otherwise."""
    return _ForgivingStore(store)
