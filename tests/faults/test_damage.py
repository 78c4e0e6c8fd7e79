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
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import compare_trees
import pytest
from remembered_keys import RememberedArgon2id

import snapstore
from snapstore.crypto import kdf

SECRET = "a secret for the damaged"
FLIPS_PER_OBJECT = 6
Facts = dict[str, compare_trees.Facts]


def objects_of(repository: Path) -> list[Path]:
    return sorted(path for path in repository.rglob("*") if path.is_file() and path.parent != repository)


@dataclass(slots=True, kw_only=True)
class Scene:
    """A repository with two snapshots, what their sources were, and the copy that is being damaged."""

    folder: Path
    truth: dict[str, Facts] = field(default_factory=dict)

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def objects(self) -> list[PurePath]:
        return [path.relative_to(self.repository) for path in objects_of(self.repository)]

    @property
    def kinds(self) -> dict[str, list[PurePath]]:
        found: dict[str, list[PurePath]] = {}
        for path in self.objects:
            found.setdefault(path.parts[0], []).append(path)
        return found

    def look(self, damage: Callable[[Path], object]) -> list[str]:
        """Do `damage` to a copy, open, list and restore it as a new PC; return what was reported.

        Fails on wrong bytes and on silent loss. A copy each time, because a new PC enrols itself, which writes.
        """
        with tempfile.TemporaryDirectory(dir=self.folder) as work:
            copy = Path(work) / "repository"
            shutil.copytree(self.repository, copy)
            damage(copy)
            try:
                return self.open_and_restore(copy, Path(work))
            except snapstore.SnapstoreError as error:
                return [f"{error.code}: {error}"]

    def open_and_restore(self, copy: Path, work: Path) -> list[str]:
        with snapstore.open(copy, state_dir=work / "state") as repository:
            dossier = repository.unlock(SECRET)
            review = dossier.review()
            reported = [problem.message for problem in review.problems]
            reported += [f"{missing.hex()} is missing" for missing in review.missing]
            listed = dossier.list()
            reported += [f"{snapshot.name} is unconfirmed" for snapshot in listed if not snapshot.confirmed]
            if len(listed) < len(self.truth):
                assert reported, "a snapshot vanished and nothing was said"
            for snapshot in listed:
                reported += self.restore(dossier, snapshot, work / "targets" / snapshot.name)
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
            # Something unfinished under a temporary name is no file of the snapshot.
            if path in truth:
                assert facts.digest == truth[path].digest, f"wrong bytes in {path}"
        if not said:
            assert compare_trees.differences(truth, found) == []
        return said


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
    assert scene.look(lambda copy: None) == []
    assert scene.kinds.keys() >= {"config", "dossiers", "packs", "index", "snapshots", "ok"}


def damaged_one_by_one(scene: Scene, damage: Callable[[bytes], bytes]) -> dict[PurePath, list[str]]:
    """Return what was said after `damage` to each object in turn."""

    def hurt(path: Path) -> None:
        path.write_bytes(damage(path.read_bytes()))

    return {path: scene.look(lambda copy, path=path: hurt(copy / path)) for path in scene.objects}


def assert_never_called_a_wrong_secret(said: dict[PurePath, list[str]]) -> None:
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
        offset = {0: generator.randrange(16), 1: len(whole) - 1 - generator.randrange(16)}.get(turn)
        hurt = bytearray(whole)
        hurt[generator.randrange(len(whole)) if offset is None else offset] ^= 1 << generator.randrange(8)
        return bytes(hurt)

    assert_never_called_a_wrong_secret(damaged_one_by_one(scene, flip))


def test_deleted(scene: Scene) -> None:
    for path in scene.objects:
        said = scene.look(lambda copy, path=path: (copy / path).unlink())
        if path.parts[0] in {"config", "packs", "dossiers"}:
            assert said, f"{path} is gone and nobody noticed"


def test_swapped_with_another_of_its_kind(scene: Scene) -> None:
    def swap(one: Path, other: Path) -> None:
        contents = one.read_bytes(), other.read_bytes()
        other.write_bytes(contents[0])
        one.write_bytes(contents[1])

    for paths in scene.kinds.values():
        for pair in itertools.pairwise(paths):
            said = scene.look(lambda copy, pair=pair: swap(copy / pair[0], copy / pair[1]))
            assert_never_called_a_wrong_secret({pair[0]: said})


def test_all_objects_of_a_kind_are_garbage(scene: Scene) -> None:
    for kind, paths in scene.kinds.items():

        def fill(copy: Path, paths: list[PurePath] = paths) -> None:
            for path in paths:
                (copy / path).write_bytes(random.Random(1).randbytes((copy / path).stat().st_size))

        # Without indexes pack headers are read; an ok object is there or not, and is read only if its twin is damaged.
        assert scene.look(fill) or kind in {"index", "ok"}, f"all of {kind} is garbage and nobody noticed"


def test_objects_of_another_repository_are_not_taken_for_this_ones(scene: Scene, tmp_path: Path) -> None:
    """They are whole and have right names, and the same person's secret made them."""
    other = tmp_path / "other"
    with snapstore.init(other, state_dir=tmp_path / "state", kdf_seconds=0) as repository:
        repository.create_dossier("books", secret=SECRET).snapshot(scene.folder / "source", label="other")
    guests = [path.relative_to(other) for path in objects_of(other)]

    def invite(copy: Path, guest: PurePath) -> None:
        (copy / guest).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(other / guest, copy / guest)

    for guest in guests:
        if guest.parts[0] not in {"config", "dossiers"}:
            scene.look(lambda copy, guest=guest: invite(copy, guest))
