"""Whether a server is the one that the user knows.

Here: `HostKeys`, which asyncssh asks, and the errors that say what to do. Not here: the check that the server has the
private key (asyncssh), and any way around it.

Rules: strict. A host that is not in the known_hosts files is refused, with the fingerprint that its owner can compare
and the command that accepts it; a changed or revoked key is refused sternly. Nothing is ever written to those files.
Hashed names, `[host]:port`, patterns, certificates' authorities and HostKeyAlias are understood, as `ssh` does. A
line that cannot be read is passed over, as `ssh` does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...errors import StorePermissionError

if TYPE_CHECKING:
    import asyncssh

USER_FILES: Final = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
SYSTEM_FILES: Final = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
SSH_PORT: Final = 22
REVOKED: Final = "@revoked"
HOST_KEY_KINDS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


class HostKeys:
    """What is known of one server, and what it showed. One for each attempt to connect."""

    def __init__(self, files: Sequence[str | os.PathLike[str]]) -> None:
        self._files = [Path(file).expanduser() for file in files]
        self._known: Sequence[Any] = ()
        self._shown: asyncssh.SSHKey | None = None

    def match(self, host: str, address: str, port: int | None) -> Sequence[Any]:
        """asyncssh's question which keys are to be trusted; `port` is None for 22."""
        known, revoked = self._read()
        found = known.match(host, address, port)
        self._known = [*found[0], *found[1]]
        # What is revoked for the name stays so for all its ports.
        bad = [*revoked.match(host, address, port)[0], *revoked.match(host, address, None)[0]]
        return [*found[:2], bad, *found[3:5], (), ()]  # no patterns of X.509 names, which ssh has not either

    def algorithms(self, host: str, port: int | None) -> list[str]:
        """Kinds of host keys, the known ones first; none where asyncssh's own order does.

        Left alone, asyncssh offers the known kinds only, and a server that has got a key of another kind since then
        would look like one that hangs up.
        """
        found = self._read()[0].match(host, "", None if port == SSH_PORT else port)
        if not found[0] or found[1]:
            return []
        kinds = [kind.decode() for key in found[0] for kind in key.sig_algorithms]
        return list(dict.fromkeys([*kinds, *HOST_KEY_KINDS]))

    def refuse(self, key: asyncssh.SSHKey) -> bool:
        """asyncssh's question whether a key that is not known is to be trusted after all."""
        self._shown = key
        return False

    def error(self, reason: str, host: str, port: int | None) -> StorePermissionError:
        """The error for a server that was refused."""
        where = host if port in (None, SSH_PORT) else f"[{host}]:{port}"
        if "revoked" in reason.lower():
            return StorePermissionError(
                f"The key of {where} was revoked: it must not be trusted any more. Do not connect; ask who runs it.",
                code="host_key_changed",
            )
        if self._known:
            shown = f" It shows {_described(self._shown)}." if self._shown is not None else ""
            return StorePermissionError(
                f"THE KEY OF {where} HAS CHANGED: another machine may be posing as it, and nothing was sent.{shown} "
                "Ask who runs it. Only if the change is confirmed, forget the old key with: "
                f'ssh-keygen -f {self._first_file()} -R "{where}"',
                code="host_key_changed",
            )
        if self._shown is None:
            shown = "it shows a certificate of nobody you trust"
        else:
            shown = f"it shows {_described(self._shown)}"
        port_option = "" if port in (None, SSH_PORT) else f"-p {port} "
        return StorePermissionError(
            f"The server {where} is not known here: {shown}. Compare that with what its owner says; if it is the same, "
            f"accept it with: ssh-keyscan {port_option}{host} >> {self._first_file()}  "
            f"(or connect once with: ssh {port_option}{host})",
            code="host_key_unknown",
        )

    def _first_file(self) -> str:
        """As a shell takes it; double quotes are those that every system's has."""
        file = str(self._files[0]) if self._files else USER_FILES[0]
        return f'"{file}"' if " " in file else file

    def _read(self) -> tuple[asyncssh.SSHKnownHosts, asyncssh.SSHKnownHosts]:
        """The keys that are known, and those that are revoked as if these were known."""
        import asyncssh

        good: list[str] = []
        revoked: list[str] = []
        for file in self._files:
            try:
                text = file.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorePermissionError(
                    f"Could not read {file}, which says which servers are known: {error.strerror}.",
                    code="host_key_unknown",
                ) from error
            for line in text.splitlines():
                entry = line.strip().removeprefix(REVOKED)
                try:
                    asyncssh.import_known_hosts(entry)
                except ValueError:
                    continue
                (revoked if line.strip().startswith(REVOKED) else good).append(entry)
        return asyncssh.import_known_hosts("\n".join(good)), asyncssh.import_known_hosts("\n".join(revoked))


def _described(key: asyncssh.SSHKey) -> str:
    return f"the key {key.get_fingerprint()} ({key.get_algorithm()})"
