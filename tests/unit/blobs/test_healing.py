"""Packs with holes: healed bit for bit up to the limit, beyond it not at all, and never with wrong bytes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapstore.blobs.healing import HealedPack, Sidecars, heal_pack
from snapstore.blobs.patchy import read_patchy
from snapstore.crypto.derivation import digest
from snapstore.errors import StoreError, StoreUnavailableError
from snapstore.format.names import new_name, pack_path, parity_path
from snapstore.format.parity import decode_head, make_sidecar
from snapstore.limits import KIB, MIB
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import StoredObject
from snapstore.testing.wrapper import StoreWrapper

BLOCK, SECTOR = 64 * KIB, 4 * KIB


class BadSectors(StoreWrapper):
    """Reads that touch some sectors of some objects fail, as a medium's do; `gone` fails everything else too."""

    def __init__(self, inner: MemoryStore) -> None:
        super().__init__(inner)
        self.bad: dict[str, set[int]] = {}
        self.gone = False
        self.reads = 0

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        self.reads += 1
        data = self.inner.get(name, offset=offset, size=size)
        touched = range(offset // SECTOR, -(-(offset + len(data)) // SECTOR))
        if self.gone or not self.bad.get(name, set()).isdisjoint(touched):
            raise StoreUnavailableError(f"Could not read {name}: Input/output error.")
        return data

    def list(self, prefix: str) -> Iterator[StoredObject]:
        if self.gone:
            raise StoreUnavailableError("Could not list.")
        return super().list(prefix)


class Scene:
    """One pack, its sidecar, and damage to both."""

    def __init__(self, size: int, parity_rows: int = 3, seed: int = 1) -> None:
        self.data = random.Random(seed).randbytes(size)
        self.pack = new_name(digest(self.data))
        self.sidecar_bytes = make_sidecar(self.pack, [self.data], parity_rows)
        self.sidecar = parity_path(self.pack, new_name(digest(self.sidecar_bytes)))
        self.store = BadSectors(MemoryStore())
        self.store.put("config/0123", b"a repository")
        self.head = decode_head(self.sidecar_bytes)
        self.put(self.data, self.sidecar_bytes)

    def put(self, pack: bytes | None, sidecar: bytes | None) -> None:
        for name, data in ((pack_path(self.pack), pack), (self.sidecar, sidecar)):
            if any(item.name == name for item in self.store.list("")):
                self.store.delete(name)
            if data is not None:
                self.store.put(name, bytes(data))

    def fail(self, sectors: Iterable[int], *, sidecar: bool = False) -> None:
        self.store.bad[self.sidecar if sidecar else pack_path(self.pack)] = set(sectors)

    def heal(self) -> HealedPack | None:
        return heal_pack(self.store, self.pack, len(self.data))

    def heals(self) -> bool:
        """Whether it is healed; anything but the right bytes, or none, fails the test."""
        healed = self.heal()
        assert healed is None or healed.data == self.data
        return healed is not None


def spoiled(data: bytes, blocks: Iterable[int]) -> bytes:
    """Data of which some blocks have other bytes."""
    altered = bytearray(data)
    for block in blocks:
        altered[block * BLOCK + 5] ^= 0x40
    return bytes(altered)


def test_a_whole_pack_is_returned_as_it_is() -> None:
    scene = Scene(3 * BLOCK)
    assert scene.heal() == HealedPack(data=scene.data, sidecar=None, healed_bytes=0)
    scene.put(scene.data, None)
    assert scene.heals()


@pytest.mark.parametrize("parity_rows", [1, 2, 3])
def test_every_pattern_of_lost_blocks(parity_rows: int) -> None:
    """A pack of sixteen rows of one block: all patterns up to the limit heal, and none beyond it."""
    scene = Scene(MIB + 100, parity_rows)
    count = scene.head.shape.blocks
    assert scene.head.shape.row_blocks == 1
    for lost in range(1, parity_rows + 1):
        for blocks in combinations(range(count), lost):
            scene.put(spoiled(scene.data, blocks), scene.sidecar_bytes)
            healed = scene.heal()
            assert healed is not None
            assert healed.data == scene.data
            assert healed.sidecar == scene.sidecar
    for blocks in random.Random(parity_rows).sample(list(combinations(range(count), parity_rows + 1)), 60):
        scene.put(spoiled(scene.data, blocks), scene.sidecar_bytes)
        assert not scene.heals()


def test_every_pattern_of_lost_data_and_parity_blocks() -> None:
    """Three parity rows of one block: as many lost blocks heal as there are, whichever they are."""
    scene = Scene(MIB + 100)
    count = scene.head.shape.blocks
    for lost in range(1, 5):
        for parity in range(4):
            for hurt in combinations(range(3), parity):
                blocks = random.Random(lost * 10 + parity).sample(range(count), lost)
                body = bytearray(scene.sidecar_bytes)
                for block in hurt:
                    body[scene.head.shape.head_size + block * BLOCK + 77] ^= 1
                scene.put(spoiled(scene.data, blocks), bytes(body))
                assert scene.heals() == (lost <= 3 - parity)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), size=st.integers(MIB, 5 * MIB), rows=st.integers(1, 3), draw=st.data())
