"""Single entries of a restore: files, links, pipes, devices.

Here: what is done with each entry that is no folder, and the counts. Not here: the walk, folders' attributes (`run`).

Rules: what concerns one entry only becomes a problem; what every further entry would meet ends the restore. Hard links
are made when all files are there; one whose first name was not restored is restored as a file, and many such go into
one batch. Going through the links that wait costs as much as there are, so it is done again when there are twice as
many. Nothing is kept of a file that is done."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from ...errors import DamageError, EntryNotFoundError, TargetError
from ...format.tree import Chunk, ChunkItem, TreeEntry
from ...limits import MIB
from ...targets.attributes import FileAttributes
from ...targets.capabilities import Capabilities
from ...targets.directory import TargetDirectory, TargetStat
from ...targets.files import hole_after
from ...targets.many import finish_folder
from ...targets.problems import FATAL_CODES
from ...types import EntryType, Overwrite, Problem, RestoreOptions
from ..browse import SnapshotView
from ..meter import Meter
from .batch import NewFiles, Result, SmallFile, Way, Written, is_small
from .links import Link, Links, first_name
from .loading import TreeLoader
from .losses import LostPart, content_lost
from .place import Place, attributes_of
from .select import Part
from .write import AnyFiles, ContentWriter, LargeFile, Results

_LINKS_WAITING_MAX: Final = 4096  # half a kilobyte each


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
    """Puts entries into places. A context manager."""

    def __init__(self, view: SnapshotView, options: RestoreOptions, meter: Meter, links: Links) -> None:
        self.view = view
        self.options = options
        self.meter = meter
        self.links = links
        self.loader = TreeLoader(view.reader, partial=options.partial)
        self.counts = Counts()
        self.capabilities = Capabilities()
        self.resumed = False
        """The target holds an interrupted restore of the same snapshot."""
        self._overwrite = options.overwrite
        self._links_kept = 0
        self._writer = ContentWriter(view.reader, self._done, lambda size: meter.step(size=size))

    def __enter__(self) -> Entries:
        self._writer.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *failure: object) -> None:
        self._writer.__exit__(kind, *failure)

    def put(self, place: Place, entry: TreeEntry, name: bytes) -> None:
        """Restore an entry that is no folder under `name`."""
        if entry.type is EntryType.FILE:
            self.meter.step()
            if not self.attempt(lambda: self._file(place, entry, name), place, entry.name):
                self.links.lose((*place.path, entry.name))
            return
        self.meter.step(files=1, current=place.text(entry.name))
        if entry.type is EntryType.HARD_LINK:
            place.unfinished += 1
            self._put_link(Link(place, entry, name))
        elif not self.attempt(lambda: self._other(place, entry, name), place, entry.name):
            self.links.lose((*place.path, entry.name))

    def takes_new(self, place: Place) -> bool:
        """Whether `put_new` will do for files in a folder: nothing is there, and the restore is marked unfinished."""
        return (
            self._overwrite is None
            and not self.options.dry_run
            and place.part is Part.WHOLE
            and not place.existing
            and place.plain_names
            and self.capabilities.max_file_bytes is None
        )

    def put_new(self, place: Place, entries: Sequence[TreeEntry]) -> None:
        """Restore small files into a folder where nothing is in the way, and all their names can be held."""
        begun = 0

        def each() -> Iterator[TreeEntry]:
            nonlocal begun
            for entry in entries:
                self.meter.step()
                yield entry
                begun += 1

        try:
            self._writer.add_new(place, place.ensure(), each())
        except TargetError as error:  # the folder cannot be opened: taken away meanwhile, or too many are open
            for entry in entries[begun:]:
                self.links.lose((*place.path, entry.name))
                self.report(place.text(entry.name), error)
                self.meter.step(files=1, current=place.text(entry.name))

    def finish(self) -> None:
        """Write all files that are on their way."""
        self._writer.drain()

    # --- files ---------------------------------------------------------------------------------------------------

    def _file(self, place: Place, entry: TreeEntry, name: bytes) -> None:
        size = entry.size or 0
        if self.capabilities.max_file_bytes is not None:
            self.capabilities.check_size(size, place.text(entry.name))
        found, way = place.existing.get(name), Way.WHOLE
        if found is not None:
            kept = self._way_of_existing(place, entry, name, found)
            if kept is None:
                self.counts.unchanged += 1
                self.meter.step(files=1, size=size, current=place.text(entry.name))
                return
            way = kept
        if self.options.dry_run:
            self.counts.restored += 1
            self.counts.written += size
            self.meter.step(files=1, current=place.text(entry.name))
            return
        if found is not None and found.type is EntryType.DIRECTORY:
            place.clear(name, found)
        self._write(place, entry, name, way)

    def _write(self, place: Place, entry: TreeEntry, name: bytes, way: Way) -> None:
        """Hand a file to the writer; `_done` hears of it."""
        directory = place.ensure()
        attributes = self.attributes(entry)
        partial = self.options.partial and (way is Way.WHOLE or self._overwrite is None)
        place.unfinished += 1
        if is_small(entry):
            self._writer.add_small(SmallFile(place, directory, entry, name, way, attributes, partial))
        else:
            large = LargeFile(place, directory, entry, name, attributes, way is Way.REPLACE, partial)
            self._writer.add_large(large, self.loader.items_left(entry))

    def _done(self, files: AnyFiles, results: Results) -> None:
        """Take note of files that are over, well or not."""
        place = files.place
        entries = files.entries if isinstance(files, NewFiles) else [files.entry]
        if results is None:
            size = sum([entry.size or 0 for entry in entries])
            self.counts.restored += len(entries)
            self.counts.written += size
            self.meter.step(files=len(entries), size=size, current=place.text(entries[-1].name))
        else:
            counted = files.written if isinstance(files, LargeFile) else 0
            for entry, result in zip(entries, results, strict=True):
                name = entry.name if isinstance(files, NewFiles) else files.name
                self._note(place, entry, name, result, counted)
        self.release(place)

    def _note(self, place: Place, entry: TreeEntry, name: bytes, result: Result, counted: int) -> None:
        size = entry.size or 0
        text = place.text(entry.name)
        self.links.end_copy(place, name, None if isinstance(result, Written) else result)
        if not isinstance(result, Written):
            self.links.lose((*place.path, entry.name))
            self.report(text, result)
            self.meter.step(files=1, current=text)
            return
        if result.unchanged:
            self.counts.unchanged += 1
        else:
            self.counts.restored += 1
            self.counts.written += size
        self.counts.problems.extend(result.problems)
        if result.lost:
            self.counts.problems.append(content_lost(text, result.lost))
        if result.attributes_left:
            self.attempt(lambda: self._apply(place.ensure(), name, self.attributes(entry)), place, entry.name)
        self.meter.step(files=1, size=size - counted, current=text)

    def _apply(self, directory: TargetDirectory, name: bytes, attributes: FileAttributes) -> None:
        self.counts.problems.extend(directory.apply(name, EntryType.FILE, attributes))

    def _way_of_existing(self, place: Place, entry: TreeEntry, name: bytes, found: TargetStat) -> Way | None:
        """How a file gets in where something has its name; None if that stays, as asked or because it is the same."""
        if self._overwrite is Overwrite.NEVER:
            self.links.lose((*place.path, entry.name))  # what was kept without looking is not what links mean
            return None
        if self._overwrite is Overwrite.ALWAYS or (self._overwrite is None and not self.resumed):
            return Way.REPLACE
        granularity = self.capabilities.time_granularity_ns
        same = (
            found.type is EntryType.FILE
            and found.links == 1  # its other names may be anywhere: it is written anew, and they stay as they are
            and found.size == (entry.size or 0)
            and entry.mtime_ns is not None
            and abs(found.mtime_ns - entry.mtime_ns) < max(granularity, 1)
        )
        if not same:
            return Way.REPLACE
        if self.resumed and not self.options.dry_run:
            if is_small(entry):
                return Way.COMPARE
            if not self._has_content(place, entry, name):
                return Way.REPLACE
        if not self.options.dry_run:
            self._apply(place.ensure(), name, self.attributes(entry))
        return None

    def _has_content(self, place: Place, entry: TreeEntry, name: bytes) -> bool:
        """Compare a large file that an interrupted restore left: after a power cut size and time prove nothing."""
        with place.ensure().read_file(name) as file:
            return all(self._has_item(file, item, entry) for item in self.loader.items_left(entry)) and not file.read(1)

    def _has_item(self, file: BinaryIO, item: ChunkItem | LostPart, entry: TreeEntry) -> bool:
        self.meter.step()
        if isinstance(item, LostPart):
            return False
        if isinstance(item, Chunk):
            pieces = (file.read(item.size) for _ in range(item.repeat))
            return all(self.view.reader.is_content(piece, item.h, shared=entry.shared) for piece in pieces)
        rest = item.size
        while rest:
            hole = min(hole_after(file), rest)
            file.seek(hole, os.SEEK_CUR)
            rest -= hole
            zeros = file.read(min(rest, MIB))
            if rest and (not zeros or zeros.strip(b"\0")):
                return False
            rest -= len(zeros)
            self.meter.step()
        return True

    # --- everything else -----------------------------------------------------------------------------------------

    def _make_way(self, place: Place, name: bytes) -> None:
        found = place.existing.get(name)
        if found is not None and found.type is EntryType.DIRECTORY:
            place.clear(name, found)

    def _other(self, place: Place, entry: TreeEntry, name: bytes) -> None:
        if name in place.existing and self._overwrite is Overwrite.NEVER:
            self.links.lose((*place.path, entry.name))
        elif not self.options.dry_run:
            self._make_other(place, entry, name)
        self.counts.others += 1

    def _make_other(self, place: Place, entry: TreeEntry, name: bytes) -> None:
        self._make_way(place, name)
        directory = place.ensure()
        in_place = name in place.existing
        if entry.type is EntryType.SYMLINK:
            directory.symlink(name, entry.link_target or b"", replace=in_place)
        elif entry.type is EntryType.FIFO:
            directory.fifo(name, replace=in_place)
        else:
            directory.device(name, entry.type, entry.device or (0, 0), replace=in_place)
        self.counts.problems.extend(directory.apply(name, entry.type, self.attributes(entry)))

    def _put_link(self, link: Link) -> None:
        """Make a link now if it means nothing that is still to come; else it waits."""
        if self.links.is_ready(link):
            self._make_link(link, link.place.root_directory())
            return
        self.links.waiting.append(link)
        if len(self.links.waiting) >= max(_LINKS_WAITING_MAX, 2 * self._links_kept):
            self._writer.drain()
            self.link_all(link.place.root_directory(), last=False)
            self._links_kept = len(self.links.waiting)

    def link_all(self, root: TargetDirectory | None, *, last: bool) -> None:
        """Make the hard links. Everything else must have been written, or those wait that mean what is not there."""
        waiting, self.links.waiting = self.links.waiting, []
        behind: dict[bytes, deque[Link]] = {}
        for link in waiting:
            if self.links.awaits_copy(link):
                behind.setdefault(first_name(link), deque()).append(link)
            elif last or self.links.first_of(link, root) is not None:
                self._make_link(link, root)
            else:
                self.links.waiting.append(link)
        self._writer.drain()
        while behind:  # each turn goes on with every file of which no copy is on its way any more
            for first, links in list(behind.items()):
                while links and not self.links.awaits_copy(links[0]):
                    self._make_link(links.popleft(), root)
                if not links:
                    del behind[first]
            self._writer.drain()

    def _make_link(self, link: Link, root: TargetDirectory | None) -> None:
        self.attempt(lambda: self._link(link, root), link.place, link.entry.name)
        self.release(link.place)

    def _link(self, link: Link, root: TargetDirectory | None) -> None:
        """Give a restored file another name, or restore it here if its first name was not."""
        place, name = link.place, link.name
        if name in place.existing and self._overwrite is Overwrite.NEVER:
            self.counts.unchanged += 1
            return
        first = self.links.first_of(link, root)
        if first is None:
            self._copy_of_first(link)
            return
        if not self.options.dry_run:
            self._make_way(place, name)
            try:
                place.ensure().hard_link(name, first, replace=name in place.existing)
            except TargetError as error:
                if error.code != "hard_link_copied":
                    raise
                self.report(place.text(link.entry.name), error)
                self._copy_of_first(link)
                return
        self.counts.others += 1

    def _copy_of_first(self, link: Link) -> None:
        place, name = link.place, link.name
        text = os.fsdecode(first_name(link))
        content = self.view.find(text)
        if content.type in (EntryType.DIRECTORY, EntryType.HARD_LINK):
            raise EntryNotFoundError(f"The first name {text!r} of a hard link is not a file.", code="damaged_tree")
        content = content._replace(name=link.entry.name)
        if content.type is not EntryType.FILE:
            self._other(place, content, name)
        elif self.options.dry_run:
            self.counts.restored += 1
        else:
            self._make_way(place, name)
            self._write(place, content, name, Way.REPLACE if name in place.existing else Way.WHOLE)
            if self.capabilities.hard_links:  # else no other link can come to mean it, and none has to wait
                self.links.begin_copy(link)
            return
        self.links.restored_instead(link)

    # --- for all -------------------------------------------------------------------------------------------------

    def release(self, place: Place) -> None:
        """Note that one thing that kept a folder from being finished is done; finishes it after the last."""
        step: Place | None = place
        while step is not None:
            step.unfinished -= 1
            if step.unfinished:
                return
            self._finish_folder(step)
            step = step.parent

    def _finish_folder(self, place: Place) -> None:
        """Give a folder its attributes: all that is in it is done, and writing in it would change its time."""
        directory = place.directory
        if directory is None or place.parent is None or not place.own or self.options.dry_run:
            return
        attributes = self.attributes(place.entry)
        if not finish_folder(directory, attributes):
            self.attempt(lambda: self.counts.problems.extend(directory.apply_self(attributes)), place)

    def attributes(self, entry: TreeEntry) -> FileAttributes:
        """Return what an entry says about itself; without extended attributes if those are damaged."""
        if entry.xattrs_blob is None:
            return attributes_of(entry, entry.xattrs)
        try:
            return attributes_of(entry, self.view.xattrs(entry))
        except DamageError as error:
            self.report(entry.name.decode("utf-8", "surrogateescape"), error)
            return attributes_of(entry, ())

    def attempt(self, step: Callable[[], None], place: Place, name: bytes = b"") -> bool:
        """Run `step`; what concerns only this entry becomes a problem."""
        try:
            step()
        except (DamageError, TargetError, EntryNotFoundError) as error:
            self.report(place.text(name), error)
            return False
        return True

    def report(self, path: str, error: DamageError | TargetError | EntryNotFoundError) -> None:
        """Note what is lost at `path`; raises what every further entry would meet too."""
        if isinstance(error, TargetError) and error.code in FATAL_CODES:
            raise error
        self.counts.problems.append(Problem(code=error.code, path=path, message=str(error)))
        self.meter.problems = len(self.counts.problems)
