"""Equal trees have equal roots, whatever was taken over from the snapshot before.

Random edits of a small tree over several rounds. After each the snapshot that builds on the last one is held against
one that reads everything into a fresh repository (`Trial.check`): root, counts, problems and every restored byte.
Sizes lie at and beside every boundary: inline, bundled, read whole, read by blocks.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapstore.types import SnapshotOptions

SIZES = (0, 1, 511, 512, 513, 3000, 20_000, 65_535, 65_536, 65_537, 200_000, 1_048_576, 1_048_577)
ROUNDS = 6
EDITS = 4
SEEDS = range(3)
NAMES = ("a", "b", "c", "d.db", "e.tmp", "CACHEDIR.TAG")
CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="edits of POSIX trees")


class Editor:
    """Changes a tree at random."""

    def __init__(self, top: Path, seed: int) -> None:
        self.top = top
        self.random = random.Random(seed)
        self.done: list[str] = []
        self.edits: tuple[Callable[[], object], ...] = (
            self.write,
            self.write,
            self.write,
            self.make_folder,
            self.change_in_place,
            self.remove,
            self.move,
            self.link,
            self.symlink,
            self.mode,
            self.touch,
            self.attribute,
            self.swap_kind,
            self.punch,
        )

    def edit(self) -> None:
        edit = self.random.choice(self.edits)
        self.done.append(edit.__name__)
        edit()

    def folders(self) -> list[Path]:
        return [self.top, *sorted(path for path in self.top.rglob("*") if path.is_dir() and not path.is_symlink())]

    def files(self) -> list[Path]:
        return sorted(path for path in self.top.rglob("*") if path.is_file() and not path.is_symlink())

    def place(self) -> Path:
        return self.random.choice(self.folders()) / self.random.choice(NAMES)

    def content(self) -> bytes:
        size = self.random.choice(SIZES)
        return bytes(size) if self.random.random() < 0.2 else self.random.randbytes(size)

    def clear(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def write(self) -> None:
        path = self.place()
        self.clear(path)
        path.write_bytes(CACHE_TAG if path.name == "CACHEDIR.TAG" and self.random.random() < 0.5 else self.content())

    def make_folder(self) -> None:
        path = self.place()
        if not os.path.lexists(path):
            path.mkdir()

    def change_in_place(self) -> None:
        """Same size, same time of modification: only the time of change tells."""
        for path in self.random.sample(files := self.files(), min(1, len(files))):
            found = path.stat()
            with path.open("r+b") as file:
                file.write(self.random.randbytes(min(found.st_size, 8)))
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    def remove(self) -> None:
        self.clear(self.place())

    def move(self) -> None:
        source, target = self.place(), self.place()
        if os.path.lexists(source) and not os.path.lexists(target) and source not in target.parents:
            source.rename(target)

    def link(self) -> None:
        target = self.place()
        if (files := self.files()) and not os.path.lexists(target):
            os.link(self.random.choice(files), target)

    def symlink(self) -> None:
        path = self.place()
        self.clear(path)
        path.symlink_to(self.random.choice(["a", "../b", "nowhere"]))

    def mode(self) -> None:
        self.random.choice([*self.folders()[1:], *self.files(), self.top]).chmod(
            self.random.choice([0o700, 0o755, 0o750])
        )

    def touch(self) -> None:
        second = self.random.randrange(10**9) * 10**9
        os.utime(self.random.choice([*self.folders()[1:], *self.files(), self.top]), ns=(second, second))

    def attribute(self) -> None:
        path = self.random.choice([*self.folders()[1:], *self.files(), self.top])
        if sys.platform == "linux":
            os.setxattr(path, "user.note", self.random.randbytes(self.random.choice([3, 3000])))

    def swap_kind(self) -> None:
        path = self.place()
        was_folder = path.is_dir() and not path.is_symlink()
        self.clear(path)
        if was_folder:
            path.write_bytes(self.content())
        else:
            path.mkdir()
            (path / "inside").write_bytes(self.content())

    def punch(self) -> None:
        """A file with holes."""
        path = self.place()
        if not path.is_dir():
            path.unlink(missing_ok=True)
            with path.open("wb") as file:
                file.seek(self.random.choice([60_000, 300_000, 2_000_000]))
                file.write(self.content())
                file.truncate(file.tell() + self.random.choice([0, 100_000]))


def grow(top: Path, seed: int) -> Editor:
    """A tree to begin with: two folders at the top, one of them five deep, and a random rest."""
    editor = Editor(top, seed)
    deep = top / "a" / "b" / "c" / "a" / "b"
    deep.mkdir(parents=True)
    (top / "b").mkdir()
    for number in range(12):
        (deep / f"deep {number}").write_bytes(editor.random.randbytes(number * 300))
        (top / "b" / f"bundled {number}").write_bytes(editor.random.randbytes(9000 + number))
    for _ in range(20):
        editor.edit()
    return editor


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("seed", SEEDS)
def test_random_edits(trial: Any, seed: int) -> None:
    editor = grow(trial.lab.source, seed)
    trial.check()
    unchanged = trial.check()
    singles = sum(1 for path in editor.files() if path.stat().st_nlink == 1)
    assert unchanged.files_unchanged >= singles
    for _ in range(ROUNDS):
        editor.done.clear()
        for _ in range(EDITS):
            editor.edit()
        trial.check()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("seed", SEEDS)
def test_random_edits_and_rules_that_change(trial: Any, seed: int) -> None:
    """Each round leaves out something else, and half of the time nothing was edited."""
    editor = grow(trial.lab.source, 100 + seed)
    for _ in range(ROUNDS):
        if editor.random.random() < 0.5:
            editor.edit()
        patterns = [
            pattern for pattern in ("*.tmp", "/a/b", "deep 1*", "!deep 11", "c/") if editor.random.random() < 0.4
        ]
        options = SnapshotOptions(
            exclude_caches=editor.random.random() < 0.5,
            exclude_larger_than=editor.random.choice([None, None, 1000, 65_536]),
            one_file_system=editor.random.random() < 0.5,
            allow_empty=True,
        )
        trial.check(exclude=patterns, options=options)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("seed", SEEDS)
def test_random_edits_and_sources_that_change(trial: Any, seed: int) -> None:
    """The same folders, in turn as one source, as several, and one by one: other paths, other rows."""
    editor = grow(trial.lab.source, 200 + seed)
    top = trial.lab.source
    for _ in range(ROUNDS):
        editor.edit()
        for kept in (top / "a" / "b", top / "b"):
            if not kept.is_dir() or kept.is_symlink():
                for path in (kept.parent, kept):
                    if not path.is_dir() or path.is_symlink():
                        editor.clear(path)
                        path.mkdir()
        sources = editor.random.choice([top, top / "a", [top / "a", top / "b"], [top / "a" / "b", top / "b"]])
        patterns = editor.random.choice([(), ("/a/b/c",), ("/b/*5",)])
        trial.check(sources, exclude=patterns, options=SnapshotOptions(allow_empty=True))
