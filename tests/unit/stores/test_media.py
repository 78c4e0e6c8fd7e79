"""Finding a medium: the parsers on texts of real machines, the choice on folders that stand for mounts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from snapstore.errors import AmbiguousError, StoreUnavailableError
from snapstore.stores.media import (
    Medium,
    connected_media,
    disk_of,
    find_medium,
    parse_mounts,
    removable_media,
    unescape_label,
)

MOUNTS = """\
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
/dev/nvme0n1p2 / ext4 rw,relatime 0 0
/dev/sda1 /home ext4 rw,relatime 0 0
/dev/sdb1 /run/media/anna/Blaue\\040Woche vfat rw,nosuid,nodev,relatime,uid=1000 0 0
/dev/sdc1 /mnt/stick exfat rw,relatime 0 0
/dev/sdd1 /media/anna/B\\303\\274ro\\134x fuseblk rw,relatime 0 0
not a mount
"""
ID = "0123456789abcdef0123456789abcdef"


def test_mounts_are_read_with_their_escapes() -> None:
    mounts = parse_mounts(MOUNTS)
    assert [mount.path for mount in mounts] == [
        "/proc",
        "/",
        "/home",
        "/run/media/anna/Blaue Woche",
        "/mnt/stick",
        "/media/anna/Büro\\x",
    ]
    assert mounts[3].device == "/dev/sdb1"
    assert mounts[3].file_system == "vfat"
    assert parse_mounts("") == []


def test_labels_are_read_as_udev_writes_them() -> None:
    assert unescape_label("Blaue\\x20Woche") == "Blaue Woche"
    assert unescape_label("B\\xc3\\xbcro") == "Büro"
    assert unescape_label("MONTAG") == "MONTAG"


@pytest.mark.parametrize(
    ("device", "disk"),
    [
        ("/dev/sdb1", "sdb"),
        ("/dev/sdb", "sdb"),
        ("/dev/mmcblk0p1", "mmcblk0"),
        ("/dev/nvme0n1p2", "nvme0n1"),
        ("/dev/nvme0n1", "nvme0n1"),
        ("/dev/loop3", "loop"),
        ("/dev/loop3p1", "loop3"),
    ],
)
def test_the_disk_of_a_partition(device: str, disk: str) -> None:
    assert disk_of(device) == disk


def test_removable_is_what_the_disk_or_the_desktop_says() -> None:
    media = removable_media(
        parse_mounts(MOUNTS),
        labels={"/dev/sdc1": "MONTAG", "/dev/sdb1": "Blaue Woche", "/dev/sda1": "HOME"},
        uuids={"/dev/sdc1": "1234-ABCD"},
        is_removable=lambda disk: disk == "sdc",
    )
    assert [(medium.label, medium.path.as_posix(), medium.uuid) for medium in media] == [
        ("Blaue Woche", "/run/media/anna/Blaue Woche", ""),
        ("MONTAG", "/mnt/stick", "1234-ABCD"),
        ("Büro\\x", "/media/anna/Büro\\x", ""),
    ]


def test_the_media_of_this_machine_are_folders_that_exist() -> None:
    assert all(medium.path.is_dir() for medium in connected_media())


@pytest.fixture
def media(tmp_path: Path) -> list[Medium]:
    """Three sticks; the second and third hold a repository."""
    found = [
        Medium(path=tmp_path / label, label=label, uuid=f"12{n}4-ABCD") for n, label in enumerate(("MO", "DI", "MI"))
    ]
    for medium in found:
        medium.path.mkdir()
    for medium, text in ((found[1], ID), (found[2], ID[::-1])):
        (medium.path / "snapstore").mkdir()
        (medium.path / "snapstore" / "id").write_text(text, encoding="ascii")
    return found


def identify(folder: Path) -> Iterable[str]:
    return {(folder / "id").read_text(encoding="ascii")}


def test_by_label_by_uuid_and_by_repository(media: list[Medium]) -> None:
    assert find_medium("di", media) is media[1]
    assert find_medium("1224-abcd", media) is media[2]
    assert find_medium(ID[:6], media, identify) is media[1]
    assert find_medium(ID[::-1].upper(), media, identify) is media[2]


@pytest.mark.parametrize("wanted", ["DO", "", ID[:5], "0123456780", "g" * 8, "*"])
def test_a_medium_that_is_not_there_names_what_is(media: list[Medium], wanted: str) -> None:
    with pytest.raises(StoreUnavailableError, match=r"MO at .*DI at .*MI at") as caught:
        find_medium(wanted, media, identify)
    assert caught.value.code == "medium_not_connected"
    with pytest.raises(StoreUnavailableError, match="Connected: none"):
        find_medium(wanted, [], identify)


def test_two_that_fit_are_never_guessed(media: list[Medium], tmp_path: Path) -> None:
    twin = Medium(path=tmp_path / "twin", label="DI")
    twin.path.mkdir()
    (twin.path / "snapstore").mkdir()
    (twin.path / "snapstore" / "id").write_text(ID, encoding="ascii")
    for wanted in ("DI", ID[:8]):
        with pytest.raises(AmbiguousError, match="twin"):
            find_medium(wanted, [*media, twin], identify)
    assert find_medium("MO", [*media, twin], identify) is media[0]


def test_an_accent_is_the_same_letter_however_it_is_written() -> None:
    media = [Medium(path=Path("/media/a"), label="Cl\u00e9"), Medium(path=Path("/media/b"))]
    assert find_medium("CLE\u0301", media) is media[0]
    with pytest.raises(StoreUnavailableError):
        find_medium("", media)  # not the one without a label
