"""A snapshot that is killed while packs are on their way: the next run finds what had arrived, and is whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import compare_trees
import far_store
import pytest

import snapstore

UPLOADER = Path(__file__).with_name("killed_uploader.py")
PARENTS = [Path(snapstore.__path__[0]).parent, Path(far_store.__file__).parent]


@pytest.mark.parametrize("wanted", [1, 3, 9])
def test_what_had_arrived_before_a_kill_is_used(tmp_path: Path, wanted: int) -> None:
    source, repository = tmp_path / "source", tmp_path / "repository"
    source.mkdir()
    chance = random.Random(wanted)
    for number in range(60):
        (source / f"file {number}").write_bytes(chance.randbytes(40_000))
    with snapstore.init(repository, state_dir=tmp_path / "state", kdf_seconds=0) as opened:
        opened.create_dossier("books", secret="a secret for uploads")

    def packs() -> list[Path]:
        return [path for path in (repository / "packs").rglob("*") if path.is_file()]

    path = os.pathsep.join([*map(str, PARENTS), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, UPLOADER, repository, tmp_path / "state", source, "0.1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path})
    end = time.monotonic() + 30
    while len(packs()) < wanted and time.monotonic() < end:
        time.sleep(0.005)
    process.kill()
    output, _ = process.communicate()
    assert output == "ready\n"
    arrived = len(packs())
    assert arrived >= wanted

    with snapstore.open(repository, state_dir=tmp_path / "state") as opened:
        dossier = opened.dossier("books")
        report = dossier.snapshot(source)
        assert report.problems == ()
        assert report.blobs_reused >= arrived, "every pack that had arrived holds a blob at least"
        dossier.restore("latest", to=tmp_path / "target", secret="a secret for uploads")
    assert compare_trees.differences(compare_trees.collect(source), compare_trees.collect(tmp_path / "target")) == []
