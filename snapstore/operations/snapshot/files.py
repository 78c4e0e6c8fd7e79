"""The content of small files to blobs: inline, or together in a bundle.

Here: several files read in one call and saved together, and the second reading where one changed meanwhile. Not here:
files that are saved by chunks (`chunked`), which files are saved, or what is unchanged.

Rules: everything ends in `pipeline.then`, which adds the entries to their folder when the hashes are known. A file that
changes while it is read is read once more, with its whole group; if it changes again, the last reading is kept and
marked. A file that cannot be read becomes a problem and is not in the snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...sources.directory import SourceDirectory, problem_from_error
from ...sources.scanned import ScannedEntry
from ...sources.small import SmallFile
from ...types import BlobId, EntryType, Problem
from .drafts import EntryDraft
from .folders import Folder
from .job import Job
from .pipeline import ACTION_WEIGHT, ChunkRef


class FileTask(NamedTuple):
    """A file to be saved: where it is read, and where it goes. `name` differs from the scanned one for a named link."""

    directory: SourceDirectory
    scanned: ScannedEntry
    name: bytes
    folder: Folder


class Content(NamedTuple):
    """What was read of a file that is in memory whole. `data` is empty once chunks have it."""

    task: FileTask
    data: bytes
    size: int
    draft: EntryDraft
    changed: bool
    signature: bytes | None


def save_small(tasks: Sequence[FileTask], job: Job) -> list[FileTask]:
    """Read files of one folder, at most about 1 MiB together, and save them as one bundle (the tiny ones inline).

    Returns those that have grown and are not small any more."""
    contents, grown = read_whole(tasks, job.parameters.bundle_file_max_bytes, job)
    inline_max = job.parameters.inline_max_bytes
    bundled = [item.data for item in contents if item.size > inline_max]
    reference = None
    if bundled:
        reference = job.pipeline.add_chunk(b"".join(bundled), shared=False)
        contents = [item._replace(data=b"") if item.size > inline_max else item for item in contents]
    needs = [need for item in contents for need in item.draft.needs]
    if reference is not None:
        needs.append(reference)
    weight = sum([ACTION_WEIGHT + len(item.data) for item in contents])
    job.pipeline.then(lambda: _add_all(contents, reference, job), needs, weight=weight)
    return grown


def read_whole(tasks: Sequence[FileTask], limit: int, job: Job) -> tuple[list[Content], list[FileTask]]:
    """Read files of one folder; the second list has those that turned out to be larger than `limit`."""
    if not tasks:
        return [], []
    directory = tasks[0].directory
    entries = [task.scanned for task in tasks]
    read = directory.read_small(entries, limit)
    if any(file.changed for file in read.files):
        read = directory.read_small(entries, limit)
    contents: list[Content] = []
    grown: list[FileTask] = []
    data = read.data
    end = 0
    for task, file in zip(tasks, read.files, strict=True):
        start, end = end, end + file.size
        if file.error is not None:
            report_unreadable(task, file.error, job)
        elif file.size > limit:
            grown.append(task)
        else:
            contents.append(_content(task, file, data[start:end], job))
    size = sum([len(item.data) for item in contents])
    job.counts.raw_bytes_read += size
    job.meter.step(size=size, current=directory.path_of(entries[0].name))
    return contents, grown


def _content(task: FileTask, file: SmallFile, data: bytes, job: Job) -> Content:
    opened, size = file.entry, file.size
    task.folder.expect(task.scanned, opened)
    draft = EntryDraft(opened, task.name, EntryType.FILE, file.attributes).check(job, task.directory)
    if file.changed:
        job.report(changed_problem(task))
    signature = signature_for(opened, job, doubtful=file.changed or draft.lacking, size=size)
    return Content(task, data, size, draft, file.changed, signature)


def _add_all(contents: Sequence[Content], bundle: ChunkRef | None, job: Job) -> None:
    """Add the entries of files that were read together."""
    inline_max, counts = job.parameters.inline_max_bytes, job.counts
    of_bundle: tuple[BlobId, ...] = ()
    if bundle is not None:
        h, bundle_size = bundle.plain_hash, bundle.size
        of_bundle = (job.saver.blob_id(h, shared=False),)
    offset = 0
    for task, data, size, draft, changed, signature in contents:
        if size > inline_max:
            entry = draft.build(size=size, changed=changed, slice=(h, offset, bundle_size))
            children = of_bundle
            offset += size
        else:
            entry = draft.build(size=size, changed=changed, inline=data or None)
            children = ()
        if draft.needs:
            children = (*children, job.saver.blob_id(draft.needs[0].plain_hash, shared=False))
        task.folder.add(entry, signature, children, counts)


def changed_problem(task: FileTask) -> Problem:
    """Return the problem of a file that would not hold still."""
    path = task.directory.path_of(task.scanned.name)
    return Problem(
        code="changed_while_read",
        path=path,
        message=f"{path} changed while it was read, twice; it was saved as it was read last.",
    )


def signature_for(scanned: ScannedEntry, job: Job, *, doubtful: bool, size: int) -> bytes | None:
    """Return the signature to remember, or None if it must not be trusted."""
    if doubtful or size != scanned.size or not scanned.settled(job.now_ns):
        return None
    return scanned.signature


def report_unreadable(task: FileTask, error: OSError, job: Job) -> None:
    """Note a file that cannot be read. It is not in the snapshot."""
    job.report(problem_from_error(error, task.directory.path_of(task.scanned.name)))
    job.counts.files -= 1
    task.folder.look = None
    job.withdraw_first(task.scanned, task.folder.child_path(task.name))
