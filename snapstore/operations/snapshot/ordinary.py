"""Entries of ordinary files, many in one call of compiled code where that is there.

Here: `encode_ordinary`. Not here: its twin, which is `EntryDraft.build` with `encode_entry` for each file, and which
files are asked for.

Rules: ordinary are files that were read as they were listed and have no extended attributes and one owner; for
anything else the answer is None and the caller takes the twin. Both give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from ...compiled import optional_module
from ...format.entry import encode_owner
from ...sources.attributes import Attributes
from ...sources.scanned import SETTLED_AFTER_NS, ScannedEntry
from ...types import EntryType, PlainHash
from .drafts import text_or_none

EncodedFile: TypeAlias = tuple[bytes, bytes | None, int]
"""The encoded entry of a file, its signature (None if that must not be trusted) and its size."""


class _Native(Protocol):
    encode_files: Callable[
        [
            Sequence[ScannedEntry],
            EntryType,
            int,
            int,
            bytes,
            int,
            int,
            bytes,
            bytes,
            int,
            int,
        ],
        tuple[list[bytes], list[EncodedFile]] | None,
    ]


_native: _Native | None = optional_module("_entries")


def can_encode(attributes: Attributes) -> bool:
    """Tell whether files with these attributes, all of them, may be ordinary, and compiled code is there."""
    return _native is not None and not attributes.xattrs and not attributes.problems


def encode_ordinary(
    entries: Sequence[ScannedEntry],
    attributes: Attributes,
    data: bytes,
    bundle: tuple[PlainHash, int] | None,
    *,
    inline_max: int,
    now_ns: int,
) -> tuple[list[bytes], list[EncodedFile]] | None:
    """Return names of files and their lines. `data` is what those of at most `inline_max` bytes hold, back to back.

    The others are in `bundle` (its h and size), and fill it. None if one of the files is not ordinary after all.
    """
    assert _native is not None
    uid, gid = entries[0].uid, entries[0].gid
    owner, owner_keys = encode_owner(uid, gid, text_or_none(attributes.user), text_or_none(attributes.group))
    plain_hash, bundle_size = bundle or (b"", 0)
    return _native.encode_files(
        entries,
        EntryType.FILE,
        uid,
        gid,
        owner,
        owner_keys,
        inline_max,
        data,
        plain_hash,
        bundle_size,
        now_ns - SETTLED_AFTER_NS,
    )
