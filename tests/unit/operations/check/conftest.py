"""Repositories to be damaged, and words for what a check found."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import snapstore
from snapstore.stores.protocol import Store


def replace_object(store: Store, name: str, data: bytes) -> None:
    """Put other bytes in the place of an object's."""
    store.delete(name)
    store.put(name, data)


def damage_of(report: snapstore.CheckReport) -> set[tuple[str, str]]:
    return {(item.code, item.object_name) for item in report.findings if item.is_damage}


def codes_of(report: snapstore.CheckReport) -> set[str]:
    return {item.code for item in report.findings}


def check_of(lab: Any, station: str = "one", store: Store | None = None, **more: Any) -> snapstore.CheckReport:
    """A check of everything, content too, that leaves no record."""
    with_content = more.pop("content", True)
    options = more.pop("options", snapstore.CheckOptions(read_data=True))
    secret = lab.secret if with_content else None
    with lab.open(station, store) as repository:
        return repository.check(options, secret=secret, **{"record": False, **more})  # type: ignore[no-any-return]


@pytest.fixture
def replaced() -> Callable[[Store, str, bytes], None]:
    return replace_object


@pytest.fixture
def damage() -> Callable[[snapstore.CheckReport], set[tuple[str, str]]]:
    return damage_of


@pytest.fixture
def codes() -> Callable[[snapstore.CheckReport], set[str]]:
    return codes_of


@pytest.fixture
def check() -> Callable[..., snapstore.CheckReport]:
    return check_of


@pytest.fixture
def saved(lab: Any) -> Any:
    """A lab with two snapshots: four packs, of which the second snapshot shares two."""
    generator = random.Random(11)
    lab.write("folder/first", generator.randbytes(70_000))
    lab.write("folder/second", generator.randbytes(90_000))
    lab.write("note", b"a note of a few words")
    dossier = lab.dossier()
    dossier.snapshot(lab.source, label="one")
    lab.write("folder/third", generator.randbytes(80_000))
    dossier.snapshot(lab.source, label="two")
    return lab
