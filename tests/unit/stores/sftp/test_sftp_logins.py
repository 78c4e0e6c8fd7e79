"""Getting in: host keys, user keys, passwords, configuration, jump hosts; and what is said when it does not work."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from server import ServerMissingError, free_port
from ssh_servers import PASSWORD, PROFTPD_USER, SshServer, running_asyncssh_server, running_sshd

from snapstore.errors import InputError, StoreError, StorePermissionError, StoreUnavailableError
from snapstore.stores.address import RemoteAddress
from snapstore.stores.options import StoreOptions
from snapstore.stores.sftp.store import SftpStore

OpenStore = Callable[..., SftpStore]


def keygen(*arguments: str) -> str:
    return subprocess.run(["ssh-keygen", *arguments], capture_output=True, text=True, check=True).stdout


def config_without_keys(folder: Path, user: str) -> Path:
    """A configuration with which no key of anybody is tried."""
    config = folder / "config_without_keys"
    config.write_text(f"Host *\n  User {user}\n  IdentitiesOnly yes\n  IdentityFile {folder}/absent\n")
    return config


def test_an_unknown_host_is_refused_with_its_fingerprint(
    sshd: SshServer, open_store: OpenStore, known_hosts: Path
) -> None:
    fingerprint = keygen("-l", "-f", f"{sshd.host_key}.pub").split()[1]
    for existing in (False, True):
        if existing:
            known_hosts.write_text(
                f"# nobody\n\nnonsense\n[{sshd.host}]:1 {sshd.host_key.with_suffix('.pub').read_text()}"
            )
        with pytest.raises(StorePermissionError) as caught:
            open_store(sshd, known_hosts=known_hosts)
        assert (caught.value.code, caught.value.retryable) == ("host_key_unknown", False)
        said = str(caught.value)
        assert fingerprint in said
        assert "ssh-ed25519" in said
        assert f"ssh-keyscan -p {sshd.port} {sshd.host} >> {known_hosts}" in said


def test_what_the_message_says_accepts_the_host(sshd: SshServer, open_store: OpenStore, known_hosts: Path) -> None:
    with pytest.raises(StorePermissionError) as caught:
        open_store(sshd, known_hosts=known_hosts)
    command = str(caught.value).partition("accept it with: ")[2].partition("  (")[0]
    subprocess.run(command, shell=True, check=True, capture_output=True, timeout=30)
    open_store(sshd, known_hosts=known_hosts).put("packs/a/one", b"x")


def test_a_changed_host_key_is_refused_sternly(sshd: SshServer, open_store: OpenStore, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known hosts"  # with a blank, as in the home folders of many
    for kind in ("ed25519", "rsa"):  # one of the same kind, and one of a kind that the server has not
        keygen("-q", "-t", kind, "-N", "", "-f", f"{tmp_path}/{kind}")
        known_hosts.write_text(f"[{sshd.host}]:{sshd.port} {(tmp_path / f'{kind}.pub').read_text()}")
        with pytest.raises(StorePermissionError, match="CHANGED") as caught:
            open_store(sshd, known_hosts=known_hosts)
        assert (caught.value.code, caught.value.retryable) == ("host_key_changed", False)
        forgetting = shlex.split(str(caught.value).partition("ssh-keygen ")[2])
        assert forgetting == ["-f", str(known_hosts), "-R", f"[{sshd.host}]:{sshd.port}"]
        keygen(*forgetting)
        with pytest.raises(StorePermissionError, match="not known here"):
            open_store(sshd, known_hosts=known_hosts)


def test_a_revoked_host_key_is_refused(sshd: SshServer, open_store: OpenStore, known_hosts: Path) -> None:
    key = sshd.host_key.with_suffix(".pub").read_text()
    known_hosts.write_text(f"@revoked [{sshd.host}]:{sshd.port} {key}{sshd.host} {key}")
    with pytest.raises(StorePermissionError, match="revoked") as caught:
        open_store(sshd, known_hosts=known_hosts)
    assert caught.value.code == "host_key_changed"


def test_hashed_names_and_patterns_are_known(sshd: SshServer, open_store: OpenStore, known_hosts: Path) -> None:
    key = sshd.host_key.with_suffix(".pub").read_text()
    known_hosts.write_text(f"[{sshd.host}]:{sshd.port} {key}")
    keygen("-H", "-f", str(known_hosts))
    assert sshd.host not in known_hosts.read_text()
    open_store(sshd, known_hosts=known_hosts).close()
    known_hosts.write_text(f"[127.0.0.*]:{sshd.port} {key}")
    open_store(sshd, known_hosts=known_hosts).close()


def test_a_key_that_the_server_does_not_know(sshd: SshServer, open_store: OpenStore, tmp_path: Path) -> None:
    keygen("-q", "-t", "ed25519", "-N", "", "-f", f"{tmp_path}/absent")
    with pytest.raises(StorePermissionError, match="check the user") as caught:
        open_store(sshd, ssh_config=config_without_keys(tmp_path, sshd.user))
    assert (caught.value.code, caught.value.retryable) == ("login_refused", False)


@pytest.mark.parametrize("kind", ["asyncssh_server", "proftpd"])
def test_passwords(kind: str, request: pytest.FixtureRequest, open_store: OpenStore, tmp_path: Path) -> None:
    server: SshServer = request.getfixturevalue(kind)
    config = config_without_keys(tmp_path, server.user)
    asked: list[str] = []

    def ask(address: str) -> str:
        asked.append(address)
        return PASSWORD

    open_store(server, ssh_config=config, password=PASSWORD).close()
    store = open_store(server, ssh_config=config, password=ask)
    server.stop()
    server.start()
    assert list(store.list("")) == []
    store.put("packs/a/large", bytes(300_000))  # two further logins
    assert store.handshakes >= 3
    assert len(asked) == 1
    assert asked[0].endswith(f"@{server.host}:{server.port}")
    for wrong in ("wrong secret", lambda _: "wrong secret", lambda _: None):
        with pytest.raises(StorePermissionError) as caught:
            open_store(server, ssh_config=config, password=wrong)
        assert caught.value.code == "login_refused"


def test_a_password_typed_at_a_prompt(asyncssh_server: SshServer, open_store: OpenStore, tmp_path: Path) -> None:
    config = config_without_keys(tmp_path, "anyone")
    config.write_text(config.read_text() + "  PreferredAuthentications keyboard-interactive\n")
    open_store(asyncssh_server, ssh_config=config, password=PASSWORD).close()
    with pytest.raises(StorePermissionError):
        open_store(asyncssh_server, ssh_config=config, password="wrong")


def test_keys_of_the_agent(
    sshd: SshServer, open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket_path = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket_path)], stdout=subprocess.DEVNULL)
    try:
        while not socket_path.exists():
            time.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket_path))
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(StorePermissionError):
            open_store(sshd, ssh_config="")
        subprocess.run(["ssh-add", str(sshd.user_key)], check=True, capture_output=True)
        open_store(sshd, ssh_config="").put("packs/a/one", b"x")
    finally:
        agent.kill()
        agent.wait()


def test_known_hosts_of_the_configuration(sshd: SshServer, open_store: OpenStore, tmp_path: Path) -> None:
    config = tmp_path / "config"
    for files, known in ((sshd.known_hosts, True), ("/dev/null", False), ("none", False)):
        config.write_text(
            f"Host *\n  IdentityFile {sshd.user_key}\n  UserKnownHostsFile {files}\n  StrictHostKeyChecking no\n"
        )
        if known:
            open_store(sshd, ssh_config=config, known_hosts=None).close()
            continue
        with pytest.raises(StorePermissionError) as caught:
            open_store(sshd, ssh_config=config, known_hosts=None)
        assert caught.value.code == "host_key_unknown"


def test_no_password_is_asked_for_where_a_key_does(sshd: SshServer, open_store: OpenStore) -> None:
    def ask(address: str) -> str:
        raise AssertionError(f"asked for {address}")

    open_store(sshd, password=ask).put("packs/a/one", b"x")


def test_a_locked_key_is_opened_with_the_password(
    sshd: SshServer, open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    locked = tmp_path / "locked"
    locked.write_bytes(sshd.user_key.read_bytes())
    locked.chmod(0o600)
    keygen("-p", "-q", "-N", PASSWORD, "-P", "", "-m", "PEM", "-f", str(locked))
    config = tmp_path / "config"
    config.write_text(f"Host *\n  IdentityFile {locked}\n")
    asked: list[str] = []
    open_store(sshd, ssh_config=config, password=lambda address: asked.append(address) or PASSWORD).close()
    assert len(asked) == 1
    for wrong in (None, "another secret"):
        with pytest.raises(StorePermissionError, match=f"{locked} is locked") as caught:
            open_store(sshd, ssh_config=config, password=wrong)
        assert caught.value.code == "login_refused"


def test_passwords_show_nowhere(asyncssh_server: SshServer, tmp_path: Path) -> None:
    config = config_without_keys(tmp_path, "anyone")
    url = asyncssh_server.url("secret").replace("anyone@", "anyone:very-secret-1@")
    options = replace(asyncssh_server.options, ssh_config=config, password="very-secret-2")
    address = RemoteAddress.parse(url)
    with pytest.raises(StorePermissionError) as caught:
        SftpStore(address, options)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(address) + repr(options)
    assert "very-secret" not in shown
    good = RemoteAddress.parse(url.replace("very-secret-1", "correct%20horse%20%2F%20battery%20%40%20staple"))
    with SftpStore(good, options, create=True) as store:
        assert "horse" not in store.url
        assert "horse" not in repr(store)


def test_aliases_and_jump_hosts_of_the_configuration(sshd: SshServer, open_store: OpenStore, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Host *\n  IdentityFile {sshd.user_key}\n  IdentitiesOnly yes\n"
        f"Host gate shop proxied\n  HostName {sshd.host}\n  Port {sshd.port}\n  User {sshd.user}\n"
        "Host shop\n  ProxyJump gate\n"
        f"Host proxied\n  ProxyCommand {sys.executable} -c '{RELAY}' %h %p\n"
    )
    path = sshd.url("").partition(f":{sshd.port}")[2]
    for alias in ("gate", "shop", "proxied"):
        store = open_store(sshd, url=f"sftp://{alias}{path}{alias}", ssh_config=config)
        store.put("packs/a/one", bytes(300_000))
        assert store.get("packs/a/one") == bytes(300_000)
        assert store.url == f"sftp://{alias}{path}{alias}"
        store.close()


RELAY = (
    "import os,socket,sys,threading as t;s=socket.create_connection(sys.argv[1:]);"
    't.Thread(target=lambda:[s.sendall(d) for d in iter(lambda:os.read(0,65536),b"")],daemon=True).start();'
    '[os.write(1,d) for d in iter(lambda:s.recv(65536),b"")]'
)


def test_an_unknown_jump_host_is_refused_too(sshd: SshServer, open_store: OpenStore, tmp_path: Path) -> None:
    try:
        with running_asyncssh_server(tmp_path) as gate:
            config = tmp_path / "config"
            config.write_text(
                f"Host *\n  IdentityFile {sshd.user_key}\n  IdentitiesOnly yes\n  User {sshd.user}\n"
                f"Host gate\n  HostName {gate.host}\n  Port {gate.port}\n"
                f"Host shop\n  HostName {sshd.host}\n  Port {sshd.port}\n  ProxyJump gate\n"
            )
            with pytest.raises(StorePermissionError, match=f":{gate.port} is not known") as caught:
                open_store(sshd, url="sftp://shop/store", ssh_config=config)
            assert caught.value.code == "host_key_unknown"
    except ServerMissingError as reason:
        pytest.skip(str(reason))


def test_no_configuration_at_all(sshd: SshServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(StorePermissionError) as caught:
        open_store(sshd, ssh_config="")
    assert caught.value.code == "login_refused"
    with pytest.raises(StorePermissionError) as caught:
        open_store(sshd, ssh_config="", known_hosts=None)
    assert caught.value.code == "host_key_unknown"


@pytest.mark.skipif(os.name == "nt", reason="users of POSIX")
def test_a_user_whom_the_system_does_not_know(
    sshd: SshServer, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    def unknown(number: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("USER", sshd.user)
    with pytest.raises(InputError, match="set HOME"):
        open_store(sshd, ssh_config=None)
    monkeypatch.setenv("HOME", str(sshd.home))
    open_store(sshd).put("packs/a/one", b"x")


def test_a_configuration_that_cannot_be_read(sshd: SshServer, open_store: OpenStore, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Port no-number\n")
    with pytest.raises(InputError, match="configuration"):
        open_store(sshd, ssh_config=config)


@pytest.mark.parametrize("sftp", ["", "/bin/false", "/bin/echo Welcome to this server"])
def test_a_server_without_sftp(tmp_path: Path, open_store: OpenStore, sftp: str) -> None:
    try:
        with running_sshd(tmp_path, sftp=sftp) as server, pytest.raises(StoreError, match="offers no SFTP") as caught:
            open_store(server)
        assert (caught.value.code, caught.value.retryable) == ("sftp_missing", False)
    except ServerMissingError as reason:
        pytest.skip(str(reason))


def test_nobody_listens(open_store: OpenStore) -> None:
    address = RemoteAddress.parse(f"sftp://me@127.0.0.1:{free_port()}/store")
    with pytest.raises(StoreUnavailableError, match="refused") as caught:
        SftpStore(address, StoreOptions(ssh_config=""))
    assert caught.value.retryable is True
    with pytest.raises(StoreUnavailableError, match=r"no\.such\.host\.invalid"):
        SftpStore(RemoteAddress.parse("sftp://me@no.such.host.invalid/store"), StoreOptions(ssh_config=""))


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = RemoteAddress.parse(f"sftp://me@127.0.0.1:{listener.getsockname()[1]}/store")
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError) as caught:
            SftpStore(address, StoreOptions(ssh_config="", connect_timeout_seconds=0.5))
        assert time.monotonic() - begun < 10
        assert (caught.value.code, caught.value.retryable) == ("store_timeout", True)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(InputError, match=r'pip install "snapstore\[sftp\]"') as caught:
        SftpStore(RemoteAddress.parse("sftp://me@127.0.0.1/store"), StoreOptions())
    assert caught.value.code == "extra_missing"


def test_an_address_with_a_query_is_refused() -> None:
    with pytest.raises(InputError, match="%3F") as caught:
        SftpStore(RemoteAddress.parse("sftp://me@127.0.0.1/store?connections=7"), StoreOptions())
    assert caught.value.code == "invalid_url"


def test_fast_ciphers_come_first_unless_the_user_names_some(
    sshd: SshServer, open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[asyncssh.SSHClientConnection] = []
    connect = asyncssh.connect

    async def watched(*args: object, **kwargs: object) -> asyncssh.SSHClientConnection:
        seen.append(await connect(*args, **kwargs))
        return seen[-1]

    monkeypatch.setattr(asyncssh, "connect", watched)
    open_store(sshd)
    config = tmp_path / "config"
    config.write_text(f"Host *\n  IdentityFile {sshd.user_key}\n  Ciphers aes256-ctr\n")
    open_store(sshd, ssh_config=config)
    ciphers = [connection.get_extra_info("send_cipher") for connection in seen]
    assert ciphers == ["aes128-gcm@openssh.com", "aes256-ctr"]
    assert [connection.get_extra_info("send_compression") for connection in seen] == ["none", "none"]


def test_the_user_may_come_from_the_configuration(proftpd: SshServer, open_store: OpenStore) -> None:
    store = open_store(proftpd, url=proftpd.url("fromconfig").replace(f"{PROFTPD_USER}@", ""))
    store.put("packs/a/one", b"x")
    assert PROFTPD_USER not in store.url
