"""Folders that look as they did: taken over without an object per file, while all that changed beside them is seen.

Every snapshot here is held against one of the same tree into a fresh repository (`Trial.check`).
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import compare_trees
import pytest

import snapstore
from snapstore.operations.snapshot import folders, walk
from snapstore.sources.directory import FolderLook, SourceDirectory
from snapstore.types import EntryType, SnapshotOptions

CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n"
DEEP = "one/two/three"
FILES = 21  # in `tree`

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="edits of POSIX trees"),
    pytest.mark.usefixtures("way"),
]


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@dataclass
class Seen:
    """What a walk did beyond one look at each folder."""

    listed: list[str] = field(default_factory=list)
    """Folders for whose files objects were made."""
    read: set[str] = field(default_factory=set)
    """Files that were read, by their last names."""

    def clear(self) -> None:
        self.listed.clear()
        self.read.clear()


@pytest.fixture
def seen(
    monkeypatch: pytest.MonkeyPatch, trial: Any, before_reading: Callable[[Callable[[bytes], object]], None]
) -> Seen:
    seen = Seen()
    top = str(trial.lab.source)
    original = SourceDirectory.look

    def look(self: SourceDirectory) -> FolderLook:
        found = original(self)
        make_all, make_folders = found._make

        def listed() -> Any:
            seen.listed.append(os.path.relpath(self.path, top))
            return make_all()

        found._make = (listed, make_folders)
        return found

    monkeypatch.setattr(SourceDirectory, "look", look)
    before_reading(lambda name: seen.read.add(os.fsdecode(name)))
    return seen


@pytest.fixture
def tree(trial: Any) -> Path:
    """Three levels below the top, files of every kind of content in each of them."""
    top = Path(trial.lab.source)
    (top / DEEP).mkdir(parents=True)
    (top / "beside").mkdir()
    for number, folder in enumerate(["", "one", "one/two", DEEP, "beside"]):
        (top / folder / "tiny").write_bytes(b"tiny %d" % number)
        (top / folder / "small").write_bytes(noise(5000, number))
        (top / folder / "small too").write_bytes(noise(7000, 10 + number))
        (top / folder / "medium").write_bytes(noise(100_000, 20 + number))
    (top / "one" / "large").write_bytes(noise(1_200_000, 30))
    (top / "one" / "link").symlink_to("large")
    (top / "empty").mkdir()
    return top


def spent(trial: Any, seen: Seen, **more: Any) -> tuple[snapstore.SnapshotReport, list[str], list[str]]:
    """A snapshot, which folders it listed and which files it read; then it is held against a fresh one."""
    seen.clear()
    report = trial.snapshot(**more)
    listed, read = sorted(set(seen.listed)), sorted(seen.read)
    checked = trial.check(**more)
    assert checked.snapshot.total_bytes == report.snapshot.total_bytes
    return report, listed, read


def test_an_unchanged_tree_makes_no_object_of_a_file(trial: Any, seen: Seen, tree: Path) -> None:
    first = trial.check()
    assert (first.files_new, first.snapshot.files, first.snapshot.others) == (FILES, FILES, 1)
    for _ in range(2):
        seen.clear()
        report = trial.snapshot()
        assert set(seen.listed) <= {"."}  # whether a source is empty is looked at before
        assert not seen.read
        assert (report.files_new, report.files_changed, report.files_unchanged) == (0, 0, FILES)
        assert (report.raw_bytes_read, report.blobs_added) == (0, 0)
        trial.check()


# --- one edit, and what it makes the walk look at --------------------------------------------------------------------


def write_new(top: Path, folder: str) -> None:
    (top / folder / "new").write_bytes(noise(300))


def rewrite(top: Path, folder: str) -> None:
    (top / folder / "medium").write_bytes(noise(100_000, 99))


def remove(top: Path, folder: str) -> None:
    (top / folder / "medium").unlink()


def rename(top: Path, folder: str) -> None:
    (top / folder / "tiny").rename(top / folder / "other name")


def file_mode(top: Path, folder: str) -> None:
    (top / folder / "medium").chmod(0o640)


def file_owner(top: Path, folder: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(top / folder / "medium", 12, 34)


def file_time(top: Path, folder: str) -> None:
    os.utime(top / folder / "medium", ns=(10**18, 10**18))


def file_attribute(top: Path, folder: str) -> None:
    if sys.platform != "linux":
        pytest.skip("needs Linux")
    os.setxattr(top / folder / "medium", "user.note", b"new")


def folder_mode(top: Path, folder: str) -> None:
    (top / folder).chmod(0o710)


def folder_owner(top: Path, folder: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives folders away")
    os.chown(top / folder, 12, 34)


def folder_time(top: Path, folder: str) -> None:
    os.utime(top / folder, ns=(10**18, 10**18))


def folder_attribute(top: Path, folder: str) -> None:
    if sys.platform != "linux":
        pytest.skip("needs Linux")
    os.setxattr(top / folder, "user.note", b"new")
    os.setxattr(top / folder, "user.large", bytes(3000))


def new_folder(top: Path, folder: str) -> None:
    (top / folder / "new folder").mkdir()


Edit = Callable[[Path, str], None]
OF_FILES: dict[Edit, tuple[int, int, list[str]]] = {  # new, changed, read
    write_new: (1, 0, ["new"]),
    rewrite: (0, 1, ["medium"]),
    remove: (0, 0, []),
    rename: (1, 0, ["other name"]),
    file_mode: (0, 1, ["medium"]),
    file_owner: (0, 1, ["medium"]),
    file_time: (0, 1, ["medium"]),
    file_attribute: (0, 1, ["medium"]),
}
OF_FOLDERS = (folder_mode, folder_owner, folder_time, folder_attribute, new_folder)


@pytest.mark.parametrize("folder", [DEEP, "one", ""], ids=["deep", "shallow", "top"])
@pytest.mark.parametrize("edit", OF_FILES, ids=lambda edit: edit.__name__)
def test_an_edit_makes_only_its_own_folder_listed(trial: Any, seen: Seen, tree: Path, edit: Edit, folder: str) -> None:
    trial.check()
    edit(tree, folder)
    report, listed, read = spent(trial, seen)
    new, changed, names = OF_FILES[edit]
    assert (report.files_new, report.files_changed, read) == (new, changed, names)
    assert set(listed) - {"."} == {folder} - {""}
    assert report.files_unchanged == report.snapshot.files - new - changed


@pytest.mark.parametrize("folder", [DEEP, "one"], ids=["deep", "shallow"])
@pytest.mark.parametrize("edit", OF_FOLDERS, ids=lambda edit: edit.__name__)
def test_what_is_of_a_folder_itself_reads_nothing(trial: Any, seen: Seen, tree: Path, edit: Edit, folder: str) -> None:
    trial.check()
    edit(tree, folder)
    report, listed, read = spent(trial, seen)
    assert (report.files_new, report.files_changed, report.files_unchanged, read) == (0, 0, FILES, [])
    assert DEEP not in listed or edit is new_folder
    assert report.blobs_added > 0


def test_moves_between_folders(trial: Any, seen: Seen, tree: Path) -> None:
    trial.check()
    (tree / DEEP / "medium").rename(tree / "beside" / "moved")
    report, listed, read = spent(trial, seen)
    assert (report.files_new, report.files_unchanged, read) == (1, FILES - 1, ["moved"])
    assert set(listed) - {"."} == {DEEP, "beside"}
    (tree / "beside" / "tiny").rename(tree / DEEP / "tiny")  # over another
    report, listed, read = spent(trial, seen)
    assert (report.files_changed, report.files_unchanged, read) == (1, FILES - 2, ["tiny"])
    (tree / "one" / "two").rename(tree / "beside" / "two")
    report, _, _ = spent(trial, seen)
    assert (report.files_new, report.snapshot.files) == (7, FILES - 1)
    (tree / "beside" / "two").rename(tree / "one" / "two")
    report, _, _ = spent(trial, seen)
    assert (report.files_new, report.snapshot.files) == (7, FILES - 1)


def test_two_folders_change_places(trial: Any, seen: Seen, tree: Path) -> None:
    """Both have files of the same names, sizes and times; all but their inodes are equal."""
    for name in ("left", "right"):
        (tree / name / "below").mkdir(parents=True)
        for number in range(3):
            path = tree / name / "below" / f"file {number}"
            path.write_bytes(noise(20_000, number + len(name)))
            os.utime(path, ns=(10**18, 10**18))
    trial.check()
    (tree / "left").rename(tree / "third")
    (tree / "right").rename(tree / "left")
    (tree / "third").rename(tree / "right")
    report, _, _ = spent(trial, seen)
    assert report.files_changed == 6


@pytest.mark.parametrize("where", [DEEP, "one/two", "one"])
def test_a_folder_becomes_a_file_and_a_folder_again(trial: Any, seen: Seen, tree: Path, where: str) -> None:
    trial.check()
    kept = trial.lab.folder / "kept"
    (tree / where).rename(kept)
    (tree / where).write_bytes(noise(2000))
    report, _, read = spent(trial, seen)
    assert (report.files_new, read) == (1, sorted({Path(where).name, "small", "small too"}))  # one bundle
    (tree / where).unlink()
    kept.rename(tree / where)
    report, _, _ = spent(trial, seen)
    assert (report.files_new + report.files_unchanged, report.snapshot.files) == (FILES, FILES)
    (tree / where / "tiny").unlink()
    (tree / where / "tiny").mkdir()
    report, _, _ = spent(trial, seen)
    assert report.snapshot.files == FILES - 1


def test_everything_goes_from_a_folder_and_comes_back(trial: Any, seen: Seen, tree: Path) -> None:
    trial.check()
    shutil.move(tree / DEEP, trial.lab.folder / "kept")
    report, _, _ = spent(trial, seen)
    assert (report.snapshot.files, report.files_unchanged) == (FILES - 4, FILES - 4)
    shutil.move(trial.lab.folder / "kept", tree / DEEP)
    report, _, _ = spent(trial, seen)
    assert (report.snapshot.files, report.files_new) == (FILES, 4)


# --- hard links ------------------------------------------------------------------------------------------------------


def kinds(trial: Any, *paths: str) -> list[EntryType]:
    found = {entry.path: entry.type for entry in trial.dossier.entries("latest")}
    return [found[path] for path in paths]


@pytest.mark.parametrize("name", ["tiny", "small", "medium"])
def test_a_hard_link_appears_moves_and_goes(trial: Any, seen: Seen, tree: Path, name: str) -> None:
    file, link = EntryType.FILE, EntryType.HARD_LINK
    before = trial.check()
    os.link(tree / DEEP / name, tree / "one" / "zz second")
    report, listed, _ = spent(trial, seen)
    assert kinds(trial, "one/zz second", f"{DEEP}/{name}") == [file, link]
    assert (report.snapshot.files, report.snapshot.total_bytes) == (FILES + 1, before.snapshot.total_bytes)
    assert set(listed) - {"."} == {"one", DEEP}
    (tree / "one" / "zz second").rename(tree / "zz second")  # still first
    spent(trial, seen)
    assert kinds(trial, "zz second", f"{DEEP}/{name}") == [file, link]
    (tree / "zz second").rename(tree / DEEP / "zz second")  # not any more
    spent(trial, seen)
    assert kinds(trial, f"{DEEP}/{name}", f"{DEEP}/zz second") == [file, link]
    os.link(tree / DEEP / name, tree / "beside" / "a third")
    spent(trial, seen)
    assert kinds(trial, "beside/a third", f"{DEEP}/{name}", f"{DEEP}/zz second") == [file, link, link]
    for path in ("beside/a third", f"{DEEP}/zz second"):
        (tree / path).unlink()
    report, _, _ = spent(trial, seen)
    assert kinds(trial, f"{DEEP}/{name}") == [file]
    assert (report.snapshot.files, report.snapshot.total_bytes) == (FILES, before.snapshot.total_bytes)
    seen.clear()
    assert trial.snapshot().raw_bytes_read == 0
    assert set(seen.listed) <= {"."}


def test_the_first_name_is_left_out_and_taken_in_again(trial: Any, tree: Path) -> None:
    os.link(tree / "one" / "small", tree / "second")
    os.link(tree / "one" / "small", tree / "zz third")
    file, link = EntryType.FILE, EntryType.HARD_LINK
    # The files of a folder come before its folders: "second" and "zz third" are met before "one/small".
    for patterns, expected in (
        ((), [link, file, link]),
        (("/second",), [link, None, file]),
        (("/second", "/zz third"), [file, None, None]),
        ((), [link, file, link]),
    ):
        trial.check(exclude=patterns)
        found = {entry.path: entry.type for entry in trial.dossier.entries("latest")}
        assert [found.get(path) for path in ("one/small", "second", "zz third")] == expected


# --- other rules, other layouts --------------------------------------------------------------------------------------


def paths(trial: Any) -> set[str]:
    return {entry.path for entry in trial.dossier.entries("latest") if entry.type is EntryType.FILE}


def test_patterns_that_come_and_go(trial: Any, tree: Path) -> None:
    trial.check()
    everything = paths(trial)
    for patterns, gone in (
        (("medium",), {path for path in everything if path.endswith("medium")}),
        (("/one/medium",), {"one/medium"}),
        (("medium", "!/one/medium"), {path for path in everything if path.endswith("medium")} - {"one/medium"}),
        ((f"/{DEEP}/*",), {path for path in everything if path.startswith(DEEP)}),
        (("two/",), {path for path in everything if path.startswith("one/two")}),
        ((), set()),
        (("small",), {path for path in everything if path.endswith("small")}),
    ):
        report = trial.check(exclude=patterns)
        assert paths(trial) == everything - gone
        assert report.snapshot.files == len(everything - gone)
        again = trial.check(exclude=patterns)
        assert (again.raw_bytes_read, again.files_unchanged) == (0, len(everything - gone))


def test_a_size_limit_that_comes_and_goes(trial: Any, tree: Path) -> None:
    trial.check()
    for limit, files in ((200_000, FILES - 1), (99_999, FILES - 6), (100_000, FILES - 1), (None, FILES)):
        report = trial.check(options=SnapshotOptions(exclude_larger_than=limit))
        assert report.snapshot.files == files
        again = trial.check(options=SnapshotOptions(exclude_larger_than=limit))
        assert (again.raw_bytes_read, again.files_unchanged) == (0, files)


def test_cache_tags_that_come_and_go(trial: Any, tree: Path) -> None:
    leave_out = SnapshotOptions(exclude_caches=True)
    tag = tree / "one" / "CACHEDIR.TAG"
    trial.check(options=leave_out)
    assert len(paths(trial)) == FILES
    tag.write_bytes(CACHE_TAG)
    below = {path for path in paths(trial) if path.startswith("one/")}
    report = trial.check(options=leave_out)
    assert {path for path in paths(trial) if path.startswith("one/")} == {"one/CACHEDIR.TAG"}
    assert report.snapshot.files == FILES - len(below) + 1
    trial.check()
    assert len(paths(trial)) == FILES + 1
    assert trial.check(options=leave_out).snapshot.files == report.snapshot.files
    found = tag.stat()
    tag.write_bytes(CACHE_TAG.replace(b"8", b"9"))  # of the same size, and not a tag any more
    os.utime(tag, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert trial.check(options=leave_out).snapshot.files == FILES + 1
    tag.unlink()
    assert trial.check(options=leave_out).snapshot.files == FILES


def test_the_same_folder_under_another_layout(trial: Any, seen: Seen, tree: Path) -> None:
    """Patterns hold for paths in the snapshot; the same folder has another one as soon as there are two sources."""
    one, beside = tree / "one", tree / "beside"
    options = {"exclude": ("/two/medium", "/one/two/tiny")}
    of_all = {(one,): 13, (one, beside): 17, (tree,): FILES, (one / "two", beside): 12, (one / "two",): 8}
    for sources, gone in (
        ([one], {"two/medium"}),
        ([one, beside], {"one/two/tiny"}),
        ([one], {"two/medium"}),
        ([tree], {"one/two/tiny"}),
        ([one / "two", beside], {"one/two/tiny"}),
        ([one / "two"], set()),
        ([tree], {"one/two/tiny"}),
    ):
        trial.check(sources, **options)
        found = paths(trial)
        assert not found & gone
        assert len(found) == of_all[tuple(sources)] - len(gone)
        again = trial.check(sources, **options)
        assert (again.raw_bytes_read, again.files_unchanged) == (0, len(found))


def test_sources_in_turn_keep_each_others_rows(trial: Any, seen: Seen, tree: Path) -> None:
    sources = [tree / "one", tree / "beside", tree / "one" / "two"]
    for source in sources:
        trial.check(source)
    (tree / DEEP / "new").write_bytes(b"new")
    for source, new in zip(sources, (1, 0, 0), strict=True):
        seen.clear()
        report = trial.snapshot(source)
        assert (report.files_new, report.files_changed) == (new, 0)
        assert seen.read == {"new"} if new else not seen.read
        trial.check(source)


# --- what is never entered -------------------------------------------------------------------------------------------


def test_repository_and_state_in_the_source(tmp_path: Path, settled_at_once: None) -> None:
    """Their folders change with each run, the one they lie in does not; it is still taken over without them."""
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_bytes(noise(3000))
    (source / "file").write_bytes(noise(200_000))
    with snapstore.init(source / "backup", state_dir=source / "sub" / "state", protected=False, kdf_seconds=0) as made:
        dossier = made.create_dossier("books")
        for number in range(3):
            compare_trees.collect(source)  # takes as long as a tick
            report = dossier.snapshot(source)
            found = {entry.path for entry in dossier.entries("latest")}
            assert found == {"file", "sub", "sub/file"}
            assert (report.snapshot.files, report.snapshot.directories) == (2, 2)
            assert report.raw_bytes_read == (203_000 if number == 0 else 0)
        dossier.restore("latest", to=tmp_path / "target")
        assert (tmp_path / "target" / "sub" / "file").read_bytes() == noise(3000)


@pytest.fixture
def mount_in_source(trial: Any, tree: Path, tiny_mount: Path) -> Iterator[Path]:
    """Another file system in the source, with files of its own."""
    point = tree / "one" / "mounted"
    point.mkdir()
    (point / "hidden below").write_bytes(b"hidden")
    command = f"mount --bind '{tiny_mount}' '{point}'"
    (tiny_mount / "on the other").write_bytes(noise(3000))
    if os.system(command) != 0:
        pytest.skip("mounting takes root")
    try:
        yield point
    finally:
        os.system(f"umount -l '{point}'")


def test_another_file_system_that_comes_and_goes(trial: Any, mount_in_source: Path) -> None:
    stay = SnapshotOptions(one_file_system=True)
    inside = "one/mounted/on the other"
    for options, there in ((stay, False), (SnapshotOptions(), True), (stay, False), (SnapshotOptions(), True)):
        for _ in range(2):
            report = trial.check(options=options)
            assert (inside in paths(trial), report.snapshot.files) == (there, FILES + there)
    os.system(f"umount -l '{mount_in_source}'")
    trial.check(options=stay)
    assert {path for path in paths(trial) if "mounted" in path} == {"one/mounted/hidden below"}


# --- of the parts ----------------------------------------------------------------------------------------------------


def test_a_folder_that_changed_below_is_built_anew_from_its_row(
    trial: Any, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines that a look spares are made when the folder's node has to be built all the same."""
    made: list[bytes] = []
    original = folders.Folder._take_lines

    def take_lines(self: folders.Folder) -> None:
        made.append(self.path)
        original(self)

    trial.check()
    monkeypatch.setattr(walk.Folder, "_take_lines", take_lines)
    trial.snapshot()
    assert made == []
    rewrite(tree, DEEP)
    trial.snapshot()
    assert made == [b"one/two", b"one", b""]
    trial.check()
