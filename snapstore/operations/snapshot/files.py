"""The content of small files to blobs: inline, or together in a bundle.

Here: several files read in one call and saved together, and the second reading where one changed meanwhile. Not here:
files that are saved by chunks (`chunked`), which files are saved, what is unchanged, or how lines are encoded
(`ordinary`, `drafts`).

Rules: everything ends in `pipeline.then`, which adds the entries to their folder when the hashes are known. A file that
changes while it is read is read once more, with its whole group; if it changes again, the last reading is kept and
marked. A file that cannot be read becomes a problem and is not in the snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...sources.attributes import Attributes
from ...sources.directory import SourceDirectory, problem_from_error
from ...sources.scanned import ScannedEntry
from ...sources.small import SmallFile, SmallFiles
from ...types import BlobId, EntryType, Problem
from .drafts import EntryDraft
from .folders import Folder
from .job import Job
from .ordinary import can_encode, encode_ordinary
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
    if not tasks:
        return []
    limit, inline_max = job.parameters.bundle_file_max_bytes, job.parameters.inline_max_bytes
    read = _read(tasks, limit)
    attributes = read.attributes
    if attributes is not None and can_encode(attributes) and all(task.name == task.scanned.name for task in tasks):
        _save_ordinary(tasks, read, attributes, job)
        return []
    contents, grown = _contents(tasks, read, limit, job)
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
    return _contents(tasks, _read(tasks, limit), limit, job) if tasks else ([], [])


def _read(tasks: Sequence[FileTask], limit: int) -> SmallFiles:
    directory, entries = tasks[0].directory, [task.scanned for task in tasks]
    read = directory.read_small(entries, limit)
    if read.attributes is None and any(file.changed for file in read.files):
        read = directory.read_small(entries, limit)
    return read


def _save_ordinary(tasks: Sequence[FileTask], read: SmallFiles, attributes: Attributes, job: Job) -> None:
    """Save files that were read just as they were listed, all in one go."""
    folder, inline_max = tasks[0].folder, job.parameters.inline_max_bytes
    entries = [task.scanned for task in tasks]
    inline, bundled = _parted(read.data, entries, inline_max)
    reference = job.pipeline.add_chunk(bundled, shared=False) if bundled else None
    _tell_read(tasks, len(read.data), job)

    def add() -> None:
        bundle = None if reference is None else (reference.plain_hash, reference.size)
        encoded = encode_ordinary(entries, attributes, inline, bundle, inline_max=inline_max, now_ns=job.now_ns)
        if encoded is None:
            _add_all(_one_by_one(tasks, attributes, inline, job), reference, job)
            return
        of_bundle = () if bundle is None else (job.saver.blob_id(bundle[0], shared=False),)
        for name, line in zip(*encoded, strict=True):
            folder.add_file(name, line, of_bundle if line[2] > inline_max else (), job.counts)

    needs = () if reference is None else (reference,)
    job.pipeline.then(add, needs, weight=ACTION_WEIGHT * len(tasks) + len(inline))


def _parted(data: bytes, entries: Sequence[ScannedEntry], inline_max: int) -> tuple[bytes, bytes]:
    """Part what was read into what goes into entries and what goes into a bundle."""
    if all(entry.size > inline_max for entry in entries):
        return b"", data
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    start = 0
    for entry in entries:
        parts[entry.size > inline_max].append(data[start : start + entry.size])
        start += entry.size
    return b"".join(parts[0]), b"".join(parts[1])


def _one_by_one(tasks: Sequence[FileTask], attributes: Attributes, inline: bytes, job: Job) -> list[Content]:
    """Return contents of files of which one is not ordinary after all: it has a time that cannot be saved, say."""
    contents, start = [], 0
    for task in tasks:
        size, data = task.scanned.size, b""
        if size <= job.parameters.inline_max_bytes:
            data, start = inline[start : start + size], start + size
        contents.append(_content(task, SmallFile(task.scanned, size, False, attributes, None), data, job))
    return contents


def _contents(
    tasks: Sequence[FileTask], read: SmallFiles, limit: int, job: Job
) -> tuple[list[Content], list[FileTask]]:
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
    _tell_read(tasks, sum([len(item.data) for item in contents]), job)
    return contents, grown


def _tell_read(tasks: Sequence[FileTask], size: int, job: Job) -> None:
    job.counts.raw_bytes_read += size
    job.meter.step(size=size, current=tasks[0].directory.path_of(tasks[0].scanned.name))


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
