"""The simulated stores keep every rule of a store as long as nothing goes wrong."""

from __future__ import annotations

import pytest

from snapstore.stores.protocol import Store
from snapstore.testing import FOLDER, OBJECT_STORAGE, SERVER, SimulatedStore, StoreConformance, StoreKind


class Simulated(StoreConformance):
    __test__ = False
    kind: StoreKind

    @pytest.fixture(autouse=True)
    def medium(self) -> None:
        self.first = SimulatedStore(7, kind=self.kind)

    def open_store(self) -> Store:
        return self.first.another()


class TestFolder(Simulated):
    __test__ = True
    kind = FOLDER


class TestServer(Simulated):
    __test__ = True
    kind = SERVER


class TestObjectStorage(Simulated):
    __test__ = True
    kind = OBJECT_STORAGE
