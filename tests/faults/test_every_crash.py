"""Every operation, and the run after it, dies or fails at every single store operation.

The store is a simulated one: what the interrupted operation did is drawn from a seed (nothing, all, a part, or all of
it later on), and the process leaves its state folder as it was in that moment. After each fault everything that was
reported restores in every byte and attribute, nothing counts as whole that is not, the next run ends well, and the one
after it finds nothing of them: no temporaries, no notes, no complaints.

By default each operation meets a crash, one kind of failure once, one for good and a full medium at each k, in turns,
and the store is of each kind in turn; `SNAPSTORE_TEST_EVERY_FAULT=1` has all of them at each k on all kinds, and dies
again in every next run.
How many faults were met is said at the end of the run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import compare_trees
import pytest
from crash_scene import (
    OTHER_SECRET,
    Act,
    Process,
    World,
    addresses,
    run,
    trials,
    write_source,
)
from remembered_keys import RememberedArgon2id

import snapstore
from snapstore.crypto import kdf
from snapstore.operations.opening import init_repository
from snapstore.operations.restore import run as restoring
from snapstore.operations.snapshot import ordinary, reuse
from snapstore.sources import scanned
from snapstore.targets.probing import probe
from snapstore.testing import FOLDER, OBJECT_STORAGE, SERVER, Fault, Faults, SimulatedStore, StoreKind

EVERY = bool(os.environ.get("SNAPSTORE_TEST_EVERY_FAULT"))
KINDS = (FOLDER, SERVER, OBJECT_STORAGE)
TICK_SECONDS = 0.02

pytestmark = [  # threads die with their process, and nobody closes its files
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


# --- operations --------------------------------------------------------------------------------------------------


def init(process: Process) -> None:
    try:
        context = init_repository(process.store(), process.state, protected=True, share=False, kdf_seconds=0)
        process.keep(snapstore.Repository(context))
    except snapstore.RepositoryExistsError:
        process.open()


def add_dossier(process: Process) -> None:
    name = "books" if "letters" not in process.world.wanted else "letters"
    repository = process.open()
    try:
        repository.dossier(name)
    except snapstore.DossierNotFoundError:
        repository.create_dossier(name, secret=process.world.secrets[name])
    process.world.report("main", name)


def save(process: Process, label: str = "second", name: str = "books") -> None:
    report = process.open().dossier(name).snapshot(process.world.source, label=label)
    process.accept(report.problems)
    process.world.report("main", name, report.snapshot.id)


def save_unchanged(process: Process) -> None:
    save(process)
    save(process)


def copy_to_twin(process: Process) -> None:
    report = process.open().copy_to(process.world.address(process.store("twin")), mode="twin")
    process.accept(report.problems)
    process.world.report("twin", "books", *(item.copy_id for item in report.copied))


def copy_elsewhere(process: Process) -> None:
    dossier = process.open().dossier("books")
    secrets = {"secret": process.world.secrets["books"], "new_secret": OTHER_SECRET}
    report = dossier.copy_to(process.open("other"), mode="independent", **secrets)
    process.accept(report.problems)
    process.world.report("other", "books", *(item.copy_id for item in report.copied))


def remove_dossier(process: Process) -> None:
    process.world.reported.pop(("main", "letters"), None)
    try:
        process.open().remove_dossier("letters", secret=process.world.secrets["letters"])
    except snapstore.DossierNotFoundError:
        return


def revoke(process: Process) -> None:
    process.open().dossier("books").revoke_station("two", secret=process.world.secrets["books"])


def rename(process: Process) -> None:
    process.unlock().rename("ledgers")


def add_recovery_code(process: Process) -> None:
    process.world.codes.append(process.unlock().add_recovery_code())


def forget(process: Process) -> None:
    dossier = process.open().dossier("books")
    gone = {snapshot.id for snapshot in dossier.list() if snapshot.label == "first"}
    process.world.reported["main", "books"] -= gone
    dossier.forget(snapstore.RetentionPolicy(last=1))


def hold(process: Process) -> None:
    dossier = process.open().dossier("books")
    wanted = [snapshot for snapshot in dossier.list() if snapshot.label == "first" and not snapshot.held]
    if wanted:
        dossier.hold(*wanted)


def prune(process: Process) -> None:
    process.accept(process.open().prune(options=snapstore.PruneOptions(max_unused=0.0)).problems)


def repair(process: Process) -> None:
    repository = process.open()
    report = repository.repair(repository.plan_repair())
    process.accept([*report.failed, *report.problems])


def add_parity(process: Process) -> None:
    process.accept(process.open().add_parity().problems)


# --- what has to hold at the end ---------------------------------------------------------------------------------


def one_config(world: World) -> None:
    configs = [item.name for item in world.media["main"].inner.list("config")]
    assert len(configs) == 1, configs


def labels(*expected: str) -> Callable[[World], None]:
    def look(world: World) -> None:
        with Process(world) as process:
            found = [snapshot.label for snapshot in process.unlock().list()]
        assert set(found) == set(expected), found

    return look


def removed(world: World) -> None:
    with Process(world) as process:
        assert [info.name for info in process.open().dossiers()] == ["books"]


def is_revoked(world: World) -> None:
    with Process(world) as process:
        stations = {station.name: station.revoked is not None for station in process.unlock().stations()}
    assert stations == {"one": False, "two": True}, stations


def is_renamed(world: World) -> None:
    with Process(world) as process:
        assert process.open().dossier("ledgers").name == process.unlock().name == "ledgers"


def is_held(world: World) -> None:
    with Process(world) as process:
        held = {snapshot.label: snapshot.held for snapshot in process.unlock().list()}
    assert held == {"first": True, "second": False}, held


def is_pruned(world: World) -> None:
    with Process(world) as process:
        plan = process.open().plan_prune(snapstore.PruneOptions(max_unused=0.0))
    assert not plan.delete_packs, plan


def is_whole(world: World) -> None:
    with Process(world) as process:
        report = process.open().check(record=False)
    assert report.whole, report.findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What is run, in which world, which medium meets the faults, and what holds when it was run to its end."""

    act: Act
    world: str
    medium: str = "main"
    clears_torn: bool = False
    holds: Callable[[World], None] = lambda world: None


