"""Measuring real processes: what they take, what they see, and what becomes of one that fails."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from benchmarks.common.measure import Command, ProgramError, run_measured, run_quietly

MEGABYTE = 1_000_000
LINUX = sys.platform == "linux"


def python(code: str, **environment: str) -> Command:
    return Command(arguments=(sys.executable, "-c", code), environment=environment)


def test_wall_and_processor_time(tmp_path: Path) -> None:
    code = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass\ntime.sleep(0.2)"
    measured = run_measured(python(code), tmp_path / "log")
    assert measured.wall >= 0.5
    assert 0.3 <= measured.user + measured.system <= measured.wall


def test_processor_time_of_children_counts(tmp_path: Path) -> None:
    inner = "import time\nwhile time.process_time() < 0.3: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    measured = run_measured(python(code), tmp_path / "log")
    assert measured.user + measured.system >= 0.3


def test_memory_that_is_held_for_a_moment_counts(tmp_path: Path) -> None:
    measured = run_measured(python("bytearray(b'x' * 80_000_000); print('gone')"), tmp_path / "log")
    # A new process begins with the peak of the one that started it: here that is all of pytest.
    own = max(usage.ru_maxrss for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
    assert 80 * MEGABYTE < measured.memory < 280 * MEGABYTE + own * 1024
    assert (tmp_path / "log").read_text() == "gone\n"


@pytest.mark.skipif(not LINUX, reason="there is no /proc to look at")
def test_memory_of_the_whole_tree_counts(tmp_path: Path) -> None:
    inner = "import time; data = b'x' * 60_000_000; time.sleep(0.6)"
    code = (
        "import subprocess, sys\n"
        f"children = [subprocess.Popen([sys.executable, '-c', {inner!r}]) for _ in range(2)]\n"
        "for child in children: child.wait()"
    )
    assert run_measured(python(code), tmp_path / "log").memory > 120 * MEGABYTE


def test_a_program_that_fails_is_an_error_that_says_what_it_said(tmp_path: Path) -> None:
    failing = python("print('no such stick'); raise SystemExit(3)")
    with pytest.raises(ProgramError, match=r"(?s)ended with 3.*no such stick"):
        run_measured(failing, tmp_path / "log")
    with pytest.raises(ProgramError, match=r"(?s)ended with 3.*no such stick"):
        run_quietly(failing)


def test_a_persons_settings_do_not_reach_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNAPSTORE_REPO", "mine")
    monkeypatch.setenv("BORG_REPO", "mine")
    code = "import os; print(sorted(name for name in os.environ if name.startswith(('SNAPSTORE_', 'BORG_'))))"
    assert run_quietly(python(code)) == "[]\n"
    assert run_quietly(python(code, BORG_REPO="theirs")) == "['BORG_REPO']\n"


def test_a_second_command_follows_if_the_first_one_succeeded(tmp_path: Path) -> None:
    mark = tmp_path / "a mark"
    words = Command(arguments=("printf", "%s.", "two words", "$HOME"))
    assert run_quietly(words.followed_by("touch", str(mark))) == "two words.$HOME."
    assert mark.exists()
    mark.unlink()
    with pytest.raises(ProgramError):
        run_quietly(Command(arguments=("false",)).followed_by("touch", str(mark)))
    assert not mark.exists()
