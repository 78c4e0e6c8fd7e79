"""What trying out a store gives.

Here: records, all public names of `snapstore`. Not here: how they come about (probing.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class ProbeOutcome(StrEnum):
    """What became of one rule of a store, and of a store as a whole."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRule:
    """One rule of a store that was tried. Snapshots rest on it, or prune does, or nothing but comfort."""

    name: str
    words: str
    outcome: ProbeOutcome
    detail: str
    """Why it failed or was skipped; "" for one that passed."""
    needed_for_snapshots: bool
    needed_for_prune: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """What trying out a store gave. Rates in bytes a second, None where they were not measured.

    `snapshots` and `prune` are verdicts: PASSED is safe here, FAILED is not, SKIPPED is not known, because a rule that
    it rests on was not tried."""

    url: str
    rules: tuple[ProbeRule, ...]
    abilities: Mapping[str, bool]
    """What the store says of its server, such as {"fsync": False}; empty where it says nothing."""
    snapshots: ProbeOutcome
    prune: ProbeOutcome
    round_trip_seconds: float | None
    """The quickest of several reads of one byte."""
    upload_bytes_per_second: float | None
    download_bytes_per_second: float | None
    retries: int
    """Calls that had to be made again."""
    seconds: float
    left_behind: str
    """What could not be removed; "" if all was."""

    @property
    def safe(self) -> bool:
        """Whether both verdicts are good and nothing was left behind."""
        return self.snapshots is self.prune is ProbeOutcome.PASSED and not self.left_behind
