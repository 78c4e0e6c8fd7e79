"""A snapshot that is killed at any moment harms nothing, and running it again succeeds.

A writer process is killed by SIGKILL (TerminateProcess on Windows) 50 times, at moments spread over the time a whole
run takes. After each kill another station, which holds the repository open all the while, must find every snapshot
that was ever reported done and restore one of them; then the writer's station snapshots again undisturbed and must
succeed. At the end every snapshot is restored and compared with what the folder was.

The moments come from a seeded generator, so that a failure can be looked at again; what they hit differs all the same.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import compare_trees
import pytest

import snapstore

KILLS = 50
FILES = 40
FILE_BYTES = 50_000
CHANGED_FILES = 12
SECRET = "a secret for the killed"
WRITER = Path(__file__).with_name("killed_writer.py")
PACKAGE_PARENT = Path(snapstore.__path__[0]).parent  # the writer runs the package that is being tested
Facts = dict[str, compare_trees.Facts]


@dataclass(slots=True, kw_only=True)
class Scene:
    """A repository, the writing station's state, and a reader on another station that stays open."""

    folder: Path
    reader: snapstore.Dossier
    random: random.Random
    done: dict[str, Facts] = field(default_factory=dict)
    """By label, what the source was at each snapshot that was reported done."""

    @property
    def source(self) -> Path:
        return self.folder / "source"

    def start_writer(self, label: str) -> subprocess.Popen[str]:
        arguments = [self.folder / "repository", self.folder / "writer", "books", self.source, label]
        command = [sys.executable, WRITER, *arguments]
        path = os.pathsep.join([str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": path}
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        return writer

    def run_again(self, label: str) -> None:
        """Take a snapshot undisturbed, as the killed writer's station.

        In this process, which saves the start of another: a process leaves nothing behind but its state folder.
        """
        facts = compare_trees.collect(self.source)
        with snapstore.open(self.folder / "repository", state_dir=self.folder / "writer") as repository:
            dossier = repository.dossier("books")
            report = dossier.snapshot(self.source, label=label)
        assert report.problems == ()
        self.done[label] = facts

    def time_writer(self, label: str) -> float:
        """Let a writer process end; return its seconds from "ready" on, which later ones will need too."""
        facts = compare_trees.collect(self.source)
        writer = self.start_writer(label)
        start = time.perf_counter()
        output, _ = writer.communicate()
        seconds = time.perf_counter() - start
        assert (writer.returncode, output) == (0, "done\n")
        self.done[label] = facts
        return seconds

    def kill_writer(self, label: str, *, after_seconds: float) -> None:
        facts = compare_trees.collect(self.source)
        writer = self.start_writer(label)
        time.sleep(after_seconds)
        writer.kill()
        output, _ = writer.communicate()
        if output == "done\n":  # it was quicker than the kill: then it is a snapshot like any other
            self.done[label] = facts

    def change_source(self) -> None:
        for number in self.random.sample(range(FILES), CHANGED_FILES):
            path = self.source / f"folder {number % 5}" / f"file {number}"
            path.write_bytes(self.random.randbytes(self.random.randrange(FILE_BYTES)))

    def restored(self, snapshot: snapstore.Snapshot) -> Facts:
        target = self.folder / "target"
        report = self.reader.restore(snapshot, to=target)
        assert report.problems == ()
        facts = compare_trees.collect(target)
        shutil.rmtree(target)
        return facts

    def confirmed(self) -> dict[str, snapstore.Snapshot]:
        return {snapshot.label or "": snapshot for snapshot in self.reader.list() if snapshot.confirmed}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    generator = random.Random(20261121)
    for number in range(FILES):
        path = tmp_path / "source" / f"folder {number % 5}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(generator.randbytes(generator.randrange(FILE_BYTES)))
    url = tmp_path / "repository"
    with snapstore.init(url, state_dir=tmp_path / "writer", kdf_seconds=0) as repository:
        repository.create_dossier("books", secret=SECRET)
    with snapstore.open(url, state_dir=tmp_path / "reader") as repository:
        yield Scene(folder=tmp_path, reader=repository.unlock(SECRET), random=generator)


@pytest.mark.slow
def test_a_killed_snapshot_harms_nothing_and_runs_again(scene: Scene) -> None:
    scene.run_again("first")
    scene.change_source()
    whole_run = min(scene.time_writer(f"timed {turn}") for turn in range(2))  # a slow one would let most runs end
    for turn in range(KILLS):
        scene.change_source()
        # Stratified: every fiftieth of a whole run (and a little more) gets its kill, in random order.
        moment = (turn * 37 % KILLS + scene.random.random()) / KILLS * whole_run * 1.1
        scene.kill_writer(f"killed {turn}", after_seconds=moment)

        known = scene.confirmed()
        assert scene.done.keys() <= known.keys()
        label = scene.random.choice(sorted(scene.done))
        assert compare_trees.differences(scene.done[label], scene.restored(known[label])) == []

        scene.run_again(f"again {turn}")
        assert scene.reader.list()[0].label == f"again {turn}"

    killed = KILLS - sum(label.startswith("killed") for label in scene.done)
    print(f"{killed} of {KILLS} were killed before they were done; a whole run takes {whole_run:.3f} s")
    assert killed > KILLS // 2, "most writers ended before they were killed: this tried nothing"
    known = scene.confirmed()
    for label, facts in scene.done.items():
        assert compare_trees.differences(facts, scene.restored(known[label])) == [], label
    review = scene.reader.review()
    assert review.missing == ()
    left_behind = [path for path in (scene.folder / "repository" / "tmp").rglob("*") if path.is_file()]
    assert left_behind == []


@pytest.mark.slow
def test_a_killed_first_snapshot_is_resumed(scene: Scene) -> None:
    """No index names what a killed first run has stored; the next run succeeds all the same."""
    for turn, after_seconds in enumerate((0.0, 0.01, 0.03, 0.1)):
        scene.kill_writer(f"killed {turn}", after_seconds=after_seconds)
        assert scene.done.keys() <= scene.confirmed().keys()
    scene.run_again("whole")
    assert compare_trees.differences(scene.done["whole"], scene.restored(scene.reader.find("latest"))) == []
