"""Stations and dossiers do what comes to anybody's mind, in any order, and a model made of dicts does it too.

Hypothesis draws the steps: files change; stations save, restore, copy to a twin and back, forget, hold, prune, enrol,
revoke and rename; processes end, die or meet a failing store at any of its operations; objects are damaged and
repaired. Whatever
happens, everything that was reported and that nobody asked to be gone restores bit for bit, damage is called damage,
and no plaintext is stored.

The steps are the same ones in each run. `SNAPSTORE_TEST_MINUTES` asks for others, drawn anew until so much time has
gone by, and so does any Hypothesis profile but `dev`, for as many examples as it says. What the library draws at random
(ids, names, nonces) differs in each run all the same; so an example that Hypothesis calls flaky is a failure still.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from remembered_keys import RememberedArgon2id
from stateful_world import (
    CONTENTS,
    MEDIA,
    NAME_MARKER,
    SECRETS,
    STATIONS,
    Model,
    World,
    notable,
    open_by_id,
)

import snapstore
from snapstore.crypto import kdf
from snapstore.testing import FOLDER, OBJECT_STORAGE, SERVER, Fault, Faults, SimulatedCrash

EXAMPLES = 32
STEPS = 40
MINUTES = float(os.environ.get("SNAPSTORE_TEST_MINUTES", "0"))
PATHS = tuple(
    f"{folder}{NAME_MARKER} {number}{end}"
    for folder in ("", "deep/er/")
    for number, end in enumerate((".txt", ".db", ".bin", ""))
)
DAMAGED = st.sampled_from(("packs", "packs", "index", "snapshots", "ok", "dossiers", "config", "records"))
HEALED = ("packs", "packs", "index", "snapshots", "ok", "dossiers")
WAYS = ("flip", "cut", "delete")
KINDS = st.sampled_from((replace(FOLDER, tears=False), replace(SERVER, tears=False), OBJECT_STORAGE))
"""A manifest that a dead station left torn is told of as damage until that station comes back, and so is no part of
this: tests/faults/test_every_crash.py tears."""
NUMBERS = st.integers(0, 99)
"""To choose from what there is at that moment."""
OTHERS = ("copy", "forget", "hold", "enrol", "rename")
FAULTS = st.builds(
    Faults, at=st.integers(1, 45), fault=st.sampled_from([Fault.CRASH] * 4 + [*Fault]), lasting=st.booleans()
)


class Stations(RuleBasedStateMachine):
    """What can be done."""

    template: ClassVar[World]
    folder: ClassVar[Path]
    done: ClassVar[Counter[str]] = Counter()

    @initialize(main=KINDS, twin=KINDS, seed=st.integers(0, 10_000))
    def begin(self, main: Any, twin: Any, seed: int) -> None:
        folder = self.folder / "example"
        shutil.rmtree(folder, ignore_errors=True)
        self.world = self.template.fork(folder, (main, twin), seed)
        self.write(0, 0, "bundled", 1)
        self.snapshot(0, "one")

    # --- files --------------------------------------------------------------------------------------------------

    @rule(which=NUMBERS, path=NUMBERS, shape=st.sampled_from(sorted(CONTENTS)), seed=NUMBERS)
    def write(self, which: int, path: int, shape: str, seed: int) -> None:
        self.world.write(self.model(which), PATHS[path % len(PATHS)], CONTENTS[shape](seed))

    @rule(which=NUMBERS, path=NUMBERS)
    def delete(self, which: int, path: int) -> None:
        model = self.model(which)
        if len(model.files) > 1:
            self.world.write(model, sorted(model.files)[path % len(model.files)], None)

    # --- what is done every day ---------------------------------------------------------------------------------

    @rule(which=NUMBERS, station=st.sampled_from(STATIONS))
    def snapshot(self, which: int, station: str) -> None:
        if station not in self.model(which).enrolled:
            self.enrol(which, station, 0)
        self.save("main", station, self.model(which))

    @rule(which=NUMBERS)
    def snapshot_on_the_twin(self, which: int) -> None:
        if self.model(which).on_twin:
            self.save("twin", "one", self.model(which))

    @rule(which=NUMBERS, station=st.sampled_from(STATIONS), medium=st.sampled_from(MEDIA), snapshot=NUMBERS)
    def restore(self, which: int, station: str, medium: str, snapshot: int) -> None:
        model = self.model(which)
        with self.maybe_refused(station, medium, model):
            found = self.world.assert_listed(station, medium, model)
            if found:
                chosen = found[snapshot % len(found)]
                self.world.assert_restores(self.world.dossier(station, medium, model), chosen, model.secrets[0])
                self.did("restore")

    @rule(there=st.booleans())
    def copy(self, there: bool) -> None:
        """From the main medium to its twin, or back."""
        origin, destination = MEDIA if there else MEDIA[::-1]
        report = self.world.repository("one", origin).copy_to(self.world.repository("one", destination))
        assert not notable(origin, report.problems), report.problems
        self.did(f"copy to {destination}")
        self.note_copied(destination)

    @rule(station=st.sampled_from(STATIONS))
    def begin_anew(self, station: str) -> None:
        self.world.end_processes(station)

    # --- forgetting ---------------------------------------------------------------------------------------------

    @rule(which=NUMBERS, station=st.sampled_from(STATIONS), last=st.integers(1, 3), twin=st.booleans())
    def forget_by_policy(self, which: int, station: str, last: int, twin: bool) -> None:
        medium, station = ("twin", "one") if twin else ("main", station)
        model = self.model(which)
        with self.maybe_refused(station, medium, model):
            dossier = self.world.dossier(station, medium, model)
            newest = [found.id for found in dossier.list() if found.confirmed][:last]
            report = dossier.forget(snapstore.RetentionPolicy(last=last))
            gone = {snapshot.id for snapshot in report.forgotten}
            assert not gone & {*newest}
            assert medium == "twin" or not gone & model.held - model.maybe_held
            self.note_forgotten(medium, model, gone)
            self.did("forget")

    @rule(which=NUMBERS, station=st.sampled_from(STATIONS), snapshot=NUMBERS, last=st.booleans())
    def forget_by_name(self, which: int, station: str, snapshot: int, last: bool) -> None:
        model = self.model(which)
        with self.maybe_refused(station, "main", model):
            dossier = self.world.dossier(station, "main", model)
            found = [found for found in dossier.list() if found.confirmed]
            if not found:
                return
            chosen = found[snapshot % len(found)]
            if chosen.held or (len(found) == 1 and not last):
                with pytest.raises(snapstore.InputError) as refused:
                    dossier.forget(snapshots=[chosen], allow_last=last)
                assert refused.value.code == ("held" if chosen.held else "last_snapshot")
            else:
                dossier.forget(snapshots=[chosen], allow_last=last)
                self.note_forgotten("main", model, {chosen.id})
                self.did("forget")

    @rule(which=NUMBERS, station=st.sampled_from(STATIONS), snapshot=NUMBERS, hold=st.booleans())
    def hold(self, which: int, station: str, snapshot: int, hold: bool) -> None:
        model = self.model(which)
        with self.maybe_refused(station, "main", model):
            dossier = self.world.dossier(station, "main", model)
            found = dossier.list()
            if found:
                chosen = found[snapshot % len(found)]
                (dossier.hold if hold else dossier.unhold)(chosen)
                model.maybe_held.discard(chosen.id)
                (model.held.add if hold else model.held.discard)(chosen.id)
                self.did("hold" if hold else "unhold")

    @rule(station=st.sampled_from(STATIONS), twin=st.booleans(), unused=st.sampled_from((0.0, 0.05, 0.5)))
    def prune(self, station: str, twin: bool, unused: float) -> None:
        medium, station = ("twin", "one") if twin else ("main", station)
        if all(station in model.enrolled for model in self.world.dossiers):
            self.world.repository(station, medium).prune(options=snapstore.PruneOptions(max_unused=unused))
            self.did("prune")

    # --- dossiers, stations and secrets -------------------------------------------------------------------------

    @precondition(lambda self: len(self.world.dossiers) < len(SECRETS))
    @rule()
    def add_dossier(self) -> None:
        number = len(self.world.dossiers)
        made = self.world.repository("one", "main").create_dossier(
            f"Dossier {NAME_MARKER} {number}", secret=SECRETS[number]
        )
        self.world.add_model(made.id, SECRETS[number])
        self.write(number, number, "shared", number)
        self.did("add dossier")

    @rule(which=NUMBERS, station=st.sampled_from(STATIONS), secret=NUMBERS)
    def enrol(self, which: int, station: str, secret: int) -> None:
        """With a secret or a recovery code."""
        model = self.model(which)
        if station not in model.revoked | model.uncertain:
            opened = self.world.repository(station, "main").unlock(model.secrets[secret % len(model.secrets)])
            assert opened.id == model.id
            model.enrolled.add(station)
            self.did("enrol")

    @rule(which=NUMBERS, station=st.sampled_from(STATIONS[1:]))
    def revoke(self, which: int, station: str) -> None:
        model = self.model(which)
        if station in model.enrolled - model.uncertain:
            self.world.dossier("one", "main", model).revoke_station(station, secret=model.secrets[0])
            model.enrolled.discard(station)
            model.revoked.add(station)
            self.did("revoke")

    @rule(which=NUMBERS, station=st.sampled_from(STATIONS), number=NUMBERS)
    def rename(self, which: int, station: str, number: int) -> None:
        model = self.model(which)
        with self.maybe_refused(station, "main", model):
            name = f"Dossier {NAME_MARKER} {which % len(self.world.dossiers)} {number}"
            self.world.dossier(station, "main", model).rename(name, secret=model.secrets[0])
            self.did("rename")

    @rule(which=NUMBERS)
    def add_recovery_code(self, which: int) -> None:
        model = self.model(which)
        if len(model.secrets) < 3:
            model.secrets.append(self.world.dossier("one", "main", model).add_recovery_code(secret=model.secrets[0]))
            self.did("add recovery code")

    # --- trouble ------------------------------------------------------------------------------------------------

    @rule(which=NUMBERS, station=st.sampled_from(STATIONS), faults=FAULTS)
    def save_in_trouble(self, which: int, station: str, faults: Faults) -> None:
        self.meet_trouble(which, station, faults, "snapshot")

    @rule(which=NUMBERS, station=st.sampled_from(STATIONS), faults=FAULTS)
    def prune_in_trouble(self, which: int, station: str, faults: Faults) -> None:
        self.meet_trouble(which, station, faults, "prune")

    @rule(which=NUMBERS, station=st.sampled_from(STATIONS), faults=FAULTS, what=st.sampled_from(OTHERS))
    def meet_trouble(self, which: int, station: str, faults: Faults, what: str) -> None:
        """Do something in a process that dies, or whose store fails, at some operation of the main medium."""
        model = self.model(which)
        station = "one" if what == "copy" else station
        act: Callable[[], None] = {
            "snapshot": lambda: self.save("main", station, model),
            "copy": lambda: self.copy(False),
            "forget": lambda: self.forget_by_policy(which, station, 1, False),
            "hold": lambda: self.hold(which, station, 0, True),
            "enrol": lambda: self.enrol(which, station, 0),
            "prune": lambda: self.prune(station, False, 0.0),
            "rename": lambda: self.rename(which, station, 1),
        }[what]
        if what in ("forget", "hold"):
            before = {found.id for found in self.world.dossier("one", "main", model).list()}
        with self.world.in_trouble(station, "main", faults) as store:
            try:
                self.world.open_in_trouble(station, "main", store)
                act()
            except SimulatedCrash:
                self.did(f"killed in {what}")
            except snapstore.SnapstoreError:
                if not store.met:
                    raise
                self.did(f"failed in {what}")
            else:
                return
        match what:
            case "forget":
                self.lose_sight(model, before)
            case "hold":
                model.maybe_held |= before
            case "enrol":
                model.uncertain |= {station} - model.enrolled

    def lose_sight(self, model: Model, before: set[bytes]) -> None:
        """Of snapshots that may be forgotten or not."""
        model.maybe_forgotten |= before
        for id_ in before:
            model.reported["main"].pop(id_, None)

    @rule(medium=st.sampled_from(MEDIA), kind=DAMAGED, number=NUMBERS, place=st.floats(0, 1), way=st.sampled_from(WAYS))
    def damage(self, medium: str, kind: str, number: int, place: float, way: str) -> None:
        """One object. Nothing gives wrong bytes then; with the object back, everything is as before."""
        names = [item.name for item in self.world.media[medium].inner.list(kind)]
        if names:
            with self.damaged(medium, names[number % len(names)], place, way):
                self.assert_no_wrong_bytes(medium)
                self.assert_check_flags(medium, kind, way)
            self.did(f"damage {kind}")

    @rule(kind=st.sampled_from(HEALED), number=NUMBERS, place=st.floats(0, 1), way=st.sampled_from(WAYS))
    def damage_and_repair(self, kind: str, number: int, place: float, way: str) -> None:
        """One object of the main medium is damaged when its twin has everything; a repair brings it back."""
        self.copy(True)
        names = [item.name for item in self.world.media["main"].inner.list(kind)]
        # The keys of a dossier that has no snapshots are no loss: somebody may be removing it.
        if not names or (kind == "dossiers" and not all(model.reported["main"] for model in self.world.dossiers)):
            return
        twin = self.world.repository("one", "twin")
        with self.damaged("main", names[number % len(names)], place, way) as put_back:
            main = self.world.repository("one", "main")
            plan = main.plan_repair(twin=twin)
            report = main.repair(plan, twin=twin)
            if plan.hurt or plan.unhealable or report.hurt or report.failed:
                self.did("repair is not possible")  # what was forgotten on the twin is not there to heal from
                return
            self.world.end_processes("one")
            if kind == "ok" and self.some_are_unconfirmed():
                self.did("repair knows of no confirmation")  # nothing else on the medium says that there was one
                return
            put_back.clear()
            found = self.world.repository("one", "main").check(snapstore.CheckOptions(read_data=True), record=False)
            assert not [finding for finding in found.findings if finding.is_damage], found.findings
            self.did(f"repair {kind}")

    def some_are_unconfirmed(self) -> bool:
        """Whether some of what was reported on the main medium is listed, and not confirmed."""
        for model in self.world.dossiers:
            listed = {snapshot.id: snapshot for snapshot in self.world.dossier("one", "main", model).list()}
            if any(not listed[id_].confirmed for id_ in model.reported["main"]):
                return True
        return False

    @contextlib.contextmanager
    def damaged(self, medium: str, name: str, place: float, way: str) -> Iterator[list[str]]:
        """Damage an object; at the end put back what is in the list that is given: the object."""
        objects = self.world.media[medium].inner
        whole = objects.get(name)
        objects.delete(name)
        offset = int(place * (len(whole) - 1))
        if way != "delete":
            objects.put(name, whole[:offset] if way == "cut" else flipped(whole, offset))
        put_back = [name]
        self.world.end_processes("one")
        try:
            yield put_back
        finally:
            if put_back:
                with contextlib.suppress(snapstore.ObjectNotFoundError):
                    objects.delete(name)
                objects.put(name, whole)
            self.world.end_processes("one")

    def assert_check_flags(self, medium: str, kind: str, way: str) -> None:
        """A check that reads everything names the damage."""
        try:
            report = self.world.repository("one", medium).check(
                snapstore.CheckOptions(read_data=True), secret=SECRETS[0], record=False
            )
        except (snapstore.DamageError, snapstore.RepositoryNotFoundError):
            if kind not in {"config", "dossiers"}:  # without these nothing can be looked at
                raise
            return
        if way != "delete" or kind in {"packs", "snapshots", "ok", "index"}:
            assert report.findings, f"{way} of one of {kind} was not found"
        if report.whole:  # the object has its like elsewhere, or nobody needs it
            self.assert_reported_restores(medium)
        self.did("check finds damage")

    def assert_no_wrong_bytes(self, medium: str) -> None:
        """What is read of a medium is right, or it is said not to be."""
        self.world.end_processes("one")
        for model in self.world.dossiers:
            try:
                review = self.world.dossier("one", medium, model).review()
            except snapstore.SnapstoreError:
                continue
            listed = {snapshot.id for snapshot in review.snapshots}
            said = [*review.problems, *review.missing]
            assert said or listed >= model.reported[medium].keys(), "snapshots vanished, and nothing was said"
            for snapshot in review.snapshots[:3]:
                truth = self.world.contents[snapshot.label or ""]
                found, complaints = self.world.restored(
                    self.world.dossier("one", medium, model), snapshot, model.secrets[0]
                )
                assert found.items() <= truth.items(), "wrong bytes"
                assert complaints or found == truth

    def assert_reported_restores(self, medium: str) -> None:
        """Everything that was reported on a medium restores, whatever else is wrong with it."""
        for model in self.world.dossiers:
            if model.reported[medium]:
                dossier = self.world.dossier("one", medium, model)
                listed = {snapshot.id: snapshot for snapshot in dossier.list()}
                for id_ in model.reported[medium]:
                    self.world.assert_restores(dossier, listed[id_], model.secrets[0])

    # --- what always holds --------------------------------------------------------------------------------------

    @invariant()
    def nothing_leaked(self) -> None:
        self.world.assert_nothing_leaked()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.assert_everything()
                self.world.assert_one_prune_is_enough()
                self.world.assert_everything()
                self.world.assert_checks_whole()
                self.world.assert_nothing_leaked()
                self.world.assert_stations_tell_nothing()
            finally:
                self.world.close()

    # --- help ---------------------------------------------------------------------------------------------------

    def model(self, which: int) -> Model:
        return self.world.dossiers[which % len(self.world.dossiers)]

    def save(self, medium: str, station: str, model: Model) -> None:
        label = self.world.new_label(model)
        with self.maybe_refused(station, medium, model):
            report = self.world.dossier(station, medium, model).snapshot(model.folder, label=label)
            assert not report.problems, report.problems
            model.reported[medium][report.snapshot.id] = label
            self.did(f"snapshot on {medium}")

    @contextlib.contextmanager
    def maybe_refused(self, station: str, medium: str, model: Model) -> Iterator[None]:
        """A station that is not enrolled or was revoked, and a dossier that is not on the twin, may be refused."""
        try:
            yield
        except (snapstore.AccessError, snapstore.DossierNotFoundError):
            certain = model.on_twin if medium == "twin" else True
            if station in model.enrolled and certain and (medium == "main" or station == "one"):
                raise
            self.did("refused")

    def note_copied(self, medium: str) -> None:
        """After a copy whatever was confirmed at the origin is at the destination, unless it was forgotten there."""
        for model in self.world.dossiers:
            model.on_twin |= medium == "twin"
            for snapshot in open_by_id(self.world.repository("one", medium), model.id).list():
                if snapshot.confirmed and snapshot.id not in model.maybe_forgotten:
                    model.reported[medium][snapshot.id] = snapshot.label or ""

    def note_forgotten(self, medium: str, model: Model, ids: set[bytes]) -> None:
        for id_ in ids:
            model.reported[medium].pop(id_, None)
            model.held.discard(id_)

    def did(self, what: str) -> None:
        self.done[what] += 1


def flipped(whole: bytes, offset: int) -> bytes:
    """One bit changed."""
    hurt = bytearray(whole)
    hurt[offset] ^= 1
    return bytes(hurt)


def chosen_settings() -> settings:
    """The same examples each time, or others where somebody asked for them."""
    health = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    fixed = settings(stateful_step_count=STEPS, suppress_health_check=health, deadline=None, print_blob=True)
    if MINUTES:
        return settings(fixed, max_examples=EXAMPLES)
    if settings.get_current_profile_name() == "dev":
        # Shrinking takes many times as long as finding; who looks for a small example asks for a random run.
        return settings(fixed, max_examples=EXAMPLES, derandomize=True, database=None, phases=(Phase.generate,))
    return fixed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:(?s).*SimulatedCrash:pytest.PytestUnhandledThreadExceptionWarning")
def test_stations_and_dossiers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kdf, "Argon2id", RememberedArgon2id)
    Stations.template = World.template(tmp_path / "template")
    Stations.folder = tmp_path
    Stations.done.clear()
    end = time.monotonic() + 60 * MINUTES
    run_state_machine_as_test(Stations, settings=chosen_settings())
    while time.monotonic() < end:
        run_state_machine_as_test(Stations, settings=chosen_settings())
    print(", ".join(f"{what}: {count}" for what, count in sorted(Stations.done.items())))
