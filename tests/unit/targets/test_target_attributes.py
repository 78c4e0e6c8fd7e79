"""Attributes: all that the system can hold comes back, and what it cannot is said."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapstore.targets.attributes import FileAttributes, owner_here
from snapstore.targets.directory import TargetDirectory, open_target
from snapstore.types import EntryType

NOBODY = 65534
ACL = "system.posix_acl_access"
TIME_NS = 1_234_567_890_123_456_789


def acl_entry(tag: int, permissions: int, number: int = 0xFFFFFFFF) -> bytes:
    return struct.pack("<HHI", tag, permissions, number)


def acl(*, user: int, mask: int) -> bytes:
    """Owner rw, the named user 1234, group r, mask, others nothing."""
    entries = [acl_entry(1, 6), acl_entry(2, user, 1234), acl_entry(4, 4), acl_entry(16, mask), acl_entry(32, 0)]
    return struct.pack("<I", 2) + b"".join(entries)


def write(target: TargetDirectory, name: bytes, attributes: FileAttributes) -> list[str]:
    with target.new_file(name) as file:
        file.write(b"content")
        return [problem.code for problem in file.commit(attributes, sync=False, replace=True)]


def codes(target: TargetDirectory, name: bytes, kind: EntryType, attributes: FileAttributes) -> list[str]:
    return [problem.code for problem in target.apply(name, kind, attributes)]


@pytest.mark.parametrize("mode", [0o644, 0o000, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o6711])
def test_all_twelve_bits_of_the_mode(as_root: None, target: TargetDirectory, place: Path, mode: int) -> None:
    wanted = FileAttributes(mode=mode, uid=1234, gid=4321, mtime_ns=TIME_NS)
    assert write(target, b"file", wanted) == []
    target.make_directory(b"folder")
    target.fifo(b"pipe")
    target.device(b"null", EntryType.CHARACTER_DEVICE, (1, 3))
    assert codes(target, b"folder", EntryType.DIRECTORY, wanted) == []
    assert codes(target, b"pipe", EntryType.FIFO, wanted) == []
    assert codes(target, b"null", EntryType.CHARACTER_DEVICE, wanted) == []
    for name in ("file", "folder", "pipe", "null"):
        found = (place / name).lstat()
        assert stat.S_IMODE(found.st_mode) == mode, name
        assert (found.st_uid, found.st_gid, found.st_mtime_ns) == (1234, 4321, TIME_NS), name


def test_a_link_gets_owner_and_times_and_its_target_nothing(
    as_root: None, target: TargetDirectory, place: Path
) -> None:
    precious = place.parent / "outside" / "precious"
    before = precious.stat()
    target.symlink(b"link", os.fsencode(precious))
    wanted = FileAttributes(mode=0o777, uid=1234, gid=4321, mtime_ns=TIME_NS, xattrs={b"trusted.snapstore": b"1"})
    assert codes(target, b"link", EntryType.SYMLINK, wanted) == []
    found = (place / "link").lstat()
    assert (found.st_uid, found.st_gid, found.st_mtime_ns) == (1234, 4321, TIME_NS)
    assert os.getxattr(place / "link", "trusted.snapstore", follow_symlinks=False) == b"1"
    after = precious.stat()
    assert (after.st_uid, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_uid,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


@given(st.integers(-(2**31) + 1, 2**33), st.integers(0, 999_999_999))
@example(0, 0)
@example(-1, 1)
def test_times_come_back_in_nanoseconds(tmp_path_factory: pytest.TempPathFactory, seconds: int, rest: int) -> None:
    place = tmp_path_factory.mktemp("times")
    with open_target(str(place), create=False) as target:
        assert write(target, b"file", FileAttributes(mtime_ns=seconds * 10**9 + rest)) == []
        assert target.apply_self(FileAttributes(mtime_ns=seconds * 10**9 + rest)) == []
    assert (place / "file").stat().st_mtime_ns == place.stat().st_mtime_ns == seconds * 10**9 + rest


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_extended_attributes(as_root: None, target: TargetDirectory, place: Path, kind: str) -> None:
    wanted = {b"user.\xc3\xa9": b"\x00\xff" * 50, b"user.empty": b"", b"trusted.t": b"t"}
    if kind == "file":
        assert write(target, b"file", FileAttributes(xattrs=wanted)) == []
    else:
        assert codes_of_new_folder(target, FileAttributes(xattrs=wanted)) == []
    path = place / kind
    assert {os.fsencode(name): os.getxattr(path, name) for name in os.listxattr(path)} == wanted
    os.setxattr(path, "user.surplus", b"x")
    entry_type = EntryType.FILE if kind == "file" else EntryType.DIRECTORY
    assert codes(target, kind.encode(), entry_type, FileAttributes(xattrs=None)) == []
    assert "user.surplus" in os.listxattr(path)
    assert codes(target, kind.encode(), entry_type, FileAttributes(xattrs=wanted)) == []
    assert {os.fsencode(name) for name in os.listxattr(path)} == set(wanted)


def codes_of_new_folder(target: TargetDirectory, attributes: FileAttributes) -> list[str]:
    return [problem.code for problem in target.make_directory(b"folder").apply_self(attributes)]


def test_acls_refine_the_mode(target: TargetDirectory, place: Path) -> None:
    wanted = FileAttributes(mode=0o660, xattrs={ACL.encode(): acl(user=7, mask=6)})
    assert write(target, b"file", wanted) == []
    assert os.getxattr(place / "file", ACL) == acl(user=7, mask=6)
    assert stat.S_IMODE((place / "file").stat().st_mode) == 0o660
    default = {b"system.posix_acl_default": acl(user=7, mask=7)}
    assert codes_of_new_folder(target, FileAttributes(mode=0o750, xattrs=default)) == []
    assert os.getxattr(place / "folder", "system.posix_acl_default") == acl(user=7, mask=7)


def test_a_default_acl_of_the_target_is_not_inherited(target: TargetDirectory, place: Path) -> None:
    os.setxattr(place, "system.posix_acl_default", acl(user=7, mask=7))
    wanted = FileAttributes(mode=0o640, xattrs={})
    assert write(target, b"file", wanted) == []
    assert codes_of_new_folder(target, wanted) == []
    assert os.listxattr(place / "file") == os.listxattr(place / "folder") == []
    assert stat.S_IMODE((place / "file").stat().st_mode) == 0o640


def test_capabilities_survive_a_change_of_owner(as_root: None, target: TargetDirectory, place: Path) -> None:
    if shutil.which("setcap") is None:
        value = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service, version 2
    else:
        subprocess.run(["setcap", "cap_net_bind_service+ep", place.parent / "outside" / "precious"], check=True)
        value = os.getxattr(place.parent / "outside" / "precious", "security.capability")
    wanted = FileAttributes(mode=0o755, uid=1234, gid=4321, xattrs={b"security.capability": value})
    assert write(target, b"file", wanted) == []
    assert os.getxattr(place / "file", "security.capability") == value


def test_owners_go_by_name_first_and_zero_is_never_mapped() -> None:
    named = FileAttributes(uid=4242, gid=4343, user="nobody", group="nogroup")
    assert owner_here(named, numeric=False) == (NOBODY, NOBODY)
    assert owner_here(named, numeric=True) == (4242, 4343)
    unknown = FileAttributes(uid=4242, gid=4343, user="no such user", group="\udcff\x00")
    assert owner_here(unknown, numeric=False) == (4242, 4343)
    assert owner_here(FileAttributes(uid=0, gid=0, user="nobody", group="nogroup"), numeric=False) == (0, 0)
    assert owner_here(FileAttributes(user="nobody"), numeric=False) == (NOBODY, -1)
    assert owner_here(FileAttributes(), numeric=False) == (-1, -1)


def test_numeric_owners_as_asked(as_root: None, place: Path) -> None:
    wanted = FileAttributes(uid=4242, gid=4343, user="nobody", group="nogroup")
    for numeric, expected in ((False, (NOBODY, NOBODY)), (True, (4242, 4343))):
        with open_target(str(place), create=False, numeric_owner=numeric) as target:
            assert write(target, b"file", wanted) == []
        found = (place / "file").stat()
        assert (found.st_uid, found.st_gid) == expected


def test_without_a_mode_the_umask_decides(target: TargetDirectory, place: Path) -> None:
    reference = place.parent / "reference"
    reference.touch()
    expected = stat.S_IMODE(reference.stat().st_mode)
    assert write(target, b"file", FileAttributes()) == []
    assert stat.S_IMODE((place / "file").stat().st_mode) == expected
    assert write(target, b"file", FileAttributes(windows_attributes=0x21)) == []
    assert stat.S_IMODE((place / "file").stat().st_mode) == expected & ~0o222
    assert write(target, b"file", FileAttributes(windows_attributes=0x22)) == ["windows_attributes_not_restored"]


def test_an_ordinary_user_is_told_what_he_may_not_set(
    nobodys: Path, run_as_nobody: Callable[[Callable[[], None]], None]
) -> None:
    def restore() -> None:
        with open_target(str(nobodys), create=False) as target:
            own = FileAttributes(mode=0o4755, uid=NOBODY, gid=NOBODY, mtime_ns=TIME_NS, xattrs={b"user.a": b"b"})
            assert write(target, b"own", own) == []
            assert stat.S_IMODE((nobodys / "own").stat().st_mode) == 0o4755
            foreign = FileAttributes(mode=0o6755, uid=0, gid=0, mtime_ns=TIME_NS)
            assert write(target, b"foreign", foreign) == ["owner_not_restored", "mode_not_restored"]
            found = (nobodys / "foreign").stat()
            assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o755, NOBODY), "setuid of another owner is dropped"
            assert found.st_mtime_ns == TIME_NS
            closed = FileAttributes(mode=0o400, xattrs={b"user.a": b"b", b"trusted.t": b"t", b"bad": b""})
            assert write(target, b"closed", closed) == ["xattr_not_restored"]
            changed = FileAttributes(mode=0o000, mtime_ns=5, xattrs={b"user.a": b"c"})
            assert codes(target, b"closed", EntryType.FILE, changed) == []
            assert codes(target, b"closed", EntryType.FILE, changed) == []
            assert stat.S_IMODE((nobodys / "closed").stat().st_mode) == 0

    run_as_nobody(restore)


@given(
    st.builds(
        FileAttributes,
        mode=st.integers(0, 2**40),
        mtime_ns=st.integers(-(2**80), 2**80),
        uid=st.integers(0, 2**70),
        gid=st.integers(0, 2**70),
        user=st.text(max_size=5),
        xattrs=st.dictionaries(st.binary(max_size=8), st.binary(max_size=8), max_size=3),
        windows_attributes=st.integers(0, 2**40),
        birth_ns=st.integers(-(2**80), 2**80),
    )
)
def test_no_value_from_a_hostile_tree_ends_the_restore(
    tmp_path_factory: pytest.TempPathFactory, attributes: FileAttributes
) -> None:
    place = tmp_path_factory.mktemp("hostile")
    with open_target(str(place), create=False) as target:
        lost = write(target, b"file", attributes)
        assert len(lost) == len(set(lost))
        assert set(target.scan()) == {b"file"}
