"""Effective times: which clocks are believed, and when the others' snapshots count as taken."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.operations.forget.effective import EffectiveTime, effective_times


def times(effective: list[EffectiveTime]) -> list[int]:
    return [item.time_ns for item in effective]


@pytest.mark.parametrize(
    ("written", "counted"),
    [
        ([], []),
        ([5], [5]),
        ([1, 2, 3], [1, 2, 3]),
        ([1, 1, 1], [1, 1, 1]),
        ([1, 2099, 3, 4], [1, 3, 3, 4]),
        ([2099, 2, 3, 4], [2099, 2, 3, 4]),  # an age of its own
        ([1, 2, 3, 2099], [1, 2, 3, 2099]),  # nothing tells yet
        ([10, 20, 1, 40], [10, 20, 40, 40]),
        ([10, 1, 40], [10, 40, 40]),
        ([1, 20, 30], [1, 20, 30]),
        ([10, 20, 30, 1], [10, 20, 30, 30]),
        ([10, 2099, 40], [10, 40, 40]),
        ([2099, 20], [2099, 2099]),  # which of the two is wrong?
        ([20, 21, 22, 1, 2, 3, 4], [20, 21, 22, 1, 2, 3, 4]),  # a clock that went back for good
    ],
)
def test_what_counts(written: list[int], counted: list[int]) -> None:
    assert times(effective_times(written)) == counted


def test_the_end_is_open_and_an_older_age_is_told_from_the_newest() -> None:
    open_end = effective_times([10, 20, 30, 1])
    assert [item.open for item in open_end] == [False, False, False, True]
    assert [item.believed for item in open_end] == [True, True, True, False]
    ages = effective_times([20, 21, 22, 1, 2, 3, 4])
    assert [item.age for item in ages] == [1, 1, 1, 0, 0, 0, 0]
    assert not any(item.open for item in ages)


def best_chain(written: list[int]) -> tuple[int, int, int]:
    """Size, span negated, and end of the best chain, by trying them all."""
    return max(
        (size, chosen[0] - chosen[-1], chosen[-1])
        for size in range(1, len(written) + 1)
        for chosen in combinations(written, size)
        if list(chosen) == sorted(chosen)
    )


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9))
def test_the_chain_is_the_best_of_all(written: list[int]) -> None:
    believed = [item.time_ns for item in effective_times(written) if item.believed and item.age == 0]
    assert believed == sorted(believed)
    assert (len(believed), believed[0] - believed[-1], believed[-1]) == best_chain(written)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40))
def test_times_rise_in_each_age_and_none_is_made_up(written: list[int]) -> None:
    effective = effective_times(written)
    assert len(effective) == len(written)
    ages = [item.age for item in effective]
    assert ages == sorted(ages, reverse=True)
    for age in set(ages):
        of_age = [item for item in effective if item.age == age]
        assert times(of_age) == sorted(times(of_age))
    for item, own in zip(effective, written, strict=True):
        assert item.time_ns in written
        assert not item.believed or item.time_ns == own
        assert not item.open or item.age == 0


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=30), st.integers(), st.data())
def test_one_clock_that_is_far_off_moves_nobody_else(right: list[int], wrong: int, data: st.DataObject) -> None:
    right.sort()
    if right[0] <= wrong <= right[-1]:
        wrong += 10**7
    position = data.draw(st.integers(0, len(right)))
    written = [*right[:position], wrong, *right[position:]]
    effective = times(effective_times(written))
    del effective[position]
    assert effective == right


def test_very_many_take_no_time() -> None:
    written = [(number * 7919) % 20_011 for number in range(20_000)]
    assert len(effective_times(written)) == len(written)
