"""What a restore must never delete or touch, whatever it was told; and secrets typed in several threads at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import snapstore
from snapstore import InputError, Overwrite, RestoreOptions, SnapshotOptions, SourceEmptyError
from snapstore.format.names import pack_path
from snapstore.operations.context import DossierContext
from snapstore.targets.names import temporary_name

ContextOf = Callable[[snapstore.Dossier], DossierContext]
SECRET = "correct horse"
DELETE = RestoreOptions(overwrite=Overwrite.IF_CHANGED, delete=True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A source that holds the repository and the station's state."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "file").write_bytes(b"content")
    return home


@pytest.fixture
def dossier(home: Path) -> snapstore.Dossier:
    (home / "deep").mkdir()
    repository = snapstore.init(home / "deep" / "backup", state_dir=home / "state", kdf_seconds=0)
    return repository.create_dossier("books", secret=SECRET)


def test_deleting_spares_the_repository_and_the_state(home: Path, dossier: snapstore.Dossier) -> None:
    dossier.snapshot(home)
    (home / "surplus").write_bytes(b"x")
    (home / "more").mkdir()
    report = dossier.restore("latest", to=home, secret=SECRET, options=DELETE)
    assert report.deleted == 2
    assert not (home / "surplus").exists()
    assert (home / "state" / "station").exists()
    assert len(dossier.list()) == 1


def test_a_surplus_folder_that_holds_the_repository_is_kept(home: Path, dossier: snapstore.Dossier) -> None:
    source = home.parent / "elsewhere"
    source.mkdir()
    (source / "file").write_bytes(b"other")
    dossier.snapshot(source)
    report = dossier.restore("latest", to=home, secret=SECRET, options=DELETE)
    assert (report.deleted, (home / "file").read_bytes()) == (0, b"other")
    assert len(dossier.list()) == 1


def test_own_folders_are_neither_source_nor_target(home: Path, dossier: snapstore.Dossier) -> None:
    dossier.snapshot(home)
    for own in (home / "state", home / "deep" / "backup", home / "deep" / "backup" / "packs"):
        with pytest.raises(InputError) as caught:
            dossier.snapshot(own)
        assert caught.value.code == "own_folder"
        with pytest.raises(InputError):
            dossier.restore("latest", to=own, secret=SECRET)


def test_excluded_things_below_a_surplus_folder_are_kept(lab: Any) -> None:
    lab.write("file", b"x")
    lab.dossier().snapshot(lab.source)
    target = lab.folder / "target"
    (target / "sub" / "deeper").mkdir(parents=True)
    (target / "sub" / "deeper" / "keep.tmp").write_bytes(b"mine")
    (target / "gone").mkdir()
    options = RestoreOptions(overwrite=Overwrite.ALWAYS, delete=True, exclude=("*.tmp",))
    lab.dossier().restore("latest", to=target, secret=lab.secret, options=options)
    assert (target / "sub" / "deeper" / "keep.tmp").read_bytes() == b"mine"
    assert not (target / "gone").exists()


def test_what_a_damaged_folder_does_not_list_is_not_deleted(lab: Any, context: ContextOf) -> None:
    for number in range(3000):
        lab.write(f"folder/{number:05}", b"%d" % number)
    lab.dossier().snapshot(lab.source)
    target = lab.folder / "target"
    lab.dossier().restore("latest", to=target, secret=lab.secret)
    index = context(lab.dossier()).repository.index(refresh=True).index
    leaf, pack = max((blob.raw_size, pack) for pack, _, _ in index.packs() for blob in index.entries(pack))
    [blob] = [blob for blob in index.entries(pack) if blob.raw_size == leaf][:1]
    data = bytearray(lab.store.get(pack_path(pack)))
    data[blob.offset + blob.stored_size // 2] ^= 1
    lab.store.delete(pack_path(pack))
    lab.store.put(pack_path(pack), bytes(data))
    report = lab.unlocked("reader").restore("latest", to=target, options=DELETE)
    assert report.problems
    assert report.deleted == 0
    assert len(list((target / "folder").iterdir())) == 3000


@pytest.mark.skipif(not hasattr(os, "link"), reason="no hard links here")
def test_a_hard_link_out_of_the_target_is_cut_not_followed(lab: Any) -> None:
    lab.write("file", b"content")
    (lab.source / "file").chmod(0o644)
    lab.dossier().snapshot(lab.source)
    target = lab.folder / "target"
    lab.dossier().restore("latest", to=target, secret=lab.secret)
    outside = lab.folder / "outside"
    os.rename(target / "file", outside)
    os.link(outside, target / "file")
    outside.chmod(0o600)
    options = RestoreOptions(overwrite=Overwrite.IF_CHANGED)
    lab.dossier().restore("latest", to=target, secret=lab.secret, options=options)
    assert outside.stat().st_mode & 0o777 == 0o600
    assert (target / "file").stat().st_mode & 0o777 == 0o644
    assert outside.stat().st_nlink == 1


def test_a_restore_killed_while_it_began_is_begun_again(lab: Any) -> None:
    lab.write("file", b"x")
    lab.dossier().snapshot(lab.source)
    target = lab.folder / "target"
    target.mkdir()
    (target / os.fsdecode(temporary_name())).write_bytes(b"half")
    lab.dossier().restore("latest", to=target, secret=lab.secret)
    assert os.listdir(target) == ["file"]


def test_force_does_not_forget_what_sources_held(lab: Any) -> None:
    one, two = lab.folder / "one", lab.folder / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "file").write_bytes(b"x")
    dossier = lab.dossier()
    dossier.snapshot(one)
    dossier.snapshot(two)
    dossier.snapshot(one, options=SnapshotOptions(force_read=True))
    (two / "file").unlink()
    with pytest.raises(SourceEmptyError):
        dossier.snapshot(two)


def test_secrets_in_several_threads(lab: Any) -> None:
    """OpenSSL's lanes of two derivations at once would wait for each other for ever."""
    lab.write("file", b"x")
    lab.dossier().snapshot(lab.source)
    opened: list[str] = []

    def open_it(number: int) -> None:
        with snapstore.open(lab.folder / "repository", state_dir=lab.folder / f"pc{number}") as repository:
            opened.append(repository.unlock(SECRET).name)

    with snapstore.init(lab.folder / "repository", state_dir=lab.folder / "first", kdf_seconds=0) as repository:
        repository.create_dossier("books", secret=SECRET)
    threads = [threading.Thread(target=open_it, args=(number,), daemon=True) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert opened == ["books"] * 3
