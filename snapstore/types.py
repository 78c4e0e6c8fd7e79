"""Ids and result records that callers see.

Here: NewTypes for every id, and the frozen records that operations return. Not here: how any of it is stored
(`snapstore.format`) or computed (`snapstore.operations`).

Rules: sizes are bytes, times are aware `datetime`, durations are seconds. `raw_size` is plaintext, `stored_size` what
lies on the store. Paths inside a snapshot are `str`, elements joined by "/", undecodable bytes as lone surrogates
(`os.fsdecode`'s way), and "" is the root."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import NewType

from .errors import InputError

RepositoryId = NewType("RepositoryId", bytes)
MediumId = NewType("MediumId", bytes)
DossierId = NewType("DossierId", bytes)
SnapshotId = NewType("SnapshotId", bytes)
RecordId = NewType("RecordId", bytes)
StationId = NewType("StationId", bytes)
BlobId = NewType("BlobId", bytes)
"""32 bytes; names a sealed blob and opens nothing."""
PlainHash = NewType("PlainHash", bytes)
"""32 bytes, the `h` of docs/format/05-blobs.md; opens its blob. Treat as a key."""
ObjectName = NewType("ObjectName", str)
"""A full name in a store, such as "packs/a/..."."""


class EntryType(Enum):
    """What an entry of a snapshot is; the values are those of docs/format/07-trees.md."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    FIFO = 3
    CHARACTER_DEVICE = 4
    BLOCK_DEVICE = 5
    HARD_LINK = 6


class SnapshotKind(Enum):
    """Why a snapshot was taken; the values are those of docs/format/08-manifest.md."""

    MANUAL = 1
    AUTOMATIC = 2
    BEFORE_RESTORE = 3


class Overwrite(StrEnum):
    """What a restore does with a file that is in its way."""

    NEVER = "never"
    IF_CHANGED = "if_changed"
    ALWAYS = "always"


