"""A store in a folder of an SFTP server.

Here: `SftpStore`, which hands each call to the loop's thread and waits. Not here: what happens there (listing.py,
uploading.py, downloading.py, pool.py).

Addresses: `sftp://user@host:port/path`, the path from the server's root; `/~/path` or `/./path` is below the folder
that the user begins in. Host, port, user and keys may come from `~/.ssh/config`.

Rules: a call that fails because the connection broke says that it may be tried again; the next call connects anew by
itself. A password that has to be asked for is asked for in the caller's thread, once, when it is known that a server
wants it. The store is for one process: in a child of a fork it connects for itself.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, TypeVar

from ...errors import InputError
from ...limits import MIB, REMOTE_READ_BACK_BYTES
from ..address import RemoteAddress
from ..options import StoreOptions
from ..protocol import (
    TEMPORARY_FOLDER,
    StoredObject,
    check_name,
    check_prefix,
    check_range,
    check_station,
    missing_object_error,
)
from ..source import ObjectSource
from . import wire
from .client import Counters, Disconnected
from .connecting import Login
from .downloading import download
from .failures import PasswordWanted, closed, disconnected, refused, vanished
from .keys import Password
from .listing import list_below, list_names
from .loop import LoopEnded, LoopThread, keep_inherited, release, shared_loop
from .pool import Place, Pool, check_root, is_absent
from .uploading import Upload, free_space, put_again_connected

BLOCK_BYTES: Final = 1 * MIB  # handed from thread to thread at once

T = TypeVar("T")
Work = Callable[[Pool], Coroutine[Any, Any, T]]


_ABILITIES: Final = {"fsync": wire.FSYNC, "posix_rename": wire.POSIX_RENAME, "statvfs": wire.STATVFS}


class SftpStore:
    """Objects as files below a folder of an SFTP server; connects when it is made, so that what is wrong shows then.

    `create` makes the last folder of the path and no other. `station` marks this writer's temporaries.
    """

    def __init__(
        self, address: RemoteAddress, options: StoreOptions, *, create: bool = False, station: str = "unnamed"
    ) -> None:
        if address.query:
            raise InputError(
                f"{address.shown}: an SFTP address ends with its path; write %3F for ?.", code="invalid_url"
            )
        self._url = address.shown
        self._options = options
        self._server = address.server
        known = address.password or (None if callable(options.password) else options.password)
        self._password = Password(known, askable=callable(options.password))
        self._counters = Counters()
        self._login = Login(address=address, options=options, password=self._password, counters=self._counters)
        self._place = Place(address.path, self._url, check_station(station))
        self._create = create
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._at_work: tuple[LoopThread, Pool] | None = None
        self._closed = False
        try:
            self._run("open the store", _connected)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The address without a password."""
        return self._url

    @property
    def lanes(self) -> int:
        """See `RemoteStore.lanes`."""
        return max(2, self._options.connections)

    @property
    def round_trips(self) -> int:
        """How often this store waited for a server's answer, however much was asked at once. Logins do not count."""
        return self._counters.waits

    @property
    def handshakes(self) -> int:
        """How many connections this store made."""
        return self._counters.handshakes

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """See `Store.put`."""
        check_name(name)
        source = ObjectSource(data, name, size)
        if source.size <= REMOTE_READ_BACK_BYTES:
            whole = source.read_all()
            self._run(f"store {name}", lambda pool: _put_small(pool, name, whole))
        else:
            self._put_large(name, source)

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """See `Store.get`."""
        check_name(name)
        check_range(offset, size)
        return self._run(f"read {name}", lambda pool: download(pool, name, offset, size))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list`. All of it is read before the first is given."""
        folder = check_prefix(prefix)
        return iter(self._run(f"list {folder or 'the store'}", lambda pool: list_below(pool, folder)))

    def delete(self, name: str) -> None:
        """See `Store.delete`."""
        check_name(name)
        self._run(f"delete {name}", lambda pool: _delete(pool, name))

    def free_bytes(self) -> int | None:
        """What the server offers this user; None where it does not say."""
        found = self._run("ask for the free space", _free_space)
        return None if found is None else found.free_bytes

    def clean_temporaries(self, station: str) -> None:
        """See `Store.clean_temporaries`."""
        start = f"{check_station(station)}-"
        self._run("clean tmp", lambda pool: _clean(pool, start))

    @property
    def abilities(self) -> Mapping[str, bool]:
        """Which of the requests that make a store better the server has."""
        offered = self._run("ask what the server can", _extensions)
        return {name: extension in offered for name, extension in _ABILITIES.items()}

    def remove_folders(self, folders: Sequence[str]) -> None:
        """Remove folders of the store, in this order, and its own, as far as they are empty: the end of a trial."""
        self._run("remove the folder", lambda pool: _remove_folders(pool, folders))

    def close(self) -> None:
        """End the connections. Calls that are under way fail."""
        with self._lock:
            self._closed = True
            at_work, self._at_work = self._at_work, None
        if at_work is None:
            return
        loop, pool = at_work
        if loop.pid != os.getpid():
            keep_inherited(at_work)
            return
        try:
            with contextlib.suppress(LoopEnded):  # the program is at its end
                loop.run(pool.close())
        finally:
            release(loop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put_large(self, name: str, source: ObjectSource) -> None:
        """Over a connection of its own, block by block: this thread reads them, the loop sends them."""
        doing = f"store {name}"
        step = _LargePut(name, source.size)
        try:
            self._run(doing, step.open)
            for block in source.blocks(BLOCK_BYTES):
                self._run(doing, lambda pool, block=block: step.write(block))  # type: ignore[misc]
            self._run(doing, step.finish)
        except BaseException:
            with contextlib.suppress(Exception):
                self._run(doing, step.discard)
            raise

    def _run(self, doing: str, work: Work[T]) -> T:
        """Have it done in the loop's thread. What has to be asked for is asked for here."""
        loop, pool = self._working(doing)
        try:
            while True:
                try:
                    return loop.run(work(pool))
                except PasswordWanted:
                    self._ask()
        except Disconnected as error:
            raise disconnected(error, doing, self._url) from error
        except LoopEnded as error:
            raise closed(doing, self._url) from error

    def _ask(self) -> None:
        with self._asking:
            if self._password.askable:
                self._password.set(self._options.password_for(self._server))

    def _working(self, doing: str) -> tuple[LoopThread, Pool]:
        with self._lock:
            if self._closed:
                raise closed(doing, self._url)
            if self._at_work is not None and self._at_work[0].pid != os.getpid():
                keep_inherited(self._at_work)
                self._at_work = None
            if self._at_work is None:
                self._at_work = (shared_loop(), Pool(self._login, self._place, create=self._create))
            return self._at_work


class _LargePut:
    """An upload in steps, each of which is waited for by the thread that has the bytes."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._held = contextlib.AsyncExitStack()
        self._upload: Upload | None = None

    async def open(self, pool: Pool) -> None:
        connection = await self._held.enter_async_context(pool.lend(self._name))
        self._upload = Upload(pool, connection.client, self._name, self._size)
        await self._upload.open()

    async def write(self, block: bytes) -> None:
        assert self._upload is not None
        await self._upload.write(block)

    async def finish(self, pool: Pool) -> None:
        assert self._upload is not None
        await self._upload.finish()
        await self._upload.publish(lambda: put_again_connected(pool))
        self._upload = None
        await self._held.aclose()

    async def discard(self, pool: Pool) -> None:
        if self._upload is not None:
            await self._upload.discard()
        await self._held.aclose()


async def _connected(pool: Pool) -> None:
    await pool.small()


async def _put_small(pool: Pool, name: str, whole: bytes) -> None:
    connection = await pool.small()
    upload = Upload(pool, connection.client, name, len(whole))
    try:
        await upload.open()
        await upload.finish(whole)
        await upload.publish(lambda: put_again_connected(pool))
    except Exception:
        await upload.discard()
        raise
    except BaseException:  # cancelled: there is no time to wait
        upload.drop()
        raise


async def _delete(pool: Pool, name: str) -> None:
    client = (await pool.small()).client
    pool.forget_file(name)
    root, reply = await client.ask([wire.stat_path(pool.place.path("")), wire.remove(pool.place.path(name))])
    if is_absent(reply):
        check_root(root, pool.url, vanished(pool.url))
        raise missing_object_error(name, pool.url)
    if not isinstance(reply, wire.Status) or reply.code != wire.OK:
        raise refused(reply, f"delete {name}", pool.url)


async def _free_space(pool: Pool) -> wire.FileSystem | None:
    return await free_space(pool, (await pool.small()).client)


async def _clean(pool: Pool, start: str) -> None:
    client = (await pool.small()).client
    found = [name for name in await list_names(pool, TEMPORARY_FOLDER) if name.startswith(start)]
    if not found:
        return
    replies = await client.ask([wire.remove(pool.place.path(f"{TEMPORARY_FOLDER}/{name}")) for name in found])
    for name, reply in zip(found, replies, strict=True):
        if not is_absent(reply) and not (isinstance(reply, wire.Status) and reply.code == wire.OK):
            raise refused(reply, f"remove {TEMPORARY_FOLDER}/{name}", pool.url)


async def _extensions(pool: Pool) -> frozenset[str]:
    return (await pool.small()).client.extensions


async def _remove_folders(pool: Pool, folders: Sequence[str]) -> None:
    client = (await pool.small()).client
    *_, reply = await client.ask([wire.remove_folder(pool.place.path(folder)) for folder in (*folders, "")])
    if not (isinstance(reply, wire.Status) and reply.code == wire.OK):
        raise refused(reply, "remove the folder", pool.url)
