"""PageCutter: fixed chunks, the last one shorter."""

from __future__ import annotations

import pytest

from snapstore.chunking import PageCutter


@pytest.mark.parametrize(
    ("size", "open_ends", "final_ends"),
    [(0, [], []), (9, [], [9]), (10, [10], [10]), (11, [10], [10, 11]), (30, [10, 20, 30], [10, 20, 30])],
)
def test_cuts_every_page_chunk(size: int, open_ends: list[int], final_ends: list[int]) -> None:
    cutter = PageCutter(maximum=10)
    assert cutter.cuts(bytes(size), final=False) == open_ends
    assert cutter.cuts(bytes(size), final=True) == final_ends


def test_needs_a_size() -> None:
    with pytest.raises(ValueError, match="one byte"):
        PageCutter(maximum=0)
