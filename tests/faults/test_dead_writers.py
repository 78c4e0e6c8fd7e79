"""What a station that dies for good leaves behind must stop nobody else.

A writer's packs are pruned in the last moment before its manifest is put: the pruner saw no manifest, and so was right.
A writer that lives looks again and stores them once more. This one dies between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from remembered_keys import RememberedArgon2id

import snapstore
from snapstore.crypto import kdf
from snapstore.operations.opening import init_repository, open_repository
from snapstore.station import StateFolder
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store
from snapstore.testing import CrashAt, StoreWrapper

SECRET = "a secret for the dead"
THOROUGHLY = snapstore.PruneOptions(max_unused=0.0)


class PruneThenDie(StoreWrapper):
    """Has somebody prune before the manifest is put, and dies of having put it."""

    def __init__(self, inner: Store, prune: Callable[[], object]) -> None:
        super().__init__(inner)
        self._prune = prune

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        if not name.startswith("snapshots/"):
            return super().put(name, data, size=size)
        self._prune()
        super().put(name, data, size=size)
        self.inner = CrashAt(self.inner, 1)
        raise snapstore.StoreUnavailableError("It is gone. Try again.")


@pytest.fixture
def left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> snapstore.Repository:
    """The repository as another station sees it."""
    monkeypatch.setattr(kdf, "Argon2id", RememberedArgon2id)
    source, store = tmp_path / "source", MemoryStore()
    source.mkdir()
    state = {name: StateFolder(tmp_path / name, station_name=name) for name in ("one", "two")}
    one = snapstore.Repository(init_repository(store, state["one"], protected=True, share=False, kdf_seconds=0))
    (source / "early").write_bytes(bytes(range(256)) * 40)
    one.create_dossier("books", secret=SECRET).snapshot(source)
    snapstore.Repository(open_repository(store, state["two"])).unlock(SECRET)
    (source / "late").write_bytes(bytes(range(256)) * 3000)
    dying = PruneThenDie(store, lambda: one.prune(options=THOROUGHLY))
    with pytest.raises(snapstore.StoreError):
        snapstore.Repository(open_repository(dying, state["two"])).dossier("books").snapshot(source)
    return snapstore.Repository(open_repository(store, state["one"]))


def test_nothing_that_was_reported_is_hurt(left_behind: snapstore.Repository) -> None:
    assert [found.confirmed for found in left_behind.dossier("books").list()] == [False, True]
    report = left_behind.check(snapstore.CheckOptions(read_data=True), secret=SECRET)
    assert report.whole
    assert report.hurt == ()


@pytest.mark.xfail(
    raises=snapstore.PruneRefusedError,
    reason="a prune follows unconfirmed manifests as strictly as confirmed ones, and so stops at this one for good",
)
def test_others_can_prune(left_behind: snapstore.Repository) -> None:
    left_behind.prune(options=THOROUGHLY)
    assert [found.confirmed for found in left_behind.dossier("books").list()][-1]
