"""Wheels are built and installed as a user would: with the C compiler, and without one.

Each wheel is built from a copy of the source tree, so that nothing of a build is left in the checkout, and unpacked
into a folder of its own, which a new interpreter uses in place of the checkout. Dependencies come from the
environment of the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")
MODULES = ("_kernel", "_entries", "_parity", "_posix", "_writing", "_sealing")
BUILD_SECONDS = 300
pytestmark = [pytest.mark.packaging, pytest.mark.slow]

ROUND_TRIP = """
import pathlib, sys, warnings
warnings.simplefilter("ignore")
# An editable installation would lend its kernel to a package that has none.
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
import snapstore
assert pathlib.Path(snapstore.__file__).is_relative_to(sys.argv[1]), snapstore.__file__
work = pathlib.Path(sys.argv[2])
(work / "source").mkdir(parents=True)
content = bytes(range(256)) * 2000
(work / "source" / "file").write_bytes(content)
with snapstore.init(work / "repository", state_dir=work / "state", kdf_seconds=0) as repository:
    dossier = repository.create_dossier("books", secret="a secret of wheels")
    dossier.snapshot(work / "source")
    dossier.unlock("a secret of wheels")
    dossier.restore("latest", to=work / "target")
assert (work / "target" / "file").read_bytes() == content
try:
    import snapstore._kernel
except ImportError:
    print("twin")
else:
    print("kernel")
"""


def has_compiler() -> bool:
    return any(shutil.which(name) for name in ("cc", "gcc", "clang"))


def build_wheel(folder: Path, environment: dict[str, str]) -> Path:
    """Build a wheel from a copy of the sources in `folder`; return its path."""
    source = folder / "checkout"
    source.mkdir(parents=True)
    for name in SOURCES:
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(
        ROOT / "snapstore", source / "snapstore", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    )
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", folder / "wheels", source]
    subprocess.run(
        [str(word) for word in command],
        check=True,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        timeout=BUILD_SECONDS,
    )
    (wheel,) = (folder / "wheels").glob("snapstore-*.whl")
    return wheel


def round_trip(wheel: Path, folder: Path) -> str:
    """Unpack the wheel and take it round; return which implementation it used."""
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    run = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP, str(site), str(folder / "work")],
        env=os.environ | {"PYTHONPATH": str(site)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.fixture(scope="module")
def plain_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that comes of a machine without a compiler."""
    return build_wheel(tmp_path_factory.mktemp("plain"), {"CC": "/bin/false", "CXX": "/bin/false"})


def test_wheel_without_a_compiler(plain_wheel: Path, tmp_path: Path) -> None:
    names = zipfile.ZipFile(plain_wheel).namelist()
    assert "snapstore/py.typed" in names
    assert not [name for name in names if name.endswith((".so", ".pyd"))]
    assert round_trip(plain_wheel, tmp_path) == "twin"


@pytest.mark.skipif(not has_compiler(), reason="no C compiler on this machine")
def test_wheel_with_the_kernel(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, {})
    names = zipfile.ZipFile(wheel).namelist()
    assert "snapstore/py.typed" in names
    assert [name for name in names if name.endswith("_blake3/LICENSE")]
    for module in MODULES if sys.platform == "linux" else MODULES[:2]:
        assert [name for name in names if name.startswith(f"snapstore/{module}.") and name.endswith((".so", ".pyd"))]
    if sys.implementation.name == "cpython" and not hasattr(sys, "_is_gil_enabled"):
        assert "-cp311-abi3-" in wheel.name, "one wheel a platform must serve every later CPython"
    assert round_trip(wheel, tmp_path) == "kernel"


def test_the_metadata_says_what_a_user_needs(plain_wheel: Path) -> None:
    with zipfile.ZipFile(plain_wheel) as archive:
        (metadata_name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(metadata_name).decode()
        (scripts_name,) = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
        scripts = archive.read(scripts_name).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
    for extra in ("cli", "dev"):
        assert f"Provides-Extra: {extra}" in metadata
    assert "snapstore = snapstore.cli.main:main" in scripts
    assert not [name for name in zipfile.ZipFile(plain_wheel).namelist() if name.startswith("tests/")]
