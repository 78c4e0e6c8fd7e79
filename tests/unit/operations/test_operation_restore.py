"""Restoring: what is chosen, what is in the way, what goes on after an interruption, and what is damaged or hostile."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import compare_trees
import pytest

import snapstore
from snapstore.blobs.packer import PackWriter
from snapstore.blobs.saver import BlobSaver
from snapstore.blobs.sealer import BlobSealer, SealingOptions
from snapstore.errors import (
    DamageError,
    EntryNotFoundError,
    InputError,
    OperationCancelledError,
    SecretRequiredError,
    StoreUnavailableError,
    TargetError,
    TargetNotEmptyError,
)
from snapstore.format.pack import BlobKind
from snapstore.format.packing import encode
from snapstore.format.tree import Chunk, ChunkLeaf, DirectoryLeaf, TreeEntry, encode_node
from snapstore.operations.browse import reader_of
from snapstore.operations.context import DossierContext
from snapstore.operations.history import read_history
from snapstore.operations.snapshot.publish import Draft, new_snapshot_id, put_copy, put_manifest
from snapstore.progress import ProgressStatus
from snapstore.stores.protocol import StoredObject
from snapstore.testing import Recorder, StoreWrapper
from snapstore.types import EntryType, Overwrite, PlainHash, RestoreOptions, SnapshotKind

ContextOf = Callable[[snapstore.Dossier], DossierContext]
MARKER = ".snapstore-restoring"


@pytest.fixture
def saved(lab: Any, write_every_shape: Callable[..., None]) -> Any:
    write_every_shape(lab.source)
    lab.dossier().snapshot(lab.source)
    return lab


@pytest.fixture
def simple(lab: Any) -> Any:
    """a, b/c, b/d/e: each file holds its path."""
    for path in ("a", "b/c", "b/d/e", "b/d/f.txt", "g.txt"):
        lab.write(path, path.encode())
    lab.dossier().snapshot(lab.source)
    return lab


def found(target: Path) -> set[str]:
    """Files and links below `target`, and folders that have nothing in them."""
    return {
        path.relative_to(target).as_posix()
        for path in target.rglob("*")
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    }


# --- everything ------------------------------------------------------------------------------------------------------


def test_everything_comes_back(saved: Any) -> None:
    target = saved.folder / "target"
    report = saved.dossier().restore("latest", to=target)
    assert compare_trees.differences(saved.facts(), compare_trees.collect(target)) == []
    assert report.problems == ()
    [snapshot] = saved.dossier().list()
    assert report.snapshot == snapshot.id
    assert report.bytes_written == snapshot.total_bytes
    assert (report.deleted, report.files_unchanged, report.dry_run) == (0, 0, False)
    assert (target / "deep" / "sparse").stat().st_blocks * 512 < 1_000_000 or sys.platform != "linux"


def test_the_target_may_be_there_and_empty_but_not_full(saved: Any) -> None:
    target = saved.folder / "target"
    target.mkdir()
    saved.dossier().restore("latest", to=target)
    with pytest.raises(TargetNotEmptyError):
        saved.dossier().restore("latest", to=target)
    with pytest.raises(TargetNotEmptyError):
        saved.dossier().restore("latest", to=target, options=RestoreOptions(dry_run=True))
    with pytest.raises(TargetError):
        saved.dossier().restore("latest", to=target / "inline")


def test_the_secret_is_asked_for_before_the_target_is_touched(saved: Any) -> None:
    saved.dossier().snapshot(saved.source)
    target = saved.folder / "target"
    with pytest.raises(SecretRequiredError):
        saved.dossier().restore("latest~1", to=target)
    assert not target.exists()


# --- a part ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "exclude", "expected"),
    [
        (("a",), (), {"a"}),
        (("b",), (), {"b/c", "b/d/e", "b/d/f.txt"}),
        (("b/d/",), (), {"b/d/e", "b/d/f.txt"}),
        (("/b/d/e", "a"), (), {"b/d/e", "a"}),
        (("*.txt",), (), {"b/d/f.txt", "g.txt"}),
        (("b/*",), (), {"b/c", "b/d/e", "b/d/f.txt"}),
        (("[ag]*",), (), {"a", "g.txt"}),
        (("b",), ("d",), {"b/c"}),
        ((), ("*.txt",), {"a", "b/c", "b/d/e"}),
        ((), ("/b/",), {"a", "g.txt"}),
        (("",), (), {"a", "b/c", "b/d/e", "b/d/f.txt", "g.txt"}),
    ],
)
def test_paths_patterns_and_excludes(simple: Any, paths: Sequence[str], exclude: Sequence[str], expected: Any) -> None:
    target = simple.folder / "target"
    options = RestoreOptions(exclude=tuple(exclude))
    report = simple.dossier().restore("latest", to=target, paths=paths, options=options)
    assert found(target) == expected
    assert (report.files_restored, report.problems) == (len(expected), ())
    assert all((target / path).read_bytes() == path.encode() for path in expected)


def test_a_path_that_is_not_there_is_an_error_and_nothing_is_written(simple: Any) -> None:
    target = simple.folder / "target"
    for path in ("absent", "b/absent", "a/below", "../a"):
        with pytest.raises(EntryNotFoundError):
            simple.dossier().restore("latest", to=target, paths=[path])
    assert not target.exists()


def test_a_pattern_that_fits_nothing_restores_nothing(simple: Any) -> None:
    report = simple.dossier().restore("latest", to=simple.folder / "target", paths=["*.none"])
    assert (report.files_restored, report.directories) == (0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="the tree has a second name on POSIX only")
def test_a_hard_link_without_its_first_name_is_restored_as_the_file(saved: Any) -> None:
    target = saved.folder / "target"
    report = saved.dossier().restore("latest", to=target, paths=["second name"])
    assert (target / "second name").read_bytes() == (saved.source / "deep" / "chunks").read_bytes()
    assert (report.files_restored, report.problems) == (1, ())


# --- what is in the way ----------------------------------------------------------------------------------------------


def spoilt(lab: Any) -> Path:
    """A restored target in which somebody has worked since."""
    target = Path(lab.folder / "target")
    lab.dossier().restore("latest", to=target)
    (target / "a").write_bytes(b"worked on")
    (target / "b" / "c").unlink()
    (target / "extra").write_bytes(b"mine")
    (target / "b" / "extra folder").mkdir()
    (target / "b" / "extra folder" / "mine").write_bytes(b"mine")
    return target


@pytest.mark.parametrize("overwrite", list(Overwrite))
@pytest.mark.parametrize("delete", [False, True])
def test_overwriting(simple: Any, overwrite: Overwrite, delete: bool) -> None:
    target = spoilt(simple)
    options = RestoreOptions(overwrite=overwrite, delete=delete)
    if overwrite is Overwrite.NEVER and delete:
        with pytest.raises(InputError):
            simple.dossier().restore("latest", to=target, options=options)
        assert (target / "extra").exists()
        return
    report = simple.dossier().restore("latest", to=target, options=options)
    assert report.problems == ()
    assert (target / "a").read_bytes() == (b"worked on" if overwrite is Overwrite.NEVER else b"a")
    assert (target / "b" / "c").read_bytes() == b"b/c"
    assert (target / "extra").exists() != delete
    assert (target / "b" / "extra folder").exists() != delete
    assert report.deleted == (2 if delete else 0)
    restored = {Overwrite.NEVER: 1, Overwrite.IF_CHANGED: 2, Overwrite.ALWAYS: 5}[overwrite]
    assert (report.files_restored, report.files_unchanged) == (restored, 5 - restored)
    if delete:
        assert compare_trees.differences(simple.facts(), compare_trees.collect(target)) == []


@pytest.mark.parametrize("delete", [False, True])
def test_folders_and_files_in_each_others_way(simple: Any, delete: bool) -> None:
    target = simple.folder / "target"
    (target / "a").mkdir(parents=True)
    (target / "a" / "mine").write_bytes(b"mine")
    (target / "b").write_bytes(b"a file where a folder is due")
    options = RestoreOptions(overwrite=Overwrite.ALWAYS, delete=delete)
    report = simple.dossier().restore("latest", to=target, options=options)
    assert (target / "b" / "d" / "e").read_bytes() == b"b/d/e"
    if delete:
        assert report.problems == ()
        assert (target / "a").read_bytes() == b"a"
    else:
        assert [(problem.code, problem.path) for problem in report.problems] == [("in_the_way", "a")]
        assert (target / "a" / "mine").read_bytes() == b"mine"


@pytest.mark.parametrize("overwrite", [None, *Overwrite])
@pytest.mark.parametrize("delete", [False, True])
def test_a_dry_run_writes_nothing(simple: Any, overwrite: Overwrite | None, delete: bool) -> None:
    if delete and overwrite in (None, Overwrite.NEVER):
        return
    target = simple.folder / "target" if overwrite is None else spoilt(simple)
    before = compare_trees.collect(target) if target.exists() else None
    options = RestoreOptions(overwrite=overwrite, delete=delete, dry_run=True)
    said = simple.dossier().restore("latest", to=target, options=options)
    assert said.dry_run
    assert (compare_trees.collect(target) if target.exists() else None) == before
    real = RestoreOptions(overwrite=overwrite, delete=delete)
    done = simple.dossier().restore("latest", to=target, options=real)
    for figure in ("files_restored", "files_unchanged", "directories", "deleted", "bytes_written"):
        assert getattr(said, figure) == getattr(done, figure), figure


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("overwrite", list(Overwrite))
def test_links_in_the_target_are_not_followed(simple: Any, overwrite: Overwrite) -> None:
    outside = simple.folder / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    target = simple.folder / "target"
    target.mkdir()
    (target / "b").symlink_to(outside)
    (target / "a").symlink_to(outside / "precious")
    (target / "g.txt").symlink_to(outside / "absent")
    options = RestoreOptions(overwrite=overwrite, delete=overwrite is not Overwrite.NEVER)
    report = simple.dossier().restore("latest", to=target, options=options)
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"precious": b"precious"}
    if overwrite is Overwrite.NEVER:
        assert {problem.code for problem in report.problems} == {"in_the_way"}
        assert (target / "b").is_symlink()
    else:
        assert report.problems == ()
        assert compare_trees.differences(simple.facts(), compare_trees.collect(target)) == []


# --- interrupted -----------------------------------------------------------------------------------------------------


class CancelAfter:
    """Sets itself after so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@pytest.mark.parametrize("looks", [2, 5, 15, 30])
