"""Saving the content of sources without taking a snapshot: what a repair heals from.

Here: `save_again`. Not here: which sources, and what is lost (`operations.repair`).

Rules: the same content under the same keys has the same ids, so what is lost of a file comes back as long as the file
still is what it was. All files are read; what lies in usable packs is not stored again. No manifest is made: what no
snapshot needs of it the next prune removes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from ...blobs.index import BlobIndex
from ...blobs.reader import BlobReader
from ...blobs.saver import BlobSaver
from ...blobs.sealer import BlobSealer
from ...sources.excludes import ExcludeRules
from ...sources.layout import resolve_sources
from ...stores.cached import uncached
from ..context import DossierContext
from ..meter import Meter
from .folders import save_root
from .job import new_job, new_packs
from .reuse import Previous
from .walk import save_tree


def save_again(
    dossier: DossierContext, paths: Sequence[str], exclude: Sequence[str], index: BlobIndex, meter: Meter
) -> tuple[dict[str, int], int]:
    """Store what `index` has no usable copy of. Returns the packs that hold it all, with sizes, and the bytes added.

    Raises SourceMissingError, InputError, StoreError, OperationCancelledError."""
    context, keys = dossier.repository, dossier.epoch_keys()
    layout = resolve_sources(paths, allow_missing=False)
    for path in layout.sources:
        context.refuse_own(path, "save")
    medium = context.state.medium(context.config.repository_id, context.config.medium_id, dossier.id)
    with contextlib.ExitStack() as opened:
        reader = BlobReader(uncached(context.store), index, keys)
        opened.callback(reader.close)
        cache = medium.new_folders()
        opened.callback(lambda: cache.path.unlink(missing_ok=True))
        opened.callback(cache.close)
        before = opened.enter_context(contextlib.closing(medium.folders(None)))
        sealer = BlobSealer(keys, keys[0].maintenance_keys, context.config.repository_id)
        saver = opened.enter_context(BlobSaver(sealer, index, reader, set()))
        saver.start(new_packs(dossier, saver))
        rules = ExcludeRules(tuple(exclude))
        job = new_job(dossier, saver, Previous(before, cache, trusted=False), rules, meter)
        save_root(save_tree(layout.root, job, reader), job)
        saver.finish(meter.step)
        return dict(saver.relied), saver.stored_bytes
