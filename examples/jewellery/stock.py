"""Stock, sales and photos of a small jewellery shop, in SQLite and a folder.

Here: the data. Not here: backups (`backup.py`) and the command line (`shop.py`).

Rules: one folder holds everything: `stock.db` and `photos/ITEM.png`. Prices are whole cents.
"""

from __future__ import annotations

import random
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS item (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, cents INTEGER NOT NULL, pieces INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS sale (item INTEGER NOT NULL REFERENCES item, cents INTEGER NOT NULL, time TEXT NOT NULL);
"""
STONES = ("agate", "amber", "emerald", "garnet", "onyx", "opal", "pearl", "ruby", "sapphire", "topaz")
KINDS = ("ring", "necklace", "brooch", "bracelet", "earring")


class Stock:
    """The shop's folder `data`."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def seed(self, *, items: int, seed: int = 1) -> None:
        """Fill an empty folder with items and photos."""
        source = random.Random(seed)
        photos = self.data / "photos"
        photos.mkdir(parents=True, exist_ok=True)
        with self._database() as database:
            database.executescript(SCHEMA)
            for number in range(1, items + 1):
                name = f"{source.choice(STONES)} {source.choice(KINDS)}"
                database.execute(
                    "INSERT INTO item VALUES (?, ?, ?, ?)",
                    (number, name, source.randrange(5_000, 500_000), source.randrange(1, 9)),
                )
                (photos / f"{number:05}.png").write_bytes(picture(source))

    def sell(self, number: int) -> str:
        """Sell one piece of the item `number` and return its name. LookupError if there is none."""
        with self._database() as database:
            found = database.execute("SELECT name, cents, pieces FROM item WHERE number = ?", (number,)).fetchone()
            if found is None or found[2] < 1:
                raise LookupError(f"There is no item {number} in stock.")
            database.execute("UPDATE item SET pieces = pieces - 1 WHERE number = ?", (number,))
            now = datetime.now(UTC).isoformat(timespec="seconds")
            database.execute("INSERT INTO sale VALUES (?, ?, ?)", (number, found[1], now))
            return str(found[0])

    def items(self) -> list[tuple[int, str, int, int]]:
        """Return number, name, price in cents and pieces of every item."""
        with self._database() as database:
            return list(database.execute("SELECT number, name, cents, pieces FROM item ORDER BY number"))

    def takings(self) -> int:
        """Return the sum of all sales, in cents."""
        with self._database() as database:
            return int(database.execute("SELECT coalesce(sum(cents), 0) FROM sale").fetchone()[0])

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        self.data.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.data / "stock.db")) as database, database:
            yield database


def picture(source: random.Random, size: int = 64) -> bytes:
    """Return a PNG of random pixels: it compresses as little as a photo does."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + source.randbytes(size * 3) for _ in range(size))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
