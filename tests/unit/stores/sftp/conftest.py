"""Real SFTP servers for these tests, each started once, and stores on them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from server import ServerMissingError
from ssh_servers import SshServer, running_asyncssh_server, running_proftpd_sftp, running_sshd

from snapstore.stores.address import RemoteAddress
from snapstore.stores.sftp.store import SftpStore

if find_spec("asyncssh") is None:  # an extra, which a checkout may be without
    collect_ignore_glob = ["test_*.py"]

NUMBERS = itertools.count()
OpenStore = Callable[..., SftpStore]


def served(running: AbstractContextManager[SshServer]) -> Iterator[SshServer]:
    try:
        with running as server:
            yield server
    except ServerMissingError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    yield from served(running_sshd(tmp_path_factory.mktemp("sshd")))


@pytest.fixture(scope="session")
def proftpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    yield from served(running_proftpd_sftp(tmp_path_factory.mktemp("proftpd")))


@pytest.fixture(scope="session")
def asyncssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    yield from served(running_asyncssh_server(tmp_path_factory.mktemp("asyncssh")))


@pytest.fixture
def place() -> str:
    """The name of a store that no other test has."""
    return f"store{next(NUMBERS)}"


@pytest.fixture
def open_store(place: str) -> Iterator[OpenStore]:
    """Open the test's store, by default, on a server; further arguments are options."""
    opened: list[SftpStore] = []

    def open_it(server: SshServer, *, url: str = "", create: bool = True, **options: Any) -> SftpStore:
        address = RemoteAddress.parse(url or server.url(place))
        store = SftpStore(address, replace(server.options, **options), create=create, station="tester")
        opened.append(store)
        return store

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def known_hosts(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"
