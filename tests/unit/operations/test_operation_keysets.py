"""Keysets of dossiers: enrolling, racing, planting, damage told from a wrong secret, recovery codes, revoking."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, BinaryIO

import pytest

import snapstore
from snapstore.crypto.derivation import digest
from snapstore.crypto.entropy import random_bytes
from snapstore.crypto.keys import DossierKeys, EpochKeys
from snapstore.crypto.signing import SigningKey
from snapstore.crypto.slots import open_master
from snapstore.errors import (
    AmbiguousError,
    DamagedObjectError,
    DossierExistsError,
    DossierNotFoundError,
    InputError,
    InUseError,
    NotEnrolledError,
    NotFoundError,
    SecretRequiredError,
    SecretTooShortError,
    StationRevokedError,
    TamperedError,
    WrongSecretError,
)
from snapstore.format.config import decode_config, encode_config
from snapstore.format.keyset import PrivateHalves, Slot, SlotKind, StationRecord, build_keyset, decode_keyset, make_slot
from snapstore.format.names import dossier_folder, dossier_path, new_name, object_path
from snapstore.operations.context import DossierContext
from snapstore.operations.dossiers import open_private
from snapstore.operations.keysets import read_keyset, stations_of
from snapstore.stores.protocol import Store
from snapstore.testing import Recorder, StoreWrapper
from snapstore.types import DossierId

ContextOf = Callable[[snapstore.Dossier], DossierContext]


def stations(dossier: snapstore.Dossier) -> list[str | None]:
    return [station.name for station in dossier.stations()]


def put_keyset(store: Store, dossier_id: DossierId, data: bytes, suffix: str | None = None) -> str:
    name = dossier_path("dossiers", dossier_id, new_name(digest(data), suffix=suffix))
    store.put(name, data)
    return str(name)


def next_of(context: DossierContext, secret: str | None, **changed: Any) -> bytes:
    """A next generation of the dossier's keyset, by whoever knows the secret."""
    opened = open_private(context, secret)
    keyset = opened.stored.keyset
    fields: dict[str, Any] = {
        "repository_id": keyset.repository_id,
        "dossier_id": keyset.dossier_id,
        "generation": keyset.generation + 1,
        "keys": opened.keys,
        "private": opened.private,
        "slots": keyset.slots,
        "stations": stations_of(opened),
        "name": opened.name,
        "created_ns": time.time_ns(),
    }
    return build_keyset(**(fields | changed))


# --- enrolling -------------------------------------------------------------------------------------------------------


def test_the_secret_enrols_a_station(lab: Any) -> None:
    dossier = lab.unlocked("two")
    assert dossier.unlocked
    assert stations(dossier) == ["one", "two"]
    assert [station.this for station in dossier.stations()] == [False, True]
    lab.write("file", b"of two")
    report = lab.dossier("two").snapshot(lab.source)
    assert lab.dossier().list() == (report.snapshot,)
    lab.assert_restores(lab.unlocked("three"), lab.facts(), report.snapshot)


def test_enrolling_again_publishes_nothing(lab: Any) -> None:
    lab.unlocked("two")
    before = lab.names("dossiers")
    lab.unlocked("two")
    assert lab.names("dossiers") == before


def test_without_the_secret_a_station_can_do_nothing(lab: Any) -> None:
    stranger = lab.open("stranger")
    with pytest.raises(NotEnrolledError):
        stranger.dossier("books")
    with pytest.raises(NotEnrolledError):
        stranger.create_dossier("mine", secret="a secret of mine")
    [info] = stranger.dossiers()
    assert (info.name, info.enrolled, info.protected, info.generation) == (None, False, True, 1)


def test_two_stations_enrol_at_the_same_time(lab: Any) -> None:
    """Both publish a second generation; what either of them changed is in the last one."""
    both_built, both_put = threading.Barrier(2), threading.Barrier(2)

    class Together(StoreWrapper):
        first = True

        def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
            if not self.first:
                super().put(name, data, size=size)
                return
            self.first = False
            both_built.wait(10)
            super().put(name, data, size=size)
            both_put.wait(10)

    with ThreadPoolExecutor(2) as threads:
        enrolling = [threads.submit(lab.unlocked, station, store=Together(lab.store)) for station in ("two", "three")]
        assert [future.result().name for future in enrolling] == ["books", "books"]
    generations = sorted(decode_keyset(lab.store.get(name)).generation for name in lab.names("dossiers"))
    assert generations[:3] == [1, 2, 2]
    assert generations[-1] > 2
    for station in ("one", "two", "three"):
        assert sorted(stations(lab.dossier(station))) == ["one", "three", "two"]
        lab.write("file", station.encode())
        lab.dossier(station).snapshot(lab.source)
    assert lab.dossier().review().problems == ()