OPERATIONS = {
    "init": Operation(act=init, world="nothing", holds=one_config),
    "dossier add": Operation(act=add_dossier, world="empty"),
    "second dossier add": Operation(act=add_dossier, world="two wanted"),
    "first snapshot": Operation(act=save, world="books", clears_torn=True, holds=labels("second")),
    "second snapshot": Operation(act=save, world="one", clears_torn=True, holds=labels("first", "second")),
    "unchanged snapshot": Operation(act=save_unchanged, world="one", clears_torn=True, holds=labels("first", "second")),
    "copy to a new twin": Operation(act=copy_to_twin, world="one and a blank", medium="twin"),
    "copy to a twin": Operation(act=copy_to_twin, world="two and a twin", medium="twin"),
    "copy from a twin": Operation(act=copy_to_twin, world="two and a twin"),
    "copy elsewhere": Operation(act=copy_elsewhere, world="one and another", medium="other"),
    "remove dossier": Operation(act=remove_dossier, world="letters", holds=removed),
    "revoke": Operation(act=revoke, world="stations", holds=is_revoked),
    "rename": Operation(act=rename, world="one", holds=is_renamed),
    "recovery code": Operation(act=add_recovery_code, world="one"),
    "forget": Operation(act=forget, world="two", holds=labels("second")),
    "hold": Operation(act=hold, world="two", holds=is_held),
    "prune": Operation(act=prune, world="garbage", holds=is_pruned),
    "repair": Operation(act=repair, world="bad index", holds=is_whole),
    "parity": Operation(act=add_parity, world="two"),
}


# --- worlds ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address() -> Iterator[Callable[[Any], str]]:
    """What takes long is remembered, files count as unchanged at once, and simulated stores have addresses."""
    known: list[Any] = []

    def remembered(root: Any, path: str) -> Any:
        if not known:
            known.append(probe(root, path))
        return known[0]

    with pytest.MonkeyPatch.context() as patch, addresses(patch) as give:
        patch.setattr(restoring, "probe", remembered)
        patch.setattr(kdf, "Argon2id", RememberedArgon2id)
        for module in (reuse, scanned, ordinary):
            patch.setattr(module, "SETTLED_AFTER_NS", 0)
        yield give


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory, address: Callable[[Any], str]) -> dict[str, World]:
    """By name, what there is before an operation. The source changes after the first snapshots."""
    folder = tmp_path_factory.mktemp("worlds")
    source = folder / "source"
    write_source(source, 0)
    time.sleep(TICK_SECONDS)
    nothing = World(folder=folder / "nothing", source=source, media={"main": SimulatedStore()}, address=address)
    nothing.folder.mkdir()
    nothing.facts = {"first": compare_trees.collect(source)}
    made = {"nothing": nothing}

    def build(name: str, before: str, *acts: Act, station: str = "one", blank: str | None = None) -> World:
        world = made[name] = made[before].fork(folder / name)
        if blank is not None:
            world.media[blank] = SimulatedStore()
        for act in acts:
            with Process(world, station=station) as process:
                act(process)
        return world

    build("empty", "nothing", init)
    build("books", "empty", add_dossier)
    build("one", "books", lambda process: save(process, "first"))
    build("one and a blank", "one", blank="twin")
    build("one and a twin", "one and a blank", copy_to_twin)
    other = build("one and another", "one", blank="other")
    with Process(other) as process:
        init_repository(process.store("other"), process.state, protected=True, share=False, kdf_seconds=0)
    build("two wanted", "one").wanted.add("letters")
    build("letters", "two wanted", add_dossier, lambda process: save(process, "first", "letters"))
    build("stations", "one", lambda process: process.unlock(), lambda process: save(process, "first"), station="two")
    write_source(source, 1)
    time.sleep(TICK_SECONDS)
    facts = compare_trees.collect(source)
    for world in made.values():
        world.facts["second"] = facts
    build("two", "one", save)
    build("two and a twin", "one and a twin", save)
    build("garbage", "two", forget)
    bad = build("bad index", "two").media["main"].inner
    name = next(item.name for item in bad.list("index"))
    data = bad.get(name)
    bad.delete(name)
    bad.put(name, data[:-1] + bytes([data[-1] ^ 1]))
    return made


