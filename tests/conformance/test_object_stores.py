"""The rules of a store on object storage: two servers of S3, and one of Azure's blobs."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from object_servers import ObjectServer, running_azurite, running_moto, running_versitygw
from server import ServerMissingError

from snapstore.stores.address import RemoteAddress
from snapstore.stores.objects.bucket import Bucket
from snapstore.stores.objects.place import Place
from snapstore.stores.objects.store import ObjectStorageStore
from snapstore.stores.protocol import Store
from snapstore.testing import StoreConformance

NUMBERS = itertools.count()


RUNNING = {"moto": running_moto, "versitygw": running_versitygw, "azurite": running_azurite}


@pytest.fixture(scope="module", name="servers")
def servers_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ObjectServer]]:
    """Each server is started for the first test that wants it."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def server(kind: str) -> ObjectServer | str:
            try:
                return stack.enter_context(RUNNING[kind](tmp_path_factory.mktemp(kind)))
            except ServerMissingError as error:
                return str(error)

        def wanted(kind: str) -> ObjectServer:
            found = server(kind)
            if isinstance(found, str):
                pytest.skip(found)
            return found

        yield wanted


class OnServer(StoreConformance):
    kind = ""

    @pytest.fixture(autouse=True)
    def server(self, servers: Callable[[str], ObjectServer]) -> ObjectServer:
        return servers(self.kind)

    @pytest.fixture(autouse=True)
    def _place(self, server: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))  # nobody's own keys
        for name, text in server.variables.items():
            monkeypatch.setenv(name, text)
        self.address = RemoteAddress.parse(server.url(f"place{next(NUMBERS)}"))
        self.options = server.options

    def open_store(self) -> Store:
        return ObjectStorageStore(self.address, self.options, create=True)

    def plant_foreign_file(self, path: str, content: bytes) -> None:
        place = Place.of(self.address)
        Bucket(place, self.options).put(f"{place.prefix}/{path}", content, only_new=False)

    def foreign_file(self, path: str) -> bytes:
        place = Place.of(self.address)
        return Bucket(place, self.options).read(f"{place.prefix}/{path}")[0]


class TestMoto(OnServer):
    kind = "moto"


class TestVersitygw(OnServer):
    kind = "versitygw"


class TestAzurite(OnServer):
    kind = "azurite"
