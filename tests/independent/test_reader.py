"""A repository that the library wrote comes back through a reader that was written from docs/format alone.

The reader runs as a subprocess, as a person in need would run it. What it restores is compared with the source in
everything that a tree can hold: content, allocation, types, modes, times, owners, links, extended attributes.
"""

from __future__ import annotations

import importlib
import os
import random
import secrets
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import snapstore

READER = Path(__file__).with_name("reader.py")
SECRET = "Größe zählt nicht"
POSIX = os.name == "posix"


class Saved(NamedTuple):
    """A source tree and the repository it was saved to, twice."""

    source: Path
    repository: Path
    secret_file: Path
    first: str
    first_note: bytes


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def write_contents(root: Path) -> None:
    """One file for each way in which content is stored."""
    contents = {
        "empty": b"",
        "inline": b"x" * 512,
        "text.txt": b"one line of many\n" * 9000,
        "photo.jpg": b"\xff\xd8\xff\xe0" + noise(1, 3_000_000),
        "shop.db": b"SQLite format 3\0\x10\x00" + noise(2, 2_500_000),
        "repeated.db": b"SQLite format 3\0\x10\x00" + bytes(2_000_000) + noise(3, 100_000),
        "random.bin": noise(4, 1_000_003),
    }
    for name, content in contents.items():
        (root / name).write_bytes(content)
    with (root / "sparse.bin").open("wb") as file:
        file.write(noise(5, 200_000))
        file.seek(3 << 20)
        file.write(noise(6, 70_000))
        file.truncate(8 << 20)
    many = root / "many" / "deeper"
    many.mkdir(parents=True)
    for number in range(300):
        (many / f"{number:03}.dat").write_bytes(noise(number, 100 + number * 60))
    (root / "no files here").mkdir()
    (root / "Ünïcode 文").write_text("names", encoding="utf-8")


def write_posix_kinds(root: Path) -> None:
    (root / "dangling").symlink_to("nowhere/at all")
    (root / "to-folder").symlink_to("many")
    (root / "zz-second-name").hardlink_to(root / "photo.jpg")
    (root / "many" / "third-name").hardlink_to(root / "photo.jpg")
    os.mkfifo(root / "pipe", 0o620)
    if sys.platform == "linux":
        Path(os.fsdecode(os.fsencode(root) + b"/not utf-8 \xff")).write_bytes(b"bytes")
        try:
            os.setxattr(root / "inline", "user.note", b"small\0binary")
            os.setxattr(root / "many", "user.large", noise(7, 3000))
        except OSError:
            pass  # not on every file system; the comparison then finds none on either side
    if os.geteuid() == 0:
        os.chown(root / "text.txt", 1234, 4321)
        os.chown(root / "dangling", 1234, 4321, follow_symlinks=False)
    for name, mode in (("text.txt", 0o4711), ("inline", 0o400), ("empty", 0o000), ("many/deeper", 0o1750)):
        (root / name).chmod(mode if os.geteuid() == 0 or mode else 0o444)


def set_times(root: Path) -> None:
    """Odd times on everything, one of them before 1970; folders last, since writing into them moves theirs."""
    paths = sorted(root.rglob("*"), key=lambda path: len(path.parts), reverse=True)
    for number, path in enumerate([*paths, root]):
        if path.is_symlink() and os.utime not in os.supports_follow_symlinks:
            continue
        moment = -86_400_000_000_000 if path.name == "inline" and POSIX else 1_500_000_000_123_456_700 + number * 1_000
        os.utime(path, ns=(moment, moment), follow_symlinks=not path.is_symlink())


def make_saved(base: Path, *, protected: bool, share: bool) -> Saved:
    source, repository, secret_file = base / "source", base / "repository", base / "secret"
    source.mkdir()
    write_contents(source)
    if POSIX:
        write_posix_kinds(source)
    note = source / "note"
    note.write_bytes(b"first state")
    set_times(source)
    secret_file.write_bytes(b"\xef\xbb\xbf" + SECRET.encode() + b"\r\n")
    with snapstore.init(
        repository, protected=protected, share=share, state_dir=base / "state", kdf_seconds=0
    ) as opened:
        dossier = opened.create_dossier("Müller & Töchter", secret=SECRET if protected else None)
        first = dossier.snapshot(source).snapshot
        note.write_bytes(b"second state, which is a longer one")
        dossier.snapshot(source, label="after lunch")
    return Saved(source, repository, secret_file, first.id.hex(), b"first state")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return make_saved(tmp_path_factory.mktemp("protected"), protected=True, share=False)


