"""SFTP servers on loopback, for tests.

    running_sshd(folder)               OpenSSH; with chroot=True internal-sftp in a changed root, which takes root
    running_proftpd_sftp(folder)       ProFTPD's mod_sftp
    running_asyncssh_server(folder)    asyncssh's own server, in a process of its own

Each lets one user in by key, with the `options` that it gives, and by `PASSWORD` where the program can do that by
itself (not OpenSSH, which asks the system).

Rules: everything lies in `folder`: keys, configuration, known_hosts, data, logs; nothing of the machine's or the
user's own is read or written. `stop` kills the server with all its sessions, as a power cut does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if __name__ == "__main__":  # run as a script, from anywhere
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from server import Server, ServerMissingError, find_program, free_port
from server_process import ServerProcess

from snapstore.stores.options import StoreOptions

HOST = "127.0.0.1"
PASSWORD = "correct horse / battery @ staple"
PROFTPD_USER = "tester"


@dataclass(kw_only=True)
class SshServer(Server):
    """An SFTP server, with the files that tests of logins need."""

    home: Path = Path()
    """The folder of its keys, configuration and logs."""
    user: str = ""

    @property
    def known_hosts(self) -> Path:
        return self.home / "known_hosts"

    @property
    def user_key(self) -> Path:
        return self.home / "user_key"

    @property
    def host_key(self) -> Path:
        return self.home / "host_key"


@contextlib.contextmanager
def running_sshd(
    folder: Path, *, chroot: bool = False, sftp: str = "internal-sftp", settings: str = ""
) -> Iterator[SshServer]:
    """OpenSSH. `sftp` is its command for SFTP, "" for none; `settings` are further lines for its configuration."""
    program = find_program("sshd")
    home, data = make_home(folder)
    port = free_port()
    lines = [
        f"ListenAddress {HOST}:{port}",
        f"HostKey {home}/host_key",
        f"AuthorizedKeysFile {home}/user_key.pub",
        f"PidFile {home}/pid",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "PermitRootLogin yes",
        "MaxStartups 100",
        f"Subsystem sftp {sftp}" if sftp else "",
        *([f"ChrootDirectory {CHROOT}"] if chroot else []),
        settings,
    ]
    (home / "sshd_config").write_text("\n".join(lines) + "\n")
    command = [program, "-D", "-e", "-f", f"{home}/sshd_config"]
    if os.geteuid() == 0:
        with contextlib.suppress(FileExistsError):
            os.mkdir("/run/sshd")
    elif chroot:
        raise ServerMissingError("changing the root takes root")
    if chroot:
        command = in_own_mounts(command, folder / "root", data)
    server = SshServer(
        name="sshd in a changed root" if chroot else "sshd",
        host=HOST,
        port=port,
        url=addresses(getpass.getuser(), port, "/data" if chroot else str(data)),
        folder=data,
        home=home,
        user=getpass.getuser(),
    )
    with running(
        server,
        ServerProcess(command, port, home / "log"),
        addresses_of=lambda at: replace(
            server, port=at, url=addresses(server.user, at, "/data" if chroot else str(data))
        ),
    ):
        yield server


CHROOT = "/mnt"
"""sshd wants every folder above the new root to be writable for root alone, which those for temporary files are not:
so the new root is mounted here, for the server alone."""


def in_own_mounts(command: Sequence[str], root: Path, data: Path) -> list[str]:
    """The command, run where `root` is mounted at CHROOT with the data in it; nobody else sees those mounts."""
    unshare = find_program("unshare")
    (root / "data").mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    script = f'mount --bind "$0" {CHROOT} && mount --bind "$1" {CHROOT}/data && shift && exec "$@"'
    whole = [unshare, "--mount", "--propagation", "private", "sh", "-c", script, str(root), str(data), *command]
    trial = [*whole[:6], f'mount --bind "$0" {CHROOT}', str(root)]
    if subprocess.run(trial, capture_output=True, check=False).returncode != 0:
        raise ServerMissingError("mounting is not allowed here")
    return whole


@contextlib.contextmanager
def running_proftpd_sftp(folder: Path) -> Iterator[SshServer]:
    """ProFTPD with mod_sftp."""
    program = Path(find_program("proftpd"))
    modules = next(
        (place for above in program.resolve().parents if (place := above / "lib/proftpd").is_dir()), Path("/none")
    )
    if not (modules / "mod_sftp.so").exists():
        raise ServerMissingError("not installed: proftpd's mod_sftp")
    home, data = make_home(folder)
    port = free_port()
    (home / "keys").mkdir()
    exported = run("ssh-keygen", "-e", "-f", f"{home}/user_key.pub")
    (home / "keys" / PROFTPD_USER).write_text(exported)
    password = run("openssl", "passwd", "-6", PASSWORD).strip()
    users = home / "users"
    users.write_text(f"{PROFTPD_USER}:{password}:{os.getuid()}:{os.getgid()}::{data}:/bin/sh\n")
    users.chmod(0o600)
    (home / "proftpd.conf").write_text(
        f"""
        ModulePath {modules}
        LoadModule mod_sftp.c
        ServerType standalone
        ServerName tests
        DefaultAddress {HOST}
        Port {port}
        UseReverseDNS off
        {f"User {getpass.getuser()}" if os.geteuid() == 0 else ""}
        RootLogin on
        RequireValidShell off
        AuthOrder mod_auth_file.c
        AuthUserFile {users}
        PidFile {home}/pid
        ScoreboardFile {home}/scoreboard
        DelayEngine off
        MaxInstances 100
        WtmpLog off
        SystemLog {home}/log
        SFTPEngine on
        SFTPLog {home}/sftp_log
        SFTPHostKey {home}/host_key
        SFTPAuthMethods publickey password
        SFTPAuthorizedUserKeys file:{home}/keys/%u
        SFTPMaxChannels 100
        <Directory />
          AllowOverwrite on
        </Directory>
        """
    )
    server = SshServer(
        name="proftpd",
        host=HOST,
        port=port,
        url=addresses(PROFTPD_USER, port, str(data)),
        folder=data,
        home=home,
        user=PROFTPD_USER,
    )
    process = ServerProcess([str(program), "-n", "-c", f"{home}/proftpd.conf"], port, home / "log")
    with running(
        server, process, addresses_of=lambda at: replace(server, port=at, url=addresses(PROFTPD_USER, at, str(data)))
    ):
        yield server


@contextlib.contextmanager
def running_asyncssh_server(folder: Path) -> Iterator[SshServer]:
    """asyncssh's server, whose root is the data folder."""
    try:
        import asyncssh  # noqa: F401 - its absence is to be known here, not in the other process
    except ImportError as error:
        raise ServerMissingError("not installed: asyncssh") from error
    home, data = make_home(folder)
    port = free_port()
    command = [sys.executable, __file__, "--port", str(port), "--home", str(home), "--data", str(data)]
    server = SshServer(
        name="asyncssh", host=HOST, port=port, url=addresses("anyone", port, ""), folder=data, home=home, user="anyone"
    )
    process = ServerProcess(command, port, home / "log")
    with running(server, process, addresses_of=lambda at: replace(server, port=at, url=addresses("anyone", at, ""))):
        yield server


