"""What a service of object storage may answer in the middle of things, and what must come of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from lying_service import Forward, LyingService
from object_servers import SECRET_KEY, ObjectServer
from server import free_port
from wire_faults import FaultyWire

from snapstore.errors import (
    InputError,
    ObjectNotFoundError,
    StoreError,
    StoreFullError,
    StorePermissionError,
    StoreUnavailableError,
)
from snapstore.stores.objects.store import ObjectStorageStore

OpenStore = Callable[..., ObjectStorageStore]
PAGE = "<html><body><h1>Please log in</h1></body></html>"
BUSY = "<Error><Code>SlowDown</Code></Error>"
LARGE = bytes(300_000)  # too large to be read back


def error(code: str) -> str:
    return f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>"


def fails(kind: type[StoreError], code: str, work: Callable[[], object], *, retryable: bool) -> StoreError:
    """The error that some work fails with, which has nothing in it that should not be seen."""
    with pytest.raises(kind) as caught:
        work()
    shown = "".join(traceback.format_exception(caught.value))
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "obstore" not in type(chain).__module__
        assert "AKIA" not in str(chain)
        chain = chain.__context__
    assert SECRET_KEY not in shown
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    return caught.value


class TestPut:
    @pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
    def test_a_lost_answer_is_told_as_such(self, open_store: OpenStore, liar: LyingService, content: bytes) -> None:
        liar.drop_answer("PUT")
        store = open_store(liar.port)
        fails(StoreError, "put_uncertain", lambda: store.put("packs/a/lost", content), retryable=False)
        assert [method for method, _ in liar.seen].count("PUT") == 1  # never sent twice
        store.put("packs/a/other", content)
        assert store.get("packs/a/other") == content

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_a_failure_of_the_service_leaves_it_uncertain(
        self, open_store: OpenStore, liar: LyingService, status: int
    ) -> None:
        # A server cannot pretend that nothing was sent.
        liar.answer("PUT", status, "\n\nDebug source:\nHttpError {\n    kind: Connect,\n legacy::Error(\n Connect,")
        store = open_store(liar.port)
        fails(StoreError, "put_uncertain", lambda: store.put("packs/a/lost", b"x"), retryable=False)

    def test_a_busy_service_has_stored_nothing(self, open_store: OpenStore, liar: LyingService) -> None:
        liar.answer("PUT", 503, BUSY, times=1)
        store = open_store(liar.port)
        fails(StoreUnavailableError, "store_unavailable", lambda: store.put("packs/a/x", b"x"), retryable=True)
        store.put("packs/a/x", b"x")
        assert store.get("packs/a/x") == b"x"

    def test_a_connection_lost_before_the_put_may_be_tried_again(
        self, open_store: OpenStore, server: ObjectServer
    ) -> None:
        with FaultyWire(server.port) as wire:
            store = open_store(wire.port)
            wire.reset_at(burst=wire.counts.bursts + 1)
            fails(StoreUnavailableError, "connection_lost", lambda: store.put("packs/a/x", b"x"), retryable=True)
            store.put("packs/a/x", b"x")
            assert store.get("packs/a/x") == b"x"

    def test_a_connection_lost_in_the_middle_of_the_put_leaves_it_uncertain(
        self, open_store: OpenStore, server: ObjectServer
    ) -> None:
        with FaultyWire(server.port) as wire:
            store = open_store(wire.port)
            wire.reset_after_bytes(200_000)
            fails(StoreError, "put_uncertain", lambda: store.put("packs/a/x", LARGE), retryable=False)
            store.put("packs/a/y", LARGE)

    def test_a_server_that_is_away_may_be_tried_again(self, open_store: OpenStore, server: ObjectServer) -> None:
        fails(StoreUnavailableError, "store_unavailable", lambda: open_store(free_port()), retryable=True)
        with FaultyWire(server.port) as wire:
            store = open_store(wire.port)
            wire.refuse()
            wire.reset_now()
            time.sleep(0.1)
            for work in (lambda: store.put("packs/a/x", b"x"), lambda: store.get("a/x"), lambda: list(store.list(""))):
                fails(StoreUnavailableError, "store_unavailable", work, retryable=True)
            wire.heal()
            store.put("packs/a/x", b"x")

    def test_an_upload_cut_short_and_reported_as_success_is_found(
        self, open_store: OpenStore, liar: LyingService
    ) -> None:
        short = {"ETag": '"x"', "Last-Modified": "Sun, 22 Nov 2026 08:00:00 GMT", "Content-Length": "299999"}
        liar.answer("HEAD", 404, times=1)
        liar.answer("HEAD", 200, headers=short, times=1)
        store = open_store(liar.port)
        fails(StoreError, "store_read_back_differs", lambda: store.put("packs/a/x", LARGE), retryable=False)
        assert list(store.list("packs")) == []

    def test_a_small_object_that_reads_back_otherwise_is_found(self, open_store: OpenStore, liar: LyingService) -> None:
        def altered(forward: Forward) -> tuple[int, Mapping[str, str], bytes]:
            status, headers, body = forward()
            return status, headers, body.replace(b"content", b"cOntent")

        liar.act("GET", altered, when="/packs/a/x")
        store = open_store(liar.port)
        fails(StoreError, "store_read_back_differs", lambda: store.put("packs/a/x", b"content"), retryable=False)
        assert list(store.list("packs")) == []

    def test_a_success_that_stored_nothing_is_found(self, open_store: OpenStore, liar: LyingService) -> None:
        liar.answer("PUT", 200, headers={"ETag": '"x"'})
        store = open_store(liar.port)
        fails(StoreError, "store_read_back_differs", lambda: store.put("packs/a/x", b"x"), retryable=False)
        fails(StoreError, "store_read_back_differs", lambda: store.put("packs/a/y", LARGE), retryable=False)

    def test_a_check_without_an_answer_leaves_it_uncertain(self, open_store: OpenStore, liar: LyingService) -> None:
        liar.answer("GET", 500, when="/packs/a/x")
        store = open_store(liar.port)
        fails(StoreError, "put_uncertain", lambda: store.put("packs/a/x", b"x"), retryable=False)

    @pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (400, "InvalidArgument")])
    def test_a_service_that_knows_no_conditions_is_asked_without(
        self, open_store: OpenStore, liar: LyingService, status: int, code: str
    ) -> None:
        liar.answer("PUT", status, error(code), times=1)
        store = open_store(liar.port)
        store.put("packs/a/x", b"x")
        store.put("packs/a/y", b"y")
        assert store.get("packs/a/x") == b"x"
        assert [method for method, _ in liar.seen].count("PUT") == 3  # it is asked once only
        with pytest.raises(InputError):
            store.put("packs/a/x", b"z")

    @pytest.mark.parametrize(
        ("status", "code"), [(507, "InsufficientStorage"), (403, "QuotaExceeded"), (503, "XMinioStorageFull")]
    )
    def test_a_full_service_is_told_as_such(
        self, open_store: OpenStore, liar: LyingService, status: int, code: str
    ) -> None:
        liar.answer("PUT", status, error(code))
        store = open_store(liar.port)
        fails(StoreFullError, "store_full", lambda: store.put("packs/a/x", b"x"), retryable=False)


class TestList:
    @pytest.fixture
    def store(self, open_store: OpenStore, liar: LyingService) -> ObjectStorageStore:
        open_store().put("packs/a/there", b"x")
        return open_store(liar.port)

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_failure_may_be_tried_again(self, store: ObjectStorageStore, liar: LyingService, status: int) -> None:
        liar.answer("GET", status, BUSY, when="list-type", times=1)
        fails(StoreUnavailableError, "store_unavailable", lambda: list(store.list("packs")), retryable=True)
        assert len(list(store.list("packs"))) == 1

    def test_one_without_an_end_is_broken_off(self, store: ObjectStorageStore, monkeypatch: pytest.MonkeyPatch) -> None:
        store.put("packs/a/more", b"x")
        monkeypatch.setattr("snapstore.stores.objects.store.LISTING_MAX_NAMES", 1)
        fails(StoreError, "listing_endless", lambda: list(store.list("packs")), retryable=False)

    @pytest.mark.parametrize("status", [200, 302, 404])
    def test_what_is_no_listing_is_never_an_empty_one(
        self, store: ObjectStorageStore, liar: LyingService, status: int
    ) -> None:
        liar.answer("GET", status, PAGE)
        liar.answer("HEAD", status, PAGE)
        with pytest.raises(StoreError):
            list(store.list("packs"))

    def test_a_page_instead_of_a_listing_is_told_as_such(self, store: ObjectStorageStore, liar: LyingService) -> None:
        liar.answer("GET", 200, PAGE)
        liar.answer("HEAD", 200, PAGE)
        fails(StoreUnavailableError, "answer_not_understood", lambda: list(store.list("packs")), retryable=True)

    @pytest.mark.parametrize("kept", [0, 100, -20])
    def test_a_listing_cut_short_in_good_order(self, store: ObjectStorageStore, liar: LyingService, kept: int) -> None:
        def cut(forward: Forward) -> tuple[int, Mapping[str, str], bytes]:
            status, _, body = forward()
            return status, {}, body[:kept]

        liar.act("GET", cut, when="list-type", times=1)
        fails(StoreUnavailableError, "answer_not_understood", lambda: list(store.list("packs")), retryable=True)
        assert len(list(store.list("packs"))) == 1

    def test_a_listing_that_breaks_off(self, open_store: OpenStore, server: ObjectServer) -> None:
        open_store().put("packs/a/there", b"x")
        with FaultyWire(server.port) as wire:
            store = open_store(wire.port)
            wire.cut_answers_after(300)
            fails(StoreUnavailableError, "connection_lost", lambda: list(store.list("packs")), retryable=True)
            assert len(list(store.list("packs"))) == 1

    @pytest.mark.parametrize(
        ("status", "code", "expected"),
        [
            (403, "AccessDenied", "store_permission"),
            (403, "InvalidAccessKeyId", "login_refused"),
            (403, "SignatureDoesNotMatch", "login_refused"),
            (400, "ExpiredToken", "login_refused"),
            (403, "RequestTimeTooSkewed", "clock_skewed"),
        ],
    )
    def test_refusals(
        self, store: ObjectStorageStore, liar: LyingService, status: int, code: str, expected: str
    ) -> None:
        liar.answer("GET", status, error(code))
        liar.answer("HEAD", status)
        for work in (
            lambda: list(store.list("packs")),
            lambda: store.get("packs/a/there"),
            lambda: store.put("packs/a/x", b"x"),
            lambda: store.delete("packs/a/there"),
        ):
            caught = fails(StorePermissionError, expected, work, retryable=False)
            assert ("clock" in str(caught)) == (code in {"RequestTimeTooSkewed", "AccessDenied"})

    def test_another_region_is_named(self, store: ObjectStorageStore, liar: LyingService) -> None:
        body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>"
        liar.answer("GET", 400, body)
        caught = fails(StoreError, "region_wrong", lambda: list(store.list("")), retryable=False)
        assert "region=eu-west-3" in str(caught)


class TestGetAndDelete:
    def test_a_body_cut_short_is_never_given(self, open_store: OpenStore, server: ObjectServer) -> None:
        content = os.urandom(200_000)
        open_store().put("packs/a/x", content)
        with FaultyWire(server.port) as wire:
            store = open_store(wire.port)
            for size in (None, 150_000):
                wire.cut_answers_after(100_000)
                work = lambda size=size: store.get("packs/a/x", size=size)  # noqa: E731
                fails(StoreUnavailableError, "connection_lost", work, retryable=True)
            assert store.get("packs/a/x") == content

    def test_a_range_that_is_not_kept_is_never_given(self, open_store: OpenStore, liar: LyingService) -> None:
        store = open_store(liar.port)
        store.put("packs/a/x", b"0123456789")
        headers = {"ETag": '"x"', "Last-Modified": "Sun, 22 Nov 2026 08:00:00 GMT"}
        liar.answer("GET", 200, b"0123456789", headers=headers, when="/packs/a/x")
        with pytest.raises(StoreUnavailableError):
            store.get("packs/a/x", offset=2, size=3)

    def test_failures_of_the_service_may_be_tried_again(self, open_store: OpenStore, liar: LyingService) -> None:
        store = open_store(liar.port)
        store.put("packs/a/x", b"x")
        liar.answer("HEAD", 500, times=1)
        fails(StoreUnavailableError, "store_unavailable", lambda: store.delete("packs/a/x"), retryable=True)
        liar.answer("DELETE", 503, BUSY, times=1)
        fails(StoreUnavailableError, "store_unavailable", lambda: store.delete("packs/a/x"), retryable=True)
        liar.answer("GET", 503, BUSY, times=1)
        fails(StoreUnavailableError, "store_unavailable", lambda: store.get("packs/a/x"), retryable=True)
        store.delete("packs/a/x")
        with pytest.raises(ObjectNotFoundError):
            store.delete("packs/a/x")

    def test_a_delete_without_effect_is_found(self, open_store: OpenStore, liar: LyingService) -> None:
        store = open_store(liar.port)
        store.put("packs/a/x", b"x")
        liar.answer("DELETE", 204)
        fails(StoreError, "delete_without_effect", lambda: store.delete("packs/a/x"), retryable=False)

    def test_a_server_that_says_nothing(self, open_store: OpenStore, server: ObjectServer) -> None:
        with FaultyWire(server.port) as wire:
            store = open_store(wire.port, answer_timeout_seconds=0.4)
            store.put("packs/a/x", b"x")
            wire.stall()
            begun = time.monotonic()
            for work in (lambda: store.get("packs/a/x"), lambda: list(store.list("")), lambda: store.put("a/y", b"x")):
                fails(StoreUnavailableError, "store_timeout", work, retryable=True)
            assert time.monotonic() - begun < 5
            wire.heal()
            assert store.get("packs/a/x") == b"x"

    def test_an_interruption_is_heard(self, open_store: OpenStore, server: ObjectServer) -> None:
        if os.name == "nt":
            pytest.skip("a process cannot interrupt itself there without its console's others")
        with FaultyWire(server.port) as wire:
            store = open_store(wire.port)
            store.put("packs/a/x", b"x")
            wire.stall()
            begun = time.monotonic()
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            with pytest.raises(KeyboardInterrupt):
                store.get("packs/a/x")
            assert time.monotonic() - begun < 5
            wire.heal()
            assert store.get("packs/a/x") == b"x"

    def test_a_put_that_is_not_answered_in_time(self, open_store: OpenStore, liar: LyingService) -> None:
        def slowly(forward: Forward) -> tuple[int, Mapping[str, str], bytes]:
            time.sleep(3)
            return forward()

        liar.act("PUT", slowly)
        store = open_store(liar.port, answer_timeout_seconds=0.2, connect_timeout_seconds=0.2)
        fails(StoreError, "put_uncertain", lambda: store.put("packs/a/x", b"x"), retryable=False)

    def test_a_server_killed_and_started_again(self, open_store: OpenStore, server: ObjectServer) -> None:
        if not server.restart_keeps_objects:
            pytest.skip(f"{server.name} keeps its objects in memory")
        store = open_store()
        store.put("packs/a/x", b"content")
        server.stop()
        try:
            fails(StoreUnavailableError, "store_unavailable", lambda: store.get("packs/a/x"), retryable=True)
        finally:
            server.start()
        assert store.get("packs/a/x") == b"content"


def test_a_forked_process_gets_an_error_and_does_not_hang(
    open_store: OpenStore, server: ObjectServer, place: str, tmp_path: Path
) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    open_store().put("packs/a/x", b"x")
    script = tmp_path / "forking.py"
    script.write_text(
        f"""
import os
from snapstore.errors import StoreError
from snapstore.stores.address import RemoteAddress
from snapstore.stores.objects.store import ObjectStorageStore
from snapstore.stores.options import StoreOptions

store = ObjectStorageStore(RemoteAddress.parse({server.url(place)!r}), StoreOptions())
assert store.get("packs/a/x") == b"x"
child = os.fork()
if not child:
    try:
        store.get("packs/a/x")
    except StoreError as error:
        os._exit(7 if error.code == "store_after_fork" else 8)
    os._exit(9)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert store.get("packs/a/x") == b"x"  # and the end is reached without closing it
""",
        encoding="utf-8",
    )
    root = str(Path(__file__).resolve().parents[4])
    subprocess.run([sys.executable, script], check=True, timeout=30, env={**os.environ, "PYTHONPATH": root})
