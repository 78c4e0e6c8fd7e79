"""The second look: what of all that was condemned may be deleted.

Here: `look_again`. Not here: condemning and deleting (`run`).

Rules (docs/format/11-protocol.md): the order is condemn, roots, packs, and none of it may be taken from an earlier
look. A pack is withdrawn that holds a needed copy unless the same copy lies in a pack that is listed with its size and
condemned by nobody, and that copy was read in this run, or written. To withdraw is not to delete: our condemn object
stays as it is until everything else that it names is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from ...blobs.index import find_prefixes
from ...blobs.segments import PREFIX_BYTES
from ..context import RepositoryContext
from ..marks import BlobMarks
from ..meter import Meter
from .condemn import read_condemned_by
from .duplicates import is_held
from .roots import Roots, read_roots
from .survey import Needs

_AT_ONCE: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """Copies that may stand for others: those in packs that this run wrote, and those that it read."""

    new: Collection[str]
    verified: BlobMarks

    def __contains__(self, place: tuple[str, int]) -> bool:
        return place[0] in self.new or place in self.verified


@dataclass(frozen=True, slots=True)
class Looked:
    """What the look gave."""

    roots: Roots
    withdrawn: frozenset[str]
    listed: dict[str, int]


def look_again(
    context: RepositoryContext,
    known: Roots,
    needs: Needs,
    own: tuple[frozenset[str], Collection[str]],
    trusted: Trusted,
    meter: Meter,
) -> Looked:
    """Return which of our condemned packs are needed. `own` are these packs, and the names of our condemn objects.

    Raises PruneRefusedError, UnsupportedFormatError, StoreError, OperationCancelledError."""
    mine, objects = own
    condemned = read_condemned_by(context, known.quarantined)
    lost = mine.union(*(packs for name, packs in condemned.items() if name not in objects))
    roots = read_roots(context, known)
    needs.follow(context, [root for group, root in roots.found.items() if group not in known.found], meter)
    loaded = context.index(refresh=True)
    sizes = {name: size for name, size, _ in loaded.index.packs()}

    def holds(pack: str, position: int) -> bool:
        size = sizes.get(pack)
        return pack not in lost and size is not None and loaded.listed.get(pack) == size and (pack, position) in trusted

    withdrawn = frozenset(pack for pack in mine if not _is_free(context, pack, needs.marks, holds))
    return Looked(roots, withdrawn, loaded.listed)


def _is_free(context: RepositoryContext, pack: str, marks: BlobMarks, holds: Callable[[str, int], bool]) -> bool:
    """Tell whether all that is needed of a pack is held elsewhere."""
    positions = list(marks.positions(pack))
    if not positions:
        return True
    index = context.index(refresh=False).index
    entries = index.entries(pack)
    for at in range(0, len(positions), _AT_ONCE):
        wanted = [entries[position] for position in positions[at : at + _AT_ONCE]]
        found = find_prefixes(index, [entry.blob_id[:PREFIX_BYTES] for entry in wanted])
        if not all(is_held(copies, entry, holds) for copies, entry in zip(found, wanted, strict=True)):
            return False
    return True
