"""Opening what snapshots hold, with the keys of their dossier: every h, every sum, every reference.

Here: `ContentCheck`, which walks the trees of a dossier's snapshots. Not here: what the maintenance key shows already
(`reach`), paths of what is hurt (`hurt`).

Rules: each node is opened once, however many snapshots share it, and again only where a parent says something else of
it. A node must be what its parent says: its level, what is below it, its last name. Its child list must name every blob
that it refers to, or a prune would delete what is needed. A data blob must have the size that the tree says; it is
opened where its pack was read in this check. What does not open is noted, and everything else is gone through.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

from ...blobs.index import BlobCopy, BlobIndex, find_prefixes
from ...blobs.reader import BlobReader
from ...crypto.blob import CHILD_PREFIX_BYTES
from ...crypto.derivation import digest
from ...crypto.keys import DossierKeys
from ...errors import DamageError, MissingObjectError
from ...format.names import pack_path
from ...format.tree import Chunk, ChunkItem, ChunkLeaf, ChunkNode, DirectoryLeaf, DirectoryNode, Node, TreeEntry
from ...limits import MIB
from ...stores.protocol import Store
from ...types import BlobId, PlainHash
from ..marks import BlobMarks
from ..meter import Meter
from .reach import References
from .report import Findings

_NODES_AT_ONCE: Final = 256
_BLOBS_AT_ONCE: Final = 4096
_BLOB_BYTES_AT_ONCE: Final = 32 * MIB
_LOADED_BYTES_AT_ONCE: Final = 4 * MIB


class Claim(NamedTuple):
    """What a parent says of a node."""

    h: PlainHash
    is_directory: bool
    level: int
    entries: int
    size: int
    last_name: bytes | None
    shared: bool
    """Of a chunk list: that its data blobs are in the shared domain."""

    @property
    def key(self) -> bytes:
        """Sixteen bytes by which it is known again."""
        facts = (self.is_directory, self.level, self.entries, self.size, self.last_name, self.shared)
        return digest(self.h + repr(facts).encode())[:16]


class DataReference(NamedTuple):
    """A data blob that a tree refers to."""

    h: PlainHash
    size: int
    shared: bool


class _Place(NamedTuple):
    """A blob and its copies, each with its position in its pack."""

    blob_id: BlobId
    copies: Sequence[tuple[int, BlobCopy]]


_NOWHERE: Final = _Place(BlobId(bytes(32)), ())


class ContentCheck:
    """Walks the snapshots of one dossier."""

    def __init__(  # noqa: PLR0913 - what it reads, what it compares with, and what it reports to
        self,
        store: Store,
        index: BlobIndex,
        keys: Sequence[DossierKeys],
        references: References,
        findings: Findings,
        meter: Meter,
        *,
        opened_packs: Container[str] = (),
    ) -> None:
        """Data blobs in `opened_packs` are opened too."""
        self._reader = BlobReader(store, index, keys)
        self._index = index
        self._own = [key.own for key in keys]
        self._shared = [key.shared for key in keys if key.shared is not None]
        self._references = references
        self._findings = findings
        self._meter = meter
        self._opened_packs = opened_packs
        self._seen: set[bytes] = set()
        self._opened = BlobMarks()
        self._waiting: dict[DataReference, tuple[str, int]] = {}
        self._waiting_bytes = 0
        self._workers = ThreadPoolExecutor(1, thread_name_prefix="snapstore-check")
        self._under_way: Future[list[tuple[DataReference, DamageError]]] | None = None

    def walk(self, root: PlainHash) -> None:
        """Go through a snapshot, but for what was gone through before. Raises StoreError, OperationCancelledError."""
        waiting = [Claim(root, True, 0, -1, -1, None, False)]
        while waiting:
            self._meter.step()
            some, waiting = waiting[-_NODES_AT_ONCE:], waiting[:-_NODES_AT_ONCE]
            new = {claim.key: claim for claim in some if claim.key not in self._seen}
            self._seen.update(new)
            claims = list(new.values())
            for claim, node in zip(claims, self._reader.load_nodes([claim.h for claim in claims]), strict=True):
                if isinstance(node, DamageError):
                    self._note(claim.h, node, shared=False)
                else:
                    waiting.extend(self._take(claim, node))

    def finish(self) -> None:
        """Open what waits."""
        self._open_waiting()
        self._collect()

    def close(self) -> None:
        """Let go of the store, whatever waits."""
        self._workers.shutdown(cancel_futures=True)
        self._reader.close()

    # --- nodes ---------------------------------------------------------------------------------------------------

    def _take(self, claim: Claim, node: Node) -> list[Claim]:
        """Compare a node with what its parent says and with its child list; return what it says of others."""
        nodes, data = list(_nodes_in(claim, node)), list(_data_in(claim, node))
        own = [item for item in data if not item.shared]
        shared = [item for item in data if item.shared]
        itself, *found = self._find([claim.h, *(item.h for item in nodes), *(item.h for item in own)])
        if shared:
            found += self._find([item.h for item in shared], shared=True)
        if not _fits(claim, node):
            message = "a part of a tree is not what the part above it says."
            self._damage("tree_sums_differ", itself, message, lost=False)
        wanted = {place.blob_id[:CHILD_PREFIX_BYTES] for place in found}
        if any(not wanted <= listed for listed in self._references.child_lists(itself.copies)):
            message = "a tree refers to more than its child list says: a prune might delete what it needs."
            self._damage("child_list_differs", itself, message, lost=False)
        for item, place in zip((*own, *shared), found[len(nodes) :], strict=True):
            self._check_size(item, place)
        return nodes

    def _check_size(self, item: DataReference, place: _Place) -> None:
        if not place.copies:
            return  # `reach` tells what is missing
        right = [(position, copy) for position, copy in place.copies if copy.entry.raw_size == item.size]
        if not right:
            self._damage("size_differs", place, "a piece of a file has not the size that the tree says.")
            return
        position, copy = right[0]
        if copy.pack in self._opened_packs and self._opened.add(copy.pack, position):
            self._waiting[item] = (copy.pack, copy.entry.offset)
            self._waiting_bytes += item.size
            if len(self._waiting) >= _BLOBS_AT_ONCE or self._waiting_bytes >= _BLOB_BYTES_AT_ONCE:
                self._open_waiting()

    # --- data ----------------------------------------------------------------------------------------------------

    def _open_waiting(self) -> None:
        """Have what waits opened, in another thread: most of it is done without the interpreter."""
        order = sorted(self._waiting, key=self._waiting.__getitem__)
        self._waiting, self._waiting_bytes = {}, 0
        self._collect()
        self._under_way = self._workers.submit(self._open_all, order)

    def _collect(self) -> None:
        """Wait for what is being opened, and note what did not open."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            for item, error in under_way.result():
                self._note(item.h, error, shared=item.shared)

    def _open_all(self, order: Sequence[DataReference]) -> list[tuple[DataReference, DamageError]]:
        failed: list[tuple[DataReference, DamageError]] = []
        for shared in (False, True):
            some: list[DataReference] = []
            size = 0
            for item in order:
                if item.shared == shared:
                    some.append(item)
                    size += item.size
                if size >= _LOADED_BYTES_AT_ONCE:
                    failed += self._open(some, shared=shared)
                    some, size = [], 0
            failed += self._open(some, shared=shared)
        return failed

    def _open(self, some: Sequence[DataReference], *, shared: bool) -> list[tuple[DataReference, DamageError]]:
        if not some:
            return []
        found = self._reader.load_many([item.h for item in some], shared=shared)
        return [(item, error) for item, error in zip(some, found, strict=True) if isinstance(error, DamageError)]

    # --- what was found ------------------------------------------------------------------------------------------

    def _find(self, plain_hashes: Sequence[PlainHash], *, shared: bool = False) -> list[_Place]:
        """Return the ids of blobs, under the keys under which they are there, and their copies."""
        domains = self._shared if shared else self._own
        found: list[_Place | None] = [None] * len(plain_hashes)
        for domain in domains:
            open_places = [at for at, place in enumerate(found) if place is None or not place.copies]
            if not open_places:
                break
            ids = [domain.address(plain_hashes[at])[0] for at in open_places]
            copies = find_prefixes(self._index, [blob_id[:CHILD_PREFIX_BYTES] for blob_id in ids])
            for at, blob_id, some in zip(open_places, ids, copies, strict=True):
                own = [item for item in some if item[1].entry.blob_id == blob_id]
                if own or found[at] is None:
                    found[at] = _Place(blob_id, own)
        return [place or _NOWHERE for place in found]

    def _note(self, plain_hash: PlainHash, error: DamageError, *, shared: bool) -> None:
        if not isinstance(error, MissingObjectError):  # `reach` tells what is missing, and names it
            (place,) = self._find([plain_hash], shared=shared)
            self._damage(error.code, place, f"a piece of it does not open to what was stored: {error}")

    def _damage(self, code: str, place: _Place, message: str, *, lost: bool = True) -> None:
        path = pack_path(place.copies[0][1].pack) if place.copies else ""
        self._findings.damage(code, path, f"{path}: {message}")
        if lost:
            self._references.condemned.add(place.blob_id[:CHILD_PREFIX_BYTES])


