"""Golden vectors: cuts may never move, or a new version would store everything anew.

tests/vectors/chunking.json was computed from docs/format/10-chunking.md by a program that shares nothing with the
package. It is never regenerated; a new case may be added. Content is spelled as a list of parts: `random` is the
extended BLAKE3 output of a seed, `run` repeats one byte value, `repeat` repeats the extended BLAKE3 output of a seed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from snapstore.chunking import chunk_stream, find_cuts, gear_table, group_ends, hash_key, name_key, plan_bundles
from snapstore.chunking.cutters import GearCutter

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "chunking.json").read_text("utf-8"))


def content_of(parts: list[dict[str, Any]]) -> bytes:
    return b"".join(part_of(**part) for part in parts)


def part_of(kind: str, size: int, seed: str = "", value: int = 0, unit: int = 1) -> bytes:
    if kind == "run":
        return bytes([value]) * size
    if kind == "random":
        return blake3(seed.encode()).digest(length=size)
    assert kind == "repeat"
    return (blake3(seed.encode()).digest(length=unit) * (size // unit + 1))[:size]


@pytest.mark.parametrize("case", VECTORS["tables"])
def test_tables(case: dict[str, Any]) -> None:
    table = gear_table(bytes.fromhex(case["key"]), case["fine_target"])
    assert blake3(table).hexdigest() == case["table_blake3"]
    assert table[:16].hex() == case["table_start"]


@pytest.mark.parametrize("case", VECTORS["cuts"])
def test_cuts(case: dict[str, Any], native: bool) -> None:
    cutter = GearCutter.for_target(gear_table(bytes.fromhex(case["key"]), case["fine_target"]), case["target"])
    data = content_of(case["content"])
    if native:
        assert cutter.cuts(data, final=True) == case["ends"]
        blocks = (data[at : at + 100_000] for at in range(0, len(data), 100_000))
        sizes = [len(chunk) for chunk in chunk_stream(blocks, cutter)]
        assert sizes == [end - begin for begin, end in zip([0, *case["ends"]], case["ends"], strict=False)]
    assert find_cuts(data, cutter, final=True, _native=native) == case["ends"]


@pytest.mark.parametrize("case", VECTORS["bundles"])
def test_bundles(case: dict[str, Any]) -> None:
    names = [bytes.fromhex(name) for name in case["names"]]
    bounds = {bound: case[bound] for bound in ("minimum", "mean", "maximum")}
    plan = plan_bundles(names, case["sizes"], key=bytes.fromhex(case["key"]), **bounds)
    assert [bundle.stop for bundle in plan] == case["ends"]
    assert [bundle.start for bundle in plan] == [0, *case["ends"]][:-1]


@pytest.mark.parametrize("case", VECTORS["nodes"])
def test_nodes(case: dict[str, Any]) -> None:
    if "names" in case:
        keys = [name_key(bytes.fromhex(case["key"]), name.encode()) for name in case["names"]]
    else:
        keys = [hash_key(bytes.fromhex(h)) for h in case["hashes"]]
    sizes = case["encoded_sizes"]
    for level, expected in enumerate(case["ends_by_level"]):
        ends = group_ends(keys, sizes, level)
        assert ends == expected
        keys, sizes = [keys[end - 1] for end in ends], [case["child_size"]] * len(ends)
    assert len(keys) == 1
