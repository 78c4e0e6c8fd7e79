"""How long do snapshots and restores take over SFTP, and how often do they wait for the network?

Here: the runs and the limits. One SSH server serves both programs, on loopback, then behind a link that delays 25 ms
each way, then behind a proxy that counts. Not here: the server and the link (benchmarks/common/sshd.py), and how
anything is measured (benchmarks/common).
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Protocol

from benchmarks.common.bench import Bench
from benchmarks.common.datasets import ROOT, UnavailableError
from benchmarks.common.measure import run_quietly
from benchmarks.common.results import Limit, Run, Which, faster
from benchmarks.common.sshd import SnapstoreOverSsh, SshServer, delayed_link, over_ssh, running_sshd
from benchmarks.common.tools import Snapstore, Tool

QUESTION = "How long do snapshots and restores take over SFTP, and how often do they wait for the network?"
DATA = ("shop",)
TOOLS = ("snapstore", "restic")
DELAY_MS = 25  # each way
COUNTING_DELAY_MS = 10  # makes all answers take equally long, so that the chain of waits is counted exactly
FIRST, UNCHANGED, RESTORE = "first snapshot", "unchanged snapshot", "restore"
DELAYED = f", {2 * DELAY_MS} ms"
COUNTED = "unchanged snapshot, counted"
CONNECTING = "connecting, counted"
CONNECTED = "unchanged snapshot, counted once connected"
OPEN_STORE = "import sys; from snapstore.stores.url import open_store; open_store(sys.argv[1]).close()"

LIMITS = (
    faster("shop", "restic", 1.5, step=FIRST),
    faster("shop", "restic", 1.5, step=RESTORE),
    faster("shop", "restic", 1.0, step=FIRST + DELAYED),
    Limit(
        asked="snapstore on shop, unchanged snapshot, connected: at most 30 round trips that wait for each other",
        of=Which(data="shop", step=CONNECTED),
        figure="round_trips",
        at_most=30,
    ),
)


class Counts(Protocol):
    """What the tests' proxy counts, as far as it is wanted here."""

    dependent_trips: int


class Wire(Protocol):
    """The tests' proxy."""

    def count_anew(self) -> Counts:
        """What was counted since the last time."""
        ...


def run(bench: Bench) -> None:
    """Measure. What cannot be had of the delays is said in the result."""
    for data, source in bench.available(DATA):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=bench.places.ram)))
            server = stack.enter_context(running_sshd(_made(folder / "loopback")))
            _rounds(bench, data, source, server, "", bench.rounds)
            _count(bench, data, source, server)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=bench.places.ram)))
            # One round: restic waits for each of its writes, some nine minutes long.
            _rounds(bench, data, source, stack.enter_context(_delayed(bench, folder)), DELAYED, 1)


def _rounds(bench: Bench, data: str, source: Path, server: SshServer, suffix: str, rounds: int) -> None:
    """Each round begins with an empty repository; each step is done by all programs before the next one."""
    for turn in range(1, rounds + 1):
        homes = {tool: bench.fresh(tool, data) for tool in _tools(bench, server)}
        for step in (FIRST, UNCHANGED, RESTORE):
            for tool, home in homes.items():
                measured = Run(data=data, tool=_program(tool), round=turn, step=step + suffix)
                if step == RESTORE:
                    bench.restore(home, source, measured)
                else:
                    bench.snapshot(home, source, measured)
        if turn < rounds or suffix:
            for tool in homes:
                bench.drop(tool, data)


def _count(bench: Bench, data: str, source: Path, server: SshServer) -> None:
    """One more unchanged snapshot, into the repositories that the last round left, seen through a proxy."""
    proxy = _wire_faults()
    for near in _tools(bench, server):
        home = bench.ready(near, data)
        with proxy.FaultyWire(server.port, delay_seconds=COUNTING_DELAY_MS / 1000) as wire:
            through = over_ssh(_plain(bench, near), server.at_port(wire.port, server.name))
            assert through is not None
            home = replace(home, tool=through)
            bench.snapshot_quietly(home, source)  # the address is another one: what is remembered by address is cold
            trips = {COUNTED: _trips(wire, lambda: bench.snapshot_quietly(home, source))}  # noqa: B023 - at once
            if isinstance(through, SnapstoreOverSsh):
                connect = through.python(home.path, OPEN_STORE, through.server.url(home.path / "repository"))
                trips[CONNECTING] = _trips(wire, lambda: run_quietly(connect))  # noqa: B023 - at once
                trips[CONNECTED] = trips[COUNTED] - trips[CONNECTING]
        for step, count in trips.items():
            bench.record(Run(data=data, tool=_program(near), round=1, step=step, round_trips=count))
        bench.drop(near, data)


def _trips(wire: Wire, action: Callable[[], object]) -> int:
    """How often something waits for an answer before it goes on."""
    wire.count_anew()
    action()
    return wire.count_anew().dependent_trips


@contextmanager
def _delayed(bench: Bench, folder: Path) -> Iterator[SshServer]:
    """A server behind a delay: the kernel's, or where it has none, that of a proxy before the server."""
    with ExitStack() as stack:
        try:
            namespace, host = stack.enter_context(delayed_link(DELAY_MS))
            server = stack.enter_context(running_sshd(_made(folder / "link"), namespace=namespace, host=host))
            by = "tc netem in a network namespace"
        except UnavailableError as error:
            print(f"== no delay by the kernel ({error}); a proxy delays instead", file=sys.stderr, flush=True)
            near = stack.enter_context(running_sshd(_made(folder / "proxied")))
            wire = stack.enter_context(_wire_faults().FaultyWire(near.port, delay_seconds=DELAY_MS / 1000))
            server = near.at_port(wire.port, "delayed")
            by = "a proxy"
        bench.result.machine["delays by"] = by
        yield server


def _tools(bench: Bench, server: SshServer) -> list[Tool]:
    return [remote for tool in bench.tools(TOOLS) if (remote := over_ssh(tool, server)) is not None]


def _plain(bench: Bench, tool: Tool) -> Tool:
    return next(plain for plain in bench.tools(TOOLS) if plain.name == _program(tool))


def _program(tool: Tool) -> str:
    return "snapstore" if isinstance(tool, Snapstore) else "restic"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _wire_faults() -> ModuleType:
    """The tests' proxy."""
    path = ROOT / "tests" / "servers" / "wire_faults.py"
    specification = importlib.util.spec_from_file_location("wire_faults", path)
    assert specification is not None
    assert specification.loader is not None
    module = sys.modules.setdefault("wire_faults", importlib.util.module_from_spec(specification))
    specification.loader.exec_module(module)
    return module
