"""How a store is to be reached, beside its address.

Here: `StoreOptions`, one record for all kinds of stores; each takes what concerns it. Not here: where a program finds
a password (an application asks its user; the command has options, variables and the system's keyring), and any
connection.

Rules: everything has a default with which the usual cases work. A password is given as a text, or as a function that is
asked once, when a server wants one. Neither shows in a repr.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

CONNECT_TIMEOUT_SECONDS: Final = 30.0
ANSWER_TIMEOUT_SECONDS: Final = 60.0
ATTEMPTS: Final = 8  # half a minute in all: a server or a router that starts anew is back by then

Password = str | Callable[[str], str | None]
"""A password, or a function from an address without one ("sftp://me@host:22") to it, or to None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """What an address does not say. All of it is optional."""

    password: Password | None = field(default=None, repr=False)
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    answer_timeout_seconds: float = ANSWER_TIMEOUT_SECONDS
    """How long a server may be silent in the middle of something."""
    attempts: int = ATTEMPTS
    """How often an operation is tried that may go better the next time; 1 tries once."""
    upload_bytes_per_second: int | None = None
    download_bytes_per_second: int | None = None
    read_only: bool = False
    connections: int = 4
    """How many transfers a remote store may have under way at the same time."""
    ssh_config: str | os.PathLike[str] | None = None
    """Another file than the user's ~/.ssh/config; "" for none at all."""
    known_hosts: str | os.PathLike[str] | None = None
    """Another file than the user's ~/.ssh/known_hosts."""
    ftp_active: bool = False
    """FTP: have the server connect to us, for servers that allow nothing else."""
    ca_file: str | os.PathLike[str] | None = None
    """FTPS and HTTPS: certificates to trust beside the system's."""

    accept_other: bool = False
    """Open an address of a medium although another repository is there than this station saw there before."""

    def password_for(self, address: str) -> str | None:
        """Return the password for an address, asking if it is to be asked for; None if there is none."""
        return self.password(address) if callable(self.password) else self.password
