"""The optional compiled module that hashes, seals and opens a batch of blobs in one call (Linux).

Here: what it offers, and whether it is there. Not here: its twins, which are `sealer`, `unsealing` and `trees` over
`codec`, `crypto` and `chunking`; both give blobs that the other one opens.

Rules: no environment variable is read. Tests take a way by setting `SEALING`, so it is looked up at each use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from ..compiled import optional_module

Buffer: TypeAlias = bytes | memoryview


class Sealing(Protocol):
    """What the compiled module offers; its source says what the bytes hold."""

    name_keys: Callable[[bytes, Sequence[bytes]], bytes]
    hash_blobs: Callable[[Sequence[Buffer], bytes, bytes], bytes]
    seal_blobs: Callable[
        [Sequence[Buffer], Sequence[bytes] | None, bytes, bytes, bytes, int, int, bool], tuple[bytes, bytes, int]
    ]
    open_blobs: Callable[[Sequence[Buffer | None], bytes, bytes, bytes, bytes, bytes], tuple[bytes, bytes]]


SEALING: Sealing | None = optional_module("_sealing")
