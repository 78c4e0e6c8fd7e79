"""How decoders are fuzzed: what is put in, and what may come out.

Here: `Target`, mutations, the kept corpus, and the judge. Not here: which decoders there are (decoder_targets.py).

Rules: whatever the bytes, a decoder gives a value or one of its declared errors, and takes memory in proportion to
what it was given. Random bytes hardly get past the first field, so most inputs are valid ones with something wrong in
them: bytes flipped, cut, doubled, swapped; or, of msgpack, a value in the middle replaced and all encoded again.
What is behind authentication is fuzzed as plaintext and sealed anew. An input that makes a decoder say something it
did not say before is kept as a start for others: its words stand in for coverage.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgpack

from snapstore.errors import DamageError, NotEnrolledError, UnsupportedFormatError

CORPUS: Final = Path(__file__).parent / "corpus"
KEEP_MAX_BYTES: Final = 1024  # of an input that goes into the corpus
POOL_MAX: Final = 400
DECLARED: Final = (DamageError, UnsupportedFormatError, NotEnrolledError)
MEMORY_FLOOR: Final = 512 << 10
"""Error objects, tables that are filled once, buffers of a fixed size."""
HOLLOW_BYTES: Final = 64 << 20
"""What the msgpack decoder may make room for before it finds that nothing follows."""
MEMORY_TIMES: Final = 160
"""An empty msgpack map of one byte becomes a dict of 64 bytes and its place in a list; a node keeps two of each."""
_INTERESTING: Final = (0, 1, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, -1, -(2**63))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A decoder and what it is fed."""

    name: str
    decode: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    declared: tuple[type[Exception], ...] = DECLARED
    is_msgpack: bool = False
    extra_memory: int = 0
    """What it may take whatever the input: a size that the caller gave."""

    @property
    def folder(self) -> Path:
        """Where its corpus is."""
        return CORPUS / self.name.replace(" ", "_")

    def corpus(self) -> list[bytes]:
        """The kept inputs."""
        return [path.read_bytes() for path in sorted(self.folder.glob("*"))]


