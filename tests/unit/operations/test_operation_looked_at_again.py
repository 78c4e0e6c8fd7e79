"""What must be read again although it looks the same: what could not be read, what would not hold still, what is lost.

Each snapshot that follows is held against one of the same tree into a fresh repository (`Trial.check`).
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

import snapstore
from snapstore.crypto.derivation import digest
from snapstore.format.names import new_name, object_path, pack_path
from snapstore.format.notes import Condemn, encode_condemn
from snapstore.operations.context import DossierContext
from snapstore.operations.snapshot import reuse
from snapstore.sources.directory import SourceDirectory
from snapstore.sources.file import SourceFile
from snapstore.sources.small import SmallFiles
from snapstore.types import EntryType, SnapshotOptions

ContextOf = Callable[[snapstore.Dossier], DossierContext]
BeforeReading = Callable[[Callable[[bytes], object]], None]
NOBODY = 65534
SIZES = {"inline": 10, "bundled": 9000, "medium": 100_000, "by blocks": 1_100_000}

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX trees"),
    pytest.mark.usefixtures("way"),
]


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def tree(trial: Any) -> Path:
    top = Path(trial.lab.source)
    for folder in ("", "one", "one/two", "beside"):
        (top / folder).mkdir(exist_ok=True)
        for seed, (name, size) in enumerate(SIZES.items()):
            if name != "by blocks" or folder == "one/two":
                (top / folder / name).write_bytes(noise(size, len(folder) * 10 + seed))
    return top


FILES = 13  # in `tree`
BYTES = 4 * (10 + 9000 + 100_000) + 1_100_000


# --- between the look and the reading --------------------------------------------------------------------------------


def vanish(path: Path, size: int) -> tuple[str | None, bytes | None]:
    path.unlink()
    return "vanished", None


def grow(path: Path, size: int) -> tuple[str | None, bytes | None]:
    """To the next kind of content: inline to a bundle, bundled to chunks, read whole to read by blocks."""
    content = noise({10: 5000, 9000: 70_000, 100_000: 1_100_000, 1_100_000: 1_200_000}[size], 2)
    path.write_bytes(content)
    return None, content


def grow_beyond_all(path: Path, size: int) -> tuple[str | None, bytes | None]:
    content = noise(1_300_000, 3)
    path.write_bytes(content)
    return None, content


def shrink(path: Path, size: int) -> tuple[str | None, bytes | None]:
    content = noise({10: 3, 9000: 500, 100_000: 20_000, 1_100_000: 90_000}[size], 4)
    path.write_bytes(content)
    return None, content


def empty(path: Path, size: int) -> tuple[str | None, bytes | None]:
    path.write_bytes(b"")
    return None, b""


def change(path: Path, size: int) -> tuple[str | None, bytes | None]:
    content = noise(size, 6)
    found = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    return None, content


def become_folder(path: Path, size: int) -> tuple[str | None, bytes | None]:
    path.unlink()
    path.mkdir()
    return "replaced", None


def become_link(path: Path, size: int) -> tuple[str | None, bytes | None]:
    path.unlink()
    path.symlink_to("/etc/hostname")
    return "replaced", None


def become_pipe(path: Path, size: int) -> tuple[str | None, bytes | None]:
    path.unlink()
    os.mkfifo(path)
    return "replaced", None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "happens", [vanish, grow, grow_beyond_all, shrink, empty, change, become_folder, become_link, become_pipe]
)
def test_a_file_that_changes_after_it_was_looked_at(
    trial: Any, before_reading: BeforeReading, happens: Callable[..., Any], size: str
) -> None:
    path = trial.lab.source / size
    for name in ("a neighbour", size, "z neighbour"):
        (trial.lab.source / name).write_bytes(noise(SIZES[size], len(name)))
    said: list[Any] = []

    def once(name: bytes) -> None:
        if name == os.fsencode(size) and not said:
            said.extend(happens(path, SIZES[size]))

    before_reading(once)
    report = trial.snapshot()
    code, content = said
    if code is None:
        assert report.problems == ()
    else:
        [problem] = report.problems
        assert problem.path == str(path)
    found = trial.lab.folder / "target"
    trial.dossier.restore(report.snapshot, to=found, secret=trial.lab.secret)
    assert (found / size).read_bytes() == content if content is not None else not (found / size).exists()
    for name in ("a neighbour", "z neighbour"):
        assert (found / name).read_bytes() == noise(SIZES[size], len(name))
    assert report.snapshot.files == (3 if content is not None else 2)
    trial.check()
    again = trial.check()
    assert (again.raw_bytes_read, again.problems) == (0, ())


@pytest.mark.parametrize("size", SIZES)
def test_a_file_that_changes_each_time_it_is_read(trial: Any, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    for name in (size, "neighbour"):
        (trial.lab.source / name).write_bytes(noise(SIZES[size], len(name)))
    read_small, changed = SourceDirectory.read_small, SourceFile.changed

    def read(self: SourceDirectory, entries: Any, limit: int) -> SmallFiles:
        found = read_small(self, entries, limit)
        files = [file._replace(changed=file.entry.name == os.fsencode(size)) for file in found.files]
        return SmallFiles(data=found.data, files=files)

    with monkeypatch.context() as patch:
        patch.setattr(SourceDirectory, "read_small", read)
        patch.setattr(SourceFile, "changed", lambda self: changed(self) or self.entry.name == os.fsencode(size))
        for _ in range(2):
            report = trial.snapshot()
            assert [(item.code, item.path) for item in report.problems] == [
                ("changed_while_read", str(trial.lab.source / size))
            ]
            marked = {entry.path for entry in trial.dossier.entries("latest") if entry.changed_while_read}
            assert marked == {size}
    report = trial.check()
    assert report.raw_bytes_read >= SIZES[size]
    assert not [entry for entry in trial.dossier.entries("latest") if entry.changed_while_read]


def test_files_changed_within_three_seconds_are_read_again(lab: Any, tree_of_two: list[Path]) -> None:
    """Times set back do not help: the time of change is fresh. Nor does a folder that looks as it did."""
    dossier = lab.dossier()
    size = sum(path.stat().st_size for path in tree_of_two)
    for number in range(3):
        for path in tree_of_two:
            found = path.stat()
            with path.open("r+b") as file:
                file.write(b"%d" % number)
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        report = dossier.snapshot(lab.source)
        assert report.raw_bytes_read == size
        lab.assert_restores(dossier, lab.facts(), report.snapshot)
        assert dossier.snapshot(lab.source).raw_bytes_read == size


@pytest.fixture
def tree_of_two(lab: Any) -> list[Path]:
    paths = [lab.write("file", noise(300)), lab.write("folder/file", noise(90_000))]
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))
    return paths


# --- what could not be read ------------------------------------------------------------------------------------------


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def private(trial: Any) -> Iterator[Any]:
    """A lab whose state is nobody's, and a source of root's in which some files are root's alone."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else, since root may read everything")
    trial.lab.write("warm", b"x")
    trial.snapshot()  # what is imported when it is first needed is imported as root
    with tempfile.TemporaryDirectory(prefix="snapstore-test-") as name:
        folder = Path(name)
        shutil.copytree(trial.lab.folder / "state one", folder / "state one")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        source = folder / "source"
        (source / "sub").mkdir(parents=True)
        for seed, (kind, size) in enumerate(SIZES.items()):
            (source / "sub" / kind).write_bytes(noise(size, seed))
            (source / "sub" / f"{kind} closed").write_bytes(noise(size, 10 + seed))
            (source / "sub" / f"{kind} closed").chmod(0o600)
        yield replace(trial, lab=replace(trial.lab, folder=folder), dossier=replace(trial.lab, folder=folder).dossier())


