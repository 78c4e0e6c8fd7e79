"""Snapshots as a policy sees them, made up: `made.candidate` and `made.series`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from snapstore.operations.forget.policy import Candidate
from snapstore.types import Snapshot, SnapshotId, SnapshotKind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1) * 1000


def candidate(number: int, time: datetime, *, zone_minutes: int = 0, **more: Any) -> Candidate:
    fields: dict[str, Any] = {
        "id": SnapshotId(number.to_bytes(16, "big")), "number": number, "time": time, "kind": SnapshotKind.MANUAL,
        "confirmed": True, "files": 1, "directories": 0, "others": 0, "total_bytes": 1, "added_bytes": 1,
        "problem_count": 0, "duration_seconds": 1.0, "station": "one", "label": None, "host": None, "user": None,
        "sources": (), "excludes": (), "problems": (),
    }  # fmt: skip
    return Candidate(snapshot=Snapshot(**fields | more), time_ns=nanoseconds(time), zone_minutes=zone_minutes)


def series(first: datetime, step: timedelta, count: int) -> list[Candidate]:
    """Some snapshots at regular times, numbered from 1."""
    return [candidate(number + 1, first + number * step) for number in range(count)]


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    return SimpleNamespace(candidate=candidate, series=series, nanoseconds=nanoseconds)
