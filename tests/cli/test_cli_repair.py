"""`snapstore repair` and `snapstore restore --partial`: what they print, change and return."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def damaged(fresh: Any, tmp_path: Path) -> Any:
    """A shop with a twin beside it, and a byte wrong in the middle of every pack of the shop."""
    (fresh.files / "photo.jpg").write_bytes(random.Random(1).randbytes(700_000))
    fresh.run("snapshot", fresh.files).done()
    fresh.run("copy", "--to", tmp_path / "twin", "--twin").done()
    for pack in (path for path in Path(fresh.repo).glob("packs/*/*") if path.is_file()):
        data = bytearray(pack.read_bytes())
        data[len(data) // 3] ^= 1
        pack.write_bytes(data)
    return fresh


def test_a_plan_is_shown_and_done_only_when_asked_for(damaged: Any, tmp_path: Path) -> None:
    packs = sorted(Path(damaged.repo).glob("packs/*/*"))
    plan = damaged.run("repair", "--from", tmp_path / "twin")
    assert plan.code == 13
    assert "heal_blob" in plan.out
    assert "nothing was changed" in plan.out
    assert sorted(Path(damaged.repo).glob("packs/*/*")) == packs
    done = damaged.run("repair", "--from", tmp_path / "twin", "--apply").done()
    assert "steps done" in done.out
    assert not set(packs) & set(Path(damaged.repo).glob("packs/*/*"))
    assert "Nothing to repair." in damaged.run("repair").done().out
    damaged.run("check", "--read-data").done()


def test_what_cannot_be_mended_is_told_with_the_snapshots_that_it_hurts(damaged: Any) -> None:
    plan = damaged.run("repair")
    assert plan.code == 13
    assert "cannot be mended" in plan.out
    assert "stays hurt       snapshot" in plan.out
    shown = json.loads(damaged.run("--json", "repair").out)
    assert {step["code"] for step in shown["steps"]} == {"heal_blob"}
    assert [item["dossier"] for item in shown["hurt"]] == ["shop"]


def test_the_files_themselves_heal(damaged: Any) -> None:
    report = json.loads(damaged.run("--json", "repair", "--source", damaged.files, "--apply").out)
    assert {step["code"] for step in report["done"]} == {"heal_blob"}
    assert report["added_bytes"] > 100_000


def test_only_what_cannot_be_read_is_set_aside(damaged: Any) -> None:
    [manifest] = Path(damaged.repo).glob("snapshots/*/*")
    name = manifest.relative_to(damaged.repo).as_posix()
    refused = damaged.run("repair", "--quarantine", name)
    assert refused.code == 2
    assert "cannot be set aside" in refused.err


def test_files_that_are_partly_lost_come_back_with_zeros(damaged: Any, tmp_path: Path) -> None:
    damaged.run("repair", "--from", tmp_path / "twin", "--apply").done()
    photo = (damaged.files / "photo.jpg").read_bytes()
    for pack in (path for path in Path(damaged.repo).glob("packs/*/*") if path.stat().st_size > 100_000):
        data = bytearray(pack.read_bytes())
        data[len(data) // 3] ^= 1
        pack.write_bytes(data)
    target = tmp_path / "parts"
    result = damaged.run("restore", "latest", "--to", target, "--partial", secret=damaged.secret)
    assert result.code == 13
    if (target / "photo.jpg").exists():
        assert "photo.jpg" in result.err
        assert (target / "photo.jpg").read_bytes() != photo
    assert (target / "stock.txt").read_bytes() == (damaged.files / "stock.txt").read_bytes()


def test_a_medium_without_a_config_gets_one_from_its_twin(fresh: Any, tmp_path: Path) -> None:
    fresh.run("snapshot", fresh.files).done()
    twin = tmp_path / "twin"
    fresh.run("copy", "--to", twin, "--twin").done()
    [config] = Path(fresh.repo).glob("config/*")
    config.write_bytes(config.read_bytes()[:-1])
    assert fresh.run("list").code == 13
    plan = fresh.run("repair", "--from", twin)
    assert plan.code == 13
    assert "restore_copy" in plan.out
    assert list(Path(fresh.repo).glob("config/*")) == [config]
    assert fresh.run("repair", "--from", twin, "--apply").code == 0
    assert "Nothing to repair." in fresh.run("repair").done().out
    assert fresh.run("list").done().out == fresh.run("list", repo=twin).done().out
    refused = fresh.run("repair", "--from", tmp_path / "nothing")
    assert refused.code == 10


def test_a_foreign_place_gets_no_config(fresh: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "snapshots").mkdir(parents=True)
    refused = fresh.run("repair", "--from", fresh.repo, "--apply", repo=other)
    assert refused.code == 2
    assert "Nothing in" in refused.err
    assert not (other / "config").exists() or not list((other / "config").iterdir())
