"""The loop's thread says nothing of what its callers are told."""

from __future__ import annotations

import logging
import socket

import pytest

pytest.importorskip("asyncssh", reason="not installed: asyncssh")

import asyncio

from snapstore.stores.sftp.loop import release, shared_loop


async def write_to_a_broken_connection() -> None:
    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    theirs.close()
    for _ in range(10):  # asyncio warns from the sixth on, before it tells that the connection is lost
        transport.write(b"x")
    transport.abort()


def test_writes_to_a_broken_connection_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    loop = shared_loop()
    try:
        loop.run(write_to_a_broken_connection())
    finally:
        release(loop)
    assert caplog.records == []
    asyncio.run(write_to_a_broken_connection())
    assert {record.name for record in caplog.records} == {"asyncio"}, "others go on hearing of theirs"
    assert all(record.levelno == logging.WARNING for record in caplog.records)
