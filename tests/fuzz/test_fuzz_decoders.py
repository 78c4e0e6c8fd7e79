"""Decoders are total and modest: whatever the bytes, a value or a declared error, and memory in proportion.

Each decoder gets its kept corpus, inputs by Hypothesis, and then mutated ones for an equal share of the time:
SNAPSTORE_TEST_FUZZ_SECONDS in all, 20 by default. SNAPSTORE_TEST_FUZZ_SEED chooses others; SNAPSTORE_TEST_FUZZ_KEEP=1
puts what made a decoder say something new into tests/fuzz/corpus. An input that broke something belongs there too.
"""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from decoder_targets import targets
from fuzzing import CORPUS, Target, judged, search
from hypothesis import given, settings
from hypothesis import strategies as st

from snapstore.errors import DamagedObjectError
from snapstore.format.packing import decode, encode
from snapstore.stores.ftp.replies import number_of

SECONDS = float(os.environ.get("SNAPSTORE_TEST_FUZZ_SECONDS", "20"))
SEED = int(os.environ.get("SNAPSTORE_TEST_FUZZ_SEED", "1"))
CORPUS_MAX_BYTES = 200_000


@pytest.fixture(scope="session")
def all_targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return {target.name: target for target in targets(tmp_path_factory.mktemp("station"))}


def names() -> list[str]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return [target.name for target in targets(Path(folder))]


NAMES = names()


@pytest.mark.parametrize("name", NAMES)
def test_a_decoder_is_total(
    name: str, all_targets: dict[str, Target], say_at_the_end: Callable[[str, int], None]
) -> None:
    say_at_the_end(name, search(all_targets[name], seconds=SECONDS / len(NAMES), seed=SEED))


@settings(max_examples=500)
@given(name=st.sampled_from(NAMES), data=st.binary(max_size=600), at=st.integers(0, 400), replaced=st.integers(0, 40))
def test_decoders_are_total_for_what_hypothesis_finds(
    all_targets: dict[str, Target], name: str, data: bytes, at: int, replaced: int
) -> None:
    target = all_targets[name]
    tracemalloc.start()
    try:
        judged(target, data)
        for seed in target.seeds[:2]:
            judged(target, seed[:at] + data + seed[at + replaced :])
    finally:
        tracemalloc.stop()


def test_large_inputs_of_small_values_stay_modest(all_targets: dict[str, Target]) -> None:
    """What takes one byte and becomes an object, ten thousand times."""
    tracemalloc.start()
    try:
        for target in all_targets.values():
            for byte in (b"\x80", b"\x90", b"\x01", b"\xc0", b"a", b"/", b"\n", b"\0"):
                judged(target, byte * 10_000)
                judged(target, b"\xdd" + (10_000).to_bytes(4, "big") + byte * 10_000)
    finally:
        tracemalloc.stop()


def test_valid_inputs_decode(all_targets: dict[str, Target]) -> None:
    """Seeds that were refused would leave most of a decoder unseen."""
    for name in (
        "config inside",
        "keyset inside",
        "manifest section 4",
        "keyset keys",
        "tree node",
        "parity head inside",
    ):
        target = all_targets[name]
        for seed in target.seeds:
            target.decode(seed)


def test_the_corpus_is_small_and_used(all_targets: dict[str, Target]) -> None:
    used = {target.folder for target in all_targets.values()}
    assert {path for path in CORPUS.iterdir() if path.is_dir()} <= used
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < CORPUS_MAX_BYTES


@pytest.mark.parametrize("head", [b"\xdd\x00\x01\xff\xff", b"\xdc\xff\xff"])
def test_arrays_that_only_announce_items_take_no_room(head: bytes) -> None:
    """Found by fuzzing: a thousand heads in each other made room for a gigabyte."""
    data = head * 1000 + bytes(100_000)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedObjectError):
            decode(data, what="value")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_large_values_that_are_whole_still_decode() -> None:
    """What looks as if it announced too much, and does not."""
    value = [[b"\xdd" * 200] * 40] * 40
    assert decode(encode(value), what="value") == value


@pytest.mark.parametrize("text", ["9" * 5000, "²", "", "-1", "1e3", "٣"])
def test_numbers_of_servers_that_are_none(text: str) -> None:
    assert number_of(text) is None


def test_numbers_of_servers() -> None:
    assert number_of(" 18446744073709551615\r") == 2**64 - 1
