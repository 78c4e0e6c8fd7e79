"""Single entries of a restore: files, links, pipes, devices.

Here: what is done with each entry that is no folder, and the counts. Not here: the walk, folders' attributes (`run`).

Rules: what concerns one entry only becomes a problem; what every further entry would meet ends the restore. Hard links
are made when all files are there; one whose first name was not restored is restored as a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from ...errors import DamageError, EntryNotFoundError, TargetError
from ...format.tree import Chunk, ChunkItem, TreeEntry
from ...limits import MIB
from ...targets.attributes import FileAttributes
from ...targets.capabilities import Capabilities
from ...targets.directory import TargetStat
from ...targets.files import TargetFile
from ...targets.problems import FATAL_CODES
from ...types import EntryType, Overwrite, Problem, RestoreOptions
from ..browse import SnapshotView
from ..meter import Meter
from .place import Place, attributes_of
from .write import ContentWriter, FileJob


@dataclass(slots=True)
class Counts:
    """What was done so far."""

    restored: int = 0
    unchanged: int = 0
    directories: int = 0
    others: int = 0
    deleted: int = 0
    written: int = 0
    problems: list[Problem] = field(default_factory=list)


class Entries:
    """Puts entries into places."""

    def __init__(self, view: SnapshotView, options: RestoreOptions, meter: Meter, writer: ContentWriter) -> None:
        self.view = view
        self.options = options
        self.meter = meter
        self.counts = Counts()
        self.capabilities = Capabilities()
        self.resumed = False
        """The target holds an interrupted restore of the same snapshot."""
        self._writer = writer
        self._overwrite = options.overwrite
        self._links: list[tuple[Place, TreeEntry, bytes]] = []
        self._first_names: dict[bytes, tuple[bytes, ...]] = {}

    def put(self, place: Place, entry: TreeEntry, name: bytes) -> None:
        """Restore an entry that is no folder under `name`."""
        self.meter.step(files=1, current=place.text(entry.name))
        if entry.type is EntryType.HARD_LINK:
            self._links.append((place, entry, name))
        elif entry.type is EntryType.FILE:
            self.attempt(lambda: self._file(place, entry, name), place.text(entry.name))
        else:
            self.attempt(lambda: self._other(place, entry, name), place.text(entry.name))

    def _file(self, place: Place, entry: TreeEntry, name: bytes) -> None:
        path, text = (*place.path, entry.name), place.text(entry.name)
        size = entry.size or 0
        self.capabilities.check_size(size, text)
        found = place.existing.get(name)
        if self._stays(place, entry, name, found):
            self.counts.unchanged += 1
            self.meter.step(size=size)
            if self._overwrite is not Overwrite.NEVER:  # what was kept without looking is not what links mean
                self._first_names[b"/".join(path)] = self._target_path(place, name)
            return
        self.counts.restored += 1
        if self.options.dry_run:
            self.counts.written += size
            return
        self._make_way(place, name, found)
        self._write(place, entry, name)
        self._first_names[b"/".join(path)] = self._target_path(place, name)

    def _write(self, place: Place, entry: TreeEntry, name: bytes) -> None:
        text = place.text(entry.name)

        def commit(file: TargetFile) -> None:
            attributes = self.attributes(entry)
            in_place = name in place.existing
            self.counts.problems.extend(file.commit(attributes, sync=in_place, replace=in_place))
            self.counts.written += entry.size or 0
            self.meter.step(size=entry.size or 0)

        def failed(error: DamageError | TargetError) -> None:
            self.counts.restored -= 1
            self.report(text, error)

        self._writer.add(FileJob(entry, place.ensure, name, commit, failed))

    def _stays(self, place: Place, entry: TreeEntry, name: bytes, found: TargetStat | None) -> bool:
        """Tell whether what is there is kept: as asked, or because it is the same already."""
        if found is None:
            return False
        if self._overwrite is Overwrite.NEVER:
            return True
        if self._overwrite is Overwrite.ALWAYS or (self._overwrite is None and not self.resumed):
            return False
        granularity = self.capabilities.time_granularity_ns
        same = (
            found.type is EntryType.FILE
            and found.links == 1  # its other names may be anywhere: it is written anew, and they stay as they are
            and found.size == (entry.size or 0)
            and entry.mtime_ns is not None
            and abs(found.mtime_ns - entry.mtime_ns) < max(granularity, 1)
        )
        same = same and (not self.resumed or self._has_content(place, entry, name))
        if same and not self.options.dry_run:
            self.counts.problems.extend(place.ensure().apply(name, EntryType.FILE, self.attributes(entry)))
        return same

    def _has_content(self, place: Place, entry: TreeEntry, name: bytes) -> bool:
        """Compare a file that an interrupted restore left: after a power cut size and time prove nothing."""
        with place.ensure().read_file(name) as file:
            if entry.chunks is None and entry.chunk_tree is None:
                return file.read() == self.view.load_small(entry)
            return all(self._has_item(file, item, entry) for item in self.view.items(entry)) and not file.read(1)

    def _has_item(self, file: BinaryIO, item: ChunkItem, entry: TreeEntry) -> bool:
        if isinstance(item, Chunk):
            pieces = (file.read(item.size) for _ in range(item.repeat))
            return all(self.view.reader.is_content(piece, item.h, shared=entry.shared) for piece in pieces)
        rest = item.size
        while rest:
            zeros = file.read(min(rest, MIB))
            if not zeros or zeros.strip(b"\0"):
                return False
            rest -= len(zeros)
        return True

    def _make_way(self, place: Place, name: bytes, found: TargetStat | None) -> None:
        if found is not None and found.type is EntryType.DIRECTORY:
            place.clear(name, found)

    def _other(self, place: Place, entry: TreeEntry, name: bytes) -> None:
        found = place.existing.get(name)
        self.counts.others += 1
        if (found is not None and self._overwrite is Overwrite.NEVER) or self.options.dry_run:
            return
        self._make_way(place, name, found)
        directory = place.ensure()
        in_place = name in place.existing
        try:
            if entry.type is EntryType.SYMLINK:
                directory.symlink(name, entry.link_target or b"", replace=in_place)
            elif entry.type is EntryType.FIFO:
                directory.fifo(name, replace=in_place)
            else:
                directory.device(name, entry.type, entry.device or (0, 0), replace=in_place)
            self.counts.problems.extend(directory.apply(name, entry.type, self.attributes(entry)))
        except TargetError:
            self.counts.others -= 1
            raise
        self._first_names[b"/".join((*place.path, entry.name))] = self._target_path(place, name)

    def link_all(self) -> None:
        """Make the hard links. Everything else must have been written."""
        for place, entry, name in self._links:
            self.attempt(lambda: self._link(place, entry, name), place.text(entry.name))  # noqa: B023  called at once

    def _link(self, place: Place, entry: TreeEntry, name: bytes) -> None:
        """Give a restored file another name, or restore it here if its first name was not."""
        assert entry.hard_link is not None
        first = self._first_names.get(entry.hard_link)
        found = place.existing.get(name)
        if found is not None and self._overwrite is Overwrite.NEVER:
            self.counts.unchanged += 1
            return
        if first is None:
            self._copy_of_first(place, entry, name)
            return
        self.counts.others += 1
        if self.options.dry_run:
            return
        self._make_way(place, name, found)
        try:
            place.ensure().hard_link(name, first, replace=name in place.existing)
        except TargetError as error:
            self.counts.others -= 1
            if error.code != "hard_link_copied":
                raise
            self.report(place.text(entry.name), error)
            self._copy_of_first(place, entry, name)

    def _copy_of_first(self, place: Place, entry: TreeEntry, name: bytes) -> None:
        assert entry.hard_link is not None
        text = entry.hard_link.decode("utf-8", "surrogateescape")
        content = self.view.find(text)
        if content.type in (EntryType.DIRECTORY, EntryType.HARD_LINK):
            raise EntryNotFoundError(f"The first name {text!r} of a hard link is not a file.", code="damaged_tree")
        if content.type is not EntryType.FILE:
            self._other(place, content._replace(name=entry.name), name)
            self._first_names[entry.hard_link] = self._target_path(place, name)
            return
        self.counts.restored += 1
        if not self.options.dry_run:
            self._make_way(place, name, place.existing.get(name))
            self._write(place, content, name)
            self._writer.drain()
            self._first_names[entry.hard_link] = self._target_path(place, name)

    def _target_path(self, place: Place, name: bytes) -> tuple[bytes, ...]:
        names = [name]
        step: Place | None = place
        while step is not None and step.parent is not None:
            names.append(step.name)
            step = step.parent
        return tuple(reversed(names))

    def attributes(self, entry: TreeEntry) -> FileAttributes:
        """Return what an entry says about itself; without extended attributes if those are damaged."""
        try:
            return attributes_of(entry, self.view.xattrs(entry))
        except DamageError as error:
            self.report(entry.name.decode("utf-8", "surrogateescape"), error)
            return attributes_of(entry, ())

    def attempt(self, step: Callable[[], None], path: str) -> bool:
        """Run `step`; what concerns only this entry becomes a problem."""
        try:
            step()
        except (DamageError, TargetError, EntryNotFoundError) as error:
            self.report(path, error)
            return False
        return True

    def report(self, path: str, error: DamageError | TargetError | EntryNotFoundError) -> None:
        """Note what is lost at `path`; raises what every further entry would meet too."""
        if isinstance(error, TargetError) and error.code in FATAL_CODES:
            raise error
        self.counts.problems.append(Problem(code=error.code, path=path, message=str(error)))
        self.meter.problems = len(self.counts.problems)
