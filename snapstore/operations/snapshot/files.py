"""The content of files to blobs.

Here: inline content, bundles, chunks, chunk lists, holes, and the second reading of a file that changed meanwhile. Not
here: which files are saved, or what is unchanged.

Rules: each function ends in `pipeline.then`, which adds the entry to its folder when the hashes are known. A file that
changes while it is read is read once more; if it changes again, the last reading is kept and marked. OSError is for
the caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...blobs.trees import ChunkListBuilder
from ...chunking.choose import HEAD_BYTES, choose_cutter
from ...chunking.stream import chunk_stream
from ...format.tree import Chunk, ChunkItem, Hole
from ...limits import INLINE_CHUNKS_MAX, MIB, SHARED_MIN_FILE_BYTES
from ...sources.attributes import Attributes
from ...sources.directory import SourceDirectory
from ...sources.file import Gap, SourceFile
from ...sources.scanned import ScannedEntry
from ...types import EntryType, Problem
from .drafts import EntryDraft
from .folders import Folder
from .job import Job
from .pipeline import ChunkRef
from .reuse import signature_of

_BLOCK_BYTES = MIB


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file to be saved: where it is read, and where it goes. `name` differs from the scanned one for a named link."""

    directory: SourceDirectory
    scanned: ScannedEntry
    name: bytes
    folder: Folder


@dataclass(frozen=True, slots=True)
class _Content:
    """What was read of a small file."""

    task: FileTask
    data: bytes
    draft: EntryDraft
    changed: bool
    signature: bytes | None


def save_bundle(tasks: Sequence[FileTask], job: Job) -> None:
    """Read several small files and save them as one bundle (each inline if it is tiny)."""
    contents = []
    for task in tasks:
        content = _read_small(task, job)
        if content is not None:
            contents.append(content)
    bundled = [item for item in contents if len(item.data) > job.parameters.inline_max_bytes]
    reference = None
    if bundled:
        reference = job.pipeline.add_chunk(b"".join([item.data for item in bundled]), shared=False)
    offset = 0
    for item in contents:
        if len(item.data) > job.parameters.inline_max_bytes:
            assert reference is not None
            _add_slice(item, reference, offset, job)
            offset += len(item.data)
        else:
            _add_inline(item, job)


def save_large(task: FileTask, job: Job) -> None:
    """Save a file by chunks, once more if it changed meanwhile."""
    for _ in range(2):
        with task.directory.open_file(task.scanned) as file:
            attributes = task.directory.attributes(file.entry, file)
            attempt = _ChunkedFile(task, file.entry, job)
            attempt.read(file)
            changed = file.changed()
        if not changed:
            break
    if changed:
        job.report(changed_problem(task))
    attempt.finish(attributes, changed=changed)


def changed_problem(task: FileTask) -> Problem:
    """Return the problem of a file that would not hold still."""
    path = task.directory.path_of(task.scanned.name)
    return Problem(
        code="changed_while_read",
        path=path,
        message=f"{path} changed while it was read, twice; it was saved as it was read last.",
    )


def signature_for(scanned: ScannedEntry, job: Job, *, changed: bool, size: int) -> bytes | None:
    """Return the signature to remember, or None if it must not be trusted."""
    if changed or size != scanned.size or not scanned.settled(job.now_ns):
        return None
    return signature_of(scanned)


