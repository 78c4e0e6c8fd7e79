"""Restores of what is left of snapshots that are damaged: zeros for what is lost, each range named."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from snapstore.errors import DamagedObjectError, StoreUnavailableError
from snapstore.format.names import pack_path
from snapstore.format.pack import BlobKind
from snapstore.stores.wrapper import StoreWrapper
from snapstore.types import Overwrite, RestoreOptions

PARTIAL = RestoreOptions(partial=True)


class BadPlaces(StoreWrapper):
    """A store in which some places of some objects cannot be read."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.bad: set[tuple[str, int]] = set()

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        data = self.inner.get(name, offset=offset, size=size)
        if any(path == name and offset <= place < offset + len(data) for path, place in self.bad):
            raise StoreUnavailableError("Input/output error")
        return data


def spoil(lab: Any, dossier: Any, *, share: float, kind: BlobKind, seed: int = 1) -> int:
    """Change a byte in some of the blobs of a kind; returns in how many."""
    chance, count = random.Random(seed), 0
    index = dossier._context.repository.index(refresh=True).index
    for name, _, _ in list(index.packs()):
        data = bytearray(lab.store.get(pack_path(name)))
        for entry in index.entries(name):
            if entry.kind == kind and chance.random() < share:
                data[entry.offset + entry.child_size + 20] ^= 1
                count += 1
        lab.store.delete(pack_path(name))
        lab.store.put(pack_path(name), bytes(data))
    return count


def lost_ranges(message: str) -> list[tuple[int, int]]:
    """Offset and size of each range that a problem names."""
    ranges = []
    words = message.replace(",", "").partition(": ")[2].rstrip(".").split()
    for at, word in enumerate(words):
        if word == "bytes":
            ranges.append((int(words[at + 2]), int(words[at - 1])))
    return ranges


def assert_holes(whole: bytes, partial: bytes, ranges: list[tuple[int, int]]) -> None:
    expected = bytearray(whole)
    for offset, size in ranges:
        expected[offset : offset + size] = bytes(size)
    assert partial == bytes(expected)


@pytest.mark.parametrize("size", [300_000, 3_000_000])
def test_what_is_lost_of_a_file_is_zeros_and_named(lab: Any, size: int) -> None:
    whole = random.Random(2).randbytes(size)
    lab.write("folder/large", whole)
    lab.write("other", b"o" * 100)
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    assert spoil(lab, dossier, share=0.3, kind=BlobKind.DATA)
    target = lab.folder / "target"
    report = lab.unlocked("one").restore("latest", to=target, options=PARTIAL)
    [problem] = report.problems
    assert (problem.code, problem.path) == ("content_lost", "folder/large")
    ranges = lost_ranges(problem.message)
    assert ranges
    assert_holes(whole, (target / "folder/large").read_bytes(), ranges)
    assert (target / "other").read_bytes() == b"o" * 100
    assert abs((target / "folder/large").stat().st_mtime - (lab.source / "folder/large").stat().st_mtime) > 0
    without = lab.unlocked("one").restore("latest", to=lab.folder / "without")
    assert [problem.code for problem in without.problems] == ["damaged_blob"]
    assert not (lab.folder / "without/folder/large").exists()


def test_a_place_that_cannot_be_read_costs_no_more_than_what_lies_there(lab: Any) -> None:
    whole = random.Random(3).randbytes(5_000_000)
    lab.write("large", whole)
    lab.dossier().snapshot(lab.source)
    store = BadPlaces(lab.store)
    for item in lab.store.list("packs"):
        if item.size > 1_000_000:
            store.bad.add((item.name, item.size // 2))
    assert store.bad
    dossier = lab.unlocked("one", store)
    report = dossier.restore("latest", to=lab.folder / "target", options=PARTIAL)
    [problem] = report.problems
    assert problem.code == "content_lost"
    assert_holes(whole, (lab.folder / "target/large").read_bytes(), lost_ranges(problem.message))


def test_a_bundle_that_is_lost_loses_its_files_each_named(lab: Any) -> None:
    for number in range(20):
        lab.write(f"note {number:02}", random.Random(number).randbytes(2000))
    lab.write("inline", b"short")
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    assert spoil(lab, dossier, share=1, kind=BlobKind.DATA)
    report = lab.unlocked("one").restore("latest", to=lab.folder / "target", options=PARTIAL)
    assert sorted(problem.path for problem in report.problems) == [f"note {number:02}" for number in range(20)]
    assert {problem.code for problem in report.problems} == {"damaged_blob"}
    assert [path.name for path in (lab.folder / "target").iterdir() if path.is_file()][:1] == ["inline"]


def test_a_part_of_a_folders_list_is_lost_and_the_rest_comes_back(lab: Any) -> None:
    for number in range(400):
        lab.write(f"many/file {number:03}", b"%d" % number)
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    found = 0
    for seed in range(40):
        fork = lab.fork(f"seed {seed}")
        spoil(fork, fork.dossier(), share=0.06, kind=BlobKind.TREE, seed=seed)
        target = fork.folder / "target"
        try:
            report = fork.unlocked("one").restore("latest", to=target, options=PARTIAL)
        except DamagedObjectError:  # the root itself
            continue
        there = sorted(path.name for path in target.glob("many/*"))
        if report.problems and there:
            found += 1
            assert [problem.path for problem in report.problems] == ["many"]
            assert report.problems[0].code == "damaged_blob"
            assert f"{400 - len(there)} entries" in report.problems[0].message
        for path in target.glob("many/*"):
            assert path.read_bytes() == b"%d" % int(path.name[-3:])
    assert found > 3


def test_a_part_of_a_list_of_chunks_is_a_lost_range(lab: Any) -> None:
    whole = random.Random(5).randbytes(12_000_000)
    lab.write("large.fic", whole)  # pages, so that its list has several nodes
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    found = 0
    for seed in range(30):
        fork = lab.fork(f"seed {seed}")
        spoil(fork, fork.dossier(), share=0.05, kind=BlobKind.TREE, seed=seed)
        target = fork.folder / "target"
        try:
            report = fork.unlocked("one").restore("latest", to=target, options=PARTIAL)
        except DamagedObjectError:
            continue
        for problem in report.problems:
            if problem.code == "content_lost":
                found += 1
                assert_holes(whole, (target / "large.fic").read_bytes(), lost_ranges(problem.message))
    assert found > 2


def test_a_file_with_holes_takes_nobodys_place(lab: Any) -> None:
    lab.write("large", random.Random(6).randbytes(300_000))
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    spoil(lab, dossier, share=0.3, kind=BlobKind.DATA)
    target: Path = lab.folder / "target"
    target.mkdir()
    (target / "large").write_bytes(b"what is there")
    options = RestoreOptions(partial=True, overwrite=Overwrite.ALWAYS)
    report = lab.unlocked("one").restore("latest", to=target, options=options)
    assert [problem.code for problem in report.problems] == ["damaged_blob"]
    assert (target / "large").read_bytes() == b"what is there"
