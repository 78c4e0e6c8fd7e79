"""What the simulated store does with what it may do, and that it never does more."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

import pytest

from snapstore.errors import ObjectNotFoundError, SnapstoreError, StoreError, StoreFullError, StoreUnavailableError
from snapstore.stores.protocol import begin_object, lanes_of
from snapstore.testing import (
    FOLDER,
    OBJECT_STORAGE,
    SERVER,
    Event,
    Fault,
    Faults,
    SimulatedCrash,
    SimulatedStore,
    StoreKind,
)

KINDS = [FOLDER, SERVER, OBJECT_STORAGE]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
SEEDS = 60


def listed(store: SimulatedStore, prefix: str = "") -> dict[str, int]:
    return {item.name: item.size for item in store.list(prefix)}


def some_work(store: SimulatedStore) -> None:
    """Whatever fails is passed over; a crash ends it."""
    for number in range(12):
        for act in (
            lambda number=number: store.put(f"packs/a/{number}", bytes([number]) * (number + 1)),
            lambda number=number: store.get(f"packs/a/{number}"),
            lambda: list(store.list("packs")),
            lambda number=number: store.delete(f"packs/a/{number - 3}") if number % 2 else None,
        ):
            try:
                act()
            except SnapstoreError:
                continue


@each_kind
@pytest.mark.parametrize("fault", list(Fault))
def test_the_same_seed_gives_the_same_history(kind: StoreKind, fault: Fault) -> None:
    def history(seed: int) -> tuple[list[Event], dict[str, bytes], int]:
        first = SimulatedStore(seed, kind=kind)
        one = first.another(faults=Faults(fault=fault, chance=0.1))
        with contextlib.suppress(SimulatedCrash):
            some_work(one)
        other = first.another()
        some_work(other)
        return one.history + other.history, {name: other.get(name) for name in sorted(listed(other))}, one.met

    all_of_them = [history(seed) for seed in range(8)]
    assert all_of_them == [history(seed) for seed in range(8)]
    assert any(met for _, _, met in all_of_them)
    assert len({repr(events) for events, _, _ in all_of_them}) > 1


@each_kind
def test_a_put_that_a_crash_interrupts_is_absent_whole_torn_or_late(kind: StoreKind) -> None:
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        first = SimulatedStore(seed, kind=kind)
        first.put("packs/a/before", b"acknowledged")
        dying = first.another(faults=Faults(at=2))
        assert dying.get("packs/a/before") == b"acknowledged"
        with pytest.raises(SimulatedCrash):
            dying.put("packs/a/new", b"content")
        with pytest.raises(SimulatedCrash):
            dying.get("packs/a/before")
        with pytest.raises(SimulatedCrash):
            dying.put("packs/a/other", b"")
        with pytest.raises(SimulatedCrash):
            dying.free_bytes()
        assert dying.history[-1].outcome in {"nothing", "done", "torn", "late"}
        seen[dying.history[-1].outcome] += 1
        after = first.another()
        size = listed(after).pop("packs/a/new", None)
        if dying.history[-1].outcome == "torn":
            assert size is not None
            assert size < 7
            assert after.get("packs/a/new") == b"content"[:size]
        after.medium.deliver()
        assert ("packs/a/new" in listed(after)) is (dying.history[-1].outcome != "nothing")
        assert after.get("packs/a/before") == b"acknowledged"
    expected = {"nothing", "done", *(["torn"] if kind.tears else []), *(["late"] if kind.answers_late else [])}
    assert set(seen) == expected


@each_kind
def test_a_delete_that_a_crash_interrupts_is_done_or_not_or_late(kind: StoreKind) -> None:
    seen = set()
    for seed in range(SEEDS):
        first = SimulatedStore(seed, kind=kind)
        first.put("packs/a/old", b"x")
        dying = first.another(faults=Faults(at=1))
        with pytest.raises(SimulatedCrash):
            dying.delete("packs/a/old")
        seen.add(dying.history[-1].outcome)
        first.medium.deliver()
        assert bool(listed(first)) is (dying.history[-1].outcome == "nothing")
    assert seen == {"nothing", "done", *(["late"] if kind.answers_late else [])}


def test_late_effects_come_once_and_soon() -> None:
    for seed in range(SEEDS):
        first = SimulatedStore(seed, kind=SERVER)
        one = first.another(faults=Faults(at=1, fault=Fault.LOST_ANSWER))
        with pytest.raises(StoreError) as caught:
            one.put("packs/a/new", b"content")
        assert caught.value.code == "put_uncertain"
        assert not caught.value.retryable
        for _ in range(12):
            one.free_bytes()
            listed(one)
        there = "packs/a/new" in listed(one)
        assert there is (one.history[0].outcome != "nothing")
        if there:
            if one.history[0].outcome != "torn":
                assert one.get("packs/a/new") == b"content"
            one.delete("packs/a/new")
        one.medium.deliver()
        assert listed(one) == {}


def test_in_a_folder_no_put_is_uncertain() -> None:
    for seed in range(SEEDS):
        store = SimulatedStore(seed, faults=Faults(at=1, fault=Fault.LOST_ANSWER))
        with pytest.raises(StoreUnavailableError):
            store.put("packs/a/new", b"content")
        assert listed(store) == {}


def test_temporaries_stay_after_a_crash_until_their_station_cleans_up() -> None:
    first = SimulatedStore(3)
    dying = first.another(faults=Faults(at=2), station="one")
    alive = first.another(station="other")
    kept, builder = begin_object(alive), begin_object(dying)
    assert kept is not None
    assert builder is not None
    builder.write(b"half")
    with pytest.raises(SimulatedCrash):
        builder.write(b"and half")
    builder.discard()
    assert len(first.medium.temporaries) == 2
    assert listed(first) == {}
    next_run = first.another(station="one")
    next_run.clean_temporaries("one")
    assert [name.startswith("tmp/other-") for name in first.medium.temporaries] == [True]
    kept.discard()
    assert first.medium.temporaries == set()


def test_both_names_may_stay() -> None:
    seen = set()
    for seed in range(SEEDS):
        first = SimulatedStore(seed)
        dying = first.another(faults=Faults(at=1), station="one")
        with pytest.raises(SimulatedCrash):
            dying.put("packs/a/new", b"content")
        seen.add((bool(listed(first)), bool(first.medium.temporaries)))
    assert seen == {(False, False), (False, True), (True, False), (True, True)}


@each_kind
def test_a_listing_is_not_atomic(kind: StoreKind) -> None:
    seen = set()
    for seed in range(SEEDS):
        store = SimulatedStore(seed, kind=kind)
        for number in range(6):
            store.put(f"packs/a/{number}", b"x")
        listing = store.list("packs")
        found = {next(listing).name for _ in range(3)}
        gone = sorted({f"packs/a/{number}" for number in range(6)} - found)[0]
        store.delete(gone)
        store.put("packs/a/new", b"y")
        found |= {item.name for item in listing}
        assert {f"packs/a/{number}" for number in range(6)} - {gone} <= found
        seen.add((gone in found, "packs/a/new" in found))
    assert len(seen) == 4


def test_a_listing_that_breaks_raises_however_far_it_came() -> None:
    lengths = set()
    for seed in range(SEEDS):
        store = SimulatedStore(seed)
        for number in range(3):
            store.put(f"packs/a/{number}", b"x")
        broken = store.another(faults=Faults(at=1, fault=Fault.UNAVAILABLE))
        found: list[str] = []
        with pytest.raises(StoreUnavailableError):
            found.extend(item.name for item in broken.list("packs"))
        lengths.add(len(found))
        assert len(listed(broken)) == 3
    assert lengths == {0, 1, 2, 3}


def test_full_once_and_for_good() -> None:
    first = SimulatedStore()
    once = first.another(faults=Faults(at=2, fault=Fault.FULL))
    once.put("packs/a/1", b"x")
    with pytest.raises(StoreFullError):
        once.put("packs/a/2", b"x")
    once.put("packs/a/3", b"x")
    lasting = first.another(faults=Faults(at=1, fault=Fault.FULL, lasting=True))
    for number in range(4, 7):
        with pytest.raises(StoreFullError):
            lasting.put(f"packs/a/{number}", b"x")
    assert lasting.free_bytes() == 0
    lasting.delete("packs/a/1")
    assert listed(lasting) == {"packs/a/3": 1}
    with pytest.raises(StoreFullError):
        SimulatedStore(capacity_bytes=10).put("packs/a/1", bytes(11))


def test_an_object_that_cannot_be_read() -> None:
    first = SimulatedStore()
    for number in range(3):
        first.put(f"packs/a/{number}", b"x")
    once = first.another(faults=Faults(at=2, fault=Fault.IO_ERROR))
    assert once.get("packs/a/0") == b"x"
    with pytest.raises(StoreUnavailableError):
        once.get("packs/a/1")
    assert once.get("packs/a/1") == b"x"
    lasting = first.another(faults=Faults(at=1, fault=Fault.IO_ERROR, lasting=True))
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            lasting.get("packs/a/1")
    assert lasting.get("packs/a/2") == b"x"


@pytest.mark.parametrize("fault", [Fault.CRASH, Fault.UNAVAILABLE, Fault.IO_ERROR, Fault.FULL])
def test_what_was_acknowledged_stays_whatever_happens(fault: Fault) -> None:
    for seed in range(SEEDS):
        for kind in KINDS:
            first = SimulatedStore(seed, kind=kind)
            kept: dict[str, bytes] = {}
            for process in range(4):
                store = first.another(faults=Faults(fault=fault, chance=0.2))
                try:
                    for number in range(8):
                        name = f"packs/{process}/{number}"
                        try:
                            store.put(name, bytes([number]) * 5)
                            kept[name] = bytes([number]) * 5
                        except StoreError:
                            continue
                except SimulatedCrash:
                    continue
            assert {name: first.get(name) for name in kept} == kept
            assert kept.keys() <= listed(first).keys()


def test_the_kinds() -> None:
    assert [lanes_of(SimulatedStore(kind=kind)) for kind in KINDS] == [1, 3, 4]
    assert [begin_object(SimulatedStore(kind=kind)) is not None for kind in KINDS] == [True, False, False]


def test_the_crash_is_told_before_anybody_can_tidy_up() -> None:
    files = ["a mark of a running process"]
    found: list[Any] = []
    store = SimulatedStore().another(faults=Faults(at=1), on_crash=lambda: found.extend(files))

    def dies() -> None:
        try:
            store.put("packs/a/1", b"x")
        finally:
            files.clear()

    with pytest.raises(SimulatedCrash):
        dies()
    assert found == ["a mark of a running process"]
    with pytest.raises(ObjectNotFoundError):
        store.another().get("packs/a/2")
