"""The broken network of the tests does what it says: otherwise the faults that stores survive were none."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest
from wire_faults import FaultyFtpWire, FaultyWire

PATIENCE_SECONDS = 5.0


class Echo(socketserver.BaseRequestHandler):
    """Says every line again, followed by a full stop."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(1 << 16):
                self.request.sendall(data + b".")


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that echoes."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def wire(echo: int) -> Iterator[FaultyWire]:
    with FaultyWire(echo) as wire:
        yield wire


def connect(wire: FaultyWire) -> socket.socket:
    return socket.create_connection((wire.host, wire.port), timeout=PATIENCE_SECONDS)


def ask(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    answer = b""
    while not answer.endswith(b"."):
        part = client.recv(1 << 16)
        if not part:
            break
        answer += part
    return answer


def test_a_healthy_wire_passes_all_and_counts_it(wire: FaultyWire) -> None:
    with connect(wire) as first, connect(wire) as second:
        for client in (first, second, first):
            assert ask(client, b"x" * 100) == b"x" * 100 + b"."
    counts = wire.count_anew()
    assert (counts.connections, counts.bursts, counts.bytes_up, counts.bytes_down) == (2, 3, 300, 303)
    assert counts.dependent_trips == 3
    assert wire.counts.bursts == 0


def test_an_end_is_passed_on(wire: FaultyWire) -> None:
    with connect(wire) as client:
        ask(client, b"a")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def test_the_chosen_burst_is_reset_and_later_ones_pass(wire: FaultyWire) -> None:
    wire.reset_at(burst=2)
    with connect(wire) as client:
        assert ask(client, b"one") == b"one."
        with pytest.raises(ConnectionResetError):
            ask(client, b"two")
    with connect(wire) as client:
        assert ask(client, b"three") == b"three."
    assert wire.counts.resets == 1


def test_a_network_that_is_gone_for_a_while(wire: FaultyWire) -> None:
    wire.reset_at(burst=1, times=3)
    for _ in range(3):
        with connect(wire) as client, pytest.raises(ConnectionResetError):
            ask(client, b"hello")
    with connect(wire) as client:
        assert ask(client, b"hello") == b"hello."


def test_all_connections_are_reset_at_once(wire: FaultyWire) -> None:
    with connect(wire) as first, connect(wire) as second:
        ask(first, b"a")
        ask(second, b"b")
        wire.reset_now()
        for client in (first, second):
            with pytest.raises(ConnectionResetError):
                client.recv(1)


def test_an_upload_breaks_after_the_bytes_that_were_asked_for(wire: FaultyWire) -> None:
    wire.reset_after_bytes(250)
    with connect(wire) as client:
        ask(client, b"x" * 200)
        with pytest.raises(ConnectionResetError):
            ask(client, b"x" * 100)
    with connect(wire) as client:
        assert ask(client, b"again") == b"again."


def test_an_answer_is_cut_in_good_order(wire: FaultyWire) -> None:
    wire.cut_answers_after(150)
    with connect(wire) as client:
        assert ask(client, b"x" * 99) == b"x" * 99 + b"."
        assert ask(client, b"y" * 99) == b"y" * 50
    with connect(wire) as client:
        assert ask(client, b"z" * 99) == b"z" * 99 + b"."


def test_refused_until_healed(wire: FaultyWire) -> None:
    with connect(wire) as client:
        wire.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(wire)
        assert ask(client, b"still") == b"still."
    wire.heal()
    with connect(wire) as client:
        assert ask(client, b"back") == b"back."


def test_stalled_until_healed(wire: FaultyWire) -> None:
    with connect(wire) as client:
        ask(client, b"a")
        wire.stall()
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(client, b"b")
        wire.heal()
        client.settimeout(PATIENCE_SECONDS)
        assert client.recv(10) == b"b."


def test_a_delay_makes_trips_long_and_counts_only_those_that_wait_for_another(echo: int) -> None:
    with FaultyWire(echo, delay_seconds=0.03) as wire, connect(wire) as first, connect(wire) as second:
        started = time.monotonic()
        for _ in range(3):
            first.sendall(b"a")
            second.sendall(b"b")
            assert [first.recv(10), second.recv(10)] == [b"a.", b"b."]
        took = time.monotonic() - started
    assert took >= 3 * 2 * 0.03
    assert wire.counts.bursts == 6
    assert wire.counts.dependent_trips == 3


@pytest.mark.parametrize(
    "answer", ["229 Entering Extended Passive Mode (|||{port}|)", "227 Ok (127,0,0,1,{high},{low})"]
)
def test_data_connections_of_ftp_go_through_the_wire(echo: int, answer: str) -> None:
    said = answer.format(port=echo, high=echo >> 8, low=echo & 255).encode()

    class Control(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100)
            self.request.sendall(said + b"\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Control) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with FaultyFtpWire(server.server_address[1]) as wire:
            with connect(wire) as control:
                control.sendall(b"EPSV\r\n")
                reply = control.recv(200).decode()
            numbers = [int(part) for part in reply.replace("|", ",").strip(".\r\n)").split(",") if part.isdigit()]
            port = numbers[-1] if reply.startswith("229") else numbers[-2] * 256 + numbers[-1]
            assert port != echo
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as data:
                assert ask(data, b"data") == b"data."
            assert wire.counts.connections == 2
        thread.join()


def test_ports_of_data_connections_that_are_known_before_are_taken_at_another_address(echo: int) -> None:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.2", 0))
    except OSError:
        pytest.skip("127.0.0.2 is no address of this machine")
    with FaultyFtpWire(1, data_ports=[echo]) as wire:
        with socket.create_connection((wire.host, echo), timeout=PATIENCE_SECONDS) as data:
            assert ask(data, b"data") == b"data."
        assert wire.counts.connections == 1


def test_an_answer_under_way_does_not_count_after_counting_anew(echo: int) -> None:
    with FaultyWire(echo, delay_seconds=0.05) as wire, connect(wire) as client:
        ask(client, b"a")
        client.sendall(b"b")
        time.sleep(0.02)
        wire.count_anew()
        assert client.recv(10) == b"b."
        ask(client, b"c")
        assert wire.counts.dependent_trips == 1