def _nodes_in(claim: Claim, node: Node) -> Iterator[Claim]:
    match node:
        case DirectoryNode():
            for part in node.children:
                yield Claim(part.h, True, node.level - 1, part.entries, part.bytes, part.last_name, False)
        case ChunkNode():
            for piece in node.children:
                yield Claim(piece.h, False, node.level - 1, -1, piece.bytes, None, claim.shared)
        case DirectoryLeaf():
            for entry in node.entries:
                if entry.subtree is not None:
                    entries, size = entry.totals or (0, 0)
                    yield Claim(entry.subtree[1], True, entry.subtree[0], entries, size, None, False)
                if entry.chunk_tree is not None:
                    level, h = entry.chunk_tree
                    yield Claim(h, False, level, -1, entry.size or 0, None, entry.shared)


def _data_in(claim: Claim, node: Node) -> Iterator[DataReference]:
    if isinstance(node, ChunkLeaf):
        yield from _chunks(node.items, shared=claim.shared)
    elif isinstance(node, DirectoryLeaf):
        for entry in node.entries:
            if entry.slice is not None:
                yield DataReference(entry.slice[0], entry.slice[2], False)
            if entry.chunks is not None:
                yield from _chunks(entry.chunks, shared=entry.shared)
            if entry.xattrs_blob is not None:
                yield DataReference(entry.xattrs_blob[0], entry.xattrs_blob[1], False)


