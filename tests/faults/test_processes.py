"""Two processes save and forget while a third prunes, and all of them are killed at random, over and over.

Each process writes down what was reported to it. At the end everything that any of them was told is saved, and that
nobody was about to forget, restores bit for bit; a check that reads everything finds no damage; and one more prune
leaves nothing that another one could delete.

20 seconds on each store; `SNAPSTORE_TEST_MINUTES=2` says for how many minutes instead.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from server import Server

import snapstore

STATION = Path(__file__).with_name("busy_station.py")
ROLES = {"one": "write", "two": "write", "pruner": "prune"}
SECONDS = 60 * float(os.environ.get("SNAPSTORE_TEST_MINUTES", "0")) or 20.0
LONGEST_LIFE_SECONDS = 4.0
START_SECONDS = 60.0
SECRET = "a secret for the busy"
PASSING = frozenset({"in_use", "prune_refused"})
"""Codes of errors that nothing is lost by and that pass: a writer whose packs were pruned five times before its
snapshot counted gives up, and a prune that meets the manifest of such a run deletes nothing."""


@dataclass(kw_only=True)
class Scene:
    """A repository, three stations and their processes."""

    folder: Path
    url: str
    options: dict[str, str] = field(default_factory=dict)
    random: random.Random = field(default_factory=random.Random)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kills: int = 0

    def make(self) -> None:
        """The repository, and each station enrolled."""
        for number, name in enumerate(ROLES):
            make = snapstore.init if number == 0 else snapstore.open
            more = {"kdf_seconds": 0} if number == 0 else {}
            with make(
                self.url, state_dir=self.state(name), station_name=name, options=self.store_options, **more
            ) as it:
                if number == 0:
                    it.create_dossier("books", secret=SECRET)
                else:
                    it.unlock(SECRET)

    @property
    def store_options(self) -> snapstore.StoreOptions:
        return snapstore.StoreOptions(**self.options)  # type: ignore[arg-type]  # paths, all of them

    def state(self, name: str) -> Path:
        return self.folder / f"state {name}"

    def start(self, name: str) -> None:
        more = [self.folder / f"source {name}", self.folder / f"{name}.log", json.dumps(self.options)]
        command = [sys.executable, STATION, ROLES[name], self.url, self.state(name), *more]
        path = os.pathsep.join([str(Path(snapstore.__path__[0]).parent), os.environ.get("PYTHONPATH", "")])
        output = (self.folder / f"{name}.output").open("ab")
        with output:
            self.running[name] = subprocess.Popen(
                [*map(str, command)], stdout=output, stderr=output, env=os.environ | {"PYTHONPATH": path}
            )

    def kill(self, name: str) -> None:
        """SIGKILL, or its like; a process that ended by itself did so by an error that it could not foresee."""
        process = self.running.pop(name)
        assert process.poll() is None, (self.folder / f"{name}.output").read_text()
        process.kill()
        process.wait()
        self.kills += 1

    def said(self, what: str, name: str | None = None) -> list[list[str]]:
        """All lines of that kind, without their first word."""
        lines: list[list[str]] = []
        for station in ROLES if name is None else [name]:
            log = self.folder / f"{station}.log"
            whole = log.read_text(encoding="utf-8").split("\n")[:-1] if log.exists() else []  # the last may be torn
            lines += [line.split(" ")[1:] for line in whole if line.split(" ")[0] == what]
        return lines

    def live(self) -> None:
        """Let them work and die."""
        end = time.monotonic() + SECONDS
        for name in ROLES:
            self.start(name)
        self.wait_for_all(time.monotonic() + START_SECONDS)
        while time.monotonic() < end or not (self.said("saved") and self.said("pruned")):
            assert time.monotonic() < end + START_SECONDS, "nobody gets anything done"
            # Short lives hit what a run begins with, long ones its end.
            time.sleep(self.random.random() ** 2 * LONGEST_LIFE_SECONDS)
            name = self.random.choice([*ROLES])
            self.kill(name)
            self.start(name)
        for name in ROLES:
            self.kill(name)

    def wait_for_all(self, end: float) -> None:
        while not all(self.said("ready", name) for name in ROLES):
            assert time.monotonic() < end, "a process does not start"
            time.sleep(0.02)

    def stop(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()

    def assert_nothing_is_lost(self) -> None:
        """Open it as a new station."""
        from busy_station import contents_of

        gone = {id_ for (id_,) in self.said("forgetting")}
        with snapstore.open(self.url, state_dir=self.folder / "reader", options=self.store_options) as repository:
            dossier = repository.unlock(SECRET)
            review = dossier.review()
            assert review.missing == ()
            assert review.problems == ()
            whole = {found.id.hex(): found for found in review.snapshots if found.confirmed}
            reported = {id_ for id_, _ in self.said("saved")}
            assert reported - gone <= whole.keys(), f"{reported - gone - whole.keys()} are gone"
            for id_, found in whole.items():
                target = self.folder / "targets" / id_
                report = dossier.restore(found, to=target)
                assert report.problems == (), report.problems
                restored = {path.name: path.read_bytes() for path in target.iterdir()}
                assert restored == contents_of(found.label or ""), f"{id_} differs"
            self.assert_tidy(repository)

    def assert_refused_only_for_the_unconfirmed(self) -> None:
        """No prune stopped at a snapshot that was reported."""
        reported = {id_ for id_, _ in self.said("saved")}
        for words in self.said("failed"):
            assert words[0] != "prune_refused" or not reported.intersection(words), words

    def assert_tidy(self, repository: snapstore.Repository) -> None:
        thoroughly = snapstore.PruneOptions(max_unused=0.0)
        repository.prune(options=thoroughly)
        left = repository.plan_prune(thoroughly)
        assert (left.delete_packs, left.repack_packs) == (0, 0), left
        report = repository.check(snapstore.CheckOptions(read_data=True), secret=SECRET)
        assert report.whole, report.findings
        assert [item.name for item in repository._context.store.list("condemn")] == []


def run(scene: Scene, record_property: Callable[[str, object], None]) -> None:
    scene.make()
    try:
        scene.live()
    finally:
        scene.stop()
    failed = Counter(words[0] for words in scene.said("failed"))
    scene.assert_refused_only_for_the_unconfirmed()
    pruned = sum(int(words[0]) for words in scene.said("pruned"))
    saved, forgotten = len(scene.said("saved")), len(scene.said("forgetting"))
    print(f"{scene.kills} kills, {saved} saved, {forgotten} forgotten, {pruned} packs pruned, failed: {dict(failed)}")
    scene.assert_nothing_is_lost()
    assert set(failed) <= PASSING, scene.said("failed")
    assert saved > 2
    assert pruned
    record_property("counted: processes that were killed at work side by side", scene.kills)


@pytest.mark.slow
def test_in_a_folder(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    run(Scene(folder=tmp_path, url=str(tmp_path / "repository")), record_property)


@pytest.mark.slow
@pytest.mark.remote_servers("sshd")
def test_on_a_server(remote_server: Server, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    options = {
        name: str(value)
        for name in ("ssh_config", "known_hosts")
        if (value := getattr(remote_server.options, name)) is not None
    }
    url = remote_server.url(f"busy{random.randrange(10**9)}")
    run(Scene(folder=tmp_path, url=url, options=options), record_property)


@pytest.fixture(autouse=True)
def workers_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`busy_station` is a program beside this module."""
    monkeypatch.syspath_prepend(str(STATION.parent))
