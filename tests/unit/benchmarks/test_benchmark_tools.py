"""Every program that is compared: found where it is, and each verb tried on the real one, where it is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.common import programs
from benchmarks.common.datasets import UnavailableError
from benchmarks.common.main import ROOT
from benchmarks.common.measure import run_quietly
from benchmarks.common.tools import Borg, Restic, Snapstore, TarZstd, Tool, stored_bytes


def tool_named(name: str) -> Tool:
    if name == "snapstore":
        return Snapstore(checkout=ROOT)
    program = shutil.which({"tar-zstd": "zstd"}.get(name, name))
    if program is None:
        pytest.skip(f"{name} is not installed")
    path = Path(program)
    return {"restic": Restic(program=path), "borg": Borg(program=path), "tar-zstd": TarZstd(zstd=path)}[name]


@pytest.mark.parametrize("name", ["snapstore", "restic", "borg", "tar-zstd"])
def test_every_verb(name: str, tmp_path: Path) -> None:
    tool = tool_named(name)
    assert tool.version()[0].isdigit()
    home, source = tmp_path / "home", tmp_path / "source"
    home.mkdir()
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "a name").write_bytes(b"content" * 1000)
    (source / "other").write_bytes(b"other")
    for command in tool.make_repository(home):
        run_quietly(command)
    empty = stored_bytes(home)
    run_quietly(tool.snapshot(home, source, label="s1"))
    assert stored_bytes(home) > empty
    (source / "other").write_bytes(b"changed")
    run_quietly(tool.snapshot(home, source, label="s2"))
    assert run_quietly(tool.list_snapshots(home))
    listed = run_quietly(tool.list_files(home, label="s2"))
    assert "folder/a name" in listed
    for inner, wanted in ((None, ["folder", "folder/a name", "other"]), ("folder/a name", ["folder", "folder/a name"])):
        target = tmp_path / f"restored {inner is None}"
        target.mkdir()
        run_quietly(tool.restore(home, target, label="s2", inner=inner))
        assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*")) == wanted
        assert (target / "folder" / "a name").read_bytes() == b"content" * 1000
    assert (tmp_path / "restored True" / "other").read_bytes() == b"changed"


def test_a_path_that_was_given_is_used(tmp_path: Path) -> None:
    given = tmp_path / "restic"
    with pytest.raises(UnavailableError, match="there is no"):
        programs.find_restic(given, tmp_path)
    given.touch()
    assert programs.find_restic(given, tmp_path) == given
    assert programs.find_borg(given, tmp_path) == given


def test_what_is_on_the_path_is_used_if_it_is_the_right_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present, built = tmp_path / "present" / "borg", tmp_path / "borg" / "bin" / "borg"
    for path, release in ((present, "1.4.9"), (built, "1.4.0")):
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\necho borg {release}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(present.parent), prepend=":")
    assert programs.find_borg(None, tmp_path) == present
    present.write_text("#!/bin/sh\necho borg 1.2.4\n")
    assert programs.find_borg(None, tmp_path) == built