def _chunks(items: Iterable[ChunkItem], *, shared: bool) -> Iterator[DataReference]:
    for item in items:
        if isinstance(item, Chunk):
            yield DataReference(item.h, item.size, shared)


def _fits(claim: Claim, node: Node) -> bool:
    """Tell whether a node is what its parent says. A snapshot's root has no parent: it is one folder without a name."""
    match node:
        case DirectoryLeaf():
            if claim.entries < 0:
                return len(node.entries) == 1 and not node.entries[0].name
            found = 0, sum(map(_entries_of, node.entries)), sum(map(_bytes_of, node.entries))
            last = node.entries[-1].name if node.entries else b""
        case DirectoryNode():
            found = node.level, sum(part.entries for part in node.children), sum(part.bytes for part in node.children)
            last = node.children[-1].last_name
        case ChunkLeaf():
            return (claim.is_directory, claim.level, claim.size) == (False, 0, sum(map(_size_of, node.items)))
        case ChunkNode():
            size = sum(piece.bytes for piece in node.children)
            return (claim.is_directory, claim.level, claim.size) == (False, node.level, size)
    same = claim.is_directory and (claim.level, claim.entries, claim.size) == found
    return same and claim.last_name in (None, last)


def _entries_of(entry: TreeEntry) -> int:
    return 1 + (entry.totals or (0, 0))[0]


def _bytes_of(entry: TreeEntry) -> int:
    return entry.totals[1] if entry.totals is not None else entry.size or 0


def _size_of(item: ChunkItem) -> int:
    return item.size * item.repeat if isinstance(item, Chunk) else item.size
