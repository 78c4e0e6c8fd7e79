"""Help for testing snapstore, and what is built on it or plugged into it.

Here: `StoreConformance`, the rules that every store has to keep, as a class of tests; stores that do damage, for tests
of what happens then (`snapstore.testing.faults`); and `SimulatedStore`, on which a process dies at any operation, and a
seed decides what it leaves. Not here: fixtures and tests of snapstore itself; nothing imports pytest.

Rule: these names are public and change as the rest of the public interface does.
"""

from __future__ import annotations

from .adversary import FOLDER, OBJECT_STORAGE, SERVER, Event, Fault, Faults, SimulatedCrash, StoreKind
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
from .simulated import SimulatedStore
from .wrapper import StoreWrapper, WithoutBuilders, WrappedBuilder

__all__ = [
    "FOLDER",
    "OBJECT_STORAGE",
    "SERVER",
    "BrokenListing",
    "Call",
    "CrashAt",
    "EmptyListing",
    "Event",
    "FailAppend",
    "FailAt",
    "Fault",
    "Faults",
    "FlippedBit",
    "FullAfter",
    "LostPut",
    "Recorder",
    "ShortPut",
    "SimulatedCrash",
    "SimulatedStore",
    "StoreConformance",
    "StoreKind",
    "StoreWrapper",
    "TruncatedGet",
    "WithoutBuilders",
    "WrappedBuilder",
]
