"""One look at a whole folder: the compiled way and its twin see the same, and the signature tells what changed."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from snapstore.sources.directory import FolderLook, SourceDirectory, open_source
from snapstore.sources.native import POSIX
from snapstore.types import EntryType

WAYS = [False, True] if POSIX is not None else [False]
compiled = pytest.mark.skipif(POSIX is None, reason="the compiled module is not built")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="makes what POSIX systems have")


def look(path: Path, *, native: bool) -> FolderLook:
    with open_source(str(path)) as source:
        return source.look(_native=native)


def facts(found: FolderLook) -> tuple[object, ...]:
    return (
        found.signature,
        found.entries,
        [[type(field) for field in entry] for entry in found.entries],
        found.folders,
        found.problems,
        found.complete,
        found.newest_ns,
        found.plain,
    )


def assert_twins_agree(path: Path) -> FolderLook:
    by_kernel, by_twin = look(path, native=True), look(path, native=False)
    assert facts(by_kernel) == facts(by_twin)
    return by_kernel


def make_ordinary(path: Path) -> None:
    (path / "file").write_bytes(b"12345")
    (path / "empty").touch()
    (path / "z").mkdir()
    (path / "a").mkdir()
    (path / "link").symlink_to("nowhere")


@pytest.mark.parametrize("native", WAYS)
def test_what_a_look_tells(tmp_path: Path, native: bool) -> None:
    make_ordinary(tmp_path)
    os.utime(tmp_path / "file", ns=(1, -987_654_321))
    os.utime(tmp_path / "empty", ns=(1, 4_000_000_000_123_456_700))
    os.utime(tmp_path / "z", ns=(1, 5_000_000_000_000_000_000))
    with open_source(str(tmp_path)) as source:
        found = source.look(_native=native)
        assert [entry.name for entry in found.entries] == [b"a", b"empty", b"file", b"link", b"z"]
        assert found.entries == source.scan()
        assert found.entries[2] == source.entry(b"file")
    assert found.entries is found.entries
    assert [entry.name for entry in found.folders] == [b"a", b"z"]
    assert {entry.type for entry in found.folders} == {EntryType.DIRECTORY}
    assert found.newest_ns == found.entries[1].mtime_ns
    assert (found.problems, found.complete, found.plain) == ((), True, True)


@pytest.mark.parametrize("native", WAYS)
def test_an_empty_folder(tmp_path: Path, native: bool) -> None:
    found = look(tmp_path, native=native)
    assert (found.signature, found.entries, found.folders, found.newest_ns) == (b"", [], [], 0)
    assert (found.complete, found.plain) == (True, True)


@pytest.mark.parametrize("native", WAYS)
def test_a_folder_that_is_not_there_is_not_complete(tmp_path: Path, native: bool) -> None:
    found = look(tmp_path / "none", native=native)
    assert (found.signature, found.entries, found.complete, found.plain) == (b"", [], False, False)
    assert [problem.code for problem in found.problems] == ["vanished"]


@compiled
def test_twins_agree_on_every_kind(tmp_path: Path, as_root: None, monkeypatch: pytest.MonkeyPatch) -> None:
    make_ordinary(tmp_path)
    assert assert_twins_agree(tmp_path).plain
    os.link(tmp_path / "file", tmp_path / "second")
    assert not assert_twins_agree(tmp_path).plain
    os.mkfifo(tmp_path / "pipe")
    os.chmod(tmp_path / "file", 0o6751)
    os.chmod(tmp_path / "z", 0o1777)
    os.chown(tmp_path / "empty", 12_345, 4_294_967_294)
    os.truncate(tmp_path / "empty", 2**40)
    monkeypatch.chdir(tmp_path)  # a socket's address has room for 108 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")
        found = assert_twins_agree(tmp_path)
        assert [(problem.code, problem.path) for problem in found.problems] == [
            ("unsupported_type", str(tmp_path / "sock"))
        ]
        assert found.complete
        os.mknod(tmp_path / "char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.mknod(tmp_path / "block", stat.S_IFBLK | 0o600, os.makedev(259, 70_000))
        assert {entry.type for entry in assert_twins_agree(tmp_path).entries} == {None, *EntryType} - {
            EntryType.HARD_LINK
        }


@compiled
def test_twins_agree_on_names_and_their_order(tmp_path: Path) -> None:
    names = [
        b"\xff\xfe not UTF-8",
        b"new\nline",
        b"...",
        b".hidden",
        b"n" * 255,
        b"n" * 254,
        b"case",
        b"CASE",
        b"cas",
        "\u00e9".encode(),
        bytes(range(1, 47)) + bytes(range(48, 256)),
    ]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).touch()
    assert [entry.name for entry in assert_twins_agree(tmp_path).entries] == sorted(names)


@compiled
def test_twins_agree_on_more_than_one_buffer(tmp_path: Path) -> None:
    for number in range(1500):
        os.mkdir(tmp_path / f"{number:04x}{'d' * 60}") if number % 7 == 0 else (
            tmp_path / f"{number:04x}{'f' * 60}"
        ).touch()
    found = assert_twins_agree(tmp_path)
    assert (len(found.entries), len(found.folders)) == (1500, 215)


@compiled
@pytest.mark.parametrize("seconds", [-(2**33), -1, 0, 2**33, 9_223_372_035, 9_223_372_036, 9_223_372_037, 2**40])
def test_twins_agree_on_odd_times(tmp_path: Path, seconds: int) -> None:
    (tmp_path / "file").touch()
    try:
        os.utime(tmp_path / "file", ns=(0, seconds * 1_000_000_000 + 123_456_789))
    except (OSError, OverflowError):
        pytest.skip("this file system has no such time")
    assert_twins_agree(tmp_path)


@compiled
def test_twins_agree_where_the_system_refuses(tmp_path: Path, as_root: None) -> None:
    for name in ("no-list", "no-search", "nothing"):
        (tmp_path / name).mkdir()
        make_ordinary(tmp_path / name)
    os.chmod(tmp_path, 0o755)
    for name, mode in {"no-list": 0o711, "no-search": 0o744, "nothing": 0o700}.items():
        os.chmod(tmp_path / name, mode)
    with open_source(str(tmp_path)) as source:
        os.seteuid(65534)
        try:
            for name in (b"no-list", b"no-search", b"nothing"):
                with source.child(name) as child:
                    by_kernel, by_twin = child.look(_native=True), child.look(_native=False)
                assert facts(by_kernel) == facts(by_twin)
                assert not by_kernel.plain
                assert by_kernel.problems
                assert by_kernel.complete == (name == b"no-search")
        finally:
            os.seteuid(0)


@compiled
def test_a_directory_can_be_looked_at_again_and_in_both_ways(tmp_path: Path) -> None:
    make_ordinary(tmp_path)
    with open_source(str(tmp_path)) as source:
        looks = [facts(source.look(_native=native)) for native in (True, True, False, True, False, False)]
        assert all(other == looks[0] for other in looks)


def descend(path: Path, *, native: bool) -> list[FolderLook]:
    """Look at every level on the way back up, when most have given up their descriptors."""
    found: list[FolderLook] = []
    levels: list[SourceDirectory] = [open_source(str(path))]
    while folders := levels[-1].look(_native=native).folders:
        levels.append(levels[-1].child(folders[0].name))
    while levels:
        with levels.pop() as directory:
            found.append(directory.look(_native=native))
    return found


@compiled
def test_twins_agree_far_down(deep_tree: Path) -> None:
    by_kernel, by_twin = descend(deep_tree, native=True), descend(deep_tree, native=False)
    assert len(by_kernel) == 1001
    assert list(map(facts, by_kernel)) == list(map(facts, by_twin))


def _write(path: Path) -> None:
    (path / "file").write_bytes(b"54321")


def _append(path: Path) -> None:
    with (path / "file").open("ab") as writer:
        writer.write(b"6")


def _rename(path: Path) -> None:
    os.rename(path / "file", path / "file2")


def _replace(path: Path) -> None:
    (path / "new").write_bytes(b"12345")
    os.replace(path / "new", path / "file")


def _link_elsewhere(path: Path) -> None:
    (path / "link").unlink()
    (path / "link").symlink_to("elsewhere")


CHANGES: list[Callable[[Path], object]] = [
    _write,
    _append,
    _rename,
    _replace,
    _link_elsewhere,
    lambda path: os.chmod(path / "file", 0o640),
    lambda path: os.utime(path / "file", ns=(5, 5)),
    lambda path: os.unlink(path / "empty"),
    lambda path: (path / "more").touch(),
    lambda path: (path / "more").mkdir(),
    lambda path: os.rename(path / "a", path / "b"),
    lambda path: os.rmdir(path / "z"),
]


@posix_only
@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_shows_in_the_signature(tmp_path: Path, change: Callable[[Path], object], native: bool) -> None:
    make_ordinary(tmp_path)
    os.utime(tmp_path / "file", ns=(1, 1))
    before = look(tmp_path, native=native)
    change(tmp_path)
    assert look(tmp_path, native=native).signature != before.signature


@posix_only
@pytest.mark.parametrize("native", WAYS)
def test_an_owner_shows_in_the_signature(tmp_path: Path, as_root: None, native: bool) -> None:
    (tmp_path / "file").touch()
    signatures = set()
    for user, group in [(0, 0), (1, 0), (0, 1)]:
        os.chown(tmp_path / "file", user, group)
        signatures.add(look(tmp_path, native=native).signature)
    assert len(signatures) == 3


@posix_only
@pytest.mark.parametrize("native", WAYS)
def test_what_does_not_show_in_the_signature(tmp_path: Path, native: bool) -> None:
    make_ordinary(tmp_path)
    before = look(tmp_path, native=native)
    assert look(tmp_path, native=native).signature == before.signature
    os.chmod(tmp_path / "a", 0o700)
    os.utime(tmp_path / "a", ns=(5, 5))
    (tmp_path / "a" / "below").touch()
    after = look(tmp_path, native=native)
    assert after.signature == before.signature
    assert after.folders != before.folders
    assert after.newest_ns == before.newest_ns


def test_a_name_never_passes_for_another_entry(tmp_path: Path) -> None:
    """Sizes of names are in the signature: no two folders have one by running into each other."""
    for name, folders in {"one": ["ab", "c"], "two": ["a", "bc"], "three": ["abc"]}.items():
        for folder in folders:
            (tmp_path / name / folder).mkdir(parents=True)
    assert len({look(tmp_path / name, native=False).signature for name in ("one", "two", "three")}) == 3
