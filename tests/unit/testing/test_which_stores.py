"""The lines at the end of a run that say which stores were tried, taken from a run of some tests of three kinds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SERVERS = Path(__file__).parents[2] / "servers"
PROJECT = SERVERS.parents[1]
TESTS = """
import pytest
from server import Server

@pytest.fixture
def server():
    return Server(name="some daemon 1.2", host="127.0.0.1", port=1, url=lambda name: f"ftps://127.0.0.1/{name}")

@pytest.fixture
def absent():
    pytest.skip("not installed: a daemon")

def test_an_object(server, record_property): record_property("faults", 7)

def test_another(server): pass

def test_skipped(absent): pass

@pytest.mark.parametrize("kind", ["sshd"])
def test_failing(kind): assert not kind

def test_a_folder(): pass
"""


def test_the_summary_names_servers_counts_and_reasons(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "conformance"
    folder.mkdir(parents=True)
    (folder / "test_some.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "tests" / "test_other.py").write_text("def test_nothing_of_the_kind(): pass", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {SERVERS} {PROJECT}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "which_stores", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in done.stdout.splitlines() if line.startswith("store tests: ")]
    assert said == [
        "store tests: ftp on some daemon 1.2: 2 passed, 7 faults met",
        "store tests: local: 1 passed, 1 skipped: not installed: a daemon (1)",
        "store tests: sftp: 1 failed",
    ], done.stdout + done.stderr
