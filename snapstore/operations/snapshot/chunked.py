"""The content of larger files to blobs: chunks, chunk lists, holes.

Here: files of up to MEDIUM_MAX_BYTES read whole, several in one call; larger ones and sparse ones block by block. Not
here: small files (`files`), which files are saved, or what is unchanged.

Rules: as in `files`. What waits for hashes is handed to the pipeline in groups: an action for each chunk of a database
of 16 KiB pages would cost more than its sealing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...blobs.trees import ChunkListBuilder
from ...chunking.choose import HEAD_BYTES, choose_cutter
from ...chunking.stream import chunk_stream
from ...format.tree import Chunk, ChunkItem, Hole
from ...limits import INLINE_CHUNKS_MAX, MIB, SHARED_MIN_FILE_BYTES
from ...sources.attributes import Attributes
from ...sources.file import Gap, SourceFile
from ...sources.scanned import ScannedEntry
from ...types import BlobId, EntryType
from .drafts import EntryDraft
from .files import Content, FileTask, changed_problem, read_whole, report_unreadable, signature_for
from .job import Job
from .pipeline import ChunkRef

MEDIUM_MAX_BYTES: Final = MIB
_BLOCK_BYTES: Final = MIB
_GROUP_CHUNKS: Final = 64


def save_medium(tasks: Sequence[FileTask], job: Job) -> None:
    """Read files of one folder, at most about 1 MiB together, and save each by chunks."""
    contents, grown = read_whole(tasks, MEDIUM_MAX_BYTES, job)
    for content in contents:
        task = content.task
        attempt = _ChunkedFile(task, content.task.scanned, job, shared=is_shared(len(content.data), job))
        attempt.cut(content.data)
        attempt.finish_read(content._replace(data=b""))  # it waits for the hashes: the chunks have the bytes
    for task in grown:
        save_or_report(task, job)


def save_large(task: FileTask, job: Job) -> None:
    """Save a file by chunks, once more if it changed meanwhile."""
    for _ in range(2):
        with task.directory.open_file(task.scanned) as file:
            attributes = task.directory.attributes(file.entry, file)
            attempt = _ChunkedFile(task, file.entry, job, shared=is_shared(file.entry.size, job))
            attempt.read(file)
            changed = file.changed()
        if not changed:
            break
    if changed:
        job.report(changed_problem(task))
    attempt.finish(attributes, changed=changed)


def save_or_report(task: FileTask, job: Job) -> None:
    """Save a file by chunks; one that cannot be read becomes a problem."""
    try:
        save_large(task, job)
    except OSError as error:
        report_unreadable(task, error, job)


def is_shared(size: int, job: Job) -> bool:
    """Tell whether a file of that size goes into the domain that all dossiers share."""
    return job.sharing and size >= SHARED_MIN_FILE_BYTES


class ChunkedContent:
    """The chunks of one file on their way, and the list that is built of them meanwhile."""

    def __init__(self, job: Job, *, shared: bool) -> None:
        self._job = job
        self._shared = shared
        self._group: list[ChunkRef] = []
        self._items: list[ChunkItem] = []
        self._last: ChunkItem | None = None
        self._builder: ChunkListBuilder | None = None
        self.size = 0

    def add_chunk(self, chunk: bytes) -> None:
        """Hand over the next chunk."""
        self.size += len(chunk)
        self._group.append(self._job.pipeline.add_chunk(chunk, shared=self._shared))
        if len(self._group) >= _GROUP_CHUNKS:
            self._hand_over()

    def add_hole(self, size: int) -> None:
        """Have a hole follow."""
        self.size += size
        self._hand_over()
        self._job.pipeline.then(lambda: self._add(Hole(size)))

    def take_rest(self) -> Sequence[ChunkRef]:
        """Return what the end of the file waits for; `finish_content` wants it when that is hashed."""
        group, self._group = self._group, []
        return group

    def finish_content(self, rest: Sequence[ChunkRef]) -> tuple[dict[str, object], list[BlobId]]:
        """Return the fields that say where the content is, and the blobs that they name."""
        self._add_group(rest)
        self._pass_on()
        self._last = None
        saver = self._job.saver
        if self._builder is not None:
            root = self._builder.finish()
            return {"chunk_tree": root, "shared": self._shared}, [saver.blob_id(root[1], shared=False)]
        if not self._items:
            return {}, []
        children = [saver.blob_id(item.h, shared=self._shared) for item in self._items if isinstance(item, Chunk)]
        return {"chunks": tuple(self._items), "shared": self._shared}, children

    def _hand_over(self) -> None:
        group, self._group = self._group, []
        if group:
            self._job.pipeline.then(lambda: self._add_group(group), group)

    def _add_group(self, group: Sequence[ChunkRef]) -> None:
        for reference in group:
            self._add(Chunk(reference.plain_hash, reference.size))

    def _add(self, item: ChunkItem) -> None:
        """Join equal neighbours; pass on the one before."""
        last = self._last
        if isinstance(item, Chunk) and isinstance(last, Chunk) and item.h == last.h:
            self._last = Chunk(item.h, item.size, last.repeat + 1)
        elif isinstance(item, Hole) and isinstance(last, Hole):
            self._last = Hole(last.size + item.size)
        else:
            self._pass_on()
            self._last = item

    def _pass_on(self) -> None:
        if self._last is None:
            return
        if self._builder is None and len(self._items) < INLINE_CHUNKS_MAX:
            self._items.append(self._last)
            return
        if self._builder is None:
            saver = self._job.saver
            self._builder = ChunkListBuilder(saver.save_tree, lambda h: saver.blob_id(h, shared=False))
            for item in self._items:
                self._build(item)
            self._items.clear()
        self._build(self._last)

    def _build(self, item: ChunkItem) -> None:
        assert self._builder is not None
        blob_id = self._job.saver.blob_id(item.h, shared=self._shared) if isinstance(item, Chunk) else None
        self._builder.add_chunk_item(item, blob_id)


class _ChunkedFile(ChunkedContent):
    """One reading of a file, chunk by chunk."""

    def __init__(self, task: FileTask, opened: ScannedEntry, job: Job, *, shared: bool) -> None:
        super().__init__(job, shared=shared)
        self._task = task
        self._opened = opened

    def read(self, file: SourceFile) -> None:
        """Read and hand over everything."""
        step = self._job.meter.step
        step(current=self._task.directory.path_of(self._task.scanned.name))
        cutter = choose_cutter(self._task.name, file.read(0, HEAD_BYTES), self._job.cutters)
        for segment in file.segments():
            if isinstance(segment, Gap):
                self.add_hole(segment.size)
                step(size=segment.size)
                continue
            told = self.size
            blocks = file.blocks(segment.offset, segment.size, _BLOCK_BYTES)
            for chunk in chunk_stream(blocks, cutter):
                self.add_chunk(chunk)
                if self.size - told >= _BLOCK_BYTES:
                    step(size=self.size - told)
                    told = self.size
            step(size=self.size - told)
        self._job.counts.raw_bytes_read += self.size

    def cut(self, data: bytes) -> None:
        """Hand over a whole file that is in memory."""
        if not data:
            return
        start = 0
        for end in choose_cutter(self._task.name, data[:HEAD_BYTES], self._job.cutters).cuts(data, final=True):
            self.add_chunk(data[start:end])
            start = end

    def finish(self, attributes: Attributes, *, changed: bool) -> None:
        """Add the entry to its folder, in its turn."""
        task, job = self._task, self._job
        task.folder.expect(task.scanned, self._opened)
        draft = EntryDraft(self._opened, task.name, EntryType.FILE, attributes).check(job, task.directory)
        signature = signature_for(self._opened, job, doubtful=changed or draft.lacking, size=self.size)
        self.finish_read(Content(task, b"", self.size, draft, changed, signature))

    def finish_read(self, content: Content) -> None:
        """Add the entry to its folder, in its turn; `content` comes without its data."""
        task, job, draft = self._task, self._job, content.draft
        rest = self.take_rest()

        def add() -> None:
            fields, children = self.finish_content(rest)
            if draft.needs:
                children.append(job.saver.blob_id(draft.needs[0].plain_hash, shared=False))
            entry = draft.build(size=self.size, changed=content.changed, **fields)
            task.folder.add(entry, content.signature, children, job.counts)

        job.pipeline.then(add, (*rest, *draft.needs))
