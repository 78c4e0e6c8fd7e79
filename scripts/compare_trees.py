#!/usr/bin/env python3
"""Compare two file trees in every byte and attribute: `compare_trees.py A B`.

Here: `collect`, which notes the facts of each path of a tree (type, size, content digest, permission bits, owner,
group, time of modification, extended attributes with ACLs, link target, device number, hard-link group), and
`differences`, which sets two such collections side by side. Not here: anything of snapstore. The check must not rest on
what it checks, so this uses the standard library alone.

Rules: nothing follows a symbolic link, nothing opens a pipe or a device, nothing is written. Paths are relative to the
tree's root, the root itself is ".", undecodable bytes are lone surrogates. Holes, inode numbers, ctime and atime are
not facts: no restore can or should bring them back.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

READ_BYTES = 1024 * 1024
SHOWN_DIFFERENCES = 200

TYPE_NAMES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "named pipe",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one path. None where the type of file, or the system, has nothing of the kind."""

    type: str
    mode: int | None
    owner: int
    group: int
    modified_ns: int | None
    size: int | None
    digest: str | None
    link_target: str | None
    device: int | None
    xattrs: tuple[tuple[str, bytes], ...]
    linked_with: str | None
    """The first path, in sorted order, of those in this tree that are the same file."""


def collect(root: str | os.PathLike[str]) -> dict[str, Facts]:
    """Return the facts of everything below `root` and of `root` itself (".")."""
    top = os.fspath(root)
    first_names: dict[tuple[int, int], str] = {}
    facts: dict[str, Facts] = {}
    for relative, status in sorted(_walk(top)):
        absolute = top if relative == "." else os.path.join(top, relative)
        facts[relative] = _facts_of(absolute, status, _link_group(relative, status, first_names))
    return facts


def _walk(top: str) -> Iterator[tuple[str, os.stat_result]]:
    yield ".", os.lstat(top)
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(top, folder) if folder else top) as children:
            for child in children:
                relative = os.path.join(folder, child.name)
                # Windows gives DirEntry.stat() without links and inode; os.lstat() is complete everywhere.
                status = os.lstat(os.path.join(top, relative))
                yield relative, status
                if stat.S_ISDIR(status.st_mode):
                    pending.append(relative)


def _link_group(relative: str, status: os.stat_result, first_names: dict[tuple[int, int], str]) -> str | None:
    if stat.S_ISDIR(status.st_mode) or status.st_nlink < 2:
        return None
    first = first_names.setdefault((status.st_dev, status.st_ino), relative)
    return None if first == relative else first


def _facts_of(path: str, status: os.stat_result, linked_with: str | None) -> Facts:
    file_type = stat.S_IFMT(status.st_mode)
    is_link = file_type == stat.S_IFLNK
    is_file = file_type == stat.S_IFREG
    return Facts(
        type=TYPE_NAMES.get(file_type, f"unknown type {file_type:o}"),
        mode=None if is_link else stat.S_IMODE(status.st_mode),
        owner=status.st_uid,
        group=status.st_gid,
        modified_ns=status.st_mtime_ns,
        size=status.st_size if is_file else None,
        digest=_digest(path) if is_file else None,
        link_target=os.readlink(path) if is_link else None,
        device=status.st_rdev if file_type in (stat.S_IFCHR, stat.S_IFBLK) else None,
        xattrs=_xattrs(path),
        linked_with=linked_with,
    )


def _digest(path: str) -> str:
    digest = hashlib.blake2b(digest_size=32)
    with open(path, "rb", buffering=0) as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _xattrs(path: str) -> tuple[tuple[str, bytes], ...]:
    if sys.platform != "linux":
        return ()
    try:
        names = sorted(os.listxattr(path, follow_symlinks=False))
        return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
    except OSError as error:
        if error.errno == errno.ENOTSUP:  # the file system has none
            return ()
        raise


def differences(left: Mapping[str, Facts], right: Mapping[str, Facts], *, ignore: Sequence[str] = ()) -> list[str]:
    """Return one line for each difference; `ignore` names fields of `Facts` that need not be equal."""
    found: list[str] = []
    for path in sorted(left.keys() | right.keys()):
        before, after = left.get(path), right.get(path)
        if before is None:
            found.append(f"{path!r}: only in the second tree")
        elif after is None:
            found.append(f"{path!r}: only in the first tree")
        elif before != after:
            found.extend(_field_differences(path, before, after, ignore))
    return found


def _field_differences(path: str, before: Facts, after: Facts, ignore: Sequence[str]) -> Iterator[str]:
    for field in fields(Facts):
        one, other = getattr(before, field.name), getattr(after, field.name)
        if one != other and field.name not in ignore:
            if field.name == "mode" and one is not None and other is not None:
                one, other = oct(one), oct(other)
            yield f"{path!r}: {field.name} is {one!r} in the first tree, {other!r} in the second"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the differences of two trees; return 1 if there are any."""
    parser = argparse.ArgumentParser(description="Compare two file trees in every byte and attribute.")
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--ignore", action="append", default=[], choices=[field.name for field in fields(Facts)])
    options = parser.parse_args(arguments)
    first, second = collect(options.first), collect(options.second)
    found = differences(first, second, ignore=options.ignore)
    for line in found[:SHOWN_DIFFERENCES]:
        print(line)
    if len(found) > SHOWN_DIFFERENCES:
        print(f"... and {len(found) - SHOWN_DIFFERENCES} more")
    if not found:
        print(f"{len(first)} entries, identical")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
