"""Exact chunks from content that arrives in blocks.

Whatever the block sizes, the chunks are those of the whole content in one buffer. Memory holds about twice a block
and a maximum chunk.

Blocks are gathered until they hold a maximum chunk, so that every scan completes at least one chunk; scanning each
block as it comes would go over an unfinished chunk again and again. A file that fits one block and one chunk is
passed through uncopied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .cutters import Cutter


def chunk_stream(blocks: Iterable[bytes], cutter: Cutter) -> Iterator[bytes]:
    """Yield the chunks of the content that `blocks` make up, none of them empty.

    Blocks of 1 MiB and more are best. An exception from `blocks` passes through; the chunks yielded before it are
    right.
    """
    pending: list[bytes] = []
    pending_size = 0
    for block in blocks:
        pending.append(block)
        pending_size += len(block)
        if pending_size < cutter.maximum:
            continue
        content = _join(pending)
        ends = cutter.cuts(content, final=False)
        yield from _split(content, ends)
        rest = content[ends[-1] :]
        pending, pending_size = [rest], len(rest)
    content = _join(pending)
    yield from _split(content, cutter.cuts(content, final=True))


def _join(parts: list[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _split(content: bytes, ends: list[int]) -> Iterator[bytes]:
    start = 0
    for end in ends:
        yield content[start:end]  # of a bytes object, the whole is not copied
        start = end
