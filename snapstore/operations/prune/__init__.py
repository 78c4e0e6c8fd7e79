"""Deleting what no snapshot needs.

Here, from the outside in: `run` (the order of things), `survey` (what is needed of which pack), `roots` (what counts as
a snapshot, and what stops a prune), `plan` (which packs go, which are written anew), `duplicates` (copies that need not
all stay), `repack`, `condemn`, `look` (the second look, which alone decides what is deleted), `indexes` and `leftovers`
(what is put in order besides).

Rules (docs/format/11-protocol.md): the maintenance key is enough. First condemn, then look, then delete; whatever
cannot be read stops everything. An interruption at any point costs work and never data, and the next run ends it.
"""

from __future__ import annotations

from .run import options_of, plan_prune, prune

__all__ = ["options_of", "plan_prune", "prune"]
