"""Requests under way on one SFTP channel.

Here: `SftpClient`, which sends many requests at once and hands out the replies by their numbers. Not here: SSH
(connecting.py), and what is asked for.

Rules: all of it runs in the loop's thread. Asking is done in batches: one wait for one way to the server and back,
counted in `Counters.waits`. A server that is silent for too long while something is asked of it, that ends the
channel, or that sends what is no answer, breaks the client for good: everybody who waits gets `Disconnected`, and so
does who asks later. A reply that nobody waits for any more is dropped, so that cancelling harms nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

from . import wire

DEFAULT_READ_BYTES: Final = 32 << 10  # what every server of version 3 has to take
DEFAULT_WRITE_BYTES: Final = 32 << 10
LEAST_READ_BYTES: Final = 4 << 10  # a server may give less than it is asked for; a request for each byte helps nobody
MOST_BYTES: Final = 128 << 10  # of one message: larger ones were no faster, and would be silence on a slow line


class Channel(Protocol):
    """What is used of asyncssh's channels."""

    def write(self, data: bytes) -> None:
        """Send, or keep until the server takes it."""
        ...

    def get_write_buffer_size(self) -> int:
        """What the server did not take yet."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Break(Enum):
    """What a connection breaks by."""

    LOST = "lost"
    TIMED_OUT = "timed out"
    REFUSED = "refused"
    """The server itself ended the channel, or sent what is no SFTP."""


class Disconnected(Exception):
    """The connection is of no use any more. `reason` is a part of a sentence."""

    def __init__(self, reason: str, kind: Break = Break.LOST) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind


@dataclass(slots=True, kw_only=True)
class Counters:
    """What a store did, for tests and for measuring."""

    waits: int = 0
    """How often something was waited for that was asked at once."""
    handshakes: int = 0


class Batch:
    """Requests that were sent together. `await batch.replies()` gives their replies in order."""

    __slots__ = ("_future", "_missing", "_replies")

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self._replies: list[wire.Reply | None] = [None] * count
        self._missing = count
        self._future: asyncio.Future[None] = loop.create_future()
        self._future.add_done_callback(_heed)
        if not count:
            self._future.set_result(None)

    def take(self, place: int, reply: wire.Reply) -> None:
        """Note one reply."""
        self._replies[place] = reply
        self._missing -= 1
        if not self._missing and not self._future.done():
            self._future.set_result(None)

    def fail(self, error: Disconnected) -> None:
        """There will be no more replies."""
        if not self._future.done():
            self._future.set_exception(Disconnected(error.reason, error.kind))

    async def replies(self) -> list[wire.Reply]:
        """All replies, when all are there."""
        await self._future
        return [reply for reply in self._replies if reply is not None]


class SftpClient:
    """One channel, once `SftpSession` has attached it."""

    def __init__(self, *, answer_seconds: float, counters: Counters) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer_seconds = answer_seconds
        self._counters = counters
        self._channel: Channel | None = None
        self._messages = wire.Messages()
        self._version: asyncio.Future[wire.Version] = self._loop.create_future()
        self._version.add_done_callback(_heed)
        self._waiting: dict[int, tuple[Batch, int]] = {}
        self._number = 0
        self._heard = 0.0
        self._unsent_bytes = 0
        self._watch: asyncio.TimerHandle | None = None
        self._broken: Disconnected | None = None
        self.extensions: frozenset[str] = frozenset()
        self.read_bytes = DEFAULT_READ_BYTES
        self.write_bytes = DEFAULT_WRITE_BYTES

    @property
    def broken(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._broken is not None

    async def begin(self) -> None:
        """Shake hands and learn what the server can. Raises Disconnected."""
        self._write(wire.hello())
        self._heard = self._loop.time()
        self._set_watch(self._answer_seconds)
        version = await self._version
        if version.number < wire.VERSION:
            raise Disconnected(
                f"it speaks version {version.number} of SFTP, and {wire.VERSION} is needed", Break.REFUSED
            )
        self.extensions = version.extensions

    def set_limits(self, limits: wire.Limits) -> None:
        """Send as much at once as the server takes."""
        self.read_bytes = max(LEAST_READ_BYTES, min(limits.read_bytes or DEFAULT_READ_BYTES, MOST_BYTES))
        self.write_bytes = max(1, min(limits.write_bytes or DEFAULT_WRITE_BYTES, MOST_BYTES))

    def send(self, requests: Sequence[wire.Request]) -> Batch:
        """Ask, and do not wait. Raises Disconnected."""
        if self._broken is not None:
            raise Disconnected(self._broken.reason, self._broken.kind)
        batch = Batch(len(requests), self._loop)
        if not self._waiting:
            self._heard = self._loop.time()
        parts: list[bytes | memoryview] = []
        for place, request in enumerate(requests):
            number = self._number = (self._number + 1) & 0xFFFFFFFF
            self._waiting[number] = (batch, place)
            parts += wire.message(number, request)
        if self._watch is None and self._waiting:
            self._set_watch(self._answer_seconds)
        self._write(b"".join(parts))
        return batch

    def count_wait(self) -> None:
        """Count one way to the server and back."""
        self._counters.waits += 1

    async def ask(self, requests: Sequence[wire.Request]) -> list[wire.Reply]:
        """Ask and wait."""
        self.count_wait()
        return await self.send(requests).replies()

    def tell(self, requests: Sequence[wire.Request]) -> None:
        """Ask for what nobody needs the answer to: closing a handle, removing a leftover."""
        if self._broken is None and requests:
            self.send(requests)

    def fail(self, reason: str, kind: Break = Break.LOST) -> None:
        """Break the client, and with it all that is under way."""
        if self._broken is not None:
            return
        self._broken = Disconnected(reason, kind)
        waiting, self._waiting = self._waiting, {}
        for batch in {batch for batch, _ in waiting.values()}:
            batch.fail(self._broken)
        if not self._version.done():
            self._version.set_exception(Disconnected(reason, kind))
        if self._watch is not None:
            self._watch.cancel()
        if self._channel is not None:
            self._channel.abort()

    def attach(self, channel: Channel) -> None:
        """Use this channel."""
        self._channel = channel

    def heard(self, data: bytes) -> None:
        """Take what the server sent."""
        if self._broken is not None:
            return
        self._heard = self._loop.time()
        try:
            for message in self._messages.feed(data):
                self._take(message)
        except wire.WireError as error:
            self.fail(f"the server does not speak SFTP as it should ({error})", Break.REFUSED)

    def _take(self, message: memoryview) -> None:
        if not self._version.done():
            self._version.set_result(wire.decode_version(message))
            return
        number, reply = wire.decode_reply(message)
        found = self._waiting.pop(number, None)
        if found is None:
            raise wire.WireError("an answer to nothing that was asked")
        batch, place = found
        batch.take(place, reply)

    def _write(self, data: bytes) -> None:
        try:
            if self._channel is not None:
                self._channel.write(data)
        except OSError as error:  # the channel is closing
            self.fail("the connection was lost")
            raise Disconnected("the connection was lost") from error

    def _set_watch(self, seconds: float) -> None:
        self._watch = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Break up with a server that was silent for too long. One that takes what we send is not silent."""
        self._watch = None
        if self._broken is not None or (not self._waiting and self._version.done()):
            return
        now, unsent = self._loop.time(), self._channel.get_write_buffer_size() if self._channel else 0
        if unsent != self._unsent_bytes:
            self._unsent_bytes, self._heard = unsent, now
        left = self._heard + self._answer_seconds - now
        if left > 0:
            self._set_watch(left)
        else:
            self.fail(f"the server did not answer for {self._answer_seconds:g} seconds", Break.TIMED_OUT)


