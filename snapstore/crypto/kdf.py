"""Argon2id: from a secret's bytes to the master value that opens slots.

Here: the parameters of one KDF generation, checked when made, and the derivation. Not here: calibration (it needs a
clock) and slots (`slots`).

Rules: parameters outside the limits of docs/format/12-limits.md never reach Argon2id, whoever wrote them: too low
ones would make guessing cheap, too high ones would lock an old replacement PC out. RFC 9106, version 0x13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from ..errors import InputError
from ..limits import (
    KDF_ITERATIONS,
    KDF_LANES,
    KDF_MAX_ITERATIONS,
    KDF_MAX_LANES,
    KDF_MAX_MEMORY_KIB,
    KDF_MIN_ITERATIONS,
    KDF_MIN_MEMORY_KIB,
)

SALT_BYTES: Final = 16
MASTER_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class KdfParameters:
    """One generation of Argon2id parameters; `InputError` if out of range."""

    generation: int
    salt: bytes
    memory_kib: int = KDF_MIN_MEMORY_KIB
    iterations: int = KDF_ITERATIONS
    lanes: int = KDF_LANES

    def __post_init__(self) -> None:
        fits = (
            self.generation >= 1
            and len(self.salt) == SALT_BYTES
            and KDF_MIN_MEMORY_KIB <= self.memory_kib <= KDF_MAX_MEMORY_KIB
            and KDF_MIN_ITERATIONS <= self.iterations <= KDF_MAX_ITERATIONS
            and 1 <= self.lanes <= KDF_MAX_LANES
        )
        if not fits:
            raise InputError("The key derivation parameters are outside the permitted range.", code="kdf_out_of_range")


def derive_master(secret_bytes: bytes, parameters: KdfParameters) -> bytes:
    """The 32-byte master value. Takes as long, and as much memory, as the parameters say."""
    return Argon2id(
        salt=parameters.salt,
        length=MASTER_BYTES,
        iterations=parameters.iterations,
        lanes=parameters.lanes,
        memory_cost=parameters.memory_kib,
    ).derive(secret_bytes)
