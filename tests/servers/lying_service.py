"""An HTTP service that answers for another one: mostly with what that says, and sometimes with what it does not.

    with LyingService(server.port) as liar:
        liar.answer("GET", 503, "<Error><Code>SlowDown</Code></Error>", when="list-type")
        ...  # use the server at 127.0.0.1:liar.port
        liar.drop_answer("PUT")  # the request is passed on, and its answer is lost

Here: lies that speak HTTP. Not here: faults of the network, which know no protocol (wire_faults.py).

Rules: a rule holds for `times` requests of its method whose path and query contain `when`; the first that fits is
taken. What is passed on is passed on as it is, so that signatures hold.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Forward = Callable[[], tuple[int, Mapping[str, str], bytes]]
"""Passes a request on and gives the answer: status, headers, body."""


@dataclass(kw_only=True)
class Lie:
    """What is answered instead."""

    method: str
    when: str
    times: int
    act: Callable[[Forward], tuple[int, Mapping[str, str], bytes] | None]
    """None closes the connection without an answer."""
    shorten: bool = False
    """Only half of the body is passed on."""


class LyingService:
    """A context manager; `port` is where it listens on loopback, `seen` what was asked for: method, path and query."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._lies: list[Lie] = []
        self._lock = threading.Lock()
        self.seen: list[tuple[str, str]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return lambda: service._handle(self)
                raise AttributeError(name)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def answer(
        self,
        method: str,
        status: int,
        body: str | bytes = "",
        *,
        when: str = "",
        times: int = 1 << 30,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer this and pass nothing on."""
        content = body.encode() if isinstance(body, str) else body
        self.act(method, lambda _: (status, headers or {}, content), when=when, times=times)

    def drop_answer(self, method: str, *, when: str = "", times: int = 1) -> None:
        """Pass the request on, and close the connection without an answer."""

        def act(forward: Forward) -> None:
            forward()

        self.act(method, act, when=when, times=times)

    def shorten(self, method: str, *, when: str = "", times: int = 1 << 30) -> None:
        """Pass on half of the body, and answer as if it had been all of it."""
        with self._lock:
            lie = Lie(method=method, when=when, times=times, act=lambda forward: forward(), shorten=True)
            self._lies.append(lie)

    def act(
        self,
        method: str,
        act: Callable[[Forward], tuple[int, Mapping[str, str], bytes] | None],
        *,
        when: str = "",
        times: int = 1 << 30,
    ) -> None:
        """Do anything."""
        with self._lock:
            self._lies.append(Lie(method=method, when=when, times=times, act=act))

    def tell_the_truth(self) -> None:
        """Forget all lies."""
        with self._lock:
            self._lies.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _lie_for(self, method: str, path: str) -> Lie | None:
        with self._lock:
            self.seen.append((method, path))
            for lie in self._lies:
                if lie.times and lie.method == method and lie.when in path:
                    lie.times -= 1
                    return lie
        return None

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        lie = self._lie_for(request.command, request.path)
        sent = body[: len(body) // 2] if lie and lie.shorten else body

        def forward() -> tuple[int, Mapping[str, str], bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", self._target_port, timeout=30)
            with contextlib.closing(connection):
                connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
                for name, text in request.headers.items():
                    connection.putheader(name, str(len(sent)) if name.lower() == "content-length" else text)
                connection.endheaders(sent)
                answer = connection.getresponse()
                return answer.status, dict(answer.getheaders()), answer.read()

        answer = lie.act(forward) if lie else forward()
        if answer is None:
            request.close_connection = True
            return
        status, headers, content = answer
        request.send_response_only(status)
        for name, text in headers.items():
            if name.lower() not in {"connection", "transfer-encoding", "keep-alive"}:
                request.send_header(name, text)
        if not any(name.lower() == "content-length" for name in headers):
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command == "HEAD":
            return
        request.wfile.write(content)
        request.wfile.flush()
        announced = next((text for name, text in headers.items() if name.lower() == "content-length"), "0")
        if len(content) < int(announced):
            request.close_connection = True  # the rest never comes
