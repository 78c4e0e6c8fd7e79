"""Files' content, read ahead by worker threads and written in order.

Here: `ContentWriter`. Not here: which files, or their attributes.

Rules: the caller's thread writes; workers fetch, open and check blobs. What is read ahead is bounded in bytes. A file
of which a part is damaged is discarded and reported; the others go on. TargetErrors that every further file would meet
end the restore."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from ...errors import DamagedObjectError, DamageError, TargetError
from ...format.tree import Chunk, TreeEntry
from ...limits import MIB
from ...targets.directory import TargetDirectory
from ...targets.files import TargetFile
from ...types import PlainHash
from ..browse import SnapshotView

_AHEAD_BYTES: Final = 32 * MIB
_AHEAD_STEPS: Final = 2048
_BUNDLES_KEPT: Final = 128  # 64 KiB each: a folder's files are spread over a few bundles
_MAX_WORKERS: Final = 4


@dataclass(slots=True)
class FileJob:
    """One file to be written. `done` commits it; `failed` hears what kept it from being written."""

    entry: TreeEntry
    open: Callable[[], TargetDirectory]
    name: bytes
    done: Callable[[TargetFile], None]
    failed: Callable[[DamageError | TargetError], None]
    file: TargetFile | None = None
    over: bool = False


class ContentWriter:
    """Writes files, one after the other, from blobs that are on their way. A context manager."""

    def __init__(self, view: SnapshotView) -> None:
        self._view = view
        workers = min(_MAX_WORKERS, max(2, os.cpu_count() or 2))
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="snapstore-load")
        self._steps: deque[tuple[Future[bytes] | None, int, Callable[[bytes], None], FileJob]] = deque()
        self._ahead = 0
        self._bundles: OrderedDict[PlainHash, Future[bytes]] = OrderedDict()

    def __enter__(self) -> ContentWriter:
        return self

    def __exit__(self, *failure: object) -> None:
        self._workers.shutdown(wait=True, cancel_futures=True)
        for step in self._steps:
            job = step[3]
            if job.file is not None:
                job.file.discard()
        self._steps.clear()

    def add(self, job: FileJob) -> None:
        """Write a file, soon."""
        entry = job.entry
        if entry.slice is not None:
            plain_hash, offset, size = entry.slice
            end = offset + (entry.size or 0)
            bundle = self._bundle(plain_hash, size)
            self._step(bundle, entry.size or 0, lambda data: self._write(job, data[offset:end]), job)
        elif entry.chunks is None and entry.chunk_tree is None:
            self._step(None, 0, lambda _: self._write(job, entry.inline or b""), job)
        else:
            self._add_chunks(job)
        self._step(None, 0, lambda _: self._finish(job), job)

    def drain(self) -> None:
        """Write everything that is on its way."""
        while self._steps:
            self._run_head()

    def _add_chunks(self, job: FileJob) -> None:
        shared = job.entry.shared
        try:
            for item in self._view.items(job.entry):
                if isinstance(item, Chunk):
                    future = self._workers.submit(self._view.load_chunk, item, shared=shared)
                    self._step(future, item.size, lambda data, n=item.repeat: self._repeat(job, data, n), job)  # type: ignore[misc]
                else:
                    self._step(None, 0, lambda _, n=item.size: self._skip(job, n), job)  # type: ignore[misc]
        except DamageError as error:  # a node of the chunk list
            failure = error
            self._step(None, 0, lambda _: self._fail(job, failure), job)

    def _bundle(self, plain_hash: PlainHash, size: int) -> Future[bytes]:
        future = self._bundles.get(plain_hash)
        if future is None:
            future = self._workers.submit(self._view.load_chunk, Chunk(plain_hash, size), shared=False)
            self._bundles[plain_hash] = future
            if len(self._bundles) > _BUNDLES_KEPT:
                self._bundles.popitem(last=False)
        else:
            self._bundles.move_to_end(plain_hash)
        return future

    def _step(self, future: Future[bytes] | None, size: int, action: Callable[[bytes], None], job: FileJob) -> None:
        self._steps.append((future, size, action, job))
        self._ahead += size
        while self._steps and (
            self._ahead > _AHEAD_BYTES
            or len(self._steps) > _AHEAD_STEPS
            or self._steps[0][0] is None
            or self._steps[0][0].done()
        ):
            self._run_head()

    def _run_head(self) -> None:
        future, size, action, job = self._steps.popleft()
        self._ahead -= size
        if job.over:
            return
        try:
            action(b"" if future is None else future.result())
        except (DamageError, TargetError) as error:
            self._fail(job, error)

    def _open(self, job: FileJob) -> TargetFile:
        if job.file is None:
            job.file = job.open().new_file(job.name)
        return job.file

    def _write(self, job: FileJob, data: bytes) -> None:
        self._open(job).write(data)

    def _repeat(self, job: FileJob, data: bytes, count: int) -> None:
        file = self._open(job)
        for _ in range(count):
            file.write(data)

    def _skip(self, job: FileJob, size: int) -> None:
        self._open(job).skip(size)

    def _finish(self, job: FileJob) -> None:
        file = self._open(job)
        if file.size != (job.entry.size or 0):
            raise DamagedObjectError("The file's parts do not add up to its size.", code="damaged_tree")
        job.over = True
        try:
            job.done(file)
        except (DamageError, TargetError) as error:
            job.failed(error)
        finally:
            file.discard()

    def _fail(self, job: FileJob, error: DamageError | TargetError) -> None:
        job.over = True
        if job.file is not None:
            job.file.discard()
        job.failed(error)
