"""From the paths a user names to the shape of the tree that is saved.

Here: `resolve_sources`, `SourceLayout`, `SourceNode`, and whether sources are empty. Not here: reading what is below
them (`directory`).

Rules. Paths become absolute. A source that is a symbolic link is followed, to a folder or a file alike, and is saved
under the link's name; links found *below* a source are saved as links (`tar -H`, POSIX's -H). A dangling one is
missing: what it leads to is probably on a drive that is not mounted. A source within another one is dropped, unless
links lead it out of there: then what it leads to is a source of its own, at its own place.

One directory is the root itself. Otherwise the deepest common parent is, and what lies between is there as
directories without their other content. The shape follows from the names given, missing ones included, so that a
stick that is not plugged in does not move everything else in the tree. On Windows drives are directories "C", "D"
below a root that has no path; network shares are "UNC", server, share.
"""

from __future__ import annotations

import ntpath
import os
import posixpath
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from ..errors import InputError, SourceError, SourceMissingError
from .directory import open_source
from .scanned import name_bytes

if sys.platform == "win32":
    from .windows import extended_path

    def _stat(path: str) -> os.stat_result:
        return os.stat(extended_path(path))

else:
    from .posix import stat_path as _stat


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceNode:
    """A directory or file in the shape of what is saved.

    `path` is where to read it (for a link that was named: where that leads), None for what exists only in the
    snapshot. `whole`: it is saved with everything below it. Otherwise it is a directory of which only `children` are
    saved, by rising name, with its own attributes where `path` is known. The root's name is empty.
    """

    name: bytes
    path: str | None
    whole: bool
    children: tuple[SourceNode, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLayout:
    """The shape, the sources it has (absolute, as named), and those asked for that are not there."""

    root: SourceNode
    missing: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    named: str
    real: str | None
    """Where it is, every link resolved; None if it is missing."""
    elements: tuple[str, ...]
    """The names of `named` from the top, folded for comparison as the system does."""
    directory: bool


def resolve_sources(paths: Sequence[str], *, allow_missing: bool) -> SourceLayout:
    """Return the shape that `paths` give.

    Raises SourceMissingError, with every absent path in its message, unless `allow_missing`; also then if none is
    there. Raises InputError for no path, an empty one, or one with a NUL.
    """
    if not paths:
        raise InputError("No source was given. Name at least one file or folder to save.")
    sources: dict[tuple[str, ...], _Source] = {}
    failures: dict[str, str] = {}
    for path in paths:
        source, failure = _look_at(absolute_path(path))
        sources.setdefault(source.elements, source)
        if failure is not None:
            failures[source.named] = failure
    if failures and (not allow_missing or len(failures) == len(sources)):
        listed = ", ".join(f"{path} ({reason})" for path, reason in failures.items())
        raise SourceMissingError(f"Sources are missing: {listed}. Is a drive not plugged in or mounted?")
    kept = _without_contained(list(sources.values()))
    present = [source for source in kept if source.real is not None]
    if not present:  # the ones there lie within missing ones: cannot be on one system, may be between two looks
        raise SourceMissingError("The sources vanished while they were looked at. Run it again.")
    return SourceLayout(
        root=_shape(kept),
        missing=tuple(failures),
        sources=tuple(source.named for source in present),
    )


def is_empty_root(node: SourceNode) -> bool:
    """Tell whether nothing would be saved below `node`: its folder, or each of its children, is an empty folder.

    Raises SourceError if a folder cannot be listed: that is not the same as empty.
    """
    if not node.whole:
        return all(is_empty_root(child) for child in node.children)
    assert node.path is not None  # only directories between sources have none
    try:
        if not stat.S_ISDIR(_stat(node.path).st_mode):
            return False
        with open_source(node.path) as directory:
            empty = not directory.scan()
            problems = directory.problems
    except OSError as error:
        raise _unreadable(node.path, error.strerror or type(error).__name__) from error
    if empty and problems:
        raise _unreadable(node.path, problems[0].message)
    return empty


def empty_sources(node: SourceNode) -> tuple[str, ...]:
    """Return the paths of the sources at and below `node` that are empty folders. Raises as `is_empty_root` does."""
    if not node.whole:
        return tuple(path for child in node.children for path in empty_sources(child))
    return (node.path,) if node.path is not None and is_empty_root(node) else ()


def absolute_path(path: str) -> str:
    """Make a path absolute without resolving links, but so that `..` after a link means what the system takes it
    for."""
    if not path or "\0" in path:
        raise InputError(f"{path!r} is not a path. Name a file or folder.")
    path = os.fspath(path)
    if sys.platform == "win32":
        return os.path.abspath(path)  # Windows itself drops "x\.." by name
    else:
        elements = path.split("/")
        if ".." in elements:
            last = len(elements) - 1 - elements[::-1].index("..")
            path = os.path.join(os.path.realpath("/".join(elements[: last + 1])), *elements[last + 1 :])
        absolute = os.path.abspath(path)
        return "/" + absolute.lstrip("/")  # POSIX lets "//" stand for something of its own; no system here does


def path_elements(path: str, *, windows: bool) -> tuple[str, ...]:
    """Return the names that lead to an absolute path in a snapshot that has several sources."""
    if not windows:
        return tuple(name for name in posixpath.normpath(path).split("/") if name)
    drive, rest = ntpath.splitdrive(path)
    share = tuple(name for name in drive.replace("/", "\\").split("\\") if name)
    top = ("UNC", *share) if len(share) > 1 else (drive.rstrip(":").upper(),)
    return top + tuple(name for name in rest.replace("/", "\\").split("\\") if name)


def _look_at(path: str) -> tuple[_Source, str | None]:
    """Return what is at `path`, and why it counts as missing if it does."""
    elements = tuple(map(os.path.normcase, path_elements(path, windows=sys.platform == "win32")))
    try:
        mode = _stat(path).st_mode
    except OSError as error:
        failure = error.strerror or type(error).__name__
        return _Source(named=path, real=None, elements=elements, directory=False), failure
    real = os.path.realpath(path)
    return _Source(named=path, real=real, elements=elements, directory=stat.S_ISDIR(mode)), None


def _without_contained(sources: list[_Source]) -> list[_Source]:
    """Drop what another source brings anyway, until nothing changes; see the module's rules for links that lead out."""
    while True:
        kept: dict[tuple[str, ...], _Source] = {}
        moved = False
        for source in sorted(sources, key=lambda source: len(source.elements)):
            parents = (kept.get(source.elements[:depth]) for depth in range(len(source.elements) + 1))
            container = next((parent for parent in parents if parent is not None), None)
            if container is None:
                kept[source.elements] = source
            elif source.real is not None and not _is_below(source.real, container.real):
                target, _ = _look_at(source.real)
                kept[target.elements] = target
                moved = True
        sources = list(kept.values())
        if not moved:
            return sources


def _is_below(path: str, container: str | None) -> bool:
    if container is None:
        return False
    windows = sys.platform == "win32"
    folded = [tuple(map(os.path.normcase, path_elements(each, windows=windows))) for each in (path, container)]
    return folded[0][: len(folded[1])] == folded[1]


def _shape(sources: list[_Source]) -> SourceNode:
    """Build the tree of nodes. `sources` are not within each other."""
    if len(sources) == 1 and sources[0].directory:
        return SourceNode(name=b"", path=_reading_path(sources[0]), whole=True)
    above = [source.elements[:-1] for source in sources]
    common = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, zip(*above, strict=False)))
    present = sorted((source for source in sources if source.real is not None), key=lambda source: source.elements)
    return _between(present, common, name=b"")


