"""`snapstore check` and `snapstore drill`: what they ask for, print and return."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from snapstore.cli.commands.check import read_options
from snapstore.upkeep_types import CheckOptions


@pytest.fixture
def saved(fresh: Any) -> Any:
    fresh.run("snapshot", fresh.files).done()
    return fresh


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def data_pack(shop: Any) -> Path:
    return max(shop.repo.glob("packs/*/*"), key=lambda path: path.stat().st_size)


def test_a_whole_repository(saved: Any) -> None:
    result = saved.run("check").done()
    assert "Checked 1 snapshot" in result.out
    assert "Everything that was looked at is whole." in result.out
    assert "Last check" in saved.run("list").done().out
    result = saved.run("check", "--read-data", secret=saved.secret).done()
    assert "content opened" in result.out
    report = json.loads(saved.run("check", "--read-data=50%", "--json").done().out)
    assert (report["whole"], report["findings"], report["hurt"], report["content"]) == (True, [], [], False)
    assert report["verified_bytes"] == report["stored_bytes"]
    assert json.loads(saved.run("--json", "list").done().out)["last_check"]["whole"] is True


def test_damage_names_the_files_and_exits_with_13(saved: Any) -> None:
    alter(data_pack(saved))
    assert saved.run("check").code == 0  # packs of data were not read
    result = saved.run("check", "--read-data=1G", secret=saved.secret)
    assert result.code == 13
    assert "damage: packs/" in result.out
    assert "hurt: snapshot " in result.out
    assert "(shop)" in result.out
    assert "    photos/ring.jpg" in result.out or "    stock.txt" in result.out
    assert "This repository is damaged." in result.out
    assert "DAMAGE WAS FOUND" in saved.run("list").out
    report = json.loads(saved.run("--json", "check").out)  # what was damaged is looked at again
    assert report["whole"] is False
    assert report["hurt"][0]["dossier"] == "shop"
    drill = saved.run("drill")
    assert drill.code == 13
    assert "differs: " in drill.out


def test_no_record_is_kept_where_none_is_wanted(saved: Any) -> None:
    saved.run("check", "--no-record").done()
    saved.run("drill", "--no-record").done()
    saved.run("--read-only", "check").done()
    saved.run("--read-only", "drill").done()
    assert list(saved.repo.glob("records/*/*")) == []


def test_a_new_computer_asks_for_the_secret(saved: Any, tmp_path: Path) -> None:
    refused = saved.run("check", state=tmp_path / "new")
    assert refused.code == 12
    saved.run("check", state=tmp_path / "new", secret=saved.secret).done()
    saved.run("check", state=tmp_path / "new").done()
    assert saved.run("check", "--content").code == 12
    assert saved.run("check", secret="no secret of anybody").code == 12


@pytest.mark.parametrize("text", ["x", "0%", "101%", "5 days"])
def test_what_is_no_amount_is_a_wrong_call(text: str, saved: Any) -> None:
    result = saved.run("check", f"--read-data={text}")
    assert result.code == 2
    assert "10%" in result.err


def test_amounts() -> None:
    assert read_options(None) == CheckOptions()
    assert read_options("all") == CheckOptions(read_data=True)
    assert read_options("12.5%") == CheckOptions(read_data=True, share=0.125)
    assert read_options("2G") == CheckOptions(read_data=True, max_bytes=2 << 30)
    assert read_options("500M") == CheckOptions(read_data=True, max_bytes=500 << 20)
    assert read_options("20m") == CheckOptions(read_data=True, max_seconds=1200)
    assert read_options("1.5h") == CheckOptions(read_data=True, max_seconds=5400)
    assert read_options("90s") == CheckOptions(read_data=True, max_seconds=90)


def test_a_rehearsal(saved: Any, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    result = saved.run("drill", "--scratch", scratch).done()
    assert "Restored 2 files" in result.out
    assert "came back as they were saved" in result.out
    assert os.listdir(scratch) == []
    report = json.loads(saved.run("--json", "drill", "latest", "--max-size", "1M").done().out)
    assert (report["files"], report["whole"], report["differing"]) == (2, True, [])
    assert "Last drill" in saved.run("list").done().out
    assert saved.run("drill", "no such").code != 0
    assert saved.run("drill", "--scratch", tmp_path / "nowhere").code == 1
