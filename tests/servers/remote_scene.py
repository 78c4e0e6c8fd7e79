"""A repository on a real server, with a source that changes and everything that must never be lost of it.

Here: `RemoteScene`, which the tests of faults on remote stores share: it takes snapshots that may fail, remembers what
was reported done, and looks with other stations whether all of it is there. Not here: any fault.

Rules: a snapshot may fail, but only with an error of snapstore's own that says nothing of any password. What reported
success counts from then on. Waits between tries are short and derived keys are remembered (`impatient`), which is all
that is replaced.
"""

from __future__ import annotations

import random
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import compare_trees
import pytest
from remembered_keys import RememberedArgon2id
from server import Server
from wire_faults import FaultyFtpWire, FaultyWire

import snapstore
from snapstore.crypto import kdf
from snapstore.stores import url as addresses
from snapstore.stores.options import StoreOptions
from snapstore.stores.retrying import Patience

SECRET = "a secret for the far away"
FILES = 6
FILE_BYTES = 30_000
LARGE_BYTES = 1_200_000
TRIES = 4
ANSWER_SECONDS = 8.0
Facts = dict[str, compare_trees.Facts]


@dataclass(kw_only=True)
class RemoteScene:
    """One repository, the station that writes into it, and one that reads and stays open."""

    folder: Path
    server: Server
    place: str
    random: random.Random = field(default_factory=lambda: random.Random(20261122))
    done: dict[str, Facts] = field(default_factory=dict)
    """By label, what the source was at each snapshot that was reported done."""
    points: int = 0
    """How many faults were met."""

    @property
    def source(self) -> Path:
        return self.folder / "source"

    def options(self, *, tries: int = 1, answer_seconds: float = ANSWER_SECONDS) -> StoreOptions:
        """The server's, with another patience."""
        return replace(
            self.server.options,
            attempts=tries,
            connect_timeout_seconds=answer_seconds,
            answer_timeout_seconds=answer_seconds,
        )

    def begin(self) -> None:
        """Make the source, the repository and a first snapshot."""
        for number in range(FILES):
            path = self.source / f"folder {number % 3}" / f"file {number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.random.randbytes(self.random.randrange(FILE_BYTES)))
        (self.source / "large").write_bytes(self.random.randbytes(LARGE_BYTES))
        with snapstore.init(
            self.server.url(self.place), state_dir=self.folder / "writer", kdf_seconds=0, options=self.options(tries=3)
        ) as repository:
            repository.create_dossier("books", secret=SECRET)
        assert self.snapshot("first") is None

    def change_source(self) -> None:
        """Two small files, so that there is something to store."""
        for number in self.random.sample(range(FILES), 2):
            path = self.source / f"folder {number % 3}" / f"file {number}"
            path.write_bytes(self.random.randbytes(self.random.randrange(1000, FILE_BYTES)))

    def change_much(self) -> None:
        """The large file, so that an upload takes many packets."""
        (self.source / "large").write_bytes(self.random.randbytes(LARGE_BYTES))

    def snapshot(
        self, label: str, *, through: FaultyWire | None = None, options: StoreOptions | None = None
    ) -> snapstore.SnapstoreError | None:
        """Take a snapshot from opening to closing; return how it failed, or None and remember it."""
        facts = compare_trees.collect(self.source)
        try:
            with self.opened("writer", through=through, options=options) as repository:
                report = repository.dossier("books").snapshot(self.source, label=label)
        except snapstore.SnapstoreError as error:
            self.assert_no_password(error)
            return error
        assert report.problems == ()
        self.done[label] = facts
        return None

    @contextmanager
    def opened(
        self, station: str, *, through: FaultyWire | None = None, options: StoreOptions | None = None
    ) -> Iterator[snapstore.Repository]:
        """The repository as a station of that name sees it, perhaps through a proxy."""
        server = self.server if through is None else behind(self.server, through)
        url, options = server.url(self.place), options or self.options()
        with snapstore.open(url, state_dir=self.folder / station, options=options) as repository:
            yield repository

    def assert_nothing_lost(self) -> None:
        """A new computer with the secret finds every snapshot that was reported done, and restores all bit for bit."""
        fresh = f"fresh {self.points} {self.random.random()}"
        with self.opened(fresh, options=self.options(tries=3)) as repository:
            dossier = repository.unlock(SECRET)
            self.assert_found(dossier, list(self.done))
        shutil.rmtree(self.folder / fresh)

    def assert_found(self, dossier: snapstore.Dossier, restored: list[str]) -> None:
        """Every snapshot is listed as confirmed, and those named come back bit for bit."""
        known = {found.label or "": found for found in dossier.list() if found.confirmed}
        assert self.done.keys() <= known.keys(), "a snapshot that was reported done is gone"
        assert dossier.review().missing == ()
        for label in restored:
            assert compare_trees.differences(self.done[label], self.restored(dossier, known[label])) == [], label

    def restored(self, dossier: snapstore.Dossier, snapshot: snapstore.Snapshot | str) -> Facts:
        """What a restore writes, after its report said that it is all."""
        target = self.folder / "target"
        try:
            report = dossier.restore(snapshot, to=target, secret=None if dossier.unlocked else SECRET)
            assert report.problems == ()
            return compare_trees.collect(target)
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def assert_no_password(self, error: BaseException) -> None:
        """No password in a message, nor in the errors it came from."""
        said = "".join(traceback.format_exception(error))
        password = self.server.options.password
        assert not isinstance(password, str) or password not in said
        assert SECRET not in said


def behind(server: Server, wire: FaultyWire) -> Server:
    """The server as seen through the wire."""
    assert server.behind is not None
    seen = server.behind(wire.port)
    return replace(seen, url=lambda name: seen.url(name).replace(server.host, wire.host))


def wire_of(server: Server, *, delay_seconds: float = 0.0) -> FaultyWire:
    """A harmless proxy of the kind that sees all connections to the server."""
    if server.url("x").startswith(("ftp:", "ftps:")):
        return FaultyFtpWire(server.port, delay_seconds=delay_seconds, data_ports=server.data_ports)
    return FaultyWire(server.port, delay_seconds=delay_seconds)


def impatient(patch: pytest.MonkeyPatch, *, wait_seconds: float = 0.02) -> None:
    """Let stores that were opened by an address wait only so long before they try again, and keys be derived once."""

    def patience(*, attempts: int) -> Patience:
        return Patience(
            attempts=attempts, first_wait_seconds=wait_seconds, longest_wait_seconds=wait_seconds, chance=lambda: 1.0
        )

    patch.setattr(addresses, "Patience", patience)
    patch.setattr(kdf, "Argon2id", RememberedArgon2id)


def until(condition: Callable[[], bool], *, seconds: float = 20.0) -> bool:
    """Wait until something holds; return whether it ever did."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True
