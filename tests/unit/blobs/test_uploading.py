"""Packs put while the next ones fill: how many at a time, when they count, errors at each put, stalls, nothing left."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from far_store import AfterEffect, FarStore, threads_named

from snapstore.blobs import packer as packer_module
from snapstore.blobs import uploading
from snapstore.blobs.uploading import Uploads
from snapstore.errors import (
    BrokenWriterError,
    DamagedObjectError,
    OperationCancelledError,
    StationStateError,
    StoreError,
    StoreFullError,
)
from snapstore.format.index import IndexedPack, decode_index
from snapstore.stores.local import LocalStore

CHUNKS = 40
CHUNK_BYTES = 20_000


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Packs of five chunks. And no test may leave a thread."""
    monkeypatch.setattr(packer_module, "PACK_TARGET_BYTES", 5 * CHUNK_BYTES + 8192)
    monkeypatch.setattr(packer_module, "_SHUFFLE_BYTES", 3 * CHUNK_BYTES)
    yield
    assert not threads_named("snapstore-upload")


@pytest.fixture
def far(bench: Any) -> FarStore:
    bench.store = FarStore(bench.store)
    return bench.store  # type: ignore[no-any-return]


@pytest.fixture
def chunks(make_noise: Any) -> list[bytes]:
    return [make_noise(CHUNK_BYTES, number) for number in range(CHUNKS)]


def save(bench: Any, chunks: list[bytes]) -> list[Any]:
    """Save chunks a few at a time; return their h."""
    with bench.saver() as saver:
        futures = [saver.submit(chunks[at : at + 4], shared=[False] * 4) for at in range(0, len(chunks), 4)]
        hashes = [item for future in futures for item in future.result()]
        saver.finish()
        assert set(saver.relied) == {name.rpartition("/")[2] for name in bench.packs()}
    return hashes


def open_files_in(folder: Path) -> list[str]:
    """The temporary files of a folder that this process still holds, which have no name."""
    if not os.path.isdir("/proc/self/fd"):
        return []
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    return [path for path in found if path.startswith(str(folder))]


def test_packs_are_put_side_by_side_and_all_is_there(bench: Any, far: FarStore, chunks: list[bytes]) -> None:
    far.seconds = 0.03
    hashes = save(bench, chunks)
    assert far.most["put"] == 3, "three at a time, however many lanes there are"
    reader = bench.reader()
    assert [reader.load(item) for item in hashes] == chunks
    assert bench.loaded().problems == []
    assert open_files_in(bench.spool) == []


def test_two_lanes_mean_two_uploads(bench: Any, far: FarStore, chunks: list[bytes]) -> None:
    far.lanes, far.seconds = 2, 0.02
    save(bench, chunks)
    assert far.most["put"] == 2


def test_a_store_without_lanes_is_put_to_by_the_writing_thread(bench: Any, far: FarStore, chunks: list[bytes]) -> None:
    far.lanes, far.seconds = 1, 0.005
    save(bench, chunks)
    assert far.most["put"] == 1
    packer = bench.packer()
    assert packer._uploads is None


def test_a_pack_counts_when_its_put_is_over(bench: Any, far: FarStore, chunks: list[bytes]) -> None:
    told: list[IndexedPack] = []
    far.gate = threading.Event()
    packer = bench.packer(told.append)
    blobs = sealed(bench, chunks[:12])
    packer.add_many(blobs)
    packer.add_many([])
    for _ in range(200):
        if far.names("put"):
            break
        time.sleep(0.01)
    assert far.names("put"), "a full pack is on its way"
    packer.add_many([])
    assert told == []
    assert packer.stored_bytes == 0
    far.gate.set()
    packer.finish()
    packs = {name.rpartition("/")[2] for name in bench.packs()}
    assert {pack.name for pack in told} == packs
    assert far.names("put")[-1].startswith("index/"), "the index comes after everything that it names"
    [index] = [item.name for item in bench.store.list("index")]
    indexed = decode_index(bench.maintenance, b"r" * 16, far.get(index))
    assert {pack.name for pack in indexed} == packs
    assert packer.stored_bytes == sum(item.size for item in bench.store.list(""))
    packer.close()


def test_what_is_on_its_way_is_bounded(bench: Any, far: FarStore, chunks: list[bytes]) -> None:
    """A store that takes nothing makes the writer wait, with three packs on their way and the open ones."""
    far.gate = threading.Event()
    packer = bench.packer()
    blobs = sealed(bench, chunks)
    added: list[int] = []

    def add() -> None:
        for blob in blobs:
            packer.add(blob)
            added.append(1)

    adding = threading.Thread(target=add)
    adding.start()
    adding.join(0.5)
    assert adding.is_alive()
    assert len(far.names("put")) == 3
    assert len(added) * CHUNK_BYTES <= 6 * packer_module.PACK_TARGET_BYTES + packer_module._SHUFFLE_BYTES
    assert len(open_files_in(bench.spool)) <= 6
    far.gate.set()
    adding.join(20)
    packer.finish()
    packer.close()
    assert open_files_in(bench.spool) == []


