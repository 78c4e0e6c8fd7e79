"""The keyed table: its words are as the specification says, and runs of one byte value never cut."""

from __future__ import annotations

import pytest
from blake3 import blake3

from snapstore.chunking import gear_table
from snapstore.chunking.gear_table import cut_threshold, cuts_runs


def test_first_suitable_draw_is_taken() -> None:
    """With so low a target nearly every draw is unsuitable, so the rule is at work."""
    key = bytes(32)
    threshold = cut_threshold(128)
    assert threshold == 2**58
    draws = [blake3(n.to_bytes(4, "little"), key=key).digest(length=2048) for n in range(1000)]
    suitable = [draw for draw in draws if all((2**64 - word) % 2**64 >= threshold for word in words_of(draw))]
    assert gear_table(key, 128) == suitable[0]
    assert draws.index(suitable[0]) > 0


def words_of(table: bytes) -> list[int]:
    return [int.from_bytes(table[at : at + 8], "little") for at in range(0, len(table), 8)]


def test_zero_word_counts_as_cutting() -> None:
    harmless = (2**63).to_bytes(8, "little")
    assert not cuts_runs(harmless * 256, cut_threshold(65536))
    assert cuts_runs(harmless * 255 + bytes(8), cut_threshold(65536))
    assert cuts_runs(harmless * 255 + (2**64 - 1).to_bytes(8, "little"), cut_threshold(65536))


def test_another_key_gives_another_table() -> None:
    assert gear_table(bytes(32), 65536) != gear_table(bytes(31) + b"\1", 65536)


def test_too_low_target_is_refused() -> None:
    with pytest.raises(ValueError, match="below 128"):
        gear_table(bytes(32), 127)
