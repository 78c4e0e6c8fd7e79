"""A network that breaks: proxies between a store and a real server, which cut, delay and stall what passes.

Here: `FaultyWire`, which knows no protocol, and `FaultyFtpWire`, which takes the data connections of FTP along. Not
here: any server, and lies of servers (those speak the protocol).

    with FaultyWire(server.port) as wire:
        wire.reset_at(burst=wire.counts.bursts + 3)  # the third thing the client says from now on
        ...  # use the server at 127.0.0.1:wire.port
        wire.heal()

A *burst* is what one side says after the other has spoken, on one connection: about one request. Bursts are counted
over all connections, so "the k-th burst" goes on counting where the client connects again. `dependent_trips` is the
longest chain in which each request was sent after the answer to the one before; requests sent side by side count once.
It is nearly exact with a delay (`delay_seconds=0.02`), which makes all answers take equally long, and an upper bound
without.

Faults stay until they have happened `times` times or `heal` is called, and may be set from any thread at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

CHUNK_BYTES: Final = 1 << 16
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST and drops what is unsent
CLIENT: Final = "client"
SERVER: Final = "server"
END: Final = "end"  # how a stream ends: as the other side ended it, or by a fault
RESET: Final = "reset"
CLOSE: Final = "close"

T = TypeVar("T")


@dataclass(kw_only=True)
class Counts:
    """What has passed since the wire was made, or since `FaultyWire.count_anew`."""

    connections: int = 0
    bursts: int = 0
    """Client bursts: requests, about."""
    bytes_up: int = 0
    bytes_down: int = 0
    dependent_trips: int = 0
    resets: int = 0
    """Connections that a fault broke."""


@dataclass
class Faults:
    """What is to go wrong. All counts are those of `Counts`."""

    reset_burst: int = 0
    reset_burst_times: int = 0
    reset_all: bool = False
    reset_bytes: int = 0
    reset_bytes_times: int = 0
    cut_bytes: int = 0
    cut_times: int = 0


class Link:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.spoke_last = SERVER  # so that the first thing a client says is a burst
        self.sent_depth = 0  # of the newest request, in the chain of dependent trips
        self.arrived_depth = 0  # of the newest request that has reached the server

    def reset(self) -> None:
        for writer in (self.client, self.server):
            reset_connection(writer)


async def settle() -> None:
    """Let what was accepted become a connection: asyncio forgets one whose server is closed in between."""
    for _ in range(3):
        await asyncio.sleep(0)


def reset_connection(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()


class FaultyWire:
    """A proxy at 127.0.0.1:`port` for what listens at `target_port`; harmless until told to do harm."""

    def __init__(self, target_port: int, *, delay_seconds: float = 0.0, host: str = "127.0.0.1") -> None:
        self.host = host
        self.target_port = target_port
        self.delay_seconds = delay_seconds
        """Added to everything that passes, each way; a round trip takes twice as much."""
        self.counts = Counts()
        self._faults = Faults()
        self._answered_depth = 0
        self._links: set[Link] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._targets: dict[int, int] = {}  # port of ours -> port of the server
        self._listeners: dict[int, asyncio.Server] = {}
        self._holders: dict[int, socket.socket] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty-wire", daemon=True)
        self._thread.start()
        try:
            self.port = self._run(self._open(target_port))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Break every connection and end the thread."""
        if self._loop.is_closed():
            return
        self._run(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for holder in self._holders.values():
            holder.close()

    # Faults

    def reset_at(self, *, burst: int, times: int = 1, all_connections: bool = False) -> None:
        """Reset the connection on which the client starts its `burst`-th burst (counted from 1 as in `counts.bursts`).

        What the client sent is not passed on. With `times` the next bursts fail too, those of new connections included:
        that is a network that is gone for a while.
        """

        def arm() -> None:
            self._faults.reset_burst, self._faults.reset_burst_times = burst, times
            self._faults.reset_all = all_connections

        self._call(arm)

    def reset_after_bytes(self, count: int, *, times: int = 1) -> None:
        """Pass on `count` more bytes of clients, then reset the connection: in the middle of an upload."""

        def arm() -> None:
            self._faults.reset_bytes, self._faults.reset_bytes_times = self.counts.bytes_up + count, times

        self._call(arm)

    def cut_answers_after(self, count: int, *, times: int = 1) -> None:
        """Pass on `count` more bytes of servers, then end the connection in good order: a truncated answer."""

        def arm() -> None:
            self._faults.cut_bytes, self._faults.cut_times = self.counts.bytes_down + count, times

        self._call(arm)

    def reset_now(self) -> None:
        """Reset every connection that is open; new ones are let through."""
        self._call(self._reset_all)

    def refuse(self) -> None:
        """Refuse new connections, as a machine does on which nothing listens; open ones stay."""
        self._run(self._stop_listening())

    def stall(self) -> None:
        """Pass nothing on, and close nothing: a cable that was pulled out. New connections are taken and hang."""
        self._call(self._flowing.clear)

    def heal(self) -> None:
        """End every fault. What was stalled flows on; the delay stays."""
        self._run(self._heal())

    def count_anew(self) -> Counts:
        """Return the counts so far, and start from zero. Faults that were set for a count are dropped."""

        def start() -> Counts:
            before, self.counts, self._faults, self._answered_depth = self.counts, Counts(), Faults(), 0
            for link in self._links:
                link.sent_depth = link.arrived_depth = 0
            return before

        return self._call(start)

    # Inside the loop

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def _call(self, function: Callable[[], T]) -> T:
        async def work() -> T:
            return function()

        return self._run(work())

    async def _open(self, target_port: int, port: int = 0) -> int:
        """Listen for a port of the server's, and return the port to connect to."""
        holder = new_socket(self.host, port)
        port = int(holder.getsockname()[1])
        self._holders[port] = holder
        self._targets[port] = target_port
        await self._listen(port)
        return port

    async def _listen(self, port: int) -> None:
        # The holder keeps the port ours while it is refused: bound, and not listening.
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.CancelledError):  # the wire is being closed
                await self._connect(self._targets[port], reader, writer)

        listening = new_socket(self.host, port)
        self._listeners[port] = await asyncio.start_server(handle, sock=listening, limit=CHUNK_BYTES)

    async def _stop_listening(self) -> None:
        listeners, self._listeners = list(self._listeners.values()), {}
        await settle()
        for listener in listeners:
            for listening in listener.sockets:
                self._loop.remove_reader(listening.fileno())
        await settle()
        for listener in listeners:
            listener.close()

    async def _heal(self) -> None:
        self._faults = Faults()
        self._flowing.set()
        for port in self._targets:
            if port not in self._listeners:
                await self._listen(port)

    async def _shut(self) -> None:
        await self._stop_listening()
        self._reset_all()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _reset_all(self) -> None:
        for link in list(self._links):
            self._break(link)

    def _break(self, link: Link) -> None:
        self.counts.resets += 1
        link.reset()

    async def _connect(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        self._tasks.add(this)
        self.counts.connections += 1
        try:
            await self._flowing.wait()
            await asyncio.sleep(2 * self.delay_seconds)  # SYN and its answer
            answers, server = await asyncio.open_connection("127.0.0.1", port, limit=CHUNK_BYTES)
        except (OSError, asyncio.CancelledError):
            reset_connection(writer)
            self._tasks.discard(this)
            return
        link = Link(writer, server)
        self._links.add(link)
        try:
            for end in (writer, server):
                end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(link, reader, server, self._from_client))
                group.create_task(self._pump(link, answers, writer, self._from_server))
        except* OSError:
            link.reset()
        finally:
            self._links.discard(link)
            self._tasks.discard(this)
            for end in (writer, server):
                end.close()

    async def _pump(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, look: Callable[..., Any]
    ) -> None:
        """Pass on what comes, later by the delay; `look` counts it and says what is passed on and how it ends."""
        under_way: asyncio.Queue[tuple[float, int, Counts, bytes, str]] = asyncio.Queue(maxsize=256)

        async def deliver() -> None:
            while True:
                due, depth, counts, data, ending = await under_way.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                await self._flowing.wait()
                if counts is not self.counts:  # it was sent before they began anew
                    pass
                elif writer is link.client:
                    self._answered_depth = max(self._answered_depth, depth)
                else:
                    link.arrived_depth = depth
                writer.write(data)
                await writer.drain()
                if ending:
                    break
            if ending == RESET:
                self._break(link)
            elif ending == CLOSE:
                self.counts.resets += 1
                writer.close()  # in good order: what was written goes out
                reset_connection(link.server)
            elif not writer.is_closing():
                writer.write_eof()

        delivering = asyncio.ensure_future(deliver())
        try:
            ending = ""
            while not ending:
                data = await reader.read(CHUNK_BYTES)
                await self._flowing.wait()
                passed, ending = await look(link, data) if data else (b"", END)
                depth = link.arrived_depth if writer is link.client else link.sent_depth
                await under_way.put((self._loop.time() + self.delay_seconds, depth, self.counts, passed, ending))
            await delivering
        finally:
            delivering.cancel()

    async def _from_client(self, link: Link, data: bytes) -> tuple[bytes, str]:
        counts, faults = self.counts, self._faults
        if link.spoke_last == SERVER:
            link.spoke_last = CLIENT
            link.sent_depth = self._answered_depth + 1
            counts.bursts += 1
            counts.dependent_trips = max(counts.dependent_trips, link.sent_depth)
            if counts.bursts >= faults.reset_burst and faults.reset_burst_times > 0:
                faults.reset_burst_times -= 1
                if faults.reset_all:
                    self._reset_all()
                return b"", RESET
        counts.bytes_up += len(data)
        if counts.bytes_up >= faults.reset_bytes and faults.reset_bytes_times > 0:
            faults.reset_bytes_times -= 1
            return data[: max(0, len(data) - (counts.bytes_up - faults.reset_bytes))], RESET
        return data, ""

    async def _from_server(self, link: Link, data: bytes) -> tuple[bytes, str]:
        counts, faults = self.counts, self._faults
        link.spoke_last = SERVER
        counts.bytes_down += len(data)
        if counts.bytes_down >= faults.cut_bytes and faults.cut_times > 0:
            faults.cut_times -= 1
            return data[: max(0, len(data) - (counts.bytes_down - faults.cut_bytes))], CLOSE
        return data, ""


