"""The messages of SFTP version 3, to bytes and back (draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL file).

Here: requests, replies, attributes, the extensions that are used, and the cutting of a stream into messages. Not
here: any input or output (client.py), and what a status means for an object (failures.py).

Rules: pure. Version 3 is what every server speaks and what OpenSSH speaks alone. Decoders are total: any bytes give a
reply or a `WireError`. A request is a kind and the parts of its body, which are joined once, when many are sent:
blocks of objects are not copied here. Text of a server is untrusted: it is cut short and made printable.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..protocol import Block

VERSION: Final = 3
MAX_REPLY_BYTES: Final = 1 << 20  # we ask for 256 KiB at most; OpenSSH itself takes no message above this either
TEXT_MAX_CHARS: Final = 120

INIT: Final = 1
VERSION_REPLY: Final = 2

OK: Final = 0
EOF: Final = 1
NO_SUCH_FILE: Final = 2
PERMISSION_DENIED: Final = 3
FAILURE: Final = 4
OP_UNSUPPORTED: Final = 8
# Of later versions; some servers send them in version 3 as well.
FILE_ALREADY_EXISTS: Final = 11
WRITE_PROTECT: Final = 12
NO_SPACE_ON_FILESYSTEM: Final = 14
QUOTA_EXCEEDED: Final = 15

READ_FLAG: Final = 0x01
WRITE_FLAG: Final = 0x02
CREATE_FLAG: Final = 0x08
EXCLUSIVE_FLAG: Final = 0x20

FSYNC: Final = "fsync@openssh.com"
LIMITS: Final = "limits@openssh.com"
POSIX_RENAME: Final = "posix-rename@openssh.com"
STATVFS: Final = "statvfs@openssh.com"

_HEAD = struct.Struct(">IBI")
_UINT32 = struct.Struct(">I")
_UINT64 = struct.Struct(">Q")
_NO_ATTRIBUTES: Final = _UINT32.pack(0)
_READ_ONLY: Final = 1  # the flag SSH_FXE_STATVFS_ST_RDONLY
_STATVFS = struct.Struct(">11Q")
_LIMITS = struct.Struct(">4Q")


class WireError(Exception):
    """What came is no SFTP, or no answer to what was asked."""


class Request(NamedTuple):
    """One message to a server, without its number."""

    kind: int
    parts: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What became of a request that gives nothing back."""

    code: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """An open file or folder."""

    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Bytes of a file."""

    block: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a server tells of a file; None where it does not."""

    size: int | None = None
    mode: int | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, as far as the server says."""
        return self.mode is None or stat.S_IFMT(self.mode) in (0, stat.S_IFREG)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, as far as the server says."""
        return self.mode is None or stat.S_IFMT(self.mode) in (0, stat.S_IFDIR)


class Entry(NamedTuple):
    """One name in a folder."""

    name: bytes
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Some entries of a folder."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """The answer to a request of an extension."""

    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """How a server introduces itself."""

    number: int
    extensions: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """What statvfs tells."""

    free_bytes: int
    free_files: int | None
    """How many files can still be made, or None where the file system does not count them."""
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that a server takes in one message; 0 where it does not say."""

    read_bytes: int
    write_bytes: int


Reply = Status | Handle | Data | Names | Attributes | Extended


def hello() -> bytes:
    """The first message, which has no number."""
    return struct.pack(">IBI", 5, INIT, VERSION)


def message(number: int, request: Request) -> list[Block]:
    """The parts of a request as they are sent."""
    size = 5 + sum(map(len, request.parts))
    return [_HEAD.pack(size, request.kind, number), *request.parts]


def open_file(path: bytes, flags: int) -> Request:
    """SSH_FXP_OPEN; what is made gets the server's usual permissions."""
    return Request(3, (_text(path), _UINT32.pack(flags), _NO_ATTRIBUTES))


def close(handle: bytes) -> Request:
    """SSH_FXP_CLOSE."""
    return Request(4, (_text(handle),))


def read(handle: bytes, offset: int, size: int) -> Request:
    """SSH_FXP_READ."""
    return Request(5, (_text(handle), _UINT64.pack(offset), _UINT32.pack(size)))


def write(handle: bytes, offset: int, block: Block) -> Request:
    """SSH_FXP_WRITE."""
    return Request(6, (_text(handle) + _UINT64.pack(offset) + _UINT32.pack(len(block)), block))


def lstat(path: bytes) -> Request:
    """SSH_FXP_LSTAT."""
    return Request(7, (_text(path),))


def fstat(handle: bytes) -> Request:
    """SSH_FXP_FSTAT."""
    return Request(8, (_text(handle),))


def open_folder(path: bytes) -> Request:
    """SSH_FXP_OPENDIR."""
    return Request(11, (_text(path),))


def read_folder(handle: bytes) -> Request:
    """SSH_FXP_READDIR."""
    return Request(12, (_text(handle),))


def remove(path: bytes) -> Request:
    """SSH_FXP_REMOVE."""
    return Request(13, (_text(path),))


def remove_folder(path: bytes) -> Request:
    """SSH_FXP_RMDIR, which refuses a folder that is not empty."""
    return Request(15, (_text(path),))


