"""Addresses of remote stores, taken apart.

Here: `RemoteAddress` and its parser. Not here: which schemes there are (url.py), what a path means to a server.

Rules: a password may be typed in an address and is never shown again: `shown` is what is printed, logged and kept. The
path is unquoted; what a store makes of a leading slash is said in its own module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ..errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAddress:
    """The parts of `scheme://user:password@host:port/path?key=value`. `path` has no slash at its end."""

    scheme: str
    host: str
    path: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    port: int | None = None
    query: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take an address apart. Raises InputError, without the password in its message."""
        try:
            parts = urlsplit(url)
            port = parts.port
            # The last "@" ends the user and the password: people do not quote those in their passwords.
            if parts.hostname is None:
                raise ValueError("no host")
            query = tuple(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        except ValueError:
            scheme = url.partition(":")[0]
            raise InputError(
                f"This is no address of a store; write {scheme}://user@host:port/path, and quote ? and # in it.",
                code="invalid_url",
            ) from None  # the error's own text may hold the password
        if parts.fragment:
            raise InputError("A # in an address of a store must be written %23.", code="invalid_url")
        path = unquote(parts.path)
        if any(ord(letter) < 32 for letter in path):
            raise InputError("An address of a store holds no control characters.", code="invalid_url")
        return cls(
            scheme=parts.scheme.lower(),
            host=parts.hostname,
            path=path.rstrip("/"),
            user=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            port=port,
            query=query,
        )

    @property
    def server(self) -> str:
        """Scheme, user, host and port: what a password belongs to."""
        user = "" if self.user is None else f"{quote(self.user, safe='')}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{user}{host}{port}"

    @property
    def shown(self) -> str:
        """The address without its password; given to `parse` again it means the same place."""
        query = "&".join(f"{quote(key)}={quote(value, safe=':/')}" for key, value in self.query)
        return self.server + quote(self.path, safe="/~") + (f"?{query}" if query else "")
