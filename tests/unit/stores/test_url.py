"""Addresses: which store each gives, and what of them may be printed."""

from __future__ import annotations

import os
import re
import sys
import traceback
import types
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapstore.errors import InputError, StorePermissionError, StoreUnavailableError
from snapstore.stores.address import RemoteAddress
from snapstore.stores.local import LocalStore
from snapstore.stores.media import Medium
from snapstore.stores.memory import MemoryStore
from snapstore.stores.options import StoreOptions
from snapstore.stores.protocol import begin_object, lanes_of
from snapstore.stores.read_only import ReadOnlyStore
from snapstore.stores.retrying import RetryingStore
from snapstore.stores.throttled import ThrottledStore
from snapstore.stores.url import open_store, redact_url, remote_address
from snapstore.stores.wrapper import innermost


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


REMOTE = ["sftp://user@host/path", "FTP://host", "ftps://host", "s3://bucket/prefix", "gs://bucket", "az://box/below"]


@pytest.mark.parametrize("url", REMOTE)
def test_remote_addresses_have_parts(url: str) -> None:
    address = remote_address(url)
    assert address is not None
    assert address.scheme == url.partition(":")[0].lower()
    assert RemoteAddress.parse(address.shown) == address


@pytest.mark.parametrize(
    "url", ["/srv", "usb:X", "memory:x", "file:///srv", "C:\\backup", "rsync://host/path", Path("sftp://x")]
)
def test_others_have_none(url: str | Path) -> None:
    assert remote_address(url) is None


@pytest.mark.parametrize(("url", "package"), [("sftp://user@host/path", "asyncssh"), ("gs://bucket/x", "obstore")])
def test_a_missing_package_is_named_with_the_way_to_get_it(
    url: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r'pip install "snapstore\[') as caught:
        open_store(url, station="me")
    assert caught.value.code == "extra_missing"
    assert package in str(caught.value)


def test_options_become_wrappers(tmp_path: Path) -> None:
    folder = str(tmp_path / "store")
    plain = open_store(folder, create=True, station="me", options=StoreOptions(attempts=9, connections=3))
    assert isinstance(plain, LocalStore)
    limited = open_store(folder, station="me", options=StoreOptions(upload_bytes_per_second=1 << 20))
    assert isinstance(limited, ThrottledStore)
    assert begin_object(limited) is None
    assert lanes_of(limited) == 1
    limited.put("packs/a/0", b"x")
    looked_at = open_store(
        folder, station="me", options=StoreOptions(download_bytes_per_second=1 << 20, read_only=True)
    )
    assert isinstance(looked_at, ReadOnlyStore)
    assert isinstance(innermost(looked_at), LocalStore)
    assert looked_at.get("packs/a/0") == b"x"
    with pytest.raises(StorePermissionError):
        looked_at.put("packs/a/1", b"x")
    with pytest.raises(StoreUnavailableError):
        open_store(tmp_path / "new", create=True, station="me", options=StoreOptions(read_only=True))
    assert not (tmp_path / "new").exists()


def test_a_remote_store_is_tried_again_and_may_be_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, bool, str]] = []

    class Far(MemoryStore):
        lanes = 7

        def __init__(self, address: RemoteAddress, options: StoreOptions, *, create: bool, station: str) -> None:
            opened.append((address.host, create, station))
            super().__init__("test_url_far")

    module = types.ModuleType("snapstore.stores.ftp.store")
    module.FtpStore = Far  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "snapstore.stores.ftp", types.ModuleType("snapstore.stores.ftp"))
    monkeypatch.setitem(sys.modules, "snapstore.stores.ftp.store", module)
    store = open_store("ftp://anna@shop.example/x", create=True, station="me")
    assert isinstance(store, RetryingStore)
    assert isinstance(store.inner, Far)
    assert lanes_of(store) == 7
    store = open_store("ftps://shop.example/x", options=StoreOptions(upload_bytes_per_second=5, read_only=True))
    assert isinstance(store, ReadOnlyStore)
    assert isinstance(store.inner, RetryingStore)
    assert isinstance(store.inner.inner, ThrottledStore)
    assert lanes_of(store) == 7
    assert opened == [("shop.example", True, "me"), ("shop.example", False, "unnamed")]


