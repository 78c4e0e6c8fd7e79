"""Which snapshots a policy keeps, and why.

Here: `decide`, pure. Not here: reading snapshots, and forgetting them (forgetting.py).

Rules: of each bucket of time (an hour, a day, an ISO week, a month, a year, as the clock on the wall showed it where
the snapshot was taken) the newest snapshot is kept, for the newest so many buckets. Times are effective ones
(effective.py). Manual snapshots, automatic ones and those before a restore count alike. Held snapshots and the newest
whole one stay whatever the policy says; unconfirmed ones neither count nor go.

Wrong clocks: what stands after the end of the chain of times, and what is dated more than a day after `now_ns`, stays
and takes nobody's place until a later snapshot shows when it was taken. A wrong `now_ns` makes more stay, never less.
"Within" is counted back from the newest but one, since nothing bears out the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

from ...errors import InputError
from ...types import Snapshot
from ...upkeep_types import RetentionDecision, RetentionPolicy
from ..clock import time_of
from .effective import EffectiveTime, effective_times

NOTHING_KEEPS: Final = "no rule keeps it"
_AHEAD_NS: Final = 24 * 3600 * 10**9  # stations' clocks may be set to different zones by mistake
_MINUTE_NS: Final = 60 * 10**9
_HOUR_NS: Final = 60 * _MINUTE_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A snapshot with its time as it is stored."""

    snapshot: Snapshot
    time_ns: int
    zone_minutes: int


@dataclass(frozen=True, slots=True)
class _Counted:
    """A candidate with its effective time."""

    candidate: Candidate
    effective: EffectiveTime

    @property
    def local(self) -> datetime:
        """What the clock on the wall showed."""
        zone = timezone(timedelta(minutes=max(-1439, min(1439, self.candidate.zone_minutes))))
        return time_of(self.effective.time_ns).astimezone(zone)


def decide(
    policy: RetentionPolicy, candidates: Iterable[Candidate], *, now_ns: int | None = None
) -> list[RetentionDecision]:
    """Say of each confirmed snapshot whether it stays, newest first. `now_ns` only ever makes more of them stay.

    Raises InputError (`empty_policy`) if the policy has no rule, or if its rules keep none of what is there.
    """
    if policy.empty:
        raise InputError("The policy keeps nothing. Say what is to stay, such as last=3.", code="empty_policy")
    counted = _counted(candidates)
    reasons: list[list[str]] = [[] for _ in counted]
    for rule in (_by_last, _by_bucket, _within, _by_label):
        for position, reason in rule(policy, counted, now_ns):
            reasons[position].append(reason)
    ruled = any(reasons)
    _keep_always(counted, reasons, now_ns)
    if not ruled and not all(reasons):
        raise InputError(
            "The policy would keep none of the snapshots that are there, but for the newest. Is a label misspelt? "
            "Say what is to stay, such as last=3.",
            code="empty_policy",
        )
    return [
        RetentionDecision(
            snapshot=item.candidate.snapshot,
            keep=bool(why),
            reasons=tuple(why) or (NOTHING_KEEPS,),
            counted_as=time_of(item.effective.time_ns),
        )
        for item, why in zip(counted, reasons, strict=True)
    ]


def all_stay(candidates: Iterable[Candidate], reason: str) -> list[RetentionDecision]:
    """Say of each confirmed snapshot that it stays, newest first, for a call without a policy."""
    return [
        RetentionDecision(
            snapshot=item.candidate.snapshot,
            keep=True,
            reasons=(reason,),
            counted_as=time_of(item.effective.time_ns),
        )
        for item in _counted(candidates)
    ]


def _counted(candidates: Iterable[Candidate]) -> list[_Counted]:
    """Return the confirmed ones with their effective times, newest first."""
    whole = [item for item in candidates if item.snapshot.confirmed]
    whole.sort(key=lambda item: (item.snapshot.number, item.time_ns, item.snapshot.id))
    times = effective_times([item.time_ns for item in whole])
    return [_Counted(item, effective) for item, effective in zip(whole, times, strict=True)][::-1]


