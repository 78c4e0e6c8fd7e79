"""Real runs of the command: a subprocess with an environment of its own and a state folder in a temporary place.

Here: `Shop` (a repository, a station's state and a folder of files) and a way to type at the command's terminal.
Repositories are made through the library with the cheapest key derivation, because the command has no option for that.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import snapstore

SECRET = "opal and onyx"
ROOT = Path(snapstore.__file__).parent.parent
TIMEOUT_SECONDS = 60


def clean_environment(**more: str) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SNAPSTORE_")}
    return environment | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"} | more


@dataclass
class Shop:
    base: Path
    protected: bool = True
    secret: str = SECRET
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def repo(self) -> Path:
        return self.base / "repository"

    @property
    def state(self) -> Path:
        return self.base / "state"

    @property
    def files(self) -> Path:
        return self.base / "files"

    def make(self) -> Shop:
        (self.files / "photos").mkdir(parents=True)
        (self.files / "stock.txt").write_text("one ring\n" * 50)
        (self.files / "photos" / "ring.jpg").write_bytes(b"\xff\xd8\xff" + os.urandom(40_000))
        with snapstore.init(self.repo, protected=self.protected, state_dir=self.state, kdf_seconds=0) as repository:
            repository.create_dossier("shop", secret=self.secret if self.protected else None)
        return self

    def command(self, *arguments: str | Path, state: Path | None = None, repo: Path | str | None = None) -> list[str]:
        places = ["-r", str(repo or self.repo), "--state-dir", str(state or self.state)]
        return [sys.executable, "-m", "snapstore", *places, *map(str, arguments)]

    def run(
        self,
        *arguments: str | Path,
        state: Path | None = None,
        repo: Path | str | None = None,
        secret: str | None = None,
        stdin: bytes = b"",
    ) -> Result:
        given = {"SNAPSTORE_SECRET": secret} if secret is not None else {}
        done = subprocess.run(
            self.command(*arguments, state=state, repo=repo),
            env=clean_environment(**self.environment, **given),
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            start_new_session=True,  # without a terminal, whoever runs the tests
        )
        return Result(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Result:
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode("utf-8")

    @property
    def err(self) -> str:
        return self.stderr.decode("utf-8")

    def json(self) -> Any:
        return json.loads(self.out)

    def done(self) -> Result:
        assert self.code == 0, self.err
        return self


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop with two snapshots, the second with a changed file. Tests must only read it."""
    made = Shop(tmp_path_factory.mktemp("shop")).make()
    made.run("snapshot", made.files, "--label", "first day").done()
    (made.files / "stock.txt").write_text("two rings\n" * 50)
    made.run("snapshot", made.files).done()
    return made


@pytest.fixture
def fresh(tmp_path: Path) -> Shop:
    """A shop of the test's own, without snapshots."""
    return Shop(tmp_path).make()


@pytest.fixture
def unprotected(tmp_path: Path) -> Shop:
    return Shop(tmp_path, protected=False).make()


@pytest.fixture
def type_at_terminal() -> Callable[[Sequence[str], Sequence[tuple[str, str]]], tuple[int, str]]:
    """Return a function that runs a command at a terminal of its own and answers its questions in turn."""
    return _type_at_terminal


def _type_at_terminal(command: Sequence[str], answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    pty = pytest.importorskip("pty", reason="terminals of this kind are POSIX")
    child, terminal = pty.fork()
    if child == 0:
        os.execve(command[0], list(command), clean_environment(TERM="xterm"))
    seen, waiting = "", list(answers)
    unanswered_from = 0
    deadline = time.monotonic() + TIMEOUT_SECONDS
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(terminal, 4096)
            except OSError:  # Linux's way to say that the other side has closed
                break
            if not data:
                break
            seen += data.decode("utf-8", "replace")
            if waiting and waiting[0][0] in seen[unanswered_from:]:
                unanswered_from = len(seen)
                os.write(terminal, waiting.pop(0)[1].encode() + b"\n")
    finally:
        os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert not waiting, f"never asked for {waiting}: {seen}"
    return code, seen
