"""Damage of every kind to every object of a repository: a named error or the right bytes, never anything else.

A small repository with two snapshots is written once. Then each of its objects in turn is emptied, cut short, has one
bit flipped at several places, is deleted, or is swapped for another object of its kind; and a new PC with the secret
opens it, lists, and restores everything. Allowed are an error of snapstore's own, a problem in a report, or the
truth. Not allowed are wrong bytes, another exception, a snapshot that silently vanishes, and "wrong secret" said of
damage.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import compare_trees
import pytest

import snapstore
from snapstore.crypto import kdf

SECRET = "a secret for the damaged"
FLIPS_PER_OBJECT = 6
REAL_ARGON2ID = kdf.Argon2id
Facts = dict[str, compare_trees.Facts]


@dataclass(slots=True, kw_only=True)
class Scene:
    """A repository with two snapshots, and what their sources were."""

    folder: Path
    truth: dict[str, Facts] = field(default_factory=dict)
    turns: int = 0

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def objects(self) -> list[Path]:
        return sorted(path for path in self.repository.rglob("*") if path.is_file() and path.parent != self.repository)

    def kinds(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self.objects():
            found.setdefault(path.relative_to(self.repository).parts[0], []).append(path)
        return found

    def look(self) -> list[str]:
        """Open, list and restore as a new PC; return what was reported. Fails on wrong bytes and on silent loss."""
        self.turns += 1
        state, target = self.folder / f"state {self.turns}", self.folder / f"target {self.turns}"
        reported: list[str] = []
        try:
            with snapstore.open(self.repository, state_dir=state) as repository:
                dossier = repository.unlock(SECRET)
                review = dossier.review()
                listed = dossier.list()
                reported += [problem.message for problem in review.problems]
                reported += [f"{missing.hex()} is missing" for missing in review.missing]
                if len(listed) < len(self.truth):
                    assert reported, "a snapshot vanished and nothing was said"
                for snapshot in listed:
                    reported += self.restore(dossier, snapshot, target / snapshot.name)
        except snapstore.SnapstoreError as error:
            reported.append(f"{error.code}: {error}")
        finally:
            shutil.rmtree(state, ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
        return reported

    def restore(self, dossier: snapstore.Dossier, snapshot: snapstore.Snapshot, target: Path) -> list[str]:
        try:
            report = dossier.restore(snapshot, to=target)
            said = [problem.message for problem in report.problems]
        except snapstore.SnapstoreError as error:
            said = [f"{error.code}: {error}"]
        truth = self.truth[snapshot.label or ""]
        found = compare_trees.collect(target) if target.exists() else {}
        for path, facts in found.items():
            if path in truth:
                assert facts.digest == truth[path].digest, f"wrong bytes in {path}"
        if not said:
            assert compare_trees.differences(truth, found) == []
        return said


class RememberedArgon2id:
    """The real Argon2id; every look needs the same derivation, so each distinct one is computed once."""

    known: ClassVar[dict[tuple[object, ...], bytes]] = {}

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    def derive(self, secret: bytes) -> bytes:
        key = (secret, *sorted(self.parameters.items()))
        if key not in self.known:
            self.known[key] = REAL_ARGON2ID(**self.parameters).derive(secret)
        return self.known[key]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kdf, "Argon2id", RememberedArgon2id)
        folder = tmp_path_factory.mktemp("damage")
        made = Scene(folder=folder)
        write_sources(folder / "source")
        with snapstore.init(made.repository, state_dir=folder / "state", kdf_seconds=0) as repository:
            dossier = repository.create_dossier("books", secret=SECRET)
            for label in ("first", "second"):
                (folder / "source" / "changing").write_text(label * 3000, encoding="utf-8")
                dossier.snapshot(folder / "source", label=label)
                made.truth[label] = compare_trees.collect(folder / "source")
        yield made


def write_sources(source: Path) -> None:
    generator = random.Random(5)
    (source / "photos").mkdir(parents=True)
    (source / "photos" / "large").write_bytes(generator.randbytes(400_000))
    (source / "photos" / "again").write_bytes(generator.randbytes(20_000) * 3)
    for number in range(12):
        (source / f"note {number}").write_bytes(generator.randbytes(200 * number))


def test_the_whole_repository_gives_the_truth(scene: Scene) -> None:
    assert scene.look() == []
    assert {"config", "dossiers", "packs", "index", "snapshots", "ok"} <= scene.kinds().keys()


def damaged_one_by_one(scene: Scene, damage: Callable[[bytes], bytes | None]) -> dict[Path, list[str]]:
    """Return what was said after `damage` to each object in turn; None deletes it."""
    said: dict[Path, list[str]] = {}
    for path in scene.objects():
        whole = path.read_bytes()
        hurt = damage(whole)
        if hurt is None:
            path.unlink()
        else:
            path.write_bytes(hurt)
        try:
            said[path.relative_to(scene.repository)] = scene.look()
        finally:
            path.write_bytes(whole)
    return said


def assert_never_called_a_wrong_secret(said: dict[Path, list[str]]) -> None:
    wrong = [f"{path}: {line}" for path, lines in said.items() for line in lines if line.startswith("wrong_secret")]
    assert wrong == []


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_cut_short(scene: Scene, kept: float) -> None:
    assert_never_called_a_wrong_secret(damaged_one_by_one(scene, lambda whole: whole[: int(len(whole) * kept)]))


def test_longer_than_it_was(scene: Scene) -> None:
    assert_never_called_a_wrong_secret(damaged_one_by_one(scene, lambda whole: whole + b"\0"))


@pytest.mark.parametrize("turn", range(FLIPS_PER_OBJECT))
def test_one_bit_flipped(scene: Scene, turn: int) -> None:
    generator = random.Random(turn)

    def flip(whole: bytes) -> bytes:
        # The head and the tail hold the most meaning; the rest is sampled.
        span = {0: 16, 1: -16}.get(turn)
        offset = generator.randrange(len(whole)) if span is None else generator.randrange(16)
        offset = len(whole) - 1 - offset if span == -16 else offset
        hurt = bytearray(whole)
        hurt[offset] ^= 1 << generator.randrange(8)
        return bytes(hurt)

    assert_never_called_a_wrong_secret(damaged_one_by_one(scene, flip))


def test_deleted(scene: Scene) -> None:
    said = damaged_one_by_one(scene, lambda whole: None)
    for path, lines in said.items():
        if path.parts[0] in {"config", "packs"}:
            assert lines, f"{path} is gone and nobody noticed"


def test_swapped_with_another_of_its_kind(scene: Scene) -> None:
    for paths in scene.kinds().values():
        for first, second in itertools.pairwise(paths):
            one, other = first.read_bytes(), second.read_bytes()
            first.write_bytes(other)
            second.write_bytes(one)
            try:
                said = scene.look()
            finally:
                first.write_bytes(one)
                second.write_bytes(other)
            assert not [line for line in said if line.startswith("wrong_secret")]


def test_all_copies_of_an_object_overwritten_with_garbage(scene: Scene) -> None:
    """Whole folders of garbage: nothing of it may be taken for data."""
    for paths in scene.kinds().values():
        whole = {path: path.read_bytes() for path in paths}
        for path, content in whole.items():
            path.write_bytes(random.Random(1).randbytes(len(content)))
        try:
            assert scene.look(), f"{paths[0].parent} is garbage and nobody noticed"
        finally:
            for path, content in whole.items():
                path.write_bytes(content)


def test_a_repository_of_another_can_not_stand_in(scene: Scene, tmp_path: Path) -> None:
    """Objects of another repository, whole and with right names, are not taken for this one's."""
    with snapstore.init(tmp_path / "other", state_dir=tmp_path / "state", kdf_seconds=0) as repository:
        dossier = repository.create_dossier("books", secret=SECRET)
        dossier.snapshot(scene.folder / "source", label="other")
    for path in sorted((tmp_path / "other").rglob("*")):
        relative = path.relative_to(tmp_path / "other")
        if not path.is_file() or len(relative.parts) < 2 or relative.parts[0] in {"config", "dossiers"}:
            continue
        guest = scene.repository / relative
        guest.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, guest)
        try:
            scene.look()
        finally:
            guest.unlink()
    assert scene.look() == []
