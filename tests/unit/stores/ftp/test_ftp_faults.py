"""What an FTP server may do wrong, and what the store makes of it: never a lost object, never short data."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from ftp_servers import FtpServer, running_pyftpdlib

from snapstore.errors import (
    DamagedObjectError,
    InputError,
    ObjectNotFoundError,
    StoreError,
    StoreFullError,
    StorePermissionError,
    StoreUnavailableError,
)
from snapstore.limits import MIB
from snapstore.stores.ftp.control import ControlConnection
from snapstore.stores.ftp.store import FtpStore

Opener = Callable[..., FtpStore]
BIG = bytes(range(256)) * 4096  # 1 MiB: not read back, so that only the size speaks


def names(store: FtpStore, prefix: str = "") -> set[str]:
    return {found.name for found in store.list(prefix)}


def temporaries(server: FtpServer, name: str) -> list[str]:
    assert server.folder is not None
    return [path.name for path in (server.folder / name / "tmp").iterdir()]


def failure_of(call: Callable[[], object]) -> StoreUnavailableError | None:
    try:
        call()
    except StoreUnavailableError as error:
        return error
    return None


def test_an_upload_that_lost_its_end_and_was_confirmed_is_found_out(
    faulty: FtpServer, opened: Opener, name: str
) -> None:
    store = opened(faulty, name)
    faulty.faults(truncate=5)
    for content in (BIG, b"small, but more than five"):
        with pytest.raises(StoreUnavailableError) as caught:
            store.put("packs/a/one", content)
        assert (caught.value.code, caught.value.retryable) == ("upload_truncated", True)
    assert temporaries(faulty, name) == []
    faulty.faults()
    assert names(store) == set()
    store.put("packs/a/one", BIG)
    assert store.get("packs/a/one") == BIG


class Failing(BytesIO):
    """An object's bytes, of which the second MiB cannot be read."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= MIB:
            raise OSError(errno.EIO, "the file cannot be read")
        return super().read(size)


def test_a_file_here_that_cannot_be_read_is_not_the_server_s_failure(
    faulty: FtpServer, opened: Opener, name: str
) -> None:
    store = opened(faulty, name)
    with pytest.raises(OSError, match="the file cannot be read"):
        store.put("packs/a/one", Failing(bytes(2 * MIB)))
    assert names(store) == set()
    store.put("packs/a/one", BIG)


