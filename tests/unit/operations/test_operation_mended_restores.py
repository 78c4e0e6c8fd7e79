"""Faults of restores that were there once: links, what a target keeps, paths, and what an interruption leaves."""

from __future__ import annotations

import os
import random
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compare_trees
import pytest

from snapstore.errors import EntryNotFoundError, InputError
from snapstore.types import Overwrite, RestoreOptions

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX has it")
MARKER = ".snapstore-restoring"
SIZES = {"inline": 10, "bundled": 9000, "chunked": 300_000}
OLD_NS = 1_000_000_000_000_000_000


@posix_only
def test_a_hard_link_is_not_made_to_a_file_of_the_user(lab: Any) -> None:
    os.link(lab.write("first", b"of the snapshot"), lab.source / "second")
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    target = lab.folder / "target"
    target.mkdir()
    (target / "first").write_bytes(b"the user's own")
    report = dossier.restore("latest", to=target, options=RestoreOptions(overwrite=Overwrite.NEVER))
    assert report.problems == ()
    assert (target / "first").read_bytes() == b"the user's own"
    assert (target / "first").stat().st_nlink == 1
    assert (target / "second").read_bytes() == b"of the snapshot"


@posix_only
def test_hard_links_of_links_and_pipes_come_back_as_such(lab: Any) -> None:
    lab.write("file", b"x")
    (lab.source / "link").symlink_to("file")
    os.mkfifo(lab.source / "pipe")
    try:
        os.link(lab.source / "link", lab.source / "link again", follow_symlinks=False)
    except (OSError, NotImplementedError):
        pytest.skip("this system links no links")
    os.link(lab.source / "pipe", lab.source / "pipe again")
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    target = lab.folder / "target"
    assert dossier.restore("latest", to=target).problems == ()
    for name, kind in (("link", stat.S_ISLNK), ("pipe", stat.S_ISFIFO)):
        first, again = (target / name).lstat(), (target / f"{name} again").lstat()
        assert kind(first.st_mode)
        assert first.st_ino == again.st_ino
    part = lab.folder / "part"
    assert dossier.restore("latest", to=part, paths=["link again", "pipe again"]).problems == ()
    assert os.readlink(part / "link again") == "file"
    assert stat.S_ISFIFO((part / "pipe again").lstat().st_mode)


def test_deleting_spares_what_is_excluded(lab: Any) -> None:
    lab.write("file", b"x")
    lab.write("folder/file", b"x")
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    target = lab.folder / "target"
    for path in ("mine.keep", "surplus", "folder/mine.keep", "folder/surplus", "kept/below", "gone/below"):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(b"in the target")
    options = RestoreOptions(overwrite=Overwrite.ALWAYS, delete=True, exclude=("*.keep", "kept/"))
    report = dossier.restore("latest", to=target, options=options)
    assert {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()} == {
        "file",
        "folder/file",
        "mine.keep",
        "folder/mine.keep",
        "kept/below",
    }
    assert (report.problems, report.deleted) == ((), 3)


@posix_only
@pytest.mark.parametrize("chosen", ["never", "part"])
def test_folders_that_were_there_keep_mode_and_time(lab: Any, chosen: str) -> None:
    lab.write("a/b/file", b"of the snapshot")
    lab.write("a/b/new/file", b"of the snapshot")
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    target = lab.folder / "target"
    (target / "a" / "b").mkdir(parents=True)
    (target / "a" / "b" / "file").write_bytes(b"the user's own")
    folders = [target / "a" / "b", target / "a", target]
    for folder in folders:
        folder.chmod(0o711)
        os.utime(folder, ns=(OLD_NS, OLD_NS))
    overwrite = Overwrite.NEVER if chosen == "never" else Overwrite.ALWAYS
    paths = [] if chosen == "never" else ["a/b/new"]
    report = dossier.restore("latest", to=target, paths=paths, options=RestoreOptions(overwrite=overwrite))
    assert report.problems == ()
    assert (target / "a" / "b" / "new" / "file").read_bytes() == b"of the snapshot"
    assert (target / "a" / "b" / "file").read_bytes() == b"the user's own"
    for folder in folders:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    assert (target / "a").stat().st_mtime_ns == OLD_NS
    source, restored = lab.source / "a" / "b" / "new", target / "a" / "b" / "new"
    assert restored.stat().st_mtime_ns == source.stat().st_mtime_ns  # one that the restore made gets its own


