"""How the command reaches a store: its options, and where the password of a server comes from.

Here: `OPTIONS`, `StoreAccess`, which turns them into `snapstore.StoreOptions`, and the keyring of the system. Not here:
the dossier's secret (`secrets.py`), which no server ever gets.

Rules: a password is looked for when a server asks for one, in this order: --password-command, SNAPSTORE_PASSWORD, the
address, the keyring, a person at the terminal. The first two are for the server of the repository and are never shown
to another one, unless the repository is on none. The variable is removed from the environment as soon as it is read,
and so is an address with a password in it, so that no child process inherits either. Passwords are taken out of
addresses before anything else sees them, and `redact` takes them out of any text that is about to be printed. The
keyring is loaded only when it is asked; one that does not work is as none.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import click

from ..errors import InputError, SnapstoreError
from .secrets import ask, command_output, decoded, has_terminal

if TYPE_CHECKING:
    from .. import StoreOptions

PASSWORD_VARIABLE = "SNAPSTORE_PASSWORD"
REPOSITORY_VARIABLE = "SNAPSTORE_REPO"
KEYRING_SERVICE = "snapstore"
_KIB = 1024
_TYPED_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s:/@'\"]*(?:@[^\s:/@'\"]*)*):\S*@")
_FILE: dict[str, Any] = {"metavar": "FILE"}

OPTIONS: tuple[tuple[tuple[str, ...], str | None, dict[str, Any]], ...] = (
    (
        ("--password-command",),
        "SNAPSTORE_PASSWORD_COMMAND",
        {"metavar": "COMMAND", "help": "Read the server's password from what a command prints."},
    ),
    (
        ("--limit-upload",),
        None,
        {"type": click.IntRange(min=0), "metavar": "KIB", "help": "Upload at most so many KiB a second."},
    ),
    (
        ("--limit-download",),
        None,
        {"type": click.IntRange(min=0), "metavar": "KIB", "help": "Download at most so many KiB a second."},
    ),
    (("--read-only",), None, {"is_flag": True, "help": "Change nothing in the repository."}),
    (
        ("--accept-other",),
        None,
        {"is_flag": True, "help": "Go on if another medium is plugged in at the address than before."},
    ),
    (
        ("--connections",),
        None,
        {"type": click.IntRange(min=1, max=64), "metavar": "N", "help": "Transfers at the same time."},
    ),
    (("--ftp-active",), None, {"is_flag": True, "help": "FTP: let the server connect to this computer."}),
    (("--ca-file",), None, {**_FILE, "help": "FTPS, HTTPS: trust the certificates in this file too."}),
    (("--known-hosts",), None, {**_FILE, "help": "SFTP: the host keys to trust, instead of ~/.ssh/known_hosts."}),
    (("--ssh-config",), None, {**_FILE, "help": 'SFTP: instead of ~/.ssh/config; "" for none.'}),
)
NAMES = frozenset(names[-1].removeprefix("--").replace("-", "_") for names, _, _ in OPTIONS)


class StoreAccess:
    """What was said of the store on the command line and in the environment, and the passwords seen so far."""

    def __init__(self) -> None:
        self._environment = os.environ.pop(PASSWORD_VARIABLE, None) or None
        self._main_server: str | None = None
        self._given: dict[str, Any] = {}
        self._in_address: dict[str, str] = {}
        self._answers: dict[str, str | None] = {}
        self._known: list[str] = [self._environment] if self._environment else []
        self._lock = threading.Lock()  # several connections of a store may ask at the same time

    def take(self, name: str, value: object) -> None:
        """Take note of the option `name`."""
        self._given[name] = value

    def address(self, url: str, *, main: bool = False) -> str:
        """Return an address without its password, which is kept for the server that asks for it.

        The server of the `main` address is the one that the command and the variable have the password of.
        """
        if typed_password(os.environ.get(REPOSITORY_VARIABLE, "")) is not None:
            del os.environ[REPOSITORY_VARIABLE]
        typed = typed_password(url)
        if typed is not None:
            self._remember(typed)
            self._remember(unquote(typed))
        if "://" not in url or url.lower().startswith("file:"):
            return url
        from .. import RemoteAddress

        parsed = RemoteAddress.parse(url)
        if main:
            self._main_server = parsed.server
        if typed is None:
            return url
        if parsed.password is not None:
            self._in_address[parsed.server] = parsed.password
        return url.replace(f":{typed}@", "@", 1)

    def options(self) -> StoreOptions:
        """Return what a store is opened with."""
        from .. import StoreOptions

        given = {name: self._given[name] for name in _AS_THEY_ARE if name in self._given}
        for name, key in (("limit_upload", "upload"), ("limit_download", "download")):
            if name in self._given:
                given[f"{key}_bytes_per_second"] = self._given[name] * _KIB
        return StoreOptions(password=self.password_for, **given)

    def password_for(self, server: str) -> str | None:
        """Return the password for a server such as "sftp://me@host:22"; None if nobody knows it."""
        with self._lock:
            if server not in self._answers:
                self._answers[server] = self._remember(self._found(server))
            return self._answers[server]

    def chosen(self, server: str) -> str:
        """Return a password to be kept: of the command or the variable, or typed."""
        found = self._configured() or self._in_address.get(server)
        if found is None:
            found = ask(f"Password of {server}: ")
        if not found:
            raise InputError("No password was typed. Nothing was kept.", code="password_missing")
        self._remember(found)
        return found

    def redact(self, text: str) -> str:
        """Return `text` without any password that was read so far, and without what looks like one in an address."""
        for password in sorted(self._known, key=len, reverse=True):
            text = text.replace(password, "***")
        return _TYPED_ADDRESS.sub(r"\1:***@", text)

    def _found(self, server: str) -> str | None:
        configured = self._configured() if self._main_server in (None, server) else None
        if configured is not None:
            return configured
        if server in self._in_address:
            return self._in_address[server]
        kept = keyring_get(server)
        if kept is not None or not has_terminal():
            return kept
        return ask(f"Password of {server}: ")

    def _configured(self) -> str | None:
        command = self._given.get("password_command")
        if command:
            return self._remember(decoded(command_output(command, what="password"), "the password command's output"))
        return self._environment

    def _remember(self, password: str | None) -> str | None:
        if password and password not in self._known:
            self._known.append(password)
        return password


_AS_THEY_ARE = ("accept_other", "read_only", "connections", "ftp_active", "ca_file", "known_hosts", "ssh_config")


def typed_password(url: str) -> str | None:
    """Return the password in an address as it was typed; None if there is none.

    Up to the last @: what has more than one of them, and a colon before, is refused by the library as it is.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() == "file":
        return None
    _, colon, password = rest.rpartition("@")[0].partition(":")
    return password if colon else None