def test_an_interrupted_restore_goes_on(saved: Any, looks: int) -> None:
    target = saved.folder / "target"
    with pytest.raises(OperationCancelledError):
        saved.dossier().restore("latest", to=target, cancel=CancelAfter(looks))
    assert (target / MARKER).exists()
    report = saved.dossier().restore("latest", to=target)
    assert report.files_unchanged >= (1 if looks == 30 else 0)
    assert compare_trees.differences(saved.facts(), compare_trees.collect(target)) == []


def test_another_snapshot_is_never_mixed_into_an_interrupted_one(saved: Any) -> None:
    target = saved.folder / "target"
    with pytest.raises(OperationCancelledError):
        saved.dossier().restore("latest", to=target, cancel=CancelAfter(10))
    saved.dossier().snapshot(saved.source)
    with pytest.raises(TargetNotEmptyError):
        saved.dossier().restore("latest", to=target)
    reader = saved.unlocked("reader")
    assert reader.restore("latest~1", to=target).problems == ()


def test_a_store_that_vanishes_ends_the_restore_and_it_goes_on_later(saved: Any) -> None:
    class Gone(Recorder):
        def _start(self, operation: str, name: str) -> None:
            super()._start(operation, name)
            if sum(call.name.startswith("packs/") and call.operation == "get" for call in self.calls) > 1:
                raise StoreUnavailableError("the stick was pulled out")

    target = saved.folder / "target"
    with pytest.raises(StoreUnavailableError):
        saved.dossier(store=Gone(saved.store)).restore("latest", to=target)
    assert saved.dossier().restore("latest", to=target).problems == ()
    assert compare_trees.differences(saved.facts(), compare_trees.collect(target)) == []


