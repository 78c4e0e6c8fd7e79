"""`snapstore media`, and what the other commands say of media, in real runs on real file systems.

A stick that is found by its label has to be mounted where desktops do that: the runs with `usb:` have a mount table of
their own (`unshare`), in which /media is a folder in memory.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from media_images import MIB, medium_image
from server import ServerMissingError

from snapstore.cli.exit_codes import ExitCode

TIMEOUT_SECONDS = 120
PLUG_IN = """\
set -e
mount -t tmpfs tmpfs /media
mkdir /media/STICK /media/OTHER
truncate -s 48M {folder}/one.img {folder}/two.img
mkfs.ntfs -F -Q -q {folder}/one.img >/dev/null 2>&1
ntfs-3g {folder}/one.img /media/STICK >/dev/null 2>&1
set +e
"""
TAKE_OUT = "\ncode=$?\numount /media/STICK\nexit $code\n"


@pytest.fixture
def with_stick(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs shell lines where a new stick is at /media/STICK; "$ " stands for the command."""
    if sys.platform != "linux":
        pytest.skip("mount tables of one's own are Linux's")
    snapstore = f"{shlex.quote(sys.executable)} -m snapstore --state-dir {shlex.quote(str(tmp_path / 'state'))}"
    root = Path(__file__).parents[2]

    def run(lines: str) -> subprocess.CompletedProcess[str]:
        script = PLUG_IN.format(folder=shlex.quote(str(tmp_path))) + lines.replace("$ ", f"{snapstore} ")
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", script + TAKE_OUT],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(root), "LC_ALL": "C.UTF-8"},
        )

    try:
        tried = run("true")
    except FileNotFoundError as error:
        pytest.skip(f"not installed: {error.filename}")
    if tried.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {tried.stderr.strip() or tried.returncode}")
    return run


def test_a_stick_from_init_to_unplugging(
    with_stick: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "stock.txt").write_text("one ring\n")
    done = with_stick(
        "$ media list\n"
        "$ -r usb:STICK init --unprotected\n"
        "$ -r usb:stick dossier add shop\n"
        f"$ -r usb:STICK snapshot {tmp_path}/files\n"
        f"$ -r usb:STICK --json snapshot {tmp_path}/files\n"
        "$ media list --json\n"
        "ls /media/STICK\n"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:4] == ["LABEL", "PATH", "FILE", "SYSTEM"]
    assert lines[1].split()[:2] == ["STICK", "/media/STICK"]
    assert "A new stick? Test it once: snapstore media test usb:STICK" in lines
    assert "The medium may be unplugged now." in lines
    report, media = (json.loads(line) for line in lines if line.startswith("{"))
    assert report["safe_to_unplug"] is True
    assert report["notices"] == []
    (stick,) = media["media"]
    assert stick["label"] == "STICK"
    assert stick["repository_id"] is not None
    assert stick["last_used"] is not None
    assert stick["total_bytes"] > 40 * MIB
    assert lines[-2:] == ["README.txt", "snapstore"]


def test_another_stick_is_refused_until_it_is_accepted(
    with_stick: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    done = with_stick(
        "$ -r usb:STICK -q init --unprotected && $ -r usb:STICK -q dossier add shop\n"
        "mv /media/STICK/snapstore /media/STICK/elsewhere\n"
        "$ -r /media/OTHER -q init --unprotected && $ -r /media/OTHER -q dossier add shop\n"
        "cp -r /media/OTHER /media/STICK/snapstore\n"
        "$ -r usb:STICK list; echo code $?\n"
        "$ -r usb:STICK --accept-other list; echo code $?\n"
        "$ -r usb:STICK list; echo code $?\n"
    )
    assert [line for line in done.stdout.splitlines() if line.startswith("code")] == [
        f"code {int(ExitCode.NO_REPOSITORY)}",
        "code 0",
        "code 0",
    ]
    assert "Another repository is at usb:STICK than before" in done.stderr


def test_the_test_of_a_medium(tmp_path: Path) -> None:
    try:
        with medium_image("exfat", tmp_path / "lying", size=48 * MIB, real_bytes=24 * MIB, dropping=True) as medium:
            quick, full, as_json = (run("media", "test", str(medium.path), *more) for more in ((), ("--full",), JSON))
    except ServerMissingError as error:
        pytest.skip(str(error))
    assert quick.returncode == 0
    assert "Its size was not tested" in quick.stdout
    assert full.returncode == ExitCode.DAMAGE
    assert "The medium FAILED." in full.stdout
    assert "problem:" in full.stderr
    found = json.loads(as_json.stdout)
    assert as_json.returncode == ExitCode.DAMAGE
    assert found["problems"][0]["code"] in {"medium_data_differs", "medium_read_failed", "medium_write_failed"}
    assert found["full"] is True
    assert run("media", "test", str(tmp_path / "absent")).returncode == ExitCode.NO_REPOSITORY


JSON = ("--full", "--json")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snapstore", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
        cwd=Path(__file__).parents[2],
    )


def test_a_label_with_a_blank_is_quoted_in_what_is_to_be_typed(
    with_stick: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    done = with_stick(
        "mkdir '/media/MY STICK'\nmount -t tmpfs tmpfs '/media/MY STICK'\n"
        "$ -r 'usb:MY STICK' init --unprotected\numount '/media/MY STICK'\n"
    )
    assert 'snapstore media test "usb:MY STICK"' in done.stdout
