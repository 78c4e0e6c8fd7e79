"""Real repositories in memory, ready made: `Lab` and its fixtures.

Here: one repository with a dossier for each way of making one, made once and copied for each test; source trees that
hold every shape of content; source trees old enough to count as unchanged. Argon2id is the real one, but each distinct
derivation is computed once a session: tests unlock the same copied repository again and again.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import compare_trees
import pytest

import snapstore
from snapstore.blobs import native as blobs_native
from snapstore.crypto import kdf
from snapstore.operations.context import DossierContext
from snapstore.operations.opening import init_repository, open_repository
from snapstore.operations.snapshot import ordinary, reuse
from snapstore.sources import native, scanned
from snapstore.sources.directory import SourceDirectory
from snapstore.sources.file import SourceFile
from snapstore.sources.scanned import SETTLED_AFTER_NS, ScannedEntry
from snapstore.sources.small import SmallFiles
from snapstore.station import StateFolder
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store

SECRET = "a secret for the lab"
REAL_ARGON2ID = kdf.Argon2id
SETTLED_TREES = 24
TICK_SECONDS = 0.015  # the kernel stamps files in ticks of up to 10 ms


class RememberedArgon2id:
    """The real Argon2id, each distinct derivation computed once."""

    known: ClassVar[dict[tuple[object, ...], bytes]] = {}
    count: ClassVar[int] = 0
    """How often a derivation was asked for."""

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    def derive(self, secret: bytes) -> bytes:
        key = (secret, *sorted(self.parameters.items()))
        type(self).count += 1
        if key not in self.known:
            self.known[key] = REAL_ARGON2ID(**self.parameters).derive(secret)
        return self.known[key]


def copy_of(store: Store) -> MemoryStore:
    """A store of the same objects."""
    copy = MemoryStore()
    for item in store.list(""):
        copy.put(item.name, store.get(item.name))
    return copy


def names_in(store: Store, folder: str) -> list[str]:
    return sorted(item.name for item in store.list(folder))


@dataclass(slots=True, kw_only=True)
class Lab:
    """A repository in memory with the dossier "books", its stations' state folders, and a place for files."""

    folder: Path
    store: MemoryStore
    secret: str | None = SECRET
    others: list[snapstore.Repository] = field(default_factory=list)

    @property
    def source(self) -> Path:
        return self.folder / "source"

    def state(self, station: str = "one") -> StateFolder:
        return StateFolder(self.folder / f"state {station}", station_name=station)

    def open(self, station: str = "one", store: Store | None = None) -> snapstore.Repository:
        return snapstore.Repository(open_repository(self.store if store is None else store, self.state(station)))

    def dossier(self, station: str = "one", store: Store | None = None, name: str = "books") -> snapstore.Dossier:
        return self.open(station, store).dossier(name)

    def unlocked(self, station: str, store: Store | None = None, name: str | None = None) -> snapstore.Dossier:
        assert self.secret is not None
        return self.open(station, store).unlock(self.secret, dossier=name)

    def fork(self, name: str) -> Lab:
        """The same repository and stations once more, on their own: what one does the other does not see."""
        folder = self.folder / "forks" / name
        folder.mkdir(parents=True)
        for state in self.folder.glob("state *"):
            shutil.copytree(state, folder / state.name)
        return Lab(folder=folder, store=copy_of(self.store), secret=self.secret)

    def write(self, path: str, content: bytes) -> Path:
        full = self.source / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(content)
        return full

    def facts(self) -> dict[str, compare_trees.Facts]:
        return compare_trees.collect(self.source)

    def restored(
        self, dossier: snapstore.Dossier, snapshot: snapstore.Snapshot | str = "latest", **more: Any
    ) -> dict[str, compare_trees.Facts]:
        """What a whole restore gives; it must have nothing to complain of."""
        target = self.folder / "restored"
        secret = None if dossier.unlocked else self.secret
        report = dossier.restore(snapshot, to=target, secret=secret, **more)
        assert report.problems == ()
        found = compare_trees.collect(target)
        shutil.rmtree(target)
        return found

    def assert_restores(
        self, dossier: snapstore.Dossier, facts: dict[str, compare_trees.Facts], snapshot: snapstore.Snapshot | str
    ) -> None:
        assert compare_trees.differences(facts, self.restored(dossier, snapshot)) == []

    def names(self, folder: str) -> list[str]:
        return names_in(self.store, folder)


