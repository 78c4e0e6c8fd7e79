"""A healer written from docs/format/13-parity.md alone: it shares no code with the package, whose sidecars it reads.

It looks for the sidecar of a pack in a folder, finds lost blocks by their checksums, and solves for them place by place
with Gauss' elimination over the field of the chapter.
"""

from __future__ import annotations

import base64
import random
import struct
from pathlib import Path

import pytest
from blake3 import blake3

import snapstore

BLOCK = 65_536


def product(a: int, b: int) -> int:
    result = 0
    while b:
        result ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return result


def power(a: int, exponent: int) -> int:
    result = 1
    for _ in range(exponent):
        result = product(result, a)
    return result


def scaled(row: bytes, factor: int) -> bytes:
    return row.translate(bytes(product(factor, value) for value in range(256)))


def plus(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def check(data: bytes) -> bytes:
    return bytes(blake3(data).digest()[:16])


def folder_of(pack: str) -> str:
    return f"{'0123456789abcdefghijklmnopqrstuv'.index(pack[0]) // 2:x}"


def find_sidecar(repository: Path, pack: str) -> bytes:
    for path in (repository / "parity" / folder_of(pack)).iterdir():
        data = path.read_bytes()
        (size,) = struct.unpack("<I", data[-4:])
        head = data[:size]
        assert head == data[-4 - size : -4]
        assert head[:8] == b"\x8a\x53\x09\x01\x00\x00\x01\x00"
        assert check(head[:-16]) == head[-16:]
        if head[8:40] == pack.encode():
            return data
    raise AssertionError("the pack has no sidecar")


def heal(damaged: bytes, sidecar: bytes) -> bytes:
    size, row_blocks, data_rows, parity_rows = struct.unpack_from("<IHBB", sidecar, 40)
    head_size = struct.unpack("<I", sidecar[-4:])[0]
    if not parity_rows:
        return sidecar[head_size : head_size + size]
    count = -(-size // BLOCK)
    checks = [sidecar[48 + 16 * number : 64 + 16 * number] for number in range(count + parity_rows * row_blocks)]
    blocks = [damaged[at : min(at + BLOCK, size)] for at in range(0, size, BLOCK)]
    for place in range(row_blocks):
        rows = {row: row * row_blocks + place for row in range(data_rows) if row * row_blocks + place < count}
        lost = [row for row, block in rows.items() if check(blocks[block]) != checks[block]]
        equations = []
        for parity in range(parity_rows):
            at = head_size + (parity * row_blocks + place) * BLOCK
            total = sidecar[at : at + BLOCK]
            if check(total) != checks[count + parity * row_blocks + place]:
                continue
            for row, block in rows.items():
                if row not in lost:
                    factor = power(2**parity, data_rows - 1 - row)
                    total = plus(total, scaled(blocks[block].ljust(BLOCK, b"\0"), factor))
            equations.append(([power(2**parity, data_rows - 1 - row) for row in lost], total))
        for row, found in zip(lost, solve(equations, len(lost)), strict=True):
            block = rows[row]
            blocks[block] = found[: len(blocks[block])]
    return b"".join(blocks)


def solve(equations: list[tuple[list[int], bytes]], unknowns: int) -> list[bytes]:
    rest = equations[:unknowns]
    assert len(rest) == unknowns, "more is lost than there is parity"
    for column in range(unknowns):
        pivot = next(number for number in range(column, unknowns) if rest[number][0][column])
        rest[column], rest[pivot] = rest[pivot], rest[column]
        factor = power(rest[column][0][column], 254)
        rest[column] = ([product(factor, value) for value in rest[column][0]], scaled(rest[column][1], factor))
        for number in range(unknowns):
            factor = rest[number][0][column]
            if number != column and factor:
                factors = [a ^ product(factor, b) for a, b in zip(rest[number][0], rest[column][0], strict=True)]
                rest[number] = (factors, plus(rest[number][1], scaled(rest[column][1], factor)))
    return [total for _, total in rest]


@pytest.mark.parametrize("lost", [[], [0], [4, 5], [1, 7, 16]])
def test_a_reader_of_the_chapter_heals_packs(lost: list[int], tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "photo.jpg").write_bytes(b"\xff\xd8\xff" + random.Random(1).randbytes(1_100_000))
    with snapstore.init(tmp_path / "repository", state_dir=tmp_path / "state", protected=False) as repository:
        repository.create_dossier("shop").snapshot(files, options=snapstore.SnapshotOptions(parity=True))
    packs = [path for path in (tmp_path / "repository" / "packs").rglob("?" * 32) if path.is_file()]
    assert len(packs) == 2
    for path in packs:
        whole = path.read_bytes()
        damaged = bytearray(whole)
        for block in lost:
            if block * BLOCK < len(whole):
                damaged[block * BLOCK + 11] ^= 0x55
        healed = heal(bytes(damaged), find_sidecar(tmp_path / "repository", path.name))
        assert healed == whole
        assert base64.b32hexencode(blake3(healed).digest()).decode().lower()[:26] == path.name[:26]