def test_progress_only_grows_and_ends_full(saved: Any) -> None:
    class Watcher:
        statuses: list[ProgressStatus] = []  # noqa: RUF012 - one run

        def update(self, status: ProgressStatus) -> None:
            self.statuses.append(status)

    watcher = Watcher()
    saved.dossier().restore("latest", to=saved.folder / "target", progress=watcher)
    [snapshot] = saved.dossier().list()
    done = [status.bytes_done for status in watcher.statuses]
    assert done == sorted(done)
    assert done[-1] == snapshot.total_bytes == watcher.statuses[-1].bytes_total
    assert watcher.statuses[-1].phase == "sync"


# --- damage ----------------------------------------------------------------------------------------------------------


def test_a_damaged_pack_hurts_only_what_is_in_it(lab: Any, context: ContextOf) -> None:
    generator = random.Random(4)
    lab.write("first/large", generator.randbytes(300_000))
    lab.write("first/small", generator.randbytes(2000))
    lab.dossier().snapshot(lab.source)
    hurt = lab.names("packs")
    lab.write("second/large", generator.randbytes(300_000))
    lab.write("second/inline", b"tiny")
    lab.dossier().snapshot(lab.source)
    index = context(lab.dossier()).repository.index(refresh=True).index
    for name in hurt:
        if next(index.entries(pack)[0].kind for pack, _, _ in index.packs() if pack in name) == 1:
            data = lab.store.get(name)
            lab.store.delete(name)
            lab.store.put(name, bytes(310_000) + data[310_000:])
    target = lab.folder / "target"
    report = lab.dossier().restore("latest", to=target)
    assert sorted(problem.path for problem in report.problems) == ["first/large", "first/small"]
    assert {problem.code for problem in report.problems} == {"damaged_blob"}
    assert found(target) == {"second/large", "second/inline", "first"}
    assert report.files_restored == 2
    assert (target / "second" / "large").read_bytes() == (lab.source / "second" / "large").read_bytes()