def test_of_one_generation_the_smaller_name_wins(lab: Any, context: ContextOf) -> None:
    of = context(lab.dossier())
    named = {}
    for name in ("ledgers", "letters", "lists"):
        data = next_of(of, lab.secret, name=name, generation=2)
        named[put_keyset(lab.store, of.id, data)] = name
    winner = read_keyset(of.repository, of.id)
    assert winner.name == min(named)
    assert lab.unlocked("two").name == named[min(named)]


def test_stations_that_publish_without_end_end_in_an_error(lab: Any, context: ContextOf) -> None:
    of = context(lab.dossier())

    alone = stations_of(open_private(of, lab.secret))

    class Rival(StoreWrapper):
        """Publishes every generation that it sees as well, or the one after, and knows of no second station."""

        later = 0

        def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
            super().put(name, data, size=size)
            if name.startswith("dossiers/"):
                generation = decode_keyset(self.inner.get(name)).generation + self.later
                put_keyset(self.inner, of.id, next_of(of, lab.secret, generation=generation, stations=alone))

    with pytest.raises(InUseError):
        lab.unlocked("two", store=Rival(lab.store))
    Rival.later = 1  # then nothing is lost: what an older keyset lists counts
    three = lab.unlocked("three", store=Rival(lab.store))
    three.snapshot(lab.write("file", b"content").parent)
    assert [item.station for item in three.list()] == ["three"]


# --- planted and damaged keysets -------------------------------------------------------------------------------------


def planted(context: DossierContext, generation: int, slots: tuple[Slot, ...] = (), **changed: Any) -> bytes:
    """What somebody who can write makes up: other keys, a signature that holds, a higher generation."""
    private = PrivateHalves.generate()
    keys = DossierKeys.of(EpochKeys(epoch=1, maintenance=b"m" * 32, content=None, chunker=b"c" * 32, dossier=b"d" * 32))
    if not slots:
        master = bytes(32)
        slots = (make_slot(SlotKind.SECRET, 1, master, private, context.repository.config.repository_id, context.id),)
    fields: dict[str, Any] = {
        "repository_id": context.repository.config.repository_id,
        "dossier_id": context.id,
        "generation": generation,
        "keys": [keys],
        "private": private,
        "slots": slots,
        "stations": (StationRecord(public_key=SigningKey.generate().public_bytes, enrolled_ns=0, name="planted"),),
        "name": "books",
        "created_ns": 0,
    }
    return build_keyset(**(fields | changed))


def test_a_planted_keyset_does_not_count_where_the_keys_are_known(lab: Any, context: ContextOf) -> None:
    of = context(lab.dossier())
    put_keyset(lab.store, of.id, planted(of, 9))
    lab.write("file", b"x")
    report = lab.dossier().snapshot(lab.source)
    review = lab.dossier().review()
    assert [problem.code for problem in review.problems] == ["foreign_keyset"]
    assert review.snapshots == (report.snapshot,)
    assert stations(lab.dossier()) == ["one"]


def test_a_planted_keyset_does_not_keep_the_secret_from_opening_the_dossier(lab: Any, context: ContextOf) -> None:
    of = context(lab.dossier())
    lab.write("file", b"x")
    report = lab.dossier().snapshot(lab.source)
    put_keyset(lab.store, of.id, planted(of, 9))
    newcomer = lab.unlocked("newcomer")
    assert newcomer.name == "books"
    assert [problem.code for problem in newcomer.review().problems] == ["foreign_keyset"]
    lab.assert_restores(newcomer, lab.facts(), report.snapshot)
    assert stations(lab.dossier("newcomer")) == ["one", "newcomer"]


def test_only_planted_keysets_are_tampering(lab: Any, context: ContextOf) -> None:
    of = context(lab.dossier())
    [name] = lab.names("dossiers")
    lab.store.delete(name)
    put_keyset(lab.store, of.id, planted(of, 9))
    with pytest.raises(TamperedError):
        lab.dossier().list()
    with pytest.raises(TamperedError):
        lab.dossier().snapshot(lab.folder)


def test_the_slots_of_the_dossier_under_made_up_keys_do_not_open(lab: Any, context: ContextOf) -> None:
    """The secret fits the slot, the private halves do not fit the public keys: it was put together by another."""
    of = context(lab.dossier())
    slots = read_keyset(of.repository, of.id).keyset.slots
    put_keyset(lab.store, of.id, planted(of, 9, slots))
    newcomer = lab.unlocked("newcomer")
    assert stations(newcomer) == ["one", "newcomer"]


