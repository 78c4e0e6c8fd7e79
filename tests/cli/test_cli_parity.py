"""`snapstore parity add` and `snapshot --parity`: what they say, and their exit codes."""

from __future__ import annotations

import os

from .conftest import Shop


def test_parity_is_added_and_kept_up(fresh: Shop) -> None:
    assert fresh.run("snapshot", fresh.files).code == 0
    assert not (fresh.repo / "parity").exists()
    added = fresh.run("parity", "add")
    assert added.code == 0
    assert "Parity added for 2 packs" in added.out
    assert "2 packs have parity now" in added.out
    (fresh.files / "new.jpg").write_bytes(b"\xff\xd8\xff" + os.urandom(90_000))
    assert fresh.run("snapshot", "--no-parity", fresh.files).code == 0
    report = fresh.run("parity", "add", "--json").json()
    assert (report["packs"], report["added"], report["problems"]) == (4, 2, [])


def test_parity_is_stored_on_request_and_damaged_packs_are_problems(fresh: Shop) -> None:
    assert fresh.run("snapshot", "--parity", fresh.files).code == 0
    sidecars = [path for path in (fresh.repo / "parity").rglob("?" * 32) if path.is_file()]
    packs = [path for path in (fresh.repo / "packs").rglob("?" * 32) if path.is_file()]
    assert len(sidecars) == len(packs) == 2
    sidecars[0].unlink()
    for pack in packs:
        data = bytearray(pack.read_bytes())
        data[7] ^= 1
        pack.write_bytes(data)
    found = fresh.run("parity", "add")
    assert found.code == 3
    assert "parity" in found.err