def count_of_puts(bench: Any, far: FarStore, chunks: list[bytes]) -> int:
    save(bench, chunks)
    return len(far.names("put"))


def test_an_error_of_any_put_comes_out_and_the_next_run_is_whole(
    bench: Any, far: FarStore, chunks: list[bytes], tmp_path: Path
) -> None:
    puts = count_of_puts(bench, far, chunks)
    assert puts > 8
    for k in range(1, puts + 1):
        spool = tmp_path / f"spool {k}"
        spool.mkdir()
        fresh = type(bench)(spool=spool)
        store = FarStore(fresh.store)
        fresh.store = store
        store.error_of = lambda kind, name, number, k=k: (  # type: ignore[misc]
            StoreFullError(f"fault {k}") if kind == "put" and number == k else None
        )
        with pytest.raises(StoreFullError, match=f"fault {k}"):
            save(fresh, chunks)
        assert not threads_named("snapstore-upload")
        assert open_files_in(spool) == []
        store.error_of = lambda kind, name, number: None
        stored = len(fresh.packs())
        with fresh.saver() as saver:
            hashes = saver.submit(chunks, shared=[False] * CHUNKS).result()
            saver.finish()
            assert saver.blobs_reused >= stored, "what was stored is found"
        reader = fresh.reader()
        assert [reader.load(item) for item in hashes] == chunks


def test_after_an_error_the_writer_is_broken(bench: Any, far: FarStore, chunks: list[bytes]) -> None:
    far.error_of = lambda kind, name, number: StoreError("refused") if kind == "put" else None
    packer = bench.packer()

    def add_all() -> None:
        for blob in sealed(bench, chunks):
            packer.add(blob)
        packer.finish()

    with pytest.raises(StoreError, match="refused"):
        add_all()
    with pytest.raises(BrokenWriterError):
        packer.add_many([])
    with pytest.raises(BrokenWriterError):
        packer.finish()
    packer.close()
    packer.close()
    assert bench.packs() == []
    assert open_files_in(bench.spool) == []


@pytest.mark.parametrize("there", [False, True], ids=["was not stored", "was stored"])
@pytest.mark.parametrize("what", ["packs", "index"])
def test_an_uncertain_put_is_done_again_under_a_new_name(
    bench: Any, far: FarStore, chunks: list[bytes], there: bool, what: str
) -> None:
    kind_of_error = AfterEffect if there else StoreError
    seen: list[str] = []

    def error_of(kind: str, name: str, number: int) -> BaseException | None:
        if kind == "put" and name.startswith(what) and len(seen) < 2:
            seen.append(name)
            return kind_of_error("the answer was lost", code="put_uncertain")
        return None

    far.error_of = error_of
    with bench.saver() as saver:
        hashes = saver.submit(chunks[:4], shared=[False] * 4).result()
        saver.finish()
    names = far.names("put", what)
    assert len(names) == len(set(names)) == 3, "no name is put twice"
    leaf = [name.rpartition("/")[2] for name in names]
    assert len({name[:26] for name in leaf}) == 1 or what == "index"
    assert len(list(far.list(what))) == (3 if there else 1)
    reader = bench.reader()
    assert [reader.load(item) for item in hashes] == chunks[:4]


def test_what_stays_uncertain_is_an_error(bench: Any, far: FarStore, chunks: list[bytes]) -> None:
    far.error_of = lambda kind, name, number: (
        StoreError("the answer was lost", code="put_uncertain") if kind == "put" else None
    )
    with pytest.raises(StoreError, match="the answer was lost"):
        save(bench, chunks[:4])
    assert len(set(far.names("put"))) == 3


def test_leaving_calls_uploads_off(bench: Any, far: FarStore, chunks: list[bytes]) -> None:
    """A put that reads its file in steps ends at the next of them, and the one that waits ends with the store."""
    far.gate = threading.Event()

    class CalledOffError(Exception):
        pass

    timer = threading.Timer(0.3, far.gate.set)  # the store's time-out

    def leave_early() -> None:
        with bench.saver() as saver:
            for chunk in chunks[:20]:
                saver.submit([chunk], shared=[False])
            while len(far.names("put")) < 2:
                time.sleep(0.005)
            timer.start()
            raise CalledOffError

    with pytest.raises(CalledOffError):
        leave_early()
    timer.join()
    assert bench.packs() == [], "the file would not be read any more"
    assert open_files_in(bench.spool) == []


def test_called_off_is_asked_before_each_read() -> None:
    uploads = Uploads(4)
    begun = threading.Event()

    def put() -> None:
        begun.set()
        while True:
            uploads.go_on()
            time.sleep(0.001)

    told: list[None] = []
    uploads.begin(put, told.append)
    assert begun.wait(5)
    uploads.look()
    uploads.close()
    assert told == []
    with pytest.raises(OperationCancelledError):
        uploads.go_on()


