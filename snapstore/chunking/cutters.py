"""The two kinds of cutter: by content (Gear) and in fixed pages.

Here: where one buffer is cut. Not here: which cutter a file gets (`choose`) and how a file that does not fit one
buffer is fed to it (`stream`).

Rules: a chunk starts at the start of the buffer; a cutter holds no state between calls, so one object serves all
threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .gear import Gear, find_cuts
from .gear_table import cut_threshold
from .native import ReadableBuffer

MAXIMUM_PER_TARGET = 4


class Cutter(Protocol):
    """Decides where content is cut into chunks."""

    @property
    def maximum(self) -> int:
        """The size in bytes that no chunk exceeds; a buffer of this size holds at least one whole chunk."""

    def cuts(self, buffer: ReadableBuffer, *, final: bool) -> list[int]:
        """Return the ends of the chunks that are complete in `buffer`, rising, counted from its start.

        Bytes after the last one belong to a chunk whose end is not known yet; with `final` there are none such.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class GearCutter(Gear):
    """Cuts where the content says so; an insertion moves the cuts near it only."""

    @classmethod
    def for_target(cls, table: bytes, target: int) -> GearCutter:
        """Return the cutter with chunks of about `target` bytes, at least half and at most four times that."""
        return cls(
            table=table, minimum=target // 2, maximum=MAXIMUM_PER_TARGET * target, threshold=cut_threshold(target)
        )

    def cuts(self, buffer: ReadableBuffer, *, final: bool) -> list[int]:
        """See `Cutter.cuts`."""
        return find_cuts(buffer, self, final=final)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCutter:
    """Cuts every `maximum` bytes, for files whose pages change in place."""

    maximum: int

    def __post_init__(self) -> None:
        if self.maximum < 1:
            raise ValueError("a page chunk needs at least one byte")

    def cuts(self, buffer: ReadableBuffer, *, final: bool) -> list[int]:
        """See `Cutter.cuts`."""
        size = memoryview(buffer).nbytes
        ends = list(range(self.maximum, size + 1, self.maximum))
        if final and size % self.maximum:
            ends.append(size)
        return ends
