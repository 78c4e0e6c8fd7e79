"""Keys that were changed on two twins, each without the other: whom both know then."""

from __future__ import annotations

from typing import Any

import pytest

from snapstore.operations.keysets import read_keysets
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store

MONDAY, TUESDAY = "monday", "tuesday"


class Twins:
    """Two twins, with one snapshot of the station "one" on both."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.stores: dict[str, Store] = {MONDAY: lab.store, TUESDAY: MemoryStore()}
        lab.write("file", b"first")
        lab.dossier().snapshot(lab.source)
        self.copy(MONDAY, TUESDAY)

    def dossier(self, day: str, station: str = "one") -> Any:
        return self.lab.dossier(station, self.stores[day])

    def snapshot(self, day: str, station: str) -> None:
        """Enrol, and save something of one's own."""
        self.lab.write("file", f"{day} by {station}".encode())
        self.lab.unlocked(station, self.stores[day]).snapshot(self.lab.source)

    def copy(self, source: str, target: str) -> None:
        there = self.lab.open("one", self.stores[target]) if list(self.stores[target].list("config")) else None
        if there is None:
            from snapstore.operations.copy import destination

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(destination, "open_store", lambda *_, **__: self.stores[target])
                report = self.lab.open("one", self.stores[source]).copy_to("memory:twin", mode="twin")
        else:
            report = self.lab.open("one", self.stores[source]).copy_to(there)
        assert report.problems == ()

    def counting(self, day: str, station: str = "one") -> list[str | None]:
        """Who signed the snapshots that count there."""
        review = self.dossier(day, station).review()
        assert review.missing == ()
        assert [item.code for item in review.problems if item.code != "older_keyset"] == []
        return sorted(item.station or "" for item in review.snapshots)


@pytest.fixture
def twins(lab: Any) -> Twins:
    return Twins(lab)


@pytest.mark.parametrize("more", [(), ("fourth",), ("fourth", "fifth")])
@pytest.mark.parametrize(("first", "second"), [(MONDAY, TUESDAY), (TUESDAY, MONDAY)])
def test_stations_that_enrolled_on_one_twin_each_count_on_both(
    twins: Twins, more: tuple[str, ...], first: str, second: str
) -> None:
    twins.snapshot(MONDAY, "second")
    for station in ("third", *more):
        twins.snapshot(TUESDAY, station)
    everybody = sorted(["one", "second", "third", *more])
    twins.copy(first, second)
    assert twins.counting(second) == everybody
    twins.copy(second, first)
    assert twins.counting(first) == everybody
    for station in everybody:  # and each may write to both, without a secret
        for day in (MONDAY, TUESDAY):
            twins.dossier(day, station).snapshot(twins.lab.source)
            names = {item.name for item in twins.dossier(day, station).stations()}
            assert names == set(everybody)
    newest = twins.dossier(first).find("latest")
    twins.lab.assert_restores(twins.lab.unlocked("a new computer", twins.stores[first]), twins.lab.facts(), newest)


@pytest.mark.parametrize(("first", "second"), [(MONDAY, TUESDAY), (TUESDAY, MONDAY)])
def test_a_station_that_one_twin_revoked_is_revoked_on_both(twins: Twins, first: str, second: str) -> None:
    twins.snapshot(MONDAY, "stolen")
    twins.copy(MONDAY, TUESDAY)
    for station in ("third", "fourth"):  # so that Tuesday's keys are the newer ones
        twins.snapshot(TUESDAY, station)
    twins.lab.unlocked("second", twins.stores[MONDAY]).revoke_station("stolen")
    twins.copy(first, second)
    twins.copy(second, first)
    for day in (MONDAY, TUESDAY):
        revoked = {item.name for item in twins.dossier(day).stations() if item.revoked is not None}
        assert revoked == {"stolen"}


def test_the_next_keyset_lists_whom_older_ones_alone_listed(twins: Twins) -> None:
    twins.snapshot(MONDAY, "second")
    twins.snapshot(TUESDAY, "third")
    twins.snapshot(TUESDAY, "fourth")
    twins.copy(TUESDAY, MONDAY)
    dossier = twins.lab.unlocked("one", twins.stores[MONDAY])
    dossier.rename("accounts")
    context = dossier._context.repository
    newest = read_keysets(context)[dossier.id][0].keyset
    listed = newest.stations(context.catalogue_keys(newest.epoch), dossier._context.epoch_keys()[0])
    assert {item.name for item in listed} == {"one", "second", "third", "fourth"}


def test_keys_that_tell_nothing_more_are_not_brought_back(twins: Twins) -> None:
    twins.snapshot(MONDAY, "second")
    twins.copy(MONDAY, TUESDAY)
    twins.snapshot(TUESDAY, "third")
    before = sorted(item.name for item in twins.stores[TUESDAY].list("dossiers"))
    twins.copy(MONDAY, TUESDAY)
    assert sorted(item.name for item in twins.stores[TUESDAY].list("dossiers")) == before
