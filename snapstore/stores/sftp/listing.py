"""Listing a folder of an SFTP store with all that is below it.

Here: `list_below`. Not here: what is done with it.

Rules: it is done in rounds, one way to the server and back each: in a round all folders that may be opened are opened,
and of all that are open the next names are asked for, several messages at once. Folders that an earlier listing found
are opened together with the one above them; whether they exist is decided by that one alone. So 16 folders of packs
that were listed before take two rounds. Anything but the absence of the folder in a store that is there is an error:
a listing is complete, or there is none.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from typing import Final

from ...limits import LISTING_MAX_NAMES
from ..protocol import StoredObject, endless_listing_error, is_folder, is_name
from . import wire
from .client import SftpClient
from .failures import refused, vanished
from .pool import Pool, check_root, is_absent

FOLDERS_AT_ONCE: Final = 64  # open handles of one listing; OpenSSH allows hundreds
LOOKS_AT_ONCE: Final = 256
FIRST_BURST: Final = 4  # messages of names: OpenSSH puts 100 into one
LAST_BURST: Final = 32
NAMES_A_MESSAGE: Final = 100


async def list_below(pool: Pool, folder: str) -> list[StoredObject]:
    """All objects below the folder. Raises StoreError or Disconnected."""
    connection = await pool.small()
    listing = _Listing(pool, connection.client, folder)
    try:
        await listing.run()
    finally:
        listing.close()
    return listing.objects()


async def list_names(pool: Pool, folder: str) -> list[str]:
    """The names of all that lies right in a folder, whoever put it there. An absent folder has none."""
    client = (await pool.small()).client
    asked = [wire.open_folder(pool.place.path(folder)), wire.stat_path(pool.place.path(""))]
    opened, root = await client.ask(asked)
    check_root(root, pool.url, vanished(pool.url))
    if is_absent(opened):
        return []
    if not isinstance(opened, wire.Handle):
        raise refused(opened, f"list {folder}", pool.url)
    names: list[str] = []
    try:
        while True:
            for reply in await client.ask([wire.read_folder(opened.value)] * FIRST_BURST):
                if isinstance(reply, wire.Status) and reply.code == wire.EOF:
                    return names
                if is_absent(reply) and not names:  # asyncssh's server opens anything and looks afterwards
                    return names
                if not isinstance(reply, wire.Names):
                    raise refused(reply, f"list {folder}", pool.url)
                names += [entry.name.decode("utf-8", "replace") for entry in reply.entries if b"/" not in entry.name]
                if len(names) > LISTING_MAX_NAMES:
                    raise endless_listing_error(folder, pool.url)
    finally:
        if not client.broken:
            client.tell([wire.close(opened.value)])


class _Folder:
    """One folder, being read."""

    def __init__(self, name: str, burst: int) -> None:
        self.name = name
        self.handle: bytes | None = None
        self.burst = burst
        self.entries: dict[str, wire.Attributes] = {}
        self.unclear: list[str] = []
        """Names whose size or kind the server did not give, and links."""
        self.count = 0
        """Of the names that were given, whoever's they are."""
        self.begun = False
        self.read = False
        self.there = True

    @property
    def done(self) -> bool:
        """Whether all of it is known."""
        return self.read and not self.unclear

    def full_name(self, name: str) -> str:
        """The name in the store of something in this folder."""
        return f"{self.name}/{name}" if self.name else name

    def take(self, entries: Sequence[wire.Entry]) -> None:
        """Keep what can be the store's."""
        self.count += len(entries)
        for entry in entries:
            try:
                name = entry.name.decode("ascii")
            except UnicodeDecodeError:
                continue
            full = self.full_name(name)
            if "/" in name or not (is_name(full) or is_folder(full)):
                continue
            kind = 0 if entry.attributes.mode is None else stat.S_IFMT(entry.attributes.mode)
            self.entries[name] = entry.attributes
            if kind in (0, stat.S_IFLNK) or entry.attributes.size is None:
                self.unclear.append(name)

    def objects(self) -> list[StoredObject]:
        """The objects right in it."""
        return [
            StoredObject(self.full_name(name), found.size or 0)
            for name, found in self.entries.items()
            if found.is_file and is_name(self.full_name(name))
        ]

    def folders(self) -> list[str]:
        """The folders right in it, by full name."""
        return [
            self.full_name(name)
            for name, found in self.entries.items()
            if found.is_folder and is_folder(self.full_name(name))
        ]


