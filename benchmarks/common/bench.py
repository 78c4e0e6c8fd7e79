"""The workbench that a question's script uses: data, tools in turn, repositories, recorded runs.

Here: `Bench` and `Home`. Not here: the questions (one folder each), parsing options (`main`).

Rules: everything that is measured goes through `measure`, which records it. Repositories and restore targets lie on the
RAM file system, so that a disk's noise does not drown the programs; only the step "disk" of restores leaves it. Tools
come in turn, A B C A B C, so that what the machine does beside hits all of them. Files are read once before the first
run: all caches are warm. Making and copying data, and comparing trees, is done by other processes, which keeps this one
small (see `measure`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .datasets import ROOT, Scale, UnavailableError
from .measure import Command, Measurement, run_measured, run_quietly
from .results import Result, Run
from .tools import Snapstore, Tool, stored_bytes

PEERS = ("restic", "borg")
WHOLE_PROGRAMS = ("snapstore", *PEERS)


@dataclass(slots=True, kw_only=True)
class Home:
    """One tool's repository with all that belongs to it, and how many snapshots it was asked for."""

    tool: Tool
    path: Path
    snapshots: int = 0

    @property
    def newest(self) -> str:
        """The label of the newest snapshot."""
        return f"s{self.snapshots}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where things lie: data sets, the RAM file system, a folder on a real disk."""

    data: Path
    ram: Path
    disk: Path


