"""Reading packs a part at a time, and what the station remembers of it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import snapstore
from snapstore.operations.check import data
from snapstore.station import VerifiedPacks, verified_packs

Report = snapstore.CheckReport
Check = Callable[..., Report]
PLAIN = snapstore.CheckOptions()


@pytest.fixture
def many(lab: Any) -> Any:
    """A lab whose medium holds some twenty packs of data."""
    generator = random.Random(3)
    dossier = lab.dossier()
    for number in range(20):
        lab.write(f"file {number}", generator.randbytes(70_000 + 1000 * number))
        dossier.snapshot(lab.source)
    return lab


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pack is read a second after the one before, so that their order is known."""
    seconds = iter(range(1_800_000_000, 1_900_000_000))
    monkeypatch.setattr(data.time, "time", lambda: float(next(seconds)))


def memory_of(lab: Any) -> VerifiedPacks:
    with lab.open() as repository:
        state = lab.state()
        return verified_packs(state.path, repository.id, repository.medium_id)


def test_a_part_each_time_covers_all_in_a_while(many: Any, check: Check, ticking: None) -> None:
    options = snapstore.CheckOptions(read_data=True, share=0.1)
    first = check(many, options=options)
    assert 0 < first.verified_bytes < first.stored_bytes
    assert first.oldest_verified is None
    covered = [check(many, options=options).verified_bytes for _ in range(9)]
    assert covered == sorted(covered)
    assert covered[-1] == first.stored_bytes
    report = check(many, options=PLAIN)
    assert report.verified_bytes == report.stored_bytes
    assert report.oldest_verified is not None
    before = memory_of(many).read()
    check(many, options=options)
    after = memory_of(many).read()
    read_again = {name for name, when in after.items() if when != before[name]}
    oldest = min(before, key=lambda name: before[name])
    assert oldest in read_again


def test_limits_of_bytes_and_time_end_it_with_at_least_one_pack(many: Any, check: Check, ticking: None) -> None:
    least = check(many, options=PLAIN).read_bytes  # the trees
    by_bytes = check(many, options=snapstore.CheckOptions(read_data=True, max_bytes=150_000)).read_bytes
    assert least < by_bytes < least + 150_000 + 120_000
    one = check(many, options=snapstore.CheckOptions(read_data=True, max_seconds=0.0)).read_bytes
    assert least < one < least + 120_000
    both = check(many, options=snapstore.CheckOptions(read_data=True, share=1.0, max_bytes=1)).read_bytes
    assert least < both < least + 120_000
    assert check(many, options=snapstore.CheckOptions(read_data=True, share=1.0)).read_bytes > by_bytes


def test_a_new_pack_is_read_first(many: Any, check: Check, ticking: None) -> None:
    check(many)
    before = memory_of(many).read()
    many.write("one more", random.Random(9).randbytes(75_000))
    many.dossier().snapshot(many.source)
    check(many, options=snapstore.CheckOptions(read_data=True, max_bytes=1))
    after = memory_of(many).read()
    assert after.keys() >= before.keys()
    assert after.keys() == {name.rpartition("/")[2] for name in many.names("packs")}


