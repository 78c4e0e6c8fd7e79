"""What a new repository asks of whoever derives a key from a secret."""

from __future__ import annotations

import pytest

from snapstore.crypto.kdf import KdfParameters
from snapstore.limits import KDF_ITERATIONS, KDF_MAX_ITERATIONS, KDF_MIN_MEMORY_KIB, KDF_NEW_MEMORY_KIB
from snapstore.operations import opening


@pytest.mark.parametrize(
    ("derivation_seconds", "memory_kib", "passes"),
    [
        (1.0, KDF_MIN_MEMORY_KIB, KDF_ITERATIONS),  # an old PC: never below the floor
        (0.5, 96 * 1024, KDF_ITERATIONS),  # memory first
        (0.125, KDF_NEW_MEMORY_KIB, 3 * KDF_ITERATIONS),  # then passes
        (0.001, KDF_NEW_MEMORY_KIB, KDF_MAX_ITERATIONS),
    ],
)
def test_time_goes_into_memory_first_and_then_into_passes(
    monkeypatch: pytest.MonkeyPatch, derivation_seconds: float, memory_kib: int, passes: int
) -> None:
    now = 0.0

    def derive(_secret: bytes, parameters: KdfParameters) -> bytes:
        nonlocal now
        assert (parameters.memory_kib, parameters.iterations) == (KDF_MIN_MEMORY_KIB, KDF_ITERATIONS)
        now += derivation_seconds
        return bytes(32)

    monkeypatch.setattr(opening, "derive_alone", derive)
    monkeypatch.setattr(opening.time, "perf_counter", lambda: now)
    found = opening.calibrated_kdf(0.75)
    assert (found.memory_kib, found.iterations) == (memory_kib, passes)
