"""The made-up data: the same every time, of the kinds and sizes that are claimed, changed in place by a day's work."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.common import datasets, words
from benchmarks.common.shop_database import INSERTS_A_DAY, advance_day, build_database
from benchmarks.common.shop_files import build_documents, build_photos
from benchmarks.common.small_files import build_small_files

TABLES = ("suppliers", "customers", "articles", "sales", "sale_lines", "payments", "stock_movements")


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY id").fetchall() for name in TABLES}


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_database_has_the_same_rows_every_time(tmp_path: Path) -> None:
    build_database(tmp_path / "one", sales=300)
    build_database(tmp_path / "two", sales=300)
    assert rows_of(tmp_path / "one") == rows_of(tmp_path / "two")
    with closing(sqlite3.connect(tmp_path / "one")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA page_size").fetchone() == (4096,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_day_changes_the_file_in_place(tmp_path: Path) -> None:
    path = tmp_path / "shop"
    build_database(path, sales=6000)
    before, inode, rows = path.read_bytes(), path.stat().st_ino, rows_of(path)
    shutil.copyfile(path, tmp_path / "other")
    advance_day(path, 1)
    advance_day(tmp_path / "other", 1)
    after = path.read_bytes()
    new_rows = rows_of(path)
    assert path.stat().st_ino == inode
    assert sum(len(new_rows[name]) - len(rows[name]) for name in TABLES) == INSERTS_A_DAY
    updated = sum(a != b for name in TABLES for a, b in zip(rows[name], new_rows[name], strict=False))
    assert 200 < updated <= 300, "some rows are drawn twice"
    same = sum(before[at : at + 4096] == after[at : at + 4096] for at in range(0, len(before), 4096))
    assert same > len(before) // 4096 // 2, "pages that no row of the day is on stay as they were"
    assert rows_of(tmp_path / "other") == new_rows
    assert [path.name for path in tmp_path.iterdir() if "journal" in path.name] == []


def test_days_differ(tmp_path: Path) -> None:
    build_database(tmp_path / "one", sales=300)
    shutil.copyfile(tmp_path / "one", tmp_path / "two")
    advance_day(tmp_path / "one", 1)
    advance_day(tmp_path / "two", 2)
    assert rows_of(tmp_path / "one")["customers"] != rows_of(tmp_path / "two")["customers"]


def test_documents_are_what_their_names_say(tmp_path: Path) -> None:
    build_documents(tmp_path / "one", count=60)
    build_documents(tmp_path / "two", count=60)
    found = contents_of(tmp_path / "one")
    assert found == contents_of(tmp_path / "two")
    assert len(found) == 60
    for name, data in found.items():
        assert 18_000 < len(data) <= 300_000
        if name.endswith(".pdf"):
            assert data.startswith(b"%PDF-")
            assert data.endswith(b"%%EOF\n")
        elif name.endswith(".docx"):
            with zipfile.ZipFile(tmp_path / "one" / name) as archive:
                assert archive.testzip() is None
        else:
            data.decode("ascii")
    kinds = [name.rsplit(".", 1)[1] for name in found]
    assert kinds.count("pdf") > kinds.count("docx") > kinds.count("csv") > 0


def test_photos_begin_as_photos_do(tmp_path: Path) -> None:
    build_photos(tmp_path, count=2)
    found = contents_of(tmp_path)
    assert len(found) == 2
    for data in found.values():
        assert data.startswith(bytes.fromhex("ffd8ffe0"))
        assert 2_000_000 <= len(data) <= 6_000_000


def test_small_files_are_small_and_all_different(tmp_path: Path) -> None:
    build_small_files(tmp_path, count=700)
    found = contents_of(tmp_path)
    assert len(set(found.values())) == 700
    assert min(map(len, found.values())) >= 500
    assert max(map(len, found.values())) <= 4000
    assert len({name.rsplit("/", 1)[0] for name in found}) == 3


def test_words_depend_on_the_seed_alone() -> None:
    assert words.vocabulary(random.Random(1)) == words.vocabulary(random.Random(1))
    assert words.remarks(random.Random(1), count=50).phrases == words.remarks(random.Random(1), count=50).phrases


def test_a_set_is_built_once_and_again_when_the_recipe_is_another(tmp_path: Path) -> None:
    folder = datasets.ensure("many-small-tenth", tmp_path, datasets.TINY)
    assert len(contents_of(folder)) == 60
    (folder / "mark").touch()
    assert (datasets.ensure("many-small-tenth", tmp_path, datasets.TINY) / "mark").exists()
    note = tmp_path / "many-small-tenth.json"
    note.write_text(json.dumps({"recipe": -1}))
    assert not (datasets.ensure("many-small-tenth", tmp_path, datasets.TINY) / "mark").exists()
    note.unlink()  # as after a build that was interrupted
    (folder / "mark").touch()
    assert not (datasets.ensure("many-small-tenth", tmp_path, datasets.TINY) / "mark").exists()


def test_large_files_of_the_shop_stand_twice(tmp_path: Path) -> None:
    folder = datasets.ensure("two-dossiers", tmp_path, datasets.TINY)
    first, second = contents_of(folder / "first"), contents_of(folder / "second")
    assert first == second
    assert "data/shop.sqlite" in first
    assert min(map(len, first.values())) >= datasets.SHARED_FROM_BYTES


def test_the_file_nearest_in_size_is_found(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name, size in (("a", 10), ("folder/b", 90), ("c", 120), ("d", 110)):
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "link").symlink_to("a")
    assert datasets.file_of_about(tmp_path, 100) == tmp_path / "d"
    with pytest.raises(datasets.UnavailableError):
        datasets.file_of_about(tmp_path / "nothing", 100)
