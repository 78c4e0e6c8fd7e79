"""A store around a store, to be derived from.

Here: `StoreWrapper`, which passes everything on, the builder that comes with it, and `innermost`. Not here: what the
wrappers do (retrying.py, throttled.py, read_only.py; stores that do damage are in snapstore.testing).

Rules: nothing gets past a wrapper. What is appended to an object in the making comes to `append`, and its name to
`publish`; a class that knows of `put` only is taken for a store that cannot build. What a store may have besides the
protocol (`lanes`, `settle`, `notices`, `abilities`) a wrapper has as its store has it: around a store that is not
remote, `lanes_of` is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import BinaryIO, Self

from .protocol import Block, Comparison, ObjectBuilder, Store, StoredObject, begin_object, lanes_of, settled


class StoreWrapper:
    """Passes everything on. Derive from it and override what is to be different.

    A class that overrides `put` and not `publish` is a store that cannot build, so that nothing gets past its `put`.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.cancelled: Callable[[], bool] = _never
        """Asked while the wrapper waits; True ends the waiting with `OperationCancelledError`. See `set_cancelled`."""

    @property
    def url(self) -> str:
        """The inner store's address: a test of messages sees what a user would."""
        return self.inner.url

    @property
    def lanes(self) -> int:
        """The inner store's, or 1 where it is not remote."""
        return lanes_of(self.inner)

    @property
    def notices(self) -> tuple[tuple[str, str], ...]:
        """What the inner store has to say to its user, as code and text; most have nothing."""
        return notices_of(self.inner)

    @property
    def abilities(self) -> Mapping[str, bool]:
        """What the inner store says of its server, such as {"fsync": True}; most say nothing."""
        found: Mapping[str, bool] = getattr(self.inner, "abilities", {})
        return found

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Passed on."""
        self.inner.put(name, data, size=size)

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """Passed on."""
        return self.inner.get(name, offset=offset, size=size)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Passed on."""
        return self.inner.list(prefix)

    def delete(self, name: str) -> None:
        """Passed on."""
        self.inner.delete(name)

    def free_bytes(self) -> int | None:
        """Passed on."""
        return self.inner.free_bytes()

    def clean_temporaries(self, station: str) -> None:
        """Passed on."""
        self.inner.clean_temporaries(station)

    def close(self) -> None:
        """Passed on."""
        self.inner.close()

    def settle(self) -> bool | None:
        """Passed on; None where nobody unplugs what the inner store lies on."""
        return settled(self.inner)

    def begin(self) -> ObjectBuilder | None:
        """Passed on, with a builder that comes back to `append` and `publish`."""
        if _overrides(type(self), "put", after="publish"):
            return None
        builder = begin_object(self.inner)
        return None if builder is None else WrappedBuilder(self, builder)

    def append(self, builder: ObjectBuilder, data: Block) -> None:
        """Passed on: bytes for an object that has no name yet."""
        builder.write(data)

    def publish(self, builder: ObjectBuilder, name: str, compare: Callable[[], Comparison]) -> None:
        """Passed on: the put of an object that was built."""
        builder.publish(name, compare)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class WrappedBuilder:
    """A builder of the inner store that asks the wrapper before anything is written or named."""

    def __init__(self, store: StoreWrapper, inner: ObjectBuilder) -> None:
        self._store = store
        self._inner = inner

    @property
    def size(self) -> int:
        """The inner builder's."""
        return self._inner.size

    def write(self, data: Block) -> None:
        """By way of `StoreWrapper.append`."""
        self._store.append(self._inner, data)

    def blocks(self) -> Iterator[Block]:
        """Passed on."""
        return self._inner.blocks()

    def publish(self, name: str, compare: Callable[[], Comparison]) -> None:
        """By way of `StoreWrapper.publish`."""
        with self:
            self._store.publish(self._inner, name, compare)

    def discard(self) -> None:
        """Passed on."""
        self._inner.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


def innermost(store: Store) -> Store:
    """The store itself, out of all its wrappers."""
    while isinstance(store, StoreWrapper):
        store = store.inner
    return store


def notices_of(store: Store) -> tuple[tuple[str, str], ...]:
    """What a store has to say to its user, as code and text: that a password travels in clear, for instance."""
    found: tuple[tuple[str, str], ...] = getattr(store, "notices", ())
    return found


def set_cancelled(store: Store, cancelled: Callable[[], bool]) -> None:
    """Have every wrapper around a store ask this while it waits."""
    while isinstance(store, StoreWrapper):
        store.cancelled = cancelled
        store = store.inner


def is_cancelled(store: Store) -> bool:
    """Whether the operation that uses the store is to end: what `set_cancelled` was given says so."""
    return isinstance(store, StoreWrapper) and store.cancelled()


def _never() -> bool:
    return False


def _overrides(kind: type, method: str, *, after: str) -> bool:
    """Whether a class overrides `method` further down than `after`."""
    found = [next(place for place, base in enumerate(kind.__mro__) if name in vars(base)) for name in (method, after)]
    return found[0] < found[1]
