"""Caches of the station that were damaged or swapped: slower at worst, never wrong and never a false alarm."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from snapstore.types import EntryType

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no hard links to symbolic links")


def cache_folders(lab: Any) -> list[Path]:
    return [path.parent for path in sorted(Path(lab.state().path).glob("repositories/*/*/*/last"))]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE folders SET record=NULL",
        "UPDATE folders SET record=12345678",
        "UPDATE folders SET record='text'",
        "INSERT INTO folders VALUES ('text', x'00')",
        "INSERT INTO folders VALUES (7, x'00')",
    ],
)
def test_rows_of_other_types_are_no_rows(lab: Any, damage: str) -> None:
    lab.write("y/a", b"q" * 900)
    lab.dossier().snapshot(lab.source / "y")
    for folder in cache_folders(lab):
        connection = sqlite3.connect(folder / "folders.sqlite")
        connection.execute(damage)
        connection.commit()
        connection.close()
    for _ in range(2):
        assert lab.dossier().snapshot(lab.source / "y").problems == ()
    (lab.source / "z").mkdir()
    assert (
        lab.dossier()
        .snapshot(
            lab.source / "z",
        )
        .snapshot.directories
        == 1
    )


def test_a_wrong_bit_in_what_was_last_raises_no_alarm(lab: Any) -> None:
    lab.write("a", b"q" * 900)
    lab.dossier().snapshot(lab.source)
    (folder,) = cache_folders(lab)
    whole = (folder / "last").read_bytes()
    for position in range(len(whole)):
        (folder / "last").write_bytes(whole[:position] + bytes((whole[position] ^ 1,)) + whole[position + 1 :])
        assert lab.state().medium(*_ids(lab)).last() is None
    assert lab.dossier().snapshot(lab.source).problems == ()


def test_what_was_last_elsewhere_is_not_taken(lab: Any) -> None:
    lab.write("a", b"q" * 900)
    lab.dossier().snapshot(lab.source)
    (folder,) = cache_folders(lab)
    other = folder.with_name("0" * len(folder.name))
    other.mkdir()
    (other / "last").write_bytes((folder / "last").read_bytes())
    cache = lab.state().medium(*_ids(lab))
    assert cache.last() is not None
    assert type(cache)(other).last() is None


@posix_only
def test_linked_symbolic_links_stay_links_when_nothing_changed(lab: Any) -> None:
    for name in ("a", "b"):
        (lab.source / name).mkdir(parents=True)
    os.symlink("x", lab.source / "a/link")
    try:
        os.link(lab.source / "a/link", lab.source / "b/link", follow_symlinks=False)
    except OSError:
        pytest.skip("no hard links to symbolic links here")
    time.sleep(3.1)  # until a look may stand for them
    dossier = lab.dossier()
    for _ in range(3):
        dossier.snapshot(lab.source)
        found = {entry.path: entry.type for entry in dossier.entries("latest", recursive=True)}
        assert (found["a/link"], found["b/link"]) == (EntryType.SYMLINK, EntryType.HARD_LINK)


def _ids(lab: Any) -> tuple[Any, ...]:
    (folder,) = {path for path in cache_folders(lab) if set(path.name) != {"0"}}
    return tuple(bytes.fromhex(part) for part in folder.parts[-3:])
