"""The shape that source paths give."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapstore.errors import InputError, SourceError, SourceMissingError
from snapstore.sources.layout import (
    SourceNode,
    absolute_path,
    empty_sources,
    is_empty_root,
    path_elements,
    resolve_sources,
)


def outline(node: SourceNode) -> object:
    """A node as nested tuples: name, whole, children."""
    return (node.name.decode(), node.whole, [outline(child) for child in node.children])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path.resolve() / "home"
    for name in ("ann/photos/2024", "ann/papers", "bob/photos"):
        (home / name).mkdir(parents=True)
    (home / "ann/stock.db").write_bytes(b"stock")
    return home


def test_one_directory_is_the_root(home: Path) -> None:
    layout = resolve_sources([str(home / "ann")], allow_missing=False)
    assert layout.root == SourceNode(name=b"", path=str(home / "ann"), whole=True)
    assert layout.sources == (str(home / "ann"),)
    assert layout.missing == ()


def test_one_file_stands_in_its_folder(home: Path) -> None:
    root = resolve_sources([str(home / "ann/stock.db")], allow_missing=False).root
    assert outline(root) == ("", False, [("stock.db", True, [])])
    assert (root.path, root.children[0].path) == (str(home / "ann"), str(home / "ann/stock.db"))


def test_several_hang_from_their_deepest_common_parent(home: Path) -> None:
    paths = [str(home / name) for name in ("bob/photos", "ann/stock.db", "ann/photos")]
    root = resolve_sources(paths, allow_missing=False).root
    assert root.path == str(home)
    assert outline(root) == (
        "",
        False,
        [("ann", False, [("photos", True, []), ("stock.db", True, [])]), ("bob", False, [("photos", True, [])])],
    )
    assert root.children[0].path == str(home / "ann")


def test_siblings_with_a_common_beginning_are_not_contained(home: Path) -> None:
    (home / "ann2").mkdir()
    root = resolve_sources([str(home / "ann"), str(home / "ann2")], allow_missing=False).root
    assert outline(root) == ("", False, [("ann", True, []), ("ann2", True, [])])


@pytest.mark.parametrize(
    "paths", [["ann", "ann/photos"], ["ann/photos/2024", "ann"], ["ann", "ann"], ["ann/", "ann/."]]
)
def test_a_source_within_another_is_dropped(home: Path, paths: list[str]) -> None:
    layout = resolve_sources([f"{home}/{path}" for path in paths], allow_missing=False)
    assert layout.root == SourceNode(name=b"", path=str(home / "ann"), whole=True)
    assert layout.sources == (str(home / "ann"),)


def test_relative_paths_start_in_the_current_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home / "ann")
    assert resolve_sources(["."], allow_missing=False).root.path == str(home / "ann")
    assert resolve_sources(["../bob"], allow_missing=False).sources == (str(home / "bob"),)


def test_all_missing_sources_are_named(home: Path) -> None:
    paths = [str(home / "ann"), str(home / "eve"), str(home / "ann/stock.db/x")]
    with pytest.raises(SourceMissingError) as caught:
        resolve_sources(paths, allow_missing=False)
    assert str(home / "eve") in str(caught.value)
    assert str(home / "ann/stock.db/x") in str(caught.value)
    assert str(home / "ann") + " (" not in str(caught.value)


def test_a_missing_source_does_not_change_the_shape(home: Path) -> None:
    both = [str(home / "ann/photos"), str(home / "bob/photos")]
    (home / "bob/photos").rmdir()
    layout = resolve_sources(both, allow_missing=True)
    assert layout.missing == (both[1],)
    assert layout.sources == (both[0],)
    assert layout.root.path == str(home)
    assert outline(layout.root) == ("", False, [("ann", False, [("photos", True, [])])])


def test_nothing_but_missing_sources_is_an_error_in_any_case(home: Path) -> None:
    with pytest.raises(SourceMissingError):
        resolve_sources([str(home / "eve")], allow_missing=True)


@pytest.mark.parametrize("paths", [[], [""], ["a\0b"]])
def test_what_is_no_path_is_refused(paths: list[str]) -> None:
    with pytest.raises(InputError):
        resolve_sources(paths, allow_missing=False)


def test_a_named_link_is_followed_and_keeps_its_name(home: Path) -> None:
    (home / "link").symlink_to(home / "ann")
    (home / "db").symlink_to("ann/stock.db")
    root = resolve_sources([str(home / "link"), str(home / "db")], allow_missing=False).root
    assert outline(root) == ("", False, [("db", True, []), ("link", True, [])])
    assert [child.path for child in root.children] == [str(home / "ann/stock.db"), str(home / "ann")]


def test_a_dangling_link_is_missing(home: Path) -> None:
    (home / "stick").symlink_to("/media/not/here")
    with pytest.raises(SourceMissingError):
        resolve_sources([str(home / "stick"), str(home / "ann")], allow_missing=False)


def test_a_link_out_of_another_source_brings_what_it_leads_to(home: Path) -> None:
    (home / "ann/data").symlink_to(home / "bob")
    layout = resolve_sources([str(home / "ann"), str(home / "ann/data")], allow_missing=False)
    assert layout.sources == (str(home / "ann"), str(home / "bob"))
    assert outline(layout.root) == ("", False, [("ann", True, []), ("bob", True, [])])


def test_a_path_through_a_link_out_of_another_source_is_not_lost(home: Path) -> None:
    (home / "ann/data").symlink_to(home / "bob")
    layout = resolve_sources([str(home / "ann"), str(home / "ann/data/photos")], allow_missing=False)
    assert layout.sources == (str(home / "ann"), str(home / "bob/photos"))


def test_a_link_within_a_source_that_leads_back_into_it_is_dropped(home: Path) -> None:
    (home / "ann/same").symlink_to(home / "ann/photos")
    layout = resolve_sources([str(home / "ann"), str(home / "ann/same")], allow_missing=False)
    assert layout.sources == (str(home / "ann"),)


def test_a_link_to_what_holds_everything_takes_over(home: Path) -> None:
    (home / "ann/up").symlink_to(home)
    layout = resolve_sources([str(home / "ann"), str(home / "ann/up")], allow_missing=False)
    assert layout.root == SourceNode(name=b"", path=str(home), whole=True)


def test_dot_dot_after_a_link_is_where_the_system_goes(home: Path) -> None:
    (home / "short").symlink_to(home / "ann/photos/2024")
    assert absolute_path(str(home / "short/../../papers")) == str(home / "ann/papers")


def test_the_root_of_everything() -> None:
    if os.name == "nt":
        pytest.skip("there is no such thing")
    root = resolve_sources(["/", "/tmp"], allow_missing=False).root
    assert root == SourceNode(name=b"", path="/", whole=True)
    assert absolute_path("//tmp") == "/tmp"


@pytest.mark.parametrize(
    ("path", "elements"),
    [
        ("C:\\", ("C",)),
        ("d:\\Shop\\Stock", ("D", "Shop", "Stock")),
        ("\\\\server\\share\\x", ("UNC", "server", "share", "x")),
    ],
)
def test_windows_drives_are_names(path: str, elements: tuple[str, ...]) -> None:
    assert path_elements(path, windows=True) == elements


def test_a_path_longer_than_the_system_takes(deep_tree: Path) -> None:
    names = [f"{level:04d}" + "d" * 96 for level in range(1, 101)]
    path = os.path.join(str(deep_tree), *names)
    assert len(path) > 10_000
    assert resolve_sources([path], allow_missing=False).root.path == path
    file = resolve_sources([path + "/file"], allow_missing=False).root
    assert (file.path, file.children[0].name) == (path, b"file")
    assert not is_empty_root(file)


def test_emptiness(home: Path) -> None:
    paths = [str(home / "ann"), str(home / "bob/photos")]
    root = resolve_sources(paths, allow_missing=False).root
    assert not is_empty_root(root)
    assert empty_sources(root) == (paths[1],)
    assert is_empty_root(resolve_sources(paths[1:], allow_missing=False).root)
    with pytest.raises(SourceError) as caught:
        is_empty_root(SourceNode(name=b"", path=str(home / "gone"), whole=True))
    assert caught.value.code == "source_unreadable"
