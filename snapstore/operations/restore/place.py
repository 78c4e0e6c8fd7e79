"""One folder of the target, and what is in the way in it.

Here: `Place`. Not here: content.

Rules: a folder is made only when something is put into it or it is taken itself. What is in the way is decided by
`overwrite`: never keeps it; otherwise files and links are replaced, and a folder that is in the way of something else
is removed only with `delete`. Problems carry the path in the snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...errors import TargetError
from ...format.tree import TreeEntry
from ...targets.attributes import FileAttributes
from ...targets.capabilities import Capabilities
from ...targets.directory import TargetDirectory, TargetStat
from ...targets.names import is_temporary
from ...targets.problems import renamed
from ...types import EntryType, Overwrite, Problem, RestoreOptions
from .keeping import Keeper
from .marker import MARKER_NAME
from .select import Part


@dataclass(slots=True)
class Place:
    """A folder on the way down, in the snapshot and in the target."""

    entry: TreeEntry
    path: tuple[bytes, ...]
    """In the snapshot."""
    part: Part
    parent: Place | None
    name: bytes
    """In the target."""
    options: RestoreOptions
    capabilities: Capabilities
    keeper: Keeper
    plain_names: bool
    """The target holds every name."""
    complete: bool = True
    """Every entry of it could be read from the snapshot."""
    directory: TargetDirectory | None = None
    made: bool = False
    """It was not there before."""
    existing: dict[bytes, TargetStat] = field(default_factory=dict)
    taken: set[bytes] = field(default_factory=set)
    """What the names so far are to a target that takes different names for one; empty where none does."""
    kept: set[bytes] = field(default_factory=set)
    """Names in the target that the snapshot has, or that the selection passes over, if others are to be deleted."""
    unfinished: int = 1
    """What has to be done before the folder gets its attributes: its own entries, files, links, folders in it."""

    @property
    def own(self) -> bool:
        """Its attributes are those of the snapshot: it was not there, or it is taken as a whole."""
        return self.made or (self.part is Part.WHOLE and self.options.overwrite is not Overwrite.NEVER)

    def root_directory(self) -> TargetDirectory | None:
        """Return the target itself; None in a dry run without one."""
        place = self
        while place.parent is not None:
            place = place.parent
        return place.directory

    def text(self, name: bytes = b"") -> str:
        """Return the path of this folder, or of a name in it, for problems."""
        elements = (*self.path, name) if name else self.path
        return b"/".join(elements).decode("utf-8", "surrogateescape")

    def open_existing(self) -> None:
        """Look at the folder if it is there already; without one, nothing is in the way."""
        parent = self.parent
        if self.directory is None and parent is not None and parent.directory is not None:
            found = parent.existing.get(self.name)
            if found is not None and found.type is EntryType.DIRECTORY:
                # One that gets its attributes back at the end may be opened up for its owner meanwhile.
                ours = self.part is Part.WHOLE and self.options.overwrite is not Overwrite.NEVER
                opened_up = ours and not self.options.dry_run
                self.directory = (parent.directory.make_directory if opened_up else parent.directory.child)(self.name)
        if self.directory is not None:
            if not self.options.dry_run:
                self.directory.clean_leftovers()
            self.existing = self.directory.scan()
            if parent is None and self.options.overwrite is None:
                self.existing.pop(MARKER_NAME, None)

    def ensure(self) -> TargetDirectory:
        """Return the folder in the target, making it and what is above it if need be. TargetError if something is in
        the way."""
        missing: list[Place] = []
        place: Place | None = self
        while place is not None and place.directory is None:
            missing.append(place)
            place = place.parent
        for place in reversed(missing):
            place._make()
        assert self.directory is not None
        return self.directory

    def _make(self) -> None:
        parent = self.parent
        assert parent is not None
        assert parent.directory is not None
        found = parent.existing.get(self.name)
        if found is not None and found.type is not EntryType.DIRECTORY:
            parent.clear(self.name, found)
        self.directory = parent.directory.make_directory(self.name)
        self.made = True

    def clear(self, name: bytes, found: TargetStat) -> None:
        """Remove what is in the way of a folder, or a folder in the way of something.

        TargetError if that is not wanted.
        """
        overwrite = self.options.overwrite
        wanted = overwrite is not None and overwrite is not Overwrite.NEVER
        if not wanted or (found.type is EntryType.DIRECTORY and not self.options.delete):
            raise TargetError(f"Something else is in the way at {self.text(name)!r}; it was kept.", code="in_the_way")
        if found.type is EntryType.DIRECTORY and self.keeper.keeps(self.ensure(), self.path, name, found):
            raise TargetError(f"A folder with kept things is in the way at {self.text(name)!r}.", code="in_the_way")
        self.ensure().remove(name)
        del self.existing[name]

    def target_name(self, name: bytes, problems: list[Problem]) -> bytes:
        """Return the name that the target can hold, reporting a different one."""
        if self.plain_names and len(name) <= self.capabilities.name_max:
            self.keep(name)
            return name
        chosen = self.capabilities.portable_name(name, self.taken)
        if chosen != name:
            problems.append(renamed(self.text(name), name, chosen))
        self.keep(chosen)
        return chosen

    def keep(self, name: bytes) -> None:
        """Note that a name in the target is no surplus."""
        if self.options.delete:
            self.kept.add(name)

    def surplus(self) -> list[bytes]:
        """Return what is in the target and not in the snapshot, if that is to be removed."""
        if not (self.options.delete and self.complete) or self.part is not Part.WHOLE or self.directory is None:
            return []
        return [name for name in self.existing if name not in self.kept and not is_temporary(name)]


def attributes_of(entry: TreeEntry, xattrs: tuple[tuple[bytes, bytes], ...]) -> FileAttributes:
    """Return what an entry says about itself, for the target."""
    return FileAttributes(
        mode=entry.mode,
        mtime_ns=entry.mtime_ns,
        uid=entry.uid,
        gid=entry.gid,
        user=entry.user,
        group=entry.group,
        xattrs=dict(xattrs),
        windows_attributes=entry.windows_attributes,
        birth_ns=entry.birth_ns,
    )
