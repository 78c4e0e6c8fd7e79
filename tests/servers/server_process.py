"""A server's process, and all that it starts: killed as a power cut does, and started again on the same port.

Here: `ServerProcess`. Not here: which servers there are, and their configurations.

Rules: only processes that it started are killed, by their numbers. A server that does not come up raises
`ServerMissingError` with the last it said.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from server import ServerMissingError, wait_for_port

START_SECONDS = 30
STOP_SECONDS = 5


class ServerProcess:
    """What `command` runs, once it is started; it listens on `port` and what it says goes to `log`."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        *,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self._command = list(command)
        self._log = log
        self._folder = folder
        self._variables = {**os.environ, **(variables or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self._log.open("ab") as log:
            process = self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=self._variables,
                start_new_session=True,  # a Ctrl-C for the tests is none for it
            )
        end = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(ServerMissingError):
                return wait_for_port(self.port, seconds=0.2)
        self.stop()
        said = self._log.read_text(errors="replace").strip().splitlines()
        raise ServerMissingError(f"{self._command[0]} does not start: {said[-1][-300:] if said else 'no word'}")

    def stop(self) -> None:
        """Kill it and what it started. Sessions have process groups of their own, so they are looked for."""
        process, self._process = self._process, None
        if process is None:
            return
        below = descendants(process.pid)
        process.kill()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        for pid in below:  # they belong to nobody of ours, so their end is waited for by looking
            end = time.monotonic() + STOP_SECONDS
            while is_alive(pid) and time.monotonic() < end:
                time.sleep(0.01)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Have it run; it may be stopped and started meanwhile."""
        self.start()
        try:
            yield
        finally:
            self.stop()


def descendants(pid: int) -> list[int]:
    """Return the processes below one, as /proc shows them; none on a system without it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, waiting = [], [pid]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be counted does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
