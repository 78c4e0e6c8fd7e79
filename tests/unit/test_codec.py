"""The codec: what it compresses, and that it never gives back anything but the plaintext."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from snapstore import codec
from snapstore.codec import RAW, ZSTD, compress, compress_many, decompress
from snapstore.errors import DamagedObjectError, UnsupportedFormatError

TEXT = b"The quick brown fox jumps over the lazy dog. " * 2000
NOISE = random.Random(5).randbytes(1 << 20)


@pytest.mark.parametrize("data", [b"a", TEXT, NOISE, bytes(1 << 20), NOISE[:100], NOISE[:20_000] + TEXT])
def test_what_goes_in_comes_out(data: bytes) -> None:
    tag, stored = compress(data)
    assert len(stored) <= len(data)
    assert decompress(tag, stored, raw_size=len(data)) == data


def test_text_shrinks_and_noise_is_left_alone() -> None:
    assert compress(TEXT)[0] == ZSTD
    assert compress(NOISE) == (RAW, NOISE)
    assert compress(memoryview(NOISE)) == (RAW, NOISE)
    assert compress(b"ab") == (RAW, b"ab")


def test_levels_change_the_bytes_and_not_the_result() -> None:
    for level in (1, 3, 19, 3):
        tag, stored = compress(TEXT, level=level)
        assert decompress(tag, stored, raw_size=len(TEXT)) == TEXT
        assert stored == zstandard.ZstdCompressor(level=level).compress(TEXT)


def test_many_threads_at_once_do_not_disturb_each_other() -> None:
    pieces = [TEXT[start : start + 5000 + start] for start in range(200)]

    def round_trip(piece: bytes) -> bool:
        tag, stored = compress(piece)
        return decompress(tag, stored, raw_size=len(piece)) == piece

    with ThreadPoolExecutor(12) as threads:
        assert all(threads.map(round_trip, pieces * 3))


@pytest.mark.parametrize(
    ("stored", "raw_size"),
    [
        (zstandard.ZstdCompressor().compress(bytes(64 << 20)), 100),  # a bomb: 2 KB that announce 64 MiB
        (zstandard.ZstdCompressor(write_content_size=False).compress(TEXT), len(TEXT)),
        (zstandard.ZstdCompressor(write_checksum=True).compress(TEXT), len(TEXT)),
        (zstandard.ZstdCompressor().compress(TEXT) + b"x", len(TEXT)),
        (zstandard.ZstdCompressor().compress(TEXT) * 2, len(TEXT)),
        (zstandard.ZstdCompressor().compress(TEXT)[:-1], len(TEXT)),
        (zstandard.ZstdCompressor().compress(TEXT), len(TEXT) - 1),
        (zstandard.ZstdCompressor().compress(b""), 0),
        (b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd", 4),  # a skippable frame
        (b"", 1),
    ],
)
def test_frames_that_are_not_exactly_the_written_kind_are_damage(stored: bytes, raw_size: int) -> None:
    with pytest.raises(DamagedObjectError):
        decompress(ZSTD, stored, raw_size=raw_size)


def test_raw_bytes_must_have_their_size() -> None:
    with pytest.raises(DamagedObjectError):
        decompress(RAW, b"abc", raw_size=4)


def test_an_unknown_tag_is_a_newer_version_and_no_damage() -> None:
    with pytest.raises(UnsupportedFormatError):
        decompress(2, b"abc", raw_size=3)


@given(st.binary(max_size=300), st.integers(0, 1 << 22))
def test_random_bytes_give_the_declared_size_or_damage(stored: bytes, raw_size: int) -> None:
    for data in (stored, zstandard.FRAME_HEADER + stored):
        with suppress(DamagedObjectError):
            assert len(decompress(ZSTD, data, raw_size=raw_size)) == raw_size


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_gives_the_declared_size_or_damage(position: int, bit: int) -> None:
    stored = bytearray(compress(TEXT[:9000] + NOISE[:500])[1])
    stored[position % len(stored)] ^= 1 << bit
    with suppress(DamagedObjectError):
        assert len(decompress(ZSTD, bytes(stored), raw_size=9500)) == 9500


def test_many_pieces_are_each_as_one() -> None:
    pieces = [TEXT, b"a", NOISE, TEXT[:100], TEXT[7:], NOISE[:300_000], memoryview(TEXT)[:20_000], b"\0" * 300_000]
    results = compress_many(pieces)
    assert [tag for tag, _ in results] == [ZSTD, RAW, RAW, ZSTD, ZSTD, RAW, ZSTD, ZSTD]
    for piece, (tag, stored) in zip(pieces, results, strict=True):
        assert decompress(tag, stored, raw_size=len(piece)) == piece
        assert (tag, stored) == compress(piece)
    assert compress_many([]) == []


def test_the_level_holds_for_every_piece() -> None:
    for level in (1, 19, 3):
        expected = zstandard.ZstdCompressor(level=level).compress(TEXT)
        assert compress_many([TEXT] * 3, level=level) == [(ZSTD, expected)] * 3


def test_after_what_does_not_shrink_a_sample_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pieces are compressed one by one: noise in the middle alone is compressed, unless the one before did not
    shrink. In one call all that are not large are tried."""
    monkeypatch.setattr(codec, "_HAS_BATCHES", False)
    half = bytes(20_000) + NOISE[:8000] + bytes(20_000)
    assert [tag for tag, _ in compress_many([half, NOISE[:20_000], half, TEXT, half])] == [ZSTD, RAW, RAW, ZSTD, ZSTD]
