"""What the medium, the logs and the other dossiers' owners learn of a dossier: nothing.

One repository with three dossiers is written, with names and contents that cannot occur by chance. Then everything
that is stored or said is searched for them, in several spellings; and every key but the right one is tried.
"""

from __future__ import annotations

import logging
import os
import platform
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import snapstore
from snapstore.crypto import kdf

SECRET = "Ferdinand's 9 geese, unseen"
OTHER_SECRET = "Ottilie's 4 ganders, unheard"
WRONG_SECRET = "nobody ever typed this one"
DOSSIER = "Dossier-Marker-Quetzal"
OTHER_DOSSIER = "Dossier-Marker-Axolotl"
LABEL = "Label-Marker-Pangolin"
STATION = "Station-Marker-Okapi"
FILE_NAMES = ("Name-Marker-Lemur.txt", "Name-Marker-Tapir.db", "Name-Marker-Gecko.jpg")
FOLDER_NAME = "Folder-Marker-Ibis"
LINK_TARGET = "Target-Marker-Civet"
SOURCE_NAME = "Source-Marker-Numbat"
EXCLUDE = "Exclude-Marker-Fossa*"
CONTENT = "Content-Marker-Wombat"
XATTR = "Xattr-Marker-Quokka"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The repository, the state folder of its first station, and the dossier's two snapshots, oldest first."""

    repository: Path
    state: Path
    snapshots: tuple[snapstore.Snapshot, ...]
    other_snapshot: snapstore.Snapshot


def spellings(text: str) -> dict[str, bytes]:
    raw = text.encode()
    return {"utf-8": raw, "utf-16": text.encode("utf-16-le"), "hex": raw.hex().encode(), "reversed": raw[::-1]}


