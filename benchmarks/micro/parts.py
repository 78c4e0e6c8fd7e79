"""Measures the parts that a snapshot spends its time in, one thread each, and prints a JSON line for each part.

    python benchmarks/micro/parts.py [--megabytes 256] [--blobs 1000000]

Here: the cutter, hashing, compression, sealing with and without opening again, and looking blobs up. Not here: whole
programs, and comparison with anybody.

Rules: this is the one script of the benchmarks that looks inside the library; everything comes from the same seeded
text. A rate is bytes of plaintext a second (for the index: blobs or look-ups a second), from the best of three tries,
since a part that is measured for a second has nothing but disturbances to be averaged.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from functools import partial

from snapstore.blobs.index import BlobIndex
from snapstore.blobs.sealer import BlobSealer, SealingOptions
from snapstore.chunking.cutters import GearCutter
from snapstore.chunking.gear_table import gear_table
from snapstore.codec import compress
from snapstore.crypto.keys import DossierKeys
from snapstore.format.index import IndexedPack
from snapstore.format.pack import BlobKind, PackEntry, encode_entries
from snapstore.types import BlobId, PlainHash, RepositoryId

FINE_TARGET = 64 * 1024
TRIES = 3
LOOK_UPS = 1000
BLOBS_A_PACK = 1000
WORDS = 5000


def text_of(size: int) -> bytes:
    """Return text that zstd brings to about a third."""
    source = random.Random(1)
    words = [bytes(source.choices(b"abcdefghijklmnopqrstuvwxyz", k=source.randint(2, 9))) for _ in range(WORDS)]
    block = b" ".join(source.choices(words, k=WORDS * 40))
    return (block * (size // len(block) + 1))[:size]


def report(step: str, amount: int, work: Callable[[], object]) -> None:
    """Print the rate of the best try."""
    best = float("inf")
    for _ in range(TRIES):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    print(json.dumps({"step": step, "rate": round(amount / best)}), flush=True)


def measure_data(size: int) -> None:
    """Measure what happens to content, from the cut to the sealed blob."""
    text = text_of(size)
    cutter = GearCutter.for_target(gear_table(bytes(32), FINE_TARGET), FINE_TARGET)
    report("cutting", size, lambda: cutter.cuts(text, final=True))
    ends = cutter.cuts(text, final=True)
    chunks = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    keys = DossierKeys(epoch=1, maintenance=bytes(32), content=None, chunker=bytes(32), dossier=bytes(32))
    report("hashing", size, lambda: [keys.own.hash(chunk) for chunk in chunks])
    report("compressing", size, lambda: [compress(chunk) for chunk in chunks])
    hashed = [(chunk, keys.own.hash(chunk)) for chunk in chunks]
    for step, verify in (("sealing", False), ("sealing and opening again", True)):
        sealer = BlobSealer([keys], keys.maintenance_keys, RepositoryId(bytes(16)), SealingOptions(verify=verify))
        report(f"compressing and {step}", size, partial(seal_all, sealer, hashed))


def seal_all(sealer: BlobSealer, hashed: list[tuple[bytes, PlainHash]]) -> None:
    """Seal every chunk, one call for each."""
    for chunk, plain_hash in hashed:
        sealer.seal_data(chunk, plain_hash, shared=False)


def measure_index(count: int) -> None:
    """Measure filling the index, and searching it in batches of which every second id is there."""
    source = random.Random(2)
    packs, known = [], []
    for number in range(max(count // BLOBS_A_PACK, 1)):
        ids = [BlobId(source.randbytes(32)) for _ in range(BLOBS_A_PACK)]
        known += ids[:1]
        rows = [PackEntry(one, BlobKind.DATA, 0, 1, 0, 38, 10, 0, bytes(16), bytes(16)) for one in ids]
        packs.append(IndexedPack(name=f"{number:032}", pack_size=1 << 25, entries_bytes=encode_entries(rows)))
    index = BlobIndex()
    started = time.perf_counter()
    index.load(packs)
    rate = len(packs) * BLOBS_A_PACK / (time.perf_counter() - started)
    print(json.dumps({"step": "filling the index", "rate": round(rate)}), flush=True)
    wanted = [one for pair in zip(known, (BlobId(source.randbytes(32)) for _ in known), strict=True) for one in pair]
    batches = [wanted[at : at + LOOK_UPS] for at in range(0, len(wanted), LOOK_UPS)]
    report("searching the index", len(wanted), lambda: [index.find_many(batch) for batch in batches])


def main() -> None:
    """Measure all parts."""
    parser = argparse.ArgumentParser(description="Measure the parts of a snapshot.")
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--blobs", type=int, default=1_000_000)
    options = parser.parse_args()
    measure_data(options.megabytes * 1_000_000)
    measure_index(options.blobs)


if __name__ == "__main__":
    main()
