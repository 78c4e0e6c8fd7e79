"""Taking a snapshot.

Here, from the outside in: `ends` (is there room, may the medium be unplugged), `take` (the verb), `publish` (manifest
and the look afterwards), `walk` (what is saved, folder by folder), `files` (a file's content to blobs), `folders`
(entries to nodes), `reuse` (what need not be read again), `estimate` and `room` (totals for the progress, and whether
they fit), `pipeline` (chunks to worker threads, results back in order) and `job` (what they share).

Rules: one thread walks and reads; it is the only one that touches anything here. A file that cannot be read is a
problem in the report. A snapshot is reported only after its copy is in ok/ (docs/format/11-protocol.md)."""

from __future__ import annotations

from .ends import take_snapshot
from .request import SnapshotRequest

__all__ = ["SnapshotRequest", "take_snapshot"]
