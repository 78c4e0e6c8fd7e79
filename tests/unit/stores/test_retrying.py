"""Trying again: what is tried again, how often, how long is waited, and what is never tried again."""

from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import (
    DamagedObjectError,
    InputError,
    ObjectNotFoundError,
    OperationCancelledError,
    SnapstoreError,
    StoreError,
    StoreFullError,
    StorePermissionError,
    StoreUnavailableError,
)
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store, StoredObject
from snapstore.stores.retrying import Patience, RetryingStore
from snapstore.stores.wrapper import set_cancelled
from snapstore.testing import BrokenListing, CrashAt, FailAt, Recorder, StoreConformance, StoreWrapper

NUMBERS = itertools.count()


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def memory() -> MemoryStore:
    return MemoryStore(f"retrying{next(NUMBERS)}")


def patient(clock: Clock | None = None, *, attempts: int = 5, chance: Callable[[], float] = lambda: 1.0) -> Patience:
    clock = clock or Clock()
    return Patience(attempts=attempts, sleep=clock.sleep, clock=lambda: clock.now, chance=chance)


class Failing(StoreWrapper):
    """Fails so many times with an error, before or after the effect, and works then."""

    def __init__(self, inner: Store, error: Exception, times: int, *, after_effect: bool = False) -> None:
        super().__init__(inner)
        self.left = times
        self.tries = 0
        self._error = error
        self._after_effect = after_effect

    def _do(self, action: Callable[[], None]) -> None:
        self.tries += 1
        fails = self.left > 0
        self.left -= 1
        if not fails or self._after_effect:
            action()
        if fails:
            raise self._error

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        content = data if isinstance(data, bytes) else data.read()  # the file is at its end when it fails
        self._do(lambda: self.inner.put(name, content, size=size))

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        self._do(lambda: None)
        return self.inner.get(name, offset=offset, size=size)

    def delete(self, name: str) -> None:
        self._do(lambda: self.inner.delete(name))

    def free_bytes(self) -> int | None:
        self._do(lambda: None)
        return 7

    def clean_temporaries(self, station: str) -> None:
        self._do(lambda: None)


class TestRetrying(StoreConformance):
    """It keeps the rules of a store, also while every third operation fails at first.

    But for deletes: one of an absent object that fails at first cannot be told from one that was done."""

    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.name = f"retrying{next(NUMBERS)}"

    def open_store(self) -> Store:
        class EveryThird(FailAt):
            def _fails(self, number: int) -> bool:
                return number % 3 == 0

        return RetryingStore(
            EveryThird(MemoryStore(self.name), 0, operations=frozenset({"put", "get", "list"})), patience=patient()
        )


LOST = StoreUnavailableError("The connection was lost.", code="connection_lost")


def test_every_operation_is_tried_again() -> None:
    inner = memory()
    actions: list[Callable[[Store], object]] = [
        lambda store: store.put("packs/a/0", b"content"),
        lambda store: store.get("packs/a/0"),
        lambda store: store.free_bytes(),
        lambda store: store.clean_temporaries("me"),
        lambda store: store.delete("packs/a/0"),
    ]
    for action in actions:
        failing = Failing(inner, LOST, 4)
        store = RetryingStore(failing, patience=patient())
        action(store)
        assert (failing.tries, store.retries) == (5, 4)
    assert list(inner.list("")) == []


def test_the_last_failure_comes_out_after_all_tries() -> None:
    clock = Clock()
    failing = Failing(memory(), LOST, 99)
    with pytest.raises(StoreUnavailableError) as caught:
        RetryingStore(failing, patience=patient(clock)).put("packs/a/0", b"x")
    assert caught.value is LOST
    assert failing.tries == 5
    assert clock.now == pytest.approx(0.5 + 1 + 2 + 4)


def test_one_attempt_is_one_attempt() -> None:
    for attempts in (1, 0, -3):
        failing = Failing(memory(), LOST, 1)
        with pytest.raises(StoreUnavailableError):
            RetryingStore(failing, patience=patient(attempts=attempts)).put("packs/a/0", b"x")
        assert failing.tries == 1


NOT_WORTH_IT = [
    StorePermissionError("refused"),
    StorePermissionError("The password is wrong.", code="login_refused"),
    StoreFullError("full"),
    StoreError("lost", code="put_uncertain"),
    StoreError("unknown host", code="host_key_unknown"),
    StoreUnavailableError("absent", code="store_absent", retryable=False),
    DamagedObjectError("short"),
    ObjectNotFoundError("absent"),
    InputError("wrong"),
    OperationCancelledError("cancelled"),
    ValueError("a mistake"),
]