class _ChunkedFile:
    """One reading of a file, chunk by chunk."""

    def __init__(self, task: FileTask, opened: ScannedEntry, job: Job) -> None:
        self._task = task
        self._opened = opened
        self._job = job
        self._shared = job.sharing and opened.size >= SHARED_MIN_FILE_BYTES
        self._items: list[ChunkItem] = []
        self._last: ChunkItem | None = None
        self._builder: ChunkListBuilder | None = None
        self._references: list[ChunkRef] = []
        self.size = 0

    def read(self, file: SourceFile) -> None:
        """Read and hand over everything."""
        cutter = choose_cutter(self._task.name, file.read(0, HEAD_BYTES), self._job.cutters)
        for segment in file.segments():
            if isinstance(segment, Gap):
                self._add_hole(segment.size)
                self._job.meter.step(size=segment.size)
                continue
            blocks = file.blocks(segment.offset, segment.size, _BLOCK_BYTES)
            for chunk in chunk_stream(blocks, cutter):
                self._add_chunk(chunk)
                self._job.meter.step(size=len(chunk))
        self._job.counts.raw_bytes_read += self.size

    def finish(self, attributes: Attributes, *, changed: bool) -> None:
        """Add the entry to its folder, in its turn."""
        task, job = self._task, self._job
        signature = signature_for(self._opened, job, changed=changed, size=self.size)
        draft = EntryDraft(self._opened, task.name, EntryType.FILE)
        draft.describe(attributes, job, task.directory.path_of(task.scanned.name))

        def add() -> None:
            entry = draft.build(size=self.size, changed=changed, **self._content())
            task.folder.add(entry, signature, job.counts)

        job.pipeline.then(add, (*self._references[-1:], *draft.needs))

    def _add_chunk(self, chunk: bytes) -> None:
        self.size += len(chunk)
        reference = self._job.pipeline.add_chunk(chunk, shared=self._shared)
        self._references = [reference]
        self._job.pipeline.then(lambda: self._add(Chunk(reference.plain_hash, reference.size)), (reference,))

    def _add_hole(self, size: int) -> None:
        self.size += size
        self._job.pipeline.then(lambda: self._add(Hole(size)))

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

    def _content(self) -> dict[str, object]:
        """Return the fields that say where the content is."""
        self._pass_on()
        self._last = None
        if self._builder is not None:
            return {"chunk_tree": self._builder.finish(), "shared": self._shared}
        return {"chunks": tuple(self._items), "shared": self._shared} if self._items else {}


def _read_small(task: FileTask, job: Job) -> _Content | None:
    """Read a small file whole; one that has grown beyond small meanwhile is saved by chunks and gives None."""
    limit = job.parameters.bundle_file_max_bytes
    changed = False
    for _ in range(2):
        try:
            with task.directory.open_file(task.scanned) as file:
                data = file.read_all(limit + 1)
                opened = file.entry
                attributes = task.directory.attributes(opened, file)
                changed = file.changed()
        except OSError as error:
            report_unreadable(task, error, job)
            return None
        if not changed:
            break
    if len(data) > limit:
        save_or_report(task, job)
        return None
    if changed:
        job.report(changed_problem(task))
    draft = EntryDraft(opened, task.name, EntryType.FILE)
    draft.describe(attributes, job, task.directory.path_of(task.scanned.name))
    job.counts.raw_bytes_read += len(data)
    job.meter.step(size=len(data))
    return _Content(task, data, draft, changed, signature_for(opened, job, changed=changed, size=len(data)))


def save_or_report(task: FileTask, job: Job) -> None:
    """Save a file by chunks; one that cannot be read becomes a problem."""
    try:
        save_large(task, job)
    except OSError as error:
        report_unreadable(task, error, job)


def report_unreadable(task: FileTask, error: OSError, job: Job) -> None:
    """Note a file that cannot be read. It is not in the snapshot."""
    from ...sources.problems import problem_from_error

    job.report(problem_from_error(error, task.directory.path_of(task.scanned.name)))
    job.counts.files -= 1
    job.withdraw_first(task.scanned, task.folder.child_path(task.name))


def _add_inline(item: _Content, job: Job) -> None:
    content = {"inline": item.data} if item.data else {}

    def add() -> None:
        entry = item.draft.build(size=len(item.data), changed=item.changed, **content)
        item.task.folder.add(entry, item.signature, job.counts)

    job.pipeline.then(add, item.draft.needs)


def _add_slice(item: _Content, bundle: ChunkRef, offset: int, job: Job) -> None:
    def add() -> None:
        place = (bundle.plain_hash, offset, bundle.size)
        entry = item.draft.build(size=len(item.data), changed=item.changed, slice=place)
        item.task.folder.add(entry, item.signature, job.counts)

    job.pipeline.then(add, (bundle, *item.draft.needs))
