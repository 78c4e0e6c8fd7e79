"""Parity sidecars as bytes: their shape, both heads, and that nothing altered is taken for whole."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapstore.errors import DamagedObjectError, InputError, UnsupportedFormatError
from snapstore.format import names
from snapstore.format.parity import (
    LIKELY_HEAD_BYTES,
    ParityHead,
    Shape,
    SidecarMaker,
    decode_head,
    decode_last_head,
    decode_sidecar,
    encode_sidecar,
    make_sidecar,
)
from snapstore.limits import KIB, MAX_OBJECT_BYTES, MIB, PARITY_BLOCK_BYTES

PACK = "3" * 32
SIZES = [1, 4096, 65536, 65537, MIB - 1, MIB, MIB + 1, 2 * MIB + 70_000]


def pack_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@given(size=st.integers(1, MAX_OBJECT_BYTES), parity_rows=st.integers(1, 3))
@example(size=MAX_OBJECT_BYTES, parity_rows=3)
@example(size=32 * MIB, parity_rows=3)
@example(size=MIB, parity_rows=1)
def test_every_size_has_a_shape(size: int, parity_rows: int) -> None:
    shape = Shape.of(size, parity_rows)
    assert shape.is_possible()
    assert shape.sidecar_size <= MAX_OBJECT_BYTES
    assert shape.head_size <= LIKELY_HEAD_BYTES
    if size < MIB:
        assert (shape.parity_rows, shape.body_size) == (0, size)
    else:
        row_bytes = shape.row_blocks * PARITY_BLOCK_BYTES
        assert shape.parity_rows == parity_rows
        assert shape.data_rows <= 32
        assert (shape.data_rows - 1) * row_bytes < size <= shape.data_rows * row_bytes
        assert shape.body_size == parity_rows * row_bytes


@pytest.mark.parametrize(("size", "rows"), [(0, 3), (MAX_OBJECT_BYTES + 1, 3), (5, 0), (5, 4)])
def test_no_sidecar_has_another_shape(size: int, rows: int) -> None:
    with pytest.raises(InputError):
        Shape.of(size, rows)


def test_a_full_pack_takes_a_tenth() -> None:
    shape = Shape.of(32 * MIB, 3)
    assert (shape.row_blocks, shape.data_rows) == (16, 32)
    assert shape.sidecar_size / (32 * MIB) < 0.0945


@pytest.mark.parametrize("size", SIZES)
def test_what_was_made_decodes_and_is_the_same_in_any_pieces(size: int) -> None:
    data = pack_of(size)
    sidecar = make_sidecar(PACK, [data])
    head, body = decode_sidecar(sidecar)
    assert (head.pack, head.shape) == (PACK, Shape.of(size, 3))
    assert len(sidecar) == head.shape.sidecar_size
    assert encode_sidecar(head, body) == sidecar
    assert decode_head(sidecar) == decode_last_head(sidecar[-LIKELY_HEAD_BYTES:]) == head
    maker = SidecarMaker(size)
    for at in range(0, size, 50_001):
        maker.update(memoryview(data)[at : at + 50_001])
    maker.finish()
    assert maker.sidecar(PACK) == sidecar
    if size < MIB:
        assert body == data


def test_a_maker_refuses_a_pack_of_another_size() -> None:
    maker = SidecarMaker(10)
    maker.update(b"12345")
    with pytest.raises(InputError):
        maker.finish()
    with pytest.raises(InputError):
        maker.update(b"123456")


@pytest.mark.parametrize("size", [5, 70_000, MIB + 9])
def test_every_altered_byte_is_damage(size: int) -> None:
    sidecar = make_sidecar(PACK, [pack_of(size)], 2)
    head = decode_head(sidecar)
    places = {*range(60), *range(head.shape.head_size - 20, head.shape.head_size + 20)}
    places |= {len(sidecar) - 1 - place for place in places}
    places |= set(random.Random(size).sample(range(len(sidecar)), 100))
    for place in places:
        altered = bytearray(sidecar)
        altered[place % len(sidecar)] ^= 1 << place % 8
        with pytest.raises((DamagedObjectError, UnsupportedFormatError)):
            decode_sidecar(bytes(altered))


def test_each_head_stands_for_the_other() -> None:
    sidecar = make_sidecar(PACK, [pack_of(MIB + 9)])
    head = decode_head(sidecar)
    torn = sidecar[: -head.shape.head_size]
    assert decode_head(torn) == head
    with pytest.raises((DamagedObjectError, UnsupportedFormatError)):
        decode_last_head(torn)
    without_beginning = bytes(head.shape.head_size) + sidecar[head.shape.head_size :]
    assert decode_last_head(without_beginning) == head
    with pytest.raises(DamagedObjectError):
        decode_head(without_beginning)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_sidecar_or_refused(data: bytes) -> None:
    for decode in (decode_head, decode_last_head, decode_sidecar):
        with pytest.raises((DamagedObjectError, UnsupportedFormatError)):
            decode(data)


def _impossible(change: Callable[[Shape], Shape]) -> bytes:
    head, body = decode_sidecar(make_sidecar(PACK, [pack_of(MIB)]))
    return encode_sidecar(ParityHead(PACK, change(head.shape), head.checks), body)


@pytest.mark.parametrize(
    "change",
    [
        lambda shape: Shape(shape.pack_size, shape.row_blocks, shape.data_rows + 1, shape.parity_rows),
        lambda shape: Shape(shape.pack_size, 0, shape.data_rows, shape.parity_rows),
        lambda shape: Shape(shape.pack_size, shape.row_blocks, shape.data_rows, 0),
        lambda shape: Shape(shape.pack_size, shape.row_blocks, shape.data_rows, 4),
        lambda shape: Shape(shape.pack_size, 65535, 1, 3),
        lambda shape: Shape(0, 0, 0, 0),
        lambda shape: Shape(MAX_OBJECT_BYTES + 1, 0, 0, 0),
    ],
)
def test_impossible_shapes_are_damage(change: Callable[[Shape], Shape]) -> None:
    with pytest.raises(DamagedObjectError):
        decode_sidecar(_impossible(change))


def test_sidecars_lie_in_the_folder_of_their_pack() -> None:
    assert names.parity_path("v" * 32, "0" * 32) == f"parity/f/{'0' * 32}"
    assert names.parity_folder("0" * 32) == "parity/0"
    assert 64 * KIB == PARITY_BLOCK_BYTES
