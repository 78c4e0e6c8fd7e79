"""Addresses and logging in: what is refused before anything is sent, and that a password shows nowhere."""

from __future__ import annotations

import contextlib
import io
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ftp_servers import PASSWORD, FtpServer, running_pyftpdlib

from snapstore.errors import InputError, SnapstoreError, StorePermissionError, StoreUnavailableError
from snapstore.stores.address import RemoteAddress
from snapstore.stores.ftp.login import Login, traits_of
from snapstore.stores.ftp.store import FtpStore
from snapstore.stores.options import StoreOptions
from snapstore.stores.protocol import RemoteStore, Store

Opener = Callable[..., FtpStore]
WRONG = "wr0ng-pass-word"


def login(url: str) -> Login:
    return Login.of(RemoteAddress.parse(url), StoreOptions())


@pytest.mark.parametrize("host", ["a..b", "ü..x", "a" * 300])
def test_a_host_that_no_name_can_be_is_said_to_be_one(host: str) -> None:
    with pytest.raises(InputError) as caught:
        FtpStore(RemoteAddress.parse(f"ftp://me:{WRONG}@{host}/x"), StoreOptions(connect_timeout_seconds=3))
    assert WRONG not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("url", "port", "secure", "implicit"),
    [
        ("ftp://me@host/x", 21, False, False),
        ("ftp://me@host:2121/x", 2121, False, False),
        ("ftps://me@host/x", 21, True, False),
        ("ftps://me@host:990/x", 990, True, True),
        ("ftps://me@host/x?tls=implicit", 990, True, True),
        ("ftps://me@host:2121/x?tls=implicit", 2121, True, True),
        ("ftps://me@host:990/x?tls=explicit", 990, True, False),
    ],
)
def test_addresses_say_how_to_connect(url: str, port: int, secure: bool, implicit: bool) -> None:
    found = login(url)
    assert (found.port, found.secure, found.implicit) == (port, secure, implicit)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "ftp://me@host/x?tls=implicit",
        "ftps://me@host/x?tls=maybe",
        "ftps://me@host/x?secure=yes",
        "ftp://me%0d%0aDELE%20x@host/x",
        "ftp://me%00@host/x",
        "ftp://me:a%0d%0aDELE%20x@host/x",
        "ftp://me@host/a%0d%0aDELE%20x",
        "ftp://me@host/a%7f",
    ],
)
def test_addresses_that_cannot_be_meant_are_refused(url: str) -> None:
    with pytest.raises(InputError):
        login(url)


def test_a_password_that_would_be_a_command_is_refused(faulty: FtpServer, name: str) -> None:
    (faulty.folder or Path()).joinpath("victim").write_bytes(b"x")
    faulty.commands()
    with pytest.raises(InputError) as caught:
        FtpStore(RemoteAddress.parse(faulty.url(name)), StoreOptions(password="a\r\nDELE /victim"))
    assert "victim" not in str(caught.value)
    assert "PASS" not in faulty.commands()


@pytest.fixture
def everything_said(caplog: pytest.LogCaptureFixture) -> Iterator[io.StringIO]:
    """All that is logged and printed within the test."""
    said = io.StringIO()
    with caplog.at_level(logging.DEBUG), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said
    said.write(caplog.text)


def test_a_wrong_password_shows_nowhere(tmp_path: Path, name: str, everything_said: io.StringIO) -> None:
    """Not even where the server repeats it."""
    with running_pyftpdlib(tmp_path, echo_password=True) as server:
        for address, options in (
            (RemoteAddress.parse(server.url(name)), StoreOptions(password=WRONG)),
            (RemoteAddress.parse(server.url(name).replace("@", f":{WRONG}@")), StoreOptions()),
        ):
            with pytest.raises(StorePermissionError) as caught:
                FtpStore(address, options, create=True)
            assert (caught.value.code, caught.value.retryable) == ("login_refused", False)
            everything_said.write("".join(traceback.format_exception(caught.value)))
            everything_said.write(repr((address, options, Login.of(address, options))))
        assert WRONG not in everything_said.getvalue()


