"""plan_bundles: caps, and the rule for where a bundle ends."""

from __future__ import annotations

import pytest

from snapstore.chunking import name_key, plan_bundles

KEY = bytes(range(32))
BOUNDS = {"minimum": 16384, "mean": 32768, "maximum": 65536}


def test_no_file_no_bundle() -> None:
    assert plan_bundles([], [], key=KEY, **BOUNDS) == []


def test_few_files_share_one() -> None:
    assert plan_bundles([b"a", b"b", b"c"], [600, 700, 800], key=KEY, **BOUNDS) == [range(3)]


def test_the_file_that_would_exceed_the_maximum_starts_the_next() -> None:
    names = [b"%02d" % number for number in range(20)]
    plan = plan_bundles(names, [10_000] * 20, key=KEY, minimum=60_001, mean=1, maximum=65536)
    assert plan == [range(6), range(6, 12), range(12, 18), range(18, 20)]


def test_a_file_above_the_maximum_stands_alone() -> None:
    plan = plan_bundles([b"a", b"b", b"c"], [10, 70_000, 10], key=KEY, minimum=16384, mean=1, maximum=65536)
    assert plan == [range(1), range(1, 2), range(2, 3)]


def test_a_bundle_ends_where_the_name_and_size_say() -> None:
    name = b"document.txt"
    weight = name_key(KEY, name)
    size = -(-weight * 32768 // 2**64)  # rounded up: with a mean of 32768 the name cuts from this size on
    bounds = {"minimum": 1, "mean": 32768, "maximum": 10**9}
    after = b"zzz"
    assert plan_bundles([name, after], [size, 1], key=KEY, **bounds)[0] == range(1)
    assert plan_bundles([name, after], [size - 1, 1], key=KEY, **bounds)[0] == range(2)
    assert plan_bundles([name, after], [size, 1], key=KEY, **(bounds | {"minimum": size + 1}))[0] == range(2)


def test_names_and_sizes_must_match() -> None:
    with pytest.raises(ValueError, match="shorter"):
        plan_bundles([b"a", b"b"], [1], key=KEY, **BOUNDS)
