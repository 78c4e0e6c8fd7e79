"""TLS: whom the store trusts, that it never goes on in clear, and that data connections resume the session."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ftp_certificates import certificates
from ftp_servers import PASSWORD, FtpServer, running_proftpd, running_pyftpdlib, running_vsftpd
from server import ServerMissingError

from snapstore.errors import InputError, StoreError, StorePermissionError
from snapstore.stores.address import RemoteAddress
from snapstore.stores.ftp import control, tls
from snapstore.stores.ftp.login import traits_of
from snapstore.stores.ftp.store import FtpStore
from snapstore.stores.options import StoreOptions

Opener = Callable[..., FtpStore]
KINDS = {"vsftpd": running_vsftpd, "ProFTPD": running_proftpd}


def without_the_session(conn: Any, main: ssl.SSLSocket, host: str) -> ssl.SSLSocket:
    """What the standard library does."""
    return main.context.wrap_socket(conn, server_hostname=host, suppress_ragged_eofs=False)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", KINDS)
def test_sessions_are_resumed_where_servers_demand_it(
    kind: str, version: str, tmp_path: Path, opened: Opener, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed: list[bool | None] = []
    real = tls.secured_data

    def watched(conn: Any, main: ssl.SSLSocket, host: str) -> ssl.SSLSocket:
        data = real(conn, main, host)
        resumed.append(data.session_reused)
        assert data.version() == f"TLSv{version}"
        return data

    try:
        with KINDS[kind](tmp_path, version) as server:
            monkeypatch.setattr(tls, "secured_data", watched)
            store = opened(server, name)
            for number in range(3):
                store.put(f"packs/a/{number}", b"content" * 50_000)
                assert store.get(f"packs/a/{number}", offset=7, size=7) == b"content"
            assert len(list(store.list(""))) == 3
            assert len(resumed) > 6
            assert all(resumed)
            # The proof that it is needed: without it these servers give no data.
            monkeypatch.setattr(tls, "secured_data", without_the_session)
            with pytest.raises(StoreError):
                opened(server, name).get("packs/a/0")
    except ServerMissingError as error:
        pytest.skip(str(error))


def test_where_tls_1_3_does_not_do_1_2_is_used_and_remembered(
    faulty_tls: FtpServer, opened: Opener, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tls.secured_data
    tried: list[str | None] = []

    def choosy(conn: Any, main: ssl.SSLSocket, host: str) -> ssl.SSLSocket:
        tried.append(main.version())
        if main.version() == "TLSv1.3":
            raise ConnectionResetError(104, "no session, no data")
        return real(conn, main, host)

    traits = traits_of(faulty_tls.host, faulty_tls.port)
    traits.proven = False
    monkeypatch.setattr(tls, "secured_data", choosy)
    monkeypatch.setattr(control, "_UNSURE_REPLY_SECONDS", 0.3)  # here the server does not know, and says nothing
    try:
        opened(faulty_tls, name).put("packs/a/one", b"content")
        assert opened(faulty_tls, name).get("packs/a/one") == b"content"
        assert tried[0] == "TLSv1.3"
        assert set(tried[1:]) == {"TLSv1.2"}
        assert traits.tls_1_2
    finally:
        traits.tls_1_2 = traits.proven = False


def test_ends_that_get_lost_with_tls_1_3_lead_to_1_2(faulty_tls: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty_tls, name)
    traits = traits_of(faulty_tls.host, faulty_tls.port)
    faulty_tls.faults(truncate=5)
    try:
        with pytest.raises(StoreError):
            store.put("packs/a/one", b"content" * 50_000)
        assert traits.tls_1_2
        faulty_tls.faults()
        store.put("packs/a/one", b"content" * 50_000)
    finally:
        traits.tls_1_2 = False


def test_a_certificate_of_an_unknown_authority_is_refused(faulty_tls: FtpServer, tmp_path: Path, name: str) -> None:
    address = RemoteAddress.parse(faulty_tls.url(name))
    other = certificates(tmp_path / "other")
    for ca_file in (None, other.authority):
        with pytest.raises(StorePermissionError) as caught:
            FtpStore(address, StoreOptions(password=PASSWORD, ca_file=ca_file), create=True)
        assert caught.value.code == "certificate_refused"
        assert not caught.value.retryable
        assert "certificate" in str(caught.value)
    with pytest.raises(InputError) as unreadable:
        FtpStore(address, StoreOptions(password=PASSWORD, ca_file=tmp_path / "absent"), create=True)
    assert unreadable.value.code == "invalid_ca_file"


def test_a_certificate_that_signed_itself_may_be_trusted(tmp_path: Path, name: str) -> None:
    """As people make them for a server at home: the certificate itself is the file to trust."""
    made = certificates(tmp_path / "own")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", made.key, "-out", made.certificate],
        capture_output=True, check=True,
    )  # fmt: skip
    made.both.write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
    with running_pyftpdlib(tmp_path, "1.3", certificate=str(made.both)) as server:
        address = RemoteAddress.parse(server.url(name))
        with FtpStore(address, StoreOptions(password=PASSWORD, ca_file=made.certificate), create=True) as store:
            assert list(store.list("")) == []


@pytest.mark.parametrize("implicit", [False, True])
def test_a_certificate_for_another_host_is_refused(tmp_path: Path, opened: Opener, name: str, implicit: bool) -> None:
    with running_pyftpdlib(tmp_path, "1.3", implicit=implicit, hosts=("files.example",)) as server:
        server.commands()
        with pytest.raises(StorePermissionError) as caught:
            opened(server, name)
        assert caught.value.code == "certificate_refused"
        assert "127.0.0.1" in str(caught.value)
        assert "USER" not in server.commands()


def test_a_server_without_tls_gets_no_password(faulty: FtpServer, name: str) -> None:
    faulty.commands()
    address = RemoteAddress.parse(faulty.url(name).replace("ftp://", "ftps://"))
    with pytest.raises(StoreError) as caught:
        FtpStore(address, faulty.options, create=True)
    assert (caught.value.code, caught.value.retryable) == ("tls_refused", False)
    assert not {"USER", "PASS"} & set(faulty.commands())


def test_a_server_that_will_not_protect_data_gets_none(faulty_tls: FtpServer, opened: Opener, name: str) -> None:
    faulty_tls.commands()
    faulty_tls.faults(refuse={"PROT": "536 No."})
    with pytest.raises(StoreError) as caught:
        opened(faulty_tls, name)
    assert caught.value.code == "tls_refused"
    assert not {"EPSV", "PASV"} & set(faulty_tls.commands())
    faulty_tls.faults()


def test_the_wrong_kind_of_tls_is_said_so(faulty: FtpServer, name: str) -> None:
    """TLS from the first byte, to a server that greets in clear."""
    address = RemoteAddress.parse(faulty.url(name).replace("ftp://", "ftps://") + "?tls=implicit")
    with pytest.raises(StoreError) as caught:
        FtpStore(address, faulty.options, create=True)
    assert caught.value.code == "tls_refused"
    assert "?tls=explicit" in str(caught.value)