def test_a_planted_dossier_with_an_open_slot_is_not_opened(lab: Any, context: ContextOf) -> None:
    """In a protected repository anybody's secret would open it, and what is saved there would be anybody's."""
    of = context(lab.dossier())
    repository_id = of.repository.config.repository_id
    private = PrivateHalves.generate()
    trap = DossierId(random_bytes(16))
    slot = make_slot(SlotKind.OPEN, 0, open_master(repository_id), private, repository_id, trap)
    put_keyset(lab.store, trap, planted(of, 1, (slot,), dossier_id=trap, private=private))
    assert lab.unlocked("newcomer").id == of.id
    with pytest.raises(WrongSecretError):
        lab.open("stranger").unlock("some other secret")
    assert [info.name for info in lab.open("newcomer").dossiers()] == ["books", None]


def test_a_dossier_with_other_repository_keys_is_refused(lab: Any, context: ContextOf) -> None:
    """Planted by a member who knows the config's parameters and a secret of his own that a victim is told to type."""
    of = context(lab.dossier())
    repository = lab.open()
    repository.create_dossier("bait", secret="the bait's secret")
    bait = context(repository.dossier("bait"))
    opened = open_private(bait, "the bait's secret")
    other_keys = DossierKeys.of(replace(opened.keys[0], maintenance=b"m" * 32))
    for name in lab.names("dossiers"):
        if decode_keyset(lab.store.get(name)).dossier_id == bait.id:
            lab.store.delete(name)
    put_keyset(lab.store, bait.id, next_of_opened(opened, [other_keys]))
    with pytest.raises(TamperedError):
        lab.open("newcomer").unlock("the bait's secret")
    assert of.id != bait.id
    assert lab.state("newcomer").keys(of.repository.config.repository_id).dossiers == {}


def next_of_opened(opened: Any, keys: list[DossierKeys]) -> bytes:
    keyset = opened.stored.keyset
    return build_keyset(
        repository_id=keyset.repository_id,
        dossier_id=keyset.dossier_id,
        generation=keyset.generation + 1,
        keys=keys,
        private=opened.private,
        slots=keyset.slots,
        stations=stations_of(opened),
        name=opened.name,
        created_ns=time.time_ns(),
    )


def with_slots(context: DossierContext, secret: str, change: Callable[[Slot], Slot]) -> bytes:
    """The dossier's keyset with other slots, signed as it should be: damage that a signature does not show."""
    slots = tuple(change(slot) for slot in read_keyset(context.repository, context.id).keyset.slots)
    return next_of(context, secret, slots=slots)


def test_a_damaged_keyset_beside_a_whole_one_is_not_called_a_wrong_secret(lab: Any) -> None:
    lab.open().create_dossier("letters", secret="another one, for letters")
    (name,) = lab.names(f"dossiers/{dossier_folder(lab.dossier().id)}")
    whole = lab.store.get(name)
    lab.store.delete(name)
    lab.store.put(name, whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DamagedObjectError) as caught:
        lab.unlocked("newcomer")
    assert caught.value.code == "damaged_keyset"
    assert lab.open("newcomer").unlock("another one, for letters").unlocked
    lab.store.delete(name)
    lab.store.put(name, whole)
    with pytest.raises(WrongSecretError):
        lab.open("newcomer").unlock("a secret for nothing here")


def test_a_damaged_slot_is_not_called_a_wrong_secret(lab: Any, context: ContextOf) -> None:
    of = context(lab.dossier())
    data = with_slots(
        of, lab.secret, lambda slot: replace(slot, wrapped=slot.wrapped[:-1] + bytes([slot.wrapped[-1] ^ 1]))
    )
    for name in lab.names("dossiers"):
        lab.store.delete(name)
    put_keyset(lab.store, of.id, data)
    with pytest.raises(DamagedObjectError) as caught:
        lab.unlocked("newcomer")
    assert caught.value.code == "damaged_slot"
    with pytest.raises(DamagedObjectError):
        lab.dossier().unlock(lab.secret)


def test_a_damaged_keyset_among_others_is_passed_over(lab: Any) -> None:
    lab.unlocked("two")
    newest = max(lab.names("dossiers"), key=lambda name: decode_keyset(lab.store.get(name)).generation)
    data = lab.store.get(newest)
    lab.store.delete(newest)
    lab.store.put(newest, data[:-1] + bytes([data[-1] ^ 1]))
    assert stations(lab.unlocked("three")) == ["one", "three"]


