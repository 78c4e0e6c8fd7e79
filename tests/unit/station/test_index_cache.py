"""The files in which a station keeps an index: whole or not at all, and of one owner and key."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from array import array
from pathlib import Path

import pytest

from snapstore.chunking.native import KERNEL
from snapstore.errors import StationStateError
from snapstore.format.packing import encode
from snapstore.station.index_cache import IndexCache, IndexFile

KEY = b"k" * 32


def keep(folder: Path, *contents: bytes, key: bytes = KEY) -> list[IndexFile]:
    cache = IndexCache(folder, b"owner")
    files = [cache.write([content], temporary=False) for content in contents]
    cache.keep(key, b"table", [(file.name, file.hash) for file in files])
    return files


def read(folder: Path, key: bytes = KEY, owner: bytes = b"owner") -> tuple[bytes, list[bytes]] | None:
    kept = IndexCache(folder, owner).read(key)
    return None if kept is None else (kept[0], [file.read(0, file.size) for file in kept[1]])


def test_what_was_kept_is_read(tmp_path: Path) -> None:
    assert read(tmp_path / "absent") is None
    keep(tmp_path / "new", b"one", b"two" * 2_000_000)
    assert read(tmp_path / "new") == (b"table", [b"one", b"two" * 2_000_000])
    if sys.platform != "win32":
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
        assert modes == {0o600}


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_no_thread_is_left_that_a_forked_process_would_wait_for(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/task"))
    keep(tmp_path, b"two" * 2_000_000)
    assert read(tmp_path) is not None
    assert len(os.listdir("/proc/self/task")) == before


def test_it_is_of_one_key_and_one_owner(tmp_path: Path) -> None:
    keep(tmp_path, b"one")
    assert read(tmp_path, key=b"K" * 32) is None
    assert read(tmp_path, owner=b"other") is None
    assert read(tmp_path) is not None


def test_no_bit_may_differ(tmp_path: Path) -> None:
    keep(tmp_path, b"one", b"two")
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        for harmed in (
            *(bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]]) for at in range(len(whole))),
            whole[:-1],
            whole + b"\0",
            b"",
        ):
            path.write_bytes(harmed)
            assert read(tmp_path) is None
        path.unlink()
        assert read(tmp_path) is None
        path.write_bytes(whole)
        assert read(tmp_path) == (b"table", [b"one", b"two"])


def test_keeping_again_replaces(tmp_path: Path) -> None:
    [first, stays] = keep(tmp_path, b"first", b"stays")
    unfinished, dead = tmp_path / "index-0.segment", tmp_path / "index-1.segment"
    for path in (unfinished, dead):
        path.write_bytes(b"left by some run")
    os.utime(dead, (time.time() - 100_000, time.time() - 100_000))
    cache = IndexCache(tmp_path, b"owner")
    new = cache.write([b"new ", b"file"], temporary=False)
    cache.keep(KEY, b"again", [(stays.name, stays.hash), (new.name, new.hash)])
    assert read(tmp_path) == (b"again", [b"stays", b"new file"])
    expected = {"index", stays.name, new.name, unfinished.name}
    assert {path.name for path in tmp_path.iterdir()} - ({first.name} if os.name == "nt" else set()) == expected


def test_files_that_another_process_removed_are_not_named(tmp_path: Path) -> None:
    [file] = keep(tmp_path, b"one")
    keep(tmp_path, b"of another process")
    (tmp_path / file.name).unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        IndexCache(tmp_path, b"owner").keep(KEY, b"table", [(file.name, file.hash)])
    assert read(tmp_path) == (b"table", [b"of another process"])


def test_what_is_replaced_may_be_anything(tmp_path: Path) -> None:
    for stored in (b"", {0: 1}, {3: 4}, [1, 2, 3], [1, 2, 3, {0: b"a"}], b"\xff"):
        payload = stored if isinstance(stored, bytes) else encode(stored)
        (tmp_path / "index").write_bytes(bytes(32) + payload)
        assert read(tmp_path) is None
        keep(tmp_path, b"one")
        assert read(tmp_path) == (b"table", [b"one"])


def test_a_temporary_file_leaves_nothing(tmp_path: Path) -> None:
    file = IndexCache(tmp_path, b"owner").write([b"some", b"thing"], temporary=True)
    assert (file.name, file.size, file.read(2, 5)) == ("", 9, b"methi")
    assert bytes(file.map(4)) == b"some"
    del file
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_could_not_be_written_is_removed(tmp_path: Path) -> None:
    def failing() -> list[bytes]:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        IndexCache(tmp_path, b"owner").write((block for _ in "x" for block in failing()), temporary=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("native", [False, True], ids=["twin", "kernel"])
def test_rows_are_read_in_the_order_asked_for(tmp_path: Path, native: bool) -> None:
    if native and (KERNEL is None or not hasattr(os, "pread")):
        pytest.skip("the kernel was not compiled, or cannot read files here")
    content = os.urandom(300_000)
    file = IndexCache(tmp_path, b"owner").write([content], temporary=True)
    for row_size in (1, 84, 5000, 65_536):
        offsets = [int.from_bytes(os.urandom(3), "big") % (300_000 - row_size) for _ in range(200)]
        offsets += [0, 300_000 - row_size, *range(1000, 1100), 5, 5]
        expected = b"".join(content[at : at + row_size] for at in offsets)
        assert file.read_rows(array("Q", offsets), row_size, _native=native) == expected
    assert file.read_rows(array("Q"), 84, _native=native) == b""
    with pytest.raises(StationStateError, match=re.escape(str(tmp_path))):
        file.read_rows(array("Q", [0, 299_950]), 84, _native=native)
