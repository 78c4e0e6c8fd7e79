"""Compression of blobs behind a one-byte tag.

Here: `compress`, which decides whether compression pays, and `decompress`, which never gives back more than was asked
for. Not here: sealing, and which blobs there are.

Rules: `decompress` is total: any bytes give exactly `raw_size` bytes or an error, and memory is bounded by
`raw_size`. zstandard believes a frame's announced size over the caller's, so the frame header is read first. A zstd
context must not be used by two threads at once, and making one costs as much as 4 KiB of compression; contexts are
borrowed from a deque, whose `pop` and `append` are atomic.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import zstandard

from .errors import DamagedObjectError, UnsupportedFormatError
from .limits import KIB

RAW: Final = 0
ZSTD: Final = 1
DEFAULT_LEVEL: Final = 3

_PROBE_BYTES: Final = 4 * KIB
_PROBE_MIN_INPUT_BYTES: Final = 16 * KIB  # below, the probe costs about what compressing everything does
_PROBE_LEVEL: Final = 1
_PROBE_GAIN: Final = 32  # a probe must shrink by 1/32; JPEG and ZIP give less than 1/100, text more than 1/3
_POOL_CONTEXTS: Final = 8  # more workers than this make and drop contexts; each holds about 1 MiB

_compressors: deque[tuple[int, zstandard.ZstdCompressor]] = deque(maxlen=_POOL_CONTEXTS)
_decompressors: deque[zstandard.ZstdDecompressor] = deque(maxlen=_POOL_CONTEXTS)


def _compress(data: bytes | memoryview, level: int) -> bytes:
    try:
        kept_level, context = _compressors.pop()
    except IndexError:
        kept_level, context = level, zstandard.ZstdCompressor(level=level)
    if kept_level != level:
        context = zstandard.ZstdCompressor(level=level)
    compressed = context.compress(data)
    _compressors.append((level, context))
    return compressed


def _compresses(data: bytes | memoryview) -> bool:
    """Whether a sample from the middle shrinks; headers at the start of files say little of the rest."""
    start = (len(data) - _PROBE_BYTES) // 2
    sample = data[start : start + _PROBE_BYTES]
    compressed = zstandard.ZstdCompressor(level=_PROBE_LEVEL).compress(sample)
    return len(compressed) < _PROBE_BYTES - _PROBE_BYTES // _PROBE_GAIN


def compress(data: bytes | memoryview, *, level: int = DEFAULT_LEVEL) -> tuple[int, bytes]:
    """The tag and the bytes to seal. The tag is RAW, and the bytes are the data, unless zstd makes them fewer."""
    if len(data) < _PROBE_MIN_INPUT_BYTES or _compresses(data):
        compressed = _compress(data, level)
        if len(compressed) < len(data):
            return ZSTD, compressed
    return RAW, bytes(data)


def decompress(tag: int, data: bytes, *, raw_size: int) -> bytes:
    """The `raw_size` plaintext bytes, or `DamagedObjectError`; `UnsupportedFormatError` for a tag not known."""
    if tag == RAW:
        if len(data) != raw_size:
            raise DamagedObjectError("A blob's size is not the one its pack header gives.", code="raw_size_differs")
        return bytes(data)
    if tag != ZSTD:
        raise UnsupportedFormatError(f"Compression method {tag} is not known to this version. Update snapstore.")
    reason = _decompress_misfit(data, raw_size)
    if reason is None:
        try:
            plaintext = _decompress(data)
        except (zstandard.ZstdError, MemoryError):
            plaintext = b""
        if len(plaintext) == raw_size:
            return plaintext
        reason = "does not decompress"
    raise DamagedObjectError(f"A blob's compressed content {reason}.", code="decompression_failed")


def _decompress(data: bytes) -> bytes:
    try:
        context = _decompressors.pop()
    except IndexError:
        context = zstandard.ZstdDecompressor()
    plaintext = context.decompress(data, read_across_frames=False, allow_extra_data=False)
    _decompressors.append(context)
    return plaintext


def _decompress_misfit(data: bytes, raw_size: int) -> str | None:
    try:
        frame = zstandard.get_frame_parameters(data)
    except zstandard.ZstdError:
        return "is no zstd frame"
    if raw_size < 1 or frame.content_size != raw_size:
        return "announces another size than its pack header"
    if frame.dict_id or frame.has_checksum:
        return "is a frame of a kind that is never written"
    return None
