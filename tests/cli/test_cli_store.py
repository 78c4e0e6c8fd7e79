"""Remote addresses on the command line: where passwords are found, that none gets out, and the commands of `store`."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from ftp_servers import PASSWORD, FtpServer, running_pyftpdlib
from server import ServerMissingError, free_port

from snapstore.cli.store_options import StoreAccess, typed_password
from snapstore.errors import InputError

from .conftest import TIMEOUT_SECONDS, Result, clean_environment

Typing = Callable[[Sequence[str], Sequence[tuple[str, str]]], tuple[int, str]]
SECRET = "opal and onyx"
KEYRING = """
import json, pathlib
from keyring.backend import KeyringBackend

FILE = pathlib.Path(__file__).with_name("kept.json")

class Kept(KeyringBackend):
    priority = 1
    def _all(self):
        return json.loads(FILE.read_text()) if FILE.exists() else {}
    def get_password(self, service, user):
        return self._all().get(service + " " + user)
    def set_password(self, service, user, password):
        FILE.write_text(json.dumps(self._all() | {service + " " + user: password}))
    def delete_password(self, service, user):
        FILE.write_text(json.dumps({key: kept for key, kept in self._all().items() if key != service + " " + user}))

class Broken(KeyringBackend):
    priority = 1
    def get_password(self, service, user):
        raise RuntimeError("no session bus")
    def set_password(self, service, user, password):
        raise RuntimeError("cannot keep " + password)
    def delete_password(self, service, user):
        raise RuntimeError("no session bus")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpServer]:
    try:
        with running_pyftpdlib(tmp_path_factory.mktemp("ftp")) as server:
            yield server
    except ServerMissingError as error:
        pytest.skip(str(error))


class Computer:
    """A folder to work in, and the command with an environment of its own."""

    def __init__(self, folder: Path, server: FtpServer) -> None:
        self.folder = folder
        self.server = server
        self.url = server.url(folder.name.replace("_", ""))
        self.files = folder / "files"
        self.files.mkdir()
        (self.files / "stock.txt").write_text("one ring\n")
        (folder / "rings.py").write_text(KEYRING)
        self.environment = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "HOME": str(folder)}

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "snapstore", "--state-dir", str(self.folder / "state"), *map(str, arguments)]

    def variables(self, **more: str) -> dict[str, str]:
        environment = clean_environment(**self.environment, **more)
        environment["PYTHONPATH"] += os.pathsep + str(self.folder)
        return environment

    def run(self, *arguments: str | Path, stdin: bytes = b"", **variables: str) -> Result:
        done = subprocess.run(
            self.command(*arguments),
            env=self.variables(**variables),
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            start_new_session=True,
        )
        return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def computer(tmp_path: Path, server: FtpServer) -> Computer:
    return Computer(tmp_path, server)


def quoted(url: str, password: str) -> str:
    from urllib.parse import quote

    return url.replace("@", f":{quote(password, safe='')}@", 1)


def test_a_password_from_each_source_and_never_printed(computer: Computer) -> None:
    url, typed = computer.url, quoted(computer.url, PASSWORD)
    command = shlex.join([sys.executable, "-c", f"print({PASSWORD!r})"])
    runs = [
        computer.run("-vv", "-r", url, "init", "--unprotected", SNAPSTORE_PASSWORD=PASSWORD).done(),
        computer.run("-vv", "-r", url, "dossier", "add", "shop", "--password-command", command).done(),
        computer.run("-vv", "-r", typed, "snapshot", computer.files).done(),
        computer.run("-vv", "list", SNAPSTORE_REPO=typed).done(),
        computer.run("-vv", "--json", "list", SNAPSTORE_REPO=url, SNAPSTORE_PASSWORD_COMMAND=command).done(),
    ]
    assert "stock.txt" in computer.run("-r", typed, "ls", "latest").done().out
    refused = [
        computer.run("-vv", "-r", url, "list", SNAPSTORE_PASSWORD="not this one"),
        computer.run("-vv", "-r", quoted(url, "not this one"), "list"),
        computer.run("-vv", "--json", "-r", quoted(url, "not this one"), "init"),
        computer.run("-vv", "-r", url, "list"),
        computer.run("-vv", "-r", url.replace("@", ":not/this/one@"), "list"),
        computer.run("-vv", "-r", url.replace("@", ":not this one@", 1) + "/absent", "list"),
        computer.run("-vv", quoted(url, "not this one")),
    ]
    assert all(result.code != 0 for result in refused)
    for result in runs + refused:
        said = result.out + result.err
        assert not [
            hidden for hidden in (PASSWORD, "s3cret", "not this one", "not%20this", "not/this") if hidden in said
        ]
    for path in (computer.folder / "state").rglob("*"):
        if path.is_file():
            assert b"s3cret" not in path.read_bytes()


