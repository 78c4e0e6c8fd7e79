"""Servers for the tests of the FTP store, started once; each test has a folder of its own there."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from ftp_servers import FtpServer, running_proftpd, running_pyftpdlib, running_vsftpd
from server import ServerMissingError

from snapstore.stores.address import RemoteAddress
from snapstore.stores.ftp.store import FtpStore

NUMBERS = itertools.count()
Opener = Callable[..., FtpStore]


def open_at(server: FtpServer, name: str, **options: Any) -> FtpStore:
    """Open, and make, the store of that name."""
    changed = dataclasses.replace(server.options, **options)
    return FtpStore(RemoteAddress.parse(server.url(name)), changed, create=True, station="me")


@contextlib.contextmanager
def or_skip(running: AbstractContextManager[FtpServer]) -> Iterator[FtpServer]:
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(running)
        except ServerMissingError as error:
            pytest.skip(str(error))
        yield server


def started(make: Callable[[Path], AbstractContextManager[FtpServer]]) -> Any:
    @pytest.fixture(scope="module")
    def fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpServer]:
        with or_skip(make(tmp_path_factory.mktemp("ftp"))) as server:
            yield server

    return fixture


faulty = started(running_pyftpdlib)
faulty_tls = started(lambda folder: running_pyftpdlib(folder, "1.3"))
nameless = started(lambda folder: running_pyftpdlib(folder, mlsd=False, avbl=True))
vsftpd = started(lambda folder: running_vsftpd(folder, None))
vsftpd_tls = started(lambda folder: running_vsftpd(folder, "1.3"))
proftpd = started(lambda folder: running_proftpd(folder, None))


@pytest.fixture
def name() -> str:
    """A name no other store has."""
    return f"store{next(NUMBERS)}"


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Open stores that are closed at the end, on servers that have no faults any more by then."""
    with contextlib.ExitStack() as stack:

        def open_store(server: FtpServer, store_name: str, **options: Any) -> FtpStore:
            stack.callback(server.faults)
            return stack.enter_context(open_at(server, store_name, **options))

        yield open_store
