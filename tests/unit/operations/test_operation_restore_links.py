"""Hard links whose first name is not restored, names that the target cannot hold, and folders that go meanwhile."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import compare_trees
import pytest

from snapstore.errors import DamagedObjectError, TargetError
from snapstore.operations.browse import SnapshotView
from snapstore.operations.restore import entries, run, write
from snapstore.operations.restore.place import Place
from snapstore.targets import many
from snapstore.targets.capabilities import Capabilities
from snapstore.targets.directory import TargetDirectory
from snapstore.types import Overwrite, RestoreOptions

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and folders by descriptor are on POSIX only")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the writer was drained, and the waiting links were gone through."""
    counted: Counter[str] = Counter()
    drain, link_all = write.ContentWriter.drain, entries.Entries.link_all

    def counting_drain(self: Any) -> None:
        counted["drain"] += 1
        drain(self)

    def counting_pass(self: Any, root: Any, *, last: bool) -> None:
        counted["pass"] += 1
        counted["links"] += len(self.links.waiting)
        link_all(self, root, last=last)

    monkeypatch.setattr(write.ContentWriter, "drain", counting_drain)
    monkeypatch.setattr(entries.Entries, "link_all", counting_pass)
    return counted


def write_pairs(lab: Any, count: int, *, size: int = 0) -> None:
    for number in range(count):
        content = b"%d" % number + random.Random(number).randbytes(size)
        (lab.source / "links").mkdir(parents=True, exist_ok=True)
        os.link(lab.write(f"first/{number}", content), lab.source / "links" / f"link {number}")


@pytest.mark.parametrize("size", [0, 5000])
def test_links_whose_first_name_is_not_selected_do_not_wait(lab: Any, calls: Counter[str], size: int) -> None:
    write_pairs(lab, 300, size=size)
    lab.dossier().snapshot(lab.source)
    target: Path = lab.folder / "target"
    report = lab.dossier().restore("latest", to=target, paths=["links"])
    assert (report.problems, report.files_restored, report.others) == ((), 300, 0)
    found = compare_trees.collect(target)
    for number in range(300):
        content = b"%d" % number + random.Random(number).randbytes(size)
        assert (target / "links" / f"link {number}").read_bytes() == content
    assert len(found) == 302
    assert calls["links"] == 0
    assert calls["drain"] < 5


def test_links_that_wait_in_vain_are_gone_through_when_they_have_doubled(
    lab: Any, monkeypatch: pytest.MonkeyPatch, calls: Counter[str]
) -> None:
    monkeypatch.setattr(entries, "_LINKS_WAITING_MAX", 4)
    write_pairs(lab, 300)
    lab.dossier().snapshot(lab.source)
    target: Path = lab.folder / "target"
    target.mkdir()
    (target / "first").write_bytes(b"the user's")  # in the way of all first names
    report = lab.dossier().restore("latest", to=target, options=RestoreOptions(overwrite=Overwrite.NEVER))
    assert [(problem.code, problem.path) for problem in report.problems] == [("in_the_way", "first")]
    assert report.files_restored == 300
    assert calls["pass"] <= 9  # at 4, 8, 16 ... 256, and the last
    assert calls["links"] <= 4 * 300
    assert calls["drain"] < 30


@pytest.mark.parametrize("size", [3, 9000, 1_500_000])
def test_many_links_to_one_file_that_is_not_selected_are_one_file(lab: Any, size: int, calls: Counter[str]) -> None:
    first = lab.write("first", random.Random(size).randbytes(size))
    (lab.source / "links").mkdir()
    for number in range(100):
        os.link(first, lab.source / "links" / str(number))
    lab.dossier().snapshot(lab.source)
    target: Path = lab.folder / "target"
    report = lab.dossier().restore("latest", to=target, paths=["links"])
    assert (report.problems, report.files_restored, report.others) == ((), 1, 99)
    assert {path.stat().st_ino for path in (target / "links").iterdir()} == {(target / "links" / "0").stat().st_ino}
    assert (target / "links" / "7").read_bytes() == first.read_bytes()
    assert calls["drain"] < 8


def test_where_the_first_copy_fails_the_next_is_what_links_mean(lab: Any) -> None:
    first = lab.write("first", b"content")
    for number in range(5):
        (lab.source / "links" / str(number)).mkdir(parents=True)
        os.link(first, lab.source / "links" / str(number) / "link")
    lab.dossier().snapshot(lab.source)
    target: Path = lab.folder / "target"
    for number in range(2):
        (target / "links" / str(number) / "link").mkdir(parents=True)  # folders in the way
    options = RestoreOptions(overwrite=Overwrite.ALWAYS)
    report = lab.dossier().restore("latest", to=target, paths=["links"], options=options)
    assert [(problem.code, problem.path) for problem in report.problems] == [
        ("in_the_way", "links/0/link"),
        ("in_the_way", "links/1/link"),
    ]
    assert {(target / "links" / str(number) / "link").stat().st_nlink for number in (2, 3, 4)} == {3}


