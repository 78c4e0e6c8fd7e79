"""The store on real SFTP servers: OpenSSH, also in a changed root, ProFTPD's mod_sftp, and asyncssh's server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager
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


class OnServer(StoreConformance):
    @pytest.fixture(scope="class")
    def server(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        try:
            with self.running(tmp_path_factory.mktemp("sftp")) as server:
                yield server
        except ServerMissingError as reason:
            pytest.skip(str(reason))

    def running(self, folder: Path) -> AbstractContextManager[Server]:
        raise NotImplementedError

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
    def running(self, folder: Path) -> AbstractContextManager[Server]:
        return running_sshd(folder)


class TestOnOpenSshInChangedRoot(OnServer):
    def running(self, folder: Path) -> AbstractContextManager[Server]:
        return running_sshd(folder, chroot=True)


class TestOnProftpd(OnServer):
    def running(self, folder: Path) -> AbstractContextManager[Server]:
        return running_proftpd_sftp(folder)


class TestOnAsyncssh(OnServer):
    def running(self, folder: Path) -> AbstractContextManager[Server]:
        return running_asyncssh_server(folder)
