"""Directories of every kind, and what happens to them while they are read."""

from __future__ import annotations

import errno
import gc
import os
import socket
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from snapstore.sources.directory import SourceDirectory, open_source, problem_from_error
from snapstore.types import EntryType, Problem


def names(directory: SourceDirectory) -> list[bytes]:
    return [entry.name for entry in directory.scan()]


def test_every_kind_of_entry(tmp_path: Path, as_root: None) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere/\udcff")
    os.link(tmp_path / "file", tmp_path / "second")
    os.mkfifo(tmp_path / "pipe")
    os.mknod(tmp_path / "char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(tmp_path / "block", stat.S_IFBLK | 0o600, os.makedev(259, 70_000))
    os.chmod(tmp_path / "file", 0o6751)
    os.chmod(tmp_path / "folder", 0o1777)
    os.utime(tmp_path / "file", ns=(1, -987_654_321))
    os.chown(tmp_path / "empty", 12_345, 54_321)
    with open_source(str(tmp_path)) as source:
        entries = {entry.name: entry for entry in source.scan()}
        assert list(entries) == sorted(entries)
        assert source.complete
        assert source.problems == ()
        assert {name: entry.type for name, entry in entries.items()} == {
            b"file": EntryType.FILE,
            b"second": EntryType.FILE,
            b"empty": EntryType.FILE,
            b"folder": EntryType.DIRECTORY,
            b"link": EntryType.SYMLINK,
            b"pipe": EntryType.FIFO,
            b"char": EntryType.CHARACTER_DEVICE,
            b"block": EntryType.BLOCK_DEVICE,
        }
        file = entries[b"file"]
        assert (file.size, file.mode, file.mtime_ns, file.links) == (5, 0o6751, -987_654_321, 2)
        assert (file.inode, file.device) == (entries[b"second"].inode, entries[b"second"].device)
        assert (entries[b"empty"].uid, entries[b"empty"].gid) == (12_345, 54_321)
        assert entries[b"folder"].mode == 0o1777
        assert (entries[b"char"].rdev, entries[b"block"].rdev, file.rdev) == ((1, 3), (259, 70_000), None)
        assert source.read_link(entries[b"link"]) == b"nowhere/\xff"
        assert source.entry(b"file") == file
        assert source.own_entry(b"x").name == b"x"
        assert source.own_entry().type is EntryType.DIRECTORY


def test_a_socket_is_an_unsupported_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's address has room for 108 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")
        with open_source(str(tmp_path)) as source:
            entries = source.scan()
            assert [(entry.name, entry.type) for entry in entries] == [(b"sock", None)]
            assert [(problem.code, problem.path) for problem in source.problems] == [
                ("unsupported_type", str(tmp_path / "sock"))
            ]
            assert source.complete


def test_names_of_any_bytes(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("other systems refuse or change some of these")
    wanted = sorted(
        [
            b"\xff\xfe not UTF-8",
            b"new\nline",
            b"\r",
            b" ",
            b"n" * 255,
            b"case",
            b"CASE",
            "e\u0301".encode(),
            "\u00e9".encode(),
            bytes(range(1, 47)) + bytes(range(48, 256)),
        ]
    )
    for name in wanted:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(name)
    with open_source(str(tmp_path)) as source:
        entries = source.scan()
        assert [entry.name for entry in entries] == wanted
        for entry in entries:
            with source.open_file(entry) as file:
                assert file.read_all(1000) == entry.name
                assert os.fsencode(file.path) == os.path.join(os.fsencode(tmp_path), entry.name)


def walk_to_the_end(source: SourceDirectory) -> tuple[int, list[bytes], int]:
    """Go down the only way there is, and read each file on the way back: levels, contents, most descriptors at once."""
    entries = source.scan()
    levels, contents, most = 0, [], len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    for entry in entries:
        if entry.type is EntryType.DIRECTORY:
            with source.child(entry.name) as child:
                levels, contents, below = walk_to_the_end(child)
            most = max(most, below)
            levels += 1
    for entry in entries:
        if entry.type is EntryType.FILE:
            with source.open_file(entry) as file:
                contents.append(file.read_all(100))
            assert source.attributes(entry).problems == ()
    return levels, contents, most


def test_a_thousand_levels_with_few_descriptors(deep_tree: Path) -> None:
    limit = sys.getrecursionlimit()
    gc.collect()  # of what other tests left open
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    sys.setrecursionlimit(max(limit, 5000))
    try:
        with open_source(str(deep_tree)) as source:
            levels, contents, most = walk_to_the_end(source)
    finally:
        sys.setrecursionlimit(limit)
    assert levels == 1000
    assert contents == [b"%d" % level for level in range(1000, 0, -100)]
    assert most - before < 100
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_source_beyond_the_longest_path(deep_tree: Path) -> None:
    path = os.path.join(str(deep_tree), *(f"{level:04d}" + "d" * 96 for level in range(1, 301)))
    with open_source(path) as source:
        assert names(source) == [b"0301" + b"d" * 96, b"file"]
        with source.open_file(source.entry(b"file")) as file:
            assert file.read_all(10) == b"300"


def test_children_may_outlive_their_parents(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    source = open_source(str(tmp_path))
    first = source.child(b"a")
    source.close()
    second = first.child(b"b")
    first.close()
    with second:
        assert names(second) == [b"c"]
    with pytest.raises(ValueError, match="closed"):
        first.scan()


def test_a_file_replaced_by_a_pipe_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with open_source(str(tmp_path)) as source:
        [entry] = source.scan()
        (tmp_path / "file").unlink()
        os.mkfifo(tmp_path / "file")
        with pytest.raises(OSError, match="replaced") as caught:
            source.open_file(entry)
        assert problem_from_error(caught.value, "file").code == "replaced"


def test_links_swapped_in_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_bytes(b"secret")
    (tmp_path / "source/folder").mkdir(parents=True)
    (tmp_path / "source/file").write_bytes(b"open")
    with open_source(str(tmp_path / "source")) as source:
        entry, _ = source.scan()
        (tmp_path / "source/folder").rmdir()
        (tmp_path / "source/folder").symlink_to(tmp_path / "secret")
        (tmp_path / "source/file").unlink()
        (tmp_path / "source/file").symlink_to(tmp_path / "secret/file")
        with pytest.raises(OSError, match="symbolic links") as caught:
            source.open_file(entry)
        assert problem_from_error(caught.value, "file").code == "replaced"
        with source.child(b"folder") as child:
            assert child.scan() == []
            assert not child.complete
            assert [problem.code for problem in child.problems] == ["replaced"]


def test_a_directory_swapped_deep_down_is_noticed(deep_tree: Path, tmp_path: Path) -> None:
    with open_source(str(deep_tree)) as source:
        chain = [source]
        for level in range(1, 51):
            chain.append(chain[-1].child(b"%04d" % level + b"d" * 96))
        swapped = chain[40]
        assert names(swapped) == [b"0041" + b"d" * 96]
        chain[41].child(b"0042" + b"d" * 96).close()
        parent = os.path.join(str(deep_tree), *(f"{level:04d}" + "d" * 96 for level in range(1, 40)))
        moved = os.open(deep_tree, os.O_RDONLY)
        for name in parent[len(str(deep_tree)) + 1 :].split("/"):
            below = os.open(name, os.O_RDONLY, dir_fd=moved)
            os.close(moved)
            moved = below
        name = "0040" + "d" * 96
        os.rename(name, "away", src_dir_fd=moved, dst_dir_fd=moved)
        os.mkdir(name, dir_fd=moved)
        os.close(moved)
        swapped.child(b"0041" + b"d" * 96).close()  # a level that keeps no descriptor gives it up here at the latest
        assert swapped.scan() == []
        assert [problem.code for problem in swapped.problems] == ["replaced"]
        for directory in reversed(chain):
            directory.close()


def test_what_vanishes_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("x")
    with open_source(str(tmp_path)) as source:
        file, _, link = source.scan()
        (tmp_path / "file").unlink()
        (tmp_path / "folder").rmdir()
        (tmp_path / "link").unlink()
        with pytest.raises(FileNotFoundError) as caught:
            source.open_file(file)
        assert problem_from_error(caught.value, "p").code == "vanished"
        with pytest.raises(FileNotFoundError):
            source.read_link(link)
        with source.child(b"folder") as child:
            assert child.scan() == []
            assert [problem.code for problem in child.problems] == ["vanished"]
            assert [problem.code for problem in child.own_attributes().problems] == ["vanished"]


def test_a_link_replaced_by_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("x")
    with open_source(str(tmp_path)) as source:
        [link] = source.scan()
        (tmp_path / "link").unlink()
        (tmp_path / "link").write_bytes(b"")
        with pytest.raises(OSError, match="replaced"):
            source.read_link(link)


def test_a_missing_source_is_not_an_empty_one(tmp_path: Path) -> None:
    with open_source(str(tmp_path / "gone")) as source:
        assert source.scan() == []
        assert not source.complete
        assert [problem.code for problem in source.problems] == ["vanished"]


def test_what_a_user_may_not_read(tmp_path: Path, as_root: None) -> None:
    """In a process of its own that stops being root: permissions do not hold root back."""
    for folder in [tmp_path, *list(tmp_path.parents)[:3]]:
        folder.chmod(folder.stat().st_mode | 0o755)
    (tmp_path / "source/closed").mkdir(parents=True)
    (tmp_path / "source/through").mkdir()
    (tmp_path / "source/listed").mkdir()
    for name in ("open", "private", "closed/in", "through/in", "listed/in"):
        (tmp_path / "source" / name).write_bytes(b"x")
    for name, mode in {"private": 0o600, "closed": 0o700, "through": 0o711, "listed": 0o744}.items():
        (tmp_path / "source" / name).chmod(mode)
    program = """
        import os, sys
        from snapstore.sources.directory import open_source, problem_from_error
        os.setgroups([]); os.setegid(65534); os.seteuid(65534)
        with open_source(sys.argv[1]) as source:
            entries = {entry.name: entry for entry in source.scan()}
            assert len(entries) == 5 and source.problems == () and source.complete
            with source.open_file(entries[b"open"]) as file:
                assert file.read_all(9) == b"x"
            try:
                source.open_file(entries[b"private"])
            except OSError as error:
                assert problem_from_error(error, "p").code == "unreadable"
            else:
                raise AssertionError("root's file was read")
            with source.child(b"closed") as closed:
                assert closed.scan() == [] and not closed.complete
                assert [problem.code for problem in closed.problems] == ["unreadable"]
            with source.child(b"through") as through:
                assert through.scan() == [] and [problem.code for problem in through.problems] == ["unreadable"]
                assert through.entry(b"in").size == 1 and through.own_entry().mode == 0o711
                with through.open_file(through.entry(b"in")) as file:
                    assert file.read_all(9) == b"x"
                assert through.own_attributes().user == "root"
            with source.child(b"listed") as listed:
                assert listed.scan() == [] and listed.complete
                assert [problem.code for problem in listed.problems] == ["unreadable"]
        print("good")
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "source")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (result.stdout, result.stderr) == ("good\n", "")


def test_errors_become_problems() -> None:
    assert problem_from_error(OSError(errno.EIO, "Input/output error"), "a/b") == Problem(
        code="read_error", path="a/b", message="It could not be read: Input/output error."
    )


def test_signatures_tell_changes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    with open_source(str(tmp_path)) as source:
        first = source.entry(b"file")
        assert source.entry(b"file").signature == first.signature
        modified = first.mtime_ns
        path.write_bytes(b"two")
        os.utime(path, ns=(modified, modified))  # only the time of change gives it away
        os.chmod(path, 0o640)
        assert source.entry(b"file").signature != first.signature
        assert not first.settled(time.time_ns())
        os.utime(path, ns=(0, 0))
        assert source.entry(b"file").settled(time.time_ns() + 10_000_000_000)


def test_a_walk_of_many_folders_closes_all(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / str(number)).mkdir()
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        with open_source(str(tmp_path)) as source:
            for entry in source.scan():
                with source.child(entry.name) as child:
                    assert child.scan() == []
                    assert child.complete
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