def test_no_keyset_that_is_whole(lab: Any) -> None:
    for name in lab.names("dossiers"):
        data = lab.store.get(name)
        lab.store.delete(name)
        lab.store.put(name, data[:-1])
    with pytest.raises(DamagedObjectError):
        lab.dossier().list()
    with pytest.raises((DamagedObjectError, DossierNotFoundError)):
        lab.unlocked("newcomer")


@pytest.mark.parametrize("typed", ["a secret for the lad", "A secret for the lab", "something else altogether"])
def test_a_wrong_secret_is_called_one(lab: Any, typed: str) -> None:
    with pytest.raises(WrongSecretError):
        lab.open("newcomer").unlock(typed)
    with pytest.raises(WrongSecretError):
        lab.dossier().unlock(typed)


def test_a_short_secret_is_refused_before_anything_is_derived(lab: Any, remembered_argon2id: Any) -> None:
    before = remembered_argon2id.count
    with pytest.raises(SecretTooShortError):
        lab.open().create_dossier("letters", secret="seven77")
    with pytest.raises(InputError):
        lab.open("newcomer").unlock("short")
    assert remembered_argon2id.count == before


def test_one_derivation_however_many_dossiers(lab: Any, remembered_argon2id: Any) -> None:
    repository = lab.open()
    for number in range(5):
        repository.create_dossier(f"dossier {number}", secret=f"a secret of number {number}")
    before = remembered_argon2id.count
    assert lab.open("two").unlock("a secret of number 3").name == "dossier 3"
    assert remembered_argon2id.count == before + 1
    with pytest.raises(WrongSecretError):
        lab.open("two").unlock("nobody's secret")
    assert remembered_argon2id.count == before + 2


# --- recovery code, names, removal -----------------------------------------------------------------------------------


def test_a_recovery_code_opens_the_dossier_like_its_secret(lab: Any) -> None:
    lab.write("file", b"x")
    report = lab.dossier().snapshot(lab.source)
    with pytest.raises(SecretRequiredError):
        lab.dossier().add_recovery_code()
    code = lab.dossier().add_recovery_code(secret=lab.secret)
    other = lab.dossier().add_recovery_code(secret=lab.secret)
    assert code != other
    for typed in (code, other, code.lower().replace("-", " "), lab.secret):
        reader = lab.open(f"reader {typed}").unlock(typed)
        lab.assert_restores(reader, lab.facts(), report.snapshot)
    wrong = code[:-1] + ("2" if code[-1] != "2" else "3")
    with pytest.raises((WrongSecretError, InputError)):
        lab.open("newcomer").unlock(wrong)


def test_a_recovery_code_survives_later_changes(lab: Any) -> None:
    dossier = lab.dossier()
    code = dossier.add_recovery_code(secret=lab.secret)
    lab.unlocked("two")
    lab.dossier().rename("ledgers", secret=lab.secret)
    assert lab.open("three").unlock(code).name == "ledgers"


def test_rename(lab: Any) -> None:
    repository = lab.open()
    repository.create_dossier("letters", secret="another secret")
    dossier = repository.dossier("books")
    lab.unlocked("two", name="books")
    with pytest.raises(SecretRequiredError):
        dossier.rename("ledgers")
    with pytest.raises(WrongSecretError):
        dossier.rename("ledgers", secret="another secret")
    with pytest.raises(DossierExistsError):
        dossier.rename("letters", secret=lab.secret)
    for name in ("", "  ", "a\nb", "n" * 201, "\ud800"):
        with pytest.raises(InputError):
            dossier.rename(name, secret=lab.secret)
    dossier.rename("ledgers", secret=lab.secret)
    assert dossier.name == "ledgers"
    assert lab.dossier(name="ledgers").id == dossier.id
    with pytest.raises(DossierNotFoundError):
        lab.dossier()
    assert lab.unlocked("two").name == "ledgers"


def test_revoke(lab: Any) -> None:
    lab.unlocked("two")
    lab.unlocked("three")
    dossier = lab.dossier()
    with pytest.raises(NotFoundError):
        dossier.revoke_station("four", secret=lab.secret)
    two = next(station for station in dossier.stations() if station.name == "two")
    dossier.revoke_station(two.id.hex()[:6], secret=lab.secret)
    dossier.revoke_station(two.id, secret=lab.secret)  # twice does no harm
    [revoked] = [station for station in dossier.stations() if station.revoked is not None]
    assert (revoked.name, revoked.last_number) == ("two", 0)
    with pytest.raises(StationRevokedError):
        lab.dossier("two").snapshot(lab.folder)
    lab.write("file", b"x")
    lab.dossier("three").snapshot(lab.source)


