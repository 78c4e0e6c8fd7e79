"""A store that is only looked at: reading passes, whatever would write is refused with one clear error."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

import snapstore
from snapstore import StoreOptions, StorePermissionError
from snapstore.stores.local import LocalStore
from snapstore.stores.protocol import Store
from snapstore.stores.read_only import ReadOnlyStore
from snapstore.testing import Recorder

SECRET = "opal and onyx"


def test_reading_passes_and_writing_is_refused(tmp_path: Path) -> None:
    inner = Recorder(LocalStore(tmp_path / "store", create=True))
    inner.put("packs/a/0", b"content")
    inner.calls.clear()
    store = ReadOnlyStore(inner)
    refused: list[Callable[[Store], object]] = [
        lambda store: store.put("packs/a/1", b"x"),
        lambda store: store.put("packs/a/1", io.BytesIO(b"x")),
        lambda store: store.delete("packs/a/0"),
        lambda store: store.clean_temporaries("me"),
        lambda store: store.begin(),  # type: ignore[attr-defined]
    ]
    for action in refused:
        with pytest.raises(StorePermissionError, match="reading only") as caught:
            action(store)
        assert caught.value.code == "read_only"
        assert not caught.value.retryable
    assert inner.calls == []
    assert store.get("packs/a/0", offset=3) == b"tent"
    assert [found.name for found in store.list("")] == ["packs/a/0"]
    assert store.free_bytes() == inner.free_bytes()
    assert store.url == inner.url


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    files = tmp_path / "files"
    (files / "below").mkdir(parents=True)
    (files / "below" / "stock.txt").write_bytes(b"one ring")
    with snapstore.init(tmp_path / "repository", state_dir=tmp_path / "state", kdf_seconds=0) as repository:
        repository.create_dossier("shop", secret=SECRET).snapshot(files)
    return tmp_path


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_repository_is_read_and_not_written(shop: Path) -> None:
    before = everything_below(shop / "repository")
    options = StoreOptions(read_only=True)
    with snapstore.open(shop / "repository", state_dir=shop / "state", options=options) as repository:
        dossier = repository.dossier("shop")
        assert len(dossier.list()) == 1
        assert "below/stock.txt" in [entry.path for entry in dossier.entries("latest", secret=SECRET)]
        with dossier.open_file("latest", "below/stock.txt", secret=SECRET) as file:
            assert file.read() == b"one ring"
        dossier.restore("latest", to=shop / "restored", secret=SECRET)
        with pytest.raises(StorePermissionError) as caught:
            dossier.snapshot(shop / "files")
        assert caught.value.code == "read_only"
        with pytest.raises(StorePermissionError):
            repository.create_dossier("second", secret=SECRET)
    assert (shop / "restored" / "below" / "stock.txt").read_bytes() == b"one ring"
    assert everything_below(shop / "repository") == before


def test_a_new_station_restores_what_it_cannot_write_to(shop: Path) -> None:
    options = StoreOptions(read_only=True)
    with snapstore.open(shop / "repository", state_dir=shop / "new state", options=options) as repository:
        dossier = repository.unlock(SECRET)
        dossier.restore("latest", to=shop / "restored")
    assert (shop / "restored" / "below" / "stock.txt").read_bytes() == b"one ring"