def test_the_reply_to_an_upload_is_waited_for_as_long_as_its_end_may_take(
    faulty: FtpServer, opened: Opener, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(faulty, name, answer_timeout_seconds=7.0)
    store.put("packs/a/before", b"x")
    waited: dict[str, float | None] = {}
    voidresp = ControlConnection.voidresp

    def observed(client: ControlConnection) -> str:
        waited.setdefault(client.verb, client.sock.gettimeout() if client.sock else None)
        return voidresp(client)

    monkeypatch.setattr(ControlConnection, "voidresp", observed)
    store.put("packs/a/one", bytes(2 * MIB))
    store.put("packs/a/two", b"x")
    assert waited["STOR"] == 7 * 3
    assert waited["SIZE"] == waited["RNTO"] == 7
    waited.clear()
    store.put("packs/a/three", bytes(20 * MIB))
    assert waited["STOR"] == 7 * 5


def test_a_listing_without_an_end_is_broken_off(
    faulty: FtpServer, opened: Opener, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(faulty, name)
    for number in range(3):
        store.put(f"packs/a/{number:032}", b"x")
    monkeypatch.setattr("snapstore.stores.ftp.transfers.LISTING_MAX_NAMES", 1)
    with pytest.raises(StoreError) as caught:
        store.list("packs/a")
    assert (caught.value.code, caught.value.retryable) == ("listing_endless", False)


def test_a_size_that_is_a_lie_gives_neither_an_object_nor_other_bytes(
    faulty: FtpServer, opened: Opener, name: str
) -> None:
    store = opened(faulty, name)
    store.put("packs/a/one", b"content")
    for lie in (3, -3):
        faulty.faults(size_lie=lie)
        with pytest.raises(StoreUnavailableError):
            store.put("packs/a/two", BIG)
        with pytest.raises(StoreUnavailableError) as caught:
            store.get("packs/a/one")
        assert caught.value.retryable
        assert store.get("packs/a/one", offset=1, size=4) == b"onte"
    faulty.faults()
    assert names(store) == {"packs/a/one"}


@pytest.mark.parametrize("how", ["426", "kill"])
@pytest.mark.parametrize("prefix", ["", "packs", "packs/a"])
def test_a_listing_that_breaks_off_raises(faulty: FtpServer, opened: Opener, name: str, how: str, prefix: str) -> None:
    store = opened(faulty, name)
    for number in range(5):
        store.put(f"packs/a/{number}", b"x")
    faulty.faults(break_listing=how)
    with pytest.raises(StoreUnavailableError) as caught:
        list(store.list(prefix))
    assert caught.value.retryable
    with pytest.raises(StoreError):
        store.clean_temporaries("me")
    faulty.faults()
    assert len(names(store, prefix)) == 5


@pytest.mark.parametrize("how", ["426", "kill"])
def test_a_listing_of_names_that_breaks_off_raises(nameless: FtpServer, opened: Opener, name: str, how: str) -> None:
    store = opened(nameless, name)
    for number in range(5):
        store.put(f"packs/a/{number}", b"x")
    nameless.faults(break_listing=how)
    with pytest.raises(StoreUnavailableError):
        list(store.list("packs"))
    nameless.faults()
    assert len(names(store)) == 5


@pytest.mark.parametrize("reply", ["226", "426", "kill"])
def test_a_download_that_ends_early_may_be_tried_again(
    faulty: FtpServer, opened: Opener, name: str, reply: str
) -> None:
    store = opened(faulty, name)
    store.put("packs/a/one", BIG)
    faulty.faults(short_download=[1000, reply])
    for offset, size in ((0, None), (0, 2000), (500, None)):
        with pytest.raises(StoreUnavailableError) as caught:
            store.get("packs/a/one", offset=offset, size=size)
        assert (caught.value.code, caught.value.retryable) == ("connection_lost", True)
    faulty.faults()
    with pytest.raises(DamagedObjectError):
        store.get("packs/a/one", offset=1, size=len(BIG))
    assert store.get("packs/a/one", offset=7) == BIG[7:]


@pytest.mark.parametrize("faults", [{"full": True}, {"full_after": 1000}])
def test_a_full_disk_is_named_and_leaves_nothing(
    faulty: FtpServer, opened: Opener, name: str, faults: dict[str, object]
) -> None:
    store = opened(faulty, name)
    store.put("packs/a/before", b"x")
    faulty.faults(**faults)
    with pytest.raises(StoreFullError) as caught:
        store.put("packs/a/one", BIG * 4)
    assert not caught.value.retryable
    faulty.faults()
    assert names(store) == {"packs/a/before"}
    assert temporaries(faulty, name) == []


@pytest.mark.parametrize(
    ("verb", "call"),
    [
        ("STOR", lambda store: store.put("packs/a/two", b"x")),
        ("RETR", lambda store: store.get("packs/a/one")),
        ("MLSD", lambda store: store.list("packs")),
        ("DELE", lambda store: store.delete("packs/a/one")),
    ],
)
def test_a_silent_server_is_not_waited_for_long(
    faulty: FtpServer, opened: Opener, name: str, verb: str, call: Callable[[FtpStore], object]
) -> None:
    store = opened(faulty, name, answer_timeout_seconds=0.4)
    store.put("packs/a/one", b"content")
    faulty.faults(mute=[verb])
    start = time.monotonic()
    with pytest.raises(StoreUnavailableError) as caught:
        call(store)
    assert (caught.value.code, caught.value.retryable) == ("store_timeout", True)
    assert time.monotonic() - start < 8
    faulty.faults()
    assert store.get("packs/a/one") == b"content"


def test_the_connection_may_end_at_every_command(faulty: FtpServer, opened: Opener, name: str) -> None:
    """At the k-th command of a put, a get, a list and a delete, for every k: an error worth trying again, or none."""
    store = opened(faulty, name)
    store.put("packs/a/kept", b"kept")
    failures = 0
    for k in range(1, 60):
        new = f"packs/b/{k}"
        faulty.faults(kill_at=k)
        faulty.commands()
        steps: list[Callable[[], object]] = [
            lambda new=new: store.put(new, BIG[:1000]),  # type: ignore[misc]
            lambda: store.get("packs/a/kept"),
            lambda: names(store),
            lambda new=new: store.delete(new),  # type: ignore[misc]
        ]
        for step in steps:
            error = failure_of(step)
            if error is not None:
                assert (error.code, error.retryable) == ("connection_lost", True)
                failures += 1
                step()  # the next call connects again
        commands = len(faulty.commands())
        faulty.faults()
        assert names(store) == {"packs/a/kept"}
        assert temporaries(faulty, name) == []
        if commands < k:
            break
    else:
        pytest.fail("the connection was still being killed")
    assert failures > 5


def test_an_idle_connection_that_was_closed_is_replaced_unseen(faulty: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty, name)
    store.put("packs/a/one", b"content")
    for call in (
        lambda: store.get("packs/a/one"),
        lambda: list(store.list("packs")),
        lambda: store.put("packs/a/two", b"x"),
        lambda: store.delete("packs/a/two"),
        lambda: store.clean_temporaries("me"),
    ):
        faulty.faults(kill_at=1)
        call()


def test_a_rename_whose_answer_is_lost_is_found_out(faulty: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty, name)
    faulty.faults(drop_reply="RNTO")  # done, and not said
    store.put("packs/a/one", b"content")
    assert store.get("packs/a/one") == b"content"
    for k in range(1, 20):  # not done: at some of these the rename itself is cut off
        faulty.faults(kill_at=k)
        error = failure_of(lambda new=f"packs/b/{k}": store.put(new, b"content"))  # type: ignore[misc]
        faulty.faults()
        assert (f"packs/b/{k}" in names(store)) == (error is None)
        assert error is None or error.retryable
    faulty.faults()
    assert temporaries(faulty, name) == []


def test_a_rename_of_which_nothing_is_known_is_said_to_be_uncertain(tmp_path: Path, name: str, opened: Opener) -> None:
    with running_pyftpdlib(tmp_path) as server:
        store = opened(server, name, attempts=2, connect_timeout_seconds=0.5)
        store.put("packs/a/before", b"x")
        server.faults(mute=["RNTO"])
        store_slow = opened(server, name, attempts=2, answer_timeout_seconds=0.3)
        with pytest.raises(StoreError) as caught:
            store_slow.put("packs/a/one", b"content")
        assert (caught.value.code, caught.value.retryable) == ("put_uncertain", False)


def test_a_deletion_whose_answer_is_lost_is_found_out(faulty: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty, name)
    store.put("packs/a/one", b"content")
    faulty.faults(drop_reply="DELE")
    store.delete("packs/a/one")
    assert names(store) == set()
    with pytest.raises(ObjectNotFoundError):
        store.delete("packs/a/one")


def test_a_server_that_was_killed_and_started_again_is_found_again(tmp_path: Path, name: str, opened: Opener) -> None:
    with running_pyftpdlib(tmp_path) as server:
        store = opened(server, name, connect_timeout_seconds=2)
        store.put("packs/a/one", b"content")
        server.stop()
        for call in (
            lambda: store.get("packs/a/one"),
            lambda: list(store.list("")),
            lambda: store.put("packs/a/2", b""),
        ):
            with pytest.raises(StoreUnavailableError) as caught:
                call()
            assert caught.value.retryable
        server.start()
        assert store.get("packs/a/one") == b"content"
        assert names(store) == {"packs/a/one"}


def test_refusals_are_not_taken_for_absence(faulty: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty, name)
    store.put("packs/a/one", b"content")
    for verb, call in (
        ("SIZE", lambda: store.get("packs/a/one")),
        ("RETR", lambda: store.get("packs/a/one", offset=0, size=3)),
        ("DELE", lambda: store.delete("packs/a/one")),
        ("STOR", lambda: store.put("packs/a/two", b"x")),
        ("RNTO", lambda: store.put("packs/a/two", b"x")),
        ("MLSD", lambda: list(store.list("packs"))),
        ("CWD", lambda: list(store.list("packs"))),
    ):
        faulty.faults(refuse={verb: "550 Something."})
        with pytest.raises(StoreError) as caught:
            call()
        assert not isinstance(caught.value, ObjectNotFoundError), verb
        assert not caught.value.retryable, verb
    faulty.faults()
    assert names(store) == {"packs/a/one"}


def test_a_store_that_vanished_is_not_an_empty_one(vsftpd: FtpServer, opened: Opener, name: str) -> None:
    store = opened(vsftpd, name)
    store.put("packs/a/one", b"content")
    assert vsftpd.folder is not None
    (vsftpd.folder / name).rename(vsftpd.folder / f"{name}moved")
    for call in (lambda: list(store.list("packs")), lambda: list(store.list("")), lambda: store.get("packs/a/one")):
        with pytest.raises(StoreUnavailableError) as caught:
            call()
        assert caught.value.code == "store_vanished"
    with pytest.raises(StoreError):
        store.put("packs/a/two", b"x")


def test_folders_that_may_not_be_read_are_no_empty_ones(vsftpd: FtpServer, opened: Opener, name: str) -> None:
    """vsftpd sends nothing for such a folder, and confirms it."""
    store = opened(vsftpd, name)
    store.put("packs/a/one", b"content")
    assert vsftpd.folder is not None
    folder = vsftpd.folder / name / "packs" / "a"
    try:
        for mode in (0o311, 0o000):
            folder.chmod(mode)
            for prefix in ("packs/a", "packs", ""):
                with pytest.raises(StorePermissionError):
                    list(store.list(prefix))
    finally:
        folder.chmod(0o755)
    assert names(store) == {"packs/a/one"}


def test_a_folder_that_may_not_be_written_is_named(vsftpd: FtpServer, opened: Opener, name: str) -> None:
    store = opened(vsftpd, name)
    store.put("packs/a/one", b"content")
    assert vsftpd.folder is not None
    folder = vsftpd.folder / name / "packs" / "a"
    folder.chmod(0o555)
    try:
        with pytest.raises(StorePermissionError):
            store.put("packs/a/two", b"x")
        with pytest.raises(StorePermissionError):
            store.delete("packs/a/one")
    finally:
        folder.chmod(0o755)
    store.put("packs/a/two", b"x")


def test_a_folder_that_was_removed_meanwhile_is_made_again(faulty: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty, name)
    store.put("packs/a/one", b"x")
    store.delete("packs/a/one")
    assert faulty.folder is not None
    for folder in ("packs/a", "packs", "tmp"):
        (faulty.folder / name / folder).rmdir()
    store.put("packs/a/two", b"x")
    assert names(store) == {"packs/a/two"}


def test_a_server_that_allows_few_connections_is_used_with_those(tmp_path: Path, name: str, opened: Opener) -> None:
    with running_pyftpdlib(tmp_path, connections_per_ip=2) as server:
        store = opened(server, name, connections=6)
        for number in range(8):
            store.put(f"packs/{number}/x", b"x")
        assert len(names(store)) == 8


def test_what_other_stations_and_people_have_in_tmp_stays(faulty: FtpServer, opened: Opener, name: str) -> None:
    store = opened(faulty, name)
    store.put("packs/a/one", b"x")
    assert faulty.folder is not None
    tmp = faulty.folder / name / "tmp"
    for leftover in ("me-00000", "me-11111", "other-00000", "me", "notes.txt"):
        (tmp / leftover).write_bytes(b"x")
    assert list(store.list("tmp")) == []
    store.clean_temporaries("me")
    assert sorted(temporaries(faulty, name)) == ["me", "notes.txt", "other-00000"]


def test_a_used_name_is_refused_before_the_rename(proftpd: FtpServer, opened: Opener, name: str) -> None:
    store = opened(proftpd, name)
    store.put("packs/a/one", b"first")
    with pytest.raises(InputError):
        store.put("packs/a/one", b"second")
    assert store.get("packs/a/one") == b"first"
    assert temporaries(proftpd, name) == []
