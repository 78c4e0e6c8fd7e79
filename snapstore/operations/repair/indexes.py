"""Indexes that are damaged, wrong or missing, made again from packs' headers.

Here: `remedies_for_indexes`. Not here: packs that are damaged themselves (`packs`).

Rules (docs/format/06-packs.md): the new index objects are put before the bad ones are deleted. What the station kept of
the index is dropped where an object was wrong: it may hold what that said.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

from ...blobs.catalogue import read_pack_header
from ...blobs.lanes import each_side_by_side
from ...blobs.naming import put_named
from ...format.index import encode_index
from ...format.names import INDEX, object_path
from ...limits import INDEX_EVERY_PACKS
from ...types import Problem
from ..context import RepositoryContext
from .remedy import Remedy
from .survey import Survey, small_objects
from .vital import remove


def remedies_for_indexes(context: RepositoryContext, survey: Survey) -> Iterator[Remedy]:
    """Yield one remedy for each bad index object, or one for packs that no index names."""
    bad = list(small_objects(survey, INDEX))
    unnamed = set(survey.packs) - survey.indexed - set(survey.bad_packs)
    for name in bad:
        message = f"{name} is made again from the headers of the packs that no other index names, then deleted."
        yield Remedy("rebuild_index", name, message, partial(_rebuild, context, survey, name))
    if not bad and len(unnamed) > INDEX_EVERY_PACKS:
        message = f"{len(unnamed):,} packs that no index names get one, from their headers."
        yield Remedy("rebuild_index", INDEX, message, partial(_rebuild, context, survey, None))


def _rebuild(context: RepositoryContext, survey: Survey, bad: str | None) -> int:
    catalogue = context.catalogue()
    names = sorted(set(survey.packs) - survey.indexed - set(survey.bad_packs))
    problems: list[Problem] = []
    calls = [partial(read_pack_header, catalogue, name, survey.packs[name], problems) for name in names]
    packs = [pack for pack in each_side_by_side(context.store, calls) if pack is not None]
    keys, repository_id = context.newest_maintenance(), context.config.repository_id
    added = 0
    for at in range(0, len(packs), INDEX_EVERY_PACKS):
        data = encode_index(keys, repository_id, packs[at : at + INDEX_EVERY_PACKS])
        put_named(context.store, partial(object_path, INDEX), data)
        added += len(data)
    survey.indexed.update(pack.name for pack in packs)
    if bad is not None:
        remove(context, [bad])
    forget_index(context)
    return added


def forget_index(context: RepositoryContext) -> None:
    """Have the index read anew from the store, and from nothing that was kept of it."""
    with context._lock:
        context._index = None
    with contextlib.suppress(OSError):
        context.state.index_cache(context.config.repository_id, context.config.medium_id).forget()
