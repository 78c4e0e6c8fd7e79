"""Ways through a repair: parity, places that cannot be read, interruptions, pruning afterwards, other dossiers."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import pytest

import snapstore
from snapstore.errors import PruneRefusedError, SnapstoreError, StoreUnavailableError
from snapstore.format.names import pack_path, unb32
from snapstore.format.pack import BlobKind
from snapstore.operations.repair.retiring import _condemn
from snapstore.stores.wrapper import StoreWrapper
from snapstore.testing import CrashAt
from snapstore.upkeep_types import CheckOptions

EVERY_FAULT = os.environ.get("SNAPSTORE_TEST_EVERY_FAULT") == "1"


class BadPlaces(StoreWrapper):
    """A store in which some places of some objects cannot be read."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.bad: set[tuple[str, int]] = set()

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        data = self.inner.get(name, offset=offset, size=size)
        if any(path == name and offset <= place < offset + len(data) for path, place in self.bad):
            raise StoreUnavailableError("Input/output error")
        return data


def test_parity_alone_heals(lab: Any, harm: Any) -> None:
    _, facts = harm.filled(lab)
    lab.open().add_parity()
    hit = lab.names("packs")
    for name in hit:
        harm.flip(lab.store, name)
    plan, report = harm.repaired(lab.open())
    assert {(step.code, step.object_name) for step in plan.steps} == {("heal_pack", name) for name in hit}
    assert (report.failed, report.hurt) == ((), ())
    lab.open().add_parity()
    harm.assert_whole(lab, facts)


def test_small_packs_that_are_gone_come_back_from_their_sidecars(lab: Any, harm: Any) -> None:
    for number in range(5):
        lab.write(f"note {number}", b"%d" % number * 900)
    lab.dossier().snapshot(lab.source)
    lab.open().add_parity()
    for name in lab.names("packs"):
        lab.store.delete(name)
    plan, report = harm.repaired(lab.open())
    assert [(step.code, step.object_name) for step in plan.steps] == [("heal_blob", "")]
    assert (plan.hurt, report.failed, report.hurt) == ((), (), ())
    lab.open().add_parity()
    harm.assert_whole(lab, lab.facts())


