"""TLS as FTP uses it: whom to trust, and how a connection ends.

Here: the contexts, the handshakes of the control connection and of data connections, and the two ends of a data
connection. Not here: the commands around them (client.py).

Rules:
- A certificate is verified, with its host name, against the system's authorities and those the user names.
- A data connection resumes the session of its control connection, which servers demand so that nobody else can take
  the connection over. With TLS 1.3 the session comes with a ticket after the handshake: it is read anew each time.
- What is sent ends with TLS's own farewell and then TCP's, and the socket is closed only after the server's reply:
  closing with tickets unread makes the system send a reset, and the server lose the end of the file.
- What is received is followed by the server's farewell, or else it may have been cut.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from typing import Final

from ...errors import InputError, StoreError, StorePermissionError
from .login import Login
from .replies import lost_error, timeout_error

_FAREWELL_SECONDS: Final = 10.0


def new_context(login: Login) -> ssl.SSLContext:
    """A context for the server: TLS 1.2 and 1.3, or 1.2 alone where that was found to be needed."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if login.traits.tls_1_2:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    ca_file = login.options.ca_file
    if ca_file is not None:
        # Certificates that people made for a server of their own lack what this asks for, from Python 3.13 on.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise InputError(
                f"{ca_file} is no file of certificates that can be read.", code="invalid_ca_file"
            ) from error
    return context


def secured(sock: socket.socket, context: ssl.SSLContext, login: Login) -> ssl.SSLSocket:
    """The control connection with TLS."""
    try:
        return context.wrap_socket(sock, server_hostname=login.host, suppress_ragged_eofs=False)
    except ssl.SSLCertVerificationError as error:
        raise StorePermissionError(
            f"The certificate of {login.url} is not to be trusted: {error.verify_message}. Name its authority's file "
            "if this is your own server, or else connect to nothing there.",
            code="certificate_refused",
        ) from error
    except TimeoutError as error:
        raise timeout_error(login.url) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError) as error:
        raise lost_error(login.url, "while TLS was set up") from error
    except ssl.SSLError as error:
        raise no_tls_error(login, error.reason or "the handshake failed") from error
    except OSError as error:
        raise lost_error(login.url, error.strerror or "while TLS was set up") from error


def no_tls_error(login: Login, reason: str) -> StoreError:
    """The server does not do TLS as it should. There is no going on in clear."""
    return StoreError(
        f"{login.url} refuses TLS ({reason}): ask for TLS at the server, or see whether it wants "
        f"?tls={'explicit' if login.implicit else 'implicit'}.",
        code="tls_refused",
    )


def secured_data(conn: socket.socket, control: ssl.SSLSocket, host: str) -> ssl.SSLSocket:
    """A data connection with TLS, in the session of the control connection. Raises OSError."""
    return control.context.wrap_socket(conn, server_hostname=host, session=control.session, suppress_ragged_eofs=False)


def say_farewell(conn: socket.socket) -> None:
    """End what is sent; the socket stays open for what the server still has to say. Raises nothing.

    The server's own farewell is not waited for: some never send one, and its reply says more.
    """
    with contextlib.suppress(OSError, ValueError):
        if isinstance(conn, ssl.SSLSocket):
            _send_close_notify(conn)
        conn.shutdown(socket.SHUT_WR)


def _send_close_notify(conn: ssl.SSLSocket) -> None:
    end = time.monotonic() + _FAREWELL_SECONDS
    conn.setblocking(False)
    while time.monotonic() < end:
        try:
            conn.unwrap()
        except ssl.SSLWantWriteError:
            select.select([], [conn], [], 1.0)
        except (OSError, ValueError):  # most often SSLWantReadError: ours is sent, and theirs has not come
            return
        else:
            return
