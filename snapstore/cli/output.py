"""Everything the command writes: tables, plain lines, JSON, sizes, times, and names made safe for a terminal.

Here: pure formatting functions, and `Output`, which knows whether people or programs read. Not here: progress
(`progress.py`) and what to print (the commands).

Rules: a name from a snapshot was chosen by somebody else: control characters, bidirectional marks and undecodable
bytes are shown as escapes, so that no listing can repaint a terminal. JSON is ASCII with `\\u` escapes; undecodable
bytes of names stay lone surrogates there (`\\udcff`), so that nothing is lost. Ids are hexadecimal, times ISO 8601
with zone, sizes bytes. Tables are plain aligned text: they are read in e-mails of cron as often as on terminals.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum

from ..types import Problem

PROBLEMS_SHOWN = 20
_NAMED_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """Return `text` with every character that does not print as itself written as an escape."""
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # os.fsdecode's stand-in for one undecodable byte
        return f"\\x{code - 0xDC00:02x}"
    if character in _NAMED_ESCAPES:
        return _NAMED_ESCAPES[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def human_size(size: float) -> str:
    """Return bytes for people: "512 B", "1.5 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def human_seconds(seconds: float) -> str:
    """Return a duration for people: "3.2 s", "4:05", "1:02:03"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def local_time(time: datetime | None, *, seconds: bool = False) -> str:
    """Return a time in the zone of whoever looks, without the zone's name."""
    if time is None:
        return "-"
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return "1 file", "1,234 files"."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> list[str]:
    """Return lines with columns aligned; those numbered in `right` to the right. Cells must be printable."""
    lines = [tuple(titles), *(tuple(row) for row in rows)]
    widths = [max(map(display_width, column)) for column in zip(*lines, strict=True)]
    to_the_right = frozenset(right)
    return [
        "  ".join(_pad(cell, width, right=i in to_the_right) for i, (cell, width) in enumerate(zip(line, widths)))  # noqa: B905
        .rstrip()
        for line in lines
    ]  # fmt: skip


def display_width(text: str) -> int:
    """Return the columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _pad(text: str, width: int, *, right: bool) -> str:
    filling = " " * (width - display_width(text))
    return filling + text if right else text + filling


def plain_data(value: object) -> object:
    """Return results as what JSON knows. Records become objects of the same field names."""
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(_plain_item(key, item) for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain_data(item) for item in value]
    return value


def _plain_item(key: object, item: object) -> tuple[str, object]:
    if isinstance(key, bytes) and isinstance(item, bytes):  # extended attributes: names are bytes, values anything
        return os.fsdecode(key), base64.b64encode(item).decode("ascii")
    return str(key), plain_data(item)


def json_line(value: object) -> str:
    """Return records and their like as JSON on one line."""
    import json  # few ask for it, and every start would pay

    return json.dumps(plain_data(value))


class Output:
    """Writes results to stdout and remarks to stderr, as the global options ask."""

    def __init__(self) -> None:
        self.json = False
        self.quiet = False
        self.verbose = 0
        self.redact: Callable[[str], str] = str
        """Takes secrets out of warnings and problems."""

    def line(self, text: str = "") -> None:
        """Print one line of a result for people."""
        print(text)

    def lines(self, texts: Iterable[str]) -> None:
        """Print several lines of a result."""
        for text in texts:
            self.line(text)

    def data(self, value: object) -> None:
        """Print one JSON object on a line of its own."""
        print(json_line(value))

    def summary(self, text: str) -> None:
        """Print what was done, unless -q or --json."""
        if not self.quiet and not self.json:
            print(text)

    def remark(self, text: str) -> None:
        """Print a remark to stderr, unless -q or --json."""
        if not self.quiet and not self.json:
            print(text, file=sys.stderr)

    def warn(self, text: str) -> None:
        """Print a warning to stderr; as a JSON object if programs read. Not silenced by -q."""
        text = self.redact(text)
        line = json_line({"warning": {"message": text}}) if self.json else f"snapstore: warning: {printable(text)}"
        print(line, file=sys.stderr)

    def problems(self, problems: Sequence[Problem]) -> None:
        """Print what went wrong on the way to stderr. Programs find it in the result."""
        if self.json:
            return
        shown = problems if self.verbose else problems[:PROBLEMS_SHOWN]
        for problem in shown:
            where = f"{printable(problem.path)}: " if problem.path else ""
            print(self.redact(f"problem: {where}{printable(problem.message)}"), file=sys.stderr)
        if len(shown) < len(problems):
            print(f"... and {len(problems) - len(shown):,} more; -v shows all", file=sys.stderr)
