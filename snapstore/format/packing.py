"""Canonical msgpack: one encoding for each value, and a decoder that takes no other.

Here: `encode`, `decode`, and the checkers by which the object modules take values apart. Not here: any object's
fields.

Rules (docs/format/01-conventions.md): shortest forms, maps with integer keys in rising order, no floats, no extension
types, nothing after the value. Whether the input was canonical is found by encoding the decoded value again, which
the C packer does faster than any look at the bytes could. A misfit raises `DamagedObjectError` that names the object;
a map key from 0 to 63 that is not known raises `UnsupportedFormatError`, since it means a newer writer and not
damage.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from itertools import pairwise
from typing import Any, Final, NoReturn, TypeAlias

import msgpack

from ..errors import DamagedObjectError, InputError, UnsupportedFormatError
from ..limits import MIB, MSGPACK_MAX_ITEMS, MSGPACK_MAX_NESTING

U16_MAX: Final = 2**16 - 1
U32_MAX: Final = 2**32 - 1
U64_MAX: Final = 2**64 - 1
I64_MIN: Final = -(2**63)
I64_MAX: Final = 2**63 - 1
FIRST_IGNORABLE_KEY: Final = 64
_ITEM_BYTES: Final = 8  # a place in a list
_HOLLOW_BYTES: Final = 64 * MIB

Decoded: TypeAlias = Any
"""What decoding gives: the caller takes it apart with the checkers below and hands on only what they returned."""


def encode(value: object) -> bytes:
    """The canonical bytes. The caller puts map keys in rising order; `InputError` if a value has no encoding."""
    try:
        return bytes(msgpack.packb(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"A value cannot be written: {type(error).__name__}.", code="not_encodable") from error


def decode(data: bytes | memoryview, *, what: str, schema_checks_all: bool = False) -> Decoded:
    """The one value in `data`.

    `schema_checks_all` says that the caller looks at the type of every value at every depth, so that the search for
    floats, extensions and deep nesting can be left out: trees decode twice as fast that way.
    """
    try:
        value = unpack(data, _canonical_map)
        canonical = msgpack.packb(value) == data
    except Exception:  # msgpack raises a dozen types, some of them its own, for what is all one thing here
        canonical = False
    if not canonical:
        raise damaged(what, "is not one canonical msgpack value")
    if not schema_checks_all:
        check_plain(value, what)
    return value


def _canonical_map(pairs: list[tuple[object, object]]) -> dict[object, object]:
    previous = -1
    for key, _ in pairs:
        if type(key) is not int or key <= previous:
            raise ValueError("map keys are not rising integers")
        previous = key
    return dict(pairs)


def unpack(data: bytes | memoryview, make_map: Callable[[Any], object] | None = None) -> Decoded:
    """What msgpack makes of bytes, or one of its dozen errors; nothing is known to be canonical yet."""
    most = min(MSGPACK_MAX_ITEMS, len(data))  # an item takes a byte at least
    if _may_be_hollow(data, most):
        _skip(data)
    return msgpack.unpackb(
        data,
        strict_map_key=False,
        object_pairs_hook=make_map,
        max_array_len=most,
        max_map_len=most,
        max_ext_len=0,
    )


def _may_be_hollow(data: bytes | memoryview, most: int) -> bool:
    """Whether arrays in arrays may announce much more than there is: msgpack makes room for all that is announced, a
    gigabyte for five kilobytes, before it sees that nothing follows. Random bytes look so from 32 KiB on."""
    octets = bytes(data)
    heads = octets.count(b"\xdc") + octets.count(b"\xdd")
    return heads * most * _ITEM_BYTES > _HOLLOW_BYTES


def _skip(data: bytes | memoryview) -> None:
    """Go through a value without making room for it; msgpack's own error if it is not whole."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    unpacker.skip()


def check_plain(value: object, what: str, depth: int = 0) -> None:
    """Refuse floats, extensions, and nesting beyond the limit."""
    if isinstance(value, list | dict):
        if depth >= MSGPACK_MAX_NESTING:
            raise damaged(what, "is nested too deeply")
        for item in value.values() if isinstance(value, dict) else value:
            check_plain(item, what, depth + 1)
    elif value is not None and type(value) not in (int, bytes, str, bool):
        raise damaged(what, "holds a value of a type that is never written")


