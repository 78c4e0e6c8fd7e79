"""The folder on a server that a store lies in.

Here: `Place`: its paths, whether it is there, the folders below it, and whether something is truly absent. Not here:
objects (store.py, naming.py).

Rules: a path is relative to the folder that a login starts in (RFC 1738); with two slashes it is absolute. What a
server refuses is called absent only where the folder above it was listed in full and has nothing of that name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from ...errors import StoreError, StorePermissionError, StoreUnavailableError
from ..oserrors import vanished
from .client import FtpClient
from .listing import Entry, Kind, read_folder, settled
from .questions import is_folder
from .replies import NO_SUCH_FILE, NO_SUCH_FOLDER, RefusedError, refused_error

_T = TypeVar("_T")


class Place:
    """The folder at a path of an address, whichever connection it is reached by."""

    def __init__(self, address_path: str, url: str) -> None:
        self._relative = address_path.removeprefix("/")
        self._url = url
        self._made: set[str] = set()
        self._lock = threading.Lock()

    def path(self, client: FtpClient, name: str = "") -> str:
        """The absolute path of an object or folder; "" is the store's own folder."""
        home = client.home.rstrip("/")
        start = self._relative if self._relative.startswith("/") else f"{home}/{self._relative}"
        return "/".join(part for part in (start.rstrip("/"), name) if part) or "/"

    def open(self, client: FtpClient, *, create: bool) -> None:
        """Look whether the folder is there; `create` makes it, and none above it."""
        path = self.path(client)
        if is_folder(client, path):
            return
        refusal: RefusedError | None = None
        if create:
            try:
                client.voidcmd(f"MKD {path}")
            except RefusedError as error:
                refusal = error
            if is_folder(client, path):
                return
        if self._is_listed(client, path):
            raise StorePermissionError(
                f"{self._url} is there and cannot be entered: see that the user may, and that it is a folder."
            )
        above = path.rpartition("/")[0] or "/"
        if refusal is not None and is_folder(client, above):
            raise refused_error(refusal, "make the folder", self._url)
        raise StoreUnavailableError(
            f"There is no folder {self._url}: see that the address is right, or make the folder.",
            code="store_absent",
            retryable=False,
        )

    def check(self, client: FtpClient) -> None:
        """Raise unless the folder is there."""
        if not is_folder(client, self.path(client)):
            raise vanished(self._url)

    def entries(self, client: FtpClient, folder: str, *, sure: bool = False) -> list[Entry]:
        """All that is in a folder of the store; nothing where it is absent for sure. `sure`: see `read_folder`."""
        try:
            return read_folder(client, self.path(client, folder), sure=sure)
        except RefusedError as refusal:
            if refusal.code in NO_SUCH_FOLDER and self.is_absent(client, folder):
                return []
            raise refused_error(refusal, f"list {folder or 'the store'}", self._url) from refusal

    def is_absent(self, client: FtpClient, name: str) -> bool:
        """Whether nothing is at a name for sure, after something was refused. Raises where the store itself is gone."""
        if not name:
            self.check(client)
            return False
        folder, _, element = name.rpartition("/")
        try:
            entries = read_folder(client, self.path(client, folder))
        except RefusedError as refusal:
            if refusal.code not in NO_SUCH_FOLDER:
                raise
            return self.is_absent(client, folder)
        return all(entry.name != element for entry in entries)

    def is_no_object(self, client: FtpClient, name: str) -> bool:
        """Whether no file is at a name for sure: nothing, or a folder."""
        if self.is_absent(client, name):
            return True
        folder, _, element = name.rpartition("/")
        unsure = [Entry(element, Kind.UNKNOWN)]
        return any(entry.kind is Kind.FOLDER for entry in settled(client, self.path(client, folder), unsure))

    def in_folder(self, client: FtpClient, folder: str, action: Callable[[], _T]) -> _T:
        """Do something that needs the folder, which is made where it is missing. Raises RefusedError."""
        self._make(client, folder)
        try:
            return action()
        except RefusedError as refusal:
            if refusal.code not in NO_SUCH_FILE:
                raise
        # The folder may have been removed since it was made. If it was not, the second refusal counts.
        self.check(client)
        with self._lock:
            self._made.clear()
        self._make(client, folder)
        return action()

    def _make(self, client: FtpClient, folder: str) -> None:
        elements = folder.split("/") if folder else []
        if folder in self._made:
            return
        path = self.path(client, folder)
        if not is_folder(client, path):
            for depth in range(1, len(elements) + 1):
                self._make_one(client, "/".join(elements[:depth]))
        with self._lock:
            self._made.add(folder)

    def _make_one(self, client: FtpClient, folder: str) -> None:
        if folder in self._made:
            return
        path = self.path(client, folder)
        try:
            client.voidcmd(f"MKD {path}")
        except RefusedError as refusal:
            if not is_folder(client, path):  # else it was there, or another made it meanwhile
                self.check(client)
                raise refused_error(refusal, f"make the folder {folder}", self._url) from refusal
        with self._lock:
            self._made.add(folder)

    def _is_listed(self, client: FtpClient, path: str) -> bool:
        above, _, element = path.rpartition("/")
        try:
            return any(entry.name == element for entry in read_folder(client, above or "/"))
        except (RefusedError, StoreError):
            return False