def test_no_error_holds_the_password(faulty: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty, name)
    said = [repr(vars(store)), store.url, repr(store)]
    for faults in (
        {"refuse": {"EPSV": f"550 {PASSWORD}", "PASV": f"550 {PASSWORD}"}},
        {"refuse": {"CWD": f"530 {PASSWORD}", "MLSD": f"530 {PASSWORD}"}},
        {"refuse": {"CWD": f"999 {PASSWORD}"}},
        {"break_listing": "426"},
    ):
        faulty.faults(**faults)
        with pytest.raises(SnapstoreError) as caught:
            list(store.list(""))
        said.append("".join(traceback.format_exception(caught.value)))
    assert PASSWORD not in "".join(said)


def test_no_password_is_a_login_refused(faulty: FtpServer, name: str) -> None:
    with pytest.raises(StorePermissionError) as caught:
        FtpStore(RemoteAddress.parse(faulty.url(name)), StoreOptions())
    assert caught.value.code == "login_refused"


def test_a_password_is_asked_for_once(faulty: FtpServer, name: str) -> None:
    asked: list[str] = []

    def ask(server: str) -> str:
        asked.append(server)
        return PASSWORD

    address = RemoteAddress.parse(faulty.url(name))
    with FtpStore(address, StoreOptions(password=ask, connections=3), create=True) as store:
        for number in range(4):
            store.put(f"packs/{number}/x", b"x")
        assert len(list(store.list(""))) == 4
    assert asked == [address.server]


def test_paths_are_relative_to_where_a_login_begins_and_absolute_with_two_slashes(
    faulty: FtpServer, vsftpd: FtpServer, opened: Opener, name: str
) -> None:
    for server in (faulty, vsftpd):
        opened(server, name).put("packs/a/one", b"x")
    absolute = vsftpd.url(name).replace("/files/", "//files/")
    with FtpStore(RemoteAddress.parse(absolute), vsftpd.options) as store:
        assert store.get("packs/a/one") == b"x"
    with FtpStore(RemoteAddress.parse(faulty.url(f"{name}%20%C3%A4%5B1%5D*")), faulty.options, create=True) as store:
        store.put("packs/a/one", b"x")
        assert [found.name for found in store.list("")] == ["packs/a/one"]


def test_only_the_last_folder_is_made_and_only_when_asked(faulty: FtpServer, vsftpd: FtpServer, name: str) -> None:
    for server in (faulty, vsftpd):
        for path, create in ((name, False), (f"{name}/below", True), (f"{name}/below", False)):
            with pytest.raises(StoreUnavailableError) as caught:
                FtpStore(RemoteAddress.parse(server.url(path)), server.options, create=create)
            assert (caught.value.code, caught.value.retryable) == ("store_absent", False)


def test_nobody_there_may_be_tried_again(faulty: FtpServer, tmp_path: Path, name: str) -> None:
    with running_pyftpdlib(tmp_path) as server:
        url = server.url(name)
    with pytest.raises(StoreUnavailableError) as caught:
        FtpStore(RemoteAddress.parse(url), StoreOptions(password=PASSWORD))
    assert caught.value.retryable


def test_that_a_password_travels_in_clear_is_said_once(
    faulty: FtpServer, faulty_tls: FtpServer, opened: Opener, name: str
) -> None:
    traits_of(faulty.host, faulty.port).warned = False
    codes = [[code for code, _ in opened(faulty, name).notices] for _ in range(2)]
    assert codes == [["password_in_clear"], []]
    assert opened(faulty_tls, name).notices == ()


def test_it_is_a_remote_store(faulty: FtpServer, nameless: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty, name, connections=5)
    assert isinstance(store, Store)
    assert isinstance(store, RemoteStore)
    assert store.lanes == 5
    assert store.free_bytes() is None
    assert opened(nameless, name).free_bytes() == 123456789
