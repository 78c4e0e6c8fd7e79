#!/usr/bin/env python3
"""The main job on a real folder, with the public API alone: `demo.py [FOLDER]`, by way of `scripts/demo`.

Copies FOLDER, snapshots the copy into a protected repository, changes a few files of the copy, snapshots again, lists
both. Then it acts as a new PC: an empty state folder and the secret, nothing else. Both snapshots are restored, and
every byte and attribute is compared with what the copy was at each moment.

Rules: FOLDER is only read. Everything is in one temporary folder, removed at the end. What the copy was is kept as
facts and digests (scripts/compare_trees.py), collected without any of snapstore's code. The last line is "identical"
(status 0), or the differences stand above "different" (status 1).
"""

from __future__ import annotations

import argparse
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import compare_trees

import snapstore

SECRET = "demo: correct horse battery"
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
ADDED_BY_OTHERS = "site-packages"  # some systems install packages into the standard library's folder
SHOWN_DIFFERENCES = 50
EDITED_FILES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table at the end."""

    step: str
    seconds: float
    files: int
    raw_size: int
    added_size: int | None = None


def readable(size: int | None) -> str:
    """Return a size as people read it."""
    if size is None:
        return ""
    if size < 10_000:
        return f"{size:,} B"
    return f"{size / 1000:,.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:,.1f} MB"


def copy_tree(source: Path, copy: Path, *, leave_out: str | None) -> None:
    """Copy with owners, modes, times, extended attributes and hard links, as far as this system and user can."""
    if shutil.which("cp") and os.name == "posix":
        # Files that this user may not read are left out of the copy; the comparison is with the copy.
        parts = [f"{source}/."] if leave_out is None else [path for path in source.iterdir() if path.name != leave_out]
        subprocess.run(["cp", "-a", *parts, copy], check=False)
    else:
        ignore = None if leave_out is None else shutil.ignore_patterns(leave_out)
        shutil.copytree(source, copy, symlinks=True, dirs_exist_ok=True, ignore=ignore)


def change_tree(root: Path) -> list[str]:
    """Edit, append, add, delete, rename and change permissions in `root`; return what was done, in words."""
    files = sorted(path for path in root.rglob("*") if stat.S_ISREG(path.lstat().st_mode))
    texts = [path for path in files if path.lstat().st_size >= 1000]
    done: list[str] = []
    for path in texts[:: max(1, len(texts) // EDITED_FILES)][:EDITED_FILES]:
        content = path.read_bytes()
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
        path.write_bytes(b"one line inserted at the head\n" + content)
        done.append(f"edited   {path.relative_to(root)}")
    (root / "added by the demo").mkdir()
    (root / "added by the demo" / "report.txt").write_text("a new file\n" * 1000, encoding="utf-8")
    done.append("added    added by the demo/report.txt")
    rest = [path for path in files if path not in texts[:: max(1, len(texts) // EDITED_FILES)]]
    if rest:
        done.append(f"deleted  {rest[0].relative_to(root)}")
        rest[0].unlink()
    if len(rest) > 1:
        done.append(f"renamed  {rest[-1].relative_to(root)}")
        rest[-1].rename(rest[-1].with_name("renamed by the demo"))
    if len(rest) > 2:
        middle = rest[len(rest) // 2]
        middle.chmod(stat.S_IMODE(middle.lstat().st_mode) ^ stat.S_IXUSR)
        done.append(f"chmod    {middle.relative_to(root)}")
    return done


def tree_size(facts: dict[str, compare_trees.Facts]) -> tuple[int, int]:
    """Return the count of files and the sum of their sizes."""
    sizes = [fact.size for fact in facts.values() if fact.size is not None]
    return len(sizes), sum(sizes)


def take(dossier: snapstore.Dossier, copy: Path, label: str) -> tuple[snapstore.SnapshotReport, Line]:
    """Snapshot the copy; print the problems there were."""
    start = time.perf_counter()
    report = dossier.snapshot(copy, label=label)
    seconds = time.perf_counter() - start
    for problem in report.problems:
        print(f"  problem: {problem.path}: {problem.message}")
    snapshot = report.snapshot
    return report, Line(
        step=f"snapshot, {label}",
        seconds=seconds,
        files=snapshot.files,
        raw_size=snapshot.total_bytes,
        added_size=report.added_bytes,
    )


def bring_back(
    dossier: snapstore.Dossier, snapshot: snapstore.Snapshot, to: Path, facts: dict[str, compare_trees.Facts]
) -> tuple[list[str], Line]:
    """Restore one snapshot, compare it with `facts`, remove it; return the differences."""
    start = time.perf_counter()
    report = dossier.restore(snapshot, to=to)
    seconds = time.perf_counter() - start
    found = compare_trees.differences(facts, compare_trees.collect(to))
    found += [f"{problem.path!r}: {problem.message}" for problem in report.problems]
    remove_tree(to)
    return found, Line(
        step=f"restore, {snapshot.label}", seconds=seconds, files=report.files_restored, raw_size=report.bytes_written
    )


def remove_tree(root: Path) -> None:
    """Remove a tree whose folders may be read-only."""
    os.chmod(root, stat.S_IRWXU)
    for folder, names, _ in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, stat.S_IRWXU)
    shutil.rmtree(root)


def print_snapshots(dossier: snapstore.Dossier) -> None:
    """List what there is, newest first."""
    print(f"\n{'id':10}{'time':21}{'label':10}{'files':>9}{'size':>13}{'added':>13}")
    for snapshot in dossier.list():
        when = snapshot.time.strftime("%Y-%m-%d %H:%M:%S")
        sizes = f"{readable(snapshot.total_bytes):>13}{readable(snapshot.added_bytes):>13}"
        print(f"{snapshot.name[:8]:10}{when:21}{snapshot.label or '':10}{snapshot.files:>9,}{sizes}")


def print_table(lines: Sequence[Line]) -> None:
    """Print sizes and times."""
    print(f"\n{'step':22}{'seconds':>9}{'files':>9}{'size':>13}{'added':>13}{'MB/s':>9}")
    for line in lines:
        speed = line.raw_size / 1e6 / max(line.seconds, 1e-9)
        sizes = f"{readable(line.raw_size):>13}{readable(line.added_size):>13}"
        print(f"{line.step:22}{line.seconds:>9.2f}{line.files:>9,}{sizes}{speed:>9.0f}")


def run(folder: Path, work: Path) -> list[str]:
    """Do it all below `work`; return the differences."""
    copy, repository_folder = work / "copy", work / "repository"
    copy.mkdir()
    copy_tree(folder, copy, leave_out=ADDED_BY_OTHERS if folder == STANDARD_LIBRARY else None)
    before = compare_trees.collect(copy)
    files, size = tree_size(before)
    print(f"{folder}: {files:,} files, {readable(size)}")

    with snapstore.init(repository_folder, state_dir=work / "state of this PC", station_name="this PC") as repository:
        dossier = repository.create_dossier("demo", secret=SECRET)
        _, first = take(dossier, copy, "first")
        print("\n" + "\n".join(change_tree(copy)))
        after = compare_trees.collect(copy)
        _, second = take(dossier, copy, "second")
        print_snapshots(dossier)
    remove_tree(copy)

    # A new PC: nothing but the medium and the secret. The repository lies elsewhere, as another drive letter would be.
    medium = work / "medium"
    repository_folder.rename(medium)
    with snapstore.open(medium, state_dir=work / "state of a new PC", station_name="new PC") as repository:
        dossier = repository.unlock(SECRET)
        newest, oldest = dossier.list()
        found, restored_first = bring_back(dossier, oldest, work / "restored first", before)
        found_then, restored_second = bring_back(dossier, newest, work / "restored second", after)
    print_table([first, second, restored_first, restored_second])
    stored = sum(path.stat().st_size for path in medium.rglob("*") if path.is_file())
    print(f"\nrepository: {readable(stored)} for {readable(size)} and its second state")
    return found + found_then


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; return the exit status."""
    parser = argparse.ArgumentParser(description="Snapshot, change, snapshot, restore on another PC, compare.")
    parser.add_argument("folder", nargs="?", type=Path, default=STANDARD_LIBRARY)
    folder = parser.parse_args(arguments).folder.resolve()
    if not folder.is_dir():
        print(f"error: {folder} is not a folder", file=sys.stderr)
        return 2
    work = Path(tempfile.mkdtemp(prefix="snapstore-demo-"))
    try:
        found = run(folder, work)
    finally:
        remove_tree(work)
    if found:
        print("\n" + "\n".join(found[:SHOWN_DIFFERENCES]))
        print(f"different: {len(found)} differences")
        return 1
    print("identical")
    return 0


if __name__ == "__main__":
    sys.exit(main())