@pytest.mark.parametrize("url", ["rsync://host/path", "usbb:STICK", "http:x"])
def test_an_unknown_scheme_names_the_known_ones(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match="a path, file:, usb:, memory:, sftp:, ftp:, ftps:, s3:, gs: and az:"
    ) as caught:
        open_store(url, create=True, station="me")
    assert caught.value.code == "unknown_scheme"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["", "a\0b", "file:relative", "file:///a?b", "file:///a#b", "usb:", "usb:/", "usb:X/../y"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        open_store(url, station="me")


@pytest.mark.parametrize("before", [" ", "\t", '"', "'", "url="])
@pytest.mark.parametrize("address", ["sftp://anna:geheim@host/p", "FTPS://anna:geheim@host", "s3//anna:geheim@bucket"])
def test_an_address_with_something_before_it_is_no_path_with_a_password_in_it(
    before: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for create in (False, True):
        with pytest.raises(InputError) as caught:
            open_store(before + address, create=create, station="me")
        assert "geheim" not in "".join(traceback.format_exception(caught.value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", "$(x)", "`x`", "a;x", "a|x", '"x"', "a\\b"])
def test_a_host_is_nothing_that_a_shell_would_take_for_something_else(host: str) -> None:
    with pytest.raises(InputError):
        RemoteAddress.parse(f"sftp://anna@{host}/path")


@pytest.mark.parametrize("path", ["caf%E9", "caf\udce9", "%ED%A0%80"])
def test_a_path_that_is_no_text_is_refused_and_not_another_path(path: str) -> None:
    with pytest.raises(InputError, match="UTF-8"):
        RemoteAddress.parse(f"sftp://host/{path}")
    assert isinstance(redact_url(f"sftp://host/{path}"), str)


def test_the_interface_of_an_address_of_ipv6() -> None:
    for url in ("sftp://[FE80::1%25Eth0]:22/x", "sftp://[FE80::1%Eth0]:22/x"):
        address = RemoteAddress.parse(url)
        assert (address.host, address.port) == ("FE80::1%Eth0", 22)
        assert address.shown == "sftp://[FE80::1%25Eth0]:22/x"


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
        ("sftp://anna:geheim@host/path", "sftp://anna@host/path"),
        ("SFTP://anna@host:22/path/", "sftp://anna@host:22/path"),
        ("sftp://anna@[::1]:22/~/my%20path", "sftp://anna@[::1]:22/~/my%20path"),
        ("ftp://anna@shop.example:geheim@host/path", "ftp://anna%40shop.example@host/path"),
        ("ftp://anna:ge/h@eim@host/path", "ftp://anna:***@host/path"),
        ("sftp://host:22/home/anna@shop", "sftp://host:***@shop"),
        ("sftp://host/home/anna@shop", "sftp://host/home/anna%40shop"),
        ("s3://bucket/x?access_key=geheim&region=eu", "s3://bucket/x?region=eu"),
        ("s3://bucket/x?endpoint=https://host:9000", "s3://bucket/x?endpoint=https://host:9000"),
        ("https://bucket/x?key=geheim&region=eu", "https://bucket/x?key=***&region=***"),
        ("/srv/a:b@c", "/srv/a:b@c"),
        ("C:\\backup", "C:\\backup"),
        ("memory:x", "memory:x"),
    ],
)
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert redact_url(url) == shown


ODD = st.text(alphabet=st.sampled_from("/@:#?%&=[]\\ .~+é\tq7"), min_size=1) | st.text(min_size=1)
SCHEMES = st.sampled_from(["sftp", "ftp", "ftps", "s3", "gs", "az", "https"])
PLACES = st.sampled_from(["host", "host/path", "host:22/path", "[::1]/p", "host/p?endpoint=http://h:9"])


@given(ODD.map(lambda text: f"<{text}>"), SCHEMES, PLACES)
@example("<@/:>", "sftp", "host")
@example("<12/34>", "sftp", "host/path")
@example("</>", "sftp", "host/p?endpoint=http://h:9")
def test_no_password_is_ever_shown(password: str, scheme: str, place: str) -> None:
    url = f"{scheme}://anna:{password}@{place}"
    shown = redact_url(url)
    texts = [shown]
    try:
        address = RemoteAddress.parse(url)
        texts += [address.shown, address.server, repr(address), str(address)]
        if not re.search(r"%[0-9A-Fa-f]{2}", password):
            assert address.password == password
    except InputError as error:
        texts += ["".join(traceback.format_exception(error)), repr(error), repr([error.__context__, error.__cause__])]
    # "<" and ">" mark the password and stand nowhere else; quoted, they are %3C and %3E.
    assert [text for text in texts if "<" in text or "%3C" in text] == []


@given(st.integers(0, 99999), ODD, PLACES)
@example(12, "34", "host/path")
def test_a_password_that_looks_like_a_port_is_not_shown(number: int, rest: str, place: str) -> None:
    url = f"sftp://anna:{number:05}/geheim{rest}@{place}"
    assert "geheim" not in redact_url(url)
    with pytest.raises(InputError) as caught:
        RemoteAddress.parse(url)
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


@given(st.text(min_size=1).filter(lambda text: min(map(ord, text)) > 31 and "\x7f" not in text))
@example("/@:#?%41")
def test_a_quoted_password_arrives(password: str) -> None:
    try:
        quoted = quote(password, safe="")
    except UnicodeEncodeError:  # a lone surrogate
        return
    address = RemoteAddress.parse(f"sftp://anna:{quoted}@host:22/path")
    assert (address.password, address.host, address.port, address.path) == (password, "host", 22, "/path")
    assert address.shown == "sftp://anna@host:22/path"


@given(SCHEMES, st.text() | st.text(alphabet=st.sampled_from("ab1/@:#?%&=[]\\ .~é")))
@example("sftp", "@host")
@example("sftp", "[::1")
@example("sftp", "a b/c")
def test_any_text_is_an_address_or_an_input_error(scheme: str, text: str) -> None:
    try:
        address = RemoteAddress.parse(f"{scheme}://{text}")
    except InputError:
        return
    again = RemoteAddress.parse(address.shown)
    assert again.shown == address.shown
    assert (again.host, again.port, again.path, again.user) == (address.host, address.port, address.path, address.user)
    assert again.password is None
    assert isinstance(redact_url(f"{scheme}://{text}"), str)


@pytest.mark.parametrize("host", ["BackupHost", "backup.example", "[2001:DB8::1]"])
def test_a_host_keeps_its_capitals(host: str) -> None:
    address = RemoteAddress.parse(f"sftp://backuphost:backuphost@{host}:22/backuphost")
    assert address.host == host.strip("[]")
    assert address.shown == f"sftp://backuphost@{host}:22/backuphost"
