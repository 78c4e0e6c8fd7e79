r"""Addresses: from what a person types to a store.

Here: `open_store` and `redact_url`. Not here: the stores themselves.

    /srv/backup   backup   C:\backup   file:///srv/backup     a folder
    usb:LABEL   usb:LABEL/folder   usb:1f3a9c                 a medium by its label, uuid or repository id (media.py)
    memory:   memory:NAME                                     in memory; one NAME is one store in this process

Rules: a `PathLike` is always a path. A text with a scheme that nobody knows is an error and never a path, so that a
typing error makes no odd folder; a file whose name looks like a scheme is written `./a:b`. One letter before a colon
is a drive.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ..errors import InputError, StoreUnavailableError
from .local import LocalStore
from .media import REPOSITORY_FOLDER, Identify, Medium, connected_media, find_medium
from .memory import MemoryStore
from .oserrors import translated
from .protocol import Store

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):(?P<rest>.*)", re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:")
_AUTHORITY = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^:/@]*):(?P<secret>.*)@(?P<rest>[^@]*)", re.DOTALL
)
_QUERY_VALUE = re.compile(r"(?<=[?&])([^=&#]+)=[^&#]*")
_LATER_SCHEMES: Final = frozenset({"sftp", "ftp", "ftps", "s3"})
_KNOWN: Final = "a path, file:, usb: and memory:"


def open_store(
    url: str | os.PathLike[str],
    *,
    create: bool = False,
    station: str = "unnamed",
    identify: Identify | None = None,
    media: Callable[[], Sequence[Medium]] = connected_media,
) -> Store:
    """The store at an address. `create` makes its folder where it is absent.

    `identify` gives the ids on a medium (without it, `usb:` finds labels only), and `media` what is connected.
    """
    if not isinstance(url, str):
        return LocalStore(Path(url), create=create, station=station)
    if not url or "\0" in url:
        raise InputError(f"{url!r} is no address of a store: give {_KNOWN}.", code="invalid_url")
    match = _SCHEME.fullmatch(url)
    if match is None:
        return LocalStore(_plain_path(url), create=create, station=station)
    scheme = match["scheme"].lower()
    if scheme == "file":
        return LocalStore(_file_url_path(url), create=create, station=station)
    if scheme == "memory":
        return MemoryStore(match["rest"])
    if scheme == "usb":
        root = _medium_folder(match["rest"], identify, media, create=create)
        return LocalStore(root, create=create, station=station)
    if scheme in _LATER_SCHEMES:
        raise InputError(
            f"{scheme}: stores are not in this version of snapstore: use {_KNOWN}, or mount the server as a folder.",
            code="scheme_not_supported",
        )
    raise InputError(
        f"Nothing is known of {scheme}: addresses; known are {_KNOWN}. For a file of that name put ./ before it.",
        code="unknown_scheme",
    )


def redact_url(url: str) -> str:
    """The address without its password and without the values of a query, fit for a log. A path stays as it is."""
    if "://" not in url:
        return url
    match = _AUTHORITY.fullmatch(url)
    # A password with an unquoted "/" or "@" in it must not slip through: everything up to the last "@" goes.
    shown = f"{match['scheme']}{match['user']}:***@{match['rest']}" if match else url
    return _QUERY_VALUE.sub(r"\1=***", shown)


def _plain_path(url: str) -> Path:
    if os.name != "nt" and _DRIVE.match(url):
        raise InputError(f"{url!r} is a path of Windows, and this is another system.", code="invalid_url")
    return Path(url)


def _file_url_path(url: str) -> Path:
    parts = urlsplit(url)
    host = "" if parts.netloc.lower() == "localhost" else parts.netloc
    if parts.query or parts.fragment or not parts.path.startswith("/"):
        raise InputError(
            f"{redact_url(url)!r} is not file:///path: quote ? as %3F and # as %23, or give the path itself.",
            code="invalid_url",
        )
    if host and os.name != "nt":
        raise InputError(f"{redact_url(url)!r} names a server: mount it and give the folder.", code="invalid_url")
    from urllib.request import (
        url2pathname,
    )  # brings the whole of HTTP with it, which takes longer than a small snapshot

    return Path(url2pathname(f"//{host}{parts.path}" if host else parts.path))


def _medium_folder(
    rest: str, identify: Identify | None, media: Callable[[], Sequence[Medium]], *, create: bool
) -> Path:
    """The repository's folder on the medium; with `create`, the folders above it on the medium are made."""
    wanted, _, below = rest.strip("/").partition("/")
    elements = [element for element in re.split(r"[/\\]", below) if element] or [REPOSITORY_FOLDER]
    if not wanted or any(element in (".", "..") for element in elements):
        raise InputError(f"'usb:{rest}' names no medium: write usb:LABEL or usb:LABEL/folder.", code="invalid_url")
    medium = find_medium(wanted, media(), identify, folder="/".join(elements))
    root = medium.path.joinpath(*elements)
    try:
        if create and medium.path.is_dir():
            root.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise translated(error, f"make the folder {root.parent}", str(medium)) from error
    if not medium.path.is_dir():
        raise StoreUnavailableError(f"The medium {medium} was taken away: connect it and try again.")
    return root