class SftpSession:
    """What asyncssh tells of a channel; the methods are those of its SSHClientSession."""

    def __init__(self, client: SftpClient) -> None:
        self._client = client

    def connection_made(self, channel: Channel) -> None:
        self._client.attach(channel)

    def session_started(self) -> None:
        pass

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if datatype is None:  # else it is what the server's programs print as errors
            self._client.heard(data)

    def eof_received(self) -> bool:
        self._client.fail("the server ended the SFTP session", Break.REFUSED)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._client.fail(f"the connection was lost ({error})" if error and str(error) else "the connection was lost")

    def exit_status_received(self, status: int) -> None:
        self._client.fail(f"the server's SFTP program ended with {status}", Break.REFUSED)

    def exit_signal_received(self, signal: str, core_dumped: bool, text: str, language: str) -> None:  # noqa: FBT001
        self._client.fail(f"the server's SFTP program was ended by {signal}", Break.REFUSED)

    def xon_xoff_requested(self, client_can_do: bool) -> None:  # noqa: FBT001
        pass

    def pause_writing(self) -> None:
        pass  # senders wait for replies, which is what bounds the memory

    def resume_writing(self) -> None:
        pass


def _heed(future: asyncio.Future[Any]) -> None:
    """Look at the outcome, so that asyncio does not report one that nobody waits for."""
    if not future.cancelled():
        future.exception()
