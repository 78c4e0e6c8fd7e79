"""What holds for chunking whatever the content: completeness, bounds, locality, and kernel = twin = definition."""

from __future__ import annotations

from itertools import pairwise
from struct import unpack

import pytest
from blake3 import blake3
from hypothesis import example, given
from hypothesis import strategies as st

from snapstore.chunking import (
    Cutter,
    Gear,
    GearCutter,
    PageCutter,
    chunk_stream,
    find_cuts,
    gear_table,
    group_ends,
    make_records,
    match_records,
    plan_bundles,
    sort_records,
)
from snapstore.chunking.native import KERNEL

TABLE = gear_table(bytes(range(32)), 128)
needs_kernel = pytest.mark.skipif(KERNEL is None, reason="the kernel was not compiled")

pieces = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda value, count: bytes([value]) * count, st.integers(0, 255), st.integers(0, 2000)),
    st.builds(lambda seed, size: blake3(seed).digest(length=size), st.binary(max_size=4), st.integers(1, 4000)),
    st.builds(lambda unit, count: unit * count, st.binary(min_size=1, max_size=70), st.integers(0, 50)),
)
contents = st.lists(pieces, max_size=6).map(b"".join)
targets = st.sampled_from([128, 130, 200, 256, 1024])
cutters = st.one_of(
    targets.map(lambda target: GearCutter.for_target(TABLE, target)),
    st.integers(1, 3000).map(lambda size: PageCutter(maximum=size)),
)


def cuts_by_definition(data: bytes, gear: Gear) -> list[int]:
    """Compute h once for all of `data`, since it depends on 64 bytes only, and then choose among the candidates."""
    words = unpack("<256Q", gear.table)
    candidates = set()
    h = 0
    for position, byte in enumerate(data, 1):
        h = (2 * h + words[byte]) % 2**64
        if h < gear.threshold:
            candidates.add(position)
    ends: list[int] = []
    start = 0
    while start < len(data):
        last = min(start + gear.maximum, len(data))
        start = next((end for end in range(start + gear.minimum, last + 1) if end in candidates), last)
        ends.append(start)
    return ends


@given(contents, targets)
@example(b"", 128)
@example(bytes(64), 128)
def test_twin_follows_the_definition(data: bytes, target: int) -> None:
    gear = GearCutter.for_target(TABLE, target)
    assert find_cuts(data, gear, final=True, _native=False) == cuts_by_definition(data, gear)


@needs_kernel
@given(contents, targets, st.integers(0, 400), st.booleans())
def test_kernel_and_twin_agree(data: bytes, target: int, start: int, final: bool) -> None:
    gear = GearCutter.for_target(TABLE, target)
    start = min(start, len(data))
    twin = find_cuts(data, gear, start=start, final=final, _native=False)
    assert find_cuts(data, gear, start=start, final=final, _native=True) == twin


@needs_kernel
@given(
    contents,
    st.binary(min_size=2048, max_size=2048),
    st.integers(64, 300),
    st.integers(0, 300),
    st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2**64 - 1])),
)
def test_kernel_and_twin_agree_on_any_parameters(
    data: bytes, table: bytes, minimum: int, more: int, threshold: int
) -> None:
    gear = Gear(table=table, minimum=minimum, maximum=minimum + more, threshold=threshold)
    twin = find_cuts(data, gear, final=True, _native=False)
    assert find_cuts(data, gear, final=True, _native=True) == twin


@given(contents, cutters, st.lists(st.integers(0, 5000), max_size=8))
def test_chunks_do_not_depend_on_blocks(data: bytes, cutter: Cutter, block_ends: list[int]) -> None:
    bounds = [0, *sorted(min(end, len(data)) for end in block_ends), len(data)]
    blocks = [data[begin:end] for begin, end in pairwise(bounds)]
    chunks = list(chunk_stream(iter(blocks), cutter))
    assert b"".join(chunks) == data
    assert [len(chunk) for chunk in chunks] == [
        end - begin for begin, end in pairwise([0, *cutter.cuts(data, final=True)])
    ]
    assert all(0 < len(chunk) <= cutter.maximum for chunk in chunks)


@given(contents, targets)
def test_sizes_are_within_bounds(data: bytes, target: int) -> None:
    cutter = GearCutter.for_target(TABLE, target)
    ends = cutter.cuts(data, final=True)
    sizes = [end - begin for begin, end in pairwise([0, *ends])]
    assert sum(sizes) == len(data)
    assert all(cutter.minimum <= size <= cutter.maximum for size in sizes[:-1])
    assert cutter.cuts(data, final=False) in (ends, ends[:-1])


@given(st.integers(0, 10**6), st.integers(0, 200_000), st.binary(min_size=1, max_size=500))
def test_an_insertion_changes_only_cuts_near_it(seed: int, position: int, inserted: bytes) -> None:
    cutter = GearCutter.for_target(TABLE, 1024)
    data = blake3(seed.to_bytes(8, "little")).digest(length=200_000)
    changed = data[:position] + inserted + data[position:]
    before, after = cutter.cuts(data, final=False), cutter.cuts(changed, final=False)
    assert [end for end in before if end <= position] == [end for end in after if end <= position]
    known = {data[begin:end] for begin, end in pairwise([0, *before])}
    new = sum(changed[begin:end] not in known for begin, end in pairwise([0, *after]))
    assert new <= 25, "of about 190 chunks"


@needs_kernel
@given(st.integers(1, 40), st.data())
def test_record_functions_agree_with_their_twins(record_size: int, data: st.DataObject) -> None:
    key_size = data.draw(st.integers(1, record_size))
    alphabet = data.draw(st.sampled_from([st.integers(0, 255), st.integers(0, 1), st.sampled_from([0, 255])]))
    records = st.lists(alphabet, min_size=record_size, max_size=record_size).map(bytes)
    buffer = bytearray(b"".join(data.draw(st.lists(records, max_size=60))))
    twin = bytearray(buffer)
    sort_records(buffer, record_size=record_size, key_size=key_size, _native=True)
    sort_records(twin, record_size=record_size, key_size=key_size, _native=False)
    assert buffer == twin
    keys = b"".join(record[:key_size] for record in data.draw(st.lists(records, max_size=10))) + b"".join(
        twin[at : at + key_size] for at in range(0, len(twin), record_size)
    )
    arguments = {"record_size": record_size, "key_size": key_size, "keys": keys}
    assert match_records(buffer, **arguments, _native=True) == match_records(twin, **arguments, _native=False)
    rows = {"rows": bytes(buffer), "row_size": record_size, "key_size": key_size, "number": len(buffer)}
    assert make_records(**rows, _native=True) == make_records(**rows, _native=False)


item_keys = st.one_of(
    st.integers(0, 2**64 - 1),
    st.builds(lambda high, nibbles: (high << 4 * nibbles) % 2**64, st.integers(0, 2**64 - 1), st.integers(0, 16)),
)


@given(st.lists(st.tuples(item_keys, st.integers(1, 40_000)), min_size=1, max_size=600))
@example([(0, 1)] * 600)
@example([(2**64 - 1, 70_000)] * 600)
def test_levels_of_nodes_come_to_an_end(items: list[tuple[int, int]]) -> None:
    keys, sizes = [key for key, _ in items], [size for _, size in items]
    level = 0
    while len(keys) > 1:
        ends = group_ends(keys, sizes, level)
        counts = [end - begin for begin, end in pairwise([0, *ends])]
        assert sum(counts) == len(keys)
        assert all(2 <= count <= 128 for count in counts[:-1])
        assert 1 <= counts[-1] <= 128
        assert len(ends) <= (len(keys) + 1) // 2
        keys, sizes = [keys[end - 1] for end in ends], [60] * len(ends)
        level += 1
    assert level <= 10


@given(
    st.lists(
        st.tuples(st.binary(min_size=1, max_size=8), st.integers(513, 16384)), max_size=80, unique_by=lambda f: f[0]
    )
)
def test_bundles_are_complete_and_capped(files: list[tuple[bytes, int]]) -> None:
    files.sort()
    names, sizes = [name for name, _ in files], [size for _, size in files]
    plan = plan_bundles(names, sizes, key=bytes(32), minimum=16384, mean=32768, maximum=65536)
    assert [position for bundle in plan for position in bundle] == list(range(len(files)))
    totals = [sum(sizes[bundle.start : bundle.stop]) for bundle in plan]
    assert all(total <= 65536 for total in totals)
    assert all(total >= 16384 for total in totals[:-1])


@given(st.integers(0, 10**6), st.integers(0, 399), st.integers(513, 16384))
def test_a_new_file_changes_only_bundles_near_it(seed: int, position: int, size: int) -> None:
    draws = blake3(seed.to_bytes(8, "little")).digest(length=800)
    files = [
        (b"%06d" % (10 * number), 513 + int.from_bytes(draws[2 * number :][:2], "little") % 15_000)
        for number in range(400)
    ]
    changed = sorted([*files, (b"%06d" % (10 * position + 5), size)])
    bundles_before, bundles_after = bundles_of(files), bundles_of(changed)
    assert len(bundles_after - bundles_before) <= 25, "of about 80 bundles"


def bundles_of(files: list[tuple[bytes, int]]) -> set[tuple[tuple[bytes, int], ...]]:
    names, sizes = [name for name, _ in files], [size for _, size in files]
    plan = plan_bundles(names, sizes, key=bytes(32), minimum=16384, mean=32768, maximum=65536)
    return {tuple(files[bundle.start : bundle.stop]) for bundle in plan}
