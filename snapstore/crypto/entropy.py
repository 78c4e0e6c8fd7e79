"""The one place that draws randomness.

Here: a single function over the operating system's generator. Not here: anything derived from what it gives.

Rules: no other module of the pure packages may draw random bytes, so that a test can find every place where they are
used, and so that no seeded or user-space generator ever gets near a key or a nonce.
"""

from __future__ import annotations

import secrets


def random_bytes(count: int) -> bytes:
    """`count` bytes from the operating system's generator for keys."""
    return secrets.token_bytes(count)