def test_removing_a_dossier(lab: Any, context: ContextOf) -> None:
    lab.write("file", b"x")
    repository = lab.open()
    repository.create_dossier("letters", secret="another secret")
    kept = repository.dossier("letters").snapshot(lab.source)
    lab.dossier().snapshot(lab.source)
    removed = context(lab.dossier()).id
    with pytest.raises(SecretRequiredError):
        repository.remove_dossier("books")
    with pytest.raises(WrongSecretError):
        repository.remove_dossier("books", secret="another secret")
    assert len(lab.dossier().list()) == 1
    store = Recorder(lab.store)
    lab.open(store=store).remove_dossier("books", secret=lab.secret)
    changes = [(call.operation, call.name.split("/")[0]) for call in store.calls if call.operation in {"put", "delete"}]
    assert changes == [("put", "records"), ("delete", "ok"), ("delete", "snapshots"), ("delete", "dossiers")]
    with pytest.raises(DossierNotFoundError):
        lab.dossier()
    assert removed not in {info.id for info in lab.open().dossiers()}
    with pytest.raises(WrongSecretError):
        lab.unlocked("newcomer")
    assert lab.dossier(name="letters").list() == (kept.snapshot,)


def test_a_dossier_removed_by_another_station(lab: Any) -> None:
    two = lab.unlocked("two")
    lab.open().remove_dossier("books", secret=lab.secret)
    with pytest.raises(DamagedObjectError) as caught:
        two.list()
    assert caught.value.code == "keyset_missing"


def test_one_secret_for_two_dossiers_needs_a_name(lab: Any) -> None:
    lab.open().create_dossier("letters", secret=lab.secret)
    with pytest.raises(AmbiguousError):
        lab.unlocked("two")
    assert lab.unlocked("two", name="letters").name == "letters"
    with pytest.raises(WrongSecretError):
        lab.unlocked("two", name="lists")


def test_names_are_unique_on_a_station(lab: Any) -> None:
    with pytest.raises(DossierExistsError):
        lab.open().create_dossier("books", secret="another secret")
    with pytest.raises(SecretRequiredError):
        lab.open().create_dossier("letters")


# --- pinning, config, unprotected ------------------------------------------------------------------------------------


def test_a_lock_forgets_the_keys(lab: Any) -> None:
    lab.write("file", b"x")
    lab.dossier().snapshot(lab.source)
    with lab.unlocked("two") as dossier:
        assert list(dossier.entries("latest"))
    assert not dossier.unlocked
    with pytest.raises(SecretRequiredError):
        list(dossier.entries("latest"))
    assert list(lab.dossier().entries("latest")), "its own newest snapshot a station opens without the secret"


def test_an_older_snapshot_of_ones_own_needs_the_secret(lab: Any) -> None:
    for number in range(2):
        lab.write("file", str(number).encode())
        lab.dossier().snapshot(lab.source)
    with pytest.raises(SecretRequiredError):
        lab.dossier().open_file("latest~1", "file")
    with lab.dossier().open_file("latest", "file") as file:
        assert file.read() == b"1"


def test_unprotected_repositories_ask_a_new_station_for_nothing(unprotected_lab: Any) -> None:
    lab = unprotected_lab
    lab.write("file", b"x")
    report = lab.dossier().snapshot(lab.source)
    new = lab.dossier("new")
    lab.assert_restores(new, lab.facts(), report.snapshot)
    new.snapshot(lab.source)
    assert stations(new) == ["one", "new"]
    assert [info.protected for info in lab.open("third").dossiers()] == [False]


def test_a_secret_typed_into_an_unprotected_repository_is_an_error(unprotected_lab: Any) -> None:
    """Somebody swapped the medium: what asked for a secret yesterday does not today."""
    for attempt in (
        lambda: unprotected_lab.open("new").unlock("my dear secret"),
        lambda: unprotected_lab.open().create_dossier("letters", secret="my dear secret"),
    ):
        with pytest.raises(InputError) as caught:
            attempt()
        assert caught.value.code == "secret_in_unprotected"
        assert "my dear secret" not in str(caught.value)


def test_a_config_that_somebody_swapped_is_refused(lab: Any, context: ContextOf) -> None:
    """The mac of config is made with M: without M nobody turns a protected repository into an unprotected one."""
    [name] = lab.names("config")
    config = decode_config(lab.store.get(name)).config
    forged = encode_config(replace(config, protected=False), b"k" * 32)
    lab.store.delete(name)
    lab.store.put(object_path("config", new_name(digest(forged))), forged)
    with pytest.raises(TamperedError):
        lab.dossier()
    with pytest.raises((TamperedError, InputError)):
        lab.unlocked("newcomer")
