"""Compression of blobs behind a one-byte tag.

Here: `compress` and `compress_many`, which decide whether compression pays, and `decompress`, which never gives back
more than was asked for. Not here: sealing, and which blobs there are.

Rules: `decompress` is total: any bytes give exactly `raw_size` bytes or an error, and memory is bounded by
`raw_size`. zstandard believes a frame's announced size over the caller's, so the frame header is read first. A zstd
context must not be used by two threads at once, and making one costs as much as 4 KiB of compression; contexts are
borrowed from a deque, whose `pop` and `append` are atomic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
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
_HAS_BATCHES: Final = "multi_compress_to_buffer" in zstandard.backend_features
_POOL_CONTEXTS: Final = 8  # more workers than this make and drop contexts; each holds about 1 MiB

_PROBE_ALWAYS_BYTES: Final = 256 * KIB  # from here on a probe costs below 1/50 of what it may save

_compressors: deque[tuple[int, zstandard.ZstdCompressor]] = deque(maxlen=_POOL_CONTEXTS)
_probers: deque[zstandard.ZstdCompressor] = deque(maxlen=_POOL_CONTEXTS)
_decompressors: deque[zstandard.ZstdDecompressor] = deque(maxlen=_POOL_CONTEXTS)


def compress(data: bytes | memoryview, *, level: int = DEFAULT_LEVEL) -> tuple[int, bytes]:
    """The tag and the bytes to seal. The tag is RAW, and the bytes are the data, unless zstd makes them fewer."""
    return _compress_run((data,), level, shrank=False)[0]


def compress_many(pieces: Sequence[bytes | memoryview], *, level: int = DEFAULT_LEVEL) -> list[tuple[int, bytes]]:
    """As `compress`, for pieces that follow each other in their files.

    Only large pieces are probed, since most of the others shrink; these are compressed in one call, without a hand-over
    of the interpreter lock for each.
    """
    if not _HAS_BATCHES:
        return _compress_run(pieces, level, shrank=True)
    results: list[tuple[int, bytes]] = []
    start = 0
    while start < len(pieces):
        stop = start
        while stop < len(pieces) and len(pieces[stop]) < _PROBE_ALWAYS_BYTES:
            stop += 1
        if stop == start:
            stop += 1
            results += _compress_run(pieces[start:stop], level, shrank=True)
        else:
            results += _compress_batch(pieces[start:stop], level)
        start = stop
    return results


def _compress_batch(pieces: Sequence[bytes | memoryview], level: int) -> list[tuple[int, bytes]]:
    context = _borrow_compressor(level)
    segments = context.multi_compress_to_buffer(list(pieces))
    _compressors.append((level, context))
    results: list[tuple[int, bytes]] = []
    for at, data in enumerate(pieces):
        compressed = segments[at].tobytes()
        results.append((ZSTD, compressed) if len(compressed) < len(data) else (RAW, bytes(data)))
    return results


def _compress_run(pieces: Sequence[bytes | memoryview], level: int, *, shrank: bool) -> list[tuple[int, bytes]]:
    context = _borrow_compressor(level)
    results: list[tuple[int, bytes]] = []
    for data in pieces:
        raw_size = len(data)
        suspect = raw_size >= _PROBE_ALWAYS_BYTES or (not shrank and raw_size >= _PROBE_MIN_INPUT_BYTES)
        if not suspect or _compresses(data):
            compressed = context.compress(data)
            shrank = len(compressed) < raw_size
            if shrank:
                results.append((ZSTD, compressed))
                continue
        shrank = False
        results.append((RAW, bytes(data)))
    _compressors.append((level, context))
    return results


def _borrow_compressor(level: int) -> zstandard.ZstdCompressor:
    try:
        kept_level, context = _compressors.pop()
    except IndexError:
        return zstandard.ZstdCompressor(level=level)
    return context if kept_level == level else zstandard.ZstdCompressor(level=level)


def _compresses(data: bytes | memoryview) -> bool:
    """Whether a sample from the middle shrinks; headers at the start of files say little of the rest."""
    start = (len(data) - _PROBE_BYTES) // 2
    try:
        context = _probers.pop()
    except IndexError:
        context = zstandard.ZstdCompressor(level=_PROBE_LEVEL)
    compressed = context.compress(data[start : start + _PROBE_BYTES])
    _probers.append(context)
    return len(compressed) < _PROBE_BYTES - _PROBE_BYTES // _PROBE_GAIN


def decompress(tag: int, data: bytes, *, raw_size: int) -> bytes:
    """The `raw_size` plaintext bytes, or `DamagedObjectError`; `UnsupportedFormatError` for a tag not known."""
    if tag == RAW:
        if len(data) != raw_size:
            raise DamagedObjectError("A blob's size is not the one its pack header gives.", code="raw_size_differs")
        return bytes(data)
    if tag != ZSTD:
        raise UnsupportedFormatError(f"Compression method {tag} is not known to this version. Update snapstore.")
    reason = frame_misfit(data, raw_size)
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


def frame_misfit(data: bytes, raw_size: int) -> str | None:
    """What keeps a zstd frame from being one that is written for `raw_size` bytes, or None.

    zstandard allocates what a frame announces, so this is asked first.
    """
    try:
        frame = zstandard.get_frame_parameters(data)
    except zstandard.ZstdError:
        return "is no zstd frame"
    if raw_size < 1 or frame.content_size != raw_size:
        return "announces another size than its pack header"
    if frame.dict_id or frame.has_checksum:
        return "is a frame of a kind that is never written"
    return None
