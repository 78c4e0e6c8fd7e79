"""Several connections to one server, opened as they are needed.

Here: `ClientPool`. Not here: the connections (client.py), or what is done with them.

Rules:
- A connection is used by one operation at a time, and kept afterwards if it is in step.
- Servers close connections that were idle, without being asked. Where one has not answered even the first command of
  an operation, the operation is begun again on a new connection, once. So the first command of every operation must be
  one that may be repeated.
- A server that takes no further connection, while it takes others of ours, has said how many there may be.
- After a fork the child opens connections of its own. Nothing waits for anything when the interpreter ends.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from ...errors import StoreError, StorePermissionError, StoreUnavailableError
from . import tls
from .client import FtpClient
from .login import Login
from .questions import is_well
from .replies import RefusedError, refused_error

_IDLE_SECONDS: Final = 30.0
_T = TypeVar("_T")
_U = TypeVar("_U")


class ClientPool:
    """At most `options.connections` clients of one login."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.lanes = max(1, login.options.connections)
        self._context = tls.new_context(login) if login.secure else None
        self._begin()
        self._closed = False

    def _begin(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._idle: list[FtpClient] = []
        self._open = 0
        self._limit = self.lanes

    def run(self, operation: Callable[[FtpClient], _T]) -> _T:
        """Do something with a client that nobody else uses meanwhile."""
        client, is_new = self._take()
        try:
            try:
                return operation(client)
            except StoreUnavailableError:
                if is_new or client.answers or not client.lost:
                    raise
            client.close()
            client = self._connected()
            return operation(client)
        except RefusedError as refusal:
            raise refused_error(refusal, f"do {refusal.command}", self.login.url) from refusal
        finally:
            self._give_back(client)

    def map(self, operation: Callable[[FtpClient, _T], _U], items: Sequence[_T]) -> list[_U]:
        """Do something for each item, several at the same time where there are several."""
        threads = min(self.lanes, len(items))
        if threads <= 1:
            return [self.run(lambda client, item=item: operation(client, item)) for item in items]  # type: ignore[misc]
        with ThreadPoolExecutor(threads, thread_name_prefix="snapstore-ftp") as executor:
            futures = [executor.submit(self.run, lambda client, item=item: operation(client, item)) for item in items]
            try:
                return [future.result() for future in futures]
            finally:
                executor.shutdown(cancel_futures=True)

    def use_tls_1_2(self) -> None:
        """From now on, and for all stores on this server, data does not go over TLS 1.3."""
        self.login.traits.tls_1_2 = True
        self._context = tls.new_context(self.login)

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        self._closed = True
        if self._process != os.getpid():
            return
        with self._changed:
            idle, self._idle = self._idle, []
            self._open -= len(idle)
            self._changed.notify_all()
        for client in idle:
            client.leave()

    def _take(self) -> tuple[FtpClient, bool]:
        if self._process != os.getpid():
            self._begin()
        while True:
            with self._changed:
                while not self._idle and self._open >= self._limit and not self._closed:
                    self._changed.wait()
                if self._closed:
                    raise StoreError(f"{self.login.url} was closed: open it again.", code="store_closed")
                client = self._idle.pop() if self._idle else None
                self._open += client is None
            if client is None:
                try:
                    return self._connected(), True
                except BaseException as error:
                    if not self._had_enough(error):
                        raise
                    continue
            client.answers = 0
            if self._fit(client):
                client.answers = 0
                return client, False
            self._drop(client)

    def _connected(self) -> FtpClient:
        return FtpClient(self.login, self._context)

    def _had_enough(self, error: BaseException) -> bool:
        """Take back the place of a connection that did not come about; whether to wait for another instead."""
        busy = isinstance(error, StoreUnavailableError) and error.code == "server_busy"
        # Some say "login incorrect" to one user's third connection.
        refused = isinstance(error, StorePermissionError) and error.code == "login_refused"
        with self._changed:
            self._open -= 1
            enough = (busy or refused) and self._open > 0
            if enough:
                self._limit = self._open
            self._changed.notify()
        return enough

    def _fit(self, client: FtpClient) -> bool:
        if self.login.traits.tls_1_2 and client.uses_tls_1_3:
            return False
        return time.monotonic() - client.used_at < _IDLE_SECONDS or is_well(client)

    def _give_back(self, client: FtpClient) -> None:
        if not client.is_clean or self._closed:
            self._drop(client)
            return
        with self._changed:
            self._idle.append(client)
            self._changed.notify()

    def _drop(self, client: FtpClient) -> None:
        client.leave()
        with self._changed:
            self._open -= 1
            self._changed.notify()
