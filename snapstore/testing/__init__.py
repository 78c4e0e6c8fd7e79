"""Help for testing snapstore, and what is built on it or plugged into it.

Here: `StoreConformance`, the rules that every store has to keep, as a class of tests; and stores that do damage, for
tests of what happens then (`snapstore.testing.faults`). Not here: fixtures and tests of snapstore itself; nothing
imports pytest.

Rule: these names are public and change as the rest of the public interface does.
"""

from __future__ import annotations

from .conformance import StoreConformance
from .faults import (
    BrokenListing,
    Call,
    CrashAt,
    EmptyListing,
    FailAppend,
    FailAt,
    FlippedBit,
    FullAfter,
    LostPut,
    Recorder,
    ShortPut,
    TruncatedGet,
)
from .wrapper import StoreWrapper, WithoutBuilders, WrappedBuilder

__all__ = [
    "BrokenListing",
    "Call",
    "CrashAt",
    "EmptyListing",
    "FailAppend",
    "FailAt",
    "FlippedBit",
    "FullAfter",
    "LostPut",
    "Recorder",
    "ShortPut",
    "StoreConformance",
    "StoreWrapper",
    "TruncatedGet",
    "WithoutBuilders",
    "WrappedBuilder",
]
