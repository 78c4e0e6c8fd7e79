"""Objects that grow in a folder store, where things go wrong: as a put that takes long, and no worse."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snapstore.errors import InputError, StoreError, StoreFullError, StorePermissionError, StoreUnavailableError
from snapstore.stores import building
from snapstore.stores.local import LocalStore
from snapstore.stores.protocol import Block


class Same:
    def __init__(self, meant: bytes) -> None:
        self.meant = meant
        self.read = b""

    def update(self, block: Block, /) -> None:
        self.read += block

    def holds(self) -> bool:
        return self.read == self.meant


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root, create=True, station="me")


def files_below(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*") if found.is_file())


def built(store: LocalStore, content: bytes) -> building.LocalBuilder:
    builder = store.begin()
    builder.write(content)
    return builder


def write_often(builder: building.LocalBuilder) -> None:
    for _ in range(10):
        builder.write(bytes(100_000))


def test_a_medium_that_gets_full_while_appending(tiny_mount: Path) -> None:
    store = LocalStore(tiny_mount, station="me")
    store.put("packs/a/there", bytes(300_000))
    before = store.free_bytes()
    with built(store, bytes(200_000)) as other:
        with store.begin() as builder, pytest.raises(StoreFullError, match="a new object") as caught:
            write_often(builder)
        assert isinstance(caught.value.__cause__, OSError)
        other.publish("packs/a/other", lambda: Same(bytes(200_000)))
    assert files_below(tiny_mount) == ["packs/a/other", "packs/a/there"]
    store.delete("packs/a/other")
    assert before is not None
    assert (store.free_bytes() or 0) >= before - 8192  # folders


def test_a_medium_that_is_full_when_the_name_is_given(store: LocalStore, root: Path) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    builder = built(store, b"content")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "flush", fail)
        with pytest.raises(StoreFullError, match="packs/a/new"):
            builder.publish("packs/a/new", lambda: Same(b"content"))
    assert files_below(root) == []


@pytest.mark.parametrize("call", ["write", "fsync", "close"])
def test_a_device_that_fails(store: LocalStore, root: Path, call: str) -> None:
    store.put("packs/a/there", b"x")
    builder = built(store, b"content")
    real = getattr(os, call)

    def fail(descriptor: int, *more: object) -> None:
        if call == "close":
            real(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    def go_on() -> None:
        builder.write(b" and more")
        builder.publish("packs/a/new", lambda: Same(b"content and more"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building.os, call, fail)
        with pytest.raises(StoreUnavailableError) as caught:
            go_on()
    assert caught.value.retryable
    builder.discard()
    assert files_below(root) == ["packs/a/there"]


def test_a_medium_that_is_pulled_out_while_objects_are_open(tiny_mount: Path) -> None:
    store = LocalStore(tiny_mount, station="me")
    store.put("packs/a/there", b"x")
    waiting, writing = built(store, b"content"), built(store, b"content")
    subprocess.run(["umount", "-l", str(tiny_mount)], check=True)
    with pytest.raises(StoreUnavailableError) as caught:
        waiting.publish("packs/a/new", lambda: Same(b"content"))
    assert caught.value.code == "store_vanished"
    with pytest.raises(StoreUnavailableError) as caught:
        store.begin()
    assert caught.value.code == "store_vanished"
    with pytest.raises(StoreUnavailableError):
        list(writing.blocks())
    writing.discard()
    assert list(tiny_mount.iterdir()) == []


def test_another_medium_in_its_place(tiny_mount: Path) -> None:
    store = LocalStore(tiny_mount, station="me")
    builder = built(store, b"content")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tiny_mount)], check=True)
    try:
        with pytest.raises(StoreUnavailableError) as caught:
            builder.publish("packs/a/new", lambda: Same(b"content"))
        assert caught.value.code == "store_vanished"
        assert list(tiny_mount.iterdir()) == []
    finally:
        subprocess.run(["umount", str(tiny_mount)], check=True)


def test_a_write_protected_medium(tiny_mount: Path) -> None:
    store = LocalStore(tiny_mount)
    store.put("packs/a/there", b"x")
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_mount)], check=True)
    with pytest.raises(StorePermissionError, match="write-protected"):
        store.begin()


def test_a_failed_sync_is_not_tried_again(store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = built(store, b"content")
    calls: list[int] = []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(building, "flush", fail)
    with pytest.raises(StoreUnavailableError):
        builder.publish("packs/a/new", lambda: Same(b"content"))
    assert len(calls) == 1
    assert files_below(root) == []


def test_an_object_is_read_back_from_its_final_place(store: LocalStore, root: Path) -> None:
    class Looks(Same):
        def update(self, block: Block, /) -> None:
            super().update(block)
            assert files_below(root) == ["packs/a/new"]

    built(store, b"content" * 300_000).publish("packs/a/new", lambda: Looks(b"content" * 300_000))
    assert store.get("packs/a/new") == b"content" * 300_000


def test_an_error_of_the_comparison_takes_the_object_with_it(store: LocalStore, root: Path) -> None:
    class Breaks(Same):
        def holds(self) -> bool:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built(store, b"content").publish("packs/a/new", lambda: Breaks(b"content"))
    assert files_below(root) == []


def test_what_is_used_up_takes_nothing_more(store: LocalStore, root: Path) -> None:
    builder = built(store, b"content")
    builder.publish("packs/a/new", lambda: Same(b"content"))
    for use in (lambda: builder.write(b"x"), lambda: builder.publish("packs/a/x", lambda: Same(b"content"))):
        with pytest.raises(StoreError):
            use()
    builder.discard()
    assert files_below(root) == ["packs/a/new"]


def test_names_are_looked_at_before_anything_is_made(store: LocalStore, root: Path) -> None:
    with pytest.raises(InputError):
        built(store, b"x").publish("packs/../../x", lambda: Same(b"x"))
    assert files_below(root.parent) == []


def test_a_dead_process_leaves_what_its_station_removes(store: LocalStore, root: Path) -> None:
    code = (
        "import os, sys; from snapstore.stores.local import LocalStore\n"
        "builder = LocalStore(sys.argv[1], station=sys.argv[2]).begin()\n"
        "builder.write(b'half'); os._exit(9)"
    )
    for station in ("me", "other"):
        environment = os.environ | {"PYTHONPATH": str(Path(building.__file__).parents[2])}
        died = subprocess.run([sys.executable, "-c", code, root, station], check=False, env=environment)
        assert died.returncode == 9
    assert [name.split("-")[0] for name in files_below(root / "tmp")] == ["me", "other"]
    assert list(store.list("")) == []
    with built(LocalStore(root, station="third"), b"content") as under_way:
        store.clean_temporaries("me")
        assert [name.split("-")[0] for name in files_below(root / "tmp")] == ["other", "third"]
        under_way.publish("packs/a/new", lambda: Same(b"content"))


def test_a_root_that_was_removed(store: LocalStore, root: Path) -> None:
    builder = built(store, b"content")
    shutil.rmtree(root)
    with pytest.raises(StoreUnavailableError) as caught:
        builder.publish("packs/a/new", lambda: Same(b"content"))
    assert caught.value.code == "store_vanished"
    assert not root.exists()