def stored_bytes(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file's path and bytes below `folder`, and the paths themselves as bytes."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        yield f"the name of {relative}", relative.encode()
        if path.is_file():
            yield relative, path.read_bytes()


def found_in(folder: Path, texts: Iterable[str]) -> list[str]:
    needles = {(text, how): needle for text in texts for how, needle in spellings(text).items()}
    return [
        f"{text!r} as {how} in {where}"
        for where, data in stored_bytes(folder)
        for (text, how), needle in needles.items()
        if needle in data
    ]


def write_source(source: Path) -> None:
    folder = source / FOLDER_NAME
    folder.mkdir(parents=True)
    sizes = (3, 700, 60_000)  # inline, bundled and chunked; the marker's repeats would compress to nothing visible
    for name, repeats in zip(FILE_NAMES, sizes, strict=True):
        # Incompressible bytes around the marker make the codec store it as it is, if anything does.
        (folder / name).write_bytes(CONTENT.encode() + os.urandom(400) + CONTENT.encode() * repeats + os.urandom(4000))
    (folder / "small").write_bytes(CONTENT.encode())
    if os.name == "posix":
        (folder / "link").symlink_to(LINK_TARGET)
    if hasattr(os, "setxattr"):
        try:
            os.setxattr(folder / FILE_NAMES[0], f"user.{XATTR}", XATTR.encode())
        except OSError:
            warnings.warn("no extended attributes here: they were not part of this test", stacklevel=2)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("leaks")
    source, state = folder / SOURCE_NAME, folder / "state"
    write_source(source)
    url = folder / "repository"
    with snapstore.init(url, share=True, state_dir=state, station_name=STATION, kdf_seconds=0) as repository:
        dossier = repository.create_dossier(DOSSIER, secret=SECRET)
        other = repository.create_dossier(OTHER_DOSSIER, secret=OTHER_SECRET)
        repository.create_dossier("third", secret="a third secret, for company")
        first = dossier.snapshot(source, label=LABEL, exclude=[EXCLUDE]).snapshot
        (source / FOLDER_NAME / "small").write_bytes(b"changed: " + CONTENT.encode())
        second = dossier.snapshot(source, label=LABEL).snapshot
        other_source = folder / "other"
        write_source(other_source)
        theirs = other.snapshot(other_source, label=LABEL).snapshot
    return Scene(repository=url, state=state, snapshots=(first, second), other_snapshot=theirs)


# --- what lies on the medium ---------------------------------------------------------------------------------------


def test_the_search_finds_what_is_there(scene: Scene, tmp_path: Path) -> None:
    """The search itself is tried: a leak would be found."""
    (tmp_path / "x").write_bytes(b"abc" + LABEL.encode() + b"def")
    assert found_in(tmp_path, [LABEL, CONTENT]) == [f"{LABEL!r} as utf-8 in x"]


def test_no_name_and_no_content_is_on_the_medium(scene: Scene) -> None:
    texts = [DOSSIER, OTHER_DOSSIER, LABEL, STATION, FOLDER_NAME, LINK_TARGET, SOURCE_NAME, EXCLUDE, CONTENT, XATTR]
    assert found_in(scene.repository, [*texts, *FILE_NAMES]) == []


def test_no_host_is_on_the_medium(scene: Scene) -> None:
    host = platform.node()
    if len(host) < 4:
        pytest.skip(f"the host's name {host!r} is so short that it occurs by chance")
    assert found_in(scene.repository, [host]) == []


def test_the_secrets_are_nowhere(scene: Scene) -> None:
    for folder in (scene.repository, scene.state):
        assert found_in(folder, [SECRET, OTHER_SECRET]) == []


def test_no_key_of_the_station_is_on_the_medium(scene: Scene) -> None:
    """Every run of 32 random-looking bytes in the station's key file would show, if it were stored in the clear."""
    medium = b"".join(data for _, data in stored_bytes(scene.repository))
    for keys in all_keys(scene):
        assert keys not in medium


def all_keys(scene: Scene) -> set[bytes]:
    from snapstore.station import StateFolder

    state = StateFolder(scene.state)
    with snapstore.open(scene.repository, state_dir=scene.state) as repository:
        held = state.keys(repository.id)
    keys = {key for pin in held.dossiers.values() for one in pin.keys for key in (one.dossier, one.maintenance)}
    keys |= {key for one in held.epochs for key in (one.maintenance, one.content, one.chunker) if key is not None}
    assert len(keys) >= 5
    return keys


def test_equal_dossiers_have_nothing_equal(tmp_path: Path) -> None:
    """Without sharing, the same files in two dossiers give no stored bytes in common."""
    write_source(tmp_path / "source")
    with snapstore.init(tmp_path / "repository", state_dir=tmp_path / "state", kdf_seconds=0) as repository:
        for number in range(2):
            dossier = repository.create_dossier(f"dossier {number}", secret=SECRET + str(number))
            dossier.snapshot(tmp_path / "source")
    packs = [path.read_bytes() for path in (tmp_path / "repository" / "packs").rglob("*") if path.is_file()]
    windows = [{data[start : start + 32] for start in range(len(data) - 32)} for data in packs]
    for number, first in enumerate(windows):
        for second in windows[number + 1 :]:
            assert not first & second


# --- what is said --------------------------------------------------------------------------------------------------


def failing_calls(scene: Scene, repository: snapstore.Repository, target: Path) -> list[Callable[[], object]]:
    dossier = repository.dossier(DOSSIER)
    return [
        lambda: repository.unlock(WRONG_SECRET),
        lambda: repository.unlock(SECRET, dossier=OTHER_DOSSIER),
        lambda: dossier.unlock(OTHER_SECRET),
        lambda: dossier.restore(scene.snapshots[0], to=target, secret=OTHER_SECRET),
        lambda: repository.create_dossier(DOSSIER, secret=SECRET),
        lambda: repository.create_dossier("new", secret="short"),
        lambda: dossier.restore("no such snapshot", to=target, secret=SECRET),
        lambda: dossier.snapshot(target / "missing"),
    ]


def test_no_error_log_or_warning_shows_a_secret(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with snapstore.open(scene.repository, state_dir=scene.state) as repository:
            for number, call in enumerate(failing_calls(scene, repository, tmp_path)):
                with pytest.raises(snapstore.SnapstoreError) as caught:
                    call()
                said.append(f"{number}: " + "".join(traceback.format_exception(caught.value)) + repr(caught.value))
    said += [str(warning.message) for warning in warned]
    captured = capfd.readouterr()
    said += [caplog.text, captured.out, captured.err]
    for text in said:
        for secret in (SECRET, OTHER_SECRET, WRONG_SECRET):
            assert secret not in text


def test_no_repr_shows_a_secret_or_a_key(scene: Scene, tmp_path: Path) -> None:
    keys = all_keys(scene)
    with snapstore.open(scene.repository, state_dir=scene.state) as repository:
        dossier = repository.unlock(SECRET, dossier=DOSSIER)
        reachable = [repository, dossier, *objects_below(repository), *objects_below(dossier)]
        shown = [repr(thing) + str(thing) for thing in reachable]
    assert len(shown) > 5
    for text in shown:
        assert SECRET not in text
        for key in keys:
            assert repr(key)[2:-1] not in text
            assert key.hex() not in text


def objects_below(thing: object, depth: int = 4) -> Iterator[object]:
    """Yield what of the package's own objects hangs on `thing`'s attributes."""
    names = [*getattr(thing, "__dict__", {}), *getattr(type(thing), "__slots__", ())]
    for name in names if depth else ():
        value = getattr(thing, name, None)
        if type(value).__module__.startswith("snapstore"):
            yield value
            yield from objects_below(value, depth - 1)


# --- what the wrong keys open --------------------------------------------------------------------------------------


def test_one_secret_opens_nothing_of_another_dossier(scene: Scene, tmp_path: Path) -> None:
    with snapstore.open(scene.repository, state_dir=tmp_path / "new PC") as repository:
        other = repository.unlock(OTHER_SECRET)
        assert other.name == OTHER_DOSSIER
        with pytest.raises((snapstore.NotEnrolledError, snapstore.DossierNotFoundError)):
            repository.dossier(DOSSIER)
        assert {info.name for info in repository.dossiers()} == {OTHER_DOSSIER, None}
        assert [snapshot.id for snapshot in other.list()] == [scene.other_snapshot.id]
        for snapshot in scene.snapshots:
            with pytest.raises(snapstore.SnapstoreError):
                other.restore(snapshot, to=tmp_path / "target")
            with pytest.raises(snapstore.SnapshotNotFoundError):
                other.find(snapshot.name)
        assert not (tmp_path / "target").exists() or not any((tmp_path / "target").iterdir())


@pytest.fixture
def derivations(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The real Argon2id, with every use of it noted."""
    real, noted = kdf.Argon2id, []

    class Counted:
        def __init__(self, **parameters: object) -> None:
            self.real = real(**parameters)
            self.salt = parameters["salt"]

        def derive(self, secret: bytes) -> bytes:
            noted.append(self.salt)
            return self.real.derive(secret)

    monkeypatch.setattr(kdf, "Argon2id", Counted)
    return noted


def test_a_wrong_secret_costs_one_derivation(scene: Scene, tmp_path: Path, derivations: list[bytes]) -> None:
    with snapstore.open(scene.repository, state_dir=tmp_path / "new PC") as repository:
        with pytest.raises(snapstore.WrongSecretError):
            repository.unlock(WRONG_SECRET)
        assert len(derivations) == 1, "there are three dossiers, and one salt for all of them"
        repository.unlock(OTHER_SECRET)
        assert len(derivations) == 2


def test_a_station_without_secrets_derives_nothing(scene: Scene, derivations: list[bytes]) -> None:
    with snapstore.open(scene.repository, state_dir=scene.state) as repository:
        assert len(repository.dossier(DOSSIER).list()) == 2
    assert derivations == []


def test_a_station_opens_its_newest_tree_and_no_older_one(scene: Scene, tmp_path: Path) -> None:
    with snapstore.open(scene.repository, state_dir=scene.state) as repository:
        dossier = repository.dossier(DOSSIER)
        assert FOLDER_NAME in {entry.path for entry in dossier.entries(scene.snapshots[1])}
        with pytest.raises(snapstore.SecretRequiredError):
            list(dossier.entries(scene.snapshots[0]))
        with pytest.raises(snapstore.SecretRequiredError):
            dossier.restore(scene.snapshots[0], to=tmp_path / "target")
        with pytest.raises(snapstore.SecretRequiredError):
            dossier.open_file(scene.snapshots[0], f"{FOLDER_NAME}/small")


def test_another_station_opens_no_tree_that_it_did_not_write(scene: Scene, tmp_path: Path) -> None:
    with snapstore.open(scene.repository, state_dir=tmp_path / "new PC") as repository:
        repository.unlock(SECRET)
    with snapstore.open(scene.repository, state_dir=tmp_path / "new PC") as repository:
        dossier = repository.dossier(DOSSIER)
        for snapshot in scene.snapshots:
            with pytest.raises(snapstore.SecretRequiredError):
                list(dossier.entries(snapshot))


def test_the_state_folder_holds_no_hash_that_opens_an_older_tree(tmp_path: Path) -> None:
    from snapstore.station import StateFolder

    source, state = tmp_path / "source", tmp_path / "state"
    write_source(source)
    roots = []
    with snapstore.init(tmp_path / "repository", state_dir=state, kdf_seconds=0) as repository:
        dossier = repository.create_dossier(DOSSIER, secret=SECRET)
        for content in ("one", "two"):
            (source / "changing").write_text(content, encoding="utf-8")
            dossier.snapshot(source)
            cache = StateFolder(state).medium(repository.id, repository.medium_id, dossier.id)
            last = cache.last()
            assert last is not None
            roots.append(last.root)
    kept = b"".join(data for _, data in stored_bytes(state))
    assert roots[1] in kept
    assert roots[0] not in kept
