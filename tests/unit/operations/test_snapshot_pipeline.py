"""The pipeline keeps order whatever order workers finish in, waits no longer than it must, and is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Timer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.limits import BATCH_BYTES, BATCH_ITEMS, MIB, PENDING_BYTES
from snapstore.operations.snapshot.pipeline import ChunkRef, Pipeline
from snapstore.types import PlainHash


class Workers:
    """Takes batches as a `BlobSaver` does, and finishes each when the test says so."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.at_once = at_once
        self.batches: list[tuple[Sequence[bytes], Future[list[PlainHash]]]] = []

    def submit(self, chunks: Sequence[bytes], *, shared: Sequence[bool]) -> Future[list[PlainHash]]:
        assert len(chunks) == len(shared)
        self.batches.append((chunks, Future()))
        if self.at_once:
            self.finish(len(self.batches) - 1)
        return self.batches[-1][1]

    def finish(self, number: int) -> None:
        chunks, future = self.batches[number]
        future.set_result([PlainHash(b"h of " + chunk[:10]) for chunk in chunks])

    def pipeline(self) -> Pipeline:
        return Pipeline(self)  # type: ignore[arg-type]  # it needs no more of a saver


def full_batch(pipeline: Pipeline, mark: bytes) -> ChunkRef:
    return pipeline.add_chunk(mark.ljust(BATCH_BYTES, b"."), shared=False)


def test_actions_run_in_the_order_given_whatever_is_hashed_first() -> None:
    workers, ran = Workers(), []
    pipeline = workers.pipeline()
    references = [full_batch(pipeline, bytes([65 + number])) for number in range(3)]
    pipeline.then(lambda: ran.append("second needs 1"), [references[1]])
    pipeline.then(lambda: ran.append("needs nothing"))
    pipeline.then(lambda: ran.append("needs 0"), [references[0]])
    pipeline.then(lambda: ran.append("needs 2"), [references[2]])
    workers.finish(1)
    workers.finish(2)
    full_batch(pipeline, b"D")
    assert ran == []
    workers.finish(0)
    full_batch(pipeline, b"E")
    assert ran == ["second needs 1", "needs nothing", "needs 0", "needs 2"]
    assert [reference.plain_hash for reference in references] == [
        b"h of " + mark + b"." * 9 for mark in (b"A", b"B", b"C")
    ]


def test_an_action_that_needs_nothing_runs_at_once_if_nothing_waits() -> None:
    workers, ran = Workers(), []
    pipeline = workers.pipeline()
    pipeline.then(lambda: ran.append(1))
    assert ran == [1]
    reference = pipeline.add_chunk(b"a", shared=False)
    pipeline.then(lambda: ran.append(2), [reference])
    pipeline.then(lambda: ran.append(3))
    assert ran == [1]
    workers.at_once = True
    pipeline.drain()
    assert ran == [1, 2, 3]
    pipeline.then(lambda: ran.append(4), [reference])
    assert ran == [1, 2, 3, 4]


def test_a_batch_is_full_by_bytes_or_by_count() -> None:
    workers = Workers(at_once=True)
    pipeline = workers.pipeline()
    for _ in range(BATCH_ITEMS + 1):
        pipeline.add_chunk(b"a", shared=False)
    full_batch(pipeline, b"b")
    full_batch(pipeline, b"c")
    assert [len(chunks) for chunks, _ in workers.batches] == [BATCH_ITEMS, 2, 1]


def test_waiting_for_a_chunk_sends_what_is_gathered() -> None:
    workers = Workers(at_once=True)
    pipeline = workers.pipeline()
    reference = pipeline.add_chunk(b"a", shared=True)
    assert workers.batches == []
    pipeline.wait_for(reference)
    assert reference.plain_hash == b"h of a"
    assert reference.size == 1
    pipeline.wait_for(reference)
    assert len(workers.batches) == 1


def test_what_waits_is_bounded() -> None:
    workers, ran = Workers(), []
    pipeline = workers.pipeline()
    most = PENDING_BYTES // BATCH_BYTES
    for number in range(most):
        full_batch(pipeline, bytes([number]))
    timers = [Timer(0.01, workers.finish, [number]) for number in range(most)]
    for timer in timers:
        timer.start()
    for number in range(most):
        full_batch(pipeline, bytes([number]))
        assert sum(not future.done() for _, future in workers.batches) <= most
    for timer in timers:
        timer.join()
    workers.at_once = True
    for number in range(most, len(workers.batches)):
        workers.finish(number)
    reference = pipeline.add_chunk(b"z", shared=False)
    for number in range(10_000):
        pipeline.then(lambda number=number: ran.append(number), [reference])  # type: ignore[misc]
    assert len(ran) > 5000
    pipeline.drain()
    assert ran == list(range(10_000))


