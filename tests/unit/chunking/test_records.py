"""make_records, sort_records and match_records: both implementations, and arguments that must be refused."""

from __future__ import annotations

import pytest
from blake3 import blake3

from snapstore.chunking import make_records, match_records, sort_records


def found(answer: bytes, rest_size: int) -> list[tuple[int, bytes]]:
    """The answer of match_records: which key, and the rest of the record."""
    width = 4 + rest_size
    rows = [answer[at : at + width] for at in range(0, len(answer), width)]
    return [(int.from_bytes(row[:4], "big"), row[4:]) for row in rows]


def sorted_by_python(data: bytes, record_size: int) -> bytes:
    return b"".join(sorted(data[at : at + record_size] for at in range(0, len(data), record_size)))


def shapes_of_input(record_size: int, count: int) -> dict[str, bytes]:
    random = blake3(b"records").digest(length=record_size * count)
    ordered = sorted_by_python(random, record_size)
    backwards = b"".join(ordered[at : at + record_size] for at in range(len(ordered) - record_size, -1, -record_size))
    return {
        "random": random,
        "ordered": ordered,
        "backwards": backwards,
        "equal": bytes(record_size * count),
        "two values": bytes(byte & 1 for byte in random),
        "long common prefix": b"".join(
            bytes(record_size - 1) + random[i : i + 1] if record_size > 1 else random[i : i + 1] for i in range(count)
        ),
    }


@pytest.mark.parametrize(("record_size", "key_size"), [(24, 16), (1, 1), (8, 8), (16, 3), (256, 32), (33, 20)])
@pytest.mark.parametrize("count", [0, 1, 2, 24, 25, 1000])
def test_sorts_whole_records(native: bool, record_size: int, key_size: int, count: int) -> None:
    for shape, data in shapes_of_input(record_size, count).items():
        buffer = bytearray(data)
        sort_records(buffer, record_size=record_size, key_size=key_size, _native=native)
        assert buffer == sorted_by_python(data, record_size), shape


def test_sorts_a_part_of_a_buffer_through_a_view(native: bool) -> None:
    buffer = bytearray(b"zz" + b"d1c1b2b1a9" + b"yy")
    sort_records(memoryview(buffer)[2:-2], record_size=2, key_size=1, _native=native)
    assert buffer == b"zza9b1b2c1d1yy"


def test_finds_all_records_of_a_key(native: bool) -> None:
    data = b"a1b1b2b3d1d2"
    answer = match_records(data, record_size=2, key_size=1, keys=b"dxb aca", _native=native)
    expected = [(0, b"1"), (0, b"2"), (2, b"1"), (2, b"2"), (2, b"3"), (4, b"1"), (6, b"1")]
    assert found(answer, 1) == expected


def test_keys_may_begin_longer_items(native: bool) -> None:
    answer = match_records(b"a1b1b2", record_size=2, key_size=1, keys=b"b--a--c--", stride=3, _native=native)
    assert found(answer, 1) == [(0, b"1"), (0, b"2"), (1, b"1")]


@pytest.mark.parametrize("count", [1, 2, 3, 17, 5000])
def test_finds_every_record_and_nothing_else(native: bool, count: int) -> None:
    data = sorted_by_python(blake3(b"find").digest(length=24 * count), 24)
    keys = b"".join(data[at : at + 16] for at in range(0, len(data), 24))
    strangers = blake3(b"strangers").digest(length=16 * 500)
    answer = match_records(data, record_size=24, key_size=16, keys=strangers + keys + strangers, _native=native)
    assert found(answer, 8) == [(500 + number, data[24 * number + 16 : 24 * number + 24]) for number in range(count)]


@pytest.mark.parametrize("first_byte", [b"\x00", b"\x7f", b"\xff"])
def test_finds_keys_that_are_not_spread_evenly(native: bool, first_byte: bytes) -> None:
    data = b"".join(first_byte + bytes(2) + number.to_bytes(3, "big") + b"value" for number in range(0, 6000, 2))
    keys = b"".join(first_byte + bytes(2) + number.to_bytes(3, "big") for number in range(6000))
    answer = match_records(data, record_size=11, key_size=6, keys=keys + bytes(5) + b"\1", _native=native)
    assert found(answer, 5) == [(number, b"value") for number in range(0, 6000, 2)]


def test_nothing_is_found_in_nothing(native: bool) -> None:
    assert match_records(b"", record_size=24, key_size=16, keys=bytes(32), _native=native) == b""
    assert match_records(bytes(24), record_size=24, key_size=16, keys=b"", _native=native) == b""


def test_makes_records_of_rows(native: bool) -> None:
    rows = b"abcXdefYabcZ"
    answer = make_records(rows, row_size=4, key_size=3, number=258, _native=native)
    middle = b"\0\0\1\2\0\0\0"
    assert answer == b"abc" + middle + b"\0" + b"def" + middle + b"\1" + b"abc" + middle + b"\2"
    assert make_records(b"", row_size=4, key_size=3, number=2**32 - 1, _native=native) == b""


@pytest.mark.parametrize(
    ("size", "row_size", "key_size", "number"),
    [(8, 4, 5, 0), (8, 4, 0, 0), (8, 0, 0, 0), (9, 4, 4, 0), (8, 4, 4, -1), (8, 4, 4, 2**32), (249, 249, 249, 0)],
)
def test_impossible_rows_are_refused(native: bool, size: int, row_size: int, key_size: int, number: int) -> None:
    with pytest.raises(ValueError, match=r"rows|32 bits"):
        make_records(bytes(size), row_size=row_size, key_size=key_size, number=number, _native=native)


@pytest.mark.parametrize(
    ("size", "record_size", "key_size"),
    [(24, 0, 0), (24, -24, 1), (25, 24, 16), (24, 24, 25), (257, 257, 8), (24, 24, 0)],
)
def test_impossible_arguments_are_refused(native: bool, size: int, record_size: int, key_size: int) -> None:
    with pytest.raises(ValueError, match=r"record"):
        sort_records(bytearray(size), record_size=record_size, key_size=key_size, _native=native)
    with pytest.raises(ValueError, match=r"record"):
        match_records(bytes(size), record_size=record_size, key_size=key_size, keys=b"", _native=native)


@pytest.mark.parametrize(("size", "stride"), [(17, None), (33, 32), (16, 8), (16, 0), (16, -16)])
def test_broken_keys_are_refused(native: bool, size: int, stride: int | None) -> None:
    with pytest.raises(ValueError, match="whole keys"):
        match_records(bytes(24), record_size=24, key_size=16, keys=bytes(size), stride=stride, _native=native)


def test_read_only_buffers_are_not_sorted(native: bool) -> None:
    with pytest.raises((TypeError, BufferError)):
        sort_records(bytes(24), record_size=24, key_size=16, _native=native)  # type: ignore[arg-type]
