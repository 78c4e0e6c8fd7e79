"""How an object gets into an SFTP store.

Here: `Upload`, one object from its temporary to its name. Not here: who gives the bytes (store.py).

Rules:
- Written to a temporary, synced where the server can (`fsync@openssh.com`), its size compared with what the server
  says, small ones read back and compared, then renamed. A small object takes three ways to the server and back: open;
  all of the rest; rename. The name itself cannot be synced: SFTP has no sync of folders.
- A name that exists is never overwritten: SSH_FXP_RENAME refuses that (OpenSSH makes a hard link, the others look),
  and the name is looked for before. Only a server without that request is asked for the renaming of POSIX.
- A temporary gets at most one name, ever. Before the rename any failure leaves nothing, and trying again is safe. If
  the answer to the rename is lost, a new connection is asked what became of it; only where that cannot be told is the
  outcome uncertain, and said to be.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakValueDictionary

from ...errors import StoreError, StorePermissionError, StoreUnavailableError
from ...limits import REMOTE_READ_BACK_BYTES
from ..protocol import PUT_UNCERTAIN, Block, existing_name_error, new_temporary, read_back_error, uncertain_put_error
from . import wire
from .client import Batch, Disconnected, SftpClient
from .failures import PasswordWanted, no_room, refused, vanished
from .pool import Connection, Pool, check_root, is_absent

WINDOW_BYTES: Final = 4 << 20  # under way at once: 50 ms at 80 MB/s, which is more than OpenSSH's own window
RENAMES: Final = 4
LOOK_AGAIN_SECONDS: Final = 0.2
DISCARD_SECONDS: Final = 5.0

Find = Callable[[], Awaitable[Connection]]

# Servers that look and then rename are not asked to do it for one name twice at once, at least from here.
_naming: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()


class Upload:
    """One object on its way. After an error it can only be discarded."""

    def __init__(self, pool: Pool, client: SftpClient, name: str, size: int) -> None:
        self._pool = pool
        self._client = client
        self._name = name
        self._size = size
        self._doing = f"store {name}"
        self._temporary = new_temporary(pool.place.station)
        self._old = pool.place.path(self._temporary)
        self._new = pool.place.path(name)
        self._handle: bytes | None = None
        self._exists = False
        self._answer_lost = False
        self._written = 0
        self._batches: deque[tuple[Batch, int]] = deque()
        self._under_way = 0

    async def open(self) -> None:
        """Make the temporary, and the folders if they may be missing."""
        flags = wire.READ_FLAG | wire.WRITE_FLAG | wire.CREATE_FLAG | wire.EXCLUSIVE_FLAG
        asked = [*self._folders(missing_only=True), wire.open_file(self._old, flags)]
        self._exists = True  # while that is not known: it is better removed in vain
        reply = (await self._client.ask(asked))[-1]
        if is_absent(reply):  # tmp/ was taken away, or the store
            asked = [wire.stat_path(self._pool.place.path("")), *self._folders(missing_only=False), asked[-1]]
            root, *_, reply = await self._client.ask(asked)
            check_root(root, self._pool.url, vanished(self._pool.url))
        if not isinstance(reply, wire.Handle):
            self._exists = False
            raise await self._no_room(reply)
        self._handle = reply.value

    async def write(self, block: Block) -> None:
        """Append bytes; waits only while too much is under way."""
        self._send(block)
        while self._under_way > WINDOW_BYTES:
            await self._settle()

    async def finish(self, whole: bytes | None = None) -> None:
        """Have all of it on the server's disk, and see that it is what was sent. `whole` is read back and compared."""
        if whole is not None:
            self._send(whole)
        handle = self._open_handle()
        checks = [wire.lstat(self._new), wire.fstat(handle)]
        if wire.FSYNC in self._client.extensions:
            checks.insert(0, wire.extended(wire.FSYNC, handle))
        size = self._size if whole is not None and self._size <= REMOTE_READ_BACK_BYTES else 0
        last = self._client.send([*checks, *self._reads(handle, size), wire.close(handle)])
        self._handle = None
        self._client.count_wait()
        while self._batches:
            await self._settle()
        replies = await last.replies()
        if len(checks) == 3:
            await self._check_sync(replies.pop(0))
        existing, found, *read, closed = replies
        await self._check_name(existing, closed)
        wrong = self._difference(found, read, whole)
        if wrong is not None:  # reads may be cut short, and fusefat shows the end of a file only when it is closed
            wrong = self._difference(*await self._read_again(size), whole)
        if wrong is not None:
            raise wrong

    async def publish(self, find: Find) -> None:
        """Give the object its name. `find` gives a new connection, should this one break."""
        async with _naming.setdefault((self._pool.url, self._name), asyncio.Lock()):
            try:
                await self._rename_until_clear(find)
            except StoreError as error:
                if self._answer_lost and error.code != PUT_UNCERTAIN:  # it may have the name: no second try may use it
                    raise self._uncertain(f"looking for it failed ({error})") from error
                raise
        self._exists = False
        self._pool.folders.update((self._name.rpartition("/")[0], self._temporary.rpartition("/")[0]))

    async def discard(self) -> None:
        """Remove the temporary, as far as that is possible."""
        asked = [] if self._handle is None else [wire.close(self._handle)]
        if self._exists:
            asked.append(wire.remove(self._old))
        self._handle, exists, self._exists = None, self._exists, False
        if not asked:
            return
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                await self._client.send(asked).replies()
        except (Disconnected, TimeoutError):
            if exists:
                self._pool.leftovers.add(self._temporary)

    def drop(self) -> None:
        """As `discard`, without waiting."""
        asked = [] if self._handle is None else [wire.close(self._handle)]
        asked += [wire.remove(self._old)] if self._exists else []
        self._handle, self._exists = None, False
        with contextlib.suppress(Disconnected):
            self._client.tell(asked)

    def _send(self, block: Block) -> None:
        handle, step = self._open_handle(), self._client.write_bytes
        view = memoryview(block)
        asked = [
            wire.write(handle, self._written + start, view[start : start + step]) for start in range(0, len(view), step)
        ]
        self._written += len(view)
        self._under_way += len(view)
        self._batches.append((self._client.send(asked), len(view)))

    async def _settle(self) -> None:
        """Wait for the oldest block that is under way."""
        batch, size = self._batches.popleft()
        for reply in await batch.replies():
            if not isinstance(reply, wire.Status) or reply.code != wire.OK:
                raise await self._no_room(reply)
        self._under_way -= size

    async def _check_sync(self, reply: wire.Reply) -> None:
        """A server that offers the sync may still have a file system without it."""
        if not isinstance(reply, wire.Status) or reply.code not in (wire.OK, wire.OP_UNSUPPORTED):
            raise await self._no_room(reply)

    async def _check_name(self, existing: wire.Reply, closed: wire.Reply) -> None:
        if not isinstance(closed, wire.Status) or closed.code != wire.OK:
            raise await self._no_room(closed)  # what a network file system behind the server could not keep
        if isinstance(existing, wire.Attributes):
            raise existing_name_error(self._name, self._pool.url)
        if not is_absent(existing):
            raise refused(existing, f"look for {self._name}", self._pool.url)

    def _reads(self, handle: bytes, size: int) -> list[wire.Request]:
        step = self._client.read_bytes
        return [wire.read(handle, start, min(step, size - start)) for start in range(0, size, step)]

    async def _read_again(self, size: int) -> tuple[wire.Reply, list[wire.Reply]]:
        """What the server says of the closed file, and the bytes in it."""
        found, opened = await self._client.ask([wire.lstat(self._old), wire.open_file(self._old, wire.READ_FLAG)])
        if not isinstance(opened, wire.Handle):
            return found, [opened]
        read: list[wire.Reply] = []
        at = 0
        while at < size:  # one by one: a server may give less than was asked for
            (reply,) = await self._client.ask([wire.read(opened.value, at, min(self._client.read_bytes, size - at))])
            read.append(reply)
            if not isinstance(reply, wire.Data) or not reply.block:
                break
            at += len(reply.block)
        self._client.tell([wire.close(opened.value)])
        return found, read

    def _difference(self, found: wire.Reply, read: list[wire.Reply], whole: bytes | None) -> StoreError | None:
        """The error, if the server has something else than was sent. `read` are the bytes, if they were asked for."""
        if not isinstance(found, wire.Attributes):
            return refused(found, f"look at the size of {self._name}", self._pool.url)
        if found.size != self._size:
            return StoreUnavailableError(
                f"Could not store {self._name} in {self._pool.url}: the server took {self._size} bytes and has "
                f"{found.size}. Try again, and see that its disk is well.",
                code="upload_truncated",
            )
        blocks = [reply.block for reply in read if isinstance(reply, wire.Data)]
        if len(blocks) != len(read):
            failed = next(reply for reply in read if not isinstance(reply, wire.Data))
            return refused(failed, f"read {self._name} back", self._pool.url)
        if read and b"".join(blocks) != whole:
            return read_back_error(self._name, self._pool.url)
        return None

    def _folders(self, *, missing_only: bool) -> list[wire.Request]:
        """Requests that make the folders of the temporary and of the object. That one exists is no error."""
        folder = self._name.rpartition("/")[0]
        names = [self._temporary.rpartition("/")[0]]
        elements = folder.split("/") if folder else []
        names += ["/".join(elements[: count + 1]) for count in range(len(elements))]
        return [
            wire.make_folder(self._pool.place.path(name))
            for name in names
            if not (missing_only and name in self._pool.folders)
        ]

    def _rename(self, *, posix: bool) -> wire.Request:
        return wire.extended(wire.POSIX_RENAME, self._old, self._new) if posix else wire.rename(self._old, self._new)

    async def _rename_until_clear(self, find: Find) -> None:
        """Rename until it is known that it was done."""
        for attempt in range(RENAMES):
            try:
                reply: wire.Reply | None = await self._rename_as_offered()
                if isinstance(reply, wire.Status) and reply.code == wire.OK:
                    return
            except Disconnected as error:
                self._answer_lost = True
                reply = None
                await self._reconnect(find, error)
            if await self._is_named(reply, find, last=attempt == RENAMES - 1):
                return
        raise self._uncertain("it was tried several times")

    async def _rename_as_offered(self) -> wire.Reply:
        (reply,) = await self._client.ask([self._rename(posix=False)])
        if isinstance(reply, wire.Status) and reply.code == wire.OP_UNSUPPORTED:
            return await self._rename_otherwise(reply)
        return reply

    async def _rename_otherwise(self, reply: wire.Reply) -> wire.Reply:
        """On a server without a rename that refuses: look, then use the one that overwrites."""
        if wire.POSIX_RENAME not in self._client.extensions:
            return reply
        final, _ = await self._look()
        return reply if final is not None else (await self._client.ask([self._rename(posix=True)]))[0]

    async def _look(self) -> tuple[wire.Attributes | None, wire.Attributes | None]:
        """What is there under the final name, and under the temporary one."""
        replies = await self._client.ask([wire.lstat(self._new), wire.lstat(self._old)])
        for reply in replies:
            if not isinstance(reply, wire.Attributes) and not is_absent(reply):
                raise refused(reply, f"look at {self._name}", self._pool.url)
        final, temporary = (reply if isinstance(reply, wire.Attributes) else None for reply in replies)
        return final, temporary

    async def _is_named(self, reply: wire.Reply | None, find: Find, *, last: bool) -> bool:
        """See what a rename that was refused, or whose answer is lost, has done; False is to try it again."""
        try:
            final, temporary = await self._look()
        except Disconnected as error:
            await self._reconnect(find, error)
            return False
        if self._answer_lost or reply is None:
            return await self._is_named_after_loss(final, temporary)
        if final is not None:
            raise existing_name_error(self._name, self._pool.url)
        if temporary is None or last or not (is_absent(reply) or _is_failure(reply)):
            raise refused(reply, self._doing, self._pool.url)
        await self._client.ask(self._folders(missing_only=False))  # one may have been taken away since it was made
        return False

    async def _is_named_after_loss(self, final: wire.Attributes | None, temporary: wire.Attributes | None) -> bool:
        if final is not None and temporary is None:
            if final.size == self._size:
                return True
            raise self._uncertain(f"another object of {final.size} bytes has it")
        if final is not None:  # OpenSSH makes a link and then removes the old name: it may be just between the two
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            return False
        if temporary is None:
            raise self._uncertain("neither it nor its temporary is there")
        return False

    async def _reconnect(self, find: Find, error: Disconnected) -> None:
        try:
            self._client = (await find()).client
        except StoreError as second:
            self._pool.leftovers.discard(self._temporary)
            self._exists = False  # what it is called by now is not known, so nothing of it is removed
            raise self._uncertain(f"the server could not be asked again ({error.reason})") from second

    def _uncertain(self, why: str) -> StoreError:
        return uncertain_put_error(self._name, self._pool.url, f"the answer to its renaming was lost, and {why}")

    def _gone(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"Could not store {self._name} in {self._pool.url}: its temporary was taken away. Try again."
        )

    def _open_handle(self) -> bytes:
        if self._handle is None:
            raise self._gone()
        return self._handle

    async def _no_room(self, reply: wire.Reply) -> StoreError:
        """The error for a file that could not be made or filled."""
        found = None
        if _is_failure(reply):
            with contextlib.suppress(Disconnected):
                found = await free_space(self._pool, self._client)
        return no_room(reply, self._doing, self._pool.url, found=found, wanted=max(self._size, 1))


async def free_space(pool: Pool, client: SftpClient) -> wire.FileSystem | None:
    """What the server says of its file system; None if it does not."""
    if wire.STATVFS not in client.extensions:
        return None
    (reply,) = await client.ask([wire.extended(wire.STATVFS, pool.place.path(""))])
    try:
        return wire.decode_file_system(reply.body) if isinstance(reply, wire.Extended) else None
    except wire.WireError:
        return None


async def put_again_connected(pool: Pool) -> Connection:
    """A new connection, waiting for a server that is just being started again."""
    end = asyncio.get_running_loop().time() + pool.login.options.connect_timeout_seconds
    pause = 0.1
    while True:
        try:
            return await pool.small()
        except StoreError as error:
            if not error.retryable or asyncio.get_running_loop().time() + pause > end:
                raise
        except PasswordWanted:
            # Asking and doing all of it again would put the object twice.
            raise StorePermissionError(f"{pool.url} wants a password now.", code="login_refused") from None
        await asyncio.sleep(pause)
        pause = min(2 * pause, 2.0)


def _is_failure(reply: wire.Reply) -> bool:
    return isinstance(reply, wire.Status) and reply.code in (wire.FAILURE, wire.FILE_ALREADY_EXISTS)
