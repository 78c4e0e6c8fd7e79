"""Keys, a store and a spool for tests of blobs: no repository, no station, no files."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from snapstore.blobs.catalogue import Catalogue, LoadedIndex, load_index
from snapstore.blobs.index import BlobIndex
from snapstore.blobs.packer import PackWriter
from snapstore.blobs.reader import BlobReader
from snapstore.blobs.saver import BlobSaver
from snapstore.blobs.sealer import BlobSealer, SealingOptions
from snapstore.crypto.keys import DossierKeys, MaintenanceKeys
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store
from snapstore.types import RepositoryId

REPOSITORY = RepositoryId(b"r" * 16)


def dossier_keys(dossier: bytes = b"d", epoch: int = 1) -> DossierKeys:
    return DossierKeys(
        epoch=epoch,
        maintenance=bytes([epoch]) * 32,
        content=b"c" * 32,
        chunker=b"k" * 32,
        dossier=dossier * 32,
    )


@dataclass(slots=True, kw_only=True)
class Bench:
    """Everything that saves and reads the blobs of one dossier. `keys` are newest first."""

    spool: Path
    store: Store = field(default_factory=MemoryStore)
    keys: list[DossierKeys] = field(default_factory=lambda: [dossier_keys()])
    checked: set[bytes] = field(default_factory=set)

    @property
    def maintenance(self) -> MaintenanceKeys:
        return self.keys[0].maintenance_keys

    @property
    def catalogue(self) -> Catalogue:
        maintenance = {keys.epoch: keys.maintenance_keys for keys in self.keys}
        return Catalogue(store=self.store, repository_id=REPOSITORY, maintenance=maintenance)

    def sealer(self, **options: Any) -> BlobSealer:
        return BlobSealer(self.keys, self.maintenance, REPOSITORY, SealingOptions(**options))

    def loaded(self) -> LoadedIndex:
        return load_index(self.catalogue)

    def reader(self, index: BlobIndex | None = None, **more: Any) -> BlobReader:
        return BlobReader(self.store, self.loaded().index if index is None else index, self.keys, **more)

    def packer(self, on_pack: Any = lambda pack: None) -> PackWriter:
        return PackWriter(self.store, self.maintenance, REPOSITORY, self.spool, on_pack=on_pack)

    @contextmanager
    def saver(self, index: BlobIndex | None = None) -> Iterator[BlobSaver]:
        index = self.loaded().index if index is None else index
        with BlobSaver(self.sealer(), index, BlobReader(self.store, index, self.keys), self.checked) as saver:
            saver.start(self.packer(saver.on_pack))
            yield saver

    def save(self, *chunks: bytes, shared: bool = False) -> list[Any]:
        """Save chunks in a run of their own; return their h."""
        with self.saver() as saver:
            hashes = saver.submit(list(chunks), shared=[shared] * len(chunks)).result()
            saver.finish()
        return hashes

    def packs(self) -> list[str]:
        return sorted(item.name for item in self.store.list("packs"))

    def other(self, dossier: bytes) -> Bench:
        """Another dossier of the same repository."""
        return Bench(spool=self.spool, store=self.store, keys=[dossier_keys(dossier)])


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    spool = tmp_path / "spool"
    spool.mkdir()
    return Bench(spool=spool)


@pytest.fixture
def make_noise() -> Any:
    return noise


@pytest.fixture
def keys_of() -> Any:
    return dossier_keys
