"""Whole round trips of generated trees: what was saved comes back in every byte and attribute.

Trees are generated with odd names (any bytes but "/" and NUL on POSIX), contents of every size class (empty, inline,
bundled, chunked, with holes), links of both kinds, pipes, modes and times; saved, restored elsewhere, compared; then
edited at random, saved and restored again, and the first state is restored once more.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import compare_trees
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import snapstore

SECRET = "a secret for round trips"
EXAMPLES = 20
POSIX = os.name == "posix"
Content = bytes | str | tuple[str, int] | dict[bytes, "Content"]


def posix_names() -> st.SearchStrategy[bytes]:
    alphabet = st.sampled_from([*range(1, 47), *range(48, 256)])
    short = st.lists(alphabet, min_size=1, max_size=12).map(bytes)
    odd = st.sampled_from(
        [b"a\nb", b" ", b"-rf", b"\xff\xfe", "\u00e9".encode(), "e\u0301".encode(), b"A", b"a", b"n" * 255]
    )
    return (short | odd).filter(lambda name: name not in {b".", b".."})


def plain_names() -> st.SearchStrategy[bytes]:
    """Names that every system takes, told apart without regard to case."""
    return st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=10).map(str.encode)


def contents() -> st.SearchStrategy[bytes | tuple[str, int]]:
    small = st.binary(max_size=700)
    # Larger contents are a seed and a size: generating every byte would teach Hypothesis nothing.
    sizes = st.sampled_from([512, 513, 4096, 16384, 16385, 65536, 300_000]) | st.integers(0, 400_000)
    return small | st.tuples(st.sampled_from(["noise", "zeros", "holes", "text"]), sizes)


def trees() -> st.SearchStrategy[dict[bytes, Content]]:
    names = posix_names() if sys.platform == "linux" else plain_names()
    leaves: st.SearchStrategy[Content] = contents()
    if POSIX:
        leaves = leaves | st.sampled_from(["link: nowhere", "link: .", "pipe"])
    return st.recursive(
        st.dictionaries(names, leaves, max_size=6),
        lambda children: st.dictionaries(names, leaves | children, max_size=5),
        max_leaves=20,
    )


def write_content(path: bytes, content: bytes | tuple[str, int]) -> None:
    with open(path, "wb") as file:
        if isinstance(content, bytes):
            file.write(content)
            return
        shape, size = content
        if shape == "holes":
            file.write(b"head"[:size])
            file.truncate(size)
            if size > 200_000:
                file.seek(size // 2)
                file.write(b"island")
        elif shape == "noise":
            file.write(os.urandom(size))
        else:
            file.write({"zeros": b"\0", "text": b"The same line again.\n"}[shape] * size)
            file.truncate(size)


def build(folder: bytes, tree: dict[bytes, Content]) -> None:
    """Write a tree; modes and times follow from the names, so that they differ from path to path."""
    os.makedirs(folder, exist_ok=True)
    for name, content in tree.items():
        path = os.path.join(folder, name)
        if isinstance(content, dict):
            build(path, content)
        elif content == "pipe":
            os.mkfifo(path)
        elif isinstance(content, str):
            os.symlink(content.removeprefix("link: "), path)
        else:
            write_content(path, content)
            os.chmod(path, 0o600 | sum(name) % 0o100)
        if not isinstance(content, str):
            os.utime(path, ns=(0, 1_700_000_000_123_456_700 + sum(name) * 100))


def link_some(folder: bytes, choices: list[int]) -> None:
    """Give some files a second name; where a name is taken, nothing is done."""
    if not POSIX:
        return
    files = sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if stat.S_ISREG(os.lstat(os.path.join(parent, name)).st_mode)
    )
    for number, choice in enumerate(choices if files else []):
        os.link(files[choice % len(files)], os.path.join(folder, b"second name %d" % number))


def edit(folder: bytes, choices: list[int], tree: dict[bytes, Content]) -> None:
    """Delete, change or rename what the choices fall on, then add `tree`."""
    for choice in choices:
        paths = sorted(os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names)
        if not paths:
            break
        path = paths[choice % len(paths)]
        if choice % 3 == 0:
            os.unlink(path)
        elif choice % 3 == 1 and stat.S_ISREG(os.lstat(path).st_mode):
            with open(path, "ab") as file:
                file.write(b"more")
        else:
            os.replace(path, os.path.join(folder, b"renamed %d" % choice))
    build(os.path.join(folder, b"added later"), tree)


@pytest.fixture(scope="module")
def dossier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[snapstore.Dossier]:
    folder = tmp_path_factory.mktemp("round trips")
    with snapstore.init(folder / "repository", state_dir=folder / "state", kdf_seconds=0) as repository:
        yield repository.create_dossier("trips", secret=SECRET)


def unlocked(dossier: snapstore.Dossier) -> snapstore.Dossier:
    if not dossier.unlocked:
        dossier.unlock(SECRET)
    return dossier


def assert_restores_to(
    dossier: snapstore.Dossier, snapshot: snapstore.Snapshot, truth: dict[str, compare_trees.Facts]
) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        target = Path(work) / "target"
        report = unlocked(dossier).restore(snapshot, to=target)
        assert report.problems == ()
        assert compare_trees.differences(truth, compare_trees.collect(target)) == []


OPTIONS = snapstore.SnapshotOptions(allow_empty=True)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    first=trees(),
    links=st.lists(st.integers(0, 99), max_size=3),
    edits=st.lists(st.integers(0, 99), max_size=5),
    later=trees(),
)
@example(first={}, links=[], edits=[], later={})
@example(first={b"a": ("holes", 300_000), b"b": ("zeros", 300_000)}, links=[0], edits=[0], later={b"a": {b"a": {}}})
def test_round_trip(
    dossier: snapstore.Dossier,
    first: dict[bytes, Content],
    links: list[int],
    edits: list[int],
    later: dict[bytes, Content],
) -> None:
    work = tempfile.mkdtemp()
    source = os.fsencode(os.path.join(work, "source"))
    try:
        build(source, first)
        link_some(source, links)
        truth = compare_trees.collect(os.fsdecode(source))
        report = dossier.snapshot(os.fsdecode(source), options=OPTIONS)
        assert report.problems == ()
        assert_restores_to(dossier, report.snapshot, truth)

        edit(source, edits, later)
        truth_then = compare_trees.collect(os.fsdecode(source))
        report_then = dossier.snapshot(os.fsdecode(source), options=OPTIONS)
        assert report_then.problems == ()
        assert_restores_to(dossier, report_then.snapshot, truth_then)
        assert_restores_to(dossier, report.snapshot, truth)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(tree=trees())
def test_entries_tell_the_tree(dossier: snapstore.Dossier, tree: dict[bytes, Content]) -> None:
    """Every path is listed once, with the size and the bytes that it has."""
    work = tempfile.mkdtemp()
    source = os.path.join(work, "source")
    try:
        build(os.fsencode(source), tree)
        truth = compare_trees.collect(source)
        snapshot = dossier.snapshot(source, options=OPTIONS).snapshot
        entries = {entry.path: entry for entry in unlocked(dossier).entries(snapshot)}
        assert entries.keys() == {path.replace(os.sep, "/") for path in truth if path != "."}
        for path, facts in truth.items():
            if facts.type == "file":
                entry = entries[path.replace(os.sep, "/")]
                assert entry.size == facts.size
                with (
                    dossier.open_file(snapshot, entry.path) as file,
                    open(os.path.join(source, path), "rb") as original,
                ):
                    assert file.read() == original.read()
            assert facts.link_target == (entries[path].link_target if path != "." else None)
    finally:
        shutil.rmtree(work, ignore_errors=True)
