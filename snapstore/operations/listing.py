"""Finding one snapshot by what a person calls it.

Here: "latest", "latest~2", ids and their beginnings. Not here: reading manifests (`history`).

Rules: "latest" means the newest confirmed snapshot, or the newest at all if none is confirmed; a number after "~"
counts from it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import AmbiguousError, SnapshotNotFoundError
from ..types import Snapshot
from .clones import see_medium
from .context import DossierContext
from .history import ReadManifest, history_look, read_history

_RELATIVE = re.compile(r"latest(?:~(\d{1,9}))?")
_ID_PART = re.compile(r"[0-9a-f]{4,32}")


def find_manifest(dossier: DossierContext, wanted: Snapshot | str) -> ReadManifest:
    """Return the manifest that `wanted` names. Raises SnapshotNotFoundError, AmbiguousError."""
    see_medium(dossier.repository)
    with history_look(dossier):
        return pick_manifest(read_history(dossier).manifests, wanted)


def pick_manifest(manifests: Sequence[ReadManifest], wanted: Snapshot | str) -> ReadManifest:
    """Return which of the manifests of a history `wanted` names. Raises SnapshotNotFoundError, AmbiguousError."""
    name = wanted if isinstance(wanted, str) else wanted.name
    relative = _RELATIVE.fullmatch(name)
    if relative is not None:
        candidates = [item for item in manifests if item.confirmed] or manifests
        steps = int(relative.group(1) or 0)
        if steps >= len(candidates):
            raise SnapshotNotFoundError(
                f"There is no snapshot {name!r}: the dossier has {len(candidates)}. List them to see their names."
            )
        return candidates[steps]
    lowered = name.lower()
    if not _ID_PART.fullmatch(lowered):
        raise SnapshotNotFoundError(
            f"{name!r} names no snapshot. Use latest, latest~1, or at least 4 digits of an id from the list."
        )
    found = [item for item in manifests if item.sealed.snapshot_id.hex().startswith(lowered)]
    if not found:
        raise SnapshotNotFoundError(f"No snapshot's id begins with {name!r}. List them to see their names.")
    if len(found) > 1:
        raise AmbiguousError(f"{len(found)} snapshots begin with {name!r}. Give more digits.")
    return found[0]