def test_a_copy_that_is_damaged_is_made_up_for_by_another(lab: Any) -> None:
    lab.write("file", random.Random(1).randbytes(100_000))
    lab.dossier().snapshot(lab.source)
    first = lab.names("packs")

    class Hidden(StoreWrapper):
        """A station that could not see the first packs has stored everything again."""

        def list(self, prefix: str) -> Any:
            return (item for item in super().list(prefix) if item.name not in first)

    lab.unlocked("other", store=Hidden(lab.store)).snapshot(lab.source)
    assert len(lab.names("packs")) == 2 * len(first)
    for name in first:
        data = lab.store.get(name)
        lab.store.delete(name)
        lab.store.put(name, bytes(byte ^ 255 for byte in data[:-4096]) + data[-4096:])
    lab.assert_restores(lab.unlocked("reader"), lab.facts(), "latest~1")
    lab.assert_restores(lab.unlocked("reader"), lab.facts(), "latest")


# --- hostile trees ---------------------------------------------------------------------------------------------------


class Forger:
    """Somebody who holds the dossier's keys and writes any tree, with the package's own parts and no walk."""

    def __init__(self, context: DossierContext) -> None:
        self.context = context
        keys = context.epoch_keys()
        repository = context.repository
        unchecked = SealingOptions(verify=False)
        self.sealer = BlobSealer(keys, keys[0].maintenance_keys, repository.config.repository_id, unchecked)
        self.saver = BlobSaver(self.sealer, repository.index(refresh=True).index, reader_of(context), set())
        self.packs = PackWriter(
            repository.store,
            keys[0].maintenance_keys,
            repository.config.repository_id,
            repository.state.spool(),
            on_pack=self.saver.on_pack,
        )
        self.saver.start(self.packs)

    def folder(self, name: bytes, children: Sequence[TreeEntry]) -> TreeEntry:
        return self.folder_of(name, encode_node(DirectoryLeaf(tuple(children))), len(children))

    def folder_of(self, name: bytes, node: bytes, entries: int) -> TreeEntry:
        subtree = (0, self.save_node(node))
        return TreeEntry(name=name, type=EntryType.DIRECTORY, subtree=subtree, totals=(entries, 0), mode=0o755)

    def save_node(self, node: bytes) -> PlainHash:
        """Seal a node without any look at what is in it."""
        plain_hash = self.sealer.domain(shared=False).hash(node)
        self.saver._hand_over([self.sealer.seal_tree(node, plain_hash, [])])
        return plain_hash

    def publish(self, root: TreeEntry) -> None:
        plain_hash = self.save_node(encode_node(DirectoryLeaf((root,))))
        with self.saver:
            self.saver.finish()
        draft = Draft(
            snapshot_id=new_snapshot_id(),
            start_ns=0,
            root_hash=plain_hash,
            root_id=self.saver.blob_id(plain_hash, shared=False),
            files=0,
            directories=0,
            others=0,
            total_bytes=0,
            added_bytes=0,
            kind=SnapshotKind.MANUAL,
            label=None,
            sources=(),
            excludes=(),
            problems=(),
            problem_count=0,
            duration_ms=0,
        )
        published = put_manifest(self.context, draft, read_history(self.context), 1)
        put_copy(self.context, "ok", published.data)


