"""What a snapshot takes of its sources: layouts, excludes, what is missing, empty, unreadable, or changes meanwhile."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import compare_trees
import pytest

import snapstore
from snapstore.errors import InputError, SourceEmptyError, SourceError, SourceMissingError
from snapstore.progress import ProgressStatus
from snapstore.types import EntryType, SnapshotOptions

DEPTH = 1000
NOBODY = 65534
CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# a cache"
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX has it")


def files(dossier: snapstore.Dossier, snapshot: snapstore.Snapshot | str = "latest") -> set[str]:
    return {entry.path for entry in dossier.entries(snapshot) if entry.type is not EntryType.DIRECTORY}


# --- what is left out ------------------------------------------------------------------------------------------------


def test_excludes(lab: Any, tmp_path: Path) -> None:
    for path in ("a.txt", "a.tmp", "keep.tmp", "build/x", "src/build/y", "src/z.txt", "big", "from file.log"):
        lab.write(path, path.encode() * (1000 if path == "big" else 1))
    (tmp_path / "patterns").write_text("# comment\n*.log\n")
    options = SnapshotOptions(exclude_files=(tmp_path / "patterns",), exclude_larger_than=2000)
    dossier = lab.dossier()
    report = dossier.snapshot(lab.source, exclude=["*.tmp", "!keep.tmp", "/build/"], options=options)
    assert files(dossier) == {"a.txt", "keep.tmp", "src/build/y", "src/z.txt"}
    assert (report.snapshot.files, report.problems) == (4, ())
    assert report.snapshot.excludes == ("*.tmp", "!keep.tmp", "/build/")


def test_caches_that_are_tagged(lab: Any) -> None:
    lab.write("cache/CACHEDIR.TAG", CACHE_TAG)
    lab.write("cache/large", b"x")
    lab.write("cache/folder/x", b"x")
    lab.write("other/CACHEDIR.TAG", b"no signature")
    lab.write("other/file", b"x")
    dossier = lab.dossier()
    dossier.snapshot(lab.source, options=SnapshotOptions(exclude_caches=True))
    assert files(dossier) == {"cache/CACHEDIR.TAG", "other/CACHEDIR.TAG", "other/file"}
    dossier.snapshot(lab.source)
    assert len(files(dossier)) == 5


def test_bad_excludes_are_refused_before_anything_is_stored(lab: Any, tmp_path: Path) -> None:
    lab.write("file", b"x")
    for options in (SnapshotOptions(exclude_files=(tmp_path / "absent",)), SnapshotOptions(compression_level=99)):
        with pytest.raises(InputError):
            lab.dossier().snapshot(lab.source, options=options)
    assert lab.names("snapshots") == lab.names("packs") == []


# --- missing and empty -----------------------------------------------------------------------------------------------


def test_missing_sources(lab: Any) -> None:
    lab.write("file", b"x")
    absent = lab.folder / "absent"
    dossier = lab.dossier()
    with pytest.raises(SourceMissingError):
        dossier.snapshot([lab.source, absent])
    with pytest.raises(SourceMissingError):
        dossier.snapshot(absent, options=SnapshotOptions(allow_missing=True))
    with pytest.raises(InputError):
        dossier.snapshot([])
    with pytest.raises(InputError):
        dossier.snapshot("")
    assert lab.names("snapshots") == []
    report = dossier.snapshot([lab.source, absent], options=SnapshotOptions(allow_missing=True))
    assert [(problem.code, problem.path) for problem in report.problems] == [("source_missing", str(absent))]
    assert report.snapshot.sources == (str(lab.source),)
    [listed] = dossier.list()
    assert (listed.problem_count, [problem.code for problem in listed.problems]) == (1, ["source_missing"])


def test_a_source_that_is_empty_now_is_suspicious(lab: Any) -> None:
    path = lab.write("file", b"x")
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    path.unlink()
    for station in ("one", "two"):
        with pytest.raises(SourceEmptyError):
            (dossier if station == "one" else lab.unlocked("two")).snapshot(lab.source)
    report = dossier.snapshot(lab.source, options=SnapshotOptions(allow_empty=True))
    assert (report.snapshot.files, report.snapshot.directories) == (0, 1)
    dossier.snapshot(lab.source)  # it was empty the last time: nothing suspicious any more


def test_an_empty_source_at_first_is_fine(lab: Any) -> None:
    lab.source.mkdir()
    report = lab.dossier().snapshot(lab.source)
    assert report.snapshot.files == 0
    lab.assert_restores(lab.dossier(), lab.facts(), report.snapshot)


def test_one_of_several_sources_becomes_empty(lab: Any) -> None:
    first, second = lab.write("first/file", b"x"), lab.write("second/file", b"y")
    dossier = lab.dossier()
    dossier.snapshot([first.parent, second.parent])
    second.unlink()
    with pytest.raises(SourceEmptyError) as caught:
        dossier.snapshot([first.parent, second.parent])
    assert str(second.parent) in str(caught.value)


# --- layouts ---------------------------------------------------------------------------------------------------------


def test_several_sources_stand_below_their_common_folder(lab: Any) -> None:
    for path in ("clients/a/1", "clients/a/2", "clients/b/deep/3", "other/4", "beside"):
        lab.write(path, path.encode())
    sources = [lab.source / "clients" / "a", lab.source / "clients" / "b" / "deep", lab.source / "other" / "4"]
    dossier = lab.dossier()
    report = dossier.snapshot(sources)
    assert files(dossier) == {"clients/a/1", "clients/a/2", "clients/b/deep/3", "other/4"}
    assert set(report.snapshot.sources) == set(map(str, sources))
    dossier.restore("latest", to=lab.folder / "target")
    assert (lab.folder / "target" / "other" / "4").read_bytes() == b"other/4"
    modes = {path: (lab.folder / "target" / path).stat().st_mode for path in ("clients", "clients/b")}
    assert modes == {path: (lab.source / path).stat().st_mode for path in modes}


def test_one_file_stands_in_its_folder(lab: Any) -> None:
    path = lab.write("folder/file", b"content")
    lab.write("folder/beside", b"x")
    dossier = lab.dossier()
    dossier.snapshot(path)
    assert files(dossier) == {"file"}
    with dossier.open_file("latest", "file") as stream:
        assert stream.read() == b"content"


def test_a_source_within_another_counts_once(lab: Any) -> None:
    lab.write("folder/file", b"x")
    report = lab.dossier().snapshot([lab.source, lab.source / "folder", lab.source / "folder" / "file", lab.source])
    assert (report.snapshot.files, files(lab.dossier())) == (1, {"folder/file"})


# --- hard to read ----------------------------------------------------------------------------------------------------


@posix_only
def test_what_cannot_be_saved_is_a_problem_of_the_report(lab: Any) -> None:
    lab.write("file", b"x")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(lab.source)  # a socket's path has at most 108 bytes
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        report = lab.dossier().snapshot(lab.source)
    assert [problem.code for problem in report.problems] == ["unsupported_type"]
    assert not report.clean
    assert files(lab.dossier()) == {"file"}


@posix_only
def test_a_file_that_may_not_be_read_is_a_problem_and_the_others_are_saved(lab: Any) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else, since root may read everything")
    lab.write("warm", b"x")
    dossier = lab.dossier()
    dossier.snapshot(lab.source)  # what is imported when it is first needed is imported as root
    with tempfile.TemporaryDirectory(prefix="snapstore-test-") as folder:
        source = Path(folder) / "source"
        (source / "closed folder").mkdir(parents=True)
        for name in ("open", "closed", "small closed", "closed folder/inside"):
            (source / name).write_bytes(name.encode() * (9000 if name == "closed" else 1))
        shutil.copytree(lab.folder / "state one", Path(folder) / "state one")
        for path in (Path(folder), *Path(folder).rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        for name in ("closed", "small closed", "closed folder"):
            (source / name).chmod(0)
        os.seteuid(NOBODY)
        try:
            ordinary = replace(lab, folder=Path(folder)).dossier()
            report = ordinary.snapshot(source)
        finally:
            os.seteuid(0)
        said = {(problem.code, problem.path) for problem in report.problems}
        closed = {("unreadable", str(source / name)) for name in ("closed", "closed folder", "small closed")}
        assert closed <= said <= closed | {("xattr_unreadable", str(source / "closed folder"))}
        assert sorted(entry.path for entry in ordinary.entries(report.snapshot)) == ["closed folder", "open"]
        assert (report.snapshot.files, report.snapshot.problem_count) == (1, len(said))


class Writer:
    """Changes a file whenever the snapshot tells of progress: while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.write)

    def write(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            with self.path.open("r+b") as file:
                file.seek(number * 4096 % 3_000_000)
                file.write(b"%d" % number)

    def __enter__(self) -> Writer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


def test_a_file_that_changes_while_it_is_read_is_marked(lab: Any) -> None:
    path = lab.write("changing", bytes(20_000_000))
    lab.write("still", b"x")
    dossier = lab.dossier()
    with Writer(path):
        report = dossier.snapshot(lab.source)
    assert [(problem.code, problem.path) for problem in report.problems] == [("changed_while_read", str(path))]
    entries = {entry.path: entry for entry in dossier.entries("latest")}
    assert (entries["changing"].changed_while_read, entries["still"].changed_while_read) == (True, False)
    assert dossier.restore("latest", to=lab.folder / "target").problems == ()
    again = dossier.snapshot(lab.source)
    assert again.problems == ()
    assert again.raw_bytes_read >= 20_000_000


def test_files_that_vanish_and_appear_meanwhile(lab: Any) -> None:
    """The walk meets each folder once; what was listed and is gone is a problem, never an exception."""
    for number in range(300):
        lab.write(f"folder {number % 10}/file {number}", b"%d" % number * 500)

    class Remover:
        number = 0

        def is_set(self) -> bool:
            number, self.number = self.number, self.number + 1
            if number < 300:
                (lab.source / f"folder {number % 10}" / f"file {number}").unlink(missing_ok=True)
            return False

    report = lab.dossier().snapshot(lab.source, cancel=Remover())
    assert {problem.code for problem in report.problems} <= {"vanished"}
    stored = files(lab.dossier())
    assert report.snapshot.files == len(stored)
    assert lab.dossier().restore("latest", to=lab.folder / "target").problems == ()


@posix_only
def test_a_thousand_levels_deep(lab: Any) -> None:
    lab.source.mkdir()
    here = os.getcwd()
    try:
        os.chdir(lab.source)
        for _ in range(DEPTH):
            os.mkdir("d")
            os.chdir("d")
        Path("bottom").write_bytes(b"at the bottom")
    finally:
        os.chdir(here)
    dossier = lab.dossier()
    report = dossier.snapshot(lab.source)
    assert report.problems == ()
    assert (report.snapshot.directories, report.snapshot.files) == (DEPTH + 1, 1)
    with dossier.open_file("latest", "d/" * DEPTH + "bottom") as stream:
        assert stream.read() == b"at the bottom"
    assert sum(1 for _ in dossier.entries("latest")) == DEPTH + 1
    restored = dossier.restore("latest", to=lab.folder / "target")
    assert (restored.problems, restored.files_restored, restored.directories) == ((), 1, DEPTH)
    try:
        os.chdir(lab.folder / "target")
        for _ in range(DEPTH):
            os.chdir("d")
        assert Path("bottom").read_bytes() == b"at the bottom"
    finally:
        os.chdir(here)
        for name in ("source", "target"):
            os.system(f'rm -rf "{lab.folder / name}"')  # shutil.rmtree recurses


@posix_only
def test_special_files_come_back(lab: Any) -> None:
    lab.write("file", b"x")
    os.mkfifo(lab.source / "pipe")
    (lab.source / "dangling").symlink_to("nowhere")
    (lab.source / "loop").symlink_to("loop")
    if os.geteuid() == 0:
        os.mknod(lab.source / "null", 0o600 | 0o020000, os.makedev(1, 3))
    if sys.platform == "linux":
        os.setxattr(lab.source / "file", "user.small", b"value")
        os.setxattr(lab.source / "file", "user.large", b"v" * 3000)
    report = lab.dossier().snapshot(lab.source)
    assert report.problems == ()
    lab.assert_restores(lab.unlocked("reader"), lab.facts(), report.snapshot)


def test_labels_kinds_and_paths_that_are_no_text(lab: Any) -> None:
    if sys.platform != "linux":
        pytest.skip("names are any bytes on Linux only")
    odd = lab.folder / os.fsdecode(b"\xff source")
    odd.mkdir()
    (odd / "file").write_bytes(b"x")
    report = lab.dossier().snapshot(odd, label="\ud800 label")
    [listed] = lab.dossier().list()
    assert listed.files == 1
    assert listed.label == "? label"
    assert report.snapshot.id == listed.id
    (odd / "file").unlink()
    with pytest.raises(SourceEmptyError):  # what the last snapshot had is remembered under such a name too
        lab.dossier().snapshot(odd)


def test_progress_tells_every_phase_with_rising_figures(lab: Any, write_every_shape: Callable[..., None]) -> None:
    write_every_shape(lab.source)
    statuses: list[ProgressStatus] = []

    class Watcher:
        def update(self, status: ProgressStatus) -> None:
            statuses.append(status)

    report = lab.dossier().snapshot(lab.source, progress=Watcher())
    assert [status.phase for status in statuses if status.phase != "snapshot"][:2] == ["upload", "confirm"]
    for figure in ("files_done", "bytes_done", "problems", "seconds_elapsed"):
        values = [getattr(status, figure) for status in statuses]
        assert values == sorted(values), figure
    assert statuses[-1].files_done >= report.snapshot.files
    assert statuses[-1].bytes_done == report.snapshot.total_bytes


def test_a_source_that_may_not_be_entered_at_all(lab: Any) -> None:
    path = lab.write("file", b"x")
    with pytest.raises((SourceError, InputError)):
        lab.dossier().snapshot(path / "below a file")
    assert compare_trees.collect(lab.source).keys() == {".", "file"}
