"""Many small files in one call: the compiled way and its twin give the same, whatever happens to a file."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from snapstore.sources.attributes import SKIPPED_XATTR_PREFIXES, SKIPPED_XATTRS
from snapstore.sources.directory import ScannedEntry, SmallFile, SmallFiles, SourceDirectory, open_source
from snapstore.sources.native import POSIX, choose_posix
from snapstore.types import EntryType

LIMIT = 1000
WAYS = [False, True] if POSIX is not None else [False]
compiled = pytest.mark.skipif(POSIX is None, reason="the compiled module is not built")


def facts(file: SmallFile, asked: ScannedEntry) -> tuple[object, ...]:
    error = file.error and (type(file.error), file.error.errno, file.error.strerror, file.error.filename)
    return (file.entry, file.entry is asked, file.size, file.changed, file.attributes, error)


def assert_twins_agree(source: SourceDirectory, entries: Sequence[ScannedEntry], limit: int = LIMIT) -> SmallFiles:
    by_kernel = source.read_small(entries, limit, _native=True)
    by_twin = source.read_small(entries, limit, _native=False)
    assert by_kernel.data == by_twin.data
    assert list(map(facts, by_kernel.files, entries)) == list(map(facts, by_twin.files, entries))
    assert sum(file.size for file in by_kernel.files) == len(by_kernel.data)
    return by_kernel


def regular(source: SourceDirectory) -> list[ScannedEntry]:
    return [entry for entry in source.scan() if entry.type is EntryType.FILE]


def test_the_way_can_be_chosen() -> None:
    assert choose_posix(native=False) is None
    assert choose_posix(native=None) is POSIX


@pytest.mark.parametrize("native", WAYS)
def test_sizes_about_the_limit(tmp_path: Path, native: bool) -> None:
    contents = {size: os.urandom(size) for size in (0, 1, LIMIT - 1, LIMIT, LIMIT + 1, LIMIT + 2, 50_000)}
    for size, content in contents.items():
        (tmp_path / f"{size:06d}").write_bytes(content)
    with open_source(str(tmp_path)) as source:
        entries = source.scan()
        read = source.read_small(entries, LIMIT, _native=native)
        assert [file.size for file in read.files] == [min(size, LIMIT + 1) for size in sorted(contents)]
        assert read.data == b"".join(contents[size][: LIMIT + 1] for size in sorted(contents))
        assert all(file.entry is entry for file, entry in zip(read.files, entries, strict=True))
        assert not any(file.changed or file.error for file in read.files)
        attributes = source.attributes(entries[0])
        assert all(file.attributes is read.files[0].attributes for file in read.files)
        assert read.files[0].attributes == attributes
        backwards = source.read_small(entries[::-1], LIMIT, _native=native)
        assert [file.entry for file in backwards.files] == entries[::-1]
        nothing = source.read_small([], LIMIT, _native=native)
        assert (nothing.data, list(nothing.files)) == (b"", [])


@compiled
def test_twins_agree_on_sizes(tmp_path: Path) -> None:
    for size in (0, 1, LIMIT, LIMIT + 1, 5 * LIMIT):
        (tmp_path / str(size)).write_bytes(os.urandom(size))
    with (tmp_path / "sparse").open("wb") as writer:
        writer.truncate(2**40)
    with open_source(str(tmp_path)) as source:
        for limit in (0, 1, LIMIT, 10 * LIMIT):
            assert_twins_agree(source, regular(source), limit)


@compiled
def test_twins_agree_on_names_of_any_bytes(tmp_path: Path) -> None:
    names = [b"\xff\xfe", b"new\nline", b" ", b"n" * 255, bytes(range(1, 47)) + bytes(range(48, 256))]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(name)
    with open_source(str(tmp_path)) as source:
        assert assert_twins_agree(source, source.scan()).data == b"".join(sorted(names))


def _swap(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "vanished": lambda path: path.unlink(),
    "a link in its place": _swap(lambda path: path.symlink_to("b")),
    "a pipe in its place": _swap(os.mkfifo) if sys.platform != "win32" else lambda path: None,
    "a folder in its place": _swap(lambda path: path.mkdir()),
    "a device in its place": _swap(lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))),
    "another file in its place": _swap(lambda path: path.write_bytes(b"b2")),
    "a smaller one": lambda path: path.write_bytes(b""),
    "a larger one": lambda path: path.write_bytes(b"larger, but small"),
    "beyond the limit": lambda path: path.write_bytes(b"l" * (3 * LIMIT)),
    "another mode": lambda path: os.chmod(path, 0o640),
    "another time": lambda path: os.utime(path, ns=(7, 7)),
    "a time beyond 64 bits": lambda path: os.utime(path, ns=(7, 2**40 * 1_000_000_000)),
    "another name": lambda path: os.link(path, path.with_name("zz")),
}


@compiled
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_twins_agree_on_what_happened_since_the_scan(
    tmp_path: Path, as_root: None, change: Callable[[Path], object]
) -> None:
    for name in "abcd":
        (tmp_path / name).write_bytes(name.encode() * 10)
    with open_source(str(tmp_path)) as source:
        entries = source.scan()
        try:
            change(tmp_path / "b")
        except OSError as error:
            pytest.skip(f"not on this file system: {error}")
        read = assert_twins_agree(source, entries)
        assert read.data.startswith(b"a" * 10)
        assert read.data.endswith(b"c" * 10 + b"d" * 10)
        assert [file.error for file in (read.files[0], *read.files[2:])] == [None] * 3


@compiled
@pytest.mark.parametrize("code", [errno.ENOENT, errno.ELOOP, errno.ESTALE])
def test_errors_are_those_of_open_file(tmp_path: Path, code: int) -> None:
    (tmp_path / "a").write_bytes(b"content")
    with open_source(str(tmp_path)) as source:
        (entry,) = source.scan()
        (tmp_path / "a").unlink()
        if code == errno.ELOOP:
            (tmp_path / "a").symlink_to("nowhere")
        elif code == errno.ESTALE:
            os.mkfifo(tmp_path / "a")
        (file,) = assert_twins_agree(source, [entry]).files
        with pytest.raises(OSError, match=r".") as caught:
            source.open_file(entry)
        assert file.error is not None
        assert (file.error.errno, file.error.filename) == (code, caught.value.filename)
        assert (file.entry, file.size, file.changed, file.attributes.xattrs) == (entry, 0, False, {})


@compiled
def test_twins_agree_as_another_user(tmp_path: Path, as_root: None) -> None:
    os.chmod(tmp_path, 0o755)
    for name, mode in {"closed": 0o600, "open": 0o644, "own": 0o600}.items():
        (tmp_path / name).write_bytes(name.encode())
        os.chmod(tmp_path / name, mode)
    os.chown(tmp_path / "own", 65534, 65534)
    with open_source(str(tmp_path)) as source:
        os.seteuid(65534)  # the system refuses not to touch the time of access of others' files: asked again without
        try:
            closed, readable, own = assert_twins_agree(source, source.scan()).files
        finally:
            os.seteuid(0)
    assert closed.error is not None
    assert closed.error.errno == errno.EACCES
    assert (readable.size, own.size) == (4, 3)


@compiled
def test_a_directory_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with open_source(str(tmp_path)) as source:
        entries = source.scan()
    with pytest.raises(ValueError, match="closed"):
        source.read_small(entries, LIMIT)
    with open_source(str(tmp_path / "none")) as source:
        (file,) = assert_twins_agree(source, entries).files
        assert file.error is not None
        assert file.error.errno == errno.ENOENT


@compiled
def test_twins_agree_on_extended_attributes(tmp_path: Path) -> None:
    for name in ("bare", "few", "more", "twin"):
        (tmp_path / name).write_bytes(name.encode())
    try:
        os.setxattr(tmp_path / "few", "user.a", b"")
        os.setxattr(tmp_path / "twin", "user.a", b"")
        for number in range(50, 0, -1):
            os.setxattr(tmp_path / "more", b"user.\xff%d" % number, b"\0\xff" * number)
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error.strerror}")
    with open_source(str(tmp_path)) as source:
        entries = source.scan()
        read = assert_twins_agree(source, entries)
        bare, few, more, twin = (file.attributes for file in read.files)
        assert bare.xattrs == {}
        assert few.xattrs == {b"user.a": b""}
        assert few is twin
        assert len(more.xattrs) == 50
        assert list(more.xattrs) == sorted(more.xattrs)
        (tmp_path / "bare").unlink()
        assert assert_twins_agree(source, entries).files[1].attributes == few


@compiled
def test_twins_agree_on_what_is_skipped(tmp_path: Path, as_root: None) -> None:
    """`trusted.glusterfs.` is a prefix that any file system takes; `security.evm` has a form that some insist on."""
    (tmp_path / "file").touch()
    names = ["trusted.glusterfs.x", "trusted.glusterfs.", "trusted.afr.1", "trusted.glusterf", "security.evm"]
    made = []
    for name in names:
        try:
            os.setxattr(tmp_path / "file", name, b"v")
            made.append(name.encode())
        except OSError:
            assert name == "security.evm" or not made
    if len(made) < 4:
        pytest.skip("no extended attributes here")
    with open_source(str(tmp_path)) as source:
        (file,) = assert_twins_agree(source, source.scan()).files
    assert list(file.attributes.xattrs) == [b"trusted.glusterf"]
    assert not any(name.endswith(b"\0") or not name for name in (*SKIPPED_XATTRS, *SKIPPED_XATTR_PREFIXES))


@compiled
def test_twins_agree_on_access_control_lists(tmp_path: Path) -> None:
    if shutil.which("setfacl") is None:
        pytest.skip("setfacl is not installed")
    (tmp_path / "file").write_bytes(b"x")
    try:
        subprocess.run(["setfacl", "-m", "u:4711:rw,g:4712:r", str(tmp_path / "file")], check=True, timeout=30)
    except subprocess.CalledProcessError:
        pytest.skip("this file system has no access control lists")
    with open_source(str(tmp_path)) as source:
        (file,) = assert_twins_agree(source, source.scan()).files
    assert list(file.attributes.xattrs) == [b"system.posix_acl_access"]


@pytest.mark.parametrize("native", WAYS)
def test_a_file_that_ends_before_its_size_has_changed(native: bool) -> None:
    """Files of sysfs claim a page and give a line."""
    if not Path("/sys/kernel/uevent_seqnum").is_file():
        pytest.skip("no sysfs here")
    with open_source("/sys/kernel") as source:
        (file,) = source.read_small([source.entry(b"uevent_seqnum")], 10_000, _native=native).files
    assert 0 < file.size < file.entry.size
    assert file.changed


@pytest.mark.parametrize("native", WAYS)
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, native: bool) -> None:
    size = 32 * 1024 * 1024  # takes long enough to be met
    (tmp_path / "file").write_bytes(bytes(size))
    stop = threading.Event()

    def touch() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            os.utime(tmp_path / "file", ns=(number, number))

    with open_source(str(tmp_path)) as source:
        entry = source.entry(b"file")
        toucher = threading.Thread(target=touch)
        toucher.start()
        try:
            for _ in range(20):
                (file,) = source.read_small([entry], size, _native=native).files
                if file.changed:
                    break
        finally:
            stop.set()
            toucher.join()
        assert file.changed
        assert file.size == size
        assert not source.read_small([source.entry(b"file")], size, _native=native).files[0].changed


@compiled
def test_nothing_stays_open(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / str(number)).write_bytes(b"x")
    with open_source(str(tmp_path)) as source:
        entries = source.scan()
        (tmp_path / "3").unlink()
        (tmp_path / "4").unlink()
        os.mkfifo(tmp_path / "4")
        before = os.listdir("/proc/self/fd")
        for _ in range(3):
            source.read_small(entries, LIMIT, _native=True)
            source.look(_native=True)
        assert os.listdir("/proc/self/fd") == before


@compiled
def test_the_compiled_function_checks_what_it_is_given(tmp_path: Path) -> None:
    assert POSIX is not None
    descriptor = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "file").write_bytes(b"x")
    with open_source(str(tmp_path)) as source:
        entry = source.entry(b"file")
    try:
        for wrong in ([b"file"], [tuple(entry)[:-1]], [(1, *entry[1:])]):
            with pytest.raises(TypeError, match="ScannedEntry"):
                POSIX.read_small(descriptor, wrong, EntryType.FILE, 10, b"", b"")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="limit"):
            POSIX.read_small(descriptor, [entry], EntryType.FILE, -1, b"", b"")
        for odd in (entry._replace(name=b"file\0"), entry._replace(size=-1), entry._replace(mtime_ns=2**70)):
            assert POSIX.read_small(descriptor, [odd], EntryType.FILE, 10, b"", b"")[0] == b""
        assert POSIX.look(-1) is None
        assert POSIX.read_small(-1, [entry], EntryType.FILE, 10, b"", b"")[0] == b""
    finally:
        os.close(descriptor)
