"""Windows of a remote store: side by side, once each, ahead of their use, in bounded memory, and no thread left."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from far_store import FarStore, threads_named

from snapstore.blobs import fetching
from snapstore.blobs.fetching import FarWindows, Range
from snapstore.errors import DamagedObjectError, DamageError, StoreUnavailableError
from snapstore.limits import MIB
from snapstore.stores.memory import MemoryStore
from snapstore.testing import FlippedBit, Recorder

PACK = "packs/a/0000000000000000000000000000000a"
OTHER = "packs/b/0000000000000000000000000000000b"
SIZE = 9 * MIB + 12_345


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    return {path: random.Random(path).randbytes(SIZE) for path in (PACK, OTHER)}


@pytest.fixture
def far(contents: dict[str, bytes]) -> Iterator[FarStore]:
    store = FarStore(MemoryStore())
    for path, content in contents.items():
        store.inner.put(path, content)
    yield store
    wait_for_threads()


def wait_for_threads() -> None:
    for thread in threads_named("snapstore-fetch"):
        thread.join(5)
    assert not threads_named("snapstore-fetch")


def wait_until_idle(windows: FarWindows) -> list[threading.Thread]:
    end = time.monotonic() + 5
    while windows._idle != windows._threads and time.monotonic() < end:
        time.sleep(0.001)
    threads = threads_named("snapstore-fetch")
    assert set(threads) == windows._idle
    return threads


def piece(path: str, offset: int, size: int) -> Range:
    return Range(path, SIZE, offset, size)


def fetched(far: FarStore) -> list[tuple[str, int]]:
    """Every window that was fetched, as often as it was."""
    found = []
    for name, offset, size in far.got:
        assert offset % MIB == 0, "nothing but aligned windows is asked for"
        assert size is not None
        assert size % MIB == 0 or offset + size == SIZE
        found += [(name, number) for number in range(offset // MIB, -(-(offset + size) // MIB))]
    return found


def test_any_ranges_come_in_order(far: FarStore, contents: dict[str, bytes]) -> None:
    windows = FarWindows(far, 4)
    chance = random.Random(5)
    for _ in range(30):
        ranges = []
        for _ in range(chance.randrange(1, 60)):
            size = chance.choice([1, 100, 70_000, MIB, 4 * MIB])
            ranges.append(piece(chance.choice([PACK, OTHER]), chance.randrange(SIZE - size + 1), size))
        found = windows.read_many(ranges)
        assert found == [contents[item.path][item.offset : item.offset + item.size] for item in ranges]
    assert windows.read(PACK, SIZE, 5, 7) == contents[PACK][5:12]
    assert windows.read_many([]) == []


def test_windows_are_fetched_side_by_side_and_each_once(far: FarStore, contents: dict[str, bytes]) -> None:
    far.seconds = 0.02
    windows = FarWindows(far, 4)
    ranges = [piece(path, offset, 1000) for path in (OTHER, PACK) for offset in range(0, SIZE - 1000, 100_000)]
    random.Random(1).shuffle(ranges)
    assert windows.read_many(ranges) == [contents[item.path][item.offset :][:1000] for item in ranges]
    assert sorted(fetched(far)) == sorted(set(fetched(far)))
    assert far.most["get"] > 2
    assert len(far.got) < 20


def test_neighbours_that_are_missing_together_are_one_get(far: FarStore) -> None:
    windows = FarWindows(far, 2)
    windows.read_many([piece(PACK, number * MIB, 10) for number in range(8)])
    assert sorted((offset // MIB, (size or 0) // MIB) for _, offset, size in far.got) == [(0, 4), (4, 4)]
    far.got.clear()
    windows.read_many([piece(OTHER, number * MIB, 10) for number in range(2)])
    assert len(far.got) == 2, "two lanes are better than one"


def test_what_is_on_its_way_is_not_fetched_twice(far: FarStore, contents: dict[str, bytes]) -> None:
    far.seconds = 0.05
    windows = FarWindows(far, 4)
    found: list[Any] = []
    readers = [
        threading.Thread(target=lambda: found.append(windows.read(PACK, SIZE, MIB + 5, 2 * MIB))) for _ in range(6)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert found == [contents[PACK][MIB + 5 : 3 * MIB + 5]] * 6
    assert sorted(fetched(far)) == [(PACK, 1), (PACK, 2), (PACK, 3)]


def test_what_was_fetched_ahead_is_there(far: FarStore, contents: dict[str, bytes]) -> None:
    windows = FarWindows(far, 4)
    windows.prefetch([piece(PACK, offset, 1000) for offset in range(0, 4 * MIB, 300_000)])
    wait_for_threads()
    assert sorted(fetched(far)) == [(PACK, number) for number in range(4)]
    count = len(far.got)
    assert windows.read(PACK, SIZE, 2 * MIB - 3, 10) == contents[PACK][2 * MIB - 3 : 2 * MIB + 7]
    assert len(far.got) == count


def test_fetching_ahead_is_bounded_until_it_is_used(far: FarStore) -> None:
    windows = FarWindows(far, 4)
    everything = [piece(path, number * MIB, 1000) for path in (PACK, OTHER) for number in range(9)]
    windows.prefetch(everything)
    windows.prefetch(everything)
    wait_for_threads()
    assert len(fetched(far)) == fetching._AHEAD < len(everything)
    windows.read_many(everything[:6])
    windows.prefetch(everything)
    wait_for_threads()
    assert sorted(fetched(far)) == sorted(set(fetched(far)))
    assert len(fetched(far)) == len(everything)


def test_sure_wishes_wait_for_room_and_come_in_order(far: FarStore, contents: dict[str, bytes]) -> None:
    windows = FarWindows(far, 1)
    everything = [piece(path, number * MIB, 1000) for path in (OTHER, PACK) for number in range(9)]
    for wanted in everything:
        windows.prefetch([wanted], sure=True)
    assert len(windows._ahead) == fetching._AHEAD
    for wanted in everything[:6]:  # nobody asks ahead again
        windows.read(*wanted)
    wait_for_threads()
    assert fetched(far) == [(path, number) for path in (OTHER, PACK) for number in range(9)]
    for wanted in everything:
        assert windows.read(*wanted) == contents[wanted.path][wanted.offset :][: wanted.size]
    assert not windows._ahead
    assert len(fetched(far)) == len(everything)


def test_other_wishes_are_dropped_when_enough_is_ahead(far: FarStore) -> None:
    windows = FarWindows(far, 4)
    windows.prefetch([piece(path, number * MIB, 10) for path in (PACK, OTHER) for number in range(9)])
    assert not windows._wishes
    wait_for_threads()
    windows.read(PACK, SIZE, 0, 10)
    wait_for_threads()
    assert len(fetched(far)) == fetching._AHEAD


def test_wishes_are_bounded(far: FarStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_WISHES", 3)
    windows = FarWindows(far, 4)
    windows.prefetch([piece(path, number * MIB, 10) for path in (PACK, OTHER) for number in range(9)], sure=True)
    wait_for_threads()
    assert len(fetched(far)) == 3


def test_threads_stay_for_what_comes_soon_and_end_when_nothing_does(
    far: FarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_IDLE_SECONDS", 3.0)
    windows = FarWindows(far, 2)
    windows.read(PACK, SIZE, 0, 10)
    first = wait_until_idle(windows)
    windows.read(PACK, SIZE, 4 * MIB, 10)
    assert threads_named("snapstore-fetch") == first
    windows.close()
    assert not threads_named("snapstore-fetch")
    windows.read(PACK, SIZE, 8 * MIB, 10)
    assert sorted(fetched(far)) == [(PACK, 0), (PACK, 4), (PACK, 8)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("at_work", [False, True])
def test_a_child_of_a_fork_begins_anew(far: FarStore, contents: dict[str, bytes], *, at_work: bool) -> None:
    windows = FarWindows(far, 1)
    windows.read(PACK, SIZE, 0, 10)
    wait_until_idle(windows)
    far.seconds = 0.3 if at_work else 0.0
    if at_work:
        windows.prefetch([piece(PACK, 4 * MIB, 10)])
        time.sleep(0.05)
    with windows._lock:
        child = os.fork()
    if not child:
        code = 1
        try:
            signal.alarm(20)
            far.seconds = 0.0
            if windows.read(PACK, SIZE, 4 * MIB, 10) == contents[PACK][4 * MIB :][:10]:
                code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_a_result_keeps_no_windows_of_which_little_was_wanted(far: FarStore, contents: dict[str, bytes]) -> None:
    windows = FarWindows(far, 4, windows_kept=4)
    scattered = [piece(path, number * MIB + 7, 1000) for path in (PACK, OTHER) for number in range(9)]
    scattered.append(piece(PACK, 2 * MIB - 10, 20))
    found = windows.read_many(scattered)
    assert found == [contents[wanted.path][wanted.offset :][: wanted.size] for wanted in scattered]
    kept = {id(item.obj): len(item.obj) for item in found if isinstance(item, memoryview)}
    assert sum(kept.values()) == sum(wanted.size for wanted in scattered)
    together = [piece(PACK, number * 100_000, 90_000) for number in range(20)]
    found = windows.read_many(together)
    assert found == [contents[PACK][wanted.offset :][: wanted.size] for wanted in together]
    kept = {id(item.obj): len(item.obj) for item in found if isinstance(item, memoryview)}
    assert sum(kept.values()) <= 4 * 20 * 90_000
    assert len(kept) < len(together)


def test_what_is_needed_now_goes_first(far: FarStore) -> None:
    far.seconds = 0.03
    windows = FarWindows(far, 2)
    windows.prefetch([piece(PACK, number * MIB, 10) for number in (0, 2, 4, 6, 8)])
    windows.read_many([piece(OTHER, 0, 10), piece(PACK, 8 * MIB, 10)])
    asked = fetched(far)
    assert asked.index((OTHER, 0)) <= 3
    assert asked.index((PACK, 8)) <= 3, "what waited as a wish is moved to the front"


def test_memory_is_bounded(far: FarStore) -> None:
    windows = FarWindows(far, 4, windows_kept=5)
    windows.read_many([piece(path, number * MIB, 10) for path in (PACK, OTHER) for number in range(9)])
    assert len(windows._windows) <= 5
    before = len(far.got)
    windows.read(OTHER, SIZE, 8 * MIB, 10)
    assert len(far.got) == before, "the last ones are kept"


def test_an_error_is_told_where_it_belongs_and_asked_again(far: FarStore, contents: dict[str, bytes]) -> None:
    far.error_of = lambda kind, name, number: StoreUnavailableError("broken line") if name == OTHER else None
    windows = FarWindows(far, 4)
    found = windows.read_many([piece(OTHER, 0, 10), piece(PACK, 0, 10), piece(OTHER, 3 * MIB, 10)])
    assert [type(item) for item in found] == [StoreUnavailableError, memoryview, StoreUnavailableError]
    with pytest.raises(StoreUnavailableError):
        windows.read(OTHER, SIZE, 0, 10)
    windows.prefetch([piece(OTHER, 5 * MIB, 10)])
    wait_for_threads()
    far.error_of = lambda kind, name, number: None
    assert windows.read(OTHER, SIZE, 5 * MIB, 10) == contents[OTHER][5 * MIB :][:10]
    assert windows.read(OTHER, SIZE, 0, 10) == contents[OTHER][:10]


def test_what_is_no_store_error_comes_out(far: FarStore) -> None:
    far.error_of = lambda kind, name, number: MemoryError()
    windows = FarWindows(far, 4)
    with pytest.raises(MemoryError):
        windows.read_many([piece(PACK, 0, 10), piece(PACK, 5 * MIB, 10)])


def test_a_pack_that_ends_too_early_spoils_only_what_lies_behind(far: FarStore, contents: dict[str, bytes]) -> None:
    short = "packs/c/0000000000000000000000000000000c"
    far.inner.put(short, contents[PACK][: 2 * MIB + 7])
    windows = FarWindows(far, 2)
    found = windows.read_many([Range(short, SIZE, number * MIB, 5) for number in range(8)])
    assert found[:2] == [contents[PACK][number * MIB :][:5] for number in range(2)]
    assert all(isinstance(item, DamagedObjectError) for item in found[2:])


def test_a_forgotten_pack_is_fetched_again(far: FarStore) -> None:
    windows = FarWindows(far, 4)
    windows.read(PACK, SIZE, 0, 10)
    windows.read(OTHER, SIZE, 0, 10)
    windows.forget(PACK)
    windows.read(OTHER, SIZE, 0, 10)
    windows.read(PACK, SIZE, 0, 10)
    assert sorted(fetched(far)) == [(PACK, 0), (PACK, 0), (OTHER, 0)]


def test_closing_drops_wishes_and_leaves_no_thread(far: FarStore, contents: dict[str, bytes]) -> None:
    far.seconds = 0.1
    windows = FarWindows(far, 2)
    windows.prefetch([piece(PACK, number * MIB, 10) for number in (0, 2, 4, 6, 8)])
    time.sleep(0.02)
    windows.close()
    assert not threads_named("snapstore-fetch")
    assert len(far.got) <= 2
    far.seconds = 0.0
    assert windows.read(PACK, SIZE, 8 * MIB, 10) == contents[PACK][8 * MIB :][:10]
    windows.close()
    windows.close()


def test_closing_keeps_nothing_and_ends_waiting(far: FarStore, contents: dict[str, bytes]) -> None:
    windows = FarWindows(far, 2)
    windows.read(PACK, SIZE, 0, 10)
    answered = threading.Event()

    def stall(kind: str, name: str, number: int) -> None:
        answered.wait(20)

    far.error_of = stall
    found: list[object] = []
    reader = threading.Thread(target=lambda: found.extend(windows.read_many([piece(OTHER, 0, 10)])))
    reader.start()
    while not windows._windows.get((OTHER, 0)):
        time.sleep(0.001)
    fetching_seconds = fetching._CLOSE_SECONDS
    closer = threading.Thread(target=windows.close)
    closer.start()
    reader.join(fetching_seconds / 2)
    assert [type(item) for item in found] == [StoreUnavailableError], "who waits is told before threads are waited for"
    answered.set()
    closer.join()
    assert not windows._windows
    assert windows.read(OTHER, SIZE, 0, 10) == contents[OTHER][:10]
    windows.close()


def test_closing_does_not_wait_long_for_a_store_that_stalls(far: FarStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_CLOSE_SECONDS", 0.05)
    answered = threading.Event()

    def stall(kind: str, name: str, number: int) -> None:
        answered.wait()

    far.error_of = stall
    windows = FarWindows(far, 4)
    windows.prefetch([piece(PACK, 0, 10)])
    start = time.monotonic()
    windows.close()
    assert time.monotonic() - start < 1
    answered.set()


# --- the reader -------------------------------------------------------------------------------------------------


def test_a_reader_of_a_remote_store_gives_the_same(bench: Any, make_noise: Any) -> None:
    chunks = [make_noise(30_000, number) for number in range(120)]
    hashes = bench.save(*chunks)
    absent = bench.other(b"x").save(b"of somebody else")
    near = bench.reader()
    assert not near.reads_ahead
    near.prefetch(hashes)
    bench.store = far = FarStore(bench.store, seconds=0.01)
    reader = bench.reader()
    assert reader.reads_ahead
    far.got.clear()
    reader.prefetch([*hashes, *absent])
    loaded = reader.load_many([*hashes, *absent])
    assert [bytes(item) for item in loaded[:-1]] == chunks
    assert isinstance(loaded[-1], DamageError)
    assert far.most["get"] > 1
    assert len(far.got) == len({(name, offset) for name, offset, _ in far.got})
    reader.close()
    wait_for_threads()


def test_a_damaged_blob_spoils_no_other(bench: Any, make_noise: Any) -> None:
    chunks = [make_noise(30_000, number) for number in range(60)]
    hashes = bench.save(*chunks)
    bench.store = FarStore(FlippedBit(bench.store, affects="packs", position=100_000))
    loaded = bench.reader().load_many(hashes)
    wrong = [at for at, item in enumerate(loaded) if isinstance(item, DamageError)]
    assert len(wrong) == 1
    assert [bytes(item) for at, item in enumerate(loaded) if at not in wrong] == [  # type: ignore[arg-type]
        chunk for at, chunk in enumerate(chunks) if at not in wrong
    ]
    wait_for_threads()


def test_local_stores_are_read_as_ever(bench: Any, make_noise: Any) -> None:
    hashes = bench.save(*[make_noise(30_000, number) for number in range(60)])
    bench.store = Recorder(bench.store)
    reader = bench.reader()
    threads = set(threading.enumerate())
    reader.prefetch(hashes)
    gets = bench.store.count("get")
    reader.load_many(hashes)
    reader.close()
    assert set(threading.enumerate()) == threads
    assert bench.store.count("get") > gets