class CopyMode(StrEnum):
    """What a copy becomes."""

    TWIN = "twin"
    """Another medium of the same repository: same keys, and blobs as they are."""
    INDEPENDENT = "independent"
    """Snapshots of another repository, sealed anew with its keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that did not go as asked and did not stop the operation.

    `code` is stable, for programs; `path` is the path within the snapshot, or of the source or target; `message` is
    for people."""

    code: str
    path: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One state of a dossier. Fields sealed under the dossier's key are None where that key is missing."""

    id: SnapshotId
    number: int
    time: datetime
    kind: SnapshotKind
    confirmed: bool
    """False: its writer never saw it whole. It may be restored, with a warning."""
    held: bool = False
    """Whether somebody asked for it to stay whatever a policy says."""
    files: int
    directories: int
    others: int
    total_bytes: int
    added_bytes: int
    problem_count: int
    duration_seconds: float
    station: str | None
    label: str | None
    host: str | None
    user: str | None
    sources: tuple[str, ...]
    excludes: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def name(self) -> str:
        """The id as people and the command see it: 32 hexadecimal digits."""
        return self.id.hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a snapshot's tree. Fields are None where the source system had nothing of the kind."""

    path: str
    type: EntryType
    size: int
    """Bytes of the file; for a directory the sum of everything below it; else 0."""
    entries: int
    """For a directory the count of everything below it; else 0."""
    mode: int | None
    modified: datetime | None
    modified_ns: int | None
    uid: int | None
    gid: int | None
    user: str | None
    group: str | None
    link_target: str | None
    """Target of a symbolic link, or the path in the snapshot of a hard link's first name."""
    device: tuple[int, int] | None
    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)
    windows_attributes: int | None = None
    created_ns: int | None = None
    changed_while_read: bool = False

    @property
    def name(self) -> str:
        """The last element of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class DossierInfo:
    """What this station can say of a dossier without opening it."""

    id: DossierId
    name: str | None
    """None for a dossier this station is not enrolled in."""
    enrolled: bool
    protected: bool
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StationInfo:
    """A station as the dossier's keyset lists it."""

    id: StationId
    name: str | None
    enrolled: datetime
    revoked: datetime | None
    last_number: int | None
    """For a revoked station, the number of its last snapshot that is accepted."""
    this: bool
    """True for the station that is asking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotReport:
    """The result of a snapshot that was stored, looked over and found whole."""

    snapshot: Snapshot
    files_new: int
    files_changed: int
    files_unchanged: int
    raw_bytes_read: int
    added_bytes: int
    """Bytes this run put into the store, everything counted."""
    blobs_added: int
    blobs_reused: int
    duration_seconds: float
    problems: tuple[Problem, ...]
    notices: tuple[Problem, ...] = ()
    """What was said on the way and is no fault of the snapshot, such as that the room may not suffice."""
    safe_to_unplug: bool | None = None
    """Whether everything is on the medium, so that it may be unplugged; None for a store that nobody unplugs."""

    @property
    def clean(self) -> bool:
        """True if there were no problems."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """The result of a restore. `problems` names each thing the target could not hold or that could not be read."""

    snapshot: SnapshotId
    target: str
    files_restored: int
    files_unchanged: int
    directories: int
    others: int
    deleted: int
    bytes_written: int
    duration_seconds: float
    dry_run: bool
    problems: tuple[Problem, ...]

    @property
    def clean(self) -> bool:
        """True if there were no problems."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumInfo:
    """A medium that is connected. Texts are "", sizes and ids None where the system, or the medium, does not say."""

    path: str
    label: str
    uuid: str
    """What its file system calls itself by; a serial number on FAT and exFAT."""
    file_system: str
    """In the words of Linux: "vfat" (FAT of any kind), "exfat", "ntfs", "ext4", "apfs" ..."""
    total_bytes: int | None
    free_bytes: int | None
    read_only: bool
    repository_id: RepositoryId | None
    """Of the repository in the folder "snapstore" at its root."""
    medium_id: MediumId | None
    last_used: datetime | None
    """When this station opened that repository on that medium last, as far as it remembers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumTestReport:
    """The result of writing to a medium and reading it back. `problems` are what is wrong with it."""

    path: str
    full: bool
    """Whether all free space was written; else a part of it was."""
    spread: bool
    """Whether what was written lay all over the free space. Where the file system cannot set space aside without
    writing it, a quick test writes at one place only and cannot find a medium that lies about its size."""
    free_bytes: int | None
    """What the file system said was free, if it did."""
    written_bytes: int
    verified_bytes: int
    """Bytes that came back as they were written."""
    first_wrong_offset: int | None
    """How many bytes of the test had been written before the first one that came back wrong or not at all."""
    write_bytes_per_second: float | None
    read_bytes_per_second: float | None
    duration_seconds: float
    problems: tuple[Problem, ...]

    @property
    def passed(self) -> bool:
        """True if everything came back as it was written."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedSnapshot:
    """A snapshot that a copy brought to its destination."""

    dossier_id: DossierId
    dossier: str | None
    """None for a dossier this station is not enrolled in."""
    id: SnapshotId
    copy_id: SnapshotId
    """What it is called at the destination: the same on a twin, another id in another repository. Empty where nothing
    was changed (`dry_run`) and that repository's dossier is not there yet."""
    time: datetime
    files: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """The result of a copy. `problems` names each snapshot that could not be copied, and what else was noticed."""

    mode: CopyMode
    created: bool
    """Whether the destination was made."""
    dry_run: bool
    """Nothing was changed; `copied`, `blobs` and `added_bytes` are what would be."""
    copied: tuple[CopiedSnapshot, ...]
    present: int
    """How many of the snapshots that were asked for the destination has already."""
    forgotten: int
    """How many were left out because they were forgotten at the destination."""
    blobs: int
    added_bytes: int
    duration_seconds: float
    problems: tuple[Problem, ...]
    safe_to_unplug: bool | None = None
    """Of the destination, as in `SnapshotReport`."""

    @property
    def clean(self) -> bool:
        """True if there were no problems."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class LastResult:
    """What a check or a drill found, as the station that ran it signed."""

    time: datetime
    whole: bool
    amount: int
    """Bytes of packs that the check read, or files that the drill restored."""
    station: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryReview:
    """What a look at all manifests of a dossier gave.

    `missing` are ids that the newest roster names, that are gone, and that nobody forgot by a signed record.
    """

    snapshots: tuple[Snapshot, ...]
    missing: tuple[SnapshotId, ...]
    problems: tuple[Problem, ...]
    last_check: LastResult | None = None
    """The newest that a signed record tells of; None if none was ever recorded."""
    last_drill: LastResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotOptions:
    """How a snapshot is taken, beyond what and why. The defaults suit an application that saves its own folder."""

    exclude_files: tuple[str | os.PathLike[str], ...] = ()
    """Files of patterns in gitignore syntax."""
    exclude_caches: bool = False
    """Leave out the content of folders tagged by a CACHEDIR.TAG file."""
    one_file_system: bool = False
    """Save folders that are on another file system than their source empty."""
    exclude_larger_than: int | None = None
    """Leave out files of more bytes than this."""
    allow_missing: bool = False
    """Go on without sources that do not exist; each becomes a problem in the report."""
    allow_empty: bool = False
    """Accept a source that is empty now and was not in the last snapshot."""
    verify_writes: bool = True
    """Open every blob again before it is stored."""
    force_read: bool = False
    """Read every file, also those that look unchanged."""
    compression_level: int = 3
    """zstd's level, 1 to 19."""
    parity: bool | None = None
    """Store parity with each new pack, which heals damaged places of the medium. None: on removable media, and where
    packs have parity already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """How a restore treats what is in its way."""

    overwrite: Overwrite | None = None
    """None: the target must be new or empty (or hold an interrupted restore of the same snapshot)."""
    delete: bool = False
    """Remove what is in the target and not in the snapshot; needs `overwrite`."""
    dry_run: bool = False
    """Change nothing and report what would be done."""
    exclude: tuple[str, ...] = ()
    """Patterns in gitignore syntax of what is not restored."""
    sync: bool = True
    """Flush the target to its disk before success is reported."""
    numeric_owner: bool = False
    """Use the stored user and group numbers even where the names exist here."""
    partial: bool = False
    """Restore files of which a part is lost too: zeros stand for it, and a problem `content_lost` names each range."""

    def __post_init__(self) -> None:
        """Take the plain words too ("never", "if_changed", "always"). Raises InputError for any other."""
        if self.overwrite is not None:
            try:
                object.__setattr__(self, "overwrite", Overwrite(self.overwrite))
            except ValueError:
                raise InputError(
                    f"{self.overwrite!r} says nothing about overwriting: use never, if_changed or always.",
                    code="invalid_overwrite",
                ) from None
