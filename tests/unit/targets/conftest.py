"""Targets to restore into: both ways to reach a folder, and a user who is not the administrator."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapstore.targets.directory import TargetDirectory, open_target
from snapstore.targets.files import TargetState
from snapstore.targets.path_folder import PathFolder

NOBODY = 65534


def open_by_path(path: Path) -> TargetDirectory:
    """The way that Windows needs, which works on POSIX too."""
    folder = PathFolder.root(str(path))
    state = TargetState(numeric_owner=False, file_systems={folder.stat(None).st_dev: folder})
    return TargetDirectory(folder, state, ())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder that `target` is; beside it is "outside", which no restore may touch."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    path = tmp_path / "target"
    path.mkdir()
    return path


@pytest.fixture(params=["descriptors", "paths"])
def target(request: pytest.FixtureRequest, place: Path) -> Iterator[TargetDirectory]:
    if request.param == "descriptors" and sys.platform == "win32":
        pytest.skip("no openat here")
    with open_target(str(place), create=False) if request.param == "descriptors" else open_by_path(place) as opened:
        yield opened


@pytest.fixture
def as_root() -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture
def nobodys(as_root: None) -> Iterator[Path]:
    """A folder that belongs to an ordinary user, with all folders above open to him."""
    path = Path(tempfile.mkdtemp(prefix="snapstore-test-"))
    os.chown(path, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def run_as_nobody(as_root: None) -> Callable[[Callable[[], None]], None]:
    """Run a function in a child process as an ordinary user; its failure is the test's."""

    def run(function: Callable[[], None]) -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            text = b""
            try:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
                function()
            except BaseException:
                text = traceback.format_exc().encode()
            os.write(writer, text[-60_000:])
            os._exit(bool(text))
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            text = pipe.read()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, text.decode()

    return run
