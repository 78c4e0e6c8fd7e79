"""Exit codes: the table against the error tree and the guide, and each code from a real run."""

from __future__ import annotations

import ast
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstore import errors
from snapstore.cli.exit_codes import DAMAGE_CODES, ExitCode, exit_code_of, exit_code_of_problems
from snapstore.types import Problem

from .conftest import ROOT, Shop

SPECIAL = {
    errors.InputError: 2,
    errors.SecretTooShortError: 2,
    errors.AmbiguousError: 2,
    errors.DossierExistsError: 2,
    errors.RepositoryNotFoundError: 10,
    errors.InUseError: 11,
    errors.WrongSecretError: 12,
    errors.SecretRequiredError: 12,
    errors.DamageError: 13,
    errors.DamagedObjectError: 13,
    errors.MissingObjectError: 13,
    errors.TamperedError: 13,
    errors.PruneRefusedError: 13,
    errors.OperationCancelledError: 130,
}


def all_errors(kind: type[errors.SnapstoreError]) -> list[type[errors.SnapstoreError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in all_errors(child))]


@pytest.mark.parametrize("kind", all_errors(errors.SnapstoreError))
def test_every_error_has_its_code(kind: type[errors.SnapstoreError]) -> None:
    assert exit_code_of(kind("as it happens")) == SPECIAL.get(kind, 1)


def test_other_exceptions() -> None:
    assert exit_code_of(KeyboardInterrupt()) == 130
    assert exit_code_of(OSError("no")) == 1
    assert exit_code_of(RuntimeError("no")) == 1


def test_problems() -> None:
    def problem(code: str) -> Problem:
        return Problem(code=code, path="a", message="b")

    assert exit_code_of_problems([]) == 0
    assert exit_code_of_problems([problem("unreadable")]) == 3
    assert exit_code_of_problems([problem("unreadable"), problem("damaged_blob")]) == 13


def damage_codes_in_the_source() -> Iterator[str]:
    kinds = {kind.__name__: kind for kind in all_errors(errors.DamageError)}
    yield from (kind.default_code for kind in kinds.values())
    for path in Path(errors.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
                for keyword in node.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                        yield str(keyword.value.value)


def test_every_code_of_damage_is_known() -> None:
    assert set(damage_codes_in_the_source()) - DAMAGE_CODES == set()


def test_the_guide_has_the_same_table() -> None:
    guide = (ROOT / "docs" / "guide" / "command.md").read_text("utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", guide, re.MULTILINE)}
    assert listed == {int(code) for code in ExitCode}


def test_0_done(shop: Shop) -> None:
    assert shop.run("list").code == 0


def test_1_failed(shop: Shop) -> None:
    result = shop.run("ls", "feedfacefeedface", secret=shop.secret)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("snapstore: ")


@pytest.mark.parametrize(
    "arguments",
    [["no-such-verb"], ["list", "--no-such-option"], ["snapshot"], ["restore", "latest"], ["cat", "latest"]],
)
def test_2_usage(shop: Shop, arguments: list[str]) -> None:
    result = shop.run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("snapstore: ")
    assert "--help" in result.err


def test_2_when_no_repository_is_named(shop: Shop) -> None:
    result = shop.run("list", repo=Path(""))
    assert result.code in (2, 10)  # Path("") is "."


def test_2_for_a_secret_too_short(fresh: Shop) -> None:
    result = fresh.run("dossier", "add", "second", secret="short")
    assert result.code == 2
    assert "short" not in result.out


def test_2_for_delete_without_overwrite(shop: Shop, tmp_path: Path) -> None:
    assert shop.run("restore", "latest", "--to", tmp_path / "new", "--delete").code == 2


def test_3_snapshot_with_problems(fresh: Shop) -> None:
    _something_that_cannot_be_saved(fresh.files)
    result = fresh.run("snapshot", fresh.files)
    assert result.code == 3, result.err
    assert "problem: " in result.err
    assert "1 problem" in result.out
    listed = fresh.run("list").done()
    assert "(1 problem)" in listed.out


def _something_that_cannot_be_saved(folder: Path) -> None:
    try:
        os.mknod(folder / "socket", stat.S_IFSOCK | 0o600)
    except (AttributeError, OSError):
        pytest.skip("no way here to make something that cannot be saved")


def test_10_no_repository(shop: Shop, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere", "usb:no medium has such a name"):
        result = shop.run("list", repo=place)
        assert (result.code, result.out) == (10, "")


def test_12_wrong_secret(shop: Shop, tmp_path: Path) -> None:
    new_state = tmp_path / "new computer"
    for arguments in (["list"], ["restore", "latest", "--to", str(tmp_path / "out")]):
        result = shop.run(*arguments, state=new_state, secret="not the right one")
        assert (result.code, result.out) == (12, "")
    assert not (tmp_path / "out").exists()


def test_12_wrong_secret_where_the_station_could_do_without(shop: Shop) -> None:
    assert shop.run("ls", "latest", secret="not the right one").code == 12


def test_12_no_secret_and_nobody_to_ask(shop: Shop, tmp_path: Path) -> None:
    result = shop.run("list", state=tmp_path / "new computer")
    assert (result.code, result.out) == (12, "")
    assert "--secret-file" in result.err


def test_13_damage(fresh: Shop, tmp_path: Path) -> None:
    (fresh.files / "random.bin").write_bytes(os.urandom(300_000))
    fresh.run("snapshot", fresh.files).done()
    packs = [path for path in (fresh.repo / "packs").rglob("*") if path.is_file()]
    assert packs
    for pack in packs:
        data = bytearray(pack.read_bytes())
        for position in range(100, len(data) * 3 // 4, 512):
            data[position] ^= 0x55
        pack.chmod(stat.S_IRUSR | stat.S_IWUSR)
        pack.write_bytes(data)
    shutil.rmtree(fresh.state / "cache", ignore_errors=True)
    result = fresh.run("restore", "latest", "--to", tmp_path / "out", secret=fresh.secret)
    assert result.code == 13, result.err
