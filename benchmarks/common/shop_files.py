"""The photos and documents of a made-up shop.

Here: `build_photos` and `build_documents`. Not here: the database (`shop_database`).

Rules: what a program sees at the head of a file, and how well the rest compresses, is as in real ones; nothing more is.
A photo is a JPEG head and random bytes. Of the documents 60 % are PDF (a clear frame around incompressible streams),
25 % office documents (real ZIP archives of deflated text and a stored picture), 15 % text and CSV. Document sizes are
even on a logarithmic scale, since small ones are more common. The same seed gives the same bytes and names.
"""

from __future__ import annotations

import io
import math
import random
import zipfile
from pathlib import Path

from . import words

SEED = 20_250_102
PHOTO_SIZES = (2_000_000, 6_000_000)
DOCUMENT_SIZES = (20_000, 300_000)
JPEG_HEAD = bytes.fromhex("ffd8ffe000104a46494600010101004800480000ffdb0043000302020302020303030304")
JPEG_TAIL = bytes.fromhex("ffd9")
STREAM_BYTES = 16_000
MONTHS = 40


def build_photos(folder: Path, *, count: int) -> None:
    """Write photos into folders by year and month."""
    source = random.Random(SEED)
    for number in range(count):
        target = folder / f"{2019 + number * 6 // count}" / f"{number % 12 + 1:02}"
        target.mkdir(parents=True, exist_ok=True)
        body = source.randbytes(source.randint(*PHOTO_SIZES) - len(JPEG_HEAD) - len(JPEG_TAIL))
        (target / f"IMG_{number:05}.jpg").write_bytes(JPEG_HEAD + body + JPEG_TAIL)


def build_documents(folder: Path, *, count: int) -> None:
    """Write documents into folders by kind and month."""
    source = random.Random(SEED + 1)
    lines = _Lines(source)
    low, high = (math.log(size) for size in DOCUMENT_SIZES)
    for number in range(count):
        size = int(math.exp(low + source.random() * (high - low)))
        place = source.random()
        month = number * MONTHS // count
        when = f"{2022 + month // 12}-{month % 12 + 1:02}"
        if place < 0.60:
            kind, name, data = "invoices", f"invoice-{number:06}.pdf", _pdf(source, lines, size)
        elif place < 0.85:
            kind, name, data = "letters", f"letter-{number:06}.docx", _office(source, lines, size)
        else:
            kind, name, data = "exports", f"export-{number:06}.csv", lines.text(size)
        target = folder / kind / when
        target.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)


class _Lines:
    """Lines of text of which files are put together."""

    def __init__(self, source: random.Random) -> None:
        pool = words.descriptions(source, count=3000)
        self._source = source
        self._lines = [
            f"{number:06};{source.randint(100, 999_999) / 100:.2f};{phrase};{source.randint(1, 40)}\n".encode()
            for number, phrase in enumerate(pool.phrases)
        ]

    def text(self, size: int) -> bytes:
        """Return `size` bytes of lines in a drawn order."""
        count = size // len(self._lines[0]) * 2 + 2
        return b"".join(self._source.choices(self._lines, k=count))[:size]


def _pdf(source: random.Random, lines: _Lines, size: int) -> bytes:
    """A frame of dictionaries around streams that are deflated in real life, so random here, and a table of offsets."""
    parts = [b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"]
    offsets, at, number = [], len(parts[0]), 1
    while at < size - 2000:
        body = source.randbytes(min(STREAM_BYTES, size - 1500 - at))
        head = b"%d 0 obj\n<</Length %d/Filter/FlateDecode/Type/XObject>>\nstream\n" % (number, len(body))
        part = head + body + b"\nendstream\nendobj\n"
        offsets.append(at)
        parts.append(part)
        at += len(part)
        number += 1
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    information = b"<</Producer(shop 4.2)/Title(%s)>>" % lines.text(60).replace(b"\n", b" ")
    parts.append(b"xref\n0 %d\n%strailer\n%s\nstartxref\n%d\n%%%%EOF\n" % (number, table, information, at))
    return b"".join(parts)


def _office(source: random.Random, lines: _Lines, size: int) -> bytes:
    """A ZIP archive with a text that deflates to some 10 KB and a picture that fills the rest."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        # A given date, where writestr would take now: the same seed is to give the same bytes.
        text = zipfile.ZipInfo("word/document.xml", (2022, 1, 1, 0, 0, 0))
        picture = zipfile.ZipInfo("word/media/image1.jpeg", (2022, 1, 1, 0, 0, 0))
        archive.writestr(text, b"<w:document>" + lines.text(24_000), compress_type=zipfile.ZIP_DEFLATED)
        used = target.tell() + len(JPEG_HEAD) + 300  # the second head and the directory
        archive.writestr(picture, JPEG_HEAD + source.randbytes(max(size - used, 1000)))
    return target.getvalue()
