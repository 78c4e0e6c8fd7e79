"""Extended attributes, ACLs and owners, on real files."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapstore.sources.attributes import OwnerNames, read_xattrs
from snapstore.sources.directory import SourceDirectory, open_source

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sets extended attributes as Linux has them")


@pytest.fixture
def source(tmp_path: Path) -> Iterator[SourceDirectory]:
    (tmp_path / "file").write_bytes(b"x")
    try:
        os.setxattr(tmp_path / "file", "user.probe", b"")
        os.removexattr(tmp_path / "file", "user.probe")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error.strerror}")
    with open_source(str(tmp_path)) as source:
        yield source


def test_values_of_any_bytes_and_names(tmp_path: Path, source: SourceDirectory) -> None:
    wanted = {b"user.a": b"", b"user.\xff\xc3": b"\0\xff" * 100, b"user.big": os.urandom(3000)}
    for name, value in wanted.items():
        os.setxattr(tmp_path / "file", name, value)
    attributes = source.attributes(source.entry(b"file"))
    assert attributes.xattrs == wanted
    assert list(attributes.xattrs) == sorted(wanted)
    assert attributes.problems == ()
    with source.open_file(source.entry(b"file")) as file:
        assert source.attributes(file.entry, file) == attributes


def test_directories_have_them_too(tmp_path: Path, source: SourceDirectory) -> None:
    (tmp_path / "folder").mkdir()
    os.setxattr(tmp_path / "folder", b"user.name", b"value")
    os.setxattr(tmp_path, b"user.own", b"root")
    assert source.attributes(source.entry(b"folder")).xattrs == {b"user.name": b"value"}
    assert source.own_attributes().xattrs == {b"user.own": b"root"}
    with source.child(b"folder") as child:
        assert child.own_attributes().xattrs == {b"user.name": b"value"}


def test_links_and_nodes_carry_their_own(tmp_path: Path, source: SourceDirectory, as_root: None) -> None:
    os.setxattr(tmp_path / "file", b"user.of_the_file", b"1")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    os.mknod(tmp_path / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    wanted = {}
    for name in ("link", "pipe", "null"):
        os.setxattr(tmp_path / name, b"trusted.of", name.encode(), follow_symlinks=False)
        wanted[name] = {b"trusted.of": name.encode()}
    found = {name: source.attributes(source.entry(name.encode())).xattrs for name in wanted}
    assert found == wanted


def test_access_control_lists(tmp_path: Path, source: SourceDirectory) -> None:
    if shutil.which("setfacl") is None:
        pytest.skip("setfacl is not installed")
    (tmp_path / "folder").mkdir()
    try:
        subprocess.run(["setfacl", "-m", "u:4711:rw,g:4712:r", str(tmp_path / "file")], check=True, timeout=30)
        subprocess.run(["setfacl", "-d", "-m", "u:4711:rwx", str(tmp_path / "folder")], check=True, timeout=30)
    except subprocess.CalledProcessError:
        pytest.skip("this file system has no access control lists")
    access = source.attributes(source.entry(b"file")).xattrs
    assert list(access) == [b"system.posix_acl_access"]
    assert (4711).to_bytes(4, "little") in access[b"system.posix_acl_access"]
    assert list(source.attributes(source.entry(b"folder")).xattrs) == [b"system.posix_acl_default"]
    (tmp_path / "copy").write_bytes(b"")
    os.setxattr(tmp_path / "copy", "system.posix_acl_access", access[b"system.posix_acl_access"])
    listed = subprocess.run(["getfacl", "-cn", str(tmp_path / "copy")], check=True, capture_output=True, timeout=30)
    assert b"user:4711:rw-" in listed.stdout
    assert b"group:4712:r--" in listed.stdout


def test_capabilities_are_kept(tmp_path: Path, source: SourceDirectory, as_root: None) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")  # net_raw, permitted and effective
    try:
        os.setxattr(tmp_path / "file", b"security.capability", capability)
    except OSError as error:
        pytest.skip(f"no capabilities here: {error.strerror}")
    assert source.attributes(source.entry(b"file")).xattrs[b"security.capability"] == capability


def test_what_cannot_be_had_is_a_problem(tmp_path: Path, source: SourceDirectory) -> None:
    entry = source.entry(b"file")
    (tmp_path / "file").unlink()
    attributes = source.attributes(entry)
    assert attributes.xattrs == {}
    assert [(problem.code, problem.path) for problem in attributes.problems] == [
        ("xattr_unreadable", str(tmp_path / "file"))
    ]


def test_a_file_system_without_them_has_none() -> None:
    assert read_xattrs(b"/proc/self/status", path="status") == ({}, ())


def test_names_of_owners(tmp_path: Path, source: SourceDirectory, as_root: None) -> None:
    attributes = source.attributes(source.entry(b"file"))
    assert (attributes.user, attributes.group) == ("root", "root")
    os.chown(tmp_path / "file", 3_999_999_001, 3_999_999_002)
    attributes = source.attributes(source.entry(b"file"))
    assert (attributes.user, attributes.group) == (None, None)
    names = OwnerNames()
    assert [names.user(0), names.user(0), names.group(0), names.user(3_999_999_001)] == ["root", "root", "root", None]


def test_a_pipe_is_not_given_the_attributes_of_what_took_its_place(tmp_path: Path, source: SourceDirectory) -> None:
    os.mkfifo(tmp_path / "pipe")
    entry = source.entry(b"pipe")
    assert source.attributes(entry).xattrs == {}
    os.setxattr(tmp_path / "file", b"user.of_the_file", b"1")
    os.replace(tmp_path / "file", tmp_path / "pipe")
    found = source.attributes(entry)
    assert found.xattrs == {}
    assert [problem.code for problem in found.problems] == ["replaced"]
