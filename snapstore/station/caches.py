"""What a station remembers of its last snapshot of one dossier on one medium.

Here: the root it wrote, the packs that snapshot relied on, copies it has checked, and for each source folder what its
files looked like and which entries they became. Not here: how that is used (`operations.snapshot`).

Rules: everything is a cache. A missing or damaged one reads as empty and costs only time. The folder cache is an SQLite
file written beside the old one and put in its place when the snapshot is confirmed, so a crash leaves the old one.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..crypto.derivation import digest
from ..errors import DamageError, UnsupportedFormatError
from ..format.packing import decode, encode
from ..types import DossierId, PlainHash, RepositoryId, SnapshotId
from .protection import (
    is_running,
    make_private_folder,
    read_private,
    running_mark,
    state_errors,
    write_private,
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LastSnapshot:
    """The last snapshot that this station confirmed here."""

    id: SnapshotId
    number: int
    root: PlainHash
    packs: dict[str, int]
    """Name to size of every pack that the snapshot relies on, perhaps a few more."""
    source_entries: dict[str, int] = field(default_factory=dict)
    """For each source path the count of entries found below it."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CopiedPair:
    """The last snapshot of another repository that this station copied here, and the root it has here."""

    repository_id: RepositoryId
    original: SnapshotId
    root: PlainHash
    packs: dict[str, int]
    """As in `LastSnapshot`."""


_CHECK_BYTES = 16
_OWNER = b""  # no folder has an empty path: here stands the id of the snapshot that the cache belongs to
_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(rb"(snapshots|ok)/[0-9a-z]{1,32}/[0-9a-z]{1,32}")
_NEW_CACHE = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
CREATE TABLE folders (path BLOB PRIMARY KEY, record BLOB) WITHOUT ROWID; BEGIN
"""


class FolderCache:
    """For each source folder, by its path: one opaque record. Reading and writing go to different files."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self.whole = True
        """False once something could not be kept, as on a full disk: then nothing of it may be used."""
        self._connection: sqlite3.Connection | None = None
        if writable or path.exists():
            try:
                self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                if writable:
                    self._connection.executescript(_NEW_CACHE)
            except sqlite3.Error:
                self._give_up()

    def get(self, folder: bytes) -> bytes | None:
        """Return the record of `folder`, or None."""
        if self._connection is None:
            return None
        try:
            row = self._connection.execute("SELECT record FROM folders WHERE path=?", (folder,)).fetchone()
        except sqlite3.Error:
            return None
        return row[0] if row and isinstance(row[0], bytes) else None

    def put(self, folder: bytes, record: bytes) -> None:
        """Remember `record` for `folder`."""
        if self._connection is not None:
            try:
                self._connection.execute("INSERT OR REPLACE INTO folders VALUES (?, ?)", (folder, record))
            except sqlite3.Error:
                self._give_up()

    def _give_up(self) -> None:
        self.whole = False
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def copy_others(self, old: FolderCache, sources: Sequence[bytes]) -> None:
        """Take over the records of folders that are in none of `sources`: other calls save those."""
        if old._connection is None or self._connection is None:
            return
        try:
            for path, record in old._connection.execute("SELECT path, record FROM folders"):
                if not isinstance(path, bytes) or not isinstance(record, bytes):
                    continue  # a damaged file: what it holds is worth no more than a missing row
                if path != _OWNER and not any(_is_within(path, source) for source in sources):
                    self.put(path, record)
        except sqlite3.Error:
            self._give_up()

    def close(self) -> None:
        """Close the file; what was put is kept."""
        if self._connection is not None:
            try:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")
            except sqlite3.Error:
                self.whole = False
            connection, self._connection = self._connection, None
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _is_within(path: bytes, source: bytes) -> bool:
    rest = path[len(source) :]
    return path.startswith(source) and (not rest or rest[:1] in (b"/", b"\\") or source[-1:] in (b"/", b"\\"))