def test_closing_does_not_wait_for_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "_CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(uploading, "_LOOK_SECONDS", 0.05)
    uploads = Uploads(4)
    begun, answer = threading.Event(), threading.Event()

    def put() -> None:
        begun.set()
        assert answer.wait(20)

    told: list[None] = []
    uploads.begin(put, told.append)
    assert begun.wait(5)
    [hanging] = threads_named("snapstore-upload")
    uploads.close()
    assert not answer.is_set()
    assert hanging.daemon, "the program may end"
    answer.set()
    hanging.join(20)
    assert not hanging.is_alive()
    assert told == []


@pytest.mark.parametrize("step", ["begin another", "wait for all"])
def test_a_cancel_ends_the_waiting_for_packs_and_their_reading(step: str) -> None:
    cancelled = threading.Event()
    uploads = Uploads(1, cancelled.is_set)

    def put() -> None:
        while True:
            uploads.go_on()
            time.sleep(0.001)

    uploads.begin(put, lambda result: None)
    timer = threading.Timer(0.05, cancelled.set)
    timer.start()
    with pytest.raises(OperationCancelledError):
        uploads.wait() if step == "wait for all" else uploads.begin(put, lambda result: None)
    uploads.close()
    timer.join()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(2), MemoryError(), StopIteration()])
def test_no_error_of_a_thread_is_lost(error: BaseException) -> None:
    def put() -> None:
        raise error

    uploads = Uploads(4)
    uploads.begin(put, lambda result: None)
    with pytest.raises(type(error)) as raised:
        uploads.wait()
    assert raised.value is error
    uploads.close()


def test_results_are_told_in_the_callers_thread_and_waited_for_when_full() -> None:
    uploads = Uploads(4)
    told: list[tuple[int, threading.Thread]] = []
    gate = threading.Event()

    def tell(number: int) -> None:
        told.append((number, threading.current_thread()))

    def waiting(number: int) -> int:
        gate.wait()
        return number

    for number in range(3):
        uploads.begin(partial(waiting, number), tell)
    uploads.look()
    assert told == []
    threading.Timer(0.05, gate.set).start()
    uploads.begin(partial(waiting, 3), tell)
    assert told, "there was room only after one had ended"
    uploads.wait()
    assert sorted(n for n, _ in told) == [0, 1, 2, 3]
    assert {thread for _, thread in told} == {threading.current_thread()}
    uploads.close()


def test_a_spool_that_fails_is_the_stations(bench: Any, far: FarStore, chunks: list[bytes]) -> None:
    far.error_of = lambda kind, name, number: OSError(28, "No space left on device") if kind == "put" else None
    with pytest.raises(StationStateError):
        save(bench, chunks)


def test_a_spool_that_lies_stores_nothing(
    bench: Any, far: FarStore, chunks: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    flipped = packer_module.SpooledBuilder.write

    def write(self: Any, data: Any) -> None:
        flipped(self, bytes(data[:-1]) + bytes([data[-1] ^ 1]) if data else data)

    monkeypatch.setattr(packer_module.SpooledBuilder, "write", write)
    with pytest.raises(DamagedObjectError):
        save(bench, chunks)
    assert bench.packs() == []


def test_memory_stays_flat_while_the_store_is_slow(bench: Any, tmp_path: Path, make_noise: Any) -> None:
    far = FarStore(LocalStore(tmp_path / "far", create=True), seconds=0.02)
    bench.store = far
    one = sealed(bench, [make_noise(CHUNK_BYTES, 1)])[0]
    packer = bench.packer()
    packer.add_many([one] * 40)
    tracemalloc.start()
    try:
        for _ in range(20):
            packer.add_many([one] * 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    packer.finish()
    packer.close()
    assert peak < 12 * packer_module.PACK_TARGET_BYTES + 2_000_000
    assert len(far.names("put")) > 60


def sealed(bench: Any, chunks: list[bytes]) -> list[Any]:
    sealer = bench.sealer(verify=False)
    domain = sealer.domain(shared=False)
    return [sealer.seal_data(chunk, domain.hash(chunk), shared=False) for chunk in chunks]


def test_a_caller_who_waits_for_uploads_is_asked_now_and_then(bench: Any, far: FarStore, chunks: list[bytes]) -> None:
    gate = far.gate = threading.Event()
    asked = []

    def meanwhile() -> None:
        asked.append(gate.is_set())
        if len(asked) == 2:
            gate.set()

    with bench.saver() as saver:
        hashes = saver.submit(chunks[:3], shared=[False] * 3).result()
        saver.finish(meanwhile)
    assert asked[:2] == [False, False]
    assert bench.reader().load(hashes[0]) == chunks[0]


def test_a_caller_who_waits_for_uploads_may_end_it(bench: Any, far: FarStore, chunks: list[bytes]) -> None:
    gate = far.gate = threading.Event()

    def meanwhile() -> None:
        gate.set()
        raise OperationCancelledError("enough")

    with bench.saver() as saver:
        saver.submit(chunks[:3], shared=[False] * 3).result()
        with pytest.raises(OperationCancelledError):
            saver.finish(meanwhile)