class _Listing:
    """The rounds of one listing."""

    def __init__(self, pool: Pool, client: SftpClient, top: str) -> None:
        self._pool = pool
        self._client = client
        self._top = top
        self._folders: dict[str, _Folder] = {}
        self._certain = {top}
        """Folders that the one above them shows."""
        self._to_open: list[str] = []
        self._reading: list[_Folder] = []
        self._plan(top)

    async def run(self) -> None:
        """Read until all that is certain is known."""
        first = True
        while self._to_open or self._reading:
            await self._round(with_root=first)
            first = False
            self._go_on()

    def objects(self) -> list[StoredObject]:
        """All objects; and what was found is remembered for the next listing."""
        found: list[StoredObject] = []
        waiting = [self._top]
        while waiting:
            folder = self._folders[waiting.pop()]
            below = folder.folders()
            waiting += below
            found += folder.objects()
            if folder.there:
                self._pool.listed[folder.name] = (tuple(below), len(folder.entries))
                self._pool.folders.add(folder.name)
            else:
                self._pool.listed.pop(folder.name, None)
                self._pool.folders.discard(folder.name)
        return found

    def close(self) -> None:
        """Close what an error left open."""
        left = [folder.handle for folder in self._reading if folder.handle is not None]
        if not self._client.broken:
            self._client.tell([wire.close(handle) for handle in left])

    def _plan(self, name: str) -> None:
        """Open the folder in the next round, and those below it that were there the last time."""
        below, count = self._pool.listed.get(name, ((), 0))
        burst = max(FIRST_BURST, min(count // NAMES_A_MESSAGE + 2, LAST_BURST))
        self._folders[name] = _Folder(name, burst)
        self._to_open.append(name)
        for folder in below:
            if folder not in self._folders:
                self._plan(folder)

    async def _round(self, *, with_root: bool) -> None:
        """Ask for as much as can be asked for now, and take the answers."""
        room = max(0, FOLDERS_AT_ONCE - len(self._reading))
        opening = [self._folders[name] for name in self._to_open[:room]]
        del self._to_open[:room]
        reading = [folder for folder in self._reading if not folder.read]
        looking = [(folder, name) for folder in self._reading for name in folder.unclear if folder.read][:LOOKS_AT_ONCE]
        path = self._pool.place.path
        asked = [wire.open_folder(path(folder.name)) for folder in opening]
        asked += [
            wire.read_folder(folder.handle)
            for folder in reading
            if folder.handle is not None
            for _ in range(folder.burst)
        ]
        asked += [wire.stat_path(path(folder.full_name(name))) for folder, name in looking]
        if with_root:
            asked.append(wire.stat_path(path("")))
        replies = iter(await self._client.ask(asked))
        opened = [(folder, next(replies)) for folder in opening]
        for folder, reply in opened:  # all handles are noted before anything can be raised
            if isinstance(reply, wire.Handle):
                folder.handle = reply.value
                self._reading.append(folder)
        for folder in reading:
            self._take_names(folder, [next(replies) for _ in range(folder.burst)])
        for folder, name in looking:
            self._take_look(folder, name, next(replies))
        if with_root:
            check_root(next(replies), self._pool.url, vanished(self._pool.url))
        for folder, reply in opened:
            if not isinstance(reply, wire.Handle):
                self._take_refusal(folder, reply)

    def _take_names(self, folder: _Folder, replies: list[wire.Reply]) -> None:
        if not folder.begun and is_absent(replies[0]):  # asyncssh's server opens anything and looks afterwards
            self._take_refusal(folder, replies[0])
            replies = []
        folder.begun = True
        for reply in replies:
            if isinstance(reply, wire.Names):
                if folder.read:
                    raise refused(reply, f"list {folder.name or 'the store'}", self._pool.url)
                folder.take(reply.entries)
                if folder.count > LISTING_MAX_NAMES:
                    raise endless_listing_error(folder.name, self._pool.url)
            elif isinstance(reply, wire.Status) and reply.code == wire.EOF:
                folder.read = True
            else:
                raise refused(reply, f"list {folder.name or 'the store'}", self._pool.url)
        if folder.read and folder.handle is not None:
            self._client.tell([wire.close(folder.handle)])
            folder.handle = None
        folder.burst = min(2 * folder.burst, LAST_BURST)

    def _take_look(self, folder: _Folder, name: str, reply: wire.Reply) -> None:
        folder.unclear.remove(name)
        if isinstance(reply, wire.Attributes):
            folder.entries[name] = reply
        elif is_absent(reply):  # deleted meanwhile, or a link to nothing
            del folder.entries[name]
        else:
            raise refused(reply, f"look at {folder.full_name(name)}", self._pool.url)

    def _take_refusal(self, folder: _Folder, reply: wire.Reply) -> None:
        """A folder that cannot be opened: absent, or one that only an earlier listing showed, or an error."""
        if is_absent(reply) or folder.name not in self._certain:
            folder.read, folder.there = True, False
        else:
            raise refused(reply, f"list {folder.name or 'the store'}", self._pool.url)

    def _go_on(self) -> None:
        """See which folders are known now, and which are to be opened because of them."""
        self._reading = [folder for folder in self._reading if not folder.done]
        waiting = [self._top]
        while waiting:
            folder = self._folders[waiting.pop()]
            if not folder.done:
                continue
            for name in folder.folders():
                if name not in self._certain:
                    self._certain.add(name)
                    known = self._folders.get(name)
                    # Refused when it was opened on a guess: now that it is known to be there, that counts.
                    if known is None or (known.read and not known.there):
                        self._plan(name)
                waiting.append(name)