def context_of(dossier: snapstore.Dossier) -> DossierContext:
    """What the operations under the facade take."""
    return dossier._context


@dataclass(slots=True, kw_only=True)
class Trial:
    """Snapshots that build on each other, each held against one that reads everything into a fresh repository."""

    lab: Lab
    pristine: Lab
    """The lab as it was before its first snapshot: same keys, so equal trees have equal roots."""
    dossier: snapstore.Dossier
    count: int = 0
    fresh: snapstore.SnapshotReport | None = None
    """The report of the last fresh snapshot."""

    def snapshot(self, sources: Any = None, **more: Any) -> snapstore.SnapshotReport:
        """A snapshot that builds on the one before; nothing is so fresh that it counts as unsettled."""
        time.sleep(TICK_SECONDS)
        return self.dossier.snapshot(self.lab.source if sources is None else sources, **more)

    def check(self, sources: Any = None, **more: Any) -> snapstore.SnapshotReport:
        """A snapshot; its root, counts, problems and content are those of a fresh one."""
        report = self.snapshot(sources, **more)
        other = self.pristine.fork(f"fresh {self.count}")
        self.count += 1
        dossier = other.dossier()
        whole = dossier.snapshot(self.lab.source if sources is None else sources, **more)
        self.fresh = whole
        assert figures_of(report) == figures_of(whole)
        assert report.files_new + report.files_changed + report.files_unchanged == whole.files_new
        assert report.raw_bytes_read <= whole.raw_bytes_read
        assert root_of(self.lab, self.dossier) == root_of(other, dossier)
        plain = not more and sources is None and report.problems == ()
        facts = self.lab.facts() if plain else other.restored(dossier)
        assert compare_trees.differences(facts, self.lab.restored(self.dossier, report.snapshot)) == []
        shutil.rmtree(other.folder)
        return report


def figures_of(report: snapstore.SnapshotReport) -> tuple[object, ...]:
    """What two snapshots of one tree have in common."""
    of = report.snapshot
    problems = sorted((problem.code, problem.path) for problem in report.problems)
    return of.files, of.directories, of.others, of.total_bytes, of.problem_count, problems


def root_of(lab: Lab, dossier: snapstore.Dossier) -> bytes:
    """The h of the root of a station's last snapshot."""
    config = dossier._context.repository.config
    last = lab.state().medium(config.repository_id, config.medium_id, dossier.id).last()
    assert last is not None
    return bytes(last.root)


def write_tree(top: Path, seed: int = 7) -> None:
    """Every shape of content: empty, inline, bundled, chunked, chunk lists, repeats, holes; and links."""
    generator = random.Random(seed)
    (top / "deep" / "er" / "folder").mkdir(parents=True)
    (top / "empty folder").mkdir()
    contents = {
        "empty": b"",
        "inline": b"short",
        "deep/chunks": generator.randbytes(150_000),
        "deep/zeros": bytes(3_000_000),
        "deep/er/pages.db": b"SQLite format 3\0" + generator.randbytes(300_000),
        "deep/er/folder/last": generator.randbytes(400),
    }
    for number in range(30):
        contents[f"deep/note {number}"] = generator.randbytes(100 + 150 * number)
    for path, content in contents.items():
        (top / path).write_bytes(content)
    with (top / "deep" / "sparse").open("wb") as file:
        file.write(b"head" * 1000)
        file.seek(2_000_000)
        file.write(b"island" * 1000)
        file.truncate(4_000_000)
    if sys.platform != "win32":
        (top / "link").symlink_to("deep/chunks")
        os.link(top / "deep" / "chunks", top / "second name")
        os.mkfifo(top / "pipe")


def _make(folder: Path, *, protected: bool, share: bool) -> Lab:
    lab = Lab(folder=folder, store=MemoryStore(), secret=SECRET if protected else None)
    context = init_repository(lab.store, lab.state(), protected=protected, share=share, kdf_seconds=0)
    snapstore.Repository(context).create_dossier("books", secret=lab.secret)
    return lab


