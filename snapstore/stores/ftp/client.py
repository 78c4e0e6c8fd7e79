"""One connection to an FTP server, logged in, and its data connections.

Here: `FtpClient`. Not here: commands and replies (control.py), what goes over data connections (transfers.py), how
many connections there are (pool.py), TLS itself (tls.py).

Rules:
- EPSV before PASV, with IPv4 as well; the address in a reply to PASV is ignored, and a server that connects to us has
  to come from where the control connection goes.
- With TLS all of it is encrypted or nothing is sent, and data connections resume the session.
- A transfer that is refused leaves a data connection behind that was for nothing, and some servers reply to its end,
  sooner or later. So the control connection is renewed before the next command.
- Transfers are always binary, and paths absolute, so that nothing depends on the folder one is in.
"""

from __future__ import annotations

import contextlib
import ftplib
import io
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn

from ...errors import InputError, StorePermissionError, StoreUnavailableError
from . import tls
from .control import ControlConnection
from .login import Login
from .replies import SERVICE_CLOSING, UNKNOWN_COMMAND, RefusedError, timeout_error, unfit_error

_KEEP_ALIVE_SECONDS: Final = 30  # routers at home forget connections that were silent for five minutes


class FtpClient(ControlConnection):
    """A control connection, and one data connection at a time. For one thread at a time."""

    def __init__(self, login: Login, context: ssl.SSLContext | None) -> None:
        super().__init__(login)
        self.passiveserver = not login.options.ftp_active
        self.machine_listings = True
        self.home = "/"
        self._context = context
        self._extended_passive = True
        self._has_stray = False
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    @property
    def uses_tls_1_3(self) -> bool:
        """Whether the connection has TLS, and that version of it."""
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.version() == "TLSv1.3"

    @property
    def is_clean(self) -> bool:
        """Whether nothing but the replies to commands is to come."""
        return self.in_step and not self._has_stray

    def putlines(self, lines: Sequence[str]) -> None:
        """Send commands at once; over a new connection where a reply to something else may come yet."""
        if self._has_stray and self.in_step:
            answers = self.answers
            self.close()
            self._open()
            self.answers = answers
        super().putlines(lines)

    def explain(self, error: OSError) -> NoReturn:
        """Raise for a data connection that broke: what the server says about it counts for more than that it broke."""
        if not isinstance(error, TimeoutError):
            with contextlib.suppress(StoreUnavailableError), self.patience():
                self.getresp()  # a refusal is raised: a full disk, or a TLS session that was not resumed
        with self.watching():
            raise error
        raise AssertionError  # for type checkers

    # --- logging in ----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._has_stray = False
        options = self._login.options
        try:
            sock = socket.create_connection((self.host, self._login.port), options.connect_timeout_seconds)
        except UnicodeError as error:
            raise InputError(f"{self.url} names a host that no name can be: mend it.", code="invalid_url") from error
        except TimeoutError as error:
            raise timeout_error(self.url) from error
        except OSError as error:
            raise StoreUnavailableError(
                f"{self.url} cannot be reached ({error.strerror or error}): see that the address is right, and the "
                "server and the network are up.",
                code="store_unreachable",
            ) from error
        self.sock, self.af = sock, sock.family
        sock.settimeout(options.connect_timeout_seconds)
        _keep_alive(sock)
        try:
            if self._login.implicit:
                self._secure()
            self._lines = self._line_reader()
            self.welcome = self.getresp()
            if self.welcome[0] == "1":  # 120: ready in a few minutes
                self.welcome = self.voidresp()
            self.sock.settimeout(options.answer_timeout_seconds)
            if self._login.secure and not self._login.implicit:
                self._ask_for_tls()
            self._sign_in()
            if self._login.secure:
                self._protect_data()
            self._settle_in()
        except RefusedError as refusal:
            raise unfit_error(self.url, f"it answers {refusal.command or 'a connection'} with {refusal}") from None
        except StoreUnavailableError as error:
            if self.lastresp == str(SERVICE_CLOSING):
                raise StoreUnavailableError(
                    f"{self.url} takes no further connection now ({SERVICE_CLOSING}): try again later.",
                    code="server_busy",
                ) from error
            raise

    def _line_reader(self) -> io.BufferedReader:
        assert self.sock is not None
        return self.sock.makefile("rb")

    def _secure(self) -> None:
        """Go over to TLS. What came in clear and was not read is dropped: somebody may have put it there."""
        assert self.sock is not None
        assert self._context is not None
        if self._lines is not None:
            self._lines.close()
        self.sock = tls.secured(self.sock, self._context, self._login)
        self._lines = self._line_reader()

    def _ask_for_tls(self) -> None:
        try:
            reply = self.voidcmd("AUTH TLS")
        except RefusedError as refusal:
            raise tls.no_tls_error(self._login, str(refusal)) from None
        if reply[:3] != "234":
            raise tls.no_tls_error(self._login, f"it answers AUTH with {reply[:3]}")
        self._secure()

    def _sign_in(self) -> None:
        try:
            reply = self.sendcmd(f"USER {self._login.user}")
            if reply[0] == "3":
                reply = self.sendcmd(f"PASS {self._login.password()}")
        except RefusedError as refusal:
            if refusal.code // 100 == 4:
                raise StoreUnavailableError(
                    f"{self.url} takes no login now ({refusal.code}): try again later.", code="server_busy"
                ) from None
            if refusal.code in UNKNOWN_COMMAND:
                raise
            code, reply = refusal.code, ""
        else:
            code = int(reply[:3])
        if reply[:1] != "2":
            # The server's words are left out: some repeat what they were sent.
            raise StorePermissionError(
                f"{self.url} refuses the login ({code}): check the user and the password.", code="login_refused"
            )

    def _protect_data(self) -> None:
        try:
            self.voidcmd("PBSZ 0")
            self.voidcmd("PROT P")
        except RefusedError as refusal:
            raise tls.no_tls_error(self._login, f"for data: {refusal}") from None

    def _settle_in(self) -> None:
        with contextlib.suppress(RefusedError):  # a server without FEAT is asked for each thing when it is needed
            self.features = _features(self.voidcmd("FEAT"))
        if self.features:
            self.machine_listings = bool({"MLST", "MLSD"} & self.features.keys())
        if "UTF8" in self.features:
            with contextlib.suppress(RefusedError):  # most are in UTF-8 anyway
                self.sendcmd("OPTS UTF8 ON")
        if "MLST" in self.features:
            with contextlib.suppress(RefusedError):  # without it a listing only has more in it
                self.sendcmd("OPTS MLST type;size;")
        self.voidcmd("TYPE I")
        self.home = ftplib.parse257(self.voidcmd("PWD")) or "/"

    # --- data connections ----------------------------------------------------------------------------------------

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Open a data connection, start the transfer, and secure the connection. The size is never told."""
        opened = self._connect_data() if self.passiveserver else self._listen()
        started = False
        try:
            if rest is not None:
                reply = self.sendcmd(f"REST {rest}")
                if reply[0] != "3":
                    raise self.odd(reply)
            reply = self.sendcmd(cmd)
            if reply[0] == "2":  # some say 200 first
                reply = self.getresp()
            if reply[0] != "1":
                raise self.odd(reply)
            if not self.passiveserver:
                with self.watching():
                    opened = self._accepted(opened)
            started = True
            opened = self._secured_data(opened)
        except BaseException:
            self._has_stray = not started
            opened.close()
            raise
        return opened, None

    def _secured_data(self, opened: socket.socket) -> socket.socket:
        if not isinstance(self.sock, ssl.SSLSocket):
            return opened
        try:
            return tls.secured_data(opened, self.sock, self.host)
        except OSError as error:
            opened.close()
            self.explain(error)

    def makepasv(self) -> tuple[str, int]:
        """Ask for a data connection; the host is always the one that is talked to already."""
        assert self.sock is not None
        with self.watching():
            peer = self.sock.getpeername()
        if self._extended_passive:
            try:
                reply = self.voidcmd("EPSV")
            except RefusedError as refusal:
                if self.af != socket.AF_INET or refusal.code not in UNKNOWN_COMMAND | {522}:
                    raise
                self._extended_passive = False
            else:
                with self._parsing(reply):
                    return ftplib.parse229(reply, peer)
        reply = self.voidcmd("PASV")
        with self._parsing(reply):
            return str(peer[0]), ftplib.parse227(reply)[1]

    @contextlib.contextmanager
    def _parsing(self, reply: str) -> Iterator[None]:
        try:
            yield
        except (ftplib.Error, ValueError, IndexError):
            raise self.odd(reply) from None  # the standard library's error holds the whole reply

    def _connect_data(self) -> socket.socket:
        options = self._login.options
        address = self.makepasv()
        try:
            conn = socket.create_connection(address, options.connect_timeout_seconds)
        except (OSError, OverflowError) as error:
            if self.af == socket.AF_INET and self._extended_passive:
                self._extended_passive = False  # there are firewalls that open ports for PASV alone
                return self._connect_data()
            with self.watching():
                raise error if isinstance(error, OSError) else EOFError from error
        conn.settimeout(options.answer_timeout_seconds)
        return conn

    def _listen(self) -> socket.socket:
        assert self.sock is not None
        with self.watching():
            host = self.sock.getsockname()[0]
            listener = socket.create_server((host, 0), family=self.af, backlog=1)
        try:
            port = listener.getsockname()[1]
            if self.af == socket.AF_INET:
                self.sendport(host, port)
            else:
                self.sendeprt(host, port)
            listener.settimeout(self._login.options.connect_timeout_seconds)
        except BaseException:
            listener.close()
            raise
        return listener

    def _accepted(self, listener: socket.socket) -> socket.socket:
        assert self.sock is not None
        with listener:
            conn, address = listener.accept()
        if address[0] != self.sock.getpeername()[0]:
            conn.close()
            raise ConnectionAbortedError(None, "somebody else connected")
        conn.settimeout(self._login.options.answer_timeout_seconds)
        return conn


def _keep_alive(sock: socket.socket) -> None:
    """The control connection is silent during a long upload, and routers forget silent connections."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL"):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), _KEEP_ALIVE_SECONDS)


def _features(reply: str) -> dict[str, str]:
    """What a reply to FEAT lists, in capitals, with what follows each."""
    lines = (line.strip().partition(" ") for line in reply.split("\n")[1:-1])
    return {name.upper(): rest for name, _, rest in lines if name}
