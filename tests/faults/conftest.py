"""Real servers of every kind for the tests of faults, each started when it is first asked for, once."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from server import Server, ServerMissingError

DATA_PORTS = 64


@contextmanager
def running_sshd(folder: Path) -> Iterator[Server]:
    from ssh_servers import running_sshd

    with running_sshd(folder) as server:
        yield server


@contextmanager
def running_vsftpd_with_tls(folder: Path) -> Iterator[Server]:
    """On known data ports, and with a certificate for the proxy: under TLS it cannot see where the data goes."""
    from ftp_certificates import HOSTS, certificates
    from ftp_servers import running_vsftpd

    with running_vsftpd(folder, tls="1.3") as server:
        first = random.randrange(20_000, 30_000)
        server.stop()
        certificates(folder / "certificates", (*HOSTS, "127.0.0.2"))
        with (folder / "vsftpd.conf").open("a", encoding="ascii") as settings:
            settings.write(f"pasv_min_port={first}\npasv_max_port={first + DATA_PORTS - 1}\n")
        server.start()
        server.data_ports = range(first, first + DATA_PORTS)
        yield server


@contextmanager
def running_moto(folder: Path) -> Iterator[Server]:
    from object_servers import running_moto

    with running_moto(folder) as server:
        yield server


@contextmanager
def running_versitygw(folder: Path) -> Iterator[Server]:
    from object_servers import running_versitygw

    with running_versitygw(folder) as server:
        yield server


# What a kind's server takes is imported when it is wanted.
KINDS: dict[str, Callable[[Path], AbstractContextManager[Server]]] = {
    "sshd": running_sshd,
    "vsftpd": running_vsftpd_with_tls,
    "moto": running_moto,
    "versitygw": running_versitygw,
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "remote_servers(*kinds): which servers the tests of a module run on")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("remote_servers")
    if marker is not None and "remote_server" in metafunc.fixturenames:
        metafunc.parametrize("remote_server", marker.args, indirect=True)


@pytest.fixture(scope="session")
def running_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server | str]]:
    """From a kind to its server, or to the reason why there is none."""
    with ExitStack() as stack:

        @functools.cache
        def get(kind: str) -> Server | str:
            try:
                return stack.enter_context(KINDS[kind](tmp_path_factory.mktemp(kind)))
            except ServerMissingError as error:
                return str(error)

        yield get


@pytest.fixture
def remote_server(
    request: pytest.FixtureRequest, running_servers: Callable[[str], Server | str], monkeypatch: pytest.MonkeyPatch
) -> Server:
    """A server of each kind that the module names, in turn."""
    server = running_servers(request.param)
    if isinstance(server, str):
        pytest.skip(server)
    for name, value in getattr(server, "variables", {}).items():
        monkeypatch.setenv(name, value)
    return server