def keyring_get(server: str) -> str | None:
    """Return the password that the system's keyring has for a server; None where it has none or there is no keyring."""
    with contextlib.suppress(Exception):  # backends raise what they like: no session bus, a locked ring, a missing tool
        found = _keyring().get_password(KEYRING_SERVICE, server)
        return found if isinstance(found, str) else None
    return None


def keyring_set(server: str, password: str) -> None:
    """Keep a password. SnapstoreError if the keyring does not take it."""
    failed = None
    try:
        _keyring().set_password(KEYRING_SERVICE, server, password)
    except InputError:
        raise
    except Exception as error:  # as above; and its text may hold what was to be kept
        failed = type(error).__name__
    if failed is not None:
        raise SnapstoreError(
            f"The system's keyring did not keep the password ({failed}). Use {PASSWORD_VARIABLE} or "
            "--password-command instead.",
            code="keyring_failed",
        )


def keyring_delete(server: str) -> bool:
    """Drop a password; whether there was one."""
    if keyring_get(server) is None:
        return False
    with contextlib.suppress(Exception):
        _keyring().delete_password(KEYRING_SERVICE, server)
    return keyring_get(server) is None


def _keyring() -> Any:  # noqa: ANN401 - a module without types
    try:
        import keyring
    except ModuleNotFoundError:
        raise InputError(
            'The system\'s keyring takes the package keyring: pip install "snapstore[keyring]"', code="extra_missing"
        ) from None
    return keyring
