"""Every rule of a store, on every kind of FTP server: vsftpd and ProFTPD, which want TLS sessions resumed; pyftpdlib
in clear, with TLS from the first byte, and without MLSD; and one that connects to us."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from ftp_servers import FtpServer, running_proftpd, running_pyftpdlib, running_vsftpd
from server import ServerMissingError

from snapstore.stores.address import RemoteAddress
from snapstore.stores.ftp.store import FtpStore
from snapstore.stores.protocol import Store
from snapstore.testing import StoreConformance

NUMBERS = itertools.count()
SERVERS: dict[str, Callable[[Path], AbstractContextManager[FtpServer]]] = {
    "vsftpd, TLS 1.2": lambda folder: running_vsftpd(folder, "1.2"),
    "vsftpd, TLS 1.3": lambda folder: running_vsftpd(folder, "1.3"),
    "ProFTPD, TLS": lambda folder: running_proftpd(folder, "1.3"),
    "pyftpdlib": running_pyftpdlib,
    "pyftpdlib, implicit TLS": lambda folder: running_pyftpdlib(folder, "1.3", implicit=True),
    "pyftpdlib without MLSD": lambda folder: running_pyftpdlib(folder, mlsd=False),
    "vsftpd in clear, active": lambda folder: running_vsftpd(folder, None),
}


@pytest.fixture(scope="module", params=SERVERS)
def ftp_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpServer]:
    try:
        with SERVERS[request.param](tmp_path_factory.mktemp("ftp")) as server:
            if request.param.endswith("active"):
                server.options = dataclasses.replace(server.options, ftp_active=True)
            yield server
    except ServerMissingError as error:
        pytest.skip(f"{request.param}: {error}")


class TestFtp(StoreConformance):
    objects_in_bulk = 96  # each takes two handshakes of TLS, and a listing here has no pages

    @pytest.fixture(autouse=True)
    def _place(self, ftp_server: FtpServer) -> None:
        self.server = ftp_server
        self.name = f"conformance{next(NUMBERS)}"

    def open_store(self) -> Store:
        return FtpStore(RemoteAddress.parse(self.server.url(self.name)), self.server.options, create=True)

    def plant_foreign_file(self, path: str, content: bytes) -> None:
        assert self.server.folder is not None
        target = self.server.folder / self.name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def foreign_file(self, path: str) -> bytes:
        assert self.server.folder is not None
        return (self.server.folder / self.name / path).read_bytes()
