"""`snapstore copy`: what it asks for, prints and returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

OTHER = "jade and amber"


@pytest.fixture
def saved(fresh: Any) -> Any:
    """A shop with two snapshots."""
    fresh.run("snapshot", fresh.files, "--label", "first day").done()
    (fresh.files / "stock.txt").write_text("two rings\n" * 50)
    fresh.run("snapshot", fresh.files).done()
    return fresh


def secret_file(path: Path, secret: str) -> Path:
    path.write_text(secret + "\n")
    path.chmod(0o600)
    return path


def test_a_twin_is_made_on_wish_and_goes_on_by_itself(saved: Any, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    refused = saved.run("copy", "--to", twin)
    assert refused.code == 10
    assert "--twin" in refused.err
    assert not twin.exists()
    looked = saved.run("copy", "--to", twin, "--twin", "--dry-run").done()
    assert "2 snapshots would be copied" in looked.out
    assert not twin.exists()
    made = saved.run("copy", "--to", twin, "--twin").done()
    assert "The twin was made. 2 snapshots copied, 0 there already" in made.out
    again = saved.run("copy", "--to", twin).done()
    assert "0 snapshots copied, 2 there already" in again.out
    assert saved.run("list", repo=twin).done().out == saved.run("list").done().out
    target = tmp_path / "back"
    saved.run("restore", "latest", "--to", target, repo=twin, secret=saved.secret).done()
    assert (target / "stock.txt").read_bytes() == (saved.files / "stock.txt").read_bytes()


def test_chosen_snapshots_of_a_dossier_as_json(saved: Any, tmp_path: Path) -> None:
    result = saved.run("--json", "-d", "shop", "copy", "--twin", "--to", tmp_path / "twin", "latest~1").done()
    report = json.loads(result.out)
    assert (report["mode"], report["created"], report["present"], report["problems"]) == ("twin", True, 0, [])
    assert [item["dossier"] for item in report["copied"]] == ["shop"]
    assert report["copied"][0]["id"] == report["copied"][0]["copy_id"]


def test_to_itself_and_two_wishes_are_wrong_calls(saved: Any, tmp_path: Path) -> None:
    result = saved.run("copy", "--to", saved.repo)
    assert result.code == 2
    assert "very medium" in result.err
    assert saved.run("copy", "--to", tmp_path / "x", "--twin", "--independent").code == 2


def test_another_repository_takes_both_secrets(saved: Any, tmp_path: Path) -> None:
    partner = tmp_path / "partner"
    saved.run("init", repo=partner).done()
    assert saved.run("copy", "--to", partner).code == 12
    without_new = saved.run("copy", "--to", partner, secret=saved.secret)
    assert without_new.code == 12
    new = secret_file(tmp_path / "new secret", OTHER)
    copied = saved.run("copy", "--to", partner, "--new-secret-file", new, secret=saved.secret).done()
    assert "2 snapshots copied" in copied.out
    for output in (copied.out, copied.err, without_new.err):
        assert OTHER not in output
        assert saved.secret not in output
    target = tmp_path / "back"
    wrong = saved.run("restore", "latest", "--to", target, repo=partner, secret=saved.secret)
    assert wrong.code == 12
    saved.run("restore", "latest", "--to", target, repo=partner, secret=OTHER).done()
    assert (target / "stock.txt").read_bytes() == (saved.files / "stock.txt").read_bytes()


def test_damage_has_its_exit_code(saved: Any, tmp_path: Path) -> None:
    for pack in (saved.repo / "packs").rglob("*"):
        if pack.is_file():
            data = bytearray(pack.read_bytes())
            data[20] ^= 1
            pack.write_bytes(data)
    result = saved.run("copy", "--to", tmp_path / "twin", "--twin")
    assert result.code == 13
    assert "was not copied" in result.err