def run_reader(repository: Path, secret_file: Path, target: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(READER), str(repository), str(secret_file), str(target), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONUTF8": "1"})


def describe(root: Path) -> dict[str, dict[str, Any]]:
    """Everything about a tree that a restore must bring back."""
    found: dict[str, dict[str, Any]] = {}
    names_of: dict[tuple[int, int], str] = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        name = str(path.relative_to(root))
        facts: dict[str, Any] = {"type": stat.S_IFMT(status.st_mode), "modified": status.st_mtime_ns}
        if POSIX:
            facts["owner"] = (status.st_uid, status.st_gid) if os.geteuid() == 0 else None
            facts["first name"] = names_of.setdefault((status.st_dev, status.st_ino), name)
        if path.is_symlink():
            facts["target"] = os.readlink(path)
        else:
            facts["mode"] = stat.S_IMODE(status.st_mode)
        if stat.S_ISREG(status.st_mode):
            facts["content"] = path.read_bytes()
        if hasattr(os, "listxattr"):
            names = os.listxattr(path, follow_symlinks=False)
            facts["attributes"] = {key: os.getxattr(path, key, follow_symlinks=False) for key in names}
        found[name] = facts
    return found


def assert_same(source: Path, restored: Path) -> None:
    expected, actual = describe(source), describe(restored)
    assert sorted(actual) == sorted(expected)
    for name, facts in expected.items():
        for fact, value in facts.items():
            assert actual[name][fact] == value, f"{name}: {fact}"


def test_everything_comes_back(saved: Saved, tmp_path: Path) -> None:
    result = run_reader(saved.repository, saved.secret_file, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "warning" not in result.stderr
    assert_same(saved.source, tmp_path / "out")


@pytest.mark.skipif(not POSIX, reason="holes are not counted in blocks there")
def test_holes_stay_holes(saved: Saved, tmp_path: Path) -> None:
    source = (saved.source / "sparse.bin").stat()
    if source.st_blocks * 512 >= source.st_size:
        pytest.skip("this file system keeps no holes")
    assert run_reader(saved.repository, saved.secret_file, tmp_path / "out").returncode == 0
    assert (tmp_path / "out" / "sparse.bin").stat().st_blocks * 512 < source.st_size // 2


def test_without_any_index(saved: Saved, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(saved.repository, copy)
    shutil.rmtree(copy / "index")
    result = run_reader(copy, saved.secret_file, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert_same(saved.source, tmp_path / "out")


def test_without_the_first_copies_of_manifests(saved: Saved, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(saved.repository, copy)
    shutil.rmtree(copy / "snapshots")
    assert run_reader(copy, saved.secret_file, tmp_path / "out").returncode == 0
    assert_same(saved.source, tmp_path / "out")


def test_an_older_snapshot_by_prefix(saved: Saved, tmp_path: Path) -> None:
    result = run_reader(saved.repository, saved.secret_file, tmp_path / "out", saved.first[:12])
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "note").read_bytes() == saved.first_note


@pytest.mark.parametrize(("protected", "share"), [(False, False), (True, True)])
def test_other_kinds_of_repository(tmp_path: Path, *, protected: bool, share: bool) -> None:
    made = make_saved(tmp_path, protected=protected, share=share)
    result = run_reader(made.repository, made.secret_file, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert_same(made.source, tmp_path / "out")


def test_a_recovery_code_opens_it(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"content")
    with snapstore.init(tmp_path / "repository", state_dir=tmp_path / "state", kdf_seconds=0) as opened:
        dossier = opened.create_dossier("shop", secret=SECRET)
        code = dossier.add_recovery_code(secret=SECRET)
        dossier.snapshot(tmp_path / "source")
    (tmp_path / "sheet").write_text(code.upper() + "\n", encoding="utf-8")
    result = run_reader(tmp_path / "repository", tmp_path / "sheet", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "file").read_bytes() == b"content"


def test_a_wrong_secret_is_not_called_damage(saved: Saved, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("not the secret\n", encoding="utf-8")
    result = run_reader(saved.repository, tmp_path / "wrong", tmp_path / "out")
    assert result.returncode != 0
    assert "WrongSecret" in result.stderr
    assert "Damage" not in result.stderr


def test_a_flipped_byte_is_damage_and_never_data(saved: Saved, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(saved.repository, copy)
    for pack in sorted((copy / "packs").glob("*/*")):
        pack.chmod(0o600)
        with pack.open("r+b") as file:
            first = file.read(1)[0]
            file.seek(0)
            file.write(bytes([first ^ 1]))
    result = run_reader(copy, saved.secret_file, tmp_path / "out")
    assert result.returncode != 0
    assert "Damage" in result.stderr.splitlines()[-1]


def test_a_manifest_that_was_taken_away_is_named(saved: Saved, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(saved.repository, copy)
    for path in [*copy.glob("snapshots/*/*"), *copy.glob("ok/*/*")]:
        if bytes.fromhex(saved.first) in path.read_bytes():
            path.chmod(0o600)
            path.unlink()
    result = run_reader(copy, saved.secret_file, tmp_path / "out")
    assert f"snapshot {saved.first} was taken away" in result.stderr


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(READER.parent))
    return importlib.import_module("reader")


def test_other_plaintext_under_a_blobs_own_key_is_refused(saved: Saved, tmp_path: Path, reader: ModuleType) -> None:
    """Whoever knows h can seal anything under its content key and with fitting hashes; only h itself tells."""
    config = reader.read_config(saved.repository)
    dossier = reader.find_dossier(saved.repository, config, SECRET)
    blobs = reader.Blobs(saved.repository, config, dossier)
    h = reader.read_snapshots(saved.repository, config, dossier)[-1].root
    (keys,) = dossier.keys.values()
    both = reader.keyed(reader.derive(keys.dossier, "dossier blob id"), h, 64)
    nonce = secrets.token_bytes(12)
    forged = nonce + AESGCM(both[32:]).encrypt(nonce, b"\x92\x00\x90", both[:32] + b"\0")
    pack = tmp_path / "pack"
    pack.write_bytes(forged)
    blobs.copies[both[:32]] = [reader.Copy(pack, 0, 0, len(forged), 3, 0, blake3(forged).digest()[:16])]
    with pytest.raises(reader.Damage, match="h does not fit"):
        blobs.load(h, tree=True)
