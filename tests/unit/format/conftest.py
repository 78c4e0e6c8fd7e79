"""Fixed keys and ids for the tests of the formats."""

from __future__ import annotations

import pytest

from snapstore.crypto.keys import DossierKeys, MaintenanceKeys
from snapstore.crypto.signing import SigningKey
from snapstore.format.keyset import PrivateHalves
from snapstore.types import DossierId, RepositoryId


@pytest.fixture(scope="session")
def repository_id() -> RepositoryId:
    return RepositoryId(b"r" * 16)


@pytest.fixture(scope="session")
def dossier_id() -> DossierId:
    return DossierId(b"d" * 16)


@pytest.fixture(scope="session")
def keys() -> DossierKeys:
    return DossierKeys(epoch=2, maintenance=b"m" * 32, content=None, chunker=b"g" * 32, dossier=b"k" * 32)


@pytest.fixture(scope="session")
def maintenance(keys: DossierKeys) -> MaintenanceKeys:
    return keys.maintenance_keys


@pytest.fixture(scope="session")
def private() -> PrivateHalves:
    return PrivateHalves.generate()


@pytest.fixture(scope="session")
def station() -> SigningKey:
    return SigningKey.generate()
