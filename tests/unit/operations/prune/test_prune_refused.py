"""What stops a prune: nothing is deleted, the object is named, and a quarantine record lets it go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import snapstore
from snapstore.blobs.naming import put_named
from snapstore.format.names import dossier_path, object_path
from snapstore.format.record import RecordFacts, RecordType, encode_record
from snapstore.operations.records import put_record
from snapstore.stores.memory import MemoryStore
from snapstore.testing import BrokenListing

Harm = Callable[[Any], str]


def damage(store: MemoryStore, name: str) -> None:
    data = bytearray(store.get(name))
    data[len(data) // 2] ^= 1
    store.delete(name)
    store.put(name, bytes(data))


def both_copies(days: Any) -> str:
    for folder in ("snapshots", "ok"):
        (name,) = days.lab.names(folder)
        damage(days.lab.store, name)
    return str(days.lab.names("ok")[0])


def a_record(days: Any) -> str:
    name = str(days.lab.names("records")[0])
    damage(days.lab.store, name)
    return name


def a_condemn_object(days: Any) -> str:
    return put_named(days.lab.store, lambda name: object_path("condemn", name), b"no condemn object" * 9)


def a_foreign_manifest(days: Any) -> str:
    folder = days.lab.names("ok")[0].split("/")[1]
    name = f"snapshots/{folder}/{'0' * 32}"
    days.lab.store.put(name, b"no manifest")
    return name


@pytest.mark.parametrize("harm", [both_copies, a_record, a_condemn_object, a_foreign_manifest])
def test_what_cannot_be_read_stops_everything(days: Any, harm: Harm) -> None:
    name = harm(days)
    before = {item.name for item in days.lab.store.list("")}
    with pytest.raises(snapstore.PruneRefusedError) as caught:
        days.prune()
    assert caught.value.object_name == name
    assert "snapstore check" in str(caught.value)
    assert {item.name for item in days.lab.store.list("")} == before
    with pytest.raises(snapstore.PruneRefusedError):
        days.lab.open().plan_prune()


@pytest.mark.parametrize("harm", [both_copies, a_condemn_object, a_foreign_manifest])
def test_what_is_in_quarantine_is_passed_over(days: Any, harm: Harm) -> None:
    harm(days)
    names = [*days.lab.names("ok"), *days.lab.names("snapshots"), *days.lab.names("condemn")]
    put_record(days.lab.dossier()._context, RecordType.QUARANTINE, mandatory=True, payload={0: names})
    days.prune()
    if harm is not both_copies:
        days.assert_whole()


def test_a_damaged_copy_with_a_whole_one_stops_nothing(days: Any) -> None:
    damage(days.lab.store, days.lab.names("snapshots")[0])
    assert days.prune().deleted_packs > 0
    days.assert_whole()


def test_a_snapshot_that_was_taken_away(days: Any) -> None:
    days.take("4", seed=4)
    for folder in ("snapshots", "ok"):
        names = sorted(days.lab.names(folder), key=lambda name: len(days.lab.store.get(name)))
        for name in names[:1]:
            group = name.rpartition("/")[2][:26]
            for other in [*days.lab.names("ok"), *days.lab.names("snapshots")]:
                if other.rpartition("/")[2].startswith(group):
                    days.lab.store.delete(other)
        break
    missing = days.lab.dossier().review().missing
    assert len(missing) == 1
    with pytest.raises(snapstore.PruneRefusedError) as caught:
        days.prune()
    assert missing[0].hex() in str(caught.value)


def test_a_keyset_that_was_taken_away(days: Any) -> None:
    for name in days.lab.names("dossiers"):
        days.lab.store.delete(name)
    repository = days.lab.open()
    with pytest.raises(snapstore.PruneRefusedError, match="keyset"):
        repository.prune()


def test_a_tree_that_is_lost(days: Any) -> None:
    context = days.lab.open()._context
    index = context.index(refresh=True).index
    trees = [name for name, _, _ in index.packs() if index.entries(name)[0].kind == 2]
    for name in trees:
        damage(days.lab.store, next(path for path in days.lab.names("packs") if path.endswith(name)))
    for name in days.lab.names("packs"):
        if name.rpartition("/")[2] in trees:
            data = days.lab.store.get(name)
            days.lab.store.delete(name)
            days.lab.store.put(name, bytes(2048) + data[2048:])
    before = days.lab.names("packs")
    with pytest.raises(snapstore.PruneRefusedError, match="not whole"):
        days.prune()
    assert days.lab.names("packs") == before
    names = [*days.lab.names("ok"), *days.lab.names("snapshots")]
    put_record(days.lab.dossier()._context, RecordType.QUARANTINE, mandatory=True, payload={0: names})
    assert "content_lost" in {problem.code for problem in days.prune().problems}


@pytest.mark.parametrize("mandatory", [True, False])
def test_a_record_of_an_unknown_type(days: Any, *, mandatory: bool) -> None:
    dossier = days.lab.dossier()._context
    context = dossier.repository
    data = encode_record(
        repository_id=context.config.repository_id,
        dossier_id=dossier.id,
        type=1000,
        mandatory=mandatory,
        facts=RecordFacts(station_id=context.state.station.id, time_ns=1, zone_minutes=0, payload={}),
        maintenance=context.newest_maintenance(),
        station_key=context.state.station.signing,
    )
    put_named(days.lab.store, lambda name: dossier_path("records", dossier.id, name), data)
    if mandatory:
        with pytest.raises(snapstore.UnsupportedFormatError):
            days.prune()
    else:
        assert days.prune().deleted_packs > 0


@pytest.mark.parametrize("folder", ["ok", "snapshots", "condemn", "packs", "records", "index", "dossiers"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_listing_that_fails(days: Any, prune_on: Any, folder: str, after: int) -> None:
    before = set(days.lab.names("packs"))
    with pytest.raises(snapstore.StoreError):
        prune_on(days.lab, BrokenListing(days.lab.store, affects=folder, after=after))
    assert set(days.lab.names("packs")) == before
    days.assert_whole()
