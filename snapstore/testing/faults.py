"""Stores that do damage, each named after what it does.

Here: wrappers around any store. Not here: the one that does no harm (wrapper.py), and tests.

Rules: a wrapper passes everything on but for its one fault, so wrappers can be put around each other. Operations are
counted from 1 in the order in which they start. Faults that the storage would report raise a `StoreError`; those that
it would not (`ShortPut`, `LostPut`, `TruncatedGet`, `FlippedBit`, `EmptyListing`) say nothing, and it is the caller
under test who has to notice. `affects` narrows a silent fault to names that begin so.

An object that is built in the store instead of put counts as a put when it gets its name (`publish`), and whatever a
wrapper does to puts it does then. What is appended to it before is not counted.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from ..errors import StoreFullError, StoreUnavailableError
from ..stores.protocol import Block, Comparison, ObjectBuilder, Store, StoredObject
from .wrapper import StoreWrapper

OPERATIONS: Final = frozenset({"put", "get", "list", "delete"})


@dataclass(frozen=True, slots=True)
class Call:
    """One operation: "put", "get", "list" or "delete", with the name or prefix it was given."""

    operation: str
    name: str


class Recorder(StoreWrapper):
    """Keeps every operation in `calls`, in the order in which they started."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.calls: list[Call] = []
        self._lock = threading.Lock()

    def count(self, operation: str | None = None) -> int:
        """How many operations there were, or how many of one kind."""
        with self._lock:
            return sum(operation in (None, call.operation) for call in self.calls)

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Recorded, then passed on."""
        self._start("put", name)
        super().put(name, data, size=size)

    def publish(self, builder: ObjectBuilder, name: str, compare: Callable[[], Comparison]) -> None:
        """Recorded as a put, then passed on."""
        self._start("put", name)
        super().publish(builder, name, compare)

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """Recorded, then passed on."""
        self._start("get", name)
        return super().get(name, offset=offset, size=size)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Recorded, then passed on."""
        self._start("list", prefix)
        return super().list(prefix)

    def delete(self, name: str) -> None:
        """Recorded, then passed on."""
        self._start("delete", name)
        super().delete(name)

    def _start(self, operation: str, name: str) -> None:
        """Called before each operation; what it raises, the operation raises."""
        with self._lock:
            self.calls.append(Call(operation, name))


class FailAt(Recorder):
    """The k-th operation fails and has no effect; the ones after it work again. `k` = 0 never fails.

    Only operations in `operations` are counted, so that "the third put" can be said.
    """

    def __init__(self, inner: Store, k: int, *, operations: frozenset[str] = OPERATIONS) -> None:
        super().__init__(inner)
        self._k = k
        self._operations = operations

    def _start(self, operation: str, name: str) -> None:
        super()._start(operation, name)
        with self._lock:
            number = sum(call.operation in self._operations for call in self.calls)
        if operation in self._operations and self._fails(number):
            raise StoreUnavailableError(f"Could not {operation} {name} in {self.url}: fault {number}. Try again.")

    def _fails(self, number: int) -> bool:
        return number == self._k