# --- the tests ---------------------------------------------------------------------------------------------------

ONCE = (Fault.UNAVAILABLE, Fault.IO_ERROR, Fault.LOST_ANSWER, Fault.FULL)
LASTING = (Fault.UNAVAILABLE, Fault.IO_ERROR)


PUT_NOTHING = {"copy from a twin"}
KNOWN = {
    ("copy to a twin", "lasting"): "a keyset of the twin that cannot be read for a while has the next copy complain of "
    "older keys: seen, not understood yet; nothing that was reported is lost",
}
SELDOM = {
    ("copy elsewhere", "crash"): "a session note whose put takes effect after its run died may stay: advisory",
    ("repair", "lasting"): "a place that cannot be read for good may leave a condemn object that no run ends",
}
"""Seen, but not in every run: threads come in an order of their own."""


def plans() -> dict[str, Callable[[int], list[tuple[Faults, StoreKind]]]]:
    """By name, from k to the faults that are met at the k-th operation, each with the kind of store."""

    def of(faults: tuple[Fault, ...], *, lasting: bool = False) -> Callable[[int], list[tuple[Faults, StoreKind]]]:
        def at(k: int) -> list[tuple[Faults, StoreKind]]:
            several = [(Faults(at=k, fault=fault, lasting=lasting), kind) for fault in faults for kind in KINDS]
            return several if EVERY else several[k % len(several) :][:1]

        return at

    return {
        "crash": of((Fault.CRASH,)),
        "once": of(ONCE),
        "lasting": of(LASTING, lasting=True),
        "full": of((Fault.FULL,), lasting=True),
    }


@pytest.mark.parametrize("plan", ["crash", "once", "lasting", "full"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation(
    name: str,
    plan: str,
    worlds: dict[str, World],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> None:
    if (name, plan) in KNOWN:
        request.applymarker(pytest.mark.xfail(reason=KNOWN[name, plan], strict=True))
    if (name, plan) in SELDOM:
        request.applymarker(pytest.mark.xfail(reason=SELDOM[name, plan]))
    operation = OPERATIONS[name]
    wrong = []
    points = 0
    for trial in trials(worlds[operation.world], operation.act, tmp_path, plans()[plan], operation.medium):
        points += 1
        try:
            see_it_end_well(trial.world, operation)
        except Exception as error:
            wrong.append(f"{trial.what}: {type(error).__name__}: {str(error)[:400]}")
    record_property(f"counted: store operations at which {name} met a fault", points)
    assert not wrong, "\n".join(wrong)
    assert points or (plan == "full" and name in PUT_NOTHING)


def see_it_end_well(world: World, operation: Operation) -> None:
    """What was reported is there; so it is after the next run; and the one after that finds nothing amiss."""
    world.check()
    end = run(Process(world), operation.act)
    assert end == "done", f"the next run: {end}"
    if any(medium.medium.late for medium in world.media.values()):
        world.deliver()
        end = run(Process(world), operation.act)
        assert end == "done", f"the run after it: {end}"
    world.check()
    world.assert_tidy(clears_torn=operation.clears_torn)
    operation.holds(world)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_run_after_a_crash(
    name: str, worlds: dict[str, World], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """It dies too, at its operations: by default at every third one, after a crash two thirds of the way."""
    operation = OPERATIONS[name]
    base = worlds[operation.world]
    count = operations_of(base.fork(tmp_path / "whole"), operation)
    wrong = []
    points = 0
    for at in range(1, count + 1) if EVERY else [max(1, count * 2 // 3)]:
        world = base.fork(tmp_path / f"first {at}", KINDS[at % 3], at)
        first = run(Process(world, faults=Faults(at=at), medium=operation.medium), operation.act)
        world.deliver()
        for trial in trials(world, operation.act, tmp_path / f"again {at}", every_third_crash, operation.medium):
            points += 1
            try:
                see_it_end_well(trial.world, operation)
            except Exception as error:
                wrong.append(f"{first} at {at}, {trial.what}: {type(error).__name__}: {str(error)[:400]}")
    record_property(f"counted: store operations of the run after a crash in {name} that met one", points)
    assert not wrong, "\n".join(wrong)
    assert points


def operations_of(world: World, operation: Operation) -> int:
    """How many store operations it takes."""
    process = Process(world)
    assert run(process, operation.act) == "done"
    return len(process.store(operation.medium).history)


def every_third_crash(at: int) -> list[tuple[Faults, StoreKind]]:
    return [(Faults(at=at), KINDS[at // 3 % 3])] if EVERY or at % 3 == 1 else []
