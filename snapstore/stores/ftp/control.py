"""Commands to an FTP server and its replies: the standard library's client, hardened.

Here: `ControlConnection`. Not here: logging in and data connections (client.py), what is asked for (questions.py).

Beyond `ftplib.FTP`:
- replies are read as bytes, with bounds, and become `RefusedError` (the server said no, and the connection can go on)
  or a store error with the code "connection_lost" or "store_timeout"; 421 is the end of a connection;
- `in_step` says whether every command had its final reply; a connection that is not in step is not used again;
- nothing is printed, and what is said of a reply has no password in it.
"""

from __future__ import annotations

import contextlib
import ftplib
import io
import time
from collections.abc import Iterator, Sequence
from typing import Final

from ...errors import InputError, StoreUnavailableError
from .login import Login, ServerTraits
from .replies import SERVICE_CLOSING, RefusedError, lost_error, timeout_error, words_of

_LINE_MAX_BYTES: Final = 64 * 1024
_REPLY_MAX_LINES: Final = 1000
_UNSURE_REPLY_SECONDS: Final = 10.0


class ControlConnection(ftplib.FTP):
    """Commands go out and replies come in. For one thread at a time."""

    def __init__(self, login: Login) -> None:
        super().__init__(timeout=login.options.answer_timeout_seconds, encoding="utf-8")
        self.host = login.host
        self.in_step = False
        self.lost = False
        self.answers = 0
        """Replies since this was last taken for an operation (the pool sets it back)."""
        self.used_at = time.monotonic()
        self.features: dict[str, str] = {}
        self.lastresp = ""
        self._login = login
        self._lines: io.BufferedReader | None = None
        self.verb = ""
        """Of the command whose reply is awaited."""

    @property
    def url(self) -> str:
        """The address that was logged in to."""
        return self._login.url

    @property
    def traits(self) -> ServerTraits:
        """What is known of the server."""
        return self._login.traits

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Raise what sockets report within as a lost connection."""
        try:
            yield
        except TimeoutError as error:
            self.give_up()
            raise timeout_error(self.url) from error
        except (OSError, EOFError) as error:
            self.give_up()
            reason = getattr(error, "strerror", None) or "the server closed it"
            raise lost_error(self.url, str(reason)) from error

    def odd(self, reply: str) -> StoreUnavailableError:
        """The error for a reply that fits nothing: the connection is given up."""
        self.give_up()
        return lost_error(self.url, f"an odd reply to {self.verb}: {reply[:3]!r} {self.shown(reply)}")

    def shown(self, reply: str) -> str:
        """The words of a reply, fit to be shown."""
        return words_of(reply, self._login.known_password)

    def give_up(self) -> None:
        """Mark the connection as one that nobody knows the state of."""
        self.lost, self.in_step = True, False

    @contextlib.contextmanager
    def patience(self, times: float | None = None) -> Iterator[None]:
        """Wait for replies so many times as long as usual; by default less long, since there may be none."""
        before = self.sock.gettimeout() if self.sock is not None else None
        usual = before or _UNSURE_REPLY_SECONDS
        if self.sock is not None:
            self.sock.settimeout(min(_UNSURE_REPLY_SECONDS, usual) if times is None else usual * times)
        try:
            yield
        finally:
            if self.sock is not None:
                self.sock.settimeout(before)

    def putline(self, line: str) -> None:
        """Send a command. Nothing of it is logged anywhere."""
        self.putlines([line])

    def putlines(self, lines: Sequence[str]) -> None:
        """Send commands at once; the replies come in their order."""
        if any("\r" in line or "\n" in line or "\0" in line for line in lines):
            raise InputError("A command to an FTP server may not hold a line's end.", code="invalid_url")
        self.verb = lines[-1].partition(" ")[0]
        self.in_step = False
        with self.watching():
            if self.sock is None:
                raise EOFError
            self.sock.sendall("".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape"))

    def getline(self) -> str:
        """Read one line of a reply."""
        with self.watching():
            line = b"" if self._lines is None else self._lines.readline(_LINE_MAX_BYTES + 1)
            if not line.endswith(b"\n"):  # the end of the connection, or of patience
                raise EOFError
        return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")

    def getmultiline(self) -> str:
        """Read one reply, its lines joined by line feeds."""
        lines = [self.getline()]
        if lines[0][3:4] == "-":
            end = f"{lines[0][:3]} "
            while not (lines[-1].startswith(end) and len(lines) > 1):
                if len(lines) > _REPLY_MAX_LINES:
                    raise self.odd(lines[0])
                lines.append(self.getline())
        return "\n".join(lines)

    def getresp(self) -> str:
        """Read one reply. Raises RefusedError for 4xx and 5xx."""
        reply = self.getmultiline()
        self.lastresp = reply[:3]
        if not (reply[:3].isascii() and reply[:3].isdigit() and reply[0] in "12345"):
            raise self.odd(reply)
        code = int(reply[:3])
        if code == SERVICE_CLOSING:
            self.give_up()
            raise lost_error(self.url, f"421 {self.shown(reply)}")
        self.answers += 1
        self.used_at = time.monotonic()
        self.in_step = code not in range(100, 200) and code not in range(300, 400)
        if code >= 400:
            raise RefusedError(code, self.shown(reply), self.verb)
        return reply

    def voidresp(self) -> str:
        """Read one reply, which has to be 2xx."""
        reply = self.getresp()
        if reply[0] != "2":
            raise self.odd(reply)
        return reply

    def close(self) -> None:
        """Close the connection without a word; nothing hangs."""
        lines, self._lines = self._lines, None
        sock, self.sock = self.sock, None
        self.in_step = False
        with contextlib.suppress(OSError):
            if lines is not None:
                lines.close()
        with contextlib.suppress(OSError):
            if sock is not None:
                sock.close()

    def leave(self) -> None:
        """Say goodbye without waiting for the answer, and close."""
        if self.in_step and self.sock is not None:
            with contextlib.suppress(OSError, ValueError):
                self.sock.settimeout(1.0)
                self.sock.sendall(b"QUIT\r\n")
        self.close()