def closed_in(private: Any) -> list[tuple[str, str]]:
    return sorted(("unreadable", str(path)) for path in private.lab.source.rglob("* closed"))


def test_unreadable_at_first_and_readable_later(private: Any) -> None:
    for _ in range(2):  # each run says it again
        with as_nobody():
            report = private.snapshot()
        assert sorted((item.code, item.path) for item in report.problems) == closed_in(private)
        assert report.snapshot.files == 4
    report = private.snapshot()
    assert (report.problems, report.snapshot.files, report.files_new) == ((), 8, 4)
    private.lab.assert_restores(private.dossier, private.lab.facts(), report.snapshot)
    assert private.snapshot().raw_bytes_read == 0


def test_readable_at_first_and_unreadable_later(private: Any) -> None:
    """Unchanged files are not opened, so nothing is wrong; one that has to be read is a problem."""
    private.snapshot()
    for path in (private.lab.folder / "state one").rglob("*"):
        os.chown(path, NOBODY, NOBODY)
    with as_nobody():
        report = private.snapshot()
    assert (report.problems, report.raw_bytes_read, report.snapshot.files) == ((), 0, 8)
    private.lab.assert_restores(private.dossier, private.lab.facts(), report.snapshot)
    with as_nobody():
        report = private.snapshot(options=SnapshotOptions(force_read=True))
    assert sorted((item.code, item.path) for item in report.problems) == closed_in(private)
    assert report.snapshot.files == 4