@pytest.fixture
def forger(lab: Any, context: ContextOf) -> Forger:
    return Forger(context(lab.dossier()))


def file_entry(name: bytes, **more: Any) -> TreeEntry:
    return TreeEntry(name=name, type=EntryType.FILE, **({"size": 4, "inline": b"evil"} | more))


@pytest.mark.parametrize("name", [b"..", b".", b"a/b", b"../../outside", b"/etc", b"a\0b"])
def test_names_that_lead_elsewhere_are_damage(lab: Any, forger: Forger, name: bytes) -> None:
    node = encode([0, [{0: name, 1: 0, 8: 4, 9: b"evil"}]])
    forger.publish(forger.folder(b"", [forger.folder_of(b"bad", node, 1), file_entry(b"good")]))
    target = lab.folder / "deep" / "target"
    report = lab.unlocked("reader").restore("latest", to=target)
    assert [problem.path for problem in report.problems] == ["bad"]
    assert found(target) == {"bad", "good"}
    assert sorted(path.name for path in (lab.folder / "deep").iterdir()) == ["target"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_of_the_snapshot_is_never_written_through(lab: Any, forger: Forger) -> None:
    """Two entries of one name cannot be; but a name may come back through another that only differs in case."""
    outside = lab.folder / "outside"
    outside.mkdir()
    link = TreeEntry(name=b"link", type=EntryType.SYMLINK, link_target=os.fsencode(outside))
    forger.publish(forger.folder(b"", [link]))
    target = lab.folder / "target"
    reader = lab.unlocked("reader")
    reader.restore("latest", to=target)
    assert os.readlink(target / "link") == str(outside)
    second = Forger(forger.context)
    second.publish(second.folder(b"", [second.folder(b"link", [file_entry(b"evil")])]))
    for overwrite in (Overwrite.NEVER, Overwrite.IF_CHANGED, Overwrite.ALWAYS):
        reader.restore("latest", to=target, options=RestoreOptions(overwrite=overwrite))
        assert list(outside.iterdir()) == []
    assert (target / "link" / "evil").read_bytes() == b"evil"


def hard_link(name: bytes, first: bytes) -> TreeEntry:
    return TreeEntry(name=name, type=EntryType.HARD_LINK, hard_link=first)


def test_hard_links_to_nothing_that_is_a_file_are_problems(lab: Any, forger: Forger) -> None:
    links = [hard_link(b"1", b"absent"), hard_link(b"2", b"folder"), hard_link(b"3", b"2"), hard_link(b"4", b"4")]
    forger.publish(forger.folder(b"", [*links, forger.folder(b"folder", []), file_entry(b"good")]))
    report = lab.unlocked("reader").restore("latest", to=lab.folder / "target")
    assert {problem.path for problem in report.problems} == {"1", "2", "3", "4"}
    assert found(lab.folder / "target") == {"folder", "good"}


def test_a_hard_link_that_leads_outside_is_damage(lab: Any, forger: Forger) -> None:
    (lab.folder / "outside").write_bytes(b"outside")
    bad = forger.folder(b"bad", [hard_link(b"link", b"../outside")])
    forger.publish(forger.folder(b"", [bad, file_entry(b"good")]))
    report = lab.unlocked("reader").restore("latest", to=lab.folder / "target")
    assert [problem.path for problem in report.problems] == ["bad"]
    assert found(lab.folder / "target") == {"bad", "good"}


def test_a_file_whose_parts_do_not_fit_its_size_is_named(lab: Any, forger: Forger) -> None:
    content = b"c" * 5000
    plain_hash = forger.sealer.domain(shared=False).hash(content)
    forger.saver.submit([content], shared=[False]).result()
    entries = [
        file_entry(b"absent", size=9, inline=None, chunks=(Chunk(PlainHash(b"h" * 32), 9),)),
        file_entry(b"good", size=5000, inline=None, chunks=(Chunk(plain_hash, 5000),)),
        file_entry(b"long", size=4999, inline=None, chunks=(Chunk(plain_hash, 4999),)),
    ]
    forger.publish(forger.folder(b"", entries))
    target = lab.folder / "target"
    report = lab.unlocked("reader").restore("latest", to=target)
    assert {problem.path: problem.code for problem in report.problems} == {
        "absent": "missing_blob",
        "long": "damaged_blob",
    }
    assert found(target) == {"good"}
    assert (target / "good").read_bytes() == content


def test_a_chunk_leaf_where_a_folder_should_be(lab: Any, forger: Forger) -> None:
    node = encode_node(ChunkLeaf((Chunk(PlainHash(b"h" * 32), 9),)))
    forger.publish(forger.folder(b"", [forger.folder_of(b"bad", node, 1), file_entry(b"good")]))
    report = lab.unlocked("reader").restore("latest", to=lab.folder / "target")
    assert [(problem.path, problem.code) for problem in report.problems] == [("bad", "damaged_tree")]
    with pytest.raises(DamageError):
        list(lab.unlocked("reader").entries("latest"))


def test_the_forger_s_blobs_are_of_the_right_kinds(forger: Forger, context: ContextOf, lab: Any) -> None:
    """The tests above would prove nothing if their trees were refused for another reason."""
    forger.publish(forger.folder(b"", [file_entry(b"good")]))
    assert lab.unlocked("reader").restore("latest", to=lab.folder / "target").problems == ()
    assert found(lab.folder / "target") == {"good"}
    index = context(lab.dossier()).repository.index(refresh=True).index
    first = next(index.packs())[0]
    assert {entry.kind for entry in index.entries(first)} == {int(BlobKind.TREE)}


# --- targets that hold less ------------------------------------------------------------------------------------------

HOLDERS = ["fat_mount", "exfat_mount", "ntfs_mount"]


@pytest.fixture(params=HOLDERS)
def stick(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    folder = Path(request.getfixturevalue(request.param)) / tmp_path.name
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="names that others forbid are written on Linux")
def test_a_stick_gets_what_it_can_hold_and_says_the_rest(lab: Any, stick: Path) -> None:
    names = ["plain.txt", 'a:b?c*"<>|', "con", "trailing dot.", "Case", "case", "\u00e9t\u00e9", "back\\slash"]
    for name in names:
        lab.write(f"folder/{name}", name.encode())
    (lab.source / "link").symlink_to("folder/plain.txt")
    os.mkfifo(lab.source / "pipe")
    os.link(lab.source / "folder" / "plain.txt", lab.source / "second name")
    lab.dossier().snapshot(lab.source)
    report = lab.dossier().restore("latest", to=stick / "target")
    restored = {path.name: path.read_bytes() for path in (stick / "target" / "folder").iterdir()}
    said: dict[str, set[str]] = {}
    for problem in report.problems:
        said.setdefault(problem.path, set()).add(problem.code)
    contents = {content.decode(): name for name, content in restored.items()}
    assert len(contents) == len(restored)
    for name in names:
        codes = said.get(f"folder/{name}", set())
        if name not in contents:
            assert "not_restored" in codes, name  # some drivers take no letters beyond ASCII
        else:
            assert ("renamed" in codes) == (contents[name] != name), name
    assert contents.keys() >= set(names) - {"\u00e9t\u00e9"}
    assert contents["plain.txt"] == "plain.txt"
    if "ntfs" not in str(stick):  # ntfs-3g holds every name of POSIX
        assert len({name.casefold() for name in restored}) == len(restored)
        assert said['folder/a:b?c*"<>|'] >= {"renamed"}
    assert (stick / "target" / "second name").read_bytes() == b"plain.txt"
    if not (stick / "target" / "link").is_symlink():
        assert "symlink_not_supported" in {problem.code for problem in report.problems if problem.path == "link"}
    if not (stick / "target" / "pipe").is_fifo():
        assert "fifo_not_supported" in {problem.code for problem in report.problems if problem.path == "pipe"}
    assert not (stick / "target" / MARKER).exists()


def test_restoring_onto_a_stick_again_writes_nothing(lab: Any, stick: Path) -> None:
    """Its times are coarser: they must not make every file look changed."""
    for number in range(5):
        lab.write(f"file {number}", b"%d" % number * 1000)
    lab.dossier().snapshot(lab.source)
    lab.dossier().restore("latest", to=stick / "target")
    options = RestoreOptions(overwrite=Overwrite.IF_CHANGED)
    report = lab.dossier().restore("latest", to=stick / "target", options=options)
    assert (report.files_restored, report.files_unchanged, report.bytes_written) == (0, 5, 0)


def test_a_repository_on_a_stick(stick: Path, tmp_path: Path, write_every_shape: Callable[..., None]) -> None:
    source, secret = tmp_path / "source", "a secret for a stick"
    write_every_shape(source)
    with snapstore.init(stick / "backup", state_dir=tmp_path / "state", kdf_seconds=0) as repository:
        dossier = repository.create_dossier("books", secret=secret)
        dossier.snapshot(source, label="first")
        dossier.snapshot(source, label="second")
    with snapstore.open(stick / "backup", state_dir=tmp_path / "new PC") as repository:
        dossier = repository.unlock(secret)
        assert [snapshot.label for snapshot in dossier.list()] == ["second", "first"]
        review = dossier.review()
        assert (review.missing, review.problems) == ((), ())
        for number in range(2):
            target = tmp_path / f"target {number}"
            assert dossier.restore(f"latest~{number}", to=target).problems == ()
            assert compare_trees.differences(compare_trees.collect(source), compare_trees.collect(target)) == []
        objects: list[StoredObject] = list(repository._context.store.list(""))
    on_disk = {
        path.relative_to(stick / "backup").as_posix() for path in (stick / "backup").rglob("*") if path.is_file()
    }
    assert {item.name for item in objects} == on_disk


def test_a_full_target_ends_the_restore_and_keeps_what_is_there(lab: Any, tiny_mount: Path) -> None:
    lab.write("a small file", b"small")
    lab.write("large", random.Random(1).randbytes(3_000_000))
    lab.dossier().snapshot(lab.source)
    with pytest.raises(TargetError) as caught:
        lab.dossier().restore("latest", to=tiny_mount / "target")
    assert caught.value.code == "target_full"
    left = found(tiny_mount / "target")
    assert "large" not in left
