"""The folder store where things go wrong: full, read-only, unplugged, failing, and left in a mess by a crash."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstore.errors import (
    InputError,
    ObjectNotFoundError,
    StoreError,
    StoreFullError,
    StorePermissionError,
    StoreUnavailableError,
)
from snapstore.limits import MAX_OBJECT_BYTES
from snapstore.stores import building, local, readback
from snapstore.stores.files import extended_path
from snapstore.stores.local import LocalStore
from snapstore.stores.oserrors import translated

NOBODY = 65534


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store", create=True, station="me")


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that any user can reach; `tmp_path` is the user's own."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o777)
    yield path
    path.chmod(0o700)
    shutil.rmtree(path)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Root may write anywhere, so root becomes nobody for the test."""
    if os.name == "nt":
        pytest.skip("Windows has no modes")
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def files_below(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*") if found.is_file())


def test_a_full_medium_is_reported_and_leaves_nothing_behind(tiny_mount: Path) -> None:
    store = LocalStore(tiny_mount, station="me")
    store.put("packs/a/fits", bytes(300_000))
    with pytest.raises(StoreFullError, match="packs/a/toolarge") as caught:
        store.put("packs/a/toolarge", bytes(900_000))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.code == "store_full"
    assert files_below(tiny_mount) == ["packs/a/fits"]
    store.put("packs/a/smaller", bytes(300_000))
    assert {found.name for found in store.list("packs")} == {"packs/a/fits", "packs/a/smaller"}


def test_free_space_is_what_is_left(tiny_mount: Path) -> None:
    store = LocalStore(tiny_mount)
    before = store.free_bytes()
    store.put("packs/a/half", bytes(500_000))
    after = store.free_bytes()
    assert before is not None
    assert after is not None
    assert 500_000 <= before - after < 600_000


def test_a_write_protected_medium_is_reported(tiny_mount: Path) -> None:
    store = LocalStore(tiny_mount)
    store.put("packs/a/there", b"x")
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_mount)], check=True)
    with pytest.raises(StorePermissionError, match="write-protected"):
        store.put("packs/a/new", b"x")
    with pytest.raises(StorePermissionError):
        store.delete("packs/a/there")
    assert store.get("packs/a/there") == b"x"


def test_a_medium_that_was_pulled_out_is_never_an_empty_store(tiny_mount: Path) -> None:
    store = LocalStore(tiny_mount)
    store.put("packs/a/there", b"x")
    listing = store.list("packs")
    subprocess.run(["umount", str(tiny_mount)], check=True)
    for use in (
        lambda: list(listing),
        lambda: list(store.list("")),
        lambda: store.get("packs/a/there"),
        lambda: store.delete("packs/a/there"),
        lambda: store.put("packs/a/new", b"x"),
        lambda: store.clean_temporaries("me"),
        store.free_bytes,
    ):
        with pytest.raises(StoreUnavailableError) as caught:
            use()
        assert caught.value.code == "store_vanished"
    assert list(tiny_mount.iterdir()) == []


