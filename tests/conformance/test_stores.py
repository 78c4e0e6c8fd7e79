"""Every store keeps the same rules, and the folder keeps them on every file system that sticks come with."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from snapstore.stores.local import LocalStore
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store
from snapstore.testing import Recorder, StoreConformance, StoreWrapper

NUMBERS = itertools.count()


class TestMemory(StoreConformance):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.name = f"conformance{next(NUMBERS)}"

    def open_store(self) -> Store:
        return MemoryStore(self.name)


class InFolder(StoreConformance):
    place: Path

    def open_store(self) -> Store:
        return LocalStore(self.place, create=True)

    def plant_foreign_file(self, path: str, content: bytes) -> None:
        target = self.place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def foreign_file(self, path: str) -> bytes:
        return (self.place / path).read_bytes()


class TestLocal(InFolder):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.place = tmp_path / "store"


class TestLocalOnFat(InFolder):
    @pytest.fixture(autouse=True)
    def _place(self, fat_mount: Path) -> None:
        self.place = fat_mount / f"store{next(NUMBERS)}"


class TestLocalOnExfat(InFolder):
    @pytest.fixture(autouse=True)
    def _place(self, exfat_mount: Path) -> None:
        self.place = exfat_mount / f"store{next(NUMBERS)}"


class TestLocalOnNtfs(InFolder):
    @pytest.fixture(autouse=True)
    def _place(self, ntfs_mount: Path) -> None:
        self.place = ntfs_mount / f"store{next(NUMBERS)}"


class TestWrapped(StoreConformance):
    """The wrappers pass everything on."""

    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.name = f"conformance{next(NUMBERS)}"

    def open_store(self) -> Store:
        return StoreWrapper(Recorder(MemoryStore(self.name)))
