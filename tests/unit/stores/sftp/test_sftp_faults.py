"""Servers that die, hang, and lose answers: nothing half-stored is ever taken for stored, and nothing hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from server import ServerMissingError
from server_process import descendants
from ssh_servers import SshServer, running_sshd

from snapstore.errors import InputError, StoreError, StoreUnavailableError
from snapstore.limits import KIB, MIB
from snapstore.stores.sftp import listing, pool, wire
from snapstore.stores.sftp.client import Disconnected, SftpClient
from snapstore.stores.sftp.store import SftpStore

OpenStore = Callable[..., SftpStore]
RENAME = wire.rename(b"", b"").kind


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A server that is killed, which the others' sessions must not notice."""
    try:
        with running_sshd(tmp_path_factory.mktemp("mortal")) as server:
            yield server
    except ServerMissingError as reason:
        pytest.skip(str(reason))


class Killing(BytesIO):
    """An object's bytes, in the middle of which something happens."""

    def __init__(self, content: bytes, happens: Callable[[], None]) -> None:
        super().__init__(content)
        self._happens = happens

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 2 * MIB:
            happens, self._happens = self._happens, lambda: None
            happens()
        return super().read(size)


def temporaries(server: SshServer, place: str) -> list[str]:
    assert server.folder is not None
    return [file.name for file in (server.folder / place / "tmp").glob("*")]


def test_a_server_killed_in_a_put(mortal: SshServer, open_store: OpenStore, place: str) -> None:
    store = open_store(mortal)
    store.put("packs/a/before", b"x")
    content = os.urandom(8 * MIB)

    def die() -> None:
        mortal.stop()
        mortal.start()

    with pytest.raises(StoreUnavailableError) as caught:
        store.put("packs/a/during", Killing(content, die))
    assert (caught.value.code, caught.value.retryable) == ("connection_lost", True)
    assert [found.name for found in store.list("")] == ["packs/a/before"]
    assert temporaries(mortal, place) == []  # removed with the new connection
    store.put("packs/a/during", content)
    assert store.get("packs/a/during") == content
    assert {found.name for found in store.list("")} == {"packs/a/before", "packs/a/during"}


