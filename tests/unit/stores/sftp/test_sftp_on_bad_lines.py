"""Lines that break: the connection is reset at each request in turn, and answers end in the middle.

Rule: whoever tries again what may be tried again, and puts under a new name what is uncertain, has all that he was
told is stored, byte for byte, and is never told less or more by a listing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import pytest
from ssh_servers import SshServer
from wire_faults import FaultyWire

from snapstore.errors import ObjectNotFoundError, StoreError, StoreUnavailableError
from snapstore.limits import KIB, MIB
from snapstore.stores.address import RemoteAddress
from snapstore.stores.sftp.store import SftpStore

T = TypeVar("T")
SMALL = os.urandom(3 * KIB)
LARGE = os.urandom(2 * MIB)
TRIES = 6


@pytest.fixture
def wire(sshd: SshServer) -> Iterator[FaultyWire]:
    with FaultyWire(sshd.port) as wire:
        yield wire


def store_behind(sshd: SshServer, wire: FaultyWire, place: str) -> SftpStore:
    assert sshd.behind is not None
    server = sshd.behind(wire.port)
    options = replace(server.options, connect_timeout_seconds=5.0, answer_timeout_seconds=5.0)
    return SftpStore(RemoteAddress.parse(server.url(place)), options, create=True)


def tried(work: Callable[[], T]) -> T:
    """Try again what may be."""
    for _ in range(TRIES):
        try:
            return work()
        except StoreUnavailableError as error:
            if not error.retryable:
                raise
    return work()


def put(store: SftpStore, name: str, content: bytes, uncertain: set[str]) -> str:
    """Put it, under another name if need be; the name under which it is stored."""
    try:
        tried(lambda: store.put(name, content))
    except StoreError as error:
        if error.code != "put_uncertain":
            raise
        uncertain.add(name)
        return put(store, name + "x", content, uncertain)
    return name


def session(store: SftpStore) -> tuple[dict[str, bytes], set[str]]:
    """A bit of everything; what is stored in the end, and what may be."""
    uncertain: set[str] = set()
    small = put(store, "index/small", SMALL, uncertain)
    large = put(store, "packs/a/large", LARGE, uncertain)
    gone = put(store, "packs/b/gone", SMALL, uncertain)
    listed = {found.name for found in tried(lambda: list(store.list("")))}
    assert {small, large, gone} <= listed <= {small, large, gone} | uncertain
    assert tried(lambda: store.get(large)) == LARGE
    assert tried(lambda: store.get(large, offset=MIB, size=5)) == LARGE[MIB : MIB + 5]
    assert tried(lambda: store.get(small)) == SMALL
    with contextlib.suppress(ObjectNotFoundError):  # the answer to the first try was lost
        tried(lambda: store.delete(gone))
    return {small: SMALL, large: LARGE}, uncertain


def check(sshd: SshServer, place: str, stored: dict[str, bytes], uncertain: set[str]) -> None:
    """Look over a line that is well."""
    with SftpStore(RemoteAddress.parse(sshd.url(place)), sshd.options) as store:
        listed = {found.name: found.size for found in store.list("")}
        assert stored.keys() <= listed.keys() <= stored.keys() | uncertain
        assert {name: store.get(name) for name in stored} == stored


def bursts_of_a_session(sshd: SshServer, wire: FaultyWire, place: str) -> tuple[int, int]:
    with store_behind(sshd, wire, place + "first") as store:
        wire.count_anew()
        session(store)
        counts = wire.count_anew()
    return counts.bursts, counts.bytes_down


@pytest.mark.parametrize("part", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_a_reset_at_each_request(sshd: SshServer, wire: FaultyWire, place: str, part: int) -> None:
    bursts, _ = bursts_of_a_session(sshd, wire, place)
    assert bursts > 20
    for burst in range(1 + part, bursts + 1, 3):
        with store_behind(sshd, wire, f"{place}x{burst}") as store:
            wire.count_anew()
            wire.reset_at(burst=burst)
            stored, uncertain = session(store)
        check(sshd, f"{place}x{burst}", stored, uncertain)
        assert sshd.folder is not None
        assert list((sshd.folder / f"{place}x{burst}" / "tmp").iterdir()) == []


def test_answers_that_end_in_the_middle(sshd: SshServer, wire: FaultyWire, place: str) -> None:
    _, size = bursts_of_a_session(sshd, wire, place)
    for count in (1, 100, 1000, 3000, 5000, 10_000, size // 4, size // 2, size - 2000):
        with store_behind(sshd, wire, f"{place}x{count}") as store:
            wire.count_anew()
            wire.cut_answers_after(count)
            stored, uncertain = session(store)
        check(sshd, f"{place}x{count}", stored, uncertain)
