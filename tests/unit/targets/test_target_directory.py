"""Folders and what is put in them: nothing outside is touched, whatever stands in the way."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import TargetError
from snapstore.targets.attributes import FileAttributes
from snapstore.targets.directory import TargetDirectory, open_target
from snapstore.targets.folders import DescriptorFolder
from snapstore.targets.names import check_name, is_temporary, temporary_name
from snapstore.types import EntryType

PLAIN = FileAttributes()


def write(target: TargetDirectory, name: bytes, content: bytes = b"new", *, replace: bool = False) -> None:
    with target.new_file(name) as file:
        file.write(content)
        assert file.commit(PLAIN, sync=False, replace=replace) == []


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(TargetError) as caught:
        action()
    return caught.value.code


BAD_NAMES = [b"", b".", b"..", b"/", b"a/b", b"../outside", b"/etc", b"a\0b", b"a/..", b"./a"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_leads_elsewhere_is_never_used(target: TargetDirectory, place: Path, name: bytes) -> None:
    actions: list[Callable[[], object]] = [
        lambda: target.new_file(name),
        lambda: target.make_directory(name),
        lambda: target.child(name),
        lambda: target.symlink(name, b"x"),
        lambda: target.fifo(name),
        lambda: target.device(name, EntryType.CHARACTER_DEVICE, (1, 3)),
        lambda: target.hard_link(name, [b"x"]),
        lambda: target.remove(name),
        lambda: target.read_file(name),
        lambda: target.stat(name),
        lambda: target.apply(name, EntryType.FILE, PLAIN),
        lambda: target.hard_link(b"link", [name]),
        lambda: target.hard_link(b"link", [name, b"precious"]),
    ]
    assert {refused(action) for action in actions} == {"name_invalid"}
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    "name", [b"a:b", b"a\\b", b"C:", b"nul", b"CON.txt", b"com1", b"lpt\xc2\xb9", b"a.", b"a ", b"a\n"]
)
def test_names_that_lead_elsewhere_on_windows(name: bytes) -> None:
    assert refused(lambda: check_name(name, windows=True)) == "name_invalid"
    assert check_name(name, windows=False) == name


@given(st.binary(max_size=20))
def test_a_name_that_passes_names_one_thing(name: bytes) -> None:
    try:
        check_name(name, windows=False)
    except TargetError:
        assert name in (b"", b".", b"..") or b"/" in name or b"\0" in name
    else:
        assert os.path.basename(b"/folder/" + name) == name
        assert os.path.normpath(b"/folder/" + name) == b"/folder/" + name


def test_a_link_in_the_target_is_never_followed(target: TargetDirectory, place: Path) -> None:
    outside = place.parent / "outside"
    (place / "folder").symlink_to(outside)
    (place / "file").symlink_to(outside / "precious")
    (place / "dangling").symlink_to(outside / "nothing")
    assert refused(lambda: target.child(b"folder")) == "in_the_way"
    assert refused(lambda: target.make_directory(b"folder")) == "in_the_way"
    assert refused(lambda: target.hard_link(b"new", [b"folder", b"precious"])) == "hard_link_copied"
    assert refused(lambda: target.read_file(b"file")) == "in_the_way"
    assert refused(lambda: target.apply(b"file", EntryType.FILE, FileAttributes(mode=0o777))) == "in_the_way"
    assert refused(lambda: target.apply(b"folder", EntryType.DIRECTORY, FileAttributes(mode=0))) == "in_the_way"
    assert refused(lambda: write(target, b"file")) == "in_the_way"
    assert refused(lambda: write(target, b"dangling")) == "in_the_way"
    before = outside.stat()
    target.apply(b"folder", EntryType.SYMLINK, FileAttributes(mode=0o777, mtime_ns=5, xattrs={b"user.a": b"b"}))
    assert outside.stat().st_mtime_ns == before.st_mtime_ns
    assert os.listxattr(outside) == []
    write(target, b"file", replace=True)
    write(target, b"dangling", replace=True)
    assert stat.S_ISREG((place / "file").lstat().st_mode)
    assert (place / "file").read_bytes() == b"new"
    target.remove(b"folder")
    assert sorted(os.listdir(outside)) == ["precious"]
    assert (outside / "precious").read_bytes() == b"precious"


def test_a_hard_link_to_a_link_does_not_reach_its_target(target: TargetDirectory, place: Path) -> None:
    (place / "file").symlink_to("../outside/precious")
    target.hard_link(b"second", [b"file"])
    assert (place / "second").is_symlink()
    assert (place.parent / "outside" / "precious").stat().st_nlink == 1


def test_a_folder_that_was_exchanged_for_a_link_is_not_entered_again(place: Path) -> None:
    with open_target(str(place), create=False) as target:
        inner = target.make_directory(b"a").make_directory(b"b")
        inner.close()
        target.child(b"a").close()
        os.rename(place / "a", place / "moved")
        (place / "a").symlink_to(place.parent / "outside")
        target.folder._pool.close(inner.folder.above)  # type: ignore[attr-defined]
        assert refused(lambda: write(inner, b"x")) == "in_the_way"
        os.unlink(place / "a")
        (place / "a" / "b").mkdir(parents=True)
        assert refused(lambda: write(inner, b"x")) == "in_the_way"
    assert os.listdir(place / "a" / "b") == []


def test_removing_never_leaves_the_target(target: TargetDirectory, place: Path) -> None:
    deep = target.make_directory(b"a").make_directory(b"b")
    deep.symlink(b"up", b"../../../outside")
    deep.symlink(b"absolute", os.fsencode(place.parent / "outside"))
    write(deep, b"file")
    deep.fifo(b"pipe")
    target.remove(b"a")
    assert os.listdir(place) == []
    assert (place.parent / "outside" / "precious").read_bytes() == b"precious"
    assert refused(lambda: target.remove(b"a")) == "not_restored"


def test_a_mounted_file_system_is_not_emptied(as_root: None, place: Path, tiny_mount: Path) -> None:
    (tiny_mount / "kept").write_bytes(b"kept")
    with open_target(str(tiny_mount.parent), create=False) as target:
        assert refused(lambda: target.remove(os.fsencode(tiny_mount.name))) == "in_the_way"
    assert (tiny_mount / "kept").read_bytes() == b"kept"


def test_everything_that_a_snapshot_holds_can_be_put_in(target: TargetDirectory, place: Path) -> None:
    folder = target.make_directory(b"folder")
    assert stat.S_IMODE((place / "folder").stat().st_mode) == 0o700
    write(folder, b"file", b"content")
    folder.symlink(b"dangling", b"\xff/no\nwhere")
    folder.fifo(b"pipe")
    folder.hard_link(b"second", [b"folder", b"file"])
    found = folder.scan()
    assert {name: facts.type for name, facts in found.items()} == {
        b"file": EntryType.FILE,
        b"dangling": EntryType.SYMLINK,
        b"pipe": EntryType.FIFO,
        b"second": EntryType.FILE,
    }
    assert found[b"file"].links == 2
    assert found[b"file"].inode == found[b"second"].inode
    assert found[b"file"].size == 7
    assert os.readlink(os.fsencode(place / "folder" / "dangling")) == b"\xff/no\nwhere"
    with folder.read_file(b"second") as file:
        assert file.read() == b"content"
    assert target.stat(b"folder") == target.scan()[b"folder"]
    assert target.stat(b"nothing") is None
    assert folder.path == "folder"


def test_device_nodes(as_root: None, target: TargetDirectory, place: Path) -> None:
    target.device(b"null", EntryType.CHARACTER_DEVICE, (1, 3))
    target.device(b"disk", EntryType.BLOCK_DEVICE, (7, 77))
    found = target.scan()
    assert found[b"null"].device == (1, 3)
    assert found[b"null"].type is EntryType.CHARACTER_DEVICE
    assert found[b"disk"].device == (7, 77)
    assert found[b"disk"].type is EntryType.BLOCK_DEVICE
    assert refused(lambda: target.device(b"x", EntryType.BLOCK_DEVICE, (-1, 2**70))) == "device_not_restored"


def test_replacing_takes_the_place_of_anything_but_a_folder(target: TargetDirectory, place: Path) -> None:
    write(target, b"one", b"1")
    assert refused(lambda: target.symlink(b"one", b"x")) == "in_the_way"
    assert refused(lambda: target.fifo(b"one")) == "in_the_way"
    assert refused(lambda: target.hard_link(b"one", [b"one"])) == "in_the_way"
    assert refused(lambda: write(target, b"one")) == "in_the_way"
    target.symlink(b"one", b"elsewhere", replace=True)
    target.fifo(b"one", replace=True)
    write(target, b"one", b"2", replace=True)
    target.hard_link(b"two", [b"one"], replace=True)
    target.hard_link(b"two", [b"one"], replace=True)
    assert sorted(os.listdir(place)) == ["one", "two"]
    assert (place / "two").read_bytes() == b"2"
    target.make_directory(b"folder")
    assert refused(lambda: write(target, b"folder", replace=True)) == "in_the_way"
    assert refused(lambda: target.symlink(b"folder", b"x", replace=True)) == "in_the_way"
    assert refused(lambda: target.make_directory(b"one")) == "in_the_way"
    assert sorted(os.listdir(place)) == ["folder", "one", "two"]


def test_a_socket_is_seen_and_can_be_removed(place: Path, target: TargetDirectory) -> None:
    here = os.getcwd()
    os.chdir(place)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("socket")
    finally:
        os.chdir(here)
    assert target.scan()[b"socket"].type is None
    assert refused(lambda: target.apply(b"socket", EntryType.FILE, PLAIN)) == "in_the_way"
    target.remove(b"socket")
    assert target.scan() == {}


def test_leftovers_are_recognised_by_their_exact_shape(target: TargetDirectory, place: Path) -> None:
    kept = [".snapstore-1234.part", ".snapstore-0123456789abcdef.part2", "x.snapstore-0123456789abcdef.part"]
    for name in kept:
        (place / name).write_bytes(b"")
    file = target.new_file(b"unfinished")
    file.write(b"half")
    folder = target.make_directory(temporary_name())
    write(folder, b"probe")
    assert target.clean_leftovers() == 2
    assert sorted(os.listdir(place)) == sorted(kept)
    assert target.clean_leftovers() == 0
    file.discard()


def test_temporary_names_are_recognised() -> None:
    assert is_temporary(temporary_name())
    assert not is_temporary(b"x" + temporary_name())
    assert check_name(temporary_name(), windows=True)


def test_names_of_any_bytes_and_255_of_them(target: TargetDirectory, place: Path) -> None:
    names = [b"\xff\xfe", b"a\nb", b" ", b"x" * 255, "\u00e9".encode(), "e\u0301".encode(), b"A", b"a", b"-rf", b"\x01"]
    for name in names:
        write(target, name, name)
    assert set(target.scan()) == set(names)
    for name in names:
        with target.read_file(name) as file, open(os.path.join(os.fsencode(place), name), "rb") as same:
            assert file.read() == same.read() == name
    assert refused(lambda: write(target, b"x" * 256)) == "not_restored"


DEPTH = 1000
DEEP_SCRIPT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
from snapstore.targets.directory import open_target
from snapstore.targets.attributes import FileAttributes
from snapstore.targets.syncing import sync_tree
name = b"n" * 200
with open_target(sys.argv[1], create=True) as root:
    chain = [root]
    for level in range(int(sys.argv[2])):
        chain.append(chain[-1].make_directory(name))
    for level, folder in reversed(list(enumerate(chain))):
        with folder.new_file(b"file") as file:
            file.write(b"%d" % level)
            file.commit(FileAttributes(mode=0o640), sync=False, replace=False)
        folder.hard_link(b"link", [name] * level + [b"file"])
        assert folder.apply_self(FileAttributes(mode=0o750, mtime_ns=level)) == []
    assert chain[-1].read_file(b"link").read() == sys.argv[2].encode()
    assert chain[-1].scan()[b"file"].links == 2
    assert root.child(name).child(name).read_file(b"file").read() == b"2"
    sync_tree(root)
    root.remove(name)
    assert set(root.scan()) == {b"file", b"link"}
"""


