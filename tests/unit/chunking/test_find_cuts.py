"""find_cuts: both implementations, examples at the edges, and arguments that must be refused."""

from __future__ import annotations

import array
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from blake3 import blake3

from snapstore.chunking import Gear, GearCutter, find_cuts
from snapstore.chunking import native as native_module
from snapstore.chunking.gear_table import cut_threshold
from snapstore.chunking.native import KERNEL

MINIMUM, MAXIMUM, THRESHOLD = 512, 4096, cut_threshold(1024)


def content(size: int, seed: bytes = b"content") -> bytes:
    return blake3(seed).digest(length=size)


def gear(table: bytes, *, minimum: int = MINIMUM, maximum: int = MAXIMUM, threshold: int = THRESHOLD) -> Gear:
    return Gear(table=table, minimum=minimum, maximum=maximum, threshold=threshold)


@pytest.mark.parametrize("final", [False, True])
def test_empty_buffer_has_no_chunk(table: bytes, native: bool, final: bool) -> None:
    assert find_cuts(b"", gear(table), final=final, _native=native) == []


@pytest.mark.parametrize("size", [1, 63, 64, MINIMUM - 1])
def test_less_than_the_minimum_is_a_chunk_only_at_the_end(table: bytes, native: bool, size: int) -> None:
    eager = gear(table, threshold=2**64 - 1)
    assert find_cuts(content(size), eager, final=False, _native=native) == []
    assert find_cuts(content(size), eager, final=True, _native=native) == [size]


def test_first_cut_may_be_at_the_minimum_exactly(table: bytes, native: bool) -> None:
    cuts = find_cuts(content(3 * MINIMUM + 5), gear(table, threshold=2**64 - 1), final=False, _native=native)
    assert cuts == [MINIMUM, 2 * MINIMUM, 3 * MINIMUM]


def test_threshold_zero_cuts_at_the_maximum_only(table: bytes, native: bool) -> None:
    data = content(2 * MAXIMUM + 7)
    never = gear(table, threshold=0)
    assert find_cuts(data, never, final=False, _native=native) == [MAXIMUM, 2 * MAXIMUM]
    assert find_cuts(data, never, final=True, _native=native) == [MAXIMUM, 2 * MAXIMUM, 2 * MAXIMUM + 7]
    assert find_cuts(data[: 2 * MAXIMUM], never, final=True, _native=native) == [MAXIMUM, 2 * MAXIMUM]


def test_minimum_may_equal_maximum(table: bytes, native: bool) -> None:
    fixed = gear(table, minimum=64, maximum=64, threshold=0)
    assert find_cuts(content(200), fixed, final=True, _native=native) == [64, 128, 192, 200]


def test_start_gives_the_cuts_of_the_rest(table: bytes, native: bool) -> None:
    data = content(40_000)
    rest = find_cuts(data[777:], gear(table), final=True, _native=native)
    assert find_cuts(data, gear(table), start=777, final=True, _native=native) == [777 + end for end in rest]
    assert find_cuts(data, gear(table), start=len(data), final=True, _native=native) == []


@pytest.mark.parametrize("value", range(256))
def test_runs_of_one_byte_value_are_cut_at_the_maximum_only(table: bytes, native: bool, value: int) -> None:
    run = bytes([value]) * (2 * MAXIMUM + 100)
    assert find_cuts(run, gear(table), final=True, _native=native) == [MAXIMUM, 2 * MAXIMUM, 2 * MAXIMUM + 100]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: array.array("I", data)])
def test_any_contiguous_buffer_will_do(table: bytes, native: bool, kind: Callable[[bytes], bytes]) -> None:
    data = content(20_000)
    expected = find_cuts(data, gear(table), final=True, _native=native)
    assert find_cuts(kind(data), gear(table), final=True, _native=native) == expected


@pytest.mark.parametrize(
    "changed",
    [
        {"table": bytes(2047)},
        {"table": bytes(2056)},
        {"minimum": 63},
        {"minimum": -1},
        {"maximum": MINIMUM - 1},
        {"threshold": -1},
        {"threshold": 2**64},
    ],
)
def test_impossible_parameters_are_refused_by_record_and_kernel(table: bytes, changed: dict[str, Any]) -> None:
    given = {"table": table, "minimum": MINIMUM, "maximum": MAXIMUM, "threshold": 1} | changed
    with pytest.raises(ValueError, match=r"table|minimum|threshold"):
        Gear(**given)
    if KERNEL is not None:
        with pytest.raises((ValueError, OverflowError)):
            KERNEL.find_cuts(
                bytes(100), given["table"], 0, given["minimum"], given["maximum"], given["threshold"], True
            )


@pytest.mark.parametrize("start", [-1, 101])
def test_start_outside_the_buffer_is_refused(table: bytes, native: bool, start: int) -> None:
    with pytest.raises(ValueError, match="start"):
        find_cuts(bytes(100), gear(table), start=start, final=True, _native=native)


@pytest.mark.parametrize("buffer", ["text", 5, None, memoryview(bytes(100))[::2]])
def test_what_is_no_buffer_is_refused(table: bytes, native: bool, buffer: Any) -> None:
    with pytest.raises((TypeError, BufferError)):
        find_cuts(buffer, gear(table), final=True, _native=native)


def test_missing_kernel_is_reported_once(table: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_module, "KERNEL", None)
    native_module._warn_once.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cuts = [find_cuts(bytes(65), gear(table), final=True) for _ in range(3)]
    assert cuts == [[65]] * 3
    assert [(type(warning.message), warning.filename) for warning in caught] == [(RuntimeWarning, __file__)]
    with pytest.raises(ImportError):
        find_cuts(b"", gear(table), final=True, _native=True)


@pytest.mark.parametrize("target", [65536, 1 << 20])
def test_speed_is_printed(table: bytes, target: int) -> None:
    """Nothing about speed is asserted: that is for benchmarks on a quiet machine. `pytest -s` shows it."""
    if KERNEL is None:
        pytest.skip("the kernel was not compiled")
    data = content(32 << 20)
    begin = time.perf_counter()
    cuts = GearCutter.for_target(table, target).cuts(data, final=True)
    seconds = time.perf_counter() - begin
    print(f"\nfind_cuts, target {target >> 10} KiB: {len(data) / seconds / 1e9:.1f} GB/s, {len(cuts)} chunks")
    assert cuts[-1] == len(data)
