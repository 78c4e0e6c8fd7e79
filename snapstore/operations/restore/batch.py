"""Small files in batches: what one worker loads and writes at a time.

Here: `SmallFile`, `NewFiles`, `Batch` and its run in a worker. Not here: threads (`write`), which
files, and what is made of the results (`entries`).

Rules: each blob of a batch is loaded once, all of them before the first file is made. A file of which a part is
missing or damaged is an error in its place, and the others are written. Files that nothing is in the way of are made
under their own names, many in one call where the system has it; the mark of the unfinished restore stands until all
is whole. Where something is in the way, or no mark says so, a file is written beside it and takes its name when it is
whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import BinaryIO, Final, NamedTuple, TypeAlias

from ...blobs.reader import BlobReader, Located
from ...blobs.unsealing import Plaintext
from ...errors import DamagedObjectError, DamageError, TargetError
from ...format.tree import Chunk, TreeEntry
from ...limits import MIB
from ...targets.attributes import FileAttributes
from ...targets.directory import TargetDirectory
from ...targets.many import LEAVE_ATTRIBUTES, Buffer, NewFile, can_write_many, owner_of_new, write_many
from ...types import EntryType, PlainHash, Problem
from .losses import LostRange, is_all, joined, without_time
from .place import Place, attributes_of

SMALL_MAX_BYTES: Final = MIB


class Way(Enum):
    """How a small file gets into the target."""

    WHOLE = auto()
    """It gets its name when it is whole."""
    REPLACE = auto()
    """As WHOLE, in the place of what is there."""
    COMPARE = auto()
    """What is there is of the same size and time; it is replaced only if its bytes differ."""


class SmallFile(NamedTuple):
    """A file of at most SMALL_MAX_BYTES, without holes."""

    place: Place
    directory: TargetDirectory
    entry: TreeEntry
    name: bytes
    way: Way
    attributes: FileAttributes
    partial: bool = False
    """What is lost of it may be zeros."""


class NewFiles(NamedTuple):
    """Such files of one folder, under their own names.

    Nothing has those names, and the mark of an unfinished restore stands."""

    place: Place
    directory: TargetDirectory
    entries: list[TreeEntry]


class Written(NamedTuple):
    """A file that is there, whole. `attributes_left`: the caller is to set them."""

    problems: list[Problem]
    unchanged: bool = False
    attributes_left: bool = False
    lost: tuple[LostRange, ...] = ()
    """Zeros stand in these places."""


Result: TypeAlias = Written | DamageError | TargetError
Blobs: TypeAlias = dict[tuple[PlainHash, bool], Plaintext | DamageError]

_DONE: Final = Written([])
_ATTRIBUTES_LEFT: Final = Written([], attributes_left=True)


def is_small(entry: TreeEntry) -> bool:
    """Whether a file can be part of a batch."""
    return entry.chunk_tree is None and (
        entry.chunks is None
        or ((entry.size or 0) <= SMALL_MAX_BYTES and all(isinstance(item, Chunk) for item in entry.chunks))
    )


def is_new(entry: TreeEntry, name_max: int) -> bool:
    """Whether an entry can be one of NewFiles, if its folder takes them and names of up to `name_max` bytes."""
    return (
        entry.type is EntryType.FILE
        and len(entry.name) <= name_max
        and entry.xattrs_blob is None
        and ((entry.chunk_tree is None and entry.chunks is None) or is_small(entry))
    )


@dataclass(slots=True)
class Batch:
    """Files that are written together."""

    groups: list[SmallFile | NewFiles] = field(default_factory=list)
    count: int = 0
    size: int = 0
    _plan: list[tuple[list[PlainHash], bool, Located | None]] = field(default_factory=list, init=False)

    def run(self, reader: BlobReader) -> list[list[Result] | None]:
        """Load everything and write it. For each group its results in order; None if all of NewFiles went well.

        Raises StoreError if the store fails."""
        blobs = self._load(reader)
        results: list[list[Result] | None] = []
        for group in self.groups:
            if isinstance(group, SmallFile):
                results.append([_write_one(group, blobs)])
            elif can_write_many(group.directory):
                results.append(_write_many(group, blobs))
            else:
                results.append([_write_one(file, blobs) for file in _one_by_one(group)])
        return results

    def plan(self, reader: BlobReader) -> None:
        """Begin to fetch what `run` will load, where reading ahead gains anything."""
        if reader.reads_ahead:
            self._plan = [
                (*wanted, reader.prefetch(wanted[0], shared=wanted[1], sure=True)) for wanted in self._wanted()
            ]

    def _load(self, reader: BlobReader) -> Blobs:
        blobs: Blobs = {}
        for hashes, is_shared, located in self._plan or [(*wanted, None) for wanted in self._wanted()]:
            loaded = reader.load_many(hashes, shared=is_shared, located=located)
            blobs.update(zip(((h, is_shared) for h in hashes), loaded, strict=True))
        return blobs

    def _wanted(self) -> list[tuple[list[PlainHash], bool]]:
        """The blobs of the files, those of the dossier alone and shared ones."""
        own: dict[PlainHash, None] = {}
        shared: dict[PlainHash, None] = {}
        for group in self.groups:
            for entry in (group.entry,) if isinstance(group, SmallFile) else group.entries:
                if entry.slice is not None:
                    own[entry.slice[0]] = None
                elif entry.chunks is not None:
                    wanted = shared if entry.shared else own
                    wanted.update((item.h, None) for item in entry.chunks if isinstance(item, Chunk))
        return [(list(hashes), is_shared) for hashes, is_shared in ((own, False), (shared, True)) if hashes]


def _parts(entry: TreeEntry, blobs: Blobs) -> Iterator[tuple[Buffer, int, int]]:
    """Yield the pieces of a file's content: bytes, and offset and size in them. Raises DamageError."""
    if entry.slice is not None:
        plain_hash, offset, bundle_size = entry.slice
        yield _whole(blobs[plain_hash, False], bundle_size), offset, entry.size or 0
    elif entry.chunks is not None:
        for item in entry.chunks:
            if isinstance(item, Chunk):
                data = _whole(blobs[item.h, entry.shared], item.size)
                for _ in range(item.repeat):
                    yield data, 0, item.size
    elif entry.inline:
        yield entry.inline, 0, len(entry.inline)