@contextlib.contextmanager
def running(server: SshServer, process: ServerProcess, *, addresses_of: Callable[[int], SshServer]) -> Iterator[None]:
    """Have it run, with everything of `server` set that depends on it."""

    def behind(port: int) -> Server:
        add_known_host(server.home, port)
        return addresses_of(port)

    add_known_host(server.home, server.port)
    config = server.home / "ssh_config"
    config.write_text(f"Host *\n  IdentityFile {server.user_key}\n  IdentitiesOnly yes\n  User {server.user}\n")
    server.options = StoreOptions(known_hosts=server.known_hosts, ssh_config=config)
    server.stop, server.start, server.behind = process.stop, process.start, behind
    process.start()
    try:
        yield
    finally:
        process.stop()


def make_home(folder: Path) -> tuple[Path, Path]:
    """A folder with keys of a server and of its user, and an empty one for the data."""
    home, data = folder / "server", folder / "data"
    home.mkdir(parents=True)
    data.mkdir()
    for name in ("host_key", "user_key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", f"{home}/{name}")
    return home, data


def add_known_host(home: Path, port: int) -> None:
    """Have the server known under one more port."""
    key = (home / "host_key.pub").read_text()
    with (home / "known_hosts").open("a") as file:
        file.write(f"[{HOST}]:{port} {key}")


def addresses(user: str, port: int, path: str) -> Callable[[str], str]:
    """Give each name the address of a folder of its own."""
    return lambda name: f"sftp://{user}@{HOST}:{port}{path}/{name}"


def run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        raise ServerMissingError(f"not installed: {command[0]}")
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


async def serve(port: int, home: Path, data: Path) -> None:
    import asyncssh

    class Keeper(asyncssh.SSHServer):
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return password == PASSWORD

    await asyncssh.listen(
        HOST,
        port,
        server_factory=Keeper,
        server_host_keys=[str(home / "host_key")],
        authorized_client_keys=str(home / "user_key.pub"),
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(data).encode()),
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    asyncio.run(serve(**vars(parser.parse_args())))
