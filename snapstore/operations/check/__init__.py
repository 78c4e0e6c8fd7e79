"""Looking whether everything is there and what it was.

Here, from the outside in: `run` (the verb and the report), `objects` (each small object by itself), `structure`
(indexes and packs), `dossiers` (keysets, manifests, rosters, records), `found` (what these gave), `packs` and `data`
(packs, and which are due), `reach` (what snapshots need), `content` (with a dossier's keys), `hurt` (which files).
Not here: mending anything.

Rules: damage ends nothing; a store that fails does. Apart from a signed record of the result, nothing is written."""

from __future__ import annotations

from .run import CheckRequest, check_repository

__all__ = ["CheckRequest", "check_repository"]