def test_what_actions_hold_is_bounded_though_no_batch_is_ever_full() -> None:
    workers, ran = Workers(at_once=True), []
    pipeline = workers.pipeline()
    reference = pipeline.add_chunk(b"small", shared=False)
    pipeline.then(lambda: ran.append(-1), [reference], weight=1)
    for number in range(3):
        pipeline.then(lambda number=number: ran.append(number), weight=MIB)  # type: ignore[misc]
    assert ran == []
    pipeline.then(lambda: ran.append(3), weight=MIB)
    assert ran == [-1, 0, 1, 2, 3]
    assert len(workers.batches) == 1
    again = pipeline.add_chunk(b"again", shared=False)
    pipeline.then(lambda: ran.append(4), [again], weight=MIB)
    assert ran[-1] == 3, "what has run weighs nothing"


def test_draining_sees_every_worker_done() -> None:
    """Also those whose chunks no action needs: the first reading of a file that changed meanwhile."""
    workers, ran = Workers(), []
    pipeline = workers.pipeline()
    needed = full_batch(pipeline, b"needed")
    pipeline.then(lambda: ran.append(1), [needed])
    full_batch(pipeline, b"not needed")
    pipeline.add_chunk(b"not even sent", shared=False)
    workers.finish(0)
    timer = Timer(0.05, workers.finish, [1])
    timer.start()
    pipeline.drain()
    assert ran == [1]
    assert [future.done() for _, future in workers.batches] == [True, True]
    timer.join()


def test_an_error_of_a_worker_that_nobody_needs_comes_out_at_the_end() -> None:
    workers = Workers()
    pipeline = workers.pipeline()
    full_batch(pipeline, b"a")
    workers.batches[0][1].set_exception(OSError("disk"))
    with pytest.raises(OSError, match="disk"):
        pipeline.drain()


def test_actions_may_give_chunks_and_actions_themselves() -> None:
    workers, ran = Workers(at_once=True), []
    pipeline = workers.pipeline()

    def first() -> None:
        ran.append("first")
        reference = full_batch(pipeline, b"inner")
        pipeline.then(lambda: ran.append("inner " + str(reference.size)), [reference])
        pipeline.then(lambda: ran.append("last"))

    reference = pipeline.add_chunk(b"a", shared=False)
    pipeline.then(first, [reference])
    pipeline.then(lambda: ran.append("second"), [reference])
    pipeline.drain()
    assert ran == ["first", "second", f"inner {BATCH_BYTES}", "last"]


def test_an_action_may_drain() -> None:
    workers, ran = Workers(at_once=True), []
    pipeline = workers.pipeline()
    reference = pipeline.add_chunk(b"a", shared=False)
    pipeline.then(pipeline.drain, [reference])
    pipeline.then(lambda: ran.append("after"), [reference])
    pipeline.drain()
    assert ran == ["after"]


def test_an_error_of_a_worker_comes_out() -> None:
    workers = Workers()
    pipeline = workers.pipeline()
    reference = full_batch(pipeline, b"a")
    pipeline.then(lambda: None, [reference])
    workers.batches[0][1].set_exception(OSError("disk"))
    with pytest.raises(OSError, match="disk"):
        pipeline.drain()
    with pytest.raises(OSError, match="disk"):
        _ = reference.plain_hash


def _finish_what_would_be_awaited(workers: Workers) -> None:
    """Nobody else does: adding a batch waits for the oldest once PENDING_BYTES are under way."""
    for number, (_, future) in enumerate(workers.batches):
        if not future.done() and len(workers.batches) - number >= PENDING_BYTES // BATCH_BYTES - 1:
            workers.finish(number)


@given(st.data())
def test_any_mixture_keeps_order_and_has_its_hashes(data: st.DataObject) -> None:
    workers, ran = Workers(), []
    pipeline = workers.pipeline()
    references: list[ChunkRef] = []
    unfinished: list[int] = []
    given_count = 0
    for step in data.draw(st.lists(st.sampled_from(["chunk", "batch", "then", "finish"]), max_size=60)):
        if step == "chunk":
            references.append(pipeline.add_chunk(bytes([len(references)]), shared=False))
        elif step == "batch":
            _finish_what_would_be_awaited(workers)
            references.append(full_batch(pipeline, bytes([len(references)])))
        elif step == "then":
            needs = data.draw(st.lists(st.sampled_from(references), max_size=3)) if references else []

            def act(number: int = given_count, needs: Any = tuple(needs)) -> None:
                assert all(need.batch.future.done() and need.plain_hash for need in needs)
                ran.append(number)

            pipeline.then(act, needs)
            given_count += 1
        unfinished = [number for number, (_, future) in enumerate(workers.batches) if not future.done()]
        if step == "finish" and unfinished:
            workers.finish(data.draw(st.sampled_from(unfinished)))
        assert ran == list(range(len(ran)))
    for number in [number for number, (_, future) in enumerate(workers.batches) if not future.done()]:
        workers.finish(number)
    workers.at_once = True
    pipeline.drain()
    assert ran == list(range(given_count))
