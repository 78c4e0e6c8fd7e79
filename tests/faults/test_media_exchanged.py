"""Sticks that are exchanged while a program holds the repository open.

The system gives the next stick the device number of the last, so nothing but what is on it tells them apart. Folders
that change places stand for them: the number of the device stays the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import snapstore

SECRET = "amber and jet"


class Desk:
    """A port ("plugged in"), and sticks that lie beside it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.port = base / "port"
        self.files = base / "files"
        self.files.mkdir()
        (self.files / "stock").write_text("one ring\n")
        with snapstore.init(self.port, state_dir=base / "state", kdf_seconds=0) as repository:
            repository.create_dossier("shop", secret=SECRET).snapshot(self.files)
            repository.copy_to(base / "twin", mode="twin")
        with snapstore.init(base / "foreign", state_dir=base / "state", kdf_seconds=0) as repository:
            repository.create_dossier("shop", secret=SECRET)
        (base / "empty").mkdir()

    def exchange(self, stick: str) -> None:
        self.port.rename(self.base / "first")
        (self.base / stick).rename(self.port)

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.port)) for path in self.port.rglob("*"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def repository(desk: Desk) -> Iterator[snapstore.Repository]:
    with snapstore.open(desk.port, state_dir=desk.base / "state") as opened:
        yield opened


def test_a_twin_is_gone_on_with(desk: Desk, repository: snapstore.Repository) -> None:
    dossier = repository.dossier("shop")
    dossier.snapshot(desk.files)  # which only the first has
    first = repository.medium_id
    desk.exchange("twin")
    assert (len(dossier.list()), dossier.review().missing) == (1, ())
    assert repository.medium_id != first
    report = dossier.snapshot(desk.files)
    assert report.problems == ()
    with snapstore.open(desk.port, state_dir=desk.base / "another computer") as opened:
        there = opened.unlock(SECRET)
        assert (len(there.list()), there.review().missing, there.review().problems) == (2, (), ())
        assert there.restore("latest", to=desk.base / "restored").clean


def test_a_twin_is_gone_on_with_by_a_snapshot_at_once(desk: Desk, repository: snapstore.Repository) -> None:
    dossier = repository.dossier("shop")
    dossier.snapshot(desk.files)
    desk.exchange("twin")
    assert dossier.snapshot(desk.files).problems == ()
    assert dossier.review().missing == ()


@pytest.mark.parametrize("stick", ["foreign", "empty"])
def test_nothing_is_written_to_another_medium(desk: Desk, repository: snapstore.Repository, stick: str) -> None:
    dossier = repository.dossier("shop")
    desk.exchange(stick)
    before = desk.names()
    for verb in (
        lambda: dossier.snapshot(desk.files),
        lambda: repository.create_dossier("letters", secret=SECRET),
        lambda: repository.remove_dossier("shop", secret=SECRET),
        lambda: repository.copy_to(desk.base / "third", mode="twin"),
        lambda: dossier.restore("latest", to=desk.base / "restored", secret=SECRET),
        dossier.review,
    ):
        with pytest.raises(snapstore.SnapstoreError):
            verb()
    for said in (dossier.list, lambda: dossier.snapshot(desk.files)):
        with pytest.raises(snapstore.StoreUnavailableError) as caught:
            said()
        assert caught.value.code == "store_vanished"
    assert desk.names() == before
