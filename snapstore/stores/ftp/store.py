"""A store on an FTP server.

Here: `FtpStore`, the `Store` over FTP, and over FTP with TLS. Not here: its parts (see the package).

    ftp://user@host/folder                 in clear; what is stored is encrypted, the password is not
    ftps://user@host/folder                TLS, asked for by AUTH TLS on port 21
    ftps://user@host:990/folder            TLS from the first byte on; elsewhere with ?tls=implicit

Rules: see the package. Every operation begins with a command that may be repeated. There is no durable sync in FTP,
so an object that was put is as safe as the server makes it; and between looking whether a name is free and using it,
another process could use it too, were names not drawn at random.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import BinaryIO, Final, Self

from ...errors import StoreError, StoreUnavailableError
from ...limits import MAX_OBJECT_BYTES
from ..address import RemoteAddress
from ..options import StoreOptions
from ..protocol import (
    TEMPORARY_FOLDER,
    StoredObject,
    check_name,
    check_prefix,
    check_range,
    check_station,
    is_folder,
    is_name,
    missing_object_error,
    oversized_object_error,
    short_object_error,
)
from ..source import ObjectSource
from .client import FtpClient
from .listing import Kind, settled
from .login import Login
from .naming import Writer
from .place import Place
from .pool import ClientPool
from .questions import size_of
from .replies import NO_SUCH_FILE, RefusedError, is_lost, lost_error, number_of, refused_error
from .transfers import download

PASSWORD_IN_CLEAR: Final = "password_in_clear"


_ABILITIES: Final = ("MLSD", "REST", "SIZE", "AVBL")


class FtpStore:
    """Objects as files below a folder of an FTP server.

    `create` makes the last folder of the path and no other. `station` marks this writer's temporaries.
    """

    def __init__(
        self, address: RemoteAddress, options: StoreOptions, *, create: bool = False, station: str = "unnamed"
    ) -> None:
        self._station = check_station(station)
        login = Login.of(address, options)
        self._url = login.url
        self._notices = _notices(login)
        self._pool = ClientPool(login)
        self._place = Place(address.path, self._url)
        self._writer = Writer(self._pool, self._place, self._station)
        try:
            self._pool.run(partial(self._place.open, create=create))
            if login.secure and not login.traits.proven:
                self._prove_data_connections()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The address, without its password."""
        return self._url

    @property
    def lanes(self) -> int:
        """How many connections there may be."""
        return max(2, self._pool.lanes)

    @property
    def notices(self) -> tuple[tuple[str, str], ...]:
        """What the user should be told, as codes and texts: once a process for each server, with its first store."""
        return self._notices

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """See `Store.put`. What cannot be found out about it raises the code "put_uncertain"."""
        check_name(name)
        self._writer.put(name, ObjectSource(data, name, size))

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """See `Store.get`."""
        check_name(name)
        check_range(offset, size)
        return self._pool.run(partial(self._get, name=name, offset=offset, size=size))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list`. All of it is there before the first is given; folders are read side by side."""
        folder = check_prefix(prefix)
        if folder == TEMPORARY_FOLDER:
            self._pool.run(self._place.check)
            return iter(())
        objects: builtins.list[StoredObject] = []
        level = [folder]
        while level:
            scans = self._pool.map(partial(self._scan, sure=level != [folder]), level)
            objects += [found for scan, _ in scans for found in scan]
            level = [below for _, folders in scans for below in folders]
        return iter(objects)

    def delete(self, name: str) -> None:
        """See `Store.delete`. Where the answer is lost, it is found out whether the object is gone."""
        check_name(name)
        sent: builtins.list[bool] = []
        for last in (False, True):
            try:
                return self._pool.run(partial(self._delete, name=name, sent=sent))
            except StoreError as error:
                if last or not sent or not is_lost(error):
                    raise
        return None

    def free_bytes(self) -> int | None:
        """What a server with the command AVBL says; most have none, and there is no other way to ask."""
        return self._pool.run(self._free_bytes)

    def clean_temporaries(self, station: str) -> None:
        """See `Store.clean_temporaries`."""
        start = f"{check_station(station)}-"
        self._pool.run(partial(self._clean, start=start))

    @property
    def abilities(self) -> Mapping[str, bool]:
        """Which of the commands that make a store better the server has."""
        offered = self._pool.run(
            lambda client: frozenset(client.features) | ({"MLSD"} if client.machine_listings else set())
        )
        return {"tls": self._pool.login.secure, **{name.lower(): name in offered for name in _ABILITIES}}

    def remove_folders(self, folders: Sequence[str]) -> None:
        """Remove folders of the store, in this order, and its own, as far as they are empty: the end of a trial."""
        self._pool.run(partial(self._remove_folders, folders=(*folders, "")))

    def close(self) -> None:
        """Close the connections; those in use are closed when they are through."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prove_data_connections(self) -> None:
        """See that data connections come about, and without TLS 1.3 if that is what hinders them."""
        login = self._pool.login

        try:
            self._pool.run(lambda client: self._place.entries(client, ""))
        except StoreError as error:
            if login.traits.tls_1_2 or error.code == "certificate_refused":
                raise
            self._pool.use_tls_1_2()
            try:
                self._pool.run(lambda client: self._place.entries(client, ""))
            except StoreError:
                login.traits.tls_1_2 = False
                raise error from None
        login.traits.proven = True

    def _get(self, client: FtpClient, *, name: str, offset: int, size: int | None) -> bytes:
        if size is None or size == 0 or size > MAX_OBJECT_BYTES:
            stored = self._size(client, name)
            wanted = self._within(name, stored, offset, size)
        else:
            stored, wanted = None, size
        if wanted == 0:
            return b""
        try:
            got = download(client, self._place.path(client, name), offset, wanted)
        except RefusedError as refusal:
            self._within(name, self._size(client, name), offset, size)  # absent, or too short
            raise refused_error(refusal, f"read {name}", self._url) from refusal
        if len(got.data) < wanted:
            self._within(name, self._size(client, name), offset, size)
            raise lost_error(self._url, f"{name} ended after {len(got.data)} bytes of {wanted}")
        if got.more and stored is not None and size is None:
            raise StoreUnavailableError(
                f"{self._url} says that {name} has {stored} bytes and sends more: see that the server is well.",
                code="store_size_differs",
            )
        return got.data

    def _within(self, name: str, stored: int, offset: int, size: int | None) -> int:
        """How many bytes to read, of a range that lies within an object."""
        end = max(stored, offset) if size is None else offset + size
        if end > stored:
            raise short_object_error(name, self._url, end, stored)
        if end - offset > MAX_OBJECT_BYTES:
            raise oversized_object_error(name, self._url, stored)
        return end - offset

    def _size(self, client: FtpClient, name: str) -> int:
        """The size of an object. Raises ObjectNotFoundError only where it is absent for sure."""
        try:
            size = size_of(client, self._place.path(client, name))
        except RefusedError as refusal:
            raise refused_error(refusal, f"look at {name}", self._url) from refusal
        if size is not None:
            return size
        if self._place.is_no_object(client, name):
            raise missing_object_error(name, self._url)
        raise refused_error(RefusedError(550, "no size", "SIZE"), f"look at {name}", self._url)

    def _scan(
        self, client: FtpClient, folder: str, *, sure: bool
    ) -> tuple[builtins.list[StoredObject], builtins.list[str]]:
        """The objects and folders of the store right in a folder."""
        start = f"{folder}/" if folder else ""
        objects: builtins.list[StoredObject] = []
        folders: builtins.list[str] = []
        ours = [
            entry
            for entry in self._place.entries(client, folder, sure=sure)
            if is_name(start + entry.name) or is_folder(start + entry.name)
        ]
        try:
            for entry in settled(client, self._place.path(client, folder), ours):
                name = start + entry.name
                if entry.kind is Kind.FILE and is_name(name):
                    objects.append(StoredObject(name, entry.size or 0))
                elif entry.kind is Kind.FOLDER and is_folder(name):
                    folders.append(name)
        except RefusedError as refusal:
            raise refused_error(refusal, f"list {folder or 'the store'}", self._url) from refusal
        return objects, folders

    def _delete(self, client: FtpClient, *, name: str, sent: builtins.list[bool]) -> None:
        path = self._place.path(client, name)
        if size_of(client, path) is None and self._place.is_no_object(client, name):
            if sent:
                return  # by the command whose answer was lost
            raise missing_object_error(name, self._url)
        sent.append(True)
        try:
            client.voidcmd(f"DELE {path}")
        except RefusedError as refusal:
            if self._place.is_absent(client, name):
                raise missing_object_error(name, self._url) from refusal
            raise refused_error(refusal, f"delete {name}", self._url) from refusal

    def _free_bytes(self, client: FtpClient) -> int | None:
        if "AVBL" not in client.features:
            return None
        try:
            return number_of(client.voidcmd(f"AVBL {self._place.path(client)}")[3:])
        except RefusedError:
            return None

    def _clean(self, client: FtpClient, *, start: str) -> None:
        leftovers = [entry for entry in self._place.entries(client, TEMPORARY_FOLDER) if entry.name.startswith(start)]
        for leftover in leftovers:
            name = f"{TEMPORARY_FOLDER}/{leftover.name}"
            try:
                client.voidcmd(f"DELE {self._place.path(client, name)}")
            except RefusedError as refusal:
                if refusal.code in NO_SUCH_FILE and self._place.is_absent(client, name):
                    continue
                raise refused_error(refusal, f"remove {name}", self._url) from refusal

    def _remove_folders(self, client: FtpClient, *, folders: Sequence[str]) -> None:
        for folder in folders:
            try:
                client.voidcmd(f"RMD {self._place.path(client, folder)}")
            except RefusedError as refusal:
                if not folder:
                    raise refused_error(refusal, "remove the folder", self._url) from refusal


def _notices(login: Login) -> tuple[tuple[str, str], ...]:
    if login.secure or login.traits.warned:
        return ()
    login.traits.warned = True
    return (
        (
            PASSWORD_IN_CLEAR,
            f"The password for {login.server} travels in clear over the network. What is stored there is encrypted "
            "all the same; use ftps:// if the server has it.",
        ),
    )
