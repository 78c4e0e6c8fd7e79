"""A pack's temporary file: its last bytes are given only if all of them are what was meant. And the builder on it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from snapstore.blobs.packer import _PackComparison
from snapstore.blobs.spooled import SpooledBuilder, SpooledPack
from snapstore.errors import DamagedObjectError
from snapstore.stores.local import LocalStore
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store

CONTENT = bytes(range(256)) * 20_000


def compare_with(meant: bytes) -> Any:
    return lambda: _PackComparison(len(meant), blake3(meant).digest())


def spooled(held: bytes = CONTENT, meant: bytes = CONTENT) -> SpooledPack:
    return SpooledPack(io.BytesIO(held), len(meant), compare_with(meant), "the spool")


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "store", create=True)


def test_a_store_takes_it_as_a_file(store: Store) -> None:
    pack = spooled()
    store.put("packs/a/one", pack.as_file(), size=len(CONTENT))
    pack.prove()
    assert store.get("packs/a/one") == CONTENT


@pytest.mark.parametrize("at", [0, 70_000, len(CONTENT) - 1])
def test_a_byte_that_changed_is_noticed_before_the_object_has_its_name(store: Store, at: int) -> None:
    held = bytearray(CONTENT)
    held[at] ^= 4
    with pytest.raises(DamagedObjectError) as caught:
        store.put("packs/a/one", spooled(bytes(held)).as_file(), size=len(CONTENT))
    assert caught.value.code == "verification_failed"
    assert list(store.list("")) == []


@pytest.mark.parametrize("size", [1, 4096, 1 << 20, 5 << 20, -1])
def test_the_last_bytes_are_never_given_in_any_steps(size: int) -> None:
    held = CONTENT[:-1] + b"x"
    pack, given = spooled(held[-70_000:], CONTENT[-70_000:]), 0

    def read_on() -> None:
        nonlocal given
        while block := pack.read(size):
            given += len(block)

    with pytest.raises(DamagedObjectError):
        read_on()
    assert given < 70_000


def test_proving_reads_what_was_not_read_in_order() -> None:
    pack = spooled()
    pack.seek(10)
    assert pack.read() == CONTENT[10:]
    pack.prove()
    wrong = spooled(b"x" + CONTENT[1:])
    wrong.seek(10)
    assert wrong.read() == CONTENT[10:]
    with pytest.raises(DamagedObjectError):
        wrong.prove()


@pytest.mark.parametrize("held", [CONTENT[:-1], b"", CONTENT + b"x"])
def test_another_size_is_damage(held: bytes) -> None:
    with pytest.raises(DamagedObjectError):
        spooled(held).prove()


def test_a_second_reading_is_as_the_first_and_the_file_stays_open() -> None:
    file = io.BytesIO(CONTENT)
    pack = SpooledPack(file, len(CONTENT), compare_with(CONTENT), "the spool")
    for _ in range(2):
        assert pack.seek(0) == 0
        assert pack.read(100) + pack.read() == CONTENT
    assert pack.tell() == len(CONTENT)
    pack.close()
    del pack
    assert not file.closed


# --- the builder -----------------------------------------------------------------------------------------------------


def test_a_builder_puts_what_was_written_and_leaves_no_file(store: Store, tmp_path: Path) -> None:
    builder = SpooledBuilder(store, tmp_path)
    for at in range(0, len(CONTENT), 700_000):
        builder.write(CONTENT[at : at + 700_000])
        assert b"".join(map(bytes, builder.blocks())) == CONTENT[: at + 700_000]
    assert builder.size == len(CONTENT)
    builder.publish("packs/a/one", compare_with(CONTENT))
    assert store.get("packs/a/one") == CONTENT
    builder.discard()
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_builder_notices_what_its_disk_changed(store: Store, tmp_path: Path) -> None:
    with SpooledBuilder(store, tmp_path) as builder:
        builder.write(CONTENT)
        with pytest.raises(DamagedObjectError) as caught:
            builder.publish("packs/a/one", compare_with(CONTENT[:-1] + b"x"))
    assert caught.value.code == "verification_failed"
    assert list(store.list("")) == []


def test_a_builder_that_is_dropped_puts_nothing(store: Store, tmp_path: Path) -> None:
    with SpooledBuilder(store, tmp_path) as builder:
        builder.write(b"x")
    builder.discard()
    assert list(store.list("")) == []
