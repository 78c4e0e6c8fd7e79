"""Contents: small, large, with holes, and changing under the reader."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstore.sources.directory import SourceDirectory, open_source
from snapstore.sources.file import Data, Gap, SourceFile

MIB = 1024 * 1024


@pytest.fixture
def source(tmp_path: Path) -> Iterator[SourceDirectory]:
    with open_source(str(tmp_path)) as source:
        yield source


def opened(source: SourceDirectory, name: str = "file") -> SourceFile:
    return source.open_file(source.entry(name.encode()))


@pytest.mark.parametrize("size", [0, 1, 511, 4096, 100_000])
def test_small_files_at_once(tmp_path: Path, source: SourceDirectory, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    with opened(source) as file:
        assert file.size == size
        assert file.read_all(100_000) == content
        assert list(file.segments()) == ([Data(offset=0, size=size)] if size else [])
        assert not file.changed()


def test_no_more_than_the_limit(tmp_path: Path, source: SourceDirectory) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")
    with opened(source) as file:
        assert file.read_all(4) == b"abcd"


def test_parts_and_blocks(tmp_path: Path, source: SourceDirectory) -> None:
    content = os.urandom(3 * MIB + 17)
    (tmp_path / "file").write_bytes(content)
    with opened(source) as file:
        assert file.read(MIB - 1, 5) == content[MIB - 1 : MIB + 4]
        assert file.read(len(content) - 3, 10) == content[-3:]
        assert file.read(len(content) + 1, 10) == b""
        blocks = list(file.blocks(0, file.size, MIB))
        assert [len(block) for block in blocks] == [MIB, MIB, MIB, 17]
        assert b"".join(blocks) == content
        assert b"".join(file.blocks(100, 1000, 300)) == content[100:1100]
        assert list(file.blocks(0, 0, MIB)) == []


def test_holes_are_found(tmp_path: Path, source: SourceDirectory) -> None:
    with (tmp_path / "file").open("wb") as writer:
        writer.seek(MIB)
        writer.write(b"x" * 65_536)
        writer.seek(5 * MIB)
        writer.write(b"y" * 65_536)
        writer.truncate(8 * MIB)
    with opened(source) as file:
        if not file.entry.sparse:
            pytest.skip("this file system has no holes")
        segments = list(file.segments())
        assert segments == [
            Gap(offset=0, size=MIB),
            Data(offset=MIB, size=65_536),
            Gap(offset=MIB + 65_536, size=4 * MIB - 65_536),
            Data(offset=5 * MIB, size=65_536),
            Gap(offset=5 * MIB + 65_536, size=3 * MIB - 65_536),
        ]


def test_a_file_of_one_hole_and_a_hole_to_an_odd_end(tmp_path: Path, source: SourceDirectory) -> None:
    with (tmp_path / "file").open("wb") as writer:
        writer.truncate(10 * MIB + 1)
    with opened(source) as file:
        if not file.entry.sparse:
            pytest.skip("this file system has no holes")
        assert list(file.segments()) == [Gap(offset=0, size=10 * MIB + 1)]


def test_a_file_that_grows_is_read_as_it_was(tmp_path: Path, source: SourceDirectory) -> None:
    (tmp_path / "file").write_bytes(b"before")
    with opened(source) as file:
        with (tmp_path / "file").open("ab") as writer:
            writer.write(b" and after")
        assert file.read_all(1000) == b"before"
        assert b"".join(file.blocks(0, 1000, 4)) == b"before"
        assert file.changed()


def test_a_file_that_shrinks_ends_early(tmp_path: Path, source: SourceDirectory) -> None:
    (tmp_path / "file").write_bytes(b"before" * 1000)
    with opened(source) as file:
        os.truncate(tmp_path / "file", 10)
        assert file.read_all(10_000) == b"beforebefo"
        assert list(file.blocks(0, file.size, 4)) == [b"befo", b"rebe", b"fo"]
        assert file.changed()


def test_a_file_written_in_place_is_noticed(tmp_path: Path, source: SourceDirectory) -> None:
    (tmp_path / "file").write_bytes(b"before")
    os.utime(tmp_path / "file", ns=(1, 1))
    with opened(source) as file:
        assert file.read_all(10) == b"before"
        with (tmp_path / "file").open("r+b") as writer:
            writer.write(b"behind")
        assert file.changed()


def test_a_file_replaced_after_it_was_opened_is_whole(tmp_path: Path, source: SourceDirectory) -> None:
    (tmp_path / "file").write_bytes(b"before")
    (tmp_path / "new").write_bytes(b"afterwards")
    with opened(source) as file:
        os.replace(tmp_path / "new", tmp_path / "file")
        assert file.read_all(100) == b"before"


def test_a_file_replaced_before_it_is_opened_comes_with_its_own_entry(tmp_path: Path, source: SourceDirectory) -> None:
    (tmp_path / "file").write_bytes(b"before")
    scanned = source.entry(b"file")
    (tmp_path / "new").write_bytes(b"afterwards")
    os.replace(tmp_path / "new", tmp_path / "file")
    with source.open_file(scanned) as file:
        assert (file.size, file.read_all(100)) == (10, b"afterwards")
        assert file.entry.signature != scanned.signature
        assert not file.changed()


def test_only_regular_files_are_taken_over(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(OSError, match="replaced") as caught:
        SourceFile(descriptor, name=b"x", parent=str(tmp_path))
    assert caught.value.errno == errno.ESTALE
    assert caught.value.filename == str(tmp_path / "x")
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)


def test_reading_leaves_no_trace(tmp_path: Path, source: SourceDirectory) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux can be asked not to")
    (tmp_path / "file").write_bytes(b"content")
    os.utime(tmp_path / "file", ns=(1, 2))  # older than the modification: an access would show even with relatime
    with opened(source) as file:
        assert file.read_all(100) == b"content"
    assert os.stat(tmp_path / "file").st_atime_ns == 1


def test_closing_twice_is_harmless(tmp_path: Path, source: SourceDirectory) -> None:
    (tmp_path / "file").write_bytes(b"x")
    file = opened(source)
    file.close()
    file.close()
    with pytest.raises(OSError, match="descriptor"):
        file.read(0, 1)
