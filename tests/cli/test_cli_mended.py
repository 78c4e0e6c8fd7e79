"""Faults that were met at the command line once: a computer that is not listed, lost keys, lost snapshots, paths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapstore.cli.exit_codes import ExitCode
from snapstore.format.keyset import decode_keyset

from .conftest import SECRET, Shop


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


def objects(shop: Shop, folder: str) -> list[Path]:
    return [path for path in (shop.repo / folder).rglob("*") if path.is_file()]


def test_a_computer_that_the_medium_does_not_list_enrols_again(fresh: Shop, secret_file: Path) -> None:
    second = fresh.base / "second computer"
    fresh.run("snapshot", fresh.files, "--secret-file", secret_file, state=second).done()
    max(objects(fresh, "dossiers"), key=lambda path: decode_keyset(path.read_bytes()).generation).unlink()
    refused = fresh.run("snapshot", fresh.files, state=second)
    assert refused.code == ExitCode.WRONG_SECRET
    assert len(objects(fresh, "ok")) == 1
    fresh.run("snapshot", fresh.files, "--label", "again", "--secret-file", secret_file, state=second).done()
    fresh.run("snapshot", fresh.files, "--label", "and again", state=second).done()
    listed = fresh.run("list", "--json").done().json()["snapshots"]
    assert [item["label"] for item in listed] == ["and again", "again", None]


def test_lost_keys_are_damage_and_not_an_empty_repository(fresh: Shop, secret_file: Path) -> None:
    fresh.run("snapshot", fresh.files).done()
    for path in objects(fresh, "dossiers"):
        path.unlink()
    for verb in (["list"], ["-d", "shop", "snapshot", fresh.files], ["dossier", "list"]):
        lost = fresh.run(*verb, "--secret-file", secret_file, state=fresh.base / "new computer")
        assert lost.code == ExitCode.DAMAGE, lost.err


def test_a_lost_snapshot_is_a_problem_of_every_next_one(fresh: Shop) -> None:
    fresh.run("snapshot", fresh.files).done()
    [lost] = fresh.run("list", "--json").done().json()["snapshots"]
    for path in (*objects(fresh, "snapshots"), *objects(fresh, "ok")):
        path.unlink()
    gone = ("snapshot_missing", lost["id"])
    for _ in range(2):
        report = fresh.run("snapshot", fresh.files, "--json")
        assert report.code == ExitCode.PROBLEMS
        assert [(item["code"], item["path"]) for item in report.json()["problems"]] == [gone]


def test_a_path_with_brackets_and_a_pattern_that_fits_nothing(fresh: Shop, tmp_path: Path) -> None:
    for name in ("a[1].txt", "a1.txt"):
        (fresh.files / name).write_text(name)
    fresh.run("snapshot", fresh.files).done()
    target = tmp_path / "target"
    fresh.run("restore", "latest", "a[1].txt", "--to", target).done()
    assert os.listdir(target) == ["a[1].txt"]
    nothing = fresh.run("restore", "latest", "*.jpeg", "--to", tmp_path / "nothing", "--json")
    assert nothing.code == ExitCode.PROBLEMS
    assert [item["code"] for item in nothing.json()["problems"]] == ["nothing_matched"]
