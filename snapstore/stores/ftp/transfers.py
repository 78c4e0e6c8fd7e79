"""Bytes over data connections: an upload, a download, the text of a listing.

Here: three functions on a client. Not here: the connections themselves (client.py), names (naming.py), what a listing
says (listing.py).

Rules: each of them leaves the client in step, or marked as lost. An upload ends with the server's confirmation. A
download ends when it has its bytes. A listing has ended when the connection was closed properly and the server has
confirmed; anything less raises.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from typing import Final, NamedTuple

from ...errors import StoreError, StoreUnavailableError
from ...limits import LISTING_MAX_NAMES, MIB
from ..protocol import endless_listing_error
from . import tls
from .client import FtpClient
from .questions import is_well
from .replies import UNKNOWN_COMMAND, RefusedError, lost_error

BLOCK_BYTES: Final = 256 * 1024
_BUFFERED_BYTES: Final = 4 * MIB  # Linux lets the buffer of a connection grow to this; others to less
_LINE_BYTES: Final = 64  # of MLSD, with the facts that are asked for and a name of 32 characters


class Download(NamedTuple):
    """What came, and whether there was more."""

    data: bytes
    more: bool


def upload(client: FtpClient, path: str, blocks: Iterable[bytes]) -> None:
    """Store a file. When this returns the server has confirmed it, and nothing is known of its size yet."""
    conn = client.transfercmd(f"STOR {path}")
    sent_bytes = 0
    with conn:
        try:
            for block in blocks:
                _send(client, conn, block)
                sent_bytes += len(block)
        except (RefusedError, StoreUnavailableError):  # of the connection, and the client knows its state
            raise
        except BaseException:  # of the file that is read, or of whoever interrupts
            client.give_up()
            raise
        tls.say_farewell(conn)
        # The last of it is still here, in the system's buffer, and on a slow line it takes its time.
        with client.patience(1 + min(sent_bytes, _BUFFERED_BYTES) / MIB):
            client.voidresp()


def _send(client: FtpClient, conn: socket.socket, block: bytes) -> None:
    try:
        conn.sendall(block)
    except OSError as error:
        conn.close()
        client.explain(error)


def download(client: FtpClient, path: str, offset: int, size: int) -> Download:
    """Read `size` bytes from `offset` on; fewer where the transfer ended before."""
    skipped = 0
    try:
        conn = client.transfercmd(f"RETR {path}", rest=offset or None)
    except RefusedError as refusal:
        if refusal.command != "REST" or refusal.code not in UNKNOWN_COMMAND:
            raise
        skipped = offset  # the server cannot start in the middle
        conn = client.transfercmd(f"RETR {path}")
    with conn:
        try:
            buffer = bytearray(size)
            if _skip(conn, skipped):
                filled = _fill(conn, memoryview(buffer))
                more = filled == size and bool(_fill(conn, memoryview(bytearray(1))))
            else:
                filled, more = 0, False
        except TimeoutError:
            with client.watching():
                raise
        except BaseException:
            client.give_up()
            raise
        if not more:
            tls.say_farewell(conn)
    if more:
        _break_off(client)
    else:
        _read_last_reply(client, complete=filled == size)
    return Download(bytes(buffer) if filled == size else bytes(buffer[:filled]), more)


def listing_lines(client: FtpClient, command: str) -> list[str]:
    """The lines of MLSD or NLST. Raises RefusedError where the server does not list, at the start or at the end."""
    data = bytearray()
    with client.transfercmd(command) as conn:
        try:
            while block := conn.recv(BLOCK_BYTES):
                data += block
                if len(data) > LISTING_MAX_NAMES * _LINE_BYTES:
                    raise endless_listing_error(command.partition(" ")[2], client.url)
        except OSError as error:
            conn.close()
            client.explain(error)
        except BaseException:
            client.give_up()
            raise
        tls.say_farewell(conn)
        confirmed = client.voidresp()
    if "fail" in confirmed.lower():
        # vsftpd says "226 Transfer done (but failed to open directory)" for what it may not read, and sends nothing.
        raise RefusedError(550, client.shown(confirmed), command.partition(" ")[0])
    if data and not data.endswith(b"\n"):
        client.give_up()
        raise lost_error(client.url, "a listing ended within a line")
    text = data.decode("utf-8", "surrogateescape")
    return [line.removesuffix("\r") for line in text.split("\n") if line.removesuffix("\r")]


def _fill(conn: socket.socket, buffer: memoryview) -> int:
    """Receive until the buffer is full or the connection ends, properly or not. Raises TimeoutError."""
    filled = 0
    while filled < len(buffer):
        try:
            received = conn.recv_into(buffer[filled : filled + BLOCK_BYTES])
        except TimeoutError:
            raise
        except OSError:
            break  # the size tells whether anything is missing
        if not received:
            break
        filled += received
    return filled


def _skip(conn: socket.socket, size: int) -> bool:
    """Receive and forget; False where the connection ended before."""
    waste = memoryview(bytearray(min(size, BLOCK_BYTES)))
    while size:
        received = _fill(conn, waste[:size])
        if not received:
            return False
        size -= received
    return True


def _read_last_reply(client: FtpClient, *, complete: bool) -> None:
    """Read what the server says of a download. If all bytes came, a complaint about its end is none of ours."""
    try:
        client.voidresp()
    except RefusedError:
        return
    except StoreUnavailableError:
        if not complete:
            raise


def _break_off(client: FtpClient) -> None:
    """The data connection was closed early: see that the control connection is in step, or give it up.

    ABOR would be the polite way, and servers differ in how many replies they give to it, and when.
    """
    try:
        with client.patience():
            with contextlib.suppress(RefusedError):  # 426, as it should be; or 226, if all of it was on its way
                client.getresp()
            if not is_well(client):
                client.give_up()
    except StoreError:
        client.give_up()
