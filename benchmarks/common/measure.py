"""One program run and what it took: wall time, processor time, peak memory of all its processes.

Here: `Command`, `Measurement`, `run_measured`, and `run_quietly` for what is not measured. Not here: which programs
(`tools`) and what becomes of the figures (`results`).

Rules: whole processes are measured, as a user starts them. Processor time comes from the kernel's account of the
process and of the children it waited for (wait4). Memory is looked up every 20 ms over the process tree: resident
bytes of a single process, proportional bytes (PSS) of several, which share pages. The kernel's own peak of the largest
process (ru_maxrss) is taken where it is higher, since a sample can miss a peak. That figure begins at the size of the
process that started the program, so this one has to stay small: large work (building data, comparing trees) runs in
processes of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

SAMPLE_SECONDS = 0.02
ENDING_SECONDS = 5.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
FOREIGN_SETTINGS = ("SNAPSTORE_", "RESTIC_", "BORG_", "PYTHONPATH")
"""How the names of settings begin that must not reach the programs: a person's own, and what this one is run with."""


class ProgramError(Exception):
    """A program that should have worked did not; the message holds what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program with its arguments, the variables it needs, and the folder it runs in."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None

    def followed_by(self, *arguments: str) -> Command:
        """Return this command and then, if it succeeded, another one; both are measured as one."""
        script = '"$0" "${@:2:$1}" && shift "$(($1 + 1))" && "$@"'
        first, *rest = self.arguments
        joined = ("bash", "-c", script, first, str(len(rest)), *rest, *arguments)
        return Command(arguments=joined, environment=self.environment, folder=self.folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one run took; seconds and bytes."""

    wall: float
    user: float
    system: float
    memory: int


def environment_of(command: Command) -> dict[str, str]:
    """Return this process's environment without foreign settings, and with the command's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    return kept | dict(command.environment)


def run_quietly(command: Command) -> str:
    """Run without measuring and return what was printed; raises ProgramError."""
    with _started(command, subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.read().decode(errors="replace")
    if process.returncode:
        raise ProgramError(f"{' '.join(command.arguments)} ended with {process.returncode}:\n{said[-2000:]}")
    return said


def run_measured(command: Command, log: Path) -> Measurement:
    """Run, with all output going to the file `log`; raises ProgramError."""
    with log.open("wb") as output:
        started = time.perf_counter()
        with _started(command, output) as process:
            sampler = _MemorySampler(process.pid)
            sampler.start()
            try:
                _, status, usage = os.wait4(process.pid, 0)
                wall = time.perf_counter() - started
                process.returncode = os.waitstatus_to_exitcode(status)  # or Popen would look for it again
            finally:
                sampler.stop()
    if process.returncode:
        said = log.read_text(errors="replace")[-2000:]
        raise ProgramError(f"{' '.join(command.arguments)} ended with {process.returncode}:\n{said}")
    memory = max(sampler.peak, usage.ru_maxrss * MAXRSS_UNIT)
    return Measurement(wall=wall, user=usage.ru_utime, system=usage.ru_stime, memory=memory)


@contextmanager
def _started(command: Command, output: int | IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The running program; it has ended afterwards, and if that was an error here, so has all that it started."""
    process = subprocess.Popen(
        command.arguments,
        cwd=command.folder,
        env=environment_of(command),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a process group of its own: a shell's program would outlive the shell
    )
    try:
        yield process
        process.wait()
    except BaseException:  # interrupted: nobody else would end it
        _end_group(process)
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started, and wait, but not for long, until none of them can write any more."""
    until = time.monotonic() + ENDING_SECONDS
    with suppress(ProcessLookupError, PermissionError):  # the latter of macOS, for a group of the dead
        while time.monotonic() < until:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            time.sleep(SAMPLE_SECONDS)


class _MemorySampler(threading.Thread):
    """Looks at the process tree until it is stopped; without /proc it finds nothing and `peak` stays 0."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._root = root
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, _memory_of(_tree(self._root)))

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def _tree(root: int) -> list[int]:
    """Return the process and all its descendants."""
    found = [root]
    for process in found:  # grows while it is walked
        try:
            for thread in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{thread}/children") as children:
                    found.extend(int(child) for child in children.read().split())
        except OSError:  # it has just ended
            continue
    return found


def _memory_of(processes: list[int]) -> int:
    return sum(_resident(process) if len(processes) == 1 else _proportional(process) for process in processes)


def _resident(process: int) -> int:
    try:
        with open(f"/proc/{process}/statm") as facts:
            return int(facts.read().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _proportional(process: int) -> int:
    try:
        with open(f"/proc/{process}/smaps_rollup") as facts:
            return sum(int(line.split()[1]) * 1024 for line in facts if line.startswith("Pss:"))
    except OSError:
        return 0
