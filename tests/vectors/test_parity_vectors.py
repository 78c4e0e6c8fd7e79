"""Golden sidecars: what is made of the same pack stays the same for ever, and is what the chapter says.

The second test shares no code with the package: it makes the sidecars again from docs/format/13-parity.md alone.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from snapstore.format.parity import decode_sidecar, make_sidecar
from snapstore.parity.encoding import parity_of

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("parity.json").read_text("utf-8"))
BLOCK = 65_536


def pack(size: int) -> bytes:
    return blake3(b"snapstore parity vector").digest(length=size)


def test_rows() -> None:
    rows = [bytes.fromhex(row) for row in VECTORS["code"]["rows"]]
    assert [row.hex() for row in parity_of(rows, 3)] == VECTORS["code"]["parity"]


@pytest.mark.parametrize("vector", VECTORS["sidecars"], ids=lambda item: f"{item['pack_size']}-{item['parity_rows']}")
def test_sidecars(vector: dict[str, Any]) -> None:
    sidecar = make_sidecar(vector["pack"], [pack(vector["pack_size"])], vector["parity_rows"])
    assert len(sidecar) == vector["size"]
    assert sidecar[:48].hex() == vector["fixed"]
    assert blake3(sidecar).hexdigest() == vector["hash"]
    assert decode_sidecar(sidecar)[0].pack == vector["pack"]


@pytest.mark.parametrize("vector", VECTORS["sidecars"], ids=lambda item: f"{item['pack_size']}-{item['parity_rows']}")
def test_sidecars_from_the_chapter_alone(vector: dict[str, Any]) -> None:
    data, parity_rows = pack(vector["pack_size"]), vector["parity_rows"]
    count = -(-len(data) // BLOCK)
    if len(data) < 1 << 20:
        row_blocks = data_rows = parity_rows = 0
        body = data
    else:
        row_blocks = -(-count // 32)
        data_rows = -(-count // row_blocks)
        row_bytes = row_blocks * BLOCK
        sums = [0] * parity_rows
        for row in range(data_rows):
            value = int.from_bytes(data[row * row_bytes : (row + 1) * row_bytes].ljust(row_bytes, b"\0"), "big")
            for number in range(parity_rows):
                for _ in range(number):
                    sums[number] = twice(sums[number], row_bytes)
                sums[number] ^= value
        body = b"".join(value.to_bytes(row_bytes, "big") for value in sums)
    head = b"\x8a\x53\x09\x01\x00\x00\x01\x00" + vector["pack"].encode()
    head += struct.pack("<IHBB", len(data), row_blocks, data_rows, parity_rows)
    head += checks(data) + (checks(body) if parity_rows else b"")
    head += blake3(head).digest(length=16)
    sidecar = head + body + head + struct.pack("<I", len(head))
    assert blake3(sidecar).hexdigest() == vector["hash"]


def twice(row: int, size: int) -> int:
    """Every byte of a row times 2: shifted, and 0x1D where a bit fell out."""
    ones = int.from_bytes(b"\x01" * size, "big")
    high = (row >> 7) & ones
    return ((row & (ones * 0x7F)) << 1) ^ (high * 0x1D)


def checks(data: bytes) -> bytes:
    return b"".join(blake3(data[at : at + BLOCK]).digest(length=16) for at in range(0, len(data), BLOCK))
