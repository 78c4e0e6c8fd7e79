"""Looking into snapshots: entries, and files as seekable streams, byte by byte like the real ones."""

from __future__ import annotations

import io
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

import snapstore
from snapstore.errors import EntryNotFoundError, InputError
from snapstore.testing import Recorder
from snapstore.types import EntryType

FILES = [
    "empty",
    "inline",
    "deep/note 3",
    "deep/note 25",
    "deep/chunks",
    "deep/zeros",
    "deep/sparse",
    "deep/er/pages.db",
    "deep/er/folder/last",
]


@pytest.fixture
def saved(lab: Any, write_every_shape: Any) -> Any:
    write_every_shape(lab.source)
    lab.dossier().snapshot(lab.source)
    return lab


@pytest.mark.parametrize("path", FILES)
def test_seeks_and_reads_at_random_are_those_of_the_file(saved: Any, path: str) -> None:
    generator = random.Random(path)
    with saved.dossier().open_file("latest", path) as stream, (saved.source / path).open("rb") as file:
        size = os.path.getsize(file.name)
        assert stream.readable()
        assert stream.seekable()
        for _ in range(60):
            position = generator.randrange(size + 100)
            count = generator.choice([0, 1, 7, 513, 20_000, 500_000])
            match generator.randrange(3):
                case 0:
                    assert stream.seek(position) == file.seek(position)
                case 1:
                    assert stream.seek(-min(position, size), io.SEEK_END) == file.seek(
                        -min(position, size), io.SEEK_END
                    )
                case 2:
                    step = position - file.tell()
                    assert stream.seek(step, io.SEEK_CUR) == file.seek(step, io.SEEK_CUR)
            assert stream.read(count) == file.read(count)
            assert stream.tell() == file.tell()
        stream.seek(0)
        file.seek(0)
        assert stream.read() == file.read()
        assert stream.read(1) == b""
        with pytest.raises(ValueError, match="negative"):
            stream.seek(-1)


@pytest.mark.skipif(sys.platform == "win32", reason="the tree has a second name on POSIX only")
def test_a_hard_link_opens_its_first_name(saved: Any) -> None:
    with saved.dossier().open_file("latest", "second name") as stream:
        assert stream.read() == (saved.source / "deep" / "chunks").read_bytes()


@pytest.mark.parametrize("path", ["", "deep", "deep/er/folder/", "empty folder"])
def test_a_folder_is_no_file(saved: Any, path: str) -> None:
    with pytest.raises(InputError) as caught:
        saved.dossier().open_file("latest", path)
    assert caught.value.code == "not_a_file"


@pytest.mark.parametrize("path", ["absent", "deep/absent", "inline/below", "../source", "deep/..", "link/x"])
def test_what_is_not_there_is_not_found(saved: Any, path: str) -> None:
    with pytest.raises(EntryNotFoundError):
        saved.dossier().open_file("latest", path)
    with pytest.raises(EntryNotFoundError):
        list(saved.dossier().entries("latest", path))


def test_only_the_blobs_under_what_is_read_are_read(lab: Any) -> None:
    """A file of 12 MB lies in twelve windows of the store; one byte costs one of them and the nodes on the way."""
    lab.write("large", random.Random(1).randbytes(12_000_000))
    lab.dossier().snapshot(lab.source)
    store = Recorder(lab.store)
    dossier = lab.dossier(store=store)

    def windows_read(offset: int, count: int) -> int:
        with dossier.open_file("latest", "large") as stream:
            stream.seek(offset)
            before = len(store.calls)
            content = stream.read(count)
            assert content == (lab.source / "large").read_bytes()[offset : offset + count]
            return sum(call.operation == "get" for call in store.calls[before:])

    one = windows_read(6_000_000, 1)
    assert 1 <= one <= 8  # a chunk may reach over the edge of windows; buffering reads up to 1 MiB ahead
    assert windows_read(0, 12_000_000) >= 12

    store.calls.clear()
    names = [entry.path for entry in dossier.entries("latest")]
    gets = [call for call in store.calls if call.operation == "get" and call.name.startswith("packs/")]
    assert names == ["large"]
    assert len({call.name for call in gets}) == 1, "listing reads trees and no data"


def test_entries_are_those_of_the_tree(saved: Any) -> None:
    entries = {entry.path: entry for entry in saved.dossier().entries("latest")}
    expected = {}
    for folder, folders, files in os.walk(saved.source):
        for name in [*folders, *files]:
            path = Path(folder) / name
            expected[path.relative_to(saved.source).as_posix()] = os.lstat(path)
    assert entries.keys() == expected.keys()
    for path, status in expected.items():
        entry = entries[path]
        assert entry.name == path.rpartition("/")[2]
        if entry.type is EntryType.HARD_LINK:
            assert entry.link_target in expected
            continue
        assert entry.modified_ns == status.st_mtime_ns
        if entry.type is EntryType.FILE:
            assert entry.size == status.st_size
        if entry.type is EntryType.DIRECTORY:
            below = [other for other in entries if other.startswith(f"{path}/")]
            assert entry.entries == len(below)
            assert entry.size == sum(entries[other].size for other in below if entries[other].type is EntryType.FILE)


def test_depth_first_by_rising_name_and_one_level_only(saved: Any) -> None:
    dossier = saved.dossier()
    paths = [entry.path for entry in dossier.entries("latest")]
    assert paths == sorted(paths, key=lambda path: path.encode().split(b"/"))
    top = [entry.path for entry in dossier.entries("latest", recursive=False)]
    assert top == sorted(os.listdir(saved.source))
    below = [entry.path for entry in dossier.entries("latest", "/deep//er/", recursive=False)]
    assert below == ["deep/er/folder", "deep/er/pages.db"]
    [itself] = dossier.entries("latest", "deep/er/pages.db")
    assert itself.path == "deep/er/pages.db"


def test_a_folder_of_many_nodes(lab: Any) -> None:
    """A thousand names are a tree of nodes; one of them is found without reading the others."""
    for number in range(1000):
        lab.write(f"many/file {number}", b"%d" % number)
    lab.dossier().snapshot(lab.source)
    dossier = lab.dossier()
    assert [entry.path for entry in dossier.entries("latest", "many")] == sorted(
        f"many/file {number}" for number in range(1000)
    )
    for number in (0, 1, 499, 999):
        with dossier.open_file("latest", f"many/file {number}") as stream:
            assert stream.read() == b"%d" % number
    with pytest.raises(EntryNotFoundError):
        dossier.open_file("latest", "many/file 1000")
    with pytest.raises(EntryNotFoundError):
        dossier.open_file("latest", "many/zzz")


@pytest.mark.parametrize("harm", ["flip", "delete"])
def test_damage_under_what_is_read_is_named(saved: Any, harm: str) -> None:
    for name in saved.names("packs"):
        data = saved.store.get(name)
        saved.store.delete(name)
        if harm == "flip":
            saved.store.put(name, bytes(byte ^ 1 for byte in data[:-4096]) + data[-4096:])
    with pytest.raises(snapstore.DamageError):
        list(saved.dossier().entries("latest"))


def test_names_that_are_no_text(lab: Any) -> None:
    if sys.platform != "linux":
        pytest.skip("names are any bytes on Linux only")
    lab.source.mkdir()
    (lab.source / os.fsdecode(b"\xff\xfe name")).write_bytes(b"content")
    lab.dossier().snapshot(lab.source)
    [entry] = lab.dossier().entries("latest")
    assert os.fsencode(entry.path) == b"\xff\xfe name"
    with lab.dossier().open_file("latest", entry.path) as stream:
        assert stream.read() == b"content"
