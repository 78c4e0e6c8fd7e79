"""The store on a real server: how often it waits, large folders, foreign things, and what a server refuses."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from server import ServerMissingError
from ssh_servers import SshServer, running_sshd

from snapstore.errors import (
    DamagedObjectError,
    InputError,
    ObjectNotFoundError,
    StoreError,
    StoreFullError,
    StorePermissionError,
    StoreUnavailableError,
)
from snapstore.limits import KIB, MIB
from snapstore.stores.sftp import pool as connections
from snapstore.stores.sftp.connecting import Link, Login
from snapstore.stores.sftp.store import SftpStore

OpenStore = Callable[..., SftpStore]


def round_trips(store: SftpStore, work: Callable[[], object]) -> int:
    before = store.round_trips
    work()
    return store.round_trips - before


def folder_of(server: SshServer, place: str) -> Path:
    assert server.folder is not None
    return server.folder / place


def test_small_operations_take_few_round_trips(sshd: SshServer, open_store: OpenStore) -> None:
    store = open_store(sshd)
    content = os.urandom(200 * KIB)
    for number in range(16):
        assert round_trips(store, lambda n=number: store.put(f"packs/{n:x}/name", content[:9000])) == 3
    assert round_trips(store, lambda: store.put("index/large", content)) == 3
    assert round_trips(store, lambda: store.list("index")) == 2
    assert round_trips(store, lambda: store.list("packs")) == 4  # the folders below are not known yet
    assert round_trips(store, lambda: store.list("packs")) == 2
    assert round_trips(store, lambda: store.list("absent")) == 1
    assert round_trips(store, lambda: store.get("index/large")) == 2
    assert round_trips(store, lambda: store.get("index/large", offset=5, size=9)) == 2
    assert round_trips(store, lambda: store.get("index/large", offset=500, size=9)) == 1  # still open
    assert round_trips(store, lambda: store.delete("packs/a/name")) == 1
    assert round_trips(store, store.free_bytes) == 1
    assert store.handshakes == 1


def test_large_transfers_have_connections_of_their_own(sshd: SshServer, open_store: OpenStore) -> None:
    store = open_store(sshd, connections=2)
    content = os.urandom(3 * MIB + 5)
    assert round_trips(store, lambda: store.put("packs/a/large", content)) == 3
    assert store.handshakes == 2
    assert round_trips(store, lambda: store.get("packs/a/large", offset=7, size=2 * MIB)) == 2
    assert round_trips(store, lambda: store.get("packs/a/large", offset=MIB, size=MIB)) == 1
    assert store.get("packs/a/large", offset=MIB, size=MIB) == content[MIB : 2 * MIB]
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda _: store.get("packs/a/large"), range(6)))
    assert got == [content] * 6
    assert store.handshakes == 3  # one for small things, two for large ones, however many wait


def test_a_folder_of_many_names_is_listed_whole(sshd: SshServer, open_store: OpenStore, place: str) -> None:
    store = open_store(sshd)
    store.put("packs/a/0", b"")
    for number in range(1, 3000):
        (folder_of(sshd, place) / "packs/a" / f"{number:x}").write_bytes(b"")
    assert len({found.name for found in store.list("packs")}) == 3000
    assert round_trips(store, lambda: list(store.list("packs"))) == 2


def test_a_folder_that_was_listed_before_may_go_and_come(sshd: SshServer, open_store: OpenStore, place: str) -> None:
    store, other = open_store(sshd), open_store(sshd)
    names = {f"packs/{letter}/{number}" for letter in "abc" for number in range(3)}
    for name in names:
        store.put(name, b"x")
    assert {found.name for found in store.list("")} == names
    (folder_of(sshd, place) / "packs").rename(folder_of(sshd, place) / "away")
    assert {found.name for found in store.list("packs")} == set()
    assert {found.name for found in store.list("")} == {name.replace("packs", "away") for name in names}
    (folder_of(sshd, place) / "away").rename(folder_of(sshd, place) / "packs")
    other.put("packs/d/new", b"x")
    assert {found.name for found in store.list("")} == names | {"packs/d/new"}
    assert {found.name for found in store.list("packs")} == names | {"packs/d/new"}


def test_folders_that_were_taken_away_are_made_again(sshd: SshServer, open_store: OpenStore, place: str) -> None:
    store = open_store(sshd)
    store.put("packs/a/first", b"x")
    for folder in ("tmp", "packs/a", "packs"):
        for file in (folder_of(sshd, place) / folder).glob("*"):
            file.unlink()
        (folder_of(sshd, place) / folder).rmdir()
    store.put("packs/a/second", b"y")
    assert [found.name for found in store.list("")] == ["packs/a/second"]


def test_links_and_folders_are_what_they_lead_to(sshd: SshServer, open_store: OpenStore, place: str) -> None:
    store = open_store(sshd)
    store.put("packs/a/file", b"content")
    folder = folder_of(sshd, place) / "packs"
    (folder / "a/link").symlink_to("file")
    (folder / "a/nowhere").symlink_to("absent")
    (folder / "a/folder").mkdir()
    (folder / "b").symlink_to("a")
    assert {found.name: found.size for found in store.list("packs/a")} == {"packs/a/file": 7, "packs/a/link": 7}
    assert {found.name for found in store.list("packs")} >= {"packs/a/file", "packs/b/file"}
    with pytest.raises(ObjectNotFoundError):
        store.get("packs/a/folder")
    with pytest.raises(InputError):
        store.put("packs/a/nowhere", b"x")


def test_an_object_that_somebody_else_deleted_is_not_read_from_an_open_file(
    sshd: SshServer, open_store: OpenStore
) -> None:
    store, other = open_store(sshd), open_store(sshd)
    store.put("packs/a/gone", b"0123456789")
    assert store.get("packs/a/gone", offset=1, size=2) == b"12"
    other.delete("packs/a/gone")
    with pytest.raises(ObjectNotFoundError):
        store.get("packs/a/gone", offset=1, size=2)


def test_an_object_that_was_cut_short_is_damaged(sshd: SshServer, open_store: OpenStore, place: str) -> None:
    store = open_store(sshd)
    content = os.urandom(MIB)
    store.put("packs/a/cut", content)
    os.truncate(folder_of(sshd, place) / "packs/a/cut", 1000)
    assert store.get("packs/a/cut") == content[:1000]
    for size in (2000, MIB):
        with pytest.raises(DamagedObjectError):
            store.get("packs/a/cut", size=size)


def test_a_store_that_is_absent_is_not_made_unless_asked_for(
    sshd: SshServer, open_store: OpenStore, place: str
) -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        open_store(sshd, create=False)
    assert (caught.value.code, caught.value.retryable) == ("store_absent", False)
    with pytest.raises(StoreUnavailableError) as caught:
        open_store(sshd, url=sshd.url(f"{place}/below"))
    assert caught.value.code == "store_absent"
    folder_of(sshd, place).write_bytes(b"")
    with pytest.raises(InputError) as wrong:
        open_store(sshd)
    assert wrong.value.code == "not_a_folder"


def test_a_store_that_vanished_is_never_empty(sshd: SshServer, open_store: OpenStore, place: str) -> None:
    store = open_store(sshd)
    store.put("packs/a/one", b"x")
    folder_of(sshd, place).rename(folder_of(sshd, place + "away"))
    for work in (
        lambda: store.list("packs"),
        lambda: store.list(""),
        lambda: store.get("packs/a/one"),
        lambda: store.delete("packs/a/one"),
        lambda: store.put("packs/a/two", b"x"),
        lambda: store.clean_temporaries("tester"),
    ):
        with pytest.raises(StoreUnavailableError) as caught:
            work()
        assert (caught.value.code, caught.value.retryable) == ("store_vanished", False)


def test_paths_below_the_login_folder(tmp_path: Path, open_store: OpenStore) -> None:
    try:
        with running_sshd(tmp_path, sftp=f"internal-sftp -d {tmp_path}/data") as server:
            for path in ("/~/mine", "/./mine"):
                store = open_store(server, url=f"sftp://{server.user}@{server.host}:{server.port}{path}")
                store.put(f"packs/a/{path[1:2].replace('~', 't').replace('.', 'd')}", b"x")
                store.close()
            assert {file.name for file in (tmp_path / "data/mine/packs/a").iterdir()} == {"t", "d"}
    except ServerMissingError as reason:
        pytest.skip(str(reason))


def fill(store: SftpStore, size: int) -> None:
    for number in range(5):
        store.put(f"packs/a/filling{size}x{number}", bytes(size))


def test_a_full_disk_is_told_from_a_failing_one(
    sshd: SshServer, open_store: OpenStore, tiny_mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sshd, url=f"sftp://{sshd.user}@{sshd.host}:{sshd.port}{tiny_mount}/store")
    free = store.free_bytes()
    assert free is not None
    assert 0 < free <= MIB
    store.put("packs/a/kept", bytes(100 * KIB))
    for size in (2 * MIB, 250 * KIB):  # the one over a connection of its own, the other over the shared one
        with pytest.raises(StoreFullError, match="are free") as full:
            fill(store, size)
        assert full.value.retryable is False
    assert list((tiny_mount / "store/tmp").iterdir()) == []
    assert store.get("packs/a/kept") == bytes(100 * KIB)

    monkeypatch.setattr("snapstore.stores.sftp.wire.STATVFS", "nobody@offers.this")
    with pytest.raises(StoreUnavailableError, match="quota") as failing:
        store.put("packs/a/large", bytes(2 * MIB))
    assert failing.value.retryable is True


@pytest.mark.parametrize(("flags", "fails"), [("-R", "put"), ("-P opendir", "list"), ("-P remove", "delete")])
def test_what_the_server_does_not_permit(tmp_path: Path, open_store: OpenStore, flags: str, fails: str) -> None:
    try:
        with running_sshd(tmp_path, sftp=f"internal-sftp {flags}") as server:
            folder = tmp_path / "data/store/packs/a"
            folder.mkdir(parents=True)
            (folder / "one").write_bytes(b"x")
            store = open_store(server, url=server.url("store"))
            work = {
                "put": lambda: store.put("packs/a/two", b"x"),
                "list": lambda: list(store.list("packs")),
                "delete": lambda: store.delete("packs/a/one"),
            }
            with pytest.raises(StorePermissionError, match="permission denied") as caught:
                work[fails]()
            assert caught.value.retryable is False
            assert store.get("packs/a/one") == b"x"
    except ServerMissingError as reason:
        pytest.skip(str(reason))


def test_only_the_station_s_own_temporaries_are_cleaned(sshd: SshServer, open_store: OpenStore, place: str) -> None:
    store = open_store(sshd)
    store.put("packs/a/one", b"x")
    for name in ("tester-00000", "tester-zzzzz", "other-00000", "desktop.ini"):
        (folder_of(sshd, place) / "tmp" / name).write_bytes(b"x")
    store.clean_temporaries("tester")
    assert {file.name for file in (folder_of(sshd, place) / "tmp").iterdir()} == {"other-00000", "desktop.ini"}


def test_of_two_threads_that_put_one_name_one_wins(proftpd: SshServer, open_store: OpenStore) -> None:
    store = open_store(proftpd)
    for number in range(5):

        def won(content: bytes, name: str = f"packs/a/{number}") -> bool:
            try:
                store.put(name, content)
            except InputError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(won, (b"first", b"second"))
        assert first != second
        assert store.get(f"packs/a/{number}") == (b"first" if first else b"second")


def test_a_closed_store_says_so(sshd: SshServer, open_store: OpenStore) -> None:
    store = open_store(sshd)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed") as caught:
        store.list("")
    assert caught.value.code == "store_closed"


def test_closing_ends_what_is_under_way(sshd: SshServer, open_store: OpenStore) -> None:
    store = open_store(sshd)
    store.put("packs/a/one", os.urandom(4 * MIB))

    def read_until_closed() -> StoreError:
        while True:
            try:
                store.get("packs/a/one")
                list(store.list("packs"))
            except StoreError as error:
                return error

    with ThreadPoolExecutor(3) as pool:
        ends = [pool.submit(read_until_closed) for _ in range(3)]
        time.sleep(0.3)
        store.close()
        codes = {end.result(timeout=10).code for end in ends}
    assert codes <= {"store_closed", "connection_lost"}


def test_closing_ends_a_connection_that_is_just_being_made(
    sshd: SshServer, asyncssh_server: SshServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(asyncssh_server)  # it keeps the thread of all stores alive
    store = open_store(sshd)
    links: list[Link] = []
    connect = connections.connect
    connected, go_on = threading.Event(), threading.Event()

    async def slowly(login: Login) -> Link:
        links.append(await connect(login))
        connected.set()
        await asyncio.to_thread(go_on.wait, 10)
        return links[-1]

    monkeypatch.setattr(connections, "connect", slowly)
    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(store.get, "packs/a/one", size=MIB)  # takes a connection of its own
        assert connected.wait(10)
        store.close()
        go_on.set()
        with pytest.raises(StoreError) as caught:
            end.result(timeout=10)
    assert (caught.value.code, caught.value.retryable) == ("store_closed", False)
    assert links[0].client.broken


def test_those_who_waited_for_a_connection_share_its_failure(
    sshd: SshServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(sshd)
    store.put("packs/a/one", b"x")
    tries = 0

    async def cut(pool: connections.Pool) -> None:
        (await pool.small()).client.fail("cut by the test")

    async def fail_slowly(login: Login) -> Link:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0.5)
        raise StoreUnavailableError("down", code="store_timeout")

    def read(number: int) -> StoreError:
        with pytest.raises(StoreUnavailableError) as caught:
            store.get("packs/a/one", size=1)
        return caught.value

    with monkeypatch.context() as patch:
        patch.setattr(connections, "connect", fail_slowly)
        store._run("cut the connection", cut)
        with ThreadPoolExecutor(4) as pool:
            errors = list(pool.map(read, range(4)))
    assert {(error.code, error.retryable) for error in errors} == {("store_timeout", True)}
    assert tries < 4
    assert store.get("packs/a/one") == b"x"


SCRIPT = """
    import os, sys, threading
    from snapstore.stores.address import RemoteAddress
    from snapstore.stores.options import StoreOptions
    from snapstore.stores.sftp.store import SftpStore
    url, hosts, config = sys.argv[1:]
    store = SftpStore(RemoteAddress.parse(url), StoreOptions(known_hosts=hosts, ssh_config=config), create=True)
    store.put("packs/a/one", bytes(500_000))
