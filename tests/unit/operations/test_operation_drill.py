"""Rehearsals: what is taken, what is found, and that nothing stays behind."""

from __future__ import annotations

import os
import random
import sqlite3
import struct
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import snapstore
from snapstore.operations import drill
from snapstore.operations.databases import look_at_database
from snapstore.operations.drill_sample import MOST_FILES, Candidate, Sample
from snapstore.operations.meter import Meter


def database(path: Path, rows: int, *, mode: str = "delete") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"pragma journal_mode={mode}")
        connection.execute("create table stock (number integer primary key, what text)")
        connection.executemany("insert into stock values (?, ?)", [(row, "ring " * 20) for row in range(rows)])
        connection.execute("create index by_what on stock (what)")
        connection.commit()


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """Where the scratch folder is made. It must be empty in the end."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def filled(lab: Any) -> Any:
    """A lab with files of every kind and two databases, the larger of which has an unlikely name."""
    generator = random.Random(4)
    for number in range(60):
        lab.write(f"notes/note {number}", generator.randbytes(generator.choice((0, 100, 5000))))
    lab.write("photos/ring", generator.randbytes(300_000))
    lab.write("photos/long", generator.randbytes(3_000_000))
    database(lab.source / "shop.dat", 5000)
    database(lab.source / "folder" / "small.db", 10)
    return lab


def test_a_sample_comes_back_and_is_gone_again(filled: Any, scratch: Path) -> None:
    dossier = filled.dossier()
    dossier.snapshot(filled.source)
    report = dossier.drill(scratch=scratch)
    assert report.whole
    assert (report.differing, report.broken_databases, report.problems) == ((), (), ())
    assert report.databases == 2
    assert report.files == 64
    assert report.snapshot.id == dossier.find("latest").id
    result = dossier.review().last_drill
    assert result is not None
    assert (result.whole, result.amount) == (True, 64)
    records = filled.names("records")
    assert dossier.drill(scratch=scratch, record=False).whole
    assert filled.names("records") == records


def test_the_largest_database_that_fits_is_always_taken(filled: Any, scratch: Path) -> None:
    dossier = filled.dossier()
    dossier.snapshot(filled.source)
    size = (filled.source / "shop.dat").stat().st_size
    for _ in range(5):
        report = dossier.drill(scratch=scratch, max_bytes=size, record=False)
        assert report.databases >= 1
        assert report.total_bytes == size
    small = (filled.source / "folder" / "small.db").stat().st_size
    report = dossier.drill(scratch=scratch, max_bytes=small, record=False)
    assert report.databases == 1
    report = dossier.drill(scratch=scratch, max_bytes=100, record=False)
    assert report.databases == 0
    assert {problem.code for problem in report.problems} == {"database_too_large"}
    assert report.whole


def test_older_snapshots_need_the_secret(filled: Any, scratch: Path) -> None:
    dossier = filled.dossier()
    dossier.snapshot(filled.source)
    filled.write("notes/note 1", b"another")
    dossier.snapshot(filled.source)
    with pytest.raises(snapstore.SecretRequiredError):
        dossier.drill(snapshot="latest~1", scratch=scratch)
    assert dossier.drill(snapshot="latest~1", secret=filled.secret, scratch=scratch).whole


def test_a_database_that_was_saved_damaged_is_named(filled: Any, scratch: Path) -> None:
    path = filled.source / "shop.dat"
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 5] = bytes(4096 * 2)
    path.write_bytes(data)
    dossier = filled.dossier()
    dossier.snapshot(filled.source)
    report = dossier.drill(scratch=scratch)
    assert not report.whole
    assert report.broken_databases == ("shop.dat",)
    assert report.databases == 1
    assert [problem.code for problem in report.problems] == ["database_broken"]
    result = dossier.review().last_drill
    assert result is not None
    assert not result.whole


def test_damage_is_what_differs(filled: Any, scratch: Path) -> None:
    dossier = filled.dossier()
    dossier.snapshot(filled.source)
    name = max(filled.store.list("packs"), key=lambda item: item.size).name
    data = filled.store.get(name)
    filled.store.delete(name)
    filled.store.put(name, bytes([data[0] ^ 1]) + bytes(data[1:-1]) + data[-1:])
    bad = bytearray(data)
    for place in range(0, len(bad), 1000):
        bad[place] ^= 1
    filled.store.delete(name)
    filled.store.put(name, bytes(bad))
    with snapstore_of(filled) as repository:
        report = repository.dossier("books").drill(scratch=scratch)
    assert not report.whole
    assert report.differing
    assert {problem.code for problem in report.problems} >= {"damaged_blob"}


def snapstore_of(lab: Any) -> snapstore.Repository:
    repository = lab.open()
    assert isinstance(repository, snapstore.Repository)
    return repository


def test_a_database_with_its_journal_comes_back_together(lab: Any, scratch: Path) -> None:
    lab.source.mkdir()
    with closing(sqlite3.connect(lab.source / "shop.db")) as connection:
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table stock (what text)")
        connection.executemany("insert into stock values (?)", [("ring",)] * 50)
        connection.commit()
        assert (lab.source / "shop.db-wal").stat().st_size > 0
        dossier = lab.dossier()
        dossier.snapshot(lab.source)
    report = dossier.drill(scratch=scratch)
    assert report.whole
    assert report.databases == 1


def test_nothing_stays_behind_when_it_is_called_off(
    filled: Any, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dossier = filled.dossier()
    dossier.snapshot(filled.source)

    def interrupted(*arguments: Any) -> Any:
        target = Path(arguments[1].to)
        (target / "closed").mkdir(parents=True)
        (target / "closed" / "file").write_bytes(b"plain")
        (target / "closed").chmod(0o500)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(drill, "restore_snapshot", interrupted)
        with pytest.raises(KeyboardInterrupt):
            dossier.drill(scratch=scratch)

    class Soon:
        def __init__(self) -> None:
            self.looks = 0

        def is_set(self) -> bool:
            self.looks += 1
            return self.looks > 5

    with pytest.raises(snapstore.OperationCancelledError):
        dossier.drill(scratch=scratch, cancel=Soon())


def test_a_place_that_cannot_be_used_is_said(filled: Any, tmp_path: Path) -> None:
    dossier = filled.dossier()
    dossier.snapshot(filled.source)
    with pytest.raises(snapstore.TargetError):
        dossier.drill(scratch=tmp_path / "not there")
    with pytest.raises(snapstore.InputError):
        dossier.drill(max_bytes=0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mode of a folder")
def test_the_scratch_folder_is_closed_to_others(filled: Any, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dossier = filled.dossier()
    dossier.snapshot(filled.source)
    modes = []
    right = drill.restore_snapshot

    def looked(*arguments: Any) -> Any:
        modes.append(os.stat(os.path.dirname(arguments[1].to)).st_mode & 0o777)
        return right(*arguments)

    monkeypatch.setattr(drill, "restore_snapshot", looked)
    assert dossier.drill(scratch=scratch).whole
    assert modes == [0o700]


def test_each_kind_is_in_the_sample_however_many_there_are() -> None:
    sample = Sample(random.Random(1))
    for number in range(5000):
        sample.offer(Candidate(b"bundled %d" % number, 100, "bundled"))
    sample.offer(Candidate(b"one list", 50_000, "chunk list"))
    sample.offer(Candidate(b"one inline", 5, "inline"))
    chosen = sample.choose([], 100_000)
    assert {item.kind for item in chosen} == {"bundled", "chunk list", "inline"}
    assert len(chosen) == MOST_FILES
    assert sum(item.size for item in chosen) <= 100_000
    assert len({item.path for item in chosen}) == len(chosen)
    few = sample.choose([], 200)
    assert sum(item.size for item in few) <= 200


def test_what_sqlite_does_not_understand_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    database(path, 3)
    data = bytearray(path.read_bytes())
    data[18] = data[19] = 7  # versions of the format that nobody knows yet
    path.write_bytes(data)
    verdict = look_at_database(path, Meter(None, None))
    assert (verdict.broken, verdict.in_order) in {(False, False), (True, False)}
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
    assert look_at_database(path, Meter(None, None)).broken
    assert not list(tmp_path.glob("new.db-*"))


def test_a_journal_that_names_a_file_elsewhere_opens_nothing(tmp_path: Path) -> None:
    """Such a database, opened for writing, makes SQLite delete the file that is named."""
    victim, path = tmp_path / "victim.txt", tmp_path / "sample" / "shop.db"
    path.parent.mkdir()
    victim.write_bytes(b"mine")
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE goods (name)")
        database.commit()
    page_bytes, pages = 4096, path.stat().st_size // 4096
    mark, nonce = bytes.fromhex("d9d505f920a163d7"), 1
    head = struct.pack(">8sIIIII", mark, 0, nonce, pages, 512, page_bytes).ljust(512, b"\0")
    name = str(victim).encode()
    total = sum(byte - 256 if byte > 127 else byte for byte in name) & 0xFFFFFFFF
    record = struct.pack(">I", (1 << 30) // page_bytes + 1) + name + struct.pack(">II8s", len(name), total, mark)
    path.with_name("shop.db-journal").write_bytes(head + record)
    verdict = look_at_database(path, Meter(None, None))
    assert verdict.code == "database_not_opened"
    assert not verdict.broken
    assert victim.read_bytes() == b"mine"
