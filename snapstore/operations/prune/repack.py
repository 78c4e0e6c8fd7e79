"""Writing what is needed of packs into new ones.

Here: `Repacker`. Not here: which packs (`plan`), and what becomes of the old ones.

Rules: blobs go word for word, with vouchers and child lists, under the maintenance key alone. All that is needed of a
pack is read and held against its stored hashes before any of it is written: a pack of which something is damaged stays
as it is. New packs and their index are in the store before the old ones are condemned.
"""

from __future__ import annotations

from ...blobs.packer import PackWriter
from ...blobs.sealer import SealedBlob
from ...format.index import IndexedPack
from ...stores.watched import watched
from ...types import Problem
from ..context import RepositoryContext
from ..marks import BlobMarks
from ..meter import Meter
from ..parity import new_sidecars
from ..reading import read_blobs
from .duplicates import damaged_blobs, is_there
from .survey import PackUse


class Repacker:
    """Writes new packs. Use it, then `close` it, whatever happened."""

    def __init__(self, context: RepositoryContext, meter: Meter) -> None:
        self.new: dict[str, int] = {}
        """The packs that were written, with their sizes."""
        self.problems: list[Problem] = []
        self.copied_bytes = 0
        self._context = context
        self._meter = meter
        self._index = context.index(refresh=False).index
        store = watched(context.store)
        self._writer = PackWriter(
            store,
            context.newest_maintenance(),
            context.config.repository_id,
            context.state.spool(),
            on_pack=self._on_pack,
            sidecars=new_sidecars(store),
        )

    @property
    def stored_bytes(self) -> int:
        """Bytes put into the store so far."""
        return self._writer.stored_bytes

    def repack(self, use: PackUse, kept: BlobMarks) -> bool:
        """Write anew what is needed of a pack; False if something of it cannot be read, and nothing was written."""
        entries = self._index.entries(use.name)
        wanted = [entries[position] for position in kept.positions(use.name)]
        blobs: list[SealedBlob] = []
        for whole, broken in read_blobs(self._context.store, use.name, use.size, wanted):
            self._meter.step()
            if broken and not is_there(self._context.store, use.name):
                return False
            if broken:
                self.problems.append(damaged_blobs(use.name, len(broken)))
                return False
            blobs += whole
        self._writer.add_many(blobs)
        size = sum([len(blob.stored) for blob in blobs])
        self.copied_bytes += size
        self._meter.step(size=size)
        return True

    def finish(self) -> None:
        """Store everything that is open, and its index."""
        self._writer.finish(self._meter.step)
        self.problems += [problem for problem in self._writer.problems if problem not in self.problems]

    def close(self) -> None:
        """Drop what is not stored."""
        self._writer.close()

    def _on_pack(self, pack: IndexedPack) -> None:
        self._index.add(pack)
        self.new[pack.name] = pack.pack_size