def _between(sources: list[_Source], depth: int, *, name: bytes) -> SourceNode:
    """Return the node that stands `depth` names deep above all of `sources`."""
    groups: dict[str, list[_Source]] = {}
    for source in sources:
        groups.setdefault(source.elements[depth], []).append(source)
    children = []
    for group in groups.values():
        first = group[0]
        names = path_elements(first.named, windows=sys.platform == "win32")
        child = name_bytes(names[depth])
        if len(first.elements) == depth + 1:
            children.append(SourceNode(name=child, path=_reading_path(first), whole=True))
        else:
            children.append(_between(group, depth + 1, name=child))
    children.sort(key=lambda node: node.name)
    return SourceNode(name=name, path=_ancestor(sources[0].named, depth), whole=False, children=tuple(children))


def _ancestor(path: str, depth: int, *, windows: bool = sys.platform == "win32") -> str | None:
    """Return the directory `depth` names deep on the way to `path`, None where there is no such thing to look at."""
    parent: Callable[[str], str] = ntpath.dirname if windows else posixpath.dirname
    while len(path_elements(path, windows=windows)) > depth:
        above = parent(path)
        if above == path:
            return None
        path = above
    return path


def _reading_path(source: _Source) -> str:
    """Return where to read a source: as named, or where it leads if it is a link itself."""
    assert source.real is not None
    try:
        return source.real if os.path.islink(source.named) else source.named
    except OSError:  # too long to be looked at in one piece: it is read by steps, which follow
        return source.named


def _unreadable(path: str, reason: str) -> SourceError:
    return SourceError(f"The source {path} cannot be read: {reason}", code="source_unreadable")
