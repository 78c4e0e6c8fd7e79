"""Healing from the station's own files: the same content gives the same blobs.

Here: `sealing`, which makes of sources what `PackMender` calls. Not here: walking and sealing (`snapshot.resave`).

Rules: files go under the keys of a dossier only if a snapshot of that dossier has saved them, or what is above them,
unless it is the only dossier of the station here: nobody's files come under another's secret. What the last snapshot
left out is left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ...errors import InputError
from ...types import DossierId
from ..context import DossierContext, RepositoryContext
from ..history import History
from ..meter import Meter
from ..snapshot.resave import save_again
from .packs import SealLive


def sealing(sources: Sequence[str], here: Mapping[DossierId, tuple[DossierContext, History]]) -> SealLive | None:
    """Return what seals `sources` again; None without any. Raises InputError for a path that no dossier has saved."""
    if not sources:
        return None
    own = [item for item in here.values() if item[0].pin.keys]
    chosen: dict[DossierId, tuple[DossierContext, tuple[str, ...], list[str]]] = {}
    for path in (os.path.abspath(source) for source in sources):
        fitting = own if len(own) == 1 else [item for item in own if _has_saved(item[1], path)]
        if not fitting:
            raise InputError(f"No dossier of this station has saved {path}: nothing can be healed from it.")
        for dossier, history in fitting:
            excludes = next((item.text.excludes for item in history.manifests if item.text is not None), ())
            chosen.setdefault(dossier.id, (dossier, excludes, []))[2].append(path)

    def seal(context: RepositoryContext, meter: Meter) -> tuple[dict[str, int], int]:
        relied: dict[str, int] = {}
        added = 0
        for dossier, excludes, paths in chosen.values():
            packs, size = save_again(dossier, paths, excludes, context.index(refresh=False).index, meter)
            relied.update(packs)
            added += size
        return relied, added

    return seal


def _has_saved(history: History, path: str) -> bool:
    return any(
        _is_below(path, source) for item in history.manifests if item.text is not None for source in item.text.sources
    )


def _is_below(path: str, folder: str) -> bool:
    path, folder = os.path.normcase(path), os.path.normcase(os.path.abspath(folder))
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
