"""Between the format's nanoseconds and people's aware times.

Here: two conversions. Not here: anything that decides by a clock; nothing in the protocol does.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def time_of(nanoseconds: int) -> datetime:
    """Return the aware time in UTC, to the microsecond. Times beyond what `datetime` can hold come back as its ends."""
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return _LAST if nanoseconds > 0 else _FIRST


def zone_minutes() -> int:
    """Return the local zone, in minutes east of UTC, now."""
    offset = datetime.now().astimezone().utcoffset()
    return 0 if offset is None else round(offset.total_seconds() / 60)
