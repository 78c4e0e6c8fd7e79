"""A file on its way in: whole under its name, or not there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapstore.errors import TargetError
from snapstore.targets import files
from snapstore.targets.attributes import FileAttributes
from snapstore.targets.directory import TargetDirectory, open_target
from snapstore.targets.syncing import sync_tree

PLAIN = FileAttributes()


def test_nothing_has_the_name_before_the_file_is_whole(target: TargetDirectory, place: Path) -> None:
    (place / "file").write_bytes(b"old")
    with target.new_file(b"file") as file:
        file.write(b"new ")
        file.write(memoryview(b"content"))
        assert file.size == 11
        (temporary,) = set(os.listdir(place)) - {"file"}
        assert stat.S_IMODE((place / temporary).stat().st_mode) == 0o600
        assert (place / "file").read_bytes() == b"old"
        assert file.commit(FileAttributes(mode=0o644), sync=True, replace=True) == []
        file.discard()
    assert os.listdir(place) == ["file"]
    assert (place / "file").read_bytes() == b"new content"


def test_what_is_not_committed_leaves_nothing(target: TargetDirectory, place: Path) -> None:
    with target.new_file(b"file") as file:
        file.write(b"half")
    with pytest.raises(RuntimeError), target.new_file(b"file") as file:
        raise RuntimeError
    (place / "file").write_bytes(b"kept")
    with target.new_file(b"file") as file, pytest.raises(TargetError) as caught:
        file.commit(PLAIN, sync=False, replace=False)
    assert caught.value.code == "in_the_way"
    assert os.listdir(place) == ["file"]
    assert (place / "file").read_bytes() == b"kept"


def test_holes_come_back(target: TargetDirectory, place: Path) -> None:
    size = 8 << 20
    with target.new_file(b"sparse") as file:
        file.skip(size)
        file.write(b"middle")
        file.skip(size)
        file.skip(size)
        assert file.commit(FileAttributes(mtime_ns=1), sync=True, replace=False) == []
    found = (place / "sparse").stat()
    assert found.st_size == 3 * size + 6
    assert found.st_blocks * 512 < 1 << 20
    with (place / "sparse").open("rb") as written:
        assert written.read(size) == bytes(size)
        assert written.read(6) == b"middle"
        assert written.read() == bytes(2 * size)


@example([1, b""])
@given(st.lists(st.one_of(st.binary(max_size=9000), st.integers(0, 9000)), max_size=8))
def test_any_mixture_of_bytes_and_holes(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes | int]) -> None:
    place = tmp_path_factory.mktemp("mixture")
    with open_target(str(place), create=False) as target, target.new_file(b"file") as file:
        for piece in pieces:
            if isinstance(piece, int):
                file.skip(piece)
            else:
                file.write(piece)
        file.commit(PLAIN, sync=False, replace=False)
    assert (place / "file").read_bytes() == b"".join(bytes(piece) for piece in pieces)


def test_a_full_target_says_so_and_keeps_nothing_half_done(tiny_mount: Path) -> None:
    with open_target(str(tiny_mount), create=False) as target:
        with target.new_file(b"big") as file, pytest.raises(TargetError) as caught:
            file.write(bytes(4_000_000))
        assert caught.value.code == "target_full"
        assert target.scan() == {}
        sync_tree(target)


def test_syncing_writes_what_was_restored(target: TargetDirectory, place: Path) -> None:
    folder = target.make_directory(b"folder")
    with folder.new_file(b"file") as file:
        file.write(b"content")
        file.commit(FileAttributes(mode=0o400), sync=False, replace=False)
    sync_tree(target)
    folder.sync()
    assert (place / "folder" / "file").read_bytes() == b"content"


def test_files_are_flushed_one_by_one_where_nothing_else_will(target: TargetDirectory) -> None:
    with target.new_file(b"file") as file:
        file.write(b"content")
        file.commit(PLAIN, sync=False, replace=False)
    target.state.unflushed += [(target.folder, b"file"), (target.folder, b"removed again")]
    sync_tree(target)
    assert target.state.unflushed == []


def test_holes_are_written_where_they_would_show_old_bytes(target: TargetDirectory, place: Path) -> None:
    target.state.fill_holes = True
    with target.new_file(b"file") as file:
        file.skip(3 << 20)
        file.commit(PLAIN, sync=False, replace=False)
    assert (place / "file").stat().st_blocks * 512 >= 3 << 20
    assert (place / "file").read_bytes() == bytes(3 << 20)


@pytest.mark.parametrize("most", [1, 7, 1000])
@pytest.mark.parametrize("at_once", [True, False])
def test_pieces_anywhere_however_little_is_taken_at_once(
    target: TargetDirectory, place: Path, monkeypatch: pytest.MonkeyPatch, most: int, *, at_once: bool
) -> None:
    pieces = [bytes([number]) * (number * 5 % 13) for number in range(40)]
    if at_once and hasattr(os, "pwritev"):
        pwritev = os.pwritev

        def some(descriptor: int, buffers: list[memoryview], position: int) -> int:
            left, taken = most, []
            for buffer in buffers[: files._PIECES_AT_ONCE]:
                taken.append(buffer[:left])
                left -= len(taken[-1])
            return pwritev(descriptor, taken, position)

        monkeypatch.setattr(os, "pwritev", some)
        monkeypatch.setattr(files, "_PIECES_AT_ONCE", 6)
    else:
        monkeypatch.delattr(os, "pwritev", raising=False)
        for name in ("pwrite", "write"):
            call = getattr(os, name, None)  # Windows has no pwrite
            if call is not None:
                monkeypatch.setattr(
                    os, name, lambda descriptor, data, *where, call=call: call(descriptor, data[:most], *where)
                )
    with target.new_file(b"pieces") as file:
        file.write_at(5, *pieces)
        file.write_at(0, b"begin")
        file.write_at(3)
        file.end_at(5 + sum(map(len, pieces)))
        file.commit(FileAttributes(), sync=False, replace=False)
    assert (place / "pieces").read_bytes() == b"begin" + b"".join(pieces)


def test_a_system_that_takes_nothing_is_an_error(target: TargetDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pwritev", "pwrite", "write"):
        monkeypatch.setattr(os, name, lambda *arguments: 0, raising=False)
    with target.new_file(b"file") as file, pytest.raises(TargetError):
        file.write_at(0, b"some")


@pytest.mark.skipif(not hasattr(os, "SEEK_DATA"), reason="the system does not tell of holes")
def test_holes_of_a_file_are_known(place: Path) -> None:
    with (place / "file").open("wb") as file:
        file.write(b"x" * 100_000)
        file.seek(1 << 30)
        file.write(b"y" * 100_000)
        file.truncate(1 << 31)
    with (place / "file").open("rb") as read:
        assert read.read(10) == b"x" * 10
        assert files.hole_after(read) == 0
        assert read.read(99_990) == b"x" * 99_990
        read.seek(1 << 20)
        hole = files.hole_after(read)
        assert hole in (0, (1 << 30) - (1 << 20))
        assert read.read(5) == bytes(5)
        read.seek((1 << 30) - 3)
        assert read.read(6) == bytes(3) + b"yyy"
        read.seek((1 << 31) - 4096)
        assert files.hole_after(read) in (0, 4096)
        assert read.read() == bytes(4096)
