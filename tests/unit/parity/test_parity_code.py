"""Parity rows: every pattern of lost rows comes back, and the compiled loop gives what its twin gives."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.parity import native
from snapstore.parity.encoding import ParityEncoder, parity_of
from snapstore.parity.field import coefficient, inverse, multiply, times
from snapstore.parity.solving import add, invert, solve


@pytest.fixture(params=["compiled", "twin"])
def folding(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take one of the two ways."""
    if request.param == "twin":
        monkeypatch.setattr(native, "FOLDING", None)
    elif native.FOLDING is None:
        pytest.skip("snapstore._parity was not compiled")
    return str(request.param)


def rows_of(count: int, size: int, seed: int) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(size) for _ in range(count)]


def slow_product(a: int, b: int) -> int:
    """Multiply as the definition says: polynomials, and what is left after division by x^8 + x^4 + x^3 + x^2 + 1."""
    result = 0
    for bit in range(8):
        if b >> bit & 1:
            result ^= a << bit
    for bit in range(15, 7, -1):
        if result >> bit & 1:
            result ^= 0x11D << (bit - 8)
    return result


def test_products_are_those_of_the_field() -> None:
    assert all(multiply(a, b) == slow_product(a, b) for a in range(256) for b in range(256))
    assert all(multiply(a, inverse(a)) == 1 for a in range(1, 256))
    assert all(times(a)[b] == multiply(a, b) for a in (0, 1, 2, 77, 255) for b in range(256))
    with pytest.raises(ZeroDivisionError):
        inverse(0)


def test_parity_is_the_sum_that_the_format_names(folding: str) -> None:
    rows = rows_of(5, 40, 1)
    for number, parity in enumerate(parity_of(rows, 3)):
        expected = bytes(40)
        for place, row in enumerate(rows):
            expected = add(expected, row.translate(times(coefficient(number, place, 5))))
        assert parity == expected


@pytest.mark.parametrize("data_rows", [1, 2, 3, 7, 32])
def test_every_set_of_lost_rows_comes_back(data_rows: int) -> None:
    """All sets of up to three lost data rows, from all sets of as many parity rows: 14,176 systems for 32 rows."""
    rows = rows_of(data_rows, 3, data_rows)
    parity = parity_of(rows, 3)
    for lost_count in range(min(3, data_rows) + 1):
        for lost in combinations(range(data_rows), lost_count):
            left = [bytes(3) if number in lost else row for number, row in enumerate(rows)]
            sums = [add(stored, found) for stored, found in zip(parity, parity_of(left, 3), strict=True)]
            for kept in combinations(range(3), lost_count):
                found = solve(lost, data_rows, {number: sums[number] for number in kept})
                assert found == [rows[number] for number in lost]


def test_too_few_parity_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="more rows are lost"):
        solve([0, 1], 4, {0: b"abc"})
    with pytest.raises(ZeroDivisionError):
        invert([[1, 1], [1, 1]])


@pytest.mark.parametrize(("parity_rows", "row_bytes"), [(0, 4), (4, 4), (3, 0)])
def test_shapes_that_no_encoder_has_are_refused(parity_rows: int, row_bytes: int) -> None:
    with pytest.raises(ValueError, match="parity rows"):
        ParityEncoder(parity_rows, row_bytes)


@given(
    data=st.binary(max_size=700),
    cuts=st.lists(st.integers(0, 700), max_size=8),
    parity_rows=st.integers(1, 3),
    row_bytes=st.integers(1, 90),
)
def test_pieces_and_ways_make_no_difference(data: bytes, cuts: list[int], parity_rows: int, row_bytes: int) -> None:
    """In any pieces, compiled or not, and with the zeros of the last row given or not: the same bytes."""
    ends = [*sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    padded = data + bytes(-len(data) % row_bytes)
    found = []
    compiled = native.FOLDING
    try:
        for way in (compiled, None):
            native.FOLDING = way
            for given_pieces in (pieces, [padded]):
                encoder = ParityEncoder(parity_rows, row_bytes)
                for piece in given_pieces:
                    encoder.update(piece)
                found.append(encoder.finish())
    finally:
        native.FOLDING = compiled
    assert len(set(found)) == 1


def test_long_rows_are_the_same_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the sizes at which the compiled loop takes steps and lets go of the interpreter lock."""
    if native.FOLDING is None:
        pytest.skip("snapstore._parity was not compiled")
    rows = rows_of(4, 100_003, 9)
    compiled = parity_of(rows, 3)
    monkeypatch.setattr(native, "FOLDING", None)
    assert parity_of(rows, 3) == compiled


def test_the_compiled_loop_refuses_what_does_not_fit() -> None:
    if native.FOLDING is None:
        pytest.skip("snapstore._parity was not compiled")
    fold = native.FOLDING.fold
    for sums, row_bytes, place, piece in [
        (bytearray(8), 3, 0, b""),
        (bytearray(8), 2, 0, b""),
        (bytearray(8), 0, 0, b""),
        (bytearray(8), 4, 3, b"ab"),
        (bytearray(8), 4, -1, b"ab"),
        (bytearray(8), 4, 5, b""),
    ]:
        with pytest.raises(ValueError, match=r"rows|one row"):
            fold(sums, row_bytes, place, piece)
    sums = bytearray(8)
    fold(sums, 4, 4, b"")
    assert sums == bytes(8)