@pytest.mark.parametrize("waiting", [1, 4096])
def test_links_to_a_damaged_file_are_a_problem_each(
    lab: Any, monkeypatch: pytest.MonkeyPatch, waiting: int, calls: Counter[str]
) -> None:
    monkeypatch.setattr(entries, "_LINKS_WAITING_MAX", waiting)
    first = lab.write("first", random.Random(1).randbytes(9000))
    (lab.source / "links").mkdir()
    for number in range(100):
        os.link(first, lab.source / "links" / str(number))
    lab.dossier().snapshot(lab.source)
    damaged = DamagedObjectError("A pack is damaged.", code="damaged_blob")
    monkeypatch.setattr("snapstore.operations.restore.batch._whole", lambda *_: _raise(damaged))
    report = lab.dossier().restore("latest", to=lab.folder / "target")
    assert {problem.code for problem in report.problems} == {"damaged_blob"}
    assert len({problem.path for problem in report.problems}) == len(report.problems) == 101
    assert calls["drain"] < 20


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("paths", [[], ["links"]])
def test_a_target_without_hard_links_gets_copies(
    lab: Any, monkeypatch: pytest.MonkeyPatch, paths: list[str], calls: Counter[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise TargetError("It cannot be a hard link here.", code="hard_link_copied")

    _with_capabilities(monkeypatch, hard_links=False)
    monkeypatch.setattr(TargetDirectory, "hard_link", refuse)
    first = lab.write("first", b"content")
    (lab.source / "links").mkdir()
    for number in range(50):
        os.link(first, lab.source / "links" / str(number))
    lab.dossier().snapshot(lab.source)
    report = lab.dossier().restore("latest", to=lab.folder / "target", paths=paths)
    assert report.files_restored == 50 + (not paths)
    assert {problem.code for problem in report.problems} <= {"hard_link_copied"}
    copies = list((lab.folder / "target" / "links").iterdir())
    assert {(path.read_bytes(), path.stat().st_nlink) for path in copies} == {(b"content", 1)}
    assert calls["drain"] < 8


def _with_capabilities(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    probe = run.probe

    def changed(root: TargetDirectory, path: str) -> Capabilities:
        return dataclasses.replace(probe(root, path), **changes)

    monkeypatch.setattr(run, "probe", changed)


@pytest.mark.parametrize("native", [True, False])
def test_names_longer_than_the_target_takes_are_shortened(
    lab: Any, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    if not native:
        monkeypatch.setattr(many, "_native", None)
    _with_capabilities(monkeypatch, name_max=143)  # as eCryptfs
    for size in (1, 143, 144, 200, 255):
        lab.write("folder/" + "n" * (size - 1) + "x", b"%d" % size)
    lab.dossier().snapshot(lab.source)
    report = lab.dossier().restore("latest", to=lab.folder / "target")
    assert [(item.code, len(item.path)) for item in report.problems] == [("renamed", 7 + n) for n in (255, 200, 144)]
    found = {path.read_bytes(): len(path.name) for path in (lab.folder / "target" / "folder").iterdir()}
    assert found == {b"1": 1, b"143": 143, b"144": 143, b"200": 143, b"255": 143}


@pytest.mark.parametrize("step", ["hold_open", "make_directory"])
def test_a_folder_that_cannot_be_opened_costs_its_files_alone(
    lab: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    for folder in ("a", "b", "c"):
        for number in range(5):
            lab.write(f"{folder}/{number}", b"%d" % number)
    os.link(lab.source / "b" / "3", lab.source / "c" / "link")
    lab.dossier().snapshot(lab.source)
    if step == "hold_open":
        hold_open = many.hold_open

        def fail(directory: TargetDirectory) -> None:
            if directory.path == "b":
                raise TargetError("'b' could not be restored: Too many open files.", code="not_restored")
            hold_open(directory)

        monkeypatch.setattr(write, "hold_open", fail)
    else:
        make = Place.ensure

        def fail_to_make(place: Any) -> TargetDirectory:
            if place.path == (b"b",) and place.directory is not None:
                raise TargetError(os.strerror(errno.EMFILE), code="not_restored")
            return make(place)

        monkeypatch.setattr(Place, "ensure", fail_to_make)
    report = lab.dossier().restore("latest", to=lab.folder / "target")
    assert [(problem.code, problem.path) for problem in report.problems] == [
        ("not_restored", f"b/{number}") for number in range(5)
    ]
    found = {path.relative_to(lab.folder / "target").as_posix() for path in lab.folder.glob("target/*/*")}
    assert found == {f"{folder}/{number}" for folder in ("a", "c") for number in range(5)} | {"c/link"}
    assert (lab.folder / "target" / "c" / "link").read_bytes() == b"3"


def test_files_of_earlier_batches_stay_when_the_folder_goes(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is renamed between two batches: what was handed over before is not told to be lost."""
    for number in range(40):
        lab.write(f"folder/{number:02}", b"%d" % number)
    lab.dossier().snapshot(lab.source)
    monkeypatch.setattr(write, "_BATCH_FILES", 10)
    hold_open, held = many.hold_open, Counter[str]()

    def fail_later(directory: TargetDirectory) -> None:
        held[directory.path] += 1
        if held[directory.path] == 3:
            raise TargetError("another folder has taken its place meanwhile", code="in_the_way")
        hold_open(directory)

    monkeypatch.setattr(write, "hold_open", fail_later)
    report = lab.dossier().restore("latest", to=lab.folder / "target")
    restored = sorted(path.name for path in (lab.folder / "target" / "folder").iterdir())
    lost = [problem.path.removeprefix("folder/") for problem in report.problems]
    assert sorted(restored + lost) == [f"{number:02}" for number in range(40)]
    assert 0 < len(restored) == report.files_restored < 40


def test_finding_is_not_needed_for_links_that_are_made(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(lab, 20)
    lab.dossier().snapshot(lab.source)
    monkeypatch.setattr(SnapshotView, "find", lambda *_: _raise(AssertionError("not to be asked")))
    report = lab.dossier().restore("latest", to=lab.folder / "target")
    assert (report.problems, report.others) == ((), 20)
