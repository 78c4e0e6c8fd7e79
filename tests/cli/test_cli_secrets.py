"""Secrets: where they are read from, and that they turn up nowhere else."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from snapstore.cli.secrets import SecretSupply
from snapstore.errors import InputError, SecretRequiredError

from .conftest import SECRET, Shop

Typing = Callable[[Sequence[str], Sequence[tuple[str, str]]], tuple[int, str]]
posix_only = pytest.mark.skipif(os.name != "posix", reason="terminals of this kind are POSIX")


def supply(monkeypatch: pytest.MonkeyPatch, environment: str | None = None) -> SecretSupply:
    if environment is None:
        monkeypatch.delenv("SNAPSTORE_SECRET", raising=False)
    else:
        monkeypatch.setenv("SNAPSTORE_SECRET", environment)
    return SecretSupply(lambda text: None)


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"plain words", "plain words"),
        (b"plain words\n", "plain words"),
        (b"plain words\r\n", "plain words"),
        (b"\xef\xbb\xbfplain words\n", "plain words"),
        (b"two newlines\n\n", "two newlines\n"),
        (b" spaces stay \n", " spaces stay "),
        ("sch\u00f6ner Schmuck\n".encode(), "sch\u00f6ner Schmuck"),
    ],
)
def test_a_file_loses_its_mark_and_one_newline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, secret: str
) -> None:
    secrets = supply(monkeypatch)
    secrets.file = str(tmp_path / "secret")
    Path(secrets.file).write_bytes(content)
    assert secrets.existing("shop") == secret


def test_files_that_will_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = supply(monkeypatch)
    secrets.file = str(tmp_path / "secret")
    with pytest.raises(SecretRequiredError):
        secrets.existing(None)
    Path(secrets.file).write_bytes(b"\n")
    with pytest.raises(SecretRequiredError):
        secrets.existing(None)
    Path(secrets.file).write_bytes(b"not \xff\xfe text")
    with pytest.raises(InputError) as caught:
        secrets.existing(None)
    assert "xff" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_options_come_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = supply(monkeypatch, "from the environment")
    assert "SNAPSTORE_SECRET" not in os.environ
    assert secrets.configured
    assert secrets.existing(None) == "from the environment"
    secrets.file = str(tmp_path / "secret")
    Path(secrets.file).write_text("from the file")
    assert secrets.existing(None) == "from the file"
    secrets.command = "true"
    with pytest.raises(InputError):
        secrets.existing(None)
    assert secrets.redact("a from the file b from the environment") == "a *** b ***"


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
def test_a_file_that_others_read_is_warned_of(shop: Shop, tmp_path: Path) -> None:
    secret_file = tmp_path / "secret"
    secret_file.write_text(SECRET)
    secret_file.chmod(0o644)
    result = shop.run("ls", "latest", "--secret-file", secret_file).done()
    assert "chmod 600" in result.err
    secret_file.chmod(0o600)
    assert shop.run("ls", "latest", "--secret-file", secret_file).done().err == ""


def test_standard_input(shop: Shop) -> None:
    shop.run("ls", "latest~1", "--secret-file", "-", stdin=SECRET.encode() + b"\n").done()
    assert shop.run("ls", "latest~1", "--secret-file", "-", stdin=b"the wrong one\n").code == 12


def test_a_command_gives_the_secret_and_inherits_none(shop: Shop, tmp_path: Path) -> None:
    script = tmp_path / "vault.py"
    script.write_text(
        "import json, os, sys\n"
        f"json.dump([dict(os.environ), sys.argv], open({str(tmp_path / 'seen')!r}, 'w'))\n"
        "print('opal' + ' and ' + 'onyx')\n"
    )
    command = shlex.join([sys.executable, str(script), "a word"])
    shop.run("ls", "latest~1", "--secret-command", command, secret="something else entirely").done()
    seen = (tmp_path / "seen").read_text()
    assert json.loads(seen)[1][1:] == ["a word"]
    assert "something else entirely" not in seen
    assert SECRET not in seen


def test_a_command_that_fails(shop: Shop) -> None:
    command = shlex.join([sys.executable, "-c", "raise SystemExit(7)"])
    result = shop.run("ls", "latest~1", "--secret-command", command)
    assert result.code == 12
    assert "exit code 7" in result.err
    assert shop.run("ls", "latest~1", "--secret-command", "/no/such/program").code == 12


def test_a_secret_is_never_printed(fresh: Shop, tmp_path: Path) -> None:
    new_state = tmp_path / "new computer"
    runs = [
        fresh.run("-v", "-v", "snapshot", fresh.files, secret=SECRET),
        fresh.run("-v", "-v", "list", secret=SECRET, state=new_state),
        fresh.run("-v", "-v", "restore", "latest", "--to", fresh.files, secret=SECRET),
        fresh.run("-v", "-v", "ls", "nothing", "--json", secret=SECRET),
        fresh.run("-v", "-v", "ls", "latest", secret=SECRET + "!"),
        fresh.run("-v", "-v", "dossier", "add", "shop", secret=SECRET),
    ]
    assert {result.code for result in runs} == {0, 1, 2, 12}
    for result in runs:
        assert SECRET not in result.out + result.err


def test_no_option_takes_a_secret_itself() -> None:
    from snapstore.cli.context import _OPTIONS

    names = {name for names, _, _ in _OPTIONS for name in names}
    assert {name for name in names if "secret" in name} == {"--secret-file", "--secret-command"}


@posix_only
def test_a_chosen_secret_is_typed_twice(fresh: Shop, type_at_terminal: Typing) -> None:
    command = fresh.command("dossier", "add", "second")
    code, seen = type_at_terminal(
        command, [("Choose a secret", "pearl necklace"), ("The same again", "pearl necklace")]
    )
    assert code == 0, seen
    assert "pearl" not in seen
    code, seen = type_at_terminal(fresh.command("-d", "second", "station", "list"), [])
    assert code == 0, seen


@posix_only
def test_a_slip_is_asked_for_again_and_at_last_refused(fresh: Shop, type_at_terminal: Typing) -> None:
    slip = [("Choose a secret", "pearl necklace"), ("The same again", "pearl neckless")]
    code, seen = type_at_terminal(fresh.command("dossier", "add", "second"), slip * 3)
    assert code == 2
    assert seen.count("not the same") == 3
    assert "second" not in fresh.run("dossier", "list").done().out


@posix_only
def test_an_existing_secret_is_typed_once_and_only_when_needed(
    shop: Shop, tmp_path: Path, type_at_terminal: Typing
) -> None:
    code, seen = type_at_terminal(shop.command("ls", "latest"), [])
    assert code == 0, seen
    code, seen = type_at_terminal(shop.command("ls", "latest~1"), [("Secret of dossier 'shop'", SECRET)])
    assert code == 0, seen
    assert "stock.txt" in seen or "files" in seen
    assert SECRET not in seen
    new_state = tmp_path / "new computer"
    code, seen = type_at_terminal(shop.command("list", state=new_state), [("Secret", SECRET)])
    assert code == 0, seen
    assert "first day" in seen
    code, seen = type_at_terminal(shop.command("list", state=tmp_path / "other"), [("Secret", "a wrong one")])
    assert code == 12
