"""What people see: whole sessions at the command line, and what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import SECRET, Shop, clean_environment


def test_from_nothing_to_everything_back_on_another_computer(tmp_path: Path) -> None:
    there = Shop(tmp_path)
    there.files.mkdir()
    (there.files / "stock.db").write_bytes(os.urandom(30_000))
    secret_file = tmp_path / "secret"
    secret_file.write_bytes(b"\xef\xbb\xbf" + SECRET.encode() + b"\r\n")
    secret_file.chmod(0o600)

    made = there.run("init").done()
    assert made.out.startswith("Made a repository at ")
    assert there.run("init").code == 1
    added = there.run("dossier", "add", "shop", "--secret-file", secret_file).done()
    assert added.out == "Added the dossier shop.\n"
    saved = there.run("snapshot", there.files, "--label", "evening").done()
    assert re.match(r"Snapshot [0-9a-f]{8} of shop: 1 file, 29\.3 KiB; [\d.]+ KiB added in [\d.]+ s\.\n", saved.out)

    new_state = tmp_path / "new computer"
    target = tmp_path / "back"
    restored = there.run("restore", "latest", "--to", target, state=new_state, secret=SECRET).done()
    assert restored.out.startswith("Restored 1 file (29.3 KiB) of snapshot ")
    found = [path for path in target.rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in found] == [(there.files / "stock.db").read_bytes()]
    # The new computer knows the dossier now, and the secret is the same with or without mark and newline.
    assert "evening" in there.run("list", state=new_state).done().out


def test_list(shop: Shop) -> None:
    lines = shop.run("list").done().out.splitlines()
    assert lines[0].split() == ["ID", "DATE", "FILES", "SIZE", "ADDED", "LABEL"]
    assert len(lines) == 3
    assert re.fullmatch(r"[0-9a-f]{8}  \d{4}-\d\d-\d\d \d\d:\d\d +2 +[\d.]+ KiB +[\d.]+ KiB", lines[1])
    assert lines[2].endswith("first day")


def test_list_tells_what_is_unconfirmed_and_what_is_gone(fresh: Shop) -> None:
    def stored(folder: str) -> set[Path]:
        return {path for path in (fresh.repo / folder).rglob("*") if path.is_file()}

    fresh.run("snapshot", fresh.files, "--label", "first day").done()
    first = stored("ok") | stored("snapshots")
    fresh.run("snapshot", fresh.files, "--label", "second day").done()
    for path in stored("ok") & first:
        path.unlink()
    assert "first day (unconfirmed)" in fresh.run("list").done().out
    identifier = fresh.run("--json", "list").done().json()["snapshots"][1]["id"]
    for path in stored("snapshots") & first:
        path.unlink()
    robbed = fresh.run("list")
    assert robbed.code == 13
    assert "second day" in robbed.out
    assert identifier[:8] in robbed.err
    assert fresh.run("--json", "list").json()["missing"] == [identifier]


def test_ls_and_cat(shop: Shop) -> None:
    everything = shop.run("ls", "latest", "-R").done().out.splitlines()
    photo = next(path for path in everything if path.endswith("photos/ring.jpg"))
    folder = next(path for path in everything if path.endswith("photos/"))
    assert shop.run("ls", "latest", folder.rstrip("/")).done().out.splitlines() == [photo]
    assert shop.run("cat", "latest", photo).done().stdout == (shop.files / "photos" / "ring.jpg").read_bytes()
    old_stock = shop.run("cat", "latest~1", photo.replace("photos/ring.jpg", "stock.txt"), secret=shop.secret)
    assert old_stock.done().out == "one ring\n" * 50
    long_line = shop.run("ls", "-l", "latest", photo).done().out
    assert long_line.startswith("-rw")
    assert " 40003 " in long_line


def test_an_older_snapshot_needs_the_secret(shop: Shop) -> None:
    assert shop.run("ls", "latest~1").code == 12
    assert shop.run("ls", "latest~1", secret=shop.secret).code == 0


def test_restore_overwrite_and_dry_run(shop: Shop, tmp_path: Path) -> None:
    target = tmp_path / "out"
    dry = shop.run("restore", "latest", "--to", target, "--dry-run").done()
    assert dry.out.startswith("Would restore 2 files")
    assert not list(tmp_path.rglob("*.txt"))
    shop.run("restore", "latest", "--to", target).done()
    stock = next(target.rglob("stock.txt"))
    stock.write_text("spoiled")
    (stock.parent / "extra").write_text("extra")
    assert shop.run("restore", "latest", "--to", target).code == 1  # not empty
    shop.run("restore", "latest", "--to", target, "--overwrite", "if-changed", "--delete").done()
    assert stock.read_text() == "two rings\n" * 50
    assert not (stock.parent / "extra").exists()


def test_restore_of_one_path(shop: Shop, tmp_path: Path) -> None:
    for number, path in enumerate(("photos/ring.jpg", "photos", "*.jpg")):
        target = tmp_path / str(number)
        shop.run("restore", "latest", "--to", target, path).done()
        assert [path.name for path in target.rglob("*") if path.is_file()] == ["ring.jpg"]
    assert shop.run("restore", "latest", "--to", tmp_path / "none", "ring.jpg").code == 1


def test_dossiers(fresh: Shop) -> None:
    fresh.run("dossier", "add", "second", secret="another secret").done()
    assert fresh.run("snapshot", fresh.files).code == 2  # which of the two?
    fresh.run("-d", "second", "snapshot", fresh.files).done()
    fresh.environment["SNAPSTORE_DOSSIER"] = "shop"
    assert len(fresh.run("list").done().out.splitlines()) == 1
    assert len(fresh.run("list", "-d", "second").done().out.splitlines()) == 2
    fresh.run("dossier", "rename", "second", "third", secret="another secret").done()
    table = fresh.run("dossier", "list").done().out
    assert "third" in table
    assert "second" not in table
    refused = fresh.run("dossier", "remove", "third", secret="another secret")
    assert refused.code == 2
    assert "--yes" in refused.err
    fresh.run("dossier", "remove", "third", "--yes", secret="another secret").done()
    assert "third" not in fresh.run("dossier", "list").done().out


def test_stations(fresh: Shop, tmp_path: Path) -> None:
    second = tmp_path / "second computer"
    fresh.run("list", state=second, secret=fresh.secret).done()
    stations = fresh.run("station", "list", "--json", secret=fresh.secret).json()["stations"]
    assert [station["this"] for station in stations].count(True) == 1
    other = next(station for station in stations if not station["this"])
    fresh.run("station", "revoke", other["id"][:12], secret=fresh.secret).done()
    assert fresh.run("snapshot", fresh.files, state=second).code == 1
    assert fresh.run("station", "revoke", "zzzz", secret=fresh.secret).code == 1


def test_unprotected_needs_no_secret(unprotected: Shop, tmp_path: Path) -> None:
    unprotected.run("snapshot", unprotected.files).done()
    new_state = tmp_path / "new computer"
    unprotected.run("restore", "latest", "--to", tmp_path / "out", state=new_state).done()
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 2


def test_excludes(fresh: Shop, tmp_path: Path) -> None:
    patterns = tmp_path / "patterns"
    patterns.write_text("# photos\nphotos/\n")
    (fresh.files / "big.bin").write_bytes(bytes(200_000))
    (fresh.files / "a.tmp").write_text("x")
    fresh.run(
        "snapshot", fresh.files, "-e", "*.tmp", "--exclude-file", patterns, "--exclude-larger-than", "100K"
    ).done()
    names = {line.rsplit("/", 1)[-1] for line in fresh.run("ls", "-R", "latest").done().out.splitlines()}
    assert "stock.txt" in names
    assert not names & {"a.tmp", "big.bin", "ring.jpg"}


def test_options_before_and_after_the_verb(shop: Shop) -> None:
    after = subprocess.run(
        [sys.executable, "-m", "snapstore", "list", "-r", str(shop.repo), "--state-dir", str(shop.state), "--json"],
        env=clean_environment(SNAPSTORE_REPO="/nowhere/at/all"),
        capture_output=True,
        check=True,
    )
    assert after.stdout == shop.run("--json", "list").stdout


def test_quiet_prints_results_only(fresh: Shop) -> None:
    saved = fresh.run("-q", "snapshot", fresh.files).done()
    assert (saved.out, saved.err) == ("", "")
    assert len(fresh.run("-q", "list").done().out.splitlines()) == 2


def test_a_missing_source_is_an_error(fresh: Shop) -> None:
    assert fresh.run("snapshot", fresh.files, fresh.base / "not there").code == 1
    assert fresh.run("snapshot", fresh.files, fresh.base / "not there", "--allow-missing").code in (0, 3)


def test_version_and_help(shop: Shop) -> None:
    short = subprocess.run([sys.executable, "-m", "snapstore", "--version"], capture_output=True, check=True, text=True)
    assert re.fullmatch(r"snapstore \d+\.\d+\S*\n", short.stdout)
    assert shop.run("version").out == short.stdout
    assert shop.run("-v", "--version").out == short.stdout
    for verb in ("", "init", "snapshot", "restore", "dossier", "station"):
        assert shop.run(*filter(None, [verb]), "--help").done().out.startswith("Usage: ")


def test_version_imports_little() -> None:
    listing = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "snapstore", "--version"], capture_output=True, check=True, text=True
    ).stderr
    modules = {line.rpartition("|")[2].strip() for line in listing.splitlines()}
    assert "snapstore.cli.main" in modules
    assert not modules & {"click", "rich", "cryptography", "blake3", "zstandard", "msgpack", "pathspec", "asyncio"}


def test_without_click_the_cure_is_told(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text('raise ModuleNotFoundError("No module named \'click\'", name="click")\n')
    environment = clean_environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "snapstore", "list"], env=environment, capture_output=True, check=False, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert 'pip install "snapstore[cli]"' in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a pipe that breaks is POSIX")
def test_a_reader_that_goes_away_is_no_news(shop: Shop) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            shop.command("ls", "latest", "-R"),
            env=clean_environment(),
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")