def make_folder(path: bytes) -> Request:
    """SSH_FXP_MKDIR."""
    return Request(14, (_text(path), _NO_ATTRIBUTES))


def stat_path(path: bytes) -> Request:
    """SSH_FXP_STAT."""
    return Request(17, (_text(path),))


def rename(old: bytes, new: bytes) -> Request:
    """SSH_FXP_RENAME, which is to fail where the new name exists."""
    return Request(18, (_text(old), _text(new)))


def extended(extension: str, *texts: bytes) -> Request:
    """SSH_FXP_EXTENDED with texts: a handle for fsync, a path for statvfs, two for posix-rename, none for limits."""
    return Request(200, (_text(extension.encode()), *map(_text, texts)))


class Messages:
    """Cuts a stream into messages, without their sizes."""

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = []
        self._size = 0
        self._needed = _UINT32.size

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """The messages that are whole now, as views. Raises WireError for what can be none."""
        self._parts.append(data)
        self._size += len(data)
        if self._size < self._needed:
            return
        stream = memoryview(b"".join(self._parts) if len(self._parts) > 1 else data)
        start = 0
        try:
            while self._size - start >= _UINT32.size:
                (size,) = _UINT32.unpack_from(stream, start)
                if not 1 <= size <= MAX_REPLY_BYTES:
                    raise WireError(f"a message of {size} bytes")
                self._needed = _UINT32.size + size
                if self._size - start < self._needed:
                    break
                start += self._needed
                self._needed = _UINT32.size
                yield stream[start - size : start]
        finally:
            self._parts = [stream[start:]] if start < self._size else []
            self._size -= start


def decode_version(body: Block) -> Version:
    """The first message of a server."""
    reader = _Reader(body)
    if reader.byte() != VERSION_REPLY:
        raise WireError("the server began with something else than its version")
    number = reader.uint32()
    extensions = set()
    while reader.left:
        extensions.add(reader.text().decode("ascii", "replace"))
        reader.text()  # the extension's own version, "1" or "2", which never mattered
    return Version(number=number, extensions=frozenset(extensions))


def decode_reply(body: Block) -> tuple[int, Reply]:
    """A reply and the number of the request that it belongs to."""
    reader = _Reader(body)
    kind, number = reader.byte(), reader.uint32()
    if kind == 101:
        code = reader.uint32()
        text = reader.text() if reader.left else b""  # old servers send no text; a language may follow
        return number, Status(code=code, text=_shown(text))
    if kind == 102:
        return number, Handle(value=reader.text())
    if kind == 103:
        return number, Data(block=reader.view())
    if kind == 104:
        return number, _names(reader)
    if kind == 105:
        return number, _attributes(reader)
    if kind == 201:
        return number, Extended(body=reader.rest())
    raise WireError(f"a message of the unknown kind {kind}")


def decode_file_system(body: bytes) -> FileSystem:
    """The answer to statvfs@openssh.com."""
    if len(body) < _STATVFS.size:
        raise WireError("the free space is cut short")
    _, fragment, _, _, available, files, _, free_files, _, flags, _ = _STATVFS.unpack_from(body)
    return FileSystem(
        free_bytes=fragment * available,
        free_files=free_files if files else None,
        read_only=bool(flags & _READ_ONLY),
    )


def decode_limits(body: bytes) -> Limits:
    """The answer to limits@openssh.com."""
    if len(body) < _LIMITS.size:
        raise WireError("the limits are cut short")
    _, read_bytes, write_bytes, _ = _LIMITS.unpack_from(body)
    return Limits(read_bytes=read_bytes, write_bytes=write_bytes)


def _text(text: bytes) -> bytes:
    return _UINT32.pack(len(text)) + text


def _shown(text: bytes) -> str:
    letters = text[:TEXT_MAX_CHARS].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in letters)


def _names(reader: _Reader) -> Names:
    count = reader.uint32()
    entries = []
    for _ in range(count):  # a forged count ends with the bytes: each entry takes some
        name = reader.text()
        reader.text()  # as `ls -l` shows it, which nobody may take apart
        entries.append(Entry(name, _attributes(reader)))
    return Names(entries=tuple(entries))


def _attributes(reader: _Reader) -> Attributes:
    flags = reader.uint32()
    size = reader.uint64() if flags & 0x1 else None
    if flags & 0x2:
        reader.uint64()  # owner and group
    mode = reader.uint32() if flags & 0x4 else None
    if flags & 0x8:
        reader.uint64()  # times
    if flags & 0x80000000:
        for _ in range(reader.uint32()):
            reader.text()
            reader.text()
    return Attributes(size=size, mode=mode)


class _Reader:
    """Takes fields from the front of a message."""

    def __init__(self, body: Block) -> None:
        self._body = memoryview(body)
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def byte(self) -> int:
        return self._take(1)[0]

    def uint32(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def uint64(self) -> int:
        return int.from_bytes(self._take(8), "big")

    def text(self) -> bytes:
        return bytes(self.view())

    def view(self) -> memoryview:
        return self._take(self.uint32())

    def rest(self) -> bytes:
        return bytes(self._take(self.left))

    def _take(self, size: int) -> memoryview:
        if size > self.left:
            raise WireError("a message ends before its fields do")
        start, self._at = self._at, self._at + size
        return self._body[start : self._at]