def test_a_problem_with_what_was_saved_is_told_again_in_each_run(trial: Any) -> None:
    """A file that was saved without its attributes is not taken for unchanged: perhaps they can be read now."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        path = Path(folder) / "file"
        (Path(folder) / "beside").write_bytes(noise(900))
        path.write_bytes(b"x")
        try:
            for number in range(80):
                os.setxattr(path, f"user.{number}", bytes(65_000))
        except OSError:
            pytest.skip("this system does not take as many attributes")
        for _ in range(3):
            report = trial.check(folder)
            assert [(item.code, item.path) for item in report.problems] == [("xattr_too_large", str(path))]
        for number in range(1, 80):
            os.removexattr(path, f"user.{number}")
        os.setxattr(path, "user.0", bytes(3000))
        assert trial.check(folder).problems == ()
        [entry] = [entry for entry in trial.dossier.entries("latest") if entry.path == "file"]
        assert dict(entry.xattrs) == {b"user.0": bytes(3000)}


def test_what_cannot_be_saved_is_told_again_in_each_run(trial: Any, tree: Path) -> None:
    import socket

    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(tree / "one")  # a socket's path has at most 108 bytes
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
    for _ in range(3):
        report = trial.check()
        assert [(item.code, item.path) for item in report.problems] == [
            ("unsupported_type", str(tree / "one" / "socket"))
        ]
    assert (report.raw_bytes_read, report.files_unchanged) == (0, FILES)


# --- what is lost ----------------------------------------------------------------------------------------------------


def packs_of(context: DossierContext) -> dict[str, int]:
    index = context.repository.index(refresh=True).index
    return {name: index.entries(name)[0].kind for name, _, usable in index.packs() if usable}


def condemn(lab: Any, of: DossierContext, pack: str) -> None:
    note = Condemn(station_id=of.repository.state.station.id, time_ns=1, packs=(pack,))
    data = encode_condemn(of.repository.newest_maintenance(), of.repository.config.repository_id, note)
    lab.store.put(object_path("condemn", new_name(digest(data))), data)


@pytest.mark.parametrize("harm", ["lost", "cut", "condemned"])
@pytest.mark.parametrize("kind", [1, 2], ids=["data", "tree"])
def test_without_a_pack_each_blob_is_looked_up(
    trial: Any, tree: Path, context: ContextOf, harm: str, kind: int
) -> None:
    """Folders look as they did; what was in the pack is stored again, and the new snapshot does not need it."""
    trial.check()
    of = context(trial.dossier)
    [pack] = [name for name, its_kind in packs_of(of).items() if its_kind == kind][:1]
    whole = trial.lab.store.get(pack_path(pack))
    if harm == "condemned":
        condemn(trial.lab, of, pack)
    else:
        trial.lab.store.delete(pack_path(pack))
        if harm == "cut":
            trial.lab.store.put(pack_path(pack), whole[:-1])
    trial.dossier = trial.lab.dossier()
    report = trial.check()
    assert report.files_unchanged == FILES
    assert report.blobs_added > 0
    if kind == 2:  # only the file with a chunk list is read: its list was in the pack
        assert report.raw_bytes_read == SIZES["by blocks"]
    else:
        assert 0 < report.raw_bytes_read < BYTES + 1
    if harm == "condemned":
        trial.lab.store.delete(pack_path(pack))
        lost_again = trial.lab.restored(trial.lab.dossier(), report.snapshot)
        assert lost_again.keys() == trial.lab.facts().keys()
    again = trial.check()
    assert (again.raw_bytes_read, again.blobs_added) == (0, 0)


def test_force_reads_everything_and_the_next_run_nothing(trial: Any, tree: Path) -> None:
    first = trial.check()
    assert first.raw_bytes_read == BYTES
    forced = trial.check(options=SnapshotOptions(force_read=True))
    assert (forced.raw_bytes_read, forced.blobs_added) == (BYTES, 0)
    assert trial.check().raw_bytes_read == 0


# --- rows of the cache -----------------------------------------------------------------------------------------------


def change_rows(trial: Any, change: Callable[[bytes, bytes], bytes]) -> int:
    [cache] = (trial.lab.folder / "state one").rglob("folders.sqlite")
    with sqlite3.connect(cache) as connection:
        rows = connection.execute("SELECT path, record FROM folders WHERE path != x''").fetchall()
        for path, record in rows:
            connection.execute("UPDATE folders SET record=? WHERE path=?", (change(path, record), path))
    connection.close()
    return len(rows)


def sealed(path: bytes, items: list[Any]) -> bytes:
    packed = msgpack.packb(items)
    return reuse._check(path, packed) + packed


def as_items(record: bytes) -> list[Any]:
    items: list[Any] = msgpack.unpackb(record[reuse._CHECK_BYTES :])
    assert len(items) == 6
    return items


def older(path: bytes, record: bytes) -> bytes:
    """As it was before there were looks: files, folders, node, totals."""
    _, _, subtree, totals, folders, packed = as_items(record)
    flat = msgpack.unpackb(packed)
    files = [list(line) for line in zip(flat[::3], flat[1::3], flat[2::3], strict=True)]
    return sealed(path, [files, folders, subtree, totals])


ROWS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "older": older,
    "cut": lambda _, record: record[:-1],
    "empty": lambda _, record: b"",
    "check only": lambda _, record: record[: reuse._CHECK_BYTES],
    "first bit": lambda _, record: bytes([record[0] ^ 1]) + record[1:],
    "last bit": lambda _, record: record[:-1] + bytes([record[-1] ^ 1]),
    "another folder's": lambda path, record: reuse._check(path + b"x", record[16:]) + record[16:],
    "longer": lambda path, record: sealed(path, [*as_items(record), 1]),
    "no list": lambda path, record: sealed(path, 7),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("change", ROWS)
def test_rows_that_are_none(trial: Any, tree: Path, change: str) -> None:
    trial.check()
    assert change_rows(trial, ROWS[change]) == 4
    report = trial.check()
    assert (report.raw_bytes_read, report.blobs_added, report.files_new) == (BYTES, 0, FILES)
    assert trial.check().raw_bytes_read == 0


def test_one_row_that_is_none_among_good_ones(trial: Any, tree: Path) -> None:
    trial.check()
    hit = os.fsencode(tree / "one")
    change_rows(trial, lambda path, record: record[:-1] if path == hit else record)
    report = trial.check()
    assert (report.raw_bytes_read, report.files_new, report.files_unchanged) == (109_010, 3, FILES - 3)


def test_a_row_without_a_look_spares_the_reading_only(trial: Any, tree: Path) -> None:
    trial.check()
    change_rows(trial, lambda path, record: sealed(path, [None, *as_items(record)[1:]]))
    report = trial.check()
    assert (report.raw_bytes_read, report.files_unchanged) == (0, FILES)


def test_a_type_of_entry_that_is_not_a_file_is_not_taken_for_one(trial: Any) -> None:
    """A link, then a file of the same name, and back: the signature begins with the type."""
    path = trial.lab.source / "name"
    for _ in range(2):
        path.symlink_to("x" * 10)
        trial.check()
        path.unlink()
        path.write_bytes(b"y" * 10)
        trial.check()
        [entry] = list(trial.dossier.entries("latest"))
        assert (entry.type, entry.size) == (EntryType.FILE, 10)
        path.unlink()
        (trial.lab.source / "beside").write_bytes(b"")
        trial.check()
        (trial.lab.source / "beside").unlink()