def damaged(what: str, reason: str) -> DamagedObjectError:
    """The error for an object that does not decode."""
    return DamagedObjectError(f"The {what} {reason}.", code="undecodable")


def refuse(what: str, field: str) -> NoReturn:
    """Report a field whose value does not fit."""
    raise damaged(what, f"has an unusable value for its {field}")


def unsupported(what: str, reason: str) -> UnsupportedFormatError:
    """The error for what only a newer version can read."""
    return UnsupportedFormatError(f"The {what} {reason}. Update snapstore.")


def as_int(value: object, what: str, field: str, minimum: int = 0, maximum: int = U64_MAX) -> int:
    """An integer within bounds."""
    if type(value) is not int or not minimum <= value <= maximum:
        refuse(what, field)
    return value


def as_bytes(value: object, what: str, field: str, size: int | None = None) -> bytes:
    """Bytes, of exactly `size` where that is given."""
    if type(value) is not bytes or (size is not None and len(value) != size):
        refuse(what, field)
    return value


def as_text(value: object, what: str, field: str) -> str:
    """Text."""
    if type(value) is not str:
        refuse(what, field)
    return value


def as_list(value: object, what: str, field: str, count: int | None = None) -> list[object]:
    """An array, of exactly `count` items where that is given."""
    if type(value) is not list or (count is not None and len(value) != count):
        refuse(what, field)
    return value


def as_texts(value: object, what: str, field: str) -> tuple[str, ...]:
    """An array of texts."""
    return tuple(as_text(item, what, field) for item in as_list(value, what, field))


def join_ids(ids: Iterable[bytes]) -> bytes:
    """Sorted ids as one string, the way rosters and records hold them."""
    return b"".join(sorted(set(ids)))


def split_ids(joined: bytes, what: str, field: str, size: int = 16) -> tuple[bytes, ...]:
    """The ids again; they must be whole, rising and different."""
    ids = tuple(joined[at : at + size] for at in range(0, len(joined), size))
    if len(joined) % size or any(first >= second for first, second in pairwise(ids)):
        refuse(what, field)
    return ids


class Fields:
    """A decoded map whose keys below 64 are all known."""

    __slots__ = ("_map", "what")

    def __init__(self, value: object, what: str, known: Container[int]) -> None:
        if type(value) is not dict:
            raise damaged(what, "is not a map")
        for key in value:
            if key < FIRST_IGNORABLE_KEY and key not in known:
                raise unsupported(what, f"has a field ({key}) that this version does not know")
        self._map: dict[int, object] = value
        self.what = what

    def __contains__(self, key: int) -> bool:
        return key in self._map

    def raw(self, key: int) -> object:
        """The value as it is; a missing one is damage."""
        if key not in self._map:
            raise damaged(self.what, f"lacks field {key}")
        return self._map[key]

    def integer(self, key: int, minimum: int = 0, maximum: int = U64_MAX) -> int:
        """An integer within bounds."""
        return as_int(self.raw(key), self.what, f"field {key}", minimum, maximum)

    def octets(self, key: int, size: int | None = None) -> bytes:
        """Bytes."""
        return as_bytes(self.raw(key), self.what, f"field {key}", size)

    def text(self, key: int) -> str:
        """Text."""
        return as_text(self.raw(key), self.what, f"field {key}")

    def texts(self, key: int) -> tuple[str, ...]:
        """An array of texts."""
        return as_texts(self.raw(key), self.what, f"field {key}")

    def flag(self, key: int) -> bool:
        """A truth value."""
        value = self.raw(key)
        if type(value) is not bool:
            refuse(self.what, f"field {key}")
        return value

    def items(self, key: int, count: int | None = None) -> list[object]:
        """An array."""
        return as_list(self.raw(key), self.what, f"field {key}", count)

    def ids(self, key: int) -> tuple[bytes, ...]:
        """Joined 16-byte ids, rising."""
        return split_ids(self.octets(key), self.what, f"field {key}")
