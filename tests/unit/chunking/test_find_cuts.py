"""find_cuts: both implementations, examples at the edges, and arguments that must be refused."""

from __future__ import annotations

import array
import time
import warnings

import pytest
from blake3 import blake3

from snapstore.chunking import find_cuts, native
from snapstore.chunking.gear_table import cut_threshold

MINIMUM, MAXIMUM, THRESHOLD = 512, 4096, cut_threshold(1024)


def content(size: int, seed: bytes = b"content") -> bytes:
    return blake3(seed).digest(length=size)


def test_empty_buffer_has_no_chunk(table: bytes, native: bool) -> None:
    for final in (False, True):
        cuts = find_cuts(b"", table, minimum=MINIMUM, maximum=MAXIMUM, threshold=THRESHOLD, final=final, _native=native)
        assert cuts == []


@pytest.mark.parametrize("size", [1, 63, 64, MINIMUM - 1])
def test_less_than_the_minimum_is_a_chunk_only_at_the_end(table: bytes, native: bool, size: int) -> None:
    data = content(size)
    arguments = {"minimum": MINIMUM, "maximum": MAXIMUM, "_native": native}
    assert find_cuts(data, table, threshold=2**64 - 1, final=False, **arguments) == []
    assert find_cuts(data, table, threshold=2**64 - 1, final=True, **arguments) == [size]


def test_first_cut_may_be_at_the_minimum_exactly(table: bytes, native: bool) -> None:
    cuts = find_cuts(
        content(3 * MINIMUM + 5),
        table,
        minimum=MINIMUM,
        maximum=MAXIMUM,
        threshold=2**64 - 1,
        final=False,
        _native=native,
    )
    assert cuts == [MINIMUM, 2 * MINIMUM, 3 * MINIMUM]


def test_threshold_zero_cuts_at_the_maximum_only(table: bytes, native: bool) -> None:
    data = content(2 * MAXIMUM + 7)
    arguments = {"minimum": MINIMUM, "maximum": MAXIMUM, "threshold": 0, "_native": native}
    assert find_cuts(data, table, final=False, **arguments) == [MAXIMUM, 2 * MAXIMUM]
    assert find_cuts(data, table, final=True, **arguments) == [MAXIMUM, 2 * MAXIMUM, 2 * MAXIMUM + 7]
    assert find_cuts(data[: 2 * MAXIMUM], table, final=True, **arguments) == [MAXIMUM, 2 * MAXIMUM]


def test_minimum_may_equal_maximum(table: bytes, native: bool) -> None:
    data = content(200)
    assert find_cuts(data, table, minimum=64, maximum=64, threshold=0, final=True, _native=native) == [
        64,
        128,
        192,
        200,
    ]


def test_start_gives_the_cuts_of_the_rest(table: bytes, native: bool) -> None:
    data = content(40_000)
    arguments = {"minimum": MINIMUM, "maximum": MAXIMUM, "threshold": THRESHOLD, "final": True, "_native": native}
    rest = find_cuts(data[777:], table, **arguments)
    assert find_cuts(data, table, start=777, **arguments) == [777 + end for end in rest]
    assert find_cuts(data, table, start=len(data), **arguments) == []


@pytest.mark.parametrize("value", range(256))
def test_runs_of_one_byte_value_are_cut_at_the_maximum_only(table: bytes, native: bool, value: int) -> None:
    run = bytes([value]) * (2 * MAXIMUM + 100)
    cuts = find_cuts(run, table, minimum=MINIMUM, maximum=MAXIMUM, threshold=THRESHOLD, final=True, _native=native)
    assert cuts == [MAXIMUM, 2 * MAXIMUM, 2 * MAXIMUM + 100]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: array.array("I", data)])
def test_any_contiguous_buffer_will_do(table: bytes, native: bool, kind: type) -> None:
    data = content(20_000)
    arguments = {"minimum": MINIMUM, "maximum": MAXIMUM, "threshold": THRESHOLD, "final": True, "_native": native}
    assert find_cuts(kind(data), table, **arguments) == find_cuts(data, table, **arguments)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"table": bytes(2047)}, ValueError),
        ({"table": bytes(2056)}, ValueError),
        ({"minimum": 63}, ValueError),
        ({"minimum": -1}, ValueError),
        ({"maximum": MINIMUM - 1}, ValueError),
        ({"start": -1}, ValueError),
        ({"start": 101}, ValueError),
        ({"threshold": -1}, OverflowError),
        ({"threshold": 2**64}, OverflowError),
    ],
)
def test_impossible_arguments_are_refused(
    table: bytes, native: bool, changed: dict[str, object], error: type[Exception]
) -> None:
    arguments: dict[str, object] = {
        "table": table, "start": 0, "minimum": MINIMUM, "maximum": MAXIMUM, "threshold": 1, "final": True
    }  # fmt: skip
    with pytest.raises(error):
        find_cuts(bytes(100), **(arguments | changed), _native=native)  # type: ignore[arg-type]


@pytest.mark.parametrize("buffer", ["text", 5, None, memoryview(bytes(100))[::2]])
def test_what_is_no_buffer_is_refused(table: bytes, native: bool, buffer: object) -> None:
    arguments = {"minimum": 64, "maximum": 64, "threshold": 0, "final": True, "_native": native}
    with pytest.raises((TypeError, BufferError)):
        find_cuts(buffer, table, **arguments)  # type: ignore[arg-type]


def test_missing_kernel_is_reported_once(table: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "KERNEL", None)
    native._warn_once.cache_clear()
    arguments = {"minimum": 64, "maximum": 64, "threshold": 0, "final": True}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cuts = [find_cuts(bytes(65), table, **arguments) for _ in range(3)]
    assert cuts == [[64, 65]] * 3
    assert [(type(warning.message), warning.filename) for warning in caught] == [(RuntimeWarning, __file__)]
    with pytest.raises(ImportError):
        find_cuts(b"", table, **arguments, _native=True)


@pytest.mark.parametrize("target", [65536, 1 << 20])
def test_speed_is_printed(table: bytes, target: int) -> None:
    """Nothing about speed is asserted: that is for benchmarks on a quiet machine. `pytest -s` shows it."""
    if native.KERNEL is None:
        pytest.skip("the kernel was not compiled")
    data = content(32 << 20)
    begin = time.perf_counter()
    cuts = find_cuts(data, table, minimum=target // 2, maximum=4 * target, threshold=cut_threshold(target), final=True)
    seconds = time.perf_counter() - begin
    print(f"\nfind_cuts, target {target >> 10} KiB: {len(data) / seconds / 1e9:.1f} GB/s, {len(cuts)} chunks")
    assert cuts[-1] == len(data)
