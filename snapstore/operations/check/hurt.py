"""Which files of a snapshot are hurt, where the keys of its dossier are at hand.

Here: `hurt_files`. Not here: which blobs are lost, and which trees lead to them (`reach`).

Rules: only what leads to something lost is opened. A folder whose own list of names is lost stands for all that was in
it, as a path with a slash at its end; how much that was, the part above it says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence, Set
from typing import Final

from ...blobs.reader import BlobReader
from ...crypto.blob import CHILD_PREFIX_BYTES
from ...crypto.keys import DossierKeys
from ...errors import DamageError
from ...format.tree import Chunk, DirectoryLeaf, DirectoryNode, TreeEntry
from ...types import PlainHash
from ..meter import Meter

PATHS_KEPT: Final = 1000


class HurtFiles:
    """Looks for hurt files in the snapshots of one dossier."""

    def __init__(self, reader: BlobReader, keys: Sequence[DossierKeys], hurt: Set[bytes], meter: Meter) -> None:
        """`hurt` are prefixes of what is lost and of the trees below which something is."""
        self._reader = reader
        self._domains = [domain for key in keys for domain in (key.own, key.shared) if domain is not None]
        self._hurt = hurt
        self._meter = meter

    def below(self, root: PlainHash) -> tuple[tuple[str, ...], int]:
        """Return the first paths and the count of all hurt files."""
        paths: list[str] = []
        count = 0
        waiting: list[tuple[PlainHash, bytes, int]] = [(root, b"", 1)]
        while waiting:
            self._meter.step()
            plain_hash, folder, entries = waiting.pop()
            (node,) = self._reader.load_nodes([plain_hash])
            if isinstance(node, DamageError):
                count += max(1, entries)
                paths.append(os.fsdecode(folder) + "/")
            elif isinstance(node, DirectoryNode):
                waiting.extend((part.h, folder, part.entries) for part in node.children if self._is_hurt(part.h))
            elif isinstance(node, DirectoryLeaf):
                for entry in node.entries:
                    path = folder + b"/" + entry.name if folder and entry.name else folder or entry.name
                    if entry.subtree is not None and self._is_hurt(entry.subtree[1]):
                        waiting.append((entry.subtree[1], path, (entry.totals or (0, 0))[0]))
                    if any(self._is_hurt(plain_hash) for plain_hash in _content_of(entry)):
                        count += 1
                        paths.append(os.fsdecode(path))
            del paths[PATHS_KEPT:]
        return tuple(sorted(set(paths))), count

    def _is_hurt(self, plain_hash: PlainHash) -> bool:
        return any(domain.address(plain_hash)[0][:CHILD_PREFIX_BYTES] in self._hurt for domain in self._domains)


def _content_of(entry: TreeEntry) -> Iterator[PlainHash]:
    if entry.slice is not None:
        yield entry.slice[0]
    if entry.chunk_tree is not None:
        yield entry.chunk_tree[1]
    if entry.xattrs_blob is not None:
        yield entry.xattrs_blob[0]
    for item in entry.chunks or ():
        if isinstance(item, Chunk):
            yield item.h
