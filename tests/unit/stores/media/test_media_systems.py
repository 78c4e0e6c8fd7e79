"""What each system says of media, decoded anywhere: mounts, udev records, superblocks, answers of macOS and Windows."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.stores._windows import Volume
from snapstore.stores.media import fingerprint, macos, medium_at, windows
from snapstore.stores.media.fingerprint import compose
from snapstore.stores.media.linux import (
    Mount,
    mount_of,
    parse_mounts,
    parse_udev_record,
    plain_kind,
    removable_media,
)
from snapstore.stores.media.superblock import parse_superblock, read_superblock

UUID = bytes(range(1, 17))
UUID_TEXT = "01020304-0506-0708-090a-0b0c0d0e0f10"


def superblock(*parts: tuple[int, bytes], size: int = 0x11000) -> bytes:
    data = bytearray(size)
    for offset, part in parts:
        data[offset : offset + len(part)] = part
    return bytes(data)


SERIAL = (0x1234ABCD).to_bytes(4, "little")
SUPERBLOCKS = {
    "exfat": (superblock((3, b"EXFAT   "), (0x64, SERIAL)), "1234-ABCD"),
    "ntfs": (superblock((3, b"NTFS    "), (0x48, bytes.fromhex("c3d6b001046b961b"))), "1B966B0401B0D6C3"),
    "fat32": (superblock((0x52, b"FAT32   "), (0x43, SERIAL), (510, b"\x55\xaa")), "1234-ABCD"),
    "fat16": (superblock((0x36, b"FAT16   "), (0x27, SERIAL), (510, b"\x55\xaa")), "1234-ABCD"),
    "ext4": (superblock((0x438, b"\x53\xef"), (0x468, UUID)), UUID_TEXT),
    "xfs": (superblock((0, b"XFSB"), (32, UUID)), UUID_TEXT),
    "btrfs": (superblock((0x10040, b"_BHRfS_M"), (0x10020, UUID)), UUID_TEXT),
}


@pytest.mark.parametrize("kind", SUPERBLOCKS)
def test_a_file_system_is_known_by_its_first_blocks(kind: str, tmp_path: Path) -> None:
    data, name = SUPERBLOCKS[kind]
    expected = ("vfat" if kind.startswith("fat") else kind, name)
    assert parse_superblock(data) == expected
    (tmp_path / "image").write_bytes(data)
    assert read_superblock(str(tmp_path / "image")) == expected


def test_no_name_is_better_than_one_of_zeros() -> None:
    assert parse_superblock(superblock((3, b"EXFAT   "))) is None
    assert parse_superblock(superblock((0x438, b"\x53\xef"))) is None
    assert parse_superblock(superblock()) is None
    assert read_superblock("fusefat") is None
    assert read_superblock("/nowhere/at/all") is None


@given(st.binary(max_size=600), st.sampled_from([data for data, _ in SUPERBLOCKS.values()]), st.integers(0, 0x11000))
def test_any_bytes_give_an_answer(noise: bytes, data: bytes, cut: int) -> None:
    for found in (parse_superblock(noise), parse_superblock(data[:cut] + noise)):
        assert found is None or all(found)


def test_a_fingerprint_is_made_of_what_lasts() -> None:
    assert compose("vfat", "1234-ABCD", 7) == "vfat:1234-ABCD"  # FAT makes inode numbers up
    assert compose("ext4", UUID_TEXT, 7) == f"ext4:{UUID_TEXT}:7"
    assert compose("vfat", "", 7) is None


def test_a_folder_and_its_copy_beside_it_differ(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    found = fingerprint(tmp_path / "one")
    if found is None:
        pytest.skip("nothing tells file systems apart here")
    assert found == fingerprint(tmp_path / "one" / ".." / "one")
    assert found != fingerprint(tmp_path / "two")
    assert fingerprint(tmp_path / "three") is None


MOUNTS = """\
/dev/sda2 / ext4 rw,relatime 0 0
/dev/sdb1 /boot vfat rw,relatime 0 0
/dev/sdb2 /mnt/stick fuseblk ro,nosuid 0 0
/dev/sdb2 /mnt/again fuseblk ro,nosuid 0 0
/dev/sdc1 /media/anna/GR\\303\\234N vfat rw 0 0
tmpfs /mnt/stick/inner tmpfs rw 0 0
"""


def test_a_mount_is_found_by_the_path_on_it() -> None:
    mounts = [*parse_mounts(MOUNTS), Mount(device="/dev/sdd1", path="/mnt/stick", file_system="exfat")]
    for path, device in (
        ("/home/x", "/dev/sda2"),
        ("/mnt/stick", "/dev/sdd1"),  # mounted over the other
        ("/mnt/stick/a/b", "/dev/sdd1"),
        ("/mnt/stick/inner/x", "tmpfs"),
        ("/mnt/sticks", "/dev/sda2"),
    ):
        found = mount_of(path, mounts)
        assert found is not None
        assert found.device == device
    assert mount_of("/x", []) is None


def test_media_have_a_kind_and_a_write_protection_and_the_system_is_none() -> None:
    found = removable_media(
        parse_mounts(MOUNTS),
        labels={},
        uuids={"/dev/sdb2": "1234-ABCD"},
        is_removable=lambda disk: disk in ("sda", "sdb"),  # a computer that was started from a stick
        kind_of=lambda device: "ntfs" if device == "/dev/sdb2" else "",
    )
    assert [(str(item.path), item.file_system, item.read_only, item.uuid) for item in found] == [
        ("/mnt/stick", "ntfs", True, "1234-ABCD"),
        ("/media/anna/GRÜN", "vfat", False, ""),
    ]


def test_udev_records_and_kinds() -> None:
    record = "S:disk/by-uuid/X\nE:ID_FS_TYPE=exfat\nE:ID_FS_LABEL=a=b\nE:odd\n"
    assert parse_udev_record(record) == {"ID_FS_TYPE": "exfat", "ID_FS_LABEL": "a=b"}
    assert plain_kind("fuseblk", "exfat") == "exfat"
    assert plain_kind("ntfs3") == "ntfs"
    assert plain_kind("ext4") == "ext4"


def statfs(kind: bytes, flags: int) -> bytes:
    fields = struct.pack("=Ii5Q2i4I", 4096, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, flags, 0)
    return fields + kind.ljust(16, b"\0") + b"/Volumes/STICK".ljust(1024, b"\0") + b"/dev/disk2s1".ljust(1024, b"\0")


def test_what_macos_says_of_a_volume() -> None:
    facts = macos.parse_statfs(statfs(b"msdos", 1) + bytes(32))
    assert facts == macos.VolumeFacts(
        file_system="vfat", mount_point="/Volumes/STICK", device="/dev/disk2s1", read_only=True
    )
    other = macos.parse_statfs(statfs(b"apfs", 0x1000))
    assert other is not None
    assert (other.file_system, other.read_only) == ("apfs", False)
    assert macos.parse_statfs(bytes(100)) is None
    assert macos.parse_volume_uuid(struct.pack("=I", 20) + UUID) == UUID_TEXT
    assert macos.parse_volume_uuid(struct.pack("=I", 4) + UUID) == ""
    assert macos.parse_volume_uuid(struct.pack("=I", 20) + bytes(16)) == ""
    assert macos.parse_volume_uuid(b"") == ""


def test_which_drives_of_windows_are_media() -> None:
    def drive(letter: str, *, removable: bool = False, kind: str = "NTFS", read_only: bool = False) -> Volume:
        return Volume(
            root=f"{letter}:\\",
            label=letter,
            serial="1234-ABCD",
            removable=removable,
            file_system=kind,
            read_only=read_only,
        )

    drives = [
        drive("C"),
        drive("D"),
        drive("E", removable=True, kind="FAT32"),
        drive("F", kind="exFAT", read_only=True),
    ]
    found = windows.media_among(drives, "c:")
    assert [(item.label, item.file_system, item.read_only) for item in found] == [
        ("D", "ntfs", False),
        ("E", "vfat", False),
        ("F", "exfat", True),
    ]
    share = Volume(root="Z:\\", label="", serial="0000-0001", removable=False, remote=True)
    assert windows.media_among([share], "C:") == []
    assert windows.media_among([drive("C", removable=True)], "C:") != []  # Windows started from a stick


def test_the_folder_of_a_test_is_on_no_medium(tmp_path: Path) -> None:
    assert medium_at(str(tmp_path)) is None