def test_a_folder_that_was_removed_is_an_error(store: LocalStore, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(StoreUnavailableError):
        list(store.list("packs"))


def test_what_may_not_be_written_is_a_permission_error(public_folder: Path, unprivileged: None) -> None:
    store = LocalStore(public_folder)
    store.put("packs/a/there", b"x")
    (public_folder / "packs" / "a").chmod(0o555)
    try:
        with pytest.raises(StorePermissionError, match="packs/a/new"):
            store.put("packs/a/new", b"x")
        with pytest.raises(StorePermissionError):
            store.delete("packs/a/there")
        assert files_below(public_folder) == ["packs/a/there"]
    finally:
        (public_folder / "packs" / "a").chmod(0o755)


def test_a_listing_that_cannot_be_read_is_never_shorter(public_folder: Path, unprivileged: None) -> None:
    store = LocalStore(public_folder)
    for name in ("packs/a/1", "packs/b/2", "index/3"):
        store.put(name, b"x")
    (public_folder / "packs" / "b").chmod(0)
    try:
        for prefix in ("", "packs", "packs/b"):
            with pytest.raises(StorePermissionError):
                list(store.list(prefix))
        assert [found.name for found in store.list("index")] == ["index/3"]
    finally:
        (public_folder / "packs" / "b").chmod(0o755)


def test_a_file_where_a_folder_belongs_is_an_error(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "store" / "packs").write_bytes(b"no folder")
    with pytest.raises(StoreError):
        list(store.list("packs"))
    with pytest.raises(StoreError):
        store.put("packs/a/new", b"x")


def test_a_failed_sync_is_not_tried_again(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("packs/a/before", b"x")
    calls: list[int] = []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreUnavailableError, match="packs/a/new"):
        store.put("packs/a/new", b"x")
    assert len(calls) == 1
    assert files_below(tmp_path / "store") == ["packs/a/before"]


def test_a_folder_that_cannot_be_synced_is_tolerated_and_an_io_error_is_not(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = errno.EINVAL
    sync = os.fsync

    def answer(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to tell a folder's descriptor")
    monkeypatch.setattr(os, "fsync", answer)
    store.put("packs/a/tolerated", b"x")
    code = errno.EIO
    with pytest.raises(StoreUnavailableError):
        store.put("packs/a/refused", b"x")
    assert files_below(tmp_path / "store") == ["packs/a/tolerated"]


@pytest.mark.parametrize("read_back", [b"contenT", b"conten", b"contentX", b""])
def test_an_object_that_reads_back_differently_is_an_error_and_gone(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_back: bytes
) -> None:
    monkeypatch.setattr(building, "read_uncached", lambda path: iter([read_back] if read_back else []))
    with pytest.raises(StoreError, match="failing") as caught:
        store.put("packs/a/new", b"content")
    assert caught.value.code == "store_read_back_differs"
    assert not caught.value.retryable
    assert files_below(tmp_path / "store") == []


def test_the_read_back_comes_from_the_device(tmp_path: Path) -> None:
    if shutil.which("fincore") is None:
        pytest.skip("fincore is not installed")
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1 << 20))

    def cached_pages() -> int:
        asked = ["fincore", "--noheadings", "--raw", "--output", "PAGES", str(path)]
        return int(subprocess.run(asked, capture_output=True, check=True, text=True).stdout)

    descriptor = os.open(path, os.O_RDWR)
    try:
        assert cached_pages() > 0
        readback.flush(descriptor)
        readback.drop_cache(descriptor)
        if cached_pages() > 0:
            pytest.skip("this file system keeps its files in memory")
    finally:
        os.close(descriptor)
    assert b"".join(readback.read_uncached(str(path))) == path.read_bytes()


def test_only_the_own_temporaries_are_removed(store: LocalStore, tmp_path: Path) -> None:
    store.put("packs/a/there", b"x")
    folder = tmp_path / "store" / "tmp"
    for name in ("me-00001", "me-abcde", "mex-00001", "other-00001", "me"):
        (folder / name).write_bytes(b"half")
    assert [found.name for found in store.list("")] == ["packs/a/there"]
    store.clean_temporaries("me")
    assert files_below(folder) == ["me", "mex-00001", "other-00001"]
    assert store.get("packs/a/there") == b"x"


def test_a_temporary_that_is_cleaned_under_way_fails_the_put(store: LocalStore, tmp_path: Path) -> None:
    class CleansMeanwhile(local.ObjectSource):
        def blocks(self, block_bytes: int) -> Iterator[bytes]:
            yield from super().blocks(block_bytes)
            store.clean_temporaries("me")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "ObjectSource", CleansMeanwhile)
        with pytest.raises(StoreUnavailableError):
            store.put("packs/a/new", b"content")
    assert files_below(tmp_path / "store") == []


def test_capitals_that_fat_shows_are_the_same_names(fat_mount: Path, exfat_mount: Path) -> None:
    for mount in (fat_mount, exfat_mount):
        root = mount / "capitals"
        for folder in ("", "PACKS", "PACKS/A", "TMP"):
            (root / folder).mkdir()
        (root / "README.TXT").write_bytes(b"words")
        store = LocalStore(root)
        store.put("packs/a/0123456789", b"x")
        expected = {"README.txt", "packs/a/0123456789"}
        assert {found.name for found in store.list("")} == expected
        assert {found.name for found in store.list("packs")} == {"packs/a/0123456789"}
        assert store.get("README.txt") == b"words"


