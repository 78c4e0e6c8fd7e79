"""chunk_stream: memory stays flat, whole blocks are passed through, and errors come through."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from snapstore.chunking import CutterSet, PageCutter, chunk_stream


def test_nothing_gives_nothing(cutters: CutterSet) -> None:
    assert list(chunk_stream(iter([]), cutters.fine)) == []
    assert list(chunk_stream(iter([b"", b""]), cutters.fine)) == []


def test_one_small_block_is_not_copied(cutters: CutterSet) -> None:
    block = bytes(1000)
    [chunk] = chunk_stream(iter([block]), cutters.coarse)
    assert chunk is block


def test_chunks_come_before_the_last_block_is_read(cutters: CutterSet) -> None:
    blocks = iter([bytes(300_000), bytes(300_000)])
    assert next(chunk_stream(blocks, cutters.fine)) == bytes(cutters.fine.maximum)
    assert len(list(blocks)) == 1


def test_errors_of_the_blocks_come_through(cutters: CutterSet) -> None:
    def blocks() -> Iterator[bytes]:
        yield bytes(300_000)
        raise OSError("read error")

    chunks = chunk_stream(blocks(), cutters.fine)
    assert next(chunks) == bytes(cutters.fine.maximum)
    with pytest.raises(OSError, match="read error"):
        next(chunks)


def test_memory_does_not_grow_with_the_content() -> None:
    block_size = 1 << 20
    tracemalloc.start()
    try:
        total = sum(
            len(chunk) for chunk in chunk_stream((bytes(block_size) for _ in range(64)), PageCutter(maximum=65536))
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 64 * block_size
    assert peak < 4 * block_size