def test_a_path_with_wildcards_that_exists_is_taken_as_it_stands(lab: Any) -> None:
    for path in ("a[1].txt", "a1.txt", "b.txt"):
        lab.write(path, path.encode())
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    target = lab.folder / "target"
    report = dossier.restore("latest", to=target, paths=["a[1].txt"])
    assert (report.problems, os.listdir(target)) == ((), ["a[1].txt"])
    report = dossier.restore("latest", to=lab.folder / "other", paths=["b*", "*.jpg"])
    assert [(item.code, item.path) for item in report.problems] == [("nothing_matched", "*.jpg")]
    assert os.listdir(lab.folder / "other") == ["b.txt"]
    with pytest.raises(EntryNotFoundError):
        dossier.restore("latest", to=lab.folder / "third", paths=["c.txt"])


@pytest.fixture
def deep(lab: Any) -> Iterator[str]:
    """A source with one file very deep down; its path."""
    depth = 1500
    lab.source.mkdir()
    here = os.getcwd()
    try:
        os.chdir(lab.source)
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        Path("bottom").write_bytes(b"at the bottom")
        os.chdir(here)
        yield "d/" * depth + "bottom"
    finally:
        os.chdir(here)
        for name in ("source", "target"):
            os.system(f'rm -rf "{lab.folder / name}"')  # shutil.rmtree recurses


@posix_only
def test_one_file_from_very_deep_down(lab: Any, deep: str) -> None:
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    report = dossier.restore("latest", to=lab.folder / "target", paths=[deep])
    assert (report.problems, report.files_restored) == ((), 1)
    os.chdir(lab.folder / "target")
    for _ in range(deep.count("/")):
        os.chdir("d")
    assert Path("bottom").read_bytes() == b"at the bottom"


def test_overwriting_by_plain_words(lab: Any) -> None:
    lab.write("file", b"of the snapshot")
    lab.write("new", b"of the snapshot")
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    target = lab.folder / "target"
    target.mkdir()
    (target / "file").write_bytes(b"mine")
    words: Any = "never"
    report = dossier.restore("latest", to=target, options=RestoreOptions(overwrite=words))
    assert (report.files_restored, report.files_unchanged) == (1, 1)
    assert (target / "file").read_bytes() == b"mine"
    words = "sometimes"
    with pytest.raises(InputError):
        RestoreOptions(overwrite=words)


def test_a_resumed_restore_does_not_trust_size_and_time(lab: Any) -> None:
    for name, size in SIZES.items():
        lab.write(name, random.Random(size).randbytes(size))
    dossier = lab.dossier()
    snapshot = dossier.snapshot(lab.source).snapshot
    target = lab.folder / "target"
    dossier.restore("latest", to=target)
    (target / MARKER).write_text(snapshot.name)  # as if the power had gone
    for name, size in SIZES.items():
        before = (target / name).stat()
        (target / name).write_bytes(bytes(size))
        os.utime(target / name, ns=(before.st_atime_ns, before.st_mtime_ns))
    report = dossier.restore("latest", to=target)
    assert (report.problems, report.files_restored) == ((), len(SIZES))
    assert compare_trees.differences(lab.facts(), compare_trees.collect(target)) == []
    (target / MARKER).write_text(snapshot.name)
    assert dossier.restore("latest", to=target).files_unchanged == len(SIZES)
