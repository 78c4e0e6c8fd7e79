"""Entries before their content is known.

Here: what `lstat`, owner names and extended attributes say, kept until the hashes are there. Not here: content.

Rules: an entry is made once, by `build`; copying a frozen record of 24 fields for each thing that becomes known took a
tenth of the walking thread's time.
"""

from __future__ import annotations

from typing import Any

from ...format.tree import TreeEntry, encode_xattrs
from ...limits import INLINE_XATTR_MAX_BYTES
from ...sources.attributes import Attributes
from ...sources.scanned import WINDOWS, ScannedEntry
from ...types import EntryType
from .job import Job
from .pipeline import ChunkRef


class EntryDraft:
    """An entry to be. `needs` are chunks that must be hashed before `build`."""

    __slots__ = ("_fields", "needs")

    def __init__(self, scanned: ScannedEntry, name: bytes, kind: EntryType) -> None:
        self.needs: tuple[ChunkRef, ...] = ()
        self._fields: dict[str, Any] = {
            "name": name,
            "type": kind,
            "mtime_ns": scanned.mtime_ns,
            "windows_attributes": scanned.windows_attributes,
            "birth_ns": scanned.birth_ns,
        }
        if not WINDOWS:
            self._fields.update(mode=scanned.mode, uid=scanned.uid, gid=scanned.gid)

    def describe(self, attributes: Attributes, job: Job) -> None:
        """Add names and extended attributes. Large ones go to a blob."""
        job.report(*attributes.problems)
        self._fields.update(user=attributes.user, group=attributes.group)
        if attributes.xattrs:
            pairs = tuple(sorted(attributes.xattrs.items()))
            encoded = encode_xattrs(pairs)
            if len(encoded) <= INLINE_XATTR_MAX_BYTES:
                self._fields["xattrs"] = pairs
            else:
                self.needs = (job.pipeline.add_chunk(encoded, shared=False),)

    def build(self, **content: object) -> TreeEntry:
        """Return the entry with its content: the fields of `TreeEntry` that are named."""
        if self.needs:
            content["xattrs_blob"] = (self.needs[0].plain_hash, self.needs[0].size)
        fields: dict[str, Any] = {**self._fields, **content}
        return TreeEntry(**fields)
