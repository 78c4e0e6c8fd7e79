"""What it takes to log in to a server, checked before the first byte is sent.

Here: `Login`, made of an address and the options; and what is remembered of a server while the process runs
(`traits_of`). Not here: connections (client.py), certificates (tls.py).

Rules: user, password and path are sent on lines of their own, so none may hold a line's end: it would be a command. The
password is asked for when a server wants it, once, and is in no repr.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final, Self

from ...errors import InputError, StorePermissionError
from ..address import RemoteAddress
from ..options import StoreOptions

PORT: Final = 21
IMPLICIT_PORT: Final = 990


@dataclass(slots=True)
class ServerTraits:
    """What was found out about a server, for all stores on it in this process."""

    tls_1_2: bool = False
    """Its data connections do not come about, or lose bytes, with TLS 1.3."""
    proven: bool = False
    """A data connection with TLS has worked."""
    one_by_one: bool = False
    """It loses step when several commands are sent at once."""
    warned: bool = False
    """That the password travels in clear has been said."""


_TRAITS: Final[dict[tuple[str, int], ServerTraits]] = {}
_TRAITS_LOCK: Final = threading.Lock()


def traits_of(host: str, port: int) -> ServerTraits:
    """What is known of the server, to be read and added to."""
    with _TRAITS_LOCK:
        return _TRAITS.setdefault((host, port), ServerTraits())


@dataclass(slots=True, kw_only=True)
class Login:
    """Where and how to log in."""

    url: str
    """The address without its password."""
    server: str
    """The part of the address that a password belongs to."""
    host: str
    port: int
    user: str
    secure: bool
    implicit: bool
    """TLS from the first byte on, and not after AUTH."""
    options: StoreOptions
    _password: str | None = field(repr=False)
    _asked: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, address: RemoteAddress, options: StoreOptions) -> Self:
        """The login for an address. Raises InputError where it names no user or holds what cannot be sent."""
        if not address.user:
            raise InputError(
                f"{address.shown} names no user: write {address.scheme}://user@{address.host}/path.", code="invalid_url"
            )
        for what, text in (("host", address.host), ("user", address.user), ("path", address.path)):
            _check_line(what, text)
        _check_line("password", address.password or "")
        secure = address.scheme == "ftps"
        query = dict(address.query)
        wanted = query.pop("tls", "implicit" if address.port == IMPLICIT_PORT else "explicit")
        if query or wanted not in ("implicit", "explicit") or (address.query and not secure):
            raise InputError(
                f"{address.shown} has a query that means nothing: ftps:// takes ?tls=explicit or ?tls=implicit.",
                code="invalid_url",
            )
        implicit = secure and wanted == "implicit"
        return cls(
            url=address.shown,
            server=address.server,
            host=address.host,
            port=address.port or (IMPLICIT_PORT if implicit else PORT),
            user=address.user,
            secure=secure,
            implicit=implicit,
            options=options,
            _password=address.password,
            _asked=address.password is not None,
        )

    @property
    def traits(self) -> ServerTraits:
        """What is known of the server."""
        return traits_of(self.host, self.port)

    @property
    def known_password(self) -> str:
        """The password as far as it was asked for; "" before. To be kept out of messages."""
        return self._password or ""

    def password(self) -> str:
        """The password, asked for if it was not yet."""
        with self._lock:
            if not self._asked:
                password = self.options.password_for(self.server)
                _check_line("password", password or "")
                self._password, self._asked = password, True
        if self._password is None:
            raise StorePermissionError(
                f"{self.url} wants a password and none was given: give it with the store's options.",
                code="login_refused",
            )
        return self._password


def _check_line(what: str, text: str) -> None:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise InputError(f"The {what} for an FTP server holds a control character: mend it.", code="invalid_url")
