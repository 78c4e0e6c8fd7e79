"""What tests are told of a real server that was started for them.

Rule: a server that cannot be had raises `ServerMissingError` with the reason, and the test skips with it.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from snapstore.stores.options import StoreOptions


class ServerMissingError(Exception):
    """The program is not installed, or may not be started here."""


@dataclass(kw_only=True)
class Server:
    """A running server on loopback. `url` is the address of an empty place that stores may be made in."""

    name: str
    host: str
    port: int
    url: Callable[[str], str]
    """From a name of [a-z0-9] to an address in the server's empty place; the same name, the same store."""
    options: StoreOptions = field(default_factory=StoreOptions)
    folder: Path | None = None
    """Where the server keeps what is stored under `url("")`, if it is a folder."""
    stop: Callable[[], None] = lambda: None
    """Kill it, as a power cut does; what it had is still there for `start`."""
    start: Callable[[], None] = lambda: None
    behind: Callable[[int], Server] | None = None
    """The same server as seen through a proxy at another port of the same host."""
    data_ports: Sequence[int] = ()
    """FTP: the ports of its data connections, if they are known before."""


def find_program(name: str) -> str:
    """Return the path of a server's program. Raises ServerMissingError where it is not installed.

    Those that Debian does not install together (vsftpd and ProFTPD) scripts/test unpacks beside the environment.
    """
    unpacked = [os.path.join(sys.prefix, "servers", "usr", folder) for folder in ("sbin", "bin")]
    places = [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin", *unpacked]
    if path := shutil.which(name, path=os.pathsep.join(places)):
        return path
    raise ServerMissingError(f"not installed: {name}")


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, *, seconds: float = 20.0) -> None:
    """Return when somebody listens on the port. Raises ServerMissingError if nobody ever does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise ServerMissingError(f"nothing listens on port {port} after {seconds} seconds")
