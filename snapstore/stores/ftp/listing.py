"""What is in a folder on an FTP server.

Here: `read_folder`, which gives each name with what it is, as far as the server says; and `settled`, which finds out
the rest. Not here: which names are the store's (store.py), data connections (transfers.py).

Rules: MLSD says for each name what it is and how large. Where a server has no MLSD, NLST gives the names, and SIZE and
CWD tell files from folders. LIST is for people and is never parsed: its lines have no format, and cut names and sizes.
A folder that seems empty without MLSD has to prove that it could be read at all.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ...errors import StorePermissionError
from .client import FtpClient
from .questions import is_folder, sizes_of
from .replies import NO_SUCH_FILE, UNKNOWN_COMMAND, RefusedError, number_of, unfit_error
from .transfers import listing_lines


class Kind(enum.Enum):
    """What stands behind a name."""

    FILE = enum.auto()
    FOLDER = enum.auto()
    UNKNOWN = enum.auto()
    """Not said by the server: a link, or a listing of bare names."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder."""

    name: str
    kind: Kind
    size: int | None = None


def read_folder(client: FtpClient, path: str, *, sure: bool = False) -> list[Entry]:
    """All that is in a folder. Raises RefusedError where it is absent or may not be read.

    Where the folder is there for sure, one command is saved that would find out cheaply.
    """
    if client.machine_listings:
        if not sure:
            client.voidcmd(f"CWD {path}")
        try:
            lines = listing_lines(client, f"MLSD {path}")
        except RefusedError as refusal:
            if refusal.code not in UNKNOWN_COMMAND or refusal.code == 501:  # 501: "not a folder"
                raise
            client.machine_listings = False
        else:
            return [entry for line in lines if (entry := _parsed(client, line)) is not None]
    return [Entry(name, Kind.UNKNOWN) for name in _names(client, path)]


def settled(client: FtpClient, path: str, entries: list[Entry]) -> Iterator[Entry]:
    """The entries, all of them known to be files with a size, or folders; what is neither any more is left out."""
    unsure: list[Entry] = []
    for entry in entries:
        if entry.kind is Kind.FOLDER or (entry.kind is Kind.FILE and entry.size is not None):
            yield entry
        else:
            unsure.append(entry)
    doubtful: list[Entry] = []
    for entry, size in zip(unsure, sizes_of(client, [f"{path}/{entry.name}" for entry in unsure]), strict=True):
        if size:
            yield replace(entry, kind=Kind.FILE, size=size)
        else:
            doubtful.append(replace(entry, size=size))
    missing: list[str] = []
    for entry in doubtful:
        # Some servers give a folder the size 0.
        if entry.kind is not Kind.FILE and is_folder(client, f"{path}/{entry.name}"):
            yield replace(entry, kind=Kind.FOLDER)
        elif entry.size is not None:
            yield replace(entry, kind=Kind.FILE)
        else:
            missing.append(entry.name)
    if missing and (left := {entry.name for entry in read_folder(client, path)}.intersection(missing)):
        raise StorePermissionError(
            f"The server of {client.url} lists {min(left)} in {path} and gives neither its size nor its content: see "
            "that the user may read there."
        )


def _parsed(client: FtpClient, line: str) -> Entry | None:
    """One line of MLSD (RFC 3659, chapter 7): facts, a blank, the name. None for the folder itself and its parent."""
    facts_text, blank, name = line.partition(" ")
    facts = {key.lower(): value for key, equals, value in (f.partition("=") for f in facts_text.split(";")) if equals}
    if not blank or not name or not (facts or facts_text in ("", ";")):
        raise unfit_error(client.url, "a line of its listing makes no sense")
    kind = facts.get("type", "").lower()
    name = name.rstrip("/").rpartition("/")[2]
    if kind in ("cdir", "pdir") or name in (".", "..", ""):
        return None
    if kind == "file":
        return Entry(name, Kind.FILE, number_of(facts.get("size", "")))
    return Entry(name, Kind.FOLDER if kind == "dir" else Kind.UNKNOWN)


def _names(client: FtpClient, path: str) -> list[str]:
    """The names in a folder, by NLST in it: with the path as an argument, servers expand * and [ in it."""
    client.voidcmd(f"CWD {path}")
    try:
        lines = listing_lines(client, "NLST")
    except RefusedError as refusal:
        if refusal.code in UNKNOWN_COMMAND:
            raise unfit_error(client.url, "it has neither MLSD nor NLST") from None
        if refusal.code not in NO_SUCH_FILE:
            raise
        lines = []
        refused: RefusedError | None = refusal
    else:
        refused = None
    names = _bare(lines)
    if not names and refused is not None and not _shows_itself(client, path):
        raise refused
    return names


def _shows_itself(client: FtpClient, path: str) -> bool:
    """Whether a folder can be read: then it has at least `.` in it. For servers that call an empty one an error."""
    client.voidcmd(f"CWD {path}")
    try:
        lines = listing_lines(client, "NLST -a")
    except RefusedError:
        return False
    return any(line.rpartition("/")[2] in (".", "..") for line in lines)


def _bare(lines: Iterable[str]) -> list[str]:
    """Names without the folder that some servers put before them, and without the folder itself."""
    names = (line.rstrip("/").rpartition("/")[2] for line in lines)
    return [name for name in names if name not in (".", "..", "")]
