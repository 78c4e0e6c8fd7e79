"""A repository that the first release of format version 1 wrote can be opened, listed, restored and written to.

`v1/repository` is never regenerated (see `v1/generate.py`); the tests work on a copy, since a new station enrols
itself. What has to come back is in `v1/facts.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

import snapstore
from snapstore.types import EntryType

HERE = Path(__file__).parent / "v1"
SECRETS = {"books": "correct horse battery", "caf\u00e9": "Pa\u00dfwort f\u00fcr 1 Caf\u00e9"}
FACTS: dict[str, Any] = json.loads((HERE / "facts.json").read_text(encoding="utf-8"))
each_dossier = pytest.mark.parametrize("name", sorted(SECRETS))
TYPES = {
    stat.S_IFREG: {EntryType.FILE, EntryType.HARD_LINK},
    stat.S_IFDIR: {EntryType.DIRECTORY},
    stat.S_IFLNK: {EntryType.SYMLINK},
    stat.S_IFIFO: {EntryType.FIFO},
}


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HERE / "repository", tmp_path / "repository"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_what_is_known_without_a_secret(medium: Path, state: Path) -> None:
    with snapstore.open(medium, state_dir=state) as repository:
        assert (repository.id.hex(), repository.medium_id.hex()) == (FACTS["id"], FACTS["medium"])
        assert (repository.protected, repository.shared, repository.problems) == (True, True, ())
        ids = {info.id.hex(): info for info in repository.dossiers()}
        assert ids.keys() == {dossier["id"] for dossier in FACTS["dossiers"].values()}
        assert all(info.name is None and info.protected for info in ids.values())
        with pytest.raises(snapstore.WrongSecretError):
            repository.unlock("a wrong secret")


@each_dossier
def test_the_list(medium: Path, state: Path, name: str) -> None:
    with snapstore.open(medium, state_dir=state) as repository:
        dossier = repository.unlock(SECRETS[name])
        assert (dossier.name, dossier.id.hex()) == (name, FACTS["dossiers"][name]["id"])
        review = dossier.review()
        assert (review.missing, review.problems) == ((), ())
        expected = FACTS["dossiers"][name]["snapshots"][::-1]
        assert [(item.name, item.label) for item in review.snapshots] == [
            (item["id"], item["label"]) for item in expected
        ]
        assert [item.number for item in review.snapshots] == list(range(len(expected), 0, -1))
        assert all(item.confirmed and item.problem_count == 0 for item in review.snapshots)
        assert review.snapshots[-1].excludes == ("*.tmp",)
        assert {item.station for item in review.snapshots} <= {"first PC", "lost laptop"}
        assert {(item.host, item.user) for item in review.snapshots} == {("first-pc", "clerk")}


@each_dossier
def test_entries_and_contents(medium: Path, state: Path, name: str) -> None:
    with snapstore.open(medium, state_dir=state) as repository:
        dossier = repository.unlock(SECRETS[name])
        for snapshot in FACTS["dossiers"][name]["snapshots"]:
            entries = {os.fsencode(entry.path).hex(): entry for entry in dossier.entries(snapshot["id"])}
            assert entries.keys() == snapshot["files"].keys()
            for path, facts in snapshot["files"].items():
                entry = entries[path]
                assert entry.type in TYPES[stat.S_IFMT(facts["mode"])]
                if entry.type is not EntryType.HARD_LINK:
                    assert entry.modified_ns == facts["modified_ns"]
                if "target" in facts:
                    assert entry.link_target == facts["target"]
                if "sha256" in facts:
                    with dossier.open_file(snapshot["id"], entry.path) as stream:
                        assert hashlib.sha256(stream.read()).hexdigest() == facts["sha256"], entry.path


@pytest.mark.skipif(sys.platform != "linux", reason="the tree has names, pipes and attributes of Linux")
@each_dossier
def test_restoring(medium: Path, state: Path, tmp_path: Path, name: str) -> None:
    with snapstore.open(medium, state_dir=state) as repository:
        dossier = repository.unlock(SECRETS[name])
        for snapshot in FACTS["dossiers"][name]["snapshots"]:
            target = tmp_path / snapshot["id"]
            report = dossier.restore(snapshot["id"], to=target)
            assert {problem.code for problem in report.problems} <= {"owner_not_restored", "xattr_not_restored"}
            found = {os.fsencode(path.relative_to(target)).hex(): path for path in target.rglob("*")}
            assert found.keys() == snapshot["files"].keys()
            for path, facts in snapshot["files"].items():
                status = found[path].lstat()
                assert stat.S_IFMT(status.st_mode) == stat.S_IFMT(facts["mode"])
                assert status.st_mtime_ns == facts["modified_ns"]
                if "target" in facts:
                    assert os.readlink(found[path]) == facts["target"]
                else:
                    assert status.st_mode == facts["mode"]
                if "sha256" in facts:
                    assert hashlib.sha256(found[path].read_bytes()).hexdigest() == facts["sha256"]
        versions = [tmp_path / item["id"] for item in FACTS["dossiers"][name]["snapshots"][:2]]
        for target in versions:
            assert (target / "inline").samefile(target / "zz second name")
            if not report.problems:
                assert os.getxattr(target / "folder", "user.small") == b"value"
                assert os.getxattr(target / "folder" / "changing", "user.large") == b"large " * 500


def test_the_recovery_code(medium: Path, state: Path) -> None:
    with snapstore.open(medium, state_dir=state) as repository:
        assert repository.unlock(FACTS["recovery_code"]).name == "books"


def test_the_stations(medium: Path, state: Path) -> None:
    with snapstore.open(medium, state_dir=state, station_name="new PC") as repository:
        stations = repository.unlock(SECRETS["books"]).stations()
        assert [(station.name, station.last_number, station.this) for station in stations] == [
            ("first PC", None, False),
            ("lost laptop", 3, False),
            ("new PC", None, True),
        ]


@pytest.mark.skipif(sys.platform != "linux", reason="the tree has names, pipes and attributes of Linux")
def test_going_on_where_it_ended(medium: Path, state: Path, tmp_path: Path) -> None:
    """What the old version stored is found by the cutters, keys and ids of this one: hardly anything is added."""
    with snapstore.open(medium, state_dir=state) as repository:
        dossier = repository.unlock(SECRETS["books"])
        [newest] = [item for item in FACTS["dossiers"]["books"]["snapshots"] if item["label"] == "version 2"]
        dossier.restore(newest["id"], to=tmp_path / "target")
        report = dossier.snapshot(tmp_path / "target", label="version 3")
        assert report.snapshot.number == 4
        assert report.blobs_reused > 10
        assert report.blobs_added < 10, "only the nodes above what a restore cannot bring back"