def hold(server: SshServer, stop_or_go: signal.Signals) -> None:
    """Stop a server with all its sessions, or have them go on."""
    pid = int((server.home / "pid").read_text())
    for process in (pid, *descendants(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, stop_or_go)


@pytest.mark.parametrize("work", ["get", "list", "delete", "put", "large put", "large get"])
def test_a_server_killed_in_the_middle(mortal: SshServer, open_store: OpenStore, work: str) -> None:
    store = open_store(mortal)
    store.put("packs/a/one", bytes(MIB))
    store.get("packs/a/one", size=MIB)  # a connection for large things is there
    works: dict[str, Callable[[], object]] = {
        "get": lambda: store.get("packs/a/one", size=5),
        "list": lambda: list(store.list("packs")),
        "delete": lambda: store.delete("packs/a/one"),
        "put": lambda: store.put("packs/a/two", b"x"),
        "large put": lambda: store.put("packs/a/two", bytes(MIB)),
        "large get": lambda: store.get("packs/a/one"),
    }
    hold(mortal, signal.SIGSTOP)
    killer = threading.Timer(0.3, mortal.stop)
    killer.start()
    with pytest.raises(StoreUnavailableError) as caught:
        works[work]()
    killer.join()
    assert (caught.value.code, caught.value.retryable) == ("connection_lost", True)
    with pytest.raises(StoreUnavailableError) as refused:
        store.list("packs")
    assert refused.value.retryable is True
    mortal.start()
    assert {found.name for found in store.list("packs")} == {"packs/a/one"}
    works[work]()


def test_a_silent_server_is_a_time_out(mortal: SshServer, open_store: OpenStore) -> None:
    store = open_store(mortal, answer_timeout_seconds=0.4)
    store.put("packs/a/one", b"x")
    hold(mortal, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError) as caught:
            store.list("packs")
        assert time.monotonic() - begun < 5
        assert (caught.value.code, caught.value.retryable) == ("store_timeout", True)
    finally:
        hold(mortal, signal.SIGCONT)
    store.put("packs/a/two", b"y")
    assert {found.name for found in store.list("packs")} == {"packs/a/one", "packs/a/two"}


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_leaves_the_store_usable(mortal: SshServer, open_store: OpenStore, place: str) -> None:
    store = open_store(mortal)
    store.put("packs/a/one", b"x")
    hold(mortal, signal.SIGSTOP)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            store.put("packs/a/two", b"y")
    finally:
        hold(mortal, signal.SIGCONT)
    assert {found.name for found in store.list("packs")} == {"packs/a/one"}
    assert temporaries(mortal, place) == []

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put("packs/a/large", Killing(bytes(5 * MIB), interrupt))
    assert [found.name for found in store.list("packs")] == ["packs/a/one"]
    assert temporaries(mortal, place) == []
    store.put("packs/a/large", bytes(5 * MIB))


class LosingAnswers:
    """Breaks the connection at the k-th rename: before it is sent, or when its answer is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, sent: bool, times: int = 1) -> None:
        self.left = times
        ask = SftpClient.ask

        async def losing(client: SftpClient, requests: Sequence[wire.Request]) -> list[wire.Reply]:
            if self.left and any(request.kind == RENAME for request in requests):
                self.left -= 1
                if sent:
                    await ask(client, requests)
                client.fail("cut by the test")
                raise Disconnected("cut by the test")
            return await ask(client, requests)

        monkeypatch.setattr(SftpClient, "ask", losing)


@pytest.mark.parametrize("size", [9, 2 * MIB])
@pytest.mark.parametrize(("sent", "times"), [(True, 1), (False, 1), (False, 3)])
def test_the_answer_to_a_rename_is_lost(
    sshd: SshServer,
    open_store: OpenStore,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    sent: bool,
    times: int,
) -> None:
    store = open_store(sshd)
    content = os.urandom(size)
    losing = LosingAnswers(monkeypatch, sent=sent, times=times)
    store.put("packs/a/one", content)
    assert losing.left == 0
    assert store.get("packs/a/one") == content
    assert [found.name for found in store.list("")] == ["packs/a/one"]
    assert temporaries(sshd, place) == []


def test_nobody_knows_what_became_of_a_rename(
    mortal: SshServer, open_store: OpenStore, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(mortal, connect_timeout_seconds=1.0)
    store.put("packs/a/one", b"x")
    assert mortal.folder is not None
    connect = pool.connect
    removing = True

    async def connect_and_remove(login: Any) -> Any:
        if removing:
            for file in (mortal.folder / place / "tmp").iterdir():
                file.unlink()
        return await connect(login)

    monkeypatch.setattr(pool, "connect", connect_and_remove)
    LosingAnswers(monkeypatch, sent=False)
    with pytest.raises(StoreError) as caught:  # neither the object nor its temporary is there
        store.put("packs/a/two", b"y")
    assert (caught.value.code, caught.value.retryable) == ("put_uncertain", False)
    removing = False

    async def unreachable(login: Any) -> Any:
        raise StoreUnavailableError("down")

    monkeypatch.setattr(pool, "connect", unreachable)
    LosingAnswers(monkeypatch, sent=True)
    begun = time.monotonic()
    with pytest.raises(StoreError) as caught:
        store.put("packs/a/three", b"z")
    assert time.monotonic() - begun < 10
    assert (caught.value.code, caught.value.retryable) == ("put_uncertain", False)
    monkeypatch.undo()
    assert {found.name for found in store.list("packs")} == {"packs/a/one", "packs/a/three"}


def test_a_server_that_will_not_say_what_became_of_a_rename(
    sshd: SshServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sshd)
    store.put("packs/a/one", b"x")
    losing = LosingAnswers(monkeypatch, sent=True)

    def refuse_to_look(reply: wire.Reply) -> wire.Reply:
        sized = isinstance(reply, wire.Attributes) and reply.is_file
        return wire.Status(code=wire.FAILURE, text="I/O error") if sized and not losing.left else reply

    with monkeypatch.context() as patch:
        lying(patch, refuse_to_look)
        with pytest.raises(StoreError, match="I/O error") as caught:
            store.put("packs/a/two", b"y")
    assert (caught.value.code, caught.value.retryable) == ("put_uncertain", False)  # the name is used already
    assert store.get("packs/a/two") == b"y"


def test_a_name_taken_meanwhile_is_not_overwritten(
    sshd: SshServer,
    proftpd: SshServer,
    asyncssh_server: SshServer,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    open_store: OpenStore,
) -> None:
    for server in (sshd, proftpd, asyncssh_server):
        store = open_store(server)
        assert server.folder is not None
        ask = SftpClient.ask

        async def late(
            client: SftpClient, requests: Sequence[wire.Request], folder: Path = server.folder, ask: Any = ask
        ) -> list[wire.Reply]:
            if any(request.kind == RENAME for request in requests):
                (folder / place / "packs/a").mkdir(parents=True, exist_ok=True)
                (folder / place / "packs/a/one").write_bytes(b"of another")
            return await ask(client, requests)

        with monkeypatch.context() as patch:
            patch.setattr(SftpClient, "ask", late)
            with pytest.raises(InputError) as caught:
                store.put("packs/a/one", b"x")
        assert caught.value.code == "object_exists"
        assert store.get("packs/a/one") == b"of another"
        assert temporaries(server, place) == []


def lying(monkeypatch: pytest.MonkeyPatch, change: Callable[[wire.Reply], wire.Reply]) -> None:
    """Have replies of the server changed on their way."""
    decode = wire.decode_reply

    def decode_and_change(body: bytes) -> tuple[int, wire.Reply]:
        number, reply = decode(body)
        return number, change(reply)

    monkeypatch.setattr(wire, "decode_reply", decode_and_change)


@pytest.mark.parametrize("size", [3000, MIB])
def test_a_truncated_upload_that_is_reported_as_success(
    sshd: SshServer, open_store: OpenStore, place: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    store = open_store(sshd)

    def smaller(reply: wire.Reply) -> wire.Reply:
        if isinstance(reply, wire.Attributes) and reply.size == size:
            return wire.Attributes(size=size - 1, mode=reply.mode)
        return reply

    lying(monkeypatch, smaller)
    with pytest.raises(StoreUnavailableError) as caught:
        store.put("packs/a/one", os.urandom(size))
    assert (caught.value.code, caught.value.retryable) == ("upload_truncated", True)
    assert list(store.list("")) == []
    assert temporaries(sshd, place) == []


def test_bytes_that_come_back_altered(
    sshd: SshServer, open_store: OpenStore, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sshd)
    lying(
        monkeypatch,
        lambda reply: wire.Data(block=memoryview(bytes(len(reply.block)))) if isinstance(reply, wire.Data) else reply,
    )
    with pytest.raises(StoreError) as caught:
        store.put("packs/a/one", os.urandom(200 * KIB))
    assert caught.value.code == "store_read_back_differs"
    assert temporaries(sshd, place) == []


@pytest.mark.parametrize("at", range(4))
def test_a_listing_that_breaks_off_is_never_shorter(
    sshd: SshServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    store = open_store(sshd)
    for number in range(3):
        store.put(f"packs/{number}/one", b"x")
    seen = 0

    def failing(reply: wire.Reply) -> wire.Reply:
        nonlocal seen
        if isinstance(reply, wire.Names) or (isinstance(reply, wire.Status) and reply.code == wire.EOF):
            seen += 1
            if seen == at + 1:
                return wire.Status(code=wire.FAILURE, text="I/O error")
        return reply

    lying(monkeypatch, failing)
    with pytest.raises(StoreUnavailableError, match="list packs"):
        list(store.list("packs"))
    assert len(list(store.list("packs"))) == 3


def test_a_listing_without_an_end_is_broken_off(
    sshd: SshServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sshd)
    store.put("packs/a/one", b"x")
    names: list[wire.Names] = []

    def again(reply: wire.Reply) -> wire.Reply:
        names.extend([reply] if isinstance(reply, wire.Names) else [])
        return names[0] if isinstance(reply, wire.Status) and reply.code == wire.EOF else reply

    monkeypatch.setattr(listing, "LISTING_MAX_NAMES", 1000)
    with monkeypatch.context() as patch:
        lying(patch, again)
        with pytest.raises(StoreError) as caught:
            store.list("packs/a")
        assert (caught.value.code, caught.value.retryable) == ("listing_endless", False)
        with pytest.raises(StoreError, match="does not end"):
            store.clean_temporaries("tester")
    assert [found.name for found in store.list("")] == ["packs/a/one"]


def test_names_with_slashes_are_foreign(
    sshd: SshServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sshd)
    store.put("packs/a/one", b"x")

    def with_more(reply: wire.Reply) -> wire.Reply:
        folder = wire.Attributes(size=0, mode=0o40755)
        return (
            wire.Names(entries=(*reply.entries, wire.Entry(b"packs/a", folder)))
            if isinstance(reply, wire.Names)
            else reply
        )

    lying(monkeypatch, with_more)
    assert [found.name for found in store.list("")] == ["packs/a/one"]


def test_servers_that_give_less_than_they_are_asked_for(
    sshd: SshServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sshd)
    content = os.urandom(300 * KIB)
    store.put("packs/a/one", content)

    def half(reply: wire.Reply) -> wire.Reply:
        if isinstance(reply, wire.Data) and len(reply.block) > 20 * KIB:
            return wire.Data(block=reply.block[: len(reply.block) // 2])
        return reply

    lying(monkeypatch, half)
    assert store.get("packs/a/one") == content
    store.put("packs/a/small", content[: 100 * KIB])  # what is read back comes in parts, too
    assert store.get("packs/a/one", offset=5, size=100 * KIB) == content[5 : 5 + 100 * KIB]
    lying(monkeypatch, lambda reply: wire.Status(code=wire.EOF, text="") if isinstance(reply, wire.Data) else reply)
    with pytest.raises(StoreUnavailableError, match="ended before") as caught:
        store.get("packs/a/one")
    assert caught.value.retryable is True


def test_garbage_breaks_the_connection_and_not_the_store(
    sshd: SshServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sshd)
    store.put("packs/a/one", b"x")
    with monkeypatch.context() as patch:
        patch.setattr(wire, "MAX_REPLY_BYTES", 8)
        with pytest.raises(StoreUnavailableError, match="does not speak SFTP") as caught:
            store.get("packs/a/one")
        assert caught.value.retryable is True
    assert store.get("packs/a/one") == b"x"
