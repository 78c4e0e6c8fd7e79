"""A plugin for pytest that says at the end how much was tried where one test tries many things.

A test that dies at every store operation, or damages every byte, is one green dot however many there were; if something
makes it try none at all, it is still green. So such tests say how many they tried, by
`record_property("counted: WHAT", COUNT)`, and the last lines of a run show the sums.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import pytest

START: Final = "counted: "


class Counted:
    """Collects, and writes the summary."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test recorded, once."""
        if report.when == "teardown":
            for key, count in report.user_properties:
                if key.startswith(START):
                    self.counts[key.removeprefix(START)] += int(str(count))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """One line for each thing that was counted."""
        if self.counts:
            terminalreporter.write_sep("-", "counted")
        for what, count in sorted(self.counts.items()):
            terminalreporter.write_line(f"{what}: {count:,}")


def pytest_configure(config: pytest.Config) -> None:
    """Called by pytest."""
    config.pluginmanager.register(Counted(), "counted-things")
