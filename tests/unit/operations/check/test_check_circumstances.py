"""Checks beside unfinished runs, records of quarantine, sidecars, and over a store that is far away."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from far_store import FarStore

import snapstore
from snapstore.blobs import packer
from snapstore.format.record import RecordType
from snapstore.operations.records import put_record

Report = snapstore.CheckReport
Check = Callable[..., Report]
Codes = Callable[[Report], set[str]]
Damage = Callable[[Report], set[tuple[str, str]]]
Replaced = Callable[..., None]


def test_a_far_store_is_read_side_by_side(
    lab: Any, check: Check, damage: Damage, replaced: Replaced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packer, "PACK_TARGET_BYTES", 300_000)
    monkeypatch.setattr(packer, "_SHUFFLE_BYTES", 100_000)
    generator = random.Random(6)
    for number in range(40):
        lab.write(f"file {number}", generator.randbytes(100_000))
    lab.dossier().snapshot(lab.source)
    before = set(threading.enumerate())
    far = FarStore(lab.store, seconds=0.005)
    report = check(lab, store=far)
    assert report.findings == ()
    assert far.most["get"] > 1
    assert report.read_bytes == report.stored_bytes
    name = max(lab.store.list("packs"), key=lambda item: item.size).name
    data = lab.store.get(name)
    replaced(lab.store, name, data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    report = check(lab, store=FarStore(lab.store, seconds=0.001))
    assert {found for _, found in damage(report)} == {name}
    assert len(report.hurt[0].files) == 1
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def test_what_the_station_cached_of_a_server_proves_nothing(saved: Any, check: Check, replaced: Replaced) -> None:
    far = FarStore(saved.store, seconds=0.0)
    assert check(saved, store=far).whole  # now much is in the cache
    for name in (saved.names("index")[0], saved.names("ok")[0], saved.names("dossiers")[0], *saved.names("packs")):
        data = saved.store.get(name)
        replaced(saved.store, name, data[:50] + bytes([data[50] ^ 1]) + data[51:])
        report = check(saved, store=FarStore(saved.store, seconds=0.0), content=False)
        assert name in {item.object_name for item in report.findings if item.is_damage}
        replaced(saved.store, name, data)


def test_an_unfinished_run_may_lack_pieces(saved: Any, check: Check, codes: Codes) -> None:
    before = {folder: set(saved.names(folder)) for folder in ("packs", "ok")}
    saved.write("more", random.Random(1).randbytes(90_000))
    two = saved.unlocked("two")
    two.snapshot(saved.source)
    for name in set(saved.names("ok")) - before["ok"]:
        saved.store.delete(name)
    assert codes(check(saved)) == {"unconfirmed_snapshot"}
    for name in set(saved.names("packs")) - before["packs"]:
        saved.store.delete(name)
    report = check(saved)
    assert report.whole
    assert report.hurt == ()
    assert codes(report) == {"unconfirmed_snapshot", "unconfirmed_incomplete", "stale_index"}


def test_what_a_record_set_aside_is_no_damage_any_more(
    saved: Any, check: Check, damage: Damage, replaced: Replaced
) -> None:
    name = saved.names("ok")[0]
    replaced(saved.store, name, b"gone bad".ljust(len(saved.store.get(name))))
    assert {found for _, found in damage(check(saved))} == {name}
    put_record(saved.dossier()._context, RecordType.QUARANTINE, mandatory=True, payload={0: [name]})
    report = check(saved)
    assert damage(report) == set()
    assert report.whole
    assert "set aside" in next(item.message for item in report.findings if item.object_name == name)


def test_sidecars_are_read_with_everything_else(saved: Any, check: Check, replaced: Replaced) -> None:
    with saved.open() as repository:
        assert repository.add_parity().added > 0
    assert check(saved).findings == ()
    name = saved.names("parity")[0]
    data = saved.store.get(name)
    replaced(saved.store, name, data[:-1] + bytes([data[-1] ^ 1]))
    report = check(saved)
    assert report.whole
    assert [item.object_name for item in report.findings] == [name]
    assert check(saved, options=snapstore.CheckOptions()).findings == ()
