"""Calls to a store side by side: order, errors, how many at a time, and that no thread stays."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from far_store import FarStore, threads_named

from snapstore.blobs.lanes import each_side_by_side, side_by_side
from snapstore.errors import StoreUnavailableError
from snapstore.stores.memory import MemoryStore
from snapstore.testing import FailAt, FlippedBit


class Counted:
    """How many calls were under way at the same time at most."""

    def __init__(self) -> None:
        self.now = self.most = self.begun = 0
        self._lock = threading.Lock()

    def call(self, result: int, error: BaseException | None = None, seconds: float = 0.01) -> Callable[[], int]:
        def run() -> int:
            with self._lock:
                self.begun += 1
                self.now += 1
                self.most = max(self.most, self.now)
            try:
                time.sleep(seconds)
                if error is not None:
                    raise error
                return result
            finally:
                with self._lock:
                    self.now -= 1

        return run


def lane_threads() -> list[threading.Thread]:
    return threads_named("snapstore-lane")


def test_results_are_in_order_and_at_most_the_lanes_are_busy() -> None:
    counted = Counted()
    assert side_by_side(FarStore(MemoryStore()), [counted.call(n) for n in range(20)]) == list(range(20))
    assert counted.most == 4
    assert not lane_threads()


def test_a_store_without_lanes_is_called_in_the_calling_thread() -> None:
    seen: list[Any] = []
    calls = [lambda n=n: seen.append((n, threading.current_thread())) for n in range(3)]
    side_by_side(MemoryStore(), calls)
    assert seen == [(n, threading.current_thread()) for n in range(3)]


def test_nothing_and_one_call_need_no_thread() -> None:
    store = FarStore(MemoryStore())
    assert side_by_side(store, []) == []
    assert side_by_side(store, [threading.current_thread]) == [threading.current_thread()]


@pytest.mark.parametrize("error", [OSError("first"), KeyboardInterrupt(), SystemExit(3), StopIteration()])
def test_the_first_error_comes_out_when_all_have_ended(error: BaseException) -> None:
    counted = Counted()
    calls = [counted.call(0, seconds=0.05), counted.call(1, error, 0.02), counted.call(2, ValueError(), 0.0)]
    with pytest.raises(type(error)) as raised:
        side_by_side(FarStore(MemoryStore()), calls)
    assert raised.value is error
    assert counted.now == 0
    assert not lane_threads()


def test_after_an_error_nothing_begins() -> None:
    counted = Counted()
    calls = [counted.call(0, ConnectionError(), 0.0), *(counted.call(n, seconds=0.05) for n in range(30))]
    with pytest.raises(ConnectionError):
        side_by_side(FarStore(MemoryStore()), calls)
    assert counted.begun < 10


def test_an_error_while_the_calls_are_made_up_comes_before_any_call() -> None:
    counted = Counted()

    def calls() -> Any:
        yield counted.call(0)
        raise KeyError("no such thing")

    with pytest.raises(KeyError):
        side_by_side(FarStore(MemoryStore()), calls())
    assert counted.begun == 0


def test_ctrl_c_does_not_wait_for_a_store_that_stalls() -> None:
    answered = threading.Event()
    timer = threading.Timer(0.1, _thread.interrupt_main)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            side_by_side(FarStore(MemoryStore()), [answered.wait] * 8)
        assert lane_threads()
    finally:
        timer.cancel()
        answered.set()
    for _ in range(500):  # not `join`: CPython 3.11 takes a thread whose join was interrupted for one that has ended
        if not lane_threads():
            return
        time.sleep(0.01)
    raise AssertionError("the threads do not end by themselves")


@pytest.mark.parametrize("lanes", [1, 4])
def test_many_calls_are_made_some_at_a_time(lanes: int) -> None:
    counted = Counted()
    store = FarStore(MemoryStore()) if lanes > 1 else MemoryStore()
    results = each_side_by_side(store, (counted.call(n, seconds=0.001) for n in range(50)))
    assert counted.begun == 0
    assert next(results) == 0
    assert counted.begun <= 2 * lanes
    assert list(results) == list(range(1, 50))
    assert counted.most == lanes


def test_indexes_and_pack_headers_are_read_side_by_side(bench: Any, make_noise: Any) -> None:
    for number in range(9):
        bench.save(make_noise(2000, number))
    for item in list(bench.store.list("index"))[:4]:
        bench.store.delete(item.name)
    alone = bench.loaded()
    far = FarStore(bench.store, seconds=0.02)
    bench.store = far
    loaded = bench.loaded()
    assert far.most["get"] == 4
    assert sorted(loaded.index.packs()) == sorted(alone.index.packs())
    assert loaded.merged == alone.merged
    assert loaded.problems == []


def test_an_index_that_is_damaged_is_told_and_the_others_are_used(bench: Any, make_noise: Any) -> None:
    for number in range(6):
        bench.save(make_noise(2000, number))
    bench.store = FarStore(FlippedBit(bench.store, affects="index"))
    loaded = bench.loaded()
    assert {problem.code for problem in loaded.problems} == {"damaged_object"}
    assert len(list(loaded.index.packs())) == 6


def test_a_store_that_fails_stops_the_reading_of_the_index(bench: Any, make_noise: Any) -> None:
    for number in range(6):
        bench.save(make_noise(2000, number))
    bench.store = FarStore(FailAt(bench.store, 4, operations=frozenset({"get"})))
    with pytest.raises(StoreUnavailableError):
        bench.loaded()
    assert not lane_threads()
