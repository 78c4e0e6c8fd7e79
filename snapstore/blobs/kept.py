"""The index as a station keeps it from one run to the next.

Here: opening what was kept, and deciding when it is worth keeping more. Not here: files (`snapstore.station`), and what
a store holds beyond it (`catalogue`).

Rules: kept under a key made of all maintenance keys at hand, so that a station that lost some, or learned new ones,
begins anew. Which packs there are is never taken from it, only what is in them. What cannot be kept is left; nothing
depends on it.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from typing import Any, Final

from ..crypto.derivation import derive
from ..crypto.keys import MaintenanceKeys
from ..errors import DamageError, UnsupportedFormatError
from ..format.names import NAME_CHARS
from ..format.packing import decode, encode
from .index import BlobIndex
from .segments import IndexFiles

_KEEP_OBJECTS: Final = 8  # fewer index objects are read again as fast as the kept ones are opened
_KEEP_BLOBS: Final = 16_384
_MAX_GONE: Final = 0.25  # beyond this share of entries of lost packs the kept index is made anew
_MISFITS: Final = (
    *(DamageError, UnsupportedFormatError, OSError, struct.error),
    *(TypeError, ValueError, OverflowError, AttributeError),
)
"""What comes of a record that is of another shape than expected, or of files that cannot be opened."""


def cache_key(maintenance: Mapping[int, MaintenanceKeys]) -> bytes:
    """Return the key for `IndexFiles`."""
    keys = [epoch.to_bytes(4, "big") + maintenance[epoch].key for epoch in sorted(maintenance)]
    return derive(b"".join(keys), "station index cache")


def open_kept(files: IndexFiles, key: bytes, listed: Collection[str]) -> tuple[BlobIndex, set[str]] | None:
    """Return the kept index and the names of the index objects that are in it, or None."""
    kept = files.read(key)
    if kept is None:
        return None
    try:
        record: Any = decode(kept[0], what="station's index")
        objects, table, counts = record
        index = BlobIndex(files)
        if index.adopt(table, list(zip(kept[1], counts, strict=True)), listed) > _MAX_GONE:
            return None
        names = objects.decode("ascii")
    except _MISFITS:
        return None
    return index, {f"index/{names[at : at + NAME_CHARS]}" for at in range(0, len(names), NAME_CHARS)}


def keep(files: IndexFiles, key: bytes, index: BlobIndex, objects: Collection[str]) -> None:
    """Keep the index, in which these index objects are. OSError if the station's folder cannot take it."""
    table, segments = index.keep(files)
    names = "".join(sorted(name.rpartition("/")[2] for name in objects)).encode("ascii")
    record = [names, table, [count for _, count in segments]]
    files.keep(key, encode(record), [(file.name, file.hash) for file, _ in segments])


def is_worth_keeping(index: BlobIndex, unkept_objects: int) -> bool:
    """Tell whether keeping the index saves the next run more than it costs this one."""
    if unkept_objects == 0:
        return False
    return unkept_objects >= _KEEP_OBJECTS or index.unkept_blobs() >= _KEEP_BLOBS
