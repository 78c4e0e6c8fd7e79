"""The content of files from one repository to another.

Here: `ContentCopier`: which files of a folder go together, which need not be read, and reading the others. Not here:
the walk (`replay`).

Rules: small files are bundled, larger ones cut, as in a snapshot of the files themselves (docs/format/10-chunking.md);
holes stay holes. Content is checked against the sizes that the tree gives, and every blob against its h, when it is
read. A file, or all files of a bundle, whose content is where it was in the snapshot before, is taken from the copy of
that. About 2 MiB are read at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

from ...blobs.reader import BlobReader
from ...chunking.bundles import plan_bundles
from ...chunking.choose import HEAD_BYTES, choose_cutter
from ...chunking.cutters import Cutter
from ...chunking.stream import chunk_stream
from ...errors import DamagedObjectError, DamageError
from ...format.tree import Chunk, ChunkItem, Hole, TreeEntry
from ...limits import MIB
from ...types import EntryType, PlainHash
from ..restore.loading import TreeLoader
from ..snapshot.chunked import ChunkedContent, is_shared
from ..snapshot.folders import Folder, children_of
from ..snapshot.job import Job
from ..snapshot.pipeline import ChunkRef

Entries: TypeAlias = Mapping[bytes, tuple[TreeEntry, TreeEntry]]
"""What a folder held in the snapshot before: by name, the source's entry and the copy's."""
Fields: TypeAlias = dict[str, Any]

_GROUP_BYTES: Final = 2 * MIB
_NO_CONTENT: Final[Fields] = {"inline": None, "slice": None, "chunks": None, "chunk_tree": None, "shared": False}


class ContentCopier:
    """Saves what is in folders besides folders, one folder at a time."""

    def __init__(self, reader: BlobReader, loader: TreeLoader, job: Job) -> None:
        self._reader = reader
        self._loader = loader
        self._job = job
        self._bundles: dict[PlainHash, bytes] = {}  # of the source: those that the last bundle was made of

    def save(self, folder: Folder, entries: Sequence[TreeEntry], before: Entries) -> None:
        """Save `entries`, which are of `folder`, by rising name. Raises DamageError."""
        limits = self._job.parameters
        small: list[TreeEntry] = []
        for entry in entries:
            size = entry.size or 0
            if entry.type is not EntryType.FILE:
                self._add(folder, entry, before, dict)
            elif size > limits.bundle_file_max_bytes or _has_holes(entry):
                self._save_chunked(folder, entry, before)
            elif size > limits.inline_max_bytes:
                small.append(entry)
            else:
                self._save_inline(folder, entry, before)
        self._save_bundles(folder, small, before)
        self._job.meter.step(files=len(entries))

    def save_attributes(self, entry: TreeEntry) -> ChunkRef:
        """Hand over extended attributes that have a blob of their own. Raises DamageError."""
        assert entry.xattrs_blob is not None
        plain_hash, size = entry.xattrs_blob
        data = self._reader.load(plain_hash)
        if len(data) != size:
            raise _wrong_size()
        return self._job.pipeline.add_chunk(data, shared=False)

    def _add(
        self,
        folder: Folder,
        entry: TreeEntry,
        before: Entries,
        content: Callable[[], Fields],
        needs: Sequence[ChunkRef] = (),
    ) -> None:
        """Add an entry in its turn: with the content that `content` gives then, everything else as it is."""
        job, attributes = self._job, self._attributes(entry, before)
        own_needs = (attributes,) if isinstance(attributes, ChunkRef) else ()

        def add() -> None:
            stored = (attributes.plain_hash, attributes.size) if isinstance(attributes, ChunkRef) else attributes
            whole = entry._replace(**{**_NO_CONTENT, **content(), "xattrs_blob": stored})
            folder.add(whole, None, children_of(whole, job), job.counts)

        job.pipeline.then(add, (*needs, *own_needs))

    def _attributes(self, entry: TreeEntry, before: Entries) -> ChunkRef | tuple[PlainHash, int] | None:
        if entry.xattrs_blob is None:
            return None
        known = before.get(entry.name)
        if known is not None and known[0].xattrs_blob == entry.xattrs_blob:
            return known[1].xattrs_blob
        return self.save_attributes(entry)

    # --- small files ---------------------------------------------------------------------------------------------

    def _save_inline(self, folder: Folder, entry: TreeEntry, before: Entries) -> None:
        data = self._small(entry)
        self._add(folder, entry, before, lambda: {"inline": data} if data else {})
        self._job.meter.step(size=len(data))

    def _save_bundles(self, folder: Folder, entries: Sequence[TreeEntry], before: Entries) -> None:
        limits = self._job.parameters
        plan = plan_bundles(
            [entry.name for entry in entries],
            [entry.size or 0 for entry in entries],
            key=self._job.bundle_cut_key,
            minimum=limits.bundle_min_bytes,
            mean=limits.bundle_mean_bytes,
            maximum=limits.bundle_max_bytes,
        )
        for positions in plan:
            bundle = entries[positions.start : positions.stop]
            size = sum(entry.size or 0 for entry in bundle)
            known = _bundle_before(bundle, size, before)
            if known is not None:
                self._add_bundle(folder, bundle, before, lambda known=known: known, size)  # type: ignore[misc]
            else:
                self._load_bundles([entry.slice[0] for entry in bundle if entry.slice is not None])
                data = b"".join([self._small(entry) for entry in bundle])
                reference = self._job.pipeline.add_chunk(data, shared=False)
                self._add_bundle(folder, bundle, before, lambda ref=reference: ref.plain_hash, size, (reference,))  # type: ignore[misc]
            self._job.meter.step(size=size)

    def _add_bundle(
        self,
        folder: Folder,
        bundle: Sequence[TreeEntry],
        before: Entries,
        plain_hash: Callable[[], PlainHash],
        size: int,
        needs: Sequence[ChunkRef] = (),
    ) -> None:
        offset = 0
        for entry in bundle:
            self._add(folder, entry, before, _slice_of(plain_hash, offset, size), needs)
            offset += entry.size or 0

    def _small(self, entry: TreeEntry) -> bytes:
        """Return the content of a small file, however the source holds it."""
        if entry.slice is not None:
            plain_hash, offset, bundle_size = entry.slice
            bundle = self._bundles.get(plain_hash) or self._reader.load(plain_hash)
            if len(bundle) != bundle_size:
                raise _wrong_size()
            data = bundle[offset : offset + (entry.size or 0)]
        elif entry.chunks is not None or entry.chunk_tree is not None:
            data = b"".join(self._blocks(entry, self._loader.items(entry)))
        else:
            data = entry.inline or b""
        if len(data) != entry.size:
            raise _wrong_size()
        return data

    def _load_bundles(self, plain_hashes: Iterable[PlainHash]) -> None:
        """Have these bundles of the source at hand, and no others."""
        wanted = list(dict.fromkeys(plain_hashes))
        missing = [item for item in wanted if item not in self._bundles]
        loaded = dict(zip(missing, self._reader.load_many(missing), strict=True)) if missing else {}
        self._bundles = {
            item: bytes(_or_raise(loaded[item])) if item in loaded else self._bundles[item] for item in wanted
        }

    # --- larger files --------------------------------------------------------------------------------------------

    def _save_chunked(self, folder: Folder, entry: TreeEntry, before: Entries) -> None:
        known = before.get(entry.name)
        if known is not None and _is_same_content(entry, known[0]):
            copy = known[1]
            if copy.chunks is not None or copy.chunk_tree is not None:
                fields = {"chunks": copy.chunks, "chunk_tree": copy.chunk_tree, "shared": copy.shared}
                self._add(folder, entry, before, lambda: fields)
                self._job.meter.step(size=entry.size or 0)
                return
        content = ChunkedContent(self._job, shared=is_shared(entry.size or 0, self._job))
        self._cut(entry, content)
        if content.size != entry.size:
            raise _wrong_size()
        rest = content.take_rest()
        self._add(folder, entry, before, lambda: content.finish_content(rest)[0], rest)

    def _cut(self, entry: TreeEntry, content: ChunkedContent) -> None:
        """Hand over everything: each stretch between holes is cut by itself."""
        cutter: Cutter | None = None
        for stretch in _stretches(self._loader.items(entry)):
            if isinstance(stretch, Hole):
                content.add_hole(stretch.size)
                if cutter is None:
                    cutter = choose_cutter(entry.name, bytes(min(stretch.size, HEAD_BYTES)), self._job.cutters)
                self._job.meter.step(size=stretch.size)
                continue
            blocks = self._blocks(entry, stretch)
            if cutter is None:
                head, blocks = _peek(blocks)
                cutter = choose_cutter(entry.name, head, self._job.cutters)
            told = content.size
            for chunk in chunk_stream(blocks, cutter):
                content.add_chunk(chunk)
                if content.size - told >= MIB:
                    self._job.meter.step(size=content.size - told)
                    told = content.size
            self._job.meter.step(size=content.size - told)

    def _blocks(self, entry: TreeEntry, items: Iterator[ChunkItem]) -> Iterator[bytes]:
        """Yield what chunks hold, holes as zero bytes, reading some chunks at a time."""
        group: list[Chunk] = []
        size = 0
        for item in items:
            if isinstance(item, Hole):
                yield from self._loaded(entry, group)
                group, size = [], 0
                yield bytes(item.size)
                continue
            group.append(item)
            size += item.size
            if size >= _GROUP_BYTES:
                yield from self._loaded(entry, group)
                group, size = [], 0
        yield from self._loaded(entry, group)

    def _loaded(self, entry: TreeEntry, chunks: Sequence[Chunk]) -> Iterator[bytes]:
        hashes = list(dict.fromkeys(chunk.h for chunk in chunks))
        loaded = dict(zip(hashes, self._reader.load_many(hashes, shared=entry.shared), strict=True)) if hashes else {}
        for chunk in chunks:
            data = bytes(_or_raise(loaded[chunk.h]))
            if len(data) != chunk.size:
                raise _wrong_size()
            for _ in range(chunk.repeat):
                yield data


def _has_holes(entry: TreeEntry) -> bool:
    """Whether a file has holes that its entry shows: one with a chunk list is large, and looked through anyway."""
    return entry.chunks is not None and any(isinstance(item, Hole) for item in entry.chunks)


def _is_same_content(entry: TreeEntry, other: TreeEntry) -> bool:
    def content(item: TreeEntry) -> tuple[object, ...]:
        return item.size, item.inline, item.slice, item.chunks, item.chunk_tree, item.shared

    return content(entry) == content(other)


def _bundle_before(bundle: Sequence[TreeEntry], size: int, before: Entries) -> PlainHash | None:
    """Return the bundle of the copy before, if it has just these files in this order."""
    offset, found = 0, None
    for entry in bundle:
        known = before.get(entry.name)
        if known is None or known[1].slice is None or not _is_same_content(entry, known[0]):
            return None
        plain_hash, at, bundle_size = known[1].slice
        if (at, bundle_size) != (offset, size) or found not in (None, plain_hash):
            return None
        found = plain_hash
        offset += entry.size or 0
    return found


def _slice_of(plain_hash: Callable[[], PlainHash], offset: int, size: int) -> Callable[[], Fields]:
    return lambda: {"slice": (plain_hash(), offset, size)}


def _stretches(items: Iterator[ChunkItem]) -> Iterator[Hole | Iterator[ChunkItem]]:
    """Yield holes, and what lies between them; each is to be used up before the next."""
    for item in items:
        if isinstance(item, Hole):
            yield item
            continue
        held: list[Hole] = []
        yield _until_hole(item, items, held)
        yield from held


def _until_hole(first: Chunk, items: Iterator[ChunkItem], held: list[Hole]) -> Iterator[ChunkItem]:
    yield first
    for item in items:
        if isinstance(item, Hole):
            held.append(item)
            return
        yield item


def _peek(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, and all blocks."""
    first: list[bytes] = []
    size = 0
    for block in blocks:
        first.append(block)
        size += len(block)
        if size >= HEAD_BYTES:
            break
    return b"".join(first)[:HEAD_BYTES], chain(first, blocks)


def _or_raise(data: bytes | memoryview | DamageError) -> bytes | memoryview:
    if isinstance(data, DamageError):
        raise data
    return data


def _wrong_size() -> DamagedObjectError:
    return DamagedObjectError("A piece of a file has not the size that the snapshot says.", code="damaged_blob")
