"""Room for a snapshot: refused only where nothing fits, and a notice where the sources may not."""

from __future__ import annotations

from pathlib import Path

import pytest

import snapstore
from snapstore.limits import MIB
from snapstore.operations.snapshot import estimate
from snapstore.operations.snapshot.room import LEAST_ROOM_BYTES, check_room, notice_of_room
from snapstore.stores.local import LocalStore
from snapstore.stores.memory import MemoryStore


class Listener:
    def __init__(self) -> None:
        self.notices: list[tuple[str, str]] = []

    def update(self, status: snapstore.ProgressStatus) -> None:
        self.notices = list(status.notices)


def test_what_is_said_of_the_room() -> None:
    assert notice_of_room(10 * MIB, 0, 10 * MIB) is None
    assert notice_of_room(90 * MIB, 85 * MIB, 10 * MIB) is None  # what is stored already takes none
    first = notice_of_room(20 * MIB, 0, 10 * MIB)
    assert first is not None
    assert first[0] == "space_may_not_suffice"
    assert "20 MiB to save and 10 MiB free" in first[1]
    later = notice_of_room(90 * MIB, 50 * MIB, 10 * MIB)
    assert later is not None
    assert "40 MiB more than in the last snapshot" in later[1]


def test_only_a_store_that_takes_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    check_room(store)
    check_room(MemoryStore())
    for free, refused in ((LEAST_ROOM_BYTES, False), (None, False), (LEAST_ROOM_BYTES - 1, True)):
        monkeypatch.setattr(LocalStore, "free_bytes", lambda self, free=free: free)
        if refused:
            with pytest.raises(snapstore.StoreFullError, match="Nothing was written"):
                check_room(store)
        else:
            check_room(store)


@pytest.mark.parametrize("listened", [False, True])
def test_a_notice_comes_early_and_is_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listened: bool
) -> None:
    monkeypatch.setattr(estimate, "_BEGIN_SOON_SECONDS", 0.0)
    monkeypatch.setattr(estimate, "_SCARCE_BYTES", 1 << 62)
    (tmp_path / "files").mkdir()
    for number in range(40):
        (tmp_path / "files" / f"{number}.txt").write_bytes(bytes(2 * MIB))  # which compresses to nothing
    with snapstore.init(tmp_path / "repo", protected=False, state_dir=tmp_path / "state") as repository:
        dossier = repository.create_dossier("shop")
        monkeypatch.setattr(LocalStore, "free_bytes", lambda self: 30 * MIB)
        listener = Listener()
        report = dossier.snapshot(tmp_path / "files", progress=listener if listened else None)
        assert [notice.code for notice in report.notices] == ["space_may_not_suffice"]
        assert report.clean  # a notice is no problem
        assert [code for code, _ in listener.notices] == (["space_may_not_suffice"] if listened else [])
        again = dossier.snapshot(tmp_path / "files")
        assert again.notices == ()
