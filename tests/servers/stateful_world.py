"""Stations and dossiers on twin media, beside a model of them that is made of dicts.

Here: `World`, which opens media as some station, keeps what was reported (`Model`), and holds the two against each
other. Not here: in which order things are done (tests/stateful/test_state_machine.py).

Rules: a snapshot is known by its label, which is used once, so that one whose report was lost with its process is
known as well; what its source was then is noted before it is taken. A station that dies leaves its state folder as it
was in that moment. Every content begins with a marker that is to be found nowhere on a medium; that of contents which
are no part of an entry is not to be found in a station's folder either, and neither is a secret.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import snapstore
from snapstore.operations.context import station_mark
from snapstore.operations.opening import init_repository, open_repository
from snapstore.station import StateFolder
from snapstore.testing import FOLDER, Faults, SimulatedStore, StoreKind

NAME_MARKER = "Name-Marker-Lemur"
SMALL_MARKER = b"Small-Marker-Wombat"
LARGE_MARKER = b"Large-Marker-Quokka"
SECRETS = tuple(f"Ferdinand's {number} geese, unseen" for number in range(3))
STATIONS = ("one", "two", "three")
MEDIA = ("main", "twin")
PADDED = 4096
"""Bytes that a pack may lose without its size becoming another."""
Files = dict[str, bytes]


@dataclass(kw_only=True)
class Model:
    """What is known of a dossier."""

    id: bytes
    secrets: list[str]
    """All that open it on the main medium; the first one opens it everywhere."""
    folder: Path
    files: Files = field(default_factory=dict)
    reported: dict[str, dict[bytes, str]] = field(default_factory=lambda: {medium: {} for medium in MEDIA})
    """By medium, ids and labels of snapshots that were reported whole, and that nobody asked to be gone."""
    maybe_forgotten: set[bytes] = field(default_factory=set)
    """Whoever was asked to forget these died over it."""
    held: set[bytes] = field(default_factory=set)
    """On the main medium."""
    maybe_held: set[bytes] = field(default_factory=set)
    enrolled: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    uncertain: set[str] = field(default_factory=set)
    """Stations whose enrolment or revocation died under way."""
    on_twin: bool = False


class World:
    """Two media of one repository, three stations, and the dossiers' models."""

    def __init__(self, folder: Path, kinds: tuple[StoreKind, StoreKind] = (FOLDER, FOLDER), seed: int = 0) -> None:
        self.folder = folder
        self.media = {name: SimulatedStore(seed, kind=kind) for name, kind in zip(MEDIA, kinds, strict=True)}
        self.dossiers: list[Model] = []
        self.contents: dict[str, Files] = {}
        """By label, what the source was."""
        self._states = {station: folder / f"state {station} 0" for station in STATIONS}
        self._open: dict[tuple[str, str], snapstore.Repository] = {}
        self._handles: dict[tuple[str, str, bytes], snapstore.Dossier] = {}
        self._searched: set[tuple[str, str]] = set()
        self._numbers = 0

    # --- the beginning and the end ------------------------------------------------------------------------------

    @classmethod
    def template(cls, folder: Path) -> World:
        """A repository with one dossier, made by station one, and its empty twin."""
        world = cls(folder)
        state = world.state("one")
        store = world.media["main"].another(station=station_mark(state))
        context = init_repository(store, state, protected=True, share=True, kdf_seconds=0)
        with snapstore.Repository(context) as repository:
            dossier = repository.create_dossier(f"Dossier {NAME_MARKER} 0", secret=SECRETS[0])
            address = f"memory:{folder.name.replace('_', '-')}"
            dossier.copy_to(address, mode="twin")
            with snapstore.open(address, state_dir=world._states["one"], station_name="one") as twin:
                for item in twin._context.store.list(""):
                    world.media["twin"].inner.put(item.name, twin._context.store.get(item.name))
        world.add_model(dossier.id, SECRETS[0])
        world.dossiers[0].on_twin = True
        return world

    def fork(self, folder: Path, kinds: tuple[StoreKind, StoreKind], seed: int) -> World:
        """This world, as long as nothing was saved in it, once more."""
        other = World(folder, kinds, seed)
        for station, state in self._states.items():
            if state.exists():
                shutil.copytree(state, other._states[station])
        for name, medium in self.media.items():
            for item in medium.inner.list(""):
                other.media[name].inner.put(item.name, medium.inner.get(item.name))
        for model in self.dossiers:
            other.add_model(model.id, model.secrets[0])
            other.dossiers[-1].on_twin = model.on_twin
        return other

    def add_model(self, dossier: bytes, secret: str) -> Model:
        """Know of a new dossier, made by station one."""
        model = Model(id=dossier, secrets=[secret], folder=self.folder / f"source {len(self.dossiers)}")
        model.folder.mkdir(parents=True)
        model.enrolled.add("one")
        self.dossiers.append(model)
        return model

    def close(self) -> None:
        """Close what is open."""
        for repository in self._open.values():
            repository.close()
        self._open.clear()
        self._handles.clear()

    # --- stations and their processes ---------------------------------------------------------------------------

    def state(self, station: str) -> StateFolder:
        """A station's folder."""
        return StateFolder(self._states[station], station_name=station)

    def repository(self, station: str, medium: str) -> snapstore.Repository:
        """A medium as a station has it open."""
        key = station, medium
        if key not in self._open:
            state = self.state(station)
            store = self.media[medium].another(station=station_mark(state))
            self._open[key] = snapstore.Repository(open_repository(store, state))
        return self._open[key]

    def dossier(self, station: str, medium: str, model: Model) -> snapstore.Dossier:
        """A dossier as a station has it open. Raises what opening raises."""
        key = station, medium, model.id
        if key not in self._handles:
            self._handles[key] = open_by_id(self.repository(station, medium), model.id)
        return self._handles[key]

    @contextlib.contextmanager
    def in_trouble(self, station: str, medium: str, faults: Faults) -> Iterator[SimulatedStore]:
        """A new process of the station that meets faults on a medium; then the station begins anew."""
        self.end_processes(station)
        state = self.state(station)
        store = self.media[medium].another(
            faults=faults, station=station_mark(state), on_crash=lambda: self._leave_state(station)
        )
        try:
            yield store
        finally:
            self.end_processes(station)

    def open_in_trouble(self, station: str, medium: str, store: SimulatedStore) -> None:
        """Open a medium over a store that meets faults, for what follows."""
        self._open[station, medium] = snapstore.Repository(open_repository(store, self.state(station)))

    def end_processes(self, station: str) -> None:
        """A station's processes end; what they remembered is gone, their folder stays."""
        for key in [key for key in self._handles if key[0] == station]:
            del self._handles[key]
        for key in [key for key in self._open if key[0] == station]:
            with contextlib.suppress(snapstore.SnapstoreError):
                self._open.pop(key).close()

    def _leave_state(self, station: str) -> None:
        name, _, number = self._states[station].name.rpartition(" ")
        following = self.folder / f"{name} {int(number) + 1}"
        with contextlib.suppress(shutil.Error):  # what other threads tidy up meanwhile is not copied
            shutil.copytree(self._states[station], following)
        self._states[station] = following

    # --- files --------------------------------------------------------------------------------------------------

    def write(self, model: Model, path: str, content: bytes | None) -> None:
        """Write, or with None delete, a file of the dossier's source."""
        full = model.folder / path
        if content is None:
            full.unlink()
            del model.files[path]
            return
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(content)
        model.files[path] = content

    def new_label(self, model: Model) -> str:
        """A label for a snapshot of what the source is now."""
        self._numbers += 1
        label = f"label {self._numbers}"
        self.contents[label] = dict(model.files)
        return label

    # --- the two against each other -----------------------------------------------------------------------------

    def restored(
        self, dossier: snapstore.Dossier, snapshot: snapstore.Snapshot, secret: str
    ) -> tuple[Files, list[str]]:
        """What a restore gives, and what it complains of."""
        target = self.folder / "restored"
        try:
            report = dossier.restore(snapshot, to=target, secret=None if dossier.unlocked else secret)
            said = [f"{problem.code} {problem.path}" for problem in report.problems]
        except snapstore.SnapstoreError as error:
            said = [f"{error.code}: {error}"]
        found = read_files(target)
        shutil.rmtree(target, ignore_errors=True)
        return found, said

    def assert_restores(self, dossier: snapstore.Dossier, snapshot: snapstore.Snapshot, secret: str) -> None:
        """The snapshot is what the source was."""
        found, said = self.restored(dossier, snapshot, secret)
        assert not said, said
        assert found == self.contents[snapshot.label or ""], f"{snapshot.label} differs"

    def assert_listed(self, station: str, medium: str, model: Model) -> list[snapstore.Snapshot]:
        """What a station lists is what was reported; return all that are whole."""
        review = self.dossier(station, medium, model).review()
        whole = {snapshot.id: snapshot for snapshot in review.snapshots if snapshot.confirmed}
        lost = {label for id_, label in model.reported[medium].items() if id_ not in whole}
        assert not lost, f"{lost} on {medium} are gone: {review.problems}"
        assert not review.missing, f"{review.missing} on {medium} were taken away"
        assert not notable(medium, review.problems), review.problems
        for snapshot in whole.values():
            assert snapshot.label in self.contents
            if medium == "main" and snapshot.id not in model.maybe_held:
                assert snapshot.held == (snapshot.id in model.held), f"{snapshot.label} held: {snapshot.held}"
        return list(whole.values())

    def assert_everything(self) -> None:
        """Everything reported, and everything that says it is whole, restores on every medium."""
        for medium in MEDIA:
            self.media[medium].medium.deliver()
        for model in self.dossiers:
            for medium in MEDIA if model.on_twin else MEDIA[:1]:
                for snapshot in self.assert_listed("one", medium, model):
                    self.assert_restores(self.dossier("one", medium, model), snapshot, model.secrets[0])

    def assert_checks_whole(self) -> None:
        """A check that reads everything finds no damage."""
        for medium in MEDIA:
            for model in self.dossiers if medium == "main" else self.dossiers[:1]:
                report = self.repository("one", medium).check(
                    snapstore.CheckOptions(read_data=True), secret=model.secrets[0]
                )
                found = notable(medium, [finding for finding in report.findings if finding.is_damage])
                assert not found, found
                assert not report.hurt

    def assert_one_prune_is_enough(self) -> None:
        """At rest one prune leaves nothing that another one could delete, and nothing condemned."""
        thoroughly = snapstore.PruneOptions(max_unused=0.0)
        for name, medium in self.media.items():
            repository = self.repository("one", name)
            report = repository.prune(options=thoroughly)
            assert not notable(name, report.problems), report.problems
            condemned = [item.name for item in medium.inner.list("condemn")]
            assert not condemned, f"left on {name}: {condemned}"
            left = repository.plan_prune(thoroughly)
            assert (left.delete_packs, left.repack_packs) == (0, 0), f"on {name}: {left}"
            assert left.later_bytes <= PADDED * left.packs, f"on {name}: {left}"

    def assert_nothing_leaked(self) -> None:
        """No marker is in a stored object that was not searched before."""
        needles = [NAME_MARKER.encode(), SMALL_MARKER, LARGE_MARKER, *map(str.encode, SECRETS)]
        for name, medium in self.media.items():
            for item in medium.inner.list(""):
                if (name, item.name) not in self._searched:
                    data = medium.inner.get(item.name)
                    assert not any(needle in data for needle in needles), f"{item.name} on {name} has plaintext in it"
                    self._searched.add((name, item.name))

    def assert_stations_tell_nothing(self) -> None:
        """No secret and no content but what stands in entries is in a station's folder."""
        secrets = {secret for model in self.dossiers for secret in model.secrets}
        needles = [LARGE_MARKER, *map(str.encode, secrets)]
        for path in self.folder.glob("state */**/*"):
            if path.is_file():
                data = path.read_bytes()
                assert not any(needle in data for needle in needles), f"{path} has plaintext in it"


