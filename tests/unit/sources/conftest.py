"""What the tests of sources share: who runs them, and trees that no path reaches."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def as_root() -> None:
    """Skip where device nodes and other people's files cannot be made."""
    if sys.platform == "win32" or os.geteuid() != 0:
        pytest.skip("takes root")


@pytest.fixture
def deep_tree(tmp_path: Path) -> Iterator[Path]:
    """1,000 levels with a name of 100 bytes each, a file of its own number in each 100th."""
    if os.open not in os.supports_dir_fd:
        pytest.skip("made by descriptors, which this system does not have")
    current = os.open(tmp_path, os.O_RDONLY)
    for level in range(1, 1001):
        name = b"%04d" % level + b"d" * 96
        os.mkdir(name, dir_fd=current)
        below = os.open(name, os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
        if level % 100 == 0:
            file = os.open(b"file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=current)
            os.write(file, b"%d" % level)
            os.close(file)
    os.close(current)
    yield tmp_path
    # The standard library's rmtree goes down by recursion, and pytest would try it for three more runs.
    subprocess.run(["rm", "-rf", str(tmp_path / ("0001" + "d" * 96))], check=True, timeout=60)