def test_order_of_the_sources(computer: Computer) -> None:
    url = computer.url
    right = shlex.join([sys.executable, "-c", f"print({PASSWORD!r})"])
    wrong = shlex.join([sys.executable, "-c", "print('wrong')"])
    computer.run("-r", url, "init", "--unprotected", SNAPSTORE_PASSWORD=PASSWORD).done()
    good = [
        computer.run(
            "-r", quoted(url, "wrong"), "--password-command", right, "dossier", "list", SNAPSTORE_PASSWORD="wrong"
        ),
        computer.run("-r", quoted(url, "wrong"), "dossier", "list", SNAPSTORE_PASSWORD=PASSWORD),
    ]
    bad = [
        computer.run("-r", url, "--password-command", wrong, "dossier", "list", SNAPSTORE_PASSWORD=PASSWORD),
        computer.run("-r", quoted(url, PASSWORD), "dossier", "list", SNAPSTORE_PASSWORD="wrong"),
    ]
    assert [result.code for result in good] == [0, 0]
    assert [result.code for result in bad] == [1, 1]


def test_no_child_gets_the_password(computer: Computer) -> None:
    script = computer.folder / "vault.py"
    script.write_text(
        "import json, os, sys\n"
        f"json.dump(dict(os.environ), open({str(computer.folder / 'seen')!r}, 'w'))\n"
        f"print({SECRET!r})\n"
    )
    typed = quoted(computer.url, PASSWORD)
    computer.run("init", SNAPSTORE_REPO=typed, SNAPSTORE_PASSWORD=PASSWORD).done()
    command = shlex.join([sys.executable, str(script)])
    computer.run(
        "dossier", "add", "shop", "--secret-command", command, SNAPSTORE_REPO=typed, SNAPSTORE_PASSWORD=PASSWORD
    ).done()
    seen = json.loads((computer.folder / "seen").read_text())
    assert "SNAPSTORE_PASSWORD" not in seen
    assert "SNAPSTORE_REPO" not in seen
    assert "s3cret" not in json.dumps(seen)


def test_the_notice_of_a_password_in_clear_comes_once(computer: Computer) -> None:
    init = computer.run("-r", computer.url, "init", "--unprotected", SNAPSTORE_PASSWORD=PASSWORD).done()
    assert init.err.count("in clear") == 1
    listed = computer.run("--json", "-r", computer.url, "dossier", "list", SNAPSTORE_PASSWORD=PASSWORD).done()
    assert "in clear" in json.loads(listed.err)["warning"]["message"]