_Kept = Iterable[tuple[int, str]]


def _by_last(policy: RetentionPolicy, counted: Sequence[_Counted], now_ns: int | None) -> _Kept:
    count = len(counted) if policy.last < 0 else min(policy.last, len(counted))
    return [(position, "last") for position in range(count)]


def _by_bucket(policy: RetentionPolicy, counted: Sequence[_Counted], now_ns: int | None) -> _Kept:
    for field, (key_of, name_of) in _BUCKETS.items():
        most: int = getattr(policy, field)
        seen: set[object] = set()
        for position, item in enumerate(counted):
            if most >= 0 and len(seen) == most:
                break
            if _undated(item, now_ns):
                continue
            key = (item.effective.age, key_of(item))
            if key not in seen:
                seen.add(key)
                yield position, f"{field} {name_of(item.local)}"


def _within(policy: RetentionPolicy, counted: Sequence[_Counted], now_ns: int | None) -> _Kept:
    if policy.within is None:
        return
    days = policy.within / timedelta(days=1)
    reason = f"within {days:g} {'day' if days == 1 else 'days'}"
    span_ns = policy.within // timedelta(microseconds=1) * 1000
    chains: dict[int, list[int]] = {}
    for item in counted:
        if item.effective.believed and not _undated(item, now_ns):
            chains.setdefault(item.effective.age, []).append(item.effective.time_ns)
    for position, item in enumerate(counted):
        chain = chains.get(item.effective.age, [])
        if not chain or _undated(item, now_ns) or (item.effective.age and len(chain) == 1):
            continue  # one that is alone in an older age has nobody to bear it out
        newest_but_one = chain[min(1, len(chain) - 1)]
        if item.effective.time_ns >= newest_but_one - span_ns:
            yield position, reason


def _by_label(policy: RetentionPolicy, counted: Sequence[_Counted], now_ns: int | None) -> _Kept:
    for position, item in enumerate(counted):
        label = item.candidate.snapshot.label
        if label is not None and label in policy.labels:
            yield position, f"label {label}"


def _keep_always(counted: Sequence[_Counted], reasons: list[list[str]], now_ns: int | None) -> None:
    """Add why snapshots stay whatever the policy says."""
    for position, item in enumerate(counted):
        if item.candidate.snapshot.held:
            reasons[position].append("held")
        if item.effective.open:
            reasons[position].append("its clock was behind those before it")
        elif _undated(item, now_ns):
            reasons[position].append("its clock was ahead")
        if position == 0:
            reasons[position].append("newest whole one")


def _undated(item: _Counted, now_ns: int | None) -> bool:
    """Whether nothing tells yet when the snapshot was taken."""
    effective = item.effective
    ahead = now_ns is not None and effective.age == 0 and effective.time_ns > now_ns + _AHEAD_NS
    return effective.open or ahead


def _hour(item: _Counted) -> object:
    """The moment at which the hour began: an hour that a clock shows twice in autumn is two."""
    zone_ns = item.candidate.zone_minutes * _MINUTE_NS
    return (item.effective.time_ns + zone_ns) // _HOUR_NS * _HOUR_NS - zone_ns


def _week(local: datetime) -> str:
    year, week, _ = local.isocalendar()
    return f"{year:04}-W{week:02}"


_Key = Callable[[_Counted], object]
_Name = Callable[[datetime], str]
_BUCKETS: Final[dict[str, tuple[_Key, _Name]]] = {
    "hourly": (_hour, lambda local: f"{local:%Y-%m-%d %H}:00"),
    "daily": (lambda item: item.local.date(), lambda local: f"{local.date()}"),
    "weekly": (
        lambda item: tuple(item.local.isocalendar())[:2],
        lambda local: "{}-W{:02}".format(*local.isocalendar()),
    ),
    "monthly": (lambda item: (item.local.year, item.local.month), lambda local: f"{local.year:04}-{local.month:02}"),
    "yearly": (lambda item: item.local.year, lambda local: f"{local.year:04}"),
}