def test_what_was_damaged_is_read_again_each_time(many: Any, check: Check, replaced: Callable[..., None]) -> None:
    name = max(many.store.list("packs"), key=lambda item: item.size).name
    whole = many.store.get(name)
    replaced(many.store, name, whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    assert check(many, options=PLAIN).whole  # nobody looked
    assert not check(many).whole
    report = check(many, options=PLAIN)
    assert not report.whole
    assert report.verified_bytes == report.stored_bytes - len(whole)
    replaced(many.store, name, whole)
    assert check(many, options=PLAIN).whole
    assert check(many, options=PLAIN).verified_bytes == report.stored_bytes


def test_packs_that_are_gone_are_not_remembered(many: Any, check: Check) -> None:
    check(many)
    dossier = many.dossier()
    many.write("file 3", b"")
    dossier.snapshot(many.source)
    dossier.forget(snapshots=[item.name for item in dossier.list()[1:]])
    dossier.repository.prune()
    assert check(many, options=PLAIN).whole
    assert memory_of(many).read().keys() <= {name.rpartition("/")[2] for name in many.names("packs")}


def test_a_damaged_memory_is_none(many: Any, check: Check) -> None:
    check(many)
    memory = memory_of(many)
    kept = memory._path.read_bytes()
    assert len(memory.read()) == len(many.names("packs"))
    for place in (0, 5, 30, len(kept) // 2, len(kept) - 1):
        memory._path.write_bytes(kept[:place] + bytes([kept[place] ^ 1]) + kept[place + 1 :])
        assert memory.read() == {}
    for size in (0, 1, 30, len(kept) - 1):
        memory._path.write_bytes(kept[:size])
        assert memory.read() == {}
    assert check(many, options=PLAIN).oldest_verified is None
    memory._path.unlink()
    assert memory.read() == {}


def test_the_date_and_result_are_kept_once(many: Any, check: Check, replaced: Callable[..., None]) -> None:
    dossier = many.dossier()
    assert dossier.review().last_check is None
    records = len(many.names("records"))
    check(many, record=True)
    check(many, record=True)
    assert len(many.names("records")) == records + 1
    result = dossier.review().last_check
    assert result is not None
    assert (result.whole, result.station) == (True, "one")
    assert result.amount == sum(item.size for item in many.store.list("packs"))
    assert abs((datetime.now(UTC) - result.time).total_seconds()) < 3600 * 24 * 365 * 10
    name = many.names("packs")[0]
    replaced(many.store, name, many.store.get(name)[:-1])
    check(many, record=True)
    result = dossier.review().last_check
    assert result is not None
    assert not result.whole
    check(many, record=False)
    assert dossier.review().last_check == result


def test_a_revoked_station_checks_and_signs_nothing(many: Any, check: Check) -> None:
    many.unlocked("two")
    many.unlocked("one").revoke_station("two")
    records = many.names("records")
    report = check(many, station="two", record=True, content=False)
    assert report.whole
    assert report.problems == ()
    assert many.names("records") == records


def test_a_cancelled_check_ends(many: Any) -> None:
    class Now:
        def is_set(self) -> bool:
            return True

    with many.open() as repository, pytest.raises(snapstore.OperationCancelledError):
        repository.check(snapstore.CheckOptions(read_data=True), cancel=Now())


def test_what_was_read_before_a_cancel_is_remembered(many: Any) -> None:
    class Later:
        def __init__(self, left: int) -> None:
            self.left = left

        def is_set(self) -> bool:
            self.left -= 1
            return self.left < 0

    patient = Later(1_000_000)
    with many.open() as repository:
        repository.check(snapstore.CheckOptions(read_data=True), cancel=patient, record=False)
        memory_of(many)._path.unlink()
        looks = 1_000_000 - patient.left
        with pytest.raises(snapstore.OperationCancelledError):
            repository.check(snapstore.CheckOptions(read_data=True), cancel=Later(looks - 6), record=False)
    assert 0 < len(memory_of(many).read()) < len(many.names("packs"))


@pytest.mark.parametrize(
    "wrong", [{"share": 0.0}, {"share": 1.5}, {"share": -0.1}, {"max_bytes": -1}, {"max_seconds": -1.0}]
)
def test_impossible_amounts_are_refused(lab: Any, check: Check, wrong: dict[str, float]) -> None:
    with pytest.raises(snapstore.InputError):
        check(lab, options=snapstore.CheckOptions(read_data=True, **wrong))  # type: ignore[arg-type]


def test_a_copy_of_a_medium_has_no_memory(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "file").write_bytes(random.Random(1).randbytes(90_000))
    state = tmp_path / "state"
    with snapstore.init(tmp_path / "one", state_dir=state, kdf_seconds=0) as repository:
        repository.create_dossier("books", secret="opal and onyx").snapshot(tmp_path / "files")
        assert repository.check(snapstore.CheckOptions(read_data=True)).oldest_verified is not None
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    with snapstore.open(tmp_path / "other", state_dir=state) as repository:
        report = repository.check(record=False)
        assert report.verified_bytes < report.stored_bytes  # only the trees were read
    with snapstore.open(tmp_path / "one", state_dir=state) as repository:
        report = repository.check(record=False)
        assert report.verified_bytes == report.stored_bytes