def test_any_damage_heals_or_is_refused(seed: int, size: int, rows: int, draw: st.DataObject) -> None:
    """Blocks with other bytes, sectors that fail, in pack and sidecar; what can be healed is healed."""
    scene = Scene(size, rows, seed)
    shape = scene.head.shape
    spoiled_blocks = draw.draw(st.sets(st.integers(0, shape.blocks - 1), max_size=3))
    sectors = draw.draw(st.sets(st.integers(0, -(-size // SECTOR) - 1), max_size=6))
    hurt = draw.draw(st.sets(st.integers(0, shape.parity_blocks - 1), max_size=1))
    body = bytearray(scene.sidecar_bytes)
    for block in hurt:
        body[shape.head_size + block * BLOCK] ^= 1
    scene.put(spoiled(scene.data, spoiled_blocks), bytes(body))
    scene.fail(sectors)
    lost = spoiled_blocks | {sector * SECTOR // BLOCK for sector in sectors}
    places = [block % shape.row_blocks for block in lost] + [block % shape.row_blocks for block in hurt]
    within = all(places.count(place) <= rows for place in {block % shape.row_blocks for block in lost})
    healed = scene.heals()
    assert healed or not within


def test_a_real_pack_with_a_hole_of_two_mebibytes() -> None:
    scene = Scene(32 * MIB)
    for start in (0, 2 * MIB, 17 * MIB + 4096, 30 * MIB):
        scene.fail(range(start // SECTOR, (start + 2 * MIB) // SECTOR))
        assert scene.heals()
    scene.fail([])
    for start in (3 * MIB, 21 * MIB + 123):
        hole = scene.data[:start] + bytes(2 * MIB) + scene.data[start + 2 * MIB :]
        scene.put(hole, scene.sidecar_bytes)
        assert scene.heals()
    scene.put(scene.data, scene.sidecar_bytes)
    scene.fail(range(4 * MIB // SECTOR))
    assert not scene.heals()


def test_scattered_sectors_meet_less_often_than_blocks() -> None:
    """Eighteen of thirty-two blocks at one place have lost a sector each: too many blocks, and few sectors at each."""
    scene = Scene(32 * MIB)
    row_sectors = MIB // SECTOR
    scattered = [row * row_sectors + row % 16 for row in range(16)] + [20 * row_sectors, 21 * row_sectors]
    scene.fail(scattered)
    assert scene.heals()
    scene.fail([*scattered, 22 * row_sectors])
    assert not scene.heals()


def test_a_block_that_lost_more_than_its_unreadable_sectors() -> None:
    """The sectors alone give a wrong block; taken as lost whole it heals."""
    scene = Scene(2 * MIB)
    altered = bytearray(scene.data)
    altered[3 * BLOCK + 10 * SECTOR] ^= 1
    scene.put(bytes(altered), scene.sidecar_bytes)
    scene.fail([3 * 16 + 2])
    healed = scene.heal()
    assert healed is not None
    assert (healed.data, healed.healed_bytes) == (scene.data, BLOCK)


@pytest.mark.parametrize("size", [1, SECTOR + 1, BLOCK, 3 * BLOCK + 7, MIB - 1])
def test_small_packs_heal_from_their_copy_even_if_they_are_gone(size: int) -> None:
    scene = Scene(size)
    assert not scene.head.shape.parity_rows
    for pack in (None, b"", scene.data[: size // 2], bytes(size + 5), spoiled(scene.data + bytes(6), [0])):
        scene.put(pack, scene.sidecar_bytes)
        assert scene.heals()
    scene.put(scene.data, None)
    scene.fail([0])
    assert not scene.heals()


def test_copy_and_pack_that_are_both_hurt_make_one_whole() -> None:
    scene = Scene(4 * BLOCK)
    body = bytearray(scene.sidecar_bytes)
    body[scene.head.shape.head_size + 2 * BLOCK + 3 * SECTOR] ^= 1
    scene.put(spoiled(scene.data, [0, 1]), bytes(body))
    scene.fail([2 * 16 + 9])
    assert scene.heals()
    scene.fail([2 * 16 + 3])
    assert not scene.heals()


@pytest.mark.parametrize("size", [100, 3 * BLOCK, MIB + 70_000, 32 * MIB])
def test_a_torn_sidecar_still_helps(size: int) -> None:
    """Without its beginning, without its end, with sectors that cannot be read: what is whole of it counts."""
    scene = Scene(size)
    shape, whole = scene.head.shape, scene.sidecar_bytes
    hurt = bytearray(scene.data)
    hurt[size // 2] ^= 1
    for torn in (
        bytes(shape.head_size) + whole[shape.head_size :],
        whole[: shape.head_size + shape.body_size],
        whole[: -shape.head_size] + bytes(shape.head_size),
        whole + b"something more",
    ):
        scene.put(bytes(hurt), torn)
        assert scene.heals()
    scene.put(bytes(hurt), bytes(shape.head_size) + whole[shape.head_size : -shape.head_size])
    assert not scene.heals()
    scene.put(bytes(hurt), whole)
    last = len(whole) // SECTOR
    if size > MIB:
        scene.fail([0, shape.head_size // SECTOR + 2], sidecar=True)
        assert scene.heals()
        scene.fail([shape.head_size // SECTOR + 2, last], sidecar=True)
        assert scene.heals()
        scene.fail([0, last], sidecar=True)
        assert not scene.heals()


def test_a_truncated_pack_heals_as_far_as_there_is_parity() -> None:
    scene = Scene(8 * MIB + 5)
    row = scene.head.shape.row_blocks * BLOCK
    for cut, heals in ((1, True), (5, True), (SECTOR + 17, True), (2 * row, True), (5 * row, False)):
        scene.put(scene.data[:-cut], scene.sidecar_bytes)
        assert scene.heals() == heals
    scene.put(scene.data + b"more", scene.sidecar_bytes)
    assert scene.heals()


def test_a_sidecar_that_lies_gives_nothing() -> None:
    """Another pack's parity under this pack's name: every checksum in it fits, and the pack's name does not."""
    scene = Scene(MIB)
    other = make_sidecar(scene.pack, [random.Random(7).randbytes(MIB)])
    scene.put(spoiled(scene.data, [3]), other)
    assert not scene.heals()
    scene.put(None, make_sidecar(scene.pack, [b"a copy of something else"]))
    assert not scene.heals()


def test_one_of_several_sidecars_is_enough_and_folders_are_listed_once() -> None:
    scene = Scene(MIB)
    bad = make_sidecar(scene.pack, [bytes(MIB)])
    scene.store.put(parity_path(scene.pack, new_name(digest(bad))), bad)
    scene.store.put(parity_path(scene.pack, new_name(b"0" * 32)), b"no sidecar at all")
    scene.put(spoiled(scene.data, [3, 4, 5]), scene.sidecar_bytes)
    sidecars = Sidecars(scene.store)
    assert len(sidecars.of(scene.pack)) == 2
    before = scene.store.reads
    assert len(sidecars.of(scene.pack)) == 2
    assert scene.store.reads == before + 2
    assert sidecars.of(scene.pack[0] + "0" * 31) == []
    healed = heal_pack(scene.store, scene.pack, 5, sidecars)
    assert healed is not None
    assert healed.data == scene.data


def test_a_store_that_fails_as_a_whole_raises() -> None:
    scene = Scene(MIB)
    scene.store.gone = True
    with pytest.raises(StoreError):
        scene.heal()
    with pytest.raises(StoreError):
        read_patchy(scene.store, pack_path(scene.pack), MIB)


def test_a_medium_that_reads_nothing_is_given_up_soon() -> None:
    scene = Scene(32 * MIB)
    scene.fail(range(32 * MIB // SECTOR))
    found = read_patchy(scene.store, pack_path(scene.pack), 32 * MIB)
    assert len(found.bad) == 32 * MIB // SECTOR
    assert found.data == bytes(32 * MIB)
    assert scene.store.reads < 3000
    assert not scene.heals()


def test_step_is_called_and_may_end_it() -> None:
    scene = Scene(MIB)
    scene.fail([9])

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        heal_pack(scene.store, scene.pack, MIB, None, stop)
