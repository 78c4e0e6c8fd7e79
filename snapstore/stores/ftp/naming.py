"""An object's way to its name: a temporary, which is checked, and then a rename.

Here: `Writer`, which does both steps of a put. Not here: reading, listing, deleting (store.py).

Rules:
- Everything before the rename may be done again: it fails with an error that says so, and takes its temporary away.
- A rename overwrites on many servers. So the name is looked at first, by one put of this process at a time.
- The answer to a rename may get lost. Then the store looks: a final name of the right size is the object; a temporary
  that is still there, and no final name, is renamed again; anything else is "put_uncertain", and never tried again
  under that name, since a name is used once.
- What the server confirmed is not believed before it has told the size, and small objects are read back.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

from ...errors import SnapstoreError, StoreError, StoreUnavailableError
from ...limits import REMOTE_READ_BACK_BYTES
from ..protocol import (
    PUT_UNCERTAIN,
    TEMPORARY_FOLDER,
    existing_name_error,
    new_temporary,
    read_back_error,
    uncertain_put_error,
)
from ..source import ObjectSource
from .client import FtpClient
from .place import Place
from .pool import ClientPool
from .questions import size_of
from .replies import RefusedError, refused_error
from .transfers import BLOCK_BYTES, download, upload

_FIRST_WAIT_SECONDS: Final = 0.3
_ANSWER_LOST: Final = "the connection was lost as it got its name"

_being_named: Final[set[tuple[str, str]]] = set()
_naming_changed: Final = threading.Condition()


@contextlib.contextmanager
def _alone_at(url: str, name: str) -> Iterator[None]:
    """Wait until no other put of this process is about to use the name."""
    key = (url, name)
    with _naming_changed:
        while key in _being_named:
            _naming_changed.wait()
        _being_named.add(key)
    try:
        yield
    finally:
        with _naming_changed:
            _being_named.discard(key)
            _naming_changed.notify_all()


class Writer:
    """Puts objects into a place."""

    def __init__(self, pool: ClientPool, place: Place, station: str) -> None:
        self._pool = pool
        self._place = place
        self._station = station
        self._url = pool.login.url

    def put(self, name: str, source: ObjectSource) -> None:
        """Store an object under a name that is free."""
        temporary = new_temporary(self._station)
        try:
            self._pool.run(partial(self._upload, name=name, temporary=temporary, source=source))
            with _alone_at(self._url, name):
                self._rename(name, temporary, source.size)
        except BaseException as error:
            self._remove(temporary, error)
            raise

    def _upload(self, client: FtpClient, *, name: str, temporary: str, source: ObjectSource) -> None:
        path = self._place.path(client, temporary)
        try:
            self._place.in_folder(client, TEMPORARY_FOLDER, lambda: upload(client, path, source.blocks(BLOCK_BYTES)))
            stored = size_of(client, path)
        except RefusedError as refusal:
            raise refused_error(refusal, f"store {name}", self._url) from refusal
        if stored != source.size:
            self._distrust(client)
            raise StoreUnavailableError(
                f"Could not store {name} in {self._url}: the server confirmed {source.size} bytes and has "
                f"{'none' if stored is None else stored}. Try again.",
                code="upload_truncated",
            )
        if source.size <= REMOTE_READ_BACK_BYTES:
            self._read_back(client, name, path, source)

    def _distrust(self, client: FtpClient) -> None:
        """Ends of files get lost where a server closes its side of TLS 1.3 in the wrong order."""
        if client.uses_tls_1_3:
            self._pool.use_tls_1_2()

    def _read_back(self, client: FtpClient, name: str, path: str, source: ObjectSource) -> None:
        try:
            got = download(client, path, 0, source.size)
        except RefusedError as refusal:
            raise refused_error(refusal, f"read back {name}", self._url) from refusal
        if len(got.data) < source.size:
            raise StoreUnavailableError(
                f"Could not read {name} back from {self._url}: the transfer ended early. Try again.",
                code="connection_lost",
            )
        comparison = source.comparison()
        comparison.update(got.data)
        if got.more or not comparison.holds():
            raise read_back_error(name, self._url)

    def _rename(self, name: str, temporary: str, size: int) -> None:
        """Give the temporary its name, and find out what became of it where the answer is lost."""
        attempt = _Attempt(name, temporary, size)
        last: StoreError | None = None
        for number in range(max(2, self._pool.login.options.attempts)):
            if number:
                time.sleep(_FIRST_WAIT_SECONDS * 2 ** min(number - 1, 4))
            try:
                return self._pool.run(partial(self._rename_once, attempt=attempt))
            except StoreError as error:
                if not attempt.sent:
                    raise
                last = error
            if not isinstance(last, StoreUnavailableError):
                break
        raise uncertain_put_error(name, self._url, _ANSWER_LOST) from last

    def _rename_once(self, client: FtpClient, *, attempt: _Attempt) -> None:
        name, place = attempt.name, self._place
        path, temporary = place.path(client, name), place.path(client, attempt.temporary)
        try:
            if self._is_named(client, path, attempt):
                return
            if attempt.sent and size_of(client, temporary) is None:
                raise uncertain_put_error(name, self._url, _ANSWER_LOST)
            place.in_folder(client, name.rpartition("/")[0], lambda: _send_rename(client, temporary, path, attempt))
        except RefusedError as refusal:
            if self._is_named(client, path, attempt):
                return
            raise refused_error(refusal, f"store {name}", self._url) from refusal

    def _is_named(self, client: FtpClient, path: str, attempt: _Attempt) -> bool:
        """Whether an earlier rename came about after all. Raises where the name is somebody else's."""
        found = size_of(client, path)
        if found is None:
            return False
        if not attempt.sent:
            raise existing_name_error(attempt.name, self._url)
        if found != attempt.size:
            raise uncertain_put_error(attempt.name, self._url, _ANSWER_LOST)
        return True

    def _remove(self, temporary: str, error: BaseException) -> None:
        """Take a temporary away that was not renamed, if the server can be asked. Raises nothing."""
        if not isinstance(error, SnapstoreError) or getattr(error, "code", "") in _SILENT:
            return  # interrupted, or the server is silent: the start of the next run takes it away
        with contextlib.suppress(StoreError, RefusedError):
            self._pool.run(lambda client: client.voidcmd(f"DELE {self._place.path(client, temporary)}"))


_SILENT: Final = frozenset({"store_timeout", PUT_UNCERTAIN, "store_unreachable", "store_closed"})


class _Attempt:
    """A rename, and whether the server may have done it."""

    def __init__(self, name: str, temporary: str, size: int) -> None:
        self.name = name
        self.temporary = temporary
        self.size = size
        self.sent = False


def _send_rename(client: FtpClient, temporary: str, path: str, attempt: _Attempt) -> None:
    client.sendcmd(f"RNFR {temporary}")
    before, attempt.sent = attempt.sent, True
    try:
        client.voidcmd(f"RNTO {path}")
    except RefusedError:
        attempt.sent = before  # this one did not come about
        raise