@pytest.mark.parametrize("error", NOT_WORTH_IT, ids=lambda error: getattr(error, "code", "") or type(error).__name__)
def test_what_does_not_get_better_is_not_tried_again(error: Exception) -> None:
    clock = Clock()
    inner = memory()
    inner.put("packs/a/there", b"x")
    actions: list[Callable[[Store], object]] = [
        lambda store: store.put("packs/a/new", b"x"),
        lambda store: store.get("packs/a/there"),
        lambda store: store.delete("packs/a/there"),
        lambda store: store.clean_temporaries("me"),
    ]
    for action in actions:
        failing = Failing(inner, error, 99)
        store = RetryingStore(failing, patience=patient(clock))
        with pytest.raises(type(error)) as caught:
            action(store)
        assert caught.value is error
        assert (failing.tries, store.retries) == (1, 0)
    assert clock.slept == []


def test_a_file_is_put_from_where_it_stood() -> None:
    inner = memory()
    file = io.BytesIO(b"before|content")
    file.seek(7)
    RetryingStore(Failing(inner, LOST, 3), patience=patient()).put("packs/a/0", file, size=7)
    assert inner.get("packs/a/0") == b"content"
    assert not file.closed


def test_a_delete_that_was_done_and_not_acknowledged_is_done() -> None:
    inner = memory()
    inner.put("packs/a/0", b"x")
    store = RetryingStore(Failing(inner, LOST, 1, after_effect=True), patience=patient())
    store.delete("packs/a/0")
    assert list(inner.list("")) == []
    with pytest.raises(ObjectNotFoundError):
        store.delete("packs/a/0")


def test_no_part_of_a_broken_listing_is_seen() -> None:
    inner = memory()
    names = {f"packs/a/{number}" for number in range(9)}
    for name in names:
        inner.put(name, b"x")

    class BreaksOffTwice(StoreWrapper):
        tries = 0

        def list(self, prefix: str) -> Iterator[StoredObject]:
            self.tries += 1
            return (BrokenListing(self.inner, after=4) if self.tries < 3 else self.inner).list(prefix)

    store = RetryingStore(BreaksOffTwice(inner), patience=patient())
    assert {found.name for found in store.list("packs")} == names
    assert store.retries == 2
    with pytest.raises(StoreUnavailableError):  # at the call: nothing was given before
        RetryingStore(BrokenListing(inner, after=4), patience=patient()).list("packs")


def test_a_crash_at_every_operation_is_survived_when_the_store_comes_back() -> None:
    for k in range(1, 6):
        inner = memory()
        store = RetryingStore(FailAt(inner, k), patience=patient())
        store.put("packs/a/0", b"zero")
        store.put("packs/a/1", b"one")
        assert store.get("packs/a/0") == b"zero"
        store.delete("packs/a/0")
        assert [found.name for found in store.list("packs")] == ["packs/a/1"]
    crashed = RetryingStore(CrashAt(memory(), 1), patience=patient())
    with pytest.raises(StoreUnavailableError):
        crashed.put("packs/a/0", b"x")


@given(st.lists(st.floats(0, 1), min_size=20, max_size=20))
def test_waits_are_of_random_length_below_a_bound_that_doubles(chances: list[float]) -> None:
    left = iter(chances)
    patience = Patience(chance=lambda: next(left))
    for failures, chance in zip(range(1, 21), chances, strict=True):
        assert patience.pause(failures) == pytest.approx(chance * min(0.5 * 2 ** (failures - 1), 30.0))


def test_the_time_of_all_tries_is_bounded() -> None:
    clock = Clock()
    failing = Failing(memory(), LOST, 10_000)
    with pytest.raises(StoreUnavailableError):
        RetryingStore(failing, patience=patient(clock, attempts=10_000)).get("packs/a/0")
    assert 500 < clock.now <= 600
    assert failing.tries < 40


def test_a_long_wait_is_called_off_at_once() -> None:
    clock = Clock()
    store = RetryingStore(Recorder(Failing(memory(), LOST, 99)), patience=patient(clock, attempts=99))
    set_cancelled(store, lambda: clock.now > 40)
    with pytest.raises(OperationCancelledError):
        store.put("packs/a/0", b"x")
    assert 40 < clock.now < 40.5
    assert max(clock.slept) <= 0.2


def test_threads_wait_each_for_itself() -> None:
    inner = memory()
    lock = threading.Lock()
    seen: set[str] = set()

    class OnceEach(StoreWrapper):
        def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
            with lock:
                new = name not in seen
                seen.add(name)
            if new:
                raise StoreUnavailableError("once")
            self.inner.put(name, data, size=size)

    store = RetryingStore(OnceEach(inner), patience=Patience(first_wait_seconds=0.001))
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: store.put(f"packs/a/{number}", b"x"), range(40)))
    assert store.retries == 40
    assert len(list(inner.list(""))) == 40


def test_an_error_of_another_kind_after_a_retry_comes_out() -> None:
    class Changes(StoreWrapper):
        errors: ClassVar[list[SnapstoreError]] = [LOST, StoreFullError("full")]

        def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
            raise self.errors.pop(0)

    with pytest.raises(StoreFullError):
        RetryingStore(Changes(memory()), patience=patient()).get("packs/a/0")
