"""A summary of what was explored, at the end of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

LINES: pytest.StashKey[list[str]] = pytest.StashKey()


@pytest.fixture
def say_at_the_end(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Take a line for the summary."""
    return pytestconfig.stash.setdefault(LINES, []).append


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Called by pytest."""
    lines = config.stash.get(LINES, [])
    if lines:
        terminalreporter.write_sep("-", "the protocol's model")
    for line in lines:
        terminalreporter.write_line(line)
