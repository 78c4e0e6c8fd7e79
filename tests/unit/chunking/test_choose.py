"""choose_cutter: every row of the table of signatures, extensions, and SQLite's page sizes."""

from __future__ import annotations

import pytest

from snapstore.chunking import CutterSet, PageCutter, choose_cutter, make_cutters

SIGNATURES = {
    "JPEG": "FF D8 FF", "PNG": "89 50 4E 47 0D 0A 1A 0A", "GIF": "47 49 46 38", "RIFF": "52 49 46 46",
    "MP4": "00 00 00 20 66 74 79 70", "Matroska": "1A 45 DF A3", "Ogg": "4F 67 67 53", "FLAC": "66 4C 61 43",
    "MP3": "49 44 33", "TIFF, little": "49 49 2A 00", "TIFF, big": "4D 4D 00 2A", "ZIP": "50 4B 03 04",
    "gzip": "1F 8B 08", "bzip2": "42 5A 68", "xz": "FD 37 7A 58 5A 00", "zstd": "28 B5 2F FD",
    "7z": "37 7A BC AF 27 1C", "RAR": "52 61 72 21 1A 07", "PDF": "25 50 44 46 2D",
}  # fmt: skip


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES.keys())
def test_signatures_mean_coarse(cutters: CutterSet, signature: str) -> None:
    head = bytes.fromhex(signature)
    assert choose_cutter(b"name", head + bytes(20), cutters) is cutters.coarse
    assert choose_cutter(b"name", head, cutters) is cutters.coarse
    assert choose_cutter(b"name", head[:-1], cutters) is cutters.fine
    assert choose_cutter(b"name", b"\x01" + head, cutters) is cutters.fine


@pytest.mark.parametrize("head", [b"", b"text", bytes(18), b"ftyp", b"SQLite format 2\0\x10\0"])
def test_anything_else_is_fine(cutters: CutterSet, head: bytes) -> None:
    assert choose_cutter(b"notes.txt", head, cutters) is cutters.fine


@pytest.mark.parametrize("name", [b"Client.fic", b"CLIENT.FIC", b"a.b.mmo", b"\xff.Fic"])
def test_page_files_are_known_by_extension(cutters: CutterSet, name: bytes) -> None:
    assert choose_cutter(name, b"PK\x03\x04", cutters) == PageCutter(maximum=16384)


@pytest.mark.parametrize("name", [b"fic", b".fic", b"client.fic.zip", b"client.fica", b"client.", b"client.fic "])
def test_other_names_are_not(cutters: CutterSet, name: bytes) -> None:
    assert choose_cutter(name, b"", cutters) is cutters.fine


@pytest.mark.parametrize(
    ("page_size", "chunk"),
    [("02 00", 16384), ("10 00", 16384), ("40 00", 16384), ("80 00", 32768), ("00 01", 65536), ("00 00", 16384),
     ("FF FF", 16384), ("81 00", 16384), ("00 02", 16384), ("80", 16384), ("", 16384)],
)  # fmt: skip
def test_sqlite_pages_are_never_split(cutters: CutterSet, page_size: str, chunk: int) -> None:
    head = b"SQLite format 3\0" + bytes.fromhex(page_size)
    assert choose_cutter(b"data.zip", head, cutters) == PageCutter(maximum=chunk)


def test_targets_become_bounds(cutters: CutterSet) -> None:
    assert (cutters.fine.minimum, cutters.fine.maximum, cutters.fine.threshold) == (32768, 262144, 2**49)
    assert (cutters.coarse.minimum, cutters.coarse.maximum, cutters.coarse.threshold) == (2**19, 2**22, 2**45)
    assert cutters.coarse.table == cutters.fine.table


def test_table_is_not_shown(cutters: CutterSet) -> None:
    assert "table" not in repr(cutters)


@pytest.mark.parametrize(("page_chunk", "fine", "coarse"), [(16384, 1024, 512), (0, 1024, 1024), (16384, 64, 1024)])
def test_impossible_parameters_are_refused(page_chunk: int, fine: int, coarse: int) -> None:
    with pytest.raises(ValueError, match=r"target|page"):
        make_cutters(
            gear_key=bytes(32), page_chunk=page_chunk, fine_target=fine, coarse_target=coarse, page_extensions=[]
        )
