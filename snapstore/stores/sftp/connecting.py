"""SSH connections, as the user's configuration says, by asyncssh.

Here: `Login` (who, where, how) and `connect`, which gives an open SFTP channel over a new connection, through jump
hosts if there are any. Not here: whether a server's key is trusted (hostkeys.py), what is asked over the channel.

Rules: what `ssh` would do with the same host and files is what happens: aliases, ports, users, keys, the agent,
ProxyJump and ProxyCommand. Hardware does AES faster than anything, so AES-GCM is proposed first unless the user's
configuration names ciphers; nothing is compressed, since it is encrypted. A password is for the server in the address
alone and is never offered to a jump host. It is not asked for here, where the whole process would wait for a person:
`PasswordWanted` says that it would help.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...errors import InputError, StoreError, StorePermissionError, StoreUnavailableError
from ..address import RemoteAddress
from ..extras import extra_package
from ..options import StoreOptions
from .client import Break, Counters, Disconnected, SftpClient, SftpSession
from .failures import PasswordWanted, disconnected, no_sftp
from .hostkeys import SYSTEM_FILES, USER_FILES, HostKeys
from .keys import KeyFiles, Password

if TYPE_CHECKING:
    import asyncssh

CIPHERS: Final = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"  # 430 to 520 MiB/s measured, ChaCha20 310
KEEP_ALIVE_SECONDS: Final = 15
KEEP_ALIVE_MISSES: Final = 3
WINDOW_BYTES: Final = 8 << 20  # what may be on the way to us: 50 ms at a gigabit
PACKET_BYTES: Final = 32 << 10
MAX_HOPS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """All that is needed to get in."""

    address: RemoteAddress
    options: StoreOptions
    password: Password
    counters: Counters


class Link:
    """An SFTP channel and the connections that it goes through, the nearest first."""

    def __init__(self, client: SftpClient, ways: Sequence[asyncssh.SSHClientConnection]) -> None:
        self.client = client
        self._ways = ways
        # The processes of proxy commands, which are to have ended when this has.
        tunnels: list[Any] = [getattr(way, "_tunnel", None) for way in ways]
        self._processes = [tunnel for tunnel in tunnels if hasattr(tunnel, "pipe_data_received")]

    def abort(self) -> None:
        """Drop the connections at once; nothing under way has an answer any more."""
        self.client.fail("the store was closed")
        for way in reversed(self._ways):
            way.abort()

    async def close(self) -> None:
        """End the connections in good order."""
        self.client.fail("the store was closed")
        for way in reversed(self._ways):
            way.close()
        with contextlib.suppress(Exception):
            await asyncio.gather(*(closing.wait_closed() for closing in (*self._ways, *self._processes)))


async def connect(login: Login) -> Link:
    """A new connection, as far as an SFTP channel that is ready. Raises StoreError or PasswordWanted."""
    where = login.address.shown
    extra_package("asyncssh", extra="sftp", wanted_by=where)
    import asyncssh

    ways: list[asyncssh.SSHClientConnection] = []
    login.counters.handshakes += 1
    try:
        async with asyncio.timeout(login.options.connect_timeout_seconds):
            await _open_ways(login, ways)
            client = await _open_channel(login, ways[-1])
            return Link(client, ways)
    except BaseException as error:
        for way in reversed(ways):
            way.abort()
        if isinstance(error, TimeoutError):
            raise StoreUnavailableError(
                f"{where} did not answer within {login.options.connect_timeout_seconds:g} seconds: see that the host "
                "and port are right and that the server runs.",
                code="store_timeout",
            ) from None
        if isinstance(error, OSError | asyncssh.Error):
            raise _unreachable(error, where) from error
        raise


async def _open_ways(login: Login, ways: list[asyncssh.SSHClientConnection]) -> None:
    """Connect to the jump hosts, each through the one before, and then to the server."""
    address, config = login.address, _config_files(login.options)
    last = _Hop.of(address.host, address.port, address.user, config)
    for hop in _route_to(last, config):
        ways.append(await _open_way(hop, login, Password(), ways))
    ways.append(await _open_way(last, login, login.password, ways))


def _route_to(last: _Hop, config: Sequence[Path]) -> list[_Hop]:
    """The jump hosts on the way, the nearest first; the first of them may be behind others itself."""
    hops: list[_Hop] = []
    jumps = last.jumps
    while jumps and len(hops) < MAX_HOPS:
        found = [_jump(jump, config) for jump in jumps]
        hops = [*found, *hops]
        known = {(hop.host, hop.port) for hop in [last, *hops[1:]]}
        jumps = () if (hops[0].host, hops[0].port) in known else hops[0].jumps
    return hops


def _jump(jump: str, config: Sequence[Path]) -> _Hop:
    """A host as ProxyJump names it: `user@host:port`."""
    user, _, place = jump.strip().rpartition("@")
    host, _, port = place.rpartition(":") if place.rpartition(":")[2].isdigit() else (place, "", "")
    return _Hop.of(host.strip("[]"), int(port) if port else None, user or None, config)


async def _open_way(
    hop: _Hop, login: Login, password: Password, ways: Sequence[asyncssh.SSHClientConnection]
) -> asyncssh.SSHClientConnection:
    import asyncssh

    host_keys = HostKeys(hop.known_hosts if login.options.known_hosts is None else [login.options.known_hosts])
    key_files = KeyFiles(hop.identities, password)
    kinds = [] if hop.names_kinds else host_keys.algorithms(hop.host, hop.port)
    try:
        return await asyncssh.connect(
            **hop.target,
            **hop.ciphers,
            tunnel=ways[-1] if ways else None,  # asyncssh would go through jump hosts with rules of its own
            **({"client_keys": key_files.existing()} if hop.identities else {}),
            **({"server_host_key_algs": kinds} if kinds else {}),
            ignore_encrypted=True,
            known_hosts=host_keys.match,
            client_factory=lambda: _client(host_keys, key_files, password),
            compression_algs=None,
            agent_forwarding=False,
            keepalive_interval=KEEP_ALIVE_SECONDS,
            keepalive_count_max=KEEP_ALIVE_MISSES,
            connect_timeout=None,
            login_timeout=login.options.connect_timeout_seconds,
        )
    except asyncssh.HostKeyNotVerifiable as error:
        raise host_keys.error(str(error), hop.host, hop.port) from error
    except asyncssh.KeyExchangeFailed as error:
        if "host key" in str(error):  # it has keys, and none of a kind that is known of it
            raise host_keys.error(str(error), hop.host, hop.port) from error
        raise StoreError(
            f"{login.address.shown} and this program have no way to encrypt in common: {error}."
        ) from error
    except (asyncssh.PermissionDenied, asyncssh.ProtocolError) as error:
        if isinstance(error, asyncssh.ProtocolError) and "authentication failures" not in error.reason:
            raise
        if password.askable and (password.missed or key_files.missed):
            raise PasswordWanted from None
        raise StorePermissionError(
            f"{login.address.shown} let nobody in as {hop.user} at {hop.host}: check the user, the password, and the "
            f"keys that ssh would use.{key_files.hint()}",
            code="login_refused",
        ) from error
    except ValueError as error:  # a setting or a key file that cannot be read
        raise InputError(f"Could not prepare the connection to {login.address.shown}: {error}.") from error


async def _open_channel(login: Login, way: asyncssh.SSHClientConnection) -> SftpClient:
    import asyncssh

    client = SftpClient(answer_seconds=login.options.answer_timeout_seconds, counters=login.counters)
    try:
        await way.create_session(
            lambda: SftpSession(client),  # type: ignore[arg-type,return-value]  # has the methods, not the base
            None,
            subsystem="sftp",
            env=None,
            send_env=None,
            request_pty=False,
            x11_forwarding=False,
            encoding=None,
            window=WINDOW_BYTES,
            max_pktsize=PACKET_BYTES,
        )
    except asyncssh.ChannelOpenError as error:
        if way.is_closed():
            raise asyncssh.ConnectionLost(error.reason) from error
        raise no_sftp(login.address.shown, error.reason) from error
    try:
        await client.begin()
    except Disconnected as error:
        if error.kind is Break.REFUSED:
            raise no_sftp(login.address.shown, error.reason) from error
        raise disconnected(error, "begin SFTP", login.address.shown) from error
    return client


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hop:
    """One SSH server, as the configuration describes it."""

    target: dict[str, Any]
    ciphers: dict[str, Any]
    names_kinds: bool
    """Whether the configuration says which kinds of host keys it wants."""
    host: str
    port: int | None
    user: str
    jumps: Sequence[str]
    known_hosts: Sequence[str]
    identities: Sequence[str]

    @classmethod
    def of(cls, host: str, port: int | None, user: str | None, config: Sequence[Path]) -> _Hop:
        """Look a host up in the configuration. Raises InputError."""
        import asyncssh

        target: dict[str, Any] = {"host": host, "config": config}
        target |= {} if port is None else {"port": port}
        target |= {} if user is None else {"username": user}
        try:
            found = asyncssh.SSHClientConnectionOptions(**target, client_keys=None)
        except RuntimeError as error:  # pathlib's, for who has no home
            raise InputError(
                "SSH looks for its files in the user's home folder and there is none: set HOME."
            ) from error
        except (ValueError, OSError) as error:
            raise InputError(f"The SSH configuration for {host} cannot be used: {error}.") from error
        known = found.known_hosts if isinstance(found.known_hosts, list) else []
        identities: Any = found.config.get("IdentityFile", ())
        return cls(
            target=target,
            ciphers={} if found.config.get("Ciphers") else {"encryption_algs": CIPHERS},
            names_kinds=bool(found.config.get("HostKeyAlgorithms")),
            host=found.host_key_alias or found.host,
            port=found.port,
            user=found.username,
            jumps=found.tunnel.split(",") if isinstance(found.tunnel, str) else (),
            known_hosts=[*(known or USER_FILES), *SYSTEM_FILES],
            identities=[str(file) for file in identities],
        )


def _config_files(options: StoreOptions) -> list[Path]:
    if options.ssh_config is not None:
        return [Path(os.path.expanduser(options.ssh_config))] if os.fspath(options.ssh_config) else []
    file = Path(os.path.expanduser("~/.ssh/config"))  # unlike Path.expanduser no error for who has no home
    return [file] if os.access(file, os.R_OK) else []


def _client(host_keys: HostKeys, key_files: KeyFiles, password: Password) -> asyncssh.SSHClient:
    """What asyncssh asks while it connects."""
    import asyncssh

    class Client(asyncssh.SSHClient):
        """Answers with what is known; each answer is given once."""

        def __init__(self) -> None:
            self._answers = {"password": password.value, "prompt": password.value}
            self._prompted = False

        def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            return host_keys.refuse(key)

        async def public_key_auth_requested(self) -> list[asyncssh.SSHKey] | None:
            return await asyncio.to_thread(key_files.unlocked)

        def password_auth_requested(self) -> str | None:
            return self._answer("password")

        def kbdint_auth_requested(self) -> str | None:
            password.missed = True
            if self._prompted or password.value is None:
                return None
            self._prompted = True
            return ""

        def kbdint_challenge_received(
            self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
        ) -> list[str] | None:
            if not prompts:
                return []
            answer = self._answer("prompt") if len(prompts) == 1 and not prompts[0][1] else None
            return None if answer is None else [answer]

        def _answer(self, kind: str) -> str | None:
            password.missed = True
            answer, self._answers[kind] = self._answers[kind], None
            return answer

    return Client()


def _unreachable(error: Exception, where: str) -> StoreUnavailableError:
    import asyncssh

    if isinstance(error, asyncssh.Error):
        said = error.reason or type(error).__name__
    else:
        said = getattr(error, "strerror", None) or str(error)
        if isinstance(error, ConnectionRefusedError):
            said = "the connection was refused"  # asyncio says this in other words on each system
    return StoreUnavailableError(
        f"Could not connect to {where}: {said}. See that the host and port are right and that the server runs."
    )
