"""A small world of media, stations and snapshots, in which a process dies at any store operation.

Here: `World` (simulated media, state folders, what was reported), `Process` (one run of the program in it) and
`trials`, which runs an operation with a fault at its 1st, 2nd, ... store operation. Not here: the operations, and
what has to hold afterwards besides what always has to (tests/faults/test_every_crash.py).

Rules: a process that dies leaves its state folder as it was in that moment, copied before anything could tidy up. What
was reported counts from then on: `World.check` restores it, and everything else that claims to be whole, and compares
every byte and attribute. Derived keys are remembered; nothing else is replaced.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import compare_trees
import pytest

import snapstore
from snapstore.operations.context import station_mark
from snapstore.operations.copy import destination as destinations
from snapstore.operations.opening import open_repository
from snapstore.station import StateFolder
from snapstore.stores.protocol import Store
from snapstore.testing import FOLDER, Fault, Faults, SimulatedCrash, SimulatedStore, StoreKind

SECRETS = {"books": "a secret for the books", "letters": "another one for letters"}
OTHER_SECRET = "the secret over there"
MOST = 1000
Facts = dict[str, compare_trees.Facts]


@dataclass(kw_only=True)
class World:
    """Media by name, the stations' state folders, and what people were told."""

    folder: Path
    source: Path
    media: dict[str, SimulatedStore] = field(default_factory=dict)
    facts: dict[str, Facts] = field(default_factory=dict)
    """By label, what the source was when a snapshot of that label was taken."""
    reported: dict[tuple[str, str], set[bytes]] = field(default_factory=dict)
    """By medium and dossier, the snapshots that were reported whole and that nobody asked to be gone."""
    secrets: dict[str, str] = field(default_factory=lambda: dict(SECRETS))
    """One that opens each dossier."""
    codes: list[str] = field(default_factory=list)
    wanted: set[str] = field(default_factory=set)
    """Dossiers that are to be made besides the first."""
    states: dict[str, Path] = field(default_factory=dict)
    address: Callable[[Store], str] = str
    """Gives a store an address."""

    def fork(self, folder: Path, kind: StoreKind = FOLDER, seed: int = 0) -> World:
        """The same world once more, of its own, on media of another kind."""
        folder.mkdir(parents=True)
        media = {}
        for name, medium in self.media.items():
            media[name] = SimulatedStore(seed, kind=kind)
            for item in medium.inner.list(""):
                media[name].inner.put(item.name, medium.inner.get(item.name))
        other = World(
            folder=folder,
            source=self.source,
            media=media,
            facts=dict(self.facts),
            reported={key: set(ids) for key, ids in self.reported.items()},
            secrets=dict(self.secrets),
            codes=list(self.codes),
            wanted=set(self.wanted),
            address=self.address,
        )
        for station, path in self.states.items():
            copy_tree(path, other.state(station))
        return other

    def state(self, station: str = "one") -> Path:
        """Where a station keeps its state now."""
        return self.states.setdefault(station, self.folder / f"state {station} 0")

    def leave_state(self, station: str) -> None:
        """Copy a station's folder as a killed process leaves it; the next run goes on from the copy."""
        name, _, number = self.state(station).name.rpartition(" ")
        copy_tree(self.state(station), self.folder / f"{name} {int(number) + 1}")
        self.states[station] = self.folder / f"{name} {int(number) + 1}"

    def report(self, medium: str, dossier: str, *snapshots: bytes) -> None:
        """From now on these must never be lost."""
        self.reported.setdefault((medium, dossier), set()).update(snapshots)

    def deliver(self) -> None:
        """Let everything late take effect."""
        for medium in self.media.values():
            medium.medium.deliver()

    def check(self) -> None:
        """Everything that was reported is there, and whatever says that it is whole is."""
        for (medium, name), reported in self.reported.items():
            with Process(self) as process:
                dossier = process.unlock(name, medium)
                found = dossier.list()
                whole = {snapshot.id for snapshot in found if snapshot.confirmed}
                assert reported <= whole, f"{len(reported - whole)} snapshots of {name} on {medium} are lost"
                for snapshot in found:
                    if snapshot.confirmed:
                        expected = self.facts[snapshot.label or ""]
                        wrong = compare_trees.differences(expected, self.restored(dossier, snapshot))
                        assert not wrong, f"{snapshot.label} of {name} on {medium}: {wrong}"
                for code in self.codes if name == "books" and medium == "main" else ():
                    assert process.open(medium).unlock(code).id == dossier.id

    def restored(self, dossier: snapstore.Dossier, snapshot: snapstore.Snapshot) -> Facts:
        """What a restore gives; it must have nothing to complain of."""
        target = self.folder / "restored"
        report = dossier.restore(snapshot, to=target)
        assert not report.problems, report.problems
        found = compare_trees.collect(target)
        shutil.rmtree(target)
        return found

    def assert_tidy(self, *, clears_torn: bool = False) -> None:
        """No run has left anything of its own: temporaries, notes, snapshots that do not count, complaints.

        Objects without their end may be complained of until somebody repairs that, unless the operation clears them.
        """
        for medium, store in self.media.items():
            if any(True for _ in store.inner.list("config")):
                with Process(self) as process:
                    process.open(medium)
            assert not store.medium.temporaries, f"on {medium}: {store.medium.temporaries}"
            for folder in ("sessions", "condemn"):
                left = [item.name for item in store.inner.list(folder)]
                assert not left, f"on {medium}: {left}"
        for medium, name in self.reported:
            with Process(self) as process:
                review = process.unlock(name, medium).review()
                assert not review.missing, f"missing: {review.missing}"
                torn = set() if clears_torn else self.media[medium].medium.torn
                problems = [problem for problem in review.problems if problem.path not in torn]
                assert not problems, f"problems: {problems}"
                open_ended = [snapshot for snapshot in review.snapshots if not snapshot.confirmed]
                assert not open_ended, f"unconfirmed: {open_ended}"


