"""What a dead process left without its end, or half removed, is cleared away by whoever goes on, and by nobody else."""

from __future__ import annotations

from typing import Any

import pytest

import snapstore
from snapstore.operations.opening import init_repository, open_repository
from snapstore.station import StateFolder
from snapstore.stores.memory import MemoryStore
from snapstore.testing import StoreWrapper


class Tears(StoreWrapper):
    """The first put of a name that begins so stores half of it, and ends as a cut connection does."""

    def __init__(self, inner: Any, start: str) -> None:
        super().__init__(inner)
        self._start = start
        self.torn: str | None = None

    def put(self, name: str, data: Any, *, size: int | None = None) -> None:
        if self.torn is None and name.startswith(self._start):
            self.torn = name
            self.inner.put(name, data[: len(data) // 2])
            raise snapstore.StoreUnavailableError("the stick was pulled out")
        self.inner.put(name, data)


@pytest.mark.parametrize("folder", ["snapshots", "ok"])
def test_a_manifest_without_its_end_goes_with_the_next_snapshot(lab: Any, folder: str) -> None:
    lab.write("file", b"content")
    store = Tears(lab.store, f"{folder}/")
    with pytest.raises(snapstore.StoreUnavailableError):
        lab.dossier(store=store).snapshot(lab.source)
    assert store.torn in lab.names(folder)
    other = lab.unlocked("two")
    other.snapshot(lab.source)
    assert store.torn in lab.names(folder)  # it is not that station's
    lab.dossier().snapshot(lab.source)
    assert store.torn not in lab.names(folder)
    review = lab.dossier().review()
    assert (review.problems, review.missing) == ((), ())
    assert len(review.snapshots) == 2


def test_an_init_that_tore_its_only_object_is_begun_anew(tmp_path: Any) -> None:
    inner = MemoryStore()
    store, state = Tears(inner, "config/"), StateFolder(tmp_path / "state")
    with pytest.raises(snapstore.StoreUnavailableError):
        init_repository(store, state, protected=True, share=False, kdf_seconds=0)
    made = init_repository(inner, state, protected=True, share=False, kdf_seconds=0)
    assert store.torn not in [item.name for item in inner.list("config")]
    opened = open_repository(inner, state)
    assert (opened.config.repository_id, opened.problems) == (made.config.repository_id, [])


def test_an_only_config_that_is_damaged_beside_anything_else_is_left_alone(lab: Any) -> None:
    [name] = lab.names("config")
    data = lab.store.get(name)
    lab.store.delete(name)
    lab.store.put(name, data[:-1])
    with pytest.raises(snapstore.RepositoryExistsError):
        init_repository(lab.store, lab.state("two"), protected=True, share=False, kdf_seconds=0)
    assert lab.names("config") == [name]


def test_a_removal_that_got_as_far_as_the_keys_is_brought_to_its_end(lab: Any) -> None:
    class Gone(StoreWrapper):
        def delete(self, name: str) -> None:
            self.inner.delete(name)
            if name.startswith("dossiers/"):
                raise snapstore.StoreUnavailableError("the stick was pulled out")

    lab.write("file", b"content")
    lab.dossier().snapshot(lab.source)
    with pytest.raises(snapstore.StoreUnavailableError):
        lab.open(store=Gone(lab.store)).remove_dossier("books", secret=lab.secret)
    lab.open().remove_dossier("books", secret=lab.secret)
    with pytest.raises(snapstore.DossierNotFoundError):
        lab.dossier()


def test_keys_that_somebody_else_took_away_are_no_removal(lab: Any) -> None:
    for name in lab.names("dossiers"):
        lab.store.delete(name)
    with pytest.raises(snapstore.DamagedObjectError):
        lab.open().remove_dossier("books", secret=lab.secret)
