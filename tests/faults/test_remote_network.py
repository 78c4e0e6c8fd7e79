"""The network breaks in the middle of snapshots and restores of every kind of remote store.

A proxy stands between the store and a real server, and resets, cuts, stalls and delays at chosen places: each request
(or a spread of them) in turn, once, or for a while. A snapshot that was tried often enough succeeds; one that was not
says why; and whatever happened, a new computer finds every snapshot that was ever reported done and restores it bit
for bit, and the next run succeeds.

SNAPSTORE_TEST_EVERY_FAULT=1 takes every single place; without, a spread of places keeps the tests short.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import compare_trees
import pytest
from remote_scene import SECRET, TRIES, RemoteScene, behind, impatient, until, wire_of
from server import Server
from wire_faults import FaultyWire

import snapstore
from snapstore.errors import StoreError

SPREAD = 9
MANY = 200  # more than the requests of any of these snapshots, and fewer than its bytes
STALL_SECONDS = 1.0


pytestmark = pytest.mark.remote_servers("sshd", "vsftpd", "moto")


@pytest.fixture
def scene(
    remote_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> Iterator[RemoteScene]:
    """A repository with one snapshot on a server of the kind."""
    impatient(monkeypatch)
    made = RemoteScene(folder=tmp_path, server=remote_server, place=f"net{random.randrange(10**9)}")
    made.begin()
    yield made
    made.assert_nothing_lost()
    record_property("faults", made.points)
    assert made.points > 0, "nothing was tried"


@pytest.fixture
def wire(remote_server: Server) -> Iterator[FaultyWire]:
    with wire_of(remote_server) as made:
        yield made


def spread(count: int, *, seed: int) -> list[int]:
    """Numbers from 1 to `count`: one from each of some equal parts, which may be parts of one."""
    parts = min(count, MANY if os.environ.get("SNAPSTORE_TEST_EVERY_FAULT") else SPREAD)
    chance = random.Random(seed)
    return sorted({1 + int((part + chance.random()) * count / parts) for part in range(parts)})


def bursts_of_a_snapshot(scene: RemoteScene, wire: FaultyWire) -> int:
    """How many requests an undisturbed snapshot takes."""
    scene.change_source()
    wire.count_anew()
    assert scene.snapshot("undisturbed", through=wire) is None
    return wire.counts.bursts


def test_a_reset_at_any_request_is_survived(scene: RemoteScene, wire: FaultyWire) -> None:
    whole = bursts_of_a_snapshot(scene, wire)
    for k in spread(whole, seed=1):
        scene.change_source()
        wire.count_anew()
        wire.reset_at(burst=k)
        error = scene.snapshot(f"reset at {k}", through=wire, options=scene.options(tries=TRIES))
        assert error is None, f"a reset at request {k} of {whole} was not survived: {error}"
        scene.points += wire.counts.resets
    wire.count_anew()
    assert scene.snapshot("a whole one passes", through=wire) is None
    assert wire.counts.resets == 0


def test_a_network_that_is_gone_for_a_while_is_an_error_and_the_next_run_succeeds(
    scene: RemoteScene, wire: FaultyWire
) -> None:
    failed = 0
    for k in spread(bursts_of_a_snapshot(scene, wire), seed=2):
        scene.change_source()
        wire.count_anew()
        wire.reset_at(burst=k, times=8, all_connections=True)
        error = scene.snapshot(f"gone at {k}", through=wire)
        scene.points += wire.counts.resets > 0
        failed += error is not None
        assert error is None or isinstance(error, StoreError), f"{k}: {error!r}"
        wire.heal()
        assert scene.snapshot(f"after {k}", through=wire) is None
    assert failed > 0, "nothing ever failed: the fault is none"


def test_a_reset_in_the_middle_of_an_upload_is_survived(scene: RemoteScene, wire: FaultyWire) -> None:
    scene.change_much()
    wire.count_anew()
    assert scene.snapshot("undisturbed", through=wire) is None
    whole = wire.counts.bytes_up
    assert whole > 1_000_000
    for part in (0.1, 0.35, 0.6, 0.85, 0.99):
        scene.change_much()
        wire.count_anew()
        wire.reset_after_bytes(int(whole * part))
        assert scene.snapshot(f"reset at {part}", through=wire, options=scene.options(tries=TRIES)) is None
        scene.points += wire.counts.resets


def test_an_answer_that_ends_too_early_is_never_taken_for_a_whole_one(scene: RemoteScene, wire: FaultyWire) -> None:
    """Listings above all: one that broke off must not look like an empty or a short one."""
    with scene.opened("reader", through=wire) as repository:
        repository.unlock(SECRET)
    wire.count_anew()
    with scene.opened("reader", through=wire) as repository:
        truth = {found.label for found in repository.dossier("books").list()}
    failed = 0
    for position in spread(wire.counts.bytes_down, seed=3):
        wire.count_anew()
        wire.cut_answers_after(position)
        try:
            with scene.opened("reader", through=wire) as repository:
                listed = {found.label for found in repository.dossier("books").list()}
                assert listed == truth, f"a listing cut after {position} bytes was taken for a whole one"
        except StoreError as error:
            scene.assert_no_password(error)
            failed += 1
        scene.points += wire.counts.resets
    assert failed > 0
    whole = bursts_of_a_snapshot(scene, wire), wire.counts.bytes_down
    for position in spread(whole[1], seed=4)[::2]:
        scene.change_source()
        wire.count_anew()
        wire.cut_answers_after(position)
        scene.snapshot(f"cut after {position}", through=wire)
        scene.points += wire.counts.resets
        wire.heal()
        assert scene.snapshot(f"after the cut at {position}", through=wire) is None


def test_a_restore_goes_on_after_a_reset_and_is_never_wrong(scene: RemoteScene, wire: FaultyWire) -> None:
    truth = scene.done["first"]
    with scene.opened("writer", through=wire) as repository:
        scene.restored(repository.dossier("books"), "latest")
    whole = wire.count_anew()
    target = scene.folder / "interrupted"
    for tries in (TRIES, 1):
        for k in spread(whole.bursts, seed=5)[:: 1 if tries > 1 else 2]:
            wire.count_anew()
            wire.reset_at(burst=k, times=1 if tries > 1 else 3)
            try:
                with scene.opened("writer", through=wire, options=scene.options(tries=tries)) as repository:
                    report = repository.dossier("books").restore("latest", to=target, secret=SECRET)
                complete = report.problems == ()
            except StoreError:
                complete = False
            assert complete or tries == 1, f"a reset at request {k} of {whole.bursts} was not survived"
            wire.heal()
            if not complete:  # it goes on in the same folder
                with scene.opened("writer", through=wire) as repository:
                    repository.dossier("books").restore("latest", to=target, secret=SECRET)
            assert compare_trees.differences(truth, compare_trees.collect(target)) == []
            shutil.rmtree(target)
            scene.points += wire.counts.resets


def test_a_server_that_says_nothing_more_is_an_error_in_time(scene: RemoteScene, wire: FaultyWire) -> None:
    whole = bursts_of_a_snapshot(scene, wire)
    for k in (1, whole // 3, 2 * whole // 3):
        scene.change_source()
        wire.count_anew()
        stalled = threading.Thread(target=stall_at, args=(wire, k))
        stalled.start()
        started = time.monotonic()
        error = scene.snapshot(f"stalled at {k}", through=wire, options=scene.options(answer_seconds=STALL_SECONDS))
        took = time.monotonic() - started
        stalled.join()
        wire.heal()
        if error is not None:
            assert isinstance(error, StoreError)
            assert error.retryable, f"{error.code}: {error}"
            scene.points += 1
        assert took < 8 * STALL_SECONDS + 6, f"it took {took:.1f} s"
        assert scene.snapshot(f"after the stall at {k}", through=wire) is None


def stall_at(wire: FaultyWire, burst: int) -> None:
    until(lambda: wire.counts.bursts >= burst)
    wire.stall()


def test_a_slow_network_only_takes_longer(scene: RemoteScene) -> None:
    with wire_of(scene.server, delay_seconds=0.01) as wire:
        scene.change_source()
        assert scene.snapshot("slow", through=wire) is None
        with scene.opened("writer", through=wire) as repository:
            found = scene.restored(repository.dossier("books"), "latest")
    assert compare_trees.differences(scene.done["slow"], found) == []
    scene.points += 1


def test_a_server_that_nobody_can_reach_is_no_empty_one(scene: RemoteScene, wire: FaultyWire) -> None:
    with scene.opened("reader", through=wire) as repository:
        dossier = repository.unlock(SECRET)
        wire.refuse()
        wire.reset_now()
        with pytest.raises(StoreError) as raised:
            dossier.list()
        assert raised.value.retryable
        with pytest.raises(StoreError):
            snapstore.open(
                behind(scene.server, wire).url(scene.place), state_dir=scene.folder / "x", options=scene.options()
            )
        wire.heal()
        assert [found.label for found in dossier.list()] == ["first"], "it does not come back by itself"
    scene.points += 1
