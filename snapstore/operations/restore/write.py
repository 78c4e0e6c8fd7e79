"""Files' content: loaded and written by worker threads, told in order.

Here: `ContentWriter`: which work goes to a worker when, and large files, whose parts are written wherever they belong
as they come. Not here: what a worker does with a batch of small files (`batch`), which files there are, or what is made
of the results (`entries`).

Rules: a worker gets a megabyte or more of work at a time, since threads that pass small things to and fro only wait
for each other. What is under way is bounded, so memory is too. What a remote store has to give for it is asked for as
soon as it is known. Results come in the order in which files were added, in the caller's thread. The first file is
waited for: a target that takes nothing is known at once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from ...blobs.lanes import wait_for
from ...blobs.reader import BlobReader, Located
from ...blobs.unsealing import Plaintext
from ...errors import DamagedObjectError, DamageError, TargetError
from ...format.tree import Chunk, ChunkItem, TreeEntry
from ...limits import MIB
from ...targets.attributes import FileAttributes
from ...targets.directory import TargetDirectory
from ...targets.files import TargetFile
from ...targets.many import hold_open, let_go
from ...types import PlainHash
from .batch import Batch, NewFiles, Result, SmallFile, Written
from .losses import LostPart, LostRange, is_all, joined, without_time
from .place import Place

_BATCH_BYTES: Final = MIB
_BATCH_FILES: Final = 512
_BATCH_GROUPS: Final = 24  # each holds a folder open
_FIRST_BATCH_FILES: Final = 1
_PART_BYTES: Final = 2 * MIB
_PIECES_EACH: Final = 1024  # of one chunk that is repeated; else it is copied so often
_MAX_WORKERS: Final = 4
_WAITING_TASKS: Final = 2  # beyond those that the workers are at
_WAITING_FAR_BATCHES: Final = 4  # while what they need comes from a remote store; each may hold many folders open
_WAITING_FAR_TASKS: Final = 24  # so that wishes always wait; a part holds about 100 KB of what is known of its chunks


@dataclass(slots=True, eq=False)
class LargeFile:
    """A file that is written in parts."""

    place: Place
    directory: TargetDirectory
    entry: TreeEntry
    name: bytes
    attributes: FileAttributes
    replace: bool
    partial: bool = False
    """What is lost of it may be zeros."""
    written: int = 0
    """Bytes so far, holes not counted."""
    file: TargetFile | None = None
    failure: DamageError | TargetError | None = None
    lost: list[LostRange] = field(default_factory=list)
    lost_by: DamageError | None = None
    """Why the first of these is lost."""

    def lose(self, position: int, size: int, error: DamageError) -> None:
        """Leave zeros in a place. Raises DamageError if the file must be whole, TargetError."""
        if not self.partial or self.file is None:
            raise error
        self.file.fill_hole(position, size)
        self.lost.append((position, size))
        self.lost_by = self.lost_by or error


class _Part(NamedTuple):
    """Chunks of a large file that lie one after the other, and where the first begins."""

    large: LargeFile
    position: int
    chunks: list[Chunk]
    hashes: list[PlainHash]
    """Of the chunks, each once."""
    located: Located | None


AnyFiles: TypeAlias = SmallFile | NewFiles | LargeFile
Results: TypeAlias = list[Result] | None
"""One for each file; None if all NewFiles went well."""
_Task: TypeAlias = tuple[Batch, Future[list[Results]]] | tuple[_Part, Future[None]] | tuple[LargeFile, None]


class ContentWriter:
    """Writes files from blobs. A context manager.

    `done` hears of each file when it is over, `part_done` of the bytes of large ones meanwhile, both in the caller's
    thread."""

    def __init__(
        self, reader: BlobReader, done: Callable[[AnyFiles, Results], None], part_done: Callable[[int], None]
    ) -> None:
        self._reader = reader
        self._done = done
        self._part_done = part_done
        self._workers_count = min(_MAX_WORKERS, max(2, os.cpu_count() or 2))
        self._workers = ThreadPoolExecutor(self._workers_count, thread_name_prefix="snapstore-restore")
        far = reader.reads_ahead
        self._most_batches = self._workers_count + (_WAITING_FAR_BATCHES if far else _WAITING_TASKS)
        self._most_tasks = self._workers_count + (_WAITING_FAR_TASKS if far else _WAITING_TASKS)
        self._batches = 0
        self._tasks: deque[_Task] = deque()
        self._begun: LargeFile | None = None
        self._batch = Batch()
        self._batch_files = _FIRST_BATCH_FILES
        self._bundle: PlainHash | None = None

    def __enter__(self) -> ContentWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *failure: object) -> None:
        if kind is not None:
            self._reader.close()  # workers that wait for a server end at once
        self._workers.shutdown(wait=True, cancel_futures=True)
        under_way: list[Batch | _Part | LargeFile] = [work for work, _ in self._tasks]
        if self._begun is not None:
            under_way.append(self._begun)
        for work in under_way:
            large = work.large if isinstance(work, _Part) else work
            if isinstance(large, LargeFile) and large.file is not None:
                large.file.discard()
        self._tasks.clear()

    def add_small(self, file: SmallFile) -> None:
        """Write a small file, soon."""
        self._make_room(file.entry)
        self._batch.groups.append(file)

    def add_new(self, place: Place, directory: TargetDirectory, entries: Iterable[TreeEntry]) -> None:
        """Write small files under their own names, soon. Each group of them that `done` hears of counts in `place`."""
        group: NewFiles | None = None
        for entry in entries:
            if self._make_room(entry) or group is None:
                group = NewFiles(place, directory, [])
                hold_open(directory)
                place.unfinished += 1
                self._batch.groups.append(group)
            group.entries.append(entry)

    def _make_room(self, entry: TreeEntry) -> bool:
        """Count a file in; True if a new batch was begun for it, which a bundle's files are not torn apart by."""
        batch = self._batch
        bundle = None if entry.slice is None else entry.slice[0]
        full = batch.size >= _BATCH_BYTES or batch.count >= self._batch_files or len(batch.groups) >= _BATCH_GROUPS
        begin = full and (bundle is None or bundle != self._bundle)
        if begin:
            self._submit_batch()
            batch = self._batch
        self._bundle = bundle or self._bundle
        batch.count += 1
        batch.size += entry.size or 0
        return begin

    def add_large(self, large: LargeFile, items: Iterator[ChunkItem | LostPart]) -> None:
        """Write a file of many chunks, or with holes."""
        self._submit_batch()
        self._begun = large
        try:
            large.file = large.directory.new_file(large.name)
            size = self._add_parts(large, large.file, items)
            if size != (large.entry.size or 0):
                raise DamagedObjectError("The file's parts do not add up to its size.", code="damaged_tree")
        except (DamageError, TargetError) as error:  # of a node of the chunk list, or of the target
            large.failure = large.failure or error
        self._tasks.append((large, None))
        self._begun = None
        self._trim()

    def drain(self) -> None:
        """Write everything that is on its way."""
        self._submit_batch()
        while self._tasks:
            self._finish_oldest()

    # --- what goes to the workers --------------------------------------------------------------------------------

    def _submit_batch(self) -> None:
        batch = self._batch
        if not batch.groups:
            return
        self._batch = Batch()
        batch.plan(self._reader)
        self._tasks.append((batch, self._workers.submit(batch.run, self._reader)))
        self._batches += 1
        if self._batch_files < _BATCH_FILES:
            self._finish_oldest()
            self._batch_files = _BATCH_FILES
        self._trim()

    def _add_parts(self, large: LargeFile, file: TargetFile, items: Iterator[ChunkItem | LostPart]) -> int:
        """Hand out the chunks; returns the size of all of them."""
        position = start = 0
        chunks: list[Chunk] = []
        for item in _in_short_runs(items):
            if large.failure is not None:
                break
            if isinstance(item, Chunk):
                size = item.size * item.repeat
                chunks.append(item)
                position += size
            if not isinstance(item, Chunk) or position - start >= _PART_BYTES:
                self._submit_part(large, start, chunks)
                chunks, start = [], position
            if not isinstance(item, Chunk):
                if isinstance(item, LostPart):
                    large.lose(position, item.size, _unreadable_list())
                else:
                    file.fill_hole(position, item.size)
                start = position = position + item.size
        self._submit_part(large, start, chunks)
        file.end_at(position)
        return position

    def _submit_part(self, large: LargeFile, position: int, chunks: list[Chunk]) -> None:
        if chunks:
            hashes = list(dict.fromkeys(chunk.h for chunk in chunks))
            located = self._reader.prefetch(hashes, shared=large.entry.shared, sure=True)
            part = _Part(large, position, chunks, hashes, located)
            self._tasks.append((part, self._workers.submit(_write_part, part, self._reader)))
            self._trim()

    def _look(self) -> None:
        """Let the caller hear of nothing while something is waited for: he may want it all to end."""
        self._part_done(0)

    # --- what comes back -----------------------------------------------------------------------------------------

    def _trim(self) -> None:
        while len(self._tasks) > self._most_tasks or self._batches > self._most_batches:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        work, future = self._tasks[0]  # taken out when it is over: until then `__exit__` knows of it
        if isinstance(work, Batch):
            assert future is not None
            wait_for(future, self._look)
            results = future.result()
            self._tasks.popleft()
            self._batches -= 1
            for group, result in zip(work.groups, results or (), strict=True):
                if isinstance(group, NewFiles):
                    let_go(group.directory)
                self._done(group, result)
        elif isinstance(work, _Part):
            assert future is not None
            try:
                wait_for(future, self._look)
                future.result()
            except (DamageError, TargetError) as error:
                work.large.failure = work.large.failure or error
            self._tasks.popleft()
            size = sum(chunk.size * chunk.repeat for chunk in work.chunks)
            work.large.written += size
            self._part_done(size)
        else:
            self._tasks.popleft()
            self._done(work, [_committed(work)])


