"""Which cutter a file gets, by its name and its first bytes.

Three kinds of content want three kinds of cut. Databases change page by page and in place: fixed chunks of whole
pages. Photos, films and archives are written once: large chunks cost the least. Everything else is cut finely by
content. The table of signatures is that of docs/format/10-chunking.md; a wrong guess costs space, never content.

Not here: reading the head of a file. Only ASCII letters of a name are made lower case, since a name is bytes of any
encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .cutters import Cutter, GearCutter, PageCutter
from .gear_table import gear_table

HEAD_BYTES = 18
"""How much of a file's start `choose_cutter` wants: the signatures, and the page size of an SQLite file."""

_SQLITE_SIGNATURE = b"SQLite format 3\0"
_SQLITE_PAGE_SIZE = slice(16, 18)
_SQLITE_PAGE_SIZES = frozenset(2**bits for bits in range(9, 17))

_COARSE_SIGNATURES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"RIFF",  # WebP, AVI, WAV
    b"\x1a\x45\xdf\xa3",  # Matroska
    b"OggS",
    b"fLaC",
    b"ID3",  # MP3
    b"II*\0",  # TIFF
    b"MM\0*",
    b"PK\x03\x04",  # ZIP, Office, JAR
    b"\x1f\x8b\x08",  # gzip
    b"BZh",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",  # zstd
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"%PDF-",
)
_MP4_SIGNATURE = b"ftyp"
_MP4_OFFSET = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CutterSet:
    """The cutters of one repository. `page_extensions` are lower case, with the dot."""

    page_chunk: int
    fine: GearCutter
    coarse: GearCutter
    page_extensions: frozenset[bytes]


def make_cutters(
    *, gear_key: bytes, page_chunk: int, fine_target: int, coarse_target: int, page_extensions: Sequence[str]
) -> CutterSet:
    """Return the cutters for the parameters of a repository's config; sizes are bytes.

    `gear_key` is the 32-byte subkey for the Gear table. Raises ValueError for a target below 128 bytes and for a
    coarse target below the fine one, since the table is drawn for the fine one.
    """
    if coarse_target < fine_target:
        raise ValueError("the coarse target is below the fine one")
    if page_chunk < 1:
        raise ValueError("a page chunk needs at least one byte")
    table = gear_table(gear_key, fine_target)
    return CutterSet(
        page_chunk=page_chunk,
        fine=GearCutter.for_target(table, fine_target),
        coarse=GearCutter.for_target(table, coarse_target),
        page_extensions=frozenset(extension.encode() for extension in page_extensions),
    )


def choose_cutter(name: bytes, head: bytes, cutters: CutterSet) -> Cutter:
    """Return the cutter for the file called `name` (its last element) that begins with `head`.

    `head` is the first HEAD_BYTES of the file or more, or all of it if it is shorter.
    """
    if head.startswith(_SQLITE_SIGNATURE):
        return PageCutter(maximum=max(cutters.page_chunk, _sqlite_page_size(head)))
    if _extension(name) in cutters.page_extensions:
        return PageCutter(maximum=cutters.page_chunk)
    if head.startswith(_COARSE_SIGNATURES) or head.startswith(_MP4_SIGNATURE, _MP4_OFFSET):
        return cutters.coarse
    return cutters.fine


def _sqlite_page_size(head: bytes) -> int:
    """Return the page size of an SQLite header, 0 for an impossible one (https://sqlite.org/fileformat.html, 1.3.2)."""
    field = head[_SQLITE_PAGE_SIZE]
    value = int.from_bytes(field, "big") if len(field) == 2 else 0
    value = 65536 if value == 1 else value
    return value if value in _SQLITE_PAGE_SIZES else 0


def _extension(name: bytes) -> bytes:
    stem, dot, extension = name.rpartition(b".")
    return (dot + extension).lower() if stem else b""
