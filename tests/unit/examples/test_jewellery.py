"""The jewellery example, run as its users run it: a shop, a stick, a burglary, a new computer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import snapstore

ROOT = Path(snapstore.__file__).parent.parent
SHOP = ROOT / "examples" / "jewellery" / "shop.py"
SECRET = "Great-aunt Rosalind's locket"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shop(tmp_path: Path) -> Run:
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "wrong").write_text("not the secret at all\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*arguments: str | Path, computer: str = "old") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(SHOP), *map(str, arguments), "--stick", "stick", "--state", computer],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_a_shop_survives_its_burglary(shop: Run, tmp_path: Path) -> None:
    assert "200 items" in shop("seed").stdout
    early = shop("backup")
    assert (early.returncode, early.stderr) == (1, "The backup stick is not plugged in, or was never set up.\n")
    ready = shop("set-up", "--secret-file", "secret")
    assert ready.returncode == 0, ready.stderr
    assert re.match(r"Backed up 201 files; \d+ KiB were new\.\n", shop("backup", "--label", "morning").stdout)
    morning = shop("stock").stdout

    assert shop("sell", "17").stdout.startswith("Sold: ")
    assert shop("sell", "4711").returncode == 1
    again = shop("backup", "--label", "evening").stdout
    new = re.match(r"Backed up 201 files; (\d+) KiB were new\.\n", again)
    assert new is not None, again
    assert int(new[1]) < 200  # of about 2,500: only the changed pages of the database
    evening = shop("stock").stdout
    assert evening != morning
    assert re.fullmatch(
        r"[0-9a-f]{8}  .*  201 files  evening\n[0-9a-f]{8}  .*  201 files  morning\n", shop("list").stdout
    )
    photos = {path.name: path.read_bytes() for path in (tmp_path / "shop-data" / "photos").iterdir()}

    # Another computer: it has the stick and the secret, and nothing else.
    wrong = shop("restore", "latest", "--to", "back", "--secret-file", "wrong", computer="new")
    assert (wrong.returncode, wrong.stderr) == (1, "That is not the secret of this shop's backup.\n")
    back = shop("restore", "latest", "--to", "back", "--secret-file", "secret", computer="new")
    assert back.returncode == 0, back.stderr
    assert shop("stock", "--data", "back").stdout == evening
    assert {path.name: path.read_bytes() for path in (tmp_path / "back" / "photos").iterdir()} == photos
    older = shop("restore", "latest~1", "--to", "older", "--secret-file", "secret", computer="new")
    assert older.returncode == 0, older.stderr
    assert shop("stock", "--data", "older").stdout == morning

    # The new computer goes on where the old one ended.
    assert shop("backup", "--data", "back", "--label", "reopened", computer="new").returncode == 0
    assert "reopened" in shop("list", computer="new").stdout
    occupied = shop("restore", "latest", "--to", "back", "--secret-file", "secret", computer="new")
    assert (occupied.returncode, occupied.stderr.startswith("The folder to restore into")) == (1, True)


def test_the_backup_part_is_short() -> None:
    assert len((SHOP.parent / "backup.py").read_text("utf-8").splitlines()) < 150
