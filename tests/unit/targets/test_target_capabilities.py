"""What file systems hold, and the names they get for what they cannot."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapstore.errors import TargetError
from snapstore.targets.attributes import FileAttributes
from snapstore.targets.capabilities import FAT_MAX_FILE_BYTES, Capabilities
from snapstore.targets.directory import TargetDirectory, open_target
from snapstore.targets.names import check_name
from snapstore.targets.probing import probe
from snapstore.targets.problems import renamed
from snapstore.targets.syncing import sync_tree
from snapstore.types import EntryType

FAT = Capabilities(
    case_sensitive=False,
    any_bytes=False,
    forbidden=bytes(range(1, 32)) + b'<>:"|?*\\',
    trailing_dot_or_space=False,
    reserved_names=False,
    name_max_in_utf16=True,
    max_file_bytes=FAT_MAX_FILE_BYTES,
)
HFS = Capabilities(case_sensitive=False, unicode_sensitive=False, any_bytes=False)


def named(names: list[bytes], capabilities: Capabilities) -> list[bytes]:
    taken: set[bytes] = set()
    return [capabilities.portable_name(name, taken) for name in names]


def test_what_can_be_held_keeps_its_name() -> None:
    names = [b"plain.txt", b"caf\xc3\xa9", b".hidden", b"a b", b"x" * 255, b"nullable", b"con-tent"]
    assert named(names, FAT) == names
    assert named([b"\xff", b"A", b"a", b"nul", b"x:"], Capabilities()) == [b"\xff", b"A", b"a", b"nul", b"x:"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"a:b.txt", rb"a_b~[0-9a-f]{8}\.txt"),
        (b"dot.", rb"dot_~[0-9a-f]{8}"),
        (b"NUL", rb"NUL~[0-9a-f]{8}"),
        (b"aux.txt", rb"aux~[0-9a-f]{8}\.txt"),
        (b"\xff", rb"_~[0-9a-f]{8}"),
        (b"...", rb"___~[0-9a-f]{8}"),
    ],
)
def test_a_replaced_name_is_readable(name: bytes, expected: bytes) -> None:
    (found,) = named([name], FAT)
    assert re.fullmatch(expected, found)
    assert FAT.holds(found)
    assert check_name(found, windows=True) == found
    assert renamed("folder/x", name, found).code == "renamed"


def test_names_that_the_target_takes_for_one() -> None:
    first, second, third = named([b"README", b"ReadMe", b"readme"], FAT)
    assert first == b"README"
    assert len({first.lower(), second.lower(), third.lower()}) == 3
    composed, decomposed = named(["\u00e9".encode(), "e\u0301".encode()], HFS)
    assert composed == "\u00e9".encode()
    assert decomposed.startswith("e\u0301~".encode())


def test_halves_of_utf16_pairs_stay_where_they_can() -> None:
    half = b"a\xed\xa0\x80"
    assert named([half], Capabilities(any_bytes=False)) == [half]
    assert named([half], Capabilities(any_bytes=False, lone_surrogates=False)) != [half]


def test_letters_that_fold_in_unusual_ways_are_kept_apart() -> None:
    names = ["stra\u00dfe", "STRA\u1e9eE", "strasse", "\u212aelvin", "kelvin", "\u0131", "I", "\u017f", "s"]
    found = named([name.encode() for name in names], FAT)
    assert len({name.decode().casefold() for name in found}) == len(names)


def test_long_names_keep_their_extension() -> None:
    (found,) = named([("\u65e5" * 200).encode() + b".jpeg"], Capabilities())
    assert len(found) <= 255
    assert found.endswith(b".jpeg")
    assert found.decode().startswith("\u65e5" * 70)
    assert named([("\u65e5" * 200).encode() + b".jpeg"], FAT) == [("\u65e5" * 200).encode() + b".jpeg"]


NAMES = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=8), st.text("aA:.\u00e9e\u0301 ~_", min_size=1, max_size=4).map(str.encode)
    )
    .map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))
    .filter(lambda name: name not in (b".", b"..")),
    unique=True,
    max_size=12,
)


@given(NAMES, st.sampled_from([FAT, HFS, Capabilities(), Capabilities(name_max=20)]))
@example([b"~", b"_~.", b"."[:0] + b"_"], FAT)
def test_every_name_gets_one_of_its_own_that_can_be_held(names: list[bytes], capabilities: Capabilities) -> None:
    found = named(sorted(names), capabilities)
    assert len({capabilities.key(name) for name in found}) == len(names)
    for name in found:
        assert capabilities.holds(name)
        assert check_name(name, windows=capabilities is FAT)
    assert found == named(sorted(names), capabilities)


def test_a_file_that_is_too_large_is_not_begun() -> None:
    FAT.check_size(FAT_MAX_FILE_BYTES, "file")
    Capabilities().check_size(1 << 60, "file")
    with pytest.raises(TargetError) as caught:
        FAT.check_size(FAT_MAX_FILE_BYTES + 1, "file")
    assert caught.value.code == "file_too_large"


def test_losses_of_the_whole_target_are_said_once() -> None:
    assert Capabilities().losses() == []
    codes = [problem.code for problem in Capabilities(sparse=False, time_granularity_ns=2 * 10**9).losses()]
    assert codes == ["times_rounded", "holes_filled"]


def test_this_systems_own_file_system_holds_everything(as_root: None, place: Path) -> None:
    with open_target(str(place), create=False) as target:
        assert probe(target, str(place)) == Capabilities()
        assert target.scan() == {}


def test_an_ordinary_user_cannot_give_away_or_make_devices(
    nobodys: Path, run_as_nobody: Callable[[Callable[[], None]], None]
) -> None:
    def restore() -> None:
        with open_target(str(nobodys), create=False) as target:
            assert probe(target, str(nobodys)) == Capabilities(owner=False, devices=False)

    run_as_nobody(restore)


def restore_sample(target: TargetDirectory, capabilities: Capabilities) -> tuple[dict[bytes, bytes], set[str]]:
    """Put in what is hard to hold; the content by the names they got, and the codes of losses."""
    taken: set[bytes] = set()
    content = {}
    codes = set()
    for name in sorted(
        [b"plain", b"PLAIN", b"a:b?.txt", b"dot.", b"\xff\xfe", b"line\nfeed", b"half\xed\xa0\x80", b"nul", b"x" * 250]
    ):
        found = capabilities.portable_name(name, taken)
        codes |= {"renamed"} if found != name else set()
        with target.new_file(found) as file:
            file.write(name)
            file.skip(100_000)
            attributes = FileAttributes(mode=0o4711, uid=1234, gid=4321, mtime_ns=1_600_000_001_123_456_789)
            codes |= {problem.code for problem in file.commit(attributes, sync=False, replace=False)}
        content[found] = name + bytes(100_000)
    attempts: list[Callable[[], object]] = [
        lambda: target.symlink(b"symlink", b"plain"),
        lambda: target.hard_link(b"link", [*target.elements, b"plain"]),
        lambda: target.fifo(b"fifo"),
        lambda: target.device(b"device", EntryType.BLOCK_DEVICE, (7, 1)),
    ]
    for attempt in attempts:
        try:
            attempt()
        except TargetError as error:
            codes.add(error.code)
    return content, codes


LOST_ON_FAT = {
    "renamed",
    "owner_not_restored",
    "mode_not_restored",
    "symlink_not_supported",
    "hard_link_copied",
    "fifo_not_supported",
    "device_not_restored",
}


@pytest.mark.parametrize("kind", ["fat", "exfat", "ntfs"])
def test_a_stick_holds_what_it_can_and_the_rest_is_reported(request: pytest.FixtureRequest, kind: str) -> None:
    mount: Path = request.getfixturevalue(f"{kind}_mount")
    path = mount / "restored"
    with open_target(str(path), create=True) as root:
        capabilities = probe(root, str(path))
        target = root.make_directory(b"inner")
        content, codes = restore_sample(target, capabilities)
        found = target.scan()
        for name, expected in content.items():
            with target.read_file(name) as file:
                assert file.read() == expected, name
        assert set(content) <= set(found)
        sync_tree(root)
        root.remove(b"inner")
        assert root.scan() == {}
    os.rmdir(path)
    if kind == "ntfs":
        assert capabilities.symlinks
        assert capabilities.hard_links
        assert capabilities.max_file_bytes is None
        assert capabilities.name_max_in_utf16
        assert not codes & {"symlink_not_supported", "hard_link_copied"}
        return
    assert codes >= LOST_ON_FAT - {"renamed"}
    assert "renamed" in codes
    assert not (capabilities.symlinks)
    assert not (capabilities.hard_links)
    assert not (capabilities.fifos)
    assert not (capabilities.owner)
    assert not capabilities.case_sensitive
    assert set(b'<>:"|?*\\') <= set(capabilities.forbidden)
    if kind == "fat":
        assert capabilities.max_file_bytes == FAT_MAX_FILE_BYTES
        assert capabilities.time_granularity_ns >= 10**9
