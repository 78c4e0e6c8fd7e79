"""The messages of SFTP: any bytes decode to a reply or to a WireError, however they are cut."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapstore.stores.sftp import wire


def text(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


REPLIES: list[tuple[bytes, wire.Reply]] = [
    (struct.pack(">BII", 101, 7, 4) + text(b"Failure") + text(b"en"), wire.Status(code=4, text="Failure")),
    (struct.pack(">BII", 101, 7, 0), wire.Status(code=0, text="")),
    (struct.pack(">BI", 102, 7) + text(b"\0\1"), wire.Handle(value=b"\0\1")),
    (struct.pack(">BI", 103, 7) + text(b"bytes"), wire.Data(block=memoryview(b"bytes"))),
    (
        struct.pack(">BII", 104, 7, 1) + text(b"a") + text(b"-rw a") + struct.pack(">IQI", 5, 9, 0o100644),
        wire.Names(entries=(wire.Entry(b"a", wire.Attributes(size=9, mode=0o100644)),)),
    ),
    (
        struct.pack(">BI", 105, 7)
        + struct.pack(">IQIIIIII", 0x8000000F, 9, 1, 2, 0o40755, 3, 4, 1)
        + text(b"x@y")
        + text(b"z"),
        wire.Attributes(size=9, mode=0o40755),
    ),
    (struct.pack(">BI", 105, 7) + struct.pack(">I", 0), wire.Attributes()),
    (struct.pack(">BI", 201, 7) + b"anything", wire.Extended(body=b"anything")),
]


@pytest.mark.parametrize(("body", "reply"), REPLIES)
def test_replies_are_read(body: bytes, reply: wire.Reply) -> None:
    assert wire.decode_reply(body) == (7, reply)


@pytest.mark.parametrize("body", [body for body, _ in REPLIES if body[0] not in (101, 201)])
def test_a_reply_that_is_cut_short_is_an_error(body: bytes) -> None:
    for end in range(len(body)):
        with pytest.raises(wire.WireError):
            wire.decode_reply(body[:end])


@given(st.binary(max_size=200))
@example(struct.pack(">BII", 104, 1, 0xFFFFFFFF))
@example(struct.pack(">BIII", 105, 1, 0x80000000, 0xFFFFFFFF))
@example(b"")
def test_decoders_are_total(body: bytes) -> None:
    for decode in (wire.decode_reply, wire.decode_version, wire.decode_file_system, wire.decode_limits):
        try:
            outcome: object = decode(body)
        except wire.WireError as error:
            outcome = str(error)
        assert outcome


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.lists(st.integers(1, 40), min_size=1))
def test_a_stream_is_cut_into_its_messages_wherever_it_is_broken(bodies: list[bytes], steps: list[int]) -> None:
    stream, messages, found, turn = b"".join(map(framed, bodies)), wire.Messages(), [], 0
    while stream:
        step = steps[turn % len(steps)]
        found += messages.feed(stream[:step])
        stream, turn = stream[step:], turn + 1
    assert found == bodies


def test_a_message_that_comes_alone_is_not_copied() -> None:
    messages = wire.Messages()
    for _ in range(3):
        data = framed(b"message")
        (found,) = messages.feed(data)
        assert found.obj is data


@pytest.mark.parametrize("size", [0, wire.MAX_REPLY_BYTES + 1, 0x64656275])  # the last is "debu": a greeting, not SFTP
def test_a_message_of_an_impossible_size_is_an_error(size: int) -> None:
    with pytest.raises(wire.WireError, match=str(size)):
        list(wire.Messages().feed(struct.pack(">I", size)))


def test_a_version_names_its_extensions() -> None:
    body = struct.pack(">BI", 2, 3) + text(wire.FSYNC.encode()) + text(b"1") + text(b"other") + text(b"")
    assert wire.decode_version(body) == wire.Version(number=3, extensions=frozenset({wire.FSYNC, "other"}))
    with pytest.raises(wire.WireError):
        wire.decode_version(b"Welcome")


def test_free_space_is_counted_in_fragments() -> None:
    body = struct.pack(">11Q", 4096, 1024, 1000, 600, 500, 90, 80, 70, 1, 0, 255)
    assert wire.decode_file_system(body) == wire.FileSystem(free_bytes=500 * 1024, free_files=70)
    body = struct.pack(">11Q", 4096, 1024, 1000, 600, 500, 0, 0, 0, 1, 0, 255)
    assert wire.decode_file_system(body).free_files is None


def test_what_a_server_says_is_cut_short_and_printable() -> None:
    body = struct.pack(">BII", 101, 1, 4) + text(b"\x1b[2J\n" + b"x" * 500)
    _, reply = wire.decode_reply(body)
    assert isinstance(reply, wire.Status)
    assert reply.text.isprintable()
    assert len(reply.text) == wire.TEXT_MAX_CHARS


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (wire.open_file(b"/a", 0x2A), "00000013 03 00000001 00000002 2f61 0000002a 00000000"),
        (wire.close(b"h"), "0000000a 04 00000001 00000001 68"),
        (wire.read(b"h", 1, 2), "00000016 05 00000001 00000001 68 0000000000000001 00000002"),
        (wire.write(b"h", 1, b"xy"), "00000018 06 00000001 00000001 68 0000000000000001 00000002 7879"),
        (wire.rename(b"a", b"b"), "0000000f 12 00000001 00000001 61 00000001 62"),
        (wire.extended("f@x", b"h"), "00000011 c8 00000001 00000003 664078 00000001 68"),
    ],
)
def test_requests_have_the_bytes_of_the_specification(request_: wire.Request, expected: str) -> None:
    assert b"".join(wire.message(1, request_)).hex() == expected.replace(" ", "")


@pytest.mark.parametrize(("flags", "read_only"), [(0, False), (1, True), (2, False), (3, True)])
def test_a_file_system_says_whether_it_is_read_only(flags: int, read_only: bool) -> None:
    body = struct.pack(">11Q", 4096, 1024, 1000, 600, 500, 90, 80, 70, 1, flags, 255)
    assert wire.decode_file_system(body).read_only is read_only
