"""Pruning where nothing disturbs: what goes, what stays, and how much room comes back."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import compare_trees
import pytest

import snapstore
from snapstore.operations.opening import init_repository
from snapstore.operations.prune.plan import choose, fresh_size
from snapstore.operations.prune.survey import PackUse
from snapstore.station import RepositoryKeys
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store
from snapstore.stores.read_only import ReadOnlyStore
from snapstore.testing import CrashAt, Recorder

MIB = 1024 * 1024


def stored_bytes(store: Store) -> int:
    return sum(item.size for item in store.list(""))


def test_what_nothing_needs_goes(days: Any) -> None:
    plan = days.lab.open().plan_prune(snapstore.PruneOptions(max_unused=0))
    before = stored_bytes(days.lab.store)
    report = days.prune()
    assert report.problems == ()
    assert report.deleted_packs == plan.delete_packs + plan.repack_packs > 0
    assert report.freed_bytes == before - stored_bytes(days.lab.store) > 0
    assert abs(report.freed_bytes - plan.freed_bytes) < 8192  # index objects come and go as well
    assert (report.withdrawn_packs, report.later_bytes) == (0, 0)
    days.assert_whole()
    days.assert_at_rest()
    assert days.prune().freed_bytes == 0


def test_a_plan_changes_nothing(days: Any) -> None:
    recorder = Recorder(days.lab.store)
    plan = days.lab.open(store=recorder).plan_prune()
    assert plan.packs == len(days.lab.names("packs"))
    assert plan.stored_bytes == sum(item.size for item in days.lab.store.list("packs"))
    assert 0 < plan.used_bytes < plan.stored_bytes
    assert recorder.count("put") == recorder.count("delete") == 0


def test_a_plan_is_carried_out_with_its_options(days: Any) -> None:
    repository = days.lab.open()
    plan = repository.plan_prune(snapstore.PruneOptions(max_repack_bytes=0))
    assert plan.repack_packs == 0
    report = repository.prune(plan)
    assert report.repacked_bytes == 0
    assert repository.prune(plan, options=snapstore.PruneOptions(max_unused=0)).repacked_bytes > 0


def test_the_room_of_one_snapshot(lab: Any, make_days: Callable[..., Any]) -> None:
    """After forgetting all but one snapshot the repository is within 5 % of a fresh one of that snapshot."""
    days = make_days(lab=lab)
    for day in range(6):
        days.take(str(day), seed=day, files=60, size=120_000)
    days.forget(*"01234")
    days.prune(snapstore.PruneOptions())
    days.assert_whole()
    fresh = lab.fork("fresh")
    fresh.store = MemoryStore()
    context = init_repository(fresh.store, fresh.state("new"), protected=True, share=False, kdf_seconds=0)
    snapstore.Repository(context).create_dossier("books", secret=lab.secret).snapshot(lab.source)
    assert stored_bytes(lab.store) <= 1.05 * stored_bytes(fresh.store)


def test_a_limit_on_what_is_written_anew(lab: Any, make_days: Callable[..., Any]) -> None:
    days = make_days(lab=lab)
    for day in range(5):
        days.take(str(day), seed=day, files=8, size=60_000)
    days.forget("0", "2")
    for _ in range(40):
        report = days.prune(snapstore.PruneOptions(max_unused=0, max_repack_bytes=200_000))
        assert report.repacked_bytes <= 200_000
        days.assert_whole()
        if not report.repacked_bytes:
            break
    else:
        raise AssertionError("there is no end to it")
    assert days.prune().later_bytes == 0
    days.assert_at_rest()


def epochs_alone(lab: Any, repository_id: Any) -> RepositoryKeys:
    """The repository's keys without any dossier's: what a station has that only maintains it."""
    return RepositoryKeys(epochs=lab.state().keys(repository_id).epochs, dossiers={})


def test_nothing_of_other_dossiers_is_touched(days: Any) -> None:
    """Also where the pruning station is not enrolled in them."""
    lab = days.lab
    other = lab.open("another")
    other._context.state.update_keys(other.id, lambda _: epochs_alone(lab, other.id))
    letters = other.create_dossier("letters", secret="the letters' secret")
    lab.write("letter", b"dear reader" * 9000)
    facts = lab.facts()
    letters.snapshot(lab.source)
    days.prune()
    days.assert_whole()
    days.assert_at_rest()
    target = lab.folder / "letters"
    report = other.dossier("letters").restore("latest", to=target, secret="the letters' secret")
    assert report.problems == ()
    assert compare_trees.differences(facts, compare_trees.collect(target)) == []


def test_large_files_that_dossiers_share(shared_lab: Any, make_days: Callable[..., Any]) -> None:
    days = make_days(lab=shared_lab)
    days.lab.write("photo", random.Random(1).randbytes(600_000))
    days.take("0", seed=0)
    letters = days.lab.open().create_dossier("letters", secret="the letters' secret")
    letters.snapshot(days.lab.source, label="letters")
    facts = days.lab.facts()
    (days.lab.source / "photo").unlink()
    days.take("1", seed=1)
    days.forget("0")
    days.prune()
    days.assert_whole()
    days.assert_at_rest()
    target = days.lab.folder / "letters"
    assert letters.restore("latest", to=target, secret="the letters' secret").problems == ()
    assert compare_trees.differences(facts, compare_trees.collect(target)) == []


def test_a_dossier_that_was_removed(days: Any) -> None:
    lab = days.lab
    repository = lab.open()
    before = len(lab.names("packs"))
    lab.write("letter", b"dear reader" * 9000)
    repository.create_dossier("letters", secret="the letters' secret").snapshot(lab.source)
    assert len(lab.names("packs")) > before
    repository.remove_dossier("letters", secret="the letters' secret")
    days.prune()
    days.assert_whole()
    days.assert_at_rest()


def test_snapshots_go_on_from_what_a_prune_left(days: Any) -> None:
    days.prune()
    days.lab.dossier().snapshot(days.lab.source)
    report = days.lab.dossier().snapshot(days.lab.source)
    assert report.blobs_added == 0
    days.take("4", seed=4)
    days.assert_whole()
    days.prune()
    days.assert_whole()


def test_a_read_only_store_is_refused(days: Any, prune_on: Any) -> None:
    with pytest.raises(snapstore.StorePermissionError) as caught:
        prune_on(days.lab, ReadOnlyStore(days.lab.store))
    assert caught.value.code == "read_only"


def test_a_station_without_keys_is_refused(days: Any) -> None:
    with pytest.raises(snapstore.NotEnrolledError):
        days.lab.open("a stranger").prune()


def test_a_cancel_leaves_everything_as_it_was(days: Any) -> None:
    cancel = threading.Event()
    cancel.set()
    before = {folder: days.lab.names(folder) for folder in ("packs", "index", "condemn")}
    with pytest.raises(snapstore.OperationCancelledError):
        days.lab.open().prune(cancel=cancel)
    assert {folder: days.lab.names(folder) for folder in before} == before


def test_progress_is_told(days: Any) -> None:
    phases: list[str] = []

    class Seen:
        def update(self, status: snapstore.ProgressStatus) -> None:
            phases.append(status.phase)

    days.lab.open().prune(options=snapstore.PruneOptions(max_unused=0), progress=Seen())
    assert [*dict.fromkeys(phases)] == ["scan", "verify", "copy", "confirm", "delete"]


def test_unfinished_snapshots_of_dead_runs_are_removed(days: Any) -> None:
    lab = days.lab
    lab.write("new", b"never reported" * 900)

    counted = lab.fork("counting")
    dossier = counted.dossier()
    recorder = Recorder(counted.store)
    dossier._context.repository.store = recorder
    dossier.snapshot(lab.source)
    at_ok = 1 + [(call.operation, call.name[:3]) for call in recorder.calls].index(("put", "ok/"))
    dossier = lab.dossier()
    dossier._context.repository.store = CrashAt(lab.store, at_ok)
    with pytest.raises(snapstore.StoreError):
        dossier.snapshot(lab.source)
    marks = lab.folder / "state one"
    (mark,) = list(marks.rglob("running/*.lock")) or [None]
    assert len(lab.dossier().list()) == 2
    report = days.prune()
    assert report.removed_manifests == (0 if mark is None else 1)
    days.assert_whole()
    if mark is not None:
        assert len(lab.dossier().list()) == 1
        days.assert_at_rest()


# --- the choice ------------------------------------------------------------------------------------------------------


def use(name: str, size: int, used: int, *, kind: int = 1) -> PackUse:
    blobs = max(1, (size - size // 50) // 16_384)
    return PackUse(name, size, kind, blobs, min(blobs, -(-used // 16_384)), size - size // 50, used)


def test_packs_below_the_threshold_are_left() -> None:
    uses = [use(f"{number}", 32 * MIB, 31 * MIB) for number in range(10)]
    assert choose(uses, (), snapstore.PruneOptions(max_unused=0.1)).repack == []
    choice = choose(uses, (), snapstore.PruneOptions(max_unused=0))
    assert len(choice.repack) == 10
    assert choice.later_bytes == 0


def test_the_emptiest_packs_come_first() -> None:
    uses = [use(f"{number}", 32 * MIB, number * MIB) for number in range(1, 32)]
    choice = choose(uses, (), snapstore.PruneOptions(max_repack_bytes=10 * MIB))
    assert [item.name for item in choice.repack] == ["1", "2", "3", "4"]
    assert choice.freed_bytes > 100 * MIB


def test_small_packs_are_joined_once_there_are_many() -> None:
    few = [use(f"{number:02}", 200_704, 196_608) for number in range(15)]
    options = snapstore.PruneOptions(max_unused=0.03)
    assert choose(few, (), options).repack == []
    many = [*few, use("15", 200_704, 196_608), *[use(f"t{number}", 20_480, 16_384, kind=2) for number in range(15)]]
    chosen = {item.name for item in choose(many, (), options).repack if item.kind == 1}
    assert chosen == {item.name for item in many[:16]}


def test_what_others_condemned_comes_before_all() -> None:
    uses = [use("a", 32 * MIB, 31 * MIB), use("b", 32 * MIB, 32 * MIB), use("c", 32 * MIB, 0)]
    choice = choose(uses, {"b"}, snapstore.PruneOptions())
    assert [item.name for item in choice.repack] == ["b"]
    assert [item.name for item in choice.delete] == ["c"]


def test_the_size_of_a_new_pack_is_known() -> None:
    assert fresh_size([]) == 0
    assert fresh_size([use("a", 32 * MIB, 16_384)]) == 20_480