class MediumCache:
    """The caches of one dossier on one medium."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def last(self) -> LastSnapshot | None:
        """Return what is remembered of the last snapshot, or None."""
        path = self.folder / "last"
        try:
            stored = read_private(path)
            if stored is None or stored[:_CHECK_BYTES] != self._check(stored[_CHECK_BYTES:]):
                return None
            record: Any = decode(stored[_CHECK_BYTES:], what=str(path))
            return LastSnapshot(
                id=SnapshotId(record[0]),
                number=record[1],
                root=PlainHash(record[2]),
                packs=dict(record[3]),
                source_entries={os.fsdecode(path): count for path, count in record[4]},
            )
        except (DamageError, UnsupportedFormatError, OSError, LookupError, TypeError, ValueError):
            return None

    def folders(self, last: LastSnapshot | None) -> FolderCache:
        """Open the cache of source folders that belongs to `last`, for reading; an empty one if there is none."""
        cache = FolderCache(self.folder / "folders.sqlite", writable=False)
        if last is None or cache.get(_OWNER) != last.id:  # two runs may have left files of different snapshots
            cache.close()
        return cache

    @contextlib.contextmanager
    def running(self, snapshot_id: SnapshotId) -> Iterator[Callable[[str], None]]:
        """Show other runs of this station that this snapshot is being made. StationStateError if that cannot be.

        Gives a function that takes note of the name of an object that is about to be put.
        """
        with running_mark(self._running(snapshot_id)) as mark:

            def note(name: str) -> None:
                with contextlib.suppress(OSError):  # without it, what is left is called damaged, and no more
                    os.write(mark.fileno(), f"{name}\n".encode())

            yield note

    def broken_off(self) -> tuple[SnapshotId, ...]:
        """Return the snapshots that runs of this station began here and did not finish; none that is being made."""
        marks = sorted((self.folder / "running").glob("*.lock"))
        return tuple(
            SnapshotId(bytes.fromhex(path.stem)) for path in marks if _ID.fullmatch(path.stem) and not is_running(path)
        )

    def names_begun(self, snapshot_id: SnapshotId) -> tuple[str, ...]:
        """Return the names that a run which did not end took note of, in order."""
        try:
            lines = self._running(snapshot_id).read_bytes().splitlines()
        except OSError:
            return ()
        return tuple(line.decode() for line in lines if _NAME.fullmatch(line))

    def forget_broken_off(self, snapshot_id: SnapshotId) -> None:
        """Take away what tells of a run that broke off."""
        with contextlib.suppress(OSError):
            self._running(snapshot_id).unlink()

    def _running(self, snapshot_id: SnapshotId) -> Path:
        return self.folder / "running" / f"{snapshot_id.hex()}.lock"

    def new_folders(self) -> FolderCache:
        """Start a new cache of source folders beside the present one."""
        with state_errors(self.folder):
            make_private_folder(self.folder)
        for left_over in self.folder.glob("folders-*.new"):
            with contextlib.suppress(OSError):
                left_over.unlink()
        path = self.folder / f"folders-{secrets.token_hex(6)}.new"
        with state_errors(self.folder):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        return FolderCache(path, writable=True)

    def keep(self, last: LastSnapshot, folders: FolderCache) -> None:
        """Make `last` and `folders` the remembered state.

        The folder cache comes first: it is checked against `last`.
        """
        folders.put(_OWNER, last.id)
        folders.close()
        with contextlib.suppress(OSError):
            (self.folder / "last").unlink()
        if not folders.whole:
            return
        try:
            with open(folders.path, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(folders.path, self.folder / "folders.sqlite")
        except OSError:
            return  # another run of this station cleaned up or holds the file: the next snapshot reads more, no harm
        packs = [[name, size] for name, size in sorted(last.packs.items())]
        sources = [[os.fsencode(path), count] for path, count in sorted(last.source_entries.items())]
        record = encode({0: last.id, 1: last.number, 2: last.root, 3: packs, 4: sources})
        write_private(self.folder / "last", self._check(record) + record)

    def _check(self, record: bytes) -> bytes:
        """Return what `last` begins with. A wrong bit in it, or another medium's file, would raise a false alarm: a
        snapshot would be called missing that never was."""
        return digest(os.fsencode("/".join(self.folder.parts[-3:])) + b"\0" + record)[:_CHECK_BYTES]

    def checked_copies(self) -> set[bytes]:
        """Return id prefix and stored hash (32 bytes together) of copies that were fetched and found right."""
        try:
            stored = read_private(self.folder / "checked")
        except (DamageError, OSError):
            return set()
        return set() if stored is None else {stored[at : at + 32] for at in range(0, len(stored) - 31, 32)}

    def keep_checked_copies(self, copies: set[bytes]) -> None:
        """Remember `copies`."""
        if copies:
            write_private(self.folder / "checked", b"".join(sorted(copies)))


def copied_pair(cache: MediumCache) -> CopiedPair | None:
    """Return what is remembered of the last copy from another repository, or None."""
    path = cache.folder / "copied"
    try:
        stored = read_private(path)
        if stored is None or stored[:_CHECK_BYTES] != cache._check(stored[_CHECK_BYTES:]):
            return None
        record: Any = decode(stored[_CHECK_BYTES:], what=str(path))
        return CopiedPair(
            repository_id=RepositoryId(record[0]),
            original=SnapshotId(record[1]),
            root=PlainHash(record[2]),
            packs=dict(record[3]),
        )
    except (DamageError, UnsupportedFormatError, OSError, LookupError, TypeError, ValueError):
        return None


def keep_copied_pair(cache: MediumCache, pair: CopiedPair) -> None:
    """Remember `pair`."""
    packs = [[name, size] for name, size in sorted(pair.packs.items())]
    record = encode({0: pair.repository_id, 1: pair.original, 2: pair.root, 3: packs})
    write_private(cache.folder / "copied", cache._check(record) + record)


def highest_number(repository: Path, dossier_id: DossierId) -> int:
    """Return the highest number of a last snapshot of the dossier that is kept below a repository's folder."""
    kept = [MediumCache(path).last() for path in repository.glob(f"*/{dossier_id.hex()}")]
    return max((last.number for last in kept if last is not None), default=0)