def judge(target: Target, data: bytes) -> str:
    """Decode, see that it behaves, and return what it said, without numbers. Tracing of memory has to be on."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        value = target.decode(data)
        said = type(value).__name__
    except target.declared as error:
        said = f"{type(error).__name__} {getattr(error, 'code', '')} {re.sub(r'[0-9a-f]+', '', str(error))[:120]}"
    used = tracemalloc.get_traced_memory()[1] - before
    room = min(HOLLOW_BYTES, 8 * len(data) * (data.count(b"\xdc") + data.count(b"\xdd")))
    limit = MEMORY_FLOOR + MEMORY_TIMES * len(data) + room + target.extra_memory
    assert used <= limit, f"{target.name} took {used:,} bytes for {len(data):,}: {data[:200].hex()}"
    return said


def search(target: Target, *, seconds: float, seed: int) -> int:
    """Feed mutated inputs for a while; return how many. What is wrong comes out as the exception that it is."""
    generator = random.Random(f"{seed} {target.name}")
    pool = [*target.seeds, *target.corpus(), b""]
    said = set()
    tracemalloc.start()
    try:
        for data in pool:
            said.add(judged(target, data))
        count, end = len(pool), time.monotonic() + seconds
        while time.monotonic() < end:
            data = mutated(generator, pool, is_msgpack=target.is_msgpack)
            words = judged(target, data)
            count += 1
            if words not in said:
                said.add(words)
                keep(target, data)
                if len(pool) < POOL_MAX:
                    pool.append(data)
    finally:
        tracemalloc.stop()
    return count


def judged(target: Target, data: bytes) -> str:
    """As `judge`; an error that was not declared carries the input in its notes."""
    try:
        return judge(target, data)
    except BaseException as error:
        error.add_note(f"{target.name}, {len(data)} bytes, in hexadecimal: {data[:4000].hex()}")
        raise


def keep(target: Target, data: bytes) -> None:
    """Put an input into the corpus, if the run was asked to."""
    if os.environ.get("SNAPSTORE_TEST_FUZZ_KEEP") and len(data) <= KEEP_MAX_BYTES:
        target.folder.mkdir(parents=True, exist_ok=True)
        (target.folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def mutated(generator: random.Random, pool: list[bytes], *, is_msgpack: bool) -> bytes:
    """An input with one to four things wrong in it."""
    data = generator.choice(pool)
    if is_msgpack and generator.random() < 0.6:
        remade = _remade(generator, data)
        if remade is not None:
            data = remade
            if generator.random() < 0.7:
                return data
    if generator.random() < 0.03:
        return generator.randbytes(generator.randrange(400))
    for _ in range(generator.randint(1, 4)):
        data = _damaged(generator, data, pool)
    return data


def _damaged(generator: random.Random, data: bytes, pool: list[bytes]) -> bytes:
    at = generator.randrange(len(data) + 1)
    upto = min(len(data), at + generator.choice((1, 1, 2, 4, 8, 32, 500)))
    match generator.randrange(8):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[upto:]
        case 2:
            return data[:at] + data[at:upto] * generator.choice((2, 2, 3, 50)) + data[upto:]
        case 3:
            return data[:at] + generator.randbytes(upto - at) + data[upto:]
        case 4:
            other = generator.choice(pool)
            start = generator.randrange(len(other) + 1)
            return data[:at] + other[start : start + upto - at] + data[upto:]
        case 5:
            number = generator.choice(_INTERESTING) & 2**64 - 1
            raw = number.to_bytes(8, generator.choice(("little", "big")))
            size = generator.choice((1, 2, 4, 8))
            return data[:at] + (raw[:size] if raw[0] else raw[-size:]) + data[at + size :]
        case _:
            if at == len(data):
                return data + generator.randbytes(1)
            return data[:at] + bytes((data[at] ^ 1 << generator.randrange(8),)) + data[at + 1 :]


def _remade(generator: random.Random, data: bytes) -> bytes | None:
    """The same msgpack value with something else somewhere in it; None if it is none."""
    try:
        value = msgpack.unpackb(data, strict_map_key=False)
        changed = _changed(generator, value, 0)
        return bytes(msgpack.packb(changed))
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException, RecursionError):
        return None


def _changed(generator: random.Random, value: Any, depth: int) -> Any:
    inner = isinstance(value, list | dict) and bool(value) and depth < 12
    if not inner or generator.random() < 0.25:
        return _other(generator, value)
    if isinstance(value, list):
        at = generator.randrange(len(value))
        return [*value[:at], _changed(generator, value[at], depth + 1), *value[at + 1 :]]
    key = generator.choice(list(value))
    changed = {**value, key: _changed(generator, value[key], depth + 1)}
    return dict(sorted(changed.items())) if all(isinstance(item, int) for item in changed) else changed


def _other(generator: random.Random, value: Any) -> Any:  # noqa: PLR0911  one for each way
    match generator.randrange(9):
        case 0:
            return generator.choice(_INTERESTING)
        case 1:
            return generator.choice((None, True, False, 0.5, "", b"", [], {}))
        case 2 if isinstance(value, int):
            return value + generator.choice((-1, 1))
        case 3 if isinstance(value, bytes | str | list) and value:
            return value[:-1]
        case 4 if isinstance(value, bytes | str | list):
            return value + value
        case 5 if isinstance(value, dict):
            return dict(
                sorted({**value, generator.choice((0, 5, 20, 63, 64, 300)): generator.choice((0, b"x", []))}.items())
            )
        case 6 if isinstance(value, dict) and value:
            return {key: item for key, item in value.items() if key != generator.choice(list(value))}
        case 7 if isinstance(value, str):
            return value + generator.choice(("\0", "/", "..", "\ud7ff", "é"))
        case _:
            return generator.randbytes(generator.choice((0, 1, 16, 32)))
