"""Entries before their content is known.

Here: what `lstat`, owner names and extended attributes say, kept until the hashes are there. Not here: content.

Rules: an entry is made once, by `build`; copying a frozen record of 24 fields for each thing that becomes known took a
tenth of the walking thread's time.
"""

from __future__ import annotations

from typing import Any

from ...format.tree import TreeEntry, encode_xattrs
from ...limits import CHUNK_MAX_BYTES, INLINE_XATTR_MAX_BYTES
from ...sources.attributes import Attributes
from ...sources.scanned import WINDOWS, ScannedEntry
from ...types import EntryType, Problem
from .job import Job
from .pipeline import ChunkRef

_FIRST_NS = -(2**63)
_LAST_NS = 2**63 - 1  # in the year 2262: what the format, and most file systems' callers, count nanoseconds in


class EntryDraft:
    """An entry to be. `needs` are chunks that must be hashed before `build`."""

    __slots__ = ("_fields", "needs")

    def __init__(self, scanned: ScannedEntry, name: bytes, kind: EntryType) -> None:
        self.needs: tuple[ChunkRef, ...] = ()
        self._fields: dict[str, Any] = {
            "name": name,
            "type": kind,
            "mtime_ns": _within(scanned.mtime_ns),
            "windows_attributes": scanned.windows_attributes,
            "birth_ns": None if scanned.birth_ns is None else _within(scanned.birth_ns),
        }
        if not WINDOWS:
            self._fields.update(mode=scanned.mode, uid=scanned.uid, gid=scanned.gid)

    def describe(self, attributes: Attributes, job: Job, path: str) -> None:
        """Add names and extended attributes of the source at `path`. Large ones go to a blob."""
        job.report(*attributes.problems)
        if self._fields["mtime_ns"] in (_FIRST_NS, _LAST_NS):
            message = f"{path} has a time of modification beyond what can be saved; it was saved as the nearest one."
            job.report(Problem(code="time_out_of_range", path=path, message=message))
        self._fields.update(user=_text(attributes.user), group=_text(attributes.group))
        if attributes.xattrs:
            pairs = tuple(sorted(attributes.xattrs.items()))
            encoded = encode_xattrs(pairs)
            if len(encoded) <= INLINE_XATTR_MAX_BYTES:
                self._fields["xattrs"] = pairs
            elif len(encoded) <= CHUNK_MAX_BYTES:
                self.needs = (job.pipeline.add_chunk(encoded, shared=False),)
            else:
                message = (
                    f"{path} has {len(encoded)} bytes of extended attributes, which is too much; they were not saved."
                )
                job.report(Problem(code="xattr_too_large", path=path, message=message))

    def build(self, **content: object) -> TreeEntry:
        """Return the entry with its content: the fields of `TreeEntry` that are named."""
        if self.needs:
            content["xattrs_blob"] = (self.needs[0].plain_hash, self.needs[0].size)
        fields: dict[str, Any] = {**self._fields, **content}
        return TreeEntry(**fields)


def _within(nanoseconds: int) -> int:
    return min(max(nanoseconds, _FIRST_NS), _LAST_NS)


def _text(name: str | None) -> str | None:
    """Return a user's or group's name if it is text; the number says the rest."""
    if name is None:
        return None
    try:
        name.encode()
    except UnicodeEncodeError:
        return None
    return name
