"""Damage done on purpose, and what is to hold after a repair: the fixture `harm`."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

import snapstore
from snapstore.format.names import pack_path
from snapstore.format.pack import BlobKind
from snapstore.operations.copy.destination import _make_twin
from snapstore.stores.memory import MemoryStore
from snapstore.types import CopyMode
from snapstore.upkeep_types import CheckOptions, RepairPlan, RepairReport


def replace(store: Any, name: str, data: bytes) -> None:
    store.delete(name)
    store.put(name, data)


def flipped(data: bytes, at: int = -1) -> bytes:
    at = len(data) // 2 if at < 0 else at
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def flip(store: Any, name: str, at: int = -1) -> None:
    replace(store, name, flipped(store.get(name), at))


def filled(lab: Any) -> tuple[snapstore.Dossier, dict[str, Any]]:
    """Two snapshots of files of every kind; what the last one holds."""
    for number in range(30):
        lab.write(f"notes/note {number:02}", random.Random(number).randbytes(500 * number))
    lab.write("large", random.Random(77).randbytes(2_500_000))
    dossier = lab.dossier()
    dossier.snapshot(lab.source)
    lab.write("later", random.Random(78).randbytes(400_000))
    dossier.snapshot(lab.source)
    return dossier, lab.facts()


def repaired(repository: snapstore.Repository, **more: Any) -> tuple[RepairPlan, RepairReport]:
    plan = repository.plan_repair(**more)
    return plan, repository.repair(plan, **more)


def assert_whole(lab: Any, facts: dict[str, Any]) -> None:
    """Nothing is left to repair, a check finds no damage, and a new station restores everything."""
    repository = lab.open()
    plan = repository.plan_repair()
    assert (plan.steps, plan.unhealable, plan.hurt) == ((), (), ())
    report = repository.check(CheckOptions(read_data=True), record=False)
    assert [finding for finding in report.findings if finding.is_damage] == []
    assert report.whole
    lab.assert_restores(lab.unlocked("another"), facts, "latest")


def twin_of(lab: Any) -> MemoryStore:
    """The store of a twin that has everything."""
    store = MemoryStore()
    _make_twin(lab.dossier()._context.repository, store).close()
    lab.open().copy_to(lab.open(store=store), mode=CopyMode.TWIN)
    return store


def spoil_packs(
    lab: Any, dossier: snapstore.Dossier, *, kind: BlobKind, share: float = 0.3, seed: int = 1
) -> list[str]:
    """Change a byte in some blobs of a kind; the packs that were hit."""
    chance = random.Random(seed)
    index = dossier._context.repository.index(refresh=True).index
    hit = []
    for name, _, _ in list(index.packs()):
        data = bytearray(lab.store.get(pack_path(name)))
        entries = [entry for entry in index.entries(name) if entry.kind == kind and chance.random() < share]
        for entry in entries:
            data[entry.offset + entry.child_size + 20] ^= 1
        if entries:
            replace(lab.store, pack_path(name), bytes(data))
            hit.append(name)
    assert hit
    return hit


@pytest.fixture
def harm() -> SimpleNamespace:
    """All helpers of this module."""
    helpers = (replace, flipped, flip, filled, repaired, assert_whole, twin_of, spoil_packs)
    return SimpleNamespace(**{helper.__name__: helper for helper in helpers})
