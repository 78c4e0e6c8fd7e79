"""The data sets, by name: built once below a folder, found again afterwards.

Here: `DATA_SETS`, `ensure`, and a command that builds (`python -m benchmarks.common.datasets DATA-FOLDER [NAME...]`).
Not here: what is in the made-up ones (`shop_database`, `shop_files`, `small_files`).

Rules: a set counts as built when the note beside it, NAME.json, says so under the same recipe; anything else is made
anew. Sets are only read by the questions; the one that changes a file puts it back. Tiny sets (some MB in all) have the
same shape and serve the smoke test. `source-tree` is Debian's package linux-source-6.1, which any Debian can fetch and
unpack without being root.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .shop_database import FULL_SALES, build_database
from .shop_files import build_documents, build_photos
from .small_files import build_small_files

RECIPE = 1
"""Counted up when a change here or in the generators changes what the sets hold."""
SOURCE_PACKAGE = "linux-source-6.1"
SHARED_FROM_BYTES = 256 * 1024
"""Files of this size and more are shared between dossiers; docs/format/05-blobs.md."""
DATABASE = "shop.sqlite"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much the sets hold."""

    name: str
    sales: int
    photos: int
    documents: int
    small_files: int


FULL = Scale(name="full", sales=FULL_SALES, photos=200, documents=5000, small_files=300_000)
TINY = Scale(name="tiny", sales=2000, photos=1, documents=20, small_files=600)


class UnavailableError(Exception):
    """The data set, or a program, cannot be had on this machine; the message says why."""


def _source_tree(target: Path, scale: Scale) -> None:
    if scale is TINY:
        target.mkdir()
        for name in ("snapstore", "docs"):
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        return
    downloads = target.parent / "downloads"
    package = fetch_package(SOURCE_PACKAGE, downloads)
    subprocess.run(["dpkg-deb", "-x", package, downloads / "unpacked"], check=True)
    (archive,) = (downloads / "unpacked").glob("usr/src/*.tar.xz")
    target.mkdir()
    subprocess.run(["tar", "-x", "--strip-components=1", "-C", target, "-f", archive], check=True)
    shutil.rmtree(downloads)


def fetch_package(name: str, folder: Path) -> Path:
    """Download a Debian package into `folder`, unless it lies there; needs no rights."""
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob(f"{name}_*.deb")):
        if shutil.which("apt-get") is None:
            raise UnavailableError(f"{name} is a Debian package, and there is no apt-get here")
        done = subprocess.run(
            ["apt-get", "download", "-qq", name], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise UnavailableError(f"apt-get download {name}: {done.stderr.strip()}")
    return sorted(folder.glob(f"{name}_*.deb"))[-1]


def _shop(target: Path, scale: Scale) -> None:
    target.mkdir()
    (target / "data").mkdir()
    build_database(target / "data" / DATABASE, sales=scale.sales)
    build_photos(target / "photos", count=scale.photos)
    build_documents(target / "documents", count=scale.documents)


def _daily(target: Path, scale: Scale) -> None:
    """The database alone; the question takes a copy and lets it live through a week."""
    target.mkdir()
    shutil.copyfile(ensure("shop", target.parent, scale) / "data" / DATABASE, target / DATABASE)


def _two_dossiers(target: Path, scale: Scale) -> None:
    """The files of the shop that are large enough to be shared, twice; as links, which cost no space."""
    shop = ensure("shop", target.parent, scale)
    for copy in ("first", "second"):
        for path in shop.rglob("*"):
            if path.is_file() and path.stat().st_size >= SHARED_FROM_BYTES:
                wanted = target / copy / path.relative_to(shop)
                wanted.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, wanted)


def _many_small(target: Path, scale: Scale) -> None:
    build_small_files(target, count=scale.small_files)


def _many_small_tenth(target: Path, scale: Scale) -> None:
    build_small_files(target, count=scale.small_files // 10)


DATA_SETS: dict[str, Callable[[Path, Scale], None]] = {
    "source-tree": _source_tree,
    "shop": _shop,
    "many-small": _many_small,
    "many-small-tenth": _many_small_tenth,
    "daily": _daily,
    "two-dossiers": _two_dossiers,
}


def ensure(name: str, folder: Path, scale: Scale) -> Path:
    """Return the path of the set, after building it if it is not there. Raises UnavailableError."""
    target, note = folder / name, folder / f"{name}.json"
    recipe = {"recipe": RECIPE, "scale": scale.name}
    if target.is_dir() and note.is_file() and json.loads(note.read_text()) == recipe:
        return target
    print(f"== building the data set {name}", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    DATA_SETS[name](target, scale)
    note.write_text(json.dumps(recipe) + "\n")
    return target


def file_of_about(folder: Path, wanted: int) -> Path:
    """Return the regular file whose size is nearest to `wanted`, the first by name of several."""
    best: tuple[int, str] | None = None
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            if not os.path.islink(path):
                found = (abs(os.path.getsize(path) - wanted), path)
                best = found if best is None else min(best, found)
    if best is None:
        raise UnavailableError(f"no file in {folder}")
    return Path(best[1])


def main() -> None:
    """Build the named sets, or all."""
    parser = argparse.ArgumentParser(description="Build data sets below a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(DATA_SETS))
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    try:
        for name in options.names or DATA_SETS:
            ensure(name, options.folder, TINY if options.tiny else FULL)
    except UnavailableError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
