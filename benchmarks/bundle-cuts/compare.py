"""What do bundle cuts cost after edits: cuts decided by the file's name, or by its content?

Reads a real folder once, keeps names, sizes and content hashes, simulates a day's edits on that list, and counts for
both rules which bundles are new, how many bytes they hold, and how many files have to be read to make them. Nothing
is written.

    python benchmarks/bundle-cuts/compare.py FOLDER [FOLDER ...]

The two rules differ in one thing only: what is hashed under the key. Bounds, weights and order are those of
plan_bundles.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from blake3 import blake3

from snapstore import limits
from snapstore.chunking import plan_bundles

ROUNDS = 10
SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A small file; `content` is its hash, so equal files are equal here too."""

    name: bytes
    size: int
    content: bytes


Tree = dict[bytes, list[File]]
Edit = Callable[[random.Random, list[File]], list[File]]
Bundle = tuple[bytes, tuple[File, ...]]


def read_tree(root: str) -> Tree:
    """Return the small files below `root` by folder, in name order."""
    tree: Tree = {}
    for folder, _, names in os.walk(os.fsencode(root)):
        files = [file for name in sorted(names) if (file := read_file(folder, name))]
        if files:
            tree[folder] = files
    return tree


def read_file(folder: bytes, name: bytes) -> File | None:
    """Return the file if it is one that would be bundled."""
    path = Path(os.fsdecode(os.path.join(folder, name)))
    if path.is_symlink() or not path.is_file():
        return None
    if not limits.INLINE_MAX_BYTES < path.stat().st_size <= limits.BUNDLE_FILE_MAX_BYTES:
        return None
    data = path.read_bytes()
    return File(name=name, size=len(data), content=blake3(data).digest())


def change_content(draw: random.Random, file: File) -> File:
    """Return the file edited: other content, and a size up to a tenth off."""
    size = min(max(int(file.size * draw.uniform(0.9, 1.1)), 513), limits.BUNDLE_FILE_MAX_BYTES)
    return replace(file, size=size, content=draw.randbytes(32))


def edit_change(draw: random.Random, files: list[File]) -> list[File]:
    """Change a share of the files."""
    return [change_content(draw, file) if draw.random() < SHARE else file for file in files]


def edit_rewrite(draw: random.Random, files: list[File]) -> list[File]:
    """Change a share of the files and keep their sizes."""
    return [replace(file, content=draw.randbytes(32)) if draw.random() < SHARE else file for file in files]


def edit_insert(draw: random.Random, files: list[File]) -> list[File]:
    """Put new files beside a share of the old ones."""
    new = [
        replace(file, name=file.name + b"-new", content=draw.randbytes(32)) for file in files if draw.random() < SHARE
    ]
    return files + new


def edit_delete(draw: random.Random, files: list[File]) -> list[File]:
    """Delete a share of the files."""
    return [file for file in files if draw.random() >= SHARE]


def edit_rename_anywhere(draw: random.Random, files: list[File]) -> list[File]:
    """Give a share of the files a name that sorts anywhere in the folder."""
    return [
        replace(file, name=draw.choice(files).name + b"-renamed") if draw.random() < SHARE else file for file in files
    ]


def edit_rename_in_place(draw: random.Random, files: list[File]) -> list[File]:
    """Give a share of the files a name that sorts where the old one did."""
    return [replace(file, name=file.name + b"-renamed") if draw.random() < SHARE else file for file in files]


def edit_rename_whole_folders(draw: random.Random, files: list[File]) -> list[File]:
    """Put one prefix before all names of a share of the folders: order and content stay, every name is new."""
    if draw.random() >= SHARE:
        return files
    return [replace(file, name=b"2025 " + file.name) for file in files]


EDITS: dict[str, Edit] = {
    "change 1 %, sizes too": edit_change,
    "change 1 %, same size": edit_rewrite,
    "insert 1 %": edit_insert,
    "delete 1 %": edit_delete,
    "rename 1 %, anywhere": edit_rename_anywhere,
    "rename 1 %, same place": edit_rename_in_place,
    "prefix, 1 % of folders": edit_rename_whole_folders,
}


