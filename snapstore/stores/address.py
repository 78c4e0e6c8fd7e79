"""Addresses of remote stores, taken apart.

Here: `RemoteAddress` and its parser. Not here: which schemes there are (url.py), what a path means to a server.

Rules: a password may be typed in an address and is never shown again: `shown` is what is printed, logged and kept. The
path is unquoted; what a store makes of a leading slash is said in its own module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

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
        """Take an address apart. Raises InputError, without the password in its message or in any chained error."""
        problem = _problem_of(url)
        parts = None if problem else _parts_of(url)
        if parts is None:
            scheme = url.partition(":")[0]
            raise InputError(
                f"This is no address of a store: {problem or 'it does not parse'}. "
                f"Write {scheme}://user@host:port/path, and in the user, the password and the path "
                "%40 for @, %2F for /, %3A for :, %3F for ?, %23 for #.",
                code="invalid_url",
            )
        return cls(
            scheme=parts.scheme.lower(),
            host=_host_of(parts),
            path=unquote(parts.path).rstrip("/"),
            user=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            port=parts.port,
            query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
        )

    @property
    def server(self) -> str:
        """Scheme, user, host and port: what a password belongs to."""
        user = "" if self.user is None else f"{quote(self.user, safe='')}@"
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{user}{host}{port}"

    @property
    def shown(self) -> str:
        """The address without its password and whatever else in it may open a door; it still means the same place."""
        shown = [(key, value) for key, value in self.query if not _SECRET_KEY.search(key)]
        query = "&".join(f"{quote(key)}={quote(value, safe=':/')}" for key, value in shown)
        return self.server + quote(self.path, safe="/~") + (f"?{query}" if query else "")


# What no host has may mean something to a ProxyCommand that the host is handed to.
_HOST = re.compile(r"[^-\s\"'`$\\;&|<>(){}][^\s\"'`$\\;&|<>(){}]*")
_SECRET_KEY = re.compile(r"secret|password|token|key|sas|sig|credential", re.IGNORECASE)


def _problem_of(url: str) -> str:
    """Why a text is no address, without any of the text; "" if it may be one."""
    rest = url.partition("://")[2]
    try:
        unquote(url, errors="strict").encode()
    except UnicodeError:
        return "it holds what is no text in UTF-8"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in unquote(url)):
        return "it holds control characters"
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if ":" in rest.rpartition("@")[0] and "@" in rest[len(authority) :]:
        # Either the password has a "/" in it or the path an "@": nobody can tell, and what is taken for the path is
        # shown everywhere.
        return "it has an @ after the first /"
    if "#" in rest:
        return "it has a #"
    return ""


def _host_of(parts: SplitResult) -> str:
    """The host as it was written: names in `~/.ssh/config` may have capitals, which `hostname` makes small."""
    host = parts.netloc.rpartition("@")[2]
    if host.startswith("["):  # an IPv6 address, perhaps with the interface, whose % is written %25 (RFC 6874)
        return host[1:].partition("]")[0].replace("%25", "%")
    return host.partition(":")[0]


def _parts_of(url: str) -> SplitResult | None:
    """The parts, each of which is good to use; None where there are none. No error gets out: their texts tell all."""
    try:
        parts = urlsplit(url)
        if parts.query:
            parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
        usable = parts.hostname and (parts.port is None or parts.port > 0)
        return parts if usable and _HOST.fullmatch(_host_of(parts)) else None
    except ValueError:
        return None