def test_1000_levels_and_200000_byte_paths_with_few_descriptors(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DEEP_SCRIPT, str(tmp_path / "deep"), str(DEPTH)], check=True, timeout=60)


def test_a_wide_and_deep_tree_keeps_few_descriptors_open(place: Path) -> None:
    folder = DescriptorFolder.root(str(place), open_folders=4)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    nodes = [folder]
    for _ in range(30):
        nodes[-1].make_folder(b"d")
        nodes.append(nodes[-1].child(b"d"))
    for node in nodes:
        node.make_folder(b"other")
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 4
    assert sum(len(node.entries()) for node in nodes) == 30 + 31
    folder.close()
    with pytest.raises(OSError, match="closed"):
        nodes[3].entries()


def test_folders_are_used_from_several_threads(place: Path) -> None:
    with open_target(str(place), create=False) as target:
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                folder = target.make_directory(b"thread-%d" % number)
                for level in range(40):
                    folder = folder.make_directory(b"x")
                    write(folder, b"file", b"%d" % level)
                    write(target, b"%d-%d" % (number, level))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(target.scan()) == 6 + 6 * 40


def test_an_ordinary_user_gets_into_his_closed_folders(
    nobodys: Path, run_as_nobody: Callable[[Callable[[], None]], None]
) -> None:
    def restore() -> None:
        with open_target(str(nobodys), create=False) as target:
            for name, mode in ((b"readonly", 0o555), (b"closed", 0o000)):
                folder = target.make_directory(name)
                write(folder, b"file")
                inner = folder.make_directory(b"inner")
                write(inner, b"file")
                assert inner.apply_self(FileAttributes(mode=mode)) == []
                assert folder.apply_self(FileAttributes(mode=mode, mtime_ns=7)) == []
                assert stat.S_IMODE(os.lstat(os.fsencode(nobodys) + b"/" + name).st_mode) == mode
                again = target.make_directory(name)
                write(again, b"file", b"newer", replace=True)
                again.make_directory(b"inner")
                assert again.apply_self(FileAttributes(mode=mode)) == []
                target.remove(name)
            assert target.scan() == {}
            assert refused(lambda: target.device(b"x", EntryType.CHARACTER_DEVICE, (1, 3))) == "device_not_restored"

    run_as_nobody(restore)


def test_a_target_that_is_missing_or_no_folder(tmp_path: Path) -> None:
    assert refused(lambda: open_target(str(tmp_path / "no"), create=False)) == "target_missing"
    (tmp_path / "file").write_bytes(b"")
    assert refused(lambda: open_target(str(tmp_path / "file"), create=True)) == "target_missing"
    assert refused(lambda: open_target(str(tmp_path / "file" / "x"), create=True)) == "target_missing"
    with open_target(str(tmp_path / "a" / "b"), create=True) as target:
        assert target.scan() == {}
    (tmp_path / "link").symlink_to("a")
    with open_target(str(tmp_path / "link"), create=False) as target:
        assert set(target.scan()) == {b"b"}
