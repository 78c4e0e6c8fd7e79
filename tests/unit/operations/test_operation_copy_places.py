"""Where a twin may be made, and what lies beside it on a stick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import snapstore
from snapstore.operations.copy import destination
from snapstore.operations.history import read_history
from snapstore.stores.media import Medium
from snapstore.stores.medium_store import MediumStore


@pytest.fixture
def repository(tmp_path: Path) -> Any:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "stock").write_text("one ring\n")
    with snapstore.init(tmp_path / "first", protected=False, state_dir=tmp_path / "state") as opened:
        opened.create_dossier("shop").snapshot(tmp_path / "files")
        yield opened


@pytest.mark.parametrize("place", ["new", "config", "packs", "packs/new", "link/new"])
def test_no_twin_is_made_inside_the_repository(repository: snapstore.Repository, tmp_path: Path, place: str) -> None:
    if place.startswith("link"):
        try:
            (tmp_path / "link").symlink_to(tmp_path / "first", target_is_directory=True)
        except OSError as error:
            pytest.skip(f"no links here: {error}")
        path = tmp_path / place
    else:
        path = tmp_path / "first" / place
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(snapstore.InputError, match="inside the repository") as caught:
        repository.copy_to(path, mode="twin")
    assert caught.value.code == "own_folder"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_twin_beside_the_repository_is_made(repository: snapstore.Repository, tmp_path: Path) -> None:
    assert repository.copy_to(tmp_path / "first and more", mode="twin").clean


def test_whoever_finds_a_twin_on_a_stick_is_told_what_it_is(
    repository: snapstore.Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    medium = Medium(path=stick, label="GREEN")
    monkeypatch.setattr(
        destination,
        "open_store",
        lambda url, *, create, **more: MediumStore(stick / "snapstore", medium, create=create),
    )
    assert repository.copy_to("usb:GREEN", mode="twin").created
    assert sorted(path.name for path in stick.iterdir()) == ["README.txt", "snapstore"]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_snapshot_whose_confirmation_was_lost_is_copied(
    repository: snapstore.Repository, tmp_path: Path, lost: int
) -> None:
    second = repository.dossier("shop").snapshot(tmp_path / "files").snapshot
    first = repository.dossier("shop").list()[1]
    names = {
        item.sealed.snapshot_id: item.names for item in read_history(repository.dossier("shop")._context).manifests
    }
    (name,) = (name for name in names[(first, second)[lost].id] if name.startswith("ok/"))
    (tmp_path / "first" / name).unlink()
    report = repository.copy_to(tmp_path / "twin", mode="twin")
    assert [item.id for item in report.copied] == [first.id, second.id]
    with snapstore.open(tmp_path / "twin", state_dir=tmp_path / "another computer") as twin:
        assert [item.confirmed for item in twin.dossier("shop").list()] == [True, True]
