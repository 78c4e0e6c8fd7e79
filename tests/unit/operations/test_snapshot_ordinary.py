"""Entries of ordinary files as compiled code encodes them: the bytes of the twin, or None."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapstore.format.tree import encode_entry
from snapstore.operations.snapshot import ordinary
from snapstore.operations.snapshot.drafts import EntryDraft
from snapstore.operations.snapshot.files import signature_for
from snapstore.operations.snapshot.ordinary import EncodedFile, can_encode, encode_ordinary
from snapstore.sources.attributes import Attributes
from snapstore.sources.directory import open_source
from snapstore.sources.scanned import SETTLED_AFTER_NS, WINDOWS, ScannedEntry
from snapstore.sources.small import UNKNOWN, SmallFile, SmallFiles
from snapstore.types import EntryType, PlainHash, Problem

if ordinary._native is None or WINDOWS:
    pytest.skip("the compiled module is not there, or no file is ordinary", allow_module_level=True)
NATIVE: Any = ordinary._native

H = PlainHash(bytes(range(32)))
NOW_NS = 1_800_000_000_000_000_000
SETTLED_NS = NOW_NS - SETTLED_AFTER_NS
U32_MAX = 2**32 - 1
SECOND_NS = 1_000_000_000
TIMES = (
    *(0, 1, 127, 128, 255, 256, 65_535, 65_536, -1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1),
    *(2**31, 2**32 - 1, 2**32, 2**31 * SECOND_NS, 2**32 * SECOND_NS, -(2**31) * SECOND_NS, 1 - 2**63, 2**63 - 2),
    *(SETTLED_NS - 1, SETTLED_NS, SETTLED_NS + 1, NOW_NS),
)

times = st.sampled_from(TIMES) | st.integers(1 - 2**63, 2**63 - 2)
owners = st.sampled_from([0, 1, 127, 128, 255, 256, 1000, 65_534, 65_536, 2**31, U32_MAX]) | st.integers(0, U32_MAX)
owner_names = st.none() | st.sampled_from(["", "root", "müller", "日本", "u" * 31, "u" * 32, "\udcff odd"]) | st.text()
names = st.binary(min_size=1, max_size=255) | st.sampled_from([b"n" * 255, b"n" * 256, b"n" * 1024, b"n" * 65_535])
inline_maxima = st.sampled_from([0, 1, 255, 256, 512, 65_535])


def scanned(**facts: Any) -> ScannedEntry:
    plain: dict[str, Any] = {
        "name": b"name",
        "type": EntryType.FILE,
        "size": 0,
        "mtime_ns": 5,
        "ctime_ns": 6,
        "inode": 7,
        "device": 8,
        "links": 1,
        "mode": 0o644,
        "uid": 1000,
        "gid": 100,
        "rdev": None,
        "blocks": 8,
        "windows_attributes": None,
        "birth_ns": None,
    }
    return ScannedEntry(**{**plain, **facts})


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[ScannedEntry], int]:
    """Files of one owner, and the size up to which they go into their entries."""
    inline_max = draw(inline_maxima)
    near = [size for size in (0, 1, inline_max - 1, inline_max, inline_max + 1, 255, 256, 70_000) if size >= 0]
    uid, gid = draw(owners), draw(owners)
    file = st.builds(
        scanned,
        name=names,
        size=st.sampled_from(near) | st.integers(0, 3000),
        mtime_ns=times,
        ctime_ns=times,
        inode=st.integers(0, 2**64 - 1),
        mode=st.integers(0, 0o7777),
        uid=st.just(uid),
        gid=st.just(gid),
    )
    return draw(st.lists(file, min_size=1, max_size=12)), inline_max


def parted(entries: Sequence[ScannedEntry], inline_max: int) -> tuple[list[bytes], bytes, bytes]:
    """What each holds, what goes into entries, and the bundle."""
    contents = [(b"%03d." % number * (entry.size // 4 + 1))[: entry.size] for number, entry in enumerate(entries)]
    inline = [data for data in contents if len(data) <= inline_max]
    return contents, b"".join(inline), b"".join([data for data in contents if len(data) > inline_max])


def twin(entries: Sequence[ScannedEntry], attributes: Attributes, inline_max: int) -> list[EncodedFile]:
    """The lines as `files` makes them one by one."""
    contents, _, bundle = parted(entries, inline_max)
    job: Any = SimpleNamespace(now_ns=NOW_NS)
    lines, offset = [], 0
    for entry, data in zip(entries, contents, strict=True):
        draft = EntryDraft(entry, entry.name, EntryType.FILE, attributes)
        if entry.size > inline_max:
            built = draft.build(size=entry.size, changed=False, slice=(H, offset, len(bundle)))
            offset += entry.size
        else:
            built = draft.build(size=entry.size, changed=False, inline=data or None)
        signature = signature_for(entry, job, doubtful=False, size=entry.size)
        lines.append((encode_entry(built), signature, entry.size))
    return lines


def compiled(
    entries: Sequence[ScannedEntry], attributes: Attributes = UNKNOWN, inline_max: int = 512
) -> tuple[list[bytes], list[EncodedFile]] | None:
    _, inline, bundled = parted(entries, inline_max)
    bundle = (H, len(bundled)) if bundled else None
    return encode_ordinary(entries, attributes, inline, bundle, inline_max=inline_max, now_ns=NOW_NS)


@given(group=groups(), user=owner_names, of_group=owner_names)
@example(group=([scanned(), scanned(size=512), scanned(size=513)], 512), user=None, of_group=None)
@example(group=([scanned(name=b"n" * 65_535, size=65_535)], 65_535), user="u" * 300, of_group="g" * 70_000)
def test_entries_and_signatures_are_those_of_the_twin(
    group: tuple[list[ScannedEntry], int], user: str | None, of_group: str | None
) -> None:
    entries, inline_max = group
    attributes = Attributes(user=user, group=of_group)
    found = compiled(entries, attributes, inline_max)
    assert found == ([entry.name for entry in entries], twin(entries, attributes, inline_max))


@pytest.mark.parametrize("nanoseconds", TIMES)
def test_each_edge_of_times_is_written_as_the_twin_does(nanoseconds: int) -> None:
    entries = [scanned(mtime_ns=nanoseconds), scanned(ctime_ns=nanoseconds), scanned(mtime_ns=nanoseconds, size=900)]
    found = compiled(entries)
    assert found is not None
    assert found[1] == twin(entries, Attributes(), 512)
    assert [line[1] is None for line in found[1]] == [nanoseconds > SETTLED_NS] * 3


@pytest.mark.parametrize(
    "facts",
    [
        {"type": EntryType.DIRECTORY},
        {"type": None},
        {"uid": 1001},
        {"gid": 101},
        {"uid": 2**63},
        {"windows_attributes": 0},
        {"birth_ns": 1},
        {"mtime_ns": 2**63 - 1},
        {"mtime_ns": 2**63},
        {"mtime_ns": -(2**63)},
        {"mtime_ns": -(2**63) - 1},
        {"ctime_ns": 2**63},
        {"inode": 2**64},
        {"inode": -1},
        {"mode": 0o10000},
        {"mode": -1},
        {"size": -1},
        {"size": 2**63},
        {"name": b"n" * 65_536},
        {"name": "text"},
    ],
)
def test_one_that_is_not_ordinary_gives_none(facts: dict[str, Any]) -> None:
    good, other = scanned(), scanned(**facts)
    for entries in ([good, other], [good, other, good]):
        found = encode_ordinary(entries, Attributes(), b"", None, inline_max=512, now_ns=NOW_NS)
        assert found is None
    assert compiled([good, good]) is not None


@pytest.mark.parametrize(
    ("data", "bundle"),
    [
        (b"", (H, 600)),
        (b"12", (H, 600)),
        (b"1234", (H, 600)),
        (b"123", None),
        (b"123", (PlainHash(b"short"), 600)),
        (b"123", (H, 599)),
        (b"123", (H, 601)),
        (b"123", (H, -1)),
    ],
)
def test_contents_that_do_not_fit_give_none(data: bytes, bundle: tuple[PlainHash, int] | None) -> None:
    entries = [scanned(size=3), scanned(size=600)]
    assert encode_ordinary(entries, Attributes(), b"123", (H, 600), inline_max=512, now_ns=NOW_NS) is not None
    assert encode_ordinary(entries, Attributes(), data, bundle, inline_max=512, now_ns=NOW_NS) is None


def test_files_with_more_to_say_of_them_are_not_asked_for() -> None:
    problem = Problem(code="xattr_unreadable", path="/x", message="could not be read")
    assert can_encode(Attributes(user="root"))
    assert not can_encode(Attributes(xattrs={b"user.a": b"b"}))
    assert not can_encode(Attributes(problems=(problem,)))


class Index:
    """Neither an int nor harmless: it fails when it is asked for its number."""

    def __index__(self) -> int:
        raise KeyError("no number")


GOOD = ([scanned()], EntryType.FILE, 1000, 100, b"\x04\xcd\x03\xe8\x05\x64", 2, 512, b"", b"", 0, SETTLED_NS)


@pytest.mark.parametrize(
    ("at", "bad"),
    [
        *[(0, bad) for bad in (None, 5, [scanned(size="3")], [scanned(mode=None)], [scanned(inode=1.5)])],
        *[(0, [scanned(size="3", mtime_ns=Index(), uid=Index())])],
        *[(at, bad) for at in (2, 3, 9, 10) for bad in (None, "1", 1.5, 2**63)],
        *[(at, bad) for at in (4, 7, 8) for bad in (None, "text", bytearray(32), 5)],
        *[(5, bad) for bad in (-1, 5, 2**31, None)],
        *[(6, bad) for bad in (65_536, 2**63, None)],
    ],
)
def test_arguments_that_do_not_fit_are_errors(at: int, bad: Any) -> None:
    assert NATIVE.encode_files(*GOOD) is not None
    with pytest.raises((TypeError, ValueError, OverflowError)):
        NATIVE.encode_files(*GOOD[:at], bad, *GOOD[at + 1 :])
    with pytest.raises(TypeError):
        NATIVE.encode_files(*GOOD[:at])


def test_what_is_no_scanned_entry_gives_none_and_errors_are_the_callers() -> None:
    for odd in (None, 5, b"name", (), tuple(scanned())[:-1], (*scanned(), None), list(scanned())):
        assert NATIVE.encode_files([odd], *GOOD[1:]) is None
    with pytest.raises(KeyError):
        NATIVE.encode_files([scanned(size=Index())], *GOOD[1:])

    def failing() -> Iterator[ScannedEntry]:
        yield scanned()
        raise KeyError("no more")

    with pytest.raises(KeyError):
        NATIVE.encode_files(failing(), *GOOD[1:])
    assert NATIVE.encode_files([], *GOOD[1:]) == ([], [])
    assert NATIVE.encode_files([], *GOOD[1:7], b"left over", *GOOD[8:]) is None


@pytest.mark.parametrize("limit", [10, 5000])
def test_files_that_were_read_in_one_go_are_what_the_twin_reads(tmp_path: Path, way: str, limit: int) -> None:
    contents = {b"empty": b"", b"small": b"12345", b"larger": b"x" * 3000, b"name \xff": b"odd"}
    for name, data in contents.items():
        (tmp_path / os.fsdecode(name)).write_bytes(data)
    with open_source(str(tmp_path)) as directory:
        entries = directory.scan()
        read = directory.read_small(entries, limit)
    assert (read.attributes is not None) == (way == "compiled" and limit == 5000)
    attributes = read.files[0].attributes
    expected = [SmallFile(entry, min(entry.size, limit + 1), False, attributes, None) for entry in entries]
    assert list(read.files) == expected
    assert read.data == b"".join([contents[entry.name][: limit + 1] for entry in entries])
    assert read.files is read.files


def test_files_that_are_made_late_are_those_that_were_given() -> None:
    attributes = Attributes(user="root", group="wheel")
    entries = [scanned(size=3), scanned(size=0), scanned(size=2)]
    made = SmallFiles.ordinary(b"12345", entries, attributes)
    assert (made.data, made.attributes) == (b"12345", attributes)
    files = [SmallFile(entry, entry.size, False, attributes, None) for entry in entries]
    assert list(made.files) == files
    plain = SmallFiles(b"12345", files)
    assert plain.attributes is None
    assert plain.files is files
