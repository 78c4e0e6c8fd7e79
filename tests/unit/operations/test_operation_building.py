"""Snapshots whose packs grow on the medium: it fails, fills or vanishes while they are open, and nothing is harmed."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from snapstore.errors import StoreError, StoreFullError, StoreUnavailableError
from snapstore.stores.local import LocalStore
from snapstore.stores.protocol import Block, ObjectBuilder
from snapstore.testing import FailAppend, StoreWrapper, WithoutBuilders


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def on_folder(lab: Any) -> Any:
    """The lab's repository moved into a folder, with one snapshot."""
    root = lab.folder / "medium"
    store = LocalStore(root, create=True)
    for item in lab.store.list(""):
        store.put(item.name, lab.store.get(item.name))
    lab.store = store
    for number in range(4):
        lab.write(f"folder/file {number}", random.Random(number).randbytes(200_000))
    lab.dossier().snapshot(lab.source, label="first")
    return lab


@pytest.mark.parametrize(("full", "error"), [(True, StoreFullError), (False, StoreUnavailableError)])
def test_a_medium_that_fails_at_every_append(on_folder: Any, full: bool, error: type[StoreError]) -> None:
    lab = on_folder
    first = lab.facts()
    lab.write("folder/new", random.Random(9).randbytes(300_000))
    tmp = lab.folder / "medium" / "tmp"
    for k in range(1, 50):
        try:
            lab.dossier(store=FailAppend(lab.store, k, full=full)).snapshot(lab.source, label="second")
        except error:
            assert files_in(tmp) == []
            [kept] = lab.dossier().list()
            assert kept.label == "first"
        else:
            break
    assert k > 4
    assert [item.label for item in lab.dossier().list()] == ["second", "first"]
    lab.assert_restores(lab.unlocked("reader"), lab.facts(), "latest")
    lab.assert_restores(lab.unlocked("reader"), first, "latest~1")


def test_a_medium_that_is_pulled_out_while_packs_are_open(lab: Any, tiny_mount: Path) -> None:
    class PulledOut(StoreWrapper):
        def append(self, builder: ObjectBuilder, data: Block) -> None:
            super().append(builder, data)
            subprocess.run(["umount", "-l", str(tiny_mount)], check=False, capture_output=True)

    inner = LocalStore(tiny_mount)
    for item in lab.store.list(""):
        inner.put(item.name, lab.store.get(item.name))
    lab.write("file", random.Random(1).randbytes(100_000))
    with pytest.raises(StoreUnavailableError) as caught:
        lab.dossier(store=PulledOut(inner)).snapshot(lab.source)
    assert caught.value.code == "store_vanished"
    assert not caught.value.retryable
    assert list(tiny_mount.iterdir()) == []


def test_built_and_put_packs_are_alike(lab: Any, write_every_shape: Any) -> None:
    write_every_shape(lab.source)
    sizes = []
    for name, wrapper in (("built", StoreWrapper), ("put", WithoutBuilders)):
        fork = lab.fork(name)
        report = fork.dossier(store=wrapper(fork.store)).snapshot(lab.source)
        assert report.clean
        fork.assert_restores(fork.unlocked("reader"), lab.facts(), "latest")
        sizes.append((len(fork.names("packs")), report.blobs_added))
    assert sizes[0] == sizes[1]