class CrashAt(FailAt):
    """The k-th operation fails, and every one after it: the medium is gone, or the process was killed.

    With `after_effect` the k-th `put` or `delete` is done first and then not acknowledged.
    """

    def __init__(self, inner: Store, k: int, *, after_effect: bool = False) -> None:
        super().__init__(inner, k)
        self._after_effect = after_effect

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Done and then denied, if it is the k-th and `after_effect` asks for that."""
        if self._is_last_effect():
            self.inner.put(name, data, size=size)
        super().put(name, data, size=size)

    def publish(self, builder: ObjectBuilder, name: str, compare: Callable[[], Comparison]) -> None:
        """Done and then denied, if it is the k-th and `after_effect` asks for that."""
        if self._is_last_effect():
            builder.publish(name, compare)
        super().publish(builder, name, compare)

    def append(self, builder: ObjectBuilder, data: Block) -> None:
        """An error once the k-th operation has failed."""
        if self._fails(self.count()):
            raise StoreUnavailableError(f"Could not store a new object in {self.url}: it is gone. Try again.")
        super().append(builder, data)

    def delete(self, name: str) -> None:
        """Done and then denied, if it is the k-th and `after_effect` asks for that."""
        if self._is_last_effect():
            self.inner.delete(name)
        super().delete(name)

    def _is_last_effect(self) -> bool:
        return self._after_effect and self.count() == self._k - 1

    def _fails(self, number: int) -> bool:
        return 0 < self._k <= number


class FailAppend(StoreWrapper):
    """The k-th time that bytes are appended to an object in the making, the device is full or (`full=False`) fails."""

    def __init__(self, inner: Store, k: int, *, full: bool = True) -> None:
        super().__init__(inner)
        self._k = k
        self._full = full
        self._numbers = itertools.count(1)

    def append(self, builder: ObjectBuilder, data: Block) -> None:
        """Half of it and an error, if it is the k-th: what a device does when its space ends."""
        number = next(self._numbers)
        if number != self._k:
            return super().append(builder, data)
        builder.write(data[: len(data) // 2])
        if self._full:
            raise StoreFullError(f"Could not store a new object in {self.url}: no space. Use another medium.")
        raise StoreUnavailableError(f"Could not store a new object in {self.url}: fault {number}. Try again.")


class ShortPut(StoreWrapper):
    """Stores the first half of an object and reports success, as servers have done when a connection broke."""

    def __init__(self, inner: Store, *, affects: str = "") -> None:
        super().__init__(inner)
        self._affects = affects

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Half of it."""
        if not name.startswith(self._affects):
            return super().put(name, data, size=size)
        content = data if isinstance(data, bytes) else data.read()
        return super().put(name, content[: len(content) // 2])

    def publish(self, builder: ObjectBuilder, name: str, compare: Callable[[], Comparison]) -> None:
        """Half of it."""
        if not name.startswith(self._affects):
            return super().publish(builder, name, compare)
        return self.put(name, b"".join(builder.blocks()))


class LostPut(StoreWrapper):
    """Reports success for the k-th put of an affected name and stores nothing: a stick with a faked size does that."""

    def __init__(self, inner: Store, k: int = 1, *, affects: str = "") -> None:
        super().__init__(inner)
        self._affects = affects
        self._k = k
        self._numbers = itertools.count(1)

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Dropped if it is the k-th."""
        if not self._loses(name):
            super().put(name, data, size=size)

    def publish(self, builder: ObjectBuilder, name: str, compare: Callable[[], Comparison]) -> None:
        """Dropped if it is the k-th."""
        if not self._loses(name):
            super().publish(builder, name, compare)

    def _loses(self, name: str) -> bool:
        return name.startswith(self._affects) and next(self._numbers) == self._k


class TruncatedGet(StoreWrapper):
    """Gives one byte less than it has, without a word."""

    def __init__(self, inner: Store, *, affects: str = "") -> None:
        super().__init__(inner)
        self._affects = affects

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """All but the last byte."""
        content = super().get(name, offset=offset, size=size)
        return content[:-1] if name.startswith(self._affects) else content


class FlippedBit(StoreWrapper):
    """Gives an object with one bit changed: the lowest of byte `position` of the whole object (-1 is its last)."""

    def __init__(self, inner: Store, *, affects: str = "", position: int = -1) -> None:
        super().__init__(inner)
        self._affects = affects
        self._position = position

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """Changed, where the range holds the byte."""
        content = bytearray(super().get(name, offset=offset, size=size))
        if name.startswith(self._affects):
            whole = len(super().get(name))
            index = (self._position if self._position >= 0 else whole + self._position) - offset
            if 0 <= index < len(content):
                content[index] ^= 1
        return bytes(content)


class EmptyListing(StoreWrapper):
    """Shows affected folders as empty, as a failed listing that was swallowed would."""

    def __init__(self, inner: Store, *, affects: str = "") -> None:
        super().__init__(inner)
        self._affects = affects

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Without the affected names."""
        return (found for found in super().list(prefix) if not found.name.startswith(self._affects))


class BrokenListing(StoreWrapper):
    """A listing of an affected folder raises after `after` objects."""

    def __init__(self, inner: Store, *, after: int = 0, affects: str = "") -> None:
        super().__init__(inner)
        self._after = after
        self._affects = affects

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The beginning, then an error, however many objects there are."""
        listing = super().list(prefix)
        if not prefix.startswith(self._affects):
            yield from listing
            return
        yield from itertools.islice(listing, self._after)
        raise StoreUnavailableError(f"Could not list {prefix} in {self.url}: broken off. Try again.")


class FullAfter(StoreWrapper):
    """Takes so many bytes and no more; what is deleted does not come back, as on a stick that others fill too."""

    def __init__(self, inner: Store, capacity_bytes: int) -> None:
        super().__init__(inner)
        self._left = capacity_bytes
        self._lock = threading.Lock()

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Refused when it does not fit."""
        content = data if isinstance(data, bytes) else data.read()
        self._take(name, len(content))
        super().put(name, content, size=size)

    def append(self, builder: ObjectBuilder, data: Block) -> None:
        """Refused when the object would not fit. The bytes count when it is published."""
        if builder.size + len(data) > self._left:
            raise self._full("a new object")
        super().append(builder, data)

    def publish(self, builder: ObjectBuilder, name: str, compare: Callable[[], Comparison]) -> None:
        """Refused when it does not fit."""
        self._take(name, builder.size)
        super().publish(builder, name, compare)

    def free_bytes(self) -> int | None:
        """What is left."""
        return self._left

    def _take(self, name: str, size: int) -> None:
        with self._lock:
            if size > self._left:
                raise self._full(name)
            self._left -= size

    def _full(self, name: str) -> StoreFullError:
        return StoreFullError(f"Could not store {name} in {self.url}: no space. Use another medium.")
