"""One server of S3 for these tests, and stores on it that are reached directly or by way of a liar."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lying_service import LyingService
from object_servers import ObjectServer, running_moto, running_versitygw
from server import ServerMissingError

from snapstore.stores.address import RemoteAddress
from snapstore.stores.objects.store import ObjectStorageStore
from snapstore.stores.options import StoreOptions

NUMBERS = itertools.count()
OpenStore = Callable[..., ObjectStorageStore]


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """versitygw, which checks keys and keeps its objects on disk; else moto."""
    try:
        with running_versitygw(tmp_path_factory.mktemp("versitygw")) as server:
            yield server
        return
    except ServerMissingError:
        pass
    try:
        with running_moto(tmp_path_factory.mktemp("moto")) as server:
            yield server
    except ServerMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def nobodys_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))


@pytest.fixture
def server(started: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    for name, text in started.variables.items():
        monkeypatch.setenv(name, text)
    return started


@pytest.fixture
def place() -> str:
    return f"place{next(NUMBERS)}"


@pytest.fixture
def open_store(server: ObjectServer, place: str) -> Iterator[OpenStore]:
    """Open the test's store, by way of another port if one is given, with other options if any are."""
    opened: list[ObjectStorageStore] = []

    def open_it(port: int | None = None, **changes: object) -> ObjectStorageStore:
        options = dataclasses.replace(StoreOptions(connect_timeout_seconds=2, answer_timeout_seconds=20), **changes)
        reached = server if port is None or server.behind is None else server.behind(port)
        opened.append(ObjectStorageStore(RemoteAddress.parse(reached.url(place)), options))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def liar(server: ObjectServer) -> Iterator[LyingService]:
    with LyingService(server.port) as service:
        yield service
