"""Each cause of damage from end to end: damage, a plan that names it, repair, whole again, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest

from snapstore.errors import InputError, PruneRefusedError
from snapstore.format.names import pack_path
from snapstore.format.pack import BlobKind
from snapstore.upkeep_types import CheckOptions


def test_nothing_to_repair(lab: Any, harm: Any) -> None:
    _, facts = harm.filled(lab)
    before = lab.names("")
    harm.assert_whole(lab, facts)
    assert [name for name in lab.names("") if not name.startswith("dossiers")] == [
        name for name in before if not name.startswith("dossiers")
    ]


@pytest.mark.parametrize("way", ["flip", "truncate", "delete"])
def test_an_index_is_made_again(lab: Any, harm: Any, way: str) -> None:
    dossier, facts = harm.filled(lab)
    names = lab.names("index")
    for name in names:
        if way == "delete":
            lab.store.delete(name)
        elif way == "flip":
            harm.flip(lab.store, name)
        else:
            harm.replace(lab.store, name, lab.store.get(name)[:-5])
    plan, report = harm.repaired(dossier.repository)
    if way != "delete":  # few packs without an index cost little
        assert {(step.code, step.object_name) for step in plan.steps} == {("rebuild_index", name) for name in names}
        assert report.done == plan.steps
        assert not set(names) & set(lab.names("index"))
        assert lab.names("index")
    harm.assert_whole(lab, facts)


def test_an_index_that_says_something_else_than_the_packs_is_made_again(lab: Any, harm: Any) -> None:
    from snapstore.format.index import decode_index, encode_index

    dossier, facts = harm.filled(lab)
    context = dossier._context.repository
    [first, *_] = lab.names("index")
    packs = decode_index(context.newest_maintenance(), context.config.repository_id, lab.store.get(first))
    wrong = [
        type(pack)(name=pack.name, pack_size=pack.pack_size, entries_bytes=harm.flipped(pack.entries_bytes, 60))
        for pack in packs
    ]
    data = encode_index(context.newest_maintenance(), context.config.repository_id, wrong)
    from snapstore.blobs.naming import put_named

    lab.store.delete(first)
    name = put_named(lab.store, lambda new: f"index/{new}", data)
    plan, report = harm.repaired(lab.open())
    assert ("rebuild_index", name) in {(step.code, step.object_name) for step in plan.steps}
    assert report.failed == ()
    harm.assert_whole(lab, facts)


@pytest.mark.parametrize("folder", ["snapshots", "ok"])
@pytest.mark.parametrize("way", ["flip", "empty", "delete"])
def test_a_manifest_comes_back_from_its_copy(lab: Any, harm: Any, folder: str, way: str) -> None:
    dossier, facts = harm.filled(lab)
    count = len(lab.names("snapshots"))
    for name in lab.names(folder):
        if way == "delete":
            lab.store.delete(name)
        elif way == "flip":
            harm.flip(lab.store, name)
        else:
            harm.replace(lab.store, name, b"")
    if (folder, way) == ("ok", "delete"):
        dossier.repository.close()
    plan, report = harm.repaired(lab.open())
    assert {step.code for step in plan.steps} == {"restore_copy"}
    assert report.failed == ()
    assert len(lab.names("snapshots")) == len(lab.names("ok")) == count
    assert all(item.confirmed for item in lab.dossier().list())
    harm.assert_whole(lab, facts)


def test_a_forgotten_manifest_does_not_come_back(lab: Any, harm: Any) -> None:
    dossier, _ = harm.filled(lab)
    first = dossier.list()[-1]
    kept = {name: lab.store.get(name) for folder in ("snapshots", "ok") for name in lab.names(folder)}
    dossier.forget(snapshots=[first])
    gone = [name for name in kept if name.startswith("ok/") and name not in lab.names("ok")]
    for name in gone:
        lab.store.put(name, kept[name])  # as if the forget had been interrupted
    plan, _ = harm.repaired(lab.open())
    assert [step for step in plan.steps if step.code == "restore_copy"] == []
    assert [item.id for item in lab.dossier().list()] == [item.id for item in dossier.list()]


def test_config_and_keyset_come_back_from_a_second_copy(lab: Any, harm: Any) -> None:
    from snapstore.blobs.naming import put_named

    _, facts = harm.filled(lab)
    twin = lab.open(store=harm.twin_of(lab))
    for name in [*lab.names("config"), *lab.names("dossiers")]:
        data = lab.store.get(name)
        folder = name.rpartition("/")[0]
        if folder == "config":
            put_named(lab.store, lambda new, folder=folder: f"{folder}/{new}", data)
        harm.flip(lab.store, name)
    plan, report = harm.repaired(lab.open(), twin=twin)
    assert {step.object_name.split("/")[0] for step in plan.steps} >= {"config", "dossiers"}
    assert report.failed == ()
    harm.assert_whole(lab, facts)


def test_session_notes_that_are_damaged_go(lab: Any, harm: Any) -> None:
    from snapstore.operations.snapshot.publish import put_session_note

    dossier, facts = harm.filled(lab)
    name = put_session_note(dossier._context)
    harm.flip(lab.store, name)
    plan, _ = harm.repaired(lab.open())
    assert [(step.code, step.object_name) for step in plan.steps] == [("remove_damaged", name)]
    assert lab.names("sessions") == []
    harm.assert_whole(lab, facts)


# --- packs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(BlobKind))
def test_damaged_blobs_are_healed_from_a_twin(lab: Any, harm: Any, kind: BlobKind) -> None:
    dossier, facts = harm.filled(lab)
    twin = lab.open(store=harm.twin_of(lab))
    hit = harm.spoil_packs(lab, dossier, kind=kind)
    assert not lab.open().check(CheckOptions(read_data=True), record=False).whole
    alone = lab.open().plan_repair()
    assert alone.hurt
    assert alone.unhealable
    plan, report = harm.repaired(lab.open(), twin=twin)
    assert {step.object_name for step in plan.steps} == {*(pack_path(name) for name in hit), ""}
    assert (plan.unhealable, plan.hurt) == ((), ())
    assert (report.failed, report.hurt) == ((), ())
    assert not {pack_path(name) for name in hit} & set(lab.names("packs"))
    assert lab.names("condemn") == []
    harm.assert_whole(lab, facts)


@pytest.mark.parametrize("kind", list(BlobKind))
def test_deleted_packs_are_healed_from_a_twin(lab: Any, harm: Any, kind: BlobKind) -> None:
    dossier, facts = harm.filled(lab)
    twin = lab.open(store=harm.twin_of(lab))
    index = dossier._context.repository.index(refresh=True).index
    for name, _, _ in list(index.packs()):
        if index.entries(name)[0].kind == kind:
            lab.store.delete(pack_path(name))
    plan, report = harm.repaired(lab.open(), twin=twin)
    assert "heal_blob" in {step.code for step in plan.steps}
    assert (report.failed, report.hurt) == ((), ())
    harm.assert_whole(lab, facts)


def test_damaged_blobs_are_healed_from_the_live_files(lab: Any, harm: Any) -> None:
    dossier, facts = harm.filled(lab)
    harm.spoil_packs(lab, dossier, kind=BlobKind.DATA, share=0.5)
    harm.spoil_packs(lab, dossier, kind=BlobKind.TREE, share=0.3)
    plan, report = harm.repaired(lab.open(), sources=[lab.source])
    assert plan.steps
    assert report.hurt == () or all(item.snapshot_id != dossier.list()[0].id for item in report.hurt)
    lab.assert_restores(lab.unlocked("another"), facts, "latest")


def test_files_that_no_snapshot_saved_heal_nothing(lab: Any, harm: Any) -> None:
    dossier, _ = harm.filled(lab)
    dossier.repository.create_dossier("second", secret=lab.secret and "another secret here")
    with pytest.raises(InputError, match="has saved"):
        lab.open().plan_repair(sources=[lab.folder])


def test_what_cannot_be_healed_is_named_and_the_rest_is_kept(lab: Any, harm: Any) -> None:
    dossier, _ = harm.filled(lab)
    hit = harm.spoil_packs(lab, dossier, kind=BlobKind.DATA, share=0.1)
    plan, report = harm.repaired(lab.open())
    newest = {item.id for item in dossier.list()}
    assert {item.snapshot_id for item in plan.hurt} <= newest
    assert plan.hurt == report.hurt != ()
    assert {item.code for item in report.failed} == {"damaged_pack", "missing_blob"}
    condemned = lab.names("condemn")
    assert len(condemned) == 1
    assert {pack_path(name) for name in hit} <= set(lab.names("packs"))
    again, second = harm.repaired(lab.open())
    assert second.added_bytes == 0
    assert lab.names("condemn") == condemned
    assert {item.snapshot_id for item in again.hurt} == {item.snapshot_id for item in plan.hurt}
    healed = lab.dossier()
    healed.snapshot(lab.source)  # stores anew what it would else take from the damaged packs
    lab.assert_restores(lab.unlocked("another"), lab.facts(), "latest")


def test_snapshots_that_are_gone_come_from_a_twin(lab: Any, harm: Any) -> None:
    dossier, facts = harm.filled(lab)
    twin = lab.open(store=harm.twin_of(lab))
    newest = dossier.list()[0]
    for folder in ("snapshots", "ok"):
        for name in lab.names(folder):
            harm.flip(lab.store, name)
    plan, report = harm.repaired(lab.open(), twin=twin)
    assert {step.code for step in plan.steps} == {"restore_copy"}
    assert report.failed == ()
    assert lab.dossier().list()[0].id == newest.id
    harm.assert_whole(lab, facts)


# --- quarantine ----------------------------------------------------------------------------------------------------


def test_a_root_that_nobody_can_read_is_set_aside_by_name(lab: Any, harm: Any) -> None:
    dossier, facts = harm.filled(lab)
    first = dossier.list()[-1]
    names = [
        name
        for item in [dossier._context]
        for manifest in history_of(item)
        if manifest.sealed.snapshot_id == first.id
        for name in manifest.names
    ]
    for name in names:
        harm.flip(lab.store, name)
    with pytest.raises(PruneRefusedError):
        lab.open().prune()
    plan = lab.open().plan_repair()
    assert plan.steps == ()
    assert {item.object_name for item in plan.unhealable} >= set(names)
    missing = [item.object_name for item in plan.unhealable if item.code == "snapshot_missing"]
    with pytest.raises(InputError, match="cannot be set aside"):
        lab.open().plan_repair(quarantine=[lab.names("ok")[0] if lab.names("ok")[0] not in names else "nothing"])
    plan, report = harm.repaired(lab.open(), quarantine=[*names, *missing])
    assert {step.code for step in plan.steps} == {"quarantine"}
    assert report.failed == ()
    assert set(names) <= {*lab.names("snapshots"), *lab.names("ok")}
    review = lab.dossier().review()
    assert review.missing == ()
    assert [item for item in review.problems if item.path in names] == []
    again = lab.open().plan_repair()
    assert (again.steps, again.unhealable) == ((), ())
    lab.open().prune()
    lab.assert_restores(lab.unlocked("another"), facts, "latest")
    lab.dossier().snapshot(lab.source)


def test_a_snapshot_that_was_taken_away_counts_as_forgotten_when_a_person_says_so(lab: Any, harm: Any) -> None:
    dossier, facts = harm.filled(lab)
    first = dossier.list()[-1]
    for manifest in history_of(dossier._context):
        if manifest.sealed.snapshot_id == first.id:
            for name in manifest.names:
                lab.store.delete(name)
    with pytest.raises(PruneRefusedError, match="no record says"):
        lab.open().prune()
    [finding] = lab.open().plan_repair().unhealable
    assert finding.code == "snapshot_missing"
    _, report = harm.repaired(lab.open(), quarantine=[finding.object_name])
    assert [step.code for step in report.done] == ["quarantine"]
    lab.open().prune()
    assert lab.dossier().review().missing == ()
    harm.assert_whole(lab, facts)


def test_a_condemn_object_that_nobody_can_read_is_set_aside_and_goes(lab: Any, harm: Any) -> None:
    from snapstore.operations.repair.retiring import _condemn

    dossier, facts = harm.filled(lab)
    name = _condemn(dossier._context.repository, ["0" * 32])
    harm.flip(lab.store, name)
    plan = lab.open().plan_repair()
    assert [item.object_name for item in plan.unhealable] == [name]
    _, report = harm.repaired(lab.open(), quarantine=[name])
    assert report.failed == ()
    assert lab.names("condemn") == []
    lab.dossier().snapshot(lab.source)
    harm.assert_whole(lab, facts)


def history_of(dossier: Any) -> list[Any]:
    from snapstore.operations.history import read_history

    return read_history(dossier).manifests
