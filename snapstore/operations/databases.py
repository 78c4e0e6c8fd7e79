"""Whether a restored SQLite database is in order.

Here: `look_at_database`. Not here: which files those are.

Rules: a database that stands alone is opened read-only and as one that nobody changes, so nothing is written beside
it. One with a journal is not whole without it: it is opened as SQLite would after a power cut, which may write, and
therefore only ever as a restored copy; but not if the journal names a file elsewhere, which SQLite would read and
delete. What this SQLite does not understand (a module, a newer format) is no damage.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import OperationCancelledError
from ..limits import MIB
from .meter import Meter

_QUICK_FROM_BYTES: Final = 256 * MIB  # a full check also compares each index with its table
_JOURNAL_MARK: Final = bytes.fromhex("d9d505f920a163d7")
_SECTOR_BYTES: Final = 512
_STEPS_BETWEEN_LOOKS: Final = 100_000  # of SQLite's machine: some milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseVerdict:
    """What was found. `message` is empty for a database that is in order."""

    broken: bool = False
    code: str = ""
    message: str = ""

    @property
    def in_order(self) -> bool:
        """Whether it was opened and nothing is wrong with it."""
        return not self.code


def look_at_database(path: Path, meter: Meter) -> DatabaseVerdict:
    """Open a database and let SQLite check it. Raises OperationCancelledError."""
    try:
        import sqlite3
    except ImportError:
        return _unopened("this Python was built without SQLite")
    size = path.stat().st_size
    if _leads_elsewhere(path.with_name(path.name + "-journal")):
        return _unopened("its journal belongs to a change of several databases, and names a file outside the sample")
    has_journal = any(path.with_name(path.name + ending).exists() for ending in ("-wal", "-journal"))
    address = path.as_uri() + ("?mode=rw" if has_journal else "?mode=ro&immutable=1")
    pragma = "quick_check" if size >= _QUICK_FROM_BYTES else "integrity_check"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            database.set_progress_handler(lambda: _is_cancelled(meter), _STEPS_BETWEEN_LOOKS)
            rows = [str(row[0]) for row in database.execute(f"PRAGMA {pragma}(10)")]
    except sqlite3.OperationalError as error:
        meter.step()  # raises if it is for a cancel
        return _unopened(str(error))
    except sqlite3.DatabaseError as error:
        return _broken(str(error))
    return DatabaseVerdict() if rows == ["ok"] else _broken("; ".join(rows[:3]))


def _leads_elsewhere(journal: Path) -> bool:
    """Whether a rollback journal ends with the name of a super-journal (SQLite's file format, section 3).

    Its mark is that of a journal's header, which begins a sector: anywhere else, and at the end, it is taken for one.
    """
    try:
        data = journal.read_bytes()
    except OSError:
        return False
    at = data.find(_JOURNAL_MARK)
    while at >= 0:
        if at % _SECTOR_BYTES or at + len(_JOURNAL_MARK) == len(data):
            return True
        at = data.find(_JOURNAL_MARK, at + 1)
    return False


def _is_cancelled(meter: Meter) -> int:
    try:
        meter.step()
    except OperationCancelledError:
        return 1
    return 0


def _unopened(why: str) -> DatabaseVerdict:
    return DatabaseVerdict(code="database_not_opened", message=f"The database could not be looked at: {why}.")


def _broken(why: str) -> DatabaseVerdict:
    message = (
        f"SQLite finds the database damaged: {why}. It came back as it was saved, so look at the original too; "
        "an application may have been writing to it at that moment."
    )
    return DatabaseVerdict(broken=True, code="database_broken", message=message)
