"""A store in memory, for tests and for trying things out.

Here: `MemoryStore`. Not here: anything durable; its objects end with the process.

Rules: the same contract as any other store, names and limits included. Stores of the same non-empty name share their
objects, as two programs share a folder; without a name each store is alone. Free space can be limited, so that a full
medium is had without one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import BinaryIO, Final, Self

from ..errors import StoreFullError
from .protocol import (
    Block,
    Comparison,
    StoredObject,
    check_name,
    check_prefix,
    check_range,
    check_size,
    check_station,
    existing_name_error,
    missing_object_error,
    read_back_error,
    short_object_error,
)
from .source import ObjectSource


class _Contents:
    """What stores of one name share."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.objects: dict[str, bytes] = {}


_SHARED: Final[dict[str, _Contents]] = {}
_SHARED_LOCK: Final = threading.Lock()


class MemoryStore:
    """Objects in a dict. `capacity_bytes` limits their total."""

    def __init__(self, name: str = "", *, capacity_bytes: int | None = None) -> None:
        self._url = f"memory:{name}"
        self._capacity_bytes = capacity_bytes
        if name:
            with _SHARED_LOCK:
                self._contents = _SHARED.setdefault(name, _Contents())
        else:
            self._contents = _Contents()

    @property
    def url(self) -> str:
        """`memory:` and the name."""
        return self._url

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """See `Store.put`."""
        check_name(name)
        self._store(name, ObjectSource(data, name, size).read_all())

    def begin(self) -> MemoryBuilder:
        """See `BuildingStore.begin`. What is being built takes none of the capacity yet."""
        return MemoryBuilder(self._url, self._store)

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """See `Store.get`."""
        check_name(name)
        check_range(offset, size)
        with self._contents.lock:
            stored = self._contents.objects.get(name)
        if stored is None:
            raise missing_object_error(name, self._url)
        end = max(len(stored), offset) if size is None else offset + size
        if end > len(stored):
            raise short_object_error(name, self._url, end, len(stored))
        return stored[offset:end]

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list`; gives what was there at the call."""
        folder = check_prefix(prefix)
        start = f"{folder}/" if folder else ""
        with self._contents.lock:
            found = [
                StoredObject(name, len(stored))
                for name, stored in self._contents.objects.items()
                if name.startswith(start)
            ]
        return iter(found)

    def delete(self, name: str) -> None:
        """See `Store.delete`."""
        check_name(name)
        with self._contents.lock:
            if self._contents.objects.pop(name, None) is None:
                raise missing_object_error(name, self._url)

    def free_bytes(self) -> int | None:
        """What is left of the capacity, or None without one."""
        with self._contents.lock:
            return self._free()

    def clean_temporaries(self, station: str) -> None:
        """There are none: a put is one assignment."""
        check_station(station)

    def close(self) -> None:
        """The objects stay, for other stores of the name."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _store(self, name: str, stored: bytes) -> None:
        with self._contents.lock:
            if name in self._contents.objects:
                raise existing_name_error(name, self._url)
            free = self._free()
            if free is not None and len(stored) > free:
                raise StoreFullError(
                    f"Could not store {name} in {self._url}: it has {len(stored)} bytes and {free} are free. "
                    "Use another store."
                )
            self._contents.objects[name] = stored

    def _free(self) -> int | None:
        if self._capacity_bytes is None:
            return None
        return max(self._capacity_bytes - sum(map(len, self._contents.objects.values())), 0)


class MemoryBuilder:
    """See `ObjectBuilder`."""

    def __init__(self, url: str, store: Callable[[str, bytes], None]) -> None:
        self._url = url
        self._store = store
        self._written = bytearray()

    @property
    def size(self) -> int:
        """See `ObjectBuilder.size`."""
        return len(self._written)

    def write(self, data: Block) -> None:
        """See `ObjectBuilder.write`."""
        check_size("in the making", self.size + len(data))
        self._written += data

    def blocks(self) -> Iterator[Block]:
        """See `ObjectBuilder.blocks`."""
        return iter([bytes(self._written)])

    def publish(self, name: str, compare: Callable[[], Comparison]) -> None:
        """See `ObjectBuilder.publish`."""
        with self:
            check_name(name)
            stored, comparison = bytes(self._written), compare()
            comparison.update(stored)
            if not comparison.holds():
                raise read_back_error(name, self._url)
            self._store(name, stored)

    def discard(self) -> None:
        """See `ObjectBuilder.discard`."""
        self._written = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()
