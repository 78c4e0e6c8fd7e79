"""Addresses: which store each gives, and what of them may be printed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapstore.errors import InputError, StoreUnavailableError
from snapstore.stores.local import LocalStore
from snapstore.stores.media import Medium
from snapstore.stores.memory import MemoryStore
from snapstore.stores.url import open_store, redact_url


def test_paths_and_file_urls_are_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my store"
    open_store(folder, create=True, station="me").put("packs/a/0", b"x")
    for url in (str(folder), "my store", "./my store", folder.as_uri(), folder.as_uri().replace("///", "//localhost/")):
        store = open_store(url, station="me")
        assert isinstance(store, LocalStore)
        assert store.get("packs/a/0") == b"x"
        assert store.url == str(folder)


def test_a_folder_is_made_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        open_store(str(tmp_path / "new"), station="me")
    assert not (tmp_path / "new").exists()


def test_memory_by_name() -> None:
    open_store("memory:test_url", station="me").put("packs/a/0", b"x")
    assert isinstance(open_store("memory:test_url", station="me"), MemoryStore)
    assert open_store("memory:test_url", station="me").get("packs/a/0") == b"x"
    assert list(open_store("memory:", station="me").list("")) == []


@pytest.mark.parametrize("url", ["sftp://user@host/path", "FTP://host", "ftps://host", "s3://bucket/prefix"])
def test_what_this_version_lacks_is_said(url: str) -> None:
    with pytest.raises(InputError, match="not in this version") as caught:
        open_store(url, station="me")
    assert caught.value.code == "scheme_not_supported"


@pytest.mark.parametrize("url", ["rsync://host/path", "usbb:STICK", "http:x"])
def test_an_unknown_scheme_names_the_known_ones(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="a path, file:, usb: and memory:") as caught:
        open_store(url, create=True, station="me")
    assert caught.value.code == "unknown_scheme"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["", "a\0b", "file:relative", "file:///a?b", "file:///a#b", "usb:", "usb:/", "usb:X/../y"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        open_store(url, station="me")


@pytest.mark.skipif(os.name == "nt", reason="these are good there")
@pytest.mark.parametrize("url", ["C:\\backup", "c:backup", "file://server/share"])
def test_addresses_of_windows_elsewhere(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        open_store(url, create=True, station="me")
    assert list(tmp_path.iterdir()) == []


def test_a_stick_by_label_with_and_without_a_folder(tmp_path: Path) -> None:
    media = [Medium(path=tmp_path, label="MONTAG")]
    store = open_store("usb:montag", create=True, station="me", media=lambda: media)
    assert store.url == str(tmp_path / "snapstore")
    store = open_store("usb:MONTAG/shop/one/", create=True, station="me", media=lambda: media)
    assert store.url == str(tmp_path / "shop" / "one")
    with pytest.raises(StoreUnavailableError, match="MONTAG"):
        open_store("usb:DIENSTAG", create=True, station="me", media=lambda: media)
    with pytest.raises(StoreUnavailableError):
        open_store("usb:MONTAG/absent", station="me", media=lambda: media)


def test_a_stick_by_the_repository_on_it(tmp_path: Path) -> None:
    (tmp_path / "snapstore").mkdir()

    def identify(folder: Path) -> set[str]:
        return {"ab" * 16} if folder == tmp_path / "snapstore" else set()

    media = [Medium(path=tmp_path)]
    store = open_store("usb:abababab", station="me", identify=identify, media=lambda: media)
    assert store.url == str(tmp_path / "snapstore")


def test_a_stick_that_left_between_is_an_error_and_no_folder(tmp_path: Path) -> None:
    gone = [Medium(path=tmp_path / "gone", label="MONTAG")]
    with pytest.raises(StoreUnavailableError):
        open_store("usb:MONTAG", create=True, station="me", media=lambda: gone)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sftp://anna:geheim@host/path", "sftp://anna:***@host/path"),
        ("sftp://anna@host:22/path", "sftp://anna@host:22/path"),
        ("ftp://anna:ge/h@eim@host/path", "ftp://anna:***@host/path"),
        ("s3://bucket/x?key=geheim&region=eu", "s3://bucket/x?key=***&region=***"),
        ("/srv/a:b@c", "/srv/a:b@c"),
        ("C:\\backup", "C:\\backup"),
        ("memory:x", "memory:x"),
    ],
)
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@given(st.text(min_size=1).map(lambda text: f"<{text}>"), st.sampled_from(["sftp", "ftp", "s3", "https"]))
@example("<@/:>", "sftp")
def test_no_password_is_ever_shown(password: str, scheme: str) -> None:
    assert redact_url(f"{scheme}://anna:{password}@host/path") == f"{scheme}://anna:***@host/path"