def _whole(data: Plaintext | DamageError, size: int) -> Plaintext:
    if isinstance(data, DamageError):
        raise data
    if len(data) != size:
        raise DamagedObjectError("A chunk has not the size that the snapshot says.", code="damaged_blob")
    return data


def _write_many(group: NewFiles, blobs: Blobs) -> list[Result] | None:
    numeric = group.directory.state.numeric_owner
    buffers: list[Buffer] = []
    numbers: dict[int, int] = {}
    planned: list[NewFile] = []
    failures: dict[int, Result] = {}
    for at, entry in enumerate(group.entries):
        pieces: list[int] = []
        try:
            for data, offset, size in _parts(entry, blobs):
                number = numbers.setdefault(id(data), len(buffers))
                if number == len(buffers):
                    buffers.append(data)
                pieces += (number, offset, size)
        except DamageError as error:
            failures[at] = _write_partly(file, blobs, error) if (file := _of_new(group, entry)).partial else error
        else:
            planned.append(_new_file(entry, tuple(pieces), numeric=numeric))
    results = write_many(group.directory, planned, buffers)
    if not failures and all(result is True for result in results):
        return None
    told = iter(results)
    return [failures[at] if at in failures else _result(next(told)) for at in range(len(group.entries))]


def _new_file(entry: TreeEntry, pieces: tuple[int, ...], *, numeric: bool) -> NewFile:
    mode, mtime_ns = entry.mode, entry.mtime_ns
    if mode is None or mtime_ns is None or entry.xattrs or entry.windows_attributes is not None:
        return NewFile(entry.name, LEAVE_ATTRIBUTES, -1, -1, 0, pieces)
    uid, gid = owner_of_new(entry.uid, entry.gid, entry.user, entry.group, numeric)
    return NewFile(entry.name, mode, uid, gid, mtime_ns, pieces)


def _result(result: bool | TargetError) -> Result:  # noqa: FBT001
    if isinstance(result, TargetError):
        return result
    return _DONE if result else _ATTRIBUTES_LEFT


def _one_by_one(group: NewFiles) -> Iterator[SmallFile]:
    for entry in group.entries:
        yield _of_new(group, entry)


def _of_new(group: NewFiles, entry: TreeEntry) -> SmallFile:
    attributes, partial = attributes_of(entry, entry.xattrs), group.place.options.partial
    return SmallFile(group.place, group.directory, entry, entry.name, Way.WHOLE, attributes, partial)


def _write_one(file: SmallFile, blobs: Blobs) -> Result:
    try:
        parts = list(_parts(file.entry, blobs))
        if file.way is Way.COMPARE and _is_same(file, parts):
            problems = file.directory.apply(file.name, EntryType.FILE, file.attributes)
            return Written(problems, unchanged=True)
        in_place = file.way in (Way.REPLACE, Way.COMPARE)
        with file.directory.new_file(file.name) as new:
            for data, offset, size in parts:
                new.write(memoryview(data)[offset : offset + size])
            return Written(new.commit(file.attributes, sync=in_place, replace=in_place))
    except DamageError as error:
        return _write_partly(file, blobs, error) if file.partial else error
    except TargetError as error:
        return error


def _write_partly(file: SmallFile, blobs: Blobs, error: DamageError) -> Result:
    """Write what is left of a file, zeros in the place of the rest; `error` if nothing is."""
    pieces: list[Buffer] = []
    lost: list[LostRange] = []
    position = 0
    for item in file.entry.chunks or ():
        if isinstance(item, Chunk):
            data = blobs[item.h, file.entry.shared]
            is_lost = isinstance(data, DamageError) or len(data) != item.size
            pieces += [bytes(item.size) if isinstance(data, DamageError) or is_lost else data] * item.repeat
            if is_lost:
                lost.append((position, item.size * item.repeat))
            position += item.size * item.repeat
    if is_all(lost, position):  # so it is with a file in a bundle
        return error
    in_place = file.way is not Way.WHOLE
    try:
        with file.directory.new_file(file.name) as new:
            for piece in pieces:
                new.write(memoryview(piece))
            problems = new.commit(without_time(file.attributes), sync=in_place, replace=in_place)
    except TargetError as failure:
        return failure
    return Written(problems, lost=joined(lost))


def _is_same(file: SmallFile, parts: list[tuple[Buffer, int, int]]) -> bool:
    """Compare a file that an interrupted restore left: after a power cut size and time prove nothing."""
    with file.directory.read_file(file.name) as there:
        return all(_has_part(there, part) for part in parts) and not there.read(1)


def _has_part(there: BinaryIO, part: tuple[Buffer, int, int]) -> bool:
    data, offset, size = part
    return there.read(size) == memoryview(data)[offset : offset + size]