def test_a_place_that_cannot_be_read_costs_what_lies_there(lab: Any, harm: Any) -> None:
    _, facts = harm.filled(lab)
    twin = lab.open(store=harm.twin_of(lab))
    store = BadPlaces(lab.store)
    store.bad = {(item.name, item.size // 3) for item in lab.store.list("packs")}
    [*names] = lab.names("index")
    store.bad.add((names[0], 100))
    plan, report = harm.repaired(lab.open(store=store), twin=twin)
    assert {step.code for step in plan.steps} == {"rebuild_index", "heal_blob"}
    assert (report.failed, report.hurt) == ((), ())
    assert not {name for name, _ in store.bad} & set(lab.names(""))
    harm.assert_whole(lab, facts)


def test_a_store_that_fails_is_no_damage(lab: Any, harm: Any) -> None:
    harm.filled(lab)
    count = len(lab.names(""))
    with pytest.raises(StoreUnavailableError):
        lab.open(store=CrashAt(lab.store, 30)).plan_repair()
    assert len(lab.names("")) == count


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_crash_at_every_step_leaves_what_the_next_repair_ends(lab: Any, harm: Any, *, after_effect: bool) -> None:
    dossier, facts = harm.filled(lab)
    twin_store = harm.twin_of(lab)
    harm.spoil_packs(lab, dossier, kind=BlobKind.DATA, share=0.1)
    harm.flip(lab.store, lab.names("index")[0])
    harm.flip(lab.store, lab.names("snapshots")[0])
    harm.flip(lab.store, lab.names("ok")[1])
    k, ended = 0, False
    while not ended:
        k += 7 if k > 4 and not EVERY_FAULT else 1
        fork = lab.fork(f"crash {k} {after_effect}")
        twin = fork.open(store=twin_store)
        plan = fork.open().plan_repair(twin=twin)
        try:
            repository = fork.open(store=CrashAt(fork.store, k, after_effect=after_effect))
            repository.repair(plan, twin=twin)
            ended = True
        except SnapstoreError:
            pass
        fork.assert_restores(fork.unlocked("third"), facts, "latest") if ended else None
        _, report = harm.repaired(fork.open(), twin=twin)
        assert (report.failed, report.hurt) == ((), ())
        assert fork.names("condemn") == []
        final = fork.open().plan_repair()
        assert (final.steps, final.unhealable, final.hurt) == ((), (), ())
        if ended or k % 3 == 0:
            harm.assert_whole(fork, facts)
    assert k > 30


def test_after_a_repair_a_prune_leaves_what_a_fresh_repository_has(lab: Any, harm: Any) -> None:
    dossier, facts = harm.filled(lab)
    twin = lab.open(store=harm.twin_of(lab))
    harm.spoil_packs(lab, dossier, kind=BlobKind.DATA)
    harm.repaired(lab.open(), twin=twin)
    report = lab.open().prune(options=snapstore.PruneOptions(max_unused=0))
    assert report.problems == ()
    harm.assert_whole(lab, facts)


def test_what_was_set_aside_does_not_stop_a_snapshot_or_a_prune(lab: Any, harm: Any) -> None:
    dossier, _ = harm.filled(lab)
    hit = harm.spoil_packs(lab, dossier, kind=BlobKind.DATA, share=0.1)
    harm.repaired(lab.open())
    lab.dossier().snapshot(lab.source)
    first = [item for item in lab.dossier().list() if item.id in {one.id for one in dossier.list()[1:]}]
    lab.dossier().forget(snapshots=first)
    plan, report = harm.repaired(lab.open())
    assert (plan.hurt, report.failed) == ((), ())  # the same content under the same ids healed the older ones too
    assert not {pack_path(name) for name in hit} & set(lab.names("packs"))
    lab.open().prune(options=snapstore.PruneOptions(max_unused=0))
    harm.assert_whole(lab, lab.facts())


def test_dossiers_that_the_station_is_not_enrolled_in_are_healed_too(lab: Any, harm: Any) -> None:
    if lab.secret is None:
        pytest.skip("whoever opens an unprotected repository is enrolled in all of it")
    dossier, facts = harm.filled(lab)
    lab.open().create_dossier("second", secret="another secret here")
    twin_store = harm.twin_of(lab)
    other = lab.open("second station").unlock("another secret here")
    assert [item.name for item in other.repository.dossiers() if item.name] == ["second"]
    harm.spoil_packs(lab, dossier, kind=BlobKind.DATA)
    harm.flip(lab.store, lab.names("snapshots")[0])
    plan, report = harm.repaired(lab.open("second station"), twin=lab.open("second station", twin_store))
    assert {"heal_blob", "restore_copy"} <= {step.code for step in plan.steps}
    assert (report.failed, report.hurt) == ((), ())
    harm.assert_whole(lab, facts)


def test_a_plan_changes_nothing_and_a_repair_only_what_the_plan_names(lab: Any, harm: Any) -> None:
    dossier, _ = harm.filled(lab)
    harm.spoil_packs(lab, dossier, kind=BlobKind.DATA)
    before = {name: lab.store.get(name) for name in lab.names("")}
    plan = lab.open().plan_repair()
    assert {name: lab.store.get(name) for name in lab.names("")} == before
    harm.flip(lab.store, lab.names("index")[0])
    report = lab.open().repair(plan)
    assert "rebuild_index" not in {step.code for step in report.done}


def test_what_stays_hurt_is_said_in_a_signed_record(lab: Any, harm: Any) -> None:
    dossier, _ = harm.filled(lab)
    harm.spoil_packs(lab, dossier, kind=BlobKind.DATA, share=0.2)
    count = len(lab.names("records"))
    _, report = harm.repaired(lab.open())
    assert report.hurt
    assert len(lab.names("records")) == count + 1
    assert not lab.open().check(CheckOptions(read_data=True), record=False).whole


def test_a_prune_while_something_stays_hurt_takes_nothing_that_is_whole(lab: Any, harm: Any) -> None:
    dossier, _ = harm.filled(lab)
    twin = lab.open(store=harm.twin_of(lab))
    facts = lab.facts()
    harm.spoil_packs(lab, dossier, kind=BlobKind.DATA, share=0.1)
    _, first = harm.repaired(lab.open())
    assert first.hurt
    with contextlib.suppress(PruneRefusedError):
        lab.open().prune(options=snapstore.PruneOptions(max_unused=0))
    plan = lab.open().plan_repair()
    assert {item.snapshot_id for item in plan.hurt} == {item.snapshot_id for item in first.hurt}
    _, report = harm.repaired(lab.open(), twin=twin)
    assert (report.failed, report.hurt) == ((), ())
    lab.open().prune()
    harm.assert_whole(lab, facts)


def test_nothing_is_deleted_while_another_prune_takes_what_was_stored_again(lab: Any, harm: Any) -> None:
    dossier, facts = harm.filled(lab)
    twin = lab.open(store=harm.twin_of(lab))
    harm.spoil_packs(lab, dossier, kind=BlobKind.DATA)
    plan = lab.open().plan_repair(twin=twin)
    before = set(lab.names("packs"))

    class CondemnsWhatIsNew(StoreWrapper):
        """Another pruner, which condemns a pack that was just stored, right after the repair condemned."""

        def put(self, name: str, data: Any, *, size: int | None = None) -> None:
            self.inner.put(name, data, size=size)
            if name.startswith("condemn/"):
                new = sorted(set(lab.names("packs")) - before)
                _condemn(dossier._context.repository, [new[0].rpartition("/")[2]])

    report = lab.open(store=CondemnsWhatIsNew(lab.store)).repair(plan, twin=twin)
    assert {finding.code for finding in report.failed} == {"in_use"}
    assert before <= set(lab.names("packs"))
    assert len(lab.names("condemn")) == 1  # the other's
    harm.repaired(lab.open(), twin=twin)
    lab.open().prune()
    harm.assert_whole(lab, facts)


def test_a_dossier_without_a_keyset_is_named_and_set_aside_by_name(lab: Any, harm: Any) -> None:
    if lab.secret is None:
        pytest.skip("one way is enough")
    dossier, _ = harm.filled(lab)
    lab.open().create_dossier("second", secret="another secret here")
    second = lab.open().dossier("second")
    second.snapshot(lab.source)
    folder = next(name for name in lab.names("ok") if second.id == _dossier_of(name))
    for name in [name for name in lab.names("dossiers") if _dossier_of(name) == dossier.id]:
        lab.store.delete(name)
    plan = lab.open().plan_repair()
    assert folder.split("/")[1] not in str(plan.unhealable)
    [finding] = plan.unhealable
    assert finding.code == "keyset_missing"
    with pytest.raises(PruneRefusedError):
        lab.open().prune()
    _, report = harm.repaired(lab.open(), quarantine=[finding.object_name])
    assert report.failed == ()
    lab.open().prune()
    assert lab.open().plan_repair().unhealable == ()
    target = lab.folder / "target"
    assert lab.open().dossier("second").restore("latest", to=target, secret="another secret here").problems == ()
    assert {path.name for path in target.iterdir()} >= {"large", "later"}


def _dossier_of(name: str) -> bytes:
    return unb32(name.split("/")[1])
