"""How bytes of an object come from an SFTP server.

Here: `download`. Not here: the choice of the connection's cipher or window, and any cache of bytes.

Rules: what is small goes over the shared connection: two ways to the server and back, one if the file is still open
from an earlier range. What is large gets a connection of its own. With the first bytes the file's name is looked at
again, so that an object that somebody deleted is not read from an open handle. The bytes are exactly those asked for,
or there is an error: an object that ends too early by the server's own account is damaged, a transfer that ended too
early is tried again.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ...errors import StoreError, StoreUnavailableError
from ...limits import KIB, MAX_OBJECT_BYTES, MIB
from ..protocol import missing_object_error, oversized_object_error, short_object_error
from . import wire
from .failures import refused, vanished
from .pool import Connection, Pool, check_root, is_absent

SMALL_BYTES: Final = 256 * KIB
WORTH_A_CONNECTION_BYTES: Final = 1 * MIB  # connecting takes about ten ways to the server and back
BLOCK_BYTES: Final = 1 * MIB
BLOCKS_UNDER_WAY: Final = 6  # 50 ms at 120 MB/s
JOINED_AT_ONCE_BYTES: Final = 4 * MIB  # until then each reply keeps twice its bytes, which it was cut out of
LARGEST_OFFSET: Final = 1 << 62


async def download(pool: Pool, name: str, offset: int, size: int | None) -> bytes:
    """The bytes of a range. Raises StoreError, Disconnected, or PasswordWanted."""
    if size is not None and size > SMALL_BYTES:
        async with pool.lend(name) as connection:
            return await _Download(pool, connection, name).range(offset, size)
    reader = _Download(pool, await pool.small(), name)
    if size is not None:
        return await reader.range(offset, size)
    start, total = await reader.beginning(offset)
    left = total - offset - len(start)
    if not left:
        return start
    if left <= WORTH_A_CONNECTION_BYTES:
        return start + await reader.range(offset + len(start), left)
    async with pool.lend(name) as connection:
        return start + await _Download(pool, connection, name).range(offset + len(start), left)


class _Download:
    """Ranges of one object over one connection."""

    def __init__(self, pool: Pool, connection: Connection, name: str) -> None:
        self._pool = pool
        self._connection = connection
        self._client = connection.client
        self._name = name
        self._path = pool.place.path(name)
        self._step = connection.client.read_bytes

    async def beginning(self, offset: int) -> tuple[bytes, int]:
        """The first bytes from the offset on, and the object's size."""
        handle = await self._open()
        try:
            asked = [wire.stat_path(self._path), *self._reads(handle, offset, SMALL_BYTES)]
            found, *replies = await self._client.ask(asked)
            total = await self._total(found)
            if offset > total:
                raise short_object_error(self._name, self._pool.url, offset, total)
            if total - offset > MAX_OBJECT_BYTES:
                raise oversized_object_error(self._name, self._pool.url, total)
            return b"".join(await self._parts(handle, offset, min(total - offset, SMALL_BYTES), replies)), total
        finally:
            if not self._client.broken:
                self._client.tell([wire.close(handle)])

    async def range(self, offset: int, size: int) -> bytes:
        """Exactly these bytes. The file stays open for the next range."""
        file = self._connection.kept(self._name)
        if file is None:
            handle = await self._open()
            file = self._connection.kept(self._name)
            if file is None:
                file = self._connection.keep(self._name, handle)
            else:  # another thread opened it meanwhile
                self._client.tell([wire.close(handle)])
        file.users += 1
        try:
            return await self._range(file.handle, offset, size)
        except StoreError:
            self._connection.forget(self._name)
            raise
        finally:
            file.users -= 1

    async def _range(self, handle: bytes, offset: int, size: int) -> bytes:
        """Ask for block after block, so that a window full of them is always under way."""
        block = min(size, BLOCK_BYTES)
        reads = self._reads(handle, offset, block)
        under_way = deque([(offset, block, self._client.send([wire.stat_path(self._path), *reads]))])
        self._client.count_wait()
        parts: list[bytes | memoryview] = []
        at, end, total = offset + block, offset + size, None
        while under_way:
            while at < end and len(under_way) < BLOCKS_UNDER_WAY:
                block = min(end - at, BLOCK_BYTES)
                under_way.append((at, block, self._client.send(self._reads(handle, at, block))))
                at += block
            start, wanted, batch = under_way.popleft()
            replies = await batch.replies()
            if total is None:
                total = await self._total(replies.pop(0))
                if end > total:
                    raise short_object_error(self._name, self._pool.url, end, total)
                if size > MAX_OBJECT_BYTES:
                    raise oversized_object_error(self._name, self._pool.url, total)
            blocks = await self._parts(handle, start, wanted, replies)
            parts += blocks if size <= JOINED_AT_ONCE_BYTES else [b"".join(blocks)]
        return b"".join(parts)

    async def _open(self) -> bytes:
        root, reply = await self._client.ask(
            [wire.stat_path(self._pool.place.path("")), wire.open_file(self._path, wire.READ_FLAG)]
        )
        if isinstance(reply, wire.Handle):
            return reply.value
        if is_absent(reply):
            check_root(root, self._pool.url, vanished(self._pool.url))
            raise missing_object_error(self._name, self._pool.url)
        raise refused(reply, f"open {self._name}", self._pool.url)

    async def _total(self, found: wire.Reply) -> int:
        """The object's size, as the server says now."""
        if is_absent(found):
            (root,) = await self._client.ask([wire.stat_path(self._pool.place.path(""))])
            check_root(root, self._pool.url, vanished(self._pool.url))
            raise missing_object_error(self._name, self._pool.url)
        if not isinstance(found, wire.Attributes) or found.size is None:
            raise refused(found, f"look at {self._name}", self._pool.url)
        if not found.is_file:
            raise missing_object_error(self._name, self._pool.url)
        return found.size

    def _reads(self, handle: bytes, offset: int, size: int) -> list[wire.Request]:
        end = offset + size
        if end > LARGEST_OFFSET:
            return []  # no object reaches there, which its size tells
        return [wire.read(handle, start, min(self._step, end - start)) for start in range(offset, end, self._step)]

    async def _parts(
        self, handle: bytes, start: int, wanted: int, replies: list[wire.Reply]
    ) -> list[bytes | memoryview]:
        """The bytes of what was asked for by `_reads`, of which `wanted` must be there."""
        parts: list[bytes | memoryview] = []
        for place, reply in enumerate(replies):
            at = place * self._step
            size = min(self._step, wanted - at)
            if size <= 0:
                break
            if isinstance(reply, wire.Data):
                parts.append(reply.block[:size])
                if len(reply.block) < size:  # a server may give less than was asked for
                    done = start + at + len(reply.block)
                    parts.append(await self._rest(handle, done, size - len(reply.block)))
            elif _is_end(reply):
                raise self._cut_short()
            else:
                raise refused(reply, f"read {self._name}", self._pool.url)
        return parts

    async def _rest(self, handle: bytes, offset: int, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            (reply,) = await self._client.ask([wire.read(handle, offset + len(parts), size - len(parts))])
            if _is_end(reply) or (isinstance(reply, wire.Data) and not reply.block):
                raise self._cut_short()
            if not isinstance(reply, wire.Data):
                raise refused(reply, f"read {self._name}", self._pool.url)
            parts += reply.block[: size - len(parts)]
        return bytes(parts)

    def _cut_short(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"Could not read {self._name} in {self._pool.url}: the transfer ended before the object does. Try again."
        )


def _is_end(reply: wire.Reply) -> bool:
    return isinstance(reply, wire.Status) and reply.code == wire.EOF
