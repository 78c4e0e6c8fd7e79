"""`snapstore ls SNAPSHOT [PATH]`: what is in a snapshot.

Here: short and long lines, and one JSON object per entry. Not here: contents (`cat`).

Rules: lines are whole paths within the snapshot, so that they can be given to `cat` and `restore`; a folder ends with
"/". Entries are printed as they are read, because a snapshot may hold millions.
"""

from __future__ import annotations

import itertools
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ...types import Entry, EntryType
from ..context import Session, global_options
from ..output import local_time, printable

if TYPE_CHECKING:
    from ... import Dossier

_TYPE_BITS = {
    EntryType.FILE: stat.S_IFREG,
    EntryType.HARD_LINK: stat.S_IFREG,
    EntryType.DIRECTORY: stat.S_IFDIR,
    EntryType.SYMLINK: stat.S_IFLNK,
    EntryType.FIFO: stat.S_IFIFO,
    EntryType.CHARACTER_DEVICE: stat.S_IFCHR,
    EntryType.BLOCK_DEVICE: stat.S_IFBLK,
}


@click.command("ls")
@click.argument("snapshot")
@click.argument("path", default="")
@click.option("-l", "--long", "long_lines", is_flag=True, help="With mode, owner, size and time.")
@click.option("-R", "--recursive", is_flag=True, help="With everything below.")
@global_options()
@click.pass_obj
def command(session: Session, snapshot: str, path: str, long_lines: bool, recursive: bool) -> None:
    """List what SNAPSHOT (an id, its beginning, or "latest") holds at PATH."""

    def begin(dossier: Dossier) -> Iterator[Entry]:
        return _started(dossier.entries(snapshot, path, recursive=recursive))

    for entry in session.reading(begin):
        if session.output.json:
            session.output.data(entry)
        else:
            session.output.line(_long_line(entry) if long_lines else _shown_path(entry))


def _started(entries: Iterator[Entry]) -> Iterator[Entry]:
    # Fetches the first entry, because only then is a missing secret noticed.
    for first in entries:
        return itertools.chain((first,), entries)
    return iter(())


def _shown_path(entry: Entry) -> str:
    return printable(entry.path) + ("/" if entry.type is EntryType.DIRECTORY else "")


def _long_line(entry: Entry) -> str:
    mode = stat.filemode(_TYPE_BITS[entry.type] | entry.mode) if entry.mode is not None else "?" * 10
    owner = f"{_owner(entry.user, entry.uid)} {_owner(entry.group, entry.gid)}"
    size = f"{entry.device[0]},{entry.device[1]}" if entry.device is not None else str(entry.size)
    target = ""
    if entry.link_target is not None:
        arrow = "->" if entry.type is EntryType.SYMLINK else "=="
        target = f" {arrow} {printable(entry.link_target)}"
    return f"{mode} {owner:<17} {size:>14} {local_time(entry.modified, seconds=True)} {_shown_path(entry)}{target}"


def _owner(name: str | None, number: int | None) -> str:
    return printable(name) if name else "-" if number is None else str(number)