def _in_short_runs(items: Iterator[ChunkItem | LostPart]) -> Iterator[ChunkItem | LostPart]:
    """The items, repeats cut up, so that no part takes long."""
    for item in items:
        if isinstance(item, Chunk) and item.repeat > 1:
            most = max(1, _PART_BYTES // item.size)
            for first in range(0, item.repeat, most):
                yield Chunk(item.h, item.size, min(most, item.repeat - first))
        else:
            yield item


def _committed(large: LargeFile) -> Result:
    """Give the file its attributes and its name, if all its parts were written."""
    file = large.file
    try:
        if large.failure is not None or file is None:
            assert large.failure is not None
            return large.failure
        if large.lost_by is not None and is_all(large.lost, large.entry.size or 0):
            return large.lost_by
        attributes = without_time(large.attributes) if large.lost else large.attributes
        problems = file.commit(attributes, sync=large.replace, replace=large.replace)
        return Written(problems, lost=joined(large.lost))
    except TargetError as error:
        return error
    finally:
        if file is not None:
            file.discard()


def _write_part(part: _Part, reader: BlobReader) -> None:
    """Load chunks and write them where they belong. Raises DamageError, TargetError, StoreError."""
    file = part.large.file
    if part.large.failure is not None or file is None:
        return
    loaded = reader.load_many(part.hashes, shared=part.large.entry.shared, located=part.located)
    blobs = dict(zip(part.hashes, loaded, strict=True))
    pieces: list[Plaintext] = []
    start = position = part.position
    for chunk in part.chunks:
        data, size = blobs[chunk.h], chunk.size * chunk.repeat
        position += size
        if not isinstance(data, DamageError) and len(data) != chunk.size:
            data = DamagedObjectError("A chunk has not the size that the snapshot says.", code="damaged_blob")
        if isinstance(data, DamageError):
            part.large.lose(position - size, size, data)
            file.write_at(start, *pieces)
            pieces, start = [], position
        else:
            pieces += [data] * chunk.repeat if chunk.repeat < _PIECES_EACH else [bytes(data) * chunk.repeat]
    file.write_at(start, *pieces)


def _unreadable_list() -> DamagedObjectError:
    return DamagedObjectError("A part of the file's list of chunks cannot be read.", code="damaged_blob")