class Bench:
    """Measures for one question after the other; `result` is the one at work."""

    def __init__(self, places: Places, tools: Sequence[Tool], *, scale: Scale, rounds: int) -> None:
        self.places = places
        self.scale = scale
        self.rounds = rounds
        self._tools = {tool.name: tool for tool in tools}
        self._homes: dict[tuple[str, str], Home] = {}
        self._warm: set[str] = set()
        self.result = Result(question="", scale="", rounds=0, versions={}, machine={})

    def tools(self, names: Sequence[str] = WHOLE_PROGRAMS) -> list[Tool]:
        """Return those of the named tools that are here and asked for."""
        return [self._tools[name] for name in names if name in self._tools]

    def turns(self, names: Sequence[str] = WHOLE_PROGRAMS) -> Iterator[tuple[int, Tool]]:
        """Yield round and tool: A B C A B C."""
        for turn in range(1, self.rounds + 1):
            for tool in self.tools(names):
                yield turn, tool

    def data(self, name: str) -> Path:
        """Return a data set's folder, built and read once. Raises UnavailableError."""
        if name not in self._warm:
            options = ["--tiny"] if self.scale.name == "tiny" else []
            builder = [sys.executable, "-m", "benchmarks.common.datasets", str(self.places.data), name, *options]
            if subprocess.run(builder, cwd=ROOT, check=False).returncode:
                raise UnavailableError(f"the data set {name} cannot be built")
            self.warm(self.places.data / name)
            self._warm.add(name)
        return self.places.data / name

    def available(self, names: Sequence[str]) -> Iterator[tuple[str, Path]]:
        """Yield name and folder of those data sets that can be had; says it of the others."""
        for name in names:
            try:
                yield name, self.data(name)
            except UnavailableError as error:
                print(f"== left out: {error}", file=sys.stderr, flush=True)

    def warm(self, folder: Path) -> None:
        """Read all files, so that every tool finds them in the cache."""
        script = 'find "$1" -type f -print0 | xargs -0 -r cat >/dev/null'
        run_quietly(Command(arguments=("bash", "-c", script, "bash", str(folder))))

    def fresh(self, tool: Tool, data: str) -> Home:
        """Return a new, empty repository for tool and data set; what was there is removed."""
        self.drop(tool, data)
        home = Home(tool=tool, path=self.places.ram / "homes" / data / tool.name)
        home.path.mkdir(parents=True)
        for command in tool.make_repository(home.path):
            run_quietly(command)
        self._homes[tool.name, data] = home
        return home

    def ready(self, tool: Tool, data: str) -> Home:
        """Return a repository that holds the data set, from an earlier question or made now without measuring."""
        home = self._homes.get((tool.name, data))
        if home is None or home.snapshots == 0:
            home = self.fresh(tool, data)
            self.snapshot_quietly(home, self.data(data))
        return home

    def drop(self, tool: Tool, data: str) -> None:
        """Remove a repository."""
        home = self._homes.pop((tool.name, data), None)
        if home is not None:
            shutil.rmtree(home.path)

    def drop_all_of(self, data: str) -> None:
        """Remove every repository of a data set."""
        for name, of in list(self._homes):
            if of == data:
                shutil.rmtree(self._homes.pop((name, of)).path)

    def snapshot_quietly(self, home: Home, source: Path) -> None:
        """Save without measuring."""
        home.snapshots += 1
        run_quietly(home.tool.snapshot(home.path, source, label=home.newest))

    def snapshot(self, home: Home, source: Path, run: Run, *, dossier: str | None = None) -> None:
        """Save, and record `run` with the figures and with what the repository gained."""
        before = stored_bytes(home.path)
        home.snapshots += 1
        command = home.tool.snapshot(home.path, source, label=home.newest)
        if dossier is not None and isinstance(home.tool, Snapstore):
            command = home.tool.snapshot_of(dossier, home.path, source, label=home.newest)
        measured = self._measured(command, run)
        after = stored_bytes(home.path)
        self.record(replace(_with(run, measured), repository_bytes=after, added_bytes=after - before))

    def look(self, command: Command, run: Run) -> None:
        """Run something that only reads, and record it."""
        self.record(_with(run, self._measured(command, run)))

    def work(self, home: Home, command: Command, run: Run) -> None:
        """Run something that changes the repository, and record it with how large that is then, and what it gained."""
        before = stored_bytes(home.path)
        measured = self._measured(command, run)
        after = stored_bytes(home.path)
        self.record(replace(_with(run, measured), repository_bytes=after, added_bytes=after - before))

    def restore(self, home: Home, source: Path, run: Run, *, inner: str | None = None, disk: bool = False) -> None:
        """Restore all or the file `inner` and record it with whether it is identical; on a disk, all synced."""
        place = (self.places.disk if disk else self.places.ram) / "restored"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            command = home.tool.restore(home.path, place, label=home.newest, inner=inner)
            measured = self._measured(command.followed_by("sync", "-f", str(place)) if disk else command, run)
            identical = _identical(home.tool, source, place, inner)
        finally:
            shutil.rmtree(place)
        self.record(replace(_with(run, measured), identical=identical))

    def record(self, run: Run) -> None:
        """Keep a run, and say it."""
        self.result.runs.append(run)
        what = " ".join(part for part in (run.data, run.step, run.tool, f"round {run.round}") if part)
        seconds = f"{run.wall:9.3f} s" if run.wall is not None else f"{run.rate or 0:,.0f} a second"
        if run.round_trips is not None:
            seconds = f"{run.round_trips} round trips"
        wrong = "  NOT IDENTICAL" if run.identical is False else ""
        print(f"   {what:60} {seconds}{wrong}", file=sys.stderr, flush=True)

    def _measured(self, command: Command, run: Run) -> Measurement:
        return run_measured(command, self.places.ram / f"{run.tool}.log")


def _with(run: Run, measured: Measurement) -> Run:
    user, system = round(measured.user, 4), round(measured.system, 4)
    return replace(run, wall=round(measured.wall, 4), user=user, system=system, memory=measured.memory)


def _identical(tool: Tool, source: Path, restored: Path, inner: str | None) -> bool:
    """Compare: every attribute of what snapstore restored, and content, types and links of the others'."""
    if inner is not None:
        arguments = ["cmp", str(source / inner), str(restored / inner)]
    elif isinstance(tool, Snapstore):
        arguments = [sys.executable, str(ROOT / "scripts" / "compare_trees.py"), str(source), str(restored)]
    else:
        arguments = ["diff", "--recursive", "--brief", "--no-dereference", str(source), str(restored)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        print(done.stdout[-1000:], file=sys.stderr)
    return done.returncode == 0