@pytest.fixture(scope="session", autouse=True)
def remembered_argon2id() -> Iterator[type[RememberedArgon2id]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kdf, "Argon2id", RememberedArgon2id)
        yield RememberedArgon2id


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Lab]:
    return {
        "protected": _make(tmp_path_factory.mktemp("protected"), protected=True, share=False),
        "shared": _make(tmp_path_factory.mktemp("shared"), protected=True, share=True),
        "unprotected": _make(tmp_path_factory.mktemp("unprotected"), protected=False, share=False),
    }


def _copied(template: Lab, folder: Path) -> Lab:
    shutil.copytree(template.folder, folder, dirs_exist_ok=True)
    return Lab(folder=folder, store=copy_of(template.store), secret=template.secret)


@pytest.fixture
def lab(templates: dict[str, Lab], tmp_path: Path) -> Lab:
    return _copied(templates["protected"], tmp_path)


@pytest.fixture
def shared_lab(templates: dict[str, Lab], tmp_path: Path) -> Lab:
    return _copied(templates["shared"], tmp_path)


@pytest.fixture
def unprotected_lab(templates: dict[str, Lab], tmp_path: Path) -> Lab:
    return _copied(templates["unprotected"], tmp_path)


@pytest.fixture
def trial(lab: Lab, settled_at_once: None) -> Trial:
    lab.source.mkdir()
    return Trial(lab=lab, pristine=lab.fork("pristine"), dossier=lab.dossier())


@pytest.fixture(scope="session")
def settled_trees(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[Path]]:
    """Trees that were written so long ago that an unchanged file counts as one. Each is handed out once."""
    folder = tmp_path_factory.mktemp("settled")
    paths = [folder / f"source {number}" for number in range(SETTLED_TREES)]
    for path in paths:
        write_tree(path)
    written_ns = time.time_ns()
    waiting = iter(paths)

    def hand_out() -> Iterator[Path]:
        for path in waiting:
            time.sleep(max(0, written_ns + SETTLED_AFTER_NS + 100_000_000 - time.time_ns()) / 1e9)
            yield path

    yield hand_out()
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def settled_tree(settled_trees: Iterator[Path]) -> Path:
    return next(settled_trees)


@pytest.fixture(params=["compiled", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of looking at folders, of reading small files, of encoding them and of sealing."""
    if request.param == "one by one":
        monkeypatch.setattr(native, "POSIX", None)
        monkeypatch.setattr(blobs_native, "SEALING", None)
        monkeypatch.setattr(ordinary, "_native", None)
    elif None in (native.POSIX, blobs_native.SEALING, ordinary._native):
        pytest.skip("not all compiled modules are there")
    return str(request.param)


@pytest.fixture
def settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled when they were written `TICK_SECONDS` ago: no test has to wait for 3 s."""
    for module in (reuse, scanned, ordinary):
        monkeypatch.setattr(module, "SETTLED_AFTER_NS", 0)


@pytest.fixture
def before_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[bytes], object]], None]:
    """Has something done between the look at a file and its reading, whichever way that is."""

    def install(happens: Callable[[bytes], object]) -> None:
        read_small, open_file = SourceDirectory.read_small, SourceDirectory.open_file

        def read(self: SourceDirectory, entries: Sequence[ScannedEntry], limit: int) -> SmallFiles:
            for entry in entries:
                happens(entry.name)
            return read_small(self, entries, limit)

        def opened(self: SourceDirectory, entry: ScannedEntry) -> SourceFile:
            happens(entry.name)
            return open_file(self, entry)

        monkeypatch.setattr(SourceDirectory, "read_small", read)
        monkeypatch.setattr(SourceDirectory, "open_file", opened)

    return install


@pytest.fixture
def write_every_shape() -> Callable[..., None]:
    return write_tree


@pytest.fixture
def context() -> Callable[[snapstore.Dossier], DossierContext]:
    return context_of


@pytest.fixture
def copy_store() -> Callable[[Store], MemoryStore]:
    return copy_of


@pytest.fixture
def list_names() -> Callable[[Store, str], list[str]]:
    return names_in
