"""How many chunk lengths does a holder of the medium read off a pack if every blob begins with a clear envelope?

    python benchmarks/blob-envelopes/measure.py [--packs 8] [--seed 1]

Packs are made as docs/format/06-packs.md says, but for one switch: with or without an 8-byte envelope at the head of
each blob. Chunk sizes follow the law of the gear cutter (minimum target/2, then geometric, maximum 4 targets); blobs
are sealed with AES-256-GCM for real, so that what the observer searches is real ciphertext. The observer knows the
format, the pack's bytes and the law of the sizes, and no key. Two observers are tried:

- search: every place where the envelope's bytes stand is taken for the head of a blob;
- guess: heads are drawn from the law of the sizes, which is the best that is left when nothing can be searched for.

Not here: what the lengths are good for (see ePrint 2025/532 and 2025/558).
"""

from __future__ import annotations

import argparse
import random
import statistics
from itertools import pairwise
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENVELOPE = bytes.fromhex("8a53 0c01 0100 0100")  # magic, kind 12 (a blob), version, cipher, zero, key epoch 1
PACK_SIZE = 32 << 20
TARGET = 64 << 10


class Pack(NamedTuple):
    """A pack up to its header, and the truth that the observer is after."""

    data: bytes
    heads: list[int]
    """Where each blob really begins; the last item is where the padding begins."""


def chunk_size(source: random.Random) -> int:
    """One draw from the gear cutter's law for random content."""
    size = TARGET // 2 + int(source.expovariate(2 / TARGET))
    return min(size, 4 * TARGET)


def make_pack(source: random.Random, *, envelopes: bool) -> Pack:
    """Seal random chunks, each under a key of its own, and pad as Padme says."""
    parts: list[bytes] = []
    heads, at = [0], 0
    while at < PACK_SIZE:
        nonce = source.randbytes(12)
        plain = source.randbytes(chunk_size(source))
        blob = (ENVELOPE if envelopes else b"") + nonce + AESGCM(source.randbytes(32)).encrypt(nonce, plain, None)
        parts.append(blob)
        at += len(blob)
        heads.append(at)
    exponent = at.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    padding = ((at + mask) & ~mask) - at
    return Pack(b"".join(parts) + source.randbytes(padding), heads)


def search(data: bytes) -> list[int]:
    """Every place where an envelope seems to stand."""
    found, at = [], data.find(ENVELOPE)
    while at >= 0:
        found.append(at)
        at = data.find(ENVELOPE, at + 1)
    return found


def guess(size: int, source: random.Random) -> list[int]:
    """A made-up row of heads. The first one is a gift: the first blob begins at 0 in every pack."""
    heads = [0]
    while heads[-1] < size:
        heads.append(heads[-1] + 28 + chunk_size(source))
    return heads[:-1]


def lengths_found(guessed: list[int], pack: Pack) -> float:
    """The share of blobs whose head and end both were named, with nothing in between: an exact chunk length."""
    real = set(pairwise(pack.heads))
    return len(real & set(pairwise(guessed))) / len(real)


def score(guessed: list[int], pack: Pack) -> tuple[float, float, float]:
    """Recall and precision over the heads but the first, which everybody knows, and the share of exact lengths."""
    real, named = set(pack.heads[1:-1]), set(guessed) - {0}
    right = len(real & named)
    return right / len(real), right / len(named) if named else 0.0, lengths_found(guessed, pack)


def main() -> None:
    """Print one line for each kind of pack and observer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    source = random.Random(options.seed)
    print(f"{options.packs} packs of {PACK_SIZE >> 20} MiB, target {TARGET >> 10} KiB")
    print("envelopes  observer  blobs  recall  precision  exact lengths")
    for envelopes in (True, False):
        packs = [make_pack(source, envelopes=envelopes) for _ in range(options.packs)]
        for name in ("search", "guess"):
            rows = [score(search(p.data) if name == "search" else guess(len(p.data), source), p) for p in packs]
            recall, precision, exact = (statistics.fmean(column) for column in zip(*rows, strict=True))
            blobs = sum(len(pack.heads) - 1 for pack in packs)
            print(f"{envelopes!s:9}  {name:8}  {blobs:5}  {recall:6.4f}  {precision:9.4f}  {exact:13.4f}")


if __name__ == "__main__":
    main()