class FaultyFtpWire(FaultyWire):
    """The wire of an FTP server in passive mode: its data connections go through the same faults and counts.

    The answers to EPSV and PASV name the port of a data connection; in plain FTP they are rewritten to a port of the
    wire. Under TLS nobody can read them: give the ports the server is configured to use (`data_ports`), and the wire
    listens on the same numbers at another address, 127.0.0.2, which is also the host to connect to (`wire.host`); a
    client that connects back to the host it already talks to, as it should, comes through here.
    """

    def __init__(self, target_port: int, *, delay_seconds: float = 0.0, data_ports: Iterable[int] = ()) -> None:
        ports = list(data_ports)
        super().__init__(target_port, delay_seconds=delay_seconds, host="127.0.0.2" if ports else "127.0.0.1")
        try:
            for port in ports:
                self._run(self._open(port, port))
        except BaseException:
            self.close()
            raise
        self._rewrites = not ports
        self._data: dict[int, int] = {}  # port of the server -> port of ours

    async def _from_server(self, link: Link, data: bytes) -> tuple[bytes, str]:
        passed, ending = await super()._from_server(link, data)
        if self._rewrites and passed.startswith((b"229 ", b"227 ")):
            passed = await self._rewritten(passed)
        return passed, ending

    async def _rewritten(self, passed: bytes) -> bytes:
        if found := re.search(rb"\(\|\|\|(\d+)\|\)", passed):
            return passed[: found.start(1)] + b"%d" % await self._data_port(int(found[1])) + passed[found.end(1) :]
        if found := re.search(rb"(\d+,\d+,\d+,\d+),(\d+),(\d+)", passed):
            port = await self._data_port(int(found[2]) * 256 + int(found[3]))
            address = self.host.replace(".", ",").encode()
            return passed[: found.start()] + b"%s,%d,%d" % (address, port >> 8, port & 255) + passed[found.end() :]
        return passed

    async def _data_port(self, port: int) -> int:
        if port not in self._data:
            self._data[port] = await self._open(port)
        return self._data[port]


def new_socket(host: str, port: int) -> socket.socket:
    """A socket bound to the port; two of ours may be, as long as one of them listens."""
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound
