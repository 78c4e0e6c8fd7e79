"""Entries before their content is known.

Here: what `lstat`, owner names and extended attributes say, kept until the hashes are there. Not here: content.

Rules: an entry is made once, by `build`. Most files have no extended attributes and nothing to report: a draft of one
holds references only.
"""

from __future__ import annotations

from typing import Any

from ...format.tree import TreeEntry, encode_xattrs
from ...limits import CHUNK_MAX_BYTES, INLINE_XATTR_MAX_BYTES
from ...sources.attributes import Attributes
from ...sources.directory import SourceDirectory
from ...sources.scanned import WINDOWS, ScannedEntry
from ...types import EntryType, Problem
from .job import Job
from .pipeline import ChunkRef

_FIRST_NS = -(2**63)
_LAST_NS = 2**63 - 1  # in the year 2262: what the format, and most file systems' callers, count nanoseconds in


class EntryDraft:
    """An entry to be. `needs` are chunks that must be hashed before `build`."""

    __slots__ = ("_attributes", "_inline_xattrs", "_kind", "_name", "_scanned", "lacking", "needs")

    def __init__(self, scanned: ScannedEntry, name: bytes, kind: EntryType, attributes: Attributes) -> None:
        self.needs: tuple[ChunkRef, ...] = ()
        self.lacking = False
        """Something of it cannot be saved: the next run must look again, and say so again."""
        self._scanned = scanned
        self._name = name
        self._kind = kind
        self._attributes = attributes
        self._inline_xattrs: tuple[tuple[bytes, bytes], ...] = ()

    def check(self, job: Job, directory: SourceDirectory) -> EntryDraft:
        """Report what is wrong with times and attributes, and hand over attributes that need a blob; returns self."""
        attributes, scanned = self._attributes, self._scanned
        if not _FIRST_NS < scanned.mtime_ns < _LAST_NS:
            path = directory.path_of(scanned.name)
            message = f"{path} has a time of modification beyond what can be saved; it was saved as the nearest one."
            job.report(Problem(code="time_out_of_range", path=path, message=message))
            self.lacking = True
        if attributes.problems:
            job.report(*attributes.problems)
            self.lacking = True
        if attributes.xattrs:
            self._take_xattrs(job, directory)
        return self

    def build(self, **content: object) -> TreeEntry:
        """Return the entry with its content: the fields of `TreeEntry` that are named."""
        scanned, attributes = self._scanned, self._attributes
        fields: dict[str, Any] = content
        if self._inline_xattrs:
            fields["xattrs"] = self._inline_xattrs
        if self.needs:
            fields["xattrs_blob"] = (self.needs[0].plain_hash, self.needs[0].size)
        if scanned.birth_ns is not None:
            fields["birth_ns"] = _within(scanned.birth_ns)
        if WINDOWS:
            return TreeEntry(
                self._name,
                self._kind,
                mtime_ns=_within(scanned.mtime_ns),
                windows_attributes=scanned.windows_attributes,
                **fields,
            )
        return TreeEntry(
            self._name,
            self._kind,
            scanned.mode,
            _within(scanned.mtime_ns),
            scanned.uid,
            scanned.gid,
            text_or_none(attributes.user),
            text_or_none(attributes.group),
            **fields,
        )

    def _take_xattrs(self, job: Job, directory: SourceDirectory) -> None:
        pairs = tuple(sorted(self._attributes.xattrs.items()))
        encoded = encode_xattrs(pairs)
        if len(encoded) <= INLINE_XATTR_MAX_BYTES:
            self._inline_xattrs = pairs
        elif len(encoded) <= CHUNK_MAX_BYTES:
            self.needs = (job.pipeline.add_chunk(encoded, shared=False),)
        else:
            path = directory.path_of(self._scanned.name)
            message = f"{path} has {len(encoded)} bytes of extended attributes, which is too much; they were not saved."
            job.report(Problem(code="xattr_too_large", path=path, message=message))
            self.lacking = True


def _within(nanoseconds: int) -> int:
    return min(max(nanoseconds, _FIRST_NS), _LAST_NS)


def text_or_none(name: str | None) -> str | None:
    """Return a user's or group's name if it is text; the number says the rest."""
    if name is None or name.isascii():
        return name
    try:
        name.encode()
    except UnicodeEncodeError:
        return None
    return name
