"""Real servers of every kind for the tests of faults: one of each, started once."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from server import Server, ServerMissingError

KINDS = {
    "sshd": ("ssh_servers", "running_sshd"),
    "vsftpd": ("ftp_servers", "running_vsftpd"),
    "moto": ("object_servers", "running_moto"),
    "versitygw": ("object_servers", "running_versitygw"),
}
Running = Callable[[Path], AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def running_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """From a kind to its server, which is started when it is first asked for."""
    started: dict[str, tuple[AbstractContextManager[Server], Server]] = {}

    def get(kind: str) -> Server:
        if kind not in started:
            module, name = KINDS[kind]
            running: Running = getattr(importlib.import_module(module), name)
            manager = running(tmp_path_factory.mktemp(kind))
            started[kind] = manager, manager.__enter__()
        return started[kind][1]

    yield get
    for manager, _ in started.values():
        manager.__exit__(None, None, None)


@pytest.fixture(params=KINDS)
def remote_server(
    request: pytest.FixtureRequest,
    running_servers: Callable[[str], Server],
    monkeypatch: pytest.MonkeyPatch,
) -> Server:
    """A server of each kind in turn."""
    try:
        server = running_servers(request.param)
    except ServerMissingError as error:
        pytest.skip(str(error))
    for name, value in getattr(server, "variables", {}).items():
        monkeypatch.setenv(name, value)
    return server
