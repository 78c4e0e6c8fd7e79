"""A plugin for pytest that says at the end which stores were tried, and on which servers and file systems.

Tests of stores skip where a server or a file system cannot be had, and a run that skipped them all looks as green as
one that ran them all. So the last lines name, for each kind of store, what it really ran on, how many tests passed,
and why others were skipped.

A test belongs to the kind of the server it was given (the scheme of its address), or else to the one its path names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from server import Server

STORE_TESTS: Final = re.compile(r"tests/(conformance|unit/stores|faults/test_remote|unit/operations/media)")
KINDS_BY_WORD: Final = (
    ("sftp", "sftp"),
    ("sshd", "sftp"),
    ("ftp", "ftp"),
    ("objects", "s3"),
    ("object_stores", "s3"),
    ("s3", "s3"),
    ("moto", "s3"),
    ("versitygw", "s3"),
    ("azurite", "s3"),
    ("media", "usb"),
)
KINDS_BY_SCHEME: Final = {"ftps": "ftp", "gs": "s3", "az": "s3"}
FILE_SYSTEMS: Final = {"fat_mount": "FAT32", "exfat_mount": "exFAT", "ntfs_mount": "NTFS", "tiny_mount": "a full disk"}
OUTCOMES: Final = ("passed", "failed", "skipped")


@dataclass
class Kind:
    """What became of the tests of one kind of store."""

    places: dict[str, None] = field(default_factory=dict)  # servers and file systems, in the order they were first used
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    faults: int = 0
    """How many faults the tests say they met (`record_property("faults", count)`)."""

    def line(self, name: str) -> str:
        """One line for the summary."""
        places = f" on {', '.join(self.places)}" if self.places else ""
        counts = ", ".join(f"{self.outcomes[outcome]} {outcome}" for outcome in OUTCOMES if self.outcomes[outcome])
        faults = f", {self.faults} faults met" if self.faults else ""
        reasons = "; ".join(f"{reason} ({count})" for reason, count in self.reasons.most_common())
        return f"store tests: {name}{places}: {counts}{faults}" + (f": {reasons}" if reasons else "")


def kind_of(item: pytest.Item, servers: list[Server]) -> str | None:
    """The kind of store a test is about, or None if it is about none."""
    path = item.nodeid.split("::")[0]
    if not STORE_TESTS.search(path):
        return None
    if servers:
        scheme = servers[0].url("which").partition(":")[0]
        return KINDS_BY_SCHEME.get(scheme, scheme)
    parameters = "".join(re.findall(r"\[.*", item.nodeid))
    return next((kind for word, kind in KINDS_BY_WORD if word in path + parameters), "local")


def servers_of(item: pytest.Item) -> list[Server]:
    """The servers a test was given, by itself or inside what it was given."""
    given: list[Any] = list(getattr(item, "funcargs", {}).values())
    found = [value if isinstance(value, Server) else getattr(value, "server", None) for value in given]
    return [server for server in found if isinstance(server, Server)]


class WhichStores:
    """Collects, and writes the summary."""

    def __init__(self) -> None:
        self.kinds: dict[str, Kind] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        """Count a test once: by its call, or by a setup that skipped or failed."""
        outcome = yield
        report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's result of the hook
        servers = servers_of(item)
        name = kind_of(item, servers)
        if name is None:
            return
        kind = self.kinds.setdefault(name, Kind())
        if report.when == "teardown":
            kind.faults += sum(int(str(count)) for key, count in report.user_properties if key == "faults")
        if report.when != "call" and report.passed:
            return
        kind.outcomes[report.outcome] += 1
        for server in servers:
            kind.places[server.name] = None
        given = getattr(item, "funcargs", {})
        for fixture, called in FILE_SYSTEMS.items():
            if fixture in given:
                kind.places[called] = None
        if report.skipped and isinstance(report.longrepr, tuple):
            kind.reasons[report.longrepr[2].removeprefix("Skipped: ")] += 1

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """One line for each kind of store."""
        if self.kinds:
            terminalreporter.write_sep("-", "stores")
        for name, kind in sorted(self.kinds.items()):
            terminalreporter.write_line(kind.line(name))


def pytest_configure(config: pytest.Config) -> None:
    """Called by pytest."""
    config.pluginmanager.register(WhichStores(), "which-stores")
