"""A repository with four days in it, and what is to hold after any prune."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import compare_trees
import pytest

import snapstore
from snapstore.stores.protocol import Store

EVERYTHING = snapstore.PruneOptions(max_unused=0)


@dataclass(slots=True, kw_only=True)
class Days:
    """A lab, and what each of its snapshots must restore to, by label."""

    lab: Any
    truth: dict[str, dict[str, compare_trees.Facts]] = field(default_factory=dict)

    def take(self, label: str, *, seed: int, files: int = 5, size: int = 3000) -> None:
        """Change some files and take a snapshot."""
        generator = random.Random(seed)
        for number in range(files):
            place = f"folder {number % 3}/file {generator.randrange(2 * files)}"
            self.lab.write(place, generator.randbytes(generator.randrange(size)))
        self.lab.dossier().snapshot(self.lab.source, label=label)
        self.truth[label] = self.lab.facts()

    def forget(self, *labels: str) -> None:
        """Forget snapshots by their labels."""
        dossier = self.lab.dossier()
        chosen = [item for item in dossier.list() if item.label in labels]
        dossier.forget(snapshots=chosen)
        for label in labels:
            del self.truth[label]

    def prune(self, options: snapstore.PruneOptions = EVERYTHING) -> snapstore.PruneReport:
        """Prune as station one."""
        with self.lab.open() as repository:
            return repository.prune(options=options)

    def fork(self, name: str) -> Days:
        """The same once more."""
        lab = self.lab.fork(name)
        shutil.copytree(self.lab.source, lab.source, symlinks=True)
        return Days(lab=lab, truth=dict(self.truth))

    def assert_whole(self) -> None:
        """Every snapshot restores in every byte."""
        dossier = self.lab.dossier()
        review = dossier.review()
        assert review.missing == ()
        found = {item.label: item for item in review.snapshots if item.confirmed}
        assert set(self.truth) <= set(found)
        for label, facts in self.truth.items():
            self.lab.assert_restores(dossier, facts, found[label])

    def assert_at_rest(self) -> None:
        """Nothing is there that nobody needs."""
        assert self.lab.names("condemn") == []
        with self.lab.open() as repository:
            plan = repository.plan_prune(EVERYTHING)
        assert (plan.delete_packs, plan.repack_packs, plan.later_bytes, plan.problems) == (0, 0, 0, ())
        names = {name.rpartition("/")[2] for name in self.lab.names("packs")}
        assert packs_named(self.lab) == names


def packs_named(lab: Any) -> set[str]:
    """Every pack that an index names."""
    from snapstore.format.index import decode_index

    catalogue = lab.open()._context.catalogue()
    named: set[str] = set()
    for name in lab.names("index"):
        data = lab.store.get(name)
        packs = decode_index(catalogue.key_of(data, name), catalogue.repository_id, data)
        named.update(pack.name for pack in packs)
    return named


@pytest.fixture
def days(lab: Any) -> Days:
    """Four days, of which the first three are forgotten."""
    made = Days(lab=lab)
    for day in range(4):
        made.take(str(day), seed=day)
    made.forget("0", "1", "2")
    return made


@pytest.fixture
def make_days() -> Callable[..., Days]:
    return Days


@pytest.fixture
def prune_on() -> Callable[[Any, Store], snapstore.PruneReport]:
    """Prune over a store that disturbs."""

    def prune(lab: Any, store: Store) -> snapstore.PruneReport:
        repository = lab.open()
        repository._context.store = store
        report: snapstore.PruneReport = repository.prune(options=EVERYTHING)
        return report

    return prune
