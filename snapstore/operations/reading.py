"""Reading stored blobs as they are, in pieces of packs.

Here: `read_blobs`, `read_pack`, and what is the fault of one place and what of the whole store. Not here: which blobs,
and where they go.

Rules: what comes out has the stored hash that the index gives, or is reported as one that does not. Several pieces are
read at a time where the store gains from it; what is in memory is bounded by them. Pieces begin and end at the windows
of 1 MiB by which packs are read everywhere (docs/format/06-packs.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from ..blobs.lanes import each_side_by_side, side_by_side
from ..blobs.patchy import is_fault_of_place as is_fault_of_place  # noqa: PLC0414  operations take it from here
from ..blobs.sealer import SealedBlob
from ..crypto.blob import stored_hash
from ..errors import DamageError, StoreError
from ..format.names import pack_path
from ..format.pack import PackEntry
from ..limits import MIB, READ_WINDOW_BYTES
from ..stores.protocol import Store

_PIECE_BYTES: Final = 4 * MIB


def read_blobs(
    store: Store, pack: str, pack_size: int, entries: Sequence[PackEntry]
) -> Iterator[tuple[list[SealedBlob], list[PackEntry]]]:
    """Yield some of the blobs after the other: those that are whole, and the entries of those that are not.

    `entries` are by rising offset. Raises StoreError where the store as a whole fails."""
    pieces = list(_pieces(entries, pack_size))
    calls = [partial(_read_or_error, store, pack_path(pack), start, end - start) for start, end, _ in pieces]
    for (start, _, some), data in zip(pieces, each_side_by_side(store, calls), strict=True):
        if data is None:
            yield [], some
            continue
        view = memoryview(data)
        whole, broken = [], []
        for entry in some:
            at = entry.offset - start
            stored = view[at : at + entry.stored_size]
            if stored_hash(stored) == entry.stored_hash:
                whole.append(SealedBlob(entry, stored))
            else:
                broken.append(entry)
        yield whole, broken


def read_pack(store: Store, pack: str, pack_size: int) -> bytes | None:
    """Return a whole pack, unchecked; None if it cannot be read. Raises StoreError where the store as a whole fails."""
    starts = range(0, pack_size, _PIECE_BYTES)
    calls: list[Callable[[], bytes | None]] = [
        partial(_read_or_error, store, pack_path(pack), start, min(_PIECE_BYTES, pack_size - start)) for start in starts
    ]
    parts = side_by_side(store, calls)
    return None if None in parts else b"".join([part for part in parts if part is not None])


def _read_or_error(store: Store, path: str, start: int, size: int) -> bytes | None:
    try:
        return store.get(path, offset=start, size=size)
    except (DamageError, StoreError) as error:
        if is_fault_of_place(store, error):
            return None
        raise


def _pieces(entries: Sequence[PackEntry], pack_size: int) -> Iterator[tuple[int, int, list[PackEntry]]]:
    """Yield where a piece begins and ends, and the entries that lie in it whole."""
    some: list[PackEntry] = []
    for entry in entries:
        if some:
            too_large = entry.offset + entry.stored_size - some[0].offset > _PIECE_BYTES
            if too_large or entry.offset - (some[-1].offset + some[-1].stored_size) >= READ_WINDOW_BYTES:
                yield *_widened(some, pack_size), some
                some = []
        some.append(entry)
    if some:
        yield *_widened(some, pack_size), some


def _widened(entries: Sequence[PackEntry], pack_size: int) -> tuple[int, int]:
    start = entries[0].offset // READ_WINDOW_BYTES * READ_WINDOW_BYTES
    end = entries[-1].offset + entries[-1].stored_size
    return start, min(-(-end // READ_WINDOW_BYTES) * READ_WINDOW_BYTES, pack_size)