def bundles_of(tree: Tree, key: bytes, *, by_name: bool) -> Iterator[Bundle]:
    """Yield folder and files of every bundle."""
    for folder, files in tree.items():
        plan = plan_bundles(
            [file.name if by_name else file.content for file in files],
            [file.size for file in files],
            key=key,
            minimum=limits.BUNDLE_MIN_BYTES,
            mean=limits.BUNDLE_MEAN_BYTES,
            maximum=limits.BUNDLE_MAX_BYTES,
        )
        for positions in plan:
            yield folder, tuple(files[positions.start : positions.stop])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one rule costs after one edit."""

    edited_bytes: int
    new_bundles: int
    new_bytes: int
    files_read: int


def cost(before: Tree, after: Tree, key: bytes, *, by_name: bool) -> Cost:
    """Compare the bundles of two states.

    A bundle is new by its content. A file is read if its line in the station's cache (name, size, content) does not
    fit, or if it is in a bundle that has other members than before. The rule by content is given what it needs to get
    so far: the cut hash of every unchanged file, from the cache. Without that it reads every file, every time.
    """
    old = list(bundles_of(before, key, by_name=by_name))
    new = list(bundles_of(after, key, by_name=by_name))
    contents = {tuple(file.content for file in files) for _, files in old}
    fresh = {content: files for _, files in new if (content := tuple(file.content for file in files)) not in contents}
    known = set(old)
    stored = {file.content for files in before.values() for file in files}
    edited = {file.content: file.size for files in after.values() for file in files if file.content not in stored}
    return Cost(
        edited_bytes=sum(edited.values()),
        new_bundles=len(fresh),
        new_bytes=sum(file.size for files in fresh.values() for file in files),
        files_read=sum(len(bundle[1]) for bundle in new if bundle not in known),
    )


def report(root: str) -> None:
    """Print the table of one folder."""
    tree = read_tree(root)
    count = sum(len(files) for files in tree.values())
    total = sum(file.size for files in tree.values() for file in files)
    print(f"{root}: {count} small files in {len(tree)} folders, {total / 1e6:.1f} MB; means of {ROUNDS} rounds\n")
    for by_name in (True, False):
        bundles = [sum(1 for _ in bundles_of(tree, bytes([turn]) * 32, by_name=by_name)) for turn in range(ROUNDS)]
        print(f"bundles, cuts by {'name' if by_name else 'content'}: {mean(bundles):.0f}")
    print(
        f"\n{'':24}{'edited':>9}{'new MB':>10}{'new MB':>10}{'bundles':>9}{'bundles':>9}{'read':>8}{'read':>8}\n"
        f"{'edit':24}{'MB':>9}{'by name':>10}{'content':>10}{'by name':>9}{'content':>9}{'by name':>8}{'content':>8}"
    )
    for label, edit in EDITS.items():
        named, content = measure(tree, edit)
        print(
            f"{label:24}{mean(c.edited_bytes for c in named) / 1e6:9.2f}"
            f"{mean(c.new_bytes for c in named) / 1e6:10.2f}{mean(c.new_bytes for c in content) / 1e6:10.2f}"
            f"{mean(c.new_bundles for c in named):9.0f}{mean(c.new_bundles for c in content):9.0f}"
            f"{mean(c.files_read for c in named):8.0f}{mean(c.files_read for c in content):8.0f}"
        )
    print(f"\nread by content without cached cut hashes: {count}, every time\n")


def measure(tree: Tree, edit: Edit) -> tuple[list[Cost], list[Cost]]:
    """Return the costs of all rounds by name and by content; both rules see the same edits."""
    named, content = [], []
    for turn in range(ROUNDS):
        draw = random.Random(turn)
        key = bytes([turn]) * 32
        after = {folder: sorted(edit(draw, files), key=lambda file: file.name) for folder, files in tree.items()}
        named.append(cost(tree, after, key, by_name=True))
        content.append(cost(tree, after, key, by_name=False))
    return named, content


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        report(argument)
