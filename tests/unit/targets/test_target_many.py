"""Many small files in one call: the compiled way and its twin give the same files, and the same things refused."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from snapstore.errors import TargetError
from snapstore.targets import many
from snapstore.targets.attributes import FileAttributes
from snapstore.targets.directory import TargetDirectory, open_target
from snapstore.targets.files import TargetState
from snapstore.targets.folders import DescriptorFolder
from snapstore.targets.many import (
    LEAVE_ATTRIBUTES,
    NewFile,
    can_write_many,
    finish_folder,
    hold_open,
    let_go,
    owner_of_new,
)

pytestmark = pytest.mark.skipif(many._native is None, reason="the module is built on Linux only")

NS = 1_600_000_001_123_456_789
BUFFERS: list[bytes | memoryview] = [b"0123456789", memoryview(b"abcdefgh" * 10_000)]


def new(name: bytes, *pieces: int, mode: int = 0o644, mtime_ns: int = NS, owner: tuple[int, int] = (-1, -1)) -> NewFile:
    return NewFile(name, mode, *owner, mtime_ns, pieces)


ZOO = [
    new(b"empty"),
    new(b"one", 0, 2, 3),
    new(b"several", 0, 0, 10, 1, 5, 79_995, 0, 9, 1),
    new(b"repeated", *(1, 0, 80_000) * 5),
    new(b"nothing of a piece", 0, 10, 0),
    new(b"\xff\xfe\n bytes", 0, 0, 1),
    new(b"n" * 255, 0, 0, 1),
    new(b"read-only", 0, 0, 1, mode=0o444),
    new(b"closed", 0, 0, 1, mode=0),
    new(b"setuid", 0, 0, 1, mode=0o4755),
    new(b"sticky", 0, 0, 1, mode=0o1777),
    new(b"before 1970", 0, 0, 1, mtime_ns=-1),
    new(b"long before 1970", 0, 0, 1, mtime_ns=-1_999_999_999_000_000_001),
    new(b"at zero", 0, 0, 1, mtime_ns=0),
]


def write_many(directory: TargetDirectory, files: list[NewFile], buffers: list[bytes | memoryview]) -> Sequence[Any]:
    hold_open(directory)
    try:
        return many.write_many(directory, files, buffers)
    finally:
        let_go(directory)


def twin(directory: TargetDirectory, files: Sequence[NewFile]) -> None:
    """Write the files in the way that every system has."""
    for file in files:
        numbers = [None if number < 0 else number for number in (file.uid, file.gid)]
        attributes = FileAttributes(mode=file.mode, mtime_ns=file.mtime_ns, uid=numbers[0], gid=numbers[1], xattrs={})
        with directory.new_file(file.name) as made:
            for at in range(0, len(file.pieces), 3):
                buffer, offset, size = file.pieces[at : at + 3]
                made.write(memoryview(BUFFERS[buffer])[offset : offset + size])
            assert made.commit(attributes, sync=False, replace=False) == []


def facts(folder: Path) -> dict[str, object]:
    found = {}
    for path in sorted(folder.iterdir()):
        status = path.stat()
        content = path.read_bytes() if os.geteuid() == 0 or status.st_mode & 0o400 else None
        found[path.name] = (status.st_mode, status.st_mtime_ns, status.st_uid, status.st_gid, status.st_nlink, content)
    return found


def test_the_compiled_way_and_its_twin_write_the_same_files(tmp_path: Path) -> None:
    files = list(ZOO)
    if os.geteuid() == 0:
        files += [new(b"of another", 0, 0, 1, owner=(12345, 54321), mode=0o6755), new(b"half", 0, 0, 1, owner=(-1, 7))]
    for name in ("native", "twin"):
        (tmp_path / name).mkdir()
    with open_target(str(tmp_path / "native"), create=False) as target:
        assert can_write_many(target)
        assert write_many(target, files, BUFFERS) == [True] * len(files)
    with open_target(str(tmp_path / "twin"), create=False) as target:
        twin(target, files)
    assert facts(tmp_path / "native") == facts(tmp_path / "twin")
    assert len(facts(tmp_path / "native")) == len(files)


def test_what_is_there_is_never_opened(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    folder = tmp_path / "target"
    folder.mkdir()
    (folder / "file").write_bytes(b"the user's")
    (folder / "link").symlink_to(outside)
    (folder / "dangling").symlink_to(tmp_path / "absent")
    (folder / "folder").mkdir()
    names = (b"file", b"link", b"dangling", b"folder", b"free")
    with open_target(str(folder), create=False) as target:
        results = write_many(target, [new(name, 0, 0, 10) for name in names], BUFFERS)
    assert [isinstance(item, TargetError) and item.code for item in results[:4]] == ["in_the_way"] * 4
    assert results[4] is True
    assert outside.read_bytes() == b"precious"
    assert (folder / "file").read_bytes() == b"the user's"
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/etc/evil", b"nul\0"])
def test_a_name_that_leads_elsewhere_is_refused_and_the_others_are_written(tmp_path: Path, name: bytes) -> None:
    with open_target(str(tmp_path), create=False) as target:
        first, second, third = write_many(target, [new(b"a", 0, 0, 1), new(name, 0, 0, 1), new(b"b")], BUFFERS)
    assert (first, third) == (True, True)
    assert isinstance(second, TargetError)
    assert second.code == "name_invalid"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    "pieces", [(2, 0, 1), (-1, 0, 1), (0, 11, 0), (0, 5, 6), (0, -1, 1), (0, 0, -1), (0, 2**62, 1)]
)
def test_a_piece_outside_of_its_buffer_is_refused_before_anything_is_made(
    tmp_path: Path, pieces: tuple[int, ...]
) -> None:
    with open_target(str(tmp_path), create=False) as target, pytest.raises(ValueError, match="outside"):
        write_many(target, [new(b"first", 0, 0, 1), new(b"second", *pieces)], BUFFERS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "files", [[b"name"], [(b"name", 1, 2)], [(b"name", 0, 0, 0, 0, [])], [("text", 0, 0, 0, 0, ())]]
)
def test_arguments_of_other_types_are_refused(tmp_path: Path, files: list[object]) -> None:
    assert many._native is not None
    with pytest.raises(TypeError):
        many._native.write_files(0, files, BUFFERS)  # type: ignore[arg-type]


def test_a_full_target_is_told_and_nothing_half_done_is_left(tiny_mount: Path) -> None:
    with open_target(str(tiny_mount), create=False) as target:
        results = write_many(target, [new(b"small", 0, 0, 5), new(b"large", *(1, 0, 80_000) * 60)], BUFFERS)
    assert results[0] is True
    assert isinstance(results[1], TargetError)
    assert results[1].code == "target_full"
    assert [path.name for path in tiny_mount.iterdir() if path.is_file()] == ["small"]


def test_attributes_that_are_left_are_said_to_be(tmp_path: Path) -> None:
    files = [new(b"asked", 0, 0, 5, mode=LEAVE_ATTRIBUTES), new(b"plain")]
    with open_target(str(tmp_path), create=False) as target:
        assert write_many(target, files, BUFFERS) == [False, True]
    assert (tmp_path / "asked").read_bytes() == b"01234"
    assert stat.S_IMODE((tmp_path / "asked").stat().st_mode) == 0o600


def test_a_default_acl_of_the_folder_leaves_attributes_to_the_caller(tmp_path: Path) -> None:
    setfacl = shutil.which("setfacl")
    if setfacl is None or subprocess.run([setfacl, "-d", "-m", "u:1:r", tmp_path], check=False).returncode:
        pytest.skip("no access control lists here")
    with open_target(str(tmp_path), create=False) as target:
        assert write_many(target, [new(b"file", 0, 0, 1)], BUFFERS) == [False]


def test_who_may_not_give_files_away_is_told(
    nobodys: Path, run_as_nobody: Callable[[Callable[[], None]], None]
) -> None:
    def check() -> None:
        with open_target(str(nobodys), create=False) as target:
            assert write_many(target, [new(b"file", 0, 0, 1, owner=(0, 0)), new(b"own")], BUFFERS) == [False, True]

    run_as_nobody(check)


def test_numbers_of_owners_that_no_system_has_are_left_to_the_caller(tmp_path: Path) -> None:
    owner = owner_of_new(2**64 - 1, 2**40, None, None, numeric=False)
    with open_target(str(tmp_path), create=False) as target:
        assert write_many(target, [new(b"file", owner=owner)], BUFFERS) == [False]


def test_lists_may_change_while_files_are_written(tmp_path: Path) -> None:
    """The lock is released meanwhile, and another thread may let go of every name."""
    names = [b"%d %s" % (number, b"n" * 200) for number in range(3000)]
    files = [new(bytes(bytearray(name)), 0, 0, 10) for name in names]
    buffers: list[bytes | memoryview] = [bytes(bytearray(b"0123456789"))]
    other_names: list[bytes] = []

    def spoil() -> None:
        while not any(tmp_path.iterdir()):
            pass
        files.clear()
        buffers.clear()
        other_names.extend(b"%d %s" % (number, b"x" * 200) for number in range(9000))

    spoiler = threading.Thread(target=spoil)
    assert many._native is not None
    with open_target(str(tmp_path), create=False) as target, target.folder.opened() as descriptor:  # type: ignore[attr-defined]
        spoiler.start()
        results = many._native.write_files(descriptor, files, buffers)
        spoiler.join()
    assert (results, files) == ([0] * 3000, [])
    assert {os.fsencode(path.name) for path in tmp_path.iterdir()} == set(names)
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"0123456789"}


def test_without_the_module_no_folder_is_held_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "_native", None)
    with open_target(str(tmp_path), create=False) as target:
        folder = target.make_directory(b"folder")
        hold_open(folder)
        assert isinstance(folder.folder, DescriptorFolder)
        assert folder.folder.pins == 0
        let_go(folder)
        assert folder.folder.pins == 0


def test_the_pool_of_open_folders_shrinks_again(tmp_path: Path) -> None:
    root = DescriptorFolder.root(str(tmp_path), open_folders=4)
    target = TargetDirectory(root, TargetState(numeric_owner=False, file_systems={}), ())
    try:
        folders = [target.make_directory(b"%d" % number) for number in range(20)]
        for folder in folders:
            hold_open(folder)
        assert len(root._pool) == 20
        for folder in folders:
            let_go(folder)
        target.make_directory(b"one more")
        assert len(root._pool) == 4
        assert [folder.scan() for folder in folders] == [{}] * 20
    finally:
        root.close()


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors")
def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    with open_target(str(tmp_path), create=False) as target:
        before = count()
        write_many(target, [new(b"%d" % number, 0, 0, 1) for number in range(100)], BUFFERS)
        write_many(target, [new(b"%d" % number, 0, 0, 1) for number in range(100)], BUFFERS)
        assert count() == before


@pytest.mark.parametrize("mode", [0, 0o555, 0o700, 0o1777, 0o2755])
def test_folders_are_finished_as_by_the_twin(tmp_path: Path, mode: int) -> None:
    wanted = FileAttributes(mode=mode, mtime_ns=NS, xattrs={})
    with open_target(str(tmp_path), create=False) as target:
        assert finish_folder(target.make_directory(b"native"), wanted)
        assert target.make_directory(b"twin").apply_self(wanted) == []
    found = [(tmp_path / name).stat() for name in ("native", "twin")]
    assert [(item.st_mode & 0o7777, item.st_mtime_ns) for item in found] == [(mode, NS)] * 2


@pytest.mark.parametrize(
    "wanted",
    [
        FileAttributes(),
        FileAttributes(mode=0o755),
        FileAttributes(mode=0o755, mtime_ns=NS, xattrs={b"user.a": b"b"}),
        FileAttributes(mode=0o755, mtime_ns=NS, windows_attributes=2),
        FileAttributes(mode=0o755, mtime_ns=NS, uid=2**64 - 1),
    ],
)
def test_folders_with_unusual_attributes_are_left_to_the_caller(tmp_path: Path, wanted: FileAttributes) -> None:
    with open_target(str(tmp_path), create=False) as target:
        assert not finish_folder(target.make_directory(b"folder"), wanted)