def test_names_in_capitals_are_foreign_where_case_counts(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "store" / "PACKS" / "a").mkdir(parents=True)
    if (tmp_path / "store" / "packs").exists():
        pytest.skip("case does not count here")
    (tmp_path / "store" / "PACKS" / "a" / "0").write_bytes(b"x")
    store.put("packs/a/0", b"mine")
    assert [(found.name, found.size) for found in store.list("")] == [("packs/a/0", 4)]


def test_only_the_last_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        LocalStore(tmp_path / "stick" / "backup", create=True)
    assert caught.value.code == "store_absent"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreUnavailableError):
        LocalStore(tmp_path / "stick")
    LocalStore(tmp_path / "stick", create=True)
    LocalStore(tmp_path / "stick", create=True).put("packs/a/0", b"x")
    assert LocalStore(tmp_path / "stick").get("packs/a/0") == b"x"


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for create in (False, True):
        with pytest.raises(InputError):
            LocalStore(tmp_path / "file", create=create)


def test_an_object_above_the_limit_is_not_read(store: LocalStore, tmp_path: Path) -> None:
    store.put("packs/a/there", b"x")
    with (tmp_path / "store" / "packs" / "a" / "huge").open("wb") as file:
        file.truncate(MAX_OBJECT_BYTES + 1)
    with pytest.raises(StoreError, match="huge"):
        store.get("packs/a/huge")
    assert store.get("packs/a/huge", offset=MAX_OBJECT_BYTES) == b"\0"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_under_an_object_name_neither_shows_nor_hangs(store: LocalStore, tmp_path: Path) -> None:
    store.put("packs/a/there", b"x")
    os.mkfifo(tmp_path / "store" / "packs" / "a" / "pipe")
    assert [found.name for found in store.list("packs")] == ["packs/a/there"]
    with pytest.raises(ObjectNotFoundError):
        store.get("packs/a/pipe")


def test_a_file_that_cannot_seek_is_refused(store: LocalStore) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, pytest.raises(InputError, match="seek"):
        store.put("packs/a/pipe", pipe)


def test_an_address_is_printable_whatever_the_path(tmp_path: Path) -> None:
    if os.name == "nt":
        pytest.skip("Windows has no such names")
    try:
        store = LocalStore(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"), create=True)
    except StoreError:
        pytest.skip("this file system takes no such names")
    assert store.url.endswith("\\xff")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EACCES, StorePermissionError),
        (errno.EPERM, StorePermissionError),
        (errno.EROFS, StorePermissionError),
        (errno.EIO, StoreUnavailableError),
        (errno.ENODEV, StoreUnavailableError),
        (errno.ENXIO, StoreUnavailableError),
        (errno.EMFILE, StoreUnavailableError),
    ],
)
def test_system_errors_by_number(code: int, kind: type[StoreError]) -> None:
    error = translated(OSError(code, os.strerror(code)), "write packs/a/0", "/media/stick")
    assert type(error) is kind
    for part in ("write packs/a/0", "/media/stick", os.strerror(code)):
        assert part in str(error)


@pytest.mark.parametrize(
    ("number", "code", "kind"),
    [
        (112, errno.ENOSPC, StoreFullError),
        (39, errno.EINVAL, StoreFullError),
        (21, errno.EACCES, StoreUnavailableError),
        (1167, errno.EINVAL, StoreUnavailableError),
        (19, errno.EACCES, StorePermissionError),
    ],
)
def test_system_errors_by_the_number_of_windows(number: int, code: int, kind: type[StoreError]) -> None:
    error = OSError(code, "as Windows says it")
    error.winerror = number  # type: ignore[attr-defined]
    assert type(translated(error, "write", "E:")) is kind


def test_long_paths_of_windows() -> None:
    assert extended_path("C:\\backup\\shop") == "\\\\?\\C:\\backup\\shop"
    assert extended_path("\\\\server\\share\\shop") == "\\\\?\\UNC\\server\\share\\shop"
    assert extended_path("\\\\?\\C:\\backup") == "\\\\?\\C:\\backup"


def test_dropping_from_the_cache_changes_nothing(store: LocalStore) -> None:
    store.put("packs/a/one", b"content" * 1000)
    store.drop_cached("packs/a/one")
    store.drop_cached("packs/a/none")
    assert store.get("packs/a/one") == b"content" * 1000
    with pytest.raises(InputError):
        store.drop_cached("../outside")