class Process:
    """One run of the program. Where it has faults, they befall one of the media."""

    def __init__(
        self, world: World, *, faults: Faults | None = None, medium: str = "main", station: str = "one"
    ) -> None:
        self.world = world
        self.station = station
        self.crashed = False
        self.problems: list[Any] = []
        self._faulty = medium
        self._faults = faults
        self._stores: dict[str, SimulatedStore] = {}
        self._opened: list[snapstore.Repository] = []
        self.state_path = world.state(station)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        for repository in self._opened:
            repository.close()

    @property
    def met(self) -> int:
        """How many operations met the fault."""
        return sum(store.met for store in self._stores.values())

    @property
    def state(self) -> StateFolder:
        """The station's state, as this process holds it."""
        return StateFolder(self.state_path, station_name=self.station)

    def store(self, medium: str = "main") -> SimulatedStore:
        """This process's view of a medium, always the same one."""
        if medium not in self._stores:
            faults = self._faults if medium == self._faulty else None
            self._stores[medium] = self.world.media[medium].another(
                faults=faults, station=station_mark(self.state), on_crash=self._on_crash
            )
        return self._stores[medium]

    def open(self, medium: str = "main") -> snapstore.Repository:
        """Open what is on a medium."""
        return self.keep(snapstore.Repository(open_repository(self.store(medium), self.state)))

    def keep(self, repository: snapstore.Repository) -> snapstore.Repository:
        """Close it at the end."""
        self._opened.append(repository)
        return repository

    def unlock(self, name: str = "books", medium: str = "main") -> snapstore.Dossier:
        """The dossier that the secret of that name opens, whatever it is called now."""
        secret = OTHER_SECRET if medium == "other" else self.world.secrets[name]
        return self.open(medium).unlock(secret)

    def accept(self, problems: Sequence[Any]) -> None:
        """Take what a report complains of: then the operation was not done."""
        self.problems += problems

    def _on_crash(self) -> None:
        self.crashed = True
        self.world.leave_state(self.station)


def copy_tree(path: Path, to: Path) -> None:
    """Copy a folder in which others may be at work: what vanishes meanwhile is not copied."""
    to.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(shutil.Error):
        shutil.copytree(path, to, dirs_exist_ok=True)


Act = Callable[[Process], object]


Plan = Callable[[int], list[tuple[Faults, StoreKind]]]
"""From k to what the k-th operation meets, each on a store of its own."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A fault that was met, and the world after it."""

    world: World
    what: str


def run(process: Process, act: Act) -> str:
    """Let a process act: "done", "crash", or the code of the error with which it ended."""
    with process:
        try:
            act(process)
        except SimulatedCrash:
            assert process.crashed
            return "crash"
        except snapstore.SnapstoreError as error:
            return error.code
    return process.problems[0].code if process.problems else "done"


def trials(base: World, act: Act, folder: Path, plan: Plan, medium: str = "main") -> Iterator[Trial]:
    """Run `act` with faults at its 1st, 2nd, ... operation, each in a world of its own, until none is met any more."""
    over: set[tuple[Fault, str]] = set()
    numbers = itertools.count()
    for at in range(1, MOST):
        planned = plan(at)
        for faults, kind in planned:
            if (faults.fault, kind.name) in over:
                continue
            world = base.fork(folder / f"{next(numbers)}", kind, at)
            process = Process(world, faults=faults, medium=medium)
            outcome = run(process, act)
            if process.met:
                last = next((event for event in reversed(process.store(medium).history) if event.outcome), "no matter")
                yield Trial(world, f"{faults.fault.value} at {at} on {kind.name}, {last}: {outcome}")
            else:
                assert outcome == "done", outcome
                over.add((faults.fault, kind.name))
            shutil.rmtree(world.folder)
        if over.issuperset(
            (faults.fault, kind.name) for faults, kind in itertools.chain(*map(plan, range(at, at + 20)))
        ):
            return
    raise AssertionError("there is no end to it")


def write_source(source: Path, turn: int) -> None:
    """Bundled, inline, chunked and page files; some change with each turn."""
    draws = random.Random(5)
    contents = {
        "empty": b"",
        "folder/short": b"short",
        "folder/small": draws.randbytes(2_000),
        "folder/deeper/other": draws.randbytes(3_000),
        "folder/changing": draws.randbytes(1_500) + bytes([turn]) * 100,
        "large": draws.randbytes(90_000),
        "data.db": b"SQLite format 3\0" + draws.randbytes(50_000) + bytes([turn]) * 5_000,
    }
    if turn:
        contents["folder/new"] = draws.randbytes(4_000)
    for path, content in contents.items():
        full = source / path
        full.parent.mkdir(parents=True, exist_ok=True)
        if not full.exists() or full.read_bytes() != content:
            full.write_bytes(content)


@contextlib.contextmanager
def addresses(patch: pytest.MonkeyPatch) -> Iterator[Callable[[Store], str]]:
    """Give stores addresses that a copy can go to."""
    stores: dict[str, Store] = {}
    real = destinations.open_store

    def opened(url: Any, **more: Any) -> Store:
        return stores[url] if url in stores else real(url, **more)

    def give(store: Store) -> str:
        url = f"simulated:{len(stores)}"
        stores[url] = store
        return url

    patch.setattr(destinations, "open_store", opened)
    yield give