@pytest.mark.skipif(os.name != "posix", reason="terminals of this kind are POSIX")
def test_a_person_is_asked_only_when_nobody_else_knows(
    computer: Computer, type_at_terminal: Typing, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in computer.variables().items():
        monkeypatch.setenv(name, text)
    code, seen = type_at_terminal(
        computer.command("-r", computer.url, "init", "--unprotected"), [("Password of ftp://keeper@", PASSWORD)]
    )
    assert code == 0, seen
    assert "s3cret" not in seen
    code, seen = type_at_terminal(computer.command("-r", quoted(computer.url, PASSWORD), "dossier", "list"), [])
    assert code == 0, seen
    code, seen = type_at_terminal(computer.command("-r", computer.url, "dossier", "list"), [("Password of", "wrong")])
    assert code == 1, seen


def test_the_keyring_keeps_a_password(computer: Computer) -> None:
    pytest.importorskip("keyring")
    computer.environment["PYTHON_KEYRING_BACKEND"] = "rings.Kept"
    url = computer.url
    assert computer.run("-r", url, "init", "--unprotected").code == 1
    login = computer.run("store", "login", url, SNAPSTORE_PASSWORD=PASSWORD).done()
    assert "keyring has the password" in login.out
    server = url[: url.index("/", 6)]
    assert json.loads((computer.folder / "kept.json").read_text()) == {f"snapstore {server}": PASSWORD}
    computer.run("-r", url, "init", "--unprotected").done()
    assert computer.run("--json", "store", "logout", url).done().json() == {"server": server}
    assert computer.run("store", "logout", url).code == 2
    assert computer.run("-r", url, "dossier", "list").code == 1
    typed = computer.run("-vv", "store", "login", quoted(url, PASSWORD)).done()
    computer.run("-r", url, "dossier", "list").done()
    assert "s3cret" not in login.out + login.err + typed.out + typed.err


def test_a_keyring_that_does_not_work_is_as_none(computer: Computer) -> None:
    pytest.importorskip("keyring")
    computer.environment["PYTHON_KEYRING_BACKEND"] = "rings.Broken"
    computer.run("-r", quoted(computer.url, PASSWORD), "init", "--unprotected").done()
    result = computer.run("-r", computer.url, "dossier", "list")
    assert result.code == 1
    assert "mistake" not in result.err
    kept = computer.run("-vv", "store", "login", computer.url, SNAPSTORE_PASSWORD=PASSWORD)
    assert kept.code == 1
    assert "did not keep" in kept.err
    assert "s3cret" not in kept.err
    assert computer.run("store", "login", computer.url).code == 12  # nobody to ask
    assert computer.run("store", "login", "/srv/backup", SNAPSTORE_PASSWORD=PASSWORD).code == 2


def test_limits_and_reading_only(computer: Computer) -> None:
    typed = quoted(computer.url, PASSWORD)
    computer.run("-r", typed, "init", "--unprotected").done()
    computer.run("-r", typed, "dossier", "add", "shop").done()
    limits = ("--limit-upload", "4096", "--limit-download", "4096", "--connections", "2")
    computer.run("-r", typed, *limits, "snapshot", computer.files).done()
    refused = computer.run("-r", typed, "snapshot", computer.files, "--read-only", "--label", "again")
    assert refused.code == 1
    assert "reading only" in refused.err
    shown = computer.run("-r", typed, "--read-only", "--json", "list").done().json()
    assert len(shown["snapshots"]) == 1
    restored = computer.folder / "restored"
    computer.run("-r", typed, "--read-only", "restore", "latest", "--to", restored, *limits).done()
    assert (restored / "stock.txt").read_text() == "one ring\n"
    for wrong in (("--limit-upload", "-1"), ("--connections", "0"), ("--limit-download", "fast")):
        assert computer.run("-r", typed, *wrong, "list").code == 2


def test_probe(computer: Computer) -> None:
    place = computer.folder / "backup"
    result = computer.run("store", "probe", place).done()
    assert "Snapshots are safe here; prune is safe here." in result.out
    assert not place.exists()
    told = computer.run("-r", place, "--json", "store", "probe").done().json()
    assert told["safe"] is True
    assert told["probe"]["snapshots"] == told["probe"]["prune"] == "passed"
    assert {rule["outcome"] for rule in told["probe"]["rules"]} == {"passed"}
    nobody = computer.run("-vv", "store", "probe", f"ftp://me:geheim12@127.0.0.1:{free_port()}/x")
    assert nobody.code == 1
    assert "geheim12" not in nobody.out + nobody.err
    assert computer.run("store", "probe", "--read-only", place).code == 2
    assert computer.run("store", "probe").code == 2


def test_a_verdict_that_is_not_good_is_an_exit_code(computer: Computer) -> None:
    code = (
        "import sys, snapstore.testing.scratch as scratch\n"
        "from snapstore.testing import TruncatedGet\n"
        "plain = scratch.open_store\n"
        "def damaged(url, **more):\n"
        "    store = plain(url, **more)\n"
        "    return TruncatedGet(store) if 'snapstore-probe' in str(url) else store\n"
        "scratch.open_store = damaged\n"
        "from snapstore.cli.main import main\n"
        "sys.exit(main(['store', 'probe', sys.argv[1]]))\n"
    )
    place = computer.folder / "backup"
    done = subprocess.run(
        [sys.executable, "-c", code, str(place)], env=computer.variables(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "Snapshots are NOT safe here; prune is NOT safe here." in done.stdout
    assert "failed  what was put is got" in done.stdout
    assert not place.exists()


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("sftp://me:geheim@host/x", "geheim"),
        ("sftp://me@shop:ge:he@im@host/x", "ge:he@im"),
        ("sftp://me@host:22/x", None),
        ("sftp://:geheim@host", "geheim"),
        ("/srv/a:b@c", None),
        ("file:///srv/a:b@c", None),
        ("usb:X", None),
    ],
)
def test_the_password_in_an_address(url: str, password: str | None) -> None:
    assert typed_password(url) == password


def test_addresses_lose_their_passwords_and_servers_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SNAPSTORE_PASSWORD", "SNAPSTORE_REPO"):
        monkeypatch.delenv(name, raising=False)
    access = StoreAccess()
    assert access.address("sftp://me:ge%40heim@host:22/x") == "sftp://me@host:22/x"
    assert access.address("ftp://you:other@host/x?tls=implicit") == "ftp://you@host/x?tls=implicit"
    assert access.address("/srv/x") == "/srv/x"
    assert access.password_for("sftp://me@host:22") == "ge@heim"
    assert access.password_for("ftp://you@host") == "other"
    assert access.redact("ge@heim ge%40heim other gs://a:b/c@d x") == "*** *** *** gs://a:***@d x"
    with pytest.raises(InputError):
        access.address("sftp://me:ge/heim@host/x")
    assert access.redact("ge/heim") == "***"
    assert access.options().password_for("ftp://you@host") == "other"
    assert "heim" not in repr(access.options())


def test_the_password_of_one_server_is_not_shown_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNAPSTORE_PASSWORD", "geheim12")
    monkeypatch.setattr("snapstore.cli.store_options.keyring_get", lambda server: None)
    monkeypatch.setattr("snapstore.cli.store_options.has_terminal", lambda: False)
    access = StoreAccess()
    access.address("ftp://me@host/x", main=True)
    access.address("ftp://me@other/x")
    assert access.password_for("ftp://me@other") is None
    assert access.password_for("ftp://me@host") == "geheim12"
    monkeypatch.setenv("SNAPSTORE_PASSWORD", "geheim12")
    access = StoreAccess()
    access.address("/srv/backup", main=True)
    access.address("ftp://me@other/x")
    assert access.password_for("ftp://me@other") == "geheim12"
