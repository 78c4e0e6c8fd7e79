"""What a policy keeps, and the words it gives for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import InputError
from snapstore.operations.forget.policy import Candidate, decide
from snapstore.upkeep_types import RetentionDecision, RetentionPolicy

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 1, 1, 18, tzinfo=UTC)
FAR = datetime(2099, 6, 1, tzinfo=UTC)
FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)


def kept(decisions: list[RetentionDecision]) -> list[int]:
    """The numbers of those that stay, oldest first."""
    return sorted(item.snapshot.number for item in decisions if item.keep)


def reasons(decisions: list[RetentionDecision]) -> dict[int, tuple[str, ...]]:
    return {item.snapshot.number: item.reasons for item in decisions}


def test_the_last_ones_by_number(made: Any) -> None:
    decisions = decide(RetentionPolicy(last=2), made.series(START, DAY, 4))
    assert [item.snapshot.number for item in decisions] == [4, 3, 2, 1]
    assert reasons(decisions) == {
        4: ("last", "newest whole one"),
        3: ("last",),
        2: ("no rule keeps it",),
        1: ("no rule keeps it",),
    }


def test_of_each_day_the_newest(made: Any) -> None:
    decisions = decide(RetentionPolicy(daily=2), made.series(START, 6 * HOUR, 9))  # 18:00, then 0, 6, 12, 18
    assert kept(decisions) == [5, 9]
    assert reasons(decisions)[5] == ("daily 2026-01-02",)
    assert reasons(decisions)[9] == ("daily 2026-01-03", "newest whole one")


@pytest.mark.parametrize(
    ("field", "step", "names"),
    [
        ("hourly", timedelta(minutes=30), ["hourly 2026-01-01 19:00", "hourly 2026-01-01 20:00"]),
        ("daily", 12 * HOUR, ["daily 2026-01-02", "daily 2026-01-03"]),
        ("weekly", 3 * DAY, ["weekly 2026-W02", "weekly 2026-W03"]),
        ("monthly", 16 * DAY, ["monthly 2026-02", "monthly 2026-03"]),
        ("yearly", 190 * DAY, ["yearly 2027", "yearly 2028"]),
    ],
)
def test_buckets_and_their_names(made: Any, field: str, step: timedelta, names: list[str]) -> None:
    decisions = decide(RetentionPolicy(**{field: 2}), made.series(START, step, 5))
    found = [reason for item in reversed(decisions) for reason in item.reasons if reason.startswith(field)]
    assert found == names


def test_all_of_a_kind(made: Any) -> None:
    assert kept(decide(RetentionPolicy(daily=-1), made.series(START, 8 * HOUR, 9))) == [1, 4, 7, 9]
    assert kept(decide(RetentionPolicy(last=-1), made.series(START, DAY, 5))) == [1, 2, 3, 4, 5]


def test_days_begin_at_midnight_where_the_snapshot_was_taken(made: Any) -> None:
    late = datetime(2026, 1, 1, 23, 30, tzinfo=UTC)
    at_home = [made.candidate(1, late), made.candidate(2, late + HOUR)]
    further_east = [made.candidate(1, late, zone_minutes=60), made.candidate(2, late + HOUR, zone_minutes=60)]
    assert kept(decide(RetentionPolicy(daily=2), at_home)) == [1, 2]
    assert kept(decide(RetentionPolicy(daily=2), further_east)) == [2]


def test_the_hour_that_comes_twice_in_autumn_is_two(made: Any) -> None:
    summer = made.candidate(1, datetime(2026, 10, 25, 0, 30, tzinfo=UTC), zone_minutes=120)
    winter = made.candidate(2, datetime(2026, 10, 25, 1, 30, tzinfo=UTC), zone_minutes=60)
    assert kept(decide(RetentionPolicy(hourly=2), [summer, winter])) == [1, 2]


def test_within_counts_back_from_the_newest_but_one(made: Any) -> None:
    snapshots = made.series(START, DAY, 10)
    decisions = decide(RetentionPolicy(within=3 * DAY), snapshots)
    assert kept(decisions) == [6, 7, 8, 9, 10]
    assert reasons(decisions)[6] == ("within 3 days",)


def test_labels(made: Any) -> None:
    snapshots = made.series(START, DAY, 4)
    snapshots[1] = made.candidate(2, START + DAY, label="year's end")
    decisions = decide(RetentionPolicy(labels=frozenset({"year's end", "audit"})), snapshots)
    assert kept(decisions) == [2, 4]
    assert reasons(decisions)[2] == ("label year's end",)


def test_held_ones_stay_and_count(made: Any) -> None:
    snapshots = [*made.series(START, DAY, 3), made.candidate(4, START + 3 * DAY, held=True)]
    snapshots[0] = made.candidate(1, START, held=True)
    decisions = decide(RetentionPolicy(daily=2), snapshots)
    assert kept(decisions) == [1, 3, 4]
    assert reasons(decisions)[1] == ("held",)
    assert reasons(decisions)[4] == ("daily 2026-01-04", "held", "newest whole one")


def test_unconfirmed_ones_neither_count_nor_go(made: Any) -> None:
    snapshots = [*made.series(START, DAY, 3), made.candidate(4, START + 3 * DAY, confirmed=False)]
    decisions = decide(RetentionPolicy(last=1), snapshots)
    assert [item.snapshot.number for item in decisions] == [3, 2, 1]
    assert kept(decisions) == [3]


def test_rules_add_up(made: Any) -> None:
    decisions = decide(RetentionPolicy(last=2, monthly=3), made.series(START, 10 * DAY, 10))
    assert kept(decisions) == [6, 9, 10]
    assert reasons(decisions)[10] == ("last", "monthly 2026-04", "newest whole one")


def test_nothing_is_to_be_said_of_nothing() -> None:
    assert decide(RetentionPolicy(last=1), []) == []


@pytest.mark.parametrize("policy", [RetentionPolicy(), RetentionPolicy(labels=frozenset({"no such label"}))])
def test_a_policy_that_keeps_nothing_is_refused(made: Any, policy: RetentionPolicy) -> None:
    with pytest.raises(InputError) as caught:
        decide(policy, made.series(START, DAY, 3))
    assert caught.value.code == "empty_policy"


@pytest.mark.parametrize("wrong", [{"daily": -2}, {"within": -DAY}, {"labels": "audit"}])
def test_what_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        RetentionPolicy(**wrong)
    assert caught.value.code == "invalid_policy"


def test_presets(made: Any) -> None:
    years = made.series(START, DAY, 365 * 11)
    words = [
        reason.split()[0] for item in decide(RetentionPolicy.preset("accounting"), years) for reason in item.reasons
    ]
    assert [words.count(word) for word in ("last", "daily", "monthly", "yearly")] == [3, 30, 24, 10]
    assert not RetentionPolicy.preset("shop").empty
    assert not RetentionPolicy.preset("minimal").empty
    with pytest.raises(InputError) as caught:
        RetentionPolicy.preset("museum")
    assert caught.value.code == "unknown_preset"


# --- wrong clocks -----------------------------------------------------------------------------------------------

RULES = st.builds(
    RetentionPolicy,
    hourly=st.integers(0, 4),
    daily=st.integers(-1, 4),
    weekly=st.integers(0, 3),
    monthly=st.integers(0, 3),
    yearly=st.integers(0, 3),
    within=st.none() | st.timedeltas(timedelta(0), 60 * DAY),
).filter(lambda policy: not policy.empty)
GAPS = st.lists(st.timedeltas(timedelta(minutes=1), 40 * DAY), min_size=2, max_size=25)


def taken(made: Any, gaps: list[timedelta]) -> list[Candidate]:
    times = [START]
    for gap in gaps:
        times.append(times[-1] + gap)
    return [made.candidate(2 * number + 1, time) for number, time in enumerate(times)]


@given(policy=RULES, gaps=GAPS, wrong=st.sampled_from([FAR, FIRST_DAY]), data=st.data())
def test_one_wrong_clock_changes_nothing_for_the_others(
    made: Any, policy: RetentionPolicy, gaps: list[timedelta], wrong: datetime, data: st.DataObject
) -> None:
    right = taken(made, gaps)
    stranger = made.candidate(2 * data.draw(st.integers(0, len(right))), wrong)
    now_ns = right[-1].time_ns + 10**9
    expected = decide(policy, right, now_ns=now_ns)
    found = decide(policy, [*right, stranger], now_ns=now_ns)
    newest = max(item.snapshot.number for item in found)
    assert newest in kept(found)
    others = [number for number in kept(found) if number != stranger.snapshot.number]
    ruled = [item.snapshot.number for item in expected if item.keep and item.reasons != ("newest whole one",)]
    if newest == stranger.snapshot.number:
        assert set(ruled) <= set(others) <= set(kept(expected))
    else:
        assert others == kept(expected)


@given(policy=RULES, gaps=GAPS, now=st.integers(-(2**62), 2**62))
def test_a_wrong_clock_here_makes_more_stay_never_less(
    made: Any, policy: RetentionPolicy, gaps: list[timedelta], now: int
) -> None:
    snapshots = taken(made, gaps)
    without = set(kept(decide(policy, snapshots)))
    assert without <= set(kept(decide(policy, snapshots, now_ns=now)))


@given(policy=RULES, gaps=GAPS, data=st.data())
def test_the_newest_always_stays_whatever_all_clocks_say(
    made: Any, policy: RetentionPolicy, gaps: list[timedelta], data: st.DataObject
) -> None:
    times = data.draw(st.permutations([item.snapshot.time for item in taken(made, gaps)]))
    snapshots = [made.candidate(number + 1, time) for number, time in enumerate(times)]
    assert len(snapshots) in kept(decide(policy, snapshots))


@given(gaps=GAPS, policy=RULES)
def test_forgetting_twice_is_forgetting_once(made: Any, gaps: list[timedelta], policy: RetentionPolicy) -> None:
    policy = replace(policy, within=None)  # counted from the newest but one, which may be another one then
    if policy.empty:
        return
    first = decide(policy, taken(made, gaps))
    left = [item for item in taken(made, gaps) if item.snapshot.number in kept(first)]
    assert kept(decide(policy, left)) == kept(first)


def test_a_clock_that_is_ahead_pushes_nothing_out_of_a_window(made: Any) -> None:
    snapshots = [*made.series(START, DAY, 10), made.candidate(11, FAR)]
    assert kept(decide(RetentionPolicy(within=30 * DAY), snapshots)) == list(range(1, 12))
    at_its_time = made.nanoseconds(FAR)
    assert kept(decide(RetentionPolicy(within=30 * DAY), snapshots, now_ns=at_its_time)) == list(range(1, 12))
    ten = decide(RetentionPolicy(daily=10), snapshots, now_ns=snapshots[9].time_ns)
    assert kept(ten) == list(range(1, 12))
    assert reasons(ten)[11] == ("its clock was ahead", "newest whole one")


def test_a_clock_that_went_back_for_good_does_not_make_one_day_of_all_years(made: Any) -> None:
    right = made.series(START, 30 * DAY, 20)
    back = [made.candidate(number, FIRST_DAY + number * HOUR) for number in range(21, 60)]
    decisions = decide(RetentionPolicy(monthly=12), [*right, *back])
    assert len([number for number in kept(decisions) if number <= 20]) >= 10


def test_a_snapshot_behind_its_time_is_counted_with_the_next(made: Any) -> None:
    snapshots = made.series(START, DAY, 5)
    snapshots[2] = made.candidate(3, FIRST_DAY)
    decisions = decide(RetentionPolicy(daily=5), snapshots)
    assert kept(decisions) == [1, 2, 4, 5]
    [odd] = [item for item in decisions if item.snapshot.number == 3]
    assert odd.counted_as == snapshots[3].snapshot.time
