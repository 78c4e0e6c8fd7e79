"""Lost rows, from the rows and parity rows that are left.

Here: `solve`. Not here: which rows are lost; whether what comes out is right is for a checksum to say.

Rules: as many parity rows are needed as data rows are lost. With p the parity rows as stored and q those of the data
rows with zeros for what is lost, p + q is the sum of what the lost rows contribute: as many equations as unknowns, the
same ones at every byte, so they are solved once, and every byte costs one look into a table for each pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .field import coefficient, inverse, multiply, times


def solve(lost: Sequence[int], data_rows: int, sums: Mapping[int, bytes]) -> list[bytes]:
    """The lost data rows. `sums` has, by the number of the parity row, p + q of as many parity rows at least.

    ValueError if there are fewer.
    """
    chosen = sorted(sums)[: len(lost)]
    if len(chosen) < len(lost):
        raise ValueError("more rows are lost than there is parity for")
    solution = invert([[coefficient(parity, row, data_rows) for row in lost] for parity in chosen])
    size = len(sums[chosen[0]]) if chosen else 0
    rows = []
    for factors in solution:
        total = 0
        for factor, parity in zip(factors, chosen, strict=True):
            total ^= int.from_bytes(sums[parity].translate(times(factor)), "little")
        rows.append(total.to_bytes(size, "little"))
    return rows


def add(a: bytes, b: bytes) -> bytes:
    """The sum of two rows of one size."""
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")


def invert(matrix: list[list[int]]) -> list[list[int]]:
    """The inverse of a square matrix, by Gauss and Jordan; ZeroDivisionError if it has none."""
    size = len(matrix)
    rows = [[*line, *(int(at == number) for at in range(size))] for number, line in enumerate(matrix)]
    for column in range(size):
        pivot = next((number for number in range(column, size) if rows[number][column]), column)
        rows[column], rows[pivot] = rows[pivot], rows[column]
        factor = inverse(rows[column][column])
        rows[column] = [multiply(factor, value) for value in rows[column]]
        for number in range(size):
            factor = rows[number][column]
            if number != column and factor:
                rows[number] = [
                    value ^ multiply(factor, above) for value, above in zip(rows[number], rows[column], strict=True)
                ]
    return [line[size:] for line in rows]
