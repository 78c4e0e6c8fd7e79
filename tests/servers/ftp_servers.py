"""Real FTP servers on loopback: vsftpd, ProFTPD, and pyftpdlib with faults.

Here: one context manager for each, giving a `Server`. Each keeps its configuration, keys and logs in `folder`, and
what is stored in `folder/files` (vsftpd: in a temporary folder of its own). `tls` is None, "1.2" or "1.3".

Rules: a server that cannot run here raises `ServerMissingError` with the reason. vsftpd and ProFTPD cannot be
installed beside each other as packages of Debian: scripts/test unpacks one of them where `find_program` looks, and
SNAPSTORE_VSFTPD and SNAPSTORE_PROFTPD name others.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftp_certificates import HOSTS, Certificates, certificates
from server import Server, ServerMissingError, find_program, free_port
from server_process import ServerProcess

from snapstore.stores.options import StoreOptions

USER = "keeper"
PASSWORD = "s3cret of-the keeper"
HOST = "127.0.0.1"


@dataclass(kw_only=True)
class FtpServer(Server):
    """A server, and what its tests need besides."""

    faults: Callable[..., None] = lambda **wished: None
    """Say which faults pyftpdlib is to have from now on; none without arguments."""
    commands: Callable[[], list[str]] = list
    """The verbs that pyftpdlib has received since this was last asked."""
    certificates: Certificates | None = None
    user: str = USER
    password: str = field(default=PASSWORD, repr=False)


@contextlib.contextmanager
def running_vsftpd(folder: Path, tls: str | None = "1.3", *, require_reuse: bool = True) -> Iterator[FtpServer]:
    """vsftpd, whose anonymous user may write and has a password: so neither PAM nor a user of the system is needed."""
    program = _program("vsftpd", "SNAPSTORE_VSFTPD")
    if os.geteuid() != 0:
        raise ServerMissingError("vsftpd needs root to change its root folder")
    user, port = _plain_user(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "passwords").write_text(f"{PASSWORD}\n")
    settings: dict[str, object] = {
        "listen": "YES", "listen_address": HOST, "listen_port": port, "background": "NO",
        "anonymous_enable": "YES", "local_enable": "NO", "write_enable": "YES",
        "secure_email_list_enable": "YES", "email_password_file": folder / "passwords",
        "ftp_username": user.pw_name, "nopriv_user": "nobody", "secure_chroot_dir": folder / "empty",
        "anon_upload_enable": "YES", "anon_mkdir_write_enable": "YES", "anon_other_write_enable": "YES",
        "anon_world_readable_only": "NO", "anon_umask": "022", "allow_writeable_chroot": "YES",
        "seccomp_sandbox": "NO", "isolate": "NO", "isolate_network": "NO", "xferlog_enable": "NO",
        "pasv_address": HOST, "max_per_ip": 50,
    }  # fmt: skip
    made = None
    if tls is not None:
        made = certificates(folder / "certificates")
        settings |= {
            "ssl_enable": "YES", "allow_anon_ssl": "YES", "force_anon_data_ssl": "YES", "force_anon_logins_ssl": "YES",
            "ssl_tlsv1": "YES", "rsa_cert_file": made.certificate, "rsa_private_key_file": made.key,
            "require_ssl_reuse": "YES" if require_reuse else "NO", "ssl_ciphers": "HIGH",
        }  # fmt: skip
    # This version has no setting for TLS 1.3; the library's configuration can leave it out.
    library = folder / "openssl.cnf"
    library.write_text(
        "openssl_conf = main\n[main]\nssl_conf = tls\n[tls]\nsystem_default = limits\n[limits]\n"
        f"MinProtocol = TLSv1.2\nMaxProtocol = TLSv{tls or '1.3'}\n"
    )
    configuration = folder / "vsftpd.conf"
    process = ServerProcess(
        [program, str(configuration)], port, folder / "vsftpd.log", variables={"OPENSSL_CONF": str(library)}
    )
    # It stores as a user without rights, who reaches no folder of tests, and whose root folder must not be writable.
    with tempfile.TemporaryDirectory(prefix="snapstore-vsftpd-") as root:
        files = _files(Path(root))
        for path in (Path(root), files):
            path.chmod(0o755)
        os.chown(files, user.pw_uid, -1)
        settings["anon_root"] = root
        configuration.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        with process.running():
            yield _server("vsftpd", process, files, made, user="anonymous", start="/files/")


@contextlib.contextmanager
def running_proftpd(folder: Path, tls: str | None = "1.3") -> Iterator[FtpServer]:
    """ProFTPD, which wants TLS sessions resumed unless told otherwise, with a user of its own."""
    program = _program("proftpd", "SNAPSTORE_PROFTPD")
    files, port = _files(folder), free_port()
    owner = pwd.getpwnam(_owner())
    hashed = subprocess.run(
        ["openssl", "passwd", "-5", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True
    ).stdout.strip()
    users = folder / "users"
    users.touch(mode=0o600)
    users.write_text(f"{USER}:{hashed}:{owner.pw_uid}:{owner.pw_gid}::{files}:/bin/sh\n")
    users.chmod(0o600)
    lines = [
        *("ModulePath /usr/lib/proftpd", "LoadModule mod_tls.c", "ServerType standalone", f"Port {port}"),
        *(f"DefaultAddress {HOST}", "UseIPv6 off", f"User {owner.pw_name}", "Group nogroup", "DefaultRoot ~"),
        *(f"AuthUserFile {users}", "AuthOrder mod_auth_file.c", "RequireValidShell off", "Umask 022", "RootLogin on"),
        *("AllowOverwrite on", "AllowRetrieveRestart on", "WtmpLog off", "UseReverseDNS off", "MaxInstances 60"),
        *(f"ScoreboardFile {folder}/scoreboard", f"PidFile {folder}/pid", f"SystemLog {folder}/proftpd.log"),
        *("TransferLog none", f"DelayTable {folder}/delay", "DelayEngine off", "TimeoutLinger 5"),
    ]
    made = None
    if tls is not None:
        made = certificates(folder / "certificates")
        versions = "TLSv1.2" if tls == "1.2" else "TLSv1.2 TLSv1.3"
        lines += [
            *("TLSEngine on", "TLSRequired on", f"TLSProtocol {versions}", f"TLSLog {folder}/tls.log"),
            *(f"TLSECCertificateFile {made.certificate}", f"TLSECCertificateKeyFile {made.key}"),
            *("TLSVerifyClient off", "TLSRenegotiate none"),
        ]
    configuration = folder / "proftpd.conf"
    configuration.write_text("\n".join(lines) + "\n")
    process = ServerProcess([program, "--nodaemon", "--config", str(configuration)], port, folder / "output.log")
    with process.running():
        yield _server("proftpd", process, files, made)


@contextlib.contextmanager
def running_pyftpdlib(
    folder: Path,
    tls: str | None = None,
    *,
    mlsd: bool = True,
    implicit: bool = False,
    missing: Sequence[str] = (),
    hosts: tuple[str, ...] = HOSTS,
    **more: Any,
) -> Iterator[FtpServer]:
    """pyftpdlib in a process of its own; `missing` names commands that it does not know."""
    try:
        import pyftpdlib  # noqa: F401
    except ImportError:
        raise ServerMissingError("the package pyftpdlib is not installed") from None
    files, port = _files(folder), free_port()
    made = certificates(folder / "certificates", hosts) if tls else None
    faults, log = folder / "faults.json", folder / "commands.log"
    log.touch()
    settings = {
        "folder": str(files), "host": HOST, "port": port, "user": USER, "password": PASSWORD, "tls": tls,
        "certificate": str(made.both) if made else None, "implicit": implicit, "faults": str(faults),
        "log": str(log), "missing": [*missing, *(() if mlsd else ("MLSD", "MLST"))], "avbl": False,
        "connections_per_ip": 0, **more,
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    program = Path(__file__).with_name("ftp_faulty.py")
    process = ServerProcess([sys.executable, str(program), str(folder / "settings.json")], port, folder / "output.log")
    with process.running():
        server = _server("pyftpdlib", process, files, made, query="?tls=implicit" if implicit else "")
        server.faults = lambda **wished: _write_faults(faults, wished)
        server.commands = lambda: _taken(log)
        yield server


def _write_faults(path: Path, wished: dict[str, Any]) -> None:
    # The number makes the same faults twice a change, which begins them anew.
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(wished | {"number": time.monotonic_ns()}))
    draft.replace(path)


def _taken(log: Path) -> list[str]:
    verbs = log.read_text().split()
    log.write_text("")
    return verbs


def _server(
    name: str,
    process: ServerProcess,
    files: Path,
    made: Certificates | None,
    *,
    user: str = USER,
    query: str = "",
    start: str = "/",
) -> FtpServer:
    scheme = "ftp" if made is None else "ftps"

    def address_at(port: int) -> Callable[[str], str]:
        return lambda store: f"{scheme}://{user}@{HOST}:{port}{start}{store}{query}"

    def server_at(port: int) -> FtpServer:
        return FtpServer(
            name=name,
            host=HOST,
            port=port,
            url=address_at(port),
            options=StoreOptions(password=PASSWORD, ca_file=made.authority if made else None),
            folder=files,
            stop=process.stop,
            start=process.start,
            behind=server_at,
            certificates=made,
            user=user,
        )

    return server_at(process.port)


def _program(name: str, variable: str) -> str:
    if not sys.platform.startswith("linux"):
        raise ServerMissingError(f"{name} is started on Linux only")
    return os.environ.get(variable) or find_program(name)


def _files(folder: Path) -> Path:
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    return files


def _owner() -> str:
    """The user that runs the tests, as whom the server stores: folders of tests are open to nobody else."""
    return pwd.getpwuid(os.geteuid()).pw_name


def _plain_user() -> pwd.struct_passwd:
    """A user without rights, with a home that exists."""
    for user in pwd.getpwall():
        if user.pw_uid and os.path.isdir(user.pw_dir) and os.stat(user.pw_dir).st_mode & 0o005 == 0o005:
            return user
    raise ServerMissingError("there is no user beside root that a server could run as")
