"""A summary of how many inputs were tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

COUNTS: pytest.StashKey[dict[str, int]] = pytest.StashKey()


@pytest.fixture
def say_at_the_end(pytestconfig: pytest.Config) -> Callable[[str, int], None]:
    """Take a decoder's name and how many inputs it got."""
    return pytestconfig.stash.setdefault(COUNTS, {}).__setitem__


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Called by pytest."""
    counts = config.stash.get(COUNTS, {})
    if counts:
        terminalreporter.write_sep("-", "fuzzing")
        least = min(counts, key=lambda name: counts[name])
        total = sum(counts.values())
        terminalreporter.write_line(f"{len(counts)} decoders, {total:,} inputs; fewest: {counts[least]:,} for {least}")
