"""What a check notes down on its way.

Here: `Findings`, and which problems that other parts of the package tell of are damage. Not here: looking.

Rules: an object has each finding once. Damage is what cost, or may cost, data or the means to trust it; what costs only
time or space is noted beside it. Objects that a signed record set aside are no damage any more: somebody saw it and
decided. Safe for several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Final

from ...types import Problem
from ...upkeep_types import Finding

_HARMLESS: Final = frozenset({"unsupported_format", "newer_keys", "keys_outdated", "not_enrolled"})
"""Codes of what is not damaged but beyond this version, or beyond the keys at hand."""


class Findings:
    """Everything that was found so far."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Finding] = {}
        self._objects: set[str] = set()
        self._lock = threading.Lock()

    def damage(self, code: str, object_name: str, message: str) -> None:
        """Note damage."""
        self.add(Finding(code=code, object_name=object_name, message=message))

    def remark(self, code: str, object_name: str, message: str) -> None:
        """Note what costs only time or space."""
        self.add(Finding(code=code, object_name=object_name, message=message, is_damage=False))

    def add(self, finding: Finding) -> None:
        """Note a finding, unless the object has one of the kind. Without an object, each message counts."""
        key = (finding.code, finding.object_name or finding.message)
        with self._lock:
            if key not in self._found:
                self._found[key] = finding
                if finding.is_damage:
                    self._objects.add(finding.object_name)

    def take(self, problems: Iterable[Problem]) -> None:
        """Note what another part of the package told of; nothing of objects that are known to be damaged."""
        for problem in problems:
            if problem.path not in self._objects:
                harmless = problem.code in _HARMLESS
                self.add(
                    Finding(
                        code=problem.code, object_name=problem.path, message=problem.message, is_damage=not harmless
                    )
                )

    def damaged(self, object_name: str) -> bool:
        """Tell whether something is wrong with an object."""
        return object_name in self._objects

    def forget(self, object_names: Container[str]) -> None:
        """Drop what was found on objects that are gone by now: somebody deleted them meanwhile."""
        with self._lock:
            self._found = {key: item for key, item in self._found.items() if item.object_name not in object_names}

    def all(self, set_aside: Container[str]) -> tuple[Finding, ...]:
        """Return the findings, damage first. What a signed record set aside is none."""
        found = [
            replace(item, is_damage=False, message=f"{item.message} It was set aside by a signed record.")
            if item.is_damage and item.object_name in set_aside
            else item
            for item in self._found.values()
        ]
        return tuple(sorted(found, key=lambda item: (not item.is_damage, item.object_name, item.code)))
