"""The connections of one store, and what it knows of its server.

Here: `Connection`, `Pool`, `Place` (names to paths). Not here: how a connection is made (connecting.py) and what is
done over it.

Rules: all of it runs in the loop's thread. One connection is for everything small, and is shared: what is asked there
goes out at once and is answered in order. Each of up to `options.connections` more is lent to one transfer at a time:
several files side by side over one connection were slower than one after the other. A broken connection is dropped
when it is found, and the next who needs one gets a new one. Before a connection is used the store's folder is looked
at, so a server that lost its disk is not taken for an empty store.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Final

from ...errors import StoreError
from . import wire
from .client import Counters, Disconnected, SftpClient
from .connecting import Link, Login, connect
from .failures import absent, closed, disconnected, no_folder, refused

HANDLES_KEPT: Final = 8  # of each connection
HANDLE_IDLE_SECONDS: Final = 20.0  # then it is closed: a server on Windows deletes no open file
CLOSE_SECONDS: Final = 2.0


class Place:
    """Where the store lies on its server."""

    def __init__(self, path: str, url: str, station: str) -> None:
        # "/~/x" and "/./x" are below the folder that the user begins in, where all relative paths start.
        if path in ("/~", "/."):
            path = "."
        elif path.startswith(("/~/", "/./")):
            path = path[3:] or "."
        self._root = path or "/"
        self._start = f"{path}/"
        self.station = station
        self.url = url

    def path(self, name: str) -> bytes:
        """The path of an object, or of a folder; "" is the store's own folder."""
        return (self._start + name if name else self._root).encode()


class OpenFile:
    """A file that is kept open for reading."""

    __slots__ = ("handle", "users")

    def __init__(self, handle: bytes) -> None:
        self.handle = handle
        self.users = 0


