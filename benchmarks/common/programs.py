"""The programs that snapstore is compared with: found, or installed into the benchmarks' own folder.

Here: `find_restic`, `find_borg`, `find_zstd`. Not here: how they are called (`tools`).

Rules: a path that was given is used and nothing else is tried; then what is on PATH; then what this machine's package
tools can fetch. restic and zstd are unpacked from Debian's packages, which needs no rights. Borg 1.4 is built by pip in
an environment of its own, and its libraries are installed with apt where we are root. What cannot be had is said, and
the questions are answered without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .datasets import UnavailableError, fetch_package

BORG_RELEASE = "1.4"
BORG_LIBRARIES = (
    "build-essential",
    "libacl1-dev",
    "liblz4-dev",
    "libssl-dev",
    "libxxhash-dev",
    "libzstd-dev",
    "pkg-config",
    "python3-dev",
)


def find_restic(given: Path | None, folder: Path) -> Path:
    """Return restic's path."""
    return _given(given) or _on_path("restic") or _unpacked("restic", folder)


def find_zstd(folder: Path) -> Path:
    """Return the path of the zstd command."""
    return _on_path("zstd") or _unpacked("zstd", folder)


def find_borg(given: Path | None, folder: Path) -> Path:
    """Return the path of a Borg 1.4."""
    if named := _given(given):
        return named
    present = _on_path("borg")
    if present is not None and _output(str(present), "--version").startswith(f"borg {BORG_RELEASE}."):
        return present
    built = folder / "borg" / "bin" / "borg"
    if not built.exists():
        _build_borg(folder / "borg")
    return built


def _given(path: Path | None) -> Path | None:
    if path is not None and not path.exists():
        raise UnavailableError(f"there is no {path}")
    return path.absolute() if path is not None else None


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _output(*arguments: str) -> str:
    return subprocess.run(arguments, capture_output=True, text=True, check=False).stdout


def _unpacked(name: str, folder: Path) -> Path:
    program = folder / name / "usr" / "bin" / name
    if not program.exists():
        print(f"== fetching {name}", file=sys.stderr, flush=True)
        package = fetch_package(name, folder / "downloads")
        subprocess.run(["dpkg-deb", "-x", package, folder / name], check=True)
    return program


def _build_borg(environment: Path) -> None:
    print(f"== building borg {BORG_RELEASE}", file=sys.stderr, flush=True)
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *BORG_LIBRARIES]):
            subprocess.run(["apt-get", *arguments], env=quiet, capture_output=True, check=False)
    subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, f"borgbackup=={BORG_RELEASE}.*"], capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(environment)
        needed = " ".join(BORG_LIBRARIES)
        raise UnavailableError(f"pip could not build borg (it needs {needed}):\n{done.stderr.strip()[-500:]}")
