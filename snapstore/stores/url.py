r"""Addresses: from what a person types to a store.

Here: `open_store`, which also puts the wrappers around a store that its options ask for, and `redact_url`. Not here:
the stores themselves, and the parts of a remote address (address.py).

    /srv/backup   backup   C:\backup   file:///srv/backup     a folder
    usb:LABEL   usb:LABEL/folder   usb:1f3a9c                 a medium by its label, uuid or repository id (media/)
    memory:   memory:NAME                                     in memory; one NAME is one store in this process
    sftp://user@host:port/path                                a server with SSH (package asyncssh)
    ftp://user@host/path   ftps://user@host/path              a server with FTP, in clear or with TLS
    s3://bucket/prefix   gs://bucket/prefix   az://container/prefix      object storage (package obstore)

Rules: a `PathLike` is always a path. A text with a scheme that nobody knows is an error and never a path, so that a
typing error makes no odd folder; a file whose name looks like a scheme is written `./a:b`. One letter before a colon
is a drive. What a remote kind of store takes to run is loaded when its address is opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from ..errors import InputError, StoreUnavailableError
from .address import RemoteAddress
from .local import LocalStore
from .media import REPOSITORY_FOLDER, Identify, Medium, connected_media, find_medium
from .medium_store import MediumStore
from .memory import MemoryStore
from .options import StoreOptions
from .oserrors import translated
from .protocol import Store
from .read_only import ReadOnlyStore
from .retrying import Patience, RetryingStore
from .throttled import ThrottledStore

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):(?P<rest>.*)", re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:")
_MISTYPED = re.compile(r"(?:sftp|ftps?|s3|gs|az)(?:://|//[^/]*:[^/]*@)", re.IGNORECASE)
_QUERY_VALUE = re.compile(r"(?<=[?&])([^=&#]+)=[^&#]*")
_KNOWN: Final = "a path, file:, usb:, memory:, sftp:, ftp:, ftps:, s3:, gs: and az:"
# Scheme to the module and class of its store.
_REMOTE: Final = {
    "sftp": (".sftp.store", "SftpStore"),
    "ftp": (".ftp.store", "FtpStore"),
    "ftps": (".ftp.store", "FtpStore"),
    "s3": (".objects.store", "ObjectStorageStore"),
    "gs": (".objects.store", "ObjectStorageStore"),
    "az": (".objects.store", "ObjectStorageStore"),
}
_ATTEMPTS_TO_OPEN: Final = 3  # somebody waits for the answer, and a wrong address looks like a server that is down


class RemoteKind(Protocol):
    """How the class of a remote store is called."""

    def __call__(self, address: RemoteAddress, options: StoreOptions, *, create: bool, station: str) -> Store:
        """Open it."""
        ...


def open_store(
    url: str | os.PathLike[str],
    *,
    create: bool = False,
    station: str = "unnamed",
    identify: Identify | None = None,
    media: Callable[[], Sequence[Medium]] = connected_media,
    options: StoreOptions | None = None,
) -> Store:
    """The store at an address. `create` makes its folder where it is absent.

    `identify` gives the ids on a medium (without it, `usb:` finds labels only), and `media` what is connected.
    """
    options = options or StoreOptions()
    create = create and not options.read_only
    remote = None if not isinstance(url, str) else remote_address(url)
    if remote is not None:
        return open_remote_store(remote, options, create=create, station=station)
    if not isinstance(url, str):
        store: Store = LocalStore(Path(url), create=create, station=station)
    else:
        scheme, rest = _split(url)
        match scheme:
            case "":
                store = LocalStore(_plain_path(url), create=create, station=station)
            case "file":
                store = LocalStore(_file_url_path(url), create=create, station=station)
            case "memory":
                store = MemoryStore(rest)
            case "usb":
                medium, root = _medium_folder(rest, identify, media, create=create)
                store = MediumStore(root, medium, create=create, station=station)
            case _:
                raise InputError(
                    f"Nothing is known of {scheme}: addresses; known are {_KNOWN}. "
                    "For a file of that name put ./ before it.",
                    code="unknown_scheme",
                )
    return _wrapped(store, options, remote=False)


def open_remote_store(
    address: RemoteAddress, options: StoreOptions, *, create: bool = False, station: str = "unnamed"
) -> Store:
    """The store at a remote address, with what its options ask for around it."""
    create = create and not options.read_only
    return _wrapped(_remote_store(address, options, create=create, station=station), options, remote=True)


def remote_address(url: str | os.PathLike[str]) -> RemoteAddress | None:
    """The parts of a remote address; None for one of another kind. Raises InputError, without any password."""
    if not isinstance(url, str) or _split(url)[0] not in _REMOTE:
        return None
    return RemoteAddress.parse(url)


def redact_url(url: str) -> str:
    """An address fit for a log: without its password and without what a query may hold of one. A path stays as it is.

    What is an address of a remote store is shown as that store shows it; of what merely looks like one, everything
    goes that might be a password.
    """
    if "://" not in url:
        return url
    try:
        remote = remote_address(url)
    except InputError:
        remote = None
    if remote is not None:
        return remote.shown
    scheme, _, rest = url.partition("://")
    # A password with an unquoted "/" or "@" in it must not slip through: everything up to the last "@" goes.
    user, at, place = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    return _QUERY_VALUE.sub(r"\1=***", f"{scheme}://{name}{':***' if colon else ''}{at}{place}")


def _split(url: str) -> tuple[str, str]:
    """Scheme in small letters, "" for a path, and the rest."""
    if not url or "\0" in url:
        raise InputError(f"{url!r} is no address of a store: give {_KNOWN}.", code="invalid_url")
    match = _SCHEME.fullmatch(url)
    if match is None and _MISTYPED.search(url):
        # With a blank or a quotation mark before it an address would be a path, and its password a folder's name.
        raise InputError(
            "This holds the address of a server and does not begin with it: remove what stands before it, and write "
            "scheme://user@host:port/path.",
            code="invalid_url",
        )
    return ("", url) if match is None else (match["scheme"].lower(), match["rest"])


def _remote_store(address: RemoteAddress, options: StoreOptions, *, create: bool, station: str) -> Store:
    module, name = _REMOTE[address.scheme]
    kind: RemoteKind = getattr(import_module(module, __package__), name)
    patience = Patience(attempts=min(options.attempts, _ATTEMPTS_TO_OPEN))
    return patience.attempt(lambda: kind(address, options, create=create, station=station), cancelled=lambda: False)


def _wrapped(store: Store, options: StoreOptions, *, remote: bool) -> Store:
    """The store with what was asked for around it. One that can build can still, unless its bandwidth is limited."""
    up, down = options.upload_bytes_per_second, options.download_bytes_per_second
    if up is not None or down is not None:
        store = ThrottledStore(store, upload_bytes_per_second=up, download_bytes_per_second=down)
    if remote:
        store = RetryingStore(store, patience=Patience(attempts=options.attempts))
    return ReadOnlyStore(store) if options.read_only else store


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
    from urllib.request import url2pathname  # late: the whole of HTTP comes with it, and takes as long as a snapshot

    return Path(url2pathname(f"//{host}{parts.path}" if host else parts.path))


def _medium_folder(
    rest: str, identify: Identify | None, media: Callable[[], Sequence[Medium]], *, create: bool
) -> tuple[Medium, Path]:
    """The medium, and the repository's folder on it; with `create`, the folders above it on the medium are made."""
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
    return medium, root
