"""The store on real SFTP servers: OpenSSH, also in a changed root, ProFTPD's mod_sftp, and asyncssh's server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("asyncssh")

from server import Server, ServerMissingError
from ssh_servers import running_asyncssh_server, running_proftpd_sftp, running_sshd

from snapstore.stores.address import RemoteAddress
from snapstore.stores.protocol import RemoteStore, Store, lanes_of
from snapstore.stores.sftp.store import SftpStore
from snapstore.testing import StoreConformance

NUMBERS = itertools.count()


@pytest.fixture(scope="class")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    try:
        with request.cls.running(tmp_path_factory.mktemp("sftp")) as started:
            yield started
    except ServerMissingError as reason:
        pytest.skip(str(reason))


class OnServer(StoreConformance):
    running: Callable[[Path], AbstractContextManager[Server]]

    @pytest.fixture(autouse=True)
    def _place(self, server: Server) -> None:
        self.name = f"store{next(NUMBERS)}"
        self.server = server

    def open_store(self) -> Store:
        return SftpStore(RemoteAddress.parse(self.server.url(self.name)), self.server.options, create=True)

    def plant_foreign_file(self, path: str, content: bytes) -> None:
        assert self.server.folder is not None
        target = self.server.folder / self.name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def foreign_file(self, path: str) -> bytes:
        assert self.server.folder is not None
        return (self.server.folder / self.name / path).read_bytes()

    def test_it_is_a_remote_store(self) -> None:
        with self.open_store() as store:
            assert isinstance(store, RemoteStore)
            assert lanes_of(store) >= 2


class TestOnOpenSsh(OnServer):
    running = staticmethod(running_sshd)


class TestOnOpenSshInChangedRoot(OnServer):
    running = staticmethod(partial(running_sshd, chroot=True))


class TestOnProftpd(OnServer):
    running = staticmethod(running_proftpd_sftp)


class TestOnAsyncssh(OnServer):
    running = staticmethod(running_asyncssh_server)
