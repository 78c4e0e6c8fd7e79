"""What is left out; git itself is the judge of patterns."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from snapstore.errors import InputError
from snapstore.sources.directory import SourceDirectory, open_source
from snapstore.sources.excludes import CACHE_TAG_SIGNATURE, ExcludeRules
from snapstore.types import EntryType


def kept_files(directory: SourceDirectory, rules: ExcludeRules, above: str = "") -> set[str]:
    """Walk as a snapshot does, and return the paths of the files that it would save."""
    kept = set()
    for entry in directory.scan():
        path = above + os.fsdecode(entry.name)
        is_directory = entry.type is EntryType.DIRECTORY
        if rules.excludes(path, is_directory=is_directory, size=entry.size):
            continue
        if is_directory:
            with directory.child(entry.name) as child:
                kept |= kept_files(child, rules, path + "/")
        else:
            kept.add(path)
    return kept


@pytest.fixture(scope="module")
def judged_tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tree of names that patterns like to differ on, and a git folder outside of it."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    base = tmp_path_factory.mktemp("judged")
    tree = base / "tree"
    for folder in ("a", "a/b", "a/b/c", "b", "b/a", "c.d", "c.d/a.o", "new\nline"):
        (tree / folder).mkdir(parents=True)
    for folder in (".", "a", "a/b", "a/b/c", "b", "b/a", "c.d", "c.d/a.o", "new\nline"):
        for name in ("x.o", "x", ".h", "A.o", "!x", "#x", "a x", "x ", "[x]"):
            (tree / folder / name).touch()
    subprocess.run(["git", "init", "-q", "--bare", str(base / "git")], check=True, timeout=30)
    return tree, base / "git"


def git_keeps(tree: Path, git: Path, lines: list[str]) -> set[str]:
    rules = git / "rules"
    rules.write_text("\n".join(lines) + "\n")
    answer = subprocess.run(
        [
            "git",
            f"--git-dir={git}",
            f"--work-tree={tree}",
            "-c",
            "core.ignorecase=false",
            "ls-files",
            "-oz",
            f"--exclude-from={rules}",
        ],
        cwd=tree,
        check=True,
        capture_output=True,
        timeout=30,
    )
    return {os.fsdecode(path) for path in answer.stdout.split(b"\0") if path}


ELEMENTS = ["a", "b", "c", "x", "x.o", "*", "**", "*.o", "?", ".*", "c.d", "a*", "[ab]", "[!a]", "A.o", "\\#x", "new*"]
PATTERNS = st.builds(
    lambda negated, rooted, elements, folder: f"{negated}{rooted}{'/'.join(elements)}{folder}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(PATTERNS, min_size=1, max_size=5))
@example(lines=["a/", "!a/x"])
@example(lines=["a/**", "!a/b/", "!a/b/x"])
@example(lines=["*", "!*/", "!*.o"])
@example(lines=["/*", "!/a", "/a/*", "!/a/b"])
@example(lines=["x", "!/x", "**/b/", "\\!x", "\\#x", "x\\ ", "# no", "", "a x"])
@example(lines=["a/**/c", "**/a.o/**", "[[]x]"])
def test_patterns_mean_what_git_means(judged_tree: tuple[Path, Path], lines: list[str]) -> None:
    tree, git = judged_tree
    with open_source(str(tree)) as source:
        assert kept_files(source, ExcludeRules(lines)) == git_keeps(tree, git, lines)


@pytest.mark.parametrize(
    ("pattern", "path", "is_directory", "excluded"),
    [
        ("a/", "a", True, True),
        ("a/", "a", False, False),
        ("*.tmp", "deep/down/x.tmp", False, True),
        ("/x", "deep/x", False, False),
        ("a/**", "a", True, False),
        ("x", "x\n", False, False),
        ("x", "y/\udcff/x", False, True),
        ("caf\u00e9", "caf\u00e9", False, True),
        ("*", "", True, False),
    ],
)
def test_single_patterns(pattern: str, path: str, is_directory: bool, excluded: bool) -> None:
    assert ExcludeRules([pattern]).excludes(path, is_directory=is_directory, size=0) is excluded


def test_no_rules_leave_out_nothing() -> None:
    assert not ExcludeRules().excludes("a/b", is_directory=False, size=1 << 60)
    assert not ExcludeRules(["", "# nothing"]).excludes("a/b", is_directory=True, size=0)


def test_the_size_limit_is_for_files() -> None:
    rules = ExcludeRules(larger_than=100)
    assert rules.excludes("a", is_directory=False, size=101)
    assert not rules.excludes("a", is_directory=False, size=100)
    assert not rules.excludes("a", is_directory=True, size=4096)
    with pytest.raises(InputError):
        ExcludeRules(larger_than=-1)


def test_exclude_files_come_before_patterns(tmp_path: Path) -> None:
    file = tmp_path / "rules"
    file.write_bytes(b"\xef\xbb\xbf*.o\r\n# comment\r\n\r\nb\xff\r\n")
    rules = ExcludeRules(["!keep.o"], [file])
    assert rules.excludes("x.o", is_directory=False, size=0)
    assert rules.excludes("b\udcff", is_directory=False, size=0)
    assert not rules.excludes("keep.o", is_directory=False, size=0)


@pytest.mark.parametrize("pattern", ["!", "x[b-", "[z-a]", "/", "x\\"])
def test_what_is_no_pattern_is_named_with_its_place(tmp_path: Path, pattern: str) -> None:
    file = tmp_path / "rules"
    file.write_text(f"fine\n{pattern}\n")
    with pytest.raises(InputError) as caught:
        ExcludeRules(exclude_files=[file])
    assert f"{file}, line 2" in str(caught.value)
    assert caught.value.code == "invalid_pattern"
    with pytest.raises(InputError):
        ExcludeRules([pattern])


def test_an_unreadable_exclude_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        ExcludeRules(exclude_files=[str(tmp_path / "gone")])
    assert str(tmp_path / "gone") in str(caught.value)
    assert caught.value.code == "exclude_file_unreadable"


def test_a_cache_keeps_only_its_tag(tmp_path: Path) -> None:
    for name in ("A", "CACHEDIR.TAG", "z"):
        (tmp_path / name).touch()
    rules = ExcludeRules(exclude_caches=True)
    with open_source(str(tmp_path)) as source:
        entries = source.scan()
        assert rules.without_cache(source, entries) == entries
        (tmp_path / "CACHEDIR.TAG").write_bytes(CACHE_TAG_SIGNATURE + b"\n# made by a test\n")
        entries = source.scan()
        assert [entry.name for entry in rules.without_cache(source, entries)] == [b"CACHEDIR.TAG"]
        assert ExcludeRules().without_cache(source, entries) == entries
        (tmp_path / "CACHEDIR.TAG").rename(tmp_path / "z")
        (tmp_path / "CACHEDIR.TAG").symlink_to("z")
        entries = source.scan()
        assert rules.without_cache(source, entries) == entries


def test_other_file_systems(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with open_source(str(tmp_path)) as source:
        file, folder = source.scan()
        rules = ExcludeRules(one_file_system=True)
        assert not rules.crosses(folder, source.own_entry().device)
        assert rules.crosses(folder, folder.device + 1)
        assert not rules.crosses(file, file.device + 1)
        assert not ExcludeRules().crosses(folder, folder.device + 1)