"""


def run_script(server: SshServer, place: str, more: str) -> subprocess.CompletedProcess[str]:
    options = server.options
    arguments = [server.url(place), str(options.known_hosts), str(options.ssh_config)]
    code = textwrap.dedent(SCRIPT) + textwrap.dedent(more)
    return subprocess.run(
        [sys.executable, "-X", "dev", "-c", code, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_a_program_ends_without_closing(sshd: SshServer, place: str) -> None:
    done = run_script(sshd, place, "print('end')")
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_left_after_closing(sshd: SshServer, place: str) -> None:
    done = run_script(sshd, place, "store.close(); print([thread.name for thread in threading.enumerate()])")
    assert done.stdout == "['MainThread']\n"
    assert "Warning" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_of_a_fork_connects_for_itself(sshd: SshServer, place: str) -> None:
    more = """
        child = os.fork()
        if not child:
            assert len(store.get("packs/a/one")) == 500_000
            store.put("packs/a/two", b"x")
            store.close()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert sorted(found.name for found in store.list("")) == ["packs/a/one", "packs/a/two"]
        assert store.handshakes == 2
        store.close()
    """
    done = run_script(sshd, place, more)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["fat_mount", "exfat_mount", "ntfs_mount"])
def test_disks_of_servers_that_have_no_links(
    kind: str, request: pytest.FixtureRequest, sshd: SshServer, open_store: OpenStore, place: str
) -> None:
    """A router with a stick in it: OpenSSH cannot give a name by a link there."""
    mount: Path = request.getfixturevalue(kind)
    store = open_store(sshd, url=f"sftp://{sshd.user}@{sshd.host}:{sshd.port}{mount}/{place}")
    content = os.urandom(MIB)
    store.put("packs/a/small", content[:1000])
    store.put("packs/a/large", content)
    for other in (b"other", bytes(MIB)):
        with pytest.raises(InputError) as caught:
            store.put("packs/a/small", other)
        assert caught.value.code == "object_exists"
    assert {found.name: found.size for found in store.list("")} == {"packs/a/small": 1000, "packs/a/large": MIB}
    assert store.get("packs/a/large") == content
    store.delete("packs/a/large")
    assert [found.name for found in store.list("")] == ["packs/a/small"]