def notable(medium: str, said: Iterable[snapstore.Problem | snapstore.Finding]) -> list[object]:
    """What should not have been said. A twin's keys may be behind until the next copy brings them up to date."""
    return [item for item in said if medium != "twin" or item.code != "older_keyset"]


def open_by_id(repository: snapstore.Repository, dossier: bytes) -> snapstore.Dossier:
    """Open a dossier by its id, whatever it is called now."""
    for info in repository.dossiers():
        if info.id == dossier:
            if info.name is None:
                raise snapstore.NotEnrolledError("This station is not enrolled.")
            return repository.dossier(info.name)
    raise snapstore.DossierNotFoundError("It is not here.")


def read_files(folder: Path) -> Files:
    """What is in the files of a tree, but for unfinished ones under temporary names."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if NAME_MARKER in name}


def _pages(seed: int) -> bytes:
    draws = random.Random(seed % 3)
    data = bytearray(b"SQLite format 3\0" + LARGE_MARKER + draws.randbytes(60_000))
    place = 4096 * (seed % 14)
    data[place + 100 : place + 116] = random.Random(seed).randbytes(16)
    return bytes(data)


CONTENTS: dict[str, Callable[[int], bytes]] = {
    "empty": lambda seed: b"",
    "inline": lambda seed: SMALL_MARKER + bytes([seed]) * 40,
    "bundled": lambda seed: LARGE_MARKER + random.Random(seed).randbytes(1_000 + 300 * seed),
    "chunked": lambda seed: LARGE_MARKER + random.Random(seed % 4).randbytes(150_000) + bytes([seed]),
    "pages": _pages,
    "zeros": lambda seed: LARGE_MARKER + bytes(70_000 * (1 + seed % 4)) + bytes([seed]),
    "shared": lambda seed: LARGE_MARKER + random.Random(seed % 2).randbytes(300_000),
}
"""By shape, a content for each seed below 100; some seeds give contents that have much in common."""
