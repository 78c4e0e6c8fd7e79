"""Ctrl-C and SIGTERM: exit code 130, a repository that is good, and a second run that finishes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import TIMEOUT_SECONDS, Shop, clean_environment

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows cannot send these signals to one process")


def _default_signals() -> None:
    # A test run in the background of a shell has SIGINT ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def started(command: list[str], **environment: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    process = subprocess.Popen(
        command,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_default_signals,  # noqa: PLW1509  # this process has no threads that hold locks here
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_snapshot_is_interrupted_and_run_again(fresh: Shop, number: signal.Signals) -> None:
    for index in range(25):
        (fresh.files / f"scan {index}.bin").write_bytes(os.urandom(3_000_000))
    with started(fresh.command("snapshot", fresh.files, "--progress", "json")) as process:
        assert b"progress" in process.stderr.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 130, err
    assert out == b""
    assert b"Traceback" not in err
    assert len(fresh.run("list").done().out.splitlines()) == 1
    fresh.run("snapshot", fresh.files).done()
    assert len(fresh.run("list").done().out.splitlines()) == 2


def test_a_restore_is_interrupted_and_run_again(fresh: Shop, tmp_path: Path) -> None:
    for index in range(25):
        (fresh.files / f"scan {index}.bin").write_bytes(os.urandom(3_000_000))
    fresh.run("snapshot", fresh.files, "--no-verify-writes").done()
    target = tmp_path / "out"
    with started(fresh.command("restore", "latest", "--to", str(target), "--progress", "json")) as process:
        assert b"progress" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 130, err
    fresh.run("restore", "latest", "--to", target).done()  # goes on; needs no --overwrite
    restored = {path.name: path.read_bytes() for path in target.rglob("*.bin")}
    assert restored == {path.name: path.read_bytes() for path in fresh.files.rglob("*.bin")}


def test_waiting_for_the_secret_command_is_interrupted_at_once(shop: Shop) -> None:
    import sys
    import time

    command = shop.command("ls", "latest~1", "--secret-command", f"{sys.executable} -c 'import time; time.sleep(50)'")
    with started(command) as process:
        time.sleep(0.8)
        begun = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 130
    assert time.monotonic() - begun < 5
