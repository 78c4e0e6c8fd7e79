"""What the list of snapshots notices: removal, replay, rollback, unknown and revoked signers, and lost copies."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import snapstore
from snapstore.crypto.derivation import digest
from snapstore.crypto.signing import SigningKey
from snapstore.errors import AmbiguousError, SnapshotNotFoundError, StationRevokedError
from snapstore.format.manifest import Manifest, ManifestFacts, decode_manifest, encode_manifest
from snapstore.format.names import dossier_path, new_name
from snapstore.format.record import RecordFacts, RecordType, encode_record, ids_payload
from snapstore.operations.context import DossierContext
from snapstore.operations.history import read_history
from snapstore.types import PlainHash, SnapshotId

ContextOf = Callable[[snapstore.Dossier], DossierContext]


def take(lab: Any, count: int, station: str = "one") -> list[snapstore.Snapshot]:
    dossier = lab.dossier(station)
    taken = []
    for number in range(count):
        lab.write("file", f"{station} {number} {time.time_ns()}".encode())
        taken.append(dossier.snapshot(lab.source, label=f"{station} {number}").snapshot)
    return taken


def names_of(lab: Any, context: DossierContext, snapshot: snapstore.Snapshot) -> list[str]:
    [manifest] = [item for item in read_history(context).manifests if item.sealed.snapshot_id == snapshot.id]
    return list(manifest.names)


def put(lab: Any, folder: str, context: DossierContext, data: bytes) -> str:
    name = dossier_path(folder, context.id, new_name(digest(data)))
    lab.store.put(name, data)
    return str(name)


def put_forget(lab: Any, context: DossierContext, ids: list[SnapshotId], signing: SigningKey | None = None) -> None:
    station = context.repository.state.station
    data = encode_record(
        repository_id=context.repository.config.repository_id,
        dossier_id=context.id,
        type=RecordType.FORGET,
        mandatory=True,
        facts=RecordFacts(station_id=station.id, time_ns=time.time_ns(), zone_minutes=0, payload=ids_payload(ids)),
        maintenance=context.repository.newest_maintenance(),
        station_key=signing or station.signing,
    )
    put(lab, "records", context, data)


def test_numbers_and_order(lab: Any) -> None:
    taken = take(lab, 3)
    dossier = lab.dossier()
    assert [snapshot.number for snapshot in taken] == [1, 2, 3]
    assert dossier.list() == tuple(reversed(taken))
    assert [snapshot.label for snapshot in dossier.list()] == ["one 2", "one 1", "one 0"]
    assert dossier.find("latest") == taken[2]
    assert dossier.find("latest~2") == taken[0]
    assert dossier.find(taken[1].name[:8].upper()) == taken[1]
    for name in ("latest~3", "0" * 32, "", "lates", "latest~", taken[0].name[:3]):
        with pytest.raises(SnapshotNotFoundError):
            dossier.find(name)


def test_a_beginning_that_fits_several_is_ambiguous(lab: Any, context: ContextOf) -> None:
    take(lab, 1)
    ids = [SnapshotId(b"\xab\xcd" + bytes([number]) * 14) for number in range(2)]
    for number, snapshot_id in enumerate(ids):
        forge(lab, context(lab.dossier()), snapshot_id=snapshot_id, number=number + 2)
    with pytest.raises(AmbiguousError):
        lab.dossier().find("abcd")
    assert lab.dossier().find("abcd00").id == ids[0]


def forge(
    lab: Any,
    context: DossierContext,
    *,
    snapshot_id: SnapshotId,
    number: int,
    signing: SigningKey | None = None,
    **facts: Any,
) -> bytes:
    """A manifest as this station would write it, with other facts."""
    newest = read_history(context).manifests[0]
    station = context.repository.state.station
    roster = tuple(sorted({snapshot_id, *newest.facts.roster}))
    changed = replace(newest.facts, number=number, station_id=station.id, roster=roster)
    changed = replace(changed, **facts)
    assert isinstance(changed, ManifestFacts)
    assert newest.text is not None
    keys = context.epoch_keys()[0]
    data = encode_manifest(
        Manifest(
            repository_id=context.repository.config.repository_id,
            dossier_id=context.id,
            snapshot_id=snapshot_id,
            keyset_generation=newest.sealed.keyset_generation,
            facts=changed,
            text=newest.text,
        ),
        keys=keys,
        maintenance=keys.maintenance_keys,
        hpke_public=context.pin.hpke_public,
        root_hash=PlainHash(bytes(32)),
        station_key=signing or station.signing,
    )
    put(lab, "snapshots", context, data)
    put(lab, "ok", context, data)
    return data


@pytest.mark.parametrize("position", [0, 1])
def test_a_snapshot_deleted_behind_the_back_is_missing(lab: Any, context: ContextOf, position: int) -> None:
    taken = take(lab, 3)
    for name in names_of(lab, context(lab.dossier()), taken[position]):
        lab.store.delete(name)
    for dossier in (lab.dossier(), lab.unlocked("newcomer")):
        review = dossier.review()
        assert review.missing == (taken[position].id,)
        assert len(review.snapshots) == 2
        with pytest.raises(SnapshotNotFoundError):
            dossier.find(taken[position].name)


def test_the_newest_one_deleted_is_noticed_by_the_station_that_made_it(lab: Any, context: ContextOf) -> None:
    taken = take(lab, 2)
    newcomer = lab.unlocked("newcomer")
    for name in names_of(lab, context(newcomer), taken[1]):
        lab.store.delete(name)
    assert lab.dossier().review().missing == (taken[1].id,)
    assert newcomer.review().missing == ()  # nothing there names it, and this station never saw it


def test_a_forget_record_explains_it(lab: Any, context: ContextOf) -> None:
    taken = take(lab, 3)
    dossier = lab.dossier()
    names = names_of(lab, context(dossier), taken[0])
    put_forget(lab, context(dossier), [taken[0].id])
    interrupted = dossier.review()  # the record is there, the manifest still is
    assert (interrupted.missing, interrupted.problems) == ((), ())
    assert [snapshot.id for snapshot in interrupted.snapshots] == [taken[2].id, taken[1].id]
    for name in names:
        lab.store.delete(name)
    assert dossier.review() == interrupted


def test_a_forget_record_of_a_stranger_explains_nothing(lab: Any, context: ContextOf) -> None:
    taken = take(lab, 2)
    dossier = lab.dossier()
    put_forget(lab, context(dossier), [taken[0].id], signing=SigningKey.generate())
    review = dossier.review()
    assert [problem.code for problem in review.problems] == ["unknown_signer"]
    assert len(review.snapshots) == 2


def test_a_damaged_record_is_reported(lab: Any, context: ContextOf) -> None:
    take(lab, 1)
    put(lab, "records", context(lab.dossier()), b"garbage")
    review = lab.dossier().review()
    assert len(review.problems) == len(review.snapshots) == 1


def test_a_rollback_of_the_whole_medium_is_noticed_by_the_same_station(lab: Any, copy_store: Any) -> None:
    take(lab, 2)
    old = copy_store(lab.store)
    newest = take(lab, 1)[0]
    lab.store = old
    assert lab.dossier().review().missing == (newest.id,)
    lab.write("file", b"after")
    report = lab.dossier().snapshot(lab.source)
    lab.assert_restores(lab.unlocked("reader"), lab.facts(), report.snapshot)


def test_an_older_keyset_is_noticed(lab: Any, copy_store: Any) -> None:
    take(lab, 1)
    old = copy_store(lab.store)
    lab.unlocked("newcomer")
    lab.dossier().rename("ledgers", secret=lab.secret)
    lab.store = old
    codes = [problem.code for problem in lab.dossier(name="ledgers").review().problems]
    assert codes == ["older_keyset"]


def test_a_keyset_missing_under_a_manifest(lab: Any) -> None:
    first = lab.names("dossiers")
    lab.unlocked("two")
    lab.unlocked("three")
    lab.write("file", b"x")
    lab.dossier().snapshot(lab.source)
    for name in lab.names("dossiers"):
        if name not in first:
            lab.store.delete(name)
    codes = {problem.code for problem in lab.dossier().review().problems}
    assert "keyset_missing" in codes


def test_a_manifest_signed_by_nobody_known(lab: Any, context: ContextOf) -> None:
    taken = take(lab, 1)
    forge(lab, context(lab.dossier()), snapshot_id=SnapshotId(b"s" * 16), number=2, signing=SigningKey.generate())
    stranger = SigningKey.generate()
    forge(
        lab,
        context(lab.dossier()),
        snapshot_id=SnapshotId(b"t" * 16),
        number=3,
        signing=stranger,
        station_id=digest(stranger.public_bytes)[:16],
    )
    review = lab.dossier().review()
    assert [snapshot.id for snapshot in review.snapshots] == [taken[0].id]
    assert {problem.code for problem in review.problems} == {"unknown_signer"}
    lab.write("file", b"next")
    assert lab.dossier().snapshot(lab.source).snapshot.number == 2


def test_what_a_revoked_station_wrote_before_counts_and_after_does_not(lab: Any, context: ContextOf) -> None:
    lab.unlocked("lost laptop")
    before = take(lab, 2, "lost laptop")
    owner = lab.dossier()
    owner.revoke_station("lost laptop", secret=lab.secret)
    [revoked] = [station for station in owner.stations() if station.name == "lost laptop"]
    assert (revoked.last_number, revoked.revoked is not None) == (2, True)
    with pytest.raises(StationRevokedError):
        lab.dossier("lost laptop").snapshot(lab.source)
    forge(lab, context(lab.dossier("lost laptop")), snapshot_id=SnapshotId(b"l" * 16), number=3)
    review = owner.review()
    assert [snapshot.id for snapshot in review.snapshots] == [before[1].id, before[0].id]
    assert {problem.code for problem in review.problems} == {"revoked_signer"}
    own = take(lab, 1)[0]
    assert own.number == 3


def test_a_manifest_of_another_dossier_is_refused(lab: Any, context: ContextOf) -> None:
    lab.open().create_dossier("letters", secret=lab.secret)
    lab.write("file", b"x")
    lab.dossier(name="letters").snapshot(lab.source)
    [manifest] = lab.names("snapshots")
    data = lab.store.get(manifest)
    put(lab, "snapshots", context(lab.dossier()), data)
    put(lab, "ok", context(lab.dossier()), data)
    review = lab.dossier().review()
    assert review.snapshots == ()
    assert {problem.code for problem in review.problems} == {"tampered"}


def test_a_replayed_manifest_under_a_new_name_is_one_snapshot(lab: Any, context: ContextOf) -> None:
    [snapshot] = take(lab, 1)
    [manifest] = lab.names("snapshots")
    put(lab, "snapshots", context(lab.dossier()), lab.store.get(manifest))
    review = lab.dossier().review()
    assert [item.id for item in review.snapshots] == [snapshot.id]


@pytest.mark.parametrize("harm", ["delete", "flip", "truncate"])
@pytest.mark.parametrize("folder", ["snapshots", "ok"])
def test_one_copy_stands_in_for_the_other(lab: Any, harm: str, folder: str) -> None:
    [snapshot] = take(lab, 1)
    [name] = lab.names(folder)
    data = lab.store.get(name)
    lab.store.delete(name)
    if harm == "flip":
        lab.store.put(name, data[:-1] + bytes([data[-1] ^ 1]))
    elif harm == "truncate":
        lab.store.put(name, data[:-1])
    review = lab.dossier().review()
    [found] = review.snapshots
    assert found.id == snapshot.id
    # An ok copy that was cut short or is gone confirms nothing; whatever else is wrong, the snapshot was confirmed.
    assert found.confirmed == (folder == "snapshots" or harm == "flip")
    assert bool(review.problems) == (harm == "truncate" or (harm, folder) == ("flip", "snapshots"))
    lab.assert_restores(lab.unlocked("reader"), lab.facts(), found)


def test_both_copies_damaged_are_reported_and_the_snapshot_is_missing(lab: Any) -> None:
    taken = take(lab, 2)
    for name in [*lab.names("snapshots"), *lab.names("ok")]:
        data = lab.store.get(name)
        if decode_manifest(data).snapshot_id == taken[0].id:
            lab.store.delete(name)
            lab.store.put(name, data[:40] + bytes([data[40] ^ 1]) + data[41:])
    review = lab.dossier().review()
    assert review.missing == (taken[0].id,)
    assert len(review.problems) == 2


def test_a_snapshot_that_ends_later_takes_the_higher_number(lab: Any) -> None:
    """The history is read when a snapshot is about to be published, not only when it begins."""
    lab.unlocked("two")
    lab.write("file", b"x")
    first = lab.dossier()

    class Meanwhile:
        done = False

        def update(self, status: snapstore.ProgressStatus) -> None:
            if status.phase == "upload" and not self.done:
                self.done = True
                lab.dossier("two").snapshot(lab.source, label="two")

    first.snapshot(lab.source, label="one", progress=Meanwhile())
    listed = first.list()
    assert [snapshot.number for snapshot in listed] == [2, 1]
    assert lab.dossier("two").list() == listed
    assert [snapshot.label for snapshot in listed] == ["one", "two"]
    third = first.snapshot(lab.source).snapshot
    assert third.number == 3
    assert first.review().missing == ()


def test_what_a_snapshot_says_of_itself(lab: Any) -> None:
    generator = random.Random(1)
    lab.write("folder/file", generator.randbytes(1000))
    lab.write("other", b"")
    os.symlink("nowhere", lab.source / "link")
    report = lab.dossier().snapshot(
        lab.source, label="a label", kind=snapstore.SnapshotKind.AUTOMATIC, exclude=["*.tmp"]
    )
    snapshot = report.snapshot
    assert (snapshot.files, snapshot.directories, snapshot.others, snapshot.total_bytes) == (2, 2, 1, 1000)
    assert (snapshot.label, snapshot.kind, snapshot.excludes) == (
        "a label",
        snapstore.SnapshotKind.AUTOMATIC,
        ("*.tmp",),
    )
    assert (snapshot.station, snapshot.sources) == ("one", (str(lab.source),))
    assert lab.dossier().list() == (snapshot,)
    assert 0 < snapshot.added_bytes <= report.added_bytes
