"""Commands and connections: what is sent, how little, and what happens to connections."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ftp_servers import FtpServer, running_pyftpdlib
from server import ServerMissingError

from snapstore.errors import StoreError, StoreUnavailableError
from snapstore.stores.address import RemoteAddress
from snapstore.stores.ftp.client import FtpClient
from snapstore.stores.ftp.listing import Entry, Kind, _parsed
from snapstore.stores.ftp.store import FtpStore

Opener = Callable[..., FtpStore]


def test_lines_for_people_are_never_asked_for(
    faulty: FtpServer, nameless: FtpServer, opened: Opener, name: str
) -> None:
    for server in (faulty, nameless):
        server.commands()
        store = opened(server, name)
        store.put("packs/a/one", b"x")
        assert [found.size for found in store.list("")] == [1]
        commands = server.commands()
        assert "LIST" not in commands
        assert commands.index("TYPE") < commands.index("STOR")


def test_few_commands_are_sent(faulty: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty, name, connections=1)
    store.put("packs/a/one", b"x" * 300_000)
    faulty.commands()
    store.put("packs/a/two", b"x" * 300_000)
    assert faulty.commands() == ["EPSV", "STOR", "SIZE", "SIZE", "RNFR", "RNTO"]
    store.get("packs/a/one", offset=1000, size=2000)
    assert faulty.commands() == ["EPSV", "REST", "RETR", "NOOP"]
    store.get("packs/a/one")
    assert faulty.commands() == ["SIZE", "EPSV", "RETR"]
    assert len(list(store.list("packs/a"))) == 2
    assert faulty.commands() == ["CWD", "EPSV", "MLSD"]


@pytest.mark.parametrize("active", [False, True])
def test_data_connections_go_either_way(vsftpd: FtpServer, opened: Opener, name: str, active: bool) -> None:
    store = opened(vsftpd, name, ftp_active=active)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: store.put(f"packs/{number}/x", bytes(number) * 1000), range(8)))
    assert sorted(found.size for found in store.list("packs")) == [number * 1000 for number in range(8)]


def test_a_server_without_epsv_is_asked_for_pasv_and_its_address_ignored(
    tmp_path: Path, opened: Opener, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_pyftpdlib(tmp_path, missing=["EPSV", "REST"]) as server:
        store = opened(server, name)
        store.put("packs/a/one", b"0123456789")
        assert store.get("packs/a/one", offset=3, size=4) == b"3456"  # from the start, since it knows no REST
        assert store.get("packs/a/one", offset=3) == b"3456789"
        assert "PASV" in server.commands()
        server.faults(refuse={"PASV": "227 Entering passive mode (203,0,113,9,0,9)."})
        real = socket.create_connection
        hosts: list[Any] = []
        monkeypatch.setattr(socket, "create_connection", lambda to, *rest: (hosts.append(to), real(to, *rest))[1])
        with pytest.raises(StoreUnavailableError):
            list(store.list("packs"))
        assert ("127.0.0.1", 9) in hosts
        assert not any(host == "203.0.113.9" for host, _ in hosts)


def test_a_server_that_can_neither_list_nor_tell_sizes_is_said_to_be_unfit(
    tmp_path: Path, opened: Opener, name: str
) -> None:
    with running_pyftpdlib(tmp_path, missing=["MLSD", "MLST", "NLST"]) as server:
        store = opened(server, name)
        with pytest.raises(StoreError) as caught:
            list(store.list(""))
        assert caught.value.code == "ftp_server_unfit"
    with running_pyftpdlib(tmp_path / "two", missing=["SIZE"]) as server:
        store = opened(server, name)  # MLST tells
        store.put("packs/a/one", b"x")
        assert [found.size for found in store.list("packs")] == [1]


def test_an_empty_folder_is_believed_to_be_one_only_if_it_could_be_read(
    nameless: FtpServer, vsftpd: FtpServer, opened: Opener, name: str
) -> None:
    for server in (nameless, vsftpd):
        store = opened(server, name)
        store.put("packs/a/one", b"x")
        store.delete("packs/a/one")
        assert list(store.list("packs/a")) == list(store.list("")) == list(store.list("index")) == []
    nameless.faults(refuse={"NLST": "550 No files found."})
    with pytest.raises(StoreError):
        list(opened(nameless, name).list("packs/a"))


def test_links_are_followed_as_in_a_folder(proftpd: FtpServer, opened: Opener, name: str) -> None:
    store = opened(proftpd, name)
    store.put("packs/a/one", b"content")
    assert proftpd.folder is not None
    below = proftpd.folder / name / "packs"
    (below / "a").rename(below.parent / "Elsewhere")
    (below / "a").symlink_to("../Elsewhere")
    (below / "b").symlink_to("../nowhere")
    assert [found.name for found in store.list("packs/a")] == ["packs/a/one"]


def test_closing_ends_it_and_nothing_hangs_without(faulty: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty, name)
    store.close()
    with pytest.raises(StoreError) as caught:
        store.get("packs/a/one")
    assert caught.value.code == "store_closed"
    code = (
        "import sys; from snapstore.stores.url import open_store; from snapstore.stores.options import StoreOptions\n"
        f"store = open_store({faulty.url(name)!r}, options=StoreOptions(password={faulty.password!r}))\n"
        "store.put('packs/a/one', b'x'); print(len(list(store.list(''))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True, cwd=Path.cwd(),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert run.stdout == "1\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_has_connections_of_its_own(faulty: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty, name)
    store.put("packs/a/one", b"content")
    child = os.fork()
    if child == 0:
        os._exit(0 if store.get("packs/a/one") == b"content" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.get("packs/a/one") == b"content"


def test_a_connection_that_was_idle_for_long_is_asked_first(faulty: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty, name)
    store.put("packs/a/one", b"content")
    for client in store._pool._idle:
        client.used_at -= 60
    faulty.commands()
    faulty.faults(mute=[])
    assert store.get("packs/a/one") == b"content"
    assert faulty.commands()[0] == "NOOP"


def test_replies_come_apart_in_every_way() -> None:
    """Lines in several packets, replies of many lines, and text that is no reply."""
    for text, expected in (
        (b"200 Good\r\n", "200 Good"),
        (b"211-A\r\n 211 B\r\n211-C\r\n211 End\r\n", "211-A\n 211 B\n211-C\n211 End"),
        (b"200 \xff\r\n", "200 \udcff"),
    ):
        assert replied(text) == expected
    for text in (
        b"",
        b"200 cut",
        b"hello\r\n",
        b"999 x\r\n",
        b"421 Bye\r\n",
        b"211-A\r\n" * 2000,
        b"2" * 100_000 + b"\n",
    ):
        with pytest.raises(StoreUnavailableError) as caught:
            replied(text)
        assert caught.value.code == "connection_lost"


def replied(text: bytes) -> str:
    """What a client makes of bytes that a server sends."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client: Any = FtpClient.__new__(FtpClient)
        login = SimpleNamespace(
            host="host", url="ftp://me@host", known_password="", options=SimpleNamespace(answer_timeout_seconds=5)
        )
        super(FtpClient, client).__init__(login)
        ours.settimeout(5)
        client.sock, client._lines = ours, ours.makefile("rb")

        def send() -> None:
            with contextlib.suppress(OSError):  # enough was read
                for start in range(0, len(text), 7001):
                    theirs.sendall(text[start : start + 7001])
                theirs.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            return str(client.getresp())
        finally:
            client.close()
            sender.join()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("type=file;size=12; one", Entry("one", Kind.FILE, 12)),
        ("Type=FILE;Size=12;modify=20200101000000; a b ", Entry("a b ", Kind.FILE, 12)),
        ("type=file; nosize", Entry("nosize", Kind.FILE, None)),
        ("type=file;size=-1; odd", Entry("odd", Kind.FILE, None)),
        ("type=dir;sizd=4096; packs", Entry("packs", Kind.FOLDER)),
        ("type=OS.unix=slink:/x;size=3; link", Entry("link", Kind.UNKNOWN)),
        ("type=cdir; .", None),
        ("type=pdir; ..", None),
        ("type=cdir; /home/me", None),
        (" bare", Entry("bare", Kind.UNKNOWN)),
    ],
)
def test_a_line_of_a_listing(line: str, expected: Entry | None) -> None:
    assert _parsed(SimpleNamespace(url="ftp://me@host"), line) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("line", ["nonsense", "drwxr-xr-x 2 me me 4096 Jan 1 x", "type=file;size=3;", "type=file; "])
def test_a_line_that_makes_no_sense_raises(line: str) -> None:
    with pytest.raises(StoreError):
        _parsed(SimpleNamespace(url="ftp://me@host"), line)  # type: ignore[arg-type]


def test_one_connection_is_enough(vsftpd_tls: FtpServer, opened: Opener, name: str) -> None:
    store = opened(vsftpd_tls, name, connections=1)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda number: store.put(f"packs/{number}/x", b"x"), range(4)))
    assert len(list(store.list(""))) == 4
    assert store._pool._open == 1


@pytest.mark.parametrize("active", [False, True])
def test_data_goes_over_ipv6_too(tmp_path: Path, name: str, active: bool) -> None:
    try:
        with running_pyftpdlib(tmp_path, "1.3", host="::") as server:
            address = RemoteAddress.parse(server.url(name).replace(server.host, "[::1]"))
            options = dataclasses.replace(server.options, ftp_active=active, connections=1)
            with FtpStore(address, options, create=True) as store:
                store.put("packs/a/one", b"content")
                assert [store.get(found.name) for found in store.list("")] == [b"content"]
            assert {"EPSV", "EPRT"} & set(server.commands()) == {"EPRT" if active else "EPSV"}
    except ServerMissingError as error:
        pytest.skip(str(error))
