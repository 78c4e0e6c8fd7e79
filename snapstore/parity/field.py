"""The arithmetic of GF(256), and the coefficients of parity rows.

Here: products, inverses, tables for `bytes.translate`, coefficients. Not here: rows of bytes.

Rules (docs/format/13-parity.md): the field is that of the polynomial x^8 + x^4 + x^3 + x^2 + 1, in which 2 generates
all 255 elements that are not zero. Parity row j of n data rows is the sum over i of g^(n-1-i) times data row i, with
g = 2^j: 1, 2, 4. Any 1, 2 or 3 lost rows can be solved from any as many of these parity rows: the determinants are
products of powers of 2 and of sums 2^a + 2^b (for rows 0 and 2: their squares), with a and b different and below 255,
hence never zero.
"""

from __future__ import annotations

from functools import cache
from typing import Final

MAX_PARITY_ROWS: Final = 3  # with a fourth, g = 8, some sets of four lost rows could not be solved
MAX_DATA_ROWS: Final = 255
_POLYNOMIAL: Final = 0x11D
_ORDER: Final = 255


def _powers() -> tuple[int, ...]:
    found, value = [], 1
    for _ in range(_ORDER):
        found.append(value)
        value <<= 1
        if value > _ORDER:
            value ^= _POLYNOMIAL
    return tuple(found)


_POWERS: Final = _powers()
_LOGARITHMS: Final = {value: exponent for exponent, value in enumerate(_POWERS)}


def multiply(a: int, b: int) -> int:
    """The product of two elements."""
    if not a or not b:
        return 0
    return _POWERS[(_LOGARITHMS[a] + _LOGARITHMS[b]) % _ORDER]


def inverse(a: int) -> int:
    """The element whose product with `a` is 1; ZeroDivisionError for 0."""
    if not a:
        raise ZeroDivisionError("0 has no inverse")
    return _POWERS[-_LOGARITHMS[a] % _ORDER]


def coefficient(parity_row: int, data_row: int, data_rows: int) -> int:
    """By what a data row is multiplied in the sum that a parity row is."""
    return _POWERS[parity_row * (data_rows - 1 - data_row) % _ORDER]


@cache
def times(factor: int) -> bytes:
    """The table that `bytes.translate` multiplies every byte with."""
    return bytes(multiply(factor, value) for value in range(256))