class Connection:
    """One SFTP channel, and the files that are kept open on it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.client: SftpClient = link.client
        self._files: OrderedDict[str, OpenFile] = OrderedDict()
        self._idle: asyncio.TimerHandle | None = None

    def kept(self, name: str) -> OpenFile | None:
        """The open file of that name, if there is one, as the last used."""
        file = self._files.get(name)
        if file is not None:
            self._files.move_to_end(name)
            self._set_timer()
        return file

    def keep(self, name: str, handle: bytes) -> OpenFile:
        """Keep a file open, and close the one that was not used for the longest time."""
        file = OpenFile(handle)
        if name in self._files:  # somebody else opened it meanwhile: his goes when he has read
            self.forget(name)
        self._files[name] = file
        idle = [other for other, kept in self._files.items() if not kept.users and other != name]
        if len(self._files) > HANDLES_KEPT and idle:
            self.forget(idle[0])
        self._set_timer()
        return file

    def forget(self, name: str) -> None:
        """Close a file. What was asked of it before is answered before."""
        file = self._files.pop(name, None)
        if file is not None:
            with contextlib.suppress(Disconnected):
                self.client.tell([wire.close(file.handle)])

    def forget_all(self) -> None:
        """Close all files that nobody reads at the moment."""
        for name in [name for name, file in self._files.items() if not file.users]:
            self.forget(name)

    def _set_timer(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(HANDLE_IDLE_SECONDS, self.forget_all)

    def abort(self) -> None:
        """Drop it."""
        if self._idle is not None:
            self._idle.cancel()
        self.link.abort()

    async def close(self) -> None:
        """End it in good order."""
        if self._idle is not None:
            self._idle.cancel()
        await self.link.close()


class Pool:
    """The connections of one store."""

    def __init__(self, login: Login, place: Place, *, create: bool) -> None:
        self.login = login
        self.place = place
        self.counters: Counters = login.counters
        self._create = create
        self._opened = False
        self._closed = False
        self._failure: StoreError | None = None
        self._small: Connection | None = None
        self._connecting = asyncio.Lock()
        self._free: list[Connection] = []
        self._lent: set[Connection] = set()
        self._room = asyncio.Semaphore(max(1, login.options.connections))
        self.folders: set[str] = set()
        """Folders that are known to exist, so that they need not be made."""
        self.listed: dict[str, tuple[tuple[str, ...], int]] = {}
        """What folders held when they were last listed: their folders, and how many names."""
        self.leftovers: set[str] = set()
        """Temporaries that could not be removed because the connection was gone."""

    @property
    def url(self) -> str:
        """The store's address."""
        return self.place.url

    async def small(self) -> Connection:
        """The connection for what is small. Raises StoreError or PasswordWanted."""
        failure = self._failure
        async with self._connecting:
            if self._small is not None and not self._small.client.broken:
                return self._small
            if self._failure is not None and self._failure is not failure:
                raise copy.copy(self._failure)  # of a try meanwhile: one after the other they would wait for minutes
            if self._small is not None:
                self._small.abort()
                self._small = None
            try:
                self._small = await self._new()
            except StoreError as error:
                self._failure = error
                raise
            return self._small

    @contextlib.asynccontextmanager
    async def lend(self, name: str) -> AsyncIterator[Connection]:
        """A connection for one transfer; one that has the file open already, if there is one."""
        async with self._room:
            connection = self._take(name) or await self._new()
            self._lent.add(connection)
            try:
                yield connection
            finally:
                self._lent.discard(connection)
                if connection.client.broken:
                    connection.abort()
                else:
                    self._free.append(connection)

    def forget_file(self, name: str) -> None:
        """Close a file wherever it is kept open."""
        for connection in (self._small, *self._free, *self._lent):
            if connection is not None:
                connection.forget(name)

    async def close(self) -> None:
        """End all connections, and those that are just being made."""
        self._closed = True
        connections = [self._small, *self._free, *self._lent]
        self._small, self._free = None, []
        there = [connection for connection in connections if connection is not None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(connection.close() for connection in there))
        for connection in there:
            connection.abort()

    def _take(self, name: str) -> Connection | None:
        for broken in [connection for connection in self._free if connection.client.broken]:
            self._free.remove(broken)
            broken.abort()
        if not self._free:
            return None
        chosen = next((connection for connection in self._free if connection.kept(name)), self._free[-1])
        self._free.remove(chosen)
        return chosen

    async def _new(self) -> Connection:
        connection = Connection(await connect(self.login))
        try:
            await self._look(connection.client)
        except Disconnected as error:
            connection.abort()
            raise disconnected(error, "open the store", self.url) from error
        except BaseException:
            connection.abort()
            raise
        if self._closed:
            connection.abort()
            raise closed("connect", self.url)
        self._opened = True
        return connection

    async def _look(self, client: SftpClient) -> None:
        """See that the store's folder is there, and what the server can; remove what was left on a lost connection."""
        root = self.place.path("")
        asked = [wire.stat_path(root)]
        if wire.LIMITS in client.extensions:
            asked.append(wire.extended(wire.LIMITS))
        found, *limits = await client.send(asked).replies()  # a part of connecting, so not counted
        if limits and isinstance(limits[0], wire.Extended):
            with contextlib.suppress(wire.WireError):  # then the usual limits hold
                client.set_limits(wire.decode_limits(limits[0].body))
        if is_absent(found) and self._create and not self._opened:
            made, found = await client.send([wire.make_folder(root), wire.stat_path(root)]).replies()
            if is_absent(found) and not is_absent(made):  # two may make it at once: what counts is whether it is there
                raise refused(made, "make the folder", self.url)
        check_root(found, self.url)
        leftovers, self.leftovers = self.leftovers, set()
        client.tell([wire.remove(self.place.path(name)) for name in leftovers])


def is_absent(reply: wire.Reply) -> bool:
    """Whether a reply says that there is no such file."""
    return isinstance(reply, wire.Status) and reply.code == wire.NO_SUCH_FILE


def check_root(reply: wire.Reply, url: str, absence: StoreError | None = None) -> None:
    """Raise unless this, which was said of the store's folder, says that it is a folder."""
    if is_absent(reply):
        raise absence or absent(url)
    if not isinstance(reply, wire.Attributes):
        raise refused(reply, "look at the store's folder", url)
    if not reply.is_folder:
        raise no_folder(url)
