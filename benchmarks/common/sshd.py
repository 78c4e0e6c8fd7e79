"""An SSH server for the benchmarks, on loopback or behind a link that takes its time, and both programs' way to it.

Here: `running_sshd`, `delayed_link`, and the tools as they are called with a repository there. Not here: the question
that uses them (benchmarks/remote).

Rules: the server is Debian's, run by whoever runs the benchmark, with keys, configuration and log in a folder of its
own; no file of the machine is read or written for it. Both programs go the same way: snapstore finds the key and the
host's key where OpenSSH looks (below HOME), restic is told to run `ssh -F` with a configuration that says the same.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .datasets import UnavailableError
from .measure import Command
from .tools import Restic, Snapstore, Tool

NETWORK = "192.0.2"  # reserved for examples: no real machine has such an address
START_SECONDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class SshServer:
    """A running server, as its clients see it."""

    name: str
    home: Path
    """The home folder whose .ssh leads there."""
    host: str
    port: int

    @property
    def config(self) -> Path:
        """A configuration for ssh that calls the server `bench`."""
        return self.home / ".ssh" / f"config-{self.port}"

    def url(self, folder: Path) -> str:
        """The address of an absolute path on the server."""
        return f"sftp://{getpass.getuser()}@{self.host}:{self.port}{folder}"

    def at_port(self, port: int, name: str) -> SshServer:
        """The same server seen through a proxy on loopback."""
        seen = replace(self, name=name, host="127.0.0.1", port=port)
        seen.introduce()
        return seen

    def introduce(self) -> None:
        """Write down for clients where the server is and what its key is."""
        folder = self.home / ".ssh"
        host_key = (self.home.parent / "host_key.pub").read_text(encoding="ascii")
        with (folder / "known_hosts").open("a", encoding="ascii") as known:
            known.write(f"[{self.host}]:{self.port} {host_key}")
        settings = {
            "HostName": self.host,
            "Port": self.port,
            "User": getpass.getuser(),
            "IdentityFile": folder / "id_ed25519",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": folder / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "BatchMode": "yes",
        }
        lines = ["Host bench", *(f"  {name} {value}" for name, value in settings.items())]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextmanager
def running_sshd(folder: Path, *, namespace: str | None = None, host: str = "127.0.0.1") -> Iterator[SshServer]:
    """Run a server that lets this user in. Raises UnavailableError where there is none."""
    programs = {name: _program(name) for name in ("sshd", "ssh", "ssh-keygen")}
    server_program = next((path for path in map(Path, _SFTP_SERVERS) if path.exists()), None)
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    for key in (folder / "host_key", home / ".ssh" / "id_ed25519"):
        subprocess.run([programs["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", key], check=True)
    shutil.copyfile(home / ".ssh" / "id_ed25519.pub", folder / "authorized_keys")
    port = _free_port()
    settings = (
        f"ListenAddress {host}:{port}",
        f"HostKey {folder / 'host_key'}",
        f"AuthorizedKeysFile {folder / 'authorized_keys'}",
        f"PidFile {folder / 'sshd.pid'}",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin yes",
        "StrictModes no",  # the folder may lie below /tmp
        "UsePAM no",
        "UseDNS no",
        f"Subsystem sftp {server_program or 'internal-sftp'}",
    )
    (folder / "sshd_config").write_text("\n".join(settings) + "\n", encoding="utf-8")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # a server run by root demands it
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    log = folder / "sshd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*inside, programs["sshd"], "-D", "-e", "-f", str(folder / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_for(host, port, process, log)
        server = SshServer(name="delayed" if namespace else "loopback", home=home, host=host, port=port)
        server.introduce()
        yield server
    finally:
        process.terminate()
        process.wait()


@contextmanager
def delayed_link(delay_ms: int) -> Iterator[tuple[str, str]]:
    """A network namespace behind a link that delays each way by `delay_ms`: yields its name and its address.

    Raises UnavailableError where that is not allowed, or the kernel cannot delay.
    """
    name, near, far = f"snapbench{os.getpid()}", f"sba{os.getpid()}"[:15], f"sbb{os.getpid()}"[:15]
    inside = ("ip", "netns", "exec", name)
    delay = ("root", "netem", "delay", f"{delay_ms}ms", "limit", "100000")
    steps: tuple[Sequence[str], ...] = (
        ("ip", "netns", "add", name),
        ("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", name),
        ("ip", "addr", "add", f"{NETWORK}.1/30", "dev", near),
        ("ip", "link", "set", near, "up"),
        (*inside, "ip", "addr", "add", f"{NETWORK}.2/30", "dev", far),
        (*inside, "ip", "link", "set", far, "up"),
        ("tc", "qdisc", "add", "dev", near, *delay),
        (*inside, "tc", "qdisc", "add", "dev", far, *delay),
    )
    try:
        for step in steps:
            _network(*step)
        yield name, f"{NETWORK}.2"
    finally:
        for clean_up in (("ip", "link", "del", near), ("ip", "netns", "del", name)):
            subprocess.run(clean_up, capture_output=True, check=False)


def over_ssh(tool: Tool, server: SshServer) -> Tool | None:
    """The tool with its repositories on the server; None for one that has no SFTP."""
    if isinstance(tool, Snapstore):
        return SnapstoreOverSsh(checkout=tool.checkout, server=server)
    return ResticOverSsh(program=tool.program, server=server) if isinstance(tool, Restic) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapstoreOverSsh(Snapstore):
    """snapstore, with its repository at an sftp: address."""

    server: SshServer

    @property
    def name(self) -> str:
        return f"snapstore-{self.server.name}"

    def _command(self, home: Path, *arguments: str, secret: str | None = None) -> Command:
        command = Snapstore._command(self, home, *arguments, secret=secret)
        remote = {"SNAPSTORE_REPO": self.server.url(home / "repository"), "HOME": str(self.server.home)}
        return replace(command, environment=dict(command.environment) | remote)

    def python(self, home: Path, code: str, *arguments: str) -> Command:
        """A few lines of Python with the package at hand."""
        command = self._command(home)
        return replace(command, arguments=(sys.executable, "-c", code, *arguments))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResticOverSsh(Restic):
    """restic, which runs ssh."""

    server: SshServer

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"restic-{self.server.name}"

    def _command(self, home: Path, *arguments: str, folder: Path | None = None) -> Command:
        ssh = f"sftp.command=ssh -F {self.server.config} bench -s sftp"
        command = Restic._command(self, home, "-o", ssh, *arguments, folder=folder)
        remote = {"RESTIC_REPOSITORY": f"sftp:bench:{home / 'repository'}"}
        return replace(command, environment=dict(command.environment) | remote)


_SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server")


def _program(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))
    if found is None:
        raise UnavailableError(f"{name} is not installed")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(host: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection((host, port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise UnavailableError(f"sshd does not start: {log.read_text(errors='replace').strip()[-300:]}")


def _network(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UnavailableError(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it failed"]
        raise UnavailableError(f"{' '.join(command)}: {said[0]}")
