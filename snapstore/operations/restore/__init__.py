"""Putting a snapshot back.

Here, from the outside in: `run` (the verb and the walk), `select` (which paths), `marker` (an interrupted restore is
known and goes on), `place` (one folder of the target, and what is in the way), `write` (a file's content, read ahead).
Not here: the target's file system (`snapstore.targets`).

Rules: nothing outside the target is written. A file appears under its name only whole, with every byte authenticated.
What the target cannot hold, and what is damaged, becomes a problem in the report, and everything else is restored."""

from __future__ import annotations

from .run import RestoreRequest, restore_snapshot

__all__ = ["RestoreRequest", "restore_snapshot"]
