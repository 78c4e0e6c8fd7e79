"""Bandwidth: the mean keeps to the limit, every byte arrives, and waiting can be called off."""

from __future__ import annotations

import io
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from snapstore.errors import InputError, OperationCancelledError
from snapstore.stores.local import LocalStore
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store
from snapstore.stores.throttled import SLICE_BYTES, Bucket, PacedFile, ThrottledStore
from snapstore.stores.wrapper import set_cancelled
from snapstore.testing import Recorder, StoreConformance

NUMBERS = itertools.count()
RATE = 1 << 20


class Clock:
    """A clock that only sleeping moves, for several threads: the longest sleep counts, as they sleep side by side."""

    def __init__(self) -> None:
        self.now = 0.0
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds


def throttled(inner: Store, clock: Clock, *, up: int | None = None, down: int | None = None) -> ThrottledStore:
    return ThrottledStore(
        inner, upload_bytes_per_second=up, download_bytes_per_second=down, sleep=clock.sleep, clock=lambda: clock.now
    )


def memory() -> MemoryStore:
    return MemoryStore(f"throttled{next(NUMBERS)}")


class TestThrottled(StoreConformance):
    """It keeps the rules of a store."""

    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.name = f"throttled{next(NUMBERS)}"

    def open_store(self) -> Store:
        return throttled(MemoryStore(self.name), Clock(), up=RATE, down=RATE)


@pytest.mark.parametrize("as_file", [False, True])
def test_an_upload_takes_its_time(as_file: bool) -> None:
    clock, inner = Clock(), memory()
    content = bytes(range(256)) * (4 * RATE // 256)
    throttled(inner, clock, up=RATE).put("packs/a/0", io.BytesIO(content) if as_file else content)
    assert clock.now == pytest.approx(4.0, rel=0.1)
    assert inner.get("packs/a/0") == content


def test_a_download_takes_its_time_in_slices() -> None:
    clock, inner = Clock(), memory()
    content = bytes(range(251)) * 16_000
    inner.put("packs/a/0", content)
    recorder = Recorder(inner)
    store = throttled(recorder, clock, down=RATE)
    assert store.get("packs/a/0", offset=5, size=3 * RATE) == content[5 : 5 + 3 * RATE]
    assert clock.now == pytest.approx(3.0, rel=0.1)
    assert recorder.count("get") == 3 * RATE // SLICE_BYTES
    before = clock.now
    assert store.get("packs/a/0") == content
    assert clock.now - before == pytest.approx(len(content) / RATE, rel=0.1)


def test_only_the_asked_direction_is_slow() -> None:
    clock, inner = Clock(), memory()
    store = throttled(inner, clock, down=RATE)
    store.put("packs/a/0", bytes(8 * RATE))
    assert clock.now == 0
    throttled(inner, clock, up=RATE).get("packs/a/0")
    assert clock.now == 0


def test_all_threads_share_one_line() -> None:
    clock, inner = Clock(), memory()
    store = throttled(inner, clock, up=RATE)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: store.put(f"packs/a/{number}", bytes(RATE)), range(8)))
    assert clock.now >= 7.5  # at least: the threads of this test sleep one after the other


def test_what_is_read_back_is_free(tmp_path_factory: pytest.TempPathFactory) -> None:
    clock = Clock()
    inner = LocalStore(tmp_path_factory.mktemp("throttled"), create=True)  # compares with the source
    throttled(inner, clock, up=RATE).put("packs/a/0", bytes(2 * RATE))
    assert clock.now == pytest.approx(2.0, rel=0.1)


def test_a_paced_file_reads_as_the_file_does() -> None:
    content = bytes(range(256)) * 4000
    taken: list[int] = []
    inner = io.BytesIO(content)
    inner.seek(100)
    file = PacedFile(inner, taken.append)
    assert file.read(SLICE_BYTES * 2 + 5) == content[100 : 105 + SLICE_BYTES * 2]
    assert file.tell() == 105 + SLICE_BYTES * 2
    assert file.seek(0) == 0
    assert file.read() == content
    assert file.read(1) == b""
    assert sum(taken) == len(content) - 100
    assert max(taken) <= SLICE_BYTES
    buffer = bytearray(10)
    file.seek(3)
    assert file.readinto(buffer) == 10
    assert bytes(buffer) == content[3:13]
    assert file.readable()
    assert file.seekable()


def test_what_was_not_used_is_not_saved_up() -> None:
    clock = Clock()
    bucket = Bucket(1000, sleep=clock.sleep, clock=lambda: clock.now)
    clock.now = 3600.0
    bucket.take(10_000, lambda: False)
    assert clock.now == pytest.approx(3600 + 10 - 0.25)


def test_waiting_is_called_off() -> None:
    clock = Clock()
    store = throttled(memory(), clock, up=10)
    set_cancelled(store, lambda: clock.now > 3)
    with pytest.raises(OperationCancelledError):
        store.put("packs/a/0", bytes(100_000))
    assert clock.now < 4
    assert list(store.list("")) == []


def test_a_limit_of_nothing_is_refused() -> None:
    for limit in (0, -1):
        with pytest.raises(InputError):
            throttled(memory(), Clock(), up=limit)
