"""The comparison that the demonstration and the round trips rest on: it must see every kind of difference."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import compare_trees
import pytest

POSIX = os.name == "posix"


def build(root: Path) -> None:
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "file").write_bytes(b"content")
    (root / "folder" / "other").write_bytes(b"content")
    (root / "empty").mkdir()
    if POSIX:
        (root / "link").symlink_to("nowhere")
        os.link(root / "folder" / "file", root / "second name")
        os.mkfifo(root / "pipe")
    for path in [*root.rglob("*"), root]:
        if not path.is_symlink():
            os.utime(path, ns=(0, 1_700_000_000_123_456_700))
        elif os.utime in os.supports_follow_symlinks:
            os.utime(path, ns=(0, 1_700_000_000_123_456_700), follow_symlinks=False)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "first", tmp_path / "second"
    build(first)
    build(second)
    return first, second


def fields_that_differ(pair: tuple[Path, Path]) -> set[tuple[str, str]]:
    """Return (path, first word said of it) for each difference."""
    found = compare_trees.differences(compare_trees.collect(pair[0]), compare_trees.collect(pair[1]))
    return {(line.split("'")[1], line.split(": ", maxsplit=1)[1].split()[0]) for line in found}


def keep_time(path: Path, change: Callable[[Path], object]) -> None:
    status = os.lstat(path)
    change(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def test_equal_trees_are_equal(pair: tuple[Path, Path]) -> None:
    assert fields_that_differ(pair) == set()


def test_content_of_the_same_size(pair: tuple[Path, Path]) -> None:
    keep_time(pair[1] / "folder" / "other", lambda path: path.write_bytes(b"Content"))
    assert fields_that_differ(pair) == {(os.path.join("folder", "other"), "digest")}


def test_missing_and_added_paths(pair: tuple[Path, Path]) -> None:
    keep_time(pair[1] / "folder", lambda path: (path / "other").unlink())
    keep_time(pair[1], lambda path: (path / "new").touch())
    assert fields_that_differ(pair) == {(os.path.join("folder", "other"), "only"), ("new", "only")}


def test_times_to_the_nanosecond_and_of_folders(pair: tuple[Path, Path]) -> None:
    os.utime(pair[1] / "folder", ns=(0, 1_700_000_000_123_456_800))
    assert fields_that_differ(pair) == {("folder", "modified_ns")}


@pytest.mark.skipif(not POSIX, reason="no permission bits here")
def test_permissions(pair: tuple[Path, Path]) -> None:
    (pair[1] / "empty").chmod(0o1711)
    assert fields_that_differ(pair) == {("empty", "mode")}


@pytest.mark.skipif(not POSIX, reason="no links here")
def test_link_targets_and_types(pair: tuple[Path, Path]) -> None:
    link = pair[1] / "link"
    status = os.lstat(link)
    link.unlink()
    link.symlink_to("elsewhere")
    os.utime(link, ns=(0, status.st_mtime_ns), follow_symlinks=False)
    os.utime(pair[1], ns=(0, 1_700_000_000_123_456_700))
    assert fields_that_differ(pair) == {("link", "link_target")}


@pytest.mark.skipif(not POSIX, reason="no links here")
def test_broken_hard_links(pair: tuple[Path, Path]) -> None:
    second_name = pair[1] / "second name"
    second_name.unlink()
    shutil.copy2(pair[1] / "folder" / "file", second_name)
    os.utime(pair[1], ns=(0, 1_700_000_000_123_456_700))
    assert fields_that_differ(pair) == {("second name", "linked_with")}


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes here")
def test_extended_attributes(pair: tuple[Path, Path]) -> None:
    try:
        os.setxattr(pair[1] / "folder" / "other", "user.note", b"x")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    assert fields_that_differ(pair) == {(os.path.join("folder", "other"), "xattrs")}


def test_alone_as_a_command(pair: tuple[Path, Path]) -> None:
    command = [sys.executable, compare_trees.__file__, *map(str, pair)]
    same = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (same.returncode, same.stdout.split()[-1]) == (0, "identical")
    (pair[1] / "folder" / "other").write_bytes(b"changed")
    other = subprocess.run(command, capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "digest" in other.stdout
    ignoring = [*command, "--ignore", "digest", "--ignore", "modified_ns"]
    assert subprocess.run(ignoring, capture_output=True, check=False).returncode == 0
